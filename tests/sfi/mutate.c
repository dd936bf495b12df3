/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier on damaged binaries: it says yes or no, soon, and never reads beyond the bytes (which the sanitizers see).
 *
 *   mutate FILE.wasm [COUNT [SEED]]
 *
 * Every beginning of the file, bits of it turned over, one at a time, and COUNT copies with several changes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../walls/sfi/verify.h"

enum { SLOW_MS = 4000 };

static uint64_t state;
static unsigned passed, failed;
static unsigned taken;

static uint32_t next(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* 0, or what is wrong with the answer. The bytes are copied to memory of exactly their size. */
static const char *ask(const uint8_t *bytes, size_t size, int *err)
{
	struct td__sfi_report r;
	uint8_t *copy = malloc(size ? size : 1);
	uint64_t begin = now_ms();
	const char *wrong = NULL;

	memcpy(copy, bytes, size);
	memset(&r, 0xa5, sizeof(r));
	*err = td__sfi_verify(copy, size, &td__sfi_default_policy, &r);
	if (now_ms() - begin > SLOW_MS)
		wrong = "takes too long";
	else if (*err && (*err != -ENOEXEC || !r.rule || r.offset > size || !memchr(r.why, 0, sizeof(r.why)) || !r.why[0]))
		wrong = "is refused without a good reason";
	else if (!*err && (r.rule || r.info.magic != TD_MAGIC || r.pages > td__sfi_default_policy.pages))
		wrong = "is taken, and the report does not fit";
	for (uint32_t n = 0; n < TD_OP_MAX && !*err && !wrong; n++)
		if (r.ops[n].proven != (r.ops[n].steps <= td__sfi_default_policy.most_steps) || r.ops[n].proven != !r.ops[n].why)
			wrong = "is taken, and what is proven does not fit";
	taken += !*err;
	free(copy);
	return wrong;
}

static void tell(const char *what, const char *wrong, size_t at)
{
	passed += !wrong;
	failed += !!wrong;
	if (wrong)
		printf("FAIL %s %zu: %s\n", what, at, wrong);
}

static void beginnings(const uint8_t *bytes, size_t size)
{
	const char *wrong = NULL;
	size_t n, step = size > 8192 ? size / 8192 : 1;
	int err;

	for (n = 0; n < size && !wrong; n += step) {
		wrong = ask(bytes, n, &err);
		if (!wrong && !err && size < 8192) /* a large one ends in sections that may be left out */
			wrong = "is taken, though its end is missing";
	}
	tell("the beginning of length", wrong, n);
}

static void bits(uint8_t *bytes, size_t size)
{
	const char *wrong = NULL;
	size_t n, step = size > 256 ? size * 8 / 2000 | 1 : 1; /* odd: each bit of a byte has its turn */
	int err;

	for (n = 0; n < size * 8 && !wrong; n += step) {
		bytes[n / 8] ^= (uint8_t)(1 << n % 8);
		wrong = ask(bytes, size, &err);
		bytes[n / 8] ^= (uint8_t)(1 << n % 8);
	}
	tell("bit", wrong, n);
}

/* Bytes that mean something in a binary. */
static const uint8_t telling[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0d, 0x0e, 0x10, 0x11, 0x1a, 0x1b, 0x20,
				   0x21, 0x22, 0x23, 0x28, 0x36, 0x40, 0x41, 0x42, 0x45, 0x6a, 0x7e, 0x7f, 0x80, 0xfc, 0xff };

static size_t change(uint8_t *bytes, size_t size, size_t room)
{
	uint32_t at = next((uint32_t)size), n = 1 + next(4);

	switch (next(5)) {
	case 0:
		bytes[at] = (uint8_t)next(256);
		return size;
	case 1:
		bytes[at] = telling[next(sizeof(telling))];
		return size;
	case 2: /* leave bytes out */
		if (at + n >= size)
			return size;
		memmove(bytes + at, bytes + at + n, size - at - n);
		return size - n;
	case 3: /* put bytes in */
		if (size + n > room)
			return size;
		memmove(bytes + at + n, bytes + at, size - at);
		while (n--)
			bytes[at + n] = telling[next(sizeof(telling))];
		return size + 1;
	default: /* bytes from elsewhere */
		if (at + n * 4 > size)
			return size;
		memmove(bytes + at, bytes + next((uint32_t)(size - n * 4)), n * 4);
		return size;
	}
}

static void changes(const uint8_t *bytes, size_t size, unsigned count, uint64_t seed)
{
	uint8_t *copy = malloc(size + 64);
	const char *wrong = NULL;
	unsigned i;
	int err;

	for (i = 0; i < count && !wrong; i++) {
		size_t n = size;

		state = (seed + i) * 0x9e3779b97f4a7c15ull + 1;
		memcpy(copy, bytes, size);
		for (uint32_t k = 1 + next(4); k; k--)
			n = change(copy, n, size + 64);
		wrong = ask(copy, n, &err);
	}
	tell("the copy with seed", wrong, seed + i - 1);
	free(copy);
}

int main(int argc, char **argv)
{
	static uint8_t bytes[1 << 22];
	FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
	size_t size;
	int err;

	if (!f) {
		fprintf(stderr, "mutate FILE.wasm [COUNT [SEED]]\n");
		return 2;
	}
	size = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	tell("the file of length", ask(bytes, size, &err), size);
	tell("the file of length", err ? "is refused as it is" : NULL, size);
	beginnings(bytes, size);
	bits(bytes, size);
	changes(bytes, size, argc > 2 ? (unsigned)atoi(argv[2]) : 3000, argc > 3 ? strtoull(argv[3], NULL, 0) : 1);
	printf("%u damaged binaries were taken\n%u passed, %u failed, 0 skipped\n", taken - 1, passed, failed);
	return failed ? 1 : 0;
}
