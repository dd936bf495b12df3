/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults in sandboxed modules: what its files share.
 *
 * A sandboxed module is a wasm binary, and a faulty one is another binary: it is verified and translated as any other is, so a fault
 * cannot open the wall, only the module's own mouth. To translate takes seconds, a trial takes a fraction of one. So one binary
 * holds the faults of many trials, each behind a test of a variable that no fault of the others can reach (a "mutant schema": Untch,
 * Offutt and Harrold, "Mutation analysis using mutant schemata", 1993):
 *
 *   a b i32.lt_s    becomes    let x = a, y = b; if (chosen == 17) x y i32.le_s else x y i32.lt_s
 *
 * The variable is a global of the binary's, outside of its memory. A trial is a process, and sets its initial value in its own copy of the
 * translated code. Nothing else differs between a trial and the module with this one fault in it; and with none chosen the binary
 * must behave as the module does, which each campaign looks at first.
 *
 *   wasm.c     reads the binary, finds where faults can be made, and draws them
 *   schema.c   writes the binary with all of them
 *   batch.c    has it built, opens it, and chooses
 */
#ifndef TADAN_LAB_SANDBOX_H
#define TADAN_LAB_SANDBOX_H

#include "lab.h"
#include "../walls/sfi/form.h"
#include "../walls/sfi/wasm.h"

enum { LAB_OPERANDS = 9 };

/* What an instruction takes from the stack and puts there. */
struct lab_shape {
	uint8_t n, in[LAB_OPERANDS];
	uint8_t out; /* 0: nothing */
};

/* Where a fault can be made. `condition`: not in the instruction, but in what it branches or selects by. */
struct lab_place {
	uint32_t function, at;
	uint32_t condition;
};

struct lab_wasm {
	uint8_t *bytes;
	size_t size;
	struct td__wasm w;
	struct td__sfi_report report;
	uint8_t **locals; /* their types, for each function; 0: imported */
	uint32_t lock, unlock; /* these services' functions; UINT32_MAX: not imported */
	uint32_t alloc, free;  /* td_alloc and td_free; UINT32_MAX: it has none, or does not name them */
	struct {
		struct lab_place *list;
		uint32_t n, room;
	} places[LAB_MUTATIONS];
};

/* A fault. What takes the instruction's place is written by the meaning of `kind`. */
struct lab_mutant {
	struct lab_place place;
	uint32_t number; /* by which it is chosen, from 1 */
	enum lab_mutant_kind {
		LAB_GIVE,     /* the first `value` operands, and a zero if there is none and a result is due */
		LAB_REPLACE,  /* another instruction of the same shape: `bytes` */
		LAB_CHANGE,   /* operand `operand` is combined with `value` by the instruction `op`, then it goes on as ever */
		LAB_CONSTANT, /* the constant `value` */
		LAB_PLANT,    /* at the module's entry stands the act `value`: see act.h */
		LAB_START,    /* when the domain starts, the byte at address `place.at` of its memory is combined with `value` by xor */
	} kind;
	uint32_t operand;
	uint8_t op;
	uint64_t value;
	uint8_t bytes[24], nbytes;
	char what[LAB_TEXT];
};

/* Read a binary, and find the places. 0, or -errno and a reason. */
int lab_wasm_open(struct lab_wasm *m, const uint8_t *bytes, size_t size, char *why, size_t why_size);
/* The function that a module imports by this name. UINT32_MAX: it does not. */
uint32_t lab_wasm_imported(const struct lab_wasm *m, const char *name, size_t len);
/* The instruction at a place, and its shape. */
void lab_wasm_at(const struct lab_wasm *m, const struct lab_place *p, struct td__decoded *i, uint32_t *end, struct lab_shape *shape);
int lab_wasm_mutate(const struct lab_wasm *m, uint32_t mutation, struct lab_random *r, struct lab_mutant *out);

/* ---- schema.c */

struct lab_bytes {
	uint8_t *p;
	size_t n, room;
};

void lab_put(struct lab_bytes *b, const void *p, size_t n);
void lab_put_byte(struct lab_bytes *b, uint8_t byte);
void lab_put_number(struct lab_bytes *b, uint64_t n);
void lab_put_signed(struct lab_bytes *b, int64_t n);

enum { LAB_CHOSEN = 0x5eca11ed }; /* the variable's value in the file, which stands nowhere else in it */

/* The binary with these faults in it, which are sorted for it. `acts` is the binary of act.c; 0: nothing is planted. */
void lab_schema_write(const struct lab_wasm *m, const struct lab_wasm *acts, struct lab_mutant *list, uint32_t n, struct lab_bytes *out);

/* ---- graft.c: another binary's functions become the module's */

/* Numbers of the grafted functions: the first is the module's nfunctions + this. */
enum { LAB_GRAFT_FIRST = 1 };
void lab_graft_types(const struct lab_wasm *graft, struct lab_bytes *out);
void lab_graft_functions(const struct lab_wasm *m, const struct lab_wasm *graft, struct lab_bytes *out);
void lab_graft_bodies(const struct lab_wasm *m, const struct lab_wasm *graft, struct lab_bytes *out);

#endif
