/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing: the data is kept and gathered; it is on its way to the server when there is enough for a message, and stable after fsync, close, or when
 * the kernel asks (see node.h). An error that comes later is the next write's, fsync's or close's.
 */
#include "node.h"

/* The record until the server is asked again. Who is not root and writes, takes the set-id bits away. */
static void grow(struct td_vnode *v, uint64_t end, const struct rpc_cred *who)
{
	if (v->mode & 06000 && who->uid)
		v->mode &= v->mode & 010 ? ~06000u : ~04000u;
	if (end > v->size)
		v->size = end;
	td_now(&v->mtime.sec, &v->mtime.nsec);
	v->ctime = v->mtime;
}

enum { WRITE_MOST = 4 << 20 /* bytes of one call: the kernel calls again for the rest */ };

int snfs_write(struct td_vnode *v, uint64_t off, uint64_t len, uint32_t uio)
{
	uint32_t most = len < WRITE_MOST ? (uint32_t)len : WRITE_MOST, pieces = 0, done = 0;
	struct node *n;
	int err = node_of(v, &n);

	if (!err)
		err = dirty_begin(v, n, most);
	if (err)
		return err;
	node_drop_ahead(n);
	while (done < most && pieces++ < CHAINS_SPARE) {
		uint32_t piece = most - done < fs.wsize ? most - done : fs.wsize;

		err = dirty_add(v, n, off + done, piece, uio);
		if (err) {
			dirty_abandon(n);
			return err;
		}
		done += piece;
	}
	dirty_push(v, n);
	grow(v, off + done, &n->dirty->cred);
	return fs.o.sync ? dirty_flush(v) : 0;
}

int snfs_truncate(struct td_vnode *v, uint64_t size)
{
	struct nfs_sattr s = { .set = NFS_SET_SIZE, .size = size };
	struct nfs_wcc wcc;
	struct nfs_fh fh;
	struct xdr_in in;
	struct rpc r;
	int err = fid_handle(v->fid, &fh);

	if (!err)
		err = dirty_flush(v); /* what is sent again later must not come after this */
	if (err)
		return err;
	node_opened(v->fid);
	rpc_begin(&r, NFS_SETATTR, 0);
	nfs_put_setattr(&r.args, &fh, &s);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_wcc_only(&in, &wcc);
	err = rpc_end(&r, &in, status);
	return err ? err : attrs_fill_post(v, &wcc.post);
}

int snfs_fsync(struct td_vnode *v)
{
	return v->type == TD_REG ? dirty_flush(v) : 0;
}
