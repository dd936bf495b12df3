/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests/vm/selftest runs in the guest, one word for each kind of proof:
 *
 *   keys      a write through a closed key is a SIGSEGV that names the key
 *   threads   two threads run at once, each with key rights of its own
 *   exit N    ends with status N
 *   die N     ends by signal N
 *   hang      never ends
 *   report    prints what becomes of a thread that is interrupted while key 0 is closed to it or
 *             read-only
 *
 * The last one has nothing to expect: it tells what the gate of the pkey wall must reckon with on
 * a machine. It runs equally on a host that has protection keys.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)
#define SPINS	   100000000UL

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "failed: %s\n", what);
	exit(1);
}

static char *page_with_key(int key, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(p != MAP_FAILED, "mmap");
	require(!pkey_mprotect(p, size, PROT_READ | PROT_WRITE, key), "pkey_mprotect");
	return p;
}

/* keys */

static sigjmp_buf back;
static volatile sig_atomic_t seen_code, seen_key;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	seen_code = info->si_code;
	seen_key = info->si_pkey;
	siglongjmp(back, 1);
}

static bool write_faults(char *p)
{
	if (sigsetjmp(back, 1))
		return true;
	*(volatile char *)p = 7;
	return false;
}

static int test_keys(void)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	int key = pkey_alloc(0, 0);
	char *p;

	require(key > 0, "pkey_alloc");
	require(!sigaction(SIGSEGV, &act, NULL), "sigaction");
	p = page_with_key(key, 4096);
	require(!write_faults(p), "a write through an open key");
	require(!pkey_set(key, PKEY_DISABLE_WRITE), "pkey_set");
	require(write_faults(p), "a write through a closed key faults");
	require(seen_code == SEGV_PKUERR && SEGV_PKUERR == 4, "si_code is SEGV_PKUERR");
	require(seen_key == key, "si_pkey is the key");
	pkey_set(key, PKEY_DISABLE_WRITE); /* a handler's rights are not the interrupted ones */
	require(*(volatile char *)p == 7, "a read where writing alone is closed");
	require(!pkey_set(key, 0) && !write_faults(p), "a write after opening the key again");
	printf("key %d: closed write gives si_code %d, si_pkey %d\n", key, seen_code, seen_key);
	return 0;
}

/* threads */

static atomic_int turn;
static int shared_key;

/* Each waits for the other's turn, spinning: this ends soon only if both run. */
static void *take_turns(void *arg)
{
	int me = arg != NULL;

	pkey_set(shared_key, me ? PKEY_DISABLE_ACCESS : 0);
	for (int i = 0; i < 1000; i++) {
		while (atomic_load(&turn) % 2 != me)
			;
		atomic_fetch_add(&turn, 1);
	}
	return (void *)(long)pkey_get(shared_key);
}

static int test_threads(void)
{
	pthread_t thread[2];
	void *rights[2];

	shared_key = pkey_alloc(0, 0);
	require(shared_key > 0, "pkey_alloc");
	for (long i = 0; i < 2; i++)
		require(!pthread_create(&thread[i], NULL, take_turns, (void *)i), "pthread_create");
	for (int i = 0; i < 2; i++)
		require(!pthread_join(thread[i], &rights[i]), "pthread_join");
	require(turn == 2000, "all turns taken");
	require(rights[0] == NULL && rights[1] == (void *)PKEY_DISABLE_ACCESS,
		"each thread has its own rights");
	printf("two threads, %ld processors\n", sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

/* report */

enum stack {
	NO_SIGNAL,
	STACK_KEY0,  /* signals, on an alternate stack under key 0 */
	STACK_OTHER, /* the same, under a key that stays open */
};

static volatile sig_atomic_t ticks;

static void __attribute__((used)) on_tick(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	ticks++;
}

/*
 * A handler begins with key 0 alone open, so on a stack of another key it must open that before
 * it touches the stack. Arguments arrive in edi, rsi and rdx, and rdx is wanted by WRPKRU.
 */
static void __attribute__((naked)) on_tick_open(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	asm("mov %rdx, %r8\n\t"
	    "xor %eax, %eax\n\t"
	    "xor %ecx, %ecx\n\t"
	    "xor %edx, %edx\n\t"
	    "wrpkru\n\t"
	    "mov %r8, %rdx\n\t"
	    "jmp on_tick");
}

static void start_ticks(enum stack where)
{
	struct sigaction act = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
	stack_t stack = { .ss_size = STACK_SIZE };

	act.sa_sigaction = where == STACK_KEY0 ? on_tick : on_tick_open;
	stack.ss_sp = page_with_key(where == STACK_KEY0 ? 0 : pkey_alloc(0, 0), STACK_SIZE);
	require(!sigaltstack(&stack, NULL), "sigaltstack");
	require(!sigaction(SIGALRM, &act, NULL), "sigaction");
	require(!setitimer(ITIMER_REAL, &often, NULL), "setitimer");
}

static void drop_rseq(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	require(__rseq_size == 0 || !syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG),
		"rseq");
}

/* Registers only: with key 0 closed there is neither stack nor data. */
static void spin_with_key0(unsigned int closed)
{
	unsigned long spins = SPINS;

	asm volatile("wrpkru\n"
		     "1:\tdec %0\n\t"
		     "jnz 1b\n\t"
		     "xor %%eax, %%eax\n\t"
		     "wrpkru"
		     : "+r"(spins), "+a"(closed)
		     : "c"(0), "d"(0)
		     : "memory");
}

/* A competitor on the same processor, so that the spinning thread is preempted. */
static pid_t start_competitor(void)
{
	cpu_set_t first;
	pid_t pid;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	require(!sched_setaffinity(0, sizeof(first), &first), "sched_setaffinity");
	pid = fork();
	require(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			;
	}
	return pid;
}

static void report_case(unsigned int closed, bool rseq, enum stack where)
{
	bool read_only = closed == PKEY_DISABLE_WRITE;
	static const char *const how[] = { "preempted", "signal on a stack of key 0",
					   "signal on a stack of another key" };
	int status;
	pid_t pid;

	printf("key 0 %s, rseq %s, %s: ", read_only ? "read-only" : "closed", rseq ? "on" : "off",
	       how[where]);
	fflush(stdout);
	pid = fork();
	require(pid >= 0, "fork");
	if (pid == 0) {
		if (!rseq)
			drop_rseq();
		if (where != NO_SIGNAL)
			start_ticks(where);
		spin_with_key0(closed);
		_exit(where != NO_SIGNAL && ticks == 0);
	}
	require(waitpid(pid, &status, 0) == pid, "waitpid");
	if (WIFSIGNALED(status))
		printf("killed by signal %d\n", WTERMSIG(status));
	else
		printf("%s\n", status ? "no signal came" : "survived");
}

static int report(void)
{
	pid_t competitor;

	require(pkey_alloc(0, 0) > 0, "pkey_alloc");
	competitor = start_competitor();
	for (int i = 0; i < 12; i++)
		report_case(i < 6 ? PKEY_DISABLE_ACCESS : PKEY_DISABLE_WRITE, i / 3 % 2 == 0,
			    (enum stack)(i % 3));
	kill(competitor, SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int number = argc > 2 ? atoi(argv[2]) : 0;

	if (!strcmp(what, "keys"))
		return test_keys();
	if (!strcmp(what, "threads"))
		return test_threads();
	if (!strcmp(what, "report"))
		return report();
	if (!strcmp(what, "exit"))
		return number;
	if (!strcmp(what, "die"))
		raise(number);
	while (!strcmp(what, "hang"))
		pause();
	fprintf(stderr, "usage: %s keys|threads|report|exit N|die N|hang\n", argv[0]);
	return 2;
}
