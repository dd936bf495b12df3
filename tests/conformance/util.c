/* SPDX-License-Identifier: BSD-2-Clause */
/* What many tests need; see util.h. */
#include "util.h"

#include <sys/sysmacros.h>
#include <time.h>

/* ---- Files */

void put_mode(const char *path, const char *text, mode_t mode)
{
	int fd = (int)ok(fs->open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
	size_t len = strlen(text);

	if (len)
		equal(len, fs->write(fd, text, len));
	ok(fs->close(fd));
}

void put(const char *path, const char *text)
{
	put_mode(path, text, 0666);
}

void expect_text(const char *path, const char *text)
{
	char got[256];
	int fd = (int)ok(fs->open(path, O_RDONLY, 0));
	int64_t n = ok(fs->read(fd, got, sizeof(got) - 1));

	ok(fs->close(fd));
	got[n] = 0;
	check_case(!strcmp(got, text), "%s holds \"%s\", not \"%s\"", path, got, text);
}

void dir(const char *path)
{
	ok(fs->mkdir(path, 0777));
}

bool there(const char *path)
{
	struct stat st;

	return !fs->lstat(path, &st);
}

struct stat look(const char *path)
{
	struct stat st;
	int err = fs->lstat(path, &st);

	check_case(!err, "lstat(%s): %s", path, error_name(-err));
	return st;
}

struct stat look_fd(int fd)
{
	struct stat st;

	ok(fs->fstat(fd, &st));
	return st;
}

mode_t mode_of(const char *path)
{
	return look(path).st_mode & 07777;
}

enum { BATCH = 256 };

/* Remove up to BATCH of a directory's entries: how many there were, or -errno. */
static int remove_some(const char *path, struct dent *ents)
{
	int fd, n, err, left = 0;

	fs->chmod(path, 0777);
	fd = fs->open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	for (;;) {
		n = fs->readdir(fd, ents + left, BATCH - left);
		if (n <= 0)
			break;
		left += n;
		if (left == BATCH)
			break;
	}
	fs->close(fd);
	if (n < 0)
		return n;
	n = 0;
	for (int i = 0; i < left; i++) {
		char *name = ents[i].name, *sub;

		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		if (asprintf(&sub, "%s/%s", path, name) < 0)
			return -ENOMEM;
		err = fs->unlink(sub);
		if (err == -EISDIR || err == -EPERM)
			err = remove_all(sub);
		free(sub);
		if (err)
			return err;
		n++;
	}
	return n;
}

int remove_all(const char *path)
{
	struct dent *ents = malloc(BATCH * sizeof(*ents));
	int n;

	if (!ents)
		return -ENOMEM;
	do {
		n = remove_some(path, ents);
	} while (n > 0);
	free(ents);
	return n ? n : fs->rmdir(path);
}

/* ---- Kinds */

const char *const kind_names[KINDS] = { "regular file", "directory",	 "named pipe",
					"socket",	"symbolic link", "character device",
					"block device" };

enum kind kinds(void)
{
	return fs->is_root() ? KINDS : CHAR;
}

mode_t kind_type(enum kind k)
{
	static const mode_t types[KINDS] = { S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK,
					     S_IFLNK, S_IFCHR, S_IFBLK };

	return types[k];
}

int make(enum kind k, const char *path, mode_t mode)
{
	int fd;

	switch (k) {
	case REG:
		fd = fs->open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
		return fd < 0 ? fd : fs->close(fd);
	case DIRECTORY: return fs->mkdir(path, mode);
	case LINK: return fs->symlink("nowhere", path);
	default: return fs->mknod(path, kind_type(k) | mode, makedev(1, 3));
	}
}

int remove_kind(enum kind k, const char *path)
{
	return k == DIRECTORY ? fs->rmdir(path) : fs->unlink(path);
}

/* ---- Times */

void tick(void)
{
	struct timespec from, now, nap = { 0, 500000 };
	int64_t start;

	/* Time stamps come from this clock, which moves 100 to 1000 times a second. */
	clock_gettime(CLOCK_REALTIME_COARSE, &from);
	start = ns(from);
	do {
		nanosleep(&nap, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (ns(now) == start);
}

int64_t ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int times_moved(const struct stat *a, const struct stat *b)
{
	return (ns(a->st_atim) != ns(b->st_atim) ? A : 0) |
	       (ns(a->st_mtim) != ns(b->st_mtim) ? M : 0) |
	       (ns(a->st_ctim) != ns(b->st_ctim) ? C : 0);
}

/* ---- Bytes */

static uint8_t byte_at(uint64_t at, uint64_t key)
{
	uint64_t word = (at / 8 + 1) * 0x9e3779b97f4a7c15 + key * 0xbf58476d1ce4e5b9;

	return (uint8_t)((word ^ word >> 29) >> (at % 8 * 7));
}

void pattern(void *data, size_t len, uint64_t at, uint64_t key)
{
	uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		p[i] = byte_at(at + i, key);
}

void expect_pattern(struct place p, const void *data, size_t len, uint64_t at, uint64_t key)
{
	const uint8_t *got = data;

	for (size_t i = 0; i < len; i++)
		if (got[i] != byte_at(at + i, key))
			fail_at(p, "byte %llu is %#x, not %#x", (unsigned long long)(at + i),
				got[i], byte_at(at + i, key));
}

void expect_zeroes(struct place p, const void *data, size_t len)
{
	const uint8_t *got = data;

	for (size_t i = 0; i < len; i++)
		if (got[i])
			fail_at(p, "byte %zu of a range of zeroes is %#x", i, got[i]);
}

/* A test that is skipped half-way leaves its memory: remembered, so that the leak checker does not take it for lost. */
void *memory_given[256];

void *get_memory(size_t size)
{
	static unsigned n;
	void *p = calloc(1, size);

	check(p);
	__atomic_store_n(&memory_given[__atomic_fetch_add(&n, 1, __ATOMIC_RELAXED) % 256], p, __ATOMIC_RELAXED);
	return p;
}

int open_direct(const char *path, int flags)
{
	int fd = fs->open(path, flags | O_DIRECT, 0666);

	return (int)ok(fd == -EINVAL ? fs->open(path, flags, 0666) : fd);
}

void *aligned_memory(size_t size)
{
	void *p = aligned_alloc(4096, size);

	check(p);
	return p;
}

void write_all(int fd, const void *data, size_t len, int64_t off)
{
	equal(len, fs->pwrite(fd, data, len, off));
}

size_t read_all(int fd, void *data, size_t len, int64_t off)
{
	size_t got = 0;
	int64_t n;

	while (got < len) {
		n = ok(fs->pread(fd, (char *)data + got, len - got, off + (int64_t)got));
		if (!n)
			break;
		got += (size_t)n;
	}
	return got;
}

/* ---- Names */

const char *long_name(size_t len)
{
	static char names[4][8192];
	static int next;
	char *name = names[next++ % 4];

	check(len < sizeof(names[0]));
	memset(name, 'x', len);
	name[len] = 0;
	return name;
}
