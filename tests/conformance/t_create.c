/* SPDX-License-Identifier: BSD-2-Clause */
/* Making names: mkdir, mknod (files, pipes, sockets, devices), open with O_CREAT, symlink. */
#include "util.h"

#include <sys/sysmacros.h>
#include <time.h>

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return ns(t);
}

TEST(create, what_is_made, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		int64_t from = now_ns(), to;
		struct stat st;

		tick();
		ok(make(k, "x", 0751));
		to = now_ns();
		st = look("x");
		check_case((st.st_mode & S_IFMT) == kind_type(k), "not a %s", kind_names[k]);
		equal(k == LINK ? 0777 : 0751, st.st_mode & 07777);
		equal(k == DIRECTORY ? 2 : 1, st.st_nlink);
		if (k != DIRECTORY)
			equal(k == LINK ? strlen("nowhere") : 0, st.st_size);
		check_case(ns(st.st_mtim) > from && ns(st.st_mtim) <= to, "%s: mtime is not now",
			   kind_names[k]);
		check_case(ns(st.st_ctim) > from && ns(st.st_ctim) <= to, "%s: ctime is not now",
			   kind_names[k]);
		check_case(ns(st.st_atim) > from && ns(st.st_atim) <= to, "%s: atime is not now",
			   kind_names[k]);
		if (k == CHAR || k == BLOCK)
			equal(makedev(1, 3), st.st_rdev);
		ok(remove_kind(k, "x"));
	}
}

TEST(create, parent_changes, 0)
{
	dir("d");
	for (enum kind k = 0; k < kinds(); k++) {
		int moved = moves("d", ok(make(k, "d/x", 0755)));

		check_case((moved & (M | C)) == (M | C), "%s: parent's times did not move",
			   kind_names[k]);
		equal(k == DIRECTORY ? 3 : 2, look("d").st_nlink);
		ok(remove_kind(k, "d/x"));
	}
}

TEST(create, umask, 0)
{
	static const mode_t masks[] = { 0, 022, 077, 0777, 0151, 0345 };

	for (unsigned i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		for (enum kind k = 0; k < kinds(); k++) {
			fs->umask(masks[i]);
			ok(make(k, "x", 0777));
			fs->umask(0);
			equal(k == LINK ? 0777 : 0777 & ~masks[i], mode_of("x"));
			ok(remove_kind(k, "x"));
		}
	}
}

TEST(create, special_bits, 0)
{
	int fd;

	ok(fs->mkdir("d", 01755));
	equal(01755, mode_of("d"));
	fd = (int)ok(fs->open("f", O_CREAT | O_WRONLY, 04711));
	ok(fs->close(fd));
	equal(04711, mode_of("f"));
	ok(fs->mknod("p", S_IFIFO | 01600, 0));
	equal(01600, mode_of("p"));
}

TEST(create, exists, 0)
{
	char name[16];

	dir("d");
	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "d/%d", k);
		ok(make(k, name, 0755));
	}
	equal(0, moves(
			 "d",
			 for (enum kind old = 0; old < kinds(); old++) {
				 struct stat before;

				 snprintf(name, sizeof(name), "d/%d", old);
				 before = look(name);
				 for (enum kind k = 0; k < kinds(); k++)
					 fails(EEXIST, make(k, name, 0755));
				 equal(before.st_ino, look(name).st_ino);
			 }) &
			 (M | C));
	fails(EEXIST, fs->mkdir(".", 0755));
	fails(EEXIST, fs->mkdir("..", 0755));
	fails(EEXIST, fs->mkdir("/", 0755));
	fails(EEXIST, fs->symlink("x", "."));
	fails(EEXIST, fs->mknod("..", S_IFIFO | 0644, 0));
}

TEST(create, owner, AS_OTHERS)
{
	for (enum kind k = 0; k < CHAR; k++) {
		struct stat st;

		as(U1, G2);
		ok(make(k, "x", 0755));
		st = look("x");
		equal(U1, st.st_uid);
		equal(G2, st.st_gid);
		ok(remove_kind(k, "x"));
	}
}

/* In a directory with the set-group-id bit, everything gets the directory's group, and directories the bit. */
TEST(create, in_setgid_directory, AS_OTHERS)
{
	dir("d");
	ok(fs->chown("d", U2, G2));
	ok(fs->chmod("d", 02777));
	as(U1, G1);
	for (enum kind k = 0; k < CHAR; k++) {
		struct stat st;

		ok(make(k, "d/x", 0755));
		st = look("d/x");
		equal(U1, st.st_uid);
		equal(G2, st.st_gid);
		equal(k == DIRECTORY ? 02755 : k == LINK ? 0777 : 0755, st.st_mode & 07777);
		ok(remove_kind(k, "d/x"));
	}
}

/* Nobody gets a set-group-id program of a group that he is not in. */
TEST(create, setgid_needs_membership, AS_OTHERS)
{
	dir("d");
	ok(fs->chown("d", U2, G2));
	ok(fs->chmod("d", 02777));
	as(U1, G1);
	put_mode("d/foreign", "", 02775);
	equal(0775, mode_of("d/foreign"));
	as_member(U1, G1, G2);
	put_mode("d/own", "", 02775);
	equal(02775, mode_of("d/own"));
}

TEST(create, no_permission, AS_OTHERS)
{
	dir("d");
	ok(fs->chmod("d", 0755));
	as(U1, G1);
	equal(0, moves(
			 "d", for (enum kind k = 0; k < CHAR;
				   k++) { fails(EACCES, make(k, "d/x", 0755)); }) &
			 (M | C));
	check(!there("d/x"));
	as_first();
	ok(fs->chmod("d", 0776)); /* write without search */
	as(U1, G1);
	for (enum kind k = 0; k < CHAR; k++)
		fails(EACCES, make(k, "d/x", 0755));
	as_first();
	ok(fs->chown("d", U1, G1));
	ok(fs->chmod("d", 0577)); /* the owner's class decides */
	as(U1, G1);
	for (enum kind k = 0; k < CHAR; k++)
		fails(EACCES, make(k, "d/x", 0755));
}

TEST(create, devices_are_roots, AS_OTHERS)
{
	as(U1, G1);
	fails(EPERM, fs->mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	fails(EPERM, fs->mknod("b", S_IFBLK | 0666, makedev(1, 3)));
	ok(fs->mknod("p", S_IFIFO | 0666, 0));
	ok(fs->mknod("s", S_IFSOCK | 0666, 0));
	ok(fs->mknod("f", S_IFREG | 0666, 0));
	fails(EPERM, fs->mknod("d", S_IFDIR | 0666, 0));
	fails(EINVAL, fs->mknod("l", S_IFLNK | 0666, 0));
}

TEST(create, symlink_targets, 0)
{
	char got[5000];
	const char *longest = long_name(4095);
	static const char *const targets[] = { "x", "/", "..", "a b", "/a/b/c", "\xff" };

	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		int n;

		ok(fs->symlink(targets[i], "l"));
		equal(strlen(targets[i]), look("l").st_size);
		n = (int)ok(fs->readlink("l", got, sizeof(got)));
		equal(strlen(targets[i]), n);
		check(!memcmp(got, targets[i], (size_t)n));
		ok(fs->unlink("l"));
	}
	fails(ENOENT, fs->symlink("", "l"));
	ok(fs->symlink(longest, "l"));
	equal(4095, ok(fs->readlink("l", got, sizeof(got))));
	check(!memcmp(got, longest, 4095));
	ok(fs->unlink("l"));
	fails(ENAMETOOLONG, fs->symlink(long_name(4096), "l"));
	check(!there("l"));
}

/* Targets of every length: where the module keeps them must not matter. */
TEST(create, symlink_lengths, 0)
{
	char target[4096], got[4096];

	for (size_t len = 1; len < 4096; len += len < 300 ? 1 : 97) {
		for (size_t i = 0; i < len; i++)
			target[i] = (char)('a' + (i + len) % 26);
		target[len] = 0;
		ok(fs->symlink(target, "l"));
		equal(len, ok(fs->readlink("l", got, sizeof(got))));
		check_case(!memcmp(got, target, len), "a target of %zu bytes changed", len);
		ok(fs->unlink("l"));
	}
}

TEST(create, readlink, 0)
{
	char got[8] = "zzzzzzz";

	ok(fs->symlink("target", "l"));
	equal(3, ok(fs->readlink("l", got, 3)));
	check(!memcmp(got, "tarzzzz", 7));
	fails(EINVAL, fs->readlink("l", got, 0));
	put("f", "");
	fails(EINVAL, fs->readlink("f", got, sizeof(got)));
	fails(EINVAL, fs->readlink(".", got, sizeof(got)));
}

TEST(create, in_removed_directory, 0)
{
	dir("d");
	put("f", "");
	ok(fs->enter("d"));
	ok(fs->rmdir("../d"));
	for (enum kind k = 0; k < kinds(); k++)
		fails(ENOENT, make(k, "x", 0755));
	fails(ENOENT, fs->open("x", O_RDONLY, 0));
}

TEST(create, numbers_differ, 0)
{
	struct stat a, b, c;

	put("a", "");
	put("b", "");
	dir("c");
	a = look("a");
	b = look("b");
	c = look("c");
	check(a.st_ino != b.st_ino && b.st_ino != c.st_ino && a.st_ino != c.st_ino);
	check(a.st_ino && b.st_ino && c.st_ino);
	equal(a.st_dev, c.st_dev);
}
