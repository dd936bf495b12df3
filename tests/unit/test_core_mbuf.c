/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mbufs: whatever is put together, in whatever order and by reference or not, reads as a flat array does; nothing is lost when all
 * is given back; and a chain that is no chain is found out. A failure prints the seed; MBUF_SEED=n replays it.
 */
#include "test_core_fake.h"

enum { CHAINS = 6, MOST = 300000, STEPS = 4000 };

static uint64_t seed, random_state;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

static struct {
	struct td__mbuf *m;
	uint32_t len;
	uint8_t flat[MOST];
} chains[CHAINS], held[CHAINS];

static uint8_t out[MOST];

static void same(struct td__mbuf *m, const uint8_t *flat, uint32_t len)
{
	const char *wrong = td__mbuf_check(m);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(m->len, len);
	assert_int_equal(td__mbuf_get(m, 0, out, len), 0);
	assert_memory_equal(out, flat, len);
}

static void put(struct td__pool *pool, uint32_t i)
{
	static uint8_t bytes[100000];
	uint32_t n = below(below(8) ? 300 : sizeof(bytes));

	for (uint32_t k = 0; k < n; k++)
		bytes[k] = (uint8_t)below(256);
	if (n > MOST - chains[i].len) {
		assert_int_equal(td__mbuf_put(pool, chains[i].m, bytes, n, MOST), -TD_EMSGSIZE);
		return;
	}
	assert_int_equal(td__mbuf_put(pool, chains[i].m, bytes, n, MOST), 0);
	memcpy(chains[i].flat + chains[i].len, bytes, n);
	chains[i].len += n;
}

static void cat(struct td__pool *pool, uint32_t i)
{
	uint32_t j = below(CHAINS), off = below(chains[j].len + 1), n = below(chains[j].len - off + 1);

	if (n > MOST - chains[i].len)
		n = MOST - chains[i].len;
	assert_int_equal(td__mbuf_cat(pool, chains[i].m, chains[j].m, off, n, MOST), 0);
	memmove(chains[i].flat + chains[i].len, chains[j].flat + off, n);
	chains[i].len += n;
}

/* Somebody else has the chain, too: it stays as it was for him. */
static void hold(struct td__pool *pool, uint32_t i)
{
	uint32_t j = below(CHAINS);

	td__mbuf_drop(pool, held[j].m);
	held[j].m = td__mbuf_hold(chains[i].m);
	held[j].len = chains[i].len;
	memcpy(held[j].flat, chains[i].flat, chains[i].len);
}

static void renew(struct td__pool *pool, uint32_t i)
{
	td__mbuf_drop(pool, chains[i].m);
	chains[i].m = td__mbuf_new();
	chains[i].len = 0;
}

static void test_random(void **state)
{
	struct td__pool pool = { 0 };

	(void)state;
	td__pool_init(&pool);
	for (uint32_t i = 0; i < CHAINS; i++)
		renew(&pool, i);
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = below(CHAINS), what = below(100);

		assert_int_equal(td__mbuf_own(&pool, &chains[i].m), 0);
		if (what < 50)
			put(&pool, i);
		else if (what < 80)
			cat(&pool, i);
		else if (what < 94)
			hold(&pool, i);
		else
			renew(&pool, i);
		same(chains[i].m, chains[i].flat, chains[i].len);
		if (held[i].m)
			same(held[i].m, held[i].flat, held[i].len);
		if (chains[i].len) { /* a part of it, in pieces */
			struct td__piece piece;
			uint32_t off = below(chains[i].len);

			assert_int_equal(td__mbuf_pieces(chains[i].m, off, &piece, 1), 1);
			assert_true(piece.len && piece.len <= chains[i].len - off);
			assert_memory_equal(piece.data, chains[i].flat + off, piece.len);
		}
	}
	for (uint32_t i = 0; i < CHAINS; i++) {
		td__mbuf_drop(&pool, chains[i].m);
		td__mbuf_drop(&pool, held[i].m);
		chains[i].m = held[i].m = 0;
	}
	assert_int_equal(pool.bytes, 0);
	td__pool_fini(&pool);
}

static void test_same(void **state)
{
	struct td__pool pool = { 0 };
	struct td__mbuf *a = td__mbuf_new(), *b = td__mbuf_new();

	(void)state;
	td__pool_init(&pool);
	assert_true(td__mbuf_same(a, b));
	td__mbuf_put(&pool, a, "hello, world", 12, 100);
	td__mbuf_put(&pool, b, "world", 5, 100);
	td__mbuf_put(&pool, b, "hello, ", 7, 100);
	assert_false(td__mbuf_same(a, b));
	renew(&pool, 0);
	assert_int_equal(td__mbuf_cat(&pool, chains[0].m, b, 5, 7, 100), 0);
	assert_int_equal(td__mbuf_cat(&pool, chains[0].m, b, 0, 5, 100), 0);
	assert_int_equal(chains[0].m->segments, 2);
	assert_true(td__mbuf_same(a, chains[0].m));
	td__mbuf_drop(&pool, a);
	td__mbuf_drop(&pool, b);
	td__mbuf_drop(&pool, chains[0].m);
	chains[0].m = 0;
	assert_int_equal(pool.bytes, 0);
	td__pool_fini(&pool);
}

/* No service can make such chains; if memory is damaged they are not to be walked for ever. */
static void test_damaged(void **state)
{
	struct td__pool pool = { 0 };
	struct td__mbuf *m = td__mbuf_new();
	struct td__segment *s;
	uint32_t was;

	(void)state;
	td__pool_init(&pool);
	td__mbuf_put(&pool, m, "abc", 3, 100);
	td__mbuf_cat(&pool, m, m, 0, 3, 100);
	assert_int_equal(m->len, 6);
	assert_null(td__mbuf_check(m));
	s = m->last;
	s->next = m->first;
	assert_string_equal(td__mbuf_check(m), "a loop");
	s->next = 0;
	was = s->len;
	s->len = 4000000000u;
	assert_string_equal(td__mbuf_check(m), "a segment that is not within its cluster");
	s->len = was;
	m->len++;
	assert_string_equal(td__mbuf_check(m), "a length that is not the sum of its segments");
	m->len--;
	m->last = m->first;
	assert_string_equal(td__mbuf_check(m), "an end that is not its last segment");
	m->last = s;
	assert_null(td__mbuf_check(m));
	td__mbuf_drop(&pool, m);
	td__pool_fini(&pool);
}

static void test_limits(void **state)
{
	struct td__pool pool = { .bytes = TD__POOL_MAX - TD__SMALL };
	struct td__mbuf *m = td__mbuf_new();

	(void)state;
	td__pool_init(&pool);
	assert_int_equal(td__mbuf_put(&pool, m, "abc", 3, 100), 0);
	assert_int_equal(td__mbuf_put(&pool, m, "abc", 3, 5), -TD_EMSGSIZE);
	assert_int_equal(td__mbuf_put(&pool, m, out, TD__SMALL, MOST), -TD_ENOMEM);
	for (int i = 0; i < TD__SEGMENTS_MAX; i++)
		td__mbuf_cat(&pool, m, m, 0, 1, MOST);
	assert_int_equal(td__mbuf_cat(&pool, m, m, 0, 1, MOST), -TD_ENOMEM);
	assert_null(td__mbuf_check(m));
	td__mbuf_drop(&pool, m);
	assert_int_equal(pool.bytes, TD__POOL_MAX - TD__SMALL);
	td__pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_limits),
	};
	const char *given = getenv("MBUF_SEED");

	seed = given ? strtoull(given, 0, 10) : (uint64_t)td__port_monotonic() | 1;
	random_state = seed;
	printf("MBUF_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, 0, 0);
}
