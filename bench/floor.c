/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor: what crossing a wall costs at the very least, on this machine and in this run.
 *
 * A gate is judged by its ratio to these floors, never by absolute times: those drift with the
 * machine. Each line is a JSON object: name, ns (median time of one operation), n (operations
 * measured), or name and "skip" with the reason where the machine cannot do it.
 *
 *	floor [DIVISOR]       DIVISOR 10: a tenth of the batches
 *
 *	indirect_call         a call through a pointer: the wall `none`
 *	sigsetjmp_call        the same, with a place to return to after a fault
 *	stack_call            the same, on another stack
 *	pkru_stack_call       the same, with PKRU written on the way in and out: the wall `pkey`
 *	wasm_call, ...        translated WebAssembly, without and with sigsetjmp: the wall `sfi` (floor_wasm.c)
 *	mprotect_pair         opening and closing a page
 *	futex_same_core, ...  round trips of two processes: the wall `process` (floor_trips.c)
 */
#include "floor.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { BATCHES = 301, CALLS = 10000, STACK_SIZE = 65536, MAX_BATCHES = 1024, PAGE = 4096 };

unsigned floor_divisor = 1;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void measure(const char *name, probe *p, void *arg, unsigned batches, unsigned per_batch)
{
	static double samples[MAX_BATCHES];

	batches = batches / floor_divisor ? batches / floor_divisor : 1;

	p(arg, per_batch);
	for (unsigned i = 0; i < batches; i++) {
		double start = now_ns();

		p(arg, per_batch);
		samples[i] = (now_ns() - start) / per_batch;
	}
	qsort(samples, batches, sizeof(*samples), by_value);
	printf("{\"name\":\"%s\",\"ns\":%.2f,\"n\":%u,\"p10_ns\":%.2f,\"p90_ns\":%.2f}\n", name,
	       samples[batches / 2], batches * per_batch, samples[batches / 10],
	       samples[batches * 9 / 10]);
	fflush(stdout);
}

void skipped(const char *name, const char *why)
{
	printf("{\"name\":\"%s\",\"skip\":\"%s\"}\n", name, why);
	fflush(stdout);
}

static volatile unsigned calls;

static void callee(void)
{
	calls++;
}

/* Read anew for each call, as a table of operations would be. */
static void (*volatile target)(void) = callee;

static void indirect_call(void *arg, unsigned n)
{
	(void)arg;
	while (n--)
		target();
}

static void sigsetjmp_call(void *arg, unsigned n)
{
	static sigjmp_buf env;

	(void)arg;
	while (n--)
		if (sigsetjmp(env, 0) == 0)
			target();
}

#if defined(__x86_64__)
/*
 * stack_gate(fn, stack_top): calls fn on another stack.
 * pkru_gate(fn, stack_top, inside, outside): the same, with PKRU set to `inside` for the call.
 */
__asm__(".text\n"
	".type stack_gate, @function\n"
	"stack_gate:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	mov %rsi, %rsp\n"
	"	call *%rdi\n"
	"	mov %rbp, %rsp\n"
	"	pop %rbp\n"
	"	ret\n"
	".size stack_gate, . - stack_gate\n"
	".type pkru_gate, @function\n"
	"pkru_gate:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	mov %rsp, %rbp\n"
	"	mov %ecx, %ebx\n"
	"	mov %edx, %eax\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	wrpkru\n"
	"	mov %rsi, %rsp\n"
	"	call *%rdi\n"
	"	mov %rbp, %rsp\n"
	"	mov %ebx, %eax\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	wrpkru\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size pkru_gate, . - pkru_gate\n");

void stack_gate(void (*fn)(void), void *stack_top);
void pkru_gate(void (*fn)(void), void *stack_top, uint32_t inside, uint32_t outside);

static void stack_call(void *stack_top, unsigned n)
{
	while (n--)
		stack_gate(target, stack_top);
}

static uint32_t read_pkru(void)
{
	uint32_t pkru, edx;

	__asm__ volatile("rdpkru" : "=a"(pkru), "=d"(edx) : "c"(0));
	return pkru;
}

/* Closing a key that nothing uses costs what closing any other costs. */
static void pkru_stack_call(void *stack_top, unsigned n)
{
	uint32_t outside = read_pkru(), inside = outside ^ (1u << 30);

	while (n--)
		pkru_gate(target, stack_top, inside, outside);
}

/* CPUID says by OSPKE whether the CPU has keys and Linux has switched them on. */
static int has_keys(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 4));
}

static void measure_gates(void)
{
	char *stack = aligned_alloc(4096, STACK_SIZE);

	if (!stack) {
		perror("floor: stack");
		exit(1);
	}
	measure("stack_call", stack_call, stack + STACK_SIZE, BATCHES, CALLS);
	if (has_keys())
		measure("pkru_stack_call", pkru_stack_call, stack + STACK_SIZE, BATCHES, CALLS);
	else
		skipped("pkru_stack_call",
			"this CPU has no protection keys, or Linux left them off");
	free(stack);
}
#else
static void measure_gates(void)
{
	skipped("stack_call", "written for x86-64 only");
	skipped("pkru_stack_call", "written for x86-64 only");
}
#endif

static void mprotect_pair(void *page, unsigned n)
{
	while (n--)
		if (mprotect(page, PAGE, PROT_READ) || mprotect(page, PAGE, PROT_READ | PROT_WRITE))
			abort();
}

static void measure_mprotect(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		abort();
	*page = 1;
	measure("mprotect_pair", mprotect_pair, page, BATCHES, CALLS / 100);
	munmap(page, PAGE);
}

int main(int argc, char **argv)
{
	if (argc > 1 && atoi(argv[1]) > 0)
		floor_divisor = (unsigned)atoi(argv[1]);
	measure("indirect_call", indirect_call, NULL, BATCHES, CALLS);
	measure("sigsetjmp_call", sigsetjmp_call, NULL, BATCHES, CALLS);
	measure_gates();
	measure_wasm(BATCHES, CALLS);
	measure_mprotect();
	measure_trips();
	return 0;
}
