/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names: lookup, making, linking, renaming and removing.
 *
 * An answer with an entry hands one reference to Linux, which gives it back with FORGET. An answer that
 * does not arrive (the request was aborted) hands over nothing: then the reference is given back here.
 *
 * Linux makes a regular file by CREATE, or by MKNOD where CREATE gives ENOSYS. When it does not tell us of opens
 * anyway, MKNOD is the cheaper of the two: nothing has to be closed afterwards. TMPFILE is a CREATE without a name (the one that
 * comes with it means nothing), and always opens.
 */
#include "front.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static void reply_entry(fuse_req_t req, int error, const td_attr *a)
{
	struct td_fuse *f = td__fuse_of(req);
	struct fuse_entry_param e;

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	td__fuse_entry(f, a, &e);
	if (fuse_reply_entry(req, &e) < 0)
		td_forget(f->fs, a->handle, 1);
}

/* An entry without a node: Linux may remember that there is no such name. */
static void reply_absent(fuse_req_t req)
{
	struct fuse_entry_param e = { .entry_timeout = td__fuse_of(req)->entry_timeout };

	fuse_reply_entry(req, &e);
}

static void lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	td_attr a;
	int error = td_lookup(f->fs, &cred, td__fuse_handle(f, dir), td__fuse_name(name), &a);

	if (error == -ENOENT)
		reply_absent(req);
	else
		reply_entry(req, error, &a);
}

static void forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
	struct td_fuse *f = td__fuse_of(req);

	if (node != FUSE_ROOT_ID)
		td_forget(f->fs, node, n);
	fuse_reply_none(req);
}

static void forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct td_fuse *f = td__fuse_of(req);

	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			td_forget(f->fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static uint32_t type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return TD_DIR;
	case S_IFLNK: return TD_LNK;
	case S_IFCHR: return TD_CHR;
	case S_IFBLK: return TD_BLK;
	case S_IFIFO: return TD_FIFO;
	case S_IFSOCK: return TD_SOCK;
	default: return TD_REG;
	}
}

/* Linux has applied the umask. */
static int make(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev,
		const char *target, td_attr *a)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	struct td_in in = { target, target ? (uint32_t)strlen(target) : 0 };

	return td_make(f->fs, &cred, td__fuse_handle(f, dir), td__fuse_name(name), type_of(mode),
		       mode & 07777, (uint32_t)rdev, in, a);
}

static void make_node(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	td_attr a;

	reply_entry(req, make(req, dir, name, mode, rdev, NULL, &a), &a);
}

static void make_dir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	td_attr a;

	reply_entry(req, make(req, dir, name, (mode & 07777) | S_IFDIR, 0, NULL, &a), &a);
}

static void make_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	td_attr a;

	reply_entry(req, make(req, dir, name, S_IFLNK | 0777, 0, target, &a), &a);
}

static int is_tmpfile(void)
{
	return td__fuse_me->opcode == TD__FUSE_TMPFILE;
}

static int make_nameless(fuse_req_t req, fuse_ino_t dir, mode_t mode, td_attr *a)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	int error = td_tmpfile(f->fs, &cred, td__fuse_handle(f, dir), mode & 07777, a);

	if (error)
		return error;
	error = td_open(f->fs, &cred, a->handle, TD_OPEN_READ | TD_OPEN_WRITE | TD_OPEN_NEW);
	if (error < 0)
		td_forget(f->fs, a->handle, 1);
	return error < 0 ? error : 0;
}

/* Where somebody was faster and that is no error, Linux looks again after ESTALE, and finds it. */
static int make_open(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, int flags, td_attr *a)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	int error = td_create(f->fs, &cred, td__fuse_handle(f, dir), td__fuse_name(name), mode & 07777,
			      TD_OPEN_READ | TD_OPEN_WRITE | (flags & O_EXCL ? TD_OPEN_EXCL : 0), a);

	return error == -EEXIST && !(flags & O_EXCL) ? -ESTALE : error;
}

static void create_file(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
			struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct fuse_entry_param e;
	td_attr a;
	int error = is_tmpfile()	  ? make_nameless(req, dir, mode, &a) :
		    f->opens || f->tells ? make_open(req, dir, name, mode, fi->flags, &a) :
					   -ENOSYS;

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	td__fuse_entry(f, &a, &e);
	fi->keep_cache = 1;
	error = td__fuse_opened(f, a.handle, fi);
	if (error)
		fuse_reply_err(req, -error);
	if (error || fuse_reply_create(req, &e, fi) < 0) {
		td__fuse_released(f, fi);
		td_release(f->fs, a.handle);
		td_forget(f->fs, a.handle, 1);
	}
}

static void link_file(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	td_attr a;
	int error = td_link(f->fs, &cred, td__fuse_handle(f, node), td__fuse_handle(f, dir),
			    td__fuse_name(name), &a);

	reply_entry(req, error, &a);
}

static void unlink_file(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	fuse_reply_err(req, -td_unlink(f->fs, &cred, td__fuse_handle(f, dir), td__fuse_name(name)));
}

static void remove_dir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	fuse_reply_err(req, -td_rmdir(f->fs, &cred, td__fuse_handle(f, dir), td__fuse_name(name)));
}

static void rename_file(fuse_req_t req, fuse_ino_t from, const char *old, fuse_ino_t to,
			const char *new, unsigned int flags)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	fuse_reply_err(req, -td_rename(f->fs, &cred, td__fuse_handle(f, from), td__fuse_name(old),
				       td__fuse_handle(f, to), td__fuse_name(new), flags));
}

static void read_link(fuse_req_t req, fuse_ino_t node)
{
	struct td_fuse *f = td__fuse_of(req);
	char target[TD_PATH_MAX + 1];
	int n = td_readlink(f->fs, td__fuse_handle(f, node), target, sizeof(target));

	if (n < 0)
		fuse_reply_err(req, -n);
	else
		fuse_reply_buf(req, target, n);
}

void td__fuse_name_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = lookup;
	ops->forget = forget;
	ops->forget_multi = forget_multi;
	ops->mknod = make_node;
	ops->mkdir = make_dir;
	ops->symlink = make_symlink;
	ops->create = create_file;
	ops->link = link_file;
	ops->unlink = unlink_file;
	ops->rmdir = remove_dir;
	ops->rename = rename_file;
	ops->readlink = read_link;
}
