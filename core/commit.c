/* SPDX-License-Identifier: BSD-2-Clause */
/* Commits of an image: see commit.h. */
#include "cache.h"
#include "commit.h"
#include "fs.h"

enum {
	PATIENCE_MS = 20, MOST_PATIENCE_MS = 2000, /* how long the gate stays closed for an operation under way */
	DATA_BYTES = 256 << 20,                    /* not yet in place, before who changes more has to write */
};

/* ---- The gate */

static uint32_t *lane(struct td__gate *g)
{
	return g->inside[td__port_thread() % TD__LANES];
}

static void leave(struct td__gate *g)
{
	__atomic_sub_fetch(lane(g), 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&g->closed, __ATOMIC_SEQ_CST)) {
		td__mutex_lock(&g->mutex);
		td__cond_broadcast(&g->cond);
		td__mutex_unlock(&g->mutex);
	}
}

static void enter(struct td__gate *g)
{
	for (;;) {
		__atomic_add_fetch(lane(g), 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&g->closed, __ATOMIC_SEQ_CST))
			return;
		leave(g);
		td__mutex_lock(&g->mutex);
		while (__atomic_load_n(&g->closed, __ATOMIC_RELAXED))
			td__cond_wait(&g->cond, &g->mutex, 0);
		td__mutex_unlock(&g->mutex);
	}
}

static int empty(const struct td__gate *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < TD__LANES; i++)
		n += __atomic_load_n(&g->inside[i][0], __ATOMIC_SEQ_CST);
	return !n;
}

/* Under the gate's mutex. */
static void set_closed(struct td__gate *g, uint32_t closed)
{
	__atomic_store_n(&g->closed, closed, __ATOMIC_SEQ_CST);
	td__cond_broadcast(&g->cond);
}

int td__gate_close(struct td__gate *g, uint32_t ms)
{
	uint64_t until = td__port_monotonic() + ms * 1000000ull;
	int still;

	td__mutex_lock(&g->mutex);
	set_closed(g, 1);
	while (!(still = empty(g)) && td__port_monotonic() < until)
		td__cond_wait(&g->cond, &g->mutex, 1);
	if (!still)
		set_closed(g, 0);
	td__mutex_unlock(&g->mutex);
	return still;
}

void td__gate_open(struct td__gate *g)
{
	td__mutex_lock(&g->mutex);
	set_closed(g, 0);
	td__mutex_unlock(&g->mutex);
}

/* ---- Files without a name */

int td__fids_add(uint64_t **list, uint64_t *n, uint64_t *room, uint64_t fid)
{
	uint64_t *more;

	if (*n == *room) {
		more = td__port_alloc((2 * *room + 16) * sizeof(*more));
		if (!more)
			return -TD_ENOMEM;
		if (*room) {
			memcpy(more, *list, *n * sizeof(*more));
			td__port_free(*list, *room * sizeof(*more));
		}
		*list = more;
		*room = 2 * *room + 16;
	}
	(*list)[(*n)++] = fid;
	return 0;
}

void td__orphans_free(struct td__fs *fs)
{
	const struct td__log *log = fs->device->log;

	for (uint64_t i = 0; log && i < log->norphans; i++) {
		struct td__vnode *v;
		int err = td__vnode_by_fid(fs, log->orphans[i], &v);

		if (!err)
			td__vnode_put(v, 1);
		else if (err != -TD_ESTALE)
			td__orphan_pending(fs, log->orphans[i]);
	}
}

int td__orphans(struct td__fs *fs, uint64_t **list, uint64_t *n, uint64_t *room)
{
	const struct td__device *dev = fs->device;
	int err = 0;

	for (uint64_t i = 0; i < fs->npending && !err; i++)
		err = td__fids_add(list, n, room, fs->pending[i]);
	for (uint64_t i = 0; i < dev->norphans && !err; i++)
		err = td__fids_add(list, n, room, dev->orphans[i]);
	for (uint32_t i = 0; i < TD__STRIPES && !err; i++) {
		struct td__list *head = &fs->stripes[i].nameless;

		for (struct td__list *l = head->next; l != head && !err; l = l->next) {
			const struct td__vnode *v = td__vnode_of_nameless(l);

			if (!v->rec.nlink)
				err = td__fids_add(list, n, room, v->fid);
		}
	}
	return err;
}

/* ---- One commit */

/* The gate is closed. Records that the module refuses to store are for fsync to report. */
static int snapshot(struct td__fs *fs, struct td__tx **tx)
{
	uint64_t *orphans = 0, n = 0, room = 0;
	int err;

	td__vnodes_update(fs);
	err = td__orphans(fs, &orphans, &n, &room);
	if (!err)
		err = td__log_snapshot(fs->device->log, orphans, n, tx);
	if (room)
		td__port_free(orphans, room * sizeof(*orphans));
	return err;
}

/* As much as can be written while operations go on. What fails stays to be written, and is reported by who writes that file. */
static int write_early(struct td__device *dev)
{
	int err = 0;

	if (__atomic_load_n(&dev->data_blocks, __ATOMIC_RELAXED) <= TD__FEW)
		return 0;
	err = td__device_write_data(dev, 0, dev->blocks);
	if (dev->log->live && __atomic_load_n(&dev->data_blocks, __ATOMIC_RELAXED) > TD__FEW && !td__log_retire(dev->log))
		err = td__device_write_data(dev, 0, dev->blocks);
	return err;
}

/* The commit's number is given with the gate closed: who comes later is not part of it. */
static void begin(struct td__gate *g)
{
	td__mutex_lock(&g->mutex);
	g->begun++;
	td__mutex_unlock(&g->mutex);
}

static int commit_once(struct td__fs *fs)
{
	struct td__device *dev = fs->device;
	struct td__gate *g = dev->gate;
	struct td__tx *tx;
	int err;

	td__mutex_lock(&dev->writing);
	write_early(dev);
	for (uint32_t ms = PATIENCE_MS; !td__gate_close(g, ms); ms = ms < MOST_PATIENCE_MS ? 2 * ms : ms) {
		td__mutex_unlock(&dev->writing);
		td__mutex_lock(&g->mutex);
		td__cond_wait(&g->cond, &g->mutex, PATIENCE_MS);
		td__mutex_unlock(&g->mutex);
		td__mutex_lock(&dev->writing);
	}
	begin(g);
	err = snapshot(fs, &tx);
	td__gate_open(g);
	if (!err && tx)
		err = td__log_commit(dev->log, tx);
	else if (!err)
		err = td__log_settle(dev->log);
	td__mutex_unlock(&dev->writing);
	return err;
}

/* Under the gate's mutex, which is given up meanwhile. */
static void commit_now(struct td__fs *fs, struct td__gate *g)
{
	int err;

	g->committing = 1;
	td__mutex_unlock(&g->mutex);
	err = commit_once(fs);
	td__mutex_lock(&g->mutex);
	g->committing = 0;
	g->done = g->begun;
	if (!err)
		g->good = g->begun;
	__atomic_store_n(&g->err, err, __ATOMIC_RELAXED);
	td__cond_broadcast(&g->cond);
}

int td__commit(struct td__fs *fs)
{
	struct td__gate *g;
	uint64_t want;
	int err;

	if (!fs->device->log)
		return 0;
	g = fs->device->gate;
	td__mutex_lock(&g->mutex);
	want = g->begun + 1;
	while (g->done < want) {
		if (g->committing)
			td__cond_wait(&g->cond, &g->mutex, 0);
		else
			commit_now(fs, g);
	}
	err = g->good >= want ? 0 : g->err;
	td__mutex_unlock(&g->mutex);
	if (err || __atomic_load_n(&fs->device->failed_error, __ATOMIC_RELAXED))
		td__unwritten_tell(fs);
	return err;
}

static int write_runs(struct td__device *dev, const struct td__run *runs, uint64_t n)
{
	struct td__gate *g = dev->gate;
	int first = 0;

	td__mutex_lock(&g->mutex);
	g->writers++;
	td__mutex_unlock(&g->mutex);
	td__mutex_lock(&dev->writing);
	for (uint64_t i = 0; i < n; i++) {
		int err = td__device_write_data(dev, runs[i].blkno, runs[i].count);

		first = first ? first : err;
	}
	td__mutex_unlock(&dev->writing);
	td__mutex_lock(&g->mutex);
	g->writers--;
	td__cond_broadcast(&g->cond);
	td__mutex_unlock(&g->mutex);
	return first;
}

/*
 * A commit passes over data that cannot be put in place, so that one file's trouble is not everybody's. So where the disk had
 * errors meanwhile, another try shows whether these blocks are among it.
 */
int td__commit_data(struct td__fs *fs, const struct td__run *runs, uint64_t n)
{
	struct td__device *dev = fs->device;
	uint64_t errors = __atomic_load_n(&dev->errors, __ATOMIC_RELAXED);
	int err = 0, err2;

	if (!dev->log)
		return 0;
	if (__atomic_load_n(&dev->data_blocks, __ATOMIC_RELAXED) > TD__FEW)
		err = write_runs(dev, runs, n);
	err2 = td__commit(fs);
	if (!err && !err2 && errors != __atomic_load_n(&dev->errors, __ATOMIC_RELAXED)) {
		err = write_runs(dev, runs, n);
		err2 = td__commit(fs);
	}
	return err ? err : err2;
}

/* ---- Operations */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Is there more to be written than may gather? */
static int too_much(const struct td__device *dev)
{
	uint64_t data = least(DATA_BYTES / dev->bsize, dev->most_blocks / 4),
		 log = least(dev->log->slot_bytes / dev->bsize / 2, dev->most_blocks / 8);

	return __atomic_load_n(&dev->data_blocks, __ATOMIC_RELAXED) > data ||
	       __atomic_load_n(&dev->log_blocks, __ATOMIC_RELAXED) > log;
}

int td__operation_begin(struct td__fs *fs, int changes)
{
	struct td__device *dev = fs->device;
	int err = 0;

	if (!dev->gate)
		return 0;
	if (changes && dev->log && too_much(dev)) {
		err = td__commit(fs);
		if (err && !too_much(dev))
			err = 0;
	}
	if (td__cache_is_full(dev))
		td__cache_relieve(fs, changes);
	if (!err)
		enter(dev->gate);
	return err;
}

void td__operation_end(struct td__fs *fs)
{
	if (fs->device->gate)
		leave(fs->device->gate);
}

/* ---- Begin and end */

int td__commits_init(struct td__fs *fs)
{
	struct td__gate *g;

	if (!fs->device->disk)
		return 0;
	g = td__port_alloc(sizeof(*g));
	if (!g)
		return -TD_ENOMEM;
	td__mutex_init(&g->mutex);
	td__cond_init(&g->cond);
	fs->device->gate = g;
	return 0;
}

int td__commits_last(struct td__fs *fs)
{
	struct td__run all = { 0, fs->device->blocks };
	int err = td__commit_data(fs, &all, 1), err2 = fs->device->log ? td__log_close(fs->device->log) : 0;

	return err ? err : err2;
}

void td__commits_fini(struct td__fs *fs)
{
	struct td__gate *g = fs->device->gate;

	if (!g)
		return;
	fs->device->gate = 0;
	td__mutex_fini(&g->mutex);
	td__cond_fini(&g->cond);
	td__port_free(g, sizeof(*g));
}
