/* SPDX-License-Identifier: BSD-2-Clause */
/* Listing directories: complete, and stable while names come and go. */
#include "util.h"

enum { MAX = 4000 };

/* What a listing has shown: how often each of n numbered names. */
struct seen {
	int n;
	int count[MAX];
	int others;
};

static void name_of(int i, char *out, size_t size)
{
	/* Names of many lengths, so that entries do not lie in step with blocks. */
	snprintf(out, size, "n%d.%.*s", i, i * 7 % 60,
		 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz");
}

static void note(struct seen *s, const struct dent *e)
{
	int i;

	if (e->name[0] != 'n' || sscanf(e->name + 1, "%d", &i) != 1 || i < 0 || i >= s->n)
		s->others++;
	else
		s->count[i]++;
}

static void fill(const char *at, int from, int to)
{
	char name[128], path[256];

	for (int i = from; i < to; i++) {
		name_of(i, name, sizeof(name));
		snprintf(path, sizeof(path), "%s/%s", at, name);
		ok(make(REG, path, 0644));
	}
}

static void path_of(int i, char *out, size_t size)
{
	char name[128];

	name_of(i, name, sizeof(name));
	snprintf(out, size, "d/%s", name);
}

TEST(readdir, dots, 0)
{
	struct dent ents[8];
	int fd, n, dots = 0;

	dir("d");
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	n = (int)ok(fs->readdir(fd, ents, 8));
	equal(2, n);
	for (int i = 0; i < n; i++) {
		equal(S_IFDIR, ents[i].type);
		if (!strcmp(ents[i].name, ".")) {
			equal(look("d").st_ino, ents[i].ino);
			dots |= 1;
		} else if (!strcmp(ents[i].name, "..")) {
			equal(look(".").st_ino, ents[i].ino);
			dots |= 2;
		}
	}
	equal(3, dots);
	equal(0, fs->readdir(fd, ents, 8));
	equal(0, fs->readdir(fd, ents, 8));
	ok(fs->close(fd));
	put("f", "");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	fails(ENOTDIR, fs->readdir(fd, ents, 8));
	ok(fs->close(fd));
}

TEST(readdir, kinds_and_numbers, 0)
{
	struct dent ents[16];
	char name[16];
	int fd, n;

	dir("d");
	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "d/%d", k);
		ok(make(k, name, 0755));
	}
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	n = (int)ok(fs->readdir(fd, ents, 16));
	equal(kinds() + 2, n);
	for (int i = 0; i < n; i++) {
		if (ents[i].name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "d/%s", ents[i].name);
		equal(look(name).st_ino, ents[i].ino);
		equal(look(name).st_mode & S_IFMT, ents[i].type);
	}
	ok(fs->close(fd));
}

/* Whatever number of entries is taken at a time. */
TEST(readdir, in_pieces, 0)
{
	static const int steps[] = { 1, 2, 3, 7, 30 };
	struct seen *s = get_memory(sizeof(*s));
	struct dent ents[30];
	int n;

	dir("d");
	fill("d", 0, 500);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int fd = (int)ok(fs->open("d", O_RDONLY, 0));

		memset(s, 0, sizeof(*s));
		s->n = 500;
		while ((n = (int)ok(fs->readdir(fd, ents, steps[i]))))
			for (int j = 0; j < n; j++)
				note(s, &ents[j]);
		ok(fs->close(fd));
		equal(2, s->others);
		for (int j = 0; j < 500; j++)
			check_case(s->count[j] == 1, "by %d: name %d came %d times", steps[i], j,
				   s->count[j]);
	}
	free(s);
}

/* Going back to a cookie shows the same rest, in the same order. */
TEST(readdir, cookies, 0)
{
	enum { N = 300 };
	struct dent *all = get_memory((N + 2) * sizeof(*all)), again[3];
	uint64_t seed = test_seed(2);
	int fd, n = 0, got;

	dir("d");
	fill("d", 0, N);
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	while ((got = (int)ok(fs->readdir(fd, all + n, N + 2 - n))))
		n += got;
	equal(N + 2, n);
	for (int i = 0; i < 100; i++) {
		int at = (int)(chance(&seed) % (N + 1));

		ok(fs->lseek(fd, all[at].cookie, SEEK_SET));
		got = (int)ok(fs->readdir(fd, again, 3));
		check(got > 0);
		for (int j = 0; j < got; j++)
			check_case(!strcmp(again[j].name, all[at + 1 + j].name),
				   "behind entry %d stands %s, not %s", at, again[j].name,
				   all[at + 1 + j].name);
	}
	ok(fs->lseek(fd, 0, SEEK_SET));
	equal(1, fs->readdir(fd, again, 1));
	check(!strcmp(again[0].name, all[0].name));
	ok(fs->close(fd));
	free(all);
}

/*
 * While a listing goes on, a third of the names is removed, some are renamed, and others are made. A name that
 * was there all the time comes exactly once; one that came or went, at most once.
 */
static void list_under_change(int total, int step, uint64_t seed)
{
	struct seen *s = get_memory(sizeof(*s));
	char from[256], to[256];
	struct dent ents[64];
	uint8_t *touched = get_memory((size_t)total);
	int fd, n, made = total / 2;

	dir("d");
	fill("d", 0, made);
	s->n = total;
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	while ((n = (int)ok(fs->readdir(fd, ents, step)))) {
		for (int j = 0; j < n; j++)
			note(s, &ents[j]);
		for (int j = 0; j < n; j++) {
			int i = (int)(chance(&seed) % (unsigned)made);

			path_of(i, from, sizeof(from));
			if (!touched[i] && chance(&seed) % 3) {
				touched[i] = 1;
				if (chance(&seed) % 2) {
					ok(fs->unlink(from));
				} else {
					snprintf(to, sizeof(to), "d/moved%d", i);
					ok(fs->rename(from, to, 0));
				}
			}
			if (made < total) {
				touched[made] = 1;
				fill("d", made, made + 1);
				made++;
			}
		}
	}
	ok(fs->close(fd));
	for (int i = 0; i < total; i++)
		check_case(touched[i] ? s->count[i] <= 1 : s->count[i] == (i < made),
			   "name %d (%s) came %d times", i, touched[i] ? "changed" : "unchanged",
			   s->count[i]);
	free(touched);
	free(s);
	ok(remove_all("d"));
}

TEST(readdir, under_change, 0)
{
	list_under_change(20, 1, test_seed(3));
	list_under_change(200, 3, test_seed(4));
	list_under_change(2000, 20, test_seed(5));
	list_under_change(4000, 64, test_seed(6));
}

/* The usual way of emptying a directory: remove each name as it comes. */
TEST(readdir, remove_while_listing, 0)
{
	enum { N = 1500 };
	struct dent ents[7];
	char path[300];
	int fd, n, removed = 0;

	dir("d");
	fill("d", 0, N);
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	while ((n = (int)ok(fs->readdir(fd, ents, 7)))) {
		for (int i = 0; i < n; i++) {
			if (ents[i].name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "d/%s", ents[i].name);
			ok(fs->unlink(path));
			removed++;
		}
	}
	ok(fs->close(fd));
	equal(N, removed);
	ok(fs->rmdir("d"));
}

TEST(readdir, sees_what_is_there_at_open, 0)
{
	struct dent ents[8];
	int fd, n;

	dir("d");
	put("d/a", "");
	ok(fs->unlink("d/a"));
	put("d/b", "");
	ok(fs->rename("d/b", "d/c", 0));
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	n = (int)ok(fs->readdir(fd, ents, 8));
	equal(3, n);
	put("d/e", "");
	ok(fs->lseek(fd, 0, SEEK_SET));
	equal(4, fs->readdir(fd, ents, 8));
	ok(fs->close(fd));
}
