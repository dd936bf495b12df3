/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes. */
#include "util.h"

#include <sys/xattr.h>

static void need(void)
{
	put("probe", "");
	if (fs->setxattr("probe", "user.x", "x", 1, 0) == -EOPNOTSUPP)
		skip_test("this file system has no user attributes");
	ok(fs->unlink("probe"));
}

static void expect_value(const char *path, const char *name, const char *want)
{
	char got[256];
	int64_t n = ok(fs->getxattr(path, name, got, sizeof(got)));

	check_case((size_t)n == strlen(want) && !memcmp(got, want, (size_t)n),
		   "%s of %s is \"%.*s\", not \"%s\"", name, path, (int)n, got, want);
}

/* Is the name in the list? Names of other namespaces may be there, too. */
static bool listed(const char *path, const char *name)
{
	static char names[65536];
	int64_t n = ok(fs->listxattr(path, names, sizeof(names)));

	for (char *p = names; p < names + n; p += strlen(p) + 1)
		if (!strcmp(p, name))
			return true;
	return false;
}

TEST(xattr, set_get_remove, 0)
{
	need();
	put("f", "text");
	dir("d");
	for (int i = 0; i < 2; i++) {
		const char *path = i ? "d" : "f";

		fails(ENODATA, fs->getxattr(path, "user.a", NULL, 0));
		check(!listed(path, "user.a"));
		ok(fs->setxattr(path, "user.a", "one", 3, 0));
		expect_value(path, "user.a", "one");
		ok(fs->setxattr(path, "user.a", "another", 7, 0));
		expect_value(path, "user.a", "another");
		ok(fs->setxattr(path, "user.a", "", 0, 0));
		expect_value(path, "user.a", "");
		check(listed(path, "user.a"));
		ok(fs->removexattr(path, "user.a"));
		fails(ENODATA, fs->removexattr(path, "user.a"));
		fails(ENODATA, fs->getxattr(path, "user.a", NULL, 0));
		check(!listed(path, "user.a"));
	}
	expect_text("f", "text");
}

TEST(xattr, create_and_replace, 0)
{
	need();
	put("f", "");
	fails(ENODATA, fs->setxattr("f", "user.a", "x", 1, XATTR_REPLACE));
	ok(fs->setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	fails(EEXIST, fs->setxattr("f", "user.a", "y", 1, XATTR_CREATE));
	expect_value("f", "user.a", "x");
	ok(fs->setxattr("f", "user.a", "y", 1, XATTR_REPLACE));
	expect_value("f", "user.a", "y");
}

TEST(xattr, room, 0)
{
	char got[16];
	int n;

	need();
	put("f", "");
	ok(fs->setxattr("f", "user.a", "0123456789", 10, 0));
	equal(10, fs->getxattr("f", "user.a", NULL, 0));
	fails(ERANGE, fs->getxattr("f", "user.a", got, 9));
	equal(10, fs->getxattr("f", "user.a", got, 10));
	n = (int)ok(fs->listxattr("f", NULL, 0));
	check(n >= 7);
	fails(ERANGE, fs->listxattr("f", got, 3));
}

TEST(xattr, names, 0)
{
	char name[300] = "user.";

	need();
	put("f", "");
	memset(name + 5, 'n', 250);
	name[255] = 0;
	ok(fs->setxattr("f", name, "x", 1, 0));
	expect_value("f", name, "x");
	check(listed("f", name));
	name[255] = 'n';
	name[256] = 0;
	fails(ERANGE, fs->setxattr("f", name, "x", 1, 0));
	fails(EOPNOTSUPP, fs->setxattr("f", "nonsense", "x", 1, 0));
	fails(EOPNOTSUPP, fs->setxattr("f", "nonsense.x", "x", 1, 0));
	fails(EOPNOTSUPP, fs->getxattr("f", "nonsense.x", NULL, 0));
}

TEST(xattr, several, 0)
{
	enum { N = 20 };
	char name[32], value[32];

	need();
	put("f", "");
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		snprintf(value, sizeof(value), "value %d", i * i * i);
		ok(fs->setxattr("f", name, value, strlen(value), 0));
	}
	for (int i = 0; i < N; i += 2) {
		snprintf(name, sizeof(name), "user.name%d", i);
		ok(fs->removexattr("f", name));
	}
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		snprintf(value, sizeof(value), "value %d", i * i * i);
		equal(i % 2, listed("f", name));
		if (i % 2)
			expect_value("f", name, value);
	}
}

TEST(xattr, large_value, 0)
{
	enum { SIZE = 3000 };
	uint8_t data[SIZE], got[SIZE];

	need();
	put("f", "");
	for (size_t size = 1; size <= SIZE; size += 149) {
		pattern(data, size, 0, size);
		ok(fs->setxattr("f", "user.large", data, size, 0));
		equal(size, fs->getxattr("f", "user.large", got, SIZE));
		expect_pattern(HERE, got, size, 0, size);
	}
	fails(E2BIG, fs->setxattr("f", "user.large", got, 65537, 0));
}

TEST(xattr, stay_with_the_file, 0)
{
	need();
	put("f", "");
	ok(fs->setxattr("f", "user.a", "x", 1, 0));
	ok(fs->link("f", "g", 0));
	expect_value("g", "user.a", "x");
	ok(fs->rename("f", "h", 0));
	expect_value("h", "user.a", "x");
	put("h", "text");
	expect_value("h", "user.a", "x");
	ok(fs->unlink("g"));
	ok(fs->unlink("h"));
	for (int i = 0; i < 10; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%d", i);
		put(name, "");
		fails(ENODATA, fs->getxattr(name, "user.a", NULL, 0));
	}
}

TEST(xattr, move_ctime, 0)
{
	need();
	put("f", "");
	equal(C, moves("f", ok(fs->setxattr("f", "user.a", "x", 1, 0))));
	equal(0, moves("f", ok(fs->getxattr("f", "user.a", NULL, 0))));
	equal(C, moves("f", ok(fs->removexattr("f", "user.a"))));
	equal(0, moves("f", fails(ENODATA, fs->removexattr("f", "user.a"))));
}

TEST(xattr, user_permission, AS_OTHERS)
{
	need();
	put("f", "");
	ok(fs->setxattr("f", "user.a", "x", 1, 0));
	ok(fs->chmod("f", 0644));
	as(U1, G1);
	expect_value("f", "user.a", "x");
	fails(EACCES, fs->setxattr("f", "user.a", "y", 1, 0));
	fails(EACCES, fs->removexattr("f", "user.a"));
	as_first();
	ok(fs->chmod("f", 0622));
	as(U1, G1);
	fails(EACCES, fs->getxattr("f", "user.a", NULL, 0));
	ok(fs->setxattr("f", "user.a", "y", 1, 0));
	as_first();
	expect_value("f", "user.a", "y");
}

/* Where everybody may write but nobody owns, user attributes would be a leak: not on links and devices. */
TEST(xattr, user_needs_file_or_directory, 0)
{
	need();
	ok(fs->symlink("none", "l"));
	fails(EPERM, fs->lsetxattr("l", "user.a", "x", 1, 0));
	ok(fs->mknod("p", S_IFIFO | 0666, 0));
	fails(EPERM, fs->setxattr("p", "user.a", "x", 1, 0));
}

TEST(xattr, trusted, AS_OTHERS)
{
	int err;

	need();
	put_mode("f", "", 0666);
	err = fs->setxattr("f", "trusted.a", "x", 1, 0);
	if (err == -EOPNOTSUPP)
		skip_test("this file system has no trusted attributes");
	ok(err);
	expect_value("f", "trusted.a", "x");
	check(listed("f", "trusted.a"));
	ok(fs->chown("f", U1, G1));
	as(U1, G1);
	fails(ENODATA, fs->getxattr("f", "trusted.a", NULL, 0));
	fails(EPERM, fs->setxattr("f", "trusted.a", "y", 1, 0));
	check(!listed("f", "trusted.a"));
}
