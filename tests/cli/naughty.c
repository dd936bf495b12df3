/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file system with nothing in it, whose lookup does what the name says: "null" writes to address 0, "loop"
 * never ends, "jump" calls what is no function, "stack" never stops calling itself, "thrice" closes a buf three times. "quiet" does nothing.
 */
#include <tadan/fs.h>

enum { ROOT = 1 };

static int naughty_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	info->root = ROOT;
	info->bsize = dev->bsize;
	info->blocks = dev->blocks;
	info->maxsize = 1;
	info->files = 1;
	info->namemax = TD_NAME_MAX;
	info->maxlink = 2;
	return 0;
}

static int naughty_getvnode(uint64_t fid, struct td_vnode *v)
{
	return fid == ROOT ? td_vnode_init(v, TD_DIR, 0755, 0) : -TD_ESTALE;
}

/* The address comes from where the compiler cannot see it. */
static volatile uintptr_t nowhere;

static void store(void)
{
	*(volatile int *)nowhere = 1;
}

static int deeper(volatile uint8_t *above)
{
	volatile uint8_t here[1024];

	here[0] = above ? above[0] : 0;
	return deeper(here) + here[0];
}

static void thrice(struct td_buf *b)
{
	for (volatile int i = 0; i < 3; i++) /* one place in the code, too */
		td__svc_brelse(b->handle);
}

static int naughty_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	struct td_buf *b;

	if (!td_bread(3, &b)) { /* something to be undone */
		td_buf_write(b, 128, "undo me", 7);
		td_brelse(b);
	}
	if (td_name_is(name, "thrice") && !td_bread(4, &b))
		thrice(b);
	if (td_name_is(name, "null"))
		store();
	if (td_name_is(name, "jump"))
		((void (*)(void))nowhere)();
	if (td_name_is(name, "stack"))
		deeper(0);
	while (td_name_is(name, "loop"))
		(void)nowhere; /* or compilers might take it for one that ends */
	return -TD_ENOENT;
}

TD_FS_MODULE(naughty, 0, .mount = naughty_mount, .getvnode = naughty_getvnode,
	     .lookup = naughty_lookup)
