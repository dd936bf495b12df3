/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks from inside a module's process, against its process, the system and the host, through the whole kernel.
 *
 *   process_attacks FOLDER [CASE]
 *
 * FOLDER has the modules. Each attack is tried with the device shared ro, rw and unmapped, the last with heap=pages as at debug. It is followed by a call that must
 * work: what matters is not that the fault is seen but that the kernel goes on as before, with its blocks as
 * they were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fs_gateway.h>
#include "../../core/mount.h"
#include "../../front/inproc/tadan.h"
#include "modules/process_acts.h"

enum { COLUMNS = 3, EVERY = 100 };
static const char *const columns[COLUMNS] = { "ro", "rw", "unmapped,heap=pages" };

/* What is expected: 0 the call succeeds; -n it fails with this error without a fault; a kind of fault; or either. */
enum { OK = 0, EITHER = 1000 };

struct attack {
	const char *name;
	enum process_act act;
	uint64_t off;
	int expect[COLUMNS];
	const char *says; /* part of the fault's `lay` or `detail`; 0: not compared */
};

#define ALL(kind) { kind, kind, kind }
#define CALL(name) { "system call " #name, ACT_SYSCALL, SYS_##name, ALL(TD_FAULT_ILLEGAL), "(" #name ")" }

static const struct attack attacks[] = {
	{ "plain call", ACT_NOTHING, 41, ALL(OK), 0 },
	{ "heap, bufs, data", ACT_GREET, 0, ALL(OK), 0 },
	{ "more posts than fit", ACT_MANY_POSTS, 200, ALL(OK), 0 },

	/* Its own process */
	{ "null read", ACT_READ, 16, ALL(TD_FAULT_ACCESS), "null pointer" },
	{ "null write", ACT_WRITE, 16, ALL(TD_FAULT_ACCESS), "null pointer" },
	{ "null call", ACT_CALL, 0, ALL(TD_FAULT_ACCESS), "null pointer" },
	{ "nothing there", ACT_WRITE, 0x1234567890ull, ALL(TD_FAULT_ACCESS), "nothing" },
	{ "no canonical address", ACT_READ, 0x8000000000000000ull, ALL(TD_FAULT_ACCESS), "beyond all memory" },
	{ "vsyscall page", ACT_CALL, 0xffffffffff600000ull, ALL(EITHER), 0 },
	{ "stack overflow", ACT_OVERFLOW, 0, ALL(TD_FAULT_STACK), "guard" },
	{ "endless loop", ACT_LOOP, 0, ALL(TD_FAULT_TIME), 0 },
	{ "endless services", ACT_LOOP_SERVICES, 0, ALL(TD_FAULT_TIME), 0 },
	{ "undefined instruction", ACT_TRAP, 0, ALL(TD_FAULT_ILLEGAL), "undefined" },
	{ "division by zero", ACT_DIVIDE, 0, ALL(TD_FAULT_ILLEGAL), "division" },
	{ "privileged instruction", ACT_PRIVILEGED, 0, ALL(TD_FAULT_ILLEGAL), "privileged" },
	{ "lost thread area", ACT_SET_FS, 8, ALL(TD_FAULT_ILLEGAL), "undefined" },
	{ "lost stack", ACT_LOST_STACK, 64, ALL(TD_FAULT_ACCESS), 0 },
	{ "another slot's stack", ACT_OTHER_LANE, 0, ALL(EITHER), 0 },

	/* The device */
	{ "write through a view", ACT_VIEW_WRITE, 3, { TD_FAULT_WALL, OK, OK }, "buf of block 3" },
	{ "change, then fault", ACT_CHANGE, 0x4242, ALL(TD_FAULT_ILLEGAL), "undefined" },
	{ "block beyond the device", ACT_LOOK, ~0ull >> 12, ALL(TD_FAULT_RESULT), "has not failed" },
	{ "write outside a block", ACT_BAD_RANGE, 0, ALL(TD_FAULT_SERVICE), "a range outside the block" },
	{ "a few mistakes", ACT_MISTAKES, 5, ALL(OK), 0 },
	{ "many mistakes", ACT_MISTAKES, 100, ALL(TD_FAULT_SERVICE), "unlock" },
	{ "answer to nowhere", ACT_SERVICE_OUT, 64, ALL(TD_FAULT_ACCESS), "null pointer" },

	/* The system */
	CALL(read), CALL(write), CALL(open), CALL(openat), CALL(close), CALL(dup), CALL(socket), CALL(connect),
	CALL(fork), CALL(vfork), CALL(clone), CALL(clone3), CALL(execve), CALL(exit), CALL(exit_group), CALL(kill), CALL(tgkill),
	CALL(ptrace), CALL(mmap), CALL(mprotect), CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk), CALL(prctl), CALL(seccomp),
	CALL(unshare), CALL(setns), CALL(mount), CALL(chroot), CALL(bpf), CALL(rt_sigaction), CALL(process_vm_writev),
	CALL(io_uring_setup), CALL(userfaultfd), CALL(memfd_create), CALL(nanosleep),
	{ "memory made code", ACT_PROTECT, 7, ALL(TD_FAULT_ILLEGAL), "(mprotect)" },
	{ "more memory than the heap opened", ACT_PROTECT, (64 << 20 | 4096) | 3, ALL(TD_FAULT_ILLEGAL), "(mprotect)" },
	{ "256 TiB opened", ACT_PROTECT, 1ull << 48 | 3, ALL(TD_FAULT_ILLEGAL), "(mprotect)" },
	{ "system call without a name", ACT_SYSCALL, 999, ALL(TD_FAULT_ILLEGAL), "999" },
	{ "x32 system call", ACT_SYSCALL, 0x40000000 | SYS_getpid, ALL(TD_FAULT_ILLEGAL), 0 },
	{ "32-bit system call", ACT_SYSCALL_32, 20, ALL(TD_FAULT_ILLEGAL), 0 },
	{ "sched_yield", ACT_SYSCALL, SYS_sched_yield, ALL(OK), 0 },
	{ "forged return of a signal", ACT_SYSCALL, SYS_rt_sigreturn, ALL(EITHER), 0 },
	{ "futex requeue", ACT_FUTEX, 4, ALL(TD_FAULT_ILLEGAL), "futex" },
	{ "futex lock", ACT_FUTEX, 6, ALL(TD_FAULT_ILLEGAL), "futex" },
	{ "futex private", ACT_FUTEX, 129, ALL(TD_FAULT_ILLEGAL), "futex" },

	/* The host */
	{ "turn: none of the values", ACT_TURN, 0xdeadbeef, ALL(EITHER), 0 },
	{ "turn: sleeping host", ACT_TURN, 2, ALL(EITHER), 0 },
	{ "turn: sleeping module", ACT_TURN, 3, ALL(EITHER), 0 },
	{ "reason 0", ACT_HANDED, 0, ALL(TD_FAULT_MESSAGE), "reason" },
	{ "reason 77", ACT_HANDED, 77, ALL(TD_FAULT_MESSAGE), "reason" },
	{ "ask without a message", ACT_USED, 0, ALL(TD_FAULT_MESSAGE), "ring" },
	{ "ring of 4 GiB", ACT_USED, 0xffffffff, ALL(TD_FAULT_MESSAGE), "ring" },
	{ "ring just too long", ACT_USED, 132 * 1024 + 1, ALL(TD_FAULT_MESSAGE), "ring" },
	{ "half a message", ACT_USED, 47, ALL(TD_FAULT_MESSAGE), "message" },
	{ "payload of 4 GiB", ACT_LENGTH, 0xffffffff, ALL(TD_FAULT_MESSAGE), "message" },
	{ "payload of almost 4 GiB", ACT_LENGTH, 0xfffffff9, ALL(TD_FAULT_MESSAGE), "message" },
	{ "payload that is not there", ACT_LENGTH, 1, ALL(TD_FAULT_MESSAGE), "message" },
	{ "service 0", ACT_SERVICE, 0, ALL(TD_FAULT_MESSAGE), "message" },
	{ "service 9999", ACT_SERVICE, 9999, ALL(TD_FAULT_MESSAGE), "message" },
	{ "want 4 GiB", ACT_WANT, 0xffffffff, ALL(TD_FAULT_MESSAGE), "message" },
	{ "evidence of nothing", ACT_EVIDENCE, 0, ALL(TD_FAULT_MESSAGE), "evidence" },
	{ "evidence of everything", ACT_EVIDENCE, 255, ALL(TD_FAULT_MESSAGE), "evidence" },
	{ "garbage, then return", ACT_GARBAGE, 1, ALL(EITHER), 0 },
	{ "garbage as messages", ACT_GARBAGE_ASK, 2, ALL(EITHER), 0 },
	{ "garbage in other slots", ACT_OTHER_SLOTS, 3, ALL(EITHER), 0 },
	{ "ask for ever", ACT_ASK_FOR_EVER, 0, ALL(TD_FAULT_TIME), 0 },
};
enum { ATTACKS = sizeof(attacks) / sizeof(attacks[0]) };

static struct td_volume *volume;
static struct td__fs *fs;

static int act(enum process_act what, uint64_t off, uint64_t *found)
{
	return td__fs_seek(fs, 0, off, what, found);
}

/* The last fault, or one of kind NONE. */
static struct td_fault last_fault(uint64_t after)
{
	static struct td_fault kept[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(fs, after, kept, TD_FAULTS_KEPT);

	return n ? kept[n - 1] : (struct td_fault){ 0 };
}

static uint64_t faults(void)
{
	struct td_status status;

	td_get_status(fs, &status);
	return status.faults;
}

static int complain(const struct attack *a, const char *column, const char *what, const struct td_fault *f, int err)
{
	printf("FAILED %s (shared=%s): %s; error %d, fault %s, lay '%s', detail '%s'\n", a->name, column, what, err,
	       td_fault_names[f->kind], f->lay, f->detail);
	return 1;
}

static int one_attack(const struct attack *a, int column)
{
	uint64_t before = faults(), found = 0;
	int expect = a->expect[column], err = act(a->act, a->off, &found), again;
	struct td_fault f = last_fault(before);

	again = act(ACT_GREET, 0, &found);
	if (again)
		return complain(a, columns[column], "the next call failed", &f, again);
	if (act(ACT_LOOK, 2, &found) || found)
		return complain(a, columns[column], "block 2 is not as it was", &f, err);
	if (expect == EITHER)
		return 0;
	if (expect <= 0 && (err != expect || f.kind))
		return complain(a, columns[column], "it should have returned", &f, err);
	if (expect > 0 && (err != -EIO || f.kind != (uint32_t)expect))
		return complain(a, columns[column], "another fault was expected", &f, err);
	if (expect > 0 && a->says && !strstr(f.lay, a->says) && !strstr(f.detail, a->says))
		return complain(a, columns[column], "it is not explained", &f, err);
	/* A process that the kernel has ended at once cannot say where it was. */
	if (a->act <= ACT_SYSCALL && expect > 0 && expect <= TD_FAULT_TIME && !strstr(f.detail, "mode") && !f.pc)
		return complain(a, columns[column], "it does not say where", &f, err);
	return 0;
}

static int open_volume(const char *folder, const char *column)
{
	char path[4096], level[128], why[512];
	struct td_volume_params params = { .module = path, .level = level, .size = 1 << 20 };
	int err;

	snprintf(path, sizeof(path), "%s/process_acts.so", folder);
	snprintf(level, sizeof(level), "isolated,shared=%s,time=100ms,restart=1000/1s", column);
	err = td_volume_open(&params, &volume, why, sizeof(why));
	if (err)
		fprintf(stderr, "process_attacks: %s\n", why);
	else
		fs = td_volume_fs(volume);
	return err;
}

int main(int argc, char **argv)
{
	int failed = 0, passed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: process_attacks FOLDER [CASE]\n");
		return 2;
	}
	for (int column = 0; column < COLUMNS; column++) {
		if (open_volume(argv[1], columns[column]))
			return 1;
		for (int i = 0; i < ATTACKS; i++) {
			if (argc > 2 && strcmp(argv[2], attacks[i].name))
				continue;
			if (one_attack(&attacks[i], column))
				failed++;
			else
				passed++;
		}
		td_volume_close(volume);
	}
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
