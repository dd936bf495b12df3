/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving bytes, for the runtime of a native module and for what surrounds translated code: neither has a C library.
 *
 * Long moves repeat words, and not bytes: where `to` lies less than 32 bytes behind `from` within their pages, some
 * processors (AMD Zen) need 20 times as long for bytes.
 */
#ifndef TADAN_BYTES_H
#define TADAN_BYTES_H

#include <tadan/types.h>

typedef uint64_t td__word __attribute__((may_alias, aligned(1)));
typedef uint32_t td__half __attribute__((may_alias, aligned(1)));
typedef uint8_t td__vector __attribute__((vector_size(16), may_alias, aligned(1)));

enum { TD__MANY = 512 }; /* from here on the string instructions are as fast as loops */

/* Up to 16 bytes: first and last, which may overlap, are loaded before they are stored. */
static inline void td__move_few(uint8_t *to, const uint8_t *from, size_t n)
{
	if (n >= 8) {
		uint64_t first = *(const td__word *)from, last = *(const td__word *)(from + n - 8);

		*(td__word *)to = first;
		*(td__word *)(to + n - 8) = last;
	} else if (n >= 4) {
		uint32_t first = *(const td__half *)from, last = *(const td__half *)(from + n - 4);

		*(td__half *)to = first;
		*(td__half *)(to + n - 4) = last;
	} else if (n) {
		uint8_t first = from[0], middle = from[n / 2], last = from[n - 1];

		to[0] = first;
		to[n / 2] = middle;
		to[n - 1] = last;
	}
}

static inline void td__move_up(uint8_t *to, const uint8_t *from, size_t n)
{
	td__vector last = *(const td__vector *)(from + n - 16);
	uint8_t *end = to + n - 16;

	for (; to < end; to += 16, from += 16)
		*(td__vector *)to = *(const td__vector *)from;
	*(td__vector *)end = last;
}

static inline void td__move_down(uint8_t *to, const uint8_t *from, size_t n)
{
	td__vector first = *(const td__vector *)from;

	for (size_t at = n; at > 16; at -= 16)
		*(td__vector *)(to + at - 16) = *(const td__vector *)(from + at - 16);
	*(td__vector *)to = first;
}

static inline void td__move_many(uint8_t *to, const uint8_t *from, size_t n)
{
	uint64_t last = *(const td__word *)(from + n - 8);
	uint8_t *end = to + n - 8;
	size_t words = n / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	*(td__word *)end = last;
}

/* As memmove(). */
static inline void *td__move(void *to, const void *from, size_t n)
{
	if (n <= 16)
		td__move_few(to, from, n);
	else if ((uintptr_t)to - (uintptr_t)from < n)
		td__move_down(to, from, n);
	else if (n < TD__MANY || (uintptr_t)from - (uintptr_t)to < 64)
		td__move_up(to, from, n);
	else
		td__move_many(to, from, n);
	return to;
}

static inline void td__fill_few(uint8_t *to, uint64_t each, size_t n)
{
	if (n >= 8) {
		*(td__word *)to = each;
		*(td__word *)(to + n - 8) = each;
	} else if (n >= 4) {
		*(td__half *)to = (uint32_t)each;
		*(td__half *)(to + n - 4) = (uint32_t)each;
	} else if (n) {
		to[0] = to[n / 2] = to[n - 1] = (uint8_t)each;
	}
}

/* As memset(). String instructions take longer to begin than the stores for some hundred bytes, as many as a record or a node has. */
static inline void *td__fill(void *to, int byte, size_t n)
{
	typedef uint64_t vector __attribute__((vector_size(16), may_alias, aligned(1)));
	uint64_t each = (uint8_t)byte * 0x0101010101010101ull;
	uint8_t *p = to, *end = p + n - 16;

	if (n < 16) {
		td__fill_few(p, each, n);
		return to;
	}
	if (n < TD__MANY) {
		for (; p < end; p += 16) {
			*(vector *)p = (vector){ each, each };
			__asm__ volatile("" : : : "memory"); /* a loop, and no call of memset() */
		}
	} else {
		size_t words = n / 8;

		__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(each) : "memory");
	}
	*(vector *)end = (vector){ each, each };
	return to;
}

#endif
