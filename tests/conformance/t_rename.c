/* SPDX-License-Identifier: BSD-2-Clause */
/* rename, with NOREPLACE and EXCHANGE. */
#include "util.h"

TEST(rename, all_kinds, 0)
{
	dir("d");
	for (enum kind k = 0; k < kinds(); k++) {
		struct stat before, after;

		ok(make(k, "x", 0751));
		before = look("x");
		ok(fs->rename("x", "y", 0));
		check(!there("x"));
		ok(fs->rename("y", "d/z", 0));
		check(!there("y"));
		after = look("d/z");
		equal(before.st_ino, after.st_ino);
		equal(before.st_mode, after.st_mode);
		equal(before.st_nlink, after.st_nlink);
		ok(remove_kind(k, "d/z"));
	}
}

/* What may take whose place: files that of files, directories that of empty directories. */
TEST(rename, over_all_kinds, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		for (enum kind over = 0; over < kinds(); over++) {
			struct stat st;
			int want = 0, got;

			ok(make(k, "a", 0755));
			ok(make(over, "b", 0755));
			st = look("a");
			if (k == DIRECTORY && over != DIRECTORY)
				want = -ENOTDIR;
			if (k != DIRECTORY && over == DIRECTORY)
				want = -EISDIR;
			got = fs->rename("a", "b", 0);
			check_case(got == want, "%s over %s: %s", kind_names[k], kind_names[over],
				   error_name(-got));
			check(there("a") == (want != 0));
			if (want)
				ok(remove_kind(k, "a"));
			else
				equal(st.st_ino, look("b").st_ino);
			ok(remove_kind(want ? over : k, "b"));
		}
	}
}

TEST(rename, over_full_directory, 0)
{
	dir("a");
	dir("b");
	put("b/f", "");
	fails(ENOTEMPTY, fs->rename("a", "b", 0));
	put("a/f", "");
	fails(ENOTEMPTY, fs->rename("a", "b", 0));
	ok(fs->unlink("b/f"));
	ok(fs->rename("a", "b", 0));
	check(there("b/f") && !there("a"));
}

TEST(rename, into_itself, 0)
{
	dir("a");
	dir("a/b");
	dir("a/b/c");
	fails(EINVAL, fs->rename("a", "a/x", 0));
	fails(EINVAL, fs->rename("a", "a/b", 0));
	fails(EINVAL, fs->rename("a", "a/b/x", 0));
	fails(EINVAL, fs->rename("a", "a/b/c", 0));
	fails(EINVAL, fs->rename("a/b", "a/b/c/x", 0));
	fails(ENOTEMPTY, fs->rename("a/b", "a", 0));
	fails(ENOTEMPTY, fs->rename("a/b/c", "a", 0));
	check(there("a/b/c"));
	equal(3, look("a").st_nlink);
}

TEST(rename, same_file, 0)
{
	put("a", "text");
	ok(fs->link("a", "b", 0));
	ok(fs->rename("a", "a", 0));
	ok(fs->rename("a", "b", 0));
	check(there("a") && there("b"));
	equal(2, look("a").st_nlink);
	dir("d");
	ok(fs->rename("d", "d", 0));
	check(there("d"));
	fails(EEXIST, fs->rename("a", "b", RENAME_NOREPLACE));
	fails(EEXIST, fs->rename("a", "a", RENAME_NOREPLACE));
}

TEST(rename, dots_and_root, 0)
{
	dir("d");
	dir("d/e");
	fails(EBUSY, fs->rename("d/.", "x", 0));
	fails(EBUSY, fs->rename("d/e/..", "x", 0));
	fails(EBUSY, fs->rename("d", ".", 0));
	fails(EBUSY, fs->rename("d/e", "d/..", 0));
	fails(ENOENT, fs->rename("none", "x", 0));
	fails(ENOENT, fs->rename("d", "none/x", 0));
}

TEST(rename, directory_counts, 0)
{
	dir("a");
	dir("b");
	dir("a/d");
	put("a/d/f", "text");
	ok(fs->rename("a/d", "b/d", 0));
	equal(2, look("a").st_nlink);
	equal(3, look("b").st_nlink);
	equal(2, look("b/d").st_nlink);
	equal(look("b").st_ino, look("b/d/..").st_ino);
	expect_text("b/d/f", "text");
	dir("a/e");
	ok(fs->rename("b/d", "a/e", 0)); /* over an empty directory elsewhere */
	equal(3, look("a").st_nlink);
	equal(2, look("b").st_nlink);
	equal(look("a").st_ino, look("a/e/..").st_ino);
	dir("a/g");
	ok(fs->rename("a/e", "a/g", 0));
	equal(3, look("a").st_nlink);
}

TEST(rename, replaced_loses_a_name, 0)
{
	put("a", "a");
	put("b", "b");
	ok(fs->link("b", "c", 0));
	ok(fs->rename("a", "b", 0));
	equal(1, look("c").st_nlink);
	expect_text("b", "a");
	expect_text("c", "b");
}

TEST(rename, over_open_file, 0)
{
	char got[8];
	int fd;

	put("a", "new");
	put("b", "old");
	fd = (int)ok(fs->open("b", O_RDWR, 0));
	ok(fs->rename("a", "b", 0));
	expect_text("b", "new");
	equal(0, look_fd(fd).st_nlink);
	equal(3, fs->read(fd, got, sizeof(got)));
	check(!memcmp(got, "old", 3));
	equal(3, fs->pwrite(fd, "OLD", 3, 0));
	expect_text("b", "new");
	ok(fs->close(fd));
}

TEST(rename, open_file_moves_along, 0)
{
	int fd;

	dir("d");
	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	ok(fs->rename("f", "d/g", 0));
	equal(4, fs->write(fd, "TEXT", 4));
	ok(fs->close(fd));
	expect_text("d/g", "TEXT");
}

TEST(rename, links_themselves, 0)
{
	put("f", "text");
	ok(fs->symlink("f", "l"));
	ok(fs->rename("l", "m", 0));
	check(S_ISLNK(look("m").st_mode));
	put("g", "");
	ok(fs->rename("g", "m", 0));
	check(S_ISREG(look("m").st_mode));
	expect_text("f", "text");
}

TEST(rename, no_permission, AS_OTHERS)
{
	dir("shut");
	put("shut/f", "");
	ok(fs->chmod("shut", 0755));
	dir("open");
	put("open/f", "");
	as(U1, G1);
	fails(EACCES, fs->rename("shut/f", "open/g", 0));
	fails(EACCES, fs->rename("open/f", "shut/g", 0));
	fails(EACCES, fs->rename("open/f", "shut/f", 0));
	fails(EACCES, fs->rename("shut/f", "shut/g", 0));
	fails(EACCES, fs->rename("open/f", "shut/f", RENAME_EXCHANGE));
	ok(fs->rename("open/f", "open/g", 0));
	as_first();
	check(there("shut/f") && !there("shut/g"));
}

/* A directory that moves to another parent gets a new "..": that takes write permission in it. */
TEST(rename, directory_needs_write, AS_OTHERS)
{
	dir("a");
	dir("b");
	ok(fs->mkdir("a/d", 0555));
	ok(fs->chown("a/d", U1, G1));
	as(U1, G1);
	fails(EACCES, fs->rename("a/d", "b/d", 0));
	ok(fs->rename("a/d", "a/e", 0));
	ok(fs->chmod("a/e", 0755));
	ok(fs->rename("a/e", "b/d", 0));
}

/* Sticky holds for what is moved and for what is replaced. */
static void try_over_sticky(uid_t dir_owner, uid_t target_owner, bool allowed)
{
	int err;

	as_first();
	put("f", "");
	put("d/x", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chown("d", dir_owner, G3));
	ok(fs->chown("d/x", target_owner, G3));
	as(U1, G1);
	err = fs->rename("f", "d/x", RENAME_EXCHANGE);
	check_case(err == (allowed ? 0 : -EPERM), "exchange: %s", error_name(-err));
	if (allowed)
		ok(fs->rename("f", "d/x", RENAME_EXCHANGE));
	err = fs->rename("f", "d/x", 0);
	check_case(err == (allowed ? 0 : -EPERM), "replace: %s", error_name(-err));
}

TEST(rename, sticky_target, AS_OTHERS)
{
	dir("d");
	ok(fs->chmod("d", 01777));
	try_over_sticky(U2, U2, false);
	try_over_sticky(U2, U3, false);
	try_over_sticky(0, 0, false);
	try_over_sticky(U2, U1, true);
	try_over_sticky(U1, U2, true);
}

/* A file system that cannot says EINVAL. */
static bool leaves(const char *old, const char *new, unsigned flags)
{
	int err = fs->rename(old, new, RENAME_WHITEOUT | flags);
	struct stat st;

	if (err == -EINVAL)
		return false;
	ok(err);
	st = look(old);
	equal(S_IFCHR, st.st_mode & S_IFMT);
	equal(0, st.st_rdev);
	equal(1, st.st_nlink);
	ok(fs->unlink(old));
	return true;
}

TEST(rename, whiteout, 0)
{
	put("f", "f");
	put("g", "g");
	dir("d");
	dir("d/s");
	if (!leaves("f", "new", 0))
		skip_test("no whiteouts here");
	expect_text("new", "f");
	check(leaves("new", "g", 0));
	expect_text("g", "f");
	equal(1, look("g").st_nlink);
	check(leaves("g", "0", 0));
	check(leaves("0", "1", 0));
	expect_text("1", "f");
	check(leaves("1", "d/g", RENAME_NOREPLACE));
	check(leaves("d/s", "s", 0));
	equal(2, look("d").st_nlink);
	check(S_ISDIR(look("s").st_mode));
	equal(2, look("s").st_nlink);
	put("full", "");
	fails(ENOTDIR, fs->rename("s", "full", RENAME_WHITEOUT));
	put("s/x", "");
	dir("e");
	fails(ENOTEMPTY, fs->rename("e", "s", RENAME_WHITEOUT));
	fails(EEXIST, fs->rename("full", "e", RENAME_WHITEOUT | RENAME_NOREPLACE));
	fails(EINVAL, fs->rename("full", "e", RENAME_WHITEOUT | RENAME_EXCHANGE));
	fails(ENOENT, fs->rename("none", "e", RENAME_WHITEOUT));
	ok(fs->unlink("s/x"));
	ok(fs->rmdir("s"));
	ok(fs->rmdir("e"));
	ok(fs->unlink("full"));
	ok(fs->unlink("d/g"));
	ok(fs->rmdir("d")); /* nothing else was left behind */
}

TEST(rename, noreplace, 0)
{
	put("a", "a");
	put("b", "b");
	dir("d");
	fails(EEXIST, fs->rename("a", "b", RENAME_NOREPLACE));
	fails(EEXIST, fs->rename("a", "d", RENAME_NOREPLACE));
	fails(EEXIST, fs->rename("d", "a", RENAME_NOREPLACE));
	expect_text("a", "a");
	expect_text("b", "b");
	ok(fs->rename("a", "c", RENAME_NOREPLACE));
	expect_text("c", "a");
	ok(fs->rename("c", "d/c", RENAME_NOREPLACE));
	expect_text("d/c", "a");
	fails(EINVAL, fs->rename("b", "c", RENAME_NOREPLACE | RENAME_EXCHANGE));
}

TEST(rename, exchange_files, 0)
{
	struct stat a, b;

	dir("d");
	put("a", "a");
	put("d/b", "b");
	a = look("a");
	b = look("d/b");
	equal(M | C, moves("d", ok(fs->rename("a", "d/b", RENAME_EXCHANGE))) & (M | C));
	expect_text("a", "b");
	expect_text("d/b", "a");
	equal(a.st_ino, look("d/b").st_ino);
	equal(b.st_ino, look("a").st_ino);
	equal(1, look("a").st_nlink);
	fails(ENOENT, fs->rename("a", "none", RENAME_EXCHANGE));
	fails(ENOENT, fs->rename("none", "a", RENAME_EXCHANGE));
	ok(fs->rename("a", "a", RENAME_EXCHANGE));
	expect_text("a", "b");
}

TEST(rename, exchange_kinds, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		for (enum kind l = 0; l < kinds(); l++) {
			ok(make(k, "a", 0755));
			ok(make(l, "b", 0755));
			ok(fs->rename("a", "b", RENAME_EXCHANGE));
			equal(kind_type(l), look("a").st_mode & S_IFMT);
			equal(kind_type(k), look("b").st_mode & S_IFMT);
			ok(remove_kind(l, "a"));
			ok(remove_kind(k, "b"));
		}
	}
}

TEST(rename, exchange_directories, 0)
{
	dir("x");
	dir("y");
	dir("x/d");
	put("x/d/f", "text");
	put("y/g", "g");
	ok(fs->rename("x/d", "y/g", RENAME_EXCHANGE));
	expect_text("y/g/f", "text");
	expect_text("x/d", "g");
	equal(2, look("x").st_nlink);
	equal(3, look("y").st_nlink);
	equal(look("y").st_ino, look("y/g/..").st_ino);
	dir("x/e");
	dir("x/e/deep");
	ok(fs->rename("x/e", "y/g", RENAME_EXCHANGE));
	check(there("y/g/deep") && there("x/e/f"));
	equal(3, look("x").st_nlink);
	equal(3, look("y").st_nlink);
	equal(look("x").st_ino, look("x/e/..").st_ino);
	equal(look("y").st_ino, look("y/g/..").st_ino);
	fails(EINVAL, fs->rename("x", "x/e", RENAME_EXCHANGE));
	fails(EINVAL, fs->rename("x/e", "x", RENAME_EXCHANGE));
	fails(EINVAL, fs->rename("y", "y/g/deep", RENAME_EXCHANGE));
	fails(EINVAL, fs->rename("y/g/deep", "y", RENAME_EXCHANGE));
}

/* Names of every length change places with names of every other. */
TEST(rename, lengths, 0)
{
	char name[256], next[256];

	memset(name, 'n', sizeof(name));
	memset(next, 'n', sizeof(next));
	name[1] = 0;
	put(name, "text");
	for (size_t len = 2; len <= 255; len++) {
		next[len] = 0;
		ok(fs->rename(name, next, 0));
		memcpy(name, next, len + 1);
		next[len] = 'n';
	}
	expect_text(name, "text");
	for (size_t len = 254; len >= 1; len--) {
		next[len] = 0;
		ok(fs->rename(name, next, 0));
		memcpy(name, next, len + 1);
	}
	expect_text("n", "text");
}
