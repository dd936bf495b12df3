/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes. The kernel keeps the records and asks for them again when their time is over; here is a cache of what the last
 * replies said, so that what came with one reply (a lookup, a listing) need not be asked for again, and how long
 * a record is to be believed: longer each time that nothing has changed, as acregmin to acregmax say.
 */
#include "snfs.h"

enum { SETS = 1024, WAYS = 4, SPINS = 64, HANDED_ON = 1000 /* ms: from a listing to getvnode */ };

struct cached {
	uint64_t fid; /* 0: nothing */
	uint64_t at;  /* when it came, ms */
	uint32_t valid;
	uint32_t access_uid, access_mask, access_known; /* what ACCESS granted to a user */
	struct nfs_attr a;
};

static struct cached sets[SETS][WAYS];
static struct spin spins[SPINS];

static uint32_t index_of(uint64_t fid)
{
	return (uint32_t)(fid * 0x9e3779b97f4a7c15ull >> 54);
}
_Static_assert(SETS == 1 << 10, "index_of");

/* What is known of it; 0: nothing. */
static struct cached *enter(uint64_t fid)
{
	struct cached *set = sets[index_of(fid)];
	uint32_t i = 0;

	spin_lock(&spins[index_of(fid) % SPINS]);
	while (i < WAYS && set[i].fid != fid)
		i++;
	return i < WAYS ? &set[i] : 0;
}

static void leave(uint64_t fid)
{
	spin_unlock(&spins[index_of(fid) % SPINS]);
}

/* A place for what is not known as yet: that of the oldest. */
static struct cached *oldest(uint64_t fid)
{
	struct cached *set = sets[index_of(fid)], *c = &set[0];

	for (uint32_t i = 1; i < WAYS; i++)
		if (!set[i].fid || (c->fid && set[i].at < c->at))
			c = &set[i];
	return c;
}

static int same_time(const struct td_time *a, const struct td_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

static int later(const struct td_time *a, const struct td_time *b)
{
	return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

static uint32_t least(const struct nfs_attr *a)
{
	return a->type == TD_DIR ? fs.o.acdirmin : fs.o.acregmin;
}

static uint32_t most(const struct nfs_attr *a)
{
	return a->type == TD_DIR ? fs.o.acdirmax : fs.o.acregmax;
}

void attrs_note_at(uint64_t fid, const struct nfs_attr *a, uint64_t at)
{
	struct cached *c = enter(fid);

	if (!c) {
		c = oldest(fid);
		*c = (struct cached){ .fid = fid, .at = at, .valid = least(a) };
	} else if (at < c->at) { /* something newer has been heard */
		leave(fid);
		return;
	} else if (!same_time(&c->a.ctime, &a->ctime) || !same_time(&c->a.mtime, &a->mtime) || c->a.size != a->size) {
		if (later(&c->a.ctime, &a->ctime) && at - c->at < HANDED_ON) { /* an older reply, overtaken */
			leave(fid);
			return;
		}
		c->at = at;
		c->valid = least(a);
		c->access_known = 0;
	} else if (at - c->at >= c->valid) {
		c->at = at;
		c->valid = c->valid < most(a) / 2 ? c->valid * 2 : most(a);
	}
	c->a = *a;
	leave(fid);
}

void attrs_note(uint64_t fid, const struct nfs_attr *a)
{
	attrs_note_at(fid, a, now_ms());
}

void attrs_note_post(uint64_t fid, const struct nfs_post *p)
{
	if (p->there)
		attrs_note(fid, &p->attr);
}

void attrs_forget(uint64_t fid)
{
	struct cached *c = enter(fid);

	if (c)
		c->fid = 0;
	leave(fid);
}

int attrs_known(uint64_t fid, uint32_t age, struct nfs_attr *a)
{
	uint64_t now = now_ms();
	struct cached *c = enter(fid);
	int known = c && now - c->at <= age;

	if (known)
		*a = c->a;
	leave(fid);
	return known;
}

uint32_t attrs_valid(uint64_t fid)
{
	struct cached *c = enter(fid);
	uint32_t valid = c ? c->valid : fs.o.acregmin;

	leave(fid);
	return valid;
}

int attrs_ask(uint64_t fid, struct nfs_attr *a)
{
	uint32_t status = 0;
	struct nfs_fh fh;
	struct xdr_in in;
	struct rpc r;
	int err = fid_handle(fid, &fh);

	if (err)
		return err;
	rpc_begin(&r, NFS_GETATTR, 0);
	nfs_put_fh(&r.args, &fh);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	status = nfs_get_getattr(&in, a);
	err = rpc_end(&r, &in, status);
	if (!err)
		attrs_note(fid, a);
	else if (err == -TD_ESTALE)
		attrs_forget(fid);
	return err;
}

/* ---- ACCESS */

static int granted(uint64_t fid, uint32_t uid, uint32_t mask)
{
	struct cached *c = enter(fid);
	int ok = c && c->access_known && c->access_uid == uid && (c->access_mask & mask) == mask && now_ms() - c->at < c->valid;

	leave(fid);
	return ok;
}

static void note_granted(uint64_t fid, uint32_t uid, uint32_t mask)
{
	struct cached *c = enter(fid);

	if (c) {
		c->access_uid = uid;
		c->access_mask = mask;
		c->access_known = 1;
	}
	leave(fid);
}

int attrs_access(uint64_t fid, uint32_t mask)
{
	const uint32_t all = NFS_MAY_READ | NFS_MAY_LOOKUP | NFS_MAY_MODIFY | NFS_MAY_EXTEND | NFS_MAY_DELETE | NFS_MAY_EXECUTE;
	uint32_t status, may = 0;
	struct rpc_cred cred;
	struct nfs_post post;
	struct nfs_fh fh;
	struct xdr_in in;
	struct rpc r;
	int err;

	cred_of_call(&cred);
	if (granted(fid, cred.uid, mask))
		return 0;
	err = fid_handle(fid, &fh);
	if (err)
		return err;
	rpc_begin(&r, NFS_ACCESS, &cred);
	nfs_put_access(&r.args, &fh, all);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	status = nfs_get_access(&in, &post, &may);
	err = rpc_end(&r, &in, status);
	if (err)
		return err;
	attrs_note_post(fid, &post);
	note_granted(fid, cred.uid, may);
	return (may & mask) == mask ? 0 : -TD_EACCES;
}

/* ---- Records */

static uint32_t device_number(const struct nfs_attr *a)
{
	return a->type == TD_CHR || a->type == TD_BLK ? (a->minor & 0xff) | a->major << 8 | (a->minor & ~0xffu) << 12 : 0;
}

int attrs_fill(struct td_vnode *v, const struct nfs_attr *a)
{
	struct fid_fields f;
	uint64_t end;

	if (v->type && v->type != a->type)
		return -TD_ESTALE;
	v->type = a->type;
	v->mode = a->mode;
	v->nlink = a->nlink;
	v->uid = a->uid;
	v->gid = a->gid;
	v->rdev = device_number(a);
	v->size = a->size;
	v->blocks = a->used / 512 < 18014398509481983ull ? a->used / 512 : 18014398509481983ull;
	v->atime = a->atime;
	v->mtime = a->mtime;
	v->ctime = a->ctime;
	if (a->type == TD_REG) {
		end = dirty_end(v->fid);
		v->size = end > v->size ? end : v->size;
	}
	if (a->type != TD_DIR && a->nlink == 1 && !fid_fields(v->fid, &f) && f.silly_dir)
		v->nlink = 0;
	return 0;
}

int attrs_fill_post(struct td_vnode *v, const struct nfs_post *p)
{
	struct nfs_attr a;
	int err;

	if (p->there) {
		attrs_note(v->fid, &p->attr);
		return attrs_fill(v, &p->attr);
	}
	err = attrs_ask(v->fid, &a);
	return err ? err : attrs_fill(v, &a);
}

/*
 * What another client changed shows in what was before our change: then nothing of old is believed. A server that shows the directory
 * as it was before is asked again.
 */
int attrs_fill_wcc(struct td_vnode *v, const struct nfs_wcc *w)
{
	const struct nfs_post none = { 0 };

	if (w->pre_there && (!same_time(&w->pre_mtime, &v->mtime) || !same_time(&w->pre_ctime, &v->ctime)))
		attrs_forget(v->fid);
	return attrs_fill_post(v, w->post.there && same_time(&w->post.attr.mtime, &v->mtime) ? &none : &w->post);
}

int snfs_getvnode(uint64_t fid, struct td_vnode *v)
{
	struct nfs_attr a;
	struct nfs_fh fh;
	int err = fid_handle(fid, &fh);

	if (!err && !attrs_known(fid, HANDED_ON, &a))
		err = attrs_ask(fid, &a);
	return err ? err : attrs_fill(v, &a);
}

/* The server's record of a file knows of no write that it has not answered. */
int snfs_refresh(struct td_vnode *v, struct td_vnode *now, uint32_t *valid)
{
	uint32_t lock = LOCK_REFRESH + (uint32_t)(v->fid % LOCKS_EACH);
	struct node *n = 0;
	struct nfs_attr a;
	int err = v->type == TD_REG ? dirty_any(v, &n) : 0;

	if (!err && n) {
		err = td_lock(lock, TD_EXCLUSIVE);
		if (err)
			return err;
		err = dirty_settle(v);
		td_unlock(lock);
	}
	if (!err)
		err = attrs_ask(v->fid, &a);
	*now = *v;
	if (!err)
		err = attrs_fill(now, &a);
	*valid = attrs_valid(v->fid);
	return err;
}

/* ---- setattr */

static void time_wanted(uint32_t want, uint32_t given, uint32_t server, const struct td_time *t, uint32_t *how, struct td_time *to)
{
	*how = want & server ? NFS_SERVER_TIME : want & given ? NFS_CLIENT_TIME : NFS_KEEP_TIME;
	*to = *t;
}

static struct nfs_sattr wanted_attrs(const struct td_vnode *v, const struct td_vnode *w, uint32_t want)
{
	struct nfs_sattr s = { .mode = w->mode, .uid = w->uid, .gid = w->gid };

	if (want & TD_SET_MODE || (want & TD_SET_KILL_SUID && w->mode != v->mode))
		s.set |= NFS_SET_MODE;
	if (want & TD_SET_UID)
		s.set |= NFS_SET_UID;
	if (want & TD_SET_GID)
		s.set |= NFS_SET_GID;
	time_wanted(want, TD_SET_ATIME, TD_SET_ATIME_NOW, &w->atime, &s.atime_how, &s.atime);
	time_wanted(want, TD_SET_MTIME, TD_SET_MTIME_NOW, &w->mtime, &s.mtime_how, &s.mtime);
	return s;
}

int snfs_setattr(struct td_vnode *v, const struct td_vnode *wanted, uint32_t want)
{
	struct nfs_sattr s = wanted_attrs(v, wanted, want);
	uint32_t status;
	struct nfs_wcc wcc;
	struct nfs_fh fh;
	struct xdr_in in;
	struct rpc r;
	int err = fid_handle(v->fid, &fh);

	if (!err && v->type == TD_REG)
		err = dirty_settle(v); /* a write that comes later would change the times again */
	if (err)
		return err;
	rpc_begin(&r, NFS_SETATTR, 0);
	nfs_put_setattr(&r.args, &fh, &s);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	status = nfs_get_wcc_only(&in, &wcc);
	err = rpc_end(&r, &in, status);
	return err ? err : attrs_fill_post(v, &wcc.post);
}
