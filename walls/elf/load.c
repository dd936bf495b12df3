/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placing a checked module in memory.
 *
 * Services are resolved before anything is touched, so that a missing one leaves
 * the region as it was.  Then: fresh anonymous memory over the whole span, the
 * file's bytes, relocations, and last the protections.  The file is never mapped
 * itself, for whoever may write to it could change a module that runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "file.h"

/* A jump into the bytes around the text must not run on. */
#define BREAKPOINT 0xcc

/* How far from our own code, and in which steps, places are tried. */
#define NEAR_MOST (2ul << 30)
#define NEAR_STEP (64ul << 20)

static bool find_import(const struct td__import *imports, size_t n, const char *name,
			uint64_t *address)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(imports[i].name, name) != 0)
			continue;
		*address = (uintptr_t)imports[i].address;
		return true;
	}
	return false;
}

/* The value of every dynamic symbol at `base`; the caller frees it. */
static int resolve(const struct td__elf *e, uintptr_t base, const struct td__import *imports,
		   size_t n, uint64_t **out, struct td__elf_why w)
{
	uint64_t *values = calloc(e->dynsym.n + 1, sizeof(*values));
	const char *name;
	Elf64_Sym s;
	uint64_t i;

	if (!values)
		return td__elf_fail(w, ENOMEM, "loaded");
	for (i = 1; i < e->dynsym.n; i++) {
		s = td__elf_sym(e, e->dynsym, i);
		name = td__elf_string(e, e->dynstr, s.st_name);
		if (s.st_shndx != SHN_UNDEF) {
			values[i] = base + s.st_value;
		} else if (!find_import(imports, n, name, &values[i]) &&
			   ELF64_ST_BIND(s.st_info) != STB_WEAK) {
			free(values);
			return td__elf_refuse(
				w, "imports `%.64s`, which is no service of this kernel", name);
		}
	}
	*out = values;
	return 0;
}

static uint64_t relocated(const Elf64_Rela *r, uintptr_t base, const uint64_t *values)
{
	switch (ELF64_R_TYPE(r->r_info)) {
	case R_X86_64_RELATIVE: return base + (uint64_t)r->r_addend;
	case R_X86_64_64: return values[ELF64_R_SYM(r->r_info)] + (uint64_t)r->r_addend;
	default: return values[ELF64_R_SYM(r->r_info)]; /* GLOB_DAT, JUMP_SLOT */
	}
}

/* Apply the relocations whose place lies from `start` to `end`, offsets from base. */
static void relocate(const struct td__elf *e, uint8_t *base, const uint64_t *values, uint64_t start,
		     uint64_t end)
{
	const struct td__elf_table *t;
	uint64_t i, value;
	Elf64_Rela r;

	for (t = e->relocations; t < e->relocations + 2; t++) {
		for (i = 0; i < t->n; i++) {
			td__elf_get(e, t->offset, i, &r, sizeof(r));
			if (ELF64_R_TYPE(r.r_info) == R_X86_64_NONE)
				continue;
			if (r.r_offset < start || r.r_offset + sizeof(value) > end)
				continue;
			value = relocated(&r, (uintptr_t)base, values);
			memcpy(base + r.r_offset, &value, sizeof(value));
		}
	}
}

/* Copy what the file has for the addresses from `start` to `end`. */
static void copy(const struct td__elf *e, uint8_t *base, uint64_t start, uint64_t end)
{
	const struct td__elf_load *l;
	uint64_t low, high;

	for (l = e->loads; l < e->loads + e->nloads; l++) {
		low = l->vaddr > start ? l->vaddr : start;
		high = l->vaddr + l->filesz < end ? l->vaddr + l->filesz : end;
		if (low < high)
			memcpy(base + low, e->file + l->offset + (low - l->vaddr), high - low);
	}
}

static int protect(const struct td__elf *e, uint8_t *base)
{
	const struct td__elf_part *p;
	size_t at = 0;

	for (p = e->parts; p < e->parts + e->nparts; p++) {
		if (p->start > at && mprotect(base + at, p->start - at, PROT_NONE) < 0)
			return -errno;
		/* Data has its protection from the start. */
		if (p->kind != TD__ELF_DATA && mprotect(base + p->start, p->size, p->prot) < 0)
			return -errno;
		at = p->start + p->size;
	}
	return 0;
}

void *td__elf_reserve(size_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uintptr_t here = (uintptr_t)td__elf_reserve & ~(NEAR_STEP - 1), low = here > NEAR_MOST ? here - NEAR_MOST : 0, at;
	void *p = MAP_FAILED;

	for (at = here; p == MAP_FAILED && at > low + size; at -= NEAR_STEP)
		p = mmap((void *)(at - size), size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		p = mmap(NULL, size, PROT_NONE, flags, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int td__elf_map(const struct td__elf *e, void *base, const struct td__import *imports, size_t n,
		char *why, size_t whylen)
{
	struct td__elf_why w = { why, whylen };
	uint64_t *values;
	int rc;

	if ((uintptr_t)base % e->align)
		return td__elf_fail(w, EINVAL, "loaded at this address");
	rc = resolve(e, (uintptr_t)base, imports, n, &values, w);
	if (rc)
		return rc;
	if (mmap(base, e->span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED) {
		rc = td__elf_fail(w, errno, "mapped");
		goto out;
	}
	memset((uint8_t *)base + e->text.start, BREAKPOINT, e->text.size);
	copy(e, base, 0, e->span);
	relocate(e, base, values, 0, e->span);
	rc = protect(e, base);
	if (rc) {
		rc = td__elf_fail(w, -rc, "protected");
		mprotect(base, e->span, PROT_NONE);
	}
out:
	free(values);
	return rc;
}

int td__elf_reset(const struct td__elf *e, void *base, const struct td__import *imports, size_t n,
		  char *why, size_t whylen)
{
	uint64_t start = e->data.start, end = start + e->data.size;
	uint64_t *values;
	int rc;

	rc = resolve(e, (uintptr_t)base, imports, n, &values, (struct td__elf_why){ why, whylen });
	if (rc)
		return rc;
	memset((uint8_t *)base + start, 0, e->data.size);
	copy(e, base, start, end);
	relocate(e, base, values, start, end);
	free(values);
	return 0;
}
