/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services on the module's side: messages in the slot's ring, and the few that are better done otherwise.
 *
 * bread is posted where nothing can go wrong with it: the block is present, or its content is not
 * wanted. If its content is then asked for, that is the same turn.
 */
#include <string.h>
#include <sys/mman.h>

#include "../../core/device.h"
#include "remote.h"
#include "runner.h"

void td__hand_over(struct td__control *c, uint32_t used, enum td__handed why)
{
	if (td__turn_give(c, TD__TURN_HOST, td__said(why, used)))
		td__wake(&c->turn);
}

uint32_t td__await_turn(struct td__control *c)
{
	struct td__told now = td__turn_spin(c, TD__TURN_HOST, &c->spin);

	while ((now.turn & ~(uint32_t)TD__TURN_SLEEPS) == TD__TURN_HOST) {
		if (td__turn_doze(c, TD__TURN_HOST))
			td__sleep_on(&c->turn, TD__TURN_HOST | TD__TURN_SLEEPS);
		now = td__turn_look(c);
	}
	c->taken++;
	return now.said;
}

/* What the host says then. */
static uint32_t turn(struct td__lane *l, enum td__handed why)
{
	uint32_t said;

	td__traps_callers((uintptr_t)__builtin_frame_address(0), l->control->askers);
	td__hand_over(l->control, l->used, why);
	said = td__await_turn(l->control);
	l->used = 0;
	return said;
}

static void append(struct td__lane *l, struct td_msg *m, const void *data, uint32_t len)
{
	uint32_t size = (uint32_t)sizeof(*m) + ((len + 7) & ~7u);

	if (size > TD__RING - l->used)
		turn(l, TD__HANDED_FLUSH);
	m->len = len;
	memcpy(l->ring + l->used, m, sizeof(*m));
	if (len)
		memcpy(l->ring + l->used + sizeof(*m), data, len);
	l->used += size;
}

/* Where the host wants to know where each service is called, each is a turn of its own. */
static void posted(struct td__lane *l)
{
	if (l->context.frame->flags & TD_FRAME_TRACED)
		turn(l, TD__HANDED_FLUSH);
}

int td__post(struct td_msg *m, const void *data, uint32_t len)
{
	if (len > TD__PAYLOAD_MAX)
		return -TD_EINVAL;
	append(td__lane(), m, data, len);
	posted(td__lane());
	return 0;
}

int td__ask(struct td_msg *m, const void *data, uint32_t len, uint64_t *value, void *out, uint32_t out_len)
{
	struct td__lane *l = td__lane();
	int32_t answer;

	if (len > TD__PAYLOAD_MAX || out_len > TD__PAYLOAD_MAX)
		return -TD_EINVAL;
	append(l, m, data, len);
	answer = (int32_t)turn(l, TD__HANDED_ASK);
	if (answer)
		return answer;
	if (value)
		*value = l->control->value;
	if (out_len && out)
		memcpy(out, l->ring, out_len);
	return 0;
}

/* ---- The services that are not what they were generated as */

/* Where the module can read the block, or how often that has been changed. */
static uint64_t view_of(const struct td__runner *r, uint64_t blkno)
{
	if (r->data)
		return (uintptr_t)r->data + blkno * r->set.bsize;
	return __atomic_load_n(&r->changes[0], __ATOMIC_ACQUIRE) + __atomic_load_n(&r->changes[1 + blkno], __ATOMIC_ACQUIRE);
}

static int bread(uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view)
{
	const struct td__runner *r = &td__runner;
	struct td_msg m = { .service = TD_SVC_bread, .a = { buf, blkno, fresh } };
	uint64_t kernels;

	if (blkno >= r->set.blocks)
		return td__ask(&m, 0, 0, &kernels, 0, 0);
	*view = view_of(r, blkno);
	if (fresh || !r->state || td__state_warm(__atomic_load_n(&r->state[blkno], __ATOMIC_ACQUIRE)))
		return td__post(&m, 0, 0);
	return td__ask(&m, 0, 0, &kernels, 0, 0);
}

static int uio_read(uint32_t uio, void *data, uint32_t len)
{
	int err = 0;

	do {
		uint32_t part = len < TD__PAYLOAD_MAX ? len : TD__PAYLOAD_MAX;

		err = td__remote_uio_read(uio, data, part);
		data = (char *)data + part;
		len -= part;
	} while (len && !err);
	return err;
}

static int uio_write(uint32_t uio, const void *data, uint32_t len)
{
	int err = 0;

	do {
		uint32_t part = len < TD__PAYLOAD_MAX ? len : TD__PAYLOAD_MAX;

		err = td__remote_uio_write(uio, data, part);
		data = (const char *)data + part;
		len -= part;
	} while (len && !err);
	return err;
}

/* The kernel may have granted the call's first lock with the call: then it only needs to be told. */
static int lock(uint32_t number, uint32_t mode)
{
	struct td_msg m = { .service = TD_SVC_lock, .a = { number, mode } };
	struct td_frame *f = td__lane()->context.frame;
	uint32_t granted = f->granted;

	f->granted = 0;
	if (granted != ((number + 1) | (mode & ~(uint32_t)TD_TRY) << 16))
		return td__remote_lock(number, mode);
	return td__post(&m, 0, 0);
}

/* The host says which pages; what they are is this process's own business. */
static long protect(uint64_t at, uint64_t size, int prot)
{
	uint64_t len, start = td__heap_pages(at, size, &len);

	return td__syscall(SYS_mprotect, (long)(td__runner.area + start), (long)len, prot, 0);
}

static int heap_take(uint64_t size, uint64_t *at)
{
	int err = td__remote_heap_take(size, at);

	if (err || !protect(*at, size, PROT_READ | PROT_WRITE))
		return err;
	td__remote_heap_give(*at, size, 0);
	return -TD_ENOMEM;
}

/* Closed before they can be another's. What is wrongly given back has no size: the host has something to say of it. */
static int heap_give(uint64_t at, uint64_t size, uint64_t damaged)
{
	if (size && !damaged)
		protect(at, size, PROT_NONE);
	return td__remote_heap_give(at, size, damaged);
}

static struct td__context *context(void)
{
	return &td__lane()->context;
}

/* The first of two entries of one name counts. */
size_t td__runner_imports(struct td__import *out, size_t n)
{
	const struct td__import own[] = {
		{ "td__svc_context", context },	    { "td__svc_bread", bread }, { "td__svc_uio_read", uio_read },
		{ "td__svc_uio_write", uio_write }, { "td__svc_lock", lock },
		{ "td__svc_heap_take", heap_take }, { "td__svc_heap_give", heap_give },
	};
	size_t most = sizeof(own) / sizeof(own[0]) + td__remote_nimports, i;

	for (i = 0; i < most && i < n; i++)
		out[i] = i < sizeof(own) / sizeof(own[0]) ? own[i] :
							     td__remote_imports[i - sizeof(own) / sizeof(own[0])];
	return i;
}
