/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the wall asks of a valid binary: it reaches out by services only, offers what the wall calls and nothing else, and
 * nothing happens when it is loaded but that its data is copied.
 */
#include <errno.h>
#include <string.h>

#include "wasm.h"

enum { PAGE = 65536 };

#define REFUSE(rule, at, ...) td__wasm_refuse(w, TD__SFI_##rule, at, UINT32_MAX, __VA_ARGS__)

static int is_name(const char *name, uint32_t len, const char *text)
{
	return len == strlen(text) && !memcmp(name, text, len);
}

/* ---- Imports */

static const struct td__wasm_service *find_service(const struct td__wasm_import *i)
{
	if (is_name(i->module, i->module_len, "env"))
		for (uint32_t n = 0; n < td__wasm_nservices; n++)
			if (is_name(i->name, i->name_len, td__wasm_services[n].name))
				return &td__wasm_services[n];
	return 0;
}

/* Names come from the file: at most 60 bytes, all of them printable. */
static const char *shown(const char *name, uint32_t len, char text[64])
{
	uint32_t n = len < 60 ? len : 60;

	for (uint32_t i = 0; i < n; i++)
		text[i] = name[i] < ' ' || name[i] > '~' ? '?' : name[i];
	strcpy(text + n, len > n ? "..." : "");
	return text;
}

static int check_import(struct td__wasm *w, const struct td__wasm_import *i)
{
	const struct td__wasm_service *s = i->kind == TD__FUNCTION ? find_service(i) : 0;
	const struct td__wasm_signature *t = &w->types[i->type];
	char text[64];

	if (!s)
		return REFUSE(IMPORT, i->offset, "it imports %s, which is no service", shown(i->name, i->name_len, text));
	if (t->result != s->result || t->nparams != s->nparams || memcmp(t->params, s->params, s->nparams))
		return REFUSE(IMPORT, i->offset, "it imports %s with other types than the service has", s->name);
	return 0;
}

/* ---- Exports */

struct wanted {
	const char *name;
	uint8_t kind, type, mutable, required;
};

static const struct wanted wanted[] = {
	{ "memory", TD__MEMORY, 0, 0, 1 },
	{ "td__enter", TD__FUNCTION, 0, 0, 1 },
	{ "td_module_info", TD__GLOBAL, TD__I32, 0, 1 },
	{ "__heap_base", TD__GLOBAL, TD__I32, 0, 0 },
	{ "__stack_pointer", TD__GLOBAL, TD__I32, 1, 0 },
};
enum { WANTED = sizeof(wanted) / sizeof(wanted[0]) };

static int is_enter(const struct td__wasm *w, uint32_t function)
{
	const struct td__wasm_signature *t = &w->types[w->functions[function].type];

	return function >= w->nimported && t->nparams == 2 && t->params[0] == TD__I32 && t->params[1] == TD__I32 &&
	       t->result == TD__I32;
}

static int fits(const struct td__wasm *w, const struct td__wasm_export *e, const struct wanted *want)
{
	const struct td__wasm_global *g = &w->globals[e->index];

	if (e->kind != want->kind)
		return 0;
	if (e->kind == TD__FUNCTION)
		return is_enter(w, e->index);
	return e->kind == TD__MEMORY || (g->type == want->type && g->mutable == want->mutable && g->known);
}

const struct td__wasm_export *td__wasm_export(const struct td__wasm *w, const char *name)
{
	for (uint32_t i = 0; i < w->nexports; i++)
		if (is_name(w->exports[i].name, w->exports[i].len, name))
			return &w->exports[i];
	return 0;
}

static int check_exports(struct td__wasm *w)
{
	char text[64];

	for (uint32_t i = 0; i < w->nexports; i++) {
		const struct td__wasm_export *e = &w->exports[i];
		uint32_t n = 0;

		while (n < WANTED && !is_name(e->name, e->len, wanted[n].name))
			n++;
		if (n == WANTED)
			return REFUSE(EXPORT, e->offset, "it exports %s, which the wall does not use", shown(e->name, e->len, text));
		if (!fits(w, e, &wanted[n]))
			return REFUSE(EXPORT, e->offset, "it exports %s as something else than the wall uses", wanted[n].name);
	}
	for (uint32_t n = 0; n < WANTED; n++)
		if (wanted[n].required && !td__wasm_export(w, wanted[n].name))
			return REFUSE(EXPORT, w->size, "it does not export %s: TD_FS_MODULE and the linker make it", wanted[n].name);
	return 0;
}

/* ---- Memory, table, info */

static int check_memory(struct td__wasm *w, const struct td__sfi_policy *p)
{
	const struct td__wasm_limits *m = &w->memory;

	if (m->min > p->pages || (m->given && m->max > p->pages))
		return REFUSE(MEMORY, m->offset, "it wants a memory of %u to %u pages; the limit is %u", m->min, m->max, p->pages);
	for (uint32_t i = 0; i < w->nsegments; i++) {
		const struct td__wasm_segment *s = &w->segments[i];

		if (s->passive)
			continue;
		if (!s->known || s->to < PAGE || (uint64_t)s->to + s->len > (uint64_t)m->min * PAGE)
			return REFUSE(MEMORY, s->at, "its data does not lie between 64 KiB and the end of its memory");
	}
	return 0;
}

/* The first bytes of memory at `at`, as they are when it has been loaded. */
static void initial_bytes(const struct td__wasm *w, uint32_t at, uint8_t *to, uint32_t len)
{
	memset(to, 0, len);
	for (uint32_t i = 0; i < w->nsegments; i++)
		for (uint32_t n = 0; n < len && !w->segments[i].passive; n++)
			if (at + n - w->segments[i].to < w->segments[i].len)
				to[n] = w->data[w->segments[i].at + (at + n - w->segments[i].to)];
}

static int check_info(struct td__wasm *w)
{
	uint64_t at = w->globals[td__wasm_export(w, "td_module_info")->index].value;
	struct td_module_info *info = &w->report->info;

	if (at + sizeof(*info) > (uint64_t)w->memory.min * PAGE)
		return REFUSE(INFO, w->size, "its td_module_info does not lie in its memory");
	initial_bytes(w, (uint32_t)at, (uint8_t *)info, sizeof(*info));
	if (info->magic != TD_MAGIC || info->abi != TD_ABI)
		return REFUSE(INFO, w->size, "it is no Tadan module, or was built for another version of Tadan");
	if (!memchr(info->name, 0, sizeof(info->name)))
		return REFUSE(INFO, w->size, "its name does not end");
	return 0;
}

static uint32_t exported_value(const struct td__wasm *w, const char *name)
{
	const struct td__wasm_export *e = td__wasm_export(w, name);

	return e ? (uint32_t)w->globals[e->index].value : 0;
}

int td__wasm_policy(struct td__wasm *w, const struct td__sfi_policy *p)
{
	struct td__sfi_report *r = w->report;
	int err = 0;

	for (uint32_t i = 0; !err && i < w->nimports; i++)
		err = check_import(w, &w->imports[i]);
	if (!err)
		err = check_exports(w);
	if (!err && w->start)
		return REFUSE(START, w->start, "it has a start function");
	if (!err && w->table_odd)
		return REFUSE(TABLE, w->table_odd, "elements of its table are not constant, or lie beyond it");
	if (!err)
		err = check_memory(w, p);
	if (!err)
		err = check_info(w);
	r->pages = w->memory.min;
	r->most_pages = w->memory.given ? w->memory.max : p->pages;
	if (err)
		return err;
	r->heap_base = exported_value(w, "__heap_base");
	r->stack_pointer = exported_value(w, "__stack_pointer");
	return 0;
}
