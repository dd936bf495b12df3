/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic on bounds: see range.h. Sums and products are formed in 128 bits, then it is seen whether they wrapped. */
#include "range.h"
#include "wasm.h"

typedef __int128 big;
typedef unsigned __int128 ubig;

static uint64_t mask(int wide)
{
	return wide ? UINT64_MAX : UINT32_MAX;
}

static int64_t smallest(int wide)
{
	return wide ? INT64_MIN : INT32_MIN;
}

static int64_t largest(int wide)
{
	return wide ? INT64_MAX : INT32_MAX;
}

static int64_t as_signed(uint64_t v, int wide)
{
	return wide ? (int64_t)v : (int32_t)(uint32_t)v;
}

static struct td__range none(void)
{
	return (struct td__range){ 1, 0, 1, 0 };
}

int td__range_empty(struct td__range r)
{
	return r.lo > r.hi || r.least > r.most;
}

int td__range_same(struct td__range a, struct td__range b)
{
	return a.lo == b.lo && a.hi == b.hi && a.least == b.least && a.most == b.most;
}

struct td__range td__range_any(int wide)
{
	return (struct td__range){ 0, mask(wide), smallest(wide), largest(wide) };
}

/* Let each pair of bounds learn from the other, where all values have the same sign. */
static struct td__range reduce(struct td__range r, int wide)
{
	uint64_t half = (mask(wide) >> 1) + 1;

	if (td__range_empty(r))
		return none();
	if (r.hi < half || r.lo >= half) {
		int64_t least = as_signed(r.lo, wide), most = as_signed(r.hi, wide);

		r.least = least > r.least ? least : r.least;
		r.most = most < r.most ? most : r.most;
	}
	if (!td__range_empty(r) && (r.least >= 0 || r.most < 0)) {
		uint64_t lo = (uint64_t)r.least & mask(wide), hi = (uint64_t)r.most & mask(wide);

		r.lo = lo > r.lo ? lo : r.lo;
		r.hi = hi < r.hi ? hi : r.hi;
	}
	return td__range_empty(r) ? none() : r;
}

struct td__range td__range_of(uint64_t lo, uint64_t hi, int wide)
{
	struct td__range r = td__range_any(wide);

	r.lo = lo;
	r.hi = hi;
	return reduce(r, wide);
}

struct td__range td__range_signed(int64_t least, int64_t most, int wide)
{
	struct td__range r = td__range_any(wide);

	r.least = least;
	r.most = most;
	return reduce(r, wide);
}

struct td__range td__range_join(struct td__range a, struct td__range b)
{
	if (td__range_empty(a))
		return b;
	if (td__range_empty(b))
		return a;
	a.lo = b.lo < a.lo ? b.lo : a.lo;
	a.hi = b.hi > a.hi ? b.hi : a.hi;
	a.least = b.least < a.least ? b.least : a.least;
	a.most = b.most > a.most ? b.most : a.most;
	return a;
}

struct td__range td__range_meet(struct td__range a, struct td__range b, int wide)
{
	a.lo = b.lo > a.lo ? b.lo : a.lo;
	a.hi = b.hi < a.hi ? b.hi : a.hi;
	a.least = b.least > a.least ? b.least : a.least;
	a.most = b.most < a.most ? b.most : a.most;
	return reduce(a, wide);
}

/* ---- Arithmetic */

/* Unsigned bounds as exact numbers, before wrapping: either none of the values wraps, or all do, once. */
static struct td__range wrapped(big lo, big hi, big least, big most, int wide)
{
	struct td__range r = td__range_any(wide);
	big turn = (big)mask(wide) + 1;

	if (lo >= 0 && hi < turn) {
		r.lo = (uint64_t)lo;
		r.hi = (uint64_t)hi;
	} else if (lo >= turn && hi < 2 * turn) {
		r.lo = (uint64_t)(lo - turn);
		r.hi = (uint64_t)(hi - turn);
	} else if (lo >= -turn && hi < 0) {
		r.lo = (uint64_t)(lo + turn);
		r.hi = (uint64_t)(hi + turn);
	}
	if (least >= smallest(wide) && most <= largest(wide)) {
		r.least = (int64_t)least;
		r.most = (int64_t)most;
	}
	return reduce(r, wide);
}

static struct td__range add(struct td__range a, struct td__range b, int wide)
{
	return wrapped((big)a.lo + b.lo, (big)a.hi + b.hi, (big)a.least + b.least, (big)a.most + b.most, wide);
}

static struct td__range subtract(struct td__range a, struct td__range b, int wide)
{
	return wrapped((big)a.lo - b.hi, (big)a.hi - b.lo, (big)a.least - b.most, (big)a.most - b.least, wide);
}

static struct td__range multiply(struct td__range a, struct td__range b, int wide)
{
	ubig hi = (ubig)a.hi * b.hi;

	if (hi > mask(wide))
		return td__range_any(wide);
	return td__range_of(a.lo * b.lo, (uint64_t)hi, wide);
}

/* All ones up to the highest bit of v. */
static uint64_t ones(uint64_t v)
{
	return v ? UINT64_MAX >> __builtin_clzll(v) : 0;
}

static struct td__range either(struct td__range a, struct td__range b, int wide)
{
	uint64_t lo = a.lo > b.lo ? a.lo : b.lo;

	return td__range_of(lo, ones(a.hi) | ones(b.hi), wide);
}

/* A mask that keeps the upper bits rounds down. */
static int rounds_down(struct td__range b, int wide)
{
	uint64_t low = ~b.lo & mask(wide);

	return b.lo == b.hi && !(low & (low + 1));
}

static struct td__range both(struct td__range a, struct td__range b, int wide)
{
	if (rounds_down(b, wide))
		return td__range_of(a.lo & b.lo, a.hi & b.lo, wide);
	return td__range_of(0, a.hi < b.hi ? a.hi : b.hi, wide);
}

static struct td__range shift(uint8_t kind, struct td__range a, struct td__range b, int wide)
{
	unsigned n = (unsigned)(b.lo & (wide ? 63 : 31));

	if (b.lo != b.hi) /* by an unknown number of bits */
		return kind == 2 ? td__range_of(0, a.hi, wide) : td__range_any(wide);
	if (kind == 2)
		return td__range_of(a.lo >> n, a.hi >> n, wide);
	if (kind == 1)
		return td__range_signed(a.least >> n, a.most >> n, wide);
	if ((ubig)a.hi << n > mask(wide))
		return td__range_any(wide);
	return td__range_of(a.lo << n, a.hi << n, wide);
}

/* Division by zero ends the call: what goes on has divided by 1 and more. */
static struct td__range divide(struct td__range a, struct td__range b, int wide)
{
	return td__range_of(b.hi ? a.lo / b.hi : 0, a.hi / (b.lo ? b.lo : 1), wide);
}

static struct td__range modulo(struct td__range a, struct td__range b, int wide)
{
	uint64_t hi = b.hi ? b.hi - 1 : 0;

	return td__range_of(a.hi < b.lo ? a.lo : 0, a.hi < hi ? a.hi : hi, wide);
}

static struct td__range extended(struct td__range a, unsigned bits, int wide)
{
	int64_t most = (int64_t)((1ull << (bits - 1)) - 1);
	struct td__range all = td__range_signed(-most - 1, most, wide);

	return a.least >= -most - 1 && a.most <= most ? td__range_meet(a, all, wide) : all;
}

/* ---- Comparisons */

enum { EQZ, EQ, NE, LT_S, LT_U, GT_S, GT_U, LE_S, LE_U, GE_S, GE_U };

static int compare_kind(uint8_t opcode)
{
	return opcode - (opcode >= 0x50 ? 0x50 : 0x45);
}

int td__is_compare(uint8_t opcode)
{
	return opcode >= 0x45 && opcode <= 0x5a;
}

static const uint8_t negated[] = { EQZ, NE, EQ, GE_S, GE_U, LE_S, LE_U, GT_S, GT_U, LT_S, LT_U };

static void without(struct td__range *a, uint64_t value, int wide)
{
	if (a->lo == value)
		a->lo++;
	else if (a->hi == value)
		a->hi--;
	if (a->least == as_signed(value, wide) && a->least < a->most)
		a->least++;
	else if (a->most == as_signed(value, wide) && a->least < a->most)
		a->most--;
}

/* a < b, or a <= b */
static void less(struct td__range *a, struct td__range *b, int or_equal, int is_signed)
{
	if (!is_signed) {
		if (!or_equal && (!b->hi || a->lo == UINT64_MAX)) {
			*a = none();
			return;
		}
		a->hi = b->hi - !or_equal < a->hi ? b->hi - !or_equal : a->hi;
		b->lo = a->lo + !or_equal > b->lo ? a->lo + !or_equal : b->lo;
		return;
	}
	if (!or_equal && (b->most == INT64_MIN || a->least == INT64_MAX)) {
		*a = none();
		return;
	}
	a->most = b->most - !or_equal < a->most ? b->most - !or_equal : a->most;
	b->least = a->least + !or_equal > b->least ? a->least + !or_equal : b->least;
}

void td__range_compare(uint8_t opcode, int truth, struct td__range *a, struct td__range *b)
{
	int wide = opcode >= 0x50, kind = compare_kind(opcode);

	if (kind == EQZ) {
		*b = td__range_of(0, 0, wide);
		kind = EQ;
	}
	if (!truth)
		kind = negated[kind];
	switch (kind) {
	case EQ:
		*a = *b = td__range_meet(*a, *b, wide);
		break;
	case NE:
		if (b->lo == b->hi)
			without(a, b->lo, wide);
		else if (a->lo == a->hi)
			without(b, a->lo, wide);
		break;
	case LT_S:
	case LT_U:
		less(a, b, 0, kind == LT_S);
		break;
	case LE_S:
	case LE_U:
		less(a, b, 1, kind == LE_S);
		break;
	case GT_S:
	case GT_U:
		less(b, a, 0, kind == GT_S);
		break;
	default:
		less(b, a, 1, kind == GE_S);
		break;
	}
	*a = reduce(*a, wide);
	*b = reduce(*b, wide);
}

static struct td__range compared(uint8_t opcode, struct td__range a, struct td__range b)
{
	struct td__range a1 = a, b1 = b;

	td__range_compare(opcode, 1, &a, &b);
	if (td__range_empty(a) || td__range_empty(b))
		return td__range_of(0, 0, 0);
	td__range_compare(opcode, 0, &a1, &b1);
	if (td__range_empty(a1) || td__range_empty(b1))
		return td__range_of(1, 1, 0);
	return td__range_of(0, 1, 0);
}

/* ---- All instructions */

static struct td__range arithmetic(uint8_t kind, struct td__range a, struct td__range b, int wide)
{
	switch (kind) {
	case 0:
		return add(a, b, wide);
	case 1:
		return subtract(a, b, wide);
	case 2:
		return multiply(a, b, wide);
	case 4:
		return divide(a, b, wide);
	case 6:
		return modulo(a, b, wide);
	case 7:
		return both(a, b, wide);
	case 8:
		return either(a, b, wide);
	case 9: /* xor */
		return td__range_of(0, ones(a.hi) | ones(b.hi), wide);
	case 10: /* shl */
		return shift(0, a, b, wide);
	case 11:
		return shift(1, a, b, wide);
	case 12:
		return shift(2, a, b, wide);
	default:
		return td__range_any(wide);
	}
}

struct td__range td__range_result(uint8_t opcode, struct td__range a, struct td__range b)
{
	int wide = td__instructions[opcode].out == TD__I64;

	if (td__is_compare(opcode))
		return compared(opcode, a, b);
	switch (opcode) {
	case 0x67 ... 0x69: /* clz, ctz, popcnt */
		return td__range_of(0, 32, 0);
	case 0x79 ... 0x7b:
		return td__range_of(0, 64, 1);
	case 0x6a ... 0x78:
		return arithmetic(opcode - 0x6a, a, b, 0);
	case 0x7c ... 0x8a:
		return arithmetic(opcode - 0x7c, a, b, 1);
	case 0xa7: /* wrap */
		return a.hi <= UINT32_MAX ? td__range_of(a.lo, a.hi, 0) :
		       a.least >= INT32_MIN && a.most <= INT32_MAX ? td__range_signed(a.least, a.most, 0) : td__range_any(0);
	case 0xac:
		return td__range_signed(a.least, a.most, 1);
	case 0xad:
		return td__range_of(a.lo, a.hi, 1);
	case 0xc0:
	case 0xc2:
		return extended(a, 8, wide);
	case 0xc1:
	case 0xc3:
		return extended(a, 16, wide);
	case 0xc4:
		return extended(a, 32, wide);
	default:
		return td__range_any(wide);
	}
}
