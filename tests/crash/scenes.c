/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenes of the crash test: see scenes.h. */
#include "scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

static const struct td_cred root = { 0 };
static const struct td_in none = { 0, 0 };
static uint8_t bytes[1 << 20];

static struct td_name text(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

/* An error ends the test, unless the disk is in trouble; a full device never does. */
static int want(struct stage *st, int64_t result, const char *what)
{
	if (result < 0 && st->strict && result != -TD_ENOSPC) {
		fprintf(stderr, "step %u: %s: error %lld\n", st->step, what, (long long)-result);
		abort();
	}
	return result < 0;
}

/* The directory that a path is in, and its last name. A reference is held unless it is the root. */
static td_handle parent(struct stage *st, const char *path, const char **name)
{
	const char *slash = strchr(path, '/');
	td_attr a;

	*name = slash ? slash + 1 : path;
	if (!slash)
		return td_fs_root(st->fs);
	if (want(st, td_lookup(st->fs, &root, td_fs_root(st->fs), (struct td_name){ (const uint8_t *)path, (uint32_t)(slash - path) }, &a),
		 path))
		return 0;
	return a.handle;
}

static void leave(struct stage *st, td_handle dir)
{
	if (dir != td_fs_root(st->fs))
		td_forget(st->fs, dir, 1);
}

static td_handle find(struct stage *st, const char *path)
{
	const char *name;
	td_handle dir = parent(st, path, &name);
	td_attr a;
	int bad = want(st, td_lookup(st->fs, &root, dir, text(name), &a), path);

	leave(st, dir);
	return bad ? 0 : a.handle;
}

static void make(struct stage *st, const char *path, uint32_t type, struct td_in target)
{
	const char *name;
	td_handle dir = parent(st, path, &name);
	td_attr a;

	if (!want(st, td_make(st->fs, &root, dir, text(name), type, type == TD_DIR ? 0755 : 0644, 0, target, &a), path))
		td_forget(st->fs, a.handle, 1);
	leave(st, dir);
}

static void drop(struct stage *st, const char *path)
{
	const char *name;
	td_handle dir = parent(st, path, &name);

	want(st, td_unlink(st->fs, &root, dir, text(name)), path);
	leave(st, dir);
}

static void drop_dir(struct stage *st, const char *path)
{
	want(st, td_rmdir(st->fs, &root, td_fs_root(st->fs), text(path)), path);
}

static void move(struct stage *st, const char *from, const char *to, uint32_t flags)
{
	const char *old, *new;
	td_handle a = parent(st, from, &old), b = parent(st, to, &new);

	want(st, td_rename(st->fs, &root, a, text(old), b, text(new), flags), from);
	leave(st, a);
	leave(st, b);
}

static void name_again(struct stage *st, const char *from, const char *to)
{
	const char *name;
	td_handle v = find(st, from), dir = parent(st, to, &name);
	td_attr a;

	if (!want(st, td_link(st->fs, &root, v, dir, text(name), &a), to))
		td_forget(st->fs, a.handle, 1);
	td_forget(st->fs, v, 1);
	leave(st, dir);
}

/* Bytes that say what wrote them: no two steps write the same. */
static void put(struct stage *st, const char *path, uint64_t off, uint64_t len)
{
	td_handle v = find(st, path);

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(1 + (st->step * 37 + (off + i) / 512 * 11 + i % 7) % 255);
	want(st, td_write(st->fs, &root, v, off, bytes, len), path);
	td_forget(st->fs, v, 1);
}

/* Fill the device with one file, at once, but for so much: nothing else is free then. */
static void leave_room(struct stage *st, const char *path, uint64_t room)
{
	td_handle v = find(st, path);
	struct td_fsinfo info = { 0 };
	uint64_t len;
	uint8_t *all;

	td_statfs(st->fs, &info);
	len = info.bfree * 4096;
	len -= len < room ? len : room;
	all = malloc(len + 1);
	if (!all)
		abort();
	memset(all, 'z', len);
	want(st, td_write(st->fs, &root, v, 0, all, len), path);
	free(all);
	td_forget(st->fs, v, 1);
}

static void set_size(struct stage *st, const char *path, uint64_t size)
{
	td_handle v = find(st, path);
	td_attr set = { .size = size }, out;

	want(st, td_setattr(st->fs, &root, v, TD_SET_SIZE, &set, &out), path);
	td_forget(st->fs, v, 1);
}

static void reserve(struct stage *st, const char *path, uint64_t off, uint64_t len, uint32_t mode)
{
	td_handle v = find(st, path);

	want(st, td_fallocate(st->fs, &root, v, off, len, mode), path);
	td_forget(st->fs, v, 1);
}

static void set_xattr(struct stage *st, const char *path, const char *name, uint32_t len)
{
	td_handle v = find(st, path);

	memset(bytes, (int)st->step + 1, len);
	want(st, td_setxattr(st->fs, &root, v, text(name), (struct td_in){ bytes, len }, 0), path);
	td_forget(st->fs, v, 1);
}

static void drop_xattr(struct stage *st, const char *path, const char *name)
{
	td_handle v = find(st, path);

	want(st, td_removexattr(st->fs, &root, v, text(name)), path);
	td_forget(st->fs, v, 1);
}

static void hold(struct stage *st, const char *path, int n)
{
	st->held[n] = find(st, path);
}

static void let_go(struct stage *st, int n)
{
	td_forget(st->fs, st->held[n], 1);
	st->held[n] = 0;
}

static void sync_file(struct stage *st, const char *path)
{
	td_handle v = find(st, path);

	st->acknowledged = !want(st, td_fsync(st->fs, v), "fsync");
	td_forget(st->fs, v, 1);
}

static void sync_all(struct stage *st)
{
	st->acknowledged = !want(st, td_sync(st->fs), "sync");
}

/* ---- Scenes */

enum { K = 1024 };
#define STEPS switch (st->step)
#define END default: st->over = 1

static void names(struct stage *st)
{
	static const char long_target[3000] = { [0 ... 2998] = 'x' };

	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: make(st, "d", TD_DIR, none); break;
	case 2: sync_file(st, "a"); break;
	case 3: make(st, "d/b", TD_REG, none); break;
	case 4: name_again(st, "a", "d/a2"); break;
	case 5: move(st, "d/b", "c", 0); break;
	case 6: sync_file(st, "c"); break;
	case 7: make(st, "e", TD_DIR, none); break;
	case 8: move(st, "d", "e", 0); break;
	case 9: move(st, "a", "c", TD_RENAME_EXCHANGE); break;
	case 10: make(st, "l", TD_LNK, (struct td_in){ long_target, sizeof(long_target) }); break;
	case 11: make(st, "p", TD_FIFO, none); break;
	case 12: sync_all(st); break;
	case 13: move(st, "a", "c", 0); break;
	case 14: drop(st, "e/a2"); break;
	case 15: drop(st, "l"); break;
	case 16: drop_dir(st, "e"); break;
	case 17: sync_file(st, "c"); break;
	case 18: drop(st, "c"); break;
	case 19: make(st, "c", TD_REG, none); break;
	case 20: sync_all(st); break;
	END;
	}
}

static void small_data(struct stage *st)
{
	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: put(st, "a", 0, 100); break;
	case 2: sync_file(st, "a"); break;
	case 3: put(st, "a", 100, 5000); break;
	case 4: sync_file(st, "a"); break;
	case 5: put(st, "a", 50, 4096); break;
	case 6: sync_file(st, "a"); break;
	case 7: put(st, "a", 20 * K, 3 * K); break;
	case 8: set_size(st, "a", 30 * K); break;
	case 9: sync_file(st, "a"); break;
	case 10: set_size(st, "a", 3 * K); break;
	case 11: put(st, "a", 2 * K, 9 * K); break;
	case 12: sync_file(st, "a"); break;
	case 13: reserve(st, "a", 4 * K, 4 * K, TD_FALLOC_PUNCH_HOLE | TD_FALLOC_KEEP_SIZE); break;
	case 14: reserve(st, "a", 0, 40 * K, 0); break;
	case 15: put(st, "a", 30 * K, 4 * K); break;
	case 16: sync_all(st); break;
	case 17: set_size(st, "a", 0); break;
	case 18: put(st, "a", 0, 6 * K); break;
	case 19: sync_file(st, "a"); break;
	END;
	}
}

static void large_data(struct stage *st)
{
	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: put(st, "a", 0, 400 * K); break;
	case 2: sync_file(st, "a"); break;
	case 3: put(st, "a", 100 * K, 300 * K); break;
	case 4: put(st, "a", 400 * K, 20 * K); break;
	case 5: sync_file(st, "a"); break;
	case 6: set_size(st, "a", 10 * K); break;
	case 7: put(st, "a", 10 * K, 300 * K); break;
	case 8: sync_file(st, "a"); break;
	END;
	}
}

/* Blocks go from file to file, with and without a commit in between; there are no others. */
static void reuse(struct stage *st)
{
	STEPS {
	case 0: make(st, "z", TD_REG, none); break;
	case 1: leave_room(st, "z", 360 * K); break;
	case 2: make(st, "a", TD_REG, none); break;
	case 3: put(st, "a", 0, 300 * K); break;
	case 4: sync_all(st); break;
	case 5: drop(st, "a"); break;
	case 6: make(st, "b", TD_REG, none); break;
	case 7: put(st, "b", 0, 300 * K); break;
	case 8: sync_file(st, "b"); break;
	case 9: drop(st, "b"); break;
	case 10: sync_all(st); break;
	case 11: make(st, "c", TD_REG, none); break;
	case 12: put(st, "c", 0, 250 * K); break;
	case 13: sync_file(st, "c"); break;
	case 14: set_size(st, "c", 0); break;
	case 15: make(st, "d", TD_DIR, none); break;
	case 16: set_xattr(st, "d", "user.x", 60000); break;
	case 17: sync_all(st); break;
	case 18: drop_xattr(st, "d", "user.x"); break;
	case 19: put(st, "c", 0, 300 * K); break;
	case 20: sync_file(st, "c"); break;
	END;
	}
}

/* The same, few enough not to be committed at once, in transactions that have much to write in place, which goes early. */
static void reuse_and_write(struct stage *st)
{
	STEPS {
	case 0: make(st, "z", TD_REG, none); break;
	case 1: put(st, "z", 0, 400 * K); break;
	case 2: make(st, "y", TD_REG, none); break;
	case 3: leave_room(st, "y", 360 * K); break;
	case 4: make(st, "a", TD_REG, none); break;
	case 5: put(st, "a", 0, 300 * K); break;
	case 6: sync_all(st); break;
	case 7: drop(st, "a"); break;
	case 8: make(st, "b", TD_REG, none); break;
	case 9: put(st, "b", 0, 100 * K); break;
	case 10: put(st, "z", 0, 300 * K); break;
	case 11: sync_file(st, "b"); break;
	case 12: put(st, "b", 0, 60 * K); break;
	case 13: sync_file(st, "b"); break;
	case 14: put(st, "b", 0, 300 * K); break;
	case 15: put(st, "z", 100 * K, 300 * K); break;
	case 16: sync_file(st, "b"); break;
	case 17: drop(st, "z"); break;
	case 18: make(st, "c", TD_REG, none); break;
	case 19: put(st, "c", 0, 100 * K); break;
	case 20: put(st, "b", 0, 280 * K); break;
	case 21: sync_all(st); break;
	END;
	}
}

/* A transaction that is larger than its slot of the log: blocks that were freed in it, filled again. */
static void overflow(struct stage *st)
{
	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: put(st, "a", 0, 900 * K); break;
	case 2: sync_all(st); break;
	case 3: drop(st, "a"); break;
	case 4: make(st, "b", TD_REG, none); break;
	case 5: put(st, "b", 0, 1000 * K); break;
	case 6: sync_file(st, "b"); break;
	case 7: make(st, "c", TD_REG, none); break;
	case 8: sync_all(st); break;
	case 9: drop(st, "c"); break;
	case 10: sync_all(st); break;
	case 11: make(st, "c", TD_REG, none); break;
	case 12: sync_all(st); break;
	END;
	}
}

static void orphans(struct stage *st)
{
	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: put(st, "a", 0, 30 * K); break;
	case 2: set_xattr(st, "a", "user.x", 5000); break;
	case 3: hold(st, "a", 0); break;
	case 4: drop(st, "a"); break;
	case 5: make(st, "b", TD_REG, none); break;
	case 6: sync_file(st, "b"); break;
	case 7: make(st, "d", TD_DIR, none); break;
	case 8: hold(st, "d", 1); break;
	case 9: drop_dir(st, "d"); break;
	case 10: sync_file(st, "b"); break;
	case 11: let_go(st, 0); break;
	case 12: make(st, "c", TD_REG, none); break;
	case 13: sync_all(st); break;
	case 14: let_go(st, 1); break;
	case 15: sync_all(st); break;
	END;
	}
}

static void many_names(struct stage *st)
{
	char name[80];

	if (st->step < 70) {
		snprintf(name, sizeof(name), "a-name-that-takes-room-in-its-directory-%u", st->step);
		make(st, name, st->step % 5 ? TD_REG : TD_DIR, none);
	} else if (st->step == 70 || st->step == 100) {
		sync_all(st);
	} else if (st->step < 100) {
		snprintf(name, sizeof(name), "a-name-that-takes-room-in-its-directory-%u", st->step - 70);
		if ((st->step - 70) % 5)
			drop(st, name);
		else
			drop_dir(st, name);
	} else {
		st->over = 1;
	}
}

/* The device fills up. */
static void full(struct stage *st)
{
	STEPS {
	case 0: make(st, "a", TD_REG, none); break;
	case 1: make(st, "b", TD_REG, none); break;
	case 2 ... 7: put(st, "a", (uint64_t)(st->step - 2) * 1000 * K, 1000 * K); break;
	case 8: sync_file(st, "a"); break;
	case 9: put(st, "b", 0, 100 * K); break;
	case 10: make(st, "c", TD_DIR, none); break;
	case 11: sync_all(st); break;
	case 12: drop(st, "a"); break;
	case 13: put(st, "b", 0, 300 * K); break;
	case 14: sync_file(st, "b"); break;
	END;
	}
}

static void any(struct stage *st)
{
	static const char *const all[] = { "a", "b", "c", "d/e", "d/f", "g" };
	uint64_t *r = &st->seed;
	const char *one = all[next_random(r) % 6], *other = all[next_random(r) % 6];
	int strict = st->strict;

	if (st->step == 0) {
		make(st, "d", TD_DIR, none);
		return;
	}
	st->strict = 0; /* names that are there or not */
	switch (next_random(r) % 14) {
	case 0: case 1: make(st, one, TD_REG, none); break;
	case 2: case 3: case 4: put(st, one, next_random(r) % (40 * K), 1 + next_random(r) % (20 * K)); break;
	case 5: put(st, one, next_random(r) % (100 * K), 1 + next_random(r) % (200 * K)); break;
	case 6: drop(st, one); break;
	case 7: move(st, one, other, next_random(r) % 4 ? 0 : TD_RENAME_EXCHANGE); break;
	case 8: name_again(st, one, other); break;
	case 9: set_size(st, one, next_random(r) % (60 * K)); break;
	case 10: set_xattr(st, one, "user.x", (uint32_t)(next_random(r) % 9000)); break;
	case 11: drop_xattr(st, one, "user.x"); break;
	case 12: sync_file(st, one); break;
	case 13: sync_all(st); break;
	}
	st->strict = strict;
	st->over = st->step == 40;
}

const struct scene scenes[] = {
	{ "names", names, 0 },           { "small-data", small_data, 0 }, { "large-data", large_data, 0 },
	{ "reuse", reuse, 0 },           { "reuse-and-write", reuse_and_write, 0 }, { "overflow", overflow, 0 },
	{ "orphans", orphans, 0 },       { "many-names", many_names, 0 }, { "full", full, 0 },
	{ "random", any, 1 },            { 0 },
};
