/* SPDX-License-Identifier: BSD-2-Clause */
/* Linked into a planted module that has a network, beside planted.c: the services for messages and sockets. */
#include <tadan/fs.h>

#include "runtime.h"
#include "planted.h"

WRAP(mb_build, (uint32_t mbuf, const void *data, uint32_t len), (mbuf, data, len))
WRAP(mb_put, (uint32_t mbuf, const void *data, uint32_t len), (mbuf, data, len))
WRAP(mb_put_uio, (uint32_t mbuf, uint32_t uio, uint32_t len), (mbuf, uio, len))
WRAP(mb_cat, (uint32_t mbuf, uint32_t from, uint32_t off, uint32_t len), (mbuf, from, off, len))
WRAP(mb_get, (uint32_t mbuf, uint32_t off, void *data, uint32_t len), (mbuf, off, data, len))
WRAP(mb_to_uio, (uint32_t mbuf, uint32_t uio, uint32_t off, uint32_t len), (mbuf, uio, off, len))
WRAP(mb_free, (uint32_t mbuf), (mbuf))
WRAP(mb_keep, (uint32_t mbuf, uint64_t vnode, uint64_t key, uint64_t value),
     (mbuf, vnode, key, value))
WRAP(kept_open, (uint32_t mbuf, uint64_t vnode, uint32_t nth, void *kept, uint32_t len),
     (mbuf, vnode, nth, kept, len))
WRAP(mb_cat_kept, (uint32_t mbuf, uint64_t vnode, uint32_t nth, uint32_t off),
     (mbuf, vnode, nth, off))
WRAP(kept_drop, (uint64_t vnode, uint64_t value), (vnode, value))
WRAP(so_open, (uint32_t port, uint32_t flags, uint32_t ms, uint64_t *socket),
     (port, flags, ms, socket))
WRAP(so_call, (uint32_t socket, uint32_t request, uint32_t reply, uint32_t ms, void *head, uint32_t len),
     (socket, request, reply, ms, head, len))
WRAP(so_send, (uint32_t socket, uint32_t request), (socket, request))
WRAP(so_receive, (uint32_t socket, uint32_t tag, uint32_t reply, uint32_t ms, void *head, uint32_t len),
     (socket, tag, reply, ms, head, len))
WRAP(so_deliver, (uint32_t socket, uint32_t tag, uint32_t len, uint32_t ms, const void *like, uint32_t like_len),
     (socket, tag, len, ms, like, like_len))
WRAP(so_standing, (const void *standing, uint32_t len), (standing, len))
WRAP(so_forget, (uint32_t socket, uint32_t tag), (socket, tag))
WRAP(now, (uint64_t *ns), (ns))
