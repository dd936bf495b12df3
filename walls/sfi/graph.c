/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a body to a graph: see graph.h. One pass over the code finds which locals each loop changes, a second one builds.
 *
 * While it builds, `env` has the value of each local and `operands` those on the stack. A label collects the edges that go
 * to it; at the end of its block they meet in a node. Code behind an unconditional jump is passed over (dead).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

enum { BLOCK = 0x02, LOOP = 0x03, IF = 0x04 };
enum { CONST = 0x41, SELECT = 0x1b };

/* ---- Building */

struct label {
	uint8_t opcode, has_result, dead; /* dead: its beginning is never reached */
	uint32_t height;     /* of operands */
	uint32_t first_edge; /* that go to its end: linked by next_in */
	uint32_t node, loop; /* LOOP: its head, its number */
	uint32_t outer_loop;
	uint32_t otherwise;  /* IF: the edge of a false condition, not linked as yet */
};

struct builder {
	const struct td__wasm *w;
	struct td__graph *g;
	struct td__cursor c;
	size_t *budget;
	int err;
	uint32_t function, nlocals;
	uint32_t node, loop;  /* where code goes now; TD__NOTHING: nowhere, it is dead */
	uint32_t dead_blocks; /* that began in dead code */
	uint32_t saved;       /* where env was last saved, TD__NOTHING: it has changed since */
	uint32_t noperands, nlabels;
	uint32_t *env, *operands;
	struct label *labels;
	uint8_t *types;       /* of locals */
	uint8_t *changed;     /* by loop and local */
	uint32_t *hash;
	uint32_t hash_size;
};

/* Room for n more items in a list whose length is `have`. Lists grow by doubling; the budget is for all items together. */
static int room(struct builder *b, void *list, uint32_t have, uint32_t n, size_t size)
{
	uint32_t was = have ? 1u << (32 - __builtin_clz(have)) : 0, want = have + n;
	void *p;

	if (b->err)
		return 0;
	if (n > *b->budget || want < have) {
		b->err = -E2BIG;
		return 0;
	}
	*b->budget -= n;
	if (have && want < was)
		return 1;
	memcpy(&p, list, sizeof(p));
	p = realloc(p, ((size_t)1 << (32 - __builtin_clz(want))) * size);
	if (!p) {
		b->err = -ENOMEM;
		return 0;
	}
	memcpy(list, &p, sizeof(p));
	return 1;
}

static uint8_t is_wide(uint8_t type)
{
	return type == TD__I64;
}

static uint8_t is_number(uint8_t type)
{
	return type == TD__I32 || type == TD__I64;
}

/* May equal operands be taken for equal results? Loads and calls may not. */
static int is_pure(uint8_t op)
{
	return op == CONST || op == SELECT || td__instructions[op].immediate == TD__PLAIN;
}

static uint32_t operand_same(const struct td__graph *g, uint32_t v)
{
	return v == TD__NOTHING ? v : g->values[v].same;
}

static uint32_t find_same(struct builder *b, uint32_t v)
{
	struct td__graph *g = b->g;
	struct td__value *x = &g->values[v];
	uint32_t a = operand_same(g, x->a), bb = operand_same(g, x->b), c = operand_same(g, x->c);
	uint64_t h = (x->op * 31ull + a) * 0x9e3779b97f4a7c15ull;

	h = ((h ^ bb) * 0x9e3779b97f4a7c15ull ^ c ^ x->wide) * 0x9e3779b97f4a7c15ull ^ x->k;
	h = (h ^ h >> 29) * 0x9e3779b97f4a7c15ull;
	for (uint32_t n = 0, i = (uint32_t)(h >> 40); n < 16; n++, i++) {
		uint32_t *place = &b->hash[i & (b->hash_size - 1)];
		struct td__value *y;

		if (*place == TD__NOTHING) {
			*place = v;
			return v;
		}
		y = &g->values[*place];
		if (y->op == x->op && y->k == x->k && y->wide == x->wide && operand_same(g, y->a) == a &&
		    operand_same(g, y->b) == bb && operand_same(g, y->c) == c)
			return *place;
	}
	return v; /* not found in a few steps: then it counts as different */
}

static uint32_t add_value(struct builder *b, uint8_t op, uint8_t type, uint32_t a, uint32_t bb, uint32_t c, uint64_t k)
{
	struct td__graph *g = b->g;
	uint32_t v = g->nvalues;

	if (!room(b, &g->values, v, 1, sizeof(*g->values)))
		return 0;
	g->values[v] = (struct td__value){ op, is_number(type), is_wide(type), a, bb, c, k, v, b->node };
	g->nvalues++;
	if (is_pure(op))
		g->values[v].same = find_same(b, v);
	return v;
}

static void push(struct builder *b, uint32_t v)
{
	b->operands[b->noperands++] = v;
}

static uint32_t pop(struct builder *b)
{
	return b->operands[--b->noperands];
}

static void start_node(struct builder *b)
{
	struct td__graph *g = b->g;
	uint32_t n = g->nnodes;

	if (!room(b, &g->nodes, n, 1, sizeof(*g->nodes)))
		return;
	g->nodes[n] = (struct td__node){ g->nvalues, g->nvalues, g->nevents, g->nevents, TD__NOTHING, TD__NOTHING, 0, b->loop, TD__NOTHING, b->c.at };
	g->nnodes++;
	b->node = n;
}

static void end_node(struct builder *b)
{
	struct td__graph *g = b->g;

	if (b->err || b->node == TD__NOTHING)
		return;
	g->nodes[b->node].values_end = g->nvalues;
	g->nodes[b->node].events_end = g->nevents;
	b->node = TD__NOTHING;
}

/* A copy of env, or the last one if nothing has changed. */
static uint32_t save_env(struct builder *b)
{
	struct td__graph *g = b->g;

	if (b->saved != TD__NOTHING)
		return b->saved;
	if (!room(b, &g->env, g->nenv, b->nlocals + 1, sizeof(*g->env)))
		return 0;
	memcpy(g->env + g->nenv, b->env, b->nlocals * sizeof(*g->env));
	b->saved = g->nenv;
	g->nenv += b->nlocals + 1;
	return b->saved;
}

/* An edge from the node that is being built; to whom, is told later. */
static uint32_t add_edge(struct builder *b, uint8_t kind, uint32_t value, uint32_t result, uint32_t env)
{
	struct td__graph *g = b->g;
	uint32_t e = g->nedges;

	if (!room(b, &g->edges, e, 1, sizeof(*g->edges)))
		return TD__NOTHING;
	g->edges[e] = (struct td__edge){ b->node, TD__NOTHING, TD__NOTHING, g->nodes[b->node].out, value, env, result, 0, 0, kind, 0 };
	g->nodes[b->node].out = e;
	g->nedges++;
	return e;
}

static void arrive(struct builder *b, uint32_t e, uint32_t node)
{
	struct td__graph *g = b->g;

	if (b->err || e == TD__NOTHING)
		return;
	g->edges[e].to = node;
	g->edges[e].next_in = g->nodes[node].in;
	g->nodes[node].in = e;
}

/* The edge belongs to the label: to its end, or back to the head of its loop. */
static void go_to(struct builder *b, struct label *l, uint32_t e)
{
	if (b->err || e == TD__NOTHING)
		return;
	if (l->opcode == LOOP) {
		b->g->edges[e].back = 1;
		arrive(b, e, l->node);
		return;
	}
	b->g->edges[e].next_in = l->first_edge;
	l->first_edge = e;
}

/* ---- Where ways meet */

static uint8_t type_of(const struct td__value *v)
{
	return !v->number ? TD__F64 : v->wide ? TD__I64 : TD__I32;
}

/* All edges in a list have their env saved. Make the node's env of them, with PHIs where they differ. */
static void merge_env(struct builder *b, uint32_t first)
{
	struct td__graph *g = b->g;

	memcpy(b->env, g->env + g->edges[first].env, b->nlocals * sizeof(*b->env));
	for (uint32_t x = 0; x < b->nlocals && !b->err; x++) {
		int differ = 0;

		for (uint32_t e = g->edges[first].next_in; e != TD__NOTHING; e = g->edges[e].next_in)
			differ |= g->env[g->edges[e].env + x] != b->env[x];
		if (differ)
			b->env[x] = add_value(b, TD__VALUE_PHI, b->types[x], x, TD__NOTHING, TD__NOTHING, 0);
	}
	b->saved = TD__NOTHING;
}

static void merge(struct builder *b, struct label *l, int has_result)
{
	struct td__graph *g = b->g;
	uint32_t first = l->first_edge, next;

	end_node(b);
	b->loop = l->outer_loop;
	if (first == TD__NOTHING || b->err)
		return;
	start_node(b);
	if (b->err)
		return;
	merge_env(b, first);
	if (has_result && !b->err)
		push(b, g->edges[first].next_in == TD__NOTHING ?
				g->edges[first].result :
				add_value(b, TD__VALUE_PHI, type_of(&g->values[g->edges[first].result]), TD__NOTHING, TD__NOTHING,
					  TD__NOTHING, 0));
	for (uint32_t e = first; e != TD__NOTHING && !b->err; e = next) {
		next = g->edges[e].next_in;
		arrive(b, e, b->node);
	}
}

/* Go on in a new node, on one condition. */
static void go_on(struct builder *b, uint8_t kind, uint32_t value)
{
	uint32_t e = add_edge(b, kind, value, TD__NOTHING, TD__NOTHING);

	end_node(b);
	start_node(b);
	arrive(b, e, b->node);
}

/* ---- Control flow */

static struct label *new_label(struct builder *b, const struct td__decoded *i)
{
	struct label *l = &b->labels[b->nlabels++];

	*l = (struct label){ i->op, i->a != TD__NONE, 0, b->noperands, TD__NOTHING, TD__NOTHING, 0, b->loop, TD__NOTHING };
	return l;
}

static void build_loop(struct builder *b, const struct td__decoded *i)
{
	struct td__graph *g = b->g;
	struct label *l = new_label(b, i);
	uint32_t entry = add_edge(b, TD__ALWAYS, TD__NOTHING, TD__NOTHING, save_env(b)), n = g->nloops;

	if (!room(b, &g->loops, n, 1, sizeof(*g->loops)))
		return;
	end_node(b);
	l->loop = n;
	g->loops[n] = (struct td__loop){ b->loop, g->nnodes, g->nnodes, TD__NOTHING, i->at };
	g->nloops++;
	b->loop = n;
	start_node(b);
	l->node = b->node;
	arrive(b, entry, b->node);
	for (uint32_t x = 0; x < b->nlocals && !b->err; x++)
		if (b->changed[(size_t)i->k * b->nlocals + x])
			b->env[x] = add_value(b, TD__VALUE_PHI, b->types[x], x, TD__NOTHING, TD__NOTHING, 0);
	b->saved = TD__NOTHING;
}

static void build_if(struct builder *b, const struct td__decoded *i)
{
	uint32_t condition = pop(b);
	struct label *l = new_label(b, i);

	l->otherwise = add_edge(b, TD__IF_FALSE, condition, TD__NOTHING, save_env(b));
	go_on(b, TD__IF_TRUE, condition);
}

static void fall_through(struct builder *b, struct label *l)
{
	uint32_t result;

	if (b->node == TD__NOTHING)
		return;
	result = l->has_result ? pop(b) : TD__NOTHING;
	b->noperands = l->height;
	if (l->opcode == LOOP) { /* a loop's end is no place where ways meet */
		if (l->has_result)
			push(b, result);
		return;
	}
	go_to(b, l, add_edge(b, TD__ALWAYS, TD__NOTHING, result, save_env(b)));
}

static void build_else(struct builder *b)
{
	struct label *l = &b->labels[b->nlabels - 1];

	fall_through(b, l);
	end_node(b);
	b->noperands = l->height;
	start_node(b);
	arrive(b, l->otherwise, b->node);
	if (!b->err)
		memcpy(b->env, b->g->env + b->g->edges[l->otherwise].env, b->nlocals * sizeof(*b->env));
	b->saved = TD__NOTHING;
	l->otherwise = TD__NOTHING;
}

static void build_end(struct builder *b)
{
	struct label *l = &b->labels[b->nlabels - 1];

	fall_through(b, l);
	if (l->opcode == LOOP) {
		b->g->loops[l->loop].last = b->g->nnodes - 1;
		if (b->node != TD__NOTHING) {
			b->loop = l->outer_loop;
			go_on(b, TD__ALWAYS, TD__NOTHING);
		}
		b->loop = l->outer_loop;
	} else {
		if (l->otherwise != TD__NOTHING)
			go_to(b, l, l->otherwise);
		b->noperands = l->height;
		merge(b, l, l->has_result);
	}
	b->nlabels--;
}

static uint32_t carried(const struct builder *b, const struct label *l)
{
	return l->opcode != LOOP && l->has_result ? b->operands[b->noperands - 1] : TD__NOTHING;
}

static void build_branch(struct builder *b, uint32_t depth, uint8_t kind, uint32_t condition)
{
	struct label *l = &b->labels[b->nlabels - 1 - depth];

	go_to(b, l, add_edge(b, kind, condition, carried(b, l), save_env(b)));
	if (kind == TD__ALWAYS)
		end_node(b);
	else
		go_on(b, TD__IF_FALSE, condition);
}

/* One edge for each label that the table names. */
static void build_table(struct builder *b, const struct td__decoded *i)
{
	struct td__graph *g = b->g;
	struct td__cursor c = { b->w->data, i->labels, b->c.end, 0 };
	uint32_t index = pop(b), n = td__read_u32(&c) + 1, table = g->nlabels;
	uint8_t seen[TD__WASM_NESTING] = { 0 };

	if (!room(b, &g->labels, g->nlabels, n + 1, sizeof(*g->labels)))
		return;
	g->labels[g->nlabels++] = n;
	for (uint32_t k = 0; k < n; k++)
		g->labels[g->nlabels++] = td__read_u32(&c);
	for (uint32_t k = 1; k <= n && !b->err; k++) {
		uint32_t depth = g->labels[table + k], e;
		struct label *l = &b->labels[b->nlabels - 1 - depth];

		if (seen[depth])
			continue;
		seen[depth] = 1;
		e = add_edge(b, TD__BY_TABLE, index, carried(b, l), save_env(b));
		if (b->err)
			return;
		g->edges[e].table = table;
		g->edges[e].depth = depth;
		go_to(b, l, e);
	}
	end_node(b);
}

/* ---- Values and events */

static struct td__event *add_event(struct builder *b, uint8_t kind, uint32_t offset, uint32_t target)
{
	struct td__graph *g = b->g;

	if (!room(b, &g->events, g->nevents, 1, sizeof(*g->events)))
		return 0;
	g->events[g->nevents] = (struct td__event){ kind, offset, g->nvalues, target, g->nargs, 0, TD__NOTHING, TD__NOTHING };
	return &g->events[g->nevents++];
}

static void build_call(struct builder *b, const struct td__decoded *i)
{
	int indirect = i->op == 0x11;
	const struct td__wasm_signature *t = &b->w->types[indirect ? i->a : b->w->functions[i->a].type];
	uint32_t index = indirect ? pop(b) : TD__NOTHING;
	struct td__event *e = add_event(b, indirect ? TD__EVENT_INDIRECT : TD__EVENT_CALL, i->at, i->a);
	struct td__graph *g = b->g;

	if (!e || !room(b, &g->args, g->nargs, t->nparams + 1, sizeof(*g->args)))
		return;
	e->index = index;
	e->nargs = t->nparams;
	b->noperands -= t->nparams;
	memcpy(g->args + g->nargs, b->operands + b->noperands, t->nparams * sizeof(*g->args));
	g->nargs += t->nparams;
	if (t->result != TD__NONE) {
		e->result = add_value(b, TD__VALUE_CALL, t->result, TD__NOTHING, TD__NOTHING, TD__NOTHING, 0);
		push(b, e->result);
	}
}

static void build_bulk(struct builder *b, const struct td__decoded *i)
{
	struct td__event *e = add_event(b, TD__EVENT_BULK, i->at, i->a);
	struct td__graph *g = b->g;

	if (!e || !room(b, &g->args, g->nargs, 1, sizeof(*g->args)))
		return;
	e->nargs = 1;
	g->args[g->nargs++] = pop(b);
	b->noperands -= 2;
}

static void build_plain(struct builder *b, const struct td__decoded *i)
{
	const struct td__instruction *t = &td__instructions[i->op];
	uint32_t second = t->in[1] ? pop(b) : TD__NOTHING, first = pop(b);

	if (t->immediate == TD__ACCESS) /* what memory holds is anything that its width allows */
		first = second = TD__NOTHING;
	if (t->out)
		push(b, add_value(b, i->op, t->out, first, second, TD__NOTHING, 0));
}

static void push_new(struct builder *b, uint8_t op, uint8_t type, uint64_t k)
{
	push(b, add_value(b, op, type, TD__NOTHING, TD__NOTHING, TD__NOTHING, k));
}

static void build_value(struct builder *b, const struct td__decoded *i)
{
	uint32_t a, c;

	switch (i->op) {
	case SELECT:
		c = pop(b);
		a = pop(b);
		push(b, add_value(b, SELECT, type_of(&b->g->values[a]), pop(b), a, c, 0));
		break;
	case 0x20:
		push(b, b->env[i->a]);
		break;
	case 0x21:
	case 0x22:
		b->env[i->a] = b->operands[b->noperands - 1];
		b->saved = TD__NOTHING;
		b->noperands -= i->op == 0x21;
		break;
	case 0x23:
		push_new(b, TD__VALUE_ANY, b->w->globals[i->a].type, 0);
		break;
	case 0x40:
		pop(b);
		push_new(b, TD__VALUE_ANY, TD__I32, 0);
		break;
	case 0x3f:
		push_new(b, TD__VALUE_ANY, TD__I32, 0);
		break;
	case CONST:
	case 0x42:
		push_new(b, CONST, i->op == CONST ? TD__I32 : TD__I64, i->k);
		break;
	case 0x43:
	case 0x44:
		push_new(b, TD__VALUE_ANY, TD__F64, 0);
		break;
	default: /* drop, global.set */
		pop(b);
	}
}

/* Dead code is passed over; blocks are counted, since one of their ends may be where life goes on. */
static void pass_over(struct builder *b, const struct td__decoded *i)
{
	if (i->op >= BLOCK && i->op <= IF)
		b->dead_blocks++;
	else if (i->op == 0x0b && b->dead_blocks)
		b->dead_blocks--;
	else if (i->op == 0x05 && !b->dead_blocks)
		build_else(b);
	else if (i->op == 0x0b)
		build_end(b);
}

static void build(struct builder *b, const struct td__decoded *i)
{
	uint32_t condition;

	b->g->nodes[b->node].steps++;
	switch (i->op) {
	case 0x00:
		end_node(b);
		break;
	case 0x01:
		break;
	case BLOCK:
		new_label(b, i);
		break;
	case LOOP:
		build_loop(b, i);
		break;
	case IF:
		build_if(b, i);
		break;
	case 0x05:
		build_else(b);
		break;
	case 0x0b:
		build_end(b);
		break;
	case 0x0c:
		build_branch(b, i->a, TD__ALWAYS, TD__NOTHING);
		break;
	case 0x0d:
		condition = pop(b);
		build_branch(b, i->a, TD__IF_TRUE, condition);
		break;
	case 0x0e:
		build_table(b, i);
		break;
	case 0x0f:
		build_branch(b, b->nlabels - 1, TD__ALWAYS, TD__NOTHING);
		break;
	case 0x10:
	case 0x11:
		build_call(b, i);
		break;
	case 0xfc:
		build_bulk(b, i);
		break;
	default:
		if (td__instructions[i->op].immediate == TD__CONTROL)
			build_value(b, i);
		else
			build_plain(b, i);
	}
}

/* ---- The first pass: which locals does each loop change? */

static uint32_t count_loops(struct builder *b, const struct td__wasm_function *f)
{
	struct td__cursor c = { b->w->data, f->code, f->end, 0 };
	struct td__decoded i;
	uint32_t n = 0;

	while (c.at < c.end && !c.bad) {
		td__decode(&c, &i);
		n += i.op == LOOP;
	}
	return n;
}

static void find_changes(struct builder *b, const struct td__wasm_function *f)
{
	struct td__cursor c = { b->w->data, f->code, f->end, 0 };
	uint32_t open[TD__WASM_NESTING], depth = 0, n = 0;
	struct td__decoded i;

	while (c.at < c.end && !c.bad) {
		td__decode(&c, &i);
		if (i.op >= BLOCK && i.op <= IF)
			open[depth++] = i.op == LOOP ? n++ : TD__NOTHING;
		else if (i.op == 0x0b && depth)
			depth--;
		else if (i.op == 0x21 || i.op == 0x22)
			for (uint32_t d = 0; d < depth; d++)
				if (open[d] != TD__NOTHING)
					b->changed[(size_t)open[d] * b->nlocals + i.a] = 1;
	}
}

/* ---- One function */

static void start_function(struct builder *b, const struct td__wasm_function *f)
{
	const struct td__wasm_signature *t = &b->w->types[f->type];
	struct td__cursor c = { b->w->data, f->start, f->end, 0 };
	struct td__decoded all = { .op = BLOCK, .a = t->result };
	uint32_t x, zero32, zero64, other;

	if (!room(b, &b->g->loops, 0, 1, sizeof(*b->g->loops)))
		return;
	b->g->loops[0] = (struct td__loop){ TD__NOTHING, 0, 0, TD__NOTHING, f->code };
	b->g->nloops = 1;
	start_node(b);
	for (x = 0; x < t->nparams; x++) {
		b->types[x] = t->params[x];
		b->env[x] = add_value(b, TD__VALUE_PARAM, t->params[x], TD__NOTHING, TD__NOTHING, TD__NOTHING, x);
	}
	zero32 = add_value(b, CONST, TD__I32, TD__NOTHING, TD__NOTHING, TD__NOTHING, 0);
	zero64 = add_value(b, CONST, TD__I64, TD__NOTHING, TD__NOTHING, TD__NOTHING, 0);
	other = add_value(b, TD__VALUE_ANY, TD__F64, TD__NOTHING, TD__NOTHING, TD__NOTHING, 0);
	for (uint32_t groups = td__read_u32(&c); groups; groups--) {
		uint32_t n = td__read_u32(&c);
		uint8_t type = td__read_byte(&c);

		for (; n; n--, x++) {
			b->types[x] = type;
			b->env[x] = type == TD__I32 ? zero32 : type == TD__I64 ? zero64 : other;
		}
	}
	b->g->zero[0] = zero32;
	b->g->zero[1] = zero64;
	if (!b->err)
		new_label(b, &all);
}

static void build_body(struct builder *b, const struct td__wasm_function *f)
{
	struct td__decoded i;
	uint32_t loops = 0;

	b->c = (struct td__cursor){ b->w->data, f->code, f->end, 0 };
	while (b->nlabels && !b->err) {
		td__decode(&b->c, &i);
		if (i.op == LOOP)
			i.k = loops++;
		if (b->node == TD__NOTHING)
			pass_over(b, &i);
		else
			build(b, &i);
	}
	if (b->err)
		return;
	b->g->exit = b->node;
	b->g->result = b->node != TD__NOTHING && b->w->types[f->type].result != TD__NONE ? pop(b) : TD__NOTHING;
	end_node(b);
	b->g->loops[0].last = b->g->nnodes - 1;
	for (uint32_t l = 1; l < b->g->nloops; l++) { /* inner loops have higher numbers */
		struct td__node *last = &b->g->nodes[b->g->loops[l].last];

		b->g->loops[l].next_ending = last->ending;
		last->ending = l;
	}
}

static int make_builder(struct builder *b, const struct td__wasm_function *f)
{
	uint32_t nloops = count_loops(b, f);
	size_t changes = (size_t)nloops * f->nlocals, code = f->end - f->code;

	b->nlocals = f->nlocals;
	if (changes > *b->budget)
		return -E2BIG;
	*b->budget -= changes;
	for (b->hash_size = 64; b->hash_size < 2 * code && b->hash_size < 1 << 20; b->hash_size *= 2)
		;
	b->env = calloc(f->nlocals + 1, sizeof(*b->env));
	b->types = calloc(f->nlocals + 1, 1);
	b->operands = malloc(TD__WASM_OPERANDS * sizeof(*b->operands));
	b->labels = malloc(TD__WASM_NESTING * sizeof(*b->labels));
	b->changed = calloc(changes + 1, 1);
	b->hash = malloc(b->hash_size * sizeof(*b->hash));
	if (!b->env || !b->types || !b->operands || !b->labels || !b->changed || !b->hash)
		return -ENOMEM;
	memset(b->hash, 0xff, b->hash_size * sizeof(*b->hash));
	return 0;
}

int td__graph_make(const struct td__wasm *w, uint32_t function, size_t *budget, struct td__graph **graph)
{
	const struct td__wasm_function *f = &w->functions[function];
	struct builder b = { .w = w, .budget = budget, .function = function, .node = TD__NOTHING, .saved = TD__NOTHING };

	*graph = 0;
	b.g = calloc(1, sizeof(*b.g));
	b.err = b.g ? make_builder(&b, f) : -ENOMEM;
	if (!b.err)
		find_changes(&b, f);
	if (!b.err)
		start_function(&b, f);
	if (!b.err)
		build_body(&b, f);
	free(b.env);
	free(b.types);
	free(b.operands);
	free(b.labels);
	free(b.changed);
	free(b.hash);
	if (b.err)
		td__graph_free(b.g);
	else
		*graph = b.g;
	return b.err;
}

void td__graph_free(struct td__graph *g)
{
	if (!g)
		return;
	free(g->values);
	free(g->nodes);
	free(g->edges);
	free(g->events);
	free(g->loops);
	free(g->args);
	free(g->env);
	free(g->labels);
	free(g);
}

uint32_t td__graph_arrives(const struct td__graph *g, const struct td__edge *e, uint32_t phi)
{
	uint32_t local = g->values[phi].a;

	return local == TD__NOTHING ? e->result : g->env[e->env + local];
}
