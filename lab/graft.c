/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts the functions of one wasm binary into another: see sandbox.h. What they import by name is what the module imports by that name, or
 * its td__enter, td_alloc and td_free; a call of anything else becomes `unreachable`. They use the module's memory and its stack, and bring no data.
 */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

void lab_graft_types(const struct lab_wasm *graft, struct lab_bytes *out)
{
	for (uint32_t i = 0; i < graft->w.ntypes; i++) {
		const struct td__wasm_signature *t = &graft->w.types[i];

		lab_put_byte(out, 0x60);
		lab_put_number(out, t->nparams);
		lab_put(out, t->params, t->nparams);
		lab_put_number(out, t->result != TD__NONE);
		if (t->result != TD__NONE)
			lab_put_byte(out, t->result);
	}
}

void lab_graft_functions(const struct lab_wasm *m, const struct lab_wasm *graft, struct lab_bytes *out)
{
	for (uint32_t f = graft->w.nimported; f < graft->w.nfunctions; f++)
		lab_put_number(out, m->w.ntypes + graft->w.functions[f].type);
}

/* The module's number of a function of the graft. UINT32_MAX: it has none. */
static uint32_t function(const struct lab_wasm *m, const struct lab_wasm *graft, uint32_t f)
{
	uint32_t nth = 0;

	if (f >= graft->w.nimported)
		return m->w.nfunctions + LAB_GRAFT_FIRST + (f - graft->w.nimported);
	for (uint32_t i = 0; i < graft->w.nimports; i++) {
		const struct td__wasm_import *im = &graft->w.imports[i];

		if (im->kind != TD__FUNCTION || nth++ != f)
			continue;
		if (im->name_len == 9 && !memcmp(im->name, "td__enter", 9))
			return td__wasm_export(&m->w, "td__enter")->index;
		if (im->name_len == 8 && !memcmp(im->name, "td_alloc", 8))
			return m->alloc;
		if (im->name_len == 7 && !memcmp(im->name, "td_free", 7))
			return m->free;
		return lab_wasm_imported(m, im->name, im->name_len);
	}
	return UINT32_MAX;
}

static void put_instruction(const struct lab_wasm *m, const struct lab_wasm *graft, const struct td__decoded *i, uint32_t end,
			    struct lab_bytes *code)
{
	uint32_t to;

	if (i->op == 0x10) {
		to = function(m, graft, i->a);
		lab_put_byte(code, to == UINT32_MAX ? 0x00 : 0x10);
		if (to != UINT32_MAX)
			lab_put_number(code, to);
	} else if (i->op == 0x11) {
		lab_put_byte(code, i->op);
		lab_put_number(code, m->w.ntypes + i->a);
		lab_put_number(code, 0);
	} else if (i->op == 0x23 || i->op == 0x24) {
		lab_put_byte(code, i->op);
		lab_put_number(code, td__wasm_export(&m->w, "__stack_pointer")->index);
	} else {
		lab_put(code, graft->bytes + i->at, end - i->at);
	}
}

void lab_graft_bodies(const struct lab_wasm *m, const struct lab_wasm *graft, struct lab_bytes *out)
{
	for (uint32_t f = graft->w.nimported; f < graft->w.nfunctions; f++) {
		const struct td__wasm_function *fn = &graft->w.functions[f];
		struct td__cursor c = { graft->bytes, fn->code, fn->end, 0 };
		struct lab_bytes code = { 0 };

		lab_put(&code, graft->bytes + fn->start, fn->code - fn->start);
		while (c.at < c.end) {
			struct td__decoded i;

			td__decode(&c, &i);
			put_instruction(m, graft, &i, c.at, &code);
		}
		lab_put_number(out, code.n);
		lab_put(out, code.p, code.n);
		free(code.p);
	}
}
