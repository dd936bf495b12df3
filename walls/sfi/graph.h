/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function's body as a graph: straight pieces of code (nodes) with edges between them, and values, each of which is computed
 * in one place. Made from a body that has been checked.
 *
 * Nodes are in the order of the code, so that every edge goes forward but those back to the head of a loop, and a loop is
 * a run of nodes. A value that differs by the way on which control came is a PHI of the node where the ways meet.
 */
#ifndef TADAN_SFI_GRAPH_H
#define TADAN_SFI_GRAPH_H

#include "wasm.h"

enum { TD__NOTHING = 0xffffffff };

/* What a value is, besides the plain instructions and loads (their opcode), 0x1b (select c ? a : b) and 0x41 (the constant k). */
enum { TD__VALUE_ANY = 1, TD__VALUE_PARAM = 2, TD__VALUE_PHI = 3, TD__VALUE_CALL = 4 };

struct td__value {
	uint8_t op;
	uint8_t number, wide; /* is it an integer? of 64 bits? */
	uint32_t a, b, c;     /* operands; of a PHI: a is the local that it stands for, TD__NOTHING for a block's result */
	uint64_t k;
	uint32_t same;        /* the first value that is computed from the same values in the same way */
	uint32_t node;
};

enum td__edge_kind { TD__ALWAYS, TD__IF_TRUE, TD__IF_FALSE, TD__BY_TABLE };

struct td__edge {
	uint32_t from, to;
	uint32_t next_in, next_out; /* lists of a node; TD__NOTHING ends them */
	uint32_t value;             /* condition, or index of a table of labels */
	uint32_t env;               /* values of the locals, in env[]; TD__NOTHING: as at the end of `from` */
	uint32_t result;            /* that goes along, or TD__NOTHING */
	uint32_t table, depth;      /* BY_TABLE: the instruction, and the label that the edge stands for */
	uint8_t kind, back;
};

enum td__event_kind { TD__EVENT_CALL, TD__EVENT_INDIRECT, TD__EVENT_BULK };

struct td__event {
	uint8_t kind;
	uint32_t offset;
	uint32_t before;         /* it happens before the value of this number is computed */
	uint32_t target;         /* function; type */
	uint32_t args, nargs;    /* values, in args[]; BULK: the length */
	uint32_t index;          /* INDIRECT: value */
	uint32_t result;         /* value or TD__NOTHING */
};

struct td__node {
	uint32_t values, values_end, events, events_end;
	uint32_t in, out;  /* first edges */
	uint32_t steps;    /* instructions */
	uint32_t loop;     /* innermost */
	uint32_t ending;   /* the innermost loop whose last node this is; TD__NOTHING: none */
	uint32_t offset;
};

struct td__loop { /* the first is the function itself */
	uint32_t parent, head, last; /* head, last: nodes */
	uint32_t next_ending;        /* the next loop outwards that has the same last node */
	uint32_t offset;
};

struct td__graph {
	uint32_t nvalues, nnodes, nedges, nevents, nloops, nargs, nenv, nlabels;
	struct td__value *values;
	struct td__node *nodes;
	struct td__edge *edges;
	struct td__event *events;
	struct td__loop *loops;
	uint32_t *args, *env;
	uint32_t *labels; /* of tables: their number, then depths, the default last */
	uint32_t exit;    /* the node at the function's end, TD__NOTHING: it never gets there */
	uint32_t zero[2]; /* constants of 32 and of 64 bits */
	uint32_t result;  /* the function's, at the exit; or TD__NOTHING */
};

/* 0, -E2BIG: more than `budget` (which is lowered) allows, or -ENOMEM. */
int td__graph_make(const struct td__wasm *w, uint32_t function, size_t *budget, struct td__graph **graph);
void td__graph_free(struct td__graph *g);

/* The value that a PHI of the edge's target takes when control comes along the edge. */
uint32_t td__graph_arrives(const struct td__graph *g, const struct td__edge *e, uint32_t phi);

#endif
