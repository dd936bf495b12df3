/* SPDX-License-Identifier: BSD-2-Clause */
/* Block devices: see device.h. */
#include "device.h"

enum { FLUSH_BLOCKS = 256 }; /* blocks written at a time */

static uint8_t *state_of(struct td__device *dev, uint64_t blkno)
{
	return (uint8_t *)dev->state.base + blkno;
}

static void set_state(struct td__device *dev, uint64_t blkno, uint8_t state)
{
	__atomic_store_n(state_of(dev, blkno), state, __ATOMIC_RELEASE);
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
	if (!err && disk)
		err = td__port_pages((blocks + 4095) & ~4095ull, &dev->state);
	if (err) {
		if (dev->data.size)
			td__port_pages_free(&dev->data);
		td__port_free(dev, sizeof(*dev));
		return err;
	}
	td__mutex_init(&dev->load);
	dev->disk = disk;
	*out = dev;
	return 0;
}

void td__device_destroy(struct td__device *dev)
{
	td__port_pages_free(&dev->data);
	if (dev->state.size)
		td__port_pages_free(&dev->state);
	if (dev->disk)
		td__port_disk_close(dev->disk);
	td__mutex_fini(&dev->load);
	td__port_free(dev, sizeof(*dev));
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

void td__device_dirty(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (!dev->disk)
		return;
	for (uint64_t i = 0; i < count; i++)
		if (__atomic_load_n(state_of(dev, blkno + i), __ATOMIC_RELAXED) != TD__DIRTY)
			set_state(dev, blkno + i, TD__DIRTY);
}

void td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	td__device_dirty(dev, blkno, count);
	td__port_pages_drop(&dev->data, blkno * dev->bsize, count * dev->bsize);
}

/*
 * A block that is changed while it is written becomes dirty again, since it is marked clean before the
 * write: it is then written once more by the next flush.
 */
static int flush_run(struct td__device *dev, uint64_t blkno, uint64_t n)
{
	int err;

	for (uint64_t i = 0; i < n; i++)
		set_state(dev, blkno + i, TD__CLEAN);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
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
