/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name cache: what a name in a directory stands for, or that it is not there. A fixed table in which new
 * entries push old ones out: it only ever saves a call. A name has WAYS places, beside one another, and one that is known not
 * to be there goes first. A directory is known by its handle, whose generation changes when the vnode is used again, so
 * entries of a forgotten directory never match.
 *
 * For a directory that was made since the mount began there are also filters (Bloom 1970) of all the names that it ever had:
 * what is in none of them is not there, so that filling new directories asks the module about no name. A full filter is followed
 * by a larger one.
 *
 * Where others change the file system, too, there are no filters, entries are believed for a time only, and a directory
 * that was changed by others has another number than its old entries.
 */
#include "fs.h"

enum { SETS = 1 << 14, WAYS = 4, NAME_KEPT = 100, LOCKS = 64, WORDS = 16 };

/* A filter says yes to one name in 400 that it does not have, once it has its fill. */
enum { FILTER_FIRST = 14, FILTER_GROWS = 3, FILTER_LAST = 26, FILTER_PROBES = 4, BITS_PER_NAME = 16 };

struct td__name_filter {
	struct td__name_filter *older; /* it is full */
	uint32_t order;                /* it has 1 << order bits */
	uint32_t names;                /* so many are in it, about */
	uint64_t bits[];
};

/* Two cache lines, which readers copy without a lock: `sequence` is odd while a writer is at it. */
union entry {
	struct {
		uint32_t sequence;
		uint8_t len;
		uint8_t name[NAME_KEPT - 1];
		uint32_t until; /* with TD_FS_REMOTE: believed up to then, in units of 2^20 ns since the machine started */
		uint32_t names; /* the directory's, when this was written */
		td_handle dir; /* 0: empty */
		uint64_t fid;  /* 0: the name is not there */
	};
	uint64_t words[WORDS];
};
_Static_assert(sizeof(union entry) == 128, "entry");

struct td__names {
	union entry sets[SETS][WAYS];
	struct {
		struct td__mutex mutex;
	} __attribute__((aligned(64))) locks[LOCKS]; /* lock n is of who writes the sets whose index is n modulo LOCKS */
};

int td__names_init(struct td__fs *fs)
{
	fs->names = td__port_alloc(sizeof(*fs->names));
	if (!fs->names)
		return -TD_ENOMEM;
	for (int i = 0; i < LOCKS; i++)
		td__mutex_init(&fs->names->locks[i].mutex);
	return 0;
}

void td__names_fini(struct td__fs *fs)
{
	if (!fs->names)
		return;
	for (int i = 0; i < LOCKS; i++)
		td__mutex_fini(&fs->names->locks[i].mutex);
	td__port_free(fs->names, sizeof(*fs->names));
}

/* FNV-1a, 64 bits, over the handle and the name. */
static uint64_t hash_of(td_handle dir, struct td_name name)
{
	uint64_t h = 0xcbf29ce484222325ull ^ dir * 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < name.len; i++)
		h = (h ^ name.bytes[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

/* ---- Filters. Bits are only ever set, by whoever holds the directory's lock exclusively or found the name to be there. */

static uint32_t ticks(void)
{
	return (uint32_t)(td__port_monotonic() >> 20);
}

static uint32_t ticks_of(uint32_t ms)
{
	return (uint32_t)(((uint64_t)ms * 1000000) >> 20);
}

/* The n-th bit of a name. */
static uint64_t filter_bit(const struct td__name_filter *f, uint64_t hash, uint32_t n)
{
	return (hash + n * (hash >> 32 | 1)) & ((1ull << f->order) - 1);
}

static int filter_has(const struct td__name_filter *f, uint64_t hash)
{
	for (uint32_t i = 0; i < FILTER_PROBES; i++) {
		uint64_t bit = filter_bit(f, hash, i);

		if (!(__atomic_load_n(&f->bits[bit / 64], __ATOMIC_RELAXED) & 1ull << bit % 64))
			return 0;
	}
	return 1;
}

static int may_be_there(const struct td__name_filter *f, uint64_t hash)
{
	while (f && !filter_has(f, hash))
		f = f->older;
	return f != 0;
}

static size_t filter_size(uint32_t order)
{
	return sizeof(struct td__name_filter) + (1ull << order) / 8;
}

static struct td__name_filter *filter_new(uint32_t order, struct td__name_filter *older)
{
	struct td__name_filter *f = td__port_alloc(filter_size(order));

	if (f) {
		f->older = older;
		f->order = order;
	}
	return f;
}

static int is_full(const struct td__name_filter *f)
{
	return __atomic_load_n(&f->names, __ATOMIC_RELAXED) >= (1u << f->order) / BITS_PER_NAME;
}

/* The filter that takes the next name. Without memory the full one does: it says yes too often, which costs a call. */
static struct td__name_filter *filter_with_room(struct td__vnode *dir)
{
	struct td__name_filter *f = __atomic_load_n(&dir->filter, __ATOMIC_ACQUIRE), *more;

	if (!is_full(f) || f->order + FILTER_GROWS > FILTER_LAST)
		return f;
	more = filter_new(f->order + FILTER_GROWS, f);
	if (!more)
		return f;
	if (__atomic_compare_exchange_n(&dir->filter, &f, more, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return more;
	td__port_free(more, filter_size(more->order));
	return f;
}

static void filter_add(struct td__vnode *dir, uint64_t hash)
{
	struct td__name_filter *f;

	if (may_be_there(__atomic_load_n(&dir->filter, __ATOMIC_ACQUIRE), hash))
		return;
	f = filter_with_room(dir);
	for (uint32_t i = 0; i < FILTER_PROBES; i++) {
		uint64_t bit = filter_bit(f, hash, i);

		__atomic_or_fetch(&f->bits[bit / 64], 1ull << bit % 64, __ATOMIC_RELAXED);
	}
	__atomic_add_fetch(&f->names, 1, __ATOMIC_RELAXED);
}

void td__names_begin(struct td__vnode *dir, uint64_t parent)
{
	dir->filter = filter_new(FILTER_FIRST, 0);
	td__name_set(dir, (struct td_name){ (const uint8_t *)"..", 2 }, parent);
}

void td__names_forget(struct td__vnode *dir)
{
	for (struct td__name_filter *f = dir->filter, *older; f; f = older) {
		older = f->older;
		td__port_free(f, filter_size(f->order));
	}
	dir->filter = 0;
}

/* ---- Entries */

/* 1: *copy is what stands there. 0: a writer was at it, which is as good as an entry that was pushed out. */
static int entry_read(const union entry *e, union entry *copy)
{
	uint32_t before = __atomic_load_n(&e->sequence, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < WORDS; i++)
		copy->words[i] = __atomic_load_n(&e->words[i], __ATOMIC_ACQUIRE);
	return !(before & 1) && __atomic_load_n(&e->sequence, __ATOMIC_RELAXED) == before;
}

/* Under the set's lock. */
static void entry_write(union entry *e, union entry *new)
{
	uint32_t sequence = e->sequence;

	__atomic_store_n(&e->sequence, sequence + 1, __ATOMIC_RELAXED);
	new->sequence = sequence + 1;
	for (uint32_t i = 0; i < WORDS; i++)
		__atomic_store_n(&e->words[i], new->words[i], __ATOMIC_RELEASE);
	__atomic_store_n(&e->sequence, sequence + 2, __ATOMIC_RELEASE);
}

static int is_of(const union entry *e, td_handle dir, struct td_name name)
{
	return e->dir == dir && e->len == name.len && !memcmp(e->name, name.bytes, name.len);
}

/* The name's entry, as a copy; 0: there is none. */
static int find(union entry *set, td_handle dir, struct td_name name, union entry *copy)
{
	for (uint32_t i = 0; i < WAYS; i++)
		if (__atomic_load_n(&set[i].dir, __ATOMIC_RELAXED) == dir && entry_read(&set[i], copy) && is_of(copy, dir, name))
			return 1;
	return 0;
}

/* Where the name stands; else the place that it is to have. Under the set's lock. */
static union entry *place_of(union entry *set, td_handle dir, struct td_name name)
{
	union entry *free = 0, *absent = 0;
	uint32_t writes = 0;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (is_of(&set[i], dir, name))
			return &set[i];
		if (!set[i].dir)
			free = &set[i];
		else if (!set[i].fid)
			absent = &set[i];
		writes += set[i].sequence / 2;
	}
	return free ? free : absent ? absent : &set[writes % WAYS];
}

static void set_entry(struct td__names *n, uint64_t hash, td_handle dir, struct td_name name, union entry *new)
{
	struct td__mutex *mutex = &n->locks[hash % LOCKS].mutex;

	td__mutex_lock(mutex);
	entry_write(place_of(n->sets[hash % SETS], dir, name), new);
	td__mutex_unlock(mutex);
}

int td__name_get(struct td__vnode *dir, struct td_name name, uint64_t *fid)
{
	td_handle h = td__vnode_handle(dir);
	uint64_t hash = hash_of(h, name);
	uint32_t now = dir->fs->remote ? ticks() : 0;
	const struct td__name_filter *filter = __atomic_load_n(&dir->filter, __ATOMIC_ACQUIRE);
	union entry e;

	if (filter && !may_be_there(filter, hash))
		return TD__NAME_ABSENT;
	if (name.len >= NAME_KEPT || !find(dir->fs->names->sets[hash % SETS], h, name, &e))
		return TD__NAME_UNKNOWN;
	if (dir->fs->remote && ((int32_t)(e.until - now) <= 0 || e.names != dir->names))
		return TD__NAME_UNKNOWN;
	*fid = e.fid;
	return e.fid ? TD__NAME_KNOWN : TD__NAME_ABSENT;
}

void td__name_set(struct td__vnode *dir, struct td_name name, uint64_t fid)
{
	union entry e = { .dir = td__vnode_handle(dir), .fid = fid, .len = (uint8_t)name.len, .names = dir->names };
	uint64_t hash = hash_of(e.dir, name);

	if (fid && dir->filter)
		filter_add(dir, hash);
	if (name.len >= NAME_KEPT)
		return;
	if (dir->fs->remote)
		e.until = ticks() + ticks_of(dir->fs->info.name_ms);
	memcpy(e.name, name.bytes, name.len);
	set_entry(dir->fs->names, hash, e.dir, name, &e);
}

void td__name_drop(struct td__vnode *dir, struct td_name name)
{
	union entry none = { .dir = 0 };

	if (name.len < NAME_KEPT)
		set_entry(dir->fs->names, hash_of(td__vnode_handle(dir), name), td__vnode_handle(dir), name, &none);
}
