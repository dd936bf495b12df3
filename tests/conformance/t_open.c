/* SPDX-License-Identifier: BSD-2-Clause */
/* open: its flags and what they allow. */
#include "util.h"

static int opens(const char *path, int flags)
{
	int fd = fs->open(path, flags, 0666);

	return fd < 0 ? fd : fs->close(fd);
}

TEST(open, exclusive, 0)
{
	put("f", "text");
	dir("d");
	ok(fs->symlink("none", "dangling"));
	ok(fs->symlink("f", "l"));
	fails(EEXIST, opens("f", O_CREAT | O_EXCL | O_WRONLY));
	fails(EEXIST, opens("d", O_CREAT | O_EXCL | O_WRONLY));
	fails(EEXIST, opens("dangling", O_CREAT | O_EXCL | O_WRONLY));
	fails(EEXIST, opens("l", O_CREAT | O_EXCL | O_WRONLY));
	check(!there("none"));
	ok(opens("new", O_CREAT | O_EXCL | O_WRONLY));
	expect_text("f", "text");
}

TEST(open, create_keeps_what_is_there, 0)
{
	put_mode("f", "text", 0644);
	equal(0, moves("f", ok(opens("f", O_CREAT | O_RDWR))));
	expect_text("f", "text");
	equal(0644, mode_of("f"));
}

TEST(open, create_through_link, 0)
{
	dir("d");
	ok(fs->symlink("d/new", "l"));
	ok(opens("l", O_CREAT | O_WRONLY));
	check(S_ISREG(look("d/new").st_mode));
	check(S_ISLNK(look("l").st_mode));
	ok(fs->symlink("none/new", "m"));
	fails(ENOENT, opens("m", O_CREAT | O_WRONLY));
}

TEST(open, links_not_followed, 0)
{
	put("f", "");
	dir("d");
	ok(fs->symlink("f", "l"));
	ok(fs->symlink("d", "m"));
	fails(ELOOP, opens("l", O_RDONLY | O_NOFOLLOW));
	fails(ELOOP, opens("l", O_RDONLY | O_CREAT | O_NOFOLLOW));
	fails(ELOOP, opens("m", O_RDONLY | O_NOFOLLOW));
	fails(ENOTDIR, opens("m", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	ok(opens("f", O_RDONLY | O_NOFOLLOW));
}

TEST(open, directories, 0)
{
	char c;
	int fd;

	dir("d");
	put("f", "");
	fails(EISDIR, opens("d", O_WRONLY));
	fails(EISDIR, opens("d", O_RDWR));
	fails(EISDIR, opens("d", O_RDONLY | O_CREAT));
	fails(EISDIR, opens("d", O_RDONLY | O_TRUNC));
	fails(ENOTDIR, opens("f", O_RDONLY | O_DIRECTORY));
	fd = (int)ok(fs->open("d", O_RDONLY | O_DIRECTORY, 0));
	fails(EISDIR, fs->read(fd, &c, 1));
	fails(EISDIR, fs->pread(fd, &c, 1, 0));
	fails(EBADF, fs->write(fd, "x", 1));
	fails(EINVAL, fs->ftruncate(fd, 0));
	ok(fs->fsync(fd));
	ok(fs->close(fd));
}

TEST(open, truncates, 0)
{
	int fd;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDWR | O_TRUNC, 0));
	equal(0, look_fd(fd).st_size);
	ok(fs->close(fd));
}

TEST(open, truncate_needs_write, AS_OTHERS)
{
	put_mode("f", "text", 0644);
	as(U1, G1);
	fails(EACCES, opens("f", O_RDONLY | O_TRUNC));
	fails(EACCES, opens("f", O_WRONLY | O_TRUNC));
	expect_text("f", "text");
}

/* What the mode forbids does not bind who makes the file. */
TEST(open, new_file_without_rights, AS_OTHERS)
{
	char c;
	int fd;

	as(U1, G1);
	fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0));
	equal(1, fs->write(fd, "x", 1));
	equal(1, fs->pread(fd, &c, 1, 0));
	ok(fs->close(fd));
	fails(EACCES, fs->open("f", O_RDONLY, 0));
}

TEST(open, ways, 0)
{
	char c;
	int fd;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	fails(EBADF, fs->write(fd, "x", 1));
	fails(EBADF, fs->pwrite(fd, "x", 1, 0));
	fails(EINVAL, fs->ftruncate(fd, 0));
	fails(EBADF, fs->fallocate(fd, 0, 0, 10));
	ok(fs->close(fd));
	fd = (int)ok(fs->open("f", O_WRONLY, 0));
	fails(EBADF, fs->read(fd, &c, 1));
	fails(EBADF, fs->pread(fd, &c, 1, 0));
	ok(fs->close(fd));
	fails(EBADF, fs->read(fd, &c, 1));
	fails(EBADF, fs->close(fd));
	expect_text("f", "text");
}

TEST(open, nobody_reads, 0)
{
	ok(fs->mknod("s", S_IFSOCK | 0666, 0));
	ok(fs->mknod("p", S_IFIFO | 0666, 0));
	fails(ENXIO, opens("s", O_RDONLY));
	fails(ENXIO, opens("p", O_WRONLY | O_NONBLOCK));
}

TEST(open, create_needs_directory_write, AS_OTHERS)
{
	dir("d");
	put_mode("d/old", "", 0666);
	ok(fs->chmod("d", 0755));
	as(U1, G1);
	fails(EACCES, opens("d/new", O_CREAT | O_WRONLY));
	ok(opens("d/old", O_CREAT | O_WRONLY));
}

TEST(open, many, 0)
{
	enum { N = 200 };
	int fds[N];
	char name[16], c[4];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "%03d", i);
		fds[i] = (int)ok(fs->open(name, O_CREAT | O_RDWR, 0666));
		equal(3, fs->write(fds[i], name, 3));
	}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < i; j++)
			check(fds[i] != fds[j]);
	for (int i = N - 1; i >= 0; i--) {
		snprintf(name, sizeof(name), "%03d", i);
		equal(3, fs->pread(fds[i], c, 3, 0));
		check(!memcmp(c, name, 3));
		ok(fs->close(fds[i]));
	}
}
