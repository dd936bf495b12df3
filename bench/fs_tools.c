/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: real programs, git and sqlite3, run on the directory under test.
 *
 * A tool that is not installed makes the workload skip, with the reason. What a tool says is kept
 * in memory, so that nothing but the tool's own files touches the directory.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { INSERTS = 2000, PER_TRANSACTION = 10 };

static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		fatal("memfd_create");
	return fd;
}

static void need(const struct bench *b, const char *tool)
{
	char why[80], path[512];
	char *list = strdup(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"), *save = NULL;

	for (char *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		snprintf(path, sizeof(path), "%s/%s", dir, tool);
		if (access(path, X_OK) == 0) {
			free(list);
			return;
		}
	}
	snprintf(why, sizeof(why), "%s is not installed", tool);
	skip(b, why);
}

/* Runs a tool in dirfd; in and out may be -1 for nothing. A tool that fails ends the benchmark. */
static void run(int dirfd, int in, int out, char *const argv[])
{
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addfchdir_np(&fa, dirfd);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&fa, in, 0);
	else
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&fa, out, 1);
	errno = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	if (errno)
		fatal("run %s", argv[0]);
	if (waitpid(pid, &status, 0) != pid)
		fatal("wait for %s", argv[0]);
	errno = 0;
	if (WIFSIGNALED(status))
		fatal("%s ended by signal %d", argv[0], WTERMSIG(status));
	if (WEXITSTATUS(status))
		fatal("%s %s failed with status %d", argv[0], argv[1], WEXITSTATUS(status));
	posix_spawn_file_actions_destroy(&fa);
}

/* The person's own settings must not change what is measured. */
static void git_environment(void)
{
	setenv("HOME", "/nonexistent", 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	setenv("GIT_AUTHOR_NAME", "fsbench", 1);
	setenv("GIT_AUTHOR_EMAIL", "fsbench@localhost", 1);
	setenv("GIT_AUTHOR_DATE", "1600000000 +0000", 1);
	setenv("GIT_COMMITTER_NAME", "fsbench", 1);
	setenv("GIT_COMMITTER_EMAIL", "fsbench@localhost", 1);
	setenv("GIT_COMMITTER_DATE", "1600000000 +0000", 1);
	unsetenv("GIT_DIR");
	unsetenv("GIT_WORK_TREE");
	unsetenv("GIT_INDEX_FILE");
}

static int tree_for_git(const struct bench *b, const char *name, unsigned files, uint64_t seed)
{
	int fd;

	if (mkdirat(b->workfd, name, 0755) < 0)
		fatal("mkdir %s", name);
	fd = open_in(b->workfd, name, O_RDONLY | O_DIRECTORY, 0);
	tree_write(fd, files, seed);
	return fd;
}

static void git_work(int fd, int out)
{
	run(fd, -1, out, (char *[]){ "git", "init", "-q", ".", NULL });
	run(fd, -1, out, (char *[]){ "git", "-c", "gc.auto=0", "add", "-A", NULL });
	run(fd, -1, out, (char *[]){ "git", "-c", "gc.auto=0", "commit", "-q", "-m", "x", NULL });
	run(fd, -1, out, (char *[]){ "git", "status", "--porcelain", NULL });
}

void bench_git(const struct bench *b)
{
	struct result r = { .name = "git", .n = b->count ? b->count : 1000 };
	int out = memory_file("git"), warm, tree;
	struct stat st;

	need(b, "git");
	git_environment();
	warm = tree_for_git(b, "warm", 20, b->seed + 1);
	tree = tree_for_git(b, "tree", r.n, b->seed);
	git_work(warm, out);
	lap_start(&r.lap);
	git_work(tree, out);
	lap_stop(&r.lap);
	if (fstat(out, &st) < 0 || st.st_size != 0)
		fatal("git: the tree is not clean after the commit");
	if (b->verify) {
		run(tree, -1, out, (char *[]){ "git", "fsck", "--full", "--no-progress", NULL });
		tree_check(tree, r.n, b->seed);
	}
	report(b, &r);
}

static int sqlite_script(unsigned inserts)
{
	int fd = memory_file("script");

	dprintf(fd, "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, s TEXT);\n"
		    "CREATE INDEX t_k ON t(k);\n");
	for (unsigned i = 1; i <= inserts; i++) {
		if (i % PER_TRANSACTION == 1)
			dprintf(fd, "BEGIN;\n");
		dprintf(fd,
			"INSERT INTO t VALUES(%u, %u, 'row %u of a table with some text in it');\n",
			i, i * 7919u % 1000, i);
		if (i % PER_TRANSACTION == 0 || i == inserts)
			dprintf(fd, "COMMIT;\n");
	}
	for (unsigned k = 0; k < 1000; k += 10)
		dprintf(fd, "SELECT count(*), sum(length(s)) FROM t WHERE k = %u;\n", k);
	dprintf(fd, "UPDATE t SET k = k + 1 WHERE id %% 10 = 0;\n"
		    "DELETE FROM t WHERE id %% 100 = 0;\n");
	return fd;
}

static void sqlite_check(int dirfd, char *name, unsigned inserts)
{
	unsigned long long sum = inserts * (inserts + 1ull) / 2, lost = inserts / 100;
	char want[128], got[128] = "";
	int out = memory_file("answer");

	snprintf(want, sizeof(want), "ok\n%llu|%llu\n", inserts - lost,
		 sum - 100 * lost * (lost + 1) / 2);
	run(dirfd, -1, out,
	    (char *[]){ "sqlite3", "-batch", name, "PRAGMA integrity_check;",
			"SELECT count(*), sum(id) FROM t;", NULL });
	if (pread(out, got, sizeof(got) - 1, 0) < 0)
		fatal("read the answer of sqlite3");
	errno = 0;
	if (strcmp(want, got))
		fatal("sqlite3 answers \"%s\" instead of \"%s\"", got, want);
	close(out);
}

static void sqlite_work(const struct bench *b, char *name, int script)
{
	int out = memory_file("output");

	lseek(script, 0, SEEK_SET);
	run(b->workfd, script, out, (char *[]){ "sqlite3", "-batch", "-bail", name, NULL });
	close(out);
}

void bench_sqlite(const struct bench *b)
{
	struct result r = { .name = "sqlite", .n = b->count ? b->count : INSERTS };
	int script, warm;

	need(b, "sqlite3");
	script = sqlite_script(r.n);
	warm = sqlite_script(r.n / 20);
	sqlite_work(b, "warm.db", warm);
	lap_start(&r.lap);
	sqlite_work(b, "test.db", script);
	lap_stop(&r.lap);
	if (b->verify)
		sqlite_check(b->workfd, "test.db", r.n);
	report(b, &r);
}

/* A program of a header and `files` sources, each with a few functions. */
static void program_write(int dirfd, unsigned files)
{
	char name[32];
	int fd = open_in(dirfd, "all.h", O_WRONLY | O_CREAT, 0644);

	for (unsigned i = 0; i < files; i++)
		dprintf(fd, "int f%u(int n);\n", i);
	close_fd(fd);
	for (unsigned i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "f%u.c", i);
		fd = open_in(dirfd, name, O_WRONLY | O_CREAT, 0644);
		dprintf(fd, "#include \"all.h\"\n\nint f%u(int n)\n{\n\tint sum = 0;\n\n", i);
		for (unsigned line = 0; line < 50; line++)
			dprintf(fd, "\tfor (int i = 0; i < n; i++)\n\t\tsum += i * %u + sum %% 7;\n", line + i);
		dprintf(fd, "\treturn sum%s;\n}\n", i ? " + f0(n)" : "");
		close_fd(fd);
	}
	fd = open_in(dirfd, "main.c", O_WRONLY | O_CREAT, 0644);
	dprintf(fd, "#include \"all.h\"\n\nint main(void)\n{\n\treturn f%u(3) == 0;\n}\n", files - 1);
	close_fd(fd);
}

static void program_build(int dirfd, unsigned files)
{
	char source[32], object[32];
	char *argv[files + 6];
	char names[files][32];
	unsigned n = 0;

	for (unsigned i = 0; i < files; i++) {
		snprintf(source, sizeof(source), "f%u.c", i);
		snprintf(object, sizeof(object), "f%u.o", i);
		run(dirfd, -1, -1, (char *[]){ "cc", "-O1", "-c", source, "-o", object, NULL });
	}
	argv[n++] = "cc";
	argv[n++] = "main.c";
	for (unsigned i = 0; i < files; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u.o", i);
		argv[n++] = names[i];
	}
	argv[n++] = "-o";
	argv[n++] = "program";
	argv[n] = NULL;
	run(dirfd, -1, -1, argv);
}

void bench_compile(const struct bench *b)
{
	struct result r = { .name = "compile", .n = b->count ? b->count : 10 };

	need(b, "cc");
	program_write(b->workfd, r.n);
	setenv("TMPDIR", ".", 1); /* what the compiler puts aside is work for the file system, too */
	lap_start(&r.lap);
	program_build(b->workfd, r.n);
	lap_stop(&r.lap);
	if (b->verify)
		run(b->workfd, -1, -1, (char *[]){ "./program", NULL });
	report(b, &r);
}
