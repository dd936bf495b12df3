/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest module, hellofs, at every level: what it has is there, and what it leaves out is refused by the kernel.
 *
 *   hello MODULE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "../../front/inproc/tadan.h"

static unsigned passed, failed, skipped;

static void expect(const char *level, const char *what, int64_t want, int64_t got)
{
	if (want == got) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s: %lld instead of %lld\n", level, what, (long long)got, (long long)want);
}

static unsigned list(const struct td_task *t, const char *name)
{
	int fd = td_path_open(t, "/", O_RDONLY | O_DIRECTORY, 0);
	struct td_entry e;
	unsigned found = 0;

	while (td_fd_readdir(t, fd, &e) == 1)
		found += e.len == strlen(name) && !memcmp(e.name, name, e.len);
	td_fd_close(t, fd);
	return found;
}

static void use(const struct td_task *t, const char *level)
{
	char text[16] = "";
	int fd = td_path_open(t, "/hello", O_RDONLY, 0);
	struct td_vnode v;

	expect(level, "read", 6, td_fd_read(t, fd, text, sizeof(text)));
	expect(level, "the text", 0, strcmp(text, "hello\n"));
	expect(level, "read from the middle", 3, td_fd_pread(t, fd, text, 3, 2));
	expect(level, "the text from the middle", 0, memcmp(text, "llo", 3));
	expect(level, "read at the end", 0, td_fd_pread(t, fd, text, 3, 6));
	expect(level, "close", 0, td_fd_close(t, fd));
	expect(level, "stat", 0, td_path_stat(t, "/hello", 0, &v));
	expect(level, "size", 6, (int64_t)v.size);
	expect(level, "listed", 1, list(t, "hello"));
	expect(level, "another name", -ENOENT, td_path_stat(t, "/other", 0, &v));
	expect(level, "open for writing", -EROFS, td_path_open(t, "/new", O_WRONLY | O_CREAT, 0644));
	expect(level, "mkdir", -EROFS, td_path_mkdir(t, "/dir", 0755));
	expect(level, "unlink", -EROFS, td_path_unlink(t, "/hello"));
}

static void at_level(const char *module, const char *level)
{
	struct td_volume_params p = { .module = module, .size = 1 << 20, .level = level };
	struct td_task t = { .cwd = TD_CWD_ROOT };
	char why[512];
	int err = td_volume_open(&p, &t.volume, why, sizeof(why));

	if (err == -EOPNOTSUPP) {
		skipped++;
		printf("skip %s: %s\n", level, why);
		return;
	}
	expect(level, "mount", 0, err);
	if (err) {
		printf("     %s\n", why);
		return;
	}
	use(&t, level);
	expect(level, "unmount", 0, td_volume_close(t.volume));
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "trusted", "guarded", "walled", "sandboxed", "isolated", "debug" };

	if (argc != 2)
		return 2;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		at_level(argv[1], levels[i]);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
