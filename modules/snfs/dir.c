/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listing directories. Cookies are the server's, with its verifier, which the table keeps. With READDIRPLUS an entry brings its handle and
 * attributes; where it does not, or the server has only READDIR, each name is looked up, for without a handle there is no fid.
 *
 * A reply becomes a page (page.h), from which the kernel takes what it has room for; the request for the next one is sent before that. When the
 * page goes on where no page is kept, or what was asked ahead is of no use, the server is asked anew: nothing depends on what is kept.
 *
 * First all that needs the server, then the table: its lock is not held while waiting.
 */
#include "page.h"

enum { PER_ENTRY = 40, PLUS_PER_ENTRY = 240, COUNT_MIN = 4096, KERNELS = 16 /* cookies */ };

static uint32_t no_plus; /* the server has no READDIRPLUS */

struct listing {
	struct td_vnode *dir;
	struct nfs_fh dfh;
	struct rpc_cred cred;
	uint64_t cookie;
	struct nfs_verf verf;
	uint32_t count; /* bytes to ask for */
	int plus;
	struct rpc r;
	struct xdr_in in;
	struct page *page;
};

static int plus_wanted(void)
{
	return fs.o.plus && !__atomic_load_n(&no_plus, __ATOMIC_RELAXED);
}

/* The request, from l->cookie on. */
static void put_request(struct listing *l, uint32_t count)
{
	if (l->plus)
		nfs_put_readdirplus(&l->r.args, &l->dfh, l->cookie, &l->verf, count / (PLUS_PER_ENTRY / PER_ENTRY), count);
	else
		nfs_put_readdir(&l->r.args, &l->dfh, l->cookie, &l->verf, count);
}

/* The reply is open; if it is a success, it stands before the entries now. Else a status, or -errno. */
static int look_at(struct listing *l)
{
	struct nfs_post post;
	uint32_t status = nfs_get_listing(&l->in, &post, &l->verf);
	int err;

	if (!l->in.bad)
		attrs_note_post(l->dir->fid, &post);
	if (!status && !l->in.bad)
		return 0;
	err = rpc_end(&l->r, &l->in, status);
	return l->in.bad ? err : (int)status;
}

static int ask(struct listing *l, uint32_t count)
{
	int err;

	l->plus = plus_wanted();
	rpc_begin(&l->r, l->plus ? NFS_READDIRPLUS : NFS_READDIR, &l->cred);
	put_request(l, count);
	err = rpc_call(&l->r, &l->in);
	return err ? err : look_at(l);
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

/* ---- A page of the reply */

/* The reply's bytes are the page's from now on. */
static int take_bytes(struct listing *l, struct page *p)
{
	p->len = l->in.len;
	p->bytes = l->r.whole;
	l->r.whole = 0;
	if (!p->bytes) {
		p->bytes = td_alloc(p->len);
		if (p->bytes)
			memcpy(p->bytes, l->in.data, p->len);
	}
	l->in.data = p->bytes;
	return p->bytes ? 0 : -TD_EIO;
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

static int take_entries(struct listing *l, struct page *p)
{
	uint32_t most = count_entries(l);
	struct nfs_entry e;

	p->found = td_alloc((most + 1) * sizeof(*p->found));
	if (!p->found)
		return -TD_EIO;
	while (nfs_get_entry(&l->in, l->plus, &e)) {
		if (!e.cookie || e.cookie > TD_TO_END - KERNELS) /* the kernel's own come before */
			return conn_senseless(l->r.proc);
		p->last = e.cookie;
		if (!is_dots(e.name))
			p->found[p->n++].e = e;
	}
	p->end = !l->in.bad && nfs_get_listing_end(&l->in);
	return l->in.bad || (!most && !p->end) ? conn_senseless(l->r.proc) : 0;
}

static int make_page(struct listing *l, uint64_t at)
{
	struct page *p = td_alloc(sizeof(*p));
	int err;

	l->page = p;
	if (!p)
		return -TD_EIO;
	p->dir = l->dir->fid;
	p->cred = l->cred;
	p->at = at;
	p->from = p->last = l->cookie;
	p->verf = l->verf;
	err = take_bytes(l, p);
	return err ? err : take_entries(l, p);
}

/* What follows the page, asked for before it is wanted. That this may fail is no harm. */
static void ask_ahead(struct listing *l)
{
	struct page *p = l->page;
	uint32_t tag = conn_tag();

	if (p->end || !l->plus)
		return;
	l->cookie = p->last;
	rpc_begin_tagged(&l->r, NFS_READDIRPLUS, &l->cred, tag);
	put_request(l, l->count);
	if (rpc_send(&l->r))
		return;
	p->next_tag = tag;
	p->next_at = now_ms();
}

static int look_up_missing(struct listing *l)
{
	struct nfs_post dpost;

	for (uint32_t i = 0; i < l->page->n; i++) {
		struct nfs_entry *e = &l->page->found[i].e;
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
	struct found *f = l->page->found;
	uint32_t new = 0;
	int err = 0;

	for (uint32_t i = 0; i < l->page->n && !err; i++)
		if (f[i].e.fh.len) {
			err = fid_known(&f[i].e.fh, &f[i].fid);
			new += !f[i].fid;
		}
	if (!err && new)
		err = fids_lock();
	if (err || !new)
		return err;
	for (uint32_t i = 0; i < l->page->n && !err; i++)
		if (f[i].e.fh.len && !f[i].fid)
			err = fid_add(&f[i].e.fh, &f[i].fid);
	fids_unlock();
	return err;
}

/* The reply that was asked for ahead; 1: it is of no use. */
static int await_next(struct listing *l, const struct page *before)
{
	int err;

	l->plus = 1;
	rpc_begin_tagged(&l->r, NFS_READDIRPLUS, &l->cred, before->next_tag);
	err = rpc_await(&l->r, &l->in);
	if (!err)
		err = look_at(l);
	return err > 0 ? 1 : err;
}

/* From l->cookie on, where the page `before` ends if there is one, which is dropped. */
static int next_page(struct listing *l, struct page *before)
{
	uint64_t at = now_ms();
	int err = 1;

	l->page = 0;
	if (before && before->next_tag && page_fresh(before->next_at)) {
		at = before->next_at;
		err = await_next(l, before);
		before->next_tag = 0;
	}
	page_drop(before);
	if (err > 0) {
		at = now_ms();
		err = ask_well(l, l->count);
	}
	if (err)
		return err;
	err = make_page(l, at);
	int err2 = rpc_end(&l->r, &l->in, NFS_OK);
	if (err || err2)
		return err ? err : err2;
	ask_ahead(l);
	err = look_up_missing(l);
	return err ? err : find_fids(l);
}

/* ---- The operation */

/* From entry i on, as far as the kernel has room: 0 where all of the page is out. */
static int emit(const struct page *p, uint32_t i, struct td_out *out, uint32_t *given)
{
	for (; i < p->n; i++) {
		struct found *f = &p->found[i];

		if (!f->fid)
			continue;
		if (!td_readdir_emit(out, f->fid, f->e.cookie, f->e.post.there ? f->e.post.attr.type : TD_NONE, f->e.name))
			return 1;
		if (f->e.post.there)
			attrs_note_at(f->fid, &f->e.post.attr, p->at);
		++*given;
	}
	return 0;
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

/* Until something could be given, or there is nothing more. */
static int list(struct listing *l, struct td_out *out)
{
	uint32_t given = 0, i = 0;
	int err;

	l->page = page_take(l->dir->fid, l->cookie, &l->cred);
	if (l->page) {
		l->verf = l->page->verf;
		i = page_index(l->page, l->cookie);
	}
	for (;;) {
		if (!l->page || (i == l->page->n && !l->page->end)) {
			l->cookie = l->page ? l->page->last : l->cookie;
			err = next_page(l, l->page);
			if (err)
				return err;
			i = 0;
		}
		if (emit(l->page, i, out, &given) || given || l->page->end)
			return 0;
		i = l->page->n;
	}
}

/* A page of the server's is asked for as long as the answer that it is for; one that goes on, as long as the server likes. */
static uint32_t bytes_to_ask(const struct td_out *out, uint64_t cookie)
{
	uint64_t wish = (uint64_t)out->size / PER_ENTRY * PLUS_PER_ENTRY;

	if (cookie || wish > fs.dirsize)
		return fs.dirsize;
	return wish < COUNT_MIN ? COUNT_MIN : (uint32_t)wish;
}

int snfs_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries)
{
	struct fid_fields f;
	struct listing *l = td_alloc(sizeof(*l));
	int err = l ? fid_handle(dir->fid, &l->dfh) : -TD_EIO;

	if (!err)
		err = fid_fields(dir->fid, &f);
	if (!err) {
		l->dir = dir;
		l->cookie = cookie;
		l->count = bytes_to_ask(entries, cookie);
		cred_of_call(&l->cred);
		if (cookie)
			l->verf = f.verf;
		err = list(l, entries);
		if (!err)
			err = keep_verifier(dir->fid, &l->verf);
		if (!err)
			page_keep(l->page);
		else
			page_drop(l->page);
	}
	td_free(l);
	return err;
}
