/* SPDX-License-Identifier: BSD-2-Clause */
/* Large and deep, and full: a file system without space stays whole and gets its space back. */
#include "util.h"

TEST(scale, large_directory, 0)
{
	enum { N = 20000 };
	struct dent *ents = get_memory(64 * sizeof(*ents));
	uint8_t *seen = get_memory(N);
	char name[32];
	int fd, n, total = 0;

	dir("d");
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		ok(make(REG, name, 0644));
	}
	for (int i = 0; i < N; i += 7) {
		snprintf(name, sizeof(name), "d/%d", i);
		check(there(name));
	}
	check(!there("d/20000"));
	fd = (int)ok(fs->open("d", O_RDONLY, 0));
	while ((n = (int)ok(fs->readdir(fd, ents, 64)))) {
		for (int i = 0; i < n; i++) {
			if (ents[i].name[0] != '.')
				equal(1, ++seen[atoi(ents[i].name)]);
			total++;
		}
	}
	ok(fs->close(fd));
	equal(N + 2, total);
	for (int i = 0; i < N; i += 2) {
		snprintf(name, sizeof(name), "d/%d", i);
		ok(fs->unlink(name));
	}
	for (int i = 0; i < N; i += 11) {
		snprintf(name, sizeof(name), "d/%d", i);
		equal(i % 2, there(name));
	}
	fails(ENOTEMPTY, fs->rmdir("d"));
	for (int i = 1; i < N; i += 2) {
		snprintf(name, sizeof(name), "d/%d", i);
		ok(fs->unlink(name));
	}
	ok(fs->rmdir("d"));
	free(seen);
	free(ents);
}

TEST(scale, deep_directories, 0)
{
	enum { DEPTH = 1000 };
	char path[2 * DEPTH + 16] = "";
	size_t len = 0;
	struct stat st;

	for (int i = 0; i < DEPTH; i++) {
		len += (size_t)snprintf(path + len, sizeof(path) - len, "%sd", i ? "/" : "");
		ok(fs->mkdir(path, 0777));
	}
	snprintf(path + len, sizeof(path) - len, "/f");
	put(path, "deep");
	expect_text(path, "deep");
	path[len] = 0;
	fails(EINVAL, fs->rename("d", path, 0));
	ok(fs->rename(path, "up", 0));
	expect_text("up/f", "deep");
	ok(fs->rename("up", path, 0));
	ok(fs->stat(path, &st));
	equal(2, st.st_nlink);
	ok(fs->unlink(strcat(path, "/f")));
	for (int i = 0; i < DEPTH; i++) {
		path[len] = 0;
		ok(fs->rmdir(path));
		len -= 2;
	}
}

TEST(scale, statvfs, 0)
{
	struct statvfs st;

	ok(fs->statvfs(&st));
	check(st.f_bsize >= 512 && st.f_blocks > 0 && st.f_bfree <= st.f_blocks);
	check(st.f_bavail <= st.f_bfree && st.f_ffree <= st.f_files);
	equal(255, st.f_namemax);
}

static uint64_t free_bytes(void)
{
	struct statvfs st;

	ok(fs->statvfs(&st));
	return (uint64_t)st.f_bfree * st.f_frsize;
}

static uint64_t free_files(void)
{
	struct statvfs st;

	ok(fs->statvfs(&st));
	return st.f_ffree;
}

/* Soon: the system may tell a file system of a last close, or of a file's end, a little later. */
static void expect_free(uint64_t bytes)
{
	for (int i = 0; i < 200 && free_bytes() < bytes; i++)
		tick();
	check_case(free_bytes() >= bytes, "%llu bytes are free, not %llu",
		   (unsigned long long)free_bytes(), (unsigned long long)bytes);
}

enum { CHUNK = 1 << 17 };

/* Write until nothing fits any more: how much did. */
static int64_t fill_file(int fd, uint8_t *chunk)
{
	int64_t at = 0, n;

	for (;;) {
		pattern(chunk, CHUNK, (uint64_t)at, 5);
		n = fs->pwrite(fd, chunk, CHUNK, at);
		if (n == -ENOSPC)
			return at;
		ok(n);
		check(n > 0);
		at += n;
	}
}

/* What was written before the device was full is there, and the size is what was written. */
TEST(scale, full_device, OWN)
{
	uint8_t *chunk = aligned_memory(CHUNK), *want = get_memory(CHUNK);
	uint64_t before = free_bytes();
	char name[32];
	int64_t size;
	int fd, made = 0, err = 0;

	dir("d");
	put("d/old", "text");
	fd = open_direct("big", O_CREAT | O_RDWR);
	size = fill_file(fd, chunk);
	check((uint64_t)size > before / 2 && (uint64_t)size <= before);
	equal(size, look_fd(fd).st_size);
	check(free_bytes() < before / 20 + CHUNK);
	for (int64_t at = 0; at < size; at += CHUNK) {
		size_t n = read_all(fd, chunk, CHUNK, at);

		equal(size - at < CHUNK ? size - at : CHUNK, n);
		pattern(want, n, (uint64_t)at, 5);
		check(!memcmp(chunk, want, n));
	}
	/* What needs no space works, and what does fails in good order. */
	expect_text("d/old", "text");
	ok(fs->chmod("d/old", 0600));
	ok(fs->rename("d/old", "d/new", 0));
	while (made < 200000 && !err) {
		snprintf(name, sizeof(name), "d/%d", made);
		err = fs->mkdir(name, 0777);
		made += !err;
	}
	if (err) {
		equal(-ENOSPC, err);
		check(!there(name));
		equal(made + 2, look("d").st_nlink);
	}
	equal(CHUNK, fs->pwrite(fd, chunk, CHUNK, 0)); /* there are blocks for this already */
	while (made-- > 0) {
		snprintf(name, sizeof(name), "d/%d", made);
		ok(fs->rmdir(name));
	}
	ok(fs->unlink("d/new"));
	ok(fs->rmdir("d"));
	ok(fs->ftruncate(fd, 0));
	ok(fs->close(fd));
	ok(fs->unlink("big"));
	expect_free(before - (1 << 20));
	free(chunk);
	free(want);
}

/* Space of a file without a name comes back with the last close. */
TEST(scale, space_of_unlinked_files, OWN)
{
	uint64_t before = free_bytes();
	uint8_t *chunk = get_memory(CHUNK);
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	for (int i = 0; i < 64; i++)
		write_all(fd, chunk, CHUNK, (int64_t)i * CHUNK);
	ok(fs->fsync(fd));
	ok(fs->unlink("f"));
	check(free_bytes() <= before - 64 * CHUNK + (1 << 20));
	ok(fs->close(fd));
	expect_free(before - (1 << 20));
	free(chunk);
}

TEST(scale, numbers_come_back, OWN)
{
	uint64_t before = free_files();
	char name[16];

	for (int pass = 0; pass < 3; pass++) {
		for (int i = 0; i < 500; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			put(name, "");
		}
		check(free_files() <= before - 500);
		for (int i = 0; i < 500; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			ok(fs->unlink(name));
		}
		for (int i = 0; i < 200 && free_files() != before; i++)
			tick();
		equal(before, free_files());
	}
}
