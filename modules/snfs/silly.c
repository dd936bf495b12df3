/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are open and lose their last name. The server knows nothing of who has a file open, and would free it: so it gets a name of ours
 * in the same directory (.nfs and 16 digits, as other clients have it) and is removed with its last reference. Which
 * directory stands in the table, the name follows from the fid.
 */
#include "snfs.h"

enum { DIGITS = 16 };

struct silly_name {
	uint8_t text[4 + DIGITS];
};

static struct td_name name_of(uint64_t fid, struct silly_name *n)
{
	uint64_t id = hash_bytes(fs.boot, &fid, sizeof(fid));

	memcpy(n->text, ".nfs", 4);
	for (uint32_t i = 0; i < DIGITS; i++)
		n->text[4 + i] = (uint8_t)"0123456789abcdef"[id >> (60 - 4 * i) & 15];
	return (struct td_name){ n->text, sizeof(n->text) };
}

int silly_wanted(const struct td_vnode *v)
{
	return v->flags & TD_VNODE_OPEN && v->type == TD_REG && v->nlink == 1;
}

static int note(uint64_t fid, uint64_t dir)
{
	struct fid_fields f;
	int err = fid_fields(fid, &f);

	f.silly_dir = dir;
	return err ? err : fid_set_fields(fid, &f);
}

int silly_rename(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct nfs_wcc wfrom, wto;
	struct silly_name ours;
	struct nfs_fh dfh, fh;
	int err = dir_to_change(dir, &dfh);

	if (!err)
		err = fid_handle(v->fid, &fh);
	if (!err)
		err = rename_fh(&dfh, name, &dfh, name_of(v->fid, &ours), &fh, &wfrom, &wto);
	if (!err)
		err = note(v->fid, dir->fid);
	if (!err)
		err = attrs_fill_wcc(dir, &wto);
	if (!err)
		v->nlink = 0;
	return err;
}

int silly_undo(struct td_vnode *dir, struct td_name name, struct td_vnode *v)
{
	struct nfs_wcc wfrom, wto;
	struct silly_name ours;
	struct nfs_fh dfh, fh;
	int err = dir_to_change(dir, &dfh);

	if (!err)
		err = fid_handle(v->fid, &fh);
	if (!err)
		err = rename_fh(&dfh, name_of(v->fid, &ours), &dfh, name, &fh, &wfrom, &wto);
	if (!err)
		err = note(v->fid, 0);
	if (!err)
		v->nlink = 1;
	return err;
}

/* The last reference is gone. Nobody waits for this: an error goes to the log. */
int snfs_inactive(struct td_vnode *v)
{
	struct silly_name ours;
	struct fid_fields f;
	struct rpc_cred cred;
	struct nfs_wcc wcc;
	struct nfs_fh dfh;
	int err = fid_fields(v->fid, &f);

	node_forget(v->fid);
	attrs_forget(v->fid);
	if (!err && f.silly_dir) {
		cred_of_file(v->fid, CRED_WRITE, &cred);
		pages_forget(f.silly_dir);
		err = fid_handle(f.silly_dir, &dfh);
		if (!err)
			err = remove_fh(&dfh, name_of(v->fid, &ours), NFS_REMOVE, &cred, &wcc);
		if (err == -TD_EDEADLK)
			return err;
		if (err && err != -TD_ENOENT && err != -TD_ESTALE)
			say(4, "a file that was removed while open stays on the server under a name that begins with .nfs", (char *)0);
	}
	return fid_remove(v->fid) == -TD_EDEADLK ? -TD_EDEADLK : 0;
}

int snfs_reclaim(struct td_vnode *v)
{
	node_forget(v->fid);
	return 0;
}
