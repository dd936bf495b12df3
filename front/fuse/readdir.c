/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories as Linux reads them: READDIR, and READDIRPLUS, which brings the entries' attributes along and
 * so spares a lookup for each.
 *
 * Both keep to the cookies of the module, which mean the same however often the directory is read: so
 * nothing has to be opened, and Linux may keep what it has read.
 */
#include "front.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <tadan/fs.h>

/* The core's entries and Linux's have their fields at other places and the same size. */
_Static_assert(sizeof(struct td_dirent) == FUSE_NAME_OFFSET, "entries of a directory");

enum { PLUS = sizeof(struct fuse_entry_out), LONGEST = sizeof(struct td_dirent) + TD_NAME_MAX + 1 };

static uint32_t dtype_of(uint32_t type)
{
	static const uint8_t types[] = {
		[TD_REG] = S_IFREG >> 12,  [TD_DIR] = S_IFDIR >> 12, [TD_LNK] = S_IFLNK >> 12,
		[TD_CHR] = S_IFCHR >> 12,  [TD_BLK] = S_IFBLK >> 12, [TD_FIFO] = S_IFIFO >> 12,
		[TD_SOCK] = S_IFSOCK >> 12
	};

	return type <= TD_SOCK ? types[type] : 0;
}

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static void turn_into_linux(char *entries, size_t n)
{
	struct td_dirent ours;
	struct fuse_dirent theirs;

	for (size_t at = 0; at < n; at += padded(sizeof(ours) + ours.len)) {
		memcpy(&ours, entries + at, sizeof(ours));
		theirs = (struct fuse_dirent){ .ino = ours.fid,
					       .off = ours.cookie,
					       .namelen = ours.len,
					       .type = dtype_of(ours.type) };
		memcpy(entries + at, &theirs, FUSE_NAME_OFFSET);
	}
}

static void read_dir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	char *room = td__fuse_room();
	int n = -ENOMEM;

	(void)fi;
	if (size > TD_WINDOW)
		size = TD_WINDOW;
	if (room)
		n = td_readdir(f->fs, &cred, td__fuse_handle(f, node), off, room, size, NULL, NULL);
	if (n < 0) {
		fuse_reply_err(req, -n);
		return;
	}
	turn_into_linux(room, n);
	fuse_reply_buf(req, room, n);
}

/* One entry with its attributes; `.` and `..` have none. Returns the bytes. */
static size_t add_plus(fuse_req_t req, char *to, size_t size, const struct td_dirent *d,
		       const char *text, const td_attr *a)
{
	struct fuse_entry_param e = { 0 };
	char name[TD_NAME_MAX + 1];

	if (a->handle)
		td__fuse_entry(td__fuse_of(req), a, &e);
	e.attr.st_ino = d->fid;
	if (!a->handle)
		e.attr.st_mode = dtype_of(d->type) << 12;
	memcpy(name, text, d->len);
	name[d->len] = 0;
	return fuse_add_direntry_plus(req, to, size, name, &e, d->cookie);
}

static void forget_all(struct td_fuse *f, const td_attr *attrs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (attrs[i].handle)
			td_forget(f->fs, attrs[i].handle, 1);
}

static int answer_plus(fuse_req_t req, char *out, size_t size, const char *entries, size_t n,
		       const td_attr *attrs, uint32_t nattrs)
{
	struct td_dirent d;
	size_t len = 0;
	uint32_t i = 0;

	for (size_t at = 0; at < n && i < nattrs; at += padded(sizeof(d) + d.len)) {
		memcpy(&d, entries + at, sizeof(d));
		len += add_plus(req, out + len, size - len, &d, entries + at + sizeof(d),
				&attrs[i++]);
	}
	return fuse_reply_buf(req, out, len);
}

/*
 * The room is cut in three: Linux's answer, the core's entries, their attributes. Entries get a quarter of the answer's
 * size and attributes the rest, so that what the core gives always fits.
 */
static void read_dir_plus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	char *out = td__fuse_room();
	char *entries = out + TD_WINDOW;
	td_attr *attrs = (td_attr *)(entries + TD_WINDOW);
	uint32_t part, nattrs;
	int n = -ENOMEM;

	(void)fi;
	if (size > TD_WINDOW)
		size = TD_WINDOW;
	part = size / 4 < LONGEST ? LONGEST : size / 4;
	nattrs = size > part ? (size - part) / PLUS : 0;
	if (!nattrs)
		n = -EINVAL;
	else if (out)
		n = td_readdir(f->fs, &cred, td__fuse_handle(f, node), off, entries, part, attrs,
			       &nattrs);
	if (n < 0)
		fuse_reply_err(req, -n);
	else if (answer_plus(req, out, size, entries, n, attrs, nattrs) < 0)
		forget_all(f, attrs, nattrs);
}

static void open_dir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	/* Linux opens and closes directories by itself from now on. */
	fuse_reply_err(req, ENOSYS);
}

static void release_dir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	fuse_reply_err(req, 0);
}

void td__fuse_readdir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = open_dir;
	ops->releasedir = release_dir;
	ops->readdir = read_dir;
	ops->readdirplus = read_dir_plus;
}
