/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on attributes, extended attributes and references. */
#include "fs.h"
#include "operations.h"

td_handle td_fs_root(struct td__fs *fs)
{
	return td__vnode_handle(fs->root);
}

int td_fs_is_remote(struct td__fs *fs)
{
	return (int)fs->remote;
}

uint32_t td_fs_name_ms(struct td__fs *fs)
{
	return fs->remote ? fs->info.name_ms : ~0u;
}

int td_fs_binds(struct td__fs *fs, uint32_t op)
{
	return td__hook_bound(fs, op);
}

void td__op_forget(struct td__fs *fs, td_handle h, uint64_t n)
{
	struct td__vnode *v = td__vnode_get(fs, h);

	if (v)
		td__vnode_put(v, n < TD_TO_END ? n + 1 : n);
}

int td_ref(struct td__fs *fs, td_handle h)
{
	return td__vnode_get(fs, h) ? 0 : -TD_ESTALE;
}

int td__op_getattr(struct td__fs *fs, td_handle h, td_attr *out)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int err = 0;

	if (!v)
		return -TD_ESTALE;
	err = td__vnode_refresh(v, 0);
	if (td__hook_bound(fs, TD_OP_getattr)) {
		td__rwlock_exclusive(&v->lock);
		if (!err)
			err = td__fs_getattr(fs, v);
	} else {
		td__rwlock_shared(&v->lock);
	}
	td__vnode_show(v, out);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

int td__op_access(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint32_t mask)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int err;

	if (!v)
		return -TD_ESTALE;
	td__rwlock_shared(&v->lock);
	err = td__may(cred, &v->rec, mask);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

/* ---- Setting attributes */

static int may_set(const struct td_cred *cred, const struct td_vnode *r, uint32_t want, const td_attr *set)
{
	const uint32_t now = TD_SET_ATIME_NOW | TD_SET_MTIME_NOW; /* both: who may write, may do it */

	if (cred->checked)
		return 0;
	if (want & (TD_SET_MODE | TD_SET_ATIME | TD_SET_MTIME) && !td__is_owner(cred, r))
		return -TD_EPERM;
	if (want & now && !td__is_owner(cred, r) && ((want & now) != now || td__may(cred, r, 2)))
		return (want & now) != now ? -TD_EPERM : -TD_EACCES;
	if (want & TD_SET_UID && cred->uid && (cred->uid != r->uid || set->uid != r->uid))
		return -TD_EPERM;
	if (want & TD_SET_GID && cred->uid && (cred->uid != r->uid || !td__in_group(cred, set->gid)))
		return set->gid == r->gid && cred->uid == r->uid ? 0 : -TD_EPERM;
	if (want & TD_SET_SIZE)
		return td__may(cred, r, 2);
	return 0;
}

/* What a record cannot hold becomes the nearest that it can, as with Linux's own file systems. */
static struct td_time nearest(struct td_time t)
{
	if (t.sec < TD_TIME_FIRST)
		return (struct td_time){ .sec = TD_TIME_FIRST };
	return t.sec > TD_TIME_LAST ? (struct td_time){ .sec = TD_TIME_LAST } : t;
}

static void change(const struct td_cred *cred, struct td_vnode *r, uint32_t want, const td_attr *set)
{
	struct td_time t = { 0 };

	td__port_now(&t.sec, &t.nsec);
	if ((!(want & ~(uint32_t)TD_SET_CTIME) || want & (TD_SET_UID | TD_SET_GID)) && r->type != TD_DIR)
		td__drop_set_id(r, cred);
	if (want & TD_SET_UID)
		r->uid = set->uid;
	if (want & TD_SET_GID)
		r->gid = set->gid;
	if (want & TD_SET_MODE) {
		r->mode = set->mode & 07777;
		if (!cred->checked && cred->uid && !td__in_group(cred, r->gid))
			r->mode &= ~02000u;
	}
	if (want & TD_SET_KILL_SUID)
		td__drop_set_id(r, cred);
	if (want & (TD_SET_ATIME | TD_SET_ATIME_NOW))
		r->atime = want & TD_SET_ATIME_NOW ? t : nearest(set->atime);
	if (want & (TD_SET_MTIME | TD_SET_MTIME_NOW))
		r->mtime = want & TD_SET_MTIME_NOW ? t : nearest(set->mtime);
	r->ctime = want & TD_SET_CTIME ? set->ctime : t;
}

static int setattr_locked(struct td__vnode *v, const struct td_cred *cred, uint32_t want, const td_attr *set)
{
	struct td_vnode wanted;
	uint64_t size = set->size;
	int err = may_set(cred, &v->rec, want, set);

	if (!err && want & TD_SET_SIZE) {
		err = td__vnode_truncate(v, size);
		if (!err && !cred->checked && cred->uid && !v->fs->remote)
			td__drop_set_id(&v->rec, cred);
	}
	if (err || want == TD_SET_SIZE || (!want && v->fs->remote))
		return err;
	wanted = v->rec; /* with nothing wanted, too, or a time of change only: that is chown(file, -1, -1) */
	change(cred, &wanted, want, set);
	if (td__check_vnode(&wanted, &v->fs->limits))
		return -TD_EINVAL;
	if (td__hook_bound(v->fs, TD_OP_setattr))
		err = td__fs_setattr(v->fs, v, &wanted, want);
	if (err || v->fs->remote)
		return err;
	td__record_take(&v->rec, &wanted);
	td__vnode_dirty(v);
	return 0;
}

int td__op_setattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint32_t want, const td_attr *set, td_attr *out)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int err;

	if (!v)
		return -TD_ESTALE;
	td__rwlock_exclusive(&v->lock);
	err = setattr_locked(v, cred, want, set);
	td__vnode_show(v, out);
	td__ahead_unlock(v);
	td__vnode_put(v, 1);
	return err;
}

/* ---- Open files, which are a module's business only if it says so */

int td__op_open(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint32_t flags)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int err;

	if (!v)
		return -TD_ESTALE;
	if (fs->remote) { /* before the server is asked: who removes the file from now on keeps it for us */
		td__rwlock_shared(&v->lock);
		td__vnode_opened(v, 1);
		td__rwlock_unlock(&v->lock);
	}
	err = flags & TD_OPEN_NEW ? 0 : td__vnode_refresh(v, 1);
	td__rwlock_shared(&v->lock);
	if (!err)
		err = flags & TD_OPEN_NEW ? 0 : td__may(cred, &v->rec, (flags & TD_OPEN_READ ? 4 : 0) | (flags & TD_OPEN_WRITE ? 2 : 0));
	if (!err && td__hook_bound(fs, TD_OP_open))
		err = td__fs_open(fs, v, flags & (TD_OPEN_READ | TD_OPEN_WRITE));
	if (fs->remote && err)
		td__vnode_opened(v, 0);
	else if (fs->remote)
		err = td__vnode_is_new_content(v);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

/* For the mounts where somebody wants to know. Apart, so that others do not even keep what it needs. */
static __attribute__((noinline)) int tell_release(struct td__fs *fs, struct td__vnode *v)
{
	int err;

	td__rwlock_shared(&v->lock);
	err = td__fs_release(fs, v);
	if (fs->remote)
		td__vnode_opened(v, 0);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

int td__op_release(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = td__vnode_get(fs, h);

	if (!v)
		return -TD_ESTALE;
	if (td__hooks_any(fs, td__hook(TD_OP_release) | TD__HOOK_REMOTE))
		return tell_release(fs, v);
	td__vnode_put(v, 1);
	return 0;
}

int td__op_flush(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v;
	int err;

	if (!td__hook_bound(fs, TD_OP_flush))
		return 0;
	v = td__vnode_get(fs, h);
	if (!v)
		return -TD_ESTALE;
	td__rwlock_exclusive(&v->lock);
	err = td__fs_flush(fs, v);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

/* The blocks of a file that have data to be written in place. The exclusive lock is held. */
static int data_of(struct td__vnode *v, struct td__runs *data)
{
	const struct td__device *dev = v->fs->device;
	uint64_t end = (v->rec.size + dev->bsize - 1) / dev->bsize;
	int err = 0;

	for (uint64_t b = 0; b < end && !err;) {
		const struct td_extent *e = td__extent_find(v, b);

		if (!e) {
			err = td__extents_load(v, b, end - b);
			continue;
		}
		if (e->state != TD_HOLE)
			err = td__runs_add(data, e->pblk, e->count);
		b = e->lblk + e->count;
	}
	return err;
}

/* Of a device in memory nothing outlives the kernel, and the kernel has the record. */
static int is_lasting(const struct td__fs *fs)
{
	return fs->device->log || fs->remote || td__hook_bound(fs, TD_OP_fsync);
}

int td__op_fsync(struct td__fs *fs, td_handle h, struct td__runs *data)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	int err;

	if (!v)
		return -TD_ESTALE;
	if (!is_lasting(fs)) {
		td__vnode_put(v, 1);
		return 0;
	}
	td__rwlock_exclusive(&v->lock);
	err = td__vnode_update(v);
	if (!err)
		err = td__fs_fsync(fs, v);
	if (!err && fs->device->log && v->rec.type == TD_REG && td__hook_bound(fs, TD_OP_bmap))
		err = data_of(v, data);
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

int td__op_statfs(struct td__fs *fs, struct td_fsinfo *out)
{
	uint64_t hidden;
	int err;

	td__graves_empty(fs);
	*out = fs->info;
	err = td__fs_statfs(fs, out);
	hidden = td__ahead_hidden(fs) + out->bfree;
	out->bfree = hidden < out->blocks ? hidden : out->blocks;
	return err == -TD_ENOSYS ? 0 : err;
}

/* ---- Extended attributes */

static int starts(struct td_name n, const char *prefix)
{
	uint32_t len = (uint32_t)strlen(prefix);

	return n.len > len && !memcmp(n.bytes, prefix, len);
}

static int is_prefix(struct td_name n, const char *prefix)
{
	return n.len == strlen(prefix) && !memcmp(n.bytes, prefix, n.len);
}

/* Who may read or write an attribute of this name? Linux's rules, xattr(7). */
static int xattr_allowed(const struct td_cred *cred, const struct td_vnode *r, struct td_name name, int write)
{
	if (!name.len)
		return -TD_ERANGE;
	if (name.len > TD_NAME_MAX)
		return -TD_ERANGE;
	if (is_prefix(name, "user.") || is_prefix(name, "trusted.") || is_prefix(name, "security."))
		return -TD_EINVAL; /* and no name behind it */
	if (starts(name, "user.")) {
		if (r->type != TD_REG && r->type != TD_DIR)
			return write ? -TD_EPERM : -TD_ENODATA;
		if (write && r->type == TD_DIR && r->mode & 01000 && !td__is_owner(cred, r))
			return -TD_EPERM;
		return td__may(cred, r, write ? 2 : 4);
	}
	if (starts(name, "trusted."))
		return cred->uid ? (write ? -TD_EPERM : -TD_ENODATA) : 0;
	if (starts(name, "security."))
		return write && cred->uid && !cred->checked ? -TD_EPERM : 0;
	return -TD_EOPNOTSUPP; /* system.posix_acl_* among them: the mode bits are all there is */
}

/* One pattern for the four: get the vnode, lock it, see who asks. */
static struct td__vnode *begin_xattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, int write,
				     int *err)
{
	struct td__vnode *v = td__vnode_get(fs, h);

	*err = -TD_ESTALE;
	if (!v)
		return 0;
	if (write)
		td__rwlock_exclusive(&v->lock);
	else
		td__rwlock_shared(&v->lock);
	*err = name.bytes ? xattr_allowed(cred, &v->rec, name, write) : 0;
	return v;
}

static int end_xattr(struct td__vnode *v, int err, int write)
{
	if (!err && write) {
		td__port_now(&v->rec.ctime.sec, &v->rec.ctime.nsec);
		td__vnode_dirty(v);
	}
	td__rwlock_unlock(&v->lock);
	td__vnode_put(v, 1);
	return err;
}

/* size 0 asks for the length only: then the module fills a buffer of the kernel's. */
enum { XATTR_MAX = 65536 };

static int xattr_room(void *to, uint32_t size, struct td_out *out)
{
	out->size = size && size < XATTR_MAX ? size : XATTR_MAX;
	out->data = size ? to : td__port_alloc(XATTR_MAX);
	out->used = 0;
	return out->data ? 0 : -TD_ENOMEM;
}

static int xattr_result(const struct td_out *out, uint32_t size, int err)
{
	if (!size)
		td__port_free(out->data, XATTR_MAX);
	return err ? err : (int)out->used;
}

int td__op_getxattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, void *value, uint32_t size)
{
	struct td__vnode *v;
	struct td_out out;
	int err;

	if (!td__hook_bound(fs, TD_OP_getxattr))
		return -TD_EOPNOTSUPP;
	v = begin_xattr(fs, cred, h, name, 0, &err);
	if (!v)
		return err;
	if (!err && v->bare)
		err = -TD_ENODATA;
	if (!err)
		err = xattr_room(value, size, &out);
	if (!err)
		err = xattr_result(&out, size, td__fs_getxattr(fs, v, name, &out));
	return end_xattr(v, err, 0);
}

static int setxattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, struct td_in value,
		    uint32_t flags)
{
	struct td__vnode *v;
	int err;

	v = begin_xattr(fs, cred, h, name, 1, &err);
	if (!v)
		return err;
	if (!err)
		err = td__fs_setxattr(fs, v, name, value, flags);
	if (!err)
		v->bare = 0;
	return end_xattr(v, err, 1);
}

int td__op_setxattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name, struct td_in value,
		uint32_t flags)
{
	int err;

	if (value.len > XATTR_MAX)
		return -TD_E2BIG;
	do
		err = setxattr(fs, cred, h, name, value, flags);
	while (td__ahead_relieve(fs, err));
	return err;
}

/* `trusted.` names are root's to see. */
static uint32_t keep_visible(char *names, uint32_t len)
{
	uint32_t kept = 0;

	for (uint32_t at = 0; at < len;) {
		uint32_t n = 0;

		while (at + n < len && names[at + n])
			n++;
		if (at + n == len)
			break; /* a last name without an end is none */
		struct td_name name = { (uint8_t *)names + at, n };
		if (!starts(name, "trusted.")) {
			memmove(names + kept, names + at, n + 1);
			kept += n + 1;
		}
		at += n + 1;
	}
	return kept;
}

static int give_visible(struct td_out *out, void *names, uint32_t size)
{
	out->used = keep_visible(out->data, out->used);
	if (size && out->used > size)
		return -TD_ERANGE;
	if (size)
		memcpy(names, out->data, out->used);
	return 0;
}

int td__op_listxattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, void *names, uint32_t size)
{
	uint32_t room = cred->uid ? 0 : size; /* what is not for the caller to see takes room, too */
	struct td__vnode *v;
	struct td_out out;
	int err;

	if (!td__hook_bound(fs, TD_OP_listxattr))
		return -TD_EOPNOTSUPP;
	v = begin_xattr(fs, cred, h, (struct td_name){ 0, 0 }, 0, &err);
	if (!v)
		return err;
	if (v->bare)
		return end_xattr(v, 0, 0);
	err = xattr_room(names, room, &out);
	if (!err) {
		err = td__fs_listxattr(fs, v, &out);
		if (!err && cred->uid)
			err = give_visible(&out, names, size);
		err = xattr_result(&out, room, err);
	}
	return end_xattr(v, err, 0);
}

int td__op_removexattr(struct td__fs *fs, const struct td_cred *cred, td_handle h, struct td_name name)
{
	struct td__vnode *v;
	int err;

	v = begin_xattr(fs, cred, h, name, 1, &err);
	if (!v)
		return err;
	if (!err)
		err = td__fs_removexattr(fs, v, name);
	return end_xattr(v, err, 1);
}
