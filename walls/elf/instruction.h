/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of the processor's instructions as reports of faults need: is one the system's, and which address would it have touched? The
 * processor does not say that of addresses that no memory can have, nor of misaligned vectors. Freestanding: the process of
 * a module looks, too. Bytes from `p` up to `end` are read and no others.
 */
#ifndef TD_WALLS_ELF_INSTRUCTION_H
#define TD_WALLS_ELF_INSTRUCTION_H

#include <stddef.h>
#include <stdint.h>

/* Prefixes, a REX byte, and what follows. */
struct td__instruction {
	const uint8_t *op;    /* behind the prefixes; 0: the bytes are too few */
	uint32_t rex;
	uint32_t vex;         /* it has a VEX prefix, which op stands behind */
	uint32_t segment;     /* the address is relative to a segment that has a base */
};

static inline struct td__instruction td__instruction_at(const uint8_t *p, const uint8_t *end)
{
	struct td__instruction i = { 0 };

	for (; p < end; p++) {
		if (*p == 0x64 || *p == 0x65)
			i.segment = 1;
		else if (*p != 0x66 && *p != 0xf2 && *p != 0xf3 && *p != 0x2e && *p != 0x3e && *p != 0xf0)
			break;
	}
	if (p < end && (*p & 0xf0) == 0x40)
		i.rex = *p++;
	if (p + 2 < end && *p == 0xc5) {
		i.rex = ~p[1] >> 5 & 4; /* R; the others are not there */
		i.vex = 1;
		p += 2;
	} else if (p + 3 < end && *p == 0xc4) {
		i.rex = ~p[1] >> 5 & 7;
		i.vex = 1;
		p += 3;
	}
	i.op = p < end ? p : 0;
	return i;
}

/* Is it for the system's mode only? */
static inline int td__instruction_is_privileged(const uint8_t *p, const uint8_t *end)
{
	static const uint8_t one[] = { 0xf4, 0xfa, 0xfb, 0x6c, 0x6d, 0x6e, 0x6f, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xcd };
	static const uint8_t two[] = { 0x00, 0x01, 0x06, 0x07, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x33, 0x35 };
	struct td__instruction i = td__instruction_at(p, end);
	int found = 0;

	if (!i.op || i.vex)
		return 0;
	for (size_t n = 0; n < sizeof(one); n++)
		found |= *i.op == one[n];
	for (size_t n = 0; n < sizeof(two) && *i.op == 0x0f && i.op + 1 < end; n++)
		found |= i.op[1] == two[n];
	return found;
}

/* Registers by number, and where a displacement is relative to the next instruction: pc as if there were no constant behind. 1: *at is it. */
static inline int td__instruction_address(const uint8_t *p, const uint8_t *end, const uint64_t regs[16], uint64_t *at)
{
	struct td__instruction i = td__instruction_at(p, end);
	const uint8_t *m = i.op;
	uint64_t sum = 0;
	uint32_t mod, rm, base, size;

	if (!m || i.segment)
		return 0;
	if (!i.vex && *m == 0x0f)
		m += m + 1 < end && (m[1] == 0x38 || m[1] == 0x3a) ? 2 : 1;
	m++; /* the byte behind the operation says what the address is made of */
	if (m >= end || *m >> 6 == 3)
		return 0;
	mod = *m >> 6;
	rm = *m++ & 7;
	base = rm;
	if (rm == 4) {
		uint32_t index;

		if (m >= end)
			return 0;
		base = *m & 7;
		index = (*m >> 3 & 7) | (i.rex & 2) << 2;
		if (index != 4)
			sum = regs[index] << (*m >> 6);
		m++;
	}
	size = mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
	if (mod || base != 5)
		sum += regs[base | (i.rex & 1) << 3];
	else if (rm == 5)
		return 0; /* relative to the code: such a place is in the module */
	if ((size_t)(end - m) < size)
		return 0;
	if (size == 1)
		sum += (uint64_t)(int8_t)*m;
	else if (size == 4)
		sum += (uint64_t)(int64_t)(int32_t)(m[0] | m[1] << 8 | m[2] << 16 | (uint32_t)m[3] << 24);
	*at = sum;
	return 1;
}

/*
 * The code at pc may have no frame, not as yet, or no longer. Is `back` then where it returns to? It is if a call stands before it, of a
 * function that begins not far before pc. Bytes from `text` on are read.
 */
static inline int td__instruction_returns(const uint8_t *text, const uint8_t *back, uintptr_t pc)
{
	enum { CALL = 5, LONGEST = 16384 };
	uintptr_t to;

	if ((size_t)(back - text) < CALL || back[-CALL] != 0xe8)
		return 0;
	to = (uintptr_t)back + (uintptr_t)(int64_t)(int32_t)(back[-4] | back[-3] << 8 | back[-2] << 16 | (uint32_t)back[-1] << 24);
	return pc - to < LONGEST;
}

static inline int td__address_is_canonical(uint64_t at)
{
	return (uint64_t)((int64_t)(at << 16) >> 16) == at;
}

#endif
