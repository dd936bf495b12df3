/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of a value: bounds as an unsigned and as a signed number, both at once.
 *
 * Values have 32 or 64 bits; `wide` says which. Every function gives bounds that hold for each pair of values within the
 * bounds that it was given, wrapping around as the processor does.
 */
#ifndef TADAN_SFI_RANGE_H
#define TADAN_SFI_RANGE_H

#include <stdint.h>

struct td__range {
	uint64_t lo, hi;     /* lo > hi: no value is possible */
	int64_t least, most;
};

struct td__range td__range_any(int wide);
struct td__range td__range_of(uint64_t lo, uint64_t hi, int wide);
struct td__range td__range_signed(int64_t least, int64_t most, int wide);
struct td__range td__range_join(struct td__range a, struct td__range b);
struct td__range td__range_meet(struct td__range a, struct td__range b, int wide);
int td__range_empty(struct td__range r);
int td__range_same(struct td__range a, struct td__range b);

/* The result of a plain instruction; b is unused where it has one operand. */
struct td__range td__range_result(uint8_t opcode, struct td__range a, struct td__range b);

/* How many instructions' results are 64 bits wide is in td__instructions[]; how wide their operands are, too. */
int td__is_compare(uint8_t opcode);

/* Keep of a and b what is possible where the comparison (an opcode) is true, or false. */
void td__range_compare(uint8_t opcode, int truth, struct td__range *a, struct td__range *b);

#endif
