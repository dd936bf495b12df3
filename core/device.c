/* SPDX-License-Identifier: BSD-2-Clause */
/* Block devices: see device.h. */
#include "device.h"

enum {
	FLUSH_BLOCKS = 256,       /* blocks written at a time */
	RUNS = 4096,              /* discarded runs remembered */
	IDLE_BYTES = 64 << 20,    /* kept in memory though discarded */
	IDLE_RUN_BYTES = 1 << 20, /* a longer run is given back at once */
};

static uint8_t *state_of(struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->state.base + blkno;
}

static void set_state(struct td__device *dev, uint64_t blkno, uint8_t state)
{
	__atomic_store_n(state_of(dev, blkno), state, __ATOMIC_RELEASE);
}

static void free_memory(struct td__device *dev)
{
	if (dev->data.size)
		td__port_pages_free(&dev->data);
	if (dev->state.size)
		td__port_pages_free(&dev->state);
	if (dev->idle.size)
		td__port_pages_free(&dev->idle);
	if (dev->runs)
		td__port_free(dev->runs, RUNS * sizeof(*dev->runs));
	td__port_free(dev, sizeof(*dev));
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
	err = td__port_pages(blocks * bsize, &dev->data);
	if (!err)
		err = td__port_pages((blocks + 4095) & ~4095ull, disk ? &dev->state : &dev->idle);
	if (!err && !disk) {
		dev->runs = td__port_alloc(RUNS * sizeof(*dev->runs));
		err = dev->runs ? 0 : -TD_ENOMEM;
	}
	if (err) {
		free_memory(dev);
		return err;
	}
	td__mutex_init(&dev->load);
	dev->disk = disk;
	*out = dev;
	return 0;
}

void td__device_destroy(struct td__device *dev)
{
	if (dev->disk)
		td__port_disk_close(dev->disk);
	td__mutex_fini(&dev->load);
	free_memory(dev);
}

static int in_range(const struct td__device *dev, uint64_t blkno, uint64_t count)
{
	return blkno <= dev->blocks && count <= dev->blocks - blkno;
}

/* Read the absent blocks of a range, as few transfers as there are runs. */
static int load_absent(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	uint64_t end = blkno + count;
	int err = 0;

	while (blkno < end && !err) {
		uint64_t n = 0;

		while (blkno + n < end && !td__device_present(dev, blkno + n))
			n++;
		if (!n) {
			blkno++;
			continue;
		}
		err = td__port_disk_read(dev->disk, blkno * dev->bsize, td__device_at(dev, blkno),
					 n * dev->bsize);
		for (uint64_t i = 0; i < n && !err; i++)
			set_state(dev, blkno + i, TD__CLEAN);
		blkno += n;
	}
	if (err)
		dev->errors++;
	return err ? -TD_EIO : 0;
}

int td__device_load(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	int err = 0;

	if (!in_range(dev, blkno, count))
		return -TD_EINVAL;
	if (!dev->disk)
		return 0;
	for (uint64_t i = 0; i < count; i++)
		if (!td__device_present(dev, blkno + i)) {
			td__mutex_lock(&dev->load);
			err = load_absent(dev, blkno + i, count - i);
			td__mutex_unlock(&dev->load);
			break;
		}
	return err;
}

int td__device_overwrite(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (!in_range(dev, blkno, count))
		return -TD_EINVAL;
	td__device_dirty(dev, blkno, count);
	return 0;
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
	struct td__idle_run run = dev->runs[dev->oldest % RUNS];
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
	dev->runs[dev->newest % RUNS] = (struct td__idle_run){ blkno, count };
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
		if (__atomic_load_n(state_of(dev, blkno + i), __ATOMIC_RELAXED) != TD__DIRTY)
			set_state(dev, blkno + i, TD__DIRTY);
}

void td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	for (uint64_t i = 0; dev->disk && i < count; i++)
		set_state(dev, blkno + i, TD__DIRTY);
}

void td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	td__device_dirty(dev, blkno, count);
	if (!dev->disk && count * dev->bsize <= IDLE_RUN_BYTES)
		lay_idle(dev, blkno, count);
	else
		td__port_pages_drop(&dev->data, blkno * dev->bsize, count * dev->bsize);
	td__device_changed(dev, blkno, count);
}

static uint64_t idle_run(struct td__device *dev, uint64_t blkno, uint64_t count, int idle)
{
	uint64_t n = 0;

	while (n < count && !__atomic_load_n(idle_of(dev, blkno + n), __ATOMIC_ACQUIRE) == !idle)
		n++;
	return n;
}

/* Idle blocks are zeroes already; mostly all of them are idle, or none. */
void td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (dev->disk) {
		td__device_discard(dev, blkno, count);
		return;
	}
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

/*
 * A block that is changed while it is written becomes dirty again, since it is marked clean before the
 * write: it is then written once more by the next flush.
 */
static int flush_run(struct td__device *dev, uint64_t blkno, uint64_t n)
{
	int err;

	for (uint64_t i = 0; i < n; i++)
		__atomic_exchange_n(state_of(dev, blkno + i), TD__CLEAN, __ATOMIC_SEQ_CST);
	err = td__port_disk_write(dev->disk, blkno * dev->bsize, td__device_at(dev, blkno),
				  n * dev->bsize);
	for (uint64_t i = 0; i < n && err; i++)
		set_state(dev, blkno + i, TD__DIRTY);
	return err;
}

/* The next dirty block from blkno on; eight clean ones are passed at a time. */
static uint64_t next_dirty(struct td__device *dev, uint64_t blkno)
{
	const uint64_t none = 0x0202020202020202ull;

	while (blkno < dev->blocks) {
		if (!(blkno & 7) && dev->blocks - blkno >= 8 &&
		    !(__atomic_load_n((uint64_t *)state_of(dev, blkno), __ATOMIC_RELAXED) & none)) {
			blkno += 8;
			continue;
		}
		if (__atomic_load_n(state_of(dev, blkno), __ATOMIC_RELAXED) == TD__DIRTY)
			return blkno;
		blkno++;
	}
	return blkno;
}

int td__device_flush(struct td__device *dev)
{
	int err = 0, first = 0;

	if (!dev->disk)
		return 0;
	td__mutex_lock(&dev->load);
	for (uint64_t b = next_dirty(dev, 0); b < dev->blocks; b = next_dirty(dev, b)) {
		uint64_t n = 1;

		while (b + n < dev->blocks && n < FLUSH_BLOCKS &&
		       __atomic_load_n(state_of(dev, b + n), __ATOMIC_RELAXED) == TD__DIRTY)
			n++;
		err = flush_run(dev, b, n);
		if (err && !first)
			first = err;
		b += n;
	}
	err = td__port_disk_flush(dev->disk);
	if (err && !first)
		first = err;
	if (first)
		dev->errors++;
	td__mutex_unlock(&dev->load);
	return first ? -TD_EIO : 0;
}
