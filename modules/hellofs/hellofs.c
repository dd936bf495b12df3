/* SPDX-License-Identifier: BSD-2-Clause */
/* hellofs: a directory with one file. Operations that it leaves out have a default: writing, for one, is refused. */
#include <tadan/fs.h>

static const char text[] = "hello\n";
enum { ROOT = 1, HELLO = 2 }; /* fids */

static int hello_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	*info = (struct td_fsinfo){
		.root = ROOT,
		.maxsize = sizeof(text) - 1,
		.files = 2,
		.bsize = dev->bsize,
		.namemax = TD_NAME_MAX,
		.maxlink = 2,
	};
	return 0;
}

static int hello_getvnode(uint64_t fid, struct td_vnode *v)
{
	switch (fid) {
	case ROOT:
		return td_vnode_init(v, TD_DIR, 0755, 0);
	case HELLO:
		return td_vnode_init(v, TD_REG, 0444, sizeof(text) - 1);
	default:
		return -TD_ESTALE;
	}
}

static int hello_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	if (!td_name_is(name, "hello"))
		return -TD_ENOENT;
	*fid = HELLO;
	return 0;
}

static int hello_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries)
{
	if (!cookie)
		td_readdir_emit(entries, HELLO, 1, TD_REG, (struct td_name){ (const uint8_t *)"hello", 5 });
	return 0;
}

/* The range that is asked for lies within the file: the kernel has seen to that. */
static int hello_read(struct td_vnode *v, uint64_t off, uint64_t len, uint32_t uio)
{
	return td_uio_move(uio, (char *)text + off, (uint32_t)len);
}

/* clang-format off */
TD_FS_MODULE(hellofs, 0,
	.mount = hello_mount,
	.getvnode = hello_getvnode,
	.lookup = hello_lookup,
	.readdir = hello_readdir,
	.read = hello_read)
