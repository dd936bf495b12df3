/* SPDX-License-Identifier: BSD-2-Clause */
/* chmod, chown, access: who may, what changes, and when set-id bits go. */
#include "util.h"

/* ---- chmod */

TEST(chmod, all_kinds, 0)
{
	for (enum kind k = 0; k < kinds(); k++) {
		if (k == LINK)
			continue;
		ok(make(k, "x", 0644));
		for (mode_t mode = 0; mode < 010000; mode = mode * 3 + 1) {
			ok(fs->chmod("x", mode));
			equal(mode, mode_of("x"));
			equal(kind_type(k), look("x").st_mode & S_IFMT);
		}
		equal(C, moves("x", ok(fs->chmod("x", 0711))));
		ok(remove_kind(k, "x"));
	}
}

TEST(chmod, follows_links, 0)
{
	put("f", "");
	ok(fs->symlink("f", "l"));
	ok(fs->chmod("l", 0604));
	equal(0604, mode_of("f"));
	equal(0777, mode_of("l"));
}

TEST(chmod, by_descriptor, 0)
{
	int fd;

	put("f", "");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	ok(fs->fchmod(fd, 0640));
	equal(0640, mode_of("f"));
	ok(fs->rename("f", "g", 0));
	ok(fs->fchmod(fd, 0600));
	equal(0600, mode_of("g"));
	ok(fs->close(fd));
}

TEST(chmod, not_owner, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chmod("f", 0666));
	as_member(U2, G1, G2);
	equal(0, moves("f", fails(EPERM, fs->chmod("f", 0777))));
	equal(0666, mode_of("f"));
	as(U1, G2);
	ok(fs->chmod("f", 0600));
	as_first();
	ok(fs->chmod("f", 0660));
	equal(0660, mode_of("f"));
}

TEST(chmod, setgid_needs_membership, AS_OTHERS)
{
	put("f", "");
	dir("d");
	ok(fs->chown("f", U1, G2));
	ok(fs->chown("d", U1, G2));
	as(U1, G1);
	ok(fs->chmod("f", 02755));
	equal(0755, mode_of("f"));
	ok(fs->chmod("f", 06755));
	equal(04755, mode_of("f"));
	ok(fs->chmod("d", 02755));
	equal(0755, mode_of("d"));
	as_member(U1, G1, G2);
	ok(fs->chmod("f", 02755));
	equal(02755, mode_of("f"));
	ok(fs->chmod("d", 02755));
	equal(02755, mode_of("d"));
}

TEST(chmod, sticky_on_files, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	as(U1, G1);
	ok(fs->chmod("f", 01644));
	equal(01644, mode_of("f"));
}

/* Writing takes the set-id bits away, unless root writes. */
TEST(chmod, write_clears_set_id, AS_OTHERS)
{
	int fd;

	put("f", "");
	ok(fs->chmod("f", 06777));
	fd = (int)ok(fs->open("f", O_WRONLY, 0));
	equal(1, fs->write(fd, "x", 1));
	equal(06777, mode_of("f"));
	ok(fs->close(fd));
	as(U1, G1);
	fd = (int)ok(fs->open("f", O_WRONLY, 0));
	equal(06777, mode_of("f"));
	equal(1, fs->write(fd, "x", 1));
	equal(0777, mode_of("f"));
	ok(fs->close(fd));
}

TEST(chmod, truncate_clears_set_id, AS_OTHERS)
{
	int fd;

	put("f", "text");
	ok(fs->chmod("f", 06777));
	ok(fs->truncate("f", 3));
	equal(06777, mode_of("f"));
	as(U1, G1);
	ok(fs->truncate("f", 2));
	equal(0777, mode_of("f"));
	as_first();
	ok(fs->chmod("f", 06777));
	as(U1, G1);
	fd = (int)ok(fs->open("f", O_WRONLY | O_TRUNC, 0));
	equal(0777, mode_of("f"));
	ok(fs->close(fd));
}

/* ---- chown */

TEST(chown, by_root, AS_OTHERS)
{
	for (enum kind k = 0; k < kinds(); k++) {
		struct stat st;

		ok(make(k, "x", 0755));
		equal(C, moves("x", ok(fs->lchown("x", U1, G2))));
		st = look("x");
		equal(U1, st.st_uid);
		equal(G2, st.st_gid);
		ok(fs->lchown("x", U2, (gid_t)-1));
		ok(fs->lchown("x", (uid_t)-1, G3));
		st = look("x");
		equal(U2, st.st_uid);
		equal(G3, st.st_gid);
		ok(fs->lchown("x", (uid_t)-1, (gid_t)-1));
		st = look("x");
		equal(U2, st.st_uid);
		equal(G3, st.st_gid);
		ok(fs->lchown("x", 0, 0));
		ok(remove_kind(k, "x"));
	}
}

TEST(chown, large_numbers, AS_OTHERS)
{
	struct stat st;

	put("f", "");
	ok(fs->chown("f", 4000000000u, 4294967294u));
	st = look("f");
	equal(4000000000u, st.st_uid);
	equal(4294967294u, st.st_gid);
}

TEST(chown, links, AS_OTHERS)
{
	put("f", "");
	ok(fs->symlink("f", "l"));
	ok(fs->chown("l", U1, G1));
	equal(U1, look("f").st_uid);
	equal(0, look("l").st_uid);
	ok(fs->lchown("l", U2, G2));
	equal(U1, look("f").st_uid);
	equal(U2, look("l").st_uid);
}

TEST(chown, by_owner, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	as_member(U1, G1, G2);
	equal(C, moves("f", ok(fs->chown("f", (uid_t)-1, G2))));
	equal(G2, look("f").st_gid);
	ok(fs->chown("f", U1, G1));
	equal(0, moves("f", {
		      fails(EPERM, fs->chown("f", (uid_t)-1, G3));
		      fails(EPERM, fs->chown("f", U2, (gid_t)-1));
		      fails(EPERM, fs->chown("f", U2, G2));
		      fails(EPERM, fs->chown("f", 0, 0));
	      }));
	equal(U1, look("f").st_uid);
	equal(G1, look("f").st_gid);
}

TEST(chown, by_others, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chmod("f", 0777));
	as_member(U2, G2, G1);
	equal(0, moves("f", {
		      fails(EPERM, fs->chown("f", U2, G2));
		      fails(EPERM, fs->chown("f", (uid_t)-1, G2));
		      fails(EPERM, fs->chown("f", U1, G1));
	      }));
}

/* As Linux has it, whoever asks. */
TEST(chown, of_nothing_clears_set_id, 0)
{
	put("f", "");
	dir("d");
	ok(fs->chmod("f", 06755));
	ok(fs->chmod("d", 06755));
	ok(fs->chown("f", (uid_t)-1, (gid_t)-1));
	ok(fs->chown("d", (uid_t)-1, (gid_t)-1));
	equal(0755, mode_of("f"));
	equal(06755, mode_of("d"));
}

TEST(chown, clears_set_id, AS_OTHERS)
{
	int fd;

	put("f", "");
	dir("d");
	ok(fs->chown("f", U1, G1));
	ok(fs->chown("d", U1, G1));
	ok(fs->chmod("f", 06755));
	ok(fs->chmod("d", 06755));
	as_member(U1, G1, G2);
	ok(fs->chown("f", (uid_t)-1, G2));
	ok(fs->chown("d", (uid_t)-1, G2));
	equal(0755, mode_of("f"));
	equal(06755, mode_of("d"));
	as_first();
	ok(fs->chmod("f", 06755));
	ok(fs->chown("f", U2, G2));
	equal(0755, mode_of("f"));
	ok(fs->chmod("f", 06755));
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	ok(fs->fchown(fd, U1, G1));
	ok(fs->close(fd));
	equal(0755, mode_of("f"));
}

/* ---- access, and what mode bits allow */

/* Every mode of one class, for a caller of that class: access() and open() agree with the bits. */
static void try_class(uid_t uid, gid_t gid, gid_t extra, int shift)
{
	static const int flags[] = { 0, 0, O_WRONLY, 0, O_RDONLY, 0, O_RDWR };

	for (mode_t bits = 0; bits < 8; bits++) {
		as_first();
		/* The other classes have the opposite. */
		ok(fs->chmod("f", (0777 & ~(07u << shift) & ~(bits * 0111)) | bits << shift));
		as_member(uid, gid, extra);
		for (int want = 1; want < 8; want++) {
			int got = fs->access("f", want), fd;
			bool allowed = (want & ~(int)bits) == 0;

			check_case(got == (allowed ? 0 : -EACCES), "bits %o, asked for %o: %s",
				   bits, want, error_name(-got));
			if (want != 2 && want != 4 && want != 6)
				continue;
			fd = fs->open("f", flags[want], 0);
			check_case(allowed ? fd >= 0 : fd == -EACCES, "bits %o, opened for %o: %s",
				   bits, want, fd < 0 ? error_name(-fd) : "success");
			if (fd >= 0)
				ok(fs->close(fd));
		}
	}
}

TEST(access, owner, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	try_class(U1, G2, G3, 6);
}

TEST(access, group, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	try_class(U2, G1, G3, 3);
}

TEST(access, supplementary_group, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	try_class(U2, G2, G1, 3);
}

TEST(access, others, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	try_class(U2, G2, G3, 0);
}

TEST(access, root, AS_OTHERS)
{
	int fd;

	put("f", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chmod("f", 0));
	ok(fs->access("f", R_OK | W_OK));
	fails(EACCES, fs->access("f", X_OK));
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	ok(fs->close(fd));
	ok(fs->chmod("f", 0010));
	ok(fs->access("f", R_OK | W_OK | X_OK));
	dir("d");
	ok(fs->chmod("d", 0));
	ok(fs->access("d", R_OK | W_OK | X_OK));
}

TEST(access, other_kinds, 0)
{
	ok(fs->access(".", F_OK));
	fails(ENOENT, fs->access("none", F_OK));
	ok(fs->symlink("none", "l"));
	fails(ENOENT, fs->access("l", F_OK));
}

/* Listing needs read permission, whatever search permission there is; and the other way round. */
TEST(access, directories, AS_OTHERS)
{
	struct dent ents[4];
	int fd;

	dir("d");
	put_mode("d/f", "", 0666);
	ok(fs->chmod("d", 0711));
	as(U1, G1);
	fails(EACCES, fs->open("d", O_RDONLY | O_DIRECTORY, 0));
	fd = (int)ok(fs->open("d/f", O_RDONLY, 0));
	ok(fs->close(fd));
	as_first();
	ok(fs->chmod("d", 0744));
	as(U1, G1);
	fd = (int)ok(fs->open("d", O_RDONLY | O_DIRECTORY, 0));
	equal(3, fs->readdir(fd, ents, 4));
	ok(fs->close(fd));
	fails(EACCES, fs->open("d/f", O_RDONLY, 0));
}

/* Permission is asked when a file is opened, not when it is used. */
TEST(access, kept_while_open, AS_OTHERS)
{
	char c;
	int fd;

	put("f", "text");
	as(U1, G1);
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	as_first();
	ok(fs->chmod("f", 0));
	as(U1, G1);
	equal(1, fs->read(fd, &c, 1));
	equal(1, fs->write(fd, "x", 1));
	ok(fs->ftruncate(fd, 1));
	ok(fs->close(fd));
	fails(EACCES, fs->open("f", O_RDONLY, 0));
	fails(EACCES, fs->truncate("f", 0));
}
