/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names: find, link, remove, move. A request that the server may have seen before (RFC 1813, 4.8) is not taken at its word when it
 * fails: what its first copy has done looks like ENOENT or EEXIST to the second.
 */
#include "snfs.h"

static int same_fh(const struct nfs_fh *a, const struct nfs_fh *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

int lookup_fh(const struct nfs_fh *dir, struct td_name name, struct nfs_fh *fh, struct nfs_post *obj, struct nfs_post *dpost)
{
	uint32_t status;
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin(&r, NFS_LOOKUP, 0);
	nfs_put_dirop(&r.args, dir, name);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	status = nfs_get_lookup(&in, fh, obj, dpost);
	return rpc_end(&r, &in, status);
}

int snfs_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	struct nfs_post obj = { 0 }, dpost = { 0 };
	struct nfs_fh dfh, fh;
	int err = dir->nlink ? fid_handle(dir->fid, &dfh) : -TD_ENOENT; /* removed, but open: no names */

	if (!err)
		err = lookup_fh(&dfh, name, &fh, &obj, &dpost);
	if (!err || err == -TD_ENOENT)
		attrs_note_post(dir->fid, &dpost);
	if (!err)
		err = fid_find(&fh, fid);
	if (!err)
		attrs_note_post(*fid, &obj);
	return err;
}

int snfs_readlink(struct td_vnode *v, struct td_out *target)
{
	struct td_in text = { 0, 0 };
	struct nfs_post post;
	struct nfs_fh fh;
	struct xdr_in in;
	struct rpc r;
	int err = fid_handle(v->fid, &fh), err2 = 0;

	if (err)
		return err;
	rpc_begin(&r, NFS_READLINK, 0);
	nfs_put_fh(&r.args, &fh);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_readlink(&in, &post, &text);
	if (!status && !in.bad)
		err2 = td_out_put(target, text.data, text.len) ? -TD_EIO : 0;
	err = rpc_end(&r, &in, status);
	return err ? err : err2;
}

/* ---- Link */

int snfs_link(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct nfs_post post, obj, dpost;
	struct nfs_fh dfh, fh, there;
	struct nfs_wcc wcc;
	struct xdr_in in;
	struct rpc r;
	int err = dir_to_change(dir, &dfh);

	if (!err)
		err = fid_handle(v->fid, &fh);
	if (err)
		return err;
	rpc_begin(&r, NFS_LINK, 0);
	nfs_put_link(&r.args, &fh, &dfh, name);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_link(&in, &post, &wcc);
	err = rpc_end(&r, &in, status);
	if (err == -TD_EEXIST && r.resent && !lookup_fh(&dfh, name, &there, &obj, &dpost) && same_fh(&there, &fh))
		err = 0;
	if (!err)
		err = attrs_fill_wcc(dir, &wcc);
	return err ? err : attrs_fill_post(v, &post);
}

/* ---- Remove */

int remove_fh(const struct nfs_fh *dir, struct td_name name, uint32_t proc, const struct rpc_cred *cred, struct nfs_wcc *wcc)
{
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin(&r, proc, cred);
	nfs_put_dirop(&r.args, dir, name);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_wcc_only(&in, wcc);
	err = rpc_end(&r, &in, status);
	return err == -TD_ENOENT && r.resent ? 0 : err;
}

/* It has lost a name. Where it has others, the server says how many. */
static int lost_a_name(struct td_vnode *v)
{
	struct nfs_attr a;

	attrs_forget(v->fid);
	if (v->type == TD_DIR || v->nlink <= 1) {
		v->nlink = 0;
		return 0;
	}
	v->nlink--;
	int err = attrs_ask(v->fid, &a);
	return err == -TD_ESTALE ? 0 : err ? err : attrs_fill(v, &a);
}

static int remove_name(struct td_vnode *dir, struct td_name name, struct td_vnode *v, uint32_t proc)
{
	struct nfs_wcc wcc;
	struct nfs_fh dfh;
	int err = dir_to_change(dir, &dfh);

	if (!err)
		err = remove_fh(&dfh, name, proc, 0, &wcc);
	if (!err)
		err = attrs_fill_wcc(dir, &wcc);
	return err ? err : lost_a_name(v);
}

int snfs_unlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	return silly_wanted(v) ? silly_rename(dir, name, v) : remove_name(dir, name, v, NFS_REMOVE);
}

int snfs_rmdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	return remove_name(dir, name, v, NFS_RMDIR);
}

/* ---- Rename */

int rename_fh(const struct nfs_fh *from, struct td_name old, const struct nfs_fh *to, struct td_name new, const struct nfs_fh *what,
	      struct nfs_wcc *wfrom, struct nfs_wcc *wto)
{
	struct nfs_post obj, dpost;
	struct nfs_fh there;
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin(&r, NFS_RENAME, 0);
	nfs_put_rename(&r.args, from, old, to, new);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_rename(&in, wfrom, wto);
	err = rpc_end(&r, &in, status);
	if (err == -TD_ENOENT && r.resent && !lookup_fh(to, new, &there, &obj, &dpost) && same_fh(&there, what))
		err = 0;
	return err;
}

/* NFS has no exchange of names. */
int snfs_rename(struct td_vnode *from, struct td_name old, struct td_vnode *to, struct td_name new, struct td_vnode *v,
		struct td_vnode *target, uint32_t flags)
{
	struct nfs_wcc wfrom, wto;
	struct nfs_fh ffh, tfh, fh;
	struct nfs_attr a;
	int err = flags & TD_RENAME_EXCHANGE ? -TD_EINVAL : dir_to_change(from, &ffh), silly = 0;

	if (!err)
		err = dir_to_change(to, &tfh);
	if (!err)
		err = fid_handle(v->fid, &fh);
	if (!err && target && silly_wanted(target)) {
		err = silly_rename(to, new, target);
		silly = !err;
	}
	if (err)
		return err;
	err = rename_fh(&ffh, old, &tfh, new, &fh, &wfrom, &wto);
	if (err) {
		if (silly)
			silly_undo(to, new, target);
		return err;
	}
	if (from != to)
		err = attrs_fill_wcc(from, &wfrom);
	if (!err)
		err = attrs_fill_wcc(to, &wto);
	if (!err)
		err = attrs_ask(v->fid, &a);
	if (!err)
		err = attrs_fill(v, &a);
	return err || !target || silly ? err : lost_a_name(target);
}
