/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of an image: see log.h. */
#include "image.h"

enum {
	CHANGES = TD__DATA | TD__LOG | TD__FREED,
};

/* ---- A transaction in memory */

struct parts {
	uint64_t *copies;
	struct td__run *zeros;
	uint64_t *orphans;
	uint8_t *blocks;
};

static struct parts parts_of(const struct td__log *log, const struct td__tx *tx)
{
	struct parts p;

	p.copies = (uint64_t *)(tx->buffer + log->dev->bsize);
	p.zeros = (struct td__run *)(p.copies + tx->copies);
	p.orphans = (uint64_t *)(p.zeros + tx->zeros);
	p.blocks = tx->buffer + log->dev->bsize + td__record_head(log->dev->bsize, tx->copies, tx->zeros, tx->orphans);
	return p;
}

static void tx_free(struct td__tx *tx)
{
	if (!tx)
		return;
	if (tx->buffer)
		td__port_free(tx->buffer, tx->size);
	td__runs_free(&tx->ordered);
	td__port_free(tx, sizeof(*tx));
}

static struct td__tx *tx_new(const struct td__log *log, uint64_t copies, uint64_t zeros, uint64_t orphans)
{
	struct td__tx *tx = td__port_alloc(sizeof(*tx));

	if (!tx)
		return 0;
	tx->copies = copies;
	tx->zeros = zeros;
	tx->orphans = orphans;
	tx->size = log->dev->bsize + td__record_head(log->dev->bsize, copies, zeros, orphans) + copies * log->dev->bsize;
	tx->buffer = td__port_alloc(tx->size);
	if (tx->buffer)
		return tx;
	tx_free(tx);
	return 0;
}

static void mark_all(const struct td__log *log, const struct td__tx *tx, uint8_t clear, uint8_t copies, uint8_t zeros)
{
	struct parts p = parts_of(log, tx);

	for (uint64_t i = 0; i < tx->copies; i++)
		td__device_mark(log->dev, p.copies[i], clear, copies);
	for (uint64_t i = 0; i < tx->zeros; i++)
		for (uint64_t b = 0; b < p.zeros[i].count; b++)
			td__device_mark(log->dev, p.zeros[i].blkno + b, clear, zeros);
}

/* ---- Snapshot */

enum fate { STAYS, COPIED, ZEROED, ORDERED };

/* What becomes of a block with these bits. */
static enum fate fate_of(uint8_t s, int few)
{
	if (!(s & CHANGES))
		return STAYS;
	if (s & TD__ZERO)
		return ZEROED;
	return few || s & (TD__LOG | TD__FREED | TD__LOGGED) ? COPIED : ORDERED;
}

struct tally {
	uint64_t copies, zeros, zero_end;
};

static void count(struct tally *t, uint64_t blkno, enum fate fate)
{
	t->copies += fate == COPIED;
	if (fate == ZEROED) {
		t->zeros += t->zero_end != blkno;
		t->zero_end = blkno + 1;
	}
}

static void zero_run(struct td__run *zeros, uint64_t *n, uint64_t blkno)
{
	if (*n && zeros[*n - 1].blkno + zeros[*n - 1].count == blkno)
		zeros[*n - 1].count++;
	else
		zeros[(*n)++] = (struct td__run){ blkno, 1 };
}

/* Spans in which nothing is left are passed by from now on. */
static void fill(struct td__log *log, struct td__tx *tx, int few)
{
	struct td__device *dev = log->dev;
	struct parts p = parts_of(log, tx);
	uint64_t copies = 0, zeros = 0;

	for (uint64_t b = 0; (b = td__device_next(dev, b, dev->blocks, CHANGES)) < dev->blocks; b++)
		switch (fate_of(td__device_state(dev, b), few)) {
		case COPIED:
			p.copies[copies] = b;
			memcpy(p.blocks + copies++ * dev->bsize, td__device_at(dev, b), dev->bsize);
			td__device_mark(dev, b, CHANGES, TD__LOGGED);
			break;
		case ZEROED:
			zero_run(p.zeros, &zeros, b);
			td__device_mark(dev, b, CHANGES, TD__LOGGED);
			break;
		case ORDERED: /* without memory for the list it stays DATA, and is in place later than it could be */
			if (!td__runs_add(&tx->ordered, b, 1))
				td__device_mark(dev, b, CHANGES, TD__WRITING);
			break;
		case STAYS:
			break;
		}
	for (uint64_t b = 0; b < dev->blocks; b += TD__SPAN) {
		uint64_t end = dev->blocks - b < TD__SPAN ? dev->blocks : b + TD__SPAN;

		if (dev->busy[b / TD__SPAN] && td__device_next(dev, b, end, CHANGES) == end)
			__atomic_store_n(&dev->busy[b / TD__SPAN], 0, __ATOMIC_RELEASE);
	}
}

int td__log_snapshot(struct td__log *log, const uint64_t *orphans, uint64_t norphans, struct td__tx **out)
{
	struct td__device *dev = log->dev;
	struct tally t = { 0, 0, TD_TO_END };
	int few = dev->data_blocks <= TD__FEW, any = 0;
	struct td__tx *tx;

	*out = 0;
	for (uint64_t b = 0; (b = td__device_next(dev, b, dev->blocks, CHANGES)) < dev->blocks; b++) {
		count(&t, b, fate_of(td__device_state(dev, b), few));
		any = 1;
	}
	if (!any && norphans == log->norphans && (!norphans || !memcmp(orphans, log->orphans, norphans * sizeof(*orphans))))
		return 0;
	tx = tx_new(log, t.copies, t.zeros, norphans);
	if (!tx)
		return -TD_ENOMEM;
	if (norphans)
		memcpy(parts_of(log, tx).orphans, orphans, norphans * sizeof(*orphans));
	fill(log, tx, few);
	*out = tx;
	return 0;
}

/* ---- In place */

/* Copies from the ith on, in one go. Returns the number of the next one. */
static uint64_t put_some(struct td__log *log, const struct td__tx *tx, uint64_t i, int *err)
{
	struct td__disk_piece pieces[TD__PIECES];
	struct parts p = parts_of(log, tx);
	uint64_t bsize = log->dev->bsize;
	uint32_t n = 0;

	for (uint64_t count; i < tx->copies && n < TD__PIECES; i += count, n++) {
		for (count = 1; i + count < tx->copies && p.copies[i + count] == p.copies[i] + count;)
			count++;
		pieces[n] = (struct td__disk_piece){ p.copies[i] * bsize, p.blocks + i * bsize, count * bsize };
	}
	*err = td__device_write_pieces(log->dev, pieces, n);
	return i;
}

/* What cannot be written in place stays in the log: it is part of the next transaction, too. */
static int checkpoint(struct td__log *log, struct td__tx *tx)
{
	struct td__device *dev = log->dev;
	struct parts p = parts_of(log, tx);
	int err, first = 0;

	for (uint64_t i = 0, next; i < tx->copies; i = next) {
		next = put_some(log, tx, i, &err);
		for (uint64_t k = i; err && k < next; k++)
			td__device_mark(dev, p.copies[k], 0, TD__LOG);
		first = first ? first : err;
	}
	for (uint64_t i = 0; i < tx->zeros; i++) {
		err = td__device_write(dev, p.zeros[i].blkno, p.zeros[i].count, 0);
		for (uint64_t k = 0; err && k < p.zeros[i].count; k++)
			td__device_mark(dev, p.zeros[i].blkno + k, 0, TD__LOG);
		first = first ? first : err;
	}
	tx->written = 1;
	return first;
}

/* The disk has been flushed: what was in place by then lasts. `next` is on its way to the log. */
static void retire_all(struct td__log *log, const struct td__tx *next)
{
	for (struct td__tx *tx = log->live; tx; tx = log->live) {
		log->live = tx->next;
		mark_all(log, tx, TD__LOGGED, 0, 0);
		tx_free(tx);
	}
	if (next)
		mark_all(log, next, 0, TD__LOGGED, TD__LOGGED);
}

/* What cannot be put in place at the second try either becomes part of a transaction that is yet to be made: `next` is too old. */
static int flush(struct td__log *log, const struct td__tx *next)
{
	int err = 0;

	for (struct td__tx *tx = log->live; tx && !err; tx = tx->next)
		if (!tx->written)
			err = checkpoint(log, tx);
	if (err)
		return err;
	err = td__device_flush(log->dev);
	if (!err)
		retire_all(log, next);
	for (struct td__tx *tx = log->live; tx; tx = tx->next)
		tx->written = 0;
	return err;
}

int td__log_retire(struct td__log *log)
{
	return log->live ? flush(log, 0) : 0;
}

/* ---- Records */

int td__log_begin(struct td__log *log)
{
	struct td__device *dev = log->dev;
	struct td__image_header *h;
	int err;

	if (log->header_known)
		return 0;
	h = td__port_alloc(dev->bsize);
	if (!h)
		return -TD_ENOMEM;
	*h = (struct td__image_header){ .magic = TD__IMAGE_MAGIC, .version = 1, .bsize = dev->bsize, .salt = log->salt,
					.slot_bytes = log->slot_bytes, .base = dev->base, .bytes = log->end };
	h->sum = td__image_sum(0, h, __builtin_offsetof(struct td__image_header, sum));
	err = td__port_disk_reserve(dev->disk, 0, dev->base);
	if (!err)
		err = td__port_disk_write(dev->disk, 0, h, dev->bsize);
	if (!err)
		err = td__port_disk_flush(dev->disk);
	td__port_free(h, dev->bsize);
	log->header_known = !err;
	return err ? td__disk_error(err) : 0;
}

/* Where a body that is too large for its slot lies: behind the image, and not where another slot's does. */
static uint64_t spill_at(const struct td__log *log, uint64_t slot, uint64_t bytes)
{
	uint64_t at = log->end;

	for (uint32_t again = 0; again < TD__LOG_SLOTS; again++)
		for (uint64_t i = 0; i < TD__LOG_SLOTS; i++)
			if (i != slot && log->spill[i].at < at + bytes && at < log->spill[i].end)
				at = log->spill[i].end;
	return at;
}

static int write_record(struct td__log *log, struct td__tx *tx)
{
	struct td__device *dev = log->dev;
	struct td__record *r = (struct td__record *)tx->buffer;
	uint64_t slot = tx->seq % TD__LOG_SLOTS, at = log->at + slot * log->slot_bytes, body = tx->size - dev->bsize;
	int spills = tx->size > log->slot_bytes, err;

	*r = (struct td__record){ .magic = TD__RECORD_MAGIC, .salt = log->salt, .seq = tx->seq,
				  .tail = log->live ? log->live->seq : tx->seq, .copies = tx->copies, .zeros = tx->zeros,
				  .orphans = tx->orphans, .body_at = spills ? spill_at(log, slot, body) : at + dev->bsize };
	r->body_sum = td__image_sum(log->salt ^ tx->seq, tx->buffer + dev->bsize, body);
	r->sum = td__image_sum(log->salt, r, __builtin_offsetof(struct td__record, sum));
	log->spill[slot].at = spills ? r->body_at : 0;
	log->spill[slot].end = spills ? r->body_at + body : 0;
	if (!spills)
		return td__port_disk_write(dev->disk, at, tx->buffer, tx->size);
	err = td__port_disk_write(dev->disk, r->body_at, tx->buffer + dev->bsize, body);
	return err ? err : td__port_disk_write(dev->disk, at, tx->buffer, dev->bsize);
}

/* The image gets its length back once no record needs what lies behind it. */
static void end_spills(struct td__log *log, uint64_t spilt)
{
	for (uint32_t i = 0; i < TD__LOG_SLOTS; i++)
		if (log->spill[i].end)
			return;
	if (spilt)
		td__port_disk_resize(log->dev->disk, log->end);
}

static int copy_orphans(const struct td__log *log, const struct td__tx *tx, uint64_t **orphans)
{
	uint64_t bytes = tx->orphans * sizeof(**orphans);

	*orphans = bytes ? td__port_alloc(bytes) : 0;
	if (bytes && !*orphans)
		return -TD_ENOMEM;
	if (bytes)
		memcpy(*orphans, parts_of(log, tx).orphans, bytes);
	return 0;
}

static void set_orphans(struct td__log *log, uint64_t *orphans, uint64_t n)
{
	if (log->norphans)
		td__port_free(log->orphans, log->norphans * sizeof(*orphans));
	log->orphans = orphans;
	log->norphans = n;
}

/* Write the record and make it last. */
static int append(struct td__log *log, struct td__tx *tx)
{
	uint64_t spilt = log->spill[(log->seq + 1) % TD__LOG_SLOTS].end;
	int err;

	tx->seq = log->seq + 1;
	err = write_record(log, tx);
	if (err) {
		__atomic_add_fetch(&log->dev->errors, 1, __ATOMIC_RELAXED);
		return td__disk_error(err);
	}
	err = flush(log, tx);
	if (err)
		return err;
	log->seq = tx->seq;
	log->clean = !tx->copies && !tx->zeros;
	end_spills(log, spilt);
	return 0;
}

/* It has not been committed: the next one will hold its changes. */
static void give_back(struct td__log *log, struct td__tx *tx, int err)
{
	struct parts p = parts_of(log, tx);

	for (uint64_t i = 0; i < tx->copies; i++)
		td__device_failed(log->dev, p.copies[i], 1, err);
	for (uint64_t i = 0; i < tx->zeros; i++)
		td__device_failed(log->dev, p.zeros[i].blkno, p.zeros[i].count, err);
	mark_all(log, tx, TD__LOGGED, TD__LOG, TD__FREED);
	for (struct td__tx *live = log->live; live; live = live->next)
		mark_all(log, live, 0, TD__LOGGED, TD__LOGGED);
	tx_free(tx);
}

static void write_ordered(struct td__log *log, const struct td__runs *r)
{
	int bad = td__log_begin(log);

	for (uint64_t i = 0; i < r->n; i++)
		for (uint64_t done = 0, n; done < r->run[i].count; done += n) {
			n = r->run[i].count - done < TD__RUN_BLOCKS ? r->run[i].count - done : TD__RUN_BLOCKS;
			td__device_write_claimed(log->dev, r->run[i].blkno + done, n, bad);
		}
}

int td__log_commit(struct td__log *log, struct td__tx *tx)
{
	uint64_t *orphans;
	int err, none = copy_orphans(log, tx, &orphans);

	write_ordered(log, &tx->ordered);
	err = none ? none : td__log_begin(log);
	if (!err && log->dev->written.n)
		err = flush(log, tx);
	if (!err)
		err = append(log, tx);
	if (err) {
		if (orphans)
			td__port_free(orphans, tx->orphans * sizeof(*orphans));
		give_back(log, tx, err);
		return err;
	}
	set_orphans(log, orphans, tx->orphans);
	checkpoint(log, tx);
	log->live = tx;
	return 0;
}

/* ---- Records without content */

static int append_empty(struct td__log *log)
{
	struct td__tx *tx = tx_new(log, 0, 0, log->norphans);
	int err;

	if (!tx)
		return -TD_ENOMEM;
	if (log->norphans)
		memcpy(parts_of(log, tx).orphans, log->orphans, log->norphans * sizeof(*log->orphans));
	err = append(log, tx);
	tx_free(tx);
	return err;
}

int td__log_clean(struct td__log *log)
{
	return log->seq && !log->clean ? append_empty(log) : 0;
}

int td__log_settle(struct td__log *log)
{
	int data = log->dev->written.n != 0, err = 0;

	if (log->live || data)
		err = flush(log, 0);
	return err || !data ? err : td__log_clean(log);
}

/* ---- The end */

int td__log_close(struct td__log *log)
{
	int err;

	td__mutex_lock(&log->dev->writing);
	err = td__log_retire(log);
	if (!err && td__device_next(log->dev, 0, log->dev->blocks, CHANGES) < log->dev->blocks)
		err = -TD_EIO; /* the log has what could not be put in place, and keeps it */
	else if (!err)
		err = td__log_clean(log);
	td__mutex_unlock(&log->dev->writing);
	return err;
}

void td__log_free(struct td__log *log)
{
	while (log->live) {
		struct td__tx *tx = log->live;

		log->live = tx->next;
		tx_free(tx);
	}
	set_orphans(log, 0, 0);
	td__port_free(log, sizeof(*log));
}
