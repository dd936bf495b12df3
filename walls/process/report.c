/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evidence from a module's process becomes a fault report. The process may have written anything: each number is read
 * once, numbers out of range become 0, and no text comes from there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../elf/elf.h"
#include "../elf/instruction.h"
#include "process.h"

enum { TRAP_GENERAL_PROTECTION = 13, ERROR_WRITE = 2, ERROR_FETCH = 16 };

static const char *const lays[TD__LAYS] = {
	[TD__LAY_NOTHING] = "nothing",
	[TD__LAY_NULL] = "nothing: a null pointer",
	[TD__LAY_TEXT] = "module text",
	[TD__LAY_CONSTANTS] = "module constants",
	[TD__LAY_DATA] = "module data",
	[TD__LAY_HEAP] = "domain heap",
	[TD__LAY_STACK] = "the stack",
	[TD__LAY_GUARD] = "the guard page of the stack",
	[TD__LAY_CALLS] = "frames and windows",
	[TD__LAY_RUNNER] = "the runner of the process",
};

/* What a module may have tried. */
static const struct {
	uint32_t number;
	const char *name;
} calls[] = {
	{ SYS_read, "read" },	    { SYS_write, "write" },	  { SYS_open, "open" },
	{ SYS_openat, "openat" },   { SYS_close, "close" },	  { SYS_mmap, "mmap" },
	{ SYS_mprotect, "mprotect" }, { SYS_munmap, "munmap" },	  { SYS_brk, "brk" },
	{ SYS_rt_sigaction, "rt_sigaction" }, { SYS_ioctl, "ioctl" }, { SYS_socket, "socket" },
	{ SYS_connect, "connect" }, { SYS_clone, "clone" },	  { SYS_clone3, "clone3" },
	{ SYS_fork, "fork" },	    { SYS_vfork, "vfork" },	  { SYS_execve, "execve" },
	{ SYS_execveat, "execveat" }, { SYS_exit, "exit" },	  { SYS_exit_group, "exit_group" },
	{ SYS_kill, "kill" },	    { SYS_tgkill, "tgkill" },	  { SYS_ptrace, "ptrace" },
	{ SYS_process_vm_writev, "process_vm_writev" }, { SYS_process_vm_readv, "process_vm_readv" },
	{ SYS_dup, "dup" },	    { SYS_dup2, "dup2" },	  { SYS_getpid, "getpid" },
	{ SYS_nanosleep, "nanosleep" }, { SYS_mount, "mount" },	  { SYS_chroot, "chroot" },
	{ SYS_unshare, "unshare" }, { SYS_setns, "setns" },	  { SYS_prctl, "prctl" },
	{ SYS_seccomp, "seccomp" }, { SYS_bpf, "bpf" },		  { SYS_memfd_create, "memfd_create" },
	{ SYS_io_uring_setup, "io_uring_setup" }, { SYS_futex, "futex" }, { SYS_madvise, "madvise" },
	{ SYS_mremap, "mremap" },   { SYS_userfaultfd, "userfaultfd" }, { SYS_pidfd_open, "pidfd_open" },
};

static void detail_of_call(struct td_fault *f, uint32_t number)
{
	const char *name = "";

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].number == number)
			name = calls[i].name;
	snprintf(f->detail, sizeof(f->detail), *name ? "system call %u (%s), which was not carried out" :
						       "system call %u%s, which was not carried out", number, name);
}

static void illegal(struct td_fault *f, const char *detail)
{
	f->kind = TD_FAULT_ILLEGAL;
	snprintf(f->detail, sizeof(f->detail), "%s", detail);
}

/* The processor has not said where; the instruction may have. */
static void protection_fault(struct td_fault *f, const struct td__evidence *e)
{
	f->write = e->unknown ? TD_FAULT_UNKNOWN : TD_FAULT_EITHER;
	if (e->unknown)
		snprintf(f->detail, sizeof(f->detail),
			 "an address that no memory can have, or a misaligned vector; the processor does not say which");
	else if (!td__address_is_canonical(e->address))
		snprintf(f->lay, sizeof(f->lay), "nothing: beyond all memory");
	else
		snprintf(f->lay, sizeof(f->lay), "%s", e->lay < TD__LAYS && lays[e->lay] ? lays[e->lay] : "nothing");
	if (!e->unknown && td__address_is_canonical(e->address) && e->address % 16)
		snprintf(f->detail, sizeof(f->detail), "a vector that is misaligned");
}

static void access_fault(struct td_fault *f, const struct td__evidence *e)
{
	if (e->trap == TRAP_GENERAL_PROTECTION && e->privileged) {
		illegal(f, "privileged instruction");
		return;
	}
	f->kind = TD_FAULT_ACCESS;
	f->write = e->error & ERROR_FETCH ? TD_FAULT_JUMP : e->error & ERROR_WRITE ? TD_FAULT_STORE : TD_FAULT_LOAD;
	f->address = e->address;
	if (e->trap == TRAP_GENERAL_PROTECTION) {
		protection_fault(f, e);
		return;
	}
	if (e->lay == TD__LAY_DEVICE) {
		f->kind = TD_FAULT_WALL;
		snprintf(f->lay, sizeof(f->lay), "buf of block %llu", (unsigned long long)e->block);
		return;
	}
	if (e->lay == TD__LAY_GUARD)
		f->kind = TD_FAULT_STACK;
	f->heap = e->place;
	snprintf(f->lay, sizeof(f->lay), "%s", e->lay < TD__LAYS ? lays[e->lay] : "nothing");
	if (e->signal == SIGBUS)
		snprintf(f->detail, sizeof(f->detail), "no memory behind the page");
}

static void classify(struct td__call *c, const struct td__evidence *e)
{
	struct td_fault *f = &c->fault;

	switch (e->signal) {
	case SIGSEGV:
	case SIGBUS: access_fault(f, e); break;
	case SIGILL: illegal(f, "undefined instruction"); break;
	case SIGTRAP: illegal(f, "breakpoint"); break;
	case SIGFPE:
		illegal(f, e->code == FPE_INTDIV ? "integer division by zero, or its quotient too large" :
						   "floating-point exception");
		break;
	case SIGSYS:
		f->kind = TD_FAULT_ILLEGAL;
		detail_of_call(f, e->call);
		break;
	case SIGXCPU:
		if (__atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE)) {
			f->kind = c->doomed;
			break;
		}
		/* fallthrough */
	default:
		f->kind = TD_FAULT_MESSAGE;
		snprintf(f->detail, sizeof(f->detail), "evidence that cannot be any");
	}
}

/* An address of the module file, 0 where it is none. */
static uint64_t in_file(const struct td__call *c, uint64_t address)
{
	const struct td__elf *e = c->domain->module ? c->domain->module->file : 0;

	return e && address < td__elf_span(e) ? address : 0;
}

void td__process_report(struct td__call *c, const struct td__control *control)
{
	struct td_fault *f = &c->fault;
	struct td__evidence e;

	memcpy(&e, &control->evidence, sizeof(e));
	if (!f->kind) {
		f->address = 0;
		f->write = 0;
		f->lay[0] = f->detail[0] = 0;
		classify(c, &e);
	}
	f->pc = in_file(c, e.pc);
	f->nframes = 0;
	for (uint32_t i = 0; i < e.nframes && i < TD__EVIDENCE_FRAMES && f->nframes < TD_FAULT_FRAMES; i++)
		if (in_file(c, e.frames[i]))
			f->frames[f->nframes++] = e.frames[i];
	__atomic_store_n(&c->doomed, f->kind, __ATOMIC_RELEASE);
}

void td__process_report_asker(struct td__call *c, const struct td__control *control)
{
	struct td_fault *f = &c->fault;

	if (f->pc)
		return;
	f->nframes = 0;
	for (uint32_t i = 0; i < TD__ASKERS; i++) {
		uint64_t at = in_file(c, __atomic_load_n(&control->askers[i], __ATOMIC_RELAXED));

		if (!at)
			break;
		f->frames[f->nframes++] = at;
	}
	f->pc = f->nframes ? f->frames[0] : 0;
}

void td__process_where(struct td__call *c)
{
	const struct td__process *p = c->domain->private;
	const struct td__seat *s = &p->seats[c->slot];

	if (s->exact)
		td__process_report_asker(c, s->control);
}

void td__process_report_end(struct td__process *p, struct td__call *c)
{
	struct td_fault *f = &c->fault;
	siginfo_t info = { 0 };
	const char *name;

	f->kind = TD_FAULT_GONE;
	if (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOWAIT | __WALL) < 0) {
		snprintf(f->detail, sizeof(f->detail), "the module's process has ended");
	} else if (info.si_code == CLD_EXITED) {
		snprintf(f->detail, sizeof(f->detail), "the module's process exited with status %d", info.si_status);
	} else if (info.si_status == SIGSYS) {
		illegal(f, "a system call by way of another processor mode");
	} else {
		name = sigabbrev_np(info.si_status);
		snprintf(f->detail, sizeof(f->detail), "the module's process was ended by signal %d (SIG%s)", info.si_status,
			 name ? name : "?");
	}
	__atomic_store_n(&c->doomed, f->kind, __ATOMIC_RELEASE);
}

void td__process_ask_stop(struct td__process *p, uint32_t slot)
{
	if (p->seats[slot].thread)
		syscall(SYS_tgkill, p->pid, p->seats[slot].thread, SIGXCPU);
}
