/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine-made faults in a wasm binary: where they can be made, and what each is. The kinds are those of mutate.c; a register
 * there is a local here. See sandbox.h.
 */
#include "sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Shapes */

static void call_shape(const struct td__wasm_signature *t, int indirect, struct lab_shape *s)
{
	if (t->nparams + 1 >= LAB_OPERANDS)
		return;
	memcpy(s->in, t->params, t->nparams);
	s->n = (uint8_t)t->nparams;
	if (indirect)
		s->in[s->n++] = TD__I32;
	s->out = t->result == TD__NONE ? 0 : t->result;
}

/* 1: it is an instruction that can be put behind a test. */
static int shape_of(const struct lab_wasm *m, uint32_t function, const struct td__decoded *i, struct lab_shape *s)
{
	const struct td__instruction *plain = &td__instructions[i->op];
	const uint8_t *locals = m->locals[function];

	*s = (struct lab_shape){ 0 };
	switch (i->op) {
	case 0x10: call_shape(&m->w.types[m->w.functions[i->a].type], 0, s); return s->n || s->out;
	case 0x11: call_shape(&m->w.types[i->a], 1, s); return s->n != 0;
	case 0x20: s->out = locals[i->a]; return 1;
	case 0x21: s->n = 1, s->in[0] = locals[i->a]; return 1;
	case 0x22: s->n = 1, s->in[0] = s->out = locals[i->a]; return 1;
	case 0x23: s->out = m->w.globals[i->a].type; return 1;
	case 0x24: s->n = 1, s->in[0] = m->w.globals[i->a].type; return 1;
	case 0x41: s->out = TD__I32; return 1;
	case 0x42: s->out = TD__I64; return 1;
	case 0xfc:
		s->n = i->a == 10 || i->a == 11 ? 3 : 0;
		memset(s->in, TD__I32, 3);
		return s->n != 0;
	default:
		s->n = plain->in[1] ? 2 : plain->in[0] ? 1 : 0;
		memcpy(s->in, plain->in, 2);
		s->out = plain->out;
		return plain->immediate == TD__PLAIN || plain->immediate == TD__ACCESS;
	}
}

static const struct lab_shape condition_shape = { .n = 1, .in = { TD__I32 }, .out = TD__I32 };

void lab_wasm_at(const struct lab_wasm *m, const struct lab_place *p, struct td__decoded *i, uint32_t *end, struct lab_shape *shape)
{
	struct td__cursor c = { m->bytes, p->at, m->w.functions[p->function].end, 0 };

	td__decode(&c, i);
	*end = c.at;
	if (p->condition)
		*shape = condition_shape;
	else
		shape_of(m, p->function, i, shape);
}

/* ---- What an instruction is */

static int is_constant(uint8_t op)
{
	return op == 0x41 || op == 0x42;
}

static int is_load(uint8_t op)
{
	return op >= 0x28 && op <= 0x35;
}

static int is_store(uint8_t op)
{
	return op >= 0x36 && op <= 0x3e;
}

static int compares_order(uint8_t op)
{
	return (op >= 0x48 && op <= 0x4f) || (op >= 0x53 && op <= 0x5a);
}

/* A constant before these is a bound or a step. */
static int counts(uint8_t op)
{
	return (op >= 0x46 && op <= 0x5a && op != 0x50) || op == 0x6a || op == 0x6b || op == 0x7c || op == 0x7d;
}

static int is_size(const struct td__decoded *i)
{
	return is_constant(i->op) && i->k >= 4 && i->k <= 65536;
}

static int is_lock_call(const struct lab_wasm *m, const struct td__decoded *i)
{
	return i->op == 0x10 && (i->a == m->lock || i->a == m->unlock);
}

static int by_condition(uint8_t op)
{
	return op == 0x04 || op == 0x0d || op == 0x1b; /* if, br_if, select */
}

/* ---- Finding */

static void add(struct lab_wasm *m, uint32_t mutation, uint32_t function, uint32_t at, uint32_t condition)
{
	if (m->places[mutation].n == m->places[mutation].room) {
		uint32_t room = m->places[mutation].room ? 2 * m->places[mutation].room : 256;
		void *list = realloc(m->places[mutation].list, room * sizeof(struct lab_place));

		if (!list)
			return;
		m->places[mutation].list = list;
		m->places[mutation].room = room;
	}
	m->places[mutation].list[m->places[mutation].n++] = (struct lab_place){ function, at, condition };
}

/* Blocks around an instruction. */
struct nest {
	uint8_t loop[TD__WASM_NESTING + 1];
	uint32_t depth;
};

static void follow(struct nest *n, uint8_t op)
{
	if (op >= 0x02 && op <= 0x04)
		n->loop[n->depth++] = op == 0x03;
	else if (op == 0x0b && n->depth)
		n->depth--;
}

/* A branch to a loop's head closes it; one that leaves the innermost loop ends it. 0: neither. */
static int closes_loop(const struct nest *n, uint32_t label)
{
	return label < n->depth && n->loop[n->depth - 1 - label];
}

static int leaves_loop(const struct nest *n, uint32_t label)
{
	for (uint32_t i = 0; i < n->depth; i++)
		if (n->loop[n->depth - 1 - i])
			return label > i;
	return 0;
}

static void note_condition(struct lab_wasm *m, uint32_t f, const struct td__decoded *i, const struct nest *nest)
{
	add(m, LAB_BRANCH, f, i->at, 1);
	if (i->op == 0x0d && closes_loop(nest, i->a))
		add(m, LAB_ENDLESS, f, i->at, 1);
	else if (i->op == 0x0d && leaves_loop(nest, i->a))
		add(m, LAB_ENDLESS, f, i->at, 2);
}

static void note(struct lab_wasm *m, uint32_t f, const struct td__decoded *i, uint8_t before, uint8_t behind)
{
	if (i->op == 0x20)
		add(m, LAB_SOURCE, f, i->at, 0);
	if (i->op == 0x21 || i->op == 0x22)
		add(m, LAB_DESTINATION, f, i->at, 0);
	if (is_load(i->op) || is_store(i->op))
		add(m, LAB_POINTER, f, i->at, 0);
	if (is_constant(before) && (i->op == 0x21 || is_store(i->op)))
		add(m, LAB_INIT, f, i->at, 0);
	if (compares_order(i->op) || (is_constant(i->op) && counts(behind)))
		add(m, LAB_BOUNDARY, f, i->at, 0);
	if (is_lock_call(m, i))
		add(m, LAB_UNLOCKED, f, i->at, 0);
	if (is_load(i->op) || is_store(i->op) || i->op == 0xfc || is_size(i))
		add(m, LAB_SIZE, f, i->at, 0);
	if (i->op == 0x11)
		add(m, LAB_TABLE, f, i->at, 0);
	add(m, LAB_DROP, f, i->at, 0);
	if (i->op < 0xfc)
		add(m, LAB_BIT, f, i->at, 0);
}

static void visit(struct lab_wasm *m, uint32_t f)
{
	struct td__cursor c = { m->bytes, m->w.functions[f].code, m->w.functions[f].end, 0 };
	struct nest nest = { .depth = 0 };
	uint8_t before = 0;

	while (c.at < c.end) {
		struct td__decoded i;
		struct lab_shape shape;

		td__decode(&c, &i);
		if (by_condition(i.op))
			note_condition(m, f, &i, &nest);
		follow(&nest, i.op);
		if (shape_of(m, f, &i, &shape))
			note(m, f, &i, before, c.at < c.end ? m->bytes[c.at] : 0);
		before = i.op;
	}
}

/* ---- Opening */

static void read_locals(struct lab_wasm *m, uint32_t f)
{
	const struct td__wasm_function *fn = &m->w.functions[f];
	const struct td__wasm_signature *t = &m->w.types[fn->type];
	struct td__cursor c = { m->bytes, fn->start, fn->end, 0 };
	uint8_t *types = m->locals[f] = malloc(fn->nlocals + 1);
	uint32_t n = t->nparams;

	if (!types)
		return;
	memcpy(types, t->params, n);
	for (uint32_t groups = td__read_u32(&c); groups; groups--) {
		uint32_t many = td__read_u32(&c);
		uint8_t type = td__read_byte(&c);

		memset(types + n, type, many);
		n += many;
	}
}

uint32_t lab_wasm_imported(const struct lab_wasm *m, const char *name, size_t len)
{
	uint32_t f = 0;

	for (uint32_t i = 0; i < m->w.nimports; i++) {
		const struct td__wasm_import *im = &m->w.imports[i];

		if (im->kind != TD__FUNCTION)
			continue;
		if (im->name_len == len && !memcmp(im->name, name, len))
			return f;
		f++;
	}
	return UINT32_MAX;
}

/* One that the binary keeps to itself, by the names that are there for people. */
static uint32_t named_function(const struct lab_wasm *m, const char *name)
{
	char text[64];

	for (uint32_t f = m->w.nimported; f < m->w.nfunctions; f++) {
		text[0] = 0;
		td__sfi_function_name(m->bytes, m->size, f, text, sizeof(text));
		if (!strcmp(text, name))
			return f;
	}
	return UINT32_MAX;
}

#define IMPORTED(m, name) lab_wasm_imported(m, name, sizeof(name) - 1)

int lab_wasm_open(struct lab_wasm *m, const uint8_t *bytes, size_t size, char *why, size_t why_size)
{
	memset(m, 0, sizeof(*m));
	m->size = size;
	m->bytes = malloc(size);
	m->locals = calloc(TD__WASM_FUNCTIONS, sizeof(*m->locals));
	if (!m->bytes || !m->locals)
		return -ENOMEM;
	memcpy(m->bytes, bytes, size);
	m->w = (struct td__wasm){ .data = m->bytes, .size = size, .report = &m->report };
	if (td__wasm_open(&m->w) || td__wasm_check(&m->w)) {
		snprintf(why, why_size, "the binary is refused: %s", m->report.why);
		return -ENOEXEC;
	}
	m->lock = IMPORTED(m, "td__svc_lock");
	m->unlock = IMPORTED(m, "td__svc_unlock");
	m->alloc = named_function(m, "td_alloc");
	m->free = named_function(m, "td_free");
	for (uint32_t f = m->w.nimported; f < m->w.nfunctions; f++) {
		read_locals(m, f);
		if (!m->locals[f])
			return -ENOMEM;
		visit(m, f);
	}
	for (uint32_t i = 0; i < m->w.nsegments; i++)
		if (!m->w.segments[i].passive && m->w.segments[i].len)
			add(m, LAB_DATA, 0, i, 0);
	return 0;
}

/* ---- Drawing. 0, or -ENOENT: not at this place. */

static int other_local(const struct lab_wasm *m, const struct lab_place *p, const struct td__decoded *i, struct lab_random *r,
		       struct lab_mutant *x)
{
	const uint8_t *types = m->locals[p->function];
	uint32_t n = m->w.functions[p->function].nlocals, same = 0, other = 0;
	struct lab_bytes b = { 0 };

	for (uint32_t l = 0; l < n; l++)
		same += l != i->a && types[l] == types[i->a];
	if (!same)
		return -ENOENT;
	for (uint32_t nth = lab_below(r, same) + 1; nth; other++)
		nth -= other != i->a && types[other] == types[i->a];
	other--;
	lab_put_byte(&b, i->op);
	lab_put_number(&b, other);
	x->kind = LAB_REPLACE;
	x->nbytes = (uint8_t)b.n;
	memcpy(x->bytes, b.p, b.n);
	free(b.p);
	snprintf(x->what, sizeof(x->what), "local %u -> local %u", i->a, other);
	return 0;
}

static void put_access(struct lab_mutant *x, uint8_t op, uint64_t offset)
{
	struct lab_bytes b = { 0 };

	lab_put_byte(&b, op);
	lab_put_byte(&b, 0); /* any alignment will do */
	lab_put_number(&b, offset);
	x->kind = LAB_REPLACE;
	x->nbytes = (uint8_t)b.n;
	memcpy(x->bytes, b.p, b.n);
	free(b.p);
}

static uint32_t offset_of(const struct lab_wasm *m, const struct td__decoded *i)
{
	struct td__cursor c = { m->bytes, i->at + 1, (uint32_t)m->size, 0 };

	td__read_u32(&c);
	return td__read_u32(&c);
}

/* As in native code, where most displacements are a byte: mostly the low bits. */
static int other_address(const struct lab_wasm *m, const struct td__decoded *i, struct lab_random *r, struct lab_mutant *x)
{
	uint32_t offset = offset_of(m, i), bit = lab_below(r, lab_below(r, 2) ? 8 : 32);

	put_access(x, i->op, offset ^ 1u << bit);
	snprintf(x->what, sizeof(x->what), "offset %u -> %u", offset, offset ^ 1u << bit);
	return 0;
}

static void constant(struct lab_mutant *x, const struct td__decoded *i, int64_t by)
{
	x->kind = LAB_CONSTANT;
	x->op = i->op;
	x->value = i->k + (uint64_t)by;
	snprintf(x->what, sizeof(x->what), "constant %lld -> %lld", (long long)i->k, (long long)x->value);
}

static int other_boundary(const struct td__decoded *i, struct lab_random *r, struct lab_mutant *x)
{
	if (is_constant(i->op)) {
		constant(x, i, lab_below(r, 2) ? 1 : -1);
		return 0;
	}
	/* less, greater: each signed and unsigned; then the same with equality */
	x->kind = LAB_REPLACE;
	x->nbytes = 1;
	x->bytes[0] = (uint8_t)(i->op < 0x50 ? ((i->op - 0x48) ^ 4) + 0x48 : ((i->op - 0x53) ^ 4) + 0x53);
	snprintf(x->what, sizeof(x->what), "comparison 0x%02x -> 0x%02x", i->op, x->bytes[0]);
	return 0;
}

static int other_width(const struct lab_wasm *m, const struct td__decoded *i, struct lab_random *r, struct lab_mutant *x)
{
	static const uint8_t groups[][8] = { { 0x28, 0x2c, 0x2d, 0x2e, 0x2f }, { 0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35 },
					     { 0x36, 0x3a, 0x3b },             { 0x37, 0x3c, 0x3d, 0x3e } };
	uint8_t other;

	for (uint32_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		if (memchr(groups[g], i->op, 8)) {
			do
				other = groups[g][lab_below(r, 8)];
			while (!other || other == i->op);
			put_access(x, other, offset_of(m, i));
			snprintf(x->what, sizeof(x->what), "access 0x%02x -> 0x%02x", i->op, other);
			return 0;
		}
	return -ENOENT;
}

static int other_size(const struct lab_wasm *m, const struct td__decoded *i, struct lab_random *r, struct lab_mutant *x)
{
	static const int64_t by[] = { -8, -1, 1, 8, 64, 4096 };
	int64_t more = by[lab_below(r, sizeof(by) / sizeof(by[0]))];

	if (is_constant(i->op)) {
		constant(x, i, more);
		return 0;
	}
	if (i->op != 0xfc)
		return other_width(m, i, r, x);
	x->kind = LAB_CHANGE;
	x->operand = 2;
	x->op = 0x6a;
	x->value = (uint64_t)more;
	snprintf(x->what, sizeof(x->what), "%lld bytes more are moved", (long long)more);
	return 0;
}

/* Indices that are there, and of the same meaning to the stack. */
static int is_good(const struct lab_wasm *m, uint32_t f, const struct td__decoded *i)
{
	if (i->op >= 0x20 && i->op <= 0x22)
		return i->a < m->w.functions[f].nlocals;
	if (i->op == 0x23 || i->op == 0x24)
		return i->a < m->w.nglobals && (i->op == 0x23 || m->w.globals[i->a].mutable);
	if (i->op == 0x10)
		return i->a < m->w.nfunctions;
	if (i->op == 0x11)
		return i->a < m->w.ntypes;
	return 1;
}

static int is_aligned(const uint8_t *bytes)
{
	const struct td__instruction *i = &td__instructions[bytes[0]];

	return i->immediate != TD__ACCESS || bytes[1] <= i->align;
}

static int same_shape(const struct lab_shape *a, const struct lab_shape *b)
{
	return a->n == b->n && a->out == b->out && !memcmp(a->in, b->in, a->n);
}

/* A flipped bit of which the binary stays one that the verifier takes: others would not have been translated. */
static int other_bit(const struct lab_wasm *m, const struct lab_place *p, const struct lab_shape *shape, uint32_t len, struct lab_random *r,
		     struct lab_mutant *x)
{
	uint32_t bit = lab_below(r, 8 * len);
	struct td__cursor c = { x->bytes, 0, len, 0 };
	struct lab_shape other;
	struct td__decoded i;

	if (len > sizeof(x->bytes))
		return -ENOENT;
	memcpy(x->bytes, m->bytes + p->at, len);
	x->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	if (td__instructions[x->bytes[0]].immediate == TD__NO_OPCODE || x->bytes[0] == 0xfc)
		return -ENOENT;
	td__decode(&c, &i);
	if (c.bad || c.at != len || !is_good(m, p->function, &i) || !is_aligned(x->bytes) || !shape_of(m, p->function, &i, &other) ||
	    !same_shape(shape, &other))
		return -ENOENT;
	/* What stands behind the kind of an indirect call is not free. */
	if (i.op == 0x11 && x->bytes[len - 1])
		return -ENOENT;
	x->kind = LAB_REPLACE;
	x->nbytes = (uint8_t)len;
	snprintf(x->what, sizeof(x->what), "instruction 0x%02x, bit %u of its %u bytes", m->bytes[p->at], bit, len);
	return 0;
}

static int other_data(const struct lab_wasm *m, struct lab_random *r, struct lab_mutant *x)
{
	const struct td__wasm_segment *s = &m->w.segments[x->place.at];
	uint32_t bit = lab_below(r, 8);

	x->kind = LAB_START;
	x->place.at = s->to + lab_below(r, s->len);
	x->value = 1u << bit;
	snprintf(x->what, sizeof(x->what), "data at address 0x%x, bit %u", x->place.at, bit);
	return 0;
}

static int other_condition(const struct td__decoded *i, uint32_t mutation, uint32_t how, struct lab_mutant *x)
{
	static const char *const names[] = { [0x04] = "if", [0x0d] = "br_if", [0x1b] = "select" };

	if (mutation == LAB_BRANCH) {
		x->kind = LAB_CHANGE;
		x->op = 0x46; /* equal to 0 */
	} else {
		x->kind = LAB_CONSTANT;
		x->op = 0x41;
		x->value = how == 1;
	}
	snprintf(x->what, sizeof(x->what), "%s, %s", names[i->op],
		 mutation == LAB_BRANCH ? "by the inverted condition" : how == 1 ? "always" : "never");
	return 0;
}

static int leave_out(const struct lab_shape *shape, struct lab_mutant *x, uint8_t op, int call)
{
	x->kind = LAB_GIVE;
	x->value = !call && shape->out && shape->n && shape->out == shape->in[0];
	snprintf(x->what, sizeof(x->what), "without instruction 0x%02x", op);
	return 0;
}

static int draw(const struct lab_wasm *m, uint32_t mutation, struct lab_random *r, struct lab_mutant *x)
{
	const struct lab_place *p = &x->place;
	struct lab_shape shape;
	struct td__decoded i;
	uint32_t end;

	if (mutation == LAB_DATA)
		return other_data(m, r, x);
	lab_wasm_at(m, p, &i, &end, &shape);
	switch (mutation) {
	case LAB_SOURCE:
	case LAB_DESTINATION: return other_local(m, p, &i, r, x);
	case LAB_POINTER: return other_address(m, &i, r, x);
	case LAB_BRANCH:
	case LAB_ENDLESS: return other_condition(&i, mutation, p->condition, x);
	case LAB_BOUNDARY: return other_boundary(&i, r, x);
	case LAB_SIZE: return other_size(m, &i, r, x);
	case LAB_BIT: return other_bit(m, p, &shape, end - i.at, r, x);
	case LAB_TABLE:
		x->kind = LAB_CHANGE;
		x->operand = shape.n - 1u;
		x->op = 0x73; /* xor */
		x->value = 1u << lab_below(r, 4);
		snprintf(x->what, sizeof(x->what), "another entry of the table of functions is called");
		return 0;
	default: return leave_out(&shape, x, i.op, mutation == LAB_UNLOCKED);
	}
}

static void say_where(const struct lab_wasm *m, struct lab_mutant *x)
{
	char line[100], what[LAB_TEXT];

	if (x->kind == LAB_START)
		return;
	if (td__sfi_line(m->bytes, m->size, x->place.at, line, sizeof(line)))
		snprintf(line, sizeof(line), "function %u", x->place.function);
	snprintf(what, sizeof(what), "%.80s, 0x%x: %.90s", line, x->place.at, x->what);
	memcpy(x->what, what, sizeof(what));
}

int lab_wasm_mutate(const struct lab_wasm *m, uint32_t mutation, struct lab_random *r, struct lab_mutant *x)
{
	uint32_t n = m->places[mutation].n;

	for (int tries = 0; n && tries < 10000; tries++) {
		x->place = m->places[mutation].list[lab_below(r, n)];
		if (draw(m, mutation, r, x))
			continue;
		say_where(m, x);
		return 0;
	}
	return -ENOENT;
}
