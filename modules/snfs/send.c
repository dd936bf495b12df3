/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending what was written, its replies, and COMMIT: see node.h for the states of chains and the rules. */
#include "node.h"

enum { INFLIGHT = 8 /* runs */, JUKEBOX_MS = 200 };

static const struct rpc_proc write_proc = { NFS_PROGRAM, NFS_VERSION, NFS_WRITE }, commit_proc = { NFS_PROGRAM, NFS_VERSION, NFS_COMMIT };

static int overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b + blen && b < a + alen;
}

/* Append a chain's bytes from `skip` on. */
static int cat(const struct td_vnode *v, const struct dirty *d, uint32_t i, uint32_t skip, td_mbuf to)
{
	const struct chain *c = &d->c[i];

	if (i < d->fresh)
		return td_mbuf_cat_kept(to, v->handle, i, skip);
	return td_mbuf_cat(to, c->mbuf, skip, c->len - skip);
}

/* The run's message, as a chain: header, data, padding. */
static int message(const struct td_vnode *v, const struct node *n, const struct run *run, td_mbuf *m)
{
	static const uint8_t padding[4];
	const struct dirty *d = n->dirty;
	uint32_t count = run->len - run->skip, at = 0;
	struct rpc r;
	int err;

	rpc_begin_tagged(&r, NFS_WRITE, &d->cred, run->tag);
	nfs_put_write(&r.args, &n->fh, run->off + run->skip, count, run->stable);
	if (r.args.bad)
		return -TD_EIO;
	err = td_mbuf_build(r.args.data, r.args.used, m);
	if (err)
		return err;
	for (uint32_t i = 0; i < d->n && !err; i++) {
		const struct chain *c = &d->c[i];

		if (c->state != SENT || c->tag != run->tag)
			continue;
		if (at + c->len > run->skip)
			err = cat(v, d, i, at < run->skip ? run->skip - at : 0, *m);
		at += c->len;
	}
	if (!err && at != run->len)
		err = -TD_EIO;
	if (!err && count % 4)
		err = td_mbuf_put(*m, padding, 4 - count % 4);
	if (err)
		td_mbuf_free(*m);
	return err;
}

static void set_tag(struct dirty *d, struct run *run, uint32_t tag)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].state == SENT && d->c[i].tag == run->tag)
			d->c[i].tag = tag;
	run->tag = tag;
}

/* The connection is known to live, or to be lost: whoever waits for the reply notices. */
static int send(const struct td_vnode *v, const struct node *n, const struct run *run, uint32_t sock)
{
	td_mbuf m;
	int err = message(v, n, run, &m);

	if (err)
		return err;
	err = td_sock_send(sock, m);
	td_mbuf_free(m);
	return err;
}

/* ---- Replies to WRITE */

static void over(struct dirty *d, uint32_t run)
{
	d->nruns--;
	for (uint32_t i = run; i < d->nruns; i++)
		d->runs[i] = d->runs[i + 1];
}

static void settle_run(struct dirty *d, const struct run *run, uint16_t state, uint16_t failed)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].state == SENT && d->c[i].tag == run->tag) {
			d->c[i].state = state;
			d->c[i].failed = failed;
		}
}

static int same_verf(const struct nfs_verf *a, const struct nfs_verf *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Of a run that short replies have answered bit by bit, all bits must be of one life of the server. */
static int verf_changed(struct dirty *d, const struct run *run, const struct nfs_verf *verf)
{
	int changed = 0;

	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].state == SENT && d->c[i].tag == run->tag) {
			changed |= run->skip && !same_verf(&d->c[i].verf, verf);
			d->c[i].verf = *verf;
		}
	return changed;
}

/* 0: the run is over. 1: there is more to send. */
static int answered(struct dirty *d, struct run *run, const struct nfs_written *w)
{
	uint32_t asked = run->len - run->skip;

	if (!w->count || w->count > asked)
		return conn_senseless(write_proc);
	if (verf_changed(d, run, &w->verf)) {
		run->skip = 0;
		return 1;
	}
	if (w->count < asked) {
		run->skip += w->count;
		return 1;
	}
	settle_run(d, run, w->committed == NFS_UNSTABLE ? ACKED : DONE, 0);
	return 0;
}

/* What one reply says. 0: the run is over; 1: send (again); -TD_EAGAIN: later; else the error of the data. */
static int look_at(struct node *n, struct run *run, const struct td_reply *reply)
{
	struct xdr_in in = { reply->head, reply->len < REPLY_ROOM ? reply->len : REPLY_ROOM, 0, 0 };
	struct nfs_written w = { 0 };
	int err = conn_header(&in, run->tag, write_proc);

	if (err)
		return err;
	uint32_t status = nfs_get_written(&in, &w);
	if (in.bad)
		return conn_senseless(write_proc);
	attrs_note_post(n->fid, &w.wcc.post);
	return status ? nfs_errno(status) : answered(n->dirty, run, &w);
}

static int has_chains(const struct dirty *d, const struct run *run)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].state == SENT && d->c[i].tag == run->tag)
			return 1;
	return 0;
}

/* What the oldest run's reply says, once it is there: as look_at(). Errors of the network: 1, after having waited, or what ends the call in *end. */
static int await(struct node *n, struct run *run, uint32_t *tries, int *end)
{
	struct rpc again = { .port = fs.port, .xid = run->tag };
	struct reply reply;
	uint32_t sock = 0;
	int err = conn_socket(fs.port, &sock);

	if (!err)
		err = td_sock_receive(sock, run->tag, fs.o.timeo_ms, reply_in(&reply), sizeof(reply));
	if (err) {
		err = conn_again(&again, sock, err, tries);
		if (err == -TD_ETIMEDOUT)
			return err;
		*end = err;
		set_tag(n->dirty, run, again.xid);
		return 1;
	}
	err = look_at(n, run, reply_in(&reply));
	td_mbuf_free(reply_in(&reply)->mbuf);
	if (err == -TD_EAGAIN)
		*end = td_sleep(JUKEBOX_MS);
	if (err == -TD_EAGAIN || err == 1) {
		set_tag(n->dirty, run, conn_tag());
		return 1;
	}
	return err;
}

static void note_error(struct dirty *d, int err)
{
	d->error = d->error ? d->error : err;
	say(3, "data could not be written to the server: ", err == -TD_ENOSPC || err == -TD_EDQUOT ? "no room" : "refused",
	    "; the next write, fsync or close of the file says so", (char *)0);
}

int reap(const struct td_vnode *v, struct node *n)
{
	struct run *run = &n->dirty->runs[0];
	uint32_t tries = 0, sock;
	int err, end = 0;

	while ((err = await(n, run, &tries, &end)) == 1) {
		if (!end && !has_chains(n->dirty, run)) /* of a call that was undone */
			break;
		if (!end)
			end = conn_known(fs.port, &sock) ? send(v, n, run, sock) : 0;
		if (end)
			return end;
	}
	if (err < 0) {
		settle_run(n->dirty, run, DONE, 1);
		note_error(n->dirty, err);
	}
	over(n->dirty, 0);
	return 0;
}

int reap_all(const struct td_vnode *v, struct node *n)
{
	int err = 0;

	while (n->dirty->nruns && !err)
		err = reap(v, n);
	return err;
}

/* ---- Runs */

static int must_wait(const struct dirty *d, const struct run *run)
{
	if (d->nruns >= INFLIGHT)
		return 1;
	for (uint32_t i = 0; i < d->nruns; i++)
		if (overlap(run->off, run->len, d->runs[i].off, d->runs[i].len))
			return 1;
	return 0;
}

/* The unsent chains from number i on that lie one behind the other, as far as one message goes. */
static uint32_t gather(const struct dirty *d, uint32_t i, struct run *run)
{
	uint32_t k = i;

	while (k < d->n && d->c[k].state == UNSENT && d->c[k].off == run->off + run->len && run->len + d->c[k].len <= fs.wsize)
		run->len += d->c[k++].len;
	return k - i;
}

static int begin_run(const struct td_vnode *v, struct node *n, uint32_t i, uint32_t count, struct run *run, uint32_t sock)
{
	struct dirty *d = n->dirty;

	run->tag = conn_tag();
	for (uint32_t k = i; k < i + count; k++) {
		d->c[k].state = SENT;
		d->c[k].tag = run->tag;
	}
	d->runs[d->nruns++] = *run;
	return send(v, n, run, sock);
}

int send_all(const struct td_vnode *v, struct node *n, uint32_t stable, int wait)
{
	struct dirty *d = n->dirty;
	int err = 0;

	for (uint32_t i = 0; i < d->n && !err;) {
		struct run run = { .off = d->c[i].off, .stable = stable };
		uint32_t sock, count;

		if (d->c[i].state != UNSENT) {
			i++;
			continue;
		}
		count = gather(d, i, &run);
		if (!conn_known(fs.port, &sock) && wait) {
			struct rpc again = { .port = fs.port };
			uint32_t tries = 0;

			while (!err && (err = conn_socket(fs.port, &sock)))
				err = conn_again(&again, sock, err, &tries);
		}
		while (!err && wait && must_wait(d, &run))
			err = reap(v, n);
		if (err || !sock || must_wait(d, &run))
			return err;
		err = begin_run(v, n, i, count, &run, sock);
		i += count;
	}
	return err;
}

/* ---- COMMIT */

static int send_commit(const struct node *n)
{
	struct rpc r;
	uint32_t sock;
	td_mbuf m;
	int err;

	if (!conn_known(fs.port, &sock))
		return 0; /* whoever waits for the reply sends it again */
	rpc_begin_tagged(&r, NFS_COMMIT, &n->dirty->cred, n->dirty->commit_tag);
	nfs_put_commit(&r.args, &n->fh, 0, 0);
	err = td_mbuf_build(r.args.data, r.args.used, &m);
	if (!err)
		err = td_sock_send(sock, m);
	if (!err)
		td_mbuf_free(m);
	return err;
}

int commit_send(const struct td_vnode *v, struct node *n, uint64_t batch)
{
	n->dirty->commit_tag = conn_tag();
	n->dirty->commit_batch = batch;
	return send_commit(n);
}

/* The server was started again: what it had acknowledged may be lost. All is sent again, in its order. */
static void lost(struct dirty *d)
{
	say(4, "the server was started again; what it had not yet written is sent again", (char *)0);
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].state == ACKED || (d->c[i].state == DONE && !d->c[i].failed))
			d->c[i].state = UNSENT;
}

/* All of these batches had been acknowledged when COMMIT was sent. */
static void committed(struct dirty *d, const struct nfs_verf *verf)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].batch <= d->commit_batch && d->c[i].state == ACKED && !same_verf(&d->c[i].verf, verf)) {
			lost(d);
			return;
		}
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].batch <= d->commit_batch && d->c[i].state == ACKED)
			d->c[i].state = DONE;
}

/* Refused: nobody knows what of it is lasting, and who wrote it shall hear so. */
static void refused(struct dirty *d, int err)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->c[i].batch <= d->commit_batch && d->c[i].state == ACKED) {
			d->c[i].state = DONE;
			d->c[i].failed = 1;
		}
	note_error(d, err);
}

static int look_at_commit(struct node *n, const struct td_reply *reply)
{
	struct xdr_in in = { reply->head, reply->len < REPLY_ROOM ? reply->len : REPLY_ROOM, 0, 0 };
	struct nfs_wcc wcc = { 0 };
	struct nfs_verf verf;
	int err = conn_header(&in, n->dirty->commit_tag, commit_proc);

	if (err)
		return err;
	uint32_t status = nfs_get_commit(&in, &wcc, &verf);
	if (in.bad)
		return conn_senseless(commit_proc);
	attrs_note_post(n->fid, &wcc.post);
	if (!status)
		committed(n->dirty, &verf);
	return nfs_errno(status);
}

/* One look. 0: over; 1: it was sent again; else what ends the call. */
static int await_commit(struct node *n, uint32_t *tries)
{
	struct dirty *d = n->dirty;
	struct rpc again = { .port = fs.port, .xid = d->commit_tag };
	struct reply reply;
	uint32_t sock = 0;
	int err = conn_socket(fs.port, &sock);

	if (!err)
		err = td_sock_receive(sock, d->commit_tag, fs.o.timeo_ms, reply_in(&reply), sizeof(reply));
	if (err) {
		err = conn_again(&again, sock, err, tries);
		if (err == -TD_ETIMEDOUT) {
			refused(d, err);
			return 0;
		}
		d->commit_tag = again.xid;
		if (!err)
			err = send_commit(n);
		return err ? err : 1;
	}
	err = look_at_commit(n, reply_in(&reply));
	td_mbuf_free(reply_in(&reply)->mbuf);
	if (err == -TD_EAGAIN) {
		err = td_sleep(JUKEBOX_MS);
		d->commit_tag = conn_tag();
		if (!err)
			err = send_commit(n);
		return err ? err : 1;
	}
	if (err)
		refused(d, err);
	return 0;
}

int commit_await(const struct td_vnode *v, struct node *n)
{
	uint32_t tries = 0;
	int err = 1;

	while (n->dirty->commit_tag && err > 0)
		err = await_commit(n, &tries);
	if (!err)
		n->dirty->commit_tag = 0;
	return err > 0 ? 0 : err;
}
