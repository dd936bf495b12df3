/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is around a call, for the functions that are made from the interface's description; and all that is around a straight call
 * between td__call_begin() and td__call_end().
 */
#ifndef TADAN_STRAIGHT_H
#define TADAN_STRAIGHT_H

#include "fs.h"

/* From now on the module runs: the ticker, too, sees it. */
static inline void td__call_started(struct td__call *c)
{
	__atomic_store_n(&c->calls_by_op[c->op], c->calls_by_op[c->op] + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&c->started, c->started + 1, __ATOMIC_RELEASE);
}

static inline void td__call_stopped(struct td__call *c)
{
	__atomic_store_n(&c->started, c->started + 1, __ATOMIC_RELEASE);
}

/* The call is about this vnode. */
static inline struct td__call_vnode *td__call_vnode(struct td__call *c, struct td__vnode *v, uint32_t mode)
{
	struct td__call_vnode *cv = &c->vnodes[c->nvnodes++];

	TD__ASSERT(c->nvnodes <= TD__CALL_VNODES);
	cv->v = v;
	cv->mode = mode;
	if (c->fs->remote && mode == TD_EXCLUSIVE) { /* who opens or closes holds the lock */
		v->rec.flags = __atomic_load_n(&v->opens, __ATOMIC_RELAXED) ? TD_VNODE_OPEN : 0;
		td__standing_end(v);
	}
	return cv;
}

/* gateway.c: the slot's context has been used; or the header of its frame is not what this call wants, either. */
enum { TD__STALE, TD__USED, TD__PREPARED };
void td__straight_prepare(struct td__call *c);

static inline void td__straight_begin(struct td__call *c)
{
	td__port_set_call(c);
	if (c->again | c->fs->net.has_server)
		c->prepared = TD__STALE;
	if (c->prepared != TD__PREPARED)
		td__straight_prepare(c);
	c->frame->op = c->op;
	c->frame->now_sec = 0;
	td__call_started(c);
}

/* The record of a vnode that the call is about, 0 if there is none. */
static inline struct td_vnode *td__straight_vnode(struct td__call *c, struct td__vnode *v, uint32_t mode)
{
	if (!v)
		return 0;
	td__call_vnode(c, v, mode)->rec = &v->rec;
	return &v->rec;
}

/* Returns err, or -TD_EIO where td__call_end() is to undo the call. */
static inline int td__straight_end(struct td__call *c, int err)
{
	td__call_stopped(c);
	if (c->open_top | c->mbuf_uses)
		c->prepared = TD__USED;
	if (c->again)
		c->prepared = TD__STALE;
	td__note_heap(c->fs, __atomic_load_n(c->heap_used, __ATOMIC_RELAXED));
	c->result = err;
	return c->fault.kind || c->aborted ? -TD_EIO : err;
}

#endif
