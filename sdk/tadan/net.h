/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network, for modules that are mounted on a server (TD_FS_NET_MODULE): messages and connections.
 *
 * An mbuf is a chain of bytes that the kernel owns. A module builds one from its own bytes, from the
 * caller's buffer and from other chains, sends it, and gets the reply as another; content goes between
 * chains and callers without entering the module. All mbufs of a call end with it; what must outlive the
 * call is kept with a vnode (td_mbuf_keep()), or is a reply that nobody has received yet.
 *
 * A socket is a connection to one port of the server that the mount named; a module reaches no other. The
 * kernel keeps it when the module is started again. Messages are framed by RFC 5531's record marks, which
 * a module never sees. The first four bytes of a message are its tag, and of the reply, too (RPC's xid): so
 * many calls use one connection at once. Waiting for the network does not count against the module's time limit.
 *
 * Functions return 0 or -errno. Those marked posted cost no turn behind a wall that sends messages: what
 * is wrong with them is the module's mistake, or shows later. EDEADLK from any other means: the call is to
 * end (a change of level, an unmount): return it at once, the kernel makes the call again.
 */
#ifndef TADAN_NET_H
#define TADAN_NET_H

#include <tadan/fs.h>

/* ---- Messages. At most TD_MBUF_MAX are open in one call, of at most TD_MESSAGE_MAX bytes each. */

typedef uint32_t td_mbuf;

/* A new chain with these bytes; len may be 0. Posted. EMFILE: too many open. */
int td_mbuf_build(const void *data, uint32_t len, td_mbuf *m);
/* Append bytes; in write, the caller's next bytes; or bytes of another chain, which are shared and not copied. Posted. */
int td_mbuf_put(td_mbuf m, const void *data, uint32_t len);
int td_mbuf_put_uio(td_mbuf m, uint32_t uio, uint32_t len);
int td_mbuf_cat(td_mbuf m, td_mbuf from, uint32_t off, uint32_t len);
/* Copy bytes out. ESTALE: not open; EINVAL: beyond its end. */
int td_mbuf_get(td_mbuf m, uint32_t off, void *data, uint32_t len);
int td_mbuf_length(td_mbuf m, uint32_t *len);
/* In read: to the caller, behind what he has already. Posted. */
int td_mbuf_to_uio(td_mbuf m, uint32_t off, uint32_t uio, uint32_t len);
/* Posted. A call that forgets it is counted as careless. */
void td_mbuf_free(td_mbuf m);

/* ---- Sockets */

/* A reply: `room` bytes of memory, of which `head` gets the first bytes of the message; behind its end anything. */
struct td_reply {
	uint32_t len; /* of the whole message */
	td_mbuf mbuf; /* the whole message */
	uint8_t head[];
};
enum { TD_REPLY_ROOM = 4096, /* room that fits most */
       TD_LIKE_MAX = 256,
       TD_STANDING_REQUEST = 512 };

/*
 * A connection to the port, there already or made now; its handle is never 0. When it is lost its handle is stale: ENOTCONN;
 * then open again, and call again with the same message. flags: TD_SOCK_RESERVED or 0. ms: how long it may take.
 * Errors: ECONNREFUSED ETIMEDOUT EHOSTUNREACH ENETUNREACH EACCES; EMFILE: more ports than TD_SOCK_MAX; EIO: the mount is being ended.
 */
enum { TD_SOCK_MAX = 8 };
int td_sock_open(uint32_t port, uint32_t flags, uint32_t ms, uint32_t *sock);

/*
 * Send `request` and wait for its reply, in one turn. room: 8 bytes and up, TD_REPLY_ROOM at most.
 * Errors: ENOTCONN (see above), ETIMEDOUT: the request stays in flight, and the same call again waits on without sending it
 * twice; EBADMSG: the server broke the rules, the connection is lost; EEXIST: another message with this tag is in flight; EMSGSIZE;
 * ENOBUFS: too many in flight; ESTALE: no such handle was ever given, a mistake; EIO: the mount is being ended. The reply to a tag of td_tag()'s
 * stays until the call is over: the same call again, also one that is made again after a fault, gets it without sending.
 */
int td_sock_call(uint32_t sock, td_mbuf request, uint32_t ms, struct td_reply *r, uint32_t room);
/*
 * The same in two parts, perhaps of two calls. Sending is posted. Errors of receiving: ENOENT: nothing with this tag is in flight,
 * for it was never sent, or its reply was dropped; ms 0: just look, ETIMEDOUT if it has not come.
 */
int td_sock_send(uint32_t sock, td_mbuf request);
int td_sock_receive(uint32_t sock, uint32_t tag, uint32_t ms, struct td_reply *r, uint32_t room);
/*
 * In read: the reply to a message that was sent with a tag of td_tag()'s is the caller's, and the module need not see it: if it begins with `like`, of
 * which the second half says which bits of the first count (TD_LIKE_MAX bytes each at most), the next `len` bytes go to the caller's buffer. Errors: EAGAIN:
 * it does not, or there is none within ms; td_sock_receive() says more. Behind some walls this is posted, and the answer comes too late: then the call is
 * made again, so a call with td_again() receives by itself.
 */
int td_sock_deliver(uint32_t sock, uint32_t tag, uint32_t len, uint32_t ms, const void *like, uint32_t like_len);
/*
 * In read: from now on the kernel makes reads of `len` bytes of this file itself, those that begin more than `near` bytes from where the last read of it
 * ended. It sends the request, with a tag in its first four bytes and the read's offset at place_at (8 bytes, highest first), and takes a reply that begins
 * as for td_sock_deliver(). With another reply, or none within ms, it calls the module, and has forgotten all this; so it has after
 * each call that has the file exclusively, and in another domain. Posted.
 */
struct td_standing {
	uint32_t socket, ms, len, near;
	uint32_t place_at;
	uint32_t request_len; /* at most TD_STANDING_REQUEST */
	uint32_t like_len;    /* of both halves */
	uint32_t pad;
};
_Static_assert(sizeof(struct td_standing) == 32, "the same for all");
int td_sock_standing(const struct td_standing *s, const void *request, const void *like);
/* The reply is not wanted any more. Posted. */
void td_sock_forget(uint32_t sock, uint32_t tag);
/* Close a connection that has lost its use, as one that answers nothing: what is in flight is lost with it. Posted. */
void td_sock_drop(uint32_t sock);

/* Wait, outside the call's time limit. EDEADLK, EIO: as in td_sock_call(); EINVAL: the mount has no server. */
int td_sleep(uint32_t ms);

/*
 * A tag for the next message of this call: its first four bytes as a number, the highest byte first; the highest bit is 0, so that a module
 * can have others of its own. A call has 1 << TD_TAG_BITS of them; when it is made again, it gets the same in the same order. So a reply that came too late for the first attempt is found
 * by the second, and a server that remembers what it has done (RFC 1813, 4.5) does it once.
 */
uint32_t td_tag(void);
/* 1: this call was begun before, and undone; what it asked of the server may have been done. */
int td_again(void);

/* Who called. 0: nobody, the kernel works by itself. */
struct td_caller {
	uint32_t uid, gid, ngroups;
	const uint32_t *groups;
};
int td_caller(struct td_caller *out);

/* ---- What is kept with a vnode over calls and restarts: data that the server may still lose. */

struct td_kept {
	uint64_t key, value;
	uint32_t len;
	td_mbuf mbuf;
};
/*
 * Keep the chain, once the call is committed. Posted. The kernel limits how much is kept: over the limit it calls flush, as it
 * does when a file is closed, forgotten or synchronised.
 */
int td_mbuf_keep(td_mbuf m, uint64_t vnode, uint64_t key, uint64_t value);
/* What is kept, in that order; nth from 0. ENOENT: no more. */
int td_kept_open(uint64_t vnode, uint32_t nth, struct td_kept *k);
/* Append what is kept, from byte off on; shared, not copied. Posted. ESTALE, ENOENT: no such vnode or chain; EINVAL: beyond its end. */
int td_mbuf_cat_kept(td_mbuf m, uint64_t vnode, uint32_t nth, uint32_t off);
/* Keep no longer what has this value. Posted. */
int td_kept_drop(uint64_t vnode, uint64_t value);

/*
 * What was mounted: what stood behind the server's name, as in "/export", and the options, as in "soft,timeo=600". Text that
 * ends with NUL, of at most 4096 bytes; ERANGE: it needs more than `size`. The same at each restart.
 */
int td_source(char *text, uint32_t size);
int td_options(char *text, uint32_t size);

/* Why this call is going to fail, in words: mount's are shown to whoever mounts, others go to the log. Posted; at most 200 bytes. */
void td_explain(const char *text);

#endif
