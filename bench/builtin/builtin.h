/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module built in: the same sources, linked with the kernel into one program and called without a gate, as a file
 * system that never had one. It is what the price of being able to choose a level is measured against.
 *
 * In place of the gateway's functions, generated ones call the module's operations with the kernel's own records.
 * Services are function calls. No slot is claimed, no frame packed, nothing checked, no fault survived; the clock is
 * read where the module asks for it. What is left of a call is what services need: whose bufs and locks these are.
 */
#ifndef TADAN_BENCH_BUILTIN_H
#define TADAN_BENCH_BUILTIN_H

#include "fs.h"

extern const struct td_fs_ops td__ops;

/* This thread's call. Calls do not nest. */
struct td__call *td__builtin_begin(struct td__fs *fs, uint32_t op);

/* The record of a vnode that the call is about, 0 if there is none. Services for networks ask which these are. */
static inline struct td_vnode *td__builtin_vnode(struct td__call *c, struct td__vnode *v, uint32_t mode)
{
	if (!v)
		return 0;
	if (c->fs->net.has_server)
		c->vnodes[c->nvnodes++] = (struct td__call_vnode){ .v = v, .rec = &v->rec, .mode = mode };
	return &v->rec;
}

/* A vnode that the call may have changed, if there is one. */
void td__builtin_changed(struct td__call *c, struct td__vnode *v, int err);

/* Returns err. */
int td__builtin_end(struct td__call *c, int err);

#endif
