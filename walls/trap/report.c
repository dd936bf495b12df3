/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evidence of a fault: what happened, where in the module, and what lay at the address.
 *
 * All of this runs in signal handlers, on a state that the module may have ruined: no lock, no
 * allocation, no library. Frames are followed on the stack that the module was given and nowhere
 * else, with td__port_copy(), for even there a page may be missing.
 */
#include <signal.h>

#include "../elf/instruction.h"
#include "trap.h"

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

enum {
	TRAP_GENERAL_PROTECTION = 13,
	ERROR_WRITE = 2,
	ERROR_FETCH = 16,
	NULL_REGION = 65536,
};

static void put(char *to, size_t size, const char *text)
{
	size_t at = strlen(to);

	while (*text && at + 1 < size)
		to[at++] = *text++;
	to[at] = 0;
}

static void put_number(char *to, size_t size, uint64_t n)
{
	char text[24], *p = text + sizeof(text);

	*--p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	put(to, size, p);
}

static uint64_t in_file(const struct td__gate *g, uintptr_t pc)
{
	return td__within(g->place->text, pc) ? pc - g->place->base : 0;
}

/* Load a word of the module's stack; 0 where it is not on it. */
static uintptr_t on_stack(const struct td__gate *g, uintptr_t at)
{
	uintptr_t word;

	if (at % sizeof(at) || !td__within(g->stack, at) ||
	    td__port_copy(&word, (const void *)at, sizeof(word)))
		return 0;
	return word;
}

/* Return addresses, less one so that they lie in the call, along the frame pointers. */
static void put_frames(const struct td__gate *g, uintptr_t fp)
{
	struct td_fault *f = &g->call->fault;
	uintptr_t next;

	while (f->nframes < TD_FAULT_FRAMES && in_file(g, on_stack(g, fp + 8))) {
		f->frames[f->nframes++] = in_file(g, on_stack(g, fp + 8)) - 1;
		next = on_stack(g, fp);
		if (next <= fp)
			break;
		fp = next;
	}
}

/* Where the module was: at pc, or, after a jump out of the text, behind the call that led there. */
static void put_place(const struct td__gate *g, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	struct td_fault *f = &g->call->fault;

	f->nframes = 0;
	f->pc = in_file(g, pc);
	if (!f->pc && in_file(g, on_stack(g, sp)))
		f->pc = in_file(g, on_stack(g, sp)) - 1;
	if (f->pc)
		f->frames[f->nframes++] = f->pc;
	if (in_file(g, pc) && in_file(g, on_stack(g, sp)) && on_stack(g, sp) != on_stack(g, fp + 8) &&
	    td__instruction_returns((const uint8_t *)g->place->text.start, (const uint8_t *)on_stack(g, sp), pc))
		f->frames[f->nframes++] = in_file(g, on_stack(g, sp)) - 1;
	put_frames(g, fp);
	if (!f->pc && f->nframes)
		f->pc = f->frames[0];
}

static int is_access(const struct td__signal *s)
{
	return s->number == SIGSEGV || s->number == SIGBUS;
}

static int is_overflow(const struct td__gate *g, const struct td__signal *s)
{
	uintptr_t low = g->stack.start;

	if (!low || !is_access(s))
		return 0;
	if (td__within(g->data_guard, s->address))
		return 1;
	return s->address < low + 4096 && s->address + g->guard >= low;
}

int td__trap_from_module(const struct td__gate *g, const struct td__signal *s)
{
	uintptr_t fp = s->fp, next;

	/*
	 * Key 0 is closed to nobody but modules; and the kernel's code does not run on their
	 * stacks.
	 */
	if (g->place->key)
		return (s->rights & 3) || td__within(g->stack, s->sp);
	/* Translated code is bounded: with another address something else is wrong. */
	if (g->place->sandbox.start)
		return in_file(g, s->pc) && (!is_access(s) || td__within(g->place->sandbox, s->address) || is_overflow(g, s));
	if (in_file(g, s->pc) || in_file(g, on_stack(g, s->sp)))
		return 1;
	/* A jump to what is no code leaves no trace if it was the last act of its function. */
	if (s->number == SIGSEGV && (s->error & ERROR_FETCH))
		return 1;
	for (int i = 0; i < TD_FAULT_FRAMES && fp; i++, fp = next) {
		if (in_file(g, on_stack(g, fp + 8)))
			return 1;
		next = on_stack(g, fp);
		if (next <= fp)
			break;
	}
	return 0;
}

static void put_lay(const struct td__gate *g, const struct td__signal *s)
{
	const struct td__place *p = g->place;
	struct td_fault *f = &g->call->fault;
	const char *what;

	f->lay[0] = 0;
	if (td__within(p->device, s->address) || td__within(p->view, s->address)) {
		uintptr_t first = td__within(p->view, s->address) ? p->view.start : p->device.start;

		put(f->lay, sizeof(f->lay), "buf of block ");
		put_number(f->lay, sizeof(f->lay), (s->address - first) / p->bsize);
		return;
	}
	f->heap = td__within(p->area, s->address) ? s->address - p->area.start + 1 : 0;
	if (td__within(p->text, s->address))
		what = "module text";
	else if (td__within(p->data, s->address))
		what = "module data";
	else if (td__within(p->module, s->address))
		what = "module constants";
	else if (td__within(p->heap, s->address) || td__within(p->area, s->address))
		what = "domain heap";
	else if (is_overflow(g, s))
		what = "the guard page of the stack";
	else if (td__within(p->calls, s->address))
		what = "frames and windows";
	else if (g->top && td__within(g->stack, s->address))
		what = "the stack";
	else if (g->top && s->address - g->stack.end < g->guard)
		what = "the guard page above the stack";
	else if (s->address - p->sandbox.start < NULL_REGION)
		what = "nothing: a null pointer";
	else if (td__within(p->sandbox, s->address) && (s->address - p->sandbox.start) >> 32)
		what = "nothing: beyond all memory";
	else if ((s->number == SIGSEGV && s->code == SEGV_MAPERR) || td__within(p->sandbox, s->address))
		what = "nothing";
	else if (s->code == SEGV_PKUERR && s->key && (int)s->key != p->key)
		what = "another domain";
	else
		what = "kernel memory";
	put(f->lay, sizeof(f->lay), what);
}

/* Of the instruction at s->pc, as far as it is the module's; 0: it is not. */
static const uint8_t *code_at(const struct td__gate *g, uintptr_t pc, const uint8_t **end)
{
	enum { LONGEST = 15 };
	uintptr_t last = g->place->text.end;

	if (!td__within(g->place->text, pc))
		return 0;
	*end = (const uint8_t *)(last - pc < LONGEST ? last : pc + LONGEST);
	return (const uint8_t *)pc;
}

static const char *put_illegal(struct td_fault *f, const char *detail)
{
	f->kind = TD_FAULT_ILLEGAL;
	return detail;
}

/* The trap that addresses raise which no memory can have, misaligned vectors, and instructions of the system's; the address is not told. */
static const char *classify_protection(const struct td__gate *g, struct td__signal *s)
{
	struct td_fault *f = &g->call->fault;
	const uint8_t *end, *code = code_at(g, s->pc, &end);
	uint64_t at;

	if (code && td__instruction_is_privileged(code, end))
		return put_illegal(f, "privileged instruction");
	f->kind = TD_FAULT_ACCESS;
	f->write = TD_FAULT_EITHER;
	if (!code || !td__instruction_address(code, end, s->regs, &at)) {
		f->write = TD_FAULT_UNKNOWN;
		return "an address that no memory can have, or a misaligned vector; the processor does not say which";
	}
	f->address = s->address = at;
	if (!td__address_is_canonical(at)) {
		put(f->lay, sizeof(f->lay), "nothing: beyond all memory");
		return "";
	}
	s->code = 0;
	put_lay(g, s);
	return at % 16 ? "a vector that is misaligned" : "";
}

/* Kind, and in words what the kind does not say. */
static const char *classify(const struct td__gate *g, struct td__signal *s)
{
	struct td_fault *f = &g->call->fault;

	switch (s->number) {
	case SIGILL: return put_illegal(f, "undefined instruction");
	case SIGFPE:
		return put_illegal(f,
				   s->code == FPE_INTDIV
					   ? "integer division by zero, or its quotient too large"
					   : "floating-point exception");
	case SIGTRAP: return put_illegal(f, "breakpoint");
	default: break;
	}
	if (s->trap == TRAP_GENERAL_PROTECTION)
		return classify_protection(g, s);
	f->kind = s->code == SEGV_PKUERR && s->number == SIGSEGV ? TD_FAULT_WALL : TD_FAULT_ACCESS;
	f->address = td__within(g->place->sandbox, s->address) ? s->address - g->place->sandbox.start : s->address;
	f->write = s->error & ERROR_FETCH ? TD_FAULT_JUMP : s->error & ERROR_WRITE ? TD_FAULT_STORE : TD_FAULT_LOAD;
	if (is_overflow(g, s))
		f->kind = TD_FAULT_STACK;
	put_lay(g, s);
	if (s->number == SIGBUS)
		return s->code == BUS_ADRALN ? "misaligned" : "no memory behind the page";
	return "";
}

void td__trap_report(const struct td__gate *g, const struct td__signal *signal)
{
	struct td_fault *f = &g->call->fault;
	struct td__signal copy = *signal, *s = &copy;

	f->address = 0;
	f->write = 0;
	f->lay[0] = f->detail[0] = 0;
	put(f->detail, sizeof(f->detail), classify(g, s));
	put_place(g, s->number == SIGTRAP ? s->pc - 1 : s->pc, s->sp, s->fp); /* a breakpoint has been passed */
}

void td__trap_report_time(const struct td__gate *g, const struct td__signal *s)
{
	struct td_fault *f = &g->call->fault;

	if (f->kind == TD_FAULT_NONE)
		f->kind = TD_FAULT_TIME;
	put_place(g, s->pc, s->sp, s->fp);
}

void td__trap_report_stack(const struct td__gate *g, uintptr_t sp)
{
	struct td_fault *f = &g->call->fault;

	f->kind = TD_FAULT_STACK;
	f->address = sp;
	f->write = TD_FAULT_STORE;
	put(f->lay, sizeof(f->lay), "the end of the stack");
	put(f->detail, sizeof(f->detail), "too little stack left for a service");
}

void td__trap_report_attach(struct td__call *c)
{
	c->fault.kind = TD_FAULT_START;
	put(c->fault.detail, sizeof(c->fault.detail), "no memory for a stack, or for this thread's signals");
}

void td__trap_report_lost_stack(const struct td__gate *g)
{
	struct td_fault *f = &g->call->fault;

	f->kind = TD_FAULT_STACK;
	f->address = g->inner;
	f->write = TD_FAULT_STORE;
	put(f->lay, sizeof(f->lay), "no place of the stack");
	put(f->detail, sizeof(f->detail), "a service was called with a stack pointer that is none");
	put_place(g, 0, 0, g->inner_fp);
}

/* A service was called, and `pc` is where it returns to. */
static void put_caller(const struct td__gate *g, uintptr_t pc, uintptr_t fp)
{
	if (td__within(g->place->yielder, pc)) {
		pc = on_stack(g, fp + 8);
		fp = on_stack(g, fp);
	}
	if (!g->call->fault.pc)
		put_place(g, pc - 1, 0, fp);
}

void td__trap_note_caller(const struct td__gate *g, uintptr_t pc, uintptr_t fp)
{
	struct td_fault *f = &g->call->fault;

	if (f->kind == TD_FAULT_NONE)
		f->kind = g->call->doomed;
	put_caller(g, pc, fp);
}

/* With keys the module's stack is another one; else this program's frames stand on the module's. */
void td__trap_where(struct td__call *c)
{
	enum { FRAMES = 16 };
	const struct td__gate *g = td__gate_current;
	uintptr_t fp = (uintptr_t)__builtin_frame_address(0), next;

	if (!g || g->call != c || !g->stack.start)
		return;
	if (g->inner) {
		put_caller(g, on_stack(g, g->inner), g->inner_fp);
		return;
	}
	for (int i = 0; i < FRAMES; i++, fp = next) {
		next = on_stack(g, fp);
		if (td__within(g->place->text, on_stack(g, fp + 8))) {
			put_caller(g, on_stack(g, fp + 8), next);
			return;
		}
		if (next <= fp)
			return;
	}
}
