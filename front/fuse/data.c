/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content: open and release for modules that want to know, reading, writing and what else is done by offset.
 *
 * A read is answered from the bytes where they lie, while the core holds the vnode's lock. Whose write
 * takes set-id bits away is Linux's decision: it marks such requests (see session.c), and where it does not
 * know the mark it clears the bits itself, before the write.
 */
#include "front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { SPANS = 256 };

static uint32_t access_of(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY: return TD_OPEN_READ;
	case O_WRONLY: return TD_OPEN_WRITE;
	default: return TD_OPEN_READ | TD_OPEN_WRITE;
	}
}

/* Who only reads has nothing to hear at the end. */
int td__fuse_opened(struct td_fuse *f, td_handle v, struct fuse_file_info *fi)
{
	uint32_t *seen = f->tells ? malloc(sizeof(*seen)) : NULL;

	fi->fh = (uintptr_t)seen;
	if (!f->tells)
		return 0;
	if (!seen)
		return -ENOMEM;
	*seen = td_unwritten_sample(f->fs, v);
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	return 0;
}

void td__fuse_released(struct td_fuse *f, struct fuse_file_info *fi)
{
	if (f->tells)
		free((void *)(uintptr_t)fi->fh);
}

/* An error of writing that this open file was not told of. It is told once, so whatever the answer is, the request is not tried again. */
static int unwritten(struct td_fuse *f, td_handle v, const struct fuse_file_info *fi)
{
	td__fuse_me->no_room = TD__FUSE_SAY;
	return f->tells && fi->fh ? td_unwritten_since(f->fs, v, (void *)(uintptr_t)fi->fh) : 0;
}

/* ENOSYS: Linux opens by itself from now on, and sends no release either. */
static void open_file(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	td_handle v = td__fuse_handle(f, node);
	int error = f->opens ? td_open(f->fs, &cred, v, access_of(fi->flags)) : f->tells ? 0 : -ENOSYS, error2;

	fi->keep_cache = !error; /* 1: others have changed what Linux has in its cache */
	error2 = error < 0 ? error : td__fuse_opened(f, v, fi);
	if (error2)
		fuse_reply_err(req, -error2);
	if (error >= 0 && (error2 || fuse_reply_open(req, fi) < 0)) {
		td__fuse_released(f, fi);
		td_release(f->fs, v);
	}
}

static void release_file(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);

	td__fuse_released(f, fi);
	fuse_reply_err(req, f->opens ? -td_release(f->fs, td__fuse_handle(f, node)) : 0);
}

/* A descriptor is closed. ENOSYS: Linux does not ask again. */
static void flush_file(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	td_handle v = td__fuse_handle(f, node);

	fuse_reply_err(req, f->remote ? -td_flush(f->fs, v) : f->tells ? -unwritten(f, v, fi) : ENOSYS);
}

struct answer {
	fuse_req_t req;
	int given; /* libfuse has it, and the request is gone */
};

static void answer_copied(struct answer *a, const struct td_span *spans, uint32_t n)
{
	char *room = td__fuse_room();
	size_t len = 0;

	if (!room) {
		fuse_reply_err(a->req, ENOMEM);
		return;
	}
	for (uint32_t i = 0; i < n; len += spans[i++].len)
		memcpy(room + len, spans[i].data, spans[i].len);
	fuse_reply_buf(a->req, room, len);
}

/* libfuse wants memory for more than one span; most reads have one. */
static int answer_spans(void *arg, const struct td_span *spans, uint32_t n)
{
	struct answer *a = arg;
	struct iovec iov[SPANS];

	a->given = 1;
	if (n == 1) {
		fuse_reply_buf(a->req, spans[0].data, spans[0].len);
	} else if (n <= SPANS) {
		for (uint32_t i = 0; i < n; i++)
			iov[i] = (struct iovec){ (void *)spans[i].data, spans[i].len };
		fuse_reply_iov(a->req, iov, (int)n);
	} else {
		answer_copied(a, spans, n);
	}
	return 0;
}

static void read_file(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct answer a = { .req = req };
	int64_t n;

	(void)fi;
	if (size > TD__FUSE_MAX_IO)
		size = TD__FUSE_MAX_IO;
	n = td_read_spans(f->fs, td__fuse_handle(f, node), off, size, answer_spans, &a);
	if (a.given)
		return;
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, NULL, 0);
}

/*
 * Whose write the core shall take it for. Who has no right to keep set-id bits is never uid 0 to it. Of pages that Linux writes
 * back from its write-back cache, Linux keeps the times itself; without that cache they are written by mmap(), and the times are ours.
 */
static const struct td_cred *writer(fuse_req_t req, const struct fuse_file_info *fi, struct td_cred *cred)
{
	const struct fuse_write_in *in = td__fuse_raw();

	if (fi->writepage && td__fuse_of(req)->writeback)
		return NULL;
	*cred = td__fuse_cred(req);
	if (!(td__fuse_of(req)->kill_priv && (in->write_flags & FUSE_WRITE_KILL_SUIDGID)))
		cred->uid = 0;
	else if (cred->uid == 0)
		cred->uid = 65534;
	return cred;
}

static void write_file(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred;
	int64_t n = td_write(f->fs, writer(req, fi, &cred), td__fuse_handle(f, node), off, data,
			     size);

	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else if ((size_t)n < size)
		fuse_reply_err(req,
			       ENOSPC); /* the only reason; a short count would be EIO to Linux */
	else
		fuse_reply_write(req, n);
}

static void fallocate_file(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len,
			   struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	(void)fi;
	fuse_reply_err(req, -td_fallocate(f->fs, &cred, td__fuse_handle(f, node), off, len, mode));
}

/*
 * With the write-back cache Linux does not write back before it asks, so the file may have data here that the core has
 * not seen, and `cp` would leave it out: then Linux shall take everything for data.
 */
static void seek_file(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
		      struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	int64_t at = -ENOSYS;

	(void)fi;
	if (!f->writeback)
		at = td_seek(f->fs, td__fuse_handle(f, node), off, whence);
	if (at < 0)
		fuse_reply_err(req, (int)-at);
	else
		fuse_reply_lseek(req, at);
}

static void sync_file(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);

	td_handle v = td__fuse_handle(f, node);
	int error = td_fsync(f->fs, v), earlier = unwritten(f, v, fi);

	(void)datasync;
	fuse_reply_err(req, error ? -error : -earlier);
}

/* flush and copy_file_range are left out: ENOSYS, and Linux does without. */
void td__fuse_data_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = open_file;
	ops->flush = flush_file;
	ops->release = release_file;
	ops->read = read_file;
	ops->write = write_file;
	ops->fallocate = fallocate_file;
	ops->lseek = seek_file;
	ops->fsync = sync_file;
	ops->fsyncdir = sync_file;
}
