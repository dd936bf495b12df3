/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node: what is known in memory of a regular file whose content is used, from its first read or write until the kernel forgets the vnode. A domain
 * that begins anew makes it anew; what is kept then is sent again.
 *
 * Who may touch what:
 *   ahead[], expect, like under `spin`: readers share the vnode's lock
 *   dirty                 whoever has the vnode's lock exclusively changes it. With the shared lock it may be read, and chains may go from SENT to
 *                         ACKED by whoever holds LOCK_REFRESH as well: that changes no place and no order
 *
 * A chain is a piece of data that the kernel keeps, in the order in which it was written; its number is its place in what is kept:
 *
 *   UNSENT --with its neighbours, as one WRITE (a run)--> SENT --reply--> ACKED --COMMIT, same verifier--> DONE --swept--> (gone)
 *      ^                                                   |  |             |                               ^
 *      |                                                   |  +--reply: stable, or an error of the data-----+
 *      +--COMMIT with another verifier: the server was started again and has lost it; then all is sent again
 *
 * Rules:
 * - Runs are sent in the order of their chains, and never while one that they overlap is in flight: the server may carry out what is in flight in any order.
 * - Chains are swept from the front only: what is sent again must not come after what was written later.
 * - A call that is undone has kept nothing and swept nothing: so sweeping and keeping come last in a call, behind all that can fail or wait.
 *
 * Chains are numbered in batches, by the value that they are kept with, so that what a COMMIT has made stable can be given back while writing goes on.
 */
#ifndef SNFS_NODE_H
#define SNFS_NODE_H

#include "snfs.h"

enum { AHEAD = 16, CHAINS = 256, CHAINS_SPARE = 8 /* of one write */, RUNS = 16, LIKE = 160 };

struct ahead {
	uint64_t off, at; /* at: when it was asked for, ms */
	uint32_t len;	  /* 0: none */
	uint32_t tag;
};

enum chain_state { UNSENT, SENT, ACKED, DONE };

struct chain {
	uint64_t off, batch;
	uint32_t len;
	uint32_t tag;	/* SENT: of its run */
	uint16_t state; /* enum chain_state */
	uint16_t failed; /* DONE, but not there: the error has been noted */
	td_mbuf mbuf;	/* of a chain that is not committed as yet: of this call */
	struct nfs_verf verf;
};

struct run {
	uint64_t off;
	uint32_t len, tag;
	uint32_t skip;	 /* bytes that earlier, short replies have answered for */
	uint32_t stable; /* enum nfs_stable */
};

struct dirty {
	uint32_t n, fresh; /* chains; those from `fresh` on are of this call */
	uint32_t nruns;	   /* in flight, oldest first */
	uint64_t bytes, batch, batch_bytes;
	uint32_t commit_tag; /* 0: no COMMIT in flight */
	int error;	     /* of a write, for the next who asks */
	uint64_t commit_batch;
	struct rpc_cred cred; /* of the last who wrote */
	struct run runs[RUNS];
	struct chain c[CHAINS];
};

struct node {
	uint64_t fid;
	struct node *next;
	struct nfs_fh fh;
	struct spin spin;
	uint64_t expect; /* where a reader who goes on would read next */
	struct ahead ahead[AHEAD];
	uint32_t like_len;
	uint8_t like[2 * LIKE]; /* how a reply to READ begins that says nothing new, and which bits of that count */
	struct dirty *dirty; /* 0: nothing is kept */
};

/* The vnode's node, made if need be. */
int node_of(const struct td_vnode *v, struct node **n);
/* Only if it is there. */
struct node *node_known(uint64_t fid);
/* What was read ahead is not wanted any more. */
void node_drop_ahead(struct node *n);

/* send.c: all of them with the exclusive lock, or LOCK_REFRESH. What they return ends the call; errors of the data are noted in the node. */
int send_all(const struct td_vnode *v, struct node *n, uint32_t stable, int wait); /* without `wait`: only what needs none */
int reap(const struct td_vnode *v, struct node *n);				   /* wait for the oldest run */
int reap_all(const struct td_vnode *v, struct node *n);
int commit_send(const struct td_vnode *v, struct node *n, uint64_t batch); /* none is in flight; without waiting */
int commit_await(const struct td_vnode *v, struct node *n);

/* dirty.c */
int dirty_load(struct node *n, uint64_t handle); /* what the kernel has kept since another domain */
/* Before a write: wait until `len` bytes and some chains may be added. */
int dirty_begin(struct td_vnode *v, struct node *n, uint32_t len);
int dirty_add(struct td_vnode *v, struct node *n, uint64_t off, uint32_t len, uint32_t uio); /* keep the caller's next bytes */
void dirty_abandon(struct node *n);							    /* what was added in this call */
void dirty_push(struct td_vnode *v, struct node *n);					    /* send what is worth it, without waiting */
/* The newest chain that covers `pos`: its number, and how far it is the newest; -1: none, and how far there is none. */
int dirty_cover(const struct dirty *d, uint64_t pos, uint64_t end, uint64_t *until);

#endif
