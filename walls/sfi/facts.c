/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known where control is: see bounds.h. */
#include <errno.h>
#include <stdlib.h>

#include "bounds.h"

enum { FAR = 256 }; /* facts further up are not looked at */

static uint32_t add_fact(struct td__frame *f, struct td__fact fact)
{
	if (f->nfacts == f->room) {
		uint32_t room = f->room ? 2 * f->room : 256;
		void *p = f->err ? 0 : realloc(f->facts, room * sizeof(*f->facts));

		if (!p) {
			f->err = -ENOMEM;
			return fact.parent;
		}
		f->facts = p;
		f->room = room;
	}
	fact.depth = fact.parent == TD__NOTHING ? 0 : f->facts[fact.parent].depth + 1;
	f->facts[f->nfacts] = fact;
	return f->nfacts++;
}

uint32_t td__fact_common(const struct td__frame *f, uint32_t a, uint32_t b)
{
	while (a != b && a != TD__NOTHING && b != TD__NOTHING) {
		if (f->facts[a].depth >= f->facts[b].depth)
			a = f->facts[a].parent;
		else
			b = f->facts[b].parent;
	}
	return a == b ? a : TD__NOTHING;
}

/* The latest fact about a value contains the earlier ones. */
struct td__range td__fact_range(struct td__frame *f, uint32_t value, uint32_t fact)
{
	const struct td__value *v = &f->g->values[value];
	struct td__range r = f->ranges[value];

	for (int n = 0; fact != TD__NOTHING && n < FAR; n++, fact = f->facts[fact].parent) {
		const struct td__fact *x = &f->facts[fact];

		td__search_work(f->search, 1);
		if (!x->is_condition && x->value == v->same)
			return td__range_meet(r, x->range, v->wide);
	}
	return r;
}

/*
 * The value is within r: note that, and what follows for what it was made from by adding a constant or widening, as long as
 * the way back is one to one.
 */
uint32_t td__fact_bound(struct td__frame *f, uint32_t fact, uint32_t value, struct td__range r)
{
	const struct td__value *v = &f->g->values[value];

	fact = add_fact(f, (struct td__fact){ .parent = fact, .value = v->same, .range = r });
	for (int n = 0; n < 4; n++) {
		uint32_t from = v->a;
		struct td__range had;

		if (v->op == 0x6a || v->op == 0x7c || v->op == 0x6b || v->op == 0x7d) {
			if (f->g->values[v->b].op != 0x41)
				break;
			/* undo the sum by the difference, and the other way round */
			r = td__range_result(v->op == 0x6a ? 0x6b : v->op == 0x7c ? 0x7d : v->op == 0x6b ? 0x6a : 0x7c, r,
					     f->ranges[v->b]);
		} else if (v->op == 0xad) {
			r = td__range_of(r.lo, r.hi > UINT32_MAX ? UINT32_MAX : r.hi, 0);
		} else if (v->op != 0xac) {
			break;
		} else {
			r = td__range_signed(r.least < INT32_MIN ? INT32_MIN : r.least, r.most > INT32_MAX ? INT32_MAX : r.most, 0);
		}
		v = &f->g->values[from];
		had = td__fact_range(f, from, fact);
		r = td__range_meet(r, had, v->wide);
		if (td__range_same(r, had))
			break;
		fact = add_fact(f, (struct td__fact){ .parent = fact, .value = v->same, .range = r });
	}
	return fact;
}

static uint32_t both_bounds(struct td__frame *f, uint32_t fact, const struct td__value *v, int truth, int *possible)
{
	int unary = v->b == TD__NOTHING;
	struct td__range a = td__fact_range(f, v->a, fact), was_a = a;
	struct td__range b = unary ? a : td__fact_range(f, v->b, fact), was_b = b;

	td__range_compare(v->op, truth, &a, &b);
	if (td__range_empty(a) || (!unary && td__range_empty(b))) {
		*possible = 0;
		return fact;
	}
	if (!td__range_same(a, was_a))
		fact = td__fact_bound(f, fact, v->a, a);
	if (!unary && !td__range_same(b, was_b))
		fact = td__fact_bound(f, fact, v->b, b);
	return fact;
}

/* `deep` bounds how many conditions that are and-ed or or-ed are taken apart. */
static uint32_t condition(struct td__frame *f, uint32_t fact, uint32_t value, int truth, int *possible, int deep)
{
	const struct td__value *v = &f->g->values[value];
	struct td__range r = td__fact_range(f, value, fact), zero;

	for (int n = 0; n < 8; n++) {
		td__search_work(f->search, 1);
		if (truth ? r.hi == 0 : r.lo > 0) {
			*possible = 0;
			return fact;
		}
		if (v->op != 0x45 || !f->g->values[v->a].number)
			break;
		truth = !truth; /* eqz */
		value = v->a;
		v = &f->g->values[value];
		r = td__fact_range(f, value, fact);
	}
	fact = add_fact(f, (struct td__fact){ .parent = fact, .value = value, .is_condition = 1, .truth = (uint8_t)truth });
	if (td__is_compare(v->op))
		return both_bounds(f, fact, v, truth, possible);
	if (!truth)
		r = td__range_meet(r, td__range_of(0, 0, v->wide), v->wide);
	else
		td__range_compare(v->wide ? 0x50 : 0x45, 0, &r, &zero);
	fact = td__fact_bound(f, fact, value, r);
	/* and of two conditions that holds, or of two that does not */
	if (deep && ((v->op == 0x71 && truth) || (v->op == 0x72 && !truth))) {
		fact = condition(f, fact, v->a, truth, possible, deep - 1);
		return *possible ? condition(f, fact, v->b, truth, possible, deep - 1) : fact;
	}
	return fact;
}

uint32_t td__fact_condition(struct td__frame *f, uint32_t fact, uint32_t value, int truth, int *possible)
{
	return condition(f, fact, value, truth, possible, 3);
}

/* Does a condition on the way say that a <= b (unsigned)? 2: even a < b. */
static int is_less(struct td__frame *f, uint32_t a, uint32_t b, uint32_t fact)
{
	const struct td__value *values = f->g->values;

	a = values[a].same;
	b = values[b].same;
	for (int n = 0; fact != TD__NOTHING && n < FAR; n++, fact = f->facts[fact].parent) {
		const struct td__fact *x = &f->facts[fact];
		const struct td__value *v = &values[x->value];
		uint8_t kind;
		int ab, ba;

		td__search_work(f->search, 1);
		if (!x->is_condition || !td__is_compare(v->op) || v->b == TD__NOTHING)
			continue;
		ab = values[v->a].same == a && values[v->b].same == b;
		ba = values[v->a].same == b && values[v->b].same == a;
		kind = v->op >= 0x50 ? v->op - 0x50 : v->op - 0x45;
		/* 4: lt_u, 6: gt_u, 8: le_u, 10: ge_u */
		if (x->truth ? (ab && kind == 4) || (ba && kind == 6) : (ab && kind == 10) || (ba && kind == 8))
			return 2;
		if (x->truth ? (ab && kind == 8) || (ba && kind == 10) : (ab && kind == 6) || (ba && kind == 4))
			return 1;
	}
	return 0;
}

struct td__range td__fact_difference(struct td__frame *f, uint32_t a, uint32_t b, uint32_t fact)
{
	const struct td__value *values = f->g->values, *sum = &values[a];
	int wide = sum->wide, less = is_less(f, b, a, fact);
	struct td__range x = td__fact_range(f, a, fact), y = td__fact_range(f, b, fact);
	struct td__range r = td__range_result(wide ? 0x7d : 0x6b, x, y);

	if (sum->op == 0x6a || sum->op == 0x7c) { /* b + t - b is t, whatever wraps */
		if (values[sum->a].same == values[b].same)
			return td__fact_range(f, sum->b, fact);
		if (values[sum->b].same == values[b].same)
			return td__fact_range(f, sum->a, fact);
	}
	if (less && x.hi >= y.lo)
		r = td__range_meet(r, td__range_of(less == 2, x.hi - y.lo, wide), wide);
	return r;
}
