/* SPDX-License-Identifier: BSD-2-Clause */
/* SMFS, a memory file system: the table of its operations. What it leaves out, the kernel does. */
#include "smfs.h"

/* clang-format off */
TD_FS_MODULE(smfs, SHARDS_MAX,
	.mount = smfs_mount,
	.statfs = smfs_statfs,
	.getvnode = smfs_getvnode,
	.update = smfs_update,
	.inactive = smfs_inactive,
	.inactive_many = smfs_inactive_many,
	.lookup = smfs_lookup,
	.create = smfs_create,
	.create_blocks = smfs_create_blocks,
	.mknod = smfs_create,
	.tmpfile = smfs_tmpfile,
	.mkdir = smfs_mkdir,
	.symlink = smfs_symlink,
	.readlink = smfs_readlink,
	.link = smfs_link,
	.unlink = smfs_unlink,
	.rmdir = smfs_rmdir,
	.rename = smfs_rename,
	.readdir = smfs_readdir,
	.bmap = smfs_bmap,
	.balloc = smfs_balloc,
	.bunmap = smfs_bunmap,
	.getxattr = smfs_getxattr,
	.setxattr = smfs_setxattr,
	.listxattr = smfs_listxattr,
	.removexattr = smfs_removexattr,
	.check = smfs_check)
