/* SPDX-License-Identifier: BSD-2-Clause */
/* Block devices: see device.h. */
#include "log.h"

enum {
	RUNS = 4096,              /* discarded runs remembered */
	IDLE_BYTES = 64 << 20,    /* kept in memory though discarded */
	IDLE_RUN_BYTES = 1 << 20, /* a longer run is given back at once */
	COUNTED_RUN = 4096,       /* a longer run is counted as a change of all blocks: counts cost memory */
};

static uint64_t spans_of(const struct td__device *dev)
{
	return (dev->blocks + TD__SPAN - 1) / TD__SPAN;
}

static void free_memory(struct td__device *dev)
{
	if (dev->data.size)
		td__port_pages_free(&dev->data);
	if (dev->state.size)
		td__port_pages_free(&dev->state);
	if (dev->idle.size)
		td__port_pages_free(&dev->idle);
	if (dev->changes.size)
		td__port_pages_free(&dev->changes);
	if (dev->runs)
		td__port_free(dev->runs, RUNS * sizeof(*dev->runs));
	if (dev->busy)
		td__port_free(dev->busy, spans_of(dev));
	if (dev->held)
		td__port_free(dev->held, spans_of(dev) * sizeof(*dev->held));
	td__runs_free(&dev->written);
	td__runs_free(&dev->failed);
	if (dev->norphans)
		td__port_free(dev->orphans, dev->norphans * sizeof(*dev->orphans));
	td__port_free(dev, sizeof(*dev));
}

static int get_memory(struct td__device *dev, int image)
{
	uint64_t bytes = (dev->blocks + 4095) & ~4095ull;
	int err = td__port_pages(dev->blocks * dev->bsize, &dev->data);

	if (!err)
		err = td__port_pages(bytes, image ? &dev->state : &dev->idle);
	if (err)
		return err;
	if (!image) {
		dev->runs = td__port_alloc(RUNS * sizeof(*dev->runs));
		return dev->runs ? 0 : -TD_ENOMEM;
	}
	dev->busy = td__port_alloc(spans_of(dev));
	dev->held = td__port_alloc(spans_of(dev) * sizeof(*dev->held));
	return dev->busy && dev->held ? 0 : -TD_ENOMEM;
}

int td__device_create(uint64_t blocks, uint32_t bsize, struct td__disk *disk, uint32_t flags,
		      struct td__device **out)
{
	struct td__device *dev;
	int err;

	if (bsize < 4096 || bsize & (bsize - 1) || bsize > 65536 || !blocks ||
	    blocks > (1ull << 62) / bsize)
		return -TD_EINVAL;
	dev = td__port_alloc(sizeof(*dev));
	if (!dev)
		return -TD_ENOMEM;
	dev->blocks = blocks;
	dev->bsize = bsize;
	dev->flags = flags;
	dev->most_blocks = ~0ull;
	err = get_memory(dev, disk != 0);
	if (err) {
		free_memory(dev);
		return err;
	}
	td__mutex_init(&dev->load);
	td__mutex_init(&dev->writing);
	td__mutex_init(&dev->telling);
	td__cond_init(&dev->written_cond);
	dev->disk = disk;
	*out = dev;
	return 0;
}

void td__device_destroy(struct td__device *dev)
{
	if (dev->log)
		td__log_free(dev->log);
	if (dev->disk)
		td__port_disk_close(dev->disk);
	td__mutex_fini(&dev->load);
	td__mutex_fini(&dev->writing);
	td__mutex_fini(&dev->telling);
	td__cond_fini(&dev->written_cond);
	free_memory(dev);
}

int td__disk_error(int err)
{
	return err == -TD_ENOSPC || err == -TD_EDQUOT || err == -TD_EFBIG ? -TD_ENOSPC : -TD_EIO;
}

/* ---- Marks */

static uint8_t *state_of(const struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->state.base + blkno;
}

/* Which way a block is to go, if it must be copied: zeroes are a few bytes of the log, however many blocks. */
static int in_place(uint8_t s)
{
	return (s & (TD__DATA | TD__LOG | TD__FREED | TD__ZERO)) == TD__DATA;
}

static int in_log(uint8_t s)
{
	return !(s & TD__ZERO) && (s & TD__LOG || (s & (TD__DATA | TD__FREED)) == (TD__DATA | TD__FREED));
}

static void count_held(struct td__device *dev, uint64_t blkno, int more)
{
	__atomic_add_fetch(&dev->held[blkno / TD__SPAN], (uint32_t)more, __ATOMIC_RELAXED);
	__atomic_add_fetch(&dev->held_blocks, (uint64_t)more, __ATOMIC_RELAXED);
}

uint8_t td__device_mark(struct td__device *dev, uint64_t blkno, uint8_t clear, uint8_t set)
{
	uint8_t *s = state_of(dev, blkno), old = __atomic_load_n(s, __ATOMIC_RELAXED), new;

	do {
		new = (uint8_t)((old & ~clear) | set | TD__PRESENT);
		if (new == old)
			return old;
	} while (!__atomic_compare_exchange_n(s, &old, new, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	if (in_place(old) != in_place(new))
		__atomic_add_fetch(&dev->data_blocks, in_place(new) ? 1 : -1, __ATOMIC_RELAXED);
	if (in_log(old) != in_log(new))
		__atomic_add_fetch(&dev->log_blocks, in_log(new) ? 1 : -1, __ATOMIC_RELAXED);
	if (td__state_held(old) != td__state_held(new))
		count_held(dev, blkno, td__state_held(new) ? 1 : -1);
	if (set & (TD__DATA | TD__LOG | TD__FREED))
		__atomic_store_n(&dev->busy[blkno / TD__SPAN], 1, __ATOMIC_RELEASE);
	return old;
}

/* Eight blocks without any of the bits are passed at a time, and spans without a change as a whole. */
uint64_t td__device_next(const struct td__device *dev, uint64_t blkno, uint64_t end, uint8_t bits)
{
	const uint64_t all = bits * 0x0101010101010101ull;

	while (blkno < end) {
		if (!(blkno % TD__SPAN) && !__atomic_load_n(&dev->busy[blkno / TD__SPAN], __ATOMIC_ACQUIRE)) {
			blkno += TD__SPAN;
			continue;
		}
		if (!(blkno & 7) && end - blkno >= 8 &&
		    !(__atomic_load_n((uint64_t *)state_of(dev, blkno), __ATOMIC_RELAXED) & all)) {
			blkno += 8;
			continue;
		}
		if (td__device_state(dev, blkno) & bits)
			return blkno;
		blkno++;
	}
	return end;
}

/* ---- Counts */

int td__device_count(struct td__device *dev)
{
	int err = 0;

	td__mutex_lock(&dev->load);
	if (!dev->counts)
		err = td__port_pages(((dev->blocks + 1) * sizeof(*dev->counts) + 4095) & ~4095ull, &dev->changes);
	if (!err)
		__atomic_store_n(&dev->counts, dev->changes.base, __ATOMIC_RELEASE);
	td__mutex_unlock(&dev->load);
	return err;
}

static void note_changes(struct td__device *dev, uint64_t blkno, uint64_t n)
{
	uint64_t *counts = __atomic_load_n(&dev->counts, __ATOMIC_ACQUIRE);

	if (!counts)
		return;
	if (n > COUNTED_RUN)
		__atomic_add_fetch(&counts[0], 1, __ATOMIC_RELEASE);
	for (uint64_t i = 1; i <= n && n <= COUNTED_RUN; i++)
		__atomic_add_fetch(&counts[blkno + i], 1, __ATOMIC_RELEASE);
}

/* ---- Loading */

static int in_range(const struct td__device *dev, uint64_t blkno, uint64_t count)
{
	return blkno <= dev->blocks && count <= dev->blocks - blkno;
}

/* What the disk has brought, unless the block is there by now. */
static void take(void *arg, uint64_t off, const void *data, size_t len)
{
	struct td__device *dev = arg;
	uint64_t blkno = (off - dev->base) / dev->bsize;

	td__mutex_lock(&dev->load);
	for (uint64_t i = 0; i < len / dev->bsize; i++)
		if (!td__device_present(dev, blkno + i)) {
			memcpy(td__device_at(dev, blkno + i), (const uint8_t *)data + i * dev->bsize, dev->bsize);
			td__device_mark(dev, blkno + i, 0, TD__PRESENT);
		}
	td__mutex_unlock(&dev->load);
}

/* Of the absent blocks that follow, what can be read at once. Returns how many are absent, and in *got, how many of these no more. */
static uint64_t load_now(struct td__device *dev, uint64_t blkno, uint64_t end, uint64_t *got)
{
	uint64_t n = 0;

	*got = 0;
	td__mutex_lock(&dev->load);
	while (blkno + n < end && !td__device_present(dev, blkno + n))
		n++;
	if (n)
		*got = (uint64_t)td__port_disk_read_now(dev->disk, dev->base + blkno * dev->bsize, td__device_at(dev, blkno), n * dev->bsize) / dev->bsize;
	for (uint64_t i = 0; i < *got; i++)
		td__device_mark(dev, blkno + i, 0, TD__PRESENT);
	td__mutex_unlock(&dev->load);
	return n;
}

/*
 * Load the absent blocks of a range, as few transfers as there are runs. Who waits for the disk keeps nobody else from loading. So another
 * one may load the same block and go on; but not change it and have it written and evicted, since we are inside the gate.
 */
static int load_absent(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	uint64_t end = blkno + count, n, got;
	int err = 0;

	for (; blkno < end && !err; blkno += n) {
		n = load_now(dev, blkno, end, &got);
		if (!n) {
			td__device_mark(dev, blkno, TD__COLD, 0);
			n = 1;
		} else if (got < n) {
			err = td__port_disk_read_to(dev->disk, dev->base + (blkno + got) * dev->bsize, (n - got) * dev->bsize, take, dev);
		}
	}
	if (err)
		__atomic_add_fetch(&dev->errors, 1, __ATOMIC_RELAXED);
	return err ? -TD_EIO : 0;
}

int td__device_load(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	int err = 0;

	if (!in_range(dev, blkno, count))
		return -TD_EINVAL;
	if (!dev->disk)
		return 0;
	for (uint64_t i = 0; i < count; i++) {
		uint8_t s = td__device_state(dev, blkno + i);

		if (td__state_warm(s))
			continue;
		if (s) {
			td__device_mark(dev, blkno + i, TD__COLD, 0);
			continue;
		}
		err = load_absent(dev, blkno + i, count - i);
		break;
	}
	return err;
}

/* ---- Idle blocks of a memory device */

static uint8_t *idle_of(struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->idle.base + blkno;
}

/* Tells the runs of the ring apart, nearly: a block that was discarded again belongs to the newer run. */
static uint8_t tag_of(uint64_t run)
{
	return (uint8_t)(1 + run % 255);
}

/* They are wanted again. Under the mutex, so that they are not given back at this moment. */
static void wake(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (__atomic_load_n(idle_of(dev, blkno + i), __ATOMIC_ACQUIRE)) {
			td__mutex_lock(&dev->load);
			for (; i < count; i++) {
				dev->idle_blocks -= *idle_of(dev, blkno + i) != 0;
				__atomic_store_n(idle_of(dev, blkno + i), 0, __ATOMIC_RELAXED);
			}
			td__mutex_unlock(&dev->load);
		}
}

/* Give back what is still idle of the oldest run. Who finds a tag of 0 does not wait for us, so that comes last. */
static void give_back(struct td__device *dev)
{
	struct td__run run = dev->runs[dev->oldest % RUNS];
	uint8_t tag = tag_of(dev->oldest++);
	uint64_t end = run.blkno + run.count;

	for (uint64_t b = run.blkno; b < end;) {
		uint64_t n = 0;

		while (b + n < end && *idle_of(dev, b + n) == tag)
			n++;
		if (n)
			td__port_pages_drop(&dev->data, b * dev->bsize, n * dev->bsize);
		for (uint64_t i = 0; i < n; i++)
			__atomic_store_n(idle_of(dev, b + i), 0, __ATOMIC_RELEASE);
		dev->idle_blocks -= n;
		b += n + 1;
	}
}

static void lay_idle(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	memset(td__device_at(dev, blkno), 0, count * dev->bsize);
	td__mutex_lock(&dev->load);
	if (dev->newest - dev->oldest == RUNS)
		give_back(dev);
	dev->runs[dev->newest % RUNS] = (struct td__run){ blkno, count };
	for (uint64_t i = 0; i < count; i++)
		__atomic_store_n(idle_of(dev, blkno + i), tag_of(dev->newest), __ATOMIC_RELEASE);
	dev->newest++;
	dev->idle_blocks += count;
	while (dev->idle_blocks * dev->bsize > IDLE_BYTES && dev->oldest != dev->newest)
		give_back(dev);
	td__mutex_unlock(&dev->load);
}

/* ---- Changing blocks */

void td__device_dirty(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (!dev->disk) {
		wake(dev, blkno, count);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		td__device_mark(dev, blkno + i, 0, TD__PRESENT);
}

void td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	for (uint64_t i = 0; dev->disk && i < count; i++)
		td__device_mark(dev, blkno + i, TD__ZERO | TD__COLD, TD__DATA);
	note_changes(dev, blkno, count);
}

void td__device_altered(struct td__device *dev, uint64_t blkno)
{
	if (dev->disk)
		td__device_mark(dev, blkno, TD__ZERO | TD__COLD, TD__LOG);
	note_changes(dev, blkno, 1);
}

void td__device_forget(struct td__device *dev, uint64_t blkno)
{
	uint8_t old;

	td__port_pages_drop(&dev->data, blkno * dev->bsize, dev->bsize);
	old = __atomic_exchange_n(state_of(dev, blkno), 0, __ATOMIC_ACQ_REL);
	__atomic_sub_fetch(&dev->data_blocks, in_place(old), __ATOMIC_RELAXED);
	__atomic_sub_fetch(&dev->log_blocks, in_log(old), __ATOMIC_RELAXED);
	if (td__state_held(old))
		count_held(dev, blkno, -1);
	note_changes(dev, blkno, 1);
}

void td__device_evict(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	td__port_pages_drop(&dev->data, blkno * dev->bsize, count * dev->bsize);
	for (uint64_t b = blkno; b < blkno + count; b++)
		if (td__device_state(dev, b) & TD__ZERO) {
			td__device_mark(dev, b, 0, TD__COLD);
		} else {
			__atomic_store_n(state_of(dev, b), 0, __ATOMIC_RELEASE);
			count_held(dev, b, -1);
		}
}

static void drop(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	td__device_dirty(dev, blkno, count);
	if (!dev->disk && count * dev->bsize <= IDLE_RUN_BYTES)
		lay_idle(dev, blkno, count);
	else
		td__port_pages_drop(&dev->data, blkno * dev->bsize, count * dev->bsize);
	note_changes(dev, blkno, count);
}

static uint64_t idle_run(struct td__device *dev, uint64_t blkno, uint64_t count, int idle)
{
	uint64_t n = 0;

	while (n < count && !__atomic_load_n(idle_of(dev, blkno + n), __ATOMIC_ACQUIRE) == !idle)
		n++;
	return n;
}

/* Idle blocks are zeroes already; mostly all of them are idle, or none. */
static void wake_zeroes(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	for (uint64_t end = blkno + count, n; blkno < end; blkno += n) {
		n = idle_run(dev, blkno, end - blkno, 1);
		if (n) {
			wake(dev, blkno, n);
			continue;
		}
		n = idle_run(dev, blkno, end - blkno, 0);
		td__port_pages_drop(&dev->data, blkno * dev->bsize, n * dev->bsize);
	}
}

void td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (dev->disk)
		td__port_pages_drop(&dev->data, blkno * dev->bsize, count * dev->bsize);
	else
		wake_zeroes(dev, blkno, count);
	for (uint64_t i = 0; dev->disk && i < count; i++)
		td__device_mark(dev, blkno + i, 0, TD__DATA | TD__ZERO | TD__COLD);
	note_changes(dev, blkno, count);
}

/* FREED, once it is not WRITING: what is written then must not be what a later owner puts there. */
static void set_free(struct td__device *dev, uint64_t blkno)
{
	uint8_t *s = state_of(dev, blkno);

	while (td__device_mark(dev, blkno, TD__DATA | TD__LOG, TD__FREED) & TD__WRITING) {
		td__mutex_lock(&dev->load);
		while (__atomic_load_n(s, __ATOMIC_ACQUIRE) & TD__WRITING)
			td__cond_wait(&dev->written_cond, &dev->load, 0);
		td__mutex_unlock(&dev->load);
	}
}

void td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	for (uint64_t i = 0; dev->disk && i < count; i++)
		set_free(dev, blkno + i);
	drop(dev, blkno, count);
	for (uint64_t i = 0; dev->disk && i < count; i++)
		td__device_mark(dev, blkno + i, 0, TD__ZERO | TD__COLD);
}

/* ---- Writing in place */

void td__runs_free(struct td__runs *r)
{
	if (r->room)
		td__port_free(r->run, r->room * sizeof(*r->run));
	*r = (struct td__runs){ 0 };
}

int td__runs_add(struct td__runs *r, uint64_t blkno, uint64_t count)
{
	struct td__run *last = r->n ? &r->run[r->n - 1] : 0, *more;

	if (last && last->blkno + last->count == blkno) {
		last->count += count;
		return 0;
	}
	if (r->n == r->room) {
		more = td__port_alloc(2 * (r->room + 32) * sizeof(*more));
		if (!more)
			return -TD_ENOMEM;
		if (r->room) {
			memcpy(more, r->run, r->n * sizeof(*more));
			td__port_free(r->run, r->room * sizeof(*more));
		}
		r->run = more;
		r->room = 2 * (r->room + 32);
	}
	r->run[r->n++] = (struct td__run){ blkno, count };
	return 0;
}

static int written(struct td__device *dev, int err)
{
	if (!err)
		return 0;
	__atomic_add_fetch(&dev->errors, 1, __ATOMIC_RELAXED);
	return td__disk_error(err);
}

int td__device_write(struct td__device *dev, uint64_t blkno, uint64_t count, const void *data)
{
	uint64_t at = dev->base + blkno * dev->bsize, bytes = count * dev->bsize;

	return written(dev, data ? td__port_disk_write(dev->disk, at, data, bytes) : td__port_disk_zero(dev->disk, at, bytes));
}

int td__device_write_pieces(struct td__device *dev, struct td__disk_piece *pieces, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		pieces[i].off += dev->base;
	return written(dev, td__port_disk_write_pieces(dev->disk, pieces, n));
}

/* Without memory for the list, the mount is told and its files are not. */
void td__device_failed(struct td__device *dev, uint64_t blkno, uint64_t count, int err)
{
	td__runs_add(&dev->failed, blkno, count);
	__atomic_store_n(&dev->failed_error, err, __ATOMIC_RELAXED);
}

/* What stands in the way of writing a block in place before a commit. */
enum { NOT_NOW = TD__LOG | TD__FREED | TD__LOGGED | TD__WRITING | TD__ZERO };

/* From DATA to WRITING, if nothing stands in the way; 1 if so. */
static int claim(struct td__device *dev, uint64_t blkno)
{
	uint8_t *s = state_of(dev, blkno), old = __atomic_load_n(s, __ATOMIC_RELAXED);

	do
		if (!(old & TD__DATA) || old & NOT_NOW)
			return 0;
	while (!__atomic_compare_exchange_n(s, &old, (uint8_t)((old & ~TD__DATA) | TD__WRITING), 0, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
	__atomic_sub_fetch(&dev->data_blocks, 1, __ATOMIC_RELAXED);
	return 1;
}

int td__device_write_claimed(struct td__device *dev, uint64_t blkno, uint64_t count, int bad)
{
	int err = bad ? bad : td__runs_add(&dev->written, blkno, count);

	if (!err)
		err = td__device_write(dev, blkno, count, td__device_at(dev, blkno));
	if (err)
		td__device_failed(dev, blkno, count, err);
	for (uint64_t i = 0; i < count; i++)
		td__device_mark(dev, blkno + i, TD__WRITING, err ? TD__DATA : 0);
	td__mutex_lock(&dev->load);
	td__cond_broadcast(&dev->written_cond);
	td__mutex_unlock(&dev->load);
	return err;
}

int td__device_write_data(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	uint64_t end = blkno + count;
	int first = 0, bad = td__log_begin(dev->log);

	for (uint64_t b = blkno; (b = td__device_next(dev, b, end, TD__DATA)) < end;) {
		uint64_t n = 0;
		int err;

		while (n < TD__RUN_BLOCKS && b + n < end && claim(dev, b + n))
			n++;
		if (!n) {
			b++;
			continue;
		}
		err = td__device_write_claimed(dev, b, n, bad);
		if (err && !first)
			first = err;
		b += n;
	}
	return first;
}

/* After a flush that failed, nobody knows what of them is on the disk. */
static void not_written(struct td__device *dev, const struct td__runs *r, int err)
{
	for (uint64_t i = 0; i < r->n; i++) {
		td__device_failed(dev, r->run[i].blkno, r->run[i].count, err);
		for (uint64_t b = 0; b < r->run[i].count; b++)
			if (!(td__device_state(dev, r->run[i].blkno + b) & TD__FREED))
				td__device_mark(dev, r->run[i].blkno + b, 0, TD__DATA);
	}
}

int td__device_flush(struct td__device *dev)
{
	struct td__runs taken = dev->written;
	int err;

	dev->written = (struct td__runs){ 0 };
	td__mutex_unlock(&dev->writing);
	err = td__port_disk_flush(dev->disk);
	td__mutex_lock(&dev->writing);
	if (err) {
		__atomic_add_fetch(&dev->errors, 1, __ATOMIC_RELAXED);
		not_written(dev, &taken, td__disk_error(err));
	}
	td__runs_free(&taken);
	return err ? td__disk_error(err) : 0;
}
