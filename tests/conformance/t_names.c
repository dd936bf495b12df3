/* SPDX-License-Identifier: BSD-2-Clause */
/* link, unlink, rmdir: names come and go, files stay as long as somebody has them. */
#include "util.h"

/* ---- link */

TEST(link, counts, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		if (k == DIRECTORY)
			continue;
		ok(make(k, "a", 0644));
		ok(fs->link("a", "b", 0));
		equal(2, look("a").st_nlink);
		equal(look("a").st_ino, look("b").st_ino);
		ok(fs->link("b", "c", 0));
		equal(3, look("a").st_nlink);
		if (k != LINK) {
			ok(fs->chmod("b", 0600));
			equal(0600, mode_of("c"));
		}
		ok(fs->unlink("a"));
		equal(2, look("c").st_nlink);
		ok(fs->unlink("b"));
		equal(1, look("c").st_nlink);
		ok(fs->unlink("c"));
	}
}

TEST(link, same_content, 0)
{
	put("a", "one");
	ok(fs->link("a", "b", 0));
	put("b", "two");
	expect_text("a", "two");
	ok(fs->unlink("a"));
	expect_text("b", "two");
}

TEST(link, exists, 0)
{
	char name[16];

	put("f", "");
	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "x%d", k);
		ok(make(k, name, 0644));
		fails(EEXIST, fs->link("f", name, 0));
	}
	fails(EEXIST, fs->link("f", "f", 0));
	fails(EEXIST, fs->link("f", ".", 0));
	equal(1, look("f").st_nlink);
}

TEST(link, no_directories, 0)
{
	dir("d");
	fails(EPERM, fs->link("d", "e", 0));
	fails(EPERM, fs->link(".", "e", 0));
	equal(2, look("d").st_nlink);
	check(!there("e"));
}

TEST(link, to_links, 0)
{
	put("f", "");
	ok(fs->symlink("f", "l"));
	ok(fs->link("l", "a", 0));
	check(S_ISLNK(look("a").st_mode));
	equal(look("l").st_ino, look("a").st_ino);
	ok(fs->link("l", "b", AT_SYMLINK_FOLLOW));
	equal(look("f").st_ino, look("b").st_ino);
}

TEST(link, many, 0)
{
	char name[16];

	put("f", "text");
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ok(fs->link("f", name, 0));
	}
	equal(1001, look("f").st_nlink);
	ok(fs->unlink("f"));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		equal(1000 - i, look(name).st_nlink);
		ok(fs->unlink(name));
	}
}

TEST(link, no_permission, AS_OTHERS)
{
	dir("d");
	put("f", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chmod("d", 0755));
	as(U1, G1);
	fails(EACCES, fs->link("f", "d/f", 0));
	equal(1, look("f").st_nlink);
}

/* ---- unlink */

TEST(unlink, all_kinds, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		if (k == DIRECTORY)
			continue;
		ok(make(k, "x", 0));
		ok(fs->unlink("x"));
		check(!there("x"));
		fails(ENOENT, fs->unlink("x"));
	}
}

TEST(unlink, directories, 0)
{
	dir("d");
	fails(EISDIR, fs->unlink("d"));
	fails(EISDIR, fs->unlink("."));
	fails(EISDIR, fs->unlink(".."));
	check(there("d"));
}

TEST(unlink, links_not_targets, 0)
{
	put("f", "text");
	ok(fs->symlink("f", "l"));
	ok(fs->unlink("l"));
	expect_text("f", "text");
}

TEST(unlink, open_files_live_on, 0)
{
	char got[16];
	int fd, other;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	other = (int)ok(fs->open("f", O_RDONLY, 0));
	ok(fs->unlink("f"));
	check(!there("f"));
	equal(0, look_fd(fd).st_nlink);
	equal(4, fs->pread(other, got, sizeof(got), 0));
	equal(5, fs->pwrite(fd, "added", 5, 4));
	equal(9, look_fd(other).st_size);
	ok(fs->ftruncate(fd, 6));
	equal(6, fs->pread(other, got, sizeof(got), 0));
	check(!memcmp(got, "textad", 6));
	ok(fs->fchmod(fd, 0600));
	equal(0600, look_fd(other).st_mode & 07777);
	put("f", "another");
	equal(6, fs->pread(other, got, sizeof(got), 0));
	check(look_fd(fd).st_ino != look("f").st_ino);
	ok(fs->close(fd));
	equal(6, fs->pread(other, got, sizeof(got), 0));
	ok(fs->close(other));
	expect_text("f", "another");
}

TEST(unlink, no_permission, AS_OTHERS)
{
	dir("d");
	put("d/f", "");
	dir("d/s");
	ok(fs->chown("d/f", U1, G1));
	ok(fs->chown("d/s", U1, G1));
	ok(fs->chmod("d", 0755));
	as(U1, G1);
	fails(EACCES, fs->unlink("d/f"));
	fails(EACCES, fs->rmdir("d/s"));
	as_first();
	check(there("d/f") && there("d/s"));
	ok(fs->chmod("d", 0777));
	ok(fs->chown("d/f", 0, 0));
	ok(fs->chmod("d/f", 0));
	as(U1, G1);
	ok(fs->unlink("d/f")); /* the file's own bits do not matter */
	ok(fs->rmdir("d/s"));
}

/* In a sticky directory a name goes for the file's owner, the directory's, and root. */
static void try_sticky(enum kind k, uid_t dir_owner, uid_t owner, uid_t caller, bool allowed)
{
	int err;

	as_first();
	ok(fs->chown("d", dir_owner, G3));
	ok(make(k, "d/x", 0777));
	ok(fs->lchown("d/x", owner, G3));
	as(caller, caller ? G1 : 0);
	err = fs->rename("d/x", "d/y", 0);
	check_case(err == (allowed ? 0 : -EPERM), "%s: rename in a sticky directory: %s",
		   kind_names[k], error_name(-err));
	as_first();
	if (!allowed)
		ok(fs->rename("d/x", "d/y", 0));
	as(caller, caller ? G1 : 0);
	err = remove_kind(k, "d/y");
	check_case(err == (allowed ? 0 : -EPERM), "%s: removal from a sticky directory: %s",
		   kind_names[k], error_name(-err));
	as_first();
	if (!allowed)
		ok(remove_kind(k, "d/y"));
}

TEST(unlink, sticky, AS_OTHERS)
{
	dir("d");
	ok(fs->chmod("d", 01777));
	for (enum kind k = 0; k < kinds(); k++) {
		try_sticky(k, U2, U1, U1, true);
		try_sticky(k, U1, U2, U1, true);
		try_sticky(k, U1, U1, U1, true);
		try_sticky(k, U2, U2, U1, false);
		try_sticky(k, U2, U3, U1, false);
		try_sticky(k, 0, 0, U1, false);
		try_sticky(k, U2, U3, 0, true);
	}
}

/* ---- rmdir */

TEST(rmdir, empty_only, 0)
{
	char name[16];

	dir("d");
	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "d/%d", k);
		ok(make(k, name, 0755));
		fails(ENOTEMPTY, fs->rmdir("d"));
		ok(remove_kind(k, name));
	}
	ok(fs->rmdir("d"));
	check(!there("d"));
	fails(ENOENT, fs->rmdir("d"));
}

TEST(rmdir, directories_only, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		if (k == DIRECTORY)
			continue;
		ok(make(k, "x", 0755));
		fails(ENOTDIR, fs->rmdir("x"));
		ok(remove_kind(k, "x"));
	}
	dir("d");
	ok(fs->symlink("d", "l"));
	fails(ENOTDIR, fs->rmdir("l"));
}

TEST(rmdir, dots, 0)
{
	dir("d");
	dir("d/e");
	fails(EINVAL, fs->rmdir("d/e/."));
	fails(ENOTEMPTY, fs->rmdir("d/e/.."));
	fails(EBUSY, fs->rmdir("/"));
}

TEST(rmdir, counts, 0)
{
	dir("d");
	dir("d/a");
	dir("d/b");
	put("d/f", "");
	equal(4, look("d").st_nlink);
	ok(fs->rmdir("d/a"));
	equal(3, look("d").st_nlink);
	ok(fs->unlink("d/f"));
	equal(3, look("d").st_nlink);
	ok(fs->rmdir("d/b"));
	equal(2, look("d").st_nlink);
}

TEST(rmdir, while_open, 0)
{
	struct dent ents[8];
	int fd, n;

	dir("d");
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	ok(fs->rmdir("d"));
	equal(0, look_fd(fd).st_nlink);
	n = fs->readdir(fd, ents, 8);
	check(n == 0 || n == -ENOENT);
	ok(fs->close(fd));
	dir("d");
	put("d/f", "");
}

TEST(rmdir, and_make_again, 0)
{
	char name[16];

	for (int i = 0; i < 50; i++) {
		dir("d");
		for (int j = 0; j < 20; j++) {
			snprintf(name, sizeof(name), "d/%d", j);
			put(name, "");
		}
		for (int j = 0; j < 20; j++) {
			snprintf(name, sizeof(name), "d/%d", j);
			ok(fs->unlink(name));
		}
		ok(fs->rmdir("d"));
	}
}
