/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of a wasm binary. A read beyond the end, or of a number that is written wrongly, sets `bad` and gives 0. */
#include "wasm.h"

uint8_t td__read_byte(struct td__cursor *c)
{
	if (c->bad || c->at >= c->end) {
		c->bad = 1;
		return 0;
	}
	return c->data[c->at++];
}

/* A LEB128 number of `bits`. In its last byte, bits beyond must be zero, or copies of the sign. */
static uint64_t number(struct td__cursor *c, unsigned bits, int is_signed)
{
	uint64_t value = 0;
	unsigned shift = 0;

	for (;;) {
		uint8_t byte = td__read_byte(c);
		unsigned left = bits - shift;

		if (c->bad)
			return 0;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (left <= 7) {
			uint8_t beyond = (uint8_t)((byte & 0x7f) >> (is_signed ? left - 1 : left));
			uint8_t ones = (uint8_t)(0x7f >> (is_signed ? left - 1 : left));

			if (byte & 0x80 || (beyond && !(is_signed && beyond == ones)))
				c->bad = 1;
		}
		shift += 7;
		if (!(byte & 0x80) || c->bad)
			break;
	}
	if (c->bad)
		return 0;
	if (is_signed && shift < 64 && value >> (shift - 1) & 1)
		value |= ~0ull << shift;
	return value;
}

uint32_t td__read_u32(struct td__cursor *c)
{
	return (uint32_t)number(c, 32, 0);
}

int32_t td__read_s32(struct td__cursor *c)
{
	return (int32_t)(uint32_t)number(c, 32, 1);
}

int64_t td__read_s64(struct td__cursor *c)
{
	return (int64_t)number(c, 64, 1);
}
