/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often a loop turns. Each rule below looks at one PHI p of the loop's head, with p' the value that goes back, and
 * says how often control can go back; the smallest answer counts. What each needs must hold on every edge that goes back.
 *
 *   rising    p' - p is 1 or more, and p so small there that p' does not wrap: at most (most of p - first p) / step + 1
 *   falling   the same, downwards
 *   meeting   p' - p is the constant c, and control goes back only while p + k is not y, which the loop does not change. The
 *             sequence p + k meets y, at turn (y - k - first p) / c, if that is a whole number: c is 1 or -1, or a power of
 *             two that divides the difference, or the difference is a product with c that does not wrap
 *   halving   p' is p shifted down or divided, and not 0
 */
#include "bounds.h"

enum { DEEP = 12 };

/* p' - p as exact numbers. */
struct step {
	int known;
	int64_t least, most;
};

static int is_add(uint8_t op)
{
	return op == 0x6a || op == 0x7c;
}

static int is_subtract(uint8_t op)
{
	return op == 0x6b || op == 0x7d;
}

static int64_t half(int wide)
{
	return wide ? INT64_MAX / 2 : INT32_MAX / 2;
}

static struct step unknown(void)
{
	return (struct step){ 0, 0, 0 };
}

static struct step join(struct step a, struct step b)
{
	if (!a.known || !b.known)
		return unknown();
	return (struct step){ 1, a.least < b.least ? a.least : b.least, a.most > b.most ? a.most : b.most };
}

/* Steps stay so small that no sum of a few overflows; what they mean modulo 2^32 or 2^64 is exact. */
static struct step plus(struct step s, int64_t least, int64_t most, int wide)
{
	int64_t limit = half(wide) / DEEP;

	if (!s.known || least < -limit || most > limit)
		return unknown();
	s.least += least;
	s.most += most;
	return s.least < -half(wide) || s.most > half(wide) ? unknown() : s;
}

static struct step step_of(struct td__frame *f, uint32_t loop, uint32_t v, uint32_t p, int deep);

/* Where ways meet inside of the loop, the step is what any of them brings. */
static struct step step_of_phi(struct td__frame *f, uint32_t loop, uint32_t v, uint32_t p, int deep)
{
	const struct td__graph *g = f->g;
	const struct td__value *x = &g->values[v];
	struct step s = unknown();
	int first = 1;

	if (x->node < g->loops[loop].head || g->loops[g->nodes[x->node].loop].head == x->node)
		return s;
	for (uint32_t e = g->nodes[x->node].in; e != TD__NOTHING; e = g->edges[e].next_in) {
		struct step one;

		if (!f->edges[e].open)
			continue;
		one = step_of(f, loop, td__graph_arrives(g, &g->edges[e], v), p, deep - 1);
		s = first ? one : join(s, one);
		first = 0;
		if (!s.known)
			break;
	}
	return s;
}

static struct step step_of(struct td__frame *f, uint32_t loop, uint32_t v, uint32_t p, int deep)
{
	const struct td__graph *g = f->g;
	const struct td__value *x = &g->values[v];
	struct td__range r;

	if (x->same == p)
		return (struct step){ 1, 0, 0 };
	if (!deep || !td__search_work(f->search, 1))
		return unknown();
	if (x->op == TD__VALUE_PHI)
		return step_of_phi(f, loop, v, p, deep);
	if (x->op == 0x1b)
		return join(step_of(f, loop, x->a, p, deep - 1), step_of(f, loop, x->b, p, deep - 1));
	if (is_add(x->op) || is_subtract(x->op)) {
		struct step s = step_of(f, loop, x->a, p, deep - 1);

		r = f->ranges[x->b];
		if (!s.known && is_add(x->op)) {
			s = step_of(f, loop, x->b, p, deep - 1);
			r = f->ranges[x->a];
		}
		return is_add(x->op) ? plus(s, r.least, r.most, x->wide) :
		       r.least == INT64_MIN ? unknown() : plus(s, -r.most, -r.least, x->wide);
	}
	return unknown();
}

/* ---- What one PHI says */

struct counter {
	struct td__frame *f;
	uint32_t loop, p, first; /* first: the value when the loop is entered */
	uint32_t entry_fact, head_fact;
	struct td__range start;
	int wide, edges;         /* edges that go back */
	struct step step;        /* over all of them */
	/* the bounds of p where control goes back */
	struct td__range there;
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t rising(const struct counter *c)
{
	uint64_t turns = TD__ENDLESS, top = c->wide ? UINT64_MAX : UINT32_MAX;
	int64_t most = c->wide ? INT64_MAX : INT32_MAX;

	if (c->step.least < 1)
		return TD__ENDLESS;
	if (c->there.hi <= top - (uint64_t)c->step.most)
		turns = c->there.hi >= c->start.lo ? (c->there.hi - c->start.lo) / (uint64_t)c->step.least + 1 : 1;
	if (c->there.most <= most - c->step.most)
		turns = least(turns, c->there.most >= c->start.least ?
					     ((uint64_t)c->there.most - (uint64_t)c->start.least) / (uint64_t)c->step.least + 1 :
					     1);
	return turns;
}

static uint64_t falling(const struct counter *c)
{
	uint64_t turns = TD__ENDLESS, by = (uint64_t)-c->step.most;
	int64_t bottom = c->wide ? INT64_MIN : INT32_MIN;

	if (c->step.most > -1)
		return TD__ENDLESS;
	if (c->there.lo >= (uint64_t)-c->step.least)
		turns = c->start.hi >= c->there.lo ? (c->start.hi - c->there.lo) / by + 1 : 1;
	if (c->there.least >= bottom - c->step.least)
		turns = least(turns, c->start.most >= c->there.least ?
					     ((uint64_t)c->start.most - (uint64_t)c->there.least) / by + 1 :
					     1);
	return turns;
}

/* ---- Meeting */

/* How many of the lowest bits are surely 0? */
static unsigned zeros(const struct td__graph *g, uint32_t v, int deep)
{
	const struct td__value *x = &g->values[v];
	unsigned a, b;

	if (x->op == 0x41)
		return x->k ? (unsigned)__builtin_ctzll(x->k) : 64;
	if (!deep)
		return 0;
	switch (x->op) {
	case 0x71: /* and */
	case 0x83:
		a = zeros(g, x->a, deep - 1);
		b = zeros(g, x->b, deep - 1);
		return a > b ? a : b;
	case 0x6a: /* sum, difference, or, xor */
	case 0x6b:
	case 0x7c:
	case 0x7d:
	case 0x72:
	case 0x73:
	case 0x84:
	case 0x85:
		a = zeros(g, x->a, deep - 1);
		b = zeros(g, x->b, deep - 1);
		return a < b ? a : b;
	case 0x6c: /* product */
	case 0x7e:
		a = zeros(g, x->a, deep - 1) + zeros(g, x->b, deep - 1);
		return a < 64 ? a : 64;
	case 0x74: /* shl */
	case 0x86:
		if (g->values[x->b].op != 0x41)
			return 0;
		a = zeros(g, x->a, deep - 1) + (unsigned)(g->values[x->b].k & (x->wide ? 63 : 31));
		return a < 64 ? a : 64;
	default:
		return 0;
	}
}

/* Is v a product with c (by a constant, or shifted) that does not wrap? Then its bounds are those of the exact product. */
static int is_multiple(struct td__frame *f, uint32_t v, uint64_t c, uint32_t fact)
{
	const struct td__graph *g = f->g;
	const struct td__value *x = &g->values[v];
	uint64_t by;

	if (x->op == 0x41)
		return x->k % c == 0;
	if (x->op == 0x6c || x->op == 0x7e)
		by = g->values[x->b].op == 0x41 ? g->values[x->b].k : 0;
	else if ((x->op == 0x74 || x->op == 0x86) && g->values[x->b].op == 0x41)
		by = 1ull << (g->values[x->b].k & (x->wide ? 63 : 31));
	else
		return 0;
	if (!by || by % c)
		return 0;
	return td__fact_range(f, x->a, fact).hi <= (x->wide ? UINT64_MAX : UINT32_MAX) / by;
}

static int is_outside(const struct counter *c, uint32_t v)
{
	const struct td__graph *g = c->f->g;

	return g->values[g->values[v].same].node < g->loops[c->loop].head || g->values[v].op == 0x41;
}

/* y - first p - k, all of it going in steps of c > 0. TD__ENDLESS: it may not be met. */
static uint64_t meeting_at(const struct counter *c, uint32_t from, uint32_t to, int64_t k, uint64_t by)
{
	struct td__frame *f = c->f;
	const struct td__value *values = f->g->values;
	struct td__range d = td__fact_difference(f, to, from, c->entry_fact);
	struct td__range shift = td__range_of((uint64_t)k & (c->wide ? UINT64_MAX : UINT32_MAX),
					      (uint64_t)k & (c->wide ? UINT64_MAX : UINT32_MAX), c->wide);
	int wraps = d.least < k && d.lo < (uint64_t)(k > 0 ? k : 0);
	unsigned n = (unsigned)__builtin_ctzll(by);
	int divided = by == 1ull << n && zeros(f->g, from, DEEP) >= n && zeros(f->g, to, DEEP) >= n &&
		      (!k || (unsigned)__builtin_ctzll((uint64_t)k) >= n);

	if (divided && d.lo <= INT64_MAX) /* it is a multiple: what is not 0 is as large as the step, at least */
		d = td__range_meet(d, td__range_of((d.lo + by - 1) / by * by, d.hi / by * by, c->wide), c->wide);
	d = td__range_result(c->wide ? 0x7d : 0x6b, d, shift);
	if (divided)
		return d.hi / by;
	/* from + product, or both constants: an exact difference. A shift must not take it below 0. */
	if (k % (int64_t)by || wraps || k < 0)
		return TD__ENDLESS;
	if (values[from].op == 0x41 && values[to].op == 0x41)
		return d.lo == d.hi && d.lo % by == 0 ? d.lo / by : TD__ENDLESS;
	if (values[from].op == 0x41 && !values[from].k)
		return is_multiple(f, to, by, c->entry_fact) ? d.hi / by : TD__ENDLESS;
	if (is_add(values[to].op)) {
		uint32_t other = values[values[to].a].same == values[from].same ? values[to].b :
				 values[values[to].b].same == values[from].same ? values[to].a : TD__NOTHING;

		if (other != TD__NOTHING && is_multiple(f, other, by, c->entry_fact))
			return d.hi / by;
	}
	return TD__ENDLESS;
}

/* One condition that holds where control goes back, if it says that x, which is p + k, is not y. */
static uint64_t meeting_by(const struct counter *c, uint32_t x, uint32_t y)
{
	struct td__frame *f = c->f;
	struct step k = step_of(f, c->loop, x, f->g->values[c->p].same, DEEP);

	if (!k.known || k.least != k.most || !is_outside(c, y))
		return TD__ENDLESS;
	if (c->step.least > 0)
		return meeting_at(c, c->first, y, k.least, (uint64_t)c->step.least);
	/* downwards: first p + k - y, in steps of -c */
	return meeting_at(c, y, c->first, -k.least, (uint64_t)-c->step.least);
}

static uint64_t meeting(const struct counter *c, const struct td__edge *e)
{
	struct td__frame *f = c->f;
	const struct td__value *values = f->g->values;
	uint32_t fact = f->edges[e - f->g->edges].fact;
	uint64_t turns = TD__ENDLESS;

	if (c->edges != 1 || c->step.least != c->step.most || !c->step.least)
		return turns;
	/* only what was found out since the head: earlier conditions are about other values */
	for (; fact != c->head_fact && fact != TD__NOTHING; fact = f->facts[fact].parent) {
		const struct td__fact *x = &f->facts[fact];
		const struct td__value *v = &values[x->value];
		int equal = v->op == 0x46 || v->op == 0x51, differ = v->op == 0x47 || v->op == 0x52;

		if (!x->is_condition || !td__search_work(f->search, 1))
			continue;
		if ((equal && !x->truth) || (differ && x->truth)) {
			turns = least(turns, meeting_by(c, v->a, v->b));
			turns = least(turns, meeting_by(c, v->b, v->a));
		} else if (x->truth && !td__is_compare(v->op)) {
			turns = least(turns, meeting_by(c, x->value, f->g->zero[v->wide]));
		} else if (v->op == 0x50 && !x->truth) {
			turns = least(turns, meeting_by(c, v->a, f->g->zero[1]));
		}
	}
	return turns;
}

/* ---- Halving */

static int halves(struct td__frame *f, const struct counter *c, uint32_t v)
{
	const struct td__value *x = &f->g->values[v];
	uint64_t by;

	if (x->b == TD__NOTHING || f->g->values[x->b].op != 0x41 || f->g->values[x->a].same != f->g->values[c->p].same)
		return 0;
	by = f->g->values[x->b].k;
	if (x->op == 0x76 || x->op == 0x88)
		return (by & (x->wide ? 63 : 31)) != 0;
	return (x->op == 0x6e || x->op == 0x80) && by >= 2;
}

/* ---- All PHIs of a loop */

static int prepare(struct td__frame *f, uint32_t loop, uint32_t p, struct counter *c, int *halving)
{
	const struct td__graph *g = f->g;
	uint32_t head = g->loops[loop].head;

	*c = (struct counter){ .f = f, .loop = loop, .p = p, .wide = g->values[p].wide, .head_fact = f->node_facts[head] };
	c->there = (struct td__range){ 1, 0, 1, 0 };
	*halving = 1;
	for (uint32_t e = g->nodes[head].in; e != TD__NOTHING; e = g->edges[e].next_in) {
		const struct td__edge *x = &g->edges[e];
		uint32_t v = td__graph_arrives(g, x, p);
		struct step s;

		if (!x->back) {
			c->first = v;
			c->entry_fact = f->edges[e].fact;
			c->start = td__fact_range(f, v, c->entry_fact);
			continue;
		}
		if (!f->edges[e].open)
			continue;
		s = step_of(f, loop, v, g->values[p].same, DEEP);
		c->step = c->edges ? join(c->step, s) : s;
		c->there = td__range_join(c->there, td__fact_range(f, p, f->edges[e].fact));
		if (!halves(f, c, v) || !(td__fact_range(f, v, f->edges[e].fact).lo || td__fact_range(f, p, f->edges[e].fact).lo))
			*halving = 0;
		c->edges++;
	}
	return c->edges;
}

static uint64_t turns_by(struct td__frame *f, uint32_t loop, uint32_t p)
{
	const struct td__graph *g = f->g;
	uint64_t turns = TD__ENDLESS;
	struct counter c;
	int halving;

	if (!prepare(f, loop, p, &c, &halving))
		return 0;
	if (halving)
		turns = c.wide ? 64 : 32;
	if (!c.step.known)
		return turns;
	turns = least(turns, least(rising(&c), falling(&c)));
	for (uint32_t e = g->nodes[g->loops[loop].head].in; e != TD__NOTHING; e = g->edges[e].next_in)
		if (g->edges[e].back && f->edges[e].open)
			turns = least(turns, meeting(&c, &g->edges[e]));
	return turns;
}

/* p has made at most so many steps: that bounds it. */
static void lower(struct td__frame *f, uint32_t loop, uint32_t p, uint64_t turns)
{
	struct counter c;
	__int128 lo, hi, low, high;
	int halving;

	if (!prepare(f, loop, p, &c, &halving) || !c.step.known || turns > UINT64_MAX >> 1)
		return;
	low = (__int128)(c.step.least < 0 ? c.step.least : 0) * turns;
	high = (__int128)(c.step.most > 0 ? c.step.most : 0) * turns;
	lo = (__int128)c.start.lo + low;
	hi = (__int128)c.start.hi + high;
	if (lo >= 0 && hi <= (c.wide ? UINT64_MAX : UINT32_MAX))
		f->heads[p] = td__range_meet(f->heads[p], td__range_of((uint64_t)lo, (uint64_t)hi, c.wide), c.wide);
	lo = (__int128)c.start.least + low;
	hi = (__int128)c.start.most + high;
	if (lo >= (c.wide ? INT64_MIN : INT32_MIN) && hi <= (c.wide ? INT64_MAX : INT32_MAX))
		f->heads[p] = td__range_meet(f->heads[p], td__range_signed((int64_t)lo, (int64_t)hi, c.wide), c.wide);
}

uint64_t td__turns(struct td__frame *f, uint32_t loop)
{
	const struct td__node *head = &f->g->nodes[f->g->loops[loop].head];
	uint64_t turns = TD__ENDLESS;
	int back = 0;

	for (uint32_t e = head->in; e != TD__NOTHING; e = f->g->edges[e].next_in)
		back |= f->g->edges[e].back && f->edges[e].open;
	if (!back)
		return 0;
	for (uint32_t v = head->values; v < head->values_end && f->g->values[v].op == TD__VALUE_PHI; v++)
		if (f->g->values[v].number)
			turns = least(turns, turns_by(f, loop, v));
	if (turns != TD__ENDLESS)
		for (uint32_t v = head->values; v < head->values_end && f->g->values[v].op == TD__VALUE_PHI; v++)
			if (f->g->values[v].number)
				lower(f, loop, v, turns);
	return turns;
}
