/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the runner gives up before a module's code runs, in three steps: its place in the system (root directory, user,
 * capabilities), then, once everything is mapped and all threads are there, its limits, and last every system call but
 * those of waiting.
 *
 * The last step carries the weight: with three calls left there is nothing that the others would have to stop. They stand
 * so that a hole in one is not a hole in all. What the system does not permit (a container without
 * user namespaces, say) is noted in left_out; only the last step and its preconditions must succeed.
 *
 * The filter is written by hand: fourteen instructions that anybody can check (and as many more with heap=pages), and no library in the runner.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runner.h"

enum { NOBODY = 65534 };

/* An empty file system that cannot be written to becomes the root, and nothing else stays reachable. */
static int leave_root(void)
{
	static const char *const places[] = { "/proc", "/tmp", "/dev", "/usr" };
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
	size_t i;

	if (mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) < 0)
		return -errno;
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!mount("none", places[i], "tmpfs", flags, "size=4k,nr_inodes=2,mode=555"))
			break;
	if (i == sizeof(places) / sizeof(places[0]) || chdir(places[i]) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

/* A directory that is empty once the descriptors are closed. */
static int leave_root_in_place(void)
{
	return chroot("/proc/self/fdinfo") < 0 || chdir("/") < 0 ? -errno : 0;
}

static int become_nobody(void)
{
	if (setgroups(0, 0) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* The kernel forgets the signal for the parent's death at a change of user, and the host may have died before this. */
static int follow_host(void)
{
	struct pollfd host = { .fd = TD__FD_HOST, .events = POLLIN };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return poll(&host, 1, 0) ? -ESRCH : 0;
}

int td__sandbox_leave(const struct td__share *set, uint32_t *left_out, const char **what)
{
	int err;

	if ((!(set->spaces & CLONE_NEWNS) || leave_root()) && leave_root_in_place())
		*left_out |= TD__LEFT_ROOT;
	/* In a user namespace there is nobody else to become; its root is the user outside. */
	if (!(set->spaces & CLONE_NEWUSER) && geteuid() == 0 && become_nobody())
		*left_out |= TD__LEFT_USER;
	*what = "give up its capabilities";
	err = drop_capabilities();
	if (err)
		return err;
	*what = "give up new privileges";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	*what = "follow its host";
	return follow_host();
}

/* Everything is there already: nothing may grow. */
int td__sandbox_limit(const char **what)
{
	static const int limits[] = { RLIMIT_AS,    RLIMIT_DATA,    RLIMIT_NOFILE, RLIMIT_NPROC,
				      RLIMIT_CORE,  RLIMIT_FSIZE,   RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE,
				      RLIMIT_LOCKS, RLIMIT_RTPRIO };
	const struct rlimit none = { 0, 0 };

	*what = "close its descriptors";
	if (syscall(SYS_close_range, 0, ~0u, 0) < 0)
		return -errno;
	*what = "set its limits";
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (setrlimit(limits[i], &none) < 0)
			return -errno;
	return 0;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

/*
 * Waiting and waking at a futex, giving up the processor, and the way out of a signal handler. Any other call is not
 * carried out; the trap lets the handler say which it was. Another system call table (32-bit, x32) ends the process.
 */
static const struct sock_filter filter[] = {
	LOAD(arch),
	IS(AUDIT_ARCH_X86_64, 1, 0),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 7, 0),
	IS(SYS_sched_yield, 5, 0),
	IS(SYS_rt_sigreturn, 4, 0),
	IS(SYS_futex, 0, 5),
	LOAD(args[1]), /* the kernel looks at these 32 bits alone */
	IS(FUTEX_WAIT, 1, 0),
	IS(FUTEX_WAKE, 0, 2),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	RETURN(SECCOMP_RET_TRAP),
};

/*
 * With heap=pages the module's process opens and closes pages of one area of its heap, and gets no further: what begins there and is at most as long
 * ends in a part of the same mapping that nothing uses. Pages become readable and writable or nothing, never code.
 */
#define LOAD_HIGH(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4)
#define PAGES(area)                                                                     \
	IS(SYS_mprotect, 0, 14),                                                        \
	LOAD(args[0]),                                                                  \
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)(TD_HEAP_AREA - 1)),             \
	IS((uint32_t)(area), 0, 9),                                                     \
	LOAD_HIGH(args[0]),                                                             \
	IS((uint32_t)((area) >> 32), 0, 7),                                             \
	LOAD_HIGH(args[1]),                                                             \
	IS(0, 0, 5),                                                                    \
	LOAD(args[1]),                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, TD_HEAP_AREA, 3, 0),                        \
	LOAD(args[2]),                                                                  \
	IS(PROT_NONE, 2, 0),                                                            \
	IS(PROT_READ | PROT_WRITE, 1, 0),                                               \
	RETURN(SECCOMP_RET_TRAP),                                                       \
	RETURN(SECCOMP_RET_ALLOW)

enum { FILTER = sizeof(filter) / sizeof(filter[0]), HEAD = 4 /* up to the number of the call */ };

static int install(struct sock_filter *instructions, uint32_t n)
{
	const struct sock_fprog program = { (unsigned short)n, instructions };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ? -errno : 0;
}

int td__sandbox_seal(const void *area, const char **what)
{
	const struct sock_filter pages[] = { PAGES((uintptr_t)area) };
	struct sock_filter all[FILTER + sizeof(pages) / sizeof(pages[0])];
	uint32_t more = area ? sizeof(pages) / sizeof(pages[0]) : 0;

	*what = "give up system calls";
	memcpy(all, filter, HEAD * sizeof(*all));
	memcpy(all + HEAD, pages, more * sizeof(*all));
	memcpy(all + HEAD + more, filter + HEAD, (FILTER - HEAD) * sizeof(*all));
	return install(all, FILTER + more);
}
