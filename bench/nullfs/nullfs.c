/* SPDX-License-Identifier: BSD-2-Clause */
/* A file system that is one empty directory: what a call costs when the module does nothing. */
#include <tadan/fs.h>

static int null_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)format;
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1, .blocks = dev->blocks, .files = 1, .bsize = dev->bsize,
				    .namemax = TD_NAME_MAX, .maxlink = 2 };
	return 0;
}

static int null_getvnode(uint64_t fid, struct td_vnode *v)
{
	return fid == 1 ? td_vnode_init(v, TD_DIR, 0755, 0) : -TD_ESTALE;
}

static int null_open(struct td_vnode *v, uint32_t flags)
{
	(void)v;
	(void)flags;
	return 0;
}

/* As many null services as the flags say. */
static int null_seek(struct td_vnode *v, uint64_t off, uint32_t whence, uint64_t *found)
{
	(void)v;
	(void)whence;
	for (uint64_t i = 0; i < off; i++)
		td__svc_sync();
	*found = off;
	return 0;
}

TD_FS_MODULE(nullfs, 0, .mount = null_mount, .getvnode = null_getvnode, .open = null_open, .seek = null_seek);
