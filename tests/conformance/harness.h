/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small harness: tests find themselves, run one after the other in a fresh directory each, and end
 * at the first check that fails.
 *
 *	TEST(chmod, not_owner, AS_OTHERS)
 *	{
 *		put("f", "text");
 *		as(U1, G1);
 *		fails(EPERM, fs->chmod("f", 0777));
 *	}
 *
 * A test begins as whoever started the program, in a directory with mode 0777, and leaves what it likes: the
 * harness removes it. Checks may be used on threads started by run_threads(), too: such a thread ends, and
 * the test fails when all have ended.
 */
#ifndef CONFORMANCE_HARNESS_H
#define CONFORMANCE_HARNESS_H

#include "fsapi.h"

enum test_flags {
	AS_OTHERS = 1, /* calls as other users: needs root */
	MOUNTED = 2,   /* needs a real directory */
	OWN = 4,       /* needs a file system that nobody else uses, and not a large one */
};

struct test {
	const char *subject, *name;
	unsigned flags;
	void (*run)(void);
	struct test *next;
};
void test_add(struct test *t);

#define TEST(subject, name, flags)                                                                 \
	static void subject##_##name(void);                                                        \
	static struct test subject##_##name##_test = { #subject, #name, (flags), subject##_##name, \
						       NULL };                                     \
	__attribute__((constructor)) static void subject##_##name##_add(void)                      \
	{                                                                                          \
		test_add(&subject##_##name##_test);                                                \
	}                                                                                          \
	static void subject##_##name(void)

/* ---- Checks */

struct place {
	const char *file;
	int line;
};
#define HERE ((struct place){ __FILE__, __LINE__ })

_Noreturn void fail_at(struct place p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void skip_test(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t ok_at(struct place p, const char *what, int64_t result);
void fails_at(struct place p, const char *what, int error, int64_t result);
void equal_at(struct place p, const char *what, int64_t want, int64_t got);

/* The call succeeds; its result. */
#define ok(call) ok_at(HERE, #call, (call))
/* The call fails with just this error. */
#define fails(error, call) fails_at(HERE, #call, (error), (call))
#define equal(want, got)   equal_at(HERE, #got, (int64_t)(want), (int64_t)(got))
#define check(x)                                         \
	do {                                             \
		if (!(x))                                \
			fail_at(HERE, "not so: %s", #x); \
	} while (0)
/* With a text that says in which of many cases. */
#define check_case(x, ...)                          \
	do {                                        \
		if (!(x))                           \
			fail_at(HERE, __VA_ARGS__); \
	} while (0)

const char *error_name(int error);

/* ---- Who calls */

enum { U1 = 60001, U2 = 60002, U3 = 60003, G1 = 60001, G2 = 60002, G3 = 60003 };
void as(uid_t uid, gid_t gid);
void as_member(uid_t uid, gid_t gid, gid_t group); /* with a supplementary group */
void as_first(void);				   /* whoever started the program */

/* ---- Threads. All run work(arg, index); the test fails if one of them did. */

void run_threads(int n, void (*work)(void *arg, int index), void *arg);

/* ---- Chance: the same for the same --seed and `stream`. */

uint64_t test_seed(uint64_t stream);
uint64_t chance(uint64_t *state);

#endif
