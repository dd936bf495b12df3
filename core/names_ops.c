/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on names: what front ends call to look up, make, link and remove, and in rename.c to rename. They hold the locks
 * that the interface promises to the module, check permissions unless the front end has, and keep the name cache and
 * the directories' times.
 */
#include "fs.h"
#include "names.h"
#include "operations.h"

int td__is_dots(struct td_name n)
{
	return (n.len == 1 && n.bytes[0] == '.') || (n.len == 2 && n.bytes[0] == '.' && n.bytes[1] == '.');
}

static int check_name(const struct td__fs *fs, struct td_name n)
{
	if (!n.len)
		return -TD_ENOENT;
	if (n.len > TD_NAME_MAX || n.len > fs->info.namemax)
		return -TD_ENAMETOOLONG;
	for (uint32_t i = 0; i < n.len; i++)
		if (!n.bytes[i] || n.bytes[i] == '/')
			return -TD_EINVAL;
	return 0;
}

int td__dir_enter(struct td__fs *fs, td_handle h, struct td_name name, struct td__vnode **dir)
{
	int err = check_name(fs, name);

	if (err)
		return err;
	*dir = td__vnode_get(fs, h);
	if (!*dir)
		return -TD_ESTALE;
	if ((*dir)->rec.type == TD_DIR)
		return 0;
	td__vnode_put(*dir, 1);
	return -TD_ENOTDIR;
}

static void show(struct td__vnode *v, td_attr *out)
{
	td__rwlock_shared(&v->lock);
	td__vnode_show(v, out);
	td__rwlock_unlock(&v->lock);
}

void td__touch_dir(struct td__vnode *dir)
{
	if (dir->fs->remote) /* the server keeps the times */
		return;
	td__port_now(&dir->rec.mtime.sec, &dir->rec.mtime.nsec);
	dir->rec.ctime = dir->rec.mtime;
	td__vnode_dirty(dir);
}

void td__touch_change(struct td__vnode *v)
{
	if (v->fs->remote)
		return;
	td__port_now(&v->rec.ctime.sec, &v->rec.ctime.nsec);
	td__vnode_dirty(v);
}

/* ---- Lookup */

int td__find_fid(struct td__fs *fs, struct td__vnode *dir, struct td_name name, uint64_t *fid)
{
	int known = td__name_get(dir, name, fid), err;

	if (known == TD__NAME_ABSENT)
		return -TD_ENOENT;
	if (known == TD__NAME_KNOWN)
		return 0;
	err = td__fs_lookup(fs, dir, name, fid);
	if (!err || err == -TD_ENOENT)
		td__name_set(dir, name, err ? 0 : *fid);
	return err;
}

static int find_once(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td__vnode **out)
{
	uint64_t fid;
	int err = td__find_fid(fs, dir, name, &fid);

	if (!err && fid == dir->rec.fid) {
		td__vnode_hold(dir);
		*out = dir;
		return 0;
	}
	if (!err)
		err = td__vnode_by_fid(fs, fid, out);
	if (!err && td__vnode_is_gone(*out)) {
		td__vnode_drop(*out);
		err = -TD_ESTALE;
	}
	return err;
}

/* What a name stood for may be gone, where others change the file system, too: then the name is looked up again. */
int td__dir_find(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td__vnode **out)
{
	int err = find_once(fs, dir, name, out);

	if (err != -TD_ESTALE || !fs->remote)
		return err;
	td__name_drop(dir, name);
	return find_once(fs, dir, name, out);
}

int td__op_lookup(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, td_attr *out)
{
	struct td__vnode *dir, *v = 0;
	int err = td__dir_enter(fs, h, name, &dir);

	if (err)
		return err;
	td__rwlock_shared(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err && td__is_dots(name) && (name.len == 1 || dir == fs->root)) {
		td__vnode_hold(dir);
		v = dir;
	} else if (!err) {
		err = td__dir_find(fs, dir, name, &v);
	}
	td__rwlock_unlock(&dir->lock);
	if (!err)
		show(v, out);
	td__vnode_put(dir, 1);
	return err;
}

/* ---- Make */

struct wanted {
	uint32_t type, mode, rdev;
	uint32_t flags; /* TD_VNODE_*, of a file system on a server */
	struct td_in target;
};

static int new_record(const struct td__vnode *dir, const struct td_cred *cred, const struct wanted *w, struct td_vnode *rec)
{
	uint32_t type = w->type;

	td__zero(rec, sizeof(*rec));
	rec->type = type;
	rec->flags = w->flags;
	rec->mode = w->mode & 07777;
	rec->uid = cred->uid;
	rec->gid = cred->gid;
	rec->nlink = type == TD_DIR ? 2 : 1;
	rec->rdev = type == TD_CHR || type == TD_BLK ? w->rdev : 0;
	if (dir->rec.mode & 02000) { /* a set-group-id directory hands its group down */
		rec->gid = dir->rec.gid;
		if (type == TD_DIR)
			rec->mode |= 02000;
		else if ((rec->mode & 02010) == 02010 && cred->uid && !cred->checked && !td__in_group(cred, rec->gid))
			rec->mode &= ~02000u;
	}
	td__port_now(&rec->mtime.sec, &rec->mtime.nsec);
	rec->atime = rec->ctime = rec->btime = rec->mtime;
	return type < TD_REG || type > TD_SOCK ? -TD_EINVAL : 0;
}

/* What an operation made: its vnode, and a file's first blocks. */
struct made {
	struct td__vnode *v;
	struct td_extent first[4];
	uint32_t n;
};

static int make_file(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td_vnode *rec, struct made *made)
{
	uint64_t blocks = td__hook_bound(fs, TD_OP_create_blocks) ? td__ahead_first(fs) : 0;

	return blocks ? td__fs_create_blocks(fs, dir, name, rec, blocks, made->first, &made->n) :
			td__fs_create(fs, dir, name, rec);
}

static int make_by_type(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td_in target,
			struct td_vnode *rec, struct made *made)
{
	switch (rec->type) {
	case TD_REG:
		return make_file(fs, dir, name, rec, made);
	case TD_DIR:
		return td__fs_mkdir(fs, dir, name, rec);
	case TD_LNK:
		rec->mode = 0777;
		rec->size = target.len;
		return td__fs_symlink(fs, dir, name, rec, target);
	default:
		return td__fs_mknod(fs, dir, name, rec);
	}
}

static int make_locked(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name,
		       struct td_vnode *rec, struct td_in target, struct made *made)
{
	uint64_t fid;
	int err = td__may(cred, &dir->rec, 1);

	if (!err && (td__is_dots(name) || (!fs->remote && td__name_get(dir, name, &fid) == TD__NAME_KNOWN)))
		return -TD_EEXIST;
	if (!err && !dir->rec.nlink)
		return -TD_ENOENT;
	if (!err && td__may(cred, &dir->rec, 2))
		err = td__name_get(dir, name, &fid) == TD__NAME_ABSENT || td__fs_lookup(fs, dir, name, &fid) ? -TD_EACCES :
													      -TD_EEXIST;
	if (err)
		return err;
	err = make_by_type(fs, dir, name, target, rec, made);
	if (err == -TD_EEXIST && fs->remote)
		td__name_drop(dir, name); /* whatever was known of it */
	if (err)
		return err;
	td__touch_dir(dir);
	td__name_set(dir, name, rec->fid);
	err = td__vnode_adopt(fs, rec, dir->fid, &made->v);
	if (!err && rec->type == TD_REG)
		td__ahead_begin(made->v, made->first, made->n);
	return err;
}

int td__make_whiteout(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name, struct td__vnode **out)
{
	const struct wanted w = { .type = TD_CHR };
	struct made made = { .n = 0 };
	struct td_vnode rec;
	int err = new_record(dir, cred, &w, &rec);

	if (!err)
		err = make_locked(fs, cred, dir, name, &rec, w.target, &made);
	*out = made.v;
	return err;
}

static int make(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, const struct wanted *w, td_attr *out)
{
	struct made made = { .n = 0 };
	struct td__vnode *dir;
	struct td_vnode rec;
	int err = td__dir_enter(fs, h, name, &dir);

	if (err)
		return err;
	td__rwlock_exclusive(&dir->lock);
	err = new_record(dir, cred, w, &rec);
	if (!err && w->type == TD_LNK && (!w->target.len || w->target.len > TD_PATH_MAX))
		err = w->target.len ? -TD_ENAMETOOLONG : -TD_ENOENT;
	if (!err)
		err = make_locked(fs, cred, dir, name, &rec, w->target, &made);
	if (!err && w->flags & TD_VNODE_OPEN)
		td__vnode_opened(made.v, 1);
	td__rwlock_unlock(&dir->lock);
	if (!err) {
		td__rwlock_exclusive(&made.v->lock);
		td__vnode_show(made.v, out);
		td__ahead_unlock(made.v);
	}
	td__vnode_put(dir, 1);
	return err;
}

static int make_surely(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, const struct wanted *w, td_attr *out)
{
	int err;

	do
		err = make(fs, cred, h, name, w, out);
	while (td__ahead_relieve(fs, err));
	return err;
}

int td__op_make(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, uint32_t type, uint32_t mode,
	    uint32_t rdev, struct td_in target, td_attr *out)
{
	const struct wanted w = { .type = type, .mode = mode, .rdev = rdev, .target = target };

	return make_surely(fs, cred, h, name, &w, out);
}

/* Where a call is a turn to a server, one makes the file and opens it. */
int td__op_create(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, uint32_t mode, uint32_t flags, td_attr *out)
{
	struct wanted w = { .type = TD_REG, .mode = mode };
	int err;

	if (fs->remote)
		w.flags = TD_VNODE_OPEN | (flags & TD_OPEN_EXCL ? 0 : TD_VNODE_ANYONES);
	err = make_surely(fs, cred, h, name, &w, out);
	if (err || fs->remote)
		return err;
	err = td__op_open(fs, cred, out->handle, (flags & (TD_OPEN_READ | TD_OPEN_WRITE)) | TD_OPEN_NEW);
	if (err < 0)
		td__op_forget(fs, out->handle, 1);
	return err < 0 ? err : 0;
}

static int tmpfile(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, uint32_t mode, struct td__vnode **v)
{
	const struct wanted w = { .type = TD_REG, .mode = mode };
	struct td_vnode rec;
	int err;

	td__rwlock_shared(&dir->lock);
	err = dir->rec.type == TD_DIR ? td__may(cred, &dir->rec, 3) : -TD_ENOTDIR;
	if (!err)
		err = new_record(dir, cred, &w, &rec);
	rec.nlink = 0;
	if (!err)
		err = td__fs_tmpfile(fs, dir, &rec);
	td__rwlock_unlock(&dir->lock);
	if (err)
		return err;
	err = td__vnode_adopt(fs, &rec, dir->fid, v);
	if (err)
		td__orphan_pending(fs, rec.fid);
	return err;
}

int td__op_tmpfile(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint32_t mode, td_attr *out)
{
	struct td__vnode *dir = td__vnode_get(fs, h), *v;
	int err;

	if (!dir)
		return -TD_ESTALE;
	do
		err = tmpfile(fs, cred, dir, mode, &v);
	while (td__ahead_relieve(fs, err));
	td__vnode_put(dir, 1);
	if (err)
		return err;
	td__rwlock_exclusive(&v->lock);
	v->linkable = 1;
	td__vnode_nameless(v);
	td__vnode_show(v, out);
	td__rwlock_unlock(&v->lock);
	return 0;
}

int td__op_readlink(struct td__fs *fs, td_handle h, void *target, uint32_t size)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	struct td_out out = { target, size < TD_PATH_MAX ? size : TD_PATH_MAX, 0 };
	int err, old;

	if (!v)
		return -TD_ESTALE;
	td__rwlock_shared(&v->lock);
	if (v->rec.type != TD_LNK)
		err = -TD_EINVAL;
	else
		err = v->rec.size > size ? -TD_ERANGE : td__fs_readlink(fs, v, &out);
	old = !err && td__access_is_old(v);
	td__rwlock_unlock(&v->lock);
	if (old)
		td__vnode_accessed(v);
	td__vnode_put(v, 1);
	return err ? err : (int)out.used;
}

/* ---- Link and remove. Directory first, then what it contains. */

static int link_name(struct td__fs *fs, const struct td_cred *cred, td_handle h, td_handle hdir, struct td_name name,
		     td_attr *out)
{
	struct td__vnode *dir, *v;
	int err = td__dir_enter(fs, hdir, name, &dir);

	if (err)
		return err;
	v = td__vnode_get(fs, h);
	if (!v) {
		td__vnode_put(dir, 1);
		return -TD_ESTALE;
	}
	if (v->rec.type == TD_DIR) {
		td__vnode_put(v, 1);
		td__vnode_put(dir, 1);
		return -TD_EPERM;
	}
	td__rwlock_exclusive(&dir->lock);
	td__rwlock_exclusive(&v->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err && td__is_dots(name))
		err = -TD_EEXIST;
	if (!err && !fs->remote) {
		uint64_t fid;

		err = td__find_fid(fs, dir, name, &fid);
		err = err == -TD_ENOENT ? 0 : err ? err : -TD_EEXIST;
	}
	if (!err)
		err = td__may(cred, &dir->rec, 2);
	if (!err && ((!v->rec.nlink && !v->linkable) || !dir->rec.nlink))
		err = -TD_ENOENT;
	if (!err && v->rec.nlink >= fs->info.maxlink)
		err = -TD_EMLINK;
	if (!err)
		err = td__fs_link(fs, dir, name, v);
	if (!err) {
		td__touch_dir(dir);
		td__touch_change(v);
		v->linkable = 0;
		td__name_set(dir, name, v->rec.fid);
		td__vnode_show(v, out);
	}
	td__rwlock_unlock(&v->lock);
	td__rwlock_unlock(&dir->lock);
	td__vnode_put(dir, 1);
	if (err)
		td__vnode_put(v, 1);
	return err;
}

int td__op_link(struct td__fs *fs, const struct td_cred *cred, td_handle h, td_handle hdir, struct td_name name, td_attr *out)
{
	int err;

	do
		err = link_name(fs, cred, h, hdir, name, out);
	while (td__ahead_relieve(fs, err));
	return err;
}

static int remove_locked(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name,
			 struct td__vnode *v, int directory)
{
	int err = td__may(cred, &dir->rec, 3);

	if (!err)
		err = td__may_remove(cred, &dir->rec, &v->rec);
	if (!err && directory != (v->rec.type == TD_DIR))
		err = directory ? -TD_ENOTDIR : -TD_EISDIR;
	if (!err && v == fs->root)
		err = -TD_EBUSY;
	if (!err)
		err = directory ? td__fs_rmdir(fs, dir, name, v) : td__fs_unlink(fs, dir, name, v);
	if (err)
		return err;
	td__name_set(dir, name, 0);
	td__touch_dir(dir);
	td__touch_change(v);
	return 0;
}

/*
 * The directory's lock is held. What is no directory is locked behind it in any case; a directory only by rmdir, which holds
 * fs->renames: whatever the module says of who contains whom, no two threads wait for each other.
 */
static int remove_found(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name,
			struct td__vnode *v, int directory)
{
	int err;

	if (v == dir)
		return -TD_EIO;
	if (v->rec.type == TD_DIR && !directory) {
		err = td__may(cred, &dir->rec, 3);
		return err ? err : -TD_EISDIR;
	}
	td__rwlock_exclusive(&v->lock);
	err = remove_locked(fs, cred, dir, name, v, directory);
	td__rwlock_unlock(&v->lock);
	return err;
}

static int remove_name(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, int directory)
{
	struct td__vnode *dir, *v = 0;
	int err;

	if (td__is_dots(name))
		return !directory ? -TD_EISDIR : name.len == 1 ? -TD_EINVAL : -TD_ENOTEMPTY;
	err = td__dir_enter(fs, h, name, &dir);
	if (err)
		return err;
	if (directory)
		td__mutex_lock(&fs->renames);
	td__rwlock_exclusive(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err)
		err = td__dir_find(fs, dir, name, &v);
	if (!err)
		err = remove_found(fs, cred, dir, name, v, directory);
	td__rwlock_unlock(&dir->lock);
	if (directory)
		td__mutex_unlock(&fs->renames);
	if (v)
		td__vnode_put(v, 1);
	td__vnode_put(dir, 1);
	return err;
}

int td__op_unlink(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name)
{
	return remove_name(fs, cred, dir, name, 0);
}

int td__op_rmdir(struct td__fs *fs, const struct td_cred *cred, td_handle dir, struct td_name name)
{
	return remove_name(fs, cred, dir, name, 1);
}
