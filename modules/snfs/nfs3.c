/* SPDX-License-Identifier: BSD-2-Clause */
/* NFS version 3, results and names: see nfs3.h. */
#include "nfs3.h"

/* ---- Names */

static const struct {
	uint32_t status;
	int error;
	const char *name;
} statuses[] = {
	{ 0, 0, "NFS3_OK" },
	{ 1, TD_EPERM, "NFS3ERR_PERM" },
	{ 2, TD_ENOENT, "NFS3ERR_NOENT" },
	{ 5, TD_EIO, "NFS3ERR_IO" },
	{ 6, TD_ENXIO, "NFS3ERR_NXIO" },
	{ 13, TD_EACCES, "NFS3ERR_ACCES" },
	{ 17, TD_EEXIST, "NFS3ERR_EXIST" },
	{ 18, TD_EXDEV, "NFS3ERR_XDEV" },
	{ 19, TD_ENODEV, "NFS3ERR_NODEV" },
	{ 20, TD_ENOTDIR, "NFS3ERR_NOTDIR" },
	{ 21, TD_EISDIR, "NFS3ERR_ISDIR" },
	{ 22, TD_EINVAL, "NFS3ERR_INVAL" },
	{ 27, TD_EFBIG, "NFS3ERR_FBIG" },
	{ 28, TD_ENOSPC, "NFS3ERR_NOSPC" },
	{ 30, TD_EROFS, "NFS3ERR_ROFS" },
	{ 31, TD_EMLINK, "NFS3ERR_MLINK" },
	{ 63, TD_ENAMETOOLONG, "NFS3ERR_NAMETOOLONG" },
	{ 66, TD_ENOTEMPTY, "NFS3ERR_NOTEMPTY" },
	{ 69, TD_EDQUOT, "NFS3ERR_DQUOT" },
	{ 70, TD_ESTALE, "NFS3ERR_STALE" },
	{ 71, TD_EIO, "NFS3ERR_REMOTE" },
	{ 10001, TD_ESTALE, "NFS3ERR_BADHANDLE" },
	{ 10002, TD_EIO, "NFS3ERR_NOT_SYNC" },
	{ 10003, TD_EIO, "NFS3ERR_BAD_COOKIE" },
	{ 10004, TD_EOPNOTSUPP, "NFS3ERR_NOTSUPP" },
	{ 10005, TD_EIO, "NFS3ERR_TOOSMALL" },
	{ 10006, TD_EIO, "NFS3ERR_SERVERFAULT" },
	{ 10007, TD_EINVAL, "NFS3ERR_BADTYPE" },
	{ 10008, TD_EAGAIN, "NFS3ERR_JUKEBOX" },
};

enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

static uint32_t index_of(uint32_t status)
{
	uint32_t i = 0;

	while (i < STATUSES && statuses[i].status != status)
		i++;
	return i;
}

int nfs_errno(uint32_t status)
{
	uint32_t i = index_of(status);

	return i < STATUSES ? -statuses[i].error : -TD_EIO;
}

const char *nfs_status_name(uint32_t status)
{
	uint32_t i = index_of(status);

	return i < STATUSES ? statuses[i].name : "a status that NFS version 3 does not have";
}

const char *nfs_proc_name(uint32_t proc)
{
	static const char *const names[NFS_PROCS] = {
		"NULL",	  "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ",	       "WRITE",	 "CREATE", "MKDIR",    "SYMLINK",
		"MKNOD",  "REMOVE",  "RMDIR",	"RENAME", "LINK",   "READDIR",	"READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
	};

	return proc < NFS_PROCS ? names[proc] : "?";
}

/* ---- Pieces of results */

uint32_t nfs_get_status(struct xdr_in *in)
{
	uint32_t status = xdr_get_u32(in);

	if (index_of(status) == STATUSES)
		in->bad = 1;
	return status;
}

static void get_time(struct xdr_in *in, struct td_time *t)
{
	t->sec = xdr_get_u32(in);
	t->nsec = xdr_get_u32(in);
	t->pad = 0;
	if (t->nsec > 999999999)
		in->bad = 1;
}

/* ftype3, in our words. */
static uint32_t get_type(struct xdr_in *in)
{
	static const uint8_t types[] = { TD_NONE, TD_REG, TD_DIR, TD_BLK, TD_CHR, TD_LNK, TD_SOCK, TD_FIFO };
	uint32_t type = xdr_get_u32(in);

	if (!type || type >= sizeof(types)) {
		in->bad = 1;
		return TD_NONE;
	}
	return types[type];
}

static void get_attr(struct xdr_in *in, struct nfs_attr *a)
{
	a->type = get_type(in);
	a->mode = xdr_get_u32(in) & 07777;
	a->nlink = xdr_get_u32(in);
	a->uid = xdr_get_u32(in);
	a->gid = xdr_get_u32(in);
	a->size = xdr_get_u64(in);
	a->used = xdr_get_u64(in);
	a->major = xdr_get_u32(in);
	a->minor = xdr_get_u32(in);
	a->fsid = xdr_get_u64(in);
	a->fileid = xdr_get_u64(in);
	get_time(in, &a->atime);
	get_time(in, &a->mtime);
	get_time(in, &a->ctime);
	if (a->size > 0x7fffffffffffffffull || a->nlink > 0x7fffffff)
		in->bad = 1;
}

static void get_post(struct xdr_in *in, struct nfs_post *p)
{
	p->there = xdr_get_bool(in);
	if (p->there)
		get_attr(in, &p->attr);
}

static void get_wcc(struct xdr_in *in, struct nfs_wcc *w)
{
	w->pre_there = xdr_get_bool(in);
	if (w->pre_there) {
		w->pre_size = xdr_get_u64(in);
		get_time(in, &w->pre_mtime);
		get_time(in, &w->pre_ctime);
	}
	get_post(in, &w->post);
}

static void get_fh(struct xdr_in *in, struct nfs_fh *fh)
{
	const uint8_t *at = xdr_get_opaque(in, NFS_FH_MAX, &fh->len);

	if (!fh->len)
		in->bad = 1;
	else
		memcpy(fh->data, at, fh->len);
}

static void get_post_fh(struct xdr_in *in, struct nfs_fh *fh)
{
	fh->len = 0;
	if (xdr_get_bool(in))
		get_fh(in, fh);
}

static void get_verf(struct xdr_in *in, struct nfs_verf *v)
{
	xdr_get_fixed(in, v->bytes, NFS_VERF);
}

/* ---- Results */

uint32_t nfs_get_getattr(struct xdr_in *in, struct nfs_attr *attr)
{
	uint32_t status = nfs_get_status(in);

	if (!status)
		get_attr(in, attr);
	return status;
}

uint32_t nfs_get_wcc_only(struct xdr_in *in, struct nfs_wcc *wcc)
{
	uint32_t status = nfs_get_status(in);

	get_wcc(in, wcc);
	return status;
}

uint32_t nfs_get_lookup(struct xdr_in *in, struct nfs_fh *fh, struct nfs_post *obj, struct nfs_post *dir)
{
	uint32_t status = nfs_get_status(in);

	if (!status) {
		get_fh(in, fh);
		get_post(in, obj);
	}
	get_post(in, dir);
	return status;
}

uint32_t nfs_get_access(struct xdr_in *in, struct nfs_post *post, uint32_t *mask)
{
	uint32_t status = nfs_get_status(in);

	get_post(in, post);
	if (!status)
		*mask = xdr_get_u32(in);
	return status;
}

uint32_t nfs_get_readlink(struct xdr_in *in, struct nfs_post *post, struct td_in *target)
{
	uint32_t status = nfs_get_status(in);

	get_post(in, post);
	if (!status)
		target->data = xdr_get_opaque(in, TD_PATH_MAX, &target->len);
	return status;
}

uint32_t nfs_get_read(struct xdr_in *in, uint32_t total, struct nfs_read *r)
{
	uint32_t status = nfs_get_status(in), len;

	get_post(in, &r->post);
	if (status)
		return status;
	r->count = xdr_get_u32(in);
	r->eof = xdr_get_bool(in);
	len = xdr_get_u32(in);
	r->at = in->pos;
	if (len != r->count || total < r->at || len > total - r->at)
		in->bad = 1;
	return status;
}

uint32_t nfs_get_written(struct xdr_in *in, struct nfs_written *w)
{
	uint32_t status = nfs_get_status(in);

	get_wcc(in, &w->wcc);
	if (status)
		return status;
	w->count = xdr_get_u32(in);
	w->committed = xdr_get_u32(in);
	get_verf(in, &w->verf);
	if (w->committed > NFS_FILE_SYNC)
		in->bad = 1;
	return status;
}

uint32_t nfs_get_made(struct xdr_in *in, struct nfs_made *m)
{
	uint32_t status = nfs_get_status(in);

	m->fh.len = 0;
	m->obj.there = 0;
	if (!status) {
		get_post_fh(in, &m->fh);
		get_post(in, &m->obj);
	}
	get_wcc(in, &m->dir);
	return status;
}

uint32_t nfs_get_rename(struct xdr_in *in, struct nfs_wcc *from, struct nfs_wcc *to)
{
	uint32_t status = nfs_get_status(in);

	get_wcc(in, from);
	get_wcc(in, to);
	return status;
}

uint32_t nfs_get_link(struct xdr_in *in, struct nfs_post *file, struct nfs_wcc *dir)
{
	uint32_t status = nfs_get_status(in);

	get_post(in, file);
	get_wcc(in, dir);
	return status;
}

uint32_t nfs_get_fsstat(struct xdr_in *in, struct nfs_fsstat *s)
{
	uint32_t status = nfs_get_status(in);
	struct nfs_post post;

	get_post(in, &post);
	if (status)
		return status;
	s->tbytes = xdr_get_u64(in);
	s->fbytes = xdr_get_u64(in);
	s->abytes = xdr_get_u64(in);
	s->tfiles = xdr_get_u64(in);
	s->ffiles = xdr_get_u64(in);
	s->afiles = xdr_get_u64(in);
	xdr_get_u32(in); /* how long this does not change */
	return status;
}

uint32_t nfs_get_fsinfo(struct xdr_in *in, struct nfs_fsinfo *f)
{
	uint32_t status = nfs_get_status(in);
	struct nfs_post post;

	get_post(in, &post);
	if (status)
		return status;
	f->rtmax = xdr_get_u32(in);
	f->rtpref = xdr_get_u32(in);
	xdr_get_u32(in); /* sizes are best multiples of this: all of ours are of 4096 */
	f->wtmax = xdr_get_u32(in);
	f->wtpref = xdr_get_u32(in);
	xdr_get_u32(in);
	f->dtpref = xdr_get_u32(in);
	f->maxsize = xdr_get_u64(in);
	xdr_get_u64(in); /* granularity of times */
	f->properties = xdr_get_u32(in);
	return status;
}

uint32_t nfs_get_pathconf(struct xdr_in *in, struct nfs_pathconf *p)
{
	uint32_t status = nfs_get_status(in);
	struct nfs_post post;

	get_post(in, &post);
	if (status)
		return status;
	p->linkmax = xdr_get_u32(in);
	p->namemax = xdr_get_u32(in);
	for (int i = 0; i < 4; i++) /* no_trunc, chown_restricted, case_insensitive, case_preserving */
		xdr_get_bool(in);
	return status;
}

uint32_t nfs_get_commit(struct xdr_in *in, struct nfs_wcc *wcc, struct nfs_verf *verf)
{
	uint32_t status = nfs_get_status(in);

	get_wcc(in, wcc);
	if (!status)
		get_verf(in, verf);
	return status;
}

/* ---- Listings */

uint32_t nfs_get_listing(struct xdr_in *in, struct nfs_post *dir, struct nfs_verf *verf)
{
	uint32_t status = nfs_get_status(in);

	get_post(in, dir);
	if (!status)
		get_verf(in, verf);
	return status;
}

/* A name as the kernel takes it: not empty, without NUL and '/'. */
static int legal(struct td_name n)
{
	for (uint32_t i = 0; i < n.len; i++)
		if (!n.bytes[i] || n.bytes[i] == '/')
			return 0;
	return n.len > 0;
}

int nfs_get_entry(struct xdr_in *in, int plus, struct nfs_entry *e)
{
	if (!xdr_get_bool(in))
		return 0;
	e->fileid = xdr_get_u64(in);
	e->name.bytes = xdr_get_opaque(in, TD_NAME_MAX, &e->name.len);
	e->cookie = xdr_get_u64(in);
	e->post.there = 0;
	e->fh.len = 0;
	if (plus) {
		get_post(in, &e->post);
		get_post_fh(in, &e->fh);
	}
	if (!legal(e->name))
		in->bad = 1;
	return !in->bad;
}

int nfs_get_listing_end(struct xdr_in *in)
{
	return (int)xdr_get_bool(in);
}
