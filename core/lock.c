/* SPDX-License-Identifier: BSD-2-Clause */
/* Module locks and their deadlocks: see lock.h. */
#include "fs.h"
#include "journal.h"

#define EXCLUSIVE (1ull << 63)
#define WAITERS   (1ull << 62)
#define HOLDERS   (WAITERS - 1)
_Static_assert(TD__SLOTS < 62, "a bit for each slot");

void td__locks_init(struct td__locks *l)
{
	td__mutex_init(&l->mutex);
	td__cond_init(&l->freed);
}

void td__locks_fini(struct td__locks *l)
{
	td__mutex_fini(&l->mutex);
	td__cond_fini(&l->freed);
}

static int has(const uint64_t *set, uint32_t lock)
{
	return set[lock / 64] >> lock % 64 & 1;
}

static void put(uint64_t *set, uint32_t lock, int on)
{
	if (on)
		set[lock / 64] |= 1ull << lock % 64;
	else
		set[lock / 64] &= ~(1ull << lock % 64);
}

/* `waited`: it is this call's turn. Who comes while others wait goes behind them. */
static int try_take(uint64_t *word, uint32_t slot, int exclusive, int waited)
{
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED), new;

	do {
		if (exclusive ? old & HOLDERS : old & EXCLUSIVE)
			return 0;
		if (old & WAITERS && !waited)
			return 0;
		new = old | 1ull << slot | (exclusive ? EXCLUSIVE : 0);
	} while (!__atomic_compare_exchange_n(word, &old, new, 1, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return 1;
}

static void release(struct td__locks *l, uint32_t lock, uint32_t slot)
{
	uint64_t *word = &l->word[lock];
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED), new;

	do {
		new = old & ~(1ull << slot);
		if (!(new & HOLDERS))
			new &= ~EXCLUSIVE;
	} while (!__atomic_compare_exchange_n(word, &old, new, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	if (old & WAITERS) {
		td__mutex_lock(&l->mutex);
		td__cond_broadcast(&l->freed);
		td__mutex_unlock(&l->mutex);
	}
}

static int must_give_up(const struct td__call *c)
{
	return __atomic_load_n(&c->aborted, __ATOMIC_ACQUIRE) || __atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE);
}

/* Who waits for the same lock, and has for longer; of all who wait for it with `all`. Under the mutex. */
static int others_wait(const struct td__call *c, uint32_t lock, int all)
{
	const struct td__fs *fs = c->fs;

	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		const struct td__call *o = &fs->calls[i];

		if (o != c && o->waits == lock + 1 && !must_give_up(o) && (all || o->turn < c->turn))
			return 1;
	}
	return 0;
}

/*
 * Who waits takes the lock in the order of coming. Else the victim of a deadlock, made again, would take it from under the one
 * that it gave way to.
 */
static int wait(struct td__call *c, uint32_t lock, int exclusive)
{
	struct td__locks *l = &c->fs->locks;
	int err = 0, others;

	td__mutex_lock(&l->mutex);
	c->waits = lock + 1;
	c->turn = l->turns++;
	__atomic_add_fetch(&l->waiters, 1, __ATOMIC_RELAXED);
	for (;;) {
		__atomic_or_fetch(&l->word[lock], WAITERS, __ATOMIC_SEQ_CST);
		if (!others_wait(c, lock, 0) && try_take(&l->word[lock], c->slot, exclusive, 1))
			break;
		if (must_give_up(c)) {
			err = -TD_EDEADLK;
			break;
		}
		td__cond_wait(&l->freed, &l->mutex, 100);
	}
	c->waits = 0;
	__atomic_sub_fetch(&l->waiters, 1, __ATOMIC_RELAXED);
	others = others_wait(c, lock, 1);
	if (!others)
		__atomic_and_fetch(&l->word[lock], ~WAITERS, __ATOMIC_SEQ_CST);
	if (others || err)
		td__cond_broadcast(&l->freed);
	td__mutex_unlock(&l->mutex);
	return err;
}

uint32_t td__lock_grant(struct td__call *c, uint32_t expected)
{
	uint32_t lock = (expected & 0xffff) - 1;

	if (!expected || !try_take(&c->fs->locks.word[lock], c->slot, expected >> 16 == TD_EXCLUSIVE, 0))
		return 0;
	put(c->held, lock, 1);
	put(c->given, lock, 1);
	c->granted = lock + 1;
	return expected;
}

/* The module asks for another lock first: what was granted must not be in anybody's way while it waits. */
static void withdraw_grant(struct td__call *c, uint32_t asked)
{
	uint32_t lock = c->granted - 1;

	c->granted = 0;
	if (lock == asked)
		return;
	put(c->held, lock, 0);
	put(c->given, lock, 0);
	release(&c->fs->locks, lock, c->slot);
}

/* A lock that the call has given back but that is held until commit, or one that is held in a weaker mode. */
static int take_again(struct td__call *c, uint32_t lock, uint32_t mode)
{
	uint64_t *word = &c->fs->locks.word[lock];

	if (!has(c->given, lock)) {
		td__careless(c, TD_EDEADLK, "lock: taken twice");
		return -TD_EDEADLK;
	}
	put(c->given, lock, 0);
	if ((mode & ~(uint32_t)TD_TRY) != TD_EXCLUSIVE || __atomic_load_n(word, __ATOMIC_RELAXED) & EXCLUSIVE)
		return 0;
	/* Shared so far, so nothing was changed under it: it may go and come back. */
	put(c->held, lock, 0);
	release(&c->fs->locks, lock, c->slot);
	return td__lock_take(c, lock, mode);
}

int td__lock_take(struct td__call *c, uint32_t lock, uint32_t mode)
{
	int exclusive = (mode & ~(uint32_t)TD_TRY) == TD_EXCLUSIVE;
	int err;

	if (lock >= TD_LOCK_MAX || (!exclusive && (mode & ~(uint32_t)TD_TRY) != TD_SHARED))
		return td__careless(c, TD_EINVAL, "lock: no such lock or mode");
	if (must_give_up(c))
		return -TD_EDEADLK;
	if (c->granted)
		withdraw_grant(c, lock);
	if (!c->first_lock)
		c->first_lock = (lock + 1) | (mode & ~(uint32_t)TD_TRY) << 16;
	if (has(c->held, lock))
		return take_again(c, lock, mode);
	if (!try_take(&c->fs->locks.word[lock], c->slot, exclusive, 0)) {
		if (mode & TD_TRY)
			return -TD_EAGAIN;
		err = wait(c, lock, exclusive);
		if (err)
			return err;
	}
	put(c->held, lock, 1);
	return 0;
}

void td__lock_give(struct td__call *c, uint32_t lock)
{
	if (lock >= TD_LOCK_MAX || !has(c->held, lock) || has(c->given, lock)) {
		td__careless(c, TD_EPERM, "unlock: a lock that the call does not hold");
		return;
	}
	if (c->domain->level.journal != TD_JOURNAL_OFF) {
		put(c->given, lock, 1);
		return;
	}
	put(c->held, lock, 0);
	release(&c->fs->locks, lock, c->slot);
}

uint32_t td__locks_give_all(struct td__call *c)
{
	uint32_t forgotten = 0;

	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		while (c->held[i]) {
			uint32_t bit = (uint32_t)__builtin_ctzll(c->held[i]);

			forgotten += !(c->given[i] >> bit & 1);
			c->held[i] &= c->held[i] - 1;
			release(&c->fs->locks, i * 64 + bit, c->slot);
		}
	memset(c->given, 0, sizeof(c->given));
	return forgotten;
}

/* ---- The wait-for graph. Slots are its nodes; sets of slots are words. */

static uint64_t waits_for(struct td__fs *fs, uint32_t slot)
{
	uint32_t lock = fs->calls[slot].waits;

	return lock ? __atomic_load_n(&fs->locks.word[lock - 1], __ATOMIC_RELAXED) & HOLDERS & ~(1ull << slot) : 0;
}

/* All slots that `slot` waits for, directly or not. */
static uint64_t reach(struct td__fs *fs, uint32_t slot)
{
	uint64_t seen = 0, todo = waits_for(fs, slot);

	while (todo) {
		uint32_t next = (uint32_t)__builtin_ctzll(todo);

		seen |= 1ull << next;
		todo = (todo | waits_for(fs, next)) & ~seen;
	}
	return seen;
}

static void abort_least(struct td__fs *fs, uint64_t cycle)
{
	struct td__call *victim = 0;

	for (; cycle; cycle &= cycle - 1) {
		struct td__call *c = &fs->calls[__builtin_ctzll(cycle)];

		if (!victim || c->journal.used < victim->journal.used)
			victim = c;
	}
	__atomic_store_n(&victim->aborted, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&fs->locks.resolved, fs->locks.resolved + 1, __ATOMIC_RELAXED);
}

uint32_t td__locks_check(struct td__fs *fs)
{
	struct td__locks *l = &fs->locks;
	uint64_t waiting = 0, done = 0;
	uint32_t found = 0;

	if (!__atomic_load_n(&l->waiters, __ATOMIC_RELAXED))
		return 0;
	td__mutex_lock(&l->mutex);
	for (uint32_t i = 0; i < TD__SLOTS; i++)
		if (fs->calls[i].waits && !must_give_up(&fs->calls[i]))
			waiting |= 1ull << i;
	for (uint64_t left = waiting; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		uint64_t ahead = done >> i & 1 ? 0 : reach(fs, i), cycle = 0;

		if (!(ahead >> i & 1))
			continue;
		for (uint64_t m = ahead & waiting; m; m &= m - 1)
			if (reach(fs, (uint32_t)__builtin_ctzll(m)) >> i & 1)
				cycle |= m & -m;
		abort_least(fs, cycle);
		done |= cycle;
		found++;
	}
	if (found)
		td__cond_broadcast(&l->freed);
	td__mutex_unlock(&l->mutex);
	return found;
}
