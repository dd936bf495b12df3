/* SPDX-License-Identifier: BSD-2-Clause */
/* Moving and filling bytes, as modules do it: every length and place around the borders between its ways, against a loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bytes.h"

enum { ROOM = 2000, LONGEST = 600, EDGE = 64, PLACES = 17 };

static uint8_t got[ROOM], wanted[ROOM];

static void begin(void)
{
	for (int i = 0; i < ROOM; i++)
		got[i] = wanted[i] = (uint8_t)(i * 7 + i / 256);
}

static void same(size_t n, int from, int to)
{
	for (int i = 0; i < ROOM; i++)
		if (got[i] != wanted[i])
			fail_msg("%zu bytes from %d to %d: byte %d is %d, not %d", n, from, to, i, got[i], wanted[i]);
}

static void fill(void **state)
{
	for (int at = EDGE; at < EDGE + PLACES; at++) {
		for (size_t n = 0; n < LONGEST; n++) {
			begin();
			for (size_t i = 0; i < n; i++)
				wanted[(size_t)at + i] = 0xa5;
			assert_ptr_equal(td__fill(got + at, 0x7a5, n), got + at);
			same(n, at, at);
		}
	}
}

static void move(void **state)
{
	static const int distances[] = { -600, -65, -64, -33, -17, -16, -9, -8, -1, 0, 1, 7, 8, 15, 16, 31, 64, 65, 600 };

	for (size_t d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
		for (size_t n = 0; n < LONGEST; n++) {
			int to = 700, from = to + distances[d];
			uint8_t between[LONGEST];

			begin();
			for (size_t i = 0; i < n; i++)
				between[i] = wanted[(size_t)from + i];
			for (size_t i = 0; i < n; i++)
				wanted[(size_t)to + i] = between[i];
			assert_ptr_equal(td__move(got + to, got + from, n), got + to);
			same(n, from, to);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fill), cmocka_unit_test(move) };

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
