/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on names: what front ends call to look up, make, link, remove and rename. They hold the locks that the
 * interface promises to the module, check permissions unless the front end has, and keep the name cache and
 * the directories' times.
 */
#include "fs.h"
#include "operations.h"

static struct td_name text_name(const char *text)
{
	return (struct td_name){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static int is_dots(struct td_name n)
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

/* The vnode of a directory's handle, and a name that may stand in it. */
static int enter(struct td__fs *fs, td_handle h, struct td_name name, struct td__vnode **dir)
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

static void touch_dir(struct td__vnode *dir)
{
	if (dir->fs->remote) /* the server keeps the times */
		return;
	td__port_now(&dir->rec.mtime.sec, &dir->rec.mtime.nsec);
	dir->rec.ctime = dir->rec.mtime;
	td__vnode_dirty(dir);
}

static void touch_change(struct td__vnode *v)
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
static int find_vnode(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td__vnode **out)
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
	int err = enter(fs, h, name, &dir);

	if (err)
		return err;
	td__rwlock_shared(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err && is_dots(name) && (name.len == 1 || dir == fs->root)) {
		td__vnode_hold(dir);
		v = dir;
	} else if (!err) {
		err = find_vnode(fs, dir, name, &v);
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

	if (!err && (is_dots(name) || (!fs->remote && td__name_get(dir, name, &fid) == TD__NAME_KNOWN)))
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
	touch_dir(dir);
	td__name_set(dir, name, rec->fid);
	err = td__vnode_adopt(fs, rec, dir->fid, &made->v);
	if (!err && rec->type == TD_REG)
		td__ahead_begin(made->v, made->first, made->n);
	return err;
}

static int make(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, const struct wanted *w, td_attr *out)
{
	struct made made = { .n = 0 };
	struct td__vnode *dir;
	struct td_vnode rec;
	int err = enter(fs, h, name, &dir);

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

int td__op_readlink(struct td__fs *fs, td_handle h, void *target, uint32_t size)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	struct td_out out = { target, size < TD_PATH_MAX ? size : TD_PATH_MAX, 0 };
	int err;

	if (!v)
		return -TD_ESTALE;
	td__rwlock_shared(&v->lock);
	if (v->rec.type != TD_LNK)
		err = -TD_EINVAL;
	else
		err = v->rec.size > size ? -TD_ERANGE : td__fs_readlink(fs, v, &out);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err ? err : (int)out.used;
}

/* ---- Link and remove. Directory first, then what it contains. */

static int link_name(struct td__fs *fs, const struct td_cred *cred, td_handle h, td_handle hdir, struct td_name name,
		     td_attr *out)
{
	struct td__vnode *dir, *v;
	int err = enter(fs, hdir, name, &dir);

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
	if (!err && is_dots(name))
		err = -TD_EEXIST;
	if (!err && !fs->remote) {
		uint64_t fid;

		err = td__find_fid(fs, dir, name, &fid);
		err = err == -TD_ENOENT ? 0 : err ? err : -TD_EEXIST;
	}
	if (!err)
		err = td__may(cred, &dir->rec, 2);
	if (!err && (!v->rec.nlink || !dir->rec.nlink))
		err = -TD_ENOENT;
	if (!err && v->rec.nlink >= fs->info.maxlink)
		err = -TD_EMLINK;
	if (!err)
		err = td__fs_link(fs, dir, name, v);
	if (!err) {
		touch_dir(dir);
		touch_change(v);
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
	touch_dir(dir);
	touch_change(v);
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

	if (is_dots(name))
		return !directory ? -TD_EISDIR : name.len == 1 ? -TD_EINVAL : -TD_ENOTEMPTY;
	err = enter(fs, h, name, &dir);
	if (err)
		return err;
	if (directory)
		td__mutex_lock(&fs->renames);
	td__rwlock_exclusive(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err)
		err = find_vnode(fs, dir, name, &v);
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

/* ---- Rename */

struct rename {
	struct td__fs *fs;
	const struct td_cred *cred;
	struct td__vnode *from, *to, *v, *target; /* target: 0 if the new name is free */
	struct td_name old, new;
	uint32_t flags;
	int alone; /* fs->renames is held: needed where more than one directory is locked */
};

enum { DEEPEST = 1 << 17 };

/*
 * Is `dir` the directory `v`, or below it? Climbs by `..`; fs->renames keeps the tree as it is. A module could answer in a
 * circle: one that is closed meets `seen` (Brent 1980); one that never is ends at DEEPEST.
 */
static int is_below(struct td__fs *fs, struct td__vnode *dir, const struct td__vnode *v)
{
	uint64_t seen = 0;

	td__vnode_hold(dir);
	for (uint64_t steps = 1;; steps++) {
		struct td__vnode *up;
		uint64_t fid;
		int err;

		if (dir == v || dir == fs->root) {
			int below = dir == v;

			td__vnode_put(dir, 1);
			return below;
		}
		td__rwlock_shared(&dir->lock);
		err = td__fs_lookup(fs, dir, text_name(".."), &fid);
		td__rwlock_unlock(&dir->lock);
		if (!err && (fid == seen || steps > DEEPEST))
			err = -TD_EIO;
		if (!(steps & (steps - 1)))
			seen = err ? 0 : fid;
		if (!err)
			err = td__vnode_by_fid(fs, fid, &up);
		td__vnode_put(dir, 1);
		if (err)
			return err;
		dir = up;
	}
}

static int is_after(const struct td__vnode *a, const struct td__vnode *b)
{
	int adir = a->rec.type == TD_DIR, bdir = b->rec.type == TD_DIR;

	return adir != bdir ? bdir : a->index > b->index;
}

/*
 * At most four vnodes, each once: the parent directories by who is above, then what is moved, directories before files (a file may
 * have another name in such a directory), equals by index.
 */
static uint32_t in_order(const struct rename *r, int to_above, struct td__vnode **out)
{
	struct td__vnode *all[4] = { to_above ? r->to : r->from, to_above ? r->from : r->to, r->v, r->target };
	uint32_t n = 0;

	if (r->target && is_after(r->v, r->target)) {
		all[2] = r->target;
		all[3] = r->v;
	}
	for (int i = 0; i < 4; i++) {
		uint32_t k = 0;

		while (k < n && out[k] != all[i])
			k++;
		if (all[i] && k == n)
			out[n++] = all[i];
	}
	return n;
}

static int rename_allowed(const struct rename *r)
{
	const struct td_cred *cred = r->cred;
	int err = td__may(cred, &r->from->rec, 3);
	int dir = r->v->rec.type == TD_DIR;

	if (!err)
		err = td__may(cred, &r->to->rec, 3);
	if (!err)
		err = td__may_remove(cred, &r->from->rec, &r->v->rec);
	if (!err && r->target)
		err = td__may_remove(cred, &r->to->rec, &r->target->rec);
	if (!err && dir && r->from != r->to)
		err = td__may(cred, &r->v->rec, 2); /* its `..` changes */
	if (!err && !r->to->rec.nlink)
		err = -TD_ENOENT;
	if (err || !r->target)
		return err;
	if (r->flags & TD_RENAME_EXCHANGE) {
		if (r->target->rec.type == TD_DIR && r->from != r->to)
			err = td__may(cred, &r->target->rec, 2);
		return err;
	}
	if (dir && r->target->rec.type != TD_DIR)
		return -TD_ENOTDIR;
	if (!dir && r->target->rec.type == TD_DIR)
		return -TD_EISDIR;
	return 0;
}

static int rename_call(const struct rename *r)
{
	int err = td__fs_rename(r->fs, r->from, r->old, r->to, r->new, r->v, r->target, r->flags & TD_RENAME_EXCHANGE);

	if (err)
		return err;
	td__name_set(r->to, r->new, r->v->rec.fid);
	td__name_set(r->from, r->old, r->flags & TD_RENAME_EXCHANGE ? r->target->rec.fid : 0);
	td__name_set(r->v, text_name(".."), r->to->rec.fid);
	touch_dir(r->from);
	touch_dir(r->to);
	touch_change(r->v);
	if (r->target) {
		if (r->flags & TD_RENAME_EXCHANGE)
			td__name_set(r->target, text_name(".."), r->from->rec.fid);
		touch_change(r->target);
	}
	return 0;
}

static int peek(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name,
		struct td__vnode **v)
{
	int err;

	td__rwlock_shared(&dir->lock);
	err = td__may(cred, &dir->rec, 1);
	if (!err)
		err = find_vnode(fs, dir, name, v);
	td__rwlock_unlock(&dir->lock);
	return err;
}

/* The names were looked up before all locks were taken: do they still stand for the same? */
static int still_so(const struct rename *r)
{
	uint64_t fid;
	int err = td__find_fid(r->fs, r->from, r->old, &fid);

	if (err || fid != r->v->rec.fid)
		return 0;
	err = td__find_fid(r->fs, r->to, r->new, &fid);
	return r->target ? !err && fid == r->target->rec.fid : err == -TD_ENOENT;
}

enum { AGAIN = 1, TRIES = 10000 };

/* One attempt: find the vnodes, lock them all, see that nothing has changed, move. */
static int try_rename(struct rename *r)
{
	struct td__vnode *order[4];
	int err, to_above = 0;
	uint32_t n;

	r->v = r->target = 0;
	err = peek(r->fs, r->cred, r->from, r->old, &r->v);
	if (!err) {
		err = peek(r->fs, r->cred, r->to, r->new, &r->target);
		if (err == -TD_ENOENT && !(r->flags & TD_RENAME_EXCHANGE))
			err = 0;
	}
	if (!err && r->target && r->flags & TD_RENAME_NOREPLACE)
		err = -TD_EEXIST;
	if (!err && !r->alone && (r->v->rec.type == TD_DIR || (r->target && r->target->rec.type == TD_DIR))) {
		td__mutex_lock(&r->fs->renames);
		r->alone = 1;
	}
	if (!err && r->from != r->to) {
		to_above = is_below(r->fs, r->from, r->to);
		err = to_above < 0 ? to_above : 0;
		if (!err && r->v->rec.type == TD_DIR && (err = is_below(r->fs, r->to, r->v)) > 0)
			err = -TD_EINVAL;
		if (!err && r->target && r->target->rec.type == TD_DIR && (err = is_below(r->fs, r->from, r->target)) > 0)
			err = r->flags & TD_RENAME_EXCHANGE ? -TD_EINVAL : -TD_ENOTEMPTY;
		if (!err && !to_above) {
			int from_above = is_below(r->fs, r->to, r->from);

			err = from_above < 0 ? from_above : 0;
			to_above = !from_above && r->to->index < r->from->index;
		}
	}
	if (err)
		goto out;
	n = in_order(r, to_above, order);
	for (uint32_t i = 0; i < n; i++)
		td__rwlock_exclusive(&order[i]->lock);
	if (!still_so(r))
		err = AGAIN;
	else if (r->v == r->target)
		err = td__may(r->cred, &r->from->rec, 3); /* two names of one file: nothing to do */
	else
		err = rename_allowed(r);
	if (!err && r->v != r->target)
		err = rename_call(r);
	while (n--)
		td__rwlock_unlock(&order[n]->lock);
out:
	if (r->v)
		td__vnode_put(r->v, 1);
	if (r->target)
		td__vnode_put(r->target, 1);
	return err;
}

static int rename_name(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to,
		       struct td_name new, uint32_t flags)
{
	struct rename r = { .fs = fs, .cred = cred, .old = old, .new = new, .flags = flags };
	int err, tries = 0;

	if (is_dots(old) || is_dots(new))
		return flags & TD_RENAME_NOREPLACE && is_dots(new) ? -TD_EEXIST : -TD_EBUSY;
	err = enter(fs, from, old, &r.from);
	if (err)
		return err;
	err = enter(fs, to, new, &r.to);
	if (err) {
		td__vnode_put(r.from, 1);
		return err;
	}
	r.alone = r.from != r.to;
	if (r.alone)
		td__mutex_lock(&fs->renames);
	do
		err = try_rename(&r);
	while (err == AGAIN && ++tries < TRIES);
	if (err == AGAIN) /* a module that answers differently each time */
		err = -TD_EIO;
	if (r.alone)
		td__mutex_unlock(&fs->renames);
	td__vnode_put(r.from, 1);
	td__vnode_put(r.to, 1);
	return err;
}

int td__op_rename(struct td__fs *fs, const struct td_cred *cred, td_handle from, struct td_name old, td_handle to,
	      struct td_name new, uint32_t flags)
{
	int err;

	if (flags & ~(uint32_t)(TD_RENAME_NOREPLACE | TD_RENAME_EXCHANGE) ||
	    flags == (TD_RENAME_NOREPLACE | TD_RENAME_EXCHANGE))
		return -TD_EINVAL;
	do
		err = rename_name(fs, cred, from, old, to, new, flags);
	while (td__ahead_relieve(fs, err));
	return err;
}
