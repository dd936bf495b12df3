/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals in the module's process: a fault is written down as evidence and handed to the host; the thread never goes on.
 *
 * The handler runs beside a module that may have ruined everything else: no libc, and no load from an address that has not
 * been compared with a range that is there. If it fails nevertheless, the process ends by the second signal,
 * which the host sees as well.
 */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "../elf/instruction.h"
#include "runner.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

enum { NULL_REGION = 65536, STEPS = 64, TRAP_GENERAL_PROTECTION = 13 };

static bool within(uintptr_t at, const void *start, uint64_t size)
{
	return at - (uintptr_t)start < size;
}

static uint64_t in_file(uintptr_t pc)
{
	uintptr_t start, end;

	td__elf_text(td__runner.elf, td__runner.base, &start, &end);
	return pc >= start && pc < end ? pc - (uintptr_t)td__runner.base : 0;
}

/* A word of the slot's stack; 0 where it is not on it. */
static uintptr_t on_stack(const uint8_t *lane, uintptr_t at)
{
	uintptr_t low = (uintptr_t)lane + TD__LANE_STACK, high = (uintptr_t)lane + TD__LANE;

	if (at % sizeof(at) || at < low || at > high - sizeof(at))
		return 0;
	return *(const uintptr_t *)at;
}

/* Addresses of calls are those of the byte before the return, so that they lie in the call. */
static void put_frames(struct td__evidence *e, const uint8_t *lane, uintptr_t pc, const greg_t *regs)
{
	uintptr_t fp = (uintptr_t)regs[REG_RBP], next, back, top = on_stack(lane, (uintptr_t)regs[REG_RSP]), start, end;
	const int frameless = in_file(pc) && in_file(top) && top != on_stack(lane, fp + 8);

	td__elf_text(td__runner.elf, td__runner.base, &start, &end);
	e->nframes = 0;
	e->pc = in_file(pc);
	back = in_file(top);
	if (!e->pc && back)
		e->pc = back - 1;
	if (e->pc)
		e->frames[e->nframes++] = e->pc;
	if (frameless && td__instruction_returns((const uint8_t *)start, (const uint8_t *)top, pc))
		e->frames[e->nframes++] = back - 1;
	for (int i = 0; i < STEPS && e->nframes < TD__EVIDENCE_FRAMES; i++, fp = next) {
		back = in_file(on_stack(lane, fp + 8));
		if (back)
			e->frames[e->nframes++] = back - 1;
		next = on_stack(lane, fp);
		if (next <= fp)
			break;
	}
	if (!e->pc && e->nframes)
		e->pc = e->frames[0];
}

void td__traps_callers(uintptr_t fp, uint64_t out[TD__ASKERS])
{
	const uint8_t *lane = (const uint8_t *)(fp & ~(uintptr_t)(TD__LANE - 1));
	uint32_t n = 0;

	for (int i = 0; i < STEPS && n < TD__ASKERS; i++) {
		uintptr_t pc = on_stack(lane, fp + 8), back = in_file(pc), next = on_stack(lane, fp);

		if (back && pc - td__runner.yielder >= td__runner.yielder_size)
			out[n++] = back - 1;
		if (next <= fp)
			break;
		fp = next;
	}
	if (n < TD__ASKERS)
		out[n] = 0;
}

static bool in_area(uintptr_t at)
{
	return td__runner.area && within(at, td__runner.area, TD_HEAP_AREA);
}

static enum td__lay lay_in_module(uintptr_t at)
{
	uintptr_t start, end;

	if (in_file(at))
		return TD__LAY_TEXT;
	td__elf_data(td__runner.elf, td__runner.base, &start, &end);
	return at >= start && at < end ? TD__LAY_DATA : TD__LAY_CONSTANTS;
}

static enum td__lay lay_of(uintptr_t at, const uint8_t *lane, uintptr_t sp)
{
	const struct td__runner *r = &td__runner;

	if (at < NULL_REGION)
		return TD__LAY_NULL;
	if (within(at, r->base, td__elf_span(r->elf)))
		return lay_in_module(at);
	if (r->data && within(at, r->data, r->set.data_size))
		return TD__LAY_DEVICE;
	if (within(at, r->heap, r->set.heap_size) || in_area(at))
		return TD__LAY_HEAP;
	if (within(at, r->share, td__share_size(r->set.nslots)))
		return TD__LAY_CALLS;
	if (within(at, lane + TD__LANE_STACK, TD__LANE - TD__LANE_STACK))
		return TD__LAY_STACK;
	/* A large frame can step over the guard: the stack pointer tells. */
	if (within(at, lane, TD__LANE_STACK) || within(sp, lane, TD__LANE_STACK))
		return TD__LAY_GUARD;
	if (within(at, r->stacks, (uint64_t)r->set.nslots * TD__LANE) || r->state == (uint8_t *)at)
		return TD__LAY_RUNNER;
	return TD__LAY_NOTHING;
}

/*
 * The trap that addresses raise which no memory can have, misaligned vectors, and instructions of the system's. The address is not told, but
 * mostly the instruction says it.
 */
static void put_protection(struct td__evidence *e, const greg_t *regs)
{
	static const int numbers[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	enum { LONGEST = 15 };
	const uint8_t *code = (const uint8_t *)regs[REG_RIP], *end = code;
	uint64_t all[16];

	for (int i = 0; i < 16; i++)
		all[i] = (uint64_t)regs[numbers[i]];
	while (end < code + LONGEST && in_file((uintptr_t)end))
		end++;
	e->privileged = td__instruction_is_privileged(code, end);
	e->unknown = !td__instruction_address(code, end, all, &e->address);
}

static void put_evidence(struct td__evidence *e, int number, const siginfo_t *info, const ucontext_t *context,
			 const uint8_t *lane)
{
	const greg_t *regs = context->uc_mcontext.gregs;

	memset(e, 0, sizeof(*e));
	e->signal = number;
	e->code = info->si_code;
	e->error = (uint64_t)regs[REG_ERR];
	e->trap = (uint64_t)regs[REG_TRAPNO];
	if (number == SIGSYS && info->si_code == SYS_SECCOMP) {
		e->call = (uint32_t)info->si_syscall;
	} else if (number == SIGSEGV || number == SIGBUS) {
		e->address = (uintptr_t)info->si_addr;
		if (e->trap == TRAP_GENERAL_PROTECTION)
			put_protection(e, regs);
		e->lay = lay_of(e->address, lane, (uintptr_t)regs[REG_RSP]);
		if (in_area(e->address))
			e->place = e->address - (uintptr_t)td__runner.area + 1;
		if (e->lay == TD__LAY_DEVICE)
			e->block = (e->address - (uintptr_t)td__runner.data) / td__runner.set.bsize;
	}
	put_frames(e, lane, (uintptr_t)regs[REG_RIP] - (number == SIGTRAP), regs); /* a breakpoint has been passed */
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	uint32_t slot = td__lane_of(__builtin_frame_address(0));
	struct td__control *c;

	if (slot >= td__runner.set.nslots)
		return;
	c = td__runner.lanes[slot].control;
	/* Asked to stop: but that call may be over by now. */
	if (number == SIGXCPU &&
	    (c->stop != c->seen || (__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) & 1) != TD__TURN_MODULE))
		return;
	put_evidence(&c->evidence, number, info, context, td__runner.stacks + (size_t)slot * TD__LANE);
	td__hand_over(c, td__runner.lanes[slot].used, TD__HANDED_FAULT);
	for (;;)
		td__sleep_on(&td__runner.share->state, TD__RUNNER_READY);
}

int td__traps_install(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGXCPU };
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigfillset(&act.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], &act, 0) < 0)
			return -1;
	sigemptyset(&act.sa_mask);
	return sigprocmask(SIG_SETMASK, &act.sa_mask, 0);
}

int td__traps_attach(uint32_t slot)
{
	stack_t alternate = {
		.ss_sp = td__runner.stacks + (size_t)slot * TD__LANE + TD__LANE_SIGNALS,
		.ss_size = TD__LANE_GUARD - TD__LANE_SIGNALS,
	};

	return (int)td__syscall(SYS_sigaltstack, (long)&alternate, 0, 0, 0);
}
