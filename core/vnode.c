/* SPDX-License-Identifier: BSD-2-Clause */
/* Vnodes: the table of handles, the cache by fid, references. States and locks: see fs.h. */
#include "fs.h"
#include "list.h"

#define FROM(l, field) ((struct td__vnode *)((char *)(l) - __builtin_offsetof(struct td__vnode, field)))

/* ---- The table of handles */

struct td__vnode *td__vnode_at(struct td__fs *fs, uint32_t index)
{
	struct td__vnode *chunk;

	if (index / TD__CHUNK >= TD__CHUNKS)
		return 0;
	chunk = __atomic_load_n(&fs->chunks[index / TD__CHUNK], __ATOMIC_ACQUIRE);
	return chunk ? &chunk[index % TD__CHUNK] : 0;
}

static void push_free(struct td__fs *fs, struct td__vnode *v)
{
	struct td__frees *f = &fs->frees[td__port_thread() % TD__FREES];

	td__mutex_lock(&f->mutex);
	v->chain = f->first;
	f->first = v;
	td__mutex_unlock(&f->mutex);
}

/* From this thread's list, else from another. */
static struct td__vnode *pop_free(struct td__fs *fs)
{
	struct td__vnode *v = 0;

	for (uint32_t i = 0, n = td__port_thread(); i < TD__FREES && !v; i++) {
		struct td__frees *f = &fs->frees[(n + i) % TD__FREES];

		td__mutex_lock(&f->mutex);
		v = f->first;
		if (v)
			f->first = v->chain;
		td__mutex_unlock(&f->mutex);
	}
	return v;
}

/* Another chunk. Index 0 and 1 are never given out: FUSE's root is 1. */
static int more_vnodes(struct td__fs *fs)
{
	struct td__vnode *chunk = td__port_alloc(TD__CHUNK * sizeof(*chunk));
	uint32_t n;

	if (!chunk)
		return -TD_ENOMEM;
	td__mutex_lock(&fs->table_mutex);
	n = fs->nvnodes / TD__CHUNK;
	if (n < TD__CHUNKS) {
		for (uint32_t i = 0; i < TD__CHUNK; i++) {
			chunk[i].fs = fs;
			chunk[i].index = n * TD__CHUNK + i;
			td__rwlock_init(&chunk[i].lock);
		}
		__atomic_store_n(&fs->chunks[n], chunk, __ATOMIC_RELEASE);
		fs->nvnodes += TD__CHUNK;
	}
	td__mutex_unlock(&fs->table_mutex);
	if (n == TD__CHUNKS) {
		td__port_free(chunk, TD__CHUNK * sizeof(*chunk));
		return -TD_ENOMEM;
	}
	for (uint32_t i = TD__CHUNK; i-- > 0;)
		if (chunk[i].index > 1)
			push_free(fs, &chunk[i]);
	return 0;
}

/* A free vnode with a new generation, so a new handle. */
static struct td__vnode *take_vnode(struct td__fs *fs)
{
	struct td__vnode *v = pop_free(fs);
	uint64_t generation;

	while (!v) {
		if (more_vnodes(fs))
			return 0;
		v = pop_free(fs); /* others may have been faster */
	}
	generation = (v->handle >> 32) + 1;
	td__zero(&v->rec, sizeof(v->rec));
	v->handle = v->rec.handle = generation << 32 | v->index;
	v->unwritten = (struct td__unwritten){ 0 };
	v->kept = v->bare = v->linkable = v->appended = v->ahead_at = v->young = 0;
	v->ahead = v->ahead_end = 0;
	v->until = 0;
	v->opens = v->gone = v->contents = v->contents_opened = v->names = 0;
	return v;
}

static void free_vnode(struct td__vnode *v)
{
	td__extents_drop(v);
	td__kept_drop_all(v);
	td__standing_forget(v);
	td__names_forget(v);
	td__ahead_forget(v);
	push_free(v->fs, v);
}

struct td__vnode *td__vnode_get(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = td__vnode_at(fs, (uint32_t)h);
	uint64_t refs;

	if (!v)
		return 0;
	refs = __atomic_load_n(&v->refs, __ATOMIC_ACQUIRE);
	do {
		if (!refs)
			return 0;
	} while (!__atomic_compare_exchange_n(&v->refs, &refs, refs + 1, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	if (v->handle == h)
		return v;
	td__vnode_drop(v);
	return 0;
}

void td__vnode_hold(struct td__vnode *v)
{
	__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
}

/* ---- The cache by fid */

static struct td__vnode **bucket(struct td__stripe *s, uint64_t fid)
{
	return &s->buckets[(fid * 0x9e3779b97f4a7c15ull >> 20) & (s->nbuckets - 1)];
}

static void grow_stripe(struct td__stripe *s)
{
	uint32_t n = s->nbuckets, old = n;
	struct td__vnode **was = s->buckets, **now = td__port_alloc(2 * (size_t)n * sizeof(*now));

	if (!now)
		return; /* longer chains, no harm */
	s->buckets = now;
	s->nbuckets = 2 * n;
	for (uint32_t i = 0; i < old; i++)
		for (struct td__vnode *v = was[i], *next; v; v = next) {
			struct td__vnode **b = bucket(s, v->fid);

			next = v->chain;
			v->chain = *b;
			*b = v;
		}
	td__port_free(was, old * sizeof(*was));
}

static void hash_in(struct td__stripe *s, struct td__vnode *v)
{
	struct td__vnode **b;

	if (s->count >= s->nbuckets)
		grow_stripe(s);
	b = bucket(s, v->fid);
	v->chain = *b;
	*b = v;
	__atomic_store_n(&s->count, s->count + 1, __ATOMIC_RELAXED);
}

static void hash_out(struct td__stripe *s, struct td__vnode *v)
{
	struct td__vnode **b = bucket(s, v->fid);

	while (*b != v)
		b = &(*b)->chain;
	*b = v->chain;
	__atomic_store_n(&s->count, s->count - 1, __ATOMIC_RELAXED);
}

static struct td__vnode *find(struct td__stripe *s, uint64_t fid)
{
	struct td__vnode *v = *bucket(s, fid);

	while (v && v->fid != fid)
		v = v->chain;
	return v;
}

static uint32_t state_of(const struct td__vnode *v)
{
	return __atomic_load_n(&v->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct td__vnode *v, uint32_t state)
{
	__atomic_store_n(&v->state, state, __ATOMIC_RELEASE);
}

static void not_idle(struct td__stripe *s, struct td__vnode *v)
{
	if (!v->idle.next)
		return;
	td__list_del(&v->idle);
	s->nidle--;
}

static void idle(struct td__stripe *s, struct td__vnode *v)
{
	td__list_add(&s->idle, &v->idle);
	s->nidle++;
}

static void not_dirty(struct td__vnode *v)
{
	if (!v->dirty)
		return;
	td__list_del(&v->dirties);
	__atomic_store_n(&v->dirty, 0, __ATOMIC_RELAXED);
}

void td__vnode_nameless(struct td__vnode *v)
{
	struct td__stripe *s = td__stripe_of(v->fs, v->fid);

	if (!v->fs->device->log)
		return;
	td__mutex_lock(&s->mutex);
	if (!v->nameless.next)
		td__list_add(&s->nameless, &v->nameless);
	td__mutex_unlock(&s->mutex);
}

/* Under the stripe's mutex: out of every list, ready to be freed. */
static void remove_vnode(struct td__stripe *s, struct td__vnode *v)
{
	hash_out(s, v);
	not_idle(s, v);
	not_dirty(v);
	if (v->nameless.next)
		td__list_del(&v->nameless);
	set_state(v, TD__FREE);
	__atomic_store_n(&v->refs, 0, __ATOMIC_RELEASE);
}

void td__vnode_dirty(struct td__vnode *v)
{
	struct td__stripe *s;

	if (__atomic_load_n(&v->dirty, __ATOMIC_RELAXED))
		return;
	s = td__stripe_of(v->fs, v->fid);
	td__mutex_lock(&s->mutex);
	if (!v->dirty) {
		__atomic_store_n(&v->dirty, 1, __ATOMIC_RELAXED);
		td__list_add(&s->dirties, &v->dirties);
	}
	td__mutex_unlock(&s->mutex);
}

int td__vnode_update(struct td__vnode *v)
{
	struct td__stripe *s = td__stripe_of(v->fs, v->fid);
	int err;

	td__mutex_lock(&s->mutex);
	if (!v->dirty) {
		td__mutex_unlock(&s->mutex);
		return 0;
	}
	not_dirty(v);
	td__mutex_unlock(&s->mutex);
	err = td__fs_update(v->fs, v);
	if (!err && v->chain_bytes)
		err = td__fs_flush(v->fs, v);
	if (err)
		td__vnode_dirty(v);
	return err;
}

/* Only what was dirty at the beginning: writers that go on must not keep us here. */
static int update_stripe(struct td__fs *fs, struct td__stripe *s)
{
	uint32_t left = 0;
	int first = 0;

	td__mutex_lock(&s->mutex);
	for (struct td__list *l = s->dirties.next; l != &s->dirties; l = l->next)
		left++;
	while (left-- && s->dirties.next != &s->dirties) {
		struct td__vnode *v = FROM(s->dirties.next, dirties);

		not_idle(s, v);
		__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
		td__mutex_unlock(&s->mutex);
		td__rwlock_exclusive(&v->lock);
		int named = v->rec.nlink != 0, err = named ? td__vnode_update(v) : 0;
		td__rwlock_unlock(&v->lock);
		if (!named) { /* it goes with its last reference: nothing to write */
			td__mutex_lock(&s->mutex);
			not_dirty(v);
			td__mutex_unlock(&s->mutex);
		}
		if (err && !first)
			first = err;
		td__vnode_put(v, 1);
		td__mutex_lock(&s->mutex);
	}
	td__mutex_unlock(&s->mutex);
	(void)fs;
	return first;
}

int td__vnodes_update(struct td__fs *fs)
{
	int first = 0;

	for (uint32_t i = 0; i < TD__STRIPES; i++) {
		int err = update_stripe(fs, &fs->stripes[i]);

		if (err && !first)
			first = err;
	}
	return first;
}

/* ---- References that end */

void td__vnode_free_dying(struct td__vnode *v)
{
	struct td__stripe *s = td__stripe_of(v->fs, v->fid);

	td__mutex_lock(&s->mutex);
	remove_vnode(s, v);
	td__mutex_unlock(&s->mutex);
	td__rwlock_unlock(&v->lock);
	free_vnode(v);
}

/*
 * Give n references back; more than there are is all there are. Under the stripe's mutex. Returns what the vnode is now: FREE or
 * DYING are for the caller to carry out, without the mutex.
 */
static uint32_t give_back(struct td__stripe *s, struct td__vnode *v, uint64_t n)
{
	uint64_t refs = __atomic_load_n(&v->refs, __ATOMIC_ACQUIRE), left;

	do
		left = n < refs ? refs - n : 0;
	while (!__atomic_compare_exchange_n(&v->refs, &refs, left, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	if (left || !refs)
		return TD__ACTIVE;
	if (state_of(v) == TD__FREE) /* its load had failed */
		return TD__FREE;
	if (v->rec.nlink) {
		idle(s, v);
		return TD__ACTIVE;
	}
	not_dirty(v); /* there is nothing to write any more, and td__vnodes_update() must not find it */
	set_state(v, TD__DYING);
	return TD__DYING;
}

/* Too many idle vnodes: forget the one that was used longest ago. Called and returns with the mutex. */
static void evict(struct td__fs *fs, struct td__stripe *s)
{
	struct td__vnode *v = FROM(s->idle.next, idle);
	uint64_t ours = 1;
	int err;

	not_idle(s, v);
	if (v->dirty || v->ahead_end || td__hook_bound(fs, TD_OP_reclaim)) {
		__atomic_store_n(&v->refs, 1, __ATOMIC_RELEASE);
		td__mutex_unlock(&s->mutex);
		td__rwlock_exclusive(&v->lock);
		td__ahead_trim(v);
		err = td__vnode_update(v);
		if (!err)
			td__fs_reclaim(fs, v);
		td__rwlock_unlock(&v->lock);
		td__mutex_lock(&s->mutex);
		if (err || v->dirty ||
		    !__atomic_compare_exchange_n(&v->refs, &ours, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			/* Wanted again, or not to be written now: it stays, unless it has lost its last name meanwhile. */
			if (give_back(s, v, 1) == TD__DYING) {
				td__mutex_unlock(&s->mutex);
				td__grave_put(v);
				td__mutex_lock(&s->mutex);
			}
			return;
		}
	}
	remove_vnode(s, v);
	td__mutex_unlock(&s->mutex);
	free_vnode(v);
	td__mutex_lock(&s->mutex);
}

/* The last reference. */
static void put_last(struct td__vnode *v, uint64_t n)
{
	struct td__fs *fs = v->fs;
	struct td__stripe *s = td__stripe_of(fs, v->fid);
	uint32_t state;

	td__mutex_lock(&s->mutex);
	state = give_back(s, v, n);
	if (state == TD__ACTIVE && s->nidle > TD__IDLE_MAX)
		evict(fs, s);
	td__mutex_unlock(&s->mutex);
	if (state == TD__DYING)
		td__grave_put(v);
	else if (state == TD__FREE)
		free_vnode(v);
}

static void put(struct td__vnode *v, uint64_t n)
{
	uint64_t refs = __atomic_load_n(&v->refs, __ATOMIC_ACQUIRE);

	while (refs > n)
		if (__atomic_compare_exchange_n(&v->refs, &refs, refs - n, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return;
	put_last(v, n);
}

static int room_for_drop(struct td__fs *fs)
{
	uint32_t room = fs->drops_room ? 2 * fs->drops_room : 64;
	struct td__vnode **drops;

	if (fs->ndrops < fs->drops_room)
		return 1;
	drops = td__port_alloc(room * sizeof(*drops));
	if (!drops)
		return 0;
	if (fs->drops_room) {
		memcpy(drops, fs->drops, fs->ndrops * sizeof(*drops));
		td__port_free(fs->drops, fs->drops_room * sizeof(*drops));
	}
	fs->drops = drops;
	fs->drops_room = room;
	return 1;
}

void td__vnode_drop(struct td__vnode *v)
{
	struct td__fs *fs = v->fs;

	td__mutex_lock(&fs->drops_mutex);
	if (room_for_drop(fs)) { /* else the vnode stays until the mount ends */
		fs->drops[fs->ndrops] = v;
		__atomic_store_n(&fs->ndrops, fs->ndrops + 1, __ATOMIC_RELAXED);
	}
	td__mutex_unlock(&fs->drops_mutex);
}

static struct td__vnode *next_drop(struct td__fs *fs)
{
	struct td__vnode *v = 0;

	td__mutex_lock(&fs->drops_mutex);
	if (fs->ndrops) {
		v = fs->drops[fs->ndrops - 1];
		__atomic_store_n(&fs->ndrops, fs->ndrops - 1, __ATOMIC_RELAXED);
	}
	td__mutex_unlock(&fs->drops_mutex);
	return v;
}

void td__vnode_put(struct td__vnode *v, uint64_t n)
{
	struct td__fs *fs = v->fs;

	put(v, n);
	while (__atomic_load_n(&fs->ndrops, __ATOMIC_RELAXED)) {
		v = next_drop(fs);
		if (v)
			put(v, 1);
	}
}

/* ---- From fid to vnode */

/* Somebody else is loading it, or has: wait, then see. The reference is ours; the caller may hold a directory's lock. */
static int wait_loaded(struct td__vnode *v, struct td__vnode **out)
{
	int ok;

	if (state_of(v) == TD__LOADING) {
		td__rwlock_shared(&v->lock);
		td__rwlock_unlock(&v->lock);
	}
	ok = state_of(v) == TD__ACTIVE;
	if (ok)
		*out = v;
	else
		td__vnode_drop(v);
	return ok ? 0 : -TD_ESTALE;
}

/* The load failed: out of the cache; who waited gets ESTALE and gives its reference back, the last one frees. */
static void unload(struct td__stripe *s, struct td__vnode *v)
{
	uint64_t refs;

	td__mutex_lock(&s->mutex);
	hash_out(s, v);
	set_state(v, TD__FREE);
	refs = __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL);
	td__mutex_unlock(&s->mutex);
	td__rwlock_unlock(&v->lock);
	if (!refs)
		free_vnode(v);
}

/* What an operation has just made. */
struct fresh {
	const struct td_vnode *rec;
	uint64_t parent;
};

static void loaded(struct td__vnode *v, const struct td_vnode *rec, struct td__vnode **out)
{
	uint64_t handle = v->rec.handle;

	v->rec = *rec;
	v->rec.handle = handle;
	v->rec.flags = 0;
	td__vnode_believe(v, v->fs->info.attr_ms);
	set_state(v, TD__ACTIVE);
	td__rwlock_unlock(&v->lock);
	*out = v;
}

static int load(struct td__fs *fs, struct td__stripe *s, struct td__vnode *v, const struct fresh *fresh, struct td__vnode **out)
{
	struct td_vnode r = v->rec;
	int err = 0;

	if (fresh) {
		r = *fresh->rec;
		v->bare = 1;
		if (r.type == TD_DIR && !fs->remote)
			td__names_begin(v, fresh->parent);
	} else {
		err = td__fs_getvnode(fs, r.fid, &r);
	}
	if (err) {
		unload(s, v);
		return err;
	}
	loaded(v, &r, out);
	return 0;
}

/* A free vnode, locked. Made before the stripe's mutex is taken: vnode locks come first. */
static struct td__vnode *new_vnode(struct td__fs *fs, uint64_t fid)
{
	struct td__vnode *v = take_vnode(fs);

	if (!v)
		return 0;
	td__rwlock_exclusive(&v->lock);
	v->fid = v->rec.fid = fid;
	return v;
}

static void not_needed(struct td__vnode *v)
{
	if (!v)
		return;
	td__rwlock_unlock(&v->lock);
	free_vnode(v);
}

/* The vnode that is there, with a reference; else the new one, hashed in. */
static struct td__vnode *find_or_add(struct td__stripe *s, uint64_t fid, struct td__vnode *new, uint32_t *state)
{
	struct td__vnode *v;

	td__mutex_lock(&s->mutex);
	v = find(s, fid);
	*state = v ? state_of(v) : TD__FREE;
	if (v && *state != TD__DYING) {
		not_idle(s, v);
		__atomic_add_fetch(&v->refs, 1, __ATOMIC_ACQ_REL);
	} else if (!v && new) {
		v = new;
		set_state(v, TD__LOADING);
		__atomic_store_n(&v->refs, 1, __ATOMIC_RELEASE);
		hash_in(s, v);
	}
	td__mutex_unlock(&s->mutex);
	return v;
}

struct td__vnode *td__vnode_cached(struct td__fs *fs, uint64_t fid)
{
	uint32_t state;
	struct td__vnode *v = find_or_add(td__stripe_of(fs, fid), fid, 0, &state), *out;

	return v && state != TD__DYING && !wait_loaded(v, &out) ? v : 0;
}

int td__vnode_by_fid(struct td__fs *fs, uint64_t fid, struct td__vnode **out)
{
	struct td__stripe *s = td__stripe_of(fs, fid);
	struct td__vnode *v, *new;
	uint32_t state;

	if (!fid)
		return -TD_EIO;
	v = find_or_add(s, fid, 0, &state);
	if (v)
		return state == TD__DYING ? -TD_ESTALE : wait_loaded(v, out);
	new = new_vnode(fs, fid);
	if (!new)
		return -TD_ENOMEM;
	v = find_or_add(s, fid, new, &state);
	if (v == new)
		return load(fs, s, v, 0, out);
	not_needed(new);
	return state == TD__DYING ? -TD_ESTALE : wait_loaded(v, out);
}

/* ---- In parts: see fs.h */

struct td__vnode *td__vnode_begin(struct td__fs *fs, uint64_t fid, int *ours)
{
	struct td__stripe *s = td__stripe_of(fs, fid);
	struct td__vnode *v, *new = 0;
	uint32_t state;

	*ours = 0;
	v = fid ? find_or_add(s, fid, 0, &state) : 0;
	if (!v && fid)
		new = new_vnode(fs, fid);
	if (new)
		v = find_or_add(s, fid, new, &state);
	*ours = v && v == new;
	if (!*ours)
		not_needed(new);
	return v && state == TD__DYING ? 0 : v;
}

void td__vnode_end(struct td__vnode *v, const struct td_vnode *rec, struct td__vnode **out)
{
	struct td__stripe *s = td__stripe_of(v->fs, v->fid);

	*out = 0;
	if (!rec)
		load(v->fs, s, v, 0, out);
	else if (rec->type)
		loaded(v, rec, out);
	else
		unload(s, v);
}

void td__vnode_wait(struct td__vnode *v, struct td__vnode **out)
{
	*out = 0;
	wait_loaded(v, out);
}

/*
 * The fid is new, or was freed and is given anew. Then its former vnode may still be there, DYING under the lock of who frees it; and
 * somebody who has the fid from an old listing may be loading it: the former life, without success, or already the new one.
 */
int td__vnode_adopt(struct td__fs *fs, const struct td_vnode *rec, uint64_t parent, struct td__vnode **out)
{
	struct td__stripe *s = td__stripe_of(fs, rec->fid);
	const struct fresh fresh = { rec, parent };

	for (;;) {
		struct td__vnode *new = new_vnode(fs, rec->fid), *v;
		uint32_t state;

		if (!new)
			return -TD_ENOMEM;
		v = find_or_add(s, rec->fid, new, &state);
		if (v == new)
			return load(fs, s, v, &fresh, out);
		not_needed(new);
		if (state == TD__DYING && __atomic_load_n(&v->waits, __ATOMIC_ACQUIRE)) {
			return -TD_EIO; /* the module has not freed it: a fid that is in use */
		} else if (state == TD__DYING) {
			td__rwlock_shared(&v->lock);
			td__rwlock_unlock(&v->lock);
		} else if (!wait_loaded(v, out)) {
			if (v->rec.type == rec->type && v->rec.generation == rec->generation)
				return 0;
			td__vnode_drop(v); /* a fid that is in use */
			return -TD_EIO;
		}
	}
}

/* ---- Begin and end */

int td__vnodes_init(struct td__fs *fs)
{
	fs->chunks = td__port_alloc(TD__CHUNKS * sizeof(*fs->chunks));
	fs->stripes = td__port_alloc(TD__STRIPES * sizeof(*fs->stripes));
	fs->frees = td__port_alloc(TD__FREES * sizeof(*fs->frees));
	if (!fs->chunks || !fs->stripes || !fs->frees)
		return -TD_ENOMEM;
	for (uint32_t i = 0; i < TD__FREES; i++)
		td__mutex_init(&fs->frees[i].mutex);
	td__mutex_init(&fs->table_mutex);
	td__mutex_init(&fs->drops_mutex);
	for (uint32_t i = 0; i < TD__GRAVES; i++)
		td__mutex_init(&fs->graves[i].mutex);
	td__mutex_init(&fs->pending_mutex);
	for (uint32_t i = 0; i < TD__STRIPES; i++) {
		struct td__stripe *s = &fs->stripes[i];

		td__mutex_init(&s->mutex);
		td__list_init(&s->idle);
		td__list_init(&s->dirties);
		td__list_init(&s->nameless);
		s->nbuckets = 16;
		s->buckets = td__port_alloc(s->nbuckets * sizeof(*s->buckets));
		if (!s->buckets)
			return -TD_ENOMEM;
	}
	return 0;
}

void td__vnodes_fini(struct td__fs *fs)
{
	for (uint32_t n = 0; fs->chunks && n < fs->nvnodes / TD__CHUNK; n++) {
		for (uint32_t i = 0; i < TD__CHUNK; i++) {
			td__extents_drop(&fs->chunks[n][i]);
			td__kept_drop_all(&fs->chunks[n][i]);
			td__standing_forget(&fs->chunks[n][i]);
			td__names_forget(&fs->chunks[n][i]);
			td__rwlock_fini(&fs->chunks[n][i].lock);
		}
		td__port_free(fs->chunks[n], TD__CHUNK * sizeof(*fs->chunks[n]));
	}
	for (uint32_t i = 0; i < TD__GRAVES; i++)
		td__mutex_fini(&fs->graves[i].mutex);
	td__mutex_fini(&fs->pending_mutex);
	if (fs->pending_room)
		td__port_free(fs->pending, fs->pending_room * sizeof(*fs->pending));
	if (fs->drops_room)
		td__port_free(fs->drops, fs->drops_room * sizeof(*fs->drops));
	if (fs->chunks)
		td__port_free(fs->chunks, TD__CHUNKS * sizeof(*fs->chunks));
	for (uint32_t i = 0; fs->frees && i < TD__FREES; i++)
		td__mutex_fini(&fs->frees[i].mutex);
	if (fs->frees)
		td__port_free(fs->frees, TD__FREES * sizeof(*fs->frees));
	for (uint32_t i = 0; fs->stripes && i < TD__STRIPES; i++)
		if (fs->stripes[i].buckets) {
			td__port_free(fs->stripes[i].buckets,
				      fs->stripes[i].nbuckets * sizeof(*fs->stripes[i].buckets));
			td__mutex_fini(&fs->stripes[i].mutex);
		}
	if (fs->stripes)
		td__port_free(fs->stripes, TD__STRIPES * sizeof(*fs->stripes));
}

uint64_t td__vnodes_count(struct td__fs *fs)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < TD__STRIPES; i++)
		n += __atomic_load_n(&fs->stripes[i].count, __ATOMIC_RELAXED);
	return n;
}
