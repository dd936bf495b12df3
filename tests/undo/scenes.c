/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done while faults strike: one scene for each way that an operation of the fs interface has. A scene
 * is one call of the kernel; which operations of the module it leads to is found out by running it.
 */
#include "scenes.h"

static uint8_t data[1 << 16];
static const struct td_in none = { 0, 0 };

#define CALL(op, ...) td_##op(w->fs, &world_root, __VA_ARGS__)

static void forget(struct world *w, enum held v)
{
	uint32_t n = 0;

	td_forget(w->fs, w->h[v], 1);
	w->h[v] = 0;
	for (uint32_t i = 0; i < w->norphans; i++)
		if (w->orphans[i] != w->fid[v])
			w->orphans[n++] = w->orphans[i];
	w->norphans = n;
}

/* Have a vnode in the cache, and hold it. */
static int hold(struct world *w, enum held dir, const char *name, enum held v)
{
	td_attr a;
	int err = CALL(lookup, w->h[dir], text(name), &a);

	w->h[v] = err ? 0 : a.handle;
	w->fid[v] = err ? 0 : a.fid;
	return err;
}

static int hold_a(struct world *w)
{
	return hold(w, ROOT, "a", A);
}

static int hold_c(struct world *w)
{
	return hold(w, ROOT, "c", C);
}

static int hold_in_big(struct world *w)
{
	return hold(w, BIG, "a-name-that-takes-room-33", EXTRA);
}

/* It has lost its last name, if there was no error. */
static int orphan(struct world *w, enum held v, int err)
{
	if (!err)
		w->orphans[w->norphans++] = w->fid[v];
	return err;
}

/* ---- Names */

static int lookup(struct world *w)
{
	td_attr a;

	return CALL(lookup, w->h[ROOT], text("zz"), &a) == -TD_ENOENT ? 0 : -TD_EIO;
}

static int lookup_cold(struct world *w)
{
	td_attr a;

	return CALL(lookup, w->h[ROOT], text("c"), &a);
}

static int make(struct world *w, enum held dir, const char *name, uint32_t type, struct td_in target)
{
	td_attr a;

	return CALL(make, w->h[dir], text(name), type, 0640, 0x103, target, &a);
}

static int create(struct world *w)
{
	return make(w, ROOT, "zz", TD_REG, none);
}

/* The kernel asks for blocks with a new file where the last ones were written, and does not where many were not. */
static int write_new(struct world *w)
{
	td_attr a;
	int err = CALL(make, w->h[ROOT], text("written"), TD_REG, 0640, 0, none, &a);

	if (!err && CALL(write, a.handle, 0, data, 8192) != 8192)
		err = -TD_EIO;
	td_forget(w->fs, a.handle, 1);
	return err;
}

static int make_many(struct world *w)
{
	char name[] = "many0";
	int err = 0;

	for (; name[4] < '9' && !err; name[4]++)
		err = make(w, SUB, name, TD_REG, none);
	return err;
}

static int create_in_big(struct world *w)
{
	return make(w, BIG, "zz-a-long-name-that-is-not-yet-in-the-directory-and-makes-a-node-split-perhaps-or-not", TD_REG, none);
}

static int create_first(struct world *w)
{
	return make(w, SUB, "zz", TD_REG, none);
}

static int mknod_fifo(struct world *w)
{
	return make(w, ROOT, "zz", TD_FIFO, none);
}

static int mknod_device(struct world *w)
{
	return make(w, ROOT, "zz", TD_CHR, none);
}

static int tmpfile(struct world *w)
{
	td_attr a;
	int err = CALL(tmpfile, w->h[SUB], 0640, &a);

	w->h[EXTRA] = err ? 0 : a.handle;
	w->fid[EXTRA] = err ? 0 : a.fid;
	return orphan(w, EXTRA, err);
}

static int link_nameless(struct world *w)
{
	td_attr a;
	int err = CALL(link, w->h[EXTRA], w->h[ROOT], text("zz"), &a);

	if (!err)
		forget(w, EXTRA);
	w->h[EXTRA] = err ? w->h[EXTRA] : a.handle;
	return err;
}

static int mkdir(struct world *w)
{
	return make(w, ROOT, "zz", TD_DIR, none);
}

static int symlink_short(struct world *w)
{
	return make(w, ROOT, "zz", TD_LNK, (struct td_in){ "somewhere", 9 });
}

static int symlink_long(struct world *w)
{
	memset(data, 'x', 4000);
	return make(w, ROOT, "zz", TD_LNK, (struct td_in){ data, 4000 });
}

static int readlink_short(struct world *w)
{
	int n = td_readlink(w->fs, w->h[L], data, sizeof(data));

	return n < 0 ? n : n == 6 ? 0 : -TD_EINVAL;
}

static int readlink_long(struct world *w)
{
	int n = td_readlink(w->fs, w->h[LL], data, sizeof(data));

	return n < 0 ? n : n == 3000 ? 0 : -TD_EINVAL;
}

static int link(struct world *w)
{
	td_attr a;

	return CALL(link, w->h[A], w->h[D], text("moved"), &a);
}

static int unlink(struct world *w)
{
	return orphan(w, A, CALL(unlink, w->h[ROOT], text("a")));
}

static int unlink_one_of_two(struct world *w)
{
	return CALL(unlink, w->h[D], text("b2"));
}

static int unlink_symlink(struct world *w)
{
	return orphan(w, LL, CALL(unlink, w->h[ROOT], text("ll")));
}

static int unlink_from_big(struct world *w)
{
	return orphan(w, EXTRA, CALL(unlink, w->h[BIG], text("a-name-that-takes-room-33")));
}

static int rmdir(struct world *w)
{
	return orphan(w, E, CALL(rmdir, w->h[ROOT], text("e")));
}

static int rmdir_full(struct world *w)
{
	return CALL(rmdir, w->h[ROOT], text("d")) == -TD_ENOTEMPTY ? 0 : -TD_EIO;
}

static int rename_here(struct world *w)
{
	return CALL(rename, w->h[ROOT], text("a"), w->h[ROOT], text("moved"), 0);
}

static int rename_there(struct world *w)
{
	return CALL(rename, w->h[ROOT], text("a"), w->h[D], text("moved"), 0);
}

static int rename_over(struct world *w)
{
	return orphan(w, X, CALL(rename, w->h[ROOT], text("a"), w->h[D], text("x"), 0));
}

static int rename_dir(struct world *w)
{
	return CALL(rename, w->h[D], text("sub"), w->h[ROOT], text("moved"), 0);
}

static int rename_dir_over(struct world *w)
{
	return orphan(w, E, CALL(rename, w->h[D], text("sub"), w->h[ROOT], text("e"), 0));
}

static int rename_exchange(struct world *w)
{
	return CALL(rename, w->h[D], text("x"), w->h[ROOT], text("e"), TD_RENAME_EXCHANGE);
}

static int readdir(struct world *w)
{
	int n = CALL(readdir, w->h[BIG], 0, data, sizeof(data), 0, 0);

	return n < 0 ? n : n > 1000 ? 0 : -TD_EINVAL;
}

/* ---- Content */

static int write_at(struct world *w, enum held v, uint64_t off, uint64_t len)
{
	int64_t n;

	memset(data, 'w', len);
	n = CALL(write, w->h[v], off, data, len);
	return n < 0 ? (int)n : n == (int64_t)len ? 0 : -TD_EINVAL;
}

static int write_first(struct world *w)
{
	return write_at(w, NEW, 0, 9000);
}

static int write_append(struct world *w)
{
	return write_at(w, A, 10000, 20000);
}

static int write_in_hole(struct world *w)
{
	return write_at(w, C, 204800, 3000);
}

static int write_around(struct world *w)
{
	return write_at(w, C, 196608, 32768);
}

static int read_cold(struct world *w)
{
	int64_t n = td_read(w->fs, w->h[C], 0, data, sizeof(data));

	return n < 0 ? (int)n : n == sizeof(data) ? 0 : -TD_EINVAL;
}

static int truncate(struct world *w, enum held v, uint64_t size)
{
	td_attr set = { .size = size }, out;

	return CALL(setattr, w->h[v], TD_SET_SIZE, &set, &out);
}

static int truncate_to_0(struct world *w)
{
	return truncate(w, A, 0);
}

static int truncate_within(struct world *w)
{
	return truncate(w, A, 5000);
}

static int truncate_sparse(struct world *w)
{
	return truncate(w, C, 210000);
}

static int punch(struct world *w)
{
	return CALL(fallocate, w->h[A], 1000, 8500, TD_FALLOC_PUNCH_HOLE | TD_FALLOC_KEEP_SIZE);
}

static int punch_middle(struct world *w)
{
	return CALL(fallocate, w->h[C], 200000, 40000, TD_FALLOC_PUNCH_HOLE | TD_FALLOC_KEEP_SIZE);
}

static int zero_range(struct world *w)
{
	return CALL(fallocate, w->h[A], 1000, 20000, TD_FALLOC_ZERO_RANGE);
}

static int allocate(struct world *w)
{
	return CALL(fallocate, w->h[NEW], 0, 100000, 0);
}

static int seek(struct world *w)
{
	int64_t n = td_seek(w->fs, w->h[C], 100000, TD_SEEK_DATA);

	return n < 0 ? (int)n : n == 196608 ? 0 : -TD_EINVAL;
}

/* Of an image: in memory there is nothing to be made lasting. */
static int hold_a_changed(struct world *w)
{
	int err = hold_a(w);

	if (!err && td_read(w->fs, w->h[A], 0, data, sizeof(data)) < 0) /* so that its blocks are known */
		err = -TD_EIO;
	return err ? err : write_at(w, A, 0, 1);
}

static int fsync(struct world *w)
{
	return td_fsync(w->fs, w->h[A]);
}

/* ---- Attributes */

static int statfs(struct world *w)
{
	struct td_fsinfo info;

	return td_statfs(w->fs, &info);
}

static int getxattr(struct world *w, const char *name, int len)
{
	int n = CALL(getxattr, w->h[A], text(name), data, sizeof(data));

	return n < 0 ? n : n == len ? 0 : -TD_EINVAL;
}

static int getxattr_small(struct world *w)
{
	return getxattr(w, "user.small", 20);
}

static int getxattr_big(struct world *w)
{
	return getxattr(w, "user.big", 5000);
}

static int setxattr(struct world *w, const char *name, uint32_t len)
{
	memset(data, 's', len);
	return CALL(setxattr, w->h[A], text(name), (struct td_in){ data, len }, 0);
}

static int setxattr_new(struct world *w)
{
	return setxattr(w, "user.new", 30);
}

static int setxattr_grow(struct world *w)
{
	return setxattr(w, "user.small", 9000);
}

static int setxattr_shrink(struct world *w)
{
	return setxattr(w, "user.big", 10);
}

static int listxattr(struct world *w)
{
	int n = CALL(listxattr, w->h[A], data, sizeof(data));

	return n < 0 ? n : n == 20 ? 0 : -TD_EINVAL;
}

static int removexattr_small(struct world *w)
{
	return CALL(removexattr, w->h[A], text("user.small"));
}

static int removexattr_big(struct world *w)
{
	return CALL(removexattr, w->h[A], text("user.big"));
}

/* ---- The end of vnodes */

static int inactive_file(struct world *w)
{
	forget(w, OPEN);
	td__graves_empty(w->fs);
	return 0;
}

static int remove_a(struct world *w)
{
	return orphan(w, A, CALL(unlink, w->h[ROOT], text("a")));
}

/* Where calls are dear, by one call; elsewhere there would be nothing new to see. */
static int inactive_two(struct world *w)
{
	if (w->fs->dear)
		forget(w, A);
	return inactive_file(w);
}

static int inactive_dir(struct world *w)
{
	forget(w, GONE);
	return 0;
}

/* clang-format off */
const struct scene scenes[] = {
	{ "lookup", lookup, 0, 0 },
	{ "lookup_cold", lookup_cold, SCENE_ON_DISK, 0 },
	{ "create", create, 0, make_many },
	{ "create_blocks", create, 0, write_new },
	{ "create_blocks_first", create_first, 0, write_new },
	{ "create_first", create_first, 0, 0 },
	{ "create_in_big", create_in_big, 0, 0 },
	{ "mknod_fifo", mknod_fifo, 0, 0 },
	{ "mknod_device", mknod_device, 0, 0 },
	{ "tmpfile", tmpfile, 0, 0 },
	{ "mkdir", mkdir, 0, 0 },
	{ "symlink_short", symlink_short, 0, 0 },
	{ "symlink_long", symlink_long, 0, 0 },
	{ "readlink_short", readlink_short, 0, 0 },
	{ "readlink_long", readlink_long, 0, 0 },
	{ "link", link, 0, 0 },
	{ "link_nameless", link_nameless, 0, tmpfile },
	{ "unlink", unlink, 0, 0 },
	{ "unlink_one_of_two", unlink_one_of_two, 0, 0 },
	{ "unlink_symlink", unlink_symlink, 0, 0 },
	{ "unlink_from_big", unlink_from_big, 0, hold_in_big },
	{ "rmdir", rmdir, 0, 0 },
	{ "rmdir_full", rmdir_full, 0, 0 },
	{ "rename_here", rename_here, 0, 0 },
	{ "rename_there", rename_there, 0, 0 },
	{ "rename_over", rename_over, 0, 0 },
	{ "rename_dir", rename_dir, 0, 0 },
	{ "rename_dir_over", rename_dir_over, 0, 0 },
	{ "rename_exchange", rename_exchange, 0, 0 },
	{ "readdir", readdir, 0, 0 },
	{ "write_first", write_first, 0, 0 },
	{ "write_append", write_append, 0, 0 },
	{ "write_in_hole", write_in_hole, 0, 0 },
	{ "write_around", write_around, 0, 0 },
	{ "read_cold", read_cold, SCENE_ON_DISK, hold_c },
	{ "truncate_to_0", truncate_to_0, 0, 0 },
	{ "truncate_within", truncate_within, 0, 0 },
	{ "truncate_sparse", truncate_sparse, 0, 0 },
	{ "truncate_cold", truncate_within, SCENE_ON_DISK, hold_a },
	{ "punch", punch, 0, 0 },
	{ "punch_middle", punch_middle, 0, 0 },
	{ "zero_range", zero_range, 0, 0 },
	{ "allocate", allocate, 0, 0 },
	{ "seek", seek, SCENE_ON_DISK, hold_c },
	{ "fsync", fsync, SCENE_ON_DISK, hold_a_changed },
	{ "statfs", statfs, 0, 0 },
	{ "getxattr_small", getxattr_small, 0, 0 },
	{ "getxattr_big", getxattr_big, 0, 0 },
	{ "setxattr_new", setxattr_new, 0, 0 },
	{ "setxattr_grow", setxattr_grow, 0, 0 },
	{ "setxattr_shrink", setxattr_shrink, 0, 0 },
	{ "listxattr", listxattr, 0, 0 },
	{ "removexattr_small", removexattr_small, 0, 0 },
	{ "removexattr_big", removexattr_big, 0, 0 },
	{ "inactive_file", inactive_file, SCENE_FORGETS, 0 },
	{ "inactive_two", inactive_two, SCENE_FORGETS, remove_a },
	{ "inactive_dir", inactive_dir, SCENE_FORGETS, 0 },
	{ 0, 0, 0, 0 },
};
