/* SPDX-License-Identifier: BSD-2-Clause */
/* See script.h. */
#include "script.h"

#include <stdio.h>
#include <string.h>

static uint64_t state;

static uint32_t below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull >> 33) % n);
}

struct writer {
	struct step *at, *end;
};

static void put(struct writer *w, uint32_t verb, uint32_t lock)
{
	if (w->at < w->end)
		*w->at++ = (struct step){ (uint8_t)verb, (uint8_t)lock };
}

/* A lock's part of the script; what is not done with it yet comes at the end. */
static void use(struct writer *w, uint32_t lock, struct writer *later)
{
	static const uint8_t modes[] = { LOCK_SHARED, LOCK_EXCLUSIVE, LOCK_EXCLUSIVE, LOCK_SHARED, TRY_EXCLUSIVE };
	uint32_t mode = modes[below(below(4) ? 4 : 5)];

	put(w, mode, lock);
	switch (below(4)) {
	case 0: /* done with it at once */
		if (mode != LOCK_SHARED && below(2))
			put(w, ADD, lock);
		put(w, UNLOCK, lock);
		break;
	case 1: /* changed at once, still used */
		if (mode != LOCK_SHARED)
			put(w, ADD, lock);
		put(later, CHECK, lock);
		break;
	default: /* read now, changed last */
		put(later, mode == LOCK_SHARED ? CHECK : ADD, lock);
		if (below(2))
			put(later, UNLOCK, lock);
	}
}

static void script(struct step *to, uint32_t locks, uint32_t used, int ordered)
{
	struct step rest[STEPS] = { 0 };
	struct writer w = { to, to + STEPS / 2 }, later = { rest, rest + STEPS / 2 - 1 };
	uint8_t order[LOCKS];

	for (uint32_t i = 0; i < locks; i++)
		order[i] = (uint8_t)i;
	for (uint32_t i = 0; i < locks && !ordered; i++) {
		uint32_t j = below(locks);
		uint8_t swapped = order[i];

		order[i] = order[j];
		order[j] = swapped;
	}
	for (uint32_t i = 0; i < locks && used; i++)
		if (!ordered || below(2)) {
			use(&w, order[i], &later);
			used--;
		}
	memcpy(w.at, rest, (size_t)(later.at - rest) * sizeof(*rest));
}

void scene_make(uint64_t number, struct scene *s)
{
	uint32_t locks;

	memset(s, 0, sizeof(*s));
	state = (number + 1) * 0x9e3779b97f4a7c15ull;
	below(2);
	s->resolve = (uint32_t)(number & 1);
	s->ordered = !below(6);
	s->actors = number < 128 ? 2 + below(2) : 2 + below(ACTORS - 1);
	locks = 2 + below(number < 128 ? 2 : LOCKS - 1);
	s->doomed = below(4) ? 0 : 1 + below(s->actors);
	s->expected = below(3) ? 0 : below(1 << ACTORS);
	for (uint32_t i = 0; i < s->actors; i++)
		script(s->steps[i], locks, number < 128 ? 2 : 2 + below(2), (int)s->ordered);
}

void scene_print(const struct scene *s)
{
	static const char *const verbs[] = { "", "shared", "exclusive", "try", "unlock", "add", "check" };

	printf("  resolve=%s%s\n", s->resolve ? "revoke" : "abort", s->ordered ? ", in one order" : "");
	for (uint32_t i = 0; i < s->actors; i++) {
		printf("  call %u:%s%s", i, s->expected >> i & 1 ? " (granted ahead)" : "",
		       s->doomed == i + 1 ? " (doomed)" : "");
		for (const struct step *p = s->steps[i]; p < s->steps[i] + STEPS && p->verb; p++)
			printf(" %s %u;", verbs[p->verb], p->lock);
		putchar('\n');
	}
}
