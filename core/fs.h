/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's objects of a mount: the mount itself and its vnodes.
 *
 * Lock order, from the outside in:
 *   fs->renames                     held by whoever locks more than one directory
 *   vnode locks                     directories before what they contain; else by index
 *   slots of calls                  claimed by td__call_begin(); waits for fs->life to be over
 *   module locks                    lock.c: deadlocks among them are found and ended
 *   fs->life                        start, restart, change of level; never with a slot claimed
 *   stripe->mutex, fs->faults_mutex, fs->drops_mutex, device->load, fs->ahead.mutex, name stripes, fs->locks_mutex: innermost, one at a time
 *   a socket's mutex, and then the mbufs': innermost as well
 *
 * A vnode's life:
 *
 *   (free) --by fid--> LOADING --getvnode--> ACTIVE <--> CACHED (no reference, on its stripe's idle list)
 *                         |                    |            |
 *                         +--error--> (free)   +--no name, no reference--> DYING --inactive--> (free)
 *                                                           +--evicted: update, reclaim--> (free)
 *
 * refs is changed without a lock while it stays above 0; the steps to and from 0 are made under the
 * stripe's mutex. A vnode's memory is never given back, so a stale handle finds a vnode with another generation.
 */
#ifndef TADAN_FS_OBJECTS_H
#define TADAN_FS_OBJECTS_H

#include "mount.h"
#include "gateway.h"
#include "fs_gateway.h"
#include "lock.h"
#include "net.h"

enum td__vnode_state { TD__FREE, TD__LOADING, TD__ACTIVE, TD__DYING };

struct td__list {
	struct td__list *next, *prev;
};

/* That something could not be written, see unwritten.c. Atomic. */
struct td__unwritten {
	uint32_t word;
	uint32_t known; /* since it was written as a whole the last time */
};

struct td__vnode {
	struct td__rwlock lock; /* guards rec, extents */
	struct td_vnode rec;    /* handle, fid and type do not change while it is ACTIVE: they are read without the lock */
	struct td__fs *fs;
	td_handle handle; /* as in the record; a free vnode's last one */
	uint64_t fid;
	uint32_t index;
	uint32_t kept; /* references that the module keeps, under the stripe's mutex */

	/* Under the stripe's mutex. */
	uint64_t refs; /* atomic above 0 */
	uint32_t state;
	uint32_t dirty; /* on the stripe's dirty list: the module has not seen the record as it is now; read without the mutex */
	struct td__vnode *chain;
	struct td__list idle;
	struct td__list dirties;
	struct td__list nameless; /* has lost its last name, of an image */

	struct td__kept *chains, **chains_end; /* chains that the module keeps with it, under the lock */
	struct td__standing *standing; /* standing.c; atomic */
	uint64_t chain_bytes;

	/* With TD_FS_REMOTE. */
	uint64_t until;    /* nanoseconds: the record is believed; atomic */
	uint32_t changes;  /* counts calls that had it exclusively; under the lock */
	uint32_t opens;    /* atomic */
	uint32_t gone;     /* the server does not know it any more; atomic */
	uint32_t contents; /* counts changes of content by others; atomic */
	uint32_t contents_opened; /* that, when it was opened last; atomic */
	uint32_t names;    /* of a directory: counts changes by others, so that old names are not found; atomic */

	struct td__name_filter *filter; /* of a directory made since the mount began, see name.c */
	uint32_t waits; /* it is DYING and in a grave; atomic */
	struct td__unwritten unwritten;
	uint32_t bare; /* known to have no extended attributes; under the lock */
	uint32_t linkable; /* it has no name yet, by td_tmpfile(), and may get one; under the lock */

	/* Cached extents, sorted, without overlap; changed under the exclusive lock only. */
	struct td_extent *extents;
	uint32_t nextents, room;

	/* Blocks [ahead, ahead_end) were allocated ahead, see ahead.c; under the lock. */
	uint64_t ahead, ahead_end;
	uint32_t ahead_at; /* where fs->ahead has its fid, plus 1; 0: nowhere */
	uint32_t young;        /* made by create, and small as yet: what it becomes tells what new files are like */
	uint32_t appended;     /* blocks were allocated at its end since those ahead were given back */
} __attribute__((aligned(64))); /* neighbours belong to different callers */

/* The vnodes whose fids hash alike. */
struct td__stripe {
	struct td__mutex mutex;
	struct td__vnode **buckets;
	uint32_t nbuckets, count, nidle;
	struct td__list idle;    /* least recently used first */
	struct td__list dirties;
	struct td__list nameless;
} __attribute__((aligned(128)));

enum {
	TD__STRIPES = 64,
	TD__FREES = 16,
	TD__CHUNK = 1024,       /* vnodes allocated at a time */
	TD__CHUNKS = 1 << 16,
	TD__IDLE_MAX = 4096,    /* vnodes without reference that a stripe keeps */
	TD__EXTENTS_MAX = 8192, /* cached extents of a vnode; more than the blocks that one td_read_spans() asks for */
};

struct td__names;

/* Free vnodes. Each thread has a list that it prefers, so that two which make and remove files do not meet. */
struct td__frees {
	struct td__mutex mutex;
	struct td__vnode *first;
} __attribute__((aligned(128)));

/* Vnodes that the module is to free, see grave.c. Each thread has one that it prefers. */
enum { TD__GRAVES = 16, TD__GRAVE_ROOM = 16 };
struct td__grave {
	struct td__mutex mutex;
	struct td__vnode *v[TD__GRAVE_ROOM];
	uint32_t n;
	uint64_t units; /* of 512 bytes, that they occupy */
} __attribute__((aligned(128)));

/* Which files may have blocks ahead, and what new files are made with: see ahead.c. */
enum { TD__AHEAD_GUESSES = 16 };
struct td__ahead {
	struct td__mutex mutex; /* guards the ring: first and end count on */
	struct td__ahead_entry {
		uint64_t fid, blocks;
	} *ring;
	uint64_t blocks; /* of all entries */
	uint32_t first, end;
	struct td__ahead_guess {
		uint32_t unwritten;
		uint32_t parts; /* of a block, that the next is made with */
		uint32_t last; /* blocks of the largest file that was made since the guess; 0: none was written */
	} __attribute__((aligned(64))) guesses[TD__AHEAD_GUESSES];
};

/* The domain in advance, and the one behind. */
struct td__standby {
	struct td__mutex mutex;
	struct td__cond changed;
	struct td__helper *helper; /* 0: none as yet; set under `life` */
	struct td_level level;     /* what the next one is to be like */
	uint32_t wanted, busy;
	struct td__domain *ready; /* not entered as yet */
	struct td__domain *old;   /* replaced, to be ended */
};

/* Grouped by who writes: what every call reads shares no cache line with what some calls change. */
struct td__fs {
	/* Read on every call, changed only while the gate is closed. */
	struct td__hooks hooks;
	struct td__domain *domain;
	uint32_t state;  /* enum td_state */
	uint32_t closed; /* not 0: calls must wait; bits of enum td__closed */
	uint32_t starter; /* td__port_thread() + 1 of who may call nevertheless */
	uint32_t nslots;  /* of the domain */
	uint32_t owners;  /* slots can have owners, see gateway.h */
	uint32_t remote;  /* TD_FS_REMOTE */
	uint32_t dear;    /* a call of the domain is a turn to another process */
	struct td__device *device;
	const struct td__module *module;
	const struct td__wall *const *walls;
	struct td_fsinfo info;
	struct td__limits limits;
	uint64_t traced; /* bit n: calls of operation n are, see mistake.c; atomic */
	uint32_t eio_believed; /* see is_doubtful() in gateway.c; until the level changes */
	uint64_t maxfiles;
	struct td__call *calls; /* TD__SLOTS */
	struct td__names *names;
	struct td__vnode *root;
	struct td__vnode **chunks; /* TD__CHUNKS pointers */
	struct td__stripe *stripes; /* TD__STRIPES */
	struct td__frees *frees;    /* TD__FREES */
	uint32_t slot_waiters;
	uint32_t ndrops; /* of drops, below; read without the mutex, and seldom more than 0 */

	struct td__mutex life __attribute__((aligned(128))); /* start, restart, change of level */
	struct td__mutex tick_mutex; /* a domain in use by td__domain_tick() is not replaced */
	struct td__mutex gate_mutex;
	struct td__cond gate; /* the gate opened, or a slot was given back while it was closed */

	struct td__locks locks;
	struct td__mutex renames;

	struct td__mutex table_mutex; /* guards the table's growth */
	uint32_t nvnodes;
	uint32_t kept; /* references that the domain keeps, atomic */
	struct td__mutex drops_mutex;
	struct td__vnode **drops; /* references to be given back by the next td__vnode_put(), see there */
	uint32_t drops_room;
	struct td__ahead ahead;
	struct td__grave graves[TD__GRAVES];
	struct td__mutex pending_mutex;
	uint64_t *pending; /* fids without a name that could not be freed */
	uint64_t npending, pending_room;
	uint64_t pending_tried; /* td__port_monotonic(), when one was tried again */

	struct td__mutex faults_mutex;
	struct td_fault *faults; /* ring of TD_FAULTS_KEPT */
	uint64_t nfaults;
	struct td_fault *mistakes; /* ring of TD_MISTAKES_KEPT, each unlike the others */
	uint64_t nmistakes;
	uint32_t traced_refs; /* the same of vnode references; atomic */
	struct td__origins references;
	uint64_t restart_times[64]; /* of the last restarts, for the limit */
	uint64_t restarts, level_changes, domains;
	uint64_t guilty;      /* the last domain of which a call reports a fault: set before that call gives its slot back; atomic */
	const char *detached; /* why the module is, as the last time; under `life` */
	struct td__unwritten unwritten; /* of the whole mount */
	int64_t since_sec;
	uint64_t last_pause_ns;
	struct td__ticker *ticker;
	uint64_t last_deadlock_check, last_tick;
	int64_t cpu_debt;      /* ns that the domain has used beyond its share, under tick_mutex */
	uint64_t cpu_ns, throttled_ns; /* of all domains; under tick_mutex */
	uint64_t heap_used;    /* bytes, as the module says; atomic */
	uint64_t left_references, left_memory; /* at unmounts in good order; atomic */
	struct td__written *written; /* see watch.c */

	struct td__standby standby; /* see standby.c */
	const char *source, *options; /* what the module is mounted on, and how */
	char said[201]; /* by the module while it is mounted, under `life` */
	struct td__net net;
};

/* A chain that a module keeps with a vnode. */
struct td__kept {
	struct td__kept *next;
	struct td__mbuf *m;
	uint64_t key, value;
	uint32_t dropped; /* by a call that is not committed yet */
};

enum td__closed { TD__REPLACED = 1 /* the domain is replaced */, TD__THROTTLED = 2 /* it has used more than its share of time */ };

/* Is this the thread that may call although the gate is closed? */
static inline int td__is_starter(const struct td__fs *fs)
{
	return __atomic_load_n(&fs->starter, __ATOMIC_RELAXED) == td__port_thread() + 1;
}

/* ---- vnode.c */

static inline td_handle td__vnode_handle(const struct td__vnode *v)
{
	return v->handle;
}

/* Take over what may change in a record: all but handle, fid and type. */
static inline void td__record_take(struct td_vnode *to, const struct td_vnode *from)
{
	const uint32_t size = __builtin_offsetof(struct td_vnode, size), type = __builtin_offsetof(struct td_vnode, type),
		       mode = __builtin_offsetof(struct td_vnode, mode);

	memcpy((char *)to + size, (const char *)from + size, type - size);
	memcpy((char *)to + mode, (const char *)from + mode, sizeof(*to) - mode);
}

/* The vnode of a handle that somebody holds, with one more reference; 0 if stale. */
struct td__vnode *td__vnode_get(struct td__fs *fs, td_handle h);
/* By its place in the table, below nvnodes. */
struct td__vnode *td__vnode_at(struct td__fs *fs, uint32_t index);
/*
 * Give a reference back; may call the module (inactive, update, reclaim): no vnode lock is held, and no slot. Who cannot promise that,
 * such as a service, uses td__vnode_drop(): the next td__vnode_put() of whoever does it then.
 */
void td__vnode_put(struct td__vnode *v, uint64_t n);
void td__vnode_drop(struct td__vnode *v);
/* Another reference, by somebody who has one. */
void td__vnode_hold(struct td__vnode *v);
/* The vnode of a fid, from the cache or by the module's getvnode; with a reference. */
int td__vnode_by_fid(struct td__fs *fs, uint64_t fid, struct td__vnode **out);
/*
 * The same in parts, for several at once: with a reference, loaded or being loaded by somebody; or ours to load, locked. td__vnode_end() loads
 * what is ours: with this record (type NONE: there is no such file), or with getvnode if rec is 0. td__vnode_wait() waits for the others; who has one to load
 * himself must not. *out: with a reference, or 0.
 */
struct td__vnode *td__vnode_begin(struct td__fs *fs, uint64_t fid, int *ours);
void td__vnode_end(struct td__vnode *v, const struct td_vnode *rec, struct td__vnode **out);
void td__vnode_wait(struct td__vnode *v, struct td__vnode **out);
/* The vnode of a fid if the kernel knows it and it is alive, with a reference; else 0. */
struct td__vnode *td__vnode_cached(struct td__fs *fs, uint64_t fid);
/* A vnode for a record that an operation has just made in the directory `parent`; with a reference. */
int td__vnode_adopt(struct td__fs *fs, const struct td_vnode *rec, uint64_t parent, struct td__vnode **out);
static inline struct td__vnode *td__vnode_of_nameless(struct td__list *l)
{
	return (struct td__vnode *)((char *)l - __builtin_offsetof(struct td__vnode, nameless));
}
/* Its record has no name any more: a commit notes it, for it must be freed even if nobody is left to do it. */
void td__vnode_nameless(struct td__vnode *v);
/* The record has changed and the module is to be told later. */
void td__vnode_dirty(struct td__vnode *v);
/* It is DYING, locked exclusively, and the module has freed it. */
void td__vnode_free_dying(struct td__vnode *v);
/* Tell it now. The exclusive lock is held. */
int td__vnode_update(struct td__vnode *v);
/* Update all that are dirty. The first error is returned, all are tried. */
int td__vnodes_update(struct td__fs *fs);
int td__vnodes_init(struct td__fs *fs);
void td__vnodes_fini(struct td__fs *fs);
uint64_t td__vnodes_count(struct td__fs *fs);

static inline struct td__stripe *td__stripe_of(struct td__fs *fs, uint64_t fid)
{
	return &fs->stripes[(fid * 0x9e3779b97f4a7c15ull) >> 58];
}

/* Module's references: see the services vref and vrele. May be called within a call. */
int td__vnode_keep(struct td__fs *fs, td_handle h);
int td__vnode_unkeep(struct td__fs *fs, td_handle h);
void td__vnodes_unkeep_all(struct td__fs *fs);

/* What the module keeps with a vnode goes: nobody will ask for it. */
void td__kept_drop_all(struct td__vnode *v);
/* Over these limits of what is kept, the module is to flush; twice as much is refused. */
enum { TD__KEPT_VNODE = 16 << 20, TD__KEPT_MOUNT = 64 << 20 };
/* Is it time to flush? The exclusive lock is held. */
static inline int td__kept_too_much(const struct td__vnode *v)
{
	return v->chain_bytes && (v->chain_bytes > TD__KEPT_VNODE || __atomic_load_n(&v->fs->net.kept, __ATOMIC_RELAXED) > TD__KEPT_MOUNT);
}

/* ---- standing.c: reads without the module. The vnode's lock is held. */

/* As td__fs_read(); -TD_EAGAIN: the module is to be called. */
int td__standing_read(struct td__vnode *v, uint64_t off, uint64_t len, struct td__uio *uio);
/* The module has read up to there. */
void td__standing_passed(struct td__vnode *v, uint64_t end);
/* What stands does so no more. */
void td__standing_end(struct td__vnode *v);
/* The vnode is free. */
void td__standing_forget(struct td__vnode *v);

/* ---- refresh.c: with TD_FS_REMOTE; nothing is done without. */

/* The record is as the server has it, and is believed for so long from now on. The exclusive lock is held. */
void td__vnode_believe(struct td__vnode *v, uint32_t ms);
/* For how many milliseconds it is believed; ~0: for ever. */
uint32_t td__vnode_valid(const struct td__vnode *v);
/* Ask the module, if it is time, or in any case with `now`. No lock is held. An error is the caller's: ESTALE among them. */
int td__vnode_refresh(struct td__vnode *v, int now);
int td__vnode_is_gone(const struct td__vnode *v);
/* Somebody has opened or closed it. */
void td__vnode_opened(struct td__vnode *v, int more);
/* 1: others have changed its content since this was asked last. */
int td__vnode_is_new_content(struct td__vnode *v);

/* ---- extent.c: where the bytes of a file lie, as far as known. The lock is held, exclusive for changes. */

/* The cached extent that covers lblk, or 0. */
const struct td_extent *td__extent_find(const struct td__vnode *v, uint64_t lblk);
void td__extents_add(struct td__vnode *v, const struct td_extent *e, uint32_t n);
/* Forget what is known of a range. */
void td__extents_cut(struct td__vnode *v, uint64_t lblk, uint64_t count);
void td__extents_drop(struct td__vnode *v);
/* Ask the module for the extents from lblk on, and cache them. The exclusive lock is held. */
int td__extents_load(struct td__vnode *v, uint64_t lblk, uint64_t count);
/* Have the module fill holes. NEW extents are given to `fresh`, at most 32, *n of them. */
int td__extents_alloc(struct td__vnode *v, uint64_t lblk, uint64_t count, struct td_extent *fresh, uint32_t *n);

/* ---- ahead.c: blocks for the next writes. The exclusive lock is held, where nothing else is said. */

/* An append wants blocks up to `end`: up to where to ask for them. */
uint64_t td__ahead_end(const struct td__vnode *v, uint64_t end);
/* How many blocks lie ahead. The lock is held. */
uint64_t td__ahead_left(const struct td__vnode *v);
/* Give them back. */
void td__ahead_trim(struct td__vnode *v);
/* The file is no more. Nobody can find it. */
void td__ahead_forget(struct td__vnode *v);
/* The file is about to become empty. 1: its blocks are kept, as zeroes; 0: they are to be given back. */
int td__ahead_keep(struct td__vnode *v);
/* Unlock it, by who may have made blocks ahead. No other lock is held, for other vnodes may be locked, and the module called. */
void td__ahead_unlock(struct td__vnode *v);
/* How many blocks to make a new file with. The directory's lock is held. */
uint64_t td__ahead_first(struct td__fs *fs);
/* A new file, and its first blocks as the module gave them. Its directory's lock is held, so that nobody else can find it as yet. */
void td__ahead_begin(struct td__vnode *v, const struct td_extent *first, uint32_t n);
/* A young one has been written, up to so many blocks. */
void td__ahead_written(struct td__vnode *v, uint64_t blocks);
/* How many blocks lie ahead in all files. No lock is held. */
uint64_t td__ahead_hidden(struct td__fs *fs);
/* Give back those of all files. 1: there were such files. No lock is held. */
int td__ahead_trim_all(struct td__fs *fs);
/* 1: `err` says that the device is full, but there were blocks ahead, or files to be freed; try again. No lock is held. */
int td__ahead_relieve(struct td__fs *fs, int64_t err);
int td__ahead_init(struct td__fs *fs);
void td__ahead_fini(struct td__fs *fs);
/* The record as callers see it. The lock is held. */
void td__vnode_show(const struct td__vnode *v, struct td_vnode *out);

/* ---- grave.c */

/* It has neither name nor reference, and is DYING: the module frees what it holds, now or soon. No lock is held. */
void td__grave_put(struct td__vnode *v);
/* Now. 1: there were some. No lock is held. */
int td__graves_empty(struct td__fs *fs);
/* The module could not free this one. It is tried again later, of an image also by the next mount. */
void td__orphan_pending(struct td__fs *fs, uint64_t fid);
/* Now, for so many at most. Nobody's lock is held, as for td__graves_empty(). */
void td__orphans_retry(struct td__fs *fs, uint64_t most);

/* ---- file.c */

/* Set the size. The exclusive lock is held. */
int td__vnode_truncate(struct td__vnode *v, uint64_t size);
/* Is there to be a new time of access? A lock is held. */
int td__access_is_old(const struct td__vnode *v);
/* Set it. No lock is held. */
void td__vnode_accessed(struct td__vnode *v);

/* ---- names_ops.c */

/* What a name of a directory stands for, known or asked for. The directory's lock is held. */
int td__find_fid(struct td__fs *fs, struct td__vnode *dir, struct td_name name, uint64_t *fid);

/* ---- name.c: what names stand for; a cache that may forget. The directory's lock is held, exclusive for set. */

enum { TD__NAME_UNKNOWN, TD__NAME_KNOWN, TD__NAME_ABSENT };
int td__name_get(struct td__vnode *dir, struct td_name name, uint64_t *fid);
/* fid 0: the name is known not to be there. */
void td__name_set(struct td__vnode *dir, struct td_name name, uint64_t fid);
/* It is not known any more. */
void td__name_drop(struct td__vnode *dir, struct td_name name);
/* A directory is new, so all its names are known from now on. */
void td__names_begin(struct td__vnode *dir, uint64_t parent);
void td__names_forget(struct td__vnode *dir);
int td__names_init(struct td__fs *fs);
void td__names_fini(struct td__fs *fs);

/* The operation that begins works for this caller; where the module wants to know. */
static inline void td__begin_for(const struct td__fs *fs, const struct td_cred *cred)
{
	if (fs->remote)
		td__port_set_caller(cred);
}

/* ---- access.c */

/* mask: 4 read, 2 write, 1 execute. 0 or -TD_EACCES. The lock is held. */
int td__may(const struct td_cred *cred, const struct td_vnode *rec, uint32_t mask);
int td__is_owner(const struct td_cred *cred, const struct td_vnode *rec);
int td__in_group(const struct td_cred *cred, uint32_t gid);
/* May a name of `v` be taken out of dir? Sticky bit. */
int td__may_remove(const struct td_cred *cred, const struct td_vnode *dir, const struct td_vnode *v);
/*
 * Set-id bits go when content or owner change: set-group-id where the group may execute, and elsewhere, where it means something
 * else, if who changes the file is neither root nor of its group. As Linux does since 6.2.
 */
void td__drop_set_id(struct td_vnode *rec, const struct td_cred *cred);

/* ---- standby.c */

/* A new domain in which no code of the module has run, started now or in advance. 0, with *err and a reason. `life` is held. */
struct td__domain *td__domain_get(struct td__fs *fs, const struct td_level *level, char *why, size_t size, int *err);
/* It is not the mount's, or no longer; 0: nothing to do. */
void td__domain_end(struct td__domain *d);
/* The same, now or later. `life` is held. */
void td__domain_retire(struct td__fs *fs, struct td__domain *d);
/* Have another one like the mount's in advance, if the wall is one for that; and none any more. `life` is held. */
void td__standby_want(struct td__fs *fs);
void td__standby_drop(struct td__fs *fs);
/* pid of the process in advance; 0: there is none */
int64_t td__standby_process(struct td__fs *fs);
void td__standby_init(struct td__fs *fs);
void td__standby_fini(struct td__fs *fs);

/* ---- domain.c */

/*
 * Replace the domain `id` by a new one, at `level` (0: the same). Waits for calls to finish. If another thread has replaced it
 * already, there is nothing to do. `fault`: why, 0 for a change of level. 0, or an error and a reason.
 */
int td__domain_replace(struct td__fs *fs, uint64_t id, const struct td_level *level, struct td_fault *fault,
		       char *why, size_t size);
/* Every TD__TICK_MS: time limits and deadlocks, also while a module starts. */
enum { TD__TICK_MS = 10 };
void td__domain_tick(void *fs);
int td__domain_first(struct td__fs *fs, const struct td_level *level, uint32_t format, char *why, size_t size);
void td__domain_last(struct td__fs *fs);

/* ---- watch.c */

/* The module's own word; its heap is limited whatever it says. Mostly there is nothing new. */
static inline void td__note_heap(struct td__fs *fs, uint64_t used)
{
	if (used > fs->domain->level.memory)
		used = fs->domain->level.memory;
	if (__atomic_load_n(&fs->heap_used, __ATOMIC_RELAXED) != used)
		__atomic_store_n(&fs->heap_used, used, __ATOMIC_RELAXED);
}
/* Bytes of a block are about to change. With check=deep it is a fault if a call that is under way has changed them, too. */
void td__note_each_write(struct td__call *c, uint64_t blkno, uint32_t off, uint32_t len);
static inline void td__note_write(struct td__call *c, uint64_t blkno, uint32_t off, uint32_t len)
{
	if (c->domain->level.check == TD_CHECK_DEEP && c->domain->level.journal != TD_JOURNAL_OFF)
		td__note_each_write(c, blkno, off, len);
}
int td__written_init(struct td__fs *fs);
void td__written_fini(struct td__fs *fs);

/* ---- mistake.c */

/* The call waited for this lock in a deadlock, and gave way. Counted as deadlocks are. */
void td__mistake_deadlock(struct td__call *c, uint32_t lock);
/* References and bytes of memory that the module has not given back at its unmount. */
void td__mistakes_left(struct td__fs *fs, uint64_t references, uint64_t memory);
/* Where the module calls the service that it is in, innermost first. The call has no fault as yet. */
void td__origin_where(struct td__call *c, uint64_t frames[TD__ORIGIN_FRAMES]);
/* Where a call that is traced is taking this. */
void td__origin_put(struct td__call *c, const char *object, uint64_t which);
static inline void td__origin_note(struct td__call *c, const char *object, uint64_t which)
{
	if (__builtin_expect(c->traced, 0))
		td__origin_put(c, object, which);
}
/* That becomes the fault's place, if none is known; from now on calls of this operation note theirs. */
void td__origin_get(struct td__call *c, const char *object, uint64_t which, struct td_fault *f);
/* Of a reference, which outlasts the call. */
void td__origin_note_reference(struct td__call *c, uint64_t vnode);

/* ---- heap.c */

/* What is known of the allocations of a domain with heap=pages; others have nothing of this. 0 or -TD_ENOMEM. */
int td__heap_make(struct td__domain *d);
void td__heap_end(struct td__domain *d);
/* Say in f->memory what lies at f->heap. */
void td__heap_describe(const struct td__call *c, struct td_fault *f);

/* ---- fault.c */

int td__same_text(const char *a, const char *b);
/*
 * Of a ring of `kept` faults, in which `*made` were put so far, those after the first `after`, at most n, oldest first. Returns how many.
 */
uint32_t td__faults_after(struct td__fs *fs, const struct td_fault *ring, uint32_t kept, const uint64_t *made, uint64_t after,
			  struct td_fault *out, uint32_t n);

/* What is to be said of a call in any report of it. */
void td__fault_describe(const struct td__call *c, struct td_fault *f, uint32_t attempt);
void td__fault_note(struct td__fs *fs, struct td_fault *f);
void td__why(char *why, size_t size, const char *a, const char *b, const char *c);
void td__copy_number(char *to, size_t size, uint64_t n);
void td__copy_text(char *to, size_t size, const char *from);

#endif
