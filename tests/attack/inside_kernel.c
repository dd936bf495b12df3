/* SPDX-License-Identifier: BSD-2-Clause */
/* See inside.h. */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <fs_services.h>
#include "inside.h"

struct inside_kernel inside = { .secret = "the kernel's own" };

struct one_domain {
	struct td__domain d;
	struct td__call calls[TD__SLOTS];
};

void inside_device(void)
{
	struct td__pages *p = &inside.device.data;

	p->size = INSIDE_BLOCKS * INSIDE_BSIZE;
	p->base = mmap(0, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->base == MAP_FAILED)
		abort();
	memset(p->base, '.', p->size);
	inside.device.blocks = INSIDE_BLOCKS;
	inside.device.bsize = INSIDE_BSIZE;
}

/* ---- Services */

int td__careless_of(struct td__call *c, int error, const char *what, const char *object, uint64_t which)
{
	(void)c, (void)what, (void)object, (void)which;
	inside.last_error = -error;
	return -error;
}

static int served(struct td__call *c, int err)
{
	inside.services++;
	if (inside.crash)
		*inside.crash = 1;
	if (inside.doom)
		__atomic_store_n(&c->doomed, inside.doom, __ATOMIC_RELEASE);
	return err;
}

static uint8_t *at(struct td__call *c, uint32_t buf, uint32_t off, uint32_t len)
{
	if (off > INSIDE_BSIZE || len > INSIDE_BSIZE - off)
		return 0;
	return td__device_at(&inside.device, c->bufs[buf & 63].blkno) + off;
}

int td__device_count(struct td__device *dev)
{
	(void)dev;
	return 0;
}

int td__svc_do_bread(struct td__call *c, uint32_t buf, uint64_t blkno, uint32_t fresh,
		     uint64_t *view)
{
	static uint64_t changes; /* nobody counts them: no copy is ever good */
	uint64_t place = c->domain->views == TD_VIEW_NONE ? ++changes : (uintptr_t)td__device_at(&inside.device, blkno);

	if (blkno >= INSIDE_BLOCKS)
		return served(c, -TD_EINVAL);
	c->bufs[buf & 63].blkno = blkno;
	if (fresh)
		memset(td__device_at(&inside.device, blkno), 0, INSIDE_BSIZE);
	return served(c, td__port_copy(view, &place, sizeof(place)));
}

int td__svc_do_buf_read(struct td__call *c, uint32_t buf, uint32_t off, void *data, uint32_t len)
{
	uint8_t *p = at(c, buf, off, len);

	inside.last_error = p ? td__port_copy(data, p, len) : -TD_EINVAL;
	return served(c, inside.last_error);
}

int td__svc_do_buf_write(struct td__call *c, uint32_t buf, uint32_t off, const void *data,
			 uint32_t len)
{
	uint8_t *p = at(c, buf, off, len);

	inside.last_error = p ? td__port_copy(p, data, len) : -TD_EINVAL;
	return served(c, inside.last_error);
}

int td__svc_do_log(struct td__call *c, uint32_t priority, const void *text, uint32_t len)
{
	char line[256];

	(void)priority;
	return served(c, td__port_copy(line, text, len < sizeof(line) ? len : sizeof(line)));
}

/* The rest does nothing: the acts do not use it. */
int td__svc_do_brelse(struct td__call *c, uint32_t buf)
{
	(void)buf;
	return served(c, 0);
}

int td__svc_do_buf_fill(struct td__call *c, uint32_t buf, uint32_t off, uint32_t len,
			uint32_t value)
{
	(void)buf, (void)off, (void)len, (void)value;
	return served(c, 0);
}

int td__svc_do_buf_move(struct td__call *c, uint32_t buf, uint32_t to, uint32_t from, uint32_t len)
{
	(void)buf, (void)to, (void)from, (void)len;
	return served(c, 0);
}

int td__svc_do_discard(struct td__call *c, uint64_t blkno, uint64_t count)
{
	(void)blkno, (void)count;
	return served(c, 0);
}

int td__svc_do_lock(struct td__call *c, uint32_t lock, uint32_t mode)
{
	(void)lock, (void)mode;
	return served(c, 0);
}

int td__svc_do_unlock(struct td__call *c, uint32_t lock)
{
	(void)lock;
	return served(c, 0);
}

int td__svc_do_uio_read(struct td__call *c, uint32_t uio, void *data, uint32_t len)
{
	(void)uio, (void)data, (void)len;
	return served(c, 0);
}

int td__svc_do_uio_write(struct td__call *c, uint32_t uio, const void *data, uint32_t len)
{
	(void)uio, (void)data, (void)len;
	return served(c, 0);
}

int td__svc_do_vref(struct td__call *c, uint64_t vnode)
{
	(void)vnode;
	return served(c, 0);
}

int td__svc_do_vrele(struct td__call *c, uint64_t vnode)
{
	(void)vnode;
	return served(c, 0);
}

int td__svc_do_yield(struct td__call *c)
{
	return served(c, 0);
}

int td__svc_do_heap_take(struct td__call *c, uint64_t size, uint64_t *at)
{
	(void)c, (void)size, (void)at;
	return -TD_EPERM;
}

int td__svc_do_heap_give(struct td__call *c, uint64_t at, uint64_t size, uint64_t damaged)
{
	(void)c, (void)at, (void)size, (void)damaged;
	return -TD_EPERM;
}

int td__svc_do_now(struct td__call *c, uint64_t *ns)
{
	*ns = 0;
	return served(c, 0);
}

int td__svc_do_sync(struct td__call *c)
{
	return served(c, 0);
}

/* What is tried here has a gate. */
__thread struct td__call *td__port_current;

int td__level_is_straight(const struct td_level *level)
{
	(void)level;
	return 0;
}

uint64_t td__port_monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Domains and calls */

struct td__call *inside_call(struct td__domain *d, uint32_t slot)
{
	return &((struct one_domain *)d)->calls[slot];
}

static int cross(struct td__domain *d, uint32_t slot, uint32_t op)
{
	struct td__call *c = inside_call(d, slot);
	struct td_frame *f = c->frame;

	c->op = f->op = op;
	c->doomed = 0;
	td__zero(&c->fault, sizeof(c->fault));
	f->error = 0;
	f->slot = slot;
	f->views = d->views;
	f->bsize = INSIDE_BSIZE;
	return d->wall->enter(c);
}

int inside_act(struct td__domain *d, uint32_t slot, enum act act, uint64_t off, struct td__call **c,
	       uint64_t *found)
{
	struct td_frame_seek *f = (void *)d->slots[slot].frame;
	int outcome;

	*c = inside_call(d, slot);
	f->v_at = __builtin_offsetof(struct td_frame_seek, v);
	f->v.fid = (uintptr_t)inside.secret;
	f->off = off;
	f->whence = act;
	f->found = 0;
	outcome = cross(d, slot, TD_OP_seek);
	*found = f->found;
	return outcome;
}

int inside_start(const struct td__module *m, const struct td_level *level, struct td__domain **d,
		 char *why, size_t size)
{
	struct one_domain *o = aligned_alloc(128, (sizeof(*o) + 127) & ~127ul);
	int err;

	if (!o)
		return -TD_ENOMEM;
	td__zero(o, sizeof(*o));
	o->d.module = m;
	o->d.level = *level;
	o->d.device = &inside.device;
	o->d.wall = td__walls[level->wall];
	err = o->d.wall->start(&o->d, why, size);
	if (err) {
		free(o);
		return err;
	}
	for (uint32_t i = 0; i < o->d.nslots; i++) {
		o->calls[i].slot = i;
		o->calls[i].domain = &o->d;
		o->calls[i].frame = o->d.slots[i].frame;
		o->calls[i].behind = o->d.slots[i].private;
	}
	if (cross(&o->d, 0, TD_OP_HELLO) != TD__RETURNED || o->calls[0].result) {
		inside_stop(&o->d);
		return -TD_EIO;
	}
	*d = &o->d;
	return 0;
}

void inside_stop(struct td__domain *d)
{
	d->wall->stop(d);
	free(d);
}
