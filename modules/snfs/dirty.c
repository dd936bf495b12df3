/* SPDX-License-Identifier: BSD-2-Clause */
/* Data that was written and is not stable: keep, look through, flush. See node.h for its states and rules. */
#include "node.h"

enum {
	BATCH_BYTES = 4 << 20, /* a COMMIT for so many */
	KEPT_MOST = 12 << 20,  /* then the writer waits */
	ROUNDS = 16,	       /* of sending all again */
};

static int make(struct node *n)
{
	if (!n->dirty)
		n->dirty = td_alloc(sizeof(*n->dirty));
	return n->dirty ? 0 : -TD_EIO;
}

static void append(struct dirty *d, uint64_t off, uint32_t len, td_mbuf mbuf)
{
	d->c[d->n++] = (struct chain){ .off = off, .len = len, .batch = d->batch, .mbuf = mbuf };
	d->bytes += len;
	d->batch_bytes += len;
}

/* Nobody knows what the server has of it. */
int dirty_load(struct node *n, uint64_t handle)
{
	struct td_kept k;
	int err;

	for (uint32_t i = 0; !(err = td_kept_open(handle, i, &k)); i++) {
		td_mbuf_free(k.mbuf);
		err = i < CHAINS ? make(n) : -TD_EIO;
		if (err)
			return err;
		n->dirty->batch = k.value;
		append(n->dirty, k.key, k.len, 0);
	}
	if (n->dirty) {
		n->dirty->batch++;
		n->dirty->fresh = n->dirty->n;
		cred_of_file(n->fid, CRED_WRITE, &n->dirty->cred);
	}
	return err == -TD_ENOENT ? 0 : err;
}

int dirty_any(const struct td_vnode *v, struct node **n)
{
	int err = 0;

	*n = node_known(v->fid);
	if (!*n && fs.restarted)
		err = node_of(v, n);
	if (*n && (!(*n)->dirty || (!(*n)->dirty->n && !(*n)->dirty->error)))
		*n = 0;
	return err;
}

uint64_t dirty_end(uint64_t fid)
{
	const struct node *n = node_known(fid);
	uint64_t end = 0;

	for (uint32_t i = 0; n && n->dirty && i < n->dirty->n; i++) {
		const struct chain *c = &n->dirty->c[i];

		if (!c->failed && c->off + c->len > end)
			end = c->off + c->len;
	}
	return end;
}

int dirty_cover(const struct dirty *d, uint64_t pos, uint64_t end, uint64_t *until)
{
	*until = end;
	for (uint32_t i = d->n; i-- > 0;) {
		const struct chain *c = &d->c[i];

		if (c->failed || c->off >= *until || c->off + c->len <= pos)
			continue;
		if (c->off > pos) { /* newer than all that is looked at from here on */
			*until = c->off;
			continue;
		}
		if (c->off + c->len < *until)
			*until = c->off + c->len;
		return (int)i;
	}
	return -1;
}

/* Give back what is done, from the front. Batches are given back as a whole, and none of this call's. */
static void sweep(const struct td_vnode *v, struct dirty *d)
{
	uint32_t first = 0;

	while (first < d->fresh && d->c[first].state == DONE) {
		uint64_t batch = d->c[first].batch;
		uint32_t k = first;

		while (k < d->n && d->c[k].batch == batch && d->c[k].state == DONE)
			k++;
		if (k > d->fresh || (k < d->n && d->c[k].batch == batch))
			break;
		td_kept_drop(v->handle, batch);
		first = k;
	}
	if (!first)
		return;
	for (uint32_t i = 0; i < first; i++)
		d->bytes -= d->c[i].len;
	memmove(d->c, d->c + first, (d->n - first) * sizeof(d->c[0]));
	d->n -= first;
	d->fresh -= first;
}

static uint32_t count_in(const struct dirty *d, enum chain_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < d->n; i++)
		n += d->c[i].state == state;
	return n;
}

static void seal(struct dirty *d)
{
	d->batch++;
	d->batch_bytes = 0;
}

/* What fits into one message needs no COMMIT. */
static uint32_t best_stable(const struct dirty *d)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		if (d->c[i].state != UNSENT || d->c[i].off != d->c[0].off + len)
			return fs.o.sync ? NFS_FILE_SYNC : NFS_UNSTABLE;
		len += d->c[i].len;
	}
	return len <= fs.wsize || fs.o.sync ? NFS_FILE_SYNC : NFS_UNSTABLE;
}

/* Until every chain is DONE. */
static int flush(const struct td_vnode *v, struct node *n)
{
	struct dirty *d = n->dirty;
	int err = 0;

	for (uint32_t round = 0; !err && count_in(d, DONE) < d->n; round++) {
		if (round == ROUNDS)
			return -TD_EIO;
		err = send_all(v, n, best_stable(d), 1);
		if (!err)
			err = reap_all(v, n);
		if (!err && d->commit_tag)
			err = commit_await(v, n);
		if (err || count_in(d, UNSENT) || !count_in(d, ACKED))
			continue;
		seal(d);
		err = commit_send(v, n, d->batch - 1);
		if (!err)
			err = commit_await(v, n);
	}
	return err;
}

static int take_error(struct dirty *d)
{
	int err = d->error;

	d->error = 0;
	return err;
}

/* ---- For write */

static int full(const struct dirty *d, uint32_t len)
{
	return d->n + CHAINS_SPARE > CHAINS || d->bytes + len > KEPT_MOST;
}

int dirty_begin(struct td_vnode *v, struct node *n, uint32_t len)
{
	struct td_caller caller;
	struct dirty *d;
	int err = make(n);

	if (err)
		return err;
	d = n->dirty;
	d->fresh = d->n;
	if (td_caller(&caller))
		cred_of_call(&d->cred);
	else
		cred_of_file(v->fid, CRED_WRITE, &d->cred);
	err = take_error(d);
	if (d->nruns >= RUNS / 2) /* some at once: between calls the reader of replies sleeps */
		while (!err && d->nruns > RUNS / 4)
			err = reap(v, n);
	if (!err && full(d, len) && d->commit_tag)
		err = commit_await(v, n);
	sweep(v, d);
	if (!err && full(d, len)) {
		err = flush(v, n);
		if (!err)
			sweep(v, d);
	}
	return err;
}

int dirty_add(struct td_vnode *v, struct node *n, uint64_t off, uint32_t len, uint32_t uio)
{
	td_mbuf m;
	int err = td_mbuf_build("", 0, &m);

	if (!err)
		err = td_mbuf_put_uio(m, uio, len);
	if (!err)
		err = td_mbuf_keep(m, v->handle, off, n->dirty->batch);
	if (err)
		return -TD_EIO;
	append(n->dirty, off, len, m);
	return 0;
}

/* The call fails, so nothing of it is kept. */
void dirty_abandon(struct node *n)
{
	struct dirty *d = n->dirty;

	while (d->n > d->fresh) {
		td_mbuf_free(d->c[--d->n].mbuf);
		d->bytes -= d->c[d->n].len;
	}
}

/* Is all of the batches up to this one with the server, so that a COMMIT covers it? */
static int complete(const struct dirty *d, uint64_t batch)
{
	uint32_t any = 0;

	for (uint32_t i = 0; i < d->n && d->c[i].batch <= batch; i++) {
		if (d->c[i].state == UNSENT || d->c[i].state == SENT)
			return 0;
		any |= d->c[i].state == ACKED;
	}
	return (int)any;
}

static int worth_sending(const struct dirty *d)
{
	const struct chain *last = &d->c[d->n - 1];
	uint64_t unsent = 0;

	for (uint32_t i = 0; i < d->n; i++)
		unsent += d->c[i].state == UNSENT ? d->c[i].len : 0;
	return unsent >= fs.wsize || d->batch_bytes >= BATCH_BYTES ||
	       (d->n > 1 && last[-1].state == UNSENT && last[-1].off + last[-1].len != last->off);
}

void dirty_push(struct td_vnode *v, struct node *n)
{
	struct dirty *d = n->dirty;

	if (worth_sending(d))
		send_all(v, n, NFS_UNSTABLE, 0);
	if (d->batch_bytes >= BATCH_BYTES)
		seal(d);
	if (!d->commit_tag && d->batch && complete(d, d->batch - 1))
		commit_send(v, n, d->batch - 1);
	for (uint32_t i = d->fresh; i < d->n; i++)
		td_mbuf_free(d->c[i].mbuf);
	d->fresh = d->n;
}

/* ---- All of it */

/* The record as the last reply has it. */
static int show(struct td_vnode *v)
{
	struct nfs_attr a;

	return attrs_known(v->fid, fs.o.acregmin, &a) ? attrs_fill(v, &a) : 0;
}

int dirty_flush(struct td_vnode *v)
{
	struct node *n;
	int err = dirty_any(v, &n);

	if (err || !n)
		return err;
	n->dirty->fresh = n->dirty->n;
	err = flush(v, n);
	if (!err)
		err = take_error(n->dirty);
	if (!err)
		err = show(v);
	if (!err)
		sweep(v, n->dirty);
	if (!err && !n->dirty->n && !n->dirty->nruns && !n->dirty->commit_tag) {
		td_free(n->dirty); /* many files are written once, and known for long */
		n->dirty = 0;
	}
	return err;
}

int dirty_settle(struct td_vnode *v)
{
	struct node *n;
	int err = dirty_any(v, &n);

	if (err || !n)
		return err;
	err = send_all(v, n, NFS_UNSTABLE, 1);
	return err ? err : reap_all(v, n);
}
