/* SPDX-License-Identifier: BSD-2-Clause */
/* ONC RPC: see rpc.h. */
#include <tadan/module.h>
#include "rpc.h"

enum { VERSION = 2 };
enum message { CALL = 0, REPLY = 1 };
enum reply { ACCEPTED = 0, DENIED = 1 };
enum flavor { AUTH_NONE = 0, AUTH_SYS = 1 };

/* ---- Calls */

static void put_auth_sys(struct xdr_out *out, uint32_t stamp, const struct rpc_cred *cred, const char *machine)
{
	uint32_t name = (uint32_t)strlen(machine), n = cred->ngroups < RPC_GROUPS_MAX ? cred->ngroups : RPC_GROUPS_MAX;

	if (name > RPC_MACHINE_MAX)
		name = RPC_MACHINE_MAX;
	xdr_put_u32(out, AUTH_SYS);
	xdr_put_u32(out, 20 + ((name + 3) & ~3u) + 4 * n);
	xdr_put_u32(out, stamp);
	xdr_put_opaque(out, machine, name);
	xdr_put_u32(out, cred->uid);
	xdr_put_u32(out, cred->gid);
	xdr_put_u32(out, n);
	for (uint32_t i = 0; i < n; i++)
		xdr_put_u32(out, cred->groups[i]);
}

static void put_auth_none(struct xdr_out *out)
{
	xdr_put_u32(out, AUTH_NONE);
	xdr_put_u32(out, 0);
}

int rpc_same_cred(const struct rpc_cred *a, const struct rpc_cred *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->ngroups == b->ngroups &&
	       !memcmp(a->groups, b->groups, a->ngroups * sizeof(a->groups[0]));
}

void rpc_put_call(struct xdr_out *out, uint32_t xid, struct rpc_proc p, const struct rpc_cred *cred, const char *machine)
{
	xdr_put_u32(out, xid);
	xdr_put_u32(out, CALL);
	xdr_put_u32(out, VERSION);
	xdr_put_u32(out, p.program);
	xdr_put_u32(out, p.version);
	xdr_put_u32(out, p.proc);
	if (cred)
		put_auth_sys(out, xid, cred, machine);
	else
		put_auth_none(out);
	put_auth_none(out);
}

/* ---- Replies */

/* enum accept_stat */
static int accepted(struct xdr_in *in, const char **why)
{
	uint32_t len, status;

	xdr_get_u32(in); /* flavor of the verifier: none that means anything to us */
	xdr_get_opaque(in, RPC_AUTH_MAX, &len);
	status = xdr_get_u32(in);
	if (in->bad)
		return -TD_EBADMSG;
	switch (status) {
	case 0:
		return 0;
	case 1:
		*why = "the server does not offer this program";
		return -TD_EOPNOTSUPP;
	case 2:
		*why = "the server has other versions of this program";
		return -TD_EOPNOTSUPP;
	case 3:
		*why = "the server does not offer this procedure";
		return -TD_EOPNOTSUPP;
	case 4:
		*why = "the server could not decode the arguments";
		return -TD_EIO;
	case 5:
		*why = "the server failed (system error, as it says)";
		return -TD_EIO;
	default:
		return -TD_EBADMSG;
	}
}

/* enum auth_stat */
static const char *const auth_refusals[] = {
	"the server refused the credentials",
	"the server refused the credentials: malformed",
	"the server refused the credentials: to be made anew",
	"the server refused the verifier: malformed",
	"the server refused the verifier: expired or replayed",
	"the server wants a stronger security than AUTH_SYS",
};

static int denied(struct xdr_in *in, const char **why)
{
	uint32_t reason = xdr_get_u32(in), which = xdr_get_u32(in);

	if (in->bad || reason > 1)
		return -TD_EBADMSG;
	if (!reason) {
		*why = "the server does not speak version 2 of RPC";
		return -TD_EOPNOTSUPP;
	}
	*why = auth_refusals[which < sizeof(auth_refusals) / sizeof(auth_refusals[0]) ? which : 0];
	return -TD_EACCES;
}

int rpc_get_reply(struct xdr_in *in, uint32_t xid, const char **why)
{
	uint32_t got = xdr_get_u32(in), message = xdr_get_u32(in), reply = xdr_get_u32(in);

	if (in->bad || got != xid || message != REPLY)
		return -TD_EBADMSG;
	switch (reply) {
	case ACCEPTED:
		return accepted(in, why);
	case DENIED:
		return denied(in, why);
	default:
		return -TD_EBADMSG;
	}
}
