/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demonstration without a mount, through the in-process front end: what demo/run calls where there is no FUSE.
 *
 *   inproc MODULE TREE
 *
 * MODULE is faultyfs, TREE a folder of many files. The kernel of the volume is this process, so a fault that level
 * trusted does not survive happens in a process of its own: `inproc MODULE --sacrifice null|loop`.
 */
#include "inproc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../core/mount.h"
#include <fs_gateway.h>

enum { CHUNK = 65536, MEASURE_S = 3, WRITES_UNTIL = 40, DETECT_S = 20, LEVELS = 5 };

static const char *const attribute = "user.tadan.fault";

static struct level {
	const char *name;
	bool here;
	double rate;
	unsigned injected, detected, survived;
	char why[512];
} levels[LEVELS] = { { .name = "trusted" }, { .name = "guarded" }, { .name = "walled" }, { .name = "sandboxed" }, { .name = "isolated" } };

static struct td_volume *volume;
static struct td_task task = { .cwd = TD_CWD_ROOT };
static volatile uint64_t wild_target; /* of the kernel's memory: this variable */

double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void proof(bool holds, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs(holds ? "  proved: " : "  DOES NOT HOLD: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	if (!holds)
		exit(1);
}

int64_t must(const char *what, int64_t result)
{
	if (result < 0)
		proof(false, "%s: %s", what, strerror((int)-result));
	return result;
}

static struct td_volume *open_volume(const char *module)
{
	struct td_volume_params p = { .module = module, .size = 512 << 20, .level = "trusted" };
	struct td_volume *vol;
	char why[512];
	int err = td_volume_open(&p, &vol, why, sizeof(why));

	if (err) {
		fprintf(stderr, "inproc: %s\n", why);
		exit(1);
	}
	return vol;
}

/* ---- 1. A tree of files. nftw() has no argument to pass on. */

static size_t top_len, entries, entries_wrong;
static uint64_t bytes;
static bool comparing;

static void copy_file(const char *from, const char *to, const struct stat *st)
{
	char data[CHUNK];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	must(from, in < 0 ? -errno : 0);
	out = (int)must(to, td_path_open(&task, to, O_WRONLY | O_CREAT | O_EXCL, st->st_mode & 07777));
	while ((n = read(in, data, sizeof(data))) > 0) {
		must(to, td_fd_write(&task, out, data, (size_t)n));
		bytes += (uint64_t)n;
	}
	must(to, td_fd_close(&task, out));
	close(in);
}

static bool same_file(const char *from, const char *to)
{
	char want[CHUNK], have[CHUNK];
	int in = open(from, O_RDONLY | O_CLOEXEC), fd = td_path_open(&task, to, O_RDONLY, 0);
	bool same = in >= 0 && fd >= 0;
	ssize_t n = 1;

	while (same && n > 0) {
		n = read(in, want, sizeof(want));
		same = n >= 0 && td_fd_read(&task, fd, have, sizeof(have)) == n && !memcmp(want, have, (size_t)n);
	}
	if (fd >= 0)
		td_fd_close(&task, fd);
	if (in >= 0)
		close(in);
	return same;
}

static bool same_link(const char *from, const char *to)
{
	char want[4096], have[4096];
	ssize_t n = readlink(from, want, sizeof(want));

	return n >= 0 && td_path_readlink(&task, to, have, sizeof(have)) == n && !memcmp(want, have, (size_t)n);
}

static void copy(const char *from, const char *to, const struct stat *st, int type)
{
	char target[4096];
	ssize_t n;

	if (type == FTW_D) {
		must(to, td_path_mkdir(&task, to, st->st_mode & 07777));
	} else if (type == FTW_SL) {
		n = readlink(from, target, sizeof(target) - 1);
		must(from, n < 0 ? -errno : 0);
		target[n] = 0;
		must(to, td_path_symlink(&task, target, to));
	} else {
		copy_file(from, to, st);
	}
}

static int visit(const char *from, const struct stat *st, int type, struct FTW *ftw)
{
	const char *rest = from + top_len;
	char to[4096];
	struct td_vnode v;

	snprintf(to, sizeof(to), "/tree%s", rest);
	if (type != FTW_D && type != FTW_SL && !(type == FTW_F && S_ISREG(st->st_mode)))
		return 0;
	entries++;
	if (!comparing)
		copy(from, to, st, type);
	else if (type == FTW_D)
		entries_wrong += td_path_stat(&task, to, 0, &v) || v.type != TD_DIR;
	else
		entries_wrong += type == FTW_SL ? !same_link(from, to) : !same_file(from, to);
	return 0;
}

static void walk(const char *top, bool compare)
{
	comparing = compare;
	top_len = strlen(top);
	entries = entries_wrong = 0;
	must(top, nftw(top, visit, 32, FTW_PHYS) ? -errno : 0);
}

static void compare_tree(const char *top, const char *level)
{
	double begin = seconds();

	walk(top, true);
	proof(!entries_wrong, "%s: all %zu entries are as in the original (%.1f s)", level, entries, seconds() - begin);
}

static void unpack(const char *top)
{
	double begin = seconds();

	printf("\n1. A volume at level trusted, in this process\n");
	walk(top, false);
	printf("  copied %s: %zu entries, %.0f MB ... %.1f s\n", top, entries, (double)bytes / 1e6, seconds() - begin);
	compare_tree(top, "trusted");
}

/* ---- 2. Moves */

static bool move_to(struct level *l)
{
	uint64_t pause;
	int err = td_volume_level(volume, l->name, &pause, l->why, sizeof(l->why));

	l->here = !err;
	if (l->here)
		printf("  moved to %s, calls waited %.2f ms\n", l->name, (double)pause / 1e6);
	else
		printf("  %s is left out: %s\n", l->name, l->why);
	return l->here;
}

static void measure(struct level *l, struct writers *w)
{
	const struct timespec pause = { .tv_sec = MEASURE_S };
	uint64_t before = writers_ops(w);
	double begin = seconds();

	nanosleep(&pause, NULL);
	l->rate = (double)(writers_ops(w) - before) / (seconds() - begin);
	printf("  %s: two writers, %.0f operations a second\n", l->name, l->rate);
}

static void move(const char *top)
{
	struct writers w;

	printf("\n2. The same volume moves through the levels, while two writers run\n");
	writers_start(&w, volume);
	for (int i = 0; i < LEVELS; i++) {
		if (!move_to(&levels[i]))
			continue;
		measure(&levels[i], &w);
		compare_tree(top, levels[i].name);
	}
	writers_verify(&w);
}

/* ---- 3. Faults */

static void status(struct td_status *st)
{
	td_get_status(td_volume_fs(volume), st);
}

static void report(uint64_t after)
{
	const struct timespec moment = { .tv_nsec = 2000000 };
	struct td_fault f;
	uint32_t n = 0;

	for (double end = seconds() + 1; !n && seconds() < end; nanosleep(&moment, NULL))
		n = td_get_faults(td_volume_fs(volume), after, &f, 1);
	if (!n) { /* a process may end between two calls */
		printf("  no call was under way: the module was started anew, and nobody noticed\n");
		return;
	}
	printf("      | in %s, attempt %u: %s%s%s", td__op_names[f.op], f.attempt, td_fault_names[f.kind],
	       f.detail[0] ? ", " : "", f.detail);
	if (f.lay[0])
		printf(", at %#llx (%s)", (unsigned long long)f.address, f.lay);
	printf("\n      | %u changes undone; %s; calls were kept out for %.2f ms\n", f.undone, f.action,
	       (double)f.recovery_ns / 1e6);
}

/* What a pointer of 32 bits reaches: a sandboxed module has no word for the kernel's memory. */
static const uint64_t farthest = 0xfffffff8;

static void arm(const struct level *l, const char *kind)
{
	uint64_t wild = strcmp(l->name, "sandboxed") ? (uintptr_t)&wild_target : farthest;
	struct td_status st;
	char request[64];

	status(&st);
	if (!strcmp(kind, "kill")) {
		kill((pid_t)st.process, SIGKILL);
		return;
	}
	snprintf(request, sizeof(request), "%s %d %#llx", kind, WRITES_UNTIL, (unsigned long long)wild);
	must("setxattr", td_path_setxattr(&task, "/", attribute, request, strlen(request), 0, 0));
}

/* An open file with known content. */
static bool still_works(int fd, uint8_t *data, size_t len)
{
	static uint64_t seed;
	uint8_t have[4096];
	uint64_t x = chance(&seed);

	if (td_fd_pread(&task, fd, have, len, 0) != (int64_t)len || memcmp(have, data, len))
		return false;
	memcpy(data + x % (len - 8), &x, 8);
	return td_fd_pwrite(&task, fd, data, len, 0) == (int64_t)len && td_fd_pread(&task, fd, have, len, 0) == (int64_t)len &&
	       !memcmp(have, data, len);
}

/* Until the module was restarted, or the wild write was seen. */
static bool await(uint64_t restarts, bool uncaught)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct td_status st;

	for (double end = seconds() + DETECT_S; seconds() < end; nanosleep(&pause, NULL)) {
		status(&st);
		if (uncaught ? wild_target != 0 : st.restarts > restarts)
			return true;
	}
	return false;
}

static void break_once(struct level *l, const char *kind, const char *what, int fd, uint8_t *data, size_t len)
{
	bool uncaught = !strcmp(kind, "wild") && (!strcmp(l->name, "trusted") || !strcmp(l->name, "guarded"));
	struct td_status before;
	struct writers w;

	printf("  %s: %s\n", l->name, what);
	wild_target = 0;
	status(&before);
	writers_start(&w, volume);
	writers_wait(&w, 100);
	l->injected++;
	arm(l, kind);
	if (!await(before.restarts, uncaught))
		proof(false, "the fault is seen within %d s", DETECT_S);
	if (uncaught) {
		printf("  not caught, as expected: the kernel's memory held 0, now %#llx\n", (unsigned long long)wild_target);
	} else {
		l->detected++;
		report(before.faults);
		proof(!wild_target, "the kernel's memory is as it was");
	}
	writers_wait(&w, 200);
	writers_verify(&w);
	proof(still_works(fd, data, len), "a file opened before the fault still reads and writes");
	l->survived += !uncaught;
}

static void sacrifice(const char *module, const char *program, const char *kind)
{
	const struct timespec two = { .tv_sec = 2 };
	int state = 0;
	pid_t pid;

	printf("  trusted: %s, in a process of its own\n", !strcmp(kind, "null") ? "a write to a null pointer" : "an endless loop");
	fflush(stdout);
	levels[0].injected++;
	pid = fork();
	if (!pid) {
		execl(program, program, module, "--sacrifice", kind, (char *)NULL);
		_exit(127);
	}
	nanosleep(&two, NULL);
	if (!strcmp(kind, "null")) {
		waitpid(pid, &state, 0);
		proof(WIFSIGNALED(state) && WTERMSIG(state) == SIGSEGV, "the whole process died of it, and its volume with it");
		return;
	}
	proof(!waitpid(pid, &state, WNOHANG), "after 2 s the call has not come back, and it never will: no time limit here");
	kill(pid, SIGKILL);
	waitpid(pid, &state, 0);
}

static int be_sacrificed(const char *kind)
{
	const struct rlimit none = { 0, 0 };
	char request[16];

	setrlimit(RLIMIT_CORE, &none);
	snprintf(request, sizeof(request), "%s 1", kind);
	must("setxattr", td_path_setxattr(&task, "/", attribute, request, strlen(request), 0, 0));
	td_path_mkdir(&task, "/victim", 0755);
	return 0; /* it lived: the parent says what that means */
}

static void break_it(const char *module, const char *program)
{
	static uint8_t data[4096];
	int fd = (int)must("open", td_path_open(&task, "/kept", O_RDWR | O_CREAT, 0600));
	struct td_status st;

	printf("\n3. The module fails, while two writers run\n");
	must("write", td_fd_write(&task, fd, data, sizeof(data)));
	for (int i = 0; i < LEVELS; i++) {
		struct level *l = &levels[i];

		if (!l->here || !move_to(l))
			continue;
		if (i)
			break_once(l, "null", "a write to a null pointer", fd, data, sizeof(data));
		break_once(l, "wild", "a wild write into the kernel's memory", fd, data, sizeof(data));
		if (i)
			break_once(l, "loop", "an endless loop", fd, data, sizeof(data));
		status(&st);
		if (st.process)
			break_once(l, "kill", "kill -9 of the module's process", fd, data, sizeof(data));
	}
	must("close", td_fd_close(&task, fd));
	sacrifice(module, program, "null");
	sacrifice(module, program, "loop");
}

/* ---- 4. The sum */

static void sum(void)
{
	printf("\n4. The sum\n  %-10s %22s %16s %9s %9s\n", "level", "operations a second", "faults injected", "detected",
	       "survived");
	for (int i = 0; i < LEVELS; i++)
		if (levels[i].here)
			printf("  %-10s %22.0f %16u %9u %9u\n", levels[i].name, levels[i].rate, levels[i].injected,
			       levels[i].detected, levels[i].survived);
		else
			printf("  %-10s %22s %16s %9s %9s\n", levels[i].name, "-", "-", "-", "-");
	puts("  trusted and guarded: a wild write into memory that is mapped is not caught\n"
	     "  trusted: a null write ends the process, an endless loop keeps its caller for ever");
}

int main(int argc, char **argv)
{
	char program[4096] = "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 && !(argc == 4 && !strcmp(argv[2], "--sacrifice"))) {
		fputs("usage: inproc MODULE TREE\n", stderr);
		return 2;
	}
	volume = task.volume = open_volume(argv[1]);
	if (argc == 4)
		return be_sacrificed(argv[3]);
	must("readlink", readlink("/proc/self/exe", program, sizeof(program) - 1) < 0 ? -errno : 0);
	unpack(argv[2]);
	move(argv[2]);
	break_it(argv[1], program);
	must("close", td_volume_close(volume));
	sum();
	puts("\nAll that was claimed held.");
	return 0;
}
