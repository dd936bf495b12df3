/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening images: see image.h. What is read from the file may be anything: it is checked before it is used, and
 * a record counts only if its sums are right.
 *
 * Recovery writes the blocks of all records from the last one's `tail` on in place, in order, then a record that says so. It can be
 * cut short anywhere and made again.
 */
#include "image.h"
#include "fs.h"

enum { FIRST = 4096, COPIES_MIN = 64, COPIES_MAX = 4096, COPIES_SHARE = 256 };

uint64_t td__image_sum(uint64_t salt, const void *data, uint64_t len)
{
	const uint64_t k = 0x9e3779b97f4a7c15ull;
	const uint8_t *p = data;
	uint64_t a = salt ^ k, b = ~salt, w[2];

	for (; len >= 16; len -= 16, p += 16) {
		memcpy(w, p, 16);
		a = (a ^ w[0]) * k;
		a ^= a >> 29;
		b = (b ^ w[1]) * (k + 2);
		b ^= b >> 31;
	}
	w[0] = w[1] = 0;
	memcpy(w, p, len);
	a = (a ^ w[0] ^ len) * k;
	b = (b ^ w[1]) * (k + 2);
	a ^= (b << 17 | b >> 47) + (a >> 32);
	a *= k;
	return a ^ a >> 28;
}

uint64_t td__record_head(uint32_t bsize, uint64_t copies, uint64_t zeros, uint64_t orphans)
{
	uint64_t bytes = copies * 8 + zeros * sizeof(struct td__run) + orphans * 8;

	return (bytes + bsize - 1) & ~(uint64_t)(bsize - 1);
}

/* ---- Records */

struct opening {
	struct td__disk *disk;
	uint64_t bytes; /* of the file */
	struct td__image_header h;
	struct td__record records[TD__LOG_SLOTS];
	int blank[TD__LOG_SLOTS]; /* nothing was ever written there */
	char *why;
	size_t size;
};

static int refuse(struct opening *o, int err, const char *text)
{
	td__why(o->why, o->size, text, 0, 0);
	return -err;
}

static int unreadable(struct opening *o)
{
	return refuse(o, TD_EIO, "the image cannot be read");
}

static uint64_t body_bytes(const struct opening *o, const struct td__record *r)
{
	return td__record_head(o->h.bsize, r->copies, r->zeros, r->orphans) + r->copies * o->h.bsize;
}

static int plausible(const struct opening *o, const struct td__record *r)
{
	uint64_t blocks = (o->h.bytes - o->h.base) / o->h.bsize, size;

	if (r->magic != TD__RECORD_MAGIC || r->salt != o->h.salt || !r->seq || !r->tail || r->tail > r->seq ||
	    r->seq - r->tail >= TD__LOG_SLOTS || r->copies > blocks || r->zeros > blocks || r->orphans > 1ull << 40)
		return 0;
	size = body_bytes(o, r);
	return r->body_at >= o->h.bsize && r->body_at <= o->bytes && size <= o->bytes - r->body_at &&
	       r->sum == td__image_sum(o->h.salt, r, __builtin_offsetof(struct td__record, sum));
}

/* The body of a record; 0 with *err 0: its sum is wrong. The caller frees body_bytes(). */
static uint8_t *read_body(struct opening *o, const struct td__record *r, int *err)
{
	uint64_t size = body_bytes(o, r);
	uint8_t *body = td__port_alloc(size ? size : 1);

	*err = body ? 0 : -TD_ENOMEM;
	if (!body)
		return 0;
	*err = size ? td__port_disk_read(o->disk, r->body_at, body, size) : 0;
	if (*err)
		*err = unreadable(o);
	else if (td__image_sum(o->h.salt ^ r->seq, body, size) == r->body_sum)
		return body;
	td__port_free(body, size ? size : 1);
	return 0;
}

/* Look at a slot: its record, or seq 0. */
static int read_slot(struct opening *o, uint32_t slot)
{
	struct td__record *r = &o->records[slot];
	uint8_t *body;
	int err = td__port_disk_read(o->disk, o->h.bsize + slot * o->h.slot_bytes, r, sizeof(*r));

	if (err)
		return unreadable(o);
	o->blank[slot] = 1;
	for (uint32_t i = 0; i < sizeof(*r); i++)
		o->blank[slot] &= !((uint8_t *)r)[i];
	if (plausible(o, r) && r->seq % TD__LOG_SLOTS == slot) {
		body = read_body(o, r, &err);
		if (err)
			return err;
		if (body) {
			uint64_t size = body_bytes(o, r);

			td__port_free(body, size ? size : 1);
			return 0;
		}
	}
	td__zero(r, sizeof(*r));
	return 0;
}

/* The newest record that is whole; *last 0: none was ever committed. */
static int find_last(struct opening *o, const struct td__record **last)
{
	*last = 0;
	for (uint32_t i = 0; i < TD__LOG_SLOTS; i++) {
		int err = read_slot(o, i);

		if (err)
			return err;
		if (o->records[i].seq && (!*last || o->records[i].seq > (*last)->seq))
			*last = &o->records[i];
	}
	/* Without a single one, the first, in slot 1, may have been cut short; if others were begun, the log is damaged. */
	if (!*last)
		return o->blank[0] && o->blank[2] ? 0 : refuse(o, TD_EUCLEAN, "the image's log is damaged: no record in it is whole");
	for (uint64_t seq = (*last)->tail; seq < (*last)->seq; seq++)
		if (o->records[seq % TD__LOG_SLOTS].seq != seq)
			return refuse(o, TD_EUCLEAN, "the image's log is damaged: a record that the last one needs is not whole");
	return 0;
}

/* ---- Replaying */

static int in_place(const struct td__device *dev, uint64_t blkno, uint64_t count)
{
	return blkno <= dev->blocks && count <= dev->blocks - blkno;
}

/* To the disk; or, if nothing may be written, to memory only. */
static int put(struct td__device *dev, uint64_t blkno, uint64_t count, const void *data, int readonly)
{
	if (!in_place(dev, blkno, count))
		return -TD_EUCLEAN;
	if (!readonly)
		return td__device_write(dev, blkno, count, data);
	for (uint64_t b = 0; b < count; b++) {
		if (data)
			memcpy(td__device_at(dev, blkno + b), (const uint8_t *)data + b * dev->bsize, dev->bsize);
		else
			memset(td__device_at(dev, blkno + b), 0, dev->bsize);
		td__device_mark(dev, blkno + b, 0, TD__LOG);
	}
	return 0;
}

static int replay(struct opening *o, struct td__device *dev, const struct td__record *r, int readonly)
{
	uint64_t size = body_bytes(o, r);
	int err;
	uint8_t *body = read_body(o, r, &err);
	const uint64_t *copies = (const uint64_t *)body;
	const struct td__run *zeros = (const struct td__run *)(copies + r->copies);
	const uint8_t *blocks = body + td__record_head(dev->bsize, r->copies, r->zeros, r->orphans);

	if (!body)
		return err ? err : -TD_EUCLEAN;
	for (uint64_t i = 0; i < r->zeros && !err; i++)
		err = put(dev, zeros[i].blkno, zeros[i].count, 0, readonly);
	for (uint64_t i = 0; i < r->copies && !err; i++)
		err = put(dev, copies[i], 1, blocks + i * dev->bsize, readonly);
	td__port_free(body, size ? size : 1);
	return err;
}

static int take_orphans(struct opening *o, const struct td__record *r, uint64_t **orphans, uint64_t *n)
{
	uint64_t size = body_bytes(o, r);
	int err;
	uint8_t *body;

	if (!r->orphans)
		return 0;
	body = read_body(o, r, &err);
	if (!body)
		return err ? err : -TD_EUCLEAN;
	*orphans = td__port_alloc(r->orphans * sizeof(**orphans));
	if (*orphans) {
		memcpy(*orphans, body + r->copies * 8 + r->zeros * sizeof(struct td__run), r->orphans * sizeof(**orphans));
		*n = r->orphans;
	}
	td__port_free(body, size);
	return *orphans ? 0 : -TD_ENOMEM;
}

static int is_clean(const struct td__record *last)
{
	return last->tail == last->seq && !last->copies && !last->zeros;
}

static int replay_all(struct opening *o, struct td__device *dev, const struct td__record *last, int readonly)
{
	int err = 0;

	dev->replayed = is_clean(last) ? 0 : (uint32_t)(last->seq - last->tail + 1);
	for (uint64_t seq = last->tail; seq <= last->seq && !err; seq++)
		err = replay(o, dev, &o->records[seq % TD__LOG_SLOTS], readonly);
	return err;
}

/* An image that is only read: what is in the log is shown, and stays there. */
static int look(struct opening *o, struct td__device *dev, const struct td__record *last)
{
	int err = take_orphans(o, last, &dev->orphans, &dev->norphans);

	return err ? err : replay_all(o, dev, last, 1);
}

static int recover(struct opening *o, struct td__device *dev, const struct td__record *last)
{
	struct td__log *log = dev->log;
	int err = take_orphans(o, last, &log->orphans, &log->norphans);

	log->seq = last->seq;
	log->clean = (uint32_t)is_clean(last);
	if (err || log->clean)
		return err;
	td__mutex_lock(&dev->writing);
	err = replay_all(o, dev, last, 0);
	if (!err)
		err = td__device_flush(dev);
	if (!err)
		err = td__log_clean(log);
	td__mutex_unlock(&dev->writing);
	return err;
}

/* ---- Opening */

static int all_zero(const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (p[i])
			return 0;
	return 1;
}

static int read_header(struct opening *o)
{
	const struct td__image_header *h = &o->h;

	if (h->version != 1)
		return refuse(o, TD_EUCLEAN, "the image is of another version of Tadan, or its header is damaged");
	if (h->sum != td__image_sum(0, h, __builtin_offsetof(struct td__image_header, sum)) || h->bsize < FIRST ||
	    h->bsize > 65536 || h->bsize & (h->bsize - 1) || h->slot_bytes < 2 * h->bsize || h->slot_bytes > 1ull << 40 ||
	    h->slot_bytes % h->bsize || h->base != h->bsize + TD__LOG_SLOTS * h->slot_bytes || h->bytes < h->base + h->bsize)
		return refuse(o, TD_EUCLEAN, "the image's header is damaged");
	if (h->bytes > o->bytes)
		return refuse(o, TD_EUCLEAN, "the image has been cut short: its end is missing");
	return 0;
}

/* A new image: the log's share grows with it. */
static int plan(struct opening *o, uint32_t bsize)
{
	uint64_t blocks = o->bytes / bsize, copies = blocks / COPIES_SHARE;
	int64_t sec;
	uint32_t nsec;

	copies = copies < COPIES_MIN ? COPIES_MIN : copies > COPIES_MAX ? COPIES_MAX : copies;
	td__port_now(&sec, &nsec);
	o->h.bsize = bsize;
	o->h.slot_bytes = (1 + copies + td__record_head(bsize, 4 * copies, 0, 0) / bsize) * bsize;
	o->h.base = bsize + TD__LOG_SLOTS * o->h.slot_bytes;
	o->h.bytes = blocks * bsize;
	o->h.salt = td__image_sum((uint64_t)sec << 30 ^ nsec, &o, sizeof(o)) ^ td__port_monotonic();
	if (o->h.bytes <= o->h.base + bsize)
		return refuse(o, TD_EINVAL, "the image is too small for its log and a device; give a larger --size");
	return 0;
}

static int make_log(struct opening *o, struct td__device *dev, int header_known)
{
	struct td__log *log = td__port_alloc(sizeof(*log));

	if (!log)
		return -TD_ENOMEM;
	log->dev = dev;
	log->at = o->h.bsize;
	log->slot_bytes = o->h.slot_bytes;
	log->end = o->h.bytes;
	log->salt = o->h.salt;
	log->header_known = (uint32_t)header_known;
	dev->log = log;
	return 0;
}

/* The file has become longer since: the device, too, once there is nothing left to replay. What lies there is not the device's. */
static int grow(struct opening *o, struct td__device *dev)
{
	uint64_t bytes = o->bytes & ~(uint64_t)(o->h.bsize - 1);
	int err;

	if (bytes <= o->h.bytes)
		return 0;
	err = td__port_disk_zero(dev->disk, o->h.bytes, bytes - o->h.bytes);
	if (err)
		return td__disk_error(err);
	dev->log->end = bytes;
	dev->log->header_known = 0;
	return 0;
}

static int create(struct opening *o, uint64_t base, uint64_t end, int readonly, struct td__device **out)
{
	int err = td__device_create((end - base) / o->h.bsize, o->h.bsize, o->disk, readonly ? TD_DEV_READONLY : 0, out);

	if (!err)
		(*out)->base = base;
	return err;
}

static int open_known(struct opening *o, int readonly, struct td__device **out, int *blank)
{
	uint64_t bytes = o->bytes & ~(uint64_t)(o->h.bsize - 1);
	const struct td__record *last;
	int err = read_header(o);

	if (!err)
		err = find_last(o, &last);
	if (!err)
		err = create(o, o->h.base, readonly ? o->h.bytes : bytes, readonly, out);
	if (err)
		return err;
	*blank = !last;
	if (!readonly)
		err = make_log(o, *out, 1);
	if (!err && last)
		err = readonly ? look(o, *out, last) : recover(o, *out, last);
	if (!err && !readonly)
		err = grow(o, *out);
	if (err && !o->why[0])
		refuse(o, -err, err == -TD_EUCLEAN ? "the image's log is damaged: a record speaks of blocks that the device has not" :
			       err == -TD_ENOSPC ? "the image cannot be recovered: the file system that it is on is full; make room there" :
						   "the image cannot be recovered: it cannot be written");
	return err;
}

static int open_new(struct opening *o, uint32_t bsize, int readonly, struct td__device **out)
{
	int err = plan(o, bsize);

	if (!err)
		err = create(o, o->h.base, o->h.bytes, readonly, out);
	return err || readonly ? err : make_log(o, *out, 0);
}

/* From before images had a log. */
static int open_old(struct opening *o, uint32_t bsize, int readonly, struct td__device **out)
{
	o->h.bsize = bsize;
	if (!readonly)
		return refuse(o, TD_EMEDIUMTYPE, "this is no image of Tadan's, or one from before images had a log; such a one can be "
						 "mounted with --read-only and copied to a new one");
	return create(o, 0, o->bytes, 1, out);
}

int td__image_open(struct td__disk *disk, uint64_t bytes, uint32_t bsize, int readonly, struct td__device **out, int *blank,
		   char *why, size_t size)
{
	struct opening o = { .disk = disk, .bytes = bytes, .why = why, .size = size };
	uint8_t *first = td__port_alloc(FIRST);
	int err = first ? 0 : -TD_ENOMEM;

	*out = 0;
	if (size)
		why[0] = 0;
	if (!err && bytes < FIRST)
		err = refuse(&o, TD_EINVAL, "the image is too small for its log and a device; give a larger --size");
	if (!err && td__port_disk_read(disk, 0, first, FIRST))
		err = unreadable(&o);
	if (err)
		goto out;
	memcpy(&o.h, first, sizeof(o.h));
	if (o.h.magic == TD__IMAGE_MAGIC)
		err = open_known(&o, readonly, out, blank);
	else if (*blank && all_zero(first, FIRST))
		err = open_new(&o, bsize, readonly, out);
	else
		err = open_old(&o, bsize, readonly, out);
out:
	if (err && *out) {
		(*out)->disk = 0; /* stays the caller's */
		td__device_destroy(*out);
	}
	if (first)
		td__port_free(first, FIRST);
	return err;
}
