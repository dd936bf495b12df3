/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The services: what a module may ask of the kernel during a call. Each checks its handle and arguments,
 * writes the inverse of what it is about to do to the journal, and does it. Memory that the module named is
 * touched through td__port_copy() only. The wall has seen to it that the memory is the module's.
 */
#include "fs.h"
#include "journal.h"
#include "fs_services.h"

enum { LOG_LINES = 64 }; /* of one call */

/* A call that has been aborted or doomed does nothing more. */
static int over(const struct td__call *c)
{
	return __atomic_load_n(&c->aborted, __ATOMIC_RELAXED) || __atomic_load_n(&c->doomed, __ATOMIC_RELAXED);
}

static struct td__open_buf *open_buf(struct td__call *c, uint32_t buf)
{
	uint32_t index = buf & 255;

	if (index >= c->open_top || !c->bufs[index].open || c->bufs[index].opened != buf >> 8)
		return 0;
	return &c->bufs[index];
}

/* The buf's block, if the range lies within it; 0 after counting the mistake. */
static struct td__open_buf *range_of(struct td__call *c, uint32_t buf, uint32_t off, uint32_t len, int *err)
{
	struct td__open_buf *b = open_buf(c, buf);
	uint32_t bsize = c->fs->device->bsize;

	*err = 0;
	if (over(c))
		*err = -TD_EDEADLK;
	else if (!b)
		*err = td__careless_of(c, TD_ESTALE, "buf: no such handle is open", "buf", buf);
	else if (off > bsize || len > bsize - off)
		*err = td__careless_of(c, TD_EINVAL, "buf: a range outside the block", "block", b->blkno);
	return *err ? 0 : b;
}

int td__svc_do_bread(struct td__call *c, uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view)
{
	struct td__device *dev = c->fs->device;
	uint32_t index = buf & 255;
	struct td__open_buf *b = &c->bufs[index & (TD_BUF_MAX - 1)];
	int err = 0, absent;

	if (over(c))
		return -TD_EDEADLK;
	if (index >= TD_BUF_MAX)
		return td__careless_of(c, TD_EMFILE, "bread: a handle out of range", "buf", buf);
	for (; c->open_top <= index; c->open_top++)
		c->bufs[c->open_top] = (struct td__open_buf){ 0 };
	if (b->open || buf >> 8 != b->opened + 1)
		return td__careless_of(c, TD_EINVAL, "bread: a handle that is in use or out of turn", "buf", buf);
	if (blkno >= dev->blocks)
		return td__careless_of(c, TD_EINVAL, "bread: a block beyond the device", "block", blkno);
	absent = !td__device_present(dev, blkno);
	if (!fresh && !td__device_warm(dev, blkno)) {
		__atomic_store_n(&c->asleep, 1, __ATOMIC_RELEASE);
		err = td__device_load(dev, blkno, 1);
		__atomic_store_n(&c->asleep, 0, __ATOMIC_RELEASE);
	}
	if (!err && fresh && c->domain->level.journal == TD_JOURNAL_ALL)
		err = absent ? td__journal_mark(c, TD__ENTRY_ZEROED, blkno, 1) : td__journal_block(c, blkno);
	c->io_failed |= err == -TD_EIO;
	if (err)
		return err == -TD_EIO ? err : -TD_EMFILE;
	if (b->blkno != blkno)
		td__progress(c);
	if (fresh) {
		td__locks_changed(c);
		td__note_write(c, blkno, 0, dev->bsize);
		td__device_dirty(dev, blkno, 1);
		memset(td__device_at(dev, blkno), 0, dev->bsize);
		td__device_altered(dev, blkno);
	}
	*b = (struct td__open_buf){ blkno, buf >> 8, 1 };
	td__origin_note(c, "block", blkno);
	*view = c->domain->views == TD_VIEW_NONE ? td__device_changes(dev, blkno) : (uintptr_t)td__device_at(dev, blkno);
	return 0;
}

int td__svc_do_brelse(struct td__call *c, uint32_t buf)
{
	struct td__open_buf *b = open_buf(c, buf);

	if (!b)
		return over(c) ? -TD_EDEADLK : td__careless_of(c, TD_ESTALE, "brelse: no such handle is open", "buf", buf);
	b->open = 0;
	return 0;
}

int td__svc_do_buf_read(struct td__call *c, uint32_t buf, uint32_t off, void *data, uint32_t len)
{
	int err;
	struct td__open_buf *b = range_of(c, buf, off, len, &err);

	if (err)
		return err;
	if (td__port_copy(data, td__device_at(c->fs->device, b->blkno) + off, len))
		return td__careless_of(c, TD_EINVAL, "buf_read: memory that is not there", "block", b->blkno);
	return 0;
}

/* Journal and mark a range that is about to change. */
static uint8_t *about_to_change(struct td__call *c, uint32_t buf, uint32_t off, uint32_t len, int *err)
{
	struct td__open_buf *b = range_of(c, buf, off, len, err);

	if (!b)
		return 0;
	if (c->domain->level.journal == TD_JOURNAL_ALL) {
		*err = td__journal_bytes(c, b->blkno, off, len);
		if (*err)
			return 0;
	}
	td__locks_changed(c);
	td__note_write(c, b->blkno, off, len);
	td__device_dirty(c->fs->device, b->blkno, 1);
	return td__device_at(c->fs->device, b->blkno) + off;
}

static void changed(struct td__call *c, uint32_t buf)
{
	td__device_altered(c->fs->device, c->bufs[buf & 255].blkno);
}

int td__svc_do_buf_write(struct td__call *c, uint32_t buf, uint32_t off, const void *data, uint32_t len)
{
	int err;
	uint8_t *to = about_to_change(c, buf, off, len, &err);

	if (!to)
		return err;
	err = td__port_copy(to, data, len);
	changed(c, buf);
	return err ? td__careless_of(c, TD_EINVAL, "buf_write: memory that is not there", "block", c->bufs[buf & 255].blkno) : 0;
}

int td__svc_do_buf_fill(struct td__call *c, uint32_t buf, uint32_t off, uint32_t len, uint32_t value)
{
	int err;
	uint8_t *to = about_to_change(c, buf, off, len, &err);

	if (!to)
		return err;
	memset(to, (int)(value & 255), len);
	changed(c, buf);
	return 0;
}

int td__svc_do_buf_move(struct td__call *c, uint32_t buf, uint32_t to, uint32_t from, uint32_t len)
{
	int err;
	uint8_t *target;

	if (!range_of(c, buf, from, len, &err))
		return err;
	target = about_to_change(c, buf, to, len, &err);
	if (!target)
		return err;
	memmove(target, target - to + from, len);
	changed(c, buf);
	return 0;
}

int td__svc_do_discard(struct td__call *c, uint64_t blkno, uint64_t count)
{
	const struct td__device *dev = c->fs->device;

	if (over(c))
		return -TD_EDEADLK;
	if (blkno > dev->blocks || count > dev->blocks - blkno)
		return td__careless_of(c, TD_EINVAL, "discard: blocks beyond the device", "block", blkno);
	if (count > dev->blocks - c->discarded) /* the commit is under no time limit */
		return td__careless_of(c, TD_EINVAL, "discard: more blocks in one call than the device has", "block", blkno);
	c->discarded += count;
	td__locks_changed(c);
	if (c->domain->level.journal == TD_JOURNAL_OFF) {
		/* Nothing will be undone, and locks do not last until the commit: once they are given back, others may
		 * use these blocks. */
		td__device_discard(c->fs->device, blkno, count);
		return 0;
	}
	return td__journal_mark(c, TD__ENTRY_DISCARD, blkno, count);
}

int td__svc_do_lock(struct td__call *c, uint32_t lock, uint32_t mode)
{
	return td__lock_take(c, lock, mode);
}

int td__svc_do_unlock(struct td__call *c, uint32_t lock)
{
	if (over(c))
		return -TD_EDEADLK;
	td__lock_give(c, lock);
	return 0;
}

/* May so many bytes be moved to or from the caller's buffer? */
static int may_move(struct td__call *c, uint32_t uio, uint32_t len)
{
	if (over(c))
		return -TD_EDEADLK;
	if (!c->uio || uio != 1)
		return td__careless_of(c, TD_ESTALE, "uio: no such handle", "uio", uio);
	if (len > c->uio->len - c->uio->moved)
		return td__careless(c, TD_EINVAL, "uio: more than the caller's buffer holds");
	return 0;
}

int td__svc_do_uio_read(struct td__call *c, uint32_t uio, void *data, uint32_t len)
{
	int err = c->op == TD_OP_write ? may_move(c, uio, len) :
					 td__careless(c, TD_EINVAL, "uio_read: the call does not write");

	if (err)
		return err;
	if (td__port_copy(data, c->uio->data + c->uio->moved, len))
		return td__careless(c, TD_EINVAL, "uio_read: memory that is not there");
	c->uio->moved += len;
	if (len)
		td__progress(c);
	return 0;
}

int td__svc_do_uio_write(struct td__call *c, uint32_t uio, const void *data, uint32_t len)
{
	int err = c->op == TD_OP_read ? may_move(c, uio, len) :
					td__careless(c, TD_EINVAL, "uio_write: the call does not read");

	if (err)
		return err;
	err = td__mbuf_put(&c->fs->net.pool, c->uio->read, data, len, (uint32_t)c->uio->len);
	if (err)
		return err == -TD_EFAULT ? td__careless(c, TD_EINVAL, "uio_write: memory that is not there") : err;
	c->uio->moved += len;
	if (len)
		td__progress(c);
	return 0;
}

int td__svc_do_vref(struct td__call *c, uint64_t vnode)
{
	int err = over(c) ? -TD_EDEADLK : td__vnode_keep(c->fs, vnode);

	if (err)
		return td__careless_of(c, -err, "vref: no such vnode, or too many", "vnode", vnode);
	if (td__journal_mark(c, TD__ENTRY_REF, vnode, 1)) {
		td__vnode_unkeep(c->fs, vnode);
		return -TD_EMFILE;
	}
	td__origin_note_reference(c, vnode);
	return 0;
}

/* Giving back can end a vnode, which is no work for the middle of a call: done at commit. */
int td__svc_do_vrele(struct td__call *c, uint64_t vnode)
{
	if (over(c))
		return -TD_EDEADLK;
	if (td__journal_mark(c, TD__ENTRY_UNREF, vnode, 1))
		return -TD_ESTALE;
	td__origin_note(c, "vnode", vnode);
	return 0;
}

int td__svc_do_log(struct td__call *c, uint32_t priority, const void *text, uint32_t len)
{
	char line[256];
	uint32_t at = 0;

	if (len > 200)
		return td__careless(c, TD_EINVAL, "log: more than 200 bytes");
	if (++c->lines > LOG_LINES)
		return td__careless(c, TD_EINVAL, "log: more than 64 lines in one call");
	td__copy_text(line, 40, c->fs->module->info.name);
	at = (uint32_t)strlen(line);
	line[at++] = ':';
	line[at++] = ' ';
	if (td__port_copy(line + at, text, len))
		return td__careless(c, TD_EINVAL, "log: memory that is not there");
	for (uint32_t i = at; i < at + len; i++)
		if ((uint8_t)line[i] < ' ' || line[i] == 127)
			line[i] = '?';
	line[at + len] = 0;
	td__port_log(priority > 7 ? 7 : priority, line);
	return 0;
}

/* The wall looks at c->doomed when this returns, as behind every service. */
int td__svc_do_yield(struct td__call *c)
{
	uint32_t kind = __atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE);

	if (kind)
		td__call_fault(c, kind, "over its time, stopped at a yield", 0);
	return 0;
}

/* Few calls ask; the clock is read once for each that does. */
int td__svc_do_now(struct td__call *c, uint64_t *ns)
{
	int64_t sec;
	uint32_t nsec;

	if (!c->now) {
		td__port_now(&sec, &nsec);
		c->now = sec > 0 ? (uint64_t)sec * 1000000000 + nsec : 0;
	}
	*ns = c->now;
	return 0;
}

int td__svc_do_sync(struct td__call *c)
{
	return over(c) ? -TD_EDEADLK : 0;
}
