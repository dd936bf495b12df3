/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ONC RPC (RFC 5531), version 2: what stands before the arguments of a call and the results of a reply. Who calls is said with
 * AUTH_SYS; the answer's verifier is skipped, as AUTH_SYS has none. Records (how messages follow one another on a
 * connection) are the kernel's.
 */
#ifndef SNFS_RPC_H
#define SNFS_RPC_H

#include "xdr.h"

enum {
	RPC_GROUPS_MAX = 16,   /* AUTH_SYS has room for no more */
	RPC_MACHINE_MAX = 255, /* bytes of the machine's name */
	RPC_AUTH_MAX = 400,    /* bytes of credentials or verifier */
	RPC_CALL_MAX = 24 + 8 + RPC_AUTH_MAX + 8, /* bytes of a call's header */
	RPC_REPLY_MAX = 24 + RPC_AUTH_MAX,        /* bytes of a successful reply's header */
};

struct rpc_cred {
	uint32_t uid, gid;
	uint32_t ngroups; /* what is beyond RPC_GROUPS_MAX is not sent */
	uint32_t groups[RPC_GROUPS_MAX];
};

int rpc_same_cred(const struct rpc_cred *a, const struct rpc_cred *b);

/* Which procedure of which program. */
struct rpc_proc {
	uint32_t program, version, proc;
};

/* The header of a call; the arguments follow. `cred` 0: nobody in particular (AUTH_NONE). */
void rpc_put_call(struct xdr_out *out, uint32_t xid, struct rpc_proc p, const struct rpc_cred *cred, const char *machine);

/*
 * The header of a reply to `xid`; then the results are next. 0; -TD_EBADMSG where it is no reply to this call; else the
 * server's refusal as an error (EACCES, EOPNOTSUPP, EIO), in words in *why, which is otherwise left alone.
 */
int rpc_get_reply(struct xdr_in *in, uint32_t xid, const char **why);

#endif
