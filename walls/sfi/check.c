/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies of functions: types and control flow, by the algorithm of the specification's appendix, in one pass.
 *
 * A stack of operand types, and a stack of blocks that says how high the operands stood where each began. Behind an
 * instruction that never goes on, a block's operands are as many and of what type as its code likes (type ANY).
 */
#include <errno.h>
#include <stdlib.h>

#include "wasm.h"

enum { ANY = 0 };
enum { BLOCK = 0x02, LOOP = 0x03, IF = 0x04, ELSE = 0x05 };

struct block {
	uint32_t height; /* of operands, where it began */
	uint8_t opcode, result, unreachable;
};

struct state {
	struct td__wasm *w;
	struct td__cursor c;
	uint32_t function, at; /* at: where the instruction begins */
	uint32_t nlocals, noperands, nblocks;
	uint8_t locals[TD__WASM_LOCALS];
	uint8_t operands[TD__WASM_OPERANDS];
	struct block blocks[TD__WASM_NESTING];
};

#define REFUSE(rule, ...) td__wasm_refuse(s->w, TD__SFI_##rule, s->at, s->function, __VA_ARGS__)

static const char *type_name(uint8_t type)
{
	return type == TD__I32 ? "i32" : type == TD__I64 ? "i64" : type == TD__F32 ? "f32" : type == TD__F64 ? "f64" : "nothing";
}

/* ---- The two stacks */

static int push(struct state *s, uint8_t type)
{
	if (s->noperands == TD__WASM_OPERANDS)
		return REFUSE(LIMIT, "more than %u operands", TD__WASM_OPERANDS);
	s->operands[s->noperands++] = type;
	return 0;
}

static int pop_any(struct state *s, uint8_t *type)
{
	struct block *b = &s->blocks[s->nblocks - 1];

	*type = ANY;
	if (s->noperands > b->height)
		*type = s->operands[--s->noperands];
	else if (!b->unreachable)
		return REFUSE(INVALID, "an operand is missing");
	return 0;
}

static int pop(struct state *s, uint8_t want)
{
	uint8_t have;
	int err = pop_any(s, &have);

	if (!err && have != want && have != ANY)
		return REFUSE(INVALID, "an operand is %s and not %s", type_name(have), type_name(want));
	return err;
}

static int pop_result(struct state *s, uint8_t result)
{
	return result == TD__NONE ? 0 : pop(s, result);
}

static int push_result(struct state *s, uint8_t result)
{
	return result == TD__NONE ? 0 : push(s, result);
}

static int enter(struct state *s, uint8_t opcode, uint8_t result)
{
	if (s->nblocks == TD__WASM_NESTING)
		return REFUSE(LIMIT, "blocks are nested more than %u deep", TD__WASM_NESTING);
	s->blocks[s->nblocks++] = (struct block){ s->noperands, opcode, result, 0 };
	return 0;
}

/* The operands at a block's end are its result and nothing else. */
static int leave(struct state *s, struct block *left)
{
	struct block *b = &s->blocks[s->nblocks - 1];
	int err = pop_result(s, b->result);

	*left = *b;
	if (!err && s->noperands != b->height)
		return REFUSE(INVALID, "a block ends with more operands than its result");
	if (!err)
		s->nblocks--;
	return err;
}

static void unreachable(struct state *s)
{
	struct block *b = &s->blocks[s->nblocks - 1];

	s->noperands = b->height;
	b->unreachable = 1;
}

/* ---- Immediates */

static int cut_short(struct state *s)
{
	return REFUSE(MALFORMED, "the function ends, or a number is malformed, within an instruction");
}

static int read_index(struct state *s, const char *what, uint32_t n, uint32_t *index)
{
	*index = td__read_u32(&s->c);
	if (s->c.bad)
		return cut_short(s);
	return *index < n ? 0 : REFUSE(INVALID, "there is no %s %u", what, *index);
}

static int read_label(struct state *s, struct block **b)
{
	uint32_t depth;
	int err = read_index(s, "label", s->nblocks, &depth);

	if (!err)
		*b = &s->blocks[s->nblocks - 1 - depth];
	return err;
}

/* What a branch to the label takes along: a loop is entered from its beginning, which takes nothing. */
static uint8_t carried(const struct block *b)
{
	return b->opcode == LOOP ? TD__NONE : b->result;
}

static int read_block_type(struct state *s, uint8_t *result)
{
	*result = td__read_byte(&s->c);
	if (s->c.bad)
		return cut_short(s);
	if (*result == TD__NONE || (*result >= TD__F64 && *result <= TD__I32))
		return 0;
	if (*result == 0x7b || *result == 0x70 || *result == 0x6f || !(*result & 0x40) || *result & 0x80)
		return REFUSE(FEATURE, "a block with several results or parameters, or another type of values");
	return REFUSE(MALFORMED, "there is no type 0x%02x of blocks", *result);
}

static int read_access(struct state *s, uint32_t most)
{
	uint32_t align = td__read_u32(&s->c);

	td__read_u32(&s->c);
	if (s->c.bad)
		return cut_short(s);
	if (!s->w->nmemories)
		return REFUSE(INVALID, "access to memory, and there is none");
	return align <= most ? 0 : REFUSE(INVALID, "an access is aligned to more than its size");
}

static int read_zero(struct state *s)
{
	uint8_t byte = td__read_byte(&s->c);

	if (s->c.bad)
		return cut_short(s);
	return byte ? REFUSE(FEATURE, "only the first memory and the first table are taken") : 0;
}

/* ---- Control flow */

static int op_block(struct state *s, uint8_t opcode)
{
	uint8_t result;
	int err = read_block_type(s, &result);

	if (!err && opcode == IF)
		err = pop(s, TD__I32);
	return err ? err : enter(s, opcode, result);
}

static int op_else(struct state *s)
{
	struct block b;
	int err = leave(s, &b);

	if (!err && b.opcode != IF)
		return REFUSE(INVALID, "an else without its if");
	return err ? err : enter(s, ELSE, b.result);
}

static int op_end(struct state *s)
{
	struct block b;
	int err = leave(s, &b);

	if (!err && b.opcode == IF && b.result != TD__NONE)
		return REFUSE(INVALID, "an if with a result has no else");
	return err ? err : push_result(s, b.result);
}

static int op_branch(struct state *s, int conditional)
{
	struct block *b;
	int err = read_label(s, &b);

	if (!err && conditional)
		err = pop(s, TD__I32);
	if (!err)
		err = pop_result(s, carried(b));
	if (err)
		return err;
	if (conditional)
		return push_result(s, carried(b));
	unreachable(s);
	return 0;
}

static int op_table_branch(struct state *s)
{
	uint32_t n = td__read_u32(&s->c);
	struct block *b = 0;
	uint8_t type = TD__NONE;
	int err;

	if (s->c.bad || n >= s->c.end - s->c.at)
		return cut_short(s);
	if (n > TD__WASM_TARGETS)
		return REFUSE(LIMIT, "a branch to %u labels; at most %u are taken", n, TD__WASM_TARGETS);
	for (uint32_t i = 0; i <= n; i++) {
		err = read_label(s, &b);
		if (err)
			return err;
		if (i && carried(b) != type)
			return REFUSE(INVALID, "labels of one branch take different results");
		type = carried(b);
	}
	err = pop(s, TD__I32);
	if (!err)
		err = pop_result(s, type);
	if (!err)
		unreachable(s);
	return err;
}

static int op_return(struct state *s)
{
	int err = pop_result(s, s->blocks[0].result);

	if (!err)
		unreachable(s);
	return err;
}

static int call(struct state *s, const struct td__wasm_signature *t)
{
	for (uint32_t i = t->nparams; i; i--) {
		int err = pop(s, t->params[i - 1]);

		if (err)
			return err;
	}
	return push_result(s, t->result);
}

static int op_call(struct state *s)
{
	uint32_t f;
	int err = read_index(s, "function", s->w->nfunctions, &f);

	return err ? err : call(s, &s->w->types[s->w->functions[f].type]);
}

static int op_call_indirect(struct state *s)
{
	uint32_t type;
	int err = read_index(s, "type", s->w->ntypes, &type);

	if (!err)
		err = read_zero(s);
	if (!err && !s->w->ntables)
		return REFUSE(INVALID, "an indirect call, and there is no table");
	if (!err)
		err = pop(s, TD__I32);
	return err ? err : call(s, &s->w->types[type]);
}

/* ---- Values */

static int op_select(struct state *s)
{
	uint8_t a, b;
	int err = pop(s, TD__I32);

	if (!err)
		err = pop_any(s, &a);
	if (!err)
		err = pop_any(s, &b);
	if (!err && a != b && a != ANY && b != ANY)
		return REFUSE(INVALID, "a choice between %s and %s", type_name(a), type_name(b));
	return err ? err : push(s, a == ANY ? b : a);
}

static int op_local(struct state *s, uint8_t opcode)
{
	uint32_t n;
	int err = read_index(s, "local", s->nlocals, &n);

	if (!err && opcode != 0x20)
		err = pop(s, s->locals[n]);
	if (!err && opcode != 0x21)
		err = push(s, s->locals[n]);
	return err;
}

static int op_global(struct state *s, uint8_t opcode)
{
	uint32_t n;
	int err = read_index(s, "global", s->w->nglobals, &n);

	if (err)
		return err;
	if (opcode == 0x23)
		return push(s, s->w->globals[n].type);
	if (!s->w->globals[n].mutable)
		return REFUSE(INVALID, "global %u is constant", n);
	return pop(s, s->w->globals[n].type);
}

static int op_memory(struct state *s, uint8_t opcode)
{
	int err = read_zero(s);

	if (!err && !s->w->nmemories)
		return REFUSE(INVALID, "access to memory, and there is none");
	if (!err && opcode == 0x40)
		err = pop(s, TD__I32);
	return err ? err : push(s, TD__I32);
}

static int op_bulk(struct state *s)
{
	uint32_t opcode = td__read_u32(&s->c);
	int err;

	if (s->c.bad)
		return cut_short(s);
	if (opcode != 10 && opcode != 11)
		return opcode < 18 ? REFUSE(FEATURE, "instruction 0xfc %u is not taken", opcode) :
				     REFUSE(MALFORMED, "there is no instruction 0xfc %u", opcode);
	err = read_zero(s);
	if (!err && opcode == 10)
		err = read_zero(s);
	if (!err && !s->w->nmemories)
		return REFUSE(INVALID, "access to memory, and there is none");
	for (int i = 0; !err && i < 3; i++)
		err = pop(s, TD__I32);
	return err;
}

static int op_constant(struct state *s, uint8_t opcode)
{
	static const uint8_t types[] = { TD__I32, TD__I64, TD__F32, TD__F64 };

	if (opcode == 0x41)
		td__read_s32(&s->c);
	else if (opcode == 0x42)
		td__read_s64(&s->c);
	else
		for (int i = 0; i < (opcode == 0x43 ? 4 : 8); i++)
			td__read_byte(&s->c);
	return s->c.bad ? cut_short(s) : push(s, types[opcode - 0x41]);
}

static int control(struct state *s, uint8_t opcode)
{
	uint8_t type;

	switch (opcode) {
	case 0x00:
		unreachable(s);
		return 0;
	case 0x01:
		return 0;
	case BLOCK:
	case LOOP:
	case IF:
		return op_block(s, opcode);
	case ELSE:
		return op_else(s);
	case 0x0b:
		return op_end(s);
	case 0x0c:
	case 0x0d:
		return op_branch(s, opcode == 0x0d);
	case 0x0e:
		return op_table_branch(s);
	case 0x0f:
		return op_return(s);
	case 0x10:
		return op_call(s);
	case 0x11:
		return op_call_indirect(s);
	case 0x1a:
		return pop_any(s, &type);
	case 0x1b:
		return op_select(s);
	case 0x20 ... 0x22:
		return op_local(s, opcode);
	case 0x23:
	case 0x24:
		return op_global(s, opcode);
	case 0x3f:
	case 0x40:
		return op_memory(s, opcode);
	case 0x41 ... 0x44:
		return op_constant(s, opcode);
	default:
		return op_bulk(s);
	}
}

/* ---- One function */

static int plain(struct state *s, const struct td__instruction *i)
{
	int err = 0;

	if (i->immediate == TD__ACCESS)
		err = read_access(s, i->align);
	if (!err && i->in[1])
		err = pop(s, i->in[1]);
	if (!err)
		err = pop(s, i->in[0]);
	return err || !i->out ? err : push(s, i->out);
}

static int not_taken(struct state *s, uint8_t opcode)
{
	if (opcode == 0x1c || opcode == 0x25 || opcode == 0x26 || (opcode >= 0xd0 && opcode <= 0xd2) || opcode >= 0xfd ||
	    (opcode >= 0x06 && opcode <= 0x09) || (opcode >= 0x12 && opcode <= 0x19))
		return REFUSE(FEATURE, "instruction 0x%02x (vectors, references, threads, exceptions) is not taken", opcode);
	return REFUSE(MALFORMED, "there is no instruction 0x%02x", opcode);
}

static int add_locals(struct state *s, uint32_t n, uint8_t type)
{
	if (n > TD__WASM_LOCALS - s->nlocals)
		return REFUSE(LIMIT, "more than %u locals", TD__WASM_LOCALS);
	while (n--)
		s->locals[s->nlocals++] = type;
	return 0;
}

static int read_locals(struct state *s, const struct td__wasm_signature *t)
{
	uint32_t groups;
	int err = 0;

	s->nlocals = 0;
	for (uint32_t i = 0; i < t->nparams; i++)
		s->locals[s->nlocals++] = t->params[i];
	groups = td__read_u32(&s->c);
	for (uint32_t i = 0; !err && !s->c.bad && i < groups; i++) {
		uint32_t n = td__read_u32(&s->c);
		uint8_t type = td__read_byte(&s->c);

		if (s->c.bad)
			break;
		if (type == 0x7b || type == 0x70 || type == 0x6f)
			return REFUSE(FEATURE, "locals of type 0x%02x (vectors and references) are not taken", type);
		if (type < TD__F64 || type > TD__I32)
			return REFUSE(MALFORMED, "there is no type 0x%02x of values", type);
		err = add_locals(s, n, type);
	}
	return s->c.bad ? cut_short(s) : err;
}

static int check_function(struct state *s)
{
	struct td__wasm_function *f = &s->w->functions[s->function];
	const struct td__wasm_signature *t = &s->w->types[f->type];
	int err;

	s->c = (struct td__cursor){ s->w->data, f->start, f->end, 0 };
	s->at = f->start;
	s->noperands = s->nblocks = 0;
	err = read_locals(s, t);
	f->code = s->c.at;
	f->nlocals = s->nlocals;
	if (!err)
		err = enter(s, BLOCK, t->result);
	while (!err && s->nblocks) {
		const struct td__instruction *i;
		uint8_t opcode;

		s->at = s->c.at;
		opcode = td__read_byte(&s->c);
		if (s->c.bad)
			return REFUSE(MALFORMED, "the function ends within a block");
		i = &td__instructions[opcode];
		err = i->immediate == TD__NO_OPCODE ? not_taken(s, opcode) :
		      i->immediate == TD__CONTROL   ? control(s, opcode) :
						      plain(s, i);
	}
	if (!err && s->c.at != f->end)
		return REFUSE(MALFORMED, "the function goes on behind its end");
	return err;
}

int td__wasm_check(struct td__wasm *w)
{
	struct state *s = malloc(sizeof(*s));
	int err = 0;

	if (!s)
		return td__wasm_refuse(w, TD__SFI_RESOURCES, 0, UINT32_MAX, "not enough memory");
	s->w = w;
	for (s->function = w->nimported; !err && s->function < w->nfunctions; s->function++)
		err = check_function(s);
	free(s);
	return err;
}
