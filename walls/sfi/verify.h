/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier of sandboxed modules: reads a wasm binary that anybody may have written, and says whether the
 * wall takes it, and which operations end within a bound.
 *
 * It trusts no byte, writes nothing but the report, and takes time in proportion to the binary's size (the search for
 * bounds: to a budget). What it takes is the language as of 2019 without floating point exceptions of its own: MVP, bulk memory
 * (fill, copy), sign extension, mutable globals. The policy goes further than validity: see enum td__sfi_rule.
 */
#ifndef TADAN_SFI_VERIFY_H
#define TADAN_SFI_VERIFY_H

#include <stddef.h>
#include <stdint.h>
#include <tadan/fs_if.h>

/* Which rule was broken. Up to and with INVALID, other validators refuse the module, too; the rest is policy. */
enum td__sfi_rule {
	TD__SFI_FINE,
	TD__SFI_MALFORMED, /* the bytes are no wasm binary */
	TD__SFI_INVALID,   /* types, indices or control flow are wrong */
	TD__SFI_FEATURE,   /* valid in some version of the language, and not taken */
	TD__SFI_LIMIT,     /* larger than any module needs to be */
	TD__SFI_IMPORT,    /* something other than a service with its type */
	TD__SFI_EXPORT,    /* too little, or more than the wall uses */
	TD__SFI_START,     /* code that would run at load */
	TD__SFI_TABLE,     /* a table that could change, or more than one */
	TD__SFI_MEMORY,    /* none, or beyond the limit */
	TD__SFI_INFO,      /* no td_module_info, or one that no module has */
	TD__SFI_RESOURCES, /* the host has no memory for the verification */
};

struct td__sfi_policy {
	uint32_t pages;      /* of 64 KiB: the most that the memory may have at the start and, where it says, at the end */
	uint64_t most_steps; /* an operation with a bound up to this is proven; instructions, bytes of bulk operations, a service: 1000 */
};

/* Of one operation. */
struct td__sfi_op {
	uint32_t proven;   /* 1: every path ends within `steps`, which is at most the policy's most_steps */
	uint64_t steps;    /* UINT64_MAX: no bound is known, or one beyond 2^64 */
	uint64_t part;     /* of these, what the obstacle takes at most */
	uint32_t function; /* the obstacle, where it is not proven: a function, */
	uint32_t offset;   /* and the loop, call or bulk operation in it: bytes from the file's beginning */
	const char *why;   /* 0: nothing does */
};

struct td__sfi_report {
	enum td__sfi_rule rule;
	size_t offset;           /* where in the file, bytes */
	uint32_t function;       /* UINT32_MAX: in none */
	char why[200];           /* a sentence without an end mark */
	struct td_module_info info;
	uint32_t pages, most_pages; /* memory at the start, and at most */
	uint32_t heap_base;      /* __heap_base, 0: not exported */
	uint32_t stack_pointer;  /* initial value of __stack_pointer, 0: not exported */
	uint32_t functions, imports, table;
	uint64_t proven;         /* bit n: operation n needs no timer */
	struct td__sfi_op ops[TD_OP_MAX];
};

/* The limits that the wall asks for: memory of 1 GiB, bounds of 2^28 steps. */
extern const struct td__sfi_policy td__sfi_default_policy;

/* 0, or -ENOEXEC (or -ENOMEM) with rule, offset, function and why in the report; all of the report is set. */
int td__sfi_verify(const void *wasm, size_t size, const struct td__sfi_policy *policy,
		   struct td__sfi_report *report);

/* In words: "import", "memory", ... */
extern const char *const td__sfi_rules[];

/*
 * The name that the binary's own "name" section or DWARF gives: for messages only. "" where there is none. Printable, with a NUL.
 */
void td__sfi_function_name(const void *wasm, size_t size, uint32_t function, char *text, size_t room);

/* The line of source of an offset of the file, from the binary's own debug information: "dir.c:120 (dir_find)". 0 or -ENOENT. */
int td__sfi_line(const void *wasm, size_t size, size_t offset, char *text, size_t room);

#endif
