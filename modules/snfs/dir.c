/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listing directories. Cookies are the server's, with its verifier, which the table keeps. With READDIRPLUS an entry brings its handle and
 * attributes; where it does not, or the server has only READDIR, each name is looked up, for without a handle there is no fid.
 *
 * First all that needs the server, then the table: its lock is not held while waiting.
 */
#include "snfs.h"

enum { PER_ENTRY = 40, PLUS_PER_ENTRY = 240, COUNT_MIN = 4096, KERNELS = 16 /* cookies */ };

static uint32_t no_plus; /* the server has no READDIRPLUS */

struct found {
	struct nfs_entry e;
	uint64_t fid; /* 0: could not be had; the entry is left out */
};

struct listing {
	struct td_vnode *dir;
	struct nfs_fh dfh;
	uint64_t cookie;
	struct nfs_verf verf;
	int plus;
	struct rpc r;
	struct xdr_in in;
	uint32_t n, end;
	struct found *found;
};

static int plus_wanted(void)
{
	return fs.o.plus && !__atomic_load_n(&no_plus, __ATOMIC_RELAXED);
}

/* Ask from l->cookie on. On success the reply is open, and stands before the entries. */
static int ask(struct listing *l, uint32_t count)
{
	struct nfs_post post;
	int err;

	l->plus = plus_wanted();
	rpc_begin(&l->r, l->plus ? NFS_READDIRPLUS : NFS_READDIR, 0);
	if (l->plus)
		nfs_put_readdirplus(&l->r.args, &l->dfh, l->cookie, &l->verf, count / (PLUS_PER_ENTRY / PER_ENTRY), count);
	else
		nfs_put_readdir(&l->r.args, &l->dfh, l->cookie, &l->verf, count);
	err = rpc_call(&l->r, &l->in);
	if (err)
		return err;
	uint32_t status = nfs_get_listing(&l->in, &post, &l->verf);
	if (!l->in.bad)
		attrs_note_post(l->dir->fid, &post);
	if (!status && !l->in.bad)
		return 0;
	err = rpc_end(&l->r, &l->in, status);
	return l->in.bad ? err : (int)status;
}

/* The cookie is from before the server's verifier changed. With the new one it may still be good: some servers' cookies are. */
static int renew_verifier(struct listing *l, uint32_t count)
{
	uint64_t cookie = l->cookie;
	int err;

	l->cookie = 0;
	memset(&l->verf, 0, sizeof(l->verf));
	err = ask(l, count);
	if (!err)
		err = rpc_end(&l->r, &l->in, NFS_OK);
	l->cookie = cookie;
	return err ? err : ask(l, count);
}

/* ask(), and what can be done where the server refuses. 0 or -errno. */
static int ask_well(struct listing *l, uint32_t count)
{
	int status = ask(l, count);

	if (status == NFS_NOTSUPP && l->plus) {
		__atomic_store_n(&no_plus, 1, __ATOMIC_RELAXED);
		status = ask(l, count);
	}
	while (status == NFS_TOOSMALL && count < IO_MAX / 4)
		status = ask(l, count *= 2);
	if (status == NFS_BAD_COOKIE && l->cookie) {
		status = renew_verifier(l, count);
		if (status == NFS_BAD_COOKIE)
			say(4, "a directory changed on the server while it was listed, and the server has forgotten the place "
			       "(NFS3ERR_BAD_COOKIE)", (char *)0);
	}
	return status > 0 ? nfs_errno((uint32_t)status) : status;
}

static int is_dots(struct td_name n)
{
	return n.bytes[0] == '.' && (n.len == 1 || (n.len == 2 && n.bytes[1] == '.'));
}

static uint32_t count_entries(const struct listing *l)
{
	struct xdr_in look = l->in;
	struct nfs_entry e;
	uint32_t n = 0;

	while (nfs_get_entry(&look, l->plus, &e))
		n++;
	return n;
}

/* Decode all entries, for names lie in the reply. */
static int take(struct listing *l)
{
	uint32_t most = count_entries(l);
	struct nfs_entry e;

	l->found = td_alloc((most + 1) * sizeof(*l->found));
	if (!l->found)
		return -TD_EIO;
	while (nfs_get_entry(&l->in, l->plus, &e)) {
		if (!e.cookie || e.cookie > TD_TO_END - KERNELS) /* the kernel's own come before */
			return conn_senseless(l->r.proc);
		l->cookie = e.cookie;
		if (!is_dots(e.name))
			l->found[l->n++].e = e;
	}
	l->end = !l->in.bad && nfs_get_listing_end(&l->in);
	return l->in.bad ? conn_senseless(l->r.proc) : 0;
}

static int look_up_missing(struct listing *l)
{
	struct nfs_post dpost;

	for (uint32_t i = 0; i < l->n; i++) {
		struct nfs_entry *e = &l->found[i].e;
		int err = e->fh.len ? 0 : lookup_fh(&l->dfh, e->name, &e->fh, &e->post, &dpost);

		if (err == -TD_ENOENT || err == -TD_EACCES || err == -TD_ESTALE)
			e->fh.len = 0; /* gone meanwhile, or not for us */
		else if (err)
			return err;
	}
	return 0;
}

/* The lock once for all that are new: behind some walls each time costs a turn. */
static int find_fids(struct listing *l)
{
	uint32_t new = 0;
	int err = 0;

	for (uint32_t i = 0; i < l->n && !err; i++)
		if (l->found[i].e.fh.len) {
			err = fid_known(&l->found[i].e.fh, &l->found[i].fid);
			new += !l->found[i].fid;
		}
	if (!err && new)
		err = fids_lock();
	if (err || !new)
		return err;
	for (uint32_t i = 0; i < l->n && !err; i++)
		if (l->found[i].e.fh.len && !l->found[i].fid)
			err = fid_add(&l->found[i].e.fh, &l->found[i].fid);
	fids_unlock();
	return err;
}

/* 1: the kernel has no room for more. */
static int emit(struct listing *l, struct td_out *out, uint32_t *given)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct found *f = &l->found[i];

		if (!f->fid)
			continue;
		if (!td_readdir_emit(out, f->fid, f->e.cookie, f->e.post.there ? f->e.post.attr.type : TD_NONE, f->e.name))
			return 1;
		attrs_note_post(f->fid, &f->e.post);
		++*given;
	}
	return 0;
}

/* One request and what came of it. 1: enough. */
static int step(struct listing *l, struct td_out *out, uint32_t count, uint32_t *given)
{
	int err = ask_well(l, count);

	if (err)
		return err;
	l->n = l->end = 0;
	l->found = 0;
	err = take(l);
	if (!err)
		err = look_up_missing(l);
	if (!err)
		err = find_fids(l);
	if (!err)
		err = emit(l, out, given) || l->end || *given;
	td_free(l->found);
	int err2 = rpc_end(&l->r, &l->in, NFS_OK);
	return err < 0 ? err : err2 ? err2 : err;
}

static int keep_verifier(uint64_t fid, const struct nfs_verf *verf)
{
	uint32_t lock = LOCK_FIELDS + (uint32_t)(fid % LOCKS_EACH);
	struct fid_fields f;
	int err = fid_fields(fid, &f);

	if (err || !memcmp(&f.verf, verf, sizeof(*verf)))
		return err;
	err = td_lock(lock, TD_EXCLUSIVE);
	if (err)
		return err;
	err = fid_fields(fid, &f);
	f.verf = *verf;
	if (!err)
		err = fid_set_fields(fid, &f);
	td_unlock(lock);
	return err;
}

int snfs_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries)
{
	uint64_t wish = (uint64_t)entries->size / PER_ENTRY * PLUS_PER_ENTRY;
	uint32_t count = wish < COUNT_MIN ? COUNT_MIN : wish > fs.dirsize ? fs.dirsize : (uint32_t)wish, given = 0;
	struct fid_fields f;
	struct listing *l = td_alloc(sizeof(*l));
	int err = l ? fid_handle(dir->fid, &l->dfh) : -TD_EIO;

	if (!err)
		err = fid_fields(dir->fid, &f);
	if (!err) {
		l->dir = dir;
		l->cookie = cookie;
		if (cookie)
			l->verf = f.verf;
		do
			err = step(l, entries, count, &given);
		while (!err);
		err = err > 0 ? keep_verifier(dir->fid, &l->verf) : err;
	}
	td_free(l);
	return err;
}
