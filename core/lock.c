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

static void got(struct td__call *c, uint32_t lock)
{
	put(c->held, lock, 1);
	put(c->clean, lock, 1);
}

/* ---- Waiting. What follows is under the mutex. */

/* The others that wait for `lock` and have not been told to give up: a bit for each slot. */
static uint64_t others_wait(const struct td__call *c, uint32_t lock)
{
	const struct td__fs *fs = c->fs;
	uint64_t others = 0;

	for (uint64_t left = fs->locks.waiting & ~(1ull << c->slot); left; left &= left - 1) {
		const struct td__call *o = &fs->calls[__builtin_ctzll(left)];

		if (o->waits == lock + 1 && !must_give_up(o))
			others |= left & -left;
	}
	return others;
}

/*
 * Who keeps c from taking the lock that it waits for: the holders, if it cannot be held together with them; else those who
 * have waited for longer. A lent lock goes to those whom it was lent to, then back to whose it is, then on in the order of coming.
 */
static uint64_t blockers(const struct td__call *c)
{
	const struct td__fs *fs = c->fs;
	uint64_t word = __atomic_load_n(&fs->locks.word[c->waits - 1], __ATOMIC_RELAXED);
	uint64_t holders = word & HOLDERS & ~(1ull << c->slot), earlier = 0;

	if (holders && (c->wants_all || word & EXCLUSIVE))
		return holders;
	for (uint64_t left = others_wait(c, c->waits - 1); left; left &= left - 1) {
		const struct td__call *o = &fs->calls[__builtin_ctzll(left)];

		if (c->lent && o->wants_all)
			continue;
		if (o->lent)
			return c->wants_all || o->turn < c->turn ? left & -left : 0;
		if (o->turn < c->turn)
			earlier |= left & -left;
	}
	return earlier;
}

/*
 * Who waits takes the lock in the order of coming. Else the victim of a deadlock, made again, would take it from under the one
 * that it gave way to. 1: taken; nobody comes between setting WAITERS and sleeping without being noticed.
 */
static int take_turn(struct td__call *c)
{
	struct td__locks *l = &c->fs->locks;
	uint32_t lock = c->waits - 1;

	__atomic_or_fetch(&l->word[lock], WAITERS, __ATOMIC_SEQ_CST);
	if (blockers(c) || !try_take(&l->word[lock], c->slot, c->wants_all, 1))
		return 0;
	return 1;
}

/* c waits for `lock` no more. Those behind it look again. */
static void leave_queue(struct td__call *c, uint32_t lock)
{
	struct td__locks *l = &c->fs->locks;

	if (others_wait(c, lock))
		td__cond_broadcast(&l->freed);
	else
		__atomic_and_fetch(&l->word[lock], ~WAITERS, __ATOMIC_SEQ_CST);
}

static void queue_for(struct td__call *c, uint32_t lock, int exclusive, uint64_t turn)
{
	c->waits = lock + 1;
	c->wants_all = exclusive;
	c->turn = turn;
}

/* Until the lock is taken, and what was lent is back. */
static int wait(struct td__call *c, uint32_t lock, int exclusive)
{
	struct td__locks *l = &c->fs->locks;
	uint64_t turn, bit = 1ull << c->slot;
	int err = 0, taken = 0, lost_one = 0;

	/* Where nobody ends deadlocks, the time limit has to. */
	__atomic_store_n(&c->asleep, c->domain->level.deadlock_ms != 0, __ATOMIC_RELEASE);
	td__mutex_lock(&l->mutex);
	turn = l->turns++;
	queue_for(c, lock, exclusive, turn);
	__atomic_store_n(&l->waiting, l->waiting | bit, __ATOMIC_RELAXED);
	while (!taken && !err) {
		int lost = c->lent && must_give_up(c); /* others need not wait until it is back, so it is not to be had */

		taken = !lost && take_turn(c);
		if (taken && c->lent) {
			uint32_t back = c->lent - 1;

			lost_one = 1;
			c->lent = 0;
			put(c->held, back, 1);
			queue_for(c, lock, exclusive, turn);
			leave_queue(c, back);
			taken = 0;
		} else if (!taken && must_give_up(c)) {
			err = -TD_EDEADLK;
		} else if (!taken) {
			td__cond_wait(&l->freed, &l->mutex, 100);
		}
	}
	uint32_t lent = c->lent;
	c->waits = c->lent = 0;
	__atomic_store_n(&l->waiting, l->waiting & ~bit, __ATOMIC_RELAXED);
	leave_queue(c, lock);
	if (lent)
		leave_queue(c, lent - 1);
	td__mutex_unlock(&l->mutex);
	__atomic_store_n(&c->asleep, 0, __ATOMIC_RELEASE);
	if (lost_one || (err && c->aborted)) /* set under the mutex */
		td__mistake_deadlock(c, lock);
	return err;
}

/* ---- Taking and giving back */

uint32_t td__lock_grant(struct td__call *c, uint32_t expected)
{
	uint32_t lock = (expected & 0xffff) - 1;

	if (!expected || !try_take(&c->fs->locks.word[lock], c->slot, expected >> 16 == TD_EXCLUSIVE, 0))
		return 0;
	got(c, lock);
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
		td__careless_of(c, TD_EDEADLK, "lock: taken twice", "lock", lock);
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
		return td__careless_of(c, TD_EINVAL, "lock: no such lock or mode", "lock", lock);
	if (must_give_up(c))
		return -TD_EDEADLK;
	if (c->granted)
		withdraw_grant(c, lock);
	if (!c->first_lock)
		c->first_lock = (lock + 1) | (mode & ~(uint32_t)TD_TRY) << 16;
	if (has(c->held, lock)) {
		err = take_again(c, lock, mode);
		if (!err)
			td__origin_note(c, "lock", lock);
		return err;
	}
	if (!try_take(&c->fs->locks.word[lock], c->slot, exclusive, 0)) {
		if (mode & TD_TRY)
			return -TD_EAGAIN;
		err = wait(c, lock, exclusive);
		if (err)
			return err;
	}
	got(c, lock);
	td__origin_note(c, "lock", lock);
	return 0;
}

void td__lock_give(struct td__call *c, uint32_t lock)
{
	if (lock >= TD_LOCK_MAX || !has(c->held, lock) || has(c->given, lock)) {
		td__careless_of(c, TD_EPERM, "unlock: a lock that the call does not hold", "lock", lock);
		return;
	}
	if (c->domain->level.journal != TD_JOURNAL_OFF) {
		put(c->given, lock, 1);
		return;
	}
	put(c->held, lock, 0);
	release(&c->fs->locks, lock, c->slot);
}

uint32_t td__locks_left(const struct td__call *c)
{
	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		if (c->held[i] & ~c->given[i])
			return i * 64 + (uint32_t)__builtin_ctzll(c->held[i] & ~c->given[i]) + 1;
	return 0;
}

void td__locks_give_all(struct td__call *c)
{
	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		while (c->held[i]) {
			uint32_t bit = (uint32_t)__builtin_ctzll(c->held[i]);

			c->held[i] &= c->held[i] - 1;
			release(&c->fs->locks, i * 64 + bit, c->slot);
		}
	memset(c->given, 0, sizeof(c->given));
}

/* ---- The wait-for graph. Its nodes are the slots that wait, its edges their blockers. Under the mutex. */

struct cycle {
	uint32_t n;
	uint8_t slots[TD__SLOTS]; /* each waits for the next one, the last for the first */
};

/* Depth first, each node once. `waiting`: the slots to look at. 1: a cycle has been found. */
static int find_cycle(struct td__fs *fs, uint64_t waiting, struct cycle *path)
{
	uint64_t edges[TD__SLOTS], seen = 0, on_path, back;

	for (uint64_t left = waiting; left; left &= ~seen) {
		uint32_t slot = (uint32_t)__builtin_ctzll(left);
		uint64_t next = 1ull << slot;

		path->n = 0;
		on_path = 0;
		do {
			if (next) {
				slot = (uint32_t)__builtin_ctzll(next);
				path->slots[path->n++] = (uint8_t)slot;
				on_path |= 1ull << slot;
				seen |= 1ull << slot;
				edges[slot] = blockers(&fs->calls[slot]) & waiting;
			} else {
				on_path &= ~(1ull << slot);
				if (!--path->n)
					break;
				slot = path->slots[path->n - 1];
			}
			back = edges[slot] & on_path;
			next = edges[slot] & ~seen;
		} while (!back);
		if (!path->n)
			continue;
		uint32_t first = 0;

		while (!(back >> path->slots[first] & 1))
			first++;
		path->n -= first;
		memmove(path->slots, path->slots + first, path->n);
		return 1;
	}
	return 0;
}

/* May the lock that `by` waits for be taken from c? See lock.h. 1: for a time, 2: for good. */
static int revocable(const struct td__call *c, const struct td__call *by)
{
	uint32_t lock = by->waits - 1;

	if (c->lent || !has(c->held, lock) || !has(c->clean, lock))
		return 0;
	if (has(c->given, lock))
		return 2;
	return !by->wants_all && __atomic_load_n(&c->fs->locks.word[lock], __ATOMIC_RELAXED) & EXCLUSIVE;
}

static void revoke(struct td__call *c, uint32_t lock, int for_good)
{
	struct td__locks *l = &c->fs->locks;

	put(c->held, lock, 0);
	__atomic_and_fetch(&l->word[lock], ~(1ull << c->slot | EXCLUSIVE), __ATOMIC_SEQ_CST);
	if (for_good) {
		put(c->given, lock, 0);
	} else {
		c->lent = lock + 1;
		queue_for(c, lock, 1, l->turns++);
	}
	__atomic_store_n(&l->revoked, l->revoked + 1, __ATOMIC_RELAXED);
}

/* Not where somebody has given way before: it is his turn, and lent locks would be in his way. */
static int revoke_one(struct td__fs *fs, const struct cycle *cycle)
{
	for (uint32_t i = 0; i < cycle->n; i++)
		if (fs->calls[cycle->slots[i]].gave_way)
			return 0;
	for (uint32_t i = 0; i < cycle->n; i++) {
		const struct td__call *by = &fs->calls[cycle->slots[i]];
		struct td__call *c = &fs->calls[cycle->slots[(i + 1) % cycle->n]];
		int how = revocable(c, by);

		if (!how)
			continue;
		revoke(c, by->waits - 1, how == 2);
		return 1;
	}
	return 0;
}

/* Should c give way rather than d? */
static int goes_first(const struct td__call *c, const struct td__call *d)
{
	if (c->gave_way != d->gave_way)
		return !c->gave_way || (d->gave_way && c->gave_way > d->gave_way);
	return c->journal.used < d->journal.used;
}

/*
 * Whose lock is lent must not run before it is back, not even to give up. There is always another: the last on the cycle to
 * have lent a lock waits for somebody who took it, and so ran, later.
 */
static uint32_t abort_one(struct td__fs *fs, const struct cycle *cycle)
{
	struct td__call *victim = 0;

	for (uint32_t i = 0; i < cycle->n; i++) {
		struct td__call *c = &fs->calls[cycle->slots[i]];

		if (!c->lent && (!victim || goes_first(c, victim)))
			victim = c;
	}
	TD__ASSERT(victim);
	__atomic_store_n(&victim->aborted, 1, __ATOMIC_RELEASE);
	return victim->slot;
}

uint32_t td__locks_check(struct td__fs *fs, uint32_t resolve)
{
	struct td__locks *l = &fs->locks;
	uint64_t waiting = __atomic_load_n(&l->waiting, __ATOMIC_RELAXED);
	struct cycle cycle;
	uint32_t found = 0;

	if (!(waiting & (waiting - 1)))
		return 0;
	td__mutex_lock(&l->mutex);
	waiting = l->waiting;
	for (uint64_t left = waiting; left; left &= left - 1)
		if (must_give_up(&fs->calls[__builtin_ctzll(left)]))
			waiting &= ~(left & -left);
	for (; find_cycle(fs, waiting, &cycle); found++)
		if (resolve != TD_RESOLVE_REVOKE || !revoke_one(fs, &cycle))
			waiting &= ~(1ull << abort_one(fs, &cycle));
	if (found) {
		__atomic_store_n(&l->resolved, l->resolved + found, __ATOMIC_RELAXED);
		td__cond_broadcast(&l->freed);
	}
	td__mutex_unlock(&l->mutex);
	return found;
}
