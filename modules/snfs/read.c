/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading. A read is cut into requests that are in flight together; the kernel moves the data of the replies to the caller. Whoever reads on where he
 * stopped finds the next replies there already: some requests of the same size are sent ahead.
 *
 * A short read for itself, somewhere in the file, is one turn: the kernel is told how the reply will begin, which is as the last one did but for what the
 * server may change at each read, and hands it to the caller. One that is not so the module looks at itself. From the second on the kernel makes
 * them alone (td_sock_standing()).
 *
 * What was written and is not stable is read from what is kept: so a server that was started again cannot show what was before.
 */
#include "node.h"

enum { PIECES = 16, NEAR = 2 << 20, AHEAD_BYTES = 8 << 20, AHEAD_MS = 1000, STANDING_MS = 1000, HEAD = NFS_READ_HEAD };

struct piece {
	uint64_t off;
	uint32_t len;  /* asked for */
	uint32_t want; /* of these, for the caller */
	uint32_t tag;
};

struct reading {
	struct td_vnode *v;
	struct node *n;
	uint32_t uio;
	uint32_t sock;
	struct rpc_cred cred;
	struct rpc r; /* for the header of each request, and for trying again */
};

/* ---- Requests */

static int send(struct reading *g, uint64_t off, uint32_t len, uint32_t tag)
{
	td_mbuf m;
	int err;

	rpc_begin_tagged(&g->r, NFS_READ, &g->cred, tag);
	nfs_put_read(&g->r.args, &g->n->fh, off, len);
	err = td_mbuf_build(g->r.bytes, g->r.args.used, &m);
	if (err)
		return err;
	err = td_sock_send(g->sock, m);
	td_mbuf_free(m);
	return err;
}

/* Send it, on a connection that lives. `err`: why the last try failed. */
static int ask(struct reading *g, struct piece *p, int err, uint32_t *tries)
{
	for (;;) {
		g->r.port = fs.port;
		g->r.xid = p->tag;
		if (err)
			err = conn_again(&g->r, g->sock, err, tries);
		if (err)
			return err;
		p->tag = g->r.xid;
		err = conn_socket(fs.port, &g->sock);
		if (!err)
			return send(g, p->off, p->len, p->tag);
	}
}

/* ---- Replies */

static int zeroes(uint32_t uio, uint32_t len)
{
	static const uint8_t zero[4096];
	int err = 0;

	while (len && !err) {
		uint32_t n = len < sizeof(zero) ? len : sizeof(zero);

		err = td_uio_move(uio, (void *)zero, n);
		len -= n;
	}
	return err ? -TD_EIO : 0;
}

/* ---- Replies that need not be seen */

enum { ATTR_USED = 28, ATTR_ATIME = 60, RESULT = 12 /* count, eof, length */ };

/* Remember how a reply begins: all of it counts but the tag, what the server's own reading changes, and whether the file ends there. */
static void learn(struct node *n, const struct td_reply *reply, const struct nfs_read *got)
{
	uint32_t attr = got->at - RESULT - NFS_ATTR;
	uint8_t *counts = n->like + got->at;

	if (!got->post.there || got->at > LIKE)
		return;
	spin_lock(&n->spin);
	memcpy(n->like, reply->head, got->at);
	memset(counts, 0xff, got->at);
	memset(counts, 0, 4);
	memset(counts + attr + ATTR_USED, 0, 8);
	memset(counts + attr + ATTR_ATIME, 0, 8);
	memset(counts + got->at - RESULT + 4, 0, 4);
	n->like_len = 2 * got->at;
	spin_unlock(&n->spin);
}

/* The same for `len` bytes; 0: no reply is known. */
static uint32_t expected(struct node *n, uint32_t len, uint8_t *like)
{
	uint32_t size;

	spin_lock(&n->spin);
	size = n->like_len;
	memcpy(like, n->like, size);
	spin_unlock(&n->spin);
	for (uint32_t at = size / 2, back = RESULT; size && back; back = back == RESULT ? 4 : 0) {
		struct xdr_out out = { like + at - back, 4, 0, 0 };

		xdr_put_u32(&out, len);
	}
	return size;
}

/* One reply: move what it has. -TD_EAGAIN: JUKEBOX. */
static int move(struct reading *g, struct piece *p, const struct td_reply *reply)
{
	struct rpc_proc proc = { NFS_PROGRAM, NFS_VERSION, NFS_READ };
	struct xdr_in in = { reply->head, reply->len < HEAD ? reply->len : HEAD, 0, 0 };
	struct nfs_read got = { 0 };
	int err = conn_header(&in, p->tag, proc);

	if (err)
		return err;
	uint32_t status = nfs_get_read(&in, reply->len, &got);
	if (in.bad || (!status && (got.count > p->len || (!got.count && !got.eof))))
		return conn_senseless(proc);
	if (status)
		return nfs_errno(status);
	attrs_note_post(g->v->fid, &got.post);
	learn(g->n, reply, &got);
	uint32_t n = got.count < p->want ? got.count : p->want;
	if (n && td_mbuf_to_uio(reply->mbuf, got.at, g->uio, n))
		return -TD_EIO;
	if (n < p->want && got.eof) { /* the file is longer here than there: what the server has lost, or a hole at the end */
		err = zeroes(g->uio, p->want - n);
		n = p->want;
	}
	p->off += n;
	p->len -= n < p->len ? n : p->len;
	p->want -= n;
	return err;
}

static int receive(struct reading *g, struct piece *p)
{
	struct reply reply;
	uint32_t tries = 0;
	int err;

	while (p->want) {
		err = g->sock ? 0 : conn_socket(fs.port, &g->sock);
		if (!err)
			err = td_sock_receive(g->sock, p->tag, fs.o.timeo_ms, reply_in(&reply), sizeof(struct td_reply) + HEAD);
		if (err) {
			err = ask(g, p, err, &tries);
			if (err)
				return err;
			continue;
		}
		err = move(g, p, reply_in(&reply));
		td_mbuf_free(reply_in(&reply)->mbuf);
		if (err == -TD_EAGAIN)
			err = td_sleep(100);
		if (err)
			return err;
		if (p->want) {
			p->tag = conn_tag();
			err = ask(g, p, 0, &tries);
			if (err)
				return err;
		}
	}
	return 0;
}

/* ---- Reading ahead */

/* The request that was sent ahead for this place is the caller's now. */
static int claim(struct node *n, uint64_t off, struct piece *p)
{
	uint64_t now = now_ms();
	int found = 0;

	spin_lock(&n->spin);
	for (uint32_t i = 0; i < AHEAD && !found; i++) {
		struct ahead *a = &n->ahead[i];

		if (!a->len || a->off != off || now - a->at > AHEAD_MS)
			continue;
		*p = (struct piece){ off, a->len, 0, a->tag };
		a->len = 0;
		found = 1;
	}
	spin_unlock(&n->spin);
	return found;
}

static int asked_for(const struct node *n, uint64_t off)
{
	for (uint32_t i = 0; i < AHEAD; i++)
		if (n->ahead[i].len && n->ahead[i].off == off)
			return 1;
	return 0;
}

/* A free place; or one that nobody has come for, whose tag is to be forgotten. */
static struct ahead *place(struct node *n, uint64_t now, uint32_t *forget)
{
	for (uint32_t i = 0; i < AHEAD; i++) {
		struct ahead *a = &n->ahead[i];

		if (a->len && now - a->at <= AHEAD_MS)
			continue;
		*forget = a->len ? a->tag : 0;
		return a;
	}
	return 0;
}

static void send_ahead(struct reading *g, uint64_t from, uint32_t len)
{
	uint64_t now = now_ms();
	struct node *n = g->n;

	for (uint32_t i = 0; i < fs.o.readahead && (uint64_t)(i + 1) * len <= AHEAD_BYTES; i++, from += len) {
		uint64_t left = from < g->v->size ? g->v->size - from : 0;
		uint32_t forget = 0, tag, size = left < len ? (uint32_t)left : len;
		struct ahead *a = 0;

		if (!left)
			return;
		tag = conn_tag();
		spin_lock(&n->spin);
		if (!asked_for(n, from))
			a = place(n, now, &forget);
		if (a)
			a->len = 0;
		spin_unlock(&n->spin);
		if (!a)
			continue;
		if (forget)
			td_sock_forget(g->sock, forget);
		if (send(g, from, size, tag))
			return;
		spin_lock(&n->spin);
		if (!a->len && !asked_for(n, from)) {
			*a = (struct ahead){ from, now, size, tag };
			tag = 0;
		}
		spin_unlock(&n->spin);
		if (tag) /* another reader has been faster */
			td_sock_forget(g->sock, tag);
	}
}

/* Does the caller go on where somebody has read? Readers that share the file come a little out of order. */
static int goes_on(struct node *n, uint64_t off, uint64_t end)
{
	int so;

	spin_lock(&n->spin);
	so = off + NEAR >= n->expect && off <= n->expect + NEAR && (off || !n->expect);
	if (!so || end > n->expect)
		n->expect = end;
	spin_unlock(&n->spin);
	return so;
}

/* ---- The operation */

static uint32_t cut(struct reading *g, struct piece *p, uint64_t *pos, uint64_t end, int *err)
{
	uint32_t n = 0, tries = 0;

	while (*pos < end && n < PIECES && !*err) {
		uint64_t left = end - *pos;

		if (!claim(g->n, *pos, &p[n])) {
			p[n] = (struct piece){ *pos, left < fs.rsize ? (uint32_t)left : fs.rsize, 0, conn_tag() };
			*err = ask(g, &p[n], 0, &tries);
		}
		p[n].want = left < p[n].len ? (uint32_t)left : p[n].len;
		*pos += p[n++].want;
	}
	return n;
}

static int read_range(struct reading *g, uint64_t pos, uint64_t end, int ahead)
{
	struct piece p[PIECES];
	uint32_t len = end - pos < fs.rsize ? (uint32_t)(end - pos) : fs.rsize;
	int err = 0;

	while (pos < end && !err) {
		uint32_t n = cut(g, p, &pos, end, &err);

		if (!err && ahead && pos == end)
			send_ahead(g, end, len);
		for (uint32_t i = 0; i < n && !err; i++)
			err = receive(g, &p[i]);
	}
	return err;
}

/* The next ones like this need not come here. */
static int stand(const struct reading *g, uint32_t len, const uint8_t *like, uint32_t like_len)
{
	const struct xdr_out *request = &g->r.args;
	const struct td_standing s = {
		.socket = g->sock,
		.ms = STANDING_MS,
		.len = len,
		.near = NEAR,
		.place_at = request->used - NFS_READ_PLACE,
		.request_len = request->used,
		.like_len = like_len,
	};

	return td_sock_standing(&s, request->data, like);
}

/* In one turn. The tag is the call's: one that is made again receives the reply that is there. */
static int read_alone(struct reading *g, uint64_t off, uint32_t len)
{
	struct piece p = { off, len, len, td_tag() };
	uint32_t tries = 0, n;
	uint8_t like[2 * LIKE];
	int err = ask(g, &p, 0, &tries);

	n = td_again() ? 0 : expected(g->n, len, like);
	if (!err && n) {
		err = td_sock_deliver(g->sock, p.tag, len, fs.o.timeo_ms, like, n);
		if (err != -TD_EAGAIN)
			return err ? err : stand(g, len, like, n);
		err = 0;
	}
	return err ? err : receive(g, &p);
}

static int read_kept(struct reading *g, int chain, uint64_t pos, uint64_t until)
{
	const struct chain *c = &g->n->dirty->c[chain];
	struct td_kept k;
	int err = td_kept_open(g->v->handle, (uint32_t)chain, &k);

	if (err)
		return -TD_EIO;
	err = td_mbuf_to_uio(k.mbuf, (uint32_t)(pos - c->off), g->uio, (uint32_t)(until - pos));
	td_mbuf_free(k.mbuf);
	return err ? -TD_EIO : 0;
}

int snfs_read(struct td_vnode *v, uint64_t off, uint64_t len, uint32_t uio)
{
	struct reading g = { .v = v, .uio = uio };
	uint64_t pos = off, end = off + len;
	int err = node_of(v, &g.n), ahead;

	if (err)
		return err;
	cred_of_file(v->fid, CRED_READ, &g.cred);
	ahead = goes_on(g.n, off, end);
	if (!ahead)
		node_drop_ahead(g.n);
	if (!ahead && !g.n->dirty && len && len <= fs.rsize && end <= v->size)
		return read_alone(&g, off, (uint32_t)len);
	while (pos < end && !err) {
		uint64_t until = end;
		int chain = g.n->dirty ? dirty_cover(g.n->dirty, pos, end, &until) : -1;

		if (chain >= 0)
			err = read_kept(&g, chain, pos, until);
		else
			err = read_range(&g, pos, until, ahead && !g.n->dirty);
		pos = until;
	}
	return err;
}
