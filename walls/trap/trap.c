/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals: which of them are a module's fault, and the way back to the gate.
 *
 * A thread that is to go back is not moved by the handler. The handler changes where the
 * interrupted code goes on (program counter and stack pointer of the signal's context) and
 * returns; so the kernel below restores the signal mask and leaves the alternate stack by itself.
 *
 * What happens to a signal:
 *
 *   program counter in td__port_copy()     the copy fails with -TD_EFAULT
 *   thread in MODULE, code from the module the call ends with a fault
 *   everything else                        the handler from before us, or the default action
 *
 * The handlers stay for the life of the process: who has put others above them would else lose
 * his way down.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/auxv.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>
#include <cpuid.h>
#include <string.h>

#include "trap.h"

/* Newer than some C libraries' headers. */
enum { AT_RSEQ_FEATURE_SIZE_ = 27, AT_RSEQ_ALIGN_ = 28 };

/* Layout of the processor's state in a signal's frame. */
enum { XSAVE_SOFTWARE = 464, XSAVE_HEADER = 512, XSAVE_MAGIC = 0x46505853, XSAVE_PKRU = 1 << 9 };

enum { ALTERNATE = 64 << 10, GUARD = 4096, LEAST = 16 << 10 };

/* EFLAGS that the ABI wants clear in C code, whatever the module left there: TF, DF, AC. */
#define FLAGS_UNWANTED 0x40500u

extern char td__port_copy_start[], td__port_copy_end[], td__port_copy_fail[];

/* gate.S: the same as handle(), for processors with keys: opens all of them first. */
void td__trap_entry(int number, siginfo_t *info, void *context);
void td__trap_handle(int number, siginfo_t *info, void *context);

__thread struct td__gate *td__gate_current;
__thread uint64_t td__gate_stack;
__thread struct td__thread td__thread_self;

static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static struct sigaction before[FAULTS];
static int time_signal;
static int install_error;
static uint64_t visitors;
static uint32_t rights_place; /* of PKRU in the processor's saved state; 0: there are no keys */
static int signal_key;
static pthread_key_t detach_key;

/* ---- Going back */

/* PKRU of the interrupted code, from the processor's state in the signal's frame. */
static uint32_t read_rights(const ucontext_t *uc)
{
	const uint8_t *area = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint64_t present;
	uint32_t magic, rights;

	if (!area)
		return 0;
	memcpy(&magic, area + XSAVE_SOFTWARE, sizeof(magic));
	memcpy(&present, area + XSAVE_HEADER, sizeof(present));
	if (magic != XSAVE_MAGIC || !(present & XSAVE_PKRU))
		return 0;
	memcpy(&rights, area + rights_place, sizeof(rights));
	return rights;
}

static void read_signal(struct td__signal *s, int number, const siginfo_t *info,
			const ucontext_t *uc)
{
	static const int numbers[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	const greg_t *r = uc->uc_mcontext.gregs;

	s->number = number;
	s->code = info->si_code;
	s->address = (uintptr_t)info->si_addr;
	s->key = info->si_code == SEGV_PKUERR ? info->si_pkey : 0;
	s->pc = (uintptr_t)r[REG_RIP];
	s->sp = (uintptr_t)r[REG_RSP];
	s->fp = (uintptr_t)r[REG_RBP];
	s->error = (uint64_t)r[REG_ERR];
	s->trap = (uint64_t)r[REG_TRAPNO];
	s->rights = rights_place ? read_rights(uc) : 0;
	for (int i = 0; i < 16; i++)
		s->regs[i] = (uint64_t)r[numbers[i]];
}

static void go_back(struct td__gate *g, ucontext_t *uc)
{
	greg_t *r = uc->uc_mcontext.gregs;

	td__gate_set(g, TD__GATE_OUTSIDE);
	r[REG_RIP] = (greg_t)(uintptr_t)g->recover;
	r[REG_RDI] = (greg_t)(uintptr_t)g;
	r[REG_EFL] &= ~(greg_t)FLAGS_UNWANTED;
}

static int is_inside(const struct td__gate *g)
{
	return g && __atomic_load_n(&g->state, __ATOMIC_RELAXED) == TD__GATE_MODULE;
}

/* As if our handler had not been there. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	struct sigaction *old = 0;

	for (int i = 0; i < FAULTS; i++)
		if (faults[i] == number)
			old = &before[i];
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(number, info, context);
	} else if (old->sa_handler == SIG_IGN && info->si_code <= 0) {
		return;
	} else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(number);
	} else {
		/*
		 * The instruction faults again when we return, and the process ends with the right
		 * context.
		 */
		signal(number, SIG_DFL);
		if (info->si_code <= 0)
			raise(number);
	}
}

void td__trap_handle(int number, siginfo_t *info, void *context)
{
	struct td__gate *g = td__gate_current;
	ucontext_t *uc = context;
	struct td__signal s;
	int error = errno;

	/*
	 * Who comes here by a jump from the module, to have all keys opened, is not on that stack.
	 */
	if (is_inside(g) && td__thread_self.keys &&
	    !td__within(td__thread_self.signals, (uintptr_t)&s))
		__builtin_trap();
	read_signal(&s, number, info, uc);
	if (number == time_signal) {
		/* In a service, or just on its way in or out: there c->doomed is seen soon. */
		if (is_inside(g) && g->call->doomed && td__within(g->place->text, s.pc)) {
			td__trap_report_time(g, &s);
			go_back(g, uc);
		}
	} else if (info->si_code > 0 && s.pc >= (uintptr_t)td__port_copy_start &&
		   s.pc < (uintptr_t)td__port_copy_end) {
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)td__port_copy_fail;
		uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)FLAGS_UNWANTED;
	} else if (info->si_code > 0 && is_inside(g) && td__trap_from_module(g, &s)) {
		td__trap_report(g, &s);
		go_back(g, uc);
	} else {
		pass_on(number, info, context);
	}
	errno = error;
}

/* ---- Installation */

/*
 * Does the processor have keys, and does the system below use them (OSPKE)? Then where they are
 * saved.
 */
static uint32_t find_rights(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(c & (1u << 4)))
		return 0;
	return __get_cpuid_count(0xd, 9, &a, &b, &c, &d) ? b : 0;
}

static int free_signal(void)
{
	struct sigaction old;

	for (int n = SIGRTMIN + 3; n <= SIGRTMAX; n++)
		if (!sigaction(n, 0, &old) && old.sa_handler == SIG_DFL)
			return n;
	return 0;
}

/*
 * Linux before 6.12 writes a signal's frame with the rights of the interrupted code, so the
 * alternate stack has to be open to modules there.
 */
static int writes_frames_with_old_rights(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 1;
	return major < 6 || (major == 6 && minor < 12);
}

static void detach(void *unused)
{
	stack_t off = { .ss_flags = SS_DISABLE };

	(void)unused;
	if (!td__thread_self.alternate)
		return;
	sigaltstack(&off, 0);
	munmap(td__thread_self.alternate, GUARD + ALTERNATE);
	td__thread_self.alternate = 0;
	td__thread_self.number = 0;
	td__thread_self.visitor = 0;
}

static void install(void)
{
	struct sigaction act = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	rights_place = find_rights();
	act.sa_sigaction = rights_place ? td__trap_entry : td__trap_handle;
	install_error = -pthread_key_create(&detach_key, detach);
	if (install_error)
		return;
	time_signal = free_signal();
	if (!time_signal) {
		install_error = -EAGAIN;
		return;
	}
	for (int i = 0; i < FAULTS; i++)
		sigaction(faults[i], &act, &before[i]);
	act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigaction(time_signal, &act, 0);
}

int td__trap_install(char *why, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	if (install_error)
		snprintf(why, size, "no signal is left to catch faults of modules with");
	return install_error;
}

int td__trap_signal_key(void)
{
	return __atomic_load_n(&signal_key, __ATOMIC_ACQUIRE);
}

int td__trap_need_signal_key(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int err = 0;

	if (!writes_frames_with_old_rights())
		return 0;
	pthread_mutex_lock(&lock);
	if (!signal_key) {
		int key = pkey_alloc(0, 0);

		if (key < 0)
			err = -errno;
		else
			__atomic_store_n(&signal_key, key, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

/* ---- Threads */

static int find_stack(struct td__range *stack)
{
	pthread_attr_t attr;
	size_t size;
	void *low;
	int err = pthread_getattr_np(pthread_self(), &attr);

	if (err)
		return -err;
	pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	stack->start = (uintptr_t)low;
	stack->end = stack->start + size;
	return 0;
}

static int give_alternate(int key)
{
	stack_t stack = { .ss_size = ALTERNATE };
	stack_t old;
	int err;

	if (!key && !sigaltstack(0, &old) && !(old.ss_flags & SS_DISABLE) && old.ss_size >= LEAST) {
		td__thread_self.signals = (struct td__range){ (uintptr_t)old.ss_sp,
							      (uintptr_t)old.ss_sp + old.ss_size };
		return 0;
	}
	char *p = mmap(0, GUARD + ALTERNATE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	stack.ss_sp = p + GUARD;
	err = key ? pkey_mprotect(stack.ss_sp, ALTERNATE, PROT_READ | PROT_WRITE, key)
		  : mprotect(stack.ss_sp, ALTERNATE, PROT_READ | PROT_WRITE);
	if (err || sigaltstack(&stack, 0)) {
		err = -errno;
		munmap(p, GUARD + ALTERNATE);
		return err;
	}
	if (td__thread_self.alternate)
		munmap(td__thread_self.alternate, GUARD + ALTERNATE);
	td__thread_self.alternate = p;
	td__thread_self.signals =
		(struct td__range){ (uintptr_t)p + GUARD, (uintptr_t)p + GUARD + ALTERNATE };
	return 0;
}

/*
 * The system below writes to a thread's restartable-sequence area whenever the thread is
 * interrupted; with key 0 closed it could not, and would kill the process.
 */
static int drop_restartable_sequences(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE_), align = getauxval(AT_RSEQ_ALIGN_);

	/* Threads that are made by one without an area have none either. */
	if (!__rseq_size || (int32_t)((volatile struct rseq *)area)->cpu_id < 0)
		return 0;
	/* It was registered with 32 bytes, or in newer libraries with what the system offers. */
	if (!syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG))
		return 0;
	size = align ? (size + align - 1) / align * align : size;
	if (!syscall(SYS_rseq, area, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG))
		return 0;
	return -errno;
}

int td__trap_attach_thread(int32_t keys)
{
	int err = td__thread_self.number ? 0 : find_stack(&td__thread_self.stack);

	if (!err)
		err = give_alternate(keys ? td__trap_signal_key() : 0);
	if (err)
		return err;
	if (keys && !td__thread_self.keys)
		err = drop_restartable_sequences();
	if (err)
		return err;
	td__thread_self.number = (int32_t)syscall(SYS_gettid);
	td__thread_self.visitor = __atomic_add_fetch(&visitors, 1, __ATOMIC_RELAXED);
	td__thread_self.keys |= keys;
	pthread_setspecific(detach_key, &td__thread_self);
	return 0;
}

int td__gate_visit(struct td__gate *g, struct td__call *c, int trap, uint32_t room)
{
	int err = trap ? td__trap_attach(0) : 0;

	if (err)
		return err;
	if (trap) {
		g->floating = td__gate_floating();
		if (room) {
			g->stack = td__thread_self.stack;
			g->stack_least = g->stack.start + room;
		}
		__atomic_store_n(&g->thread, td__thread_self.number, __ATOMIC_RELAXED);
	}
	g->visitor = td__thread_self.visitor;
	g->call = c;
	g->result = &c->result;
	return 0;
}

void td__trap_interrupt(const struct td__gate *g)
{
	int32_t thread = __atomic_load_n(&g->thread, __ATOMIC_RELAXED);

	/* It may have gone, or be in another call by now: the handler sees for itself. */
	if (thread)
		syscall(SYS_tgkill, getpid(), thread, time_signal);
}
