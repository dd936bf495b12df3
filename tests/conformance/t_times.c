/* SPDX-License-Identifier: BSD-2-Clause */
/* Time stamps: what moves them, what does not, and utimensat(). */
#include "util.h"

#include <time.h>

static const struct timespec now = { .tv_nsec = UTIME_NOW }, omit = { .tv_nsec = UTIME_OMIT };

static int set(const char *path, struct timespec a, struct timespec m)
{
	return fs->utimens(path, (struct timespec[2]){ a, m }, 0);
}

static struct timespec at(int64_t sec, long nsec)
{
	return (struct timespec){ .tv_sec = sec, .tv_nsec = nsec };
}

TEST(times, set_exactly, 0)
{
	static const int64_t secs[] = { 0,	    1,		1000000000, 1892160000,
					4000000000, 5000000000, -1,	    -100 };

	for (enum kind k = 0; k < kinds(); k++) {
		ok(make(k, "x", 0755));
		for (unsigned i = 0; i < sizeof(secs) / sizeof(secs[0]); i++) {
			struct timespec a = at(secs[i], 123456789), m = at(secs[i] + 7, 999999999);
			struct stat st;

			ok(fs->utimens("x", (struct timespec[2]){ a, m }, AT_SYMLINK_NOFOLLOW));
			st = look("x");
			equal(ns(a), ns(st.st_atim));
			equal(ns(m), ns(st.st_mtim));
		}
		ok(remove_kind(k, "x"));
	}
}

TEST(times, ctime_is_now, 0)
{
	struct stat before, after;

	put("f", "");
	before = look("f");
	tick();
	ok(set("f", at(1, 0), at(2, 0)));
	after = look("f");
	check(ns(after.st_ctim) > ns(before.st_ctim));
}

TEST(times, now_and_omit, 0)
{
	struct stat a, b;

	put("f", "");
	ok(set("f", at(1, 1), at(2, 2)));
	a = look("f");
	equal(0, moves("f", ok(set("f", omit, omit))));
	ok(set("f", at(5, 5), omit));
	b = look("f");
	equal(ns(at(5, 5)), ns(b.st_atim));
	equal(ns(a.st_mtim), ns(b.st_mtim));
	ok(set("f", omit, now));
	b = look("f");
	equal(ns(at(5, 5)), ns(b.st_atim));
	check(b.st_mtim.tv_sec > 1000000000);
	ok(set("f", now, at(9, 9)));
	b = look("f");
	check(b.st_atim.tv_sec > 1000000000);
	equal(ns(at(9, 9)), ns(b.st_mtim));
	ok(set("f", at(1, 1), at(2, 2)));
	ok(fs->utimens("f", NULL, 0));
	b = look("f");
	check(b.st_atim.tv_sec > 1000000000);
	check(llabs(ns(b.st_atim) - ns(b.st_mtim)) < 1000000000);
}

TEST(times, bad_nanoseconds, 0)
{
	put("f", "");
	equal(0, moves("f", {
		      fails(EINVAL, set("f", at(1, 1000000000), at(1, 0)));
		      fails(EINVAL, set("f", at(1, 0), at(1, -1)));
	      }));
}

TEST(times, of_links, 0)
{
	put("f", "");
	ok(set("f", at(3, 3), at(4, 4)));
	ok(fs->symlink("f", "l"));
	ok(set("l", at(5, 5), at(6, 6)));
	equal(ns(at(6, 6)), ns(look("f").st_mtim));
	check(look("l").st_mtim.tv_sec > 6);
	ok(fs->utimens("l", (struct timespec[2]){ at(7, 7), at(8, 8) }, AT_SYMLINK_NOFOLLOW));
	equal(ns(at(8, 8)), ns(look("l").st_mtim));
	equal(ns(at(6, 6)), ns(look("f").st_mtim));
}

TEST(times, by_descriptor, 0)
{
	int fd;

	put("f", "");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	ok(fs->futimens(fd, (struct timespec[2]){ at(7, 7), at(8, 8) }));
	equal(ns(at(8, 8)), ns(look("f").st_mtim));
	ok(fs->close(fd));
}

/* The owner may set any time; who may write may set the present; nobody else anything. */
TEST(times, permission, AS_OTHERS)
{
	put("f", "");
	ok(fs->chown("f", U1, G1));
	ok(fs->chmod("f", 0444));
	as(U1, G1);
	ok(set("f", at(1, 1), at(2, 2)));
	ok(fs->utimens("f", NULL, 0));
	ok(set("f", now, now));
	as(U2, G2);
	equal(0, moves("f", {
		      fails(EACCES, fs->utimens("f", NULL, 0));
		      fails(EACCES, set("f", now, now));
		      fails(EPERM, set("f", at(1, 1), at(2, 2)));
		      fails(EPERM, set("f", at(1, 1), omit));
		      fails(EPERM, set("f", now, omit));
	      }));
	as_first();
	ok(fs->chmod("f", 0666));
	as(U2, G2);
	ok(fs->utimens("f", NULL, 0));
	ok(set("f", now, now));
	ok(set("f", omit, omit));
	fails(EPERM, set("f", at(1, 1), at(2, 2)));
	fails(EPERM, set("f", at(1, 1), now));
	fails(EPERM, set("f", now, omit));
	fails(EPERM, set("f", omit, now));
}

TEST(times, write_moves, 0)
{
	int fd;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDWR, 0));
	equal(M | C, moves("f", equal(1, fs->write(fd, "x", 1))) & (M | C));
	equal(M | C, moves("f", equal(1, fs->pwrite(fd, "x", 1, 100))) & (M | C));
	equal(M | C, moves("f", ok(fs->ftruncate(fd, 10))) & (M | C));
	equal(M | C, moves("f", ok(fs->truncate("f", 20))) & (M | C));
	equal(M | C, moves("f", ok(fs->fallocate(fd, 0, 0, 40))) & (M | C));
	equal(0, moves("f", equal(0, fs->write(fd, "x", 0))));
	equal(0, moves("f", ok(fs->fsync(fd))));
	ok(fs->close(fd));
}

TEST(times, open_with_truncate_moves, 0)
{
	put("f", "text");
	equal(M | C, moves("f", put("f", "")) & (M | C));
	equal(M | C, moves("f", put("f", "")) & (M | C)); /* though it was empty */
}

TEST(times, reading_does_not_move, 0)
{
	char c;
	int fd;

	put("f", "text");
	fd = (int)ok(fs->open("f", O_RDONLY, 0));
	equal(0, moves("f", equal(1, fs->read(fd, &c, 1))) & (M | C));
	equal(0, moves("f", ok(fs->access("f", R_OK))));
	equal(0, moves("f", ok(fs->lseek(fd, 0, SEEK_END))));
	ok(fs->close(fd));
}

/*
 * atime follows reading at least where it was not after mtime, as relatime has it. Past the system's cache: of what
 * that answers by itself, a file system may never hear.
 */
TEST(times, reading_moves_atime, 0)
{
	struct statvfs sv;
	void *data = aligned_memory(4096);
	int fd;

	ok(fs->statvfs(&sv));
	if (sv.f_flag & ST_NOATIME)
		skip_test("mounted with noatime");
	put("f", "text");
	ok(set("f", at(1, 1), now));
	fd = open_direct("f", O_RDONLY);
	equal(4, fs->read(fd, data, 4096));
	ok(fs->close(fd));
	check(look("f").st_atim.tv_sec > 1000000000);
	free(data);
}

/* The first look at it is the file system's to hear of; what the system has kept then, may be its own. */
TEST(times, looking_moves_atime, 0)
{
	struct statvfs sv;
	struct dent d[8];
	char target[8];
	int fd;

	ok(fs->statvfs(&sv));
	if (sv.f_flag & ST_NOATIME)
		skip_test("mounted with noatime");
	dir("d");
	ok(set("d", at(1, 1), now));
	fd = (int)ok(fs->open("d", O_RDONLY | O_DIRECTORY, 0));
	equal(2, ok(fs->readdir(fd, d, 8)));
	ok(fs->close(fd));
	check(look("d").st_atim.tv_sec > 1000000000);
	ok(fs->symlink("d", "l"));
	ok(fs->utimens("l", (struct timespec[2]){ at(1, 1), now }, AT_SYMLINK_NOFOLLOW));
	equal(1, ok(fs->readlink("l", target, sizeof(target))));
	check(look("l").st_atim.tv_sec > 1000000000);
}

/* A time that cannot be kept becomes one that can, on the same side. */
TEST(times, far_away, 0)
{
	put("f", "");
	ok(set("f", at(-(1ll << 62), 5), at(1ll << 62, 5)));
	check(look("f").st_atim.tv_sec < -(1ll << 31));
	check(look("f").st_mtim.tv_sec > 1ll << 32);
}

TEST(times, of_birth, MOUNTED)
{
	struct statx x, y;

	put("f", "");
	ok(statx(AT_FDCWD, "f", 0, STATX_BTIME | STATX_MTIME, &x));
	if (!(x.stx_mask & STATX_BTIME))
		skip_test("no times of birth here (Linux asks FUSE for them from 6.6 on)");
	check(x.stx_btime.tv_sec > 1000000000);
	tick();
	put("f", "text");
	ok(set("f", at(1, 1), at(2, 2)));
	ok(statx(AT_FDCWD, "f", 0, STATX_BTIME | STATX_BASIC_STATS, &y));
	check(!memcmp(&x.stx_btime, &y.stx_btime, sizeof(x.stx_btime)));
	equal(4, y.stx_size);
	equal(2, y.stx_mtime.tv_sec);
	equal(1, y.stx_nlink);
}

TEST(times, names_move_directories, 0)
{
	dir("d");
	dir("e");
	put("d/f", "");
	equal(M | C, moves("d", ok(fs->link("d/f", "d/g", 0))) & (M | C));
	equal(M | C, moves("d", ok(fs->unlink("d/g"))) & (M | C));
	equal(M | C, moves("d", ok(fs->rename("d/f", "d/g", 0))) & (M | C));
	equal(M | C, moves("d", ok(fs->rename("d/g", "e/g", 0))) & (M | C));
	equal(M | C, moves("e", ok(fs->rename("e/g", "d/f", 0))) & (M | C));
	dir("d/s");
	equal(M | C, moves("d", ok(fs->rmdir("d/s"))) & (M | C));
	equal(0, moves("d", put("d/f", "text")) & (M | C));
}

TEST(times, names_move_ctime, 0)
{
	put("f", "");
	equal(C, moves("f", ok(fs->link("f", "g", 0))));
	equal(C, moves("f", ok(fs->unlink("g"))));
	equal(C, moves("f", {
		      ok(fs->rename("f", "g", 0));
		      ok(fs->rename("g", "f", 0));
	      }));
	put("h", "");
	ok(fs->link("h", "i", 0));
	equal(C, moves("i", ok(fs->rename("f", "h", 0)))); /* it lost a name */
}

TEST(times, failures_move_nothing, 0)
{
	dir("d");
	dir("d/full");
	put("d/full/x", "");
	put("d/f", "");
	equal(0, moves("d", {
			 fails(EEXIST, fs->link("d/f", "d/full", 0));
			 fails(ENOENT, fs->unlink("d/none"));
			 fails(EISDIR, fs->unlink("d/full"));
			 fails(ENOTEMPTY, fs->rmdir("d/full"));
			 fails(ENOTDIR, fs->rmdir("d/f"));
			 fails(ENOENT, fs->rename("d/none", "d/new", 0));
			 fails(EISDIR, fs->rename("d/f", "d/full", 0));
			 fails(ENOTDIR, fs->rename("d/full", "d/f", 0));
			 fails(EINVAL, fs->rename("d", "d/new", 0));
			 fails(EEXIST, fs->rename("d/f", "d/full", RENAME_NOREPLACE));
		 }) & (M | C));
	equal(0, moves("d/f", {
		      fails(EEXIST, fs->link("d/f", "d/full", 0));
		      fails(ENOTDIR, fs->rmdir("d/f"));
		      fails(EISDIR, fs->rename("d/f", "d/full", 0));
		      fails(EINVAL, fs->truncate("d/f", -1));
	      }));
}
