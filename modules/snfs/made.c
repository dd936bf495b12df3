/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making files. The record comes with what is wanted, and goes back with what the server made.
 *
 * Twice asked is once made: a file whose maker wants to be the only one is created EXCLUSIVE, with a verifier that follows from the call and is the
 * same when the call is made again, so that the server itself knows its own work, until the first attributes are set where it keeps the
 * verifier. The others have none: what may have been made by the request's first copy is what is wanted if it looks so. For a file whose maker takes
 * anyone's (GUARDED) that is right even if another has made it.
 */
#include "snfs.h"

struct making {
	struct td_vnode *dir, *v;
	struct td_name name;
	struct nfs_fh dfh, fh;
	struct nfs_made made;
};

static struct nfs_sattr with_mode(const struct td_vnode *v)
{
	return (struct nfs_sattr){ .set = NFS_SET_MODE, .mode = v->mode };
}

/* The new file's handle: from the reply, or by its name. */
static int find(struct making *m)
{
	struct nfs_post dpost;

	if (m->made.fh.len) {
		m->fh = m->made.fh;
		return 0;
	}
	return lookup_fh(&m->dfh, m->name, &m->fh, &m->made.obj, &dpost);
}

/* Fill both records; the handle is known. */
static int adopt(struct making *m)
{
	int err = attrs_fill_wcc(m->dir, &m->made.dir);

	if (!err)
		err = fid_find(&m->fh, &m->v->fid);
	return err ? err : attrs_fill_post(m->v, &m->made.obj);
}

static int begin(struct making *m, struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	m->dir = dir;
	m->name = name;
	m->v = v;
	return dir_to_change(dir, &m->dfh);
}

static int call(struct making *m, struct rpc *r)
{
	struct xdr_in in;
	int err = rpc_call(r, &in);

	if (err)
		return err;
	uint32_t status = nfs_get_made(&in, &m->made);
	return rpc_end(r, &in, status);
}

/* ---- Made before? */

static int is_target(const struct making *m, struct td_in target)
{
	struct td_in text = { 0, 0 };
	struct nfs_post post;
	struct xdr_in in;
	struct rpc r;
	int same;

	rpc_begin(&r, NFS_READLINK, 0);
	nfs_put_fh(&r.args, &m->fh);
	if (rpc_call(&r, &in))
		return 0;
	uint32_t status = nfs_get_readlink(&in, &post, &text);
	same = !status && !in.bad && text.len == target.len && !memcmp(text.data, target.data, target.len);
	rpc_end(&r, &in, status);
	return same;
}

/* Is what has the name, after EEXIST, what a first copy of this request has made? `as`: as it was wanted. */
static int made_before(struct making *m, const struct td_vnode *as, struct td_in target)
{
	const struct nfs_attr *a = &m->made.obj.attr;

	m->made.fh.len = 0;
	if (find(m) || !m->made.obj.there || a->type != as->type || a->uid != as->uid)
		return 0;
	if (as->type == TD_LNK)
		return is_target(m, target);
	if (as->type == TD_REG && a->size)
		return 0;
	return (a->mode & 0777) == (as->mode & 0777) && a->mtime.sec == a->ctime.sec && a->nlink == (as->type == TD_DIR ? 2 : 1);
}

/* ---- Regular files */

static struct nfs_verf verifier(const struct making *m)
{
	uint64_t h = hash_bytes(fs.boot, m->name.bytes, m->name.len);
	uint32_t tag = td_tag(); /* the call's, and the same when it is made again */
	struct nfs_verf verf;

	h = hash_bytes(h, &tag, sizeof(tag));
	h = hash_bytes(h, &m->dir->fid, sizeof(m->dir->fid));
	/* Servers keep it in the file's times: a few bits less, so that they make legal ones. */
	h &= 0x3fffffff3fffffffull;
	memcpy(verf.bytes, &h, sizeof(h));
	return verf;
}

/* EXCLUSIVE has no room for attributes, and leaves odd times. */
static int set_first_attrs(struct making *m)
{
	struct nfs_sattr s = with_mode(m->v);
	struct nfs_wcc wcc;
	struct xdr_in in;
	struct rpc r;
	int err;

	s.atime_how = s.mtime_how = NFS_SERVER_TIME;
	rpc_begin(&r, NFS_SETATTR, 0);
	nfs_put_setattr(&r.args, &m->fh, &s);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_wcc_only(&in, &wcc);
	err = rpc_end(&r, &in, status);
	m->made.obj = wcc.post;
	return err;
}

static int make(struct making *m, struct rpc *r, struct td_in target)
{
	struct td_vnode as = *m->v;
	int err = call(m, r);

	if (!err)
		return find(m);
	return err == -TD_EEXIST && r->resent && made_before(m, &as, target) ? 0 : err; /* of a verifier: so far that it is overwritten */
}

/* Who makes it has it open. */
static int open_made(const struct td_vnode *v)
{
	struct rpc_cred cred;

	cred_of_call(&cred);
	return open_note(v->fid, &cred, TD_OPEN_READ | TD_OPEN_WRITE);
}

int snfs_create(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	const uint32_t anyones = v->flags & TD_VNODE_ANYONES;
	struct nfs_sattr s = with_mode(v);
	struct nfs_verf verf;
	struct making m;
	struct rpc r;
	int err = begin(&m, dir, name, v);

	if (err)
		return err;
	verf = verifier(&m);
	rpc_begin(&r, NFS_CREATE, 0);
	nfs_put_create(&r.args, &m.dfh, name, anyones ? 0 : &verf, &s);
	err = make(&m, &r, (struct td_in){ 0, 0 });
	if (!err && !anyones)
		err = set_first_attrs(&m);
	if (!err)
		err = adopt(&m);
	return err || !(v->flags & TD_VNODE_OPEN) ? err : open_made(v);
}

/* ---- The others */

static int make_and_adopt(struct making *m, struct rpc *r, struct td_in target)
{
	int err = make(m, r, target);

	return err ? err : adopt(m);
}

int snfs_mkdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct nfs_sattr s = with_mode(v);
	struct making m;
	struct rpc r;
	int err = begin(&m, dir, name, v);

	if (err)
		return err;
	rpc_begin(&r, NFS_MKDIR, 0);
	nfs_put_mkdir(&r.args, &m.dfh, name, &s);
	return make_and_adopt(&m, &r, (struct td_in){ 0, 0 });
}

int snfs_mknod(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct nfs_sattr s = with_mode(v);
	struct making m;
	struct rpc r;
	int err = begin(&m, dir, name, v);

	if (err)
		return err;
	rpc_begin(&r, NFS_MKNOD, 0);
	nfs_put_mknod(&r.args, &m.dfh, name, v->type, &s, v->rdev >> 8 & 0xfff, (v->rdev & 0xff) | (v->rdev >> 12 & 0xfff00));
	return make_and_adopt(&m, &r, (struct td_in){ 0, 0 });
}

int snfs_symlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v, struct td_in target)
{
	uint32_t size = REQUEST_MAX + 8 + target.len;
	struct nfs_sattr s = with_mode(v);
	struct making m;
	struct rpc r;
	void *bytes;
	int err = begin(&m, dir, name, v);

	if (err)
		return err;
	bytes = td_alloc(size);
	if (!bytes)
		return -TD_EIO;
	rpc_begin(&r, NFS_SYMLINK, 0);
	rpc_buffer(&r, bytes, size);
	nfs_put_symlink(&r.args, &m.dfh, name, &s, target);
	err = make_and_adopt(&m, &r, target);
	td_free(bytes);
	return err;
}
