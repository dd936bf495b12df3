/* SPDX-License-Identifier: BSD-2-Clause */
/* The native form of the module whose sandboxed form is written by hand (handmade): a root directory without names. */
#include <tadan/fs.h>

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1, .files = 1, .bsize = dev->bsize, .namemax = TD_NAME_MAX, .maxlink = 2 };
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	return fid == 1 ? td_vnode_init(v, TD_DIR, 0755, 0) : -TD_ESTALE;
}

static int lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	return -TD_ENOENT;
}

TD_FS_MODULE(handmade, 4, .mount = mount, .getvnode = getvnode, .lookup = lookup)
