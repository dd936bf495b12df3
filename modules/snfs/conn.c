/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request and its reply. The kernel keeps the connections and matches replies by their tags; here is what RFC 1813 leaves to the
 * client: to connect again and send again when a connection is lost or the server is silent, ever more slowly; to wait where the
 * server says JUKEBOX; to give up, if the mount is soft.
 *
 * Over TCP a request is sent again on a new connection only: while the connection lives, the server has it.
 */
#include "snfs.h"

enum { PORTS = 8, CONNECT_MS = 10000, ONCE_MS = 1000, BACKOFF_LEAST = 20, BACKOFF_MOST = 2000, BROKEN_MOST = 4, JUKEBOX_LEAST = 100, JUKEBOX_MOST = 5000 };

static struct {
	struct spin spin;
	struct {
		uint32_t port, sock;
	} known[PORTS];
	uint32_t tag;	  /* the last one of ours */
	uint32_t silent;  /* the server does not answer, and the log says so */
} conn;

/* ---- Sockets */

int conn_known(uint32_t port, uint32_t *sock)
{
	*sock = 0;
	spin_lock(&conn.spin);
	for (uint32_t i = 0; i < PORTS; i++)
		if (conn.known[i].port == port)
			*sock = conn.known[i].sock;
	spin_unlock(&conn.spin);
	return *sock != 0;
}

static void note(uint32_t port, uint32_t sock)
{
	uint32_t i = 0;

	spin_lock(&conn.spin);
	while (i < PORTS && conn.known[i].port && conn.known[i].port != port)
		i++;
	if (i < PORTS) {
		conn.known[i].port = port;
		conn.known[i].sock = sock;
	}
	spin_unlock(&conn.spin);
}

static int connect(uint32_t port, uint32_t ms, uint32_t *sock)
{
	int err;

	if (conn_known(port, sock))
		return 0;
	err = td_sock_open(port, fs.o.reserved ? TD_SOCK_RESERVED : 0, ms, sock);
	if (!err)
		note(port, *sock);
	return err;
}

int conn_socket(uint32_t port, uint32_t *sock)
{
	return connect(port, CONNECT_MS, sock);
}

void conn_lost(uint32_t port, uint32_t sock)
{
	spin_lock(&conn.spin);
	for (uint32_t i = 0; i < PORTS; i++)
		if (conn.known[i].port == port && conn.known[i].sock == sock)
			conn.known[i].sock = 0;
	spin_unlock(&conn.spin);
}

void conn_close(uint32_t port)
{
	uint32_t sock;

	if (port == fs.port || !conn_known(port, &sock))
		return;
	td_sock_drop(sock);
	conn_lost(port, sock);
}

/* They begin somewhere else in each domain, for some of the last one's may still be in flight. */
uint32_t conn_tag(void)
{
	uint32_t tag;

	spin_lock(&conn.spin);
	if (!conn.tag) {
		uint64_t now = now_ms();

		conn.tag = (uint32_t)hash_bytes(fs.boot, &now, sizeof(now));
	}
	tag = ++conn.tag | 0x80000000u;
	spin_unlock(&conn.spin);
	return tag;
}

/* ---- Trying again */

static void trouble(void)
{
	if (!__atomic_exchange_n(&conn.silent, 1, __ATOMIC_RELAXED))
		say(4, "the server ", "does not answer", fs.o.soft ? "; requests fail after some tries (soft)" : "; still trying", (char *)0);
}

static void well_again(void)
{
	if (__atomic_load_n(&conn.silent, __ATOMIC_RELAXED) && __atomic_exchange_n(&conn.silent, 0, __ATOMIC_RELAXED))
		say(6, "the server answers again", (char *)0);
}

static int back_off(uint32_t tries)
{
	uint32_t ms = tries < 8 ? BACKOFF_LEAST << tries : BACKOFF_MOST;

	return td_sleep(ms < BACKOFF_MOST ? ms : BACKOFF_MOST);
}

static int given_up(const struct rpc *r, uint32_t tries)
{
	switch (r->patience) {
	case ONCE: return 1;
	case BRIEF: return tries > 1;
	default: return fs.o.soft && tries > fs.o.retrans;
	}
}

int conn_again(struct rpc *r, uint32_t sock, int err, uint32_t *tries)
{
	switch (-err) {
	case TD_ENOTCONN:
		conn_lost(r->port, sock);
		/* fallthrough */
	case TD_ENOENT: /* sent on a connection that is no more: the one at hand is good to send it again */
		r->resent = 1;
		if (!(*tries)++)
			return 0;
		break;
	case TD_EBADMSG:
		conn_lost(r->port, sock);
		r->resent = 1;
		say(3, "the server broke the rules for records (RFC 5531) on its connection", (char *)0);
		if (++*tries > BROKEN_MOST)
			return -TD_EIO;
		break;
	case TD_ETIMEDOUT:
		td_sock_drop(sock);
		conn_lost(r->port, sock);
		r->resent = 1;
		++*tries;
		trouble();
		break;
	case TD_ECONNREFUSED:
	case TD_EHOSTUNREACH:
	case TD_ENETUNREACH:
		++*tries;
		trouble();
		break;
	case TD_EEXIST: /* somebody else's tag */
		r->xid = conn_tag();
		return 0;
	case TD_ENOBUFS:
		break;
	default:
		return err;
	}
	if (given_up(r, *tries))
		return r->patience == WAIT ? -TD_ETIMEDOUT : err;
	return back_off(*tries);
}

/* ---- Requests */

void cred_of_call(struct rpc_cred *cred)
{
	struct td_caller c;

	*cred = (struct rpc_cred){ 0 };
	if (!td_caller(&c))
		return;
	cred->uid = c.uid;
	cred->gid = c.gid;
	cred->ngroups = c.ngroups < RPC_GROUPS_MAX ? c.ngroups : RPC_GROUPS_MAX;
	if (cred->ngroups)
		memcpy(cred->groups, c.groups, cred->ngroups * sizeof(c.groups[0]));
}

void cred_of_file(uint64_t fid, uint32_t which, struct rpc_cred *cred)
{
	struct fid_fields f;

	if (!fid_fields(fid, &f) && f.has_cred >> which & 1)
		*cred = f.cred[which];
	else
		cred_of_call(cred);
}

static void begin(struct rpc *r, uint32_t port, struct rpc_proc proc, const struct rpc_cred *cred, uint32_t xid)
{
	r->proc = proc;
	r->port = port;
	r->resent = (uint32_t)td_again();
	r->patience = WAIT;
	r->xid = xid;
	r->whole = 0;
	r->args = (struct xdr_out){ r->bytes, sizeof(r->bytes), 0, 0 };
	rpc_put_call(&r->args, r->xid, proc, cred, fs.o.host);
}

void rpc_begin_at(struct rpc *r, uint32_t port, struct rpc_proc proc, const struct rpc_cred *cred)
{
	begin(r, port, proc, cred, td_tag());
}

void rpc_begin_tagged(struct rpc *r, uint32_t proc, const struct rpc_cred *cred, uint32_t tag)
{
	begin(r, fs.port, (struct rpc_proc){ NFS_PROGRAM, NFS_VERSION, proc }, cred, tag);
}

void rpc_begin(struct rpc *r, uint32_t proc, const struct rpc_cred *cred)
{
	struct rpc_cred own;

	if (!cred)
		cred_of_call(&own);
	rpc_begin_at(r, fs.port, (struct rpc_proc){ NFS_PROGRAM, NFS_VERSION, proc }, cred ? cred : &own);
}

void rpc_buffer(struct rpc *r, void *bytes, uint32_t size)
{
	memcpy(bytes, r->args.data, r->args.used);
	r->args.data = bytes;
	r->args.size = size;
}

/* The tag stands first in the message. */
static void put_tag(struct rpc *r)
{
	struct xdr_out tag = { r->args.data, 4, 0, 0 };

	xdr_put_u32(&tag, r->xid);
}

static int exchange(struct rpc *r)
{
	uint32_t tries = 0;

	for (;;) {
		uint32_t sock = 0, xid = r->xid;
		td_mbuf m;
		int err;

		put_tag(r);
		err = connect(r->port, r->patience == ONCE ? ONCE_MS : CONNECT_MS, &sock);
		if (!err)
			err = td_mbuf_build(r->args.data, r->args.used, &m);
		if (!err) {
			err = td_sock_call(sock, m, r->patience == ONCE ? ONCE_MS : fs.o.timeo_ms, reply_in(&r->answer), sizeof(r->answer));
			td_mbuf_free(m);
		}
		if (!err) {
			well_again();
			return 0;
		}
		err = conn_again(r, sock, err, &tries);
		if (err)
			return err;
		if (r->xid != xid)
			put_tag(r);
	}
}

/* The whole reply in one piece. */
static int gather(struct rpc *r, struct xdr_in *in)
{
	uint32_t len = reply_in(&r->answer)->len;
	int err;

	*in = (struct xdr_in){ reply_in(&r->answer)->head, len, 0, 0 };
	if (len <= REPLY_ROOM)
		return 0;
	if (len > REPLY_MAX)
		return conn_senseless(r->proc);
	r->whole = td_alloc(len);
	if (!r->whole)
		return -TD_EIO;
	err = td_mbuf_get(r->reply, 0, r->whole, len);
	in->data = r->whole;
	return err ? -TD_EIO : 0;
}

static void release(struct rpc *r)
{
	td_mbuf_free(r->reply);
	td_free(r->whole);
	r->whole = 0;
}

static const char *program_name(uint32_t program)
{
	return program == NFS_PROGRAM ? "NFS" : program == MOUNT_PROGRAM ? "MOUNT" : "the port mapper";
}

/* What the procedure is called where a person reads it. */
static const char *name_of(struct rpc_proc p)
{
	return p.program == NFS_PROGRAM ? nfs_proc_name(p.proc) : "call";
}

int conn_senseless(struct rpc_proc p)
{
	say(3, "the server's reply to ", program_name(p.program), " ", name_of(p), " makes no sense; the call gets EIO", (char *)0);
	return -TD_EIO;
}

int conn_header(struct xdr_in *in, uint32_t xid, struct rpc_proc p)
{
	const char *why = 0;
	int err = rpc_get_reply(in, xid, &why);

	if (err == -TD_EBADMSG)
		return conn_senseless(p);
	if (err) {
		say(3, program_name(p.program), " ", name_of(p), ": ", why, (char *)0);
		td_explain(why);
	}
	return err;
}

static int is_jukebox(const struct rpc *r, const struct xdr_in *in)
{
	struct xdr_in look = *in;

	return r->proc.program == NFS_PROGRAM && xdr_get_u32(&look) == NFS_JUKEBOX;
}

/* It has come. 0: `in` stands behind its header. */
static int open_reply(struct rpc *r, struct xdr_in *in)
{
	int err;

	r->reply = reply_in(&r->answer)->mbuf;
	err = gather(r, in);
	return err ? err : conn_header(in, r->xid, r->proc);
}

int rpc_call(struct rpc *r, struct xdr_in *in)
{
	uint32_t wait = JUKEBOX_LEAST;
	int err;

	if (r->args.bad)
		return -TD_EINVAL;
	for (;;) {
		err = exchange(r);
		if (err)
			return err;
		err = open_reply(r, in);
		if (!err && !is_jukebox(r, in))
			return 0;
		release(r);
		if (!err)
			err = td_sleep(wait);
		if (err)
			return err;
		wait = wait < JUKEBOX_MOST / 2 ? wait * 2 : JUKEBOX_MOST;
		r->xid = conn_tag(); /* another request, as the server sees it */
	}
}

int rpc_send(struct rpc *r)
{
	uint32_t sock;
	td_mbuf m;
	int err = r->args.bad || !conn_known(r->port, &sock) ? -TD_ENOTCONN : td_mbuf_build(r->args.data, r->args.used, &m);

	if (err)
		return err;
	err = td_sock_send(sock, m);
	td_mbuf_free(m);
	return err;
}

int rpc_await(struct rpc *r, struct xdr_in *in)
{
	uint32_t sock, tries = 0;
	int err = -TD_ENOTCONN;

	if (conn_known(r->port, &sock))
		err = td_sock_receive(sock, r->xid, fs.o.timeo_ms, reply_in(&r->answer), sizeof(r->answer));
	if (err) {
		err = conn_again(r, sock, err, &tries);
		return err ? err : 1;
	}
	err = open_reply(r, in);
	if (!err && !is_jukebox(r, in))
		return 0;
	release(r);
	return err ? err : 1;
}

int rpc_end(struct rpc *r, const struct xdr_in *in, uint32_t status)
{
	release(r);
	return in->bad ? conn_senseless(r->proc) : nfs_errno(status);
}
