/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model: objects, names, the blocks of files (in four windows far apart), attributes. A file's
 * blocks are stamped with the file and the place, so that a block given away twice shows.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smfs_calls.h"
#include "smfs_check.h"
#include "smfs_model.h"

enum { OBJECTS = 300, NAMES = 500, XATTRS = 6, WINDOW = 64, WINDOWS = 4, BLOCK = 4096 };

struct object {
	int used;
	struct td_vnode v;
	int parent; /* of a directory */
	char *target;
	uint32_t xlen[XATTRS], xseed[XATTRS];
	int xset[XATTRS];
	uint64_t map[WINDOW * WINDOWS];
};

struct entry {
	int used, dir, object;
	char name[256];
};

static const uint64_t windows[WINDOWS] = { 0, 1 << 20, 1ull << 40, (1ull << 51) - WINDOW };
static struct object objects[OBJECTS];
static struct entry entries[NAMES];
static const struct run *r;
static char wrong[400];
static uint64_t rng;
static uint8_t *before;
static uint32_t step;
static int filling;

static void bad(const char *format, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!wrong[0])
		snprintf(wrong, sizeof(wrong), "seed %llu step %u views %d undo %d: %s",
			 (unsigned long long)r->seed, step, r->views, r->undo, text);
}

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng * 0x2545f4914f6cdd1d) >> 33) % n;
}

/* ---- Making a call: perhaps first with every service failing, or ending the call, in turn. */

static uint64_t trial;
static int mode;

/* Is the device what it was? Word by word: the runtime's memcmp() is made to be small. */
static int unchanged(void)
{
	const uint64_t *a = (const uint64_t *)before, *b = (const uint64_t *)fk.dev;

	for (uint64_t i = 0; i < r->blocks * BLOCK / sizeof(*a); i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static void begin(void)
{
	memcpy(before, fk.dev, r->blocks * BLOCK);
	mode = r->undo && r->faults && !rnd((uint32_t)r->faults) ? 1 + (int)rnd(2) : 0;
	trial = 1;
}

static void arm(void)
{
	fk.fail_at = mode == 1 ? trial : 0;
	fk.abort_at = mode == 2 ? trial : 0;
	fk.busy = rnd(4) ? 0 : (int)rnd(4);
}

static int again(int err)
{
	fk.fail_at = fk.abort_at = 0;
	if (err && !unchanged())
		bad("op %u: error %d, but the device has changed", ((struct td_frame *)s_frame)->op,
		    err);
	if (!err || !fk.failed || wrong[0])
		return 0;
	if (mode == 1 && err != -TD_EIO && err != -TD_EDEADLK && err != -TD_EUCLEAN)
		bad("op %u: service %llu failed, error %d", ((struct td_frame *)s_frame)->op,
		    (unsigned long long)trial, err);
	trial++;
	return !wrong[0];
}

#define RUN(err, call)                \
	do {                          \
		begin();              \
		do {                  \
			arm();        \
			err = (call); \
		} while (again(err)); \
	} while (0)

/* Is it one of the errors that mean full, and is it? `most`: blocks that the operation may take. */
static int full(int err, uint64_t most)
{
	struct td_fsinfo info;

	if (err == -TD_EDQUOT) {
		s_statfs(&info);
		if (info.ffree)
			bad("EDQUOT with %llu free", (unsigned long long)info.ffree);
		return 1;
	}
	if (err != -TD_ENOSPC)
		return 0;
	s_statfs(&info);
	if (info.bfree >= most)
		bad("op %u: ENOSPC with %llu blocks free", ((struct td_frame *)s_frame)->op,
		    (unsigned long long)info.bfree);
	return 1;
}

/* ---- Choosing */

static int pick(uint32_t type, int orphans)
{
	for (int i = 0; i < 60; i++) {
		int o = (int)rnd(OBJECTS);
		if (objects[o].used && (!type || objects[o].v.type == type) &&
		    (orphans || objects[o].v.nlink))
			return o;
	}
	return type == TD_DIR ? 0 : -1;
}

static int pick_entry(void)
{
	for (int i = 0; i < 60; i++) {
		int e = (int)rnd(NAMES);
		if (entries[e].used)
			return e;
	}
	return -1;
}

static int find_entry(int dir, const char *name)
{
	for (int i = 0; i < NAMES; i++)
		if (entries[i].used && entries[i].dir == dir && !strcmp(entries[i].name, name))
			return i;
	return -1;
}

static int room(int objects_too)
{
	int e = 0, o = 0;

	while (e < NAMES && entries[e].used)
		e++;
	while (o < OBJECTS && objects[o].used)
		o++;
	return e < NAMES && (!objects_too || o < OBJECTS) ? (objects_too ? o : e) : -1;
}

/* One of 120 names, short or long. */
static void make_name(char *name)
{
	char number[12];
	uint32_t len = rnd(8) ? 4 + rnd(20) : 4 + rnd(252);

	snprintf(number, sizeof(number), "%03u", rnd(120));
	memset(name, 'x', len);
	memcpy(name, number, 3);
	name[len] = 0;
}

static int empty(int dir)
{
	for (int i = 0; i < NAMES; i++)
		if (entries[i].used && entries[i].dir == dir)
			return 0;
	return 1;
}

static void add_entry(int dir, const char *name, int object)
{
	int e = room(0);

	entries[e] = (struct entry){ 1, dir, object, "" };
	strcpy(entries[e].name, name);
}

/* The record on the device is the model's. */
static void check_record(int o)
{
	struct td_vnode v;

	if (o < 0)
		return;
	int err = s_getvnode(objects[o].v.fid, &v);
	v.handle = objects[o].v.handle;
	if (err || memcmp(&v, &objects[o].v, sizeof(v)))
		bad("record of object %d (fid %llu) differs, error %d", o,
		    (unsigned long long)objects[o].v.fid, err);
}

/* ---- Steps */

static void do_make(void)
{
	static const uint32_t types[] = { TD_REG, TD_REG, TD_REG,  TD_DIR,
					  TD_LNK, TD_CHR, TD_FIFO, TD_SOCK };
	int dir = pick(TD_DIR, 0), o = room(1), err, there;
	uint32_t type = types[rnd(8)];
	char name[256], target[4096];

	if (o < 0)
		return;
	make_name(name);
	there = find_entry(dir, name);
	memset(target, 't', sizeof(target));
	target[rnd(2) ? 1 + rnd(150) : 1 + rnd(4095)] = 0;
	objects[o] = (struct object){ 0 };
	if (type == TD_LNK)
		RUN(err, s_symlink(&objects[dir].v, name, target, &objects[o].v));
	else
		RUN(err, s_create(&objects[dir].v, name, type, &objects[o].v));
	if (there >= 0) {
		if (err != -TD_EEXIST)
			bad("create of a name that exists: %d", err);
		return;
	}
	if (err) {
		if (!full(err, 6))
			bad("create: %d", err);
		return;
	}
	objects[o].used = 1;
	objects[o].parent = dir;
	if (type == TD_LNK)
		objects[o].target = strdup(target);
	add_entry(dir, name, o);
	if (objects[o].v.nlink != 1u + (type == TD_DIR))
		bad("nlink of a new object");
	check_record(o);
	check_record(dir);
}

static void do_link(void)
{
	int dir = pick(TD_DIR, 0), o = pick(0, 0), err;
	char name[256];

	if (o < 0 || objects[o].v.type == TD_DIR || room(0) < 0)
		return;
	make_name(name);
	int there = find_entry(dir, name);
	RUN(err, s_link(&objects[dir].v, name, &objects[o].v));
	if (there >= 0) {
		if (err != -TD_EEXIST)
			bad("link: %d", err);
		return;
	}
	if (err && !full(err, 5))
		bad("link: %d", err);
	if (err)
		return;
	add_entry(dir, name, o);
	check_record(o);
	check_record(dir);
}

static void do_remove(void)
{
	int e = pick_entry(), err, want = 0;

	if (e < 0)
		return;
	struct object *dir = &objects[entries[e].dir], *o = &objects[entries[e].object];
	if (o->v.type == TD_DIR) {
		want = empty(entries[e].object) ? 0 : -TD_ENOTEMPTY;
		RUN(err, s_rmdir(&dir->v, entries[e].name, &o->v));
	} else {
		RUN(err, s_unlink(&dir->v, entries[e].name, &o->v));
	}
	if (err != want)
		bad("remove: %d, not %d", err, want);
	if (!err)
		entries[e].used = 0;
	check_record(entries[e].dir);
	check_record(entries[e].object);
}

static int inside(int dir, int of)
{
	for (; dir; dir = objects[dir].parent)
		if (dir == of)
			return 1;
	return of == 0;
}

static void moved(int e, int dir, const char *name)
{
	entries[e].dir = dir;
	strcpy(entries[e].name, name);
	if (objects[entries[e].object].v.type == TD_DIR)
		objects[entries[e].object].parent = dir;
}

static void do_rename(void)
{
	int e = pick_entry(), to = pick(TD_DIR, 0), err;
	uint32_t flags = rnd(3) ? 0 : TD_RENAME_EXCHANGE;
	char name[256], old[256];

	if (e < 0)
		return;
	int from = entries[e].dir, v = entries[e].object, t = -1, target = -1;
	if (rnd(3) == 0)
		to = from;
	make_name(name);
	if (rnd(2) && (t = pick_entry()) >= 0) {
		to = entries[t].dir;
		strcpy(name, entries[t].name);
	}
	t = find_entry(to, name);
	target = t >= 0 ? entries[t].object : -1;
	if (objects[v].v.type == TD_DIR && inside(to, v))
		return;
	if (target == v || (t < 0 && flags))
		return;
	if (target >= 0 && flags && objects[target].v.type == TD_DIR && inside(from, target))
		return;
	if (target >= 0 && !flags &&
	    (objects[target].v.type == TD_DIR) != (objects[v].v.type == TD_DIR))
		return;
	if (target >= 0 && objects[target].v.type == TD_DIR && !flags && from == target)
		return;
	strcpy(old, entries[e].name);
	RUN(err, s_rename(&objects[from].v, old, &objects[to].v, name, &objects[v].v,
			  target >= 0 ? &objects[target].v : 0, flags));
	if (target >= 0 && !flags && objects[target].v.type == TD_DIR && !empty(target)) {
		if (err != -TD_ENOTEMPTY)
			bad("rename onto a directory with names: %d", err);
		return;
	}
	if (err && (target >= 0 || !full(err, 5)))
		bad("rename: %d", err);
	if (err)
		return;
	if (target >= 0 && flags)
		moved(t, from, old);
	else if (target >= 0)
		entries[t].used = 0;
	moved(e, to, name);
	check_record(from);
	check_record(to);
	check_record(v);
	check_record(target);
}

static void do_inactive(void)
{
	for (int o = 0; o < OBJECTS; o++) {
		struct td_vnode v;
		int err;
		if (!objects[o].used || objects[o].v.nlink || rnd(2))
			continue;
		RUN(err, s_inactive(&objects[o].v));
		if (err)
			bad("inactive: %d", err);
		if (s_getvnode(objects[o].v.fid, &v) != -TD_ESTALE)
			bad("a freed inode is still there");
		free(objects[o].target);
		objects[o].target = 0;
		objects[o].used = 0;
		return;
	}
}

/* ---- Content */

static uint64_t *stamp(uint64_t pblk)
{
	return (uint64_t *)(fk.dev + pblk * BLOCK);
}

static int slot_of(uint64_t lblk)
{
	for (int w = 0; w < WINDOWS; w++)
		if (lblk >= windows[w] && lblk < windows[w] + WINDOW)
			return w * WINDOW + (int)(lblk - windows[w]);
	return -1;
}

static void check_extents(struct object *o, uint64_t lblk, uint64_t count,
			  const struct td_extent *e, uint32_t n, int fresh)
{
	uint64_t end = lblk + count;

	if (!n || n > 32)
		bad("%u extents", n);
	for (uint32_t i = 0; i < n && !wrong[0]; i++) {
		if (e[i].lblk != lblk || !e[i].count || e[i].count > end - lblk)
			bad("extent %u at %llu, not at %llu", i, (unsigned long long)e[i].lblk,
			    (unsigned long long)lblk);
		for (uint64_t j = 0; j < e[i].count && !wrong[0]; j++, lblk++) {
			int s = slot_of(lblk);
			uint64_t want = s < 0 ? 0 : o->map[s];
			if (e[i].state == TD_NEW && fresh && !want && s >= 0) {
				o->map[s] = e[i].pblk + j;
				stamp(e[i].pblk + j)[0] = o->v.fid;
				stamp(e[i].pblk + j)[1] = lblk;
			} else if (e[i].state == TD_HOLE
					   ? want != 0 || fresh || e[i].pblk
					   : want != e[i].pblk + j || e[i].state != TD_DATA) {
				bad("block %llu: %llu, not %llu; state %u",
				    (unsigned long long)lblk, (unsigned long long)(e[i].pblk + j),
				    (unsigned long long)want, e[i].state);
			} else if (want && (stamp(want)[0] != o->v.fid || stamp(want)[1] != lblk)) {
				bad("block %llu was overwritten", (unsigned long long)lblk);
			}
			if (s < 0) { /* a wide hole */
				lblk = e[i].lblk + e[i].count;
				break;
			}
		}
	}
}

static uint64_t pick_lblk(uint32_t *count)
{
	uint32_t at = rnd(WINDOW), w = rnd(WINDOWS);

	*count = 1 + rnd(rnd(3) ? 4 : WINDOW);
	if (*count > WINDOW - at)
		*count = WINDOW - at;
	return windows[w] + at;
}

static void do_balloc(void)
{
	int o = pick(TD_REG, 1), err;
	struct td_extent e[32];
	uint32_t count, n;

	if (o < 0)
		return;
	uint64_t lblk = pick_lblk(&count);
	RUN(err, s_balloc(&objects[o].v, lblk, count, e, &n));
	if (err) {
		if (!full(err, 5))
			bad("balloc: %d", err);
		return;
	}
	check_extents(&objects[o], lblk, count, e, n, 1);
	check_record(o);
}

static void do_bmap(void)
{
	int o = pick(TD_REG, 1), err;
	struct td_extent e[32];
	uint32_t count, n;

	if (o < 0)
		return;
	uint64_t lblk = pick_lblk(&count), many = rnd(3) ? count : 1ull << rnd(52);
	if (many > (1ull << 51) - lblk)
		many = (1ull << 51) - lblk;
	RUN(err, s_bmap(&objects[o].v, lblk, many, e, &n));
	if (err)
		bad("bmap: %d", err);
	else
		check_extents(&objects[o], lblk, many, e, n, 0);
}

static void do_bunmap(void)
{
	int o = pick(TD_REG, 1), err;
	uint32_t count;

	if (o < 0)
		return;
	uint64_t lblk = pick_lblk(&count), many = rnd(8) ? count : TD_TO_END;
	RUN(err, s_bunmap(&objects[o].v, lblk, many));
	if (err) {
		if (!full(err, 3) || many == TD_TO_END)
			bad("bunmap: %d", err);
		return;
	}
	for (int s = 0; s < WINDOW * WINDOWS; s++) {
		uint64_t at = windows[s / WINDOW] + (uint64_t)s % WINDOW;
		if (at >= lblk && at - lblk < many)
			objects[o].map[s] = 0;
	}
	check_record(o);
}

/* ---- Attributes */

static void xvalue(uint8_t *to, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		to[i] = (uint8_t)(seed + i * 7 + i / 256);
}

static void xname(char *name, int x)
{
	static const uint32_t lens[XATTRS] = { 6, 10, 20, 60, 200, 255 };

	memset(name, 'n', 256);
	memcpy(name, "user.", 5);
	name[5] = (char)('0' + x);
	name[lens[x]] = 0;
}

static void do_setxattr(void)
{
	int o = pick(0, 1), x = (int)rnd(XATTRS), err, want = 0;
	static uint8_t value[65536];
	uint32_t len = rnd(2)	? rnd(120)
		       : rnd(3) ? rnd(700)
				: rnd(65537),
		 seed = rnd(250), flags = rnd(3);
	char name[256];

	if (o < 0)
		return;
	xname(name, x);
	xvalue(value, len, seed);
	if (flags == TD_XATTR_CREATE && objects[o].xset[x])
		want = -TD_EEXIST;
	if (flags == TD_XATTR_REPLACE && !objects[o].xset[x])
		want = -TD_ENODATA;
	RUN(err, s_setxattr(&objects[o].v, name, value, len, flags));
	if (err != want && !(!want && full(err, 21)))
		bad("setxattr: %d, not %d", err, want);
	if (err)
		return;
	objects[o].xset[x] = 1;
	objects[o].xlen[x] = len;
	objects[o].xseed[x] = seed;
	check_record(o);
}

static void do_removexattr(void)
{
	int o = pick(0, 1), x = (int)rnd(XATTRS), err;
	char name[256];

	if (o < 0)
		return;
	xname(name, x);
	RUN(err, s_removexattr(&objects[o].v, name));
	if (err != (objects[o].xset[x] ? 0 : -TD_ENODATA))
		bad("removexattr: %d", err);
	objects[o].xset[x] = 0;
	check_record(o);
}

static void do_getxattr(void)
{
	int o = pick(0, 1), x = (int)rnd(XATTRS), err;
	static uint8_t value[65536], want[65536];
	uint32_t len = sizeof(value), total = 0, listed = 4096;
	char name[256], names[4096];

	if (o < 0)
		return;
	xname(name, x);
	RUN(err, (len = sizeof(value), s_getxattr(&objects[o].v, name, value, &len)));
	if (err != (objects[o].xset[x] ? 0 : -TD_ENODATA))
		bad("getxattr: %d", err);
	if (!err) {
		xvalue(want, objects[o].xlen[x], objects[o].xseed[x]);
		if (len != objects[o].xlen[x] || memcmp(value, want, len))
			bad("attribute %d of object %d differs", x, o);
		len = len ? len - 1 : 0;
		if (objects[o].xlen[x] &&
		    s_getxattr(&objects[o].v, name, value, &len) != -TD_ERANGE)
			bad("getxattr into too little room");
	}
	for (int i = 0; i < XATTRS; i++) {
		xname(name, i);
		total += objects[o].xset[i] ? (uint32_t)strlen(name) + 1 : 0;
	}
	RUN(err, (listed = sizeof(names), s_listxattr(&objects[o].v, names, &listed)));
	if (err || listed != total)
		bad("listxattr: %d, %u bytes, not %u", err, listed, total);
	listed = total ? total - 1 : 0;
	if (total && s_listxattr(&objects[o].v, names, &listed) != -TD_ERANGE)
		bad("listxattr into too little room");
}

/* ---- Looking */

static void do_readdir(void)
{
	int dir = pick(TD_DIR, 0), err = 0, seen[NAMES] = { 0 };
	uint64_t cookie = 0, last = 0;
	uint32_t len;

	s_out_size = 24 + 256 + rnd(2000);
	do {
		RUN(err, s_readdir(&objects[dir].v, cookie, &len));
		for (uint32_t at = 0; !err && at < len;) {
			struct td_dirent *d = (void *)(DATA + at);
			char name[256] = "";
			memcpy(name, d + 1, d->len);
			int e = find_entry(dir, name);
			if (e < 0 || seen[e]++ || d->cookie <= last || d->cookie >> 63 ||
			    d->fid != objects[entries[e].object].v.fid ||
			    d->type != objects[entries[e].object].v.type)
				bad("readdir: entry %s", name);
			cookie = last = d->cookie;
			at += (uint32_t)sizeof(*d) + ((d->len + 7) & ~7u);
		}
	} while (!err && len && !wrong[0]);
	s_out_size = TD_WINDOW;
	for (int e = 0; e < NAMES && !err; e++)
		if (entries[e].used && entries[e].dir == dir && !seen[e])
			bad("readdir: %s is missing", entries[e].name);
	if (err)
		bad("readdir: %d", err);
}

static void do_lookup(void)
{
	int dir = pick(TD_DIR, 0), err, e;
	char name[256], target[4097];
	uint64_t fid;

	make_name(name);
	if (rnd(2) && (e = pick_entry()) >= 0) {
		dir = entries[e].dir;
		strcpy(name, entries[e].name);
	}
	e = find_entry(dir, name);
	RUN(err, s_lookup(&objects[dir].v, name, &fid));
	if (err != (e < 0 ? -TD_ENOENT : 0) || (!err && fid != objects[entries[e].object].v.fid))
		bad("lookup of %s: %d", name, err);
	RUN(err, s_lookup(&objects[dir].v, "..", &fid));
	if (err || fid != objects[objects[dir].parent].v.fid)
		bad("lookup of ..: %d", err);
	int link = pick(TD_LNK, 1);
	if (link < 0)
		return;
	RUN(err, s_readlink(&objects[link].v, target));
	if (err || strcmp(target, objects[link].target))
		bad("readlink: %d", err);
}

static void do_update(void)
{
	int o = pick(0, 1), err;

	if (o < 0)
		return;
	struct td_vnode v = objects[o].v;
	v.mode = rnd(4096);
	v.uid = rnd(1000);
	v.atime.sec = -5;
	if (v.type == TD_REG)
		v.size = rng >> 1;
	RUN(err, s_update(&v));
	if (err)
		bad("update: %d", err);
	objects[o].v = v;
	check_record(o);
}

static void do_restart(void)
{
	struct td_fsinfo info;
	int err;

	fk_restart();
	RUN(err, s_mount(0, rnd(2), &info));
	if (err || info.root != objects[0].v.fid)
		bad("mount: %d", err);
}

static void check_device(void)
{
	uint64_t orphans[OBJECTS];
	uint32_t n = 0;

	for (int o = 0; o < OBJECTS; o++)
		if (objects[o].used && !objects[o].v.nlink)
			orphans[n++] = objects[o].v.fid;
	const char *why = smfs_sound(fk.dev, fk.blocks, orphans, n);
	if (why)
		bad("op %u: %s", ((struct td_frame *)s_frame)->op, why);
}

/* Fill the device, empty it, again and again. */
static void one_step(void)
{
	static void (*const making[])(void) = { do_make,   do_make,   do_link,	  do_balloc,
						do_balloc, do_balloc, do_setxattr };
	static void (*const breaking[])(void) = { do_remove, do_remove, do_inactive,   do_inactive,
						  do_bunmap, do_bunmap, do_removexattr };
	static void (*const looking[])(void) = { do_rename,  do_rename, do_bmap,   do_getxattr,
						 do_readdir, do_lookup, do_update, do_restart };

	if (step % 400 == 0)
		filling = rnd(4) != 0;
	uint32_t what = rnd(10);
	fk.slot = rnd(64);
	if (what < 4)
		looking[rnd(8)]();
	else if (what < (filling ? 9u : 5u))
		making[rnd(7)]();
	else
		breaking[rnd(7)]();
	if (!wrong[0])
		check_device();
}

const char *smfs_model(const struct run *run)
{
	struct td_fsinfo info;

	r = run;
	wrong[0] = 0;
	rng = run->seed * 0x9e3779b97f4a7c15 + 1;
	memset(objects, 0, sizeof(objects));
	memset(entries, 0, sizeof(entries));
	before = calloc(run->blocks, BLOCK);
	fk_open(run->blocks, run->views);
	fk.undo = run->undo;
	s_maxfiles = run->maxfiles;
	step = 0;
	if (s_mount(0, 1, &info) || s_getvnode(info.root, &objects[0].v))
		bad("mount");
	objects[0].used = 1;
	for (step = 1; step <= run->steps && !wrong[0]; step++)
		one_step();
	for (int o = 0; o < OBJECTS; o++)
		free(objects[o].target);
	free(before);
	fk_close();
	s_maxfiles = 0;
	return wrong[0] ? wrong : 0;
}
