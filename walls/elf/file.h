/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loader's own files know of an open module file.
 *
 * Everything stands as offsets into the private copy, which need not be aligned:
 * structures are copied out, never pointed at.  Who fills what: open.c the copy,
 * segments.c the loads, parts and id, dynamic.c the tables.  Once td__elf_open
 * has returned, every offset, index and string in here is known to be sound and
 * the other files use them without checking again.
 */
#ifndef TD_WALLS_ELF_FILE_H
#define TD_WALLS_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "elf.h"

#define TD__ELF_PAGE	  4096u
#define TD__ELF_ALIGN_MAX (2u << 20)
#define TD__ELF_LOADS	  8
#define TD__ELF_ID_MAX	  64

/* What the linker calls a loadable segment: bytes of the file, then zeros. */
struct td__elf_load {
	uint64_t vaddr, memsz;
	uint64_t offset, filesz;
	uint32_t flags;
};

/* A table of `n` entries, or a string table of `n` bytes. */
struct td__elf_table {
	uint64_t offset;
	uint64_t n;
};

struct td__elf {
	uint8_t *file;
	size_t size;

	size_t span, align;
	size_t nloads, nparts;
	struct td__elf_load loads[TD__ELF_LOADS];
	struct td__elf_part parts[2 * TD__ELF_LOADS]; /* relro can split a load */
	struct td__elf_part text, data;
	char id[2 * TD__ELF_ID_MAX + 1];

	struct td__elf_table dynsym, dynstr; /* what is linked by */
	struct td__elf_table symtab, strtab; /* names for reports; n is 0 if stripped */
	struct td__elf_table relocations[2]; /* of data, of the procedure linkage table */
};

/* Where a refusal is written. */
struct td__elf_why {
	char *buf;
	size_t len;
};

/* Write the reason and return -ENOEXEC. */
int td__elf_refuse(struct td__elf_why w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Say that the file cannot be `what` (done) for the errno `error`; returns -error. */
int td__elf_fail(struct td__elf_why w, int error, const char *what);

/* The two halves of the check; the second relies on the first. */
int td__elf_check_segments(struct td__elf *e, Elf64_Phdr *dynamic, struct td__elf_why w);
int td__elf_check_dynamic(struct td__elf *e, const Elf64_Phdr *dynamic, struct td__elf_why w);

/* A string table must end in NUL, so that any offset below its size is a string. */
int td__elf_check_strings(const struct td__elf *e, struct td__elf_table t, const char *what,
			  struct td__elf_why w);

/* May this byte of a name be shown? */
static inline bool td__elf_plain(char c)
{
	return c >= ' ' && c <= '~';
}

/* Do `len` bytes at `offset` lie in the file? */
static inline bool td__elf_has(const struct td__elf *e, uint64_t offset, uint64_t len)
{
	return offset <= e->size && len <= e->size - offset;
}

/* Copy entry `i` of a table of entries of `size` bytes. */
static inline void td__elf_get(const struct td__elf *e, uint64_t offset, uint64_t i, void *out,
			       size_t size)
{
	memcpy(out, e->file + offset + i * size, size);
}

static inline const char *td__elf_string(const struct td__elf *e, struct td__elf_table t,
					 uint64_t offset)
{
	return (const char *)e->file + t.offset + offset;
}

static inline Elf64_Sym td__elf_sym(const struct td__elf *e, struct td__elf_table t, uint64_t i)
{
	Elf64_Sym s;

	td__elf_get(e, t.offset, i, &s, sizeof(s));
	return s;
}

#endif
