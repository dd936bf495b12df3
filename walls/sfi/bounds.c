/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which operations end within a bound: the function that a call enters is searched once for each operation, with the
 * operation's number as its second parameter; so only what that operation can reach is looked at.
 *
 * A call is searched with the bounds of its arguments; what was found is kept, for a few sets of arguments of each
 * function. Indirect calls go to every function in the table that has the type. A service ends, since it is the kernel's. What
 * calls itself, by whatever way, has no bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"

enum {
	WALKS = 5,            /* of one function */
	NESTED = 48,          /* calls within calls */
	KEPT = 12,            /* sets of arguments of one function; then any arguments stand for all */
	WORK = 30000000,      /* of all searches together */
	SERVICE = 1000,       /* steps that a service counts for: it takes longer than an instruction */
	ITEMS = 1 << 21,      /* of graphs and frames together */
};

struct answer {
	struct answer *next;
	uint64_t steps;
	struct td__range result;
	struct td__obstacle worst;
	struct td__range params[];
};

struct entry { /* of a function */
	struct td__graph *graph;
	struct answer *answers;
	uint32_t nanswers;
	uint8_t open, no_graph;
};

struct td__search {
	const struct td__wasm *w;
	struct entry *functions;
	uint32_t work;
	size_t items;
	uint32_t nested;
	int err;
};

int td__search_work(struct td__search *s, uint32_t n)
{
	s->work = s->work > n ? s->work - n : 0;
	return s->work != 0;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? TD__ENDLESS : sum;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? TD__ENDLESS : product;
}

/* The worst obstacle is the one with most steps. */
static void note(struct td__frame *f, uint64_t steps, uint32_t function, uint32_t offset, const char *why)
{
	if (!f->worst.why || steps > f->worst.steps)
		f->worst = (struct td__obstacle){ steps, function, offset, why };
}

/* ---- Values */

static struct td__range loaded(uint8_t op)
{
	switch (op) {
	case 0x2c: /* of 8 bits, signed and not, then of 16 and 32 */
		return td__range_signed(INT8_MIN, INT8_MAX, 0);
	case 0x2d:
		return td__range_of(0, UINT8_MAX, 0);
	case 0x2e:
		return td__range_signed(INT16_MIN, INT16_MAX, 0);
	case 0x2f:
		return td__range_of(0, UINT16_MAX, 0);
	case 0x30:
		return td__range_signed(INT8_MIN, INT8_MAX, 1);
	case 0x31:
		return td__range_of(0, UINT8_MAX, 1);
	case 0x32:
		return td__range_signed(INT16_MIN, INT16_MAX, 1);
	case 0x33:
		return td__range_of(0, UINT16_MAX, 1);
	case 0x34:
		return td__range_signed(INT32_MIN, INT32_MAX, 1);
	case 0x35:
		return td__range_of(0, UINT32_MAX, 1);
	default:
		return td__range_any(td__instructions[op].out == TD__I64);
	}
}

static struct td__range selected(struct td__frame *f, const struct td__value *v, uint32_t fact)
{
	int yes = 1, no = 1;
	uint32_t if_yes = td__fact_condition(f, fact, v->c, 1, &yes), if_no = td__fact_condition(f, fact, v->c, 0, &no);
	struct td__range a = td__fact_range(f, v->a, if_yes), b = td__fact_range(f, v->b, if_no);

	return yes && no ? td__range_join(a, b) : yes ? a : b;
}

/* What arrives at a PHI along the open edges; `back`: those that go back to a loop's head, else the others. */
static struct td__range arriving(struct td__frame *f, uint32_t phi, uint32_t node, int back)
{
	const struct td__graph *g = f->g;
	struct td__range r = { 1, 0, 1, 0 };

	for (uint32_t e = g->nodes[node].in; e != TD__NOTHING; e = g->edges[e].next_in) {
		td__search_work(f->search, 1);
		if (f->edges[e].open && g->edges[e].back == back)
			r = td__range_join(r, td__fact_range(f, td__graph_arrives(g, &g->edges[e], phi), f->edges[e].fact));
	}
	return r;
}

static struct td__range phi_range(struct td__frame *f, uint32_t v, uint32_t node)
{
	const struct td__graph *g = f->g;

	if (node && g->loops[g->nodes[node].loop].head == node)
		return f->heads[v];
	return arriving(f, v, node, 0);
}

static struct td__range value_range(struct td__frame *f, uint32_t v, uint32_t node)
{
	const struct td__value *x = &f->g->values[v];
	uint32_t fact = f->node_facts[node];
	struct td__range a, difference;

	if (!x->number)
		return td__range_any(0);
	switch (x->op) {
	case TD__VALUE_PARAM:
		return f->params[x->k];
	case TD__VALUE_PHI:
		return phi_range(f, v, node);
	case TD__VALUE_ANY:
		return td__range_any(x->wide);
	case TD__VALUE_CALL:
		return f->ranges[v]; /* the call itself has seen to it */
	case 0x41:
		return td__range_of(x->k, x->k, x->wide);
	case 0x1b:
		return selected(f, x, fact);
	}
	if (td__instructions[x->op].immediate == TD__ACCESS)
		return loaded(x->op);
	if (!f->g->values[x->a].number)
		return td__range_any(x->wide);
	a = td__range_result(x->op, td__fact_range(f, x->a, fact), td__fact_range(f, x->b == TD__NOTHING ? x->a : x->b, fact));
	if (x->op != 0x6b && x->op != 0x7d)
		return a;
	difference = td__fact_difference(f, x->a, x->b, fact);
	return td__range_meet(a, difference, x->wide);
}

/* ---- Calls */

static struct answer *search(struct td__search *s, uint32_t function, const struct td__range *params);

/* Why a call cannot be searched; 0: it can. */
static const char *refuse_call(const struct td__search *s, uint32_t target)
{
	if (s->functions[target].open)
		return "the function may come to call itself";
	return s->nested == NESTED ? "calls nest too deep" : 0;
}

static void one_call(struct td__frame *f, const struct td__event *e, uint32_t node, uint32_t target, struct td__range *result,
		     uint64_t *steps)
{
	const struct td__wasm_signature *t = &f->w->types[f->w->functions[target].type];
	struct td__range params[TD__WASM_PARAMS];
	struct answer *a = 0;
	const char *why;

	if (target < f->w->nimported) { /* a service */
		*steps = *steps > SERVICE ? *steps : SERVICE;
		*result = td__range_any(t->result == TD__I64);
		return;
	}
	why = refuse_call(f->search, target);
	for (uint32_t i = 0; i < t->nparams && !why; i++) {
		uint32_t v = f->g->args[e->args + i];

		params[i] = f->g->values[v].number ? td__fact_range(f, v, f->node_facts[node]) : td__range_any(0);
	}
	if (!why) {
		a = search(f->search, target, params);
		why = a ? 0 : "what is called is too large to be searched";
	}
	if (why) {
		*result = td__range_any(t->result == TD__I64);
		*steps = TD__ENDLESS;
		note(f, TD__ENDLESS, f->function, e->offset, why);
		return;
	}
	*result = td__range_join(*result, a->result);
	*steps = a->steps > *steps ? a->steps : *steps;
	if (a->worst.why)
		note(f, a->worst.steps, a->worst.function, a->worst.offset, a->worst.why);
}

static int same_type(const struct td__wasm *w, uint32_t a, uint32_t b)
{
	const struct td__wasm_signature *x = &w->types[a], *y = &w->types[b];

	return x->nparams == y->nparams && x->result == y->result && !memcmp(x->params, y->params, x->nparams);
}

static uint64_t indirect(struct td__frame *f, const struct td__event *e, uint32_t node, struct td__range *result)
{
	struct td__range index = td__fact_range(f, e->index, f->node_facts[node]);
	uint64_t steps = 0;

	for (uint64_t i = index.lo; i <= index.hi && i < f->w->table.min; i++) {
		uint32_t target = f->w->elements[i];

		if (!td__search_work(f->search, 1))
			break;
		if (target != TD__WASM_NULL && same_type(f->w, f->w->functions[target].type, e->target))
			one_call(f, e, node, target, result, &steps);
	}
	return steps;
}

static uint64_t event_steps(struct td__frame *f, const struct td__event *e, uint32_t node)
{
	struct td__range result = { 1, 0, 1, 0 };
	uint64_t steps = 0;

	if (e->kind == TD__EVENT_BULK) {
		steps = td__fact_range(f, f->g->args[e->args], f->node_facts[node]).hi;
		note(f, steps, f->function, e->offset, "so many bytes may be copied or filled here");
		return steps;
	}
	if (f->last && e->kind == TD__EVENT_CALL)
		one_call(f, e, node, e->target, &result, &steps);
	else if (f->last)
		steps = indirect(f, e, node, &result);
	if (e->result != TD__NOTHING)
		f->ranges[e->result] = td__range_empty(result) ? td__range_any(f->g->values[e->result].wide) : result;
	return steps;
}

/* ---- Edges and loops */

/* The labels of a table that its index can choose. */
static void open_by_table(struct td__frame *f, uint32_t e, uint32_t fact)
{
	const struct td__graph *g = f->g;
	const struct td__edge *x = &g->edges[e];
	struct td__range index = td__fact_range(f, x->value, fact), r = { 1, 0, 1, 0 };
	uint32_t n = g->labels[x->table] - 1;

	for (uint64_t i = index.lo; i <= index.hi && i < n; i++) {
		td__search_work(f->search, 1);
		if (g->labels[x->table + 1 + i] == x->depth)
			r = td__range_join(r, td__range_of(i, i, 0));
	}
	if (index.hi >= n && g->labels[x->table + 1 + n] == x->depth)
		r = td__range_join(r, td__range_of(index.lo > n ? index.lo : n, index.hi, 0));
	f->edges[e].open = !td__range_empty(r);
	f->edges[e].fact = f->edges[e].open ? td__fact_bound(f, fact, x->value, r) : fact;
}

/* Steps from the beginning of the loop `to` to the end of a node, loops between them turned as often as they may. */
static uint64_t carry_out(const struct td__frame *f, uint32_t loop, uint32_t to, uint64_t steps)
{
	while (loop != to && loop != TD__NOTHING) {
		steps = add(f->loops[loop].before, f->loops[loop].total);
		loop = f->g->loops[loop].parent;
	}
	return steps;
}

static void leave_node(struct td__frame *f, uint32_t node, uint64_t steps)
{
	const struct td__graph *g = f->g;
	uint32_t fact = f->node_facts[node];

	for (uint32_t e = g->nodes[node].out; e != TD__NOTHING; e = g->edges[e].next_out) {
		const struct td__edge *x = &g->edges[e];
		int possible = 1;

		f->edges[e] = (struct td__ways){ 1, fact, steps };
		if (x->kind == TD__BY_TABLE)
			open_by_table(f, e, fact);
		else if (x->kind != TD__ALWAYS)
			f->edges[e].fact = td__fact_condition(f, fact, x->value, x->kind == TD__IF_TRUE, &possible);
		f->edges[e].open &= possible;
	}
}

/* The last node of the loop is behind us: what goes back is known. */
static void end_loop(struct td__frame *f, uint32_t loop)
{
	const struct td__graph *g = f->g;
	uint32_t head = g->loops[loop].head;
	struct td__loop_state *l = &f->loops[loop];

	for (uint32_t v = g->nodes[head].values; v < g->nodes[head].values_end && g->values[v].op == TD__VALUE_PHI; v++)
		f->heads[v] = td__range_meet(f->heads[v], td__range_join(arriving(f, v, head, 0), arriving(f, v, head, 1)),
					     g->values[v].wide);
	l->turns = td__turns(f, loop);
	l->total = l->turns == TD__ENDLESS ? TD__ENDLESS : times(add(l->turns, 1), l->most);
	if (!f->last)
		return;
	if (l->turns == TD__ENDLESS)
		note(f, TD__ENDLESS, f->function, g->loops[loop].offset, "nothing that counts is known to end this loop");
	else if (l->turns)
		note(f, l->total, f->function, g->loops[loop].offset, "all turns of this loop may take so many");
}

static void end_loops(struct td__frame *f, uint32_t node)
{
	const struct td__graph *g = f->g;

	for (uint32_t l = g->nodes[node].ending; l != TD__NOTHING; l = g->loops[l].next_ending) {
		struct td__loop_state *around = &f->loops[g->loops[l].parent];
		uint64_t all;

		if (!f->reached[g->loops[l].head])
			continue;
		end_loop(f, l);
		all = add(f->loops[l].before, f->loops[l].total);
		around->most = all > around->most ? all : around->most;
	}
}

/* ---- A walk */

static int enter_node(struct td__frame *f, uint32_t node, uint64_t *steps)
{
	const struct td__graph *g = f->g;
	uint32_t loop = g->nodes[node].loop;
	int is_head = node && g->loops[loop].head == node, first = 1;

	*steps = 0;
	f->node_facts[node] = TD__NOTHING;
	if (!node)
		return 1;
	for (uint32_t e = g->nodes[node].in; e != TD__NOTHING; e = g->edges[e].next_in) {
		const struct td__edge *x = &g->edges[e];
		uint64_t s;

		td__search_work(f->search, 1);
		if (x->back || !f->edges[e].open)
			continue;
		f->node_facts[node] = first ? f->edges[e].fact : td__fact_common(f, f->node_facts[node], f->edges[e].fact);
		first = 0;
		s = carry_out(f, g->nodes[x->from].loop, is_head ? g->loops[loop].parent : loop, f->edges[e].steps);
		*steps = s > *steps ? s : *steps;
	}
	if (!first && is_head) {
		f->loops[loop] = (struct td__loop_state){ .before = *steps };
		*steps = 0;
	}
	return !first;
}

static void walk_node(struct td__frame *f, uint32_t node)
{
	const struct td__node *n = &f->g->nodes[node];
	struct td__loop_state *l = &f->loops[n->loop];
	uint64_t steps;

	f->reached[node] = (uint8_t)enter_node(f, node, &steps);
	if (!f->reached[node]) {
		for (uint32_t v = n->values; v < n->values_end; v++)
			f->ranges[v] = td__range_any(f->g->values[v].wide);
		for (uint32_t e = n->out; e != TD__NOTHING; e = f->g->edges[e].next_out)
			f->edges[e].open = 0;
		end_loops(f, node); /* a loop's last node need not be reached */
		return;
	}
	steps = add(steps, n->steps);
	for (uint32_t v = n->values, e = n->events; v < n->values_end || e < n->events_end;) {
		td__search_work(f->search, 1);
		if (e < n->events_end && f->g->events[e].before <= v) {
			steps = add(steps, event_steps(f, &f->g->events[e++], node));
		} else {
			f->ranges[v] = value_range(f, v, node);
			v++;
		}
	}
	l->most = steps > l->most ? steps : l->most;
	leave_node(f, node, steps);
	end_loops(f, node);
}

static void walk(struct td__frame *f)
{
	memset(f->loops, 0, f->g->nloops * sizeof(*f->loops));
	memset(&f->worst, 0, sizeof(f->worst));
	f->nfacts = 0;
	for (uint32_t node = 0; node < f->g->nnodes && !f->err; node++)
		walk_node(f, node);
}

/* ---- A function */

static size_t items_of(const struct td__graph *g)
{
	return (size_t)g->nvalues + g->nnodes + g->nedges + g->nloops;
}

static int make_frame(struct td__frame *f)
{
	const struct td__graph *g = f->g;

	f->ranges = calloc(g->nvalues + 1, sizeof(*f->ranges));
	f->heads = calloc(g->nvalues + 1, sizeof(*f->heads));
	f->edges = calloc(g->nedges + 1, sizeof(*f->edges));
	f->loops = calloc(g->nloops + 1, sizeof(*f->loops));
	f->reached = calloc(g->nnodes + 1, 1);
	f->node_facts = calloc(g->nnodes + 1, sizeof(*f->node_facts));
	if (!f->ranges || !f->heads || !f->edges || !f->loops || !f->reached || !f->node_facts)
		return -ENOMEM;
	for (uint32_t v = 0; v < g->nvalues; v++)
		f->heads[v] = f->ranges[v] = td__range_any(g->values[v].wide);
	return 0;
}

static void free_frame(struct td__frame *f)
{
	free(f->ranges);
	free(f->heads);
	free(f->edges);
	free(f->loops);
	free(f->reached);
	free(f->node_facts);
	free(f->facts);
}

static void take_answer(const struct td__frame *f, struct answer *a)
{
	const struct td__graph *g = f->g;

	a->steps = f->loops[0].most;
	a->worst = f->worst;
	a->result = (struct td__range){ 1, 0, 1, 0 };
	if (g->exit != TD__NOTHING && f->reached[g->exit] && g->result != TD__NOTHING)
		a->result = td__fact_range((struct td__frame *)f, g->result, f->node_facts[g->exit]);
	if (!f->search->work) { /* cut short: nothing is known */
		a->steps = TD__ENDLESS;
		a->worst = (struct td__obstacle){ TD__ENDLESS, f->function, g->loops[0].offset, "the search for bounds takes too long" };
		a->result = td__range_any(g->result != TD__NOTHING && g->values[g->result].wide);
	}
}

static int search_graph(struct td__search *s, uint32_t function, struct answer *a)
{
	const struct td__graph *g = s->functions[function].graph;
	struct td__frame f = { .w = s->w, .g = g, .function = function, .params = a->params, .search = s };
	size_t items = items_of(g);

	if (items > s->items)
		return -E2BIG;
	s->items -= items;
	f.err = make_frame(&f);
	for (int n = g->nloops > 1 ? WALKS : 1; n && !f.err; n--) {
		f.last = n == 1;
		walk(&f);
	}
	if (!f.err)
		take_answer(&f, a);
	free_frame(&f);
	s->items += items;
	return f.err;
}

static int same_params(const struct answer *a, const struct td__range *params, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!td__range_same(a->params[i], params[i]))
			return 0;
	return 1;
}

static struct answer *new_answer(struct entry *e, const struct td__range *params, uint32_t n)
{
	struct answer *a = calloc(1, sizeof(*a) + n * sizeof(*params));

	if (!a)
		return 0;
	memcpy(a->params, params, n * sizeof(*params));
	a->next = e->answers;
	e->answers = a;
	e->nanswers++;
	return a;
}

static struct answer *find_answer(struct entry *e, const struct td__range *params, uint32_t n)
{
	struct answer *a = e->answers;

	while (a && !same_params(a, params, n))
		a = a->next;
	return a;
}

/* 0: it cannot be searched. */
static struct answer *search(struct td__search *s, uint32_t function, const struct td__range *params)
{
	const struct td__wasm_signature *t = &s->w->types[s->w->functions[function].type];
	struct entry *e = &s->functions[function];
	struct td__range any[TD__WASM_PARAMS];
	struct answer *a = find_answer(e, params, t->nparams);
	int err;

	if (!a && s->nested && e->nanswers >= KEPT) {
		for (uint32_t i = 0; i < t->nparams; i++)
			any[i] = td__range_any(t->params[i] == TD__I64);
		params = any;
		a = find_answer(e, params, t->nparams);
	}
	if (a)
		return a;
	if (!e->graph && !e->no_graph && td__graph_make(s->w, function, &s->items, &e->graph))
		e->no_graph = 1;
	a = e->graph ? new_answer(e, params, t->nparams) : 0;
	if (!a)
		return 0;
	e->open = 1;
	s->nested++;
	err = search_graph(s, function, a);
	s->nested--;
	e->open = 0;
	if (err) {
		a->steps = TD__ENDLESS;
		a->worst = (struct td__obstacle){ TD__ENDLESS, function, s->w->functions[function].code, "the function is too large to be searched" };
		a->result = td__range_any(t->result == TD__I64);
	}
	return a;
}

/* ---- Operations */

static void free_search(struct td__search *s)
{
	for (uint32_t i = 0; i < s->w->nfunctions && s->functions; i++) {
		struct answer *a, *next;

		td__graph_free(s->functions[i].graph);
		for (a = s->functions[i].answers; a; a = next) {
			next = a->next;
			free(a);
		}
	}
	free(s->functions);
}

static void search_op(struct td__search *s, uint32_t enter, uint32_t n, const struct td__sfi_policy *policy)
{
	struct td__range params[2] = { td__range_any(0), td__range_of(n, n, 0) };
	struct answer *a = search(s, enter, params);
	struct td__sfi_op *op = &s->w->report->ops[n];

	op->steps = a ? a->steps : TD__ENDLESS;
	op->proven = op->steps <= policy->most_steps;
	if (op->proven) {
		s->w->report->proven |= 1ull << n;
		return;
	}
	op->part = a ? a->worst.steps : TD__ENDLESS;
	op->function = a ? a->worst.function : enter;
	op->offset = a ? a->worst.offset : s->w->functions[enter].code;
	op->why = a && a->worst.why ? a->worst.why : "the function is too large to be searched";
}

int td__wasm_bounds(struct td__wasm *w, const struct td__sfi_policy *policy)
{
	struct td__search s = { .w = w, .work = WORK, .items = ITEMS };
	uint32_t enter = td__wasm_export(w, "td__enter")->index;

	s.functions = calloc(w->nfunctions + 1, sizeof(*s.functions));
	if (!s.functions)
		return td__wasm_refuse(w, TD__SFI_RESOURCES, 0, UINT32_MAX, "not enough memory");
	for (uint32_t n = 0; n < TD_OP_MAX; n++)
		search_op(&s, enter, n, policy);
	free_search(&s);
	return 0;
}
