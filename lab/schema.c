/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a wasm binary with the faults of many trials in it: see sandbox.h. */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

/* ---- Bytes */

void lab_put(struct lab_bytes *b, const void *p, size_t n)
{
	if (b->room - b->n < n) {
		b->room = 2 * (b->room + n) + 64;
		b->p = realloc(b->p, b->room);
		if (!b->p)
			abort();
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void lab_put_byte(struct lab_bytes *b, uint8_t byte)
{
	lab_put(b, &byte, 1);
}

void lab_put_number(struct lab_bytes *b, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		lab_put_byte(b, (uint8_t)n | 0x80);
	lab_put_byte(b, (uint8_t)n);
}

void lab_put_signed(struct lab_bytes *b, int64_t n)
{
	for (; n < -64 || n > 63; n >>= 7)
		lab_put_byte(b, (uint8_t)n | 0x80);
	lab_put_byte(b, n & 0x7f);
}

/* With its length before it; it is empty then. */
static void put_sized(struct lab_bytes *b, struct lab_bytes *part)
{
	lab_put_number(b, part->n);
	lab_put(b, part->p, part->n);
	part->n = 0;
}

static void put_op(struct lab_bytes *b, uint8_t op, uint64_t index)
{
	lab_put_byte(b, op);
	lab_put_number(b, index);
}

static void put_constant(struct lab_bytes *b, uint8_t type, uint64_t value)
{
	static const uint8_t zero[8];

	lab_put_byte(b, type == TD__I32 ? 0x41 : type == TD__I64 ? 0x42 : type == TD__F32 ? 0x43 : 0x44);
	if (type == TD__I32)
		lab_put_signed(b, (int32_t)value);
	else if (type == TD__I64)
		lab_put_signed(b, (int64_t)value);
	else
		lab_put(b, zero, type == TD__F32 ? 4 : 8);
}

/* ---- A function with faults. Operands are kept in locals of its own, one for each position and type. */

struct writer {
	const struct lab_wasm *m;
	uint32_t function;
	uint32_t nlocals;
	uint32_t kept[LAB_OPERANDS][4]; /* which local; 0: none as yet */
	struct lab_bytes extra;         /* declarations of these */
	uint32_t nextra;
	struct lab_bytes code;
};

static uint32_t keep(struct writer *w, uint32_t position, uint8_t type)
{
	uint32_t *local = &w->kept[position][type - TD__F64];

	if (!*local) {
		*local = w->nlocals++;
		w->nextra++;
		lab_put_byte(&w->extra, 1);
		lab_put_byte(&w->extra, type);
	}
	return *local;
}

static void put_operands(struct writer *w, const struct lab_shape *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put_op(&w->code, 0x20, keep(w, i, s->in[i]));
}

/* What stands in the instruction's place when the fault is chosen. */
static void put_fault(struct writer *w, const struct lab_mutant *x, const struct lab_shape *s, const uint8_t *raw, uint32_t len)
{
	switch (x->kind) {
	case LAB_GIVE:
		put_operands(w, s, (uint32_t)x->value);
		if (!x->value && s->out)
			put_constant(&w->code, s->out, 0);
		return;
	case LAB_REPLACE:
		put_operands(w, s, s->n);
		lab_put(&w->code, x->bytes, x->nbytes);
		return;
	case LAB_CONSTANT:
		put_constant(&w->code, x->op == 0x42 ? TD__I64 : TD__I32, x->value);
		return;
	default:
		for (uint32_t i = 0; i < s->n; i++) {
			put_op(&w->code, 0x20, keep(w, i, s->in[i]));
			if (i != x->operand)
				continue;
			put_constant(&w->code, s->in[i], x->value);
			lab_put_byte(&w->code, x->op);
		}
		lab_put(&w->code, raw, len);
	}
}

static void put_test(struct lab_bytes *b, const struct lab_wasm *m, uint32_t number)
{
	put_op(b, 0x23, m->w.nglobals);
	put_constant(b, TD__I32, number);
	lab_put_byte(b, 0x46); /* equal */
}

/* All faults of one place, and the instruction. */
static void put_place(struct writer *w, const struct lab_mutant *list, uint32_t n, const struct lab_shape *s, const uint8_t *raw, uint32_t len)
{
	for (uint32_t i = s->n; i; i--)
		put_op(&w->code, 0x21, keep(w, i - 1, s->in[i - 1]));
	for (uint32_t i = 0; i < n; i++) {
		put_test(&w->code, w->m, list[i].number);
		lab_put_byte(&w->code, 0x04);
		lab_put_byte(&w->code, s->out ? s->out : TD__NONE);
		put_fault(w, &list[i], s, raw, len);
		lab_put_byte(&w->code, 0x05);
	}
	put_operands(w, s, s->n);
	lab_put(&w->code, raw, len);
	for (uint32_t i = 0; i < n; i++)
		lab_put_byte(&w->code, 0x0b);
}

static int same_place(const struct lab_mutant *a, const struct lab_mutant *b)
{
	return a->place.at == b->place.at && !a->place.condition == !b->place.condition;
}

static uint32_t here(const struct lab_mutant *list, uint32_t n)
{
	uint32_t same = 1;

	while (same < n && same_place(&list[same], list))
		same++;
	return same;
}

/* The body with these faults, the function's own, in their order. */
static void write_body(const struct lab_wasm *m, uint32_t function, const struct lab_mutant *list, uint32_t n, struct lab_bytes *out)
{
	const struct td__wasm_function *f = &m->w.functions[function];
	struct writer w = { .m = m, .function = function, .nlocals = f->nlocals };
	struct td__cursor c = { m->bytes, f->start, f->end, 0 };
	struct lab_bytes body = { 0 };
	uint32_t at = f->code, groups = td__read_u32(&c);

	for (uint32_t i = 0, same; i < n; i += same) {
		const struct lab_place *p = &list[i].place;
		struct lab_shape shape;
		struct td__decoded d;
		uint32_t end;

		same = here(list + i, n - i);
		lab_wasm_at(m, p, &d, &end, &shape);
		if (p->condition)
			end = p->at; /* the instruction itself comes behind */
		lab_put(&w.code, m->bytes + at, p->at - at);
		put_place(&w, list + i, same, &shape, m->bytes + p->at, end - p->at);
		at = end;
	}
	lab_put(&w.code, m->bytes + at, f->end - at);
	lab_put_number(&body, groups + w.nextra);
	lab_put(&body, m->bytes + c.at, f->code - c.at);
	lab_put(&body, w.extra.p, w.extra.n);
	lab_put(&body, w.code.p, w.code.n);
	put_sized(out, &body);
	free(body.p);
	free(w.extra.p);
	free(w.code.p);
}

/* ---- Sections */

/* What a domain starts with. */
static void put_start(struct lab_bytes *b, const struct lab_mutant *x)
{
	put_op(b, 0x20, 1);
	put_constant(b, TD__I32, TD_OP_HELLO);
	lab_put(b, "\x46\x04\x40", 3); /* equal; if */
	put_constant(b, TD__I32, x->place.at);
	put_constant(b, TD__I32, x->place.at);
	lab_put(b, "\x2d\x00\x00", 3); /* load a byte */
	put_constant(b, TD__I32, x->value);
	lab_put(b, "\x73\x3a\x00\x00\x0b", 5); /* xor; store; end */
}

static void put_act(struct lab_bytes *b, const struct lab_wasm *m, const struct lab_wasm *acts, const struct lab_mutant *x)
{
	put_op(b, 0x20, 0);
	put_op(b, 0x20, 1);
	put_constant(b, TD__I32, x->value);
	put_constant(b, TD__I32, LAB_BSIZE);
	put_constant(b, TD__I64, LAB_BLOCKS);
	put_op(b, 0x10, m->w.nfunctions + LAB_GRAFT_FIRST + td__wasm_export(&acts->w, "lab_act")->index - acts->w.nimported);
	lab_put_byte(b, 0x0f); /* return */
}

/* Around td__enter: what is wrong before the module's first instruction. */
static void write_entry(const struct lab_wasm *m, const struct lab_wasm *acts, const struct lab_mutant *list, uint32_t n, struct lab_bytes *out)
{
	struct lab_bytes b = { 0 };

	lab_put_number(&b, 0); /* locals */
	for (uint32_t i = 0; i < n; i++) {
		put_test(&b, m, list[i].number);
		lab_put(&b, "\x04\x40", 2); /* if */
		if (list[i].kind == LAB_PLANT)
			put_act(&b, m, acts, &list[i]);
		else
			put_start(&b, &list[i]);
		lab_put_byte(&b, 0x0b);
	}
	put_op(&b, 0x20, 0);
	put_op(&b, 0x20, 1);
	put_op(&b, 0x10, td__wasm_export(&m->w, "td__enter")->index);
	lab_put_byte(&b, 0x0b);
	put_sized(out, &b);
	free(b.p);
}

static uint32_t grafted(const struct lab_wasm *acts)
{
	return acts ? acts->w.nfunctions - acts->w.nimported : 0;
}

static int at_entry(const struct lab_mutant *x)
{
	return x->kind == LAB_START || x->kind == LAB_PLANT;
}

static void write_code(const struct lab_wasm *m, const struct lab_wasm *acts, const struct lab_mutant *list, uint32_t n, struct lab_bytes *out)
{
	uint32_t starts = 0, at;

	while (starts < n && at_entry(&list[starts]))
		starts++;
	at = starts;
	lab_put_number(out, m->w.nfunctions - m->w.nimported + 1 + grafted(acts));
	for (uint32_t f = m->w.nimported; f < m->w.nfunctions; f++) {
		uint32_t first = at;

		while (at < n && list[at].place.function == f)
			at++;
		write_body(m, f, list + first, at - first, out);
	}
	write_entry(m, acts, list, starts, out);
	if (acts)
		lab_graft_bodies(m, acts, out);
}

/* A list with n entries more; they are given back. */
static void write_longer(const uint8_t *section, uint32_t size, uint32_t n, struct lab_bytes *more, struct lab_bytes *out)
{
	struct td__cursor c = { section, 0, size, 0 };

	lab_put_number(out, td__read_u32(&c) + n);
	lab_put(out, section + c.at, size - c.at);
	lab_put(out, more->p, more->n);
	free(more->p);
}

static void write_types(const struct lab_wasm *acts, const uint8_t *section, uint32_t size, struct lab_bytes *out)
{
	struct lab_bytes more = { 0 };

	if (acts)
		lab_graft_types(acts, &more);
	write_longer(section, size, acts ? acts->w.ntypes : 0, &more, out);
}

static void write_functions(const struct lab_wasm *m, const struct lab_wasm *acts, const uint8_t *section, uint32_t size, struct lab_bytes *out)
{
	struct lab_bytes more = { 0 };

	lab_put_number(&more, m->w.functions[td__wasm_export(&m->w, "td__enter")->index].type);
	if (acts)
		lab_graft_functions(m, acts, &more);
	write_longer(section, size, 1 + grafted(acts), &more, out);
}

/* The variable can be changed, or the verifier would take its value for known. */
static void write_globals(const uint8_t *section, uint32_t size, struct lab_bytes *out)
{
	struct lab_bytes more = { 0 };

	lab_put(&more, "\x7f\x01", 2);
	put_constant(&more, TD__I32, LAB_CHOSEN);
	lab_put_byte(&more, 0x0b);
	write_longer(section, size, 1, &more, out);
}

static void write_exports(const struct lab_wasm *m, struct lab_bytes *out)
{
	lab_put_number(out, m->w.nexports);
	for (uint32_t i = 0; i < m->w.nexports; i++) {
		const struct td__wasm_export *e = &m->w.exports[i];

		lab_put_number(out, e->len);
		lab_put(out, e->name, e->len);
		lab_put_byte(out, (uint8_t)e->kind);
		lab_put_number(out, e->kind == TD__FUNCTION ? m->w.nfunctions : e->index);
	}
}

enum { CUSTOM = 0, TYPES = 1, FUNCTIONS = 3, GLOBALS = 6, EXPORTS = 7, CODE = 10 };

static int by_place(const void *a, const void *b)
{
	const struct lab_mutant *x = a, *y = b;
	int x_first = at_entry(x), y_first = at_entry(y);

	if (x_first != y_first)
		return y_first - x_first;
	if (x->place.at != y->place.at)
		return x->place.at < y->place.at ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

void lab_schema_write(const struct lab_wasm *m, const struct lab_wasm *acts, struct lab_mutant *list, uint32_t n, struct lab_bytes *out)
{
	struct td__cursor c = { m->bytes, 8, (uint32_t)m->size, 0 };
	struct lab_bytes section = { 0 };

	qsort(list, n, sizeof(*list), by_place);
	lab_put(out, m->bytes, 8);
	while (c.at < c.end) {
		uint8_t id = td__read_byte(&c);
		uint32_t size = td__read_u32(&c);
		const uint8_t *p = m->bytes + c.at;

		c.at += size;
		if (id == CUSTOM && !(size > 5 && !memcmp(p, "\4name", 5)))
			continue; /* what it says of places in the code is no more true */
		if (id == TYPES)
			write_types(acts, p, size, &section);
		else if (id == FUNCTIONS)
			write_functions(m, acts, p, size, &section);
		else if (id == GLOBALS)
			write_globals(p, size, &section);
		else if (id == EXPORTS)
			write_exports(m, &section);
		else if (id == CODE)
			write_code(m, acts, list, n, &section);
		else
			lab_put(&section, p, size);
		lab_put_byte(out, id);
		put_sized(out, &section);
	}
	free(section.p);
}
