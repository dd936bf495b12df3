/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the loader of module files: any bytes, through every function that
 * reads the file.  What passes the check is also mapped, for what the check lets
 * through must be safe to place; it is never called.
 *
 * Seeds: any built module.  clang -fsanitize=fuzzer,address,undefined.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../walls/elf/elf.h"

/* Larger ones are as good as small ones, and slow. */
#define SPAN_MAX (1u << 20)

static void check(int ok)
{
	if (!ok)
		abort();
}

static void ask(const struct td__elf *e, const void *base)
{
	char where[64];
	uintptr_t at = (uintptr_t)base, start, end;

	td__elf_text(e, base, &start, &end);
	check(start >= at && start < end && end <= at + td__elf_span(e));
	for (at = start; at < end; at += 509)
		check(td__elf_where(e, base, at, where, sizeof(where)) == 0);
	check(td__elf_where(e, base, (uintptr_t)base + td__elf_span(e), where, sizeof(where)) < 0);
	td__elf_data(e, base, &start, &end);
	check(start <= end);
	td__elf_symbol(e, base, "td_module_info", NULL);
}

static void place(const struct td__elf *e, const struct td__import *imports, size_t n)
{
	size_t span = td__elf_span(e), align = td__elf_align(e);
	uint8_t *region, *base;

	if (span > SPAN_MAX)
		return;
	region = mmap(NULL, span + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(region != MAP_FAILED);
	base = region + (-(uintptr_t)region & (align - 1));
	check(td__elf_map(e, base, imports, n, NULL, 0) == 0);
	check(td__elf_reset(e, base, imports, n, NULL, 0) == 0);
	ask(e, base);
	munmap(region, span + align);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct td__import imports[64];
	char why[TD__ELF_WHY] = "";
	struct td__elf *e;
	size_t n;

	if (td__elf_open_bytes(data, size, &e, why, sizeof(why)) != 0) {
		check(why[0] != 0 && e == NULL);
		return 0;
	}
	td__elf_inspect(e, why, sizeof(why));
	for (n = 0; n < 64 && (imports[n].name = td__elf_import_name(e, n)); n++)
		imports[n].address = &imports;
	if (!td__elf_import_name(e, n))
		place(e, imports, n);
	td__elf_close(e);
	return 0;
}
