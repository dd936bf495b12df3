/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes, extended attributes and statfs.
 *
 * With the write-back cache Linux is the one who knows a regular file's size and times, and sends times
 * when it writes the file back: that is where TD_SET_CTIME comes from.
 */
#include "front.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static mode_t format_of(uint32_t type)
{
	static const mode_t formats[] = {
		[TD_REG] = S_IFREG, [TD_DIR] = S_IFDIR,	 [TD_LNK] = S_IFLNK,   [TD_CHR] = S_IFCHR,
		[TD_BLK] = S_IFBLK, [TD_FIFO] = S_IFIFO, [TD_SOCK] = S_IFSOCK,
	};

	return type <= TD_SOCK ? formats[type] : 0;
}

static struct timespec timespec_of(struct td_time t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

/* What programs take as the size of their buffers: towards a server one turn is to move much, as with other clients of NFS. */
static int block_size(const struct td_fuse *f, const td_attr *a)
{
	return f->remote && a->type == TD_REG ? TD__FUSE_MAX_IO : 4096;
}

static void fill_stat(const struct td_fuse *f, const td_attr *a, struct stat *st)
{
	*st = (struct stat){
		.st_ino = a->fid,
		.st_mode = format_of(a->type) | a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = a->size,
		.st_blksize = block_size(f, a),
		.st_blocks = a->blocks,
		.st_atim = timespec_of(a->atime),
		.st_mtim = timespec_of(a->mtime),
		.st_ctim = timespec_of(a->ctime),
	};
}

/* For how long Linux may believe it, seconds. */
static double believed(const struct td_fuse *f, const td_attr *a)
{
	double valid = a->flags / 1000.0;

	return f->remote && valid < f->attr_timeout ? valid : f->attr_timeout;
}

void td__fuse_entry(const struct td_fuse *f, const td_attr *a, struct fuse_entry_param *e)
{
	e->ino = a->handle;
	e->generation = a->generation;
	e->attr_timeout = believed(f, a);
	e->entry_timeout = f->entry_timeout;
	fill_stat(f, a, &e->attr);
}

static void reply_attr(fuse_req_t req, int error, const td_attr *a)
{
	struct stat st;

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	fill_stat(td__fuse_of(req), a, &st);
	fuse_reply_attr(req, &st, believed(td__fuse_of(req), a));
}

/* As Linux 6.6 has them; Debian's headers are older. */
struct sx_time {
	int64_t sec;
	uint32_t nsec, reserved;
};
struct statx_out {
	uint64_t valid;
	uint32_t valid_nsec, flags;
	uint64_t spare[2];
	struct {
		uint32_t mask, blksize;
		uint64_t attributes;
		uint32_t nlink, uid, gid;
		uint16_t mode, spare0;
		uint64_t ino, size, blocks, attributes_mask;
		struct sx_time atime, btime, ctime, mtime;
		uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
		uint64_t spare2[14];
	} stat;
};
_Static_assert(sizeof(struct statx_out) == 32 + 256, "fuse_statx_out");

static struct sx_time sx_time_of(struct td_time t)
{
	return (struct sx_time){ .sec = t.sec, .nsec = t.nsec };
}

/* The time of birth, which GETATTR has no place for. SNFS's servers do not say it: 0. */
static void reply_statx(fuse_req_t req, const td_attr *a)
{
	const struct td_fuse *f = td__fuse_of(req);
	double valid = believed(f, a);
	struct statx_out out = {
		.valid = (uint64_t)valid,
		.valid_nsec = (uint32_t)((valid - (uint64_t)valid) * 1e9),
		.stat = {
			.mask = STATX_BASIC_STATS | (a->btime.sec || a->btime.nsec ? STATX_BTIME : 0),
			.blksize = block_size(f, a),
			.nlink = a->nlink,
			.uid = a->uid,
			.gid = a->gid,
			.mode = format_of(a->type) | a->mode,
			.ino = a->fid,
			.size = a->size,
			.blocks = a->blocks,
			.atime = sx_time_of(a->atime),
			.btime = sx_time_of(a->btime),
			.ctime = sx_time_of(a->ctime),
			.mtime = sx_time_of(a->mtime),
			.rdev_major = major(a->rdev),
			.rdev_minor = minor(a->rdev),
		},
	};

	fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static void getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct td_fuse *f = td__fuse_of(req);
	td_attr a;
	int error = td_getattr(f->fs, td__fuse_handle(f, node), &a);

	(void)fi;
	if (!error && td__fuse_me->opcode == TD__FUSE_STATX)
		reply_statx(req, &a);
	else
		reply_attr(req, error, &a);
}

/* From Linux's own word: libfuse passes on the flags that it knows. */
static uint32_t wanted(uint32_t valid)
{
	static const struct {
		uint32_t fuse, core;
	} map[] = {
		{ FATTR_MODE, TD_SET_MODE },
		{ FATTR_UID, TD_SET_UID },
		{ FATTR_GID, TD_SET_GID },
		{ FATTR_SIZE, TD_SET_SIZE },
		{ FATTR_ATIME, TD_SET_ATIME },
		{ FATTR_MTIME, TD_SET_MTIME },
		{ FATTR_ATIME_NOW, TD_SET_ATIME_NOW },
		{ FATTR_MTIME_NOW, TD_SET_MTIME_NOW },
		{ FATTR_CTIME, TD_SET_CTIME },
		{ FATTR_KILL_SUIDGID, TD_SET_KILL_SUID },
	};
	uint32_t want = 0;

	for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (valid & map[i].fuse)
			want |= map[i].core;
	/* Linux sets both bits for "now"; the core wants one. */
	if (want & TD_SET_ATIME_NOW)
		want &= ~TD_SET_ATIME;
	if (want & TD_SET_MTIME_NOW)
		want &= ~TD_SET_MTIME;
	return want;
}

uint32_t td__fuse_groups(fuse_req_t req)
{
	int n = fuse_req_getgroups(req, TD_GROUPS_MAX, td__fuse_me->groups);

	return n < 0 ? 0 : n < TD_GROUPS_MAX ? (uint32_t)n : TD_GROUPS_MAX;
}

int td__fuse_member(uint32_t gid)
{
	for (uint32_t i = 0, n = td__fuse_groups(td__fuse_me->asked); i < n; i++)
		if (td__fuse_me->groups[i] == gid)
			return 1;
	return 0;
}

static void setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set,
		    struct fuse_file_info *fi)
{
	const struct fuse_setattr_in *in = td__fuse_raw();
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	td_attr a, set = {
		.mode = in->mode & 07777,
		.uid = in->uid,
		.gid = in->gid,
		.size = in->size,
		.atime = { .sec = (int64_t)in->atime, .nsec = in->atimensec },
		.mtime = { .sec = (int64_t)in->mtime, .nsec = in->mtimensec },
		.ctime = { .sec = (int64_t)in->ctime, .nsec = in->ctimensec },
	};
	int error = td_setattr(f->fs, &cred, td__fuse_handle(f, node), wanted(in->valid), &set, &a);

	(void)st;
	(void)to_set;
	(void)fi;
	reply_attr(req, error, &a);
}

/* Asked only where Linux does not check by itself: access(2), chdir(2), by root. */
static void check_access(fuse_req_t req, fuse_ino_t node, int mask)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	cred.checked = 0;
	fuse_reply_err(req, -td_access(f->fs, &cred, td__fuse_handle(f, node), mask & 7));
}

static void statfs(fuse_req_t req, fuse_ino_t node)
{
	struct td_fsinfo i;
	int error = td_statfs(td__fuse_of(req)->fs, &i);
	struct statvfs st;

	(void)node;
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	st = (struct statvfs){
		.f_bsize = i.bsize,
		.f_frsize = i.bsize,
		.f_blocks = i.blocks,
		.f_bfree = i.bfree,
		.f_bavail = i.bfree,
		.f_files = i.files,
		.f_ffree = i.ffree,
		.f_favail = i.ffree,
		.f_namemax = i.namemax,
	};
	fuse_reply_statfs(req, &st);
}

/*
 * ENOSYS means to Linux: never ask again, answer EOPNOTSUPP. That is right only where there are no extended
 * attributes at all. Where there are, Linux asks for security.capability before the first write to a file
 * and before each change of its owner.
 */
static int no_xattrs(fuse_req_t req, uint32_t op)
{
	const struct td_fuse *f = td__fuse_of(req);

	if (!f->no_xattrs && td_fs_binds(f->fs, op))
		return 0;
	fuse_reply_err(req, ENOSYS);
	return 1;
}

/* n: what the core said; `size` 0 asks for the length. */
static void reply_xattr(fuse_req_t req, int n, const void *value, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, -n);
	else if (size)
		fuse_reply_buf(req, value, n);
	else
		fuse_reply_xattr(req, n);
}

/* A value has at most 64 KiB. */
static size_t room_for(size_t size)
{
	return size < TD_WINDOW ? size : TD_WINDOW;
}

static void getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	void *value = size ? td__fuse_room() : NULL;
	int n = -ENOMEM;

	if (no_xattrs(req, TD_OP_getxattr))
		return;
	if (value || !size)
		n = td_getxattr(f->fs, &cred, td__fuse_handle(f, node), td__fuse_name(name), value,
				room_for(size));
	reply_xattr(req, n, value, size);
}

static void listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	void *names = size ? td__fuse_room() : NULL;
	int n = -ENOMEM;

	if (no_xattrs(req, TD_OP_listxattr))
		return;
	if (names || !size)
		n = td_listxattr(f->fs, &cred, td__fuse_handle(f, node), names, room_for(size));
	reply_xattr(req, n, names, size);
}

static void setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
		     size_t size, int flags)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);
	struct td_in in = { value, (uint32_t)size };

	if (no_xattrs(req, TD_OP_setxattr))
		return;
	fuse_reply_err(req, -td_setxattr(f->fs, &cred, td__fuse_handle(f, node),
					 td__fuse_name(name), in, flags));
}

static void removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	struct td_fuse *f = td__fuse_of(req);
	struct td_cred cred = td__fuse_cred(req);

	if (no_xattrs(req, TD_OP_removexattr))
		return;
	fuse_reply_err(
		req, -td_removexattr(f->fs, &cred, td__fuse_handle(f, node), td__fuse_name(name)));
}

void td__fuse_attr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = getattr;
	ops->setattr = setattr;
	ops->access = check_access;
	ops->statfs = statfs;
	ops->getxattr = getxattr;
	ops->listxattr = listxattr;
	ops->setxattr = setxattr;
	ops->removexattr = removexattr;
}
