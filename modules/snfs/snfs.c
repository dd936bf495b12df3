/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations of SNFS. What is left out NFS version 3 does not have: extended attributes, reserving and punching, finding holes. */
#include "snfs.h"

/* clang-format off */
TD_FS_NET_MODULE(snfs, LOCKS,
	.mount = snfs_mount,
	.unmount = snfs_unmount,
	.statfs = snfs_statfs,
	.getvnode = snfs_getvnode,
	.refresh = snfs_refresh,
	.setattr = snfs_setattr,
	.inactive = snfs_inactive,
	.reclaim = snfs_reclaim,
	.lookup = snfs_lookup,
	.create = snfs_create,
	.mknod = snfs_mknod,
	.mkdir = snfs_mkdir,
	.symlink = snfs_symlink,
	.readlink = snfs_readlink,
	.link = snfs_link,
	.unlink = snfs_unlink,
	.rmdir = snfs_rmdir,
	.rename = snfs_rename,
	.readdir = snfs_readdir,
	.open = snfs_open,
	.flush = snfs_fsync,
	.fsync = snfs_fsync,
	.read = snfs_read,
	.write = snfs_write,
	.truncate = snfs_truncate)
