/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The search for bounds: one function with bounds for its parameters (a frame), walked a few times.
 *
 * Each walk goes over the nodes in order and computes bounds of all values from those of the walk before: at first any
 * number may be in a PHI of a loop's head, then what the last walk found to arrive there. What one walk finds holds in
 * every run of the function, so does what the next one makes of it, and there is no need to go on until nothing changes.
 *
 * Facts are what is known where control is: bounds of values, by the conditions on the way, and the conditions themselves.
 * They form a tree; where ways meet, what holds is the common beginning.
 *
 * Memory is never followed: a load is any number of its width, because another call of the module may have written there.
 */
#ifndef TADAN_SFI_BOUNDS_H
#define TADAN_SFI_BOUNDS_H

#include "graph.h"
#include "range.h"

#define TD__ENDLESS UINT64_MAX

struct td__fact {
	uint32_t parent, depth; /* parent: TD__NOTHING for the first */
	uint32_t value;         /* a bound: what it is about (its `same`); a condition: the value */
	uint8_t is_condition, truth;
	struct td__range range;
};

/* What stands in the way of a bound, or, with a bound, what most of it comes from. */
struct td__obstacle {
	uint64_t steps;
	uint32_t function, offset;
	const char *why;
};

struct td__ways { /* of one edge in the present walk */
	uint8_t open;  /* control may come along */
	uint32_t fact;
	uint64_t steps; /* at most, from the beginning of the loop that `from` is in */
};

struct td__loop_state {
	uint64_t before; /* steps to its head, within the loop around it */
	uint64_t most;   /* steps of one turn */
	uint64_t total;
	uint64_t turns;  /* back to the head, at most */
};

struct td__frame {
	const struct td__wasm *w;
	const struct td__graph *g;
	uint32_t function;
	const struct td__range *params;
	int last;                /* the last walk: calls are followed */
	struct td__search *search;
	struct td__range *ranges; /* of values */
	struct td__range *heads;  /* of PHIs of loops' heads: what the last walk found */
	struct td__ways *edges;
	struct td__loop_state *loops;
	uint8_t *reached;        /* nodes */
	uint32_t *node_facts;
	struct td__fact *facts;
	uint32_t nfacts, room;
	struct td__obstacle worst;
	int err;
};

/* The work that a whole verification may do. Counts down; at 0 whatever is not proven by then stays so. */
int td__search_work(struct td__search *s, uint32_t n);

/* facts.c */
struct td__range td__fact_range(struct td__frame *f, uint32_t value, uint32_t fact);
uint32_t td__fact_condition(struct td__frame *f, uint32_t fact, uint32_t value, int truth, int *possible);
uint32_t td__fact_bound(struct td__frame *f, uint32_t fact, uint32_t value, struct td__range r);
uint32_t td__fact_common(const struct td__frame *f, uint32_t a, uint32_t b);
/* a - b, where the conditions on the way may say that it does not wrap. */
struct td__range td__fact_difference(struct td__frame *f, uint32_t a, uint32_t b, uint32_t fact);

/* turns.c: how often may control go back to the head of this loop? Bounds of its PHIs are lowered by what comes out. */
uint64_t td__turns(struct td__frame *f, uint32_t loop);

#endif
