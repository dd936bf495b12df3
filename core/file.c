/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The content of files. Where a module maps blocks (bmap), the kernel moves the bytes itself between the caller and
 * the device, by the extents that it remembers: a warm read or overwrite crosses no wall. A module without bmap
 * moves them itself, through a uio.
 *
 * Rule: a block's bytes beyond the file's end are zero. Whoever shortens a file zeroes the rest of its last block;
 * whoever gets NEW blocks zeroes what he does not write.
 */
#include "fs.h"
#include "operations.h"

enum { PART = 1 << 20 /* of a read: what must be in memory at a time */, SPANS = 300, ZEROES = 65536, ALLOC_MAX = 4096, SEEK_TRIES = 65536 };

static const uint8_t zeroes[ZEROES];

static int maps_blocks(const struct td__fs *fs)
{
	return td__hook_bound(fs, TD_OP_bmap);
}

static void now(struct td_time *t)
{
	td__port_now(&t->sec, &t->nsec);
	t->pad = 0;
}

static void touch_content(struct td__vnode *v)
{
	if (v->fs->remote) /* the server keeps the times */
		return;
	now(&v->rec.mtime);
	v->rec.ctime = v->rec.mtime;
	td__vnode_dirty(v);
}

static void touch_content_by(struct td__vnode *v, const struct td_cred *cred)
{
	if (cred->uid && v->rec.mode & 06000 && !v->fs->remote)
		td__drop_set_id(&v->rec, cred);
	touch_content(v);
}

/* ---- Reading */

/* What the module says of the blocks from `first` on, perhaps not up to `last`. The shared lock is given up meanwhile. */
static int load_map(struct td__vnode *v, uint64_t first, uint64_t last)
{
	int err;

	td__rwlock_unlock(&v->lock);
	td__rwlock_exclusive(&v->lock);
	err = td__extent_find(v, first) ? 0 : td__extents_load(v, first, last - first + 1);
	td__rwlock_unlock(&v->lock);
	td__rwlock_shared(&v->lock);
	return err;
}

/* Extents for the whole range are known; the lock may have been given up on the way. */
static int map_range(struct td__vnode *v, uint64_t first, uint64_t last)
{
	uint32_t tries = 0;

	for (uint64_t b = first; b <= last;) {
		const struct td_extent *e = td__extent_find(v, b);

		if (e) {
			b = e->lblk + e->count;
			continue;
		}
		int err = load_map(v, b, last);
		if (err)
			return err;
		if (++tries > 4096) /* a module whose answers lead nowhere */
			return -TD_EIO;
		b = first; /* others may have changed the file meanwhile */
	}
	return 0;
}

/* Bytes that follow one another in memory, from off on; at most len. Returns 0 where the disk cannot be read. */
static int span_at(struct td__vnode *v, uint64_t off, uint64_t len, struct td_span *s)
{
	struct td__device *dev = v->fs->device;
	uint64_t lblk = off / dev->bsize, in = off % dev->bsize;
	const struct td_extent *e = td__extent_find(v, lblk);
	uint64_t left = (e->lblk + e->count - lblk) * dev->bsize - in;

	if (left > len)
		left = len;
	if (e->state == TD_HOLE) {
		s->data = zeroes;
		s->len = left < ZEROES ? left : ZEROES;
		return 0;
	}
	uint64_t pblk = e->pblk + (lblk - e->lblk);
	s->data = td__device_at(dev, pblk) + in;
	s->len = left;
	return td__device_load(dev, pblk, (in + left + dev->bsize - 1) / dev->bsize);
}

typedef int (*emit_fn)(void *arg, const struct td_span *spans, uint32_t n);

static int64_t emit_range(struct td__vnode *v, uint64_t off, uint64_t len, emit_fn emit, void *arg)
{
	struct td_span few[SPANS], *spans = few;
	uint64_t worst = len / v->fs->device->bsize + len / ZEROES + 3;
	uint32_t n = 0;
	int64_t err = 0;

	if (worst > SPANS) {
		spans = td__port_alloc(worst * sizeof(*spans));
		if (!spans)
			return -TD_ENOMEM;
	}
	for (uint64_t at = 0; at < len && !err; at += spans[n++].len)
		err = span_at(v, off + at, len - at, &spans[n]);
	if (!err)
		err = emit(arg, spans, n);
	if (spans != few)
		td__port_free(spans, worst * sizeof(*spans));
	return err < 0 ? err : (int64_t)len;
}

/* What the module has moved, to whom it is for. */
static int64_t emit_chain(const struct td__mbuf *m, emit_fn emit, void *arg)
{
	struct td__piece few[SPANS], *pieces = few;
	struct td_span *spans;
	uint32_t n = m->segments;
	int64_t err;

	if (n > SPANS / 2)
		pieces = td__port_alloc(n * (sizeof(*pieces) + sizeof(*spans)));
	if (!pieces)
		return -TD_ENOMEM;
	spans = (struct td_span *)(pieces + (n > SPANS / 2 ? n : SPANS / 2));
	n = td__mbuf_pieces(m, 0, pieces, n);
	for (uint32_t i = 0; i < n; i++)
		spans[i] = (struct td_span){ pieces[i].data, pieces[i].len };
	err = emit(arg, spans, n);
	if (pieces != few)
		td__port_free(pieces, m->segments * (sizeof(*pieces) + sizeof(*spans)));
	return err < 0 ? err : m->len;
}

/* The module moves the bytes, into a chain of the kernel's. */
static int64_t read_by_module(struct td__vnode *v, uint64_t off, uint64_t len, emit_fn emit, void *arg)
{
	struct td__uio uio = { .read = td__mbuf_new(), .len = len };
	int64_t err;

	if (!uio.read)
		return -TD_ENOMEM;
	err = len ? td__standing_read(v, off, len, &uio) : 0;
	if (err == -TD_EAGAIN) {
		err = td__fs_read(v->fs, v, off, len, &uio);
		td__standing_passed(v, off + len);
	}
	if (err == -TD_ENOSYS)
		err = -TD_EIO;
	if (!err)
		err = uio.read ? emit_chain(uio.read, emit, arg) : -TD_ENOMEM;
	td__mbuf_drop(&v->fs->net.pool, uio.read);
	return err;
}

static int64_t read_locked(struct td__vnode *v, uint64_t off, uint64_t len, emit_fn emit, void *arg)
{
	uint32_t bsize = v->fs->device->bsize;
	int64_t err;

	if (v->rec.type == TD_DIR)
		return -TD_EISDIR;
	if (v->rec.type != TD_REG)
		return -TD_EINVAL;
	for (;;) {
		uint64_t size = v->rec.size, n = off >= size ? 0 : size - off < len ? size - off : len;

		if (!maps_blocks(v->fs))
			return read_by_module(v, off, n, emit, arg);
		if (!n) {
			err = emit(arg, 0, 0);
			return err < 0 ? err : 0;
		}
		err = map_range(v, off / bsize, (off + n - 1) / bsize);
		if (err)
			return err;
		if (v->rec.size >= off + n) /* else it was shortened while the map was loaded */
			return emit_range(v, off, n, emit, arg);
	}
}

static int later(const struct td_time *a, const struct td_time *b)
{
	return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

/* Relative access times: new ones once after each change, and once a day. */
int td__access_is_old(const struct td__vnode *v)
{
	const struct td_vnode *r = &v->rec;
	struct td_time t;

	if (v->fs->remote)
		return 0;
	if (!later(&r->atime, &r->mtime) || !later(&r->atime, &r->ctime))
		return 1;
	now(&t);
	return t.sec - r->atime.sec >= 86400;
}

void td__vnode_accessed(struct td__vnode *v)
{
	td__rwlock_exclusive(&v->lock);
	now(&v->rec.atime);
	td__vnode_dirty(v);
	td__rwlock_unlock(&v->lock);
}

int64_t td__op_read_spans(struct td__fs *fs, td_handle h, uint64_t off, uint64_t len, emit_fn emit, void *arg)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int64_t got;
	int old;

	if (!v)
		return -TD_ESTALE;
	got = td__vnode_refresh(v, 0);
	if (got < 0) {
		td__vnode_put(v, 1);
		return got;
	}
	if (len > 16 << 20)
		len = 16 << 20;
	if (off > 0x7fffffffffffffffull - len) {
		td__vnode_put(v, 1);
		return -TD_EINVAL;
	}
	td__rwlock_shared(&v->lock);
	got = read_locked(v, off, len, emit, arg);
	old = got > 0 && td__access_is_old(v);
	td__rwlock_unlock(&v->lock);
	if (old)
		td__vnode_accessed(v);
	td__vnode_put(v, 1);
	return got;
}

static int copy_out(void *arg, const struct td_span *spans, uint32_t n)
{
	uint8_t *to = arg;

	for (uint32_t i = 0; i < n; i++) {
		memcpy(to, spans[i].data, spans[i].len);
		to += spans[i].len;
	}
	return 0;
}

int64_t td_read(struct td__fs *fs, td_handle h, uint64_t off, void *data, uint64_t len)
{
	uint64_t done = 0;

	do {
		uint64_t part = fs->device->disk && len - done > PART ? PART : len - done;
		int64_t n = td_read_spans(fs, h, off + done, part, copy_out, (uint8_t *)data + done);

		if (n <= 0)
			return n < 0 && !done ? n : (int64_t)done;
		done += (uint64_t)n;
	} while (done < len);
	return (int64_t)done;
}

/* ---- Writing. The exclusive lock is held. */

/* The extent of lblk, from the cache or else from the module. */
static int extent_at(struct td__vnode *v, uint64_t lblk, const struct td_extent **e)
{
	int err = 0;

	*e = td__extent_find(v, lblk);
	if (!*e)
		err = td__extents_load(v, lblk, 1);
	if (!err && !*e)
		*e = td__extent_find(v, lblk);
	return err ? err : *e ? 0 : -TD_EIO;
}

/*
 * Zero what lies in [off, end) of the file, as far as there are blocks. With `only_look` just do all that can fail: who
 * does more than zero does that first, so that an error finds everything as it was.
 */
static int zero_range(struct td__vnode *v, uint64_t off, uint64_t end, int only_look)
{
	struct td__device *dev = v->fs->device;

	while (off < end) {
		uint64_t lblk = off / dev->bsize, in = off % dev->bsize;
		uint64_t n = dev->bsize - in < end - off ? dev->bsize - in : end - off;
		const struct td_extent *e;
		int err = extent_at(v, lblk, &e);

		if (err)
			return err;
		if (e->state != TD_HOLE) {
			uint64_t pblk = e->pblk + (lblk - e->lblk);

			err = n < dev->bsize ? td__device_load(dev, pblk, 1) : 0;
			if (err)
				return err;
			if (!only_look && n == dev->bsize) {
				td__device_discard(dev, pblk, 1);
			} else if (!only_look) {
				td__device_dirty(dev, pblk, 1);
				memset(td__device_at(dev, pblk) + in, 0, n);
				td__device_changed(dev, pblk, 1);
			}
		} else {
			n = (e->lblk + e->count) * dev->bsize - off;
		}
		off += n;
	}
	return 0;
}

/* Of the new blocks, zero what [off, end) will not overwrite. Whole blocks are zero once discarded. */
static void zero_fresh(struct td__device *dev, const struct td_extent *fresh, uint32_t n, uint64_t off, uint64_t end)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint64_t b = 0; b < fresh[i].count; b++) {
			uint64_t from = (fresh[i].lblk + b) * dev->bsize, to = from + dev->bsize;
			uint8_t *block = td__device_at(dev, fresh[i].pblk + b);

			td__device_dirty(dev, fresh[i].pblk + b, 1);
			if (end <= from || off >= to) {
				td__device_zero(dev, fresh[i].pblk + b, fresh[i].count - b);
				break;
			}
			if (off > from)
				memset(block, 0, off - from);
			if (end < to)
				memset(block + (end - from), 0, to - end);
			td__device_changed(dev, fresh[i].pblk + b, 1);
		}
}

static void note_ahead(struct td__vnode *v, uint64_t from, const struct td_extent *fresh, uint32_t n)
{
	if (!n || fresh[n - 1].lblk + fresh[n - 1].count <= from)
		return;
	v->ahead = from;
	v->ahead_end = fresh[n - 1].lblk + fresh[n - 1].count;
}

/*
 * Blocks for [off, *end), which are zeroes unless they are to be written now. Where the device fills up on the way, *end
 * says how far it got. A fault before anything has been allocated leaves everything as it was.
 */
static int allocate(struct td__vnode *v, uint64_t off, uint64_t *end, int to_write)
{
	struct td__device *dev = v->fs->device;
	uint64_t first = off / dev->bsize, last = (*end - 1) / dev->bsize;
	uint64_t until = last + 1;
	struct td_extent fresh[32];
	uint32_t n, allocated = 0;

	for (uint64_t b = first; b <= last;) {
		const struct td_extent *e = td__extent_find(v, b);
		int err = 0;

		if (!e && b * dev->bsize < v->rec.size) {
			err = td__extents_load(v, b, last - b + 1);
			e = err ? 0 : td__extent_find(v, b);
		}
		if (!err && e && e->state == TD_DATA) {
			b = e->lblk + e->count;
			continue;
		}
		if (!err) {
			uint64_t want;

			if (to_write && off == v->rec.size && until == last + 1)
				until = td__ahead_end(v, until);
			want = until - b;
			if (e && e->state == TD_HOLE && e->lblk + e->count - b < want)
				want = e->lblk + e->count - b;
			err = td__extents_alloc(v, b, want < ALLOC_MAX ? want : ALLOC_MAX, fresh, &n);
			zero_fresh(dev, fresh, n, off, to_write ? *end : off);
			note_ahead(v, last + 1, fresh, n);
			v->appended |= !err && to_write && off == v->rec.size;
			allocated |= !err;
		}
		if (err && (b == first || (err == -TD_EIO && !allocated)))
			return err;
		if (err) {
			*end = b * dev->bsize;
			return 0;
		}
	}
	return 0;
}

static int copy_in(struct td__vnode *v, uint64_t off, const uint8_t *from, uint64_t len)
{
	struct td__device *dev = v->fs->device;

	while (len) {
		uint64_t lblk = off / dev->bsize, in = off % dev->bsize;
		const struct td_extent *e = td__extent_find(v, lblk);
		uint64_t pblk, n, blocks;

		if (!e || e->state != TD_DATA)
			return -TD_EIO;
		n = (e->lblk + e->count - lblk) * dev->bsize - in;
		if (n > len)
			n = len;
		pblk = e->pblk + (lblk - e->lblk);
		blocks = (in + n + dev->bsize - 1) / dev->bsize;
		if (in || n % dev->bsize) {
			int err = td__device_load(dev, pblk, blocks);

			if (err)
				return err;
		}
		td__device_dirty(dev, pblk, blocks);
		td__port_pages_write(&dev->data, pblk * dev->bsize + in, from, n);
		td__device_changed(dev, pblk, blocks);
		off += n;
		from += n;
		len -= n;
	}
	return 0;
}

static int64_t write_by_module(struct td__vnode *v, uint64_t off, const void *data, uint64_t len)
{
	uint64_t done = 0, moved = 1;
	int err = 0;

	while (done < len && moved && !err) {
		struct td__uio uio = { .data = (const uint8_t *)data + done, .len = len - done };

		err = td__fs_write(v->fs, v, off + done, len - done, &uio);
		if (!err && td__kept_too_much(v))
			err = td__fs_flush(v->fs, v);
		moved = err ? 0 : uio.moved;
		done += moved;
	}
	return done ? (int64_t)done : err;
}

static int64_t write_locked(struct td__vnode *v, uint64_t off, const void *data, uint64_t len)
{
	uint64_t end;
	int err;

	if (v->rec.type == TD_DIR)
		return -TD_EISDIR;
	if (v->rec.type != TD_REG)
		return -TD_EINVAL;
	if (off == TD_APPEND)
		off = v->rec.size;
	if (off >= v->fs->info.maxsize)
		return len ? -TD_EFBIG : 0;
	if (len > v->fs->info.maxsize - off)
		len = v->fs->info.maxsize - off;
	if (!len)
		return 0;
	if (!maps_blocks(v->fs))
		return write_by_module(v, off, data, len);
	if (off > v->rec.size)
		td__ahead_trim(v);
	end = off + len;
	err = allocate(v, off, &end, 1);
	if (!err)
		err = copy_in(v, off, data, end - off);
	if (err)
		return err;
	if (v->young)
		td__ahead_written(v, (end - 1) / v->fs->device->bsize + 1);
	if (end > v->rec.size)
		v->rec.size = end;
	return (int64_t)(end - off);
}

int64_t td__op_write(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint64_t off, const void *data,
		 uint64_t len)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int64_t n;

	if (!v)
		return -TD_ESTALE;
again:
	td__rwlock_exclusive(&v->lock);
	n = write_locked(v, off, data, len);
	if (n > 0 && cred) {
		touch_content_by(v, cred);
	} else if (n > 0 && !fs->remote) {
		td__vnode_dirty(v);
	}
	td__ahead_unlock(v);
	if (td__ahead_relieve(fs, n))
		goto again;
	td__vnode_put(v, 1);
	return n;
}

/* ---- Size. The exclusive lock is held. */

static int shorten(struct td__vnode *v, uint64_t size)
{
	uint32_t bsize = v->fs->device->bsize;
	uint64_t keep = (size + bsize - 1) / bsize, end = keep * bsize < v->rec.size ? keep * bsize : v->rec.size;
	int err = zero_range(v, size, end, 1);

	if (!err) {
		td__extents_cut(v, keep, TD_TO_END);
		err = td__fs_bunmap(v->fs, v, keep, TD_TO_END);
	}
	if (!err)
		v->ahead = v->ahead_end = 0;
	return err ? err : zero_range(v, size, end, 0);
}

int td__vnode_truncate(struct td__vnode *v, uint64_t size)
{
	int err = 0;

	if (v->rec.type == TD_DIR)
		return -TD_EISDIR;
	if (v->rec.type != TD_REG)
		return -TD_EINVAL;
	if (size > v->fs->info.maxsize)
		return -TD_EFBIG;
	if (!maps_blocks(v->fs))
		err = td__fs_truncate(v->fs, v, size);
	else if (!size && v->rec.size && td__ahead_keep(v))
		err = 0;
	else if (size < v->rec.size || (size == v->rec.size && v->rec.blocks))
		err = shorten(v, size);
	else
		td__ahead_trim(v);
	if (err || v->fs->remote)
		return err;
	v->rec.size = size;
	touch_content(v);
	return 0;
}

static int punch(struct td__vnode *v, uint64_t off, uint64_t end)
{
	uint32_t bsize = v->fs->device->bsize;
	uint64_t first = (off + bsize - 1) / bsize, last = end / bsize;
	int err;

	if (first >= last) /* no whole block */
		return zero_range(v, off, end, 0);
	err = zero_range(v, off, first * bsize, 1);
	if (!err)
		err = zero_range(v, last * bsize, end, 1);
	if (!err) {
		td__extents_cut(v, first, last - first);
		err = td__fs_bunmap(v->fs, v, first, last - first);
	}
	if (!err)
		err = zero_range(v, off, first * bsize, 0);
	return err ? err : zero_range(v, last * bsize, end, 0);
}

static int fallocate_locked(struct td__vnode *v, const struct td_cred *cred, uint64_t off, uint64_t len, uint32_t mode)
{
	uint64_t end = off + len, got = end, size = v->rec.size;
	int err = 0;

	if (v->rec.type == TD_DIR)
		return -TD_EISDIR;
	if (v->rec.type != TD_REG)
		return -TD_ENODEV;
	if (!maps_blocks(v->fs))
		return td__fs_fallocate(v->fs, v, off, len, mode);
	if (mode & TD_FALLOC_PUNCH_HOLE) {
		err = off < size ? punch(v, off, end < size ? end : size) : 0;
	} else if ((end - 1) / v->fs->device->bsize - off / v->fs->device->bsize >= v->fs->device->blocks) {
		err = -TD_ENOSPC; /* known without asking block by block */
	} else {
		err = allocate(v, off, &got, 0);
		if (!err && got < end)
			err = -TD_ENOSPC;
		if (!err && mode & TD_FALLOC_ZERO_RANGE)
			err = zero_range(v, off, end < size ? end : size, 0);
		if (!err && end > size)
			v->ahead_end = 0; /* they are asked for now */
		if (!err && !(mode & TD_FALLOC_KEEP_SIZE) && end > size)
			v->rec.size = end;
	}
	if (!err)
		touch_content_by(v, cred);
	return err;
}

int td__op_fallocate(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint64_t off, uint64_t len, uint32_t mode)
{
	const uint32_t known = TD_FALLOC_KEEP_SIZE | TD_FALLOC_PUNCH_HOLE | TD_FALLOC_ZERO_RANGE;
	struct td__vnode *v;
	int err;

	if (mode & ~known || (mode & TD_FALLOC_PUNCH_HOLE && mode & TD_FALLOC_ZERO_RANGE) ||
	    (mode & TD_FALLOC_PUNCH_HOLE && !(mode & TD_FALLOC_KEEP_SIZE)))
		return -TD_EOPNOTSUPP;
	if (!len)
		return -TD_EINVAL;
	if (off > fs->info.maxsize || len > fs->info.maxsize - off)
		return -TD_EFBIG;
	v = td__vnode_get(fs, h);
	if (!v)
		return -TD_ESTALE;
	do {
		td__rwlock_exclusive(&v->lock);
		err = fallocate_locked(v, cred, off, len, mode);
		td__rwlock_unlock(&v->lock);
	} while (td__ahead_relieve(fs, err));
	td__vnode_put(v, 1);
	return err;
}

/* ---- Seeking */

static int64_t seek_mapped(struct td__vnode *v, uint64_t off, uint32_t whence)
{
	uint32_t bsize = v->fs->device->bsize;
	uint64_t most = SEEK_TRIES + 2 * v->fs->device->blocks;

	while (off < v->rec.size) {
		uint64_t lblk = off / bsize, last = (v->rec.size - 1) / bsize;
		const struct td_extent *e = td__extent_find(v, lblk);

		if (!e) {
			int err = most-- ? load_map(v, lblk, last) : -TD_EIO; /* a module whose answers lead nowhere */
			if (err)
				return err;
			continue;
		}
		if ((e->state == TD_HOLE) == (whence == TD_SEEK_HOLE))
			return (int64_t)off;
		if (e->lblk + e->count > last)
			break;
		off = (e->lblk + e->count) * bsize;
	}
	return whence == TD_SEEK_HOLE ? (int64_t)v->rec.size : -TD_ENXIO;
}

int64_t td__op_seek(struct td__fs *fs, td_handle h, uint64_t off, uint32_t whence)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	uint64_t found;
	int64_t result;

	if (!v)
		return -TD_ESTALE;
	td__rwlock_shared(&v->lock);
	if (whence != TD_SEEK_DATA && whence != TD_SEEK_HOLE) {
		result = -TD_EINVAL;
	} else if (off >= v->rec.size) {
		result = -TD_ENXIO;
	} else if (maps_blocks(fs)) {
		result = seek_mapped(v, off, whence);
	} else {
		int err = td__fs_seek(fs, v, off, whence, &found);

		if (err == -TD_ENOSYS)
			result = whence == TD_SEEK_HOLE ? (int64_t)v->rec.size : (int64_t)off;
		else
			result = err ? err : (int64_t)found;
	}
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return result;
}
