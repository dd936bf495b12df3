/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking through a module's text for instructions that open the pkey wall.
 *
 * Under that wall a module shares the kernel's address space and the processor's
 * user mode, so nothing but the absence of some instructions keeps it from taking
 * back the rights that its gate gave up.  A jump can land between instructions;
 * so every byte offset counts, whether an instruction begins there or the bytes
 * only meet in a constant.  That happens by accident too, about once in 200 KiB of
 * compiled code, mostly in a distance (to a jump's target or to data); any change
 * that moves the code cures it, so whoever builds a module can try again with
 * another alignment.
 *
 * Refused:
 *	WRPKRU, XRSTOR		write the key rights
 *	XRSTORS			the same for the kernel; never of use in a module
 *	SYSCALL, SYSENTER, INT 0x80	the Linux kernel does not check keys for all it does
 *	WRFSBASE, WRGSBASE	the host's thread data stands at %fs
 *
 * Harmless and let pass: the other INT (a fault, which is caught), LFENCE (the
 * register form of XRSTOR's opcode), RDPKRU, and far jumps, calls and returns:
 * 32-bit code, which they lead to, spells every instruction above the same way
 * and gains nothing.  A far jump is two bytes that are too common in any text to
 * be refused at every offset.  For the same reason a move to %fs passes; it harms
 * the thread that runs it, by a fault, and opens nothing.
 *
 * Bytes around the text within its pages are breakpoints (load.c); no instruction
 * above can be completed by them.
 */
#include <cpuid.h>

#include "file.h"

enum {
	ESCAPE = 0x0f,
	INT = 0xcd,
	REX2 = 0xd5,
	REX2_ESCAPE = 0x80, /* in REX2's second byte: opcode of the 0F map */
	REPEAT = 0xf3,
};

/* Can this byte stand before an opcode?  A REX that is not last is void, but may. */
static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e: /* segments */
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67: /* sizes */
	case 0xf0:
	case 0xf2:
	case REPEAT: return true;
	default: return (byte & 0xf0) == 0x40;
	}
}

/* Is there an F3 among the prefixes that end before `at`?  Anywhere in the run. */
static bool has_repeat(const uint8_t *text, size_t at)
{
	size_t n;

	/* Instructions have 15 bytes at most. */
	for (n = 0; n < 14 && n < at && is_prefix(text[at - n - 1]); n++)
		if (text[at - n - 1] == REPEAT)
			return true;
	return false;
}

/* An opcode of the 0F map.  `left` is at least 1. */
static const char *two_byte_opcode(const uint8_t *op, size_t left, bool repeat)
{
	unsigned modrm = left > 1 ? op[1] : 0xcc, reg = (modrm >> 3) & 7;
	bool memory = modrm < 0xc0;

	switch (op[0]) {
	case 0x05: return "SYSCALL";
	case 0x34: return "SYSENTER";
	case 0x01: return modrm == 0xef ? "WRPKRU" : NULL;
	case 0xae:
		if (memory)
			return reg == 5 ? "XRSTOR" : NULL;
		if (!repeat)
			return NULL;
		return reg == 2 ? "WRFSBASE" : reg == 3 ? "WRGSBASE" : NULL;
	case 0xc7: return memory && reg == 3 ? "XRSTORS" : NULL;
	default: return NULL;
	}
}

const char *td__elf_forbidden(const uint8_t *text, size_t len, size_t at, unsigned flags)
{
	const uint8_t *p = text + at;
	size_t left = len - at;

	if (at >= len || left < 2)
		return NULL;
	if (p[0] == INT && p[1] == 0x80)
		return "INT 0x80";
	if (p[0] == ESCAPE)
		return two_byte_opcode(p + 1, left - 1, has_repeat(text, at));
	if ((flags & TD__ELF_REX2) && p[0] == REX2 && (p[1] & REX2_ESCAPE) && left > 2)
		return two_byte_opcode(p + 2, left - 2, has_repeat(text, at));
	return NULL;
}

/* Only a processor that knows REX2 reads it so; elsewhere it is an illegal opcode. */
static unsigned processor_flags(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid_count(7, 1, &a, &b, &c, &d))
		return 0;
	return d & (1u << 21) ? TD__ELF_REX2 : 0; /* APX */
}

static int refuse(const struct td__elf *e, const struct td__elf_load *l, size_t at,
		  const char *name, struct td__elf_why w)
{
	const uint8_t *p = e->file + l->offset + at;
	char where[128];

	td__elf_where(e, NULL, (uintptr_t)(l->vaddr + at), where, sizeof(where));
	return td__elf_refuse(w,
			      "holds %s (%02x %02x %02x) at file offset 0x%llx, %s, which would "
			      "open the pkey wall. If its source does not ask for it, the bytes "
			      "met by accident: build it again with -falign-functions=64 or "
			      "another -O, or change that code; or use the process wall",
			      name, p[0], p[1], at + 2 < l->filesz ? p[2] : 0xcc,
			      (unsigned long long)(l->offset + at), where);
}

int td__elf_inspect(const struct td__elf *e, char *why, size_t whylen)
{
	unsigned flags = processor_flags();
	const struct td__elf_load *l;
	const char *name;
	size_t at;

	for (l = e->loads; l < e->loads + e->nloads; l++) {
		if (!(l->flags & PF_X))
			continue;
		for (at = 0; at < l->filesz; at++) {
			name = td__elf_forbidden(e->file + l->offset, l->filesz, at, flags);
			if (name)
				return refuse(e, l, at, name, (struct td__elf_why){ why, whylen });
		}
	}
	return 0;
}
