/* SPDX-License-Identifier: BSD-2-Clause */
/* What a path can do wrong, for each call that takes one: the same errors everywhere. */
#include "util.h"

static int64_t p_stat(const char *p)
{
	struct stat st;

	return fs->stat(p, &st);
}

static int64_t p_lstat(const char *p)
{
	struct stat st;

	return fs->lstat(p, &st);
}

static int64_t p_open(const char *p)
{
	int fd = fs->open(p, O_RDONLY, 0);

	return fd < 0 ? fd : fs->close(fd);
}

static int64_t p_create(const char *p)
{
	int fd = fs->open(p, O_WRONLY | O_CREAT, 0666);

	return fd < 0 ? fd : fs->close(fd);
}

static int64_t p_access(const char *p)
{
	return fs->access(p, F_OK);
}

static int64_t p_chmod(const char *p)
{
	return fs->chmod(p, 0755);
}

static int64_t p_chown(const char *p)
{
	return fs->chown(p, (uid_t)-1, (gid_t)-1);
}

static int64_t p_lchown(const char *p)
{
	return fs->lchown(p, (uid_t)-1, (gid_t)-1);
}

static int64_t p_truncate(const char *p)
{
	return fs->truncate(p, 0);
}

static int64_t p_utimens(const char *p)
{
	return fs->utimens(p, NULL, 0);
}

static int64_t p_readlink(const char *p)
{
	char target[16];

	return fs->readlink(p, target, sizeof(target));
}

static int64_t p_getxattr(const char *p)
{
	return fs->getxattr(p, "user.x", NULL, 0);
}

static int64_t p_mkdir(const char *p)
{
	return fs->mkdir(p, 0755);
}

static int64_t p_mkfifo(const char *p)
{
	return fs->mknod(p, S_IFIFO | 0644, 0);
}

static int64_t p_mknod(const char *p)
{
	return fs->mknod(p, S_IFREG | 0644, 0);
}

static int64_t p_symlink(const char *p)
{
	return fs->symlink("target", p);
}

static int64_t p_link_to(const char *p)
{
	return fs->link("file", p, 0);
}

static int64_t p_link_from(const char *p)
{
	return fs->link(p, "made", 0);
}

static int64_t p_rename_to(const char *p)
{
	return fs->rename("file", p, 0);
}

static int64_t p_rename_from(const char *p)
{
	return fs->rename(p, "made", 0);
}

static int64_t p_unlink(const char *p)
{
	return fs->unlink(p);
}

static int64_t p_rmdir(const char *p)
{
	return fs->rmdir(p);
}

static const struct op {
	const char *name;
	int64_t (*call)(const char *path);
	bool makes;   /* the last name need not be there */
	bool follows; /* a link at the end is followed */
} ops[] = {
	{ "stat", p_stat, false, true },	   { "lstat", p_lstat, false, false },
	{ "open", p_open, false, true },	   { "create", p_create, true, true },
	{ "access", p_access, false, true },	   { "chmod", p_chmod, false, true },
	{ "chown", p_chown, false, true },	   { "lchown", p_lchown, false, false },
	{ "truncate", p_truncate, false, true },   { "utimensat", p_utimens, false, true },
	{ "readlink", p_readlink, false, false },  { "getxattr", p_getxattr, false, true },
	{ "mkdir", p_mkdir, true, false },	   { "mkfifo", p_mkfifo, true, false },
	{ "mknod", p_mknod, true, false },	   { "symlink", p_symlink, true, false },
	{ "link to", p_link_to, true, false },	   { "link from", p_link_from, false, false },
	{ "rename to", p_rename_to, true, false }, { "rename from", p_rename_from, false, false },
	{ "unlink", p_unlink, false, false },	   { "rmdir", p_rmdir, false, false },
};

#define EACH_OP(op) (const struct op *op = ops; op < ops + sizeof(ops) / sizeof(ops[0]); op++)

#define OP_FAILS(error, op, path)                                                   \
	do {                                                                        \
		int64_t got_ = (op)->call(path);                                    \
		check_case(got_ == -(error), "%s: expected %s, got %s", (op)->name, \
			   error_name(error), error_name((int)-got_));              \
	} while (0)

TEST(paths, enotdir, 0)
{
	put("file", "");
	for
		EACH_OP(op)
	OP_FAILS(ENOTDIR, op, "file/x");
}

TEST(paths, enoent_in_front, 0)
{
	put("file", "");
	for
		EACH_OP(op)
	OP_FAILS(ENOENT, op, "none/x");
}

TEST(paths, enoent_at_end, 0)
{
	for
		EACH_OP(op)
	if (!op->makes)
		OP_FAILS(ENOENT, op, "none");
}

TEST(paths, empty, 0)
{
	put("file", "");
	for
		EACH_OP(op)
	OP_FAILS(ENOENT, op, "");
}

TEST(paths, name_too_long, 0)
{
	char path[600];

	put("file", "");
	for
		EACH_OP(op)
		{
			OP_FAILS(ENAMETOOLONG, op, long_name(256));
			snprintf(path, sizeof(path), "%s/x", long_name(256));
			OP_FAILS(ENAMETOOLONG, op, path);
		}
}

TEST(paths, path_too_long, 0)
{
	char path[5000];

	put("file", "");
	for (size_t i = 0; i < sizeof(path); i += 2)
		memcpy(path + i, "./", 2);
	path[4096] = 0;
	for
		EACH_OP(op)
	OP_FAILS(ENAMETOOLONG, op, path);
	path[4094] = 'f';
	path[4095] = 0;
	put(path, "at the end of a path of 4095 bytes");
	expect_text("f", "at the end of a path of 4095 bytes");
}

TEST(paths, loop, 0)
{
	put("file", "");
	ok(fs->symlink("b", "a"));
	ok(fs->symlink("a", "b"));
	for
		EACH_OP(op)
		{
			OP_FAILS(ELOOP, op, "a/x");
			if (op->follows)
				OP_FAILS(ELOOP, op, "a");
		}
}

TEST(paths, forty_links, 0)
{
	char name[16], target[16];

	put("file", "reached");
	ok(fs->symlink("file", "l1"));
	for (int i = 2; i <= 41; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(target, sizeof(target), "l%d", i - 1);
		ok(fs->symlink(target, name));
	}
	expect_text("l40", "reached");
	fails(ELOOP, fs->open("l41", O_RDONLY, 0));
}

TEST(paths, no_search_permission, AS_OTHERS)
{
	ok(fs->mkdir("shut", 0700));
	put("shut/x", "");
	put_mode("file", "", 0666);
	ok(fs->chmod("shut", 0666));
	ok(fs->chown("file", U1, G1));
	as(U1, G1);
	for
		EACH_OP(op)
		{
			OP_FAILS(EACCES, op, "shut/x");
			OP_FAILS(EACCES, op, "shut/none");
		}
}

/* Search permission goes by class: the owner's bits for the owner, even where others' would allow more. */
TEST(paths, search_by_class, AS_OTHERS)
{
	dir("d");
	put_mode("d/x", "", 0666);
	ok(fs->chown("d", U1, G1));
	ok(fs->chmod("d", 0677));
	as(U1, G1);
	fails(EACCES, p_stat("d/x"));
	as(U2, G1);
	ok(p_stat("d/x"));
	as_first();
	ok(fs->chmod("d", 0767));
	as(U2, G1);
	fails(EACCES, p_stat("d/x"));
	as_member(U2, G2, G1);
	fails(EACCES, p_stat("d/x"));
	as(U2, G2);
	ok(p_stat("d/x"));
	as_first();
	ok(fs->chmod("d", 0));
	ok(p_stat("d/x"));
}

TEST(paths, longest_name, 0)
{
	const char *name = long_name(255);
	char other[256];

	memset(other, 'y', 255);
	other[255] = 0;
	for (enum kind k = 0; k < kinds(); k++) {
		ok(make(k, name, 0755));
		check(there(name));
		ok(fs->rename(name, other, 0));
		check(!there(name) && there(other));
		if (k != DIRECTORY) {
			ok(fs->link(other, name, 0));
			ok(fs->unlink(name));
		}
		ok(remove_kind(k, other));
	}
	put("f", "");
	ok(fs->symlink("f", name));
	ok(p_stat(name));
}

/* Any byte but NUL and '/' may be in a name. */
TEST(paths, strange_names, 0)
{
	static const char *const names[] = {
		" ", "...",	 "-",	"\n", "\\",
		"*", "\xff\xfe", "..x", ".x", "\xe5\xa4\x9a\xe6\xae\xb5",
		"A", "a",	 "a ",	"a."
	};
	struct dent ents[32];
	int n = (int)(sizeof(names) / sizeof(names[0])), fd, got, total = 0;

	for (int i = 0; i < n; i++)
		put(names[i], names[i]);
	for (int i = 0; i < n; i++)
		expect_text(names[i], names[i]);
	fd = (int)ok(fs->open(".", O_RDONLY, 0));
	while ((got = (int)ok(fs->readdir(fd, ents, 32))))
		total += got;
	ok(fs->close(fd));
	equal(n + 2, total);
}

TEST(paths, dots, 0)
{
	struct stat top = look(".");

	dir("d");
	dir("d/e");
	put("d/e/f", "text");
	expect_text("d/e/../e/./f", "text");
	expect_text("d//e///f", "text");
	equal(top.st_ino, look("d/..").st_ino);
	equal(top.st_ino, look("d/e/../..").st_ino);
	equal(look("d").st_ino, look("d/e/..").st_ino);
	fails(ENOTDIR, p_stat("d/e/f/.."));
	fails(ENOTDIR, p_stat("d/e/f/."));
	fails(ENOENT, p_stat("d/none/../e"));
}

TEST(paths, slash_at_end, 0)
{
	put("f", "");
	dir("d");
	ok(fs->symlink("d", "to_dir"));
	ok(fs->symlink("f", "to_file"));
	ok(fs->symlink("none", "dangling"));
	ok(p_stat("d/"));
	ok(p_stat("d///"));
	ok(p_lstat("to_dir/"));
	check(S_ISDIR(look("to_dir/").st_mode));
	fails(ENOTDIR, p_stat("f/"));
	fails(ENOTDIR, p_lstat("to_file/"));
	fails(ENOTDIR, p_open("f/"));
	fails(ENOENT, p_stat("dangling/"));
	fails(EISDIR, p_create("new/"));
	fails(EISDIR, p_create("f/"));
	fails(ENOENT, p_mknod("new/"));
	fails(ENOENT, p_symlink("new/"));
	fails(ENOENT, fs->link("f", "new/", 0));
	ok(p_mkdir("new/"));
	fails(ENOTDIR, p_unlink("f/"));
	fails(EISDIR, p_unlink("d/"));
	fails(ENOTDIR, p_unlink("to_dir/"));
	fails(ENOTDIR, p_rmdir("to_dir/"));
	fails(ENOTDIR, p_rmdir("f/"));
	ok(p_rmdir("new/"));
	fails(ENOTDIR, fs->rename("f", "new/", 0));
	fails(ENOTDIR, fs->rename("f/", "new", 0));
	ok(fs->rename("d/", "new/", 0));
	check(there("new") && !there("d"));
	fails(EEXIST, p_mkdir("dangling/"));
}

TEST(paths, symlinks_relative_and_absolute, 0)
{
	char path[4096];

	dir("d");
	dir("d/e");
	put("d/f", "text");
	ok(fs->symlink("../f", "d/e/up"));
	expect_text("d/e/up", "text");
	ok(fs->symlink("d/e", "short"));
	expect_text("short/../f", "text");
	expect_text("short/up", "text");
	fs->absolute("d/f", path, sizeof(path));
	ok(fs->symlink(path, "d/e/abs"));
	expect_text("d/e/abs", "text");
	expect_text(path, "text");
	ok(fs->symlink(".", "d/self"));
	expect_text("d/self/self/self/f", "text");
}
