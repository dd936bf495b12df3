/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name cache: what a name in a directory stands for, or that it is not there. A fixed table in which new
 * entries push old ones out: it only ever saves a call. A directory is known by its handle, whose generation
 * changes when the vnode is used again, so entries of a forgotten directory never match.
 *
 * For a directory that was made since the mount began there is also a filter (Bloom 1970) of all the names that it ever had:
 * what is not in it is not there, so that filling new directories asks the module about no name.
 *
 * Where others change the file system, too, there are no filters, entries are believed for a time only, and a directory
 * that was changed by others has another number than its old entries.
 */
#include "fs.h"

enum { ENTRIES = 1 << 15, NAME_KEPT = 36, LOCKS = 64, FILTER_BITS = 1 << 14, FILTER_NAMES = 2048 };

struct td__name_filter {
	uint32_t names; /* so many are in it, about */
	uint64_t bits[FILTER_BITS / 64];
};

/* One cache line, which readers copy without a lock: `sequence` is odd while a writer is at it. */
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
	uint64_t words[8];
};
_Static_assert(sizeof(union entry) == 64, "entry");

struct td__names {
	union entry entries[ENTRIES];
	struct {
		struct td__mutex mutex;
	} __attribute__((aligned(64))) locks[LOCKS]; /* lock n is of who writes the entries whose index is n modulo LOCKS */
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

static uint64_t *filter_word(struct td__name_filter *f, uint64_t hash, uint32_t which)
{
	return &f->bits[(hash >> (16 * which)) % FILTER_BITS / 64];
}

static uint64_t filter_bit(uint64_t hash, uint32_t which)
{
	return 1ull << (hash >> (16 * which)) % 64;
}

static int may_be_there(struct td__name_filter *f, uint64_t hash)
{
	for (uint32_t i = 0; i < 3; i++)
		if (!(__atomic_load_n(filter_word(f, hash, i), __ATOMIC_RELAXED) & filter_bit(hash, i)))
			return 0;
	return 1;
}

static void filter_add(struct td__name_filter *f, uint64_t hash)
{
	if (may_be_there(f, hash))
		return;
	for (uint32_t i = 0; i < 3; i++)
		__atomic_or_fetch(filter_word(f, hash, i), filter_bit(hash, i), __ATOMIC_RELAXED);
	__atomic_add_fetch(&f->names, 1, __ATOMIC_RELAXED);
}

/* A filter that is too full says yes to everything: no use. */
static int filter_useful(const struct td__name_filter *f)
{
	return f && __atomic_load_n(&f->names, __ATOMIC_RELAXED) < FILTER_NAMES;
}

void td__names_begin(struct td__vnode *dir, uint64_t parent)
{
	dir->filter = td__port_alloc(sizeof(*dir->filter));
	td__name_set(dir, (struct td_name){ (const uint8_t *)"..", 2 }, parent);
}

void td__names_forget(struct td__vnode *dir)
{
	if (dir->filter)
		td__port_free(dir->filter, sizeof(*dir->filter));
	dir->filter = 0;
}

/* ---- Entries */

/* 1: *copy is what stands there. 0: a writer was at it, which is as good as an entry that was pushed out. */
static int entry_read(const union entry *e, union entry *copy)
{
	uint32_t before = __atomic_load_n(&e->sequence, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < 8; i++)
		copy->words[i] = __atomic_load_n(&e->words[i], __ATOMIC_ACQUIRE);
	return !(before & 1) && __atomic_load_n(&e->sequence, __ATOMIC_RELAXED) == before;
}

static void entry_write(union entry *e, struct td__mutex *mutex, union entry *new)
{
	uint32_t sequence;

	td__mutex_lock(mutex);
	sequence = e->sequence;
	__atomic_store_n(&e->sequence, sequence + 1, __ATOMIC_RELAXED);
	new->sequence = sequence + 1;
	for (uint32_t i = 0; i < 8; i++)
		__atomic_store_n(&e->words[i], new->words[i], __ATOMIC_RELEASE);
	__atomic_store_n(&e->sequence, sequence + 2, __ATOMIC_RELEASE);
	td__mutex_unlock(mutex);
}

int td__name_get(struct td__vnode *dir, struct td_name name, uint64_t *fid)
{
	td_handle h = td__vnode_handle(dir);
	uint64_t hash = hash_of(h, name);
	uint32_t now = dir->fs->remote ? ticks() : 0;
	union entry e;

	if (filter_useful(dir->filter) && !may_be_there(dir->filter, hash))
		return TD__NAME_ABSENT;
	if (name.len >= NAME_KEPT || !entry_read(&dir->fs->names->entries[hash % ENTRIES], &e))
		return TD__NAME_UNKNOWN;
	if (e.dir != h || e.len != name.len || memcmp(e.name, name.bytes, name.len))
		return TD__NAME_UNKNOWN;
	if (dir->fs->remote && ((int32_t)(e.until - now) <= 0 || e.names != dir->names))
		return TD__NAME_UNKNOWN;
	*fid = e.fid;
	return e.fid ? TD__NAME_KNOWN : TD__NAME_ABSENT;
}

void td__name_set(struct td__vnode *dir, struct td_name name, uint64_t fid)
{
	struct td__names *n = dir->fs->names;
	union entry e = { .dir = td__vnode_handle(dir), .fid = fid, .len = (uint8_t)name.len, .names = dir->names };
	uint64_t hash = hash_of(e.dir, name);

	if (fid && dir->filter)
		filter_add(dir->filter, hash);
	if (name.len >= NAME_KEPT)
		return;
	if (dir->fs->remote)
		e.until = ticks() + ticks_of(dir->fs->info.name_ms);
	memcpy(e.name, name.bytes, name.len);
	entry_write(&n->entries[hash % ENTRIES], &n->locks[hash % LOCKS].mutex, &e);
}

void td__name_drop(struct td__vnode *dir, struct td_name name)
{
	struct td__names *n = dir->fs->names;
	uint64_t hash = hash_of(td__vnode_handle(dir), name);
	union entry none = { .dir = 0 };

	entry_write(&n->entries[hash % ENTRIES], &n->locks[hash % LOCKS].mutex, &none);
}
