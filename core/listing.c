/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading directories: what the module lists, and the attributes of what is listed. Vnodes that nobody has as yet are loaded many at a
 * time, in one call of the module; meanwhile nobody is waited for.
 */
#include "fs.h"
#include "operations.h"

/* ---- Entries */

struct listing {
	uint8_t *to;
	uint32_t size, used, n, most;
};

static int add_entry(struct listing *l, uint64_t fid, uint64_t cookie, uint32_t type, const void *name, uint32_t len)
{
	struct td_dirent d = { fid, cookie, type, len };
	uint32_t padded = (len + 7) & ~7u;

	if (l->n == l->most || sizeof(d) + padded > l->size - l->used)
		return 0;
	memcpy(l->to + l->used, &d, sizeof(d));
	memset(l->to + l->used + sizeof(d), 0, padded);
	memcpy(l->to + l->used + sizeof(d), name, len);
	l->used += (uint32_t)sizeof(d) + padded;
	l->n++;
	return 1;
}

/*
 * Cookies 0, 1 and 2 are the kernel's: the beginning, behind `.`, behind `..`. A module's cookie c is shown
 * as c + 2, so that it may use any number from 1 on.
 */
enum { DOTS = 2 };

/* What the module listed is its own affair, but its form is not: every name legal, every cookie a new one. */
static int take_entries(struct listing *l, const uint8_t *from, uint32_t len)
{
	uint64_t before = 0;

	for (uint32_t at = 0; at < len;) {
		struct td_dirent d;
		const uint8_t *name = from + at + sizeof(d);

		if (len - at < sizeof(d))
			return -TD_EIO;
		memcpy(&d, from + at, sizeof(d));
		if (!d.len || d.len > TD_NAME_MAX || ((d.len + 7) & ~7u) > len - at - sizeof(d) || !d.fid ||
		    d.type > TD_SOCK || !d.cookie || d.cookie == before || d.cookie > TD_TO_END - DOTS)
			return -TD_EIO;
		for (uint32_t i = 0; i < d.len; i++)
			if (!name[i] || name[i] == '/')
				return -TD_EIO;
		if (!add_entry(l, d.fid, d.cookie + DOTS, d.type, name, d.len))
			return 0;
		before = d.cookie;
		at += (uint32_t)sizeof(d) + ((d.len + 7) & ~7u);
	}
	return 0;
}

static int list(struct td__fs *fs, struct td__vnode *dir, uint64_t cookie, struct listing *l)
{
	uint32_t room = l->size < TD_WINDOW ? l->size : TD_WINDOW;
	struct td_out out = { 0, room, 0 };
	uint64_t parent = dir->rec.fid;
	int err = 0;

	if (dir != fs->root && cookie < DOTS)
		err = td__find_fid(fs, dir, (struct td_name){ (const uint8_t *)"..", 2 }, &parent);
	if (err)
		return err;
	if (cookie < 1 && !add_entry(l, dir->rec.fid, 1, TD_DIR, ".", 1))
		return -TD_EINVAL;
	if (cookie < 2 && !add_entry(l, parent, 2, TD_DIR, "..", 2))
		return 0;
	out.data = td__port_alloc(room);
	if (!out.data)
		return -TD_ENOMEM;
	err = td__fs_readdir(fs, dir, cookie <= DOTS ? 0 : cookie - DOTS, parent, &out);
	if (!err)
		err = take_entries(l, out.data, out.used);
	td__port_free(out.data, room);
	return err;
}

/* ---- Vnodes of what was listed */

/* As wrong_fresh() has it for one. */
static const char *wrong_record(const struct td__fs *fs, uint64_t fid, const struct td_vnode *r)
{
	if (r->type == TD_NONE)
		return 0;
	if (r->fid != fid)
		return "fid";
	if (r->type > TD_SOCK)
		return "type";
	if (r->handle || r->flags)
		return r->flags ? "flags" : "handle";
	return td__check_vnode(r, td__limits_of(fs));
}

const char *td__verify_getvnodes(struct td__fs *fs, struct td_in fids, struct td_out *records)
{
	const uint64_t *fid = fids.data;
	const struct td_vnode *r = records->data;
	const char *wrong = records->used % sizeof(*r) || records->used / sizeof(*r) > fids.len / sizeof(*fid) ? "length" : 0;

	for (uint32_t i = 0; !wrong && i < records->used / sizeof(*r); i++)
		wrong = wrong_record(fs, fid[i], &r[i]);
	return wrong;
}

struct loading {
	uint32_t n;
	uint32_t at[TD_EACH_MAX]; /* places of those that are ours to load: locked, nobody else sees their records */
	uint64_t fids[TD_EACH_MAX];
	struct td_vnode recs[TD_EACH_MAX];
};

static void load_all(struct td__fs *fs, struct loading *l, struct td__vnode **out)
{
	struct td_in fids = { l->fids, l->n * (uint32_t)sizeof(l->fids[0]) };
	struct td_out recs = { l->recs, l->n * (uint32_t)sizeof(l->recs[0]), 0 };
	uint32_t got = 0;

	if (l->n > 1 && !td__fs_getvnodes(fs, fids, &recs))
		got = recs.used / (uint32_t)sizeof(l->recs[0]);
	for (uint32_t i = 0; i < l->n; i++)
		td__vnode_end(out[l->at[i]], i < got ? &l->recs[i] : 0, &out[l->at[i]]);
}

/* The vnodes of these fids, with references: those that nobody has, in one call of the module. 0 where there is none, and for fid 0. */
static void find_vnodes(struct td__fs *fs, const uint64_t *fids, uint32_t n, struct td__vnode **out)
{
	struct loading *l = n <= TD_EACH_MAX ? td__port_alloc(sizeof(*l)) : 0;
	int ours;

	for (uint32_t i = 0; l && i < n; i++) {
		out[i] = td__vnode_begin(fs, fids[i], &ours);
		if (!ours)
			continue;
		l->at[l->n] = i;
		l->fids[l->n++] = fids[i];
	}
	if (l)
		load_all(fs, l, out);
	for (uint32_t i = 0; i < n; i++) {
		struct td__vnode *v = l ? out[i] : 0;

		out[i] = 0;
		if (v)
			td__vnode_wait(v, &out[i]);
	}
	if (l)
		td__port_free(l, sizeof(*l));
}

/* ---- The operation */

static void show(struct td__vnode *v, td_attr *out)
{
	td__rwlock_shared(&v->lock);
	td__vnode_show(v, out);
	td__rwlock_unlock(&v->lock);
}

/* The next entry's fid; 0 for `.` and `..`, which get no attributes. */
static uint64_t next_fid(const struct listing *l, uint32_t *at)
{
	struct td_dirent d;
	const char *name = (const char *)l->to + *at + sizeof(d);

	memcpy(&d, l->to + *at, sizeof(d));
	*at += (uint32_t)sizeof(d) + ((d.len + 7) & ~7u);
	return (d.len == 1 && name[0] == '.') || (d.len == 2 && name[0] == '.' && name[1] == '.') ? 0 : d.fid;
}

/* Attributes of what was listed; a name that has gone meanwhile gets none. */
static void attributes(struct td__fs *fs, const struct listing *l, td_attr *attrs)
{
	struct td__vnode *v[TD_EACH_MAX];
	uint64_t fids[TD_EACH_MAX];
	uint32_t at = 0, n;

	for (; at < l->used; attrs += n) {
		for (n = 0; n < TD_EACH_MAX && at < l->used; n++)
			fids[n] = next_fid(l, &at);
		find_vnodes(fs, fids, n, v);
		for (uint32_t i = 0; i < n; i++) {
			td__zero(&attrs[i], sizeof(attrs[i]));
			if (v[i])
				show(v[i], &attrs[i]);
		}
	}
}

int td__op_readdir(struct td__fs *fs, const struct td_cred *cred, td_handle h, uint64_t cookie, void *entries, uint32_t size,
	       td_attr *attrs, uint32_t *nattrs)
{
	struct listing l = { entries, size, 0, 0, attrs ? *nattrs : 0xffffffffu };
	struct td__vnode *dir = td__vnode_get(fs, h);
	int err, old;

	if (!dir)
		return -TD_ESTALE;
	td__rwlock_shared(&dir->lock);
	err = dir->rec.type != TD_DIR ? -TD_ENOTDIR : td__may(cred, &dir->rec, 4);
	if (!err && dir->rec.nlink)
		err = list(fs, dir, cookie, &l);
	old = !err && td__access_is_old(dir);
	td__rwlock_unlock(&dir->lock);
	if (old)
		td__vnode_accessed(dir);
	if (!err && attrs)
		attributes(fs, &l, attrs);
	if (attrs)
		*nattrs = err ? 0 : l.n;
	td__vnode_put(dir, 1);
	return err ? err : (int)l.used;
}
