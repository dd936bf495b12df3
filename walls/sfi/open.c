/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sections of a wasm binary, all but the bodies of functions: read once, in order, and kept as arrays.
 *
 * Each list is allocated when its length is known to be within its limit and not larger than the bytes that are left, so
 * memory is in proportion to the file. Constant expressions are one constant or one imported global.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasm.h"

int td__wasm_refuse(struct td__wasm *w, enum td__sfi_rule rule, size_t offset, uint32_t function,
		    const char *format, ...)
{
	struct td__sfi_report *r = w->report;
	va_list args;

	if (!r->rule) {
		r->rule = rule;
		r->offset = offset;
		r->function = function;
		va_start(args, format);
		vsnprintf(r->why, sizeof(r->why), format, args);
		va_end(args);
	}
	return r->rule == TD__SFI_RESOURCES ? -ENOMEM : -ENOEXEC;
}

#define REFUSE(rule, at, ...) td__wasm_refuse(w, TD__SFI_##rule, at, UINT32_MAX, __VA_ARGS__)

static int cut_short(struct td__wasm *w, const struct td__cursor *c)
{
	return REFUSE(MALFORMED, c->at, "the section ends, or a number is malformed, where more was expected");
}

/* The length of a list whose items have at least one byte each. 0 or an error. */
static int read_count(struct td__wasm *w, struct td__cursor *c, const char *what, uint32_t most, uint32_t *n)
{
	uint32_t at = c->at;

	*n = td__read_u32(c);
	if (c->bad)
		return cut_short(w, c);
	if (*n > c->end - c->at)
		return REFUSE(MALFORMED, at, "%u %s are announced, and the section is shorter", *n, what);
	if (*n > most)
		return REFUSE(LIMIT, at, "%u %s; at most %u are taken", *n, what, most);
	return 0;
}

static int make(struct td__wasm *w, void *list, size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	memcpy(list, &p, sizeof(p));
	return p ? 0 : REFUSE(RESOURCES, 0, "not enough memory");
}

/* Is it UTF-8, in the shortest form, without surrogates? */
static int is_text(const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len;) {
		uint32_t c = p[i++], more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

		if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || len - i < more)
			return 0;
		if (more && ((c == 0xe0 && p[i] < 0xa0) || (c == 0xed && p[i] > 0x9f) || (c == 0xf0 && p[i] < 0x90) ||
			     (c == 0xf4 && p[i] > 0x8f)))
			return 0;
		for (; more; more--)
			if ((p[i++] & 0xc0) != 0x80)
				return 0;
	}
	return 1;
}

static int read_name(struct td__wasm *w, struct td__cursor *c, const char **name, uint32_t *len)
{
	*len = td__read_u32(c);
	*name = (const char *)c->data + c->at;
	if (c->bad || *len > c->end - c->at)
		return cut_short(w, c);
	if (!is_text(c->data + c->at, *len))
		return REFUSE(MALFORMED, c->at, "a name is not UTF-8");
	c->at += *len;
	return 0;
}

static int is_value_type(uint8_t type)
{
	return type >= TD__F64 && type <= TD__I32;
}

/* ---- Types, imports, functions */

static int read_value_type(struct td__wasm *w, struct td__cursor *c, uint8_t *type)
{
	uint32_t at = c->at;

	*type = td__read_byte(c);
	if (c->bad)
		return cut_short(w, c);
	if (*type == 0x7b || *type == 0x70 || *type == 0x6f)
		return REFUSE(FEATURE, at, "values of type 0x%02x (vectors and references) are not taken", *type);
	return is_value_type(*type) ? 0 : REFUSE(MALFORMED, at, "there is no type 0x%02x of values", *type);
}

static int read_signature(struct td__wasm *w, struct td__cursor *c, struct td__wasm_signature *t)
{
	uint8_t type;
	uint32_t n, at = c->at;
	int err;

	if (td__read_byte(c) != 0x60)
		return c->bad ? cut_short(w, c) : REFUSE(MALFORMED, at, "a type is not one of a function");
	err = read_count(w, c, "parameters", TD__WASM_PARAMS, &t->nparams);
	t->params = c->data + c->at;
	for (uint32_t i = 0; !err && i < t->nparams; i++)
		err = read_value_type(w, c, &type);
	if (!err)
		err = read_count(w, c, "results", TD__WASM_PARAMS, &n);
	t->result = TD__NONE;
	for (uint32_t i = 0; !err && i < n; i++)
		err = read_value_type(w, c, &t->result);
	if (!err && n > 1)
		return REFUSE(FEATURE, at, "a function with %u results; one is the most", n);
	return err;
}

static int read_types(struct td__wasm *w, struct td__cursor *c)
{
	int err = read_count(w, c, "types", TD__WASM_TYPES, &w->ntypes);

	if (!err)
		err = make(w, &w->types, w->ntypes, sizeof(*w->types));
	for (uint32_t i = 0; !err && i < w->ntypes; i++)
		err = read_signature(w, c, &w->types[i]);
	return err;
}

static int read_limits(struct td__wasm *w, struct td__cursor *c, uint32_t most, struct td__wasm_limits *l)
{
	uint8_t flags = td__read_byte(c);

	l->offset = c->at;
	if (!c->bad && flags > 1)
		return flags < 8 ? REFUSE(FEATURE, c->at, "shared or 64-bit memories and tables are not taken") :
				   REFUSE(MALFORMED, c->at, "flags of limits are 0x%02x", flags);
	l->min = td__read_u32(c);
	l->max = flags ? td__read_u32(c) : UINT32_MAX;
	l->given = flags;
	if (c->bad)
		return cut_short(w, c);
	if (l->min > l->max || l->min > most || (l->given && l->max > most))
		return REFUSE(INVALID, l->offset, "limits from %u to %u are impossible", l->min, l->max);
	return 0;
}

static int read_table(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t at = c->at;
	uint8_t type = td__read_byte(c);

	if (!c->bad && type != 0x70)
		return type == 0x6f ? REFUSE(FEATURE, at, "a table of references is not taken") :
				      REFUSE(MALFORMED, at, "there is no type 0x%02x of tables", type);
	if (++w->ntables > 1)
		return REFUSE(INVALID, at, "more than one table");
	return read_limits(w, c, UINT32_MAX, &w->table);
}

static int read_memory(struct td__wasm *w, struct td__cursor *c)
{
	if (++w->nmemories > 1)
		return REFUSE(INVALID, c->at, "more than one memory");
	return read_limits(w, c, 1 << 16, &w->memory);
}

static int read_global_type(struct td__wasm *w, struct td__cursor *c, struct td__wasm_global *g)
{
	int err = read_value_type(w, c, &g->type);

	if (err)
		return err;
	g->mutable = td__read_byte(c);
	if (c->bad)
		return cut_short(w, c);
	return g->mutable > 1 ? REFUSE(MALFORMED, c->at - 1, "mutability is 0x%02x", g->mutable) : 0;
}

static int more_functions(struct td__wasm *w, uint32_t n)
{
	void *p;

	if (n > TD__WASM_FUNCTIONS - w->nfunctions)
		return REFUSE(LIMIT, 0, "more than %u functions", TD__WASM_FUNCTIONS);
	p = realloc(w->functions, (w->nfunctions + n + 1) * sizeof(*w->functions));
	if (!p)
		return REFUSE(RESOURCES, 0, "not enough memory");
	w->functions = p;
	memset(w->functions + w->nfunctions, 0, n * sizeof(*w->functions));
	return 0;
}

static int more_globals(struct td__wasm *w, uint32_t n)
{
	void *p;

	if (n > TD__WASM_GLOBALS - w->nglobals)
		return REFUSE(LIMIT, 0, "more than %u globals", TD__WASM_GLOBALS);
	p = realloc(w->globals, (w->nglobals + n + 1) * sizeof(*w->globals));
	if (!p)
		return REFUSE(RESOURCES, 0, "not enough memory");
	w->globals = p;
	memset(w->globals + w->nglobals, 0, n * sizeof(*w->globals));
	return 0;
}

static int read_type_index(struct td__wasm *w, struct td__cursor *c, uint32_t *type)
{
	uint32_t at = c->at;

	*type = td__read_u32(c);
	if (c->bad)
		return cut_short(w, c);
	return *type < w->ntypes ? 0 : REFUSE(INVALID, at, "there is no type %u", *type);
}

static int read_import(struct td__wasm *w, struct td__cursor *c, struct td__wasm_import *i)
{
	int err;

	i->offset = c->at;
	err = read_name(w, c, &i->module, &i->module_len);
	if (!err)
		err = read_name(w, c, &i->name, &i->name_len);
	if (err)
		return err;
	i->kind = td__read_byte(c);
	if (c->bad)
		return cut_short(w, c);
	switch (i->kind) {
	case TD__FUNCTION:
		err = read_type_index(w, c, &i->type);
		if (!err)
			err = more_functions(w, 1);
		if (!err)
			w->functions[w->nfunctions++].type = i->type;
		return err;
	case TD__TABLE:
		return read_table(w, c);
	case TD__MEMORY:
		return read_memory(w, c);
	case TD__GLOBAL:
		err = more_globals(w, 1);
		if (!err)
			err = read_global_type(w, c, &w->globals[w->nglobals]);
		if (!err)
			w->globals[w->nglobals++].imported = 1;
		return err;
	default:
		return REFUSE(MALFORMED, c->at - 1, "there is no kind %u of imports", i->kind);
	}
}

static int read_imports(struct td__wasm *w, struct td__cursor *c)
{
	int err = read_count(w, c, "imports", TD__WASM_NAMES, &w->nimports);

	if (!err)
		err = make(w, &w->imports, w->nimports, sizeof(*w->imports));
	for (uint32_t i = 0; !err && i < w->nimports; i++)
		err = read_import(w, c, &w->imports[i]);
	w->nimported = w->nfunctions;
	return err;
}

static int read_functions(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t n;
	int err = read_count(w, c, "functions", TD__WASM_FUNCTIONS, &n);

	if (!err)
		err = more_functions(w, n);
	for (uint32_t i = 0; !err && i < n; i++)
		err = read_type_index(w, c, &w->functions[w->nfunctions++].type);
	return err;
}

/* ---- Tables, memories, globals, exports */

static int read_tables(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t n;
	int err = read_count(w, c, "tables", TD__WASM_NAMES, &n);

	for (uint32_t i = 0; !err && i < n; i++)
		err = read_table(w, c);
	return err;
}

static int read_memories(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t n;
	int err = read_count(w, c, "memories", TD__WASM_NAMES, &n);

	for (uint32_t i = 0; !err && i < n; i++)
		err = read_memory(w, c);
	return err;
}

/* A constant expression: `known` and its value, unless it is an imported global's. */
static int read_constant(struct td__wasm *w, struct td__cursor *c, uint8_t type, uint8_t *known, uint64_t *value)
{
	uint32_t at = c->at, global;
	uint8_t op = td__read_byte(c), is = 0;

	*known = 1;
	*value = 0;
	if (op == 0x41) {
		*value = (uint32_t)td__read_s32(c);
		is = TD__I32;
	} else if (op == 0x42) {
		*value = (uint64_t)td__read_s64(c);
		is = TD__I64;
	} else if (op == 0x43 || op == 0x44) {
		is = op == 0x43 ? TD__F32 : TD__F64;
		for (int i = 0; i < (op == 0x43 ? 4 : 8); i++)
			td__read_byte(c);
	} else if (op == 0x23) {
		global = td__read_u32(c);
		*known = 0;
		if (!c->bad && (global >= w->nglobals || !w->globals[global].imported || w->globals[global].mutable))
			return REFUSE(INVALID, at, "a constant expression may use imported constants only");
		is = c->bad ? 0 : w->globals[global].type;
	} else if (!c->bad) {
		return REFUSE(INVALID, at, "instruction 0x%02x stands in a constant expression", op);
	}
	if (!c->bad && is != type)
		return REFUSE(INVALID, at, "a constant expression has the wrong type");
	op = td__read_byte(c);
	if (c->bad)
		return cut_short(w, c);
	return op == 0x0b ? 0 : REFUSE(INVALID, c->at - 1, "a constant expression is more than one constant");
}

static int read_globals(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t n;
	int err = read_count(w, c, "globals", TD__WASM_GLOBALS, &n);

	if (!err)
		err = more_globals(w, n);
	for (uint32_t i = 0; !err && i < n; i++) {
		struct td__wasm_global *g = &w->globals[w->nglobals];

		err = read_global_type(w, c, g);
		if (!err)
			err = read_constant(w, c, g->type, &g->known, &g->value);
		w->nglobals++;
	}
	return err;
}

static int same_name(const struct td__wasm_export *a, const struct td__wasm_export *b)
{
	return a->len == b->len && !memcmp(a->name, b->name, a->len);
}

static int read_export(struct td__wasm *w, struct td__cursor *c, uint32_t n)
{
	struct td__wasm_export *e = &w->exports[n];
	uint32_t there[4];
	int err;

	e->offset = c->at;
	err = read_name(w, c, &e->name, &e->len);
	if (err)
		return err;
	e->kind = td__read_byte(c);
	e->index = td__read_u32(c);
	if (c->bad)
		return cut_short(w, c);
	if (e->kind > TD__GLOBAL)
		return REFUSE(MALFORMED, e->offset, "there is no kind %u of exports", e->kind);
	there[TD__FUNCTION] = w->nfunctions;
	there[TD__TABLE] = w->ntables;
	there[TD__MEMORY] = w->nmemories;
	there[TD__GLOBAL] = w->nglobals;
	if (e->index >= there[e->kind])
		return REFUSE(INVALID, e->offset, "what is exported does not exist");
	for (uint32_t i = 0; i < n; i++)
		if (same_name(e, &w->exports[i]))
			return REFUSE(INVALID, e->offset, "two exports have the same name");
	return 0;
}

static int read_exports(struct td__wasm *w, struct td__cursor *c)
{
	int err = read_count(w, c, "exports", TD__WASM_NAMES, &w->nexports);

	if (!err)
		err = make(w, &w->exports, w->nexports, sizeof(*w->exports));
	for (uint32_t i = 0; !err && i < w->nexports; i++)
		err = read_export(w, c, i);
	return err;
}

static int read_start(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t f, at = c->at;
	const struct td__wasm_signature *t;

	f = td__read_u32(c);
	if (c->bad)
		return cut_short(w, c);
	if (f >= w->nfunctions)
		return REFUSE(INVALID, at, "there is no function %u to start with", f);
	t = &w->types[w->functions[f].type];
	if (t->nparams || t->result != TD__NONE)
		return REFUSE(INVALID, at, "the start function takes or gives a value");
	w->start = at;
	return 0;
}

/* ---- The table's content, code, data */

static int make_table(struct td__wasm *w)
{
	int err;

	if (w->elements)
		return 0;
	if (w->table.min > TD__WASM_TABLE)
		return REFUSE(LIMIT, w->table.offset, "a table of %u elements; at most %u are taken", w->table.min, TD__WASM_TABLE);
	err = make(w, &w->elements, w->table.min, sizeof(*w->elements));
	if (!err)
		memset(w->elements, 0xff, w->table.min * sizeof(*w->elements));
	return err;
}

static int read_segment(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t flags, n, f, at = c->at;
	uint64_t to;
	uint8_t known;
	int err;

	flags = td__read_u32(c);
	if (c->bad)
		return cut_short(w, c);
	if (flags)
		return flags < 8 ? REFUSE(FEATURE, at, "elements that are not of the first table, or passive, are not taken") :
				   REFUSE(MALFORMED, at, "flags of elements are %u", flags);
	if (!w->ntables)
		return REFUSE(INVALID, at, "elements without a table");
	err = make_table(w);
	if (!err)
		err = read_constant(w, c, TD__I32, &known, &to);
	if (!err)
		err = read_count(w, c, "elements", TD__WASM_TABLE, &n);
	if (err)
		return err;
	if ((!known || to > w->table.min || n > w->table.min - to) && !w->table_odd)
		w->table_odd = at;
	for (uint32_t i = 0; i < n; i++) {
		f = td__read_u32(c);
		if (c->bad)
			return cut_short(w, c);
		if (f >= w->nfunctions)
			return REFUSE(INVALID, c->at, "there is no function %u for the table", f);
		if (!w->table_odd)
			w->elements[to + i] = f;
	}
	return 0;
}

static int read_elements(struct td__wasm *w, struct td__cursor *c)
{
	int err = read_count(w, c, "segments of elements", TD__WASM_SEGMENTS, &w->nelements);

	for (uint32_t i = 0; !err && i < w->nelements; i++)
		err = read_segment(w, c);
	return err;
}

static int read_code(struct td__wasm *w, struct td__cursor *c)
{
	uint32_t n, at = c->at;
	int err = read_count(w, c, "bodies", TD__WASM_FUNCTIONS, &n);

	if (err)
		return err;
	if (n != w->nfunctions - w->nimported)
		return REFUSE(MALFORMED, at, "%u functions have %u bodies", w->nfunctions - w->nimported, n);
	for (uint32_t i = w->nimported; i < w->nfunctions; i++) {
		uint32_t len = td__read_u32(c);

		if (c->bad || len > c->end - c->at)
			return cut_short(w, c);
		w->functions[i].start = c->at;
		w->functions[i].end = c->at += len;
	}
	return 0;
}

static int read_data_segment(struct td__wasm *w, struct td__cursor *c, struct td__wasm_segment *s)
{
	uint32_t at = c->at, flags = td__read_u32(c);
	uint64_t to = 0;
	uint8_t known = 0;
	int err = 0;

	if (!c->bad && flags > 1)
		return flags == 2 ? REFUSE(FEATURE, at, "data for a memory by number is not taken") :
				    REFUSE(MALFORMED, at, "flags of data are %u", flags);
	s->passive = flags;
	if (!c->bad && !flags && !w->nmemories)
		return REFUSE(INVALID, at, "data without a memory");
	if (!c->bad && !flags)
		err = read_constant(w, c, TD__I32, &known, &to);
	if (err)
		return err;
	s->len = td__read_u32(c);
	if (c->bad || s->len > c->end - c->at)
		return cut_short(w, c);
	s->known = known;
	s->to = (uint32_t)to;
	s->at = c->at;
	c->at += s->len;
	return 0;
}

static int read_data(struct td__wasm *w, struct td__cursor *c)
{
	int err = read_count(w, c, "segments of data", TD__WASM_SEGMENTS, &w->nsegments);

	w->ndata = w->nsegments;
	if (!err)
		err = make(w, &w->segments, w->nsegments, sizeof(*w->segments));
	for (uint32_t i = 0; !err && i < w->nsegments; i++)
		err = read_data_segment(w, c, &w->segments[i]);
	return err;
}

static int read_datacount(struct td__wasm *w, struct td__cursor *c)
{
	w->datacount = td__read_u32(c);
	return c->bad ? cut_short(w, c) : 0;
}

static int read_custom(struct td__wasm *w, struct td__cursor *c)
{
	const char *name;
	uint32_t len;
	int err = read_name(w, c, &name, &len);

	c->at = c->end;
	return err;
}

/* ---- All sections */

enum { CUSTOM, CODE = 10, DATA, DATACOUNT, SECTIONS };

/* Where a section may stand: the count of data comes before the code. */
static const uint8_t place[SECTIONS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10 };

static int (*const readers[SECTIONS])(struct td__wasm *, struct td__cursor *) = {
	read_custom, read_types,   read_imports, read_functions, read_tables, read_memories,  read_globals,
	read_exports, read_start, read_elements, read_code, read_data, read_datacount,
};

static int read_section(struct td__wasm *w, struct td__cursor *c, uint8_t *last, uint32_t *seen)
{
	uint32_t at = c->at, len;
	uint8_t id = td__read_byte(c);
	struct td__cursor inside = *c;
	int err;

	len = td__read_u32(&inside);
	if (inside.bad || len > c->end - inside.at)
		return REFUSE(MALFORMED, at, "a section is longer than the file");
	if (id == 13)
		return REFUSE(FEATURE, at, "exceptions are not taken");
	if (id >= SECTIONS)
		return REFUSE(MALFORMED, at, "there is no section %u", id);
	if (id != CUSTOM && place[id] <= *last)
		return REFUSE(MALFORMED, at, "section %u comes twice, or too late", id);
	if (id != CUSTOM)
		*last = place[id];
	*seen |= 1u << id;
	inside.end = inside.at + len;
	err = readers[id](w, &inside);
	if (!err && inside.at != inside.end)
		return REFUSE(MALFORMED, inside.at, "section %u is longer than what it holds", id);
	c->at = inside.end;
	return err;
}

static int whole(struct td__wasm *w, uint32_t seen)
{
	if (!(seen & 1 << CODE) && w->nfunctions != w->nimported)
		return REFUSE(MALFORMED, w->size, "functions without bodies");
	if (seen & 1 << DATACOUNT && w->datacount != w->ndata)
		return REFUSE(MALFORMED, w->size, "%u segments of data are announced, and %u are there", w->datacount, w->ndata);
	return w->ntables ? make_table(w) : 0;
}

int td__wasm_open(struct td__wasm *w)
{
	struct td__cursor c = { w->data, 8, (uint32_t)w->size, 0 };
	uint32_t seen = 0;
	uint8_t last = 0;
	int err = 0;

	if (w->size > TD__WASM_SIZE)
		return REFUSE(LIMIT, 0, "the binary has more than %u bytes", TD__WASM_SIZE);
	if (w->size < 8 || memcmp(w->data, "\0asm\1\0\0", 8))
		return REFUSE(MALFORMED, 0, "it does not begin as a wasm binary of version 1 does");
	while (!err && c.at < c.end)
		err = read_section(w, &c, &last, &seen);
	return err ? err : whole(w, seen);
}

void td__wasm_close(struct td__wasm *w)
{
	free(w->types);
	free(w->functions);
	free(w->imports);
	free(w->exports);
	free(w->globals);
	free(w->segments);
	free(w->elements);
}
