/* SPDX-License-Identifier: BSD-2-Clause */
/* The instructions of wasm: what the plain ones pop and push, and how long each is. Control flow and the like are in check.c. */
#include "wasm.h"

#define I TD__I32
#define L TD__I64
#define F TD__F32
#define D TD__F64
#define PLAIN(out, ...) { TD__PLAIN, 0, { __VA_ARGS__ }, out }
#define LOAD(align, out) { TD__ACCESS, align, { I }, out }
#define STORE(align, in) { TD__ACCESS, align, { I, in }, 0 }
#define CONTROL { TD__CONTROL, 0, { 0 }, 0 }

const struct td__instruction td__instructions[256] = {
	[0x00 ... 0x05] = CONTROL, /* unreachable, nop, block, loop, if, else */
	[0x0b ... 0x11] = CONTROL, /* end, br, br_if, br_table, return, call, call_indirect */
	[0x1a ... 0x1b] = CONTROL, /* drop, select */
	[0x20 ... 0x24] = CONTROL, /* locals and globals */

	[0x28] = LOAD(2, I),
	[0x29] = LOAD(3, L),
	[0x2a] = LOAD(2, F),
	[0x2b] = LOAD(3, D),
	[0x2c ... 0x2d] = LOAD(0, I),
	[0x2e ... 0x2f] = LOAD(1, I),
	[0x30 ... 0x31] = LOAD(0, L),
	[0x32 ... 0x33] = LOAD(1, L),
	[0x34 ... 0x35] = LOAD(2, L),
	[0x36] = STORE(2, I),
	[0x37] = STORE(3, L),
	[0x38] = STORE(2, F),
	[0x39] = STORE(3, D),
	[0x3a] = STORE(0, I),
	[0x3b] = STORE(1, I),
	[0x3c] = STORE(0, L),
	[0x3d] = STORE(1, L),
	[0x3e] = STORE(2, L),
	[0x3f ... 0x44] = CONTROL, /* size and growth of memory, constants */

	[0x45] = PLAIN(I, I),
	[0x46 ... 0x4f] = PLAIN(I, I, I),
	[0x50] = PLAIN(I, L),
	[0x51 ... 0x5a] = PLAIN(I, L, L),
	[0x5b ... 0x60] = PLAIN(I, F, F),
	[0x61 ... 0x66] = PLAIN(I, D, D),
	[0x67 ... 0x69] = PLAIN(I, I),
	[0x6a ... 0x78] = PLAIN(I, I, I),
	[0x79 ... 0x7b] = PLAIN(L, L),
	[0x7c ... 0x8a] = PLAIN(L, L, L),
	[0x8b ... 0x91] = PLAIN(F, F),
	[0x92 ... 0x98] = PLAIN(F, F, F),
	[0x99 ... 0x9f] = PLAIN(D, D),
	[0xa0 ... 0xa6] = PLAIN(D, D, D),

	[0xa7] = PLAIN(I, L), /* wrap */
	[0xa8 ... 0xa9] = PLAIN(I, F),
	[0xaa ... 0xab] = PLAIN(I, D),
	[0xac ... 0xad] = PLAIN(L, I), /* extend */
	[0xae ... 0xaf] = PLAIN(L, F),
	[0xb0 ... 0xb1] = PLAIN(L, D),
	[0xb2 ... 0xb3] = PLAIN(F, I),
	[0xb4 ... 0xb5] = PLAIN(F, L),
	[0xb6] = PLAIN(F, D),
	[0xb7 ... 0xb8] = PLAIN(D, I),
	[0xb9 ... 0xba] = PLAIN(D, L),
	[0xbb] = PLAIN(D, F),
	[0xbc] = PLAIN(I, F), /* the same bits */
	[0xbd] = PLAIN(L, D),
	[0xbe] = PLAIN(F, I),
	[0xbf] = PLAIN(D, L),
	[0xc0 ... 0xc1] = PLAIN(I, I), /* sign extension */
	[0xc2 ... 0xc4] = PLAIN(L, L),
	[0xfc] = CONTROL, /* memory.copy, memory.fill */
};

static void skip(struct td__cursor *c, uint32_t n)
{
	while (n--)
		td__read_byte(c);
}

void td__decode(struct td__cursor *c, struct td__decoded *i)
{
	*i = (struct td__decoded){ .at = c->at };
	i->op = td__read_byte(c);
	switch (i->op) {
	case 0x02 ... 0x04:
		i->a = td__read_byte(c);
		break;
	case 0x0c ... 0x0d:
	case 0x10:
	case 0x20 ... 0x24:
		i->a = td__read_u32(c);
		break;
	case 0x0e:
		i->labels = c->at;
		for (uint32_t n = td__read_u32(c) + 1; n && !c->bad; n--)
			td__read_u32(c);
		break;
	case 0x11:
		i->a = td__read_u32(c);
		skip(c, 1);
		break;
	case 0x3f ... 0x40:
		skip(c, 1);
		break;
	case 0x41:
		i->k = (uint32_t)td__read_s32(c);
		break;
	case 0x42:
		i->k = (uint64_t)td__read_s64(c);
		break;
	case 0x43 ... 0x44:
		skip(c, i->op == 0x43 ? 4 : 8);
		break;
	case 0xfc:
		i->a = td__read_u32(c);
		skip(c, i->a == 10 ? 2 : 1);
		break;
	default:
		if (td__instructions[i->op].immediate == TD__ACCESS) {
			td__read_u32(c);
			td__read_u32(c);
		}
	}
}
