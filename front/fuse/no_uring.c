/* SPDX-License-Identifier: BSD-2-Clause */
/* In place of uring.c where this was built without liburing: all requests come through /dev/fuse. */
#include "front.h"

#include <errno.h>
#include <stdio.h>

int td__fuse_rings_check(char *why, size_t size)
{
	snprintf(why, size, "built without liburing: install liburing-dev and build again");
	return -EOPNOTSUPP;
}

void td__fuse_rings_start(struct td_fuse *f)
{
	if (f->uring != TD_FUSE_URING_OFF)
		td__fuse_rings_check(f->why_no_rings, sizeof(f->why_no_rings));
	atomic_store(&f->no_rings, f->why_no_rings);
}

void td__fuse_rings_tell(struct td_fuse *f, int work)
{
	(void)f;
	(void)work;
}

void td__fuse_rings_end(struct td_fuse *f)
{
	(void)f;
}

int td__fuse_ring_waits(const struct td__fuse_ring *r, uint64_t unique)
{
	(void)r;
	(void)unique;
	return 0;
}

ssize_t td__fuse_ring_answer(struct td__fuse_ring *r, const struct iovec *iov, int count)
{
	(void)r;
	(void)iov;
	(void)count;
	return -1;
}
