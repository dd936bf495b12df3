/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch over domains: a tick every TD__TICK_MS, and notes that calls leave for it and for each other.
 *
 * Time. A call may be inside for `time` without getting on, and for the longer second limit whatever it does. It gets on when
 *   - its journal grows: it changes a block, discards some, takes or gives back a reference
 *   - it opens another block with a handle than it did with the same handle before
 *   - it moves bytes of the caller's
 * All of these are bounded but the second: an endless loop that does none, such as one that logs, locks or opens the same
 * blocks, is ended by the first limit; one that changes or discards, by the limit `undo` or the number of blocks; one that
 * wanders over the device, by the second limit. Waits for a lock, for the device and for the network do not count: the module
 * does nothing then. Where deadlocks are not looked for, waits for locks do. Of a tick that is late little counts: what stopped the
 * watch, such as SIGSTOP or a virtual machine that pauses, has stopped the calls, too.
 *
 * Share. Every tick it is counted how many calls are inside and do not wait. Who has had more than `cpu` percent of the time
 * that went by is in debt; over a limit the gate is closed to new calls until the debt is paid. Calls inside go on.
 *
 * Writes. With check=deep each write is noted: in the list of its slot, which range of which block; and in a table, for each line, who
 * has written there last. If that is another one, still under way, and its list has some of these bytes, the two do not share a lock as
 * they should, since locks are held until the commit: to undo the one would destroy what the other did. The second one is the one
 * that faults, though the first may be the one without a lock. Nobody waits for anybody here: a word of the table is a hint, written
 * at once, and a list is changed by its slot alone. So some clashes are missed: where two write in the very same moment, where
 * the next one has hashed alike, and beyond the end of a list. None is made up. Without a journal locks do not last that
 * long, so nothing is noted.
 */
#include "fs.h"

enum {
	LINE = 64,      /* bytes that a word of the table stands for */
	PLACES = 4096,
	RANGES = 255,   /* of one transaction */
	DEBT_MS = 50,   /* that are let pass */
	PASSED_MS = 2 * TD__TICK_MS, /* that a tick counts at most */
};

/* What the transaction `of` of a slot has written. Others believe it if the slot's serial is the same before and behind. */
struct list {
	uint64_t of; /* its serial, plus 1 */
	uint64_t n;
	struct {
		uint64_t blkno, bytes; /* off, and above it len */
	} ranges[RANGES];
} __attribute__((aligned(128)));

struct td__written {
	uint64_t hints[PLACES];
	struct list lists[TD__SLOTS];
};

/* ---- Writes */

int td__written_init(struct td__fs *fs)
{
	fs->written = td__port_alloc(sizeof(*fs->written));
	return fs->written ? 0 : -TD_ENOMEM;
}

void td__written_fini(struct td__fs *fs)
{
	if (fs->written)
		td__port_free(fs->written, sizeof(*fs->written));
}

/* Beyond the end nothing is noted. */
static inline void note_range(struct list *l, uint64_t of, uint64_t blkno, uint64_t bytes)
{
	uint64_t n = l->n;

	if (l->of != of) {
		__atomic_thread_fence(__ATOMIC_RELEASE); /* behind the serial that ended the last one */
		__atomic_store_n(&l->n, n = 0, __ATOMIC_RELAXED);
		__atomic_store_n(&l->of, of, __ATOMIC_RELEASE);
	}
	if (n == RANGES)
		return;
	__atomic_store_n(&l->ranges[n].blkno, blkno, __ATOMIC_RELAXED);
	__atomic_store_n(&l->ranges[n].bytes, bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&l->n, n + 1, __ATOMIC_RELEASE);
}

static int is_under_way(const struct td__fs *fs, uint32_t slot, uint64_t of)
{
	return __atomic_load_n(&fs->calls[slot].serial, __ATOMIC_ACQUIRE) + 1 == of;
}

/* Has the slot's transaction, which is under way, written some of these bytes? */
/* Has the slot's transaction, which is under way, written some of these bytes? */
static int has_written(const struct td__fs *fs, uint32_t slot, uint64_t blkno, uint32_t off, uint32_t len)
{
	const struct list *l = &fs->written->lists[slot];
	uint64_t of = __atomic_load_n(&l->of, __ATOMIC_ACQUIRE), n = __atomic_load_n(&l->n, __ATOMIC_ACQUIRE);
	int found = 0;

	if (!is_under_way(fs, slot, of))
		return 0;
	for (uint64_t i = 0; i < n && !found; i++) {
		uint64_t bytes = __atomic_load_n(&l->ranges[i].bytes, __ATOMIC_RELAXED);
		uint32_t at = (uint32_t)bytes;

		found = __atomic_load_n(&l->ranges[i].blkno, __ATOMIC_RELAXED) == blkno && at < off + len && off < at + (bytes >> 32);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return found && is_under_way(fs, slot, of);
}

/* `suspects`: the slots that have come last to one of the lines. */
static __attribute__((cold)) void look_for_clash(struct td__call *c, uint64_t suspects, uint64_t blkno, uint32_t off, uint32_t len)
{
	while (suspects && !has_written(c->fs, (uint32_t)__builtin_ctzll(suspects), blkno, off, len))
		suspects &= suspects - 1;
	if (!suspects)
		return;
	if (!c->fault.kind)
		td__fault_object(&c->fault, "block", blkno);
	td__call_fault(c, TD_FAULT_LOCK, "changed what another call has changed and not committed: they share no lock", 0);
}

void td__note_each_write(struct td__call *c, uint64_t blkno, uint32_t off, uint32_t len)
{
	struct td__written *w = c->fs->written;
	uint64_t at = (blkno * 0x9e3779b97f4a7c15ull >> 32) + off / LINE, me = (uint64_t)c->slot << 32, suspects = 0;
	uint32_t line = (uint32_t)blkno * 1024 + off / LINE, n = (off % LINE + len + LINE - 1) / LINE;

	if (!len)
		return;
	note_range(&w->lists[c->slot], c->serial + 1, blkno, (uint64_t)len << 32 | off);
	for (; n; n--, line++, at++) {
		uint64_t *last = &w->hints[at % PLACES]; /* who has come to the line: the slot, and the line's number */
		uint64_t old = __atomic_load_n(last, __ATOMIC_RELAXED);

		if (old == (me | line))
			continue;
		__atomic_store_n(last, me | line, __ATOMIC_RELAXED);
		if ((uint32_t)old == line)
			suspects |= 1ull << (old >> 32);
	}
	if (__builtin_expect(suspects != 0, 0))
		look_for_clash(c, suspects, blkno, off, len);
}

/* ---- The ticker */

/* Is it over its time? What always ends soon by itself has none. */
static int is_late(struct td__call *c, const struct td__domain *d, uint64_t passed)
{
	uint64_t progress = __atomic_load_n(&c->progress, __ATOMIC_RELAXED);
	const struct td_level *level = &d->level;

	c->inside_ns += passed;
	c->still_ns = progress == c->seen_progress ? c->still_ns + passed : 0;
	c->seen_progress = progress;
	if (d->proven >> __atomic_load_n(&c->op, __ATOMIC_RELAXED) & 1)
		return 0;
	return level->time_ms && (c->still_ns >= level->time_ms * 1000000ull || c->inside_ns >= level->most_ms * 1000000ull);
}

/* One slot. 1: the module runs there. */
static uint32_t look(struct td__fs *fs, struct td__call *c, uint64_t passed)
{
	uint64_t started = __atomic_load_n(&c->started, __ATOMIC_ACQUIRE);

	if (!(started & 1))
		return 0;
	if (started != c->seen) {
		c->seen = started;
		c->still_ns = c->inside_ns = 0;
		return !__atomic_load_n(&c->asleep, __ATOMIC_ACQUIRE);
	}
	if (__atomic_load_n(&c->asleep, __ATOMIC_ACQUIRE))
		return 0;
	if (__atomic_load_n(&c->domain, __ATOMIC_RELAXED) != fs->domain || !is_late(c, fs->domain, passed))
		return 1;
	if (!__atomic_load_n(&c->doomed, __ATOMIC_RELAXED))
		__atomic_store_n(&c->doomed, TD_FAULT_TIME, __ATOMIC_RELEASE);
	if (fs->domain->wall->interrupt)
		fs->domain->wall->interrupt(fs->domain, c);
	return 1;
}

static void set_throttle(struct td__fs *fs, int on)
{
	td__mutex_lock(&fs->gate_mutex);
	if (on) {
		__atomic_or_fetch(&fs->closed, TD__THROTTLED, __ATOMIC_SEQ_CST);
	} else {
		__atomic_and_fetch(&fs->closed, ~(uint32_t)TD__THROTTLED, __ATOMIC_SEQ_CST);
		td__cond_broadcast(&fs->gate);
	}
	td__mutex_unlock(&fs->gate_mutex);
}

static void share(struct td__fs *fs, uint32_t running, uint64_t passed)
{
	uint32_t percent = fs->domain->level.cpu;
	int throttled = __atomic_load_n(&fs->closed, __ATOMIC_RELAXED) & TD__THROTTLED;

	fs->cpu_ns += running * passed;
	fs->throttled_ns += throttled ? passed : 0;
	fs->cpu_debt += (int64_t)(running * passed) - (int64_t)(passed / 100 * percent);
	if (fs->cpu_debt < 0 || !percent)
		fs->cpu_debt = 0;
	if (!throttled && fs->cpu_debt > DEBT_MS * 1000000ll)
		set_throttle(fs, 1);
	else if (throttled && !fs->cpu_debt)
		set_throttle(fs, 0);
}

uint32_t td_check_deadlocks(struct td__fs *fs)
{
	uint32_t found = 0;

	td__mutex_lock(&fs->tick_mutex);
	if (fs->domain)
		found = td__locks_check(fs, fs->domain->level.resolve);
	td__mutex_unlock(&fs->tick_mutex);
	return found;
}

void td__domain_tick(void *arg)
{
	struct td__fs *fs = arg;
	uint64_t now = td__port_monotonic(), passed;
	uint32_t running = 0;

	td__mutex_lock(&fs->tick_mutex);
	passed = fs->last_tick ? now - fs->last_tick : 0;
	if (passed > PASSED_MS * 1000000ull)
		passed = PASSED_MS * 1000000ull;
	for (uint32_t i = 0; i < fs->nslots; i++)
		running += look(fs, &fs->calls[i], passed);
	if (fs->domain)
		share(fs, running, passed);
	if (fs->domain && fs->domain->level.deadlock_ms &&
	    now - fs->last_deadlock_check >= fs->domain->level.deadlock_ms * 1000000ull) {
		fs->last_deadlock_check = now;
		td__locks_check(fs, fs->domain->level.resolve);
	}
	fs->last_tick = now;
	td__mutex_unlock(&fs->tick_mutex);
}
