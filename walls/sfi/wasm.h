/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wasm binary as the verifier sees it. Offsets count from the beginning of the file.
 *
 *   td__wasm_open (sections) -> td__wasm_check (every function's body) -> policy, bounds
 *
 * What is behind a step has been checked by the steps before it: only open and check read bytes that nobody has looked at.
 */
#ifndef TADAN_SFI_WASM_H
#define TADAN_SFI_WASM_H

#include "verify.h"

/* What any module of ours is far below. Arrays are as long as the file says, up to these. */
enum {
	TD__WASM_SIZE = 1 << 24,
	TD__WASM_TYPES = 4096,
	TD__WASM_PARAMS = 64,
	TD__WASM_FUNCTIONS = 1 << 16,
	TD__WASM_GLOBALS = 256,
	TD__WASM_NAMES = 256, /* exports; imports */
	TD__WASM_TABLE = 1 << 16,
	TD__WASM_SEGMENTS = 1 << 14,
	TD__WASM_LOCALS = 4096,
	TD__WASM_NESTING = 1024,
	TD__WASM_OPERANDS = 1 << 14,
	TD__WASM_TARGETS = 1 << 14, /* of one br_table */
	TD__WASM_NULL = 0xffffffff, /* an element of the table that holds no function */
};

enum td__wasm_type { TD__I32 = 0x7f, TD__I64 = 0x7e, TD__F32 = 0x7d, TD__F64 = 0x7c, TD__NONE = 0x40 };
enum td__wasm_kind { TD__FUNCTION, TD__TABLE, TD__MEMORY, TD__GLOBAL };

struct td__wasm_signature {
	const uint8_t *params;
	uint32_t nparams;
	uint8_t result; /* TD__NONE: it has none */
};

struct td__wasm_import {
	const char *module, *name; /* not ended by a NUL */
	uint32_t module_len, name_len;
	uint32_t kind, type; /* type: index of a function's signature */
	uint32_t offset;
};

struct td__wasm_export {
	const char *name;
	uint32_t len;
	uint32_t kind, index;
	uint32_t offset;
};

struct td__wasm_function {
	uint32_t type;
	uint32_t start, end; /* of the body: from the declarations of locals on; 0: imported */
	uint32_t code;       /* its first instruction */
	uint32_t nlocals;    /* with the parameters */
};

struct td__wasm_global {
	uint8_t type, mutable, imported, known; /* known: the initial value is a constant */
	uint64_t value;
};

struct td__wasm_limits {
	uint32_t min, max; /* max: UINT32_MAX where the file gives none */
	uint32_t given;
	uint32_t offset;
};

struct td__wasm_segment {
	uint32_t at, len;    /* bytes within the file */
	uint32_t known, to;  /* address where they go, if it is a constant */
	uint32_t passive;
};

struct td__wasm {
	const uint8_t *data;
	size_t size;
	struct td__sfi_report *report;

	uint32_t ntypes, nfunctions, nimports, nimported, nexports, nglobals, nsegments, ntables, nmemories;
	uint32_t nelements, ndata, datacount;
	struct td__wasm_signature *types;
	struct td__wasm_function *functions; /* the imported ones first: nimported of them */
	struct td__wasm_import *imports;
	struct td__wasm_export *exports;
	struct td__wasm_global *globals;
	struct td__wasm_segment *segments;
	struct td__wasm_limits table, memory;
	uint32_t *elements; /* what the table holds: table.min functions, or TD__WASM_NULL */
	uint32_t table_odd; /* offset of a segment of elements that is not constant, or beyond the table; 0: none */
	uint32_t start;     /* offset of the start section, 0: none */
};

/* ---- Reading bytes that nobody has looked at */

struct td__cursor {
	const uint8_t *data;
	uint32_t at, end;
	int bad; /* a read has failed; all later ones fail, too */
};

uint8_t td__read_byte(struct td__cursor *c);
uint32_t td__read_u32(struct td__cursor *c);
int32_t td__read_s32(struct td__cursor *c);
int64_t td__read_s64(struct td__cursor *c);

/* ---- Instructions: what stands behind the opcode, what is popped and pushed */

enum td__immediate { TD__NO_OPCODE, TD__CONTROL, TD__PLAIN, TD__ACCESS };

struct td__instruction {
	uint8_t immediate; /* enum td__immediate */
	uint8_t align;     /* of an access: at most this */
	uint8_t in[2];     /* popped: first, second; 0: nothing */
	uint8_t out;       /* pushed; 0: nothing */
};

extern const struct td__instruction td__instructions[256];

/* One instruction of a body that has been checked. */
struct td__decoded {
	uint8_t op;
	uint32_t a;      /* index, label, type, kind of a bulk operation */
	uint64_t k;      /* constant */
	uint32_t labels; /* of br_table: where they are */
	uint32_t at;
};

void td__decode(struct td__cursor *c, struct td__decoded *i);

/* ---- The steps */

/* Note the first complaint. Returns -ENOEXEC (-ENOMEM for TD__SFI_RESOURCES). */
int td__wasm_refuse(struct td__wasm *w, enum td__sfi_rule rule, size_t offset, uint32_t function,
		    const char *format, ...) __attribute__((format(printf, 5, 6)));

int td__wasm_open(struct td__wasm *w);
int td__wasm_check(struct td__wasm *w);
int td__wasm_policy(struct td__wasm *w, const struct td__sfi_policy *policy);
void td__wasm_close(struct td__wasm *w);

/* The export of this name, 0: there is none. */
const struct td__wasm_export *td__wasm_export(const struct td__wasm *w, const char *name);

/* Which operations end within a bound: fills the report's. The binary has passed all that stands above. */
int td__wasm_bounds(struct td__wasm *w, const struct td__sfi_policy *policy);

/* The service with this name and its signature, as in "env"; 0: there is none. Made from the interface's description. */
struct td__wasm_service {
	const char *name;
	uint8_t nparams, result;
	uint8_t params[8];
};
extern const struct td__wasm_service td__wasm_services[];
extern const uint32_t td__wasm_nservices;

#endif
