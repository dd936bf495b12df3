/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsbench: one workload, measured on one directory.
 *
 *	fsbench WORKLOAD DIR [--count N] [--size BYTES] [--seed N] [--no-verify] [--json]
 *		[--server PID]...
 *
 * The child process works; the parent waits for it and removes what it left, so that a crash, a
 * signal or a failed check leaves DIR as it was. The clock is the monotonic one; each workload
 * warms up, measures, and checks what it wrote outside of the measured time.
 *
 * A result is a line of text or, with --json, an object: name, ns (time of one operation), n
 * (operations), total_ns, cpu_ns (of this process, the tools it ran, and each server named by
 * --server), and where they apply bytes, median_ns (of single operations) and note. A workload that
 * cannot run here prints its name and "skip" with the reason, and the exit status is 77.
 */
#include "fsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct workload {
	const char *name;
	void (*run)(const struct bench *b);
	const char *what;
} workloads[] = {
	{ "unpack", bench_unpack, "unpack 10,000 small files in 400 directories, as tar does" },
	{ "create", bench_create, "create 10,000 names in one directory" },
	{ "stat", bench_stat, "stat them, with nothing cached" },
	{ "statwarm", bench_statwarm, "stat them again" },
	{ "rename", bench_rename, "rename them" },
	{ "unlink", bench_unlink, "unlink them" },
	{ "meta", bench_meta, "create, stat, statwarm, rename and unlink, in one pass" },
	{ "copy64k", bench_copy64k, "copy a file of 64 KiB by calls of 8 KiB" },
	{ "randread4k", bench_randread4k, "random reads of 4 KiB with O_DIRECT" },
	{ "randwrite4k", bench_randwrite4k, "random writes of 4 KiB with O_DIRECT" },
	{ "seqread128k", bench_seqread128k, "read a file that is not cached, by calls of 128 KiB" },
	{ "seqwrite128k", bench_seqwrite128k, "write a file by calls of 128 KiB" },
	{ "git", bench_git, "git init, add, commit and status of 1,000 files" },
	{ "compile", bench_compile, "cc: 10 files and a program of them" },
	{ "sqlite", bench_sqlite, "sqlite3: 2,000 inserts in transactions of 10, and queries" },
};
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

static void usage(FILE *out)
{
	fprintf(out, "usage: fsbench WORKLOAD DIR [--count N] [--size BYTES] [--seed N] "
		     "[--no-verify] [--json] [--server PID]...\n\nworkloads:\n");
	for (unsigned i = 0; i < WORKLOADS; i++)
		fprintf(out, "  %-13s %s\n", workloads[i].name, workloads[i].what);
}

static const struct workload *find(const char *name)
{
	for (unsigned i = 0; i < WORKLOADS; i++)
		if (!strcmp(workloads[i].name, name))
			return &workloads[i];
	fprintf(stderr, "fsbench: no workload is named \"%s\"; fsbench --help lists them\n", name);
	exit(2);
}

static uint64_t number(const char *option, const char *text)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-') {
		fprintf(stderr, "fsbench: %s takes a number, not \"%s\"\n", option, text);
		exit(2);
	}
	return n;
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'e' },
		{ "no-verify", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "server", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'c': b->count = number("--count", optarg); break;
		case 's': b->size = number("--size", optarg); break;
		case 'e': b->seed = number("--seed", optarg); break;
		case 'n': b->verify = false; break;
		case 'j': b->json = true; break;
		case 'p': watch_cpu_of((pid_t)number("--server", optarg)); break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (argc - optind != 2) {
		usage(stderr);
		exit(2);
	}
	b->workload = argv[optind];
	b->dir = argv[optind + 1];
}

static void make_workdir(struct bench *b)
{
	int n = snprintf(b->work, sizeof(b->work), "%s/fsbench.XXXXXX", b->dir);

	if (n >= (int)sizeof(b->work) || !mkdtemp(b->work))
		fatal("make a directory in %s", b->dir);
	b->workfd = open(b->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->workfd < 0)
		fatal("open %s", b->work);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	if (remove(path) < 0)
		fprintf(stderr, "fsbench: remove %s: %s\n", path, strerror(errno));
	return 0;
}

static pid_t child;

static void pass_on(int sig)
{
	(void)sig;
	kill(child, SIGKILL);
}

/* A signal to the parent ends the child; the parent itself lives on to clean up. */
static int wait_for_child(void)
{
	struct sigaction sa = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
	int status;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	if (waitpid(child, &status, 0) < 0)
		fatal("wait for the workload");
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "fsbench: the workload was ended by signal %d\n", WTERMSIG(status));
	return 1;
}

int main(int argc, char **argv)
{
	struct bench b = { .seed = 1, .verify = true };
	const struct workload *w;
	int status;

	parse(&b, argc, argv);
	w = find(b.workload);
	make_workdir(&b);
	fflush(NULL);
	child = fork();
	if (child < 0)
		fatal("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		w->run(&b);
		fflush(NULL);
		_exit(0);
	}
	status = wait_for_child();
	close(b.workfd);
	nftw(b.work, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	return status;
}
