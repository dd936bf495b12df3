/* SPDX-License-Identifier: BSD-2-Clause */
/* O_TMPFILE: files that have no name as yet. A file system that has none says EOPNOTSUPP. */
#include "util.h"

static int nameless(const char *where, int flags, mode_t mode)
{
	int fd = fs->open(where, O_TMPFILE | flags, mode);

	if (fd == -EOPNOTSUPP)
		skip_test("no files without a name here");
	return (int)ok(fd);
}

static int count(const char *where)
{
	struct dent d[16];
	int fd = (int)ok(fs->open(where, O_RDONLY | O_DIRECTORY, 0)), n = (int)ok(fs->readdir(fd, d, 16));

	ok(fs->close(fd));
	return n;
}

TEST(nameless, gets_a_name, 0)
{
	char text[5];
	int fd;

	dir("d");
	equal(0, moves("d", fd = nameless("d", O_RDWR, 0640)) & (M | C));
	equal(2, count("d"));
	equal(0, look_fd(fd).st_nlink);
	equal(S_IFREG | 0640, look_fd(fd).st_mode);
	equal(5, fs->write(fd, "bytes", 5));
	ok(fs->fsync(fd));
	ok(fs->flink(fd, "d/f"));
	equal(1, look_fd(fd).st_nlink);
	expect_text("d/f", "bytes");
	equal(look_fd(fd).st_ino, look("d/f").st_ino);
	ok(fs->flink(fd, "d/g"));
	equal(2, look("d/f").st_nlink);
	fails(EEXIST, fs->flink(fd, "d/g"));
	equal(5, fs->pread(fd, text, 5, 0));
	ok(fs->unlink("d/f"));
	ok(fs->unlink("d/g"));
	equal(0, look_fd(fd).st_nlink);
	fails(ENOENT, fs->flink(fd, "d/h")); /* once */
	ok(fs->close(fd));
}

TEST(nameless, may_stay_so, 0)
{
	int fd = nameless(".", O_WRONLY | O_EXCL, 0600);

	fails(ENOENT, fs->flink(fd, "f"));
	equal(1, fs->write(fd, "x", 1));
	ok(fs->close(fd));
	ok(fs->close(nameless(".", O_RDWR, 0600)));
	equal(2, count("."));
}

TEST(nameless, gives_its_blocks_back, OWN)
{
	struct statvfs before, after;
	char *data = get_memory(1 << 20);
	int fd = nameless(".", O_RDWR, 0600);

	ok(fs->close(fd));
	ok(fs->statvfs(&before));
	for (int i = 0; i < 8; i++) {
		fd = nameless(".", O_RDWR, 0600);
		write_all(fd, data, 1 << 20, 0);
		ok(fs->fsync(fd));
		ok(fs->close(fd));
	}
	for (int tries = 0; tries < 100; tries++) { /* the system may tell late that it has let go */
		ok(fs->statvfs(&after));
		if (after.f_bfree + 256 > before.f_bfree)
			break;
		usleep(20000);
	}
	check(after.f_bfree + 256 > before.f_bfree);
	free(data);
}

TEST(nameless, illegal, 0)
{
	ok(fs->close(nameless(".", O_RDWR, 0600)));
	put("f", "");
	fails(ENOENT, fs->open("none", O_TMPFILE | O_RDWR, 0600));
	fails(ENOTDIR, fs->open("f", O_TMPFILE | O_RDWR, 0600));
	fails(EINVAL, fs->open(".", O_TMPFILE | O_RDONLY, 0600));
}

TEST(nameless, permission, AS_OTHERS)
{
	int fd;

	ok(fs->close(nameless(".", O_RDWR, 0600)));
	dir("d");
	ok(fs->chown("d", U2, G3));
	ok(fs->chmod("d", 02777));
	dir("shut");
	ok(fs->chmod("shut", 0755));
	as(U1, G1);
	fails(EACCES, fs->open("shut", O_TMPFILE | O_RDWR, 0600));
	fd = nameless("d", O_RDWR, 0600);
	equal(U1, look_fd(fd).st_uid);
	equal(G3, look_fd(fd).st_gid);
	fails(EACCES, fs->flink(fd, "shut/f"));
	ok(fs->flink(fd, "d/f"));
	equal(0600, mode_of("d/f"));
	ok(fs->close(fd));
}
