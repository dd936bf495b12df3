/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening. The kernel has asked for the attributes anew (close-to-open) and looked at the mode bits; here the server has its say, for it may map
 * users as it likes, and who has opened is noted: with his credentials content moves that nobody calls for.
 */
#include "snfs.h"

/* 1 if that is something new. */
static int set_cred(struct fid_fields *f, const struct rpc_cred *cred, uint32_t which)
{
	if (f->has_cred >> which & 1 && rpc_same_cred(&f->cred[which], cred))
		return 0;
	f->cred[which] = *cred;
	f->has_cred |= 1u << which;
	return 1;
}

static int set_creds(struct fid_fields *f, const struct rpc_cred *cred, uint32_t flags)
{
	int new = flags & TD_OPEN_READ ? set_cred(f, cred, CRED_READ) : 0;

	return (flags & TD_OPEN_WRITE ? set_cred(f, cred, CRED_WRITE) : 0) | new;
}

int open_note(uint64_t fid, const struct rpc_cred *cred, uint32_t flags)
{
	uint32_t lock = LOCK_FIELDS + (uint32_t)(fid % LOCKS_EACH);
	struct fid_fields f;
	int err = fid_fields(fid, &f);

	if (err || !set_creds(&f, cred, flags))
		return err;
	err = td_lock(lock, TD_EXCLUSIVE);
	if (err)
		return err;
	err = fid_fields(fid, &f);
	set_creds(&f, cred, flags);
	if (!err)
		err = fid_set_fields(fid, &f);
	td_unlock(lock);
	return err;
}

/* The owner may read and write what he has just made, whatever its mode: the server does not know that he has. */
int snfs_open(struct td_vnode *v, uint32_t flags)
{
	uint32_t mask = (flags & TD_OPEN_READ ? NFS_MAY_READ : 0) | (flags & TD_OPEN_WRITE ? NFS_MAY_MODIFY | NFS_MAY_EXTEND : 0);
	struct rpc_cred cred;
	int err = 0;

	cred_of_call(&cred);
	if (cred.uid != v->uid && mask)
		err = attrs_access(v->fid, mask);
	if (!err)
		err = open_note(v->fid, &cred, flags);
	if (!err)
		node_opened(v->fid);
	return err;
}
