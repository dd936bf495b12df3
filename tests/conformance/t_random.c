/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on content, checked against a model: what the file must hold is kept in memory, too.
 * As Apple's fsx does it.
 */
#include "util.h"

#include <linux/falloc.h>

enum { SIZE = 1 << 20, LEN = 70000 };

struct model {
	uint8_t bytes[SIZE];
	size_t size;
	uint64_t seed;
	uint64_t writes; /* makes each write's bytes differ */
	int fd;
	bool no_zero_range, no_punch;
};

static void range(struct model *m, size_t *off, size_t *len)
{
	*off = chance(&m->seed) % SIZE;
	*len = 1 + chance(&m->seed) % LEN;
	if (chance(&m->seed) % 4 == 0) { /* aligned now and then */
		*off &= ~(size_t)4095;
		*len = (*len + 4095) & ~(size_t)4095;
	}
	if (*len > SIZE - *off)
		*len = SIZE - *off;
}

static void do_write(struct model *m, size_t off, size_t len)
{
	pattern(m->bytes + off, len, off, m->seed ^ m->writes++);
	write_all(m->fd, m->bytes + off, len, (int64_t)off);
	if (off + len > m->size)
		m->size = off + len;
}

static void do_read(struct model *m, size_t off, size_t len)
{
	uint8_t got[LEN + 4096];
	size_t n = read_all(m->fd, got, len, (int64_t)off);
	size_t want = off >= m->size ? 0 : m->size - off < len ? m->size - off : len;

	equal(want, n);
	for (size_t i = 0; i < n; i++)
		check_case(got[i] == m->bytes[off + i], "byte %zu is %#x, not %#x", off + i, got[i],
			   m->bytes[off + i]);
}

static void do_truncate(struct model *m, size_t size)
{
	ok(fs->ftruncate(m->fd, (int64_t)size));
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
}

static void do_zero(struct model *m, size_t off, size_t len, int mode, bool *cannot)
{
	int err = fs->fallocate(m->fd, mode, (int64_t)off, (int64_t)len);

	if (err == -EOPNOTSUPP) {
		*cannot = true;
		return;
	}
	ok(err);
	memset(m->bytes + off, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > m->size)
		m->size = off + len;
}

static void do_allocate(struct model *m, size_t off, size_t len, int mode)
{
	int err = fs->fallocate(m->fd, mode, (int64_t)off, (int64_t)len);

	if (err == -EOPNOTSUPP)
		return;
	ok(err);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > m->size)
		m->size = off + len;
}

static void one(struct model *m)
{
	size_t off, len;

	range(m, &off, &len);
	switch (chance(&m->seed) % 12) {
	case 0:
	case 1:
	case 2: do_write(m, off, len); break;
	case 3: do_write(m, m->size < SIZE - 200 ? m->size : off, len < 200 ? len : 200); break;
	case 4:
	case 5:
	case 6: do_read(m, off, len); break;
	case 7: do_truncate(m, off); break;
	case 8:
		if (!m->no_punch)
			do_zero(m, off, len, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				&m->no_punch);
		break;
	case 9:
		if (!m->no_zero_range)
			do_zero(m, off, len,
				FALLOC_FL_ZERO_RANGE |
					(chance(&m->seed) % 2 ? FALLOC_FL_KEEP_SIZE : 0),
				&m->no_zero_range);
		break;
	case 10: do_allocate(m, off, len, chance(&m->seed) % 2 ? FALLOC_FL_KEEP_SIZE : 0); break;
	case 11:
		if (chance(&m->seed) % 8 == 0)
			ok(fs->fsync(m->fd));
		equal(m->size, look_fd(m->fd).st_size);
		break;
	}
}

static void own_file(void *arg, int index)
{
	struct model *m = get_memory(sizeof(*m));
	int rounds = *(int *)arg;
	char name[16];

	snprintf(name, sizeof(name), "f%d", index);
	m->seed = test_seed(100 + (uint64_t)index);
	m->fd = (int)ok(fs->open(name, O_CREAT | O_RDWR, 0666));
	for (int i = 0; i < rounds; i++)
		one(m);
	for (size_t off = 0; off < SIZE; off += LEN)
		do_read(m, off, LEN);
	ok(fs->close(m->fd));
	free(m);
}

TEST(random, one_thread, 0)
{
	int rounds = 3000;

	run_threads(1, own_file, &rounds);
}

TEST(random, four_threads, 0)
{
	int rounds = 1000;

	run_threads(4, own_file, &rounds);
}

/* One file, several threads, each in stripes of its own: neighbours must not disturb each other. */
enum { STRIPE = 3000, STRIPES = 64, WRITERS = 4 };

static void own_stripes(void *arg, int index)
{
	int fd = *(int *)arg;
	uint64_t seed = test_seed(200 + (uint64_t)index), key[STRIPES] = { 0 };
	uint8_t data[STRIPE], want[STRIPE];

	for (int i = 0; i < 600; i++) {
		int s = (int)(chance(&seed) % STRIPES) / WRITERS * WRITERS + index;
		uint64_t off = (uint64_t)s * STRIPE;

		if (key[s] && chance(&seed) % 2) {
			equal(STRIPE, read_all(fd, data, STRIPE, (int64_t)off));
			pattern(want, STRIPE, off, key[s]);
			check_case(!memcmp(data, want, STRIPE), "stripe %d was changed", s);
		} else {
			key[s] = chance(&seed) | 1;
			pattern(data, STRIPE, off, key[s]);
			write_all(fd, data, STRIPE, (int64_t)off);
		}
	}
}

TEST(random, shared_file, 0)
{
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));

	run_threads(WRITERS, own_stripes, &fd);
	ok(fs->close(fd));
}

/* Records that several threads append stay whole, and none is lost. */
enum { RECORD = 61, RECORDS = 400 };

static void append(void *arg, int index)
{
	int fd = (int)ok(fs->open("log", O_WRONLY | O_APPEND, 0));
	uint8_t record[RECORD];

	(void)arg;
	for (int i = 0; i < RECORDS; i++) {
		memset(record, 'a' + index, RECORD);
		equal(RECORD, fs->write(fd, record, RECORD));
	}
	ok(fs->close(fd));
}

TEST(random, appends_are_whole, 0)
{
	size_t size = (size_t)RECORD * RECORDS * WRITERS;
	uint8_t *got = get_memory(size + 1);
	int fd, count[WRITERS] = { 0 };

	put("log", "");
	run_threads(WRITERS, append, NULL);
	fd = (int)ok(fs->open("log", O_RDONLY, 0));
	equal(size, read_all(fd, got, size + 1, 0));
	for (size_t at = 0; at < size; at += RECORD) {
		for (size_t i = 1; i < RECORD; i++)
			check_case(got[at + i] == got[at], "the record at %zu is torn", at);
		check(got[at] >= 'a' && got[at] < 'a' + WRITERS);
		count[got[at] - 'a']++;
	}
	for (int i = 0; i < WRITERS; i++)
		equal(RECORDS, count[i]);
	ok(fs->close(fd));
	free(got);
}

/* A read sees all of a write or nothing of it, within a block. */
static void torn(void *arg, int index)
{
	int fd = *(int *)arg;
	uint8_t data[512];

	for (int i = 0; i < 2000; i++) {
		if (index < 2) {
			memset(data, index * 2000 + i, sizeof(data));
			write_all(fd, data, sizeof(data), 0);
		} else {
			equal(sizeof(data), read_all(fd, data, sizeof(data), 0));
			for (size_t j = 1; j < sizeof(data); j++)
				check_case(data[j] == data[0], "a read saw half of a write");
		}
	}
}

TEST(random, reads_see_whole_writes, 0)
{
	int fd = (int)ok(fs->open("f", O_CREAT | O_RDWR, 0666));
	uint8_t data[512] = { 0 };

	if (fs->mounted)
		skip_test("the system's page cache does not promise it");
	write_all(fd, data, sizeof(data), 0);
	run_threads(4, torn, &fd);
	ok(fs->close(fd));
}
