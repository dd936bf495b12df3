/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many threads make, move and remove the same few names. Each call may only fail in ways that such a race
 * explains, and when all is over the tree must be whole: every name leads to a file, every file has as many names
 * as it says, every directory as many links as it has subdirectories.
 */
#include "util.h"

enum { THREADS = 4, ROUNDS = 1500, DIRS = 4, NAMES = 12, LIMIT = 4096 };

static bool expected(int err)
{
	switch (-err) {
	case 0:
	case ENOENT:
	case EEXIST:
	case ENOTEMPTY:
	case EISDIR:
	case ENOTDIR:
	case EINVAL: /* a directory into itself */
	case EPERM:  /* link of a directory */
	case ELOOP: /* a symbolic link where it is not to be followed */ return true;
	default: return false;
	}
}

/* Any of the names: in one of the directories, or in a directory that may come and go there. */
static void any(uint64_t *seed, char *out, size_t size)
{
	int d = (int)(chance(seed) % DIRS), n = (int)(chance(seed) % NAMES);

	if (chance(seed) % 4)
		snprintf(out, size, "d%d/n%d", d, n);
	else
		snprintf(out, size, "d%d/n%d/n%d", d, n, (int)(chance(seed) % NAMES));
}

static int one(uint64_t *seed)
{
	char a[64], b[64];
	struct stat st;
	int fd;

	any(seed, a, sizeof(a));
	any(seed, b, sizeof(b));
	switch (chance(seed) % 12) {
	case 0:
	case 1:
		fd = fs->open(a, O_CREAT | O_RDWR | O_NOFOLLOW, 0666);
		if (fd < 0)
			return fd;
		fs->write(fd, a, strlen(a));
		return fs->close(fd);
	case 2:
	case 3: return fs->mkdir(a, 0777);
	case 4: return fs->unlink(a);
	case 5: return fs->rmdir(a);
	case 6: return fs->link(a, b, 0);
	case 7: return fs->rename(a, b, RENAME_EXCHANGE);
	case 8: return fs->rename(a, b, RENAME_NOREPLACE);
	case 9: return fs->symlink(b, a);
	case 10: return fs->lstat(a, &st);
	default: return fs->rename(a, b, 0);
	}
}

static void storm(void *arg, int index)
{
	uint64_t seed = test_seed(300 + (uint64_t)index);

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int err = one(&seed);

		check_case(expected(err), "round %d: %s", i, error_name(-err));
	}
}

/* ---- The final check */

struct file {
	ino_t ino;
	nlink_t nlink, names;
};

struct census {
	struct file files[LIMIT];
	int n;
};

static void count_name(struct census *c, const struct stat *st)
{
	for (int i = 0; i < c->n; i++) {
		if (c->files[i].ino == st->st_ino) {
			c->files[i].names++;
			return;
		}
	}
	check(c->n < LIMIT);
	c->files[c->n++] = (struct file){ st->st_ino, st->st_nlink, 1 };
}

static void walk(struct census *c, const char *path)
{
	struct dent *ents = get_memory(64 * sizeof(*ents));
	int fd = (int)ok(fs->open(path, O_RDONLY | O_DIRECTORY, 0));
	struct stat self = look_fd(fd);
	nlink_t subdirs = 0;
	int n;

	while ((n = (int)ok(fs->readdir(fd, ents, 64)))) {
		for (int i = 0; i < n; i++) {
			char sub[4096];
			struct stat st;

			if (!strcmp(ents[i].name, ".")) {
				equal(self.st_ino, ents[i].ino);
				continue;
			}
			snprintf(sub, sizeof(sub), "%s/%s", path, ents[i].name);
			st = look(sub);
			equal(st.st_ino, ents[i].ino);
			if (!strcmp(ents[i].name, ".."))
				continue;
			equal(st.st_mode & S_IFMT, ents[i].type);
			if (S_ISDIR(st.st_mode)) {
				snprintf(sub, sizeof(sub), "%s/%s/..", path, ents[i].name);
				equal(self.st_ino, look(sub).st_ino);
				snprintf(sub, sizeof(sub), "%s/%s", path, ents[i].name);
				subdirs++;
				walk(c, sub);
			} else {
				count_name(c, &st);
			}
		}
	}
	ok(fs->close(fd));
	free(ents);
	check_case(self.st_nlink == subdirs + 2, "%s has %ld links and %ld subdirectories", path,
		   (long)self.st_nlink, (long)subdirs);
}

static void census(void)
{
	struct census *c = get_memory(sizeof(*c));

	walk(c, ".");
	for (int i = 0; i < c->n; i++)
		check_case(c->files[i].nlink == c->files[i].names,
			   "a file says it has %ld names, and has %ld", (long)c->files[i].nlink,
			   (long)c->files[i].names);
	free(c);
}

TEST(storm, names, 0)
{
	char name[8];

	for (int i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		dir(name);
	}
	run_threads(THREADS, storm, NULL);
	census();
}

/* Directories move across each other: no two of them may end up inside one another. */
static void move_directories(void *arg, int index)
{
	uint64_t seed = test_seed(400 + (uint64_t)index);
	char a[64], b[64];

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int x = (int)(chance(&seed) % 6), y = (int)(chance(&seed) % 6), err;

		if (chance(&seed) % 3) {
			snprintf(a, sizeof(a), "p%d/s", x);
			snprintf(b, sizeof(b), "p%d/s", y);
		} else {
			snprintf(a, sizeof(a), "p%d/s", x);
			snprintf(b, sizeof(b), "p%d/s/s", y);
		}
		err = fs->rename(a, b, chance(&seed) % 3 ? 0 : RENAME_EXCHANGE);
		check_case(expected(err), "rename(%s, %s): %s", a, b, error_name(-err));
		if (chance(&seed) % 4 == 0)
			fs->mkdir(a, 0777);
	}
}

TEST(storm, directories, 0)
{
	char name[8];

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		dir(name);
		snprintf(name, sizeof(name), "p%d/s", i);
		dir(name);
	}
	run_threads(THREADS, move_directories, NULL);
	census();
}

/* A name that is replaced by rename is there at every moment. */
static void replace_and_look(void *arg, int index)
{
	char name[16];

	(void)arg;
	snprintf(name, sizeof(name), "new%d", index);
	for (int i = 0; i < ROUNDS; i++) {
		if (index < 2) {
			put(name, "text");
			ok(fs->rename(name, "target", 0));
		} else {
			expect_text("target", "text");
		}
	}
}

TEST(storm, replaced_name_is_always_there, 0)
{
	put("target", "text");
	run_threads(THREADS, replace_and_look, NULL);
	equal(1, look("target").st_nlink);
}

/* Of several threads that make, link, move or remove the same name, exactly one succeeds each time. */
static int won[4][ROUNDS];

static void race(void *arg, int index)
{
	char name[16], own[16];

	(void)arg;
	snprintf(own, sizeof(own), "own%d", index);
	for (int i = 0; i < ROUNDS / 4; i++) {
		int fd, err;

		snprintf(name, sizeof(name), "x%d", i);
		fd = fs->open(name, O_CREAT | O_EXCL | O_WRONLY, 0666);
		check(fd >= 0 || fd == -EEXIST);
		if (fd >= 0) {
			__atomic_add_fetch(&won[0][i], 1, __ATOMIC_RELAXED);
			ok(fs->close(fd));
		}
		snprintf(name, sizeof(name), "l%d", i);
		err = fs->link("base", name, 0);
		check(!err || err == -EEXIST);
		__atomic_add_fetch(&won[1][i], !err, __ATOMIC_RELAXED);
		put(own, "");
		snprintf(name, sizeof(name), "r%d", i);
		err = fs->rename(own, name, RENAME_NOREPLACE);
		check(!err || err == -EEXIST);
		__atomic_add_fetch(&won[2][i], !err, __ATOMIC_RELAXED);
		snprintf(name, sizeof(name), "l%d", i);
		err = fs->unlink(name);
		check(!err || err == -ENOENT);
		__atomic_add_fetch(&won[3][i], !err, __ATOMIC_RELAXED);
	}
}

TEST(storm, one_winner, 0)
{
	memset(won, 0, sizeof(won));
	put("base", "");
	run_threads(THREADS, race, NULL);
	for (int i = 0; i < ROUNDS / 4; i++) {
		equal(1, won[0][i]);
		equal(1, won[2][i]);
		/* A link may be made again after it was removed: as often removed as made. */
		equal(won[1][i], won[3][i] + there("base") - 1);
	}
	equal(1, look("base").st_nlink);
}

/* Files that are open while their names go: content and space stay until the last close. */
static void open_and_unlink(void *arg, int index)
{
	uint8_t data[5000], got[5000];
	char name[16];

	(void)arg;
	for (int i = 0; i < ROUNDS / 5; i++) {
		int fd;

		snprintf(name, sizeof(name), "f%d", (index + i) % 3);
		fd = (int)ok(fs->open(name, O_CREAT | O_RDWR, 0666));
		pattern(data, sizeof(data), 0, (uint64_t)index);
		if (index < 2)
			fs->unlink(name);
		snprintf(name, sizeof(name), "own%d", index);
		ok(fs->close(fd));
		fd = (int)ok(fs->open(name, O_CREAT | O_EXCL | O_RDWR, 0666));
		ok(fs->unlink(name));
		write_all(fd, data, sizeof(data), 0);
		equal(sizeof(got), read_all(fd, got, sizeof(got), 0));
		check(!memcmp(data, got, sizeof(data)));
		ok(fs->close(fd));
	}
}

TEST(storm, open_and_unlink, 0)
{
	run_threads(THREADS, open_and_unlink, NULL);
	census();
}
