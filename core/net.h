/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network of a mount: one server, named by the mount, and connections to ports of it. A module names a port and
 * never an address. Connections belong to the kernel and outlive a module's domains.
 *
 * States of a socket:
 *   CLOSED --open--> CONNECTING --> LIVE --lost, closed, rules broken--> CLOSED (another generation)
 *
 * A message in flight is a `pending`, found by its tag. It is made when the message is to be sent, and ends when
 * nobody can ask for its reply any more (it has been received, the call is over, the domain has ended), or with the connection. The
 * reply to a tag of a call's own can be asked for until that call is over: one that is made again gets it without sending again.
 *
 * Nobody owns the reading of a socket. Of those who wait for replies one reads for all (`pumping`), and hands that
 * on when his own has come. Messages to be sent stand in a queue, which whoever adds to it empties as far as it goes without
 * waiting (`sending`); the rest is the reader's. Both are flags under the socket's mutex, which nobody holds while he waits or copies.
 *
 * What a server sends is believed in nothing but its bytes: the length of a message, the number of its fragments and
 * what nobody asked for are limited; who breaks a limit loses the connection.
 *
 * Locks: a socket's mutex, then the pool's. Both innermost.
 */
#ifndef TADAN_NET_CORE_H
#define TADAN_NET_CORE_H

#include <tadan/net.h>
#include "mbuf.h"
#include "mount.h"

struct td__fs;
struct td__call;

/* A message in flight. Under the socket's mutex. */
struct td__pending {
	struct td__pending *next; /* of its bucket */
	uint32_t tag;
	uint32_t call;   /* the first tag of the call that asked last */
	uint32_t waits;  /* somebody waits for it */
	uint32_t posted; /* by so_send, and no call's own: whoever asks first gets the reply, in whatever call */
	uint32_t replied;
	uint32_t taken; /* somebody has the reply; it stays for the same call, should that be made again */
	struct td__mbuf *request, *reply;
	struct td__cond came;
};

/* A message on its way out. */
struct td__out {
	struct td__out *next;
	struct td__mbuf *message;
	uint8_t mark[4];
};

/* A message on its way in. Owned by who pumps. */
struct td__in {
	uint8_t *stage; /* bytes that have been received and not looked at */
	uint32_t from, to;
	uint8_t mark[4];
	uint32_t nmark;     /* bytes of a record mark that have come */
	uint32_t left;      /* bytes of the fragment still to come */
	uint32_t last;      /* it is the message's last */
	uint32_t fragments;
	uint32_t unwanted;  /* nobody asked for this message: it is counted, not kept */
	uint32_t len;       /* of the message so far */
	struct td__mbuf *message;
};

enum td__socket_state { TD__CLOSED, TD__CONNECTING, TD__LIVE };
enum { TD__BUCKETS = 64, TD__PENDING_MAX = 256 };

/* Tags of messages that were in flight when their connection was lost, the oldest given up first. */
struct td__lost_tags {
	uint32_t tags[TD__PENDING_MAX];
	uint32_t n;
};

struct td__socket {
	struct td__net *net;
	struct td__mutex mutex;
	struct td__cond changed; /* state, sending, pumping, waiters of a port */
	uint32_t state, port, generation;
	uint32_t sending, pumping;
	uint32_t broken; /* while it is closed: it broke the rules */
	struct td__sock *sock;
	struct td__pending *buckets[TD__BUCKETS];
	uint32_t npending;
	struct td__out *out, **out_end; /* queue */
	uint32_t out_at;    /* bytes of its first message that are sent, its mark included */
	uint64_t out_bytes; /* in the queue */
	struct td__in in;
	uint64_t unwanted_bytes; /* since somebody got a reply */
	uint32_t unwanted_messages;
	struct td__lost_tags lost;
};

/* The first four bytes of a message that has so many, as a number. */
static inline uint32_t td__tag_of(const struct td__mbuf *m)
{
	uint8_t b[4];

	td__mbuf_get(m, 0, b, 4);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

struct td__net {
	struct td__fs *fs;
	struct td__address server;
	uint32_t has_server;
	uint32_t cut; /* the mount is being ended: nobody waits any more */
	uint32_t calls; /* counts calls, for their tags */
	struct td__pool pool;
	struct td__socket sockets[TD_SOCK_MAX];
	struct td_net_counts counts; /* each atomic; what a status asks for besides is looked up */
	uint64_t kept; /* bytes that are kept with vnodes, atomic */
	struct td__mutex mutex;
	struct td__cond sleepers;
};

void td__net_init(struct td__net *net, struct td__fs *fs, const struct td__address *server);
void td__net_fini(struct td__net *net);

/* Tags of a new call. */
uint32_t td__net_tags(struct td__net *net);
/* A call is over for good: nobody will ask for replies to its messages. */
void td__net_call_over(struct td__net *net, uint32_t tag);
/* A new domain begins: nobody will receive what the old one has posted. */
void td__net_new_domain(struct td__net *net);
/* Counters, and how it is now. 0: the mount has no server. */
int td__net_status(struct td__net *net, struct td_net_counts *out);
/* Who waits looks whether he still may. */
void td__net_interrupt(struct td__net *net);

/* ---- Services: socket.c. `c` is the call that asks; they wait. ENOTCONN, EBADMSG: the connection is lost; ESTALE: there was none. */

int td__socket_open(struct td__call *c, uint32_t port, uint32_t flags, uint32_t ms, uint32_t *handle);
int td__socket_close(struct td__net *net, uint32_t handle);
/* Put a message into flight. 0 if one with this tag and the same bytes is already. */
int td__socket_send(struct td__call *c, uint32_t handle, struct td__mbuf *request, uint32_t posted);
/* Wait for the reply, which becomes the caller's. */
int td__socket_receive(struct td__call *c, uint32_t handle, uint32_t tag, uint32_t ms, struct td__mbuf **reply);
int td__socket_forget(struct td__net *net, uint32_t handle, uint32_t tag);

/* Wait, and do nothing. */
int td__net_sleep(struct td__call *c, uint32_t ms);

/* Why a call may not wait any longer: -TD_EDEADLK (it is made again), -TD_EIO (the mount ends), 0: it may. */
int td__net_must_end(struct td__call *c);

/* ---- receive.c: what the server sends. Only who pumps calls it. */

/* Take what has come: 0, -TD_EAGAIN (nothing more), -TD_ENOTCONN, -TD_EBADMSG. The mutex is not held. */
int td__socket_take(struct td__socket *s);
/* A whole message has come; takes it over. The mutex is not held. */
void td__socket_came(struct td__socket *s, uint32_t tag, struct td__mbuf *message);
/* Does anybody want it? */
int td__socket_wanted(struct td__socket *s, uint32_t tag);
void td__in_reset(struct td__socket *s);
void td__in_fini(struct td__socket *s);

#endif
