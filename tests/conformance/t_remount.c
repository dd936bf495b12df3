/* SPDX-License-Identifier: BSD-2-Clause */
/* What was written is there after an unmount and a mount: where there is a device that lasts. */
#include "util.h"

static void remount(void)
{
	int err = fs->remount();

	if (err == -EOPNOTSUPP)
		skip_test("needs a volume in an image file");
	ok(err);
}

static void expect_same(const char *path, const struct stat *want)
{
	struct stat got = look(path);

	equal(want->st_ino, got.st_ino);
	equal(want->st_mode, got.st_mode);
	equal(want->st_nlink, got.st_nlink);
	equal(want->st_uid, got.st_uid);
	equal(want->st_gid, got.st_gid);
	equal(want->st_rdev, got.st_rdev);
	equal(want->st_size, got.st_size);
	equal(want->st_blocks, got.st_blocks);
	equal(ns(want->st_atim), ns(got.st_atim));
	equal(ns(want->st_mtim), ns(got.st_mtim));
	equal(ns(want->st_ctim), ns(got.st_ctim));
}

TEST(remount, all_kinds, 0)
{
	struct stat st[KINDS];
	char name[16], target[16];

	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "%d", k);
		ok(make(k, name, 0751));
		ok(fs->lchown(name, U1, G2));
		st[k] = look(name);
	}
	remount();
	for (enum kind k = 0; k < kinds(); k++) {
		snprintf(name, sizeof(name), "%d", k);
		expect_same(name, &st[k]);
	}
	snprintf(name, sizeof(name), "%d", LINK);
	equal(7, ok(fs->readlink(name, target, sizeof(target))));
	check(!memcmp(target, "nowhere", 7));
}

TEST(remount, content, 0)
{
	enum { SIZE = 3000000 };
	static const int64_t far = (int64_t)1 << 40;
	static uint8_t data[SIZE]; /* not of the heap: without an image the test ends at the first remount */
	struct stat st;
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	pattern(data, SIZE, 0, 1);
	write_all(fd, data, SIZE, 0);
	write_all(fd, data, 5000, far);
	ok(fs->ftruncate(fd, far + 3000));
	ok(fs->close(fd));
	ok(fs->setxattr("f", "user.a", "value", 5, 0));
	ok(fs->link("f", "g", 0));
	st = look("f");
	remount();
	expect_same("f", &st);
	expect_same("g", &st);
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	memset(data, 0xff, SIZE);
	equal(SIZE, read_all(fd, data, SIZE, 0));
	expect_pattern(HERE, data, SIZE, 0, 1);
	equal(3000, read_all(fd, data, SIZE, far));
	expect_pattern(HERE, data, 3000, 0, 1);
	equal(4096, read_all(fd, data, 4096, far / 2));
	expect_zeroes(HERE, data, 4096);
	equal(5, ok(fs->getxattr("f", "user.a", data, SIZE)));
	check(!memcmp(data, "value", 5));
	ok(fs->close(fd));
}

TEST(remount, directories, 0)
{
	char name[64];

	dir("d");
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		put(name, i % 100 ? "" : name);
	}
	for (int i = 0; i < 3000; i += 3) {
		snprintf(name, sizeof(name), "d/%d", i);
		ok(fs->unlink(name));
	}
	remount();
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		equal(i % 3 != 0, there(name));
		if (i % 3 && i % 100 == 0)
			expect_text(name, name);
	}
	ok(fs->rename("d/1", "d/0", 0));
	remount();
	check(there("d/0") && !there("d/1"));
}

/* What was open without a name when the volume ended is gone, and its space is free. */
TEST(remount, space_of_unlinked_files, OWN)
{
	struct statvfs before, after;
	uint8_t *data;
	int fd;

	remount();
	data = get_memory(1 << 20);
	ok(fs->statvfs(&before));
	fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));
	for (int i = 0; i < 8; i++)
		write_all(fd, data, 1 << 20, (int64_t)i << 20);
	ok(fs->unlink("f"));
	remount();
	ok(fs->statvfs(&after));
	check(after.f_bfree + 64 >= before.f_bfree);
	equal(before.f_ffree, after.f_ffree);
	free(data);
}
