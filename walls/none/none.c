/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wall `none`: the module is called, and calls, as any function.
 *
 * Nothing keeps a module from writing where it should not. What the gate gives all the same: it runs on a stack of its slot's, so
 * that what it does to that harms nobody else; a call can be ended from a service, and with trap=1 from a fault, an overflow of the stack or the
 * time limit. With trap=0 no handler is installed and no thread attached: a fault is the
 * process's. Where the level asks for none of it, calls are straight: there is no gate at all.
 *
 * Modules see the device's blocks themselves, so views are live; frames and windows are ordinary
 * memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <fs_services.h>
#include "../../port/user/current.h"
#include "../elf/elf.h"
#include "../trap/trap.h"
#include "../walls.h"

enum {
	GUARD = 4096,
	STACK = 512 << 10, /* of a slot, its guard below included; above lies the next one's */
	CONTEXT = 4096,
	SLOT = CONTEXT + TD_FRAME_SIZE + TD_WINDOW,
};
_Static_assert(sizeof(struct td__context) <= CONTEXT, "context");
#define STACKS ((size_t)TD__SLOTS * STACK + GUARD)

struct none {
	td__gate_function enter;
	const struct td_fs_ops *ops;
	td__gate_function by_op[TD_OP_MAX]; /* of these; 0: by enter() */
	struct td__place place;
	struct td__yields yields;
	void *module, *heap, *area, *calls, *stacks;
	size_t module_size, heap_size;
	struct td__gate gates[TD__SLOTS];
};

/* ---- Services: what the module's imports lead to */

/* The module is not to run on. */
static _Noreturn void end_call(struct td__gate *g)
{
	uintptr_t pc = 0;

	if (td__within(g->stack, g->inner))
		pc = *(const uintptr_t *)(g->inner & ~7ull);
	td__trap_note_caller(g, pc, g->inner_fp);
	td__gate_set(g, TD__GATE_OUTSIDE);
	td__gate_leave(g);
}

static _Noreturn void lost_stack(struct td__gate *g)
{
	td__trap_report_lost_stack(g);
	end_call(g);
}

static struct td__context *serve_context(void)
{
	return td__gate_current->context;
}

#define UNWRAP(...) __VA_OPT__(, ) __VA_ARGS__
/* The kernel's part of a call stands on the kernel's stack: the module comes by td__gate_serve, which every import is a door to. */
#define SERVE(name, params, args, ...)                                                                                        \
	static __attribute__((used, noinline)) int serve_##name params                                                        \
	{                                                                                                                     \
		struct td__gate *g = td__gate_current;                                                                        \
		int err;                                                                                                      \
                                                                                                                              \
		if (__builtin_expect(!td__within(g->stack, g->inner), 0))                                                     \
			lost_stack(g);                                                                                        \
		err = td__svc_do_##name(g->call UNWRAP args);                                                                 \
		if (__builtin_expect(__atomic_load_n(&g->call->doomed, __ATOMIC_RELAXED), 0))                                 \
			end_call(g);                                                                                          \
		return err;                                                                                                   \
	}                                                                                                                     \
	void door_##name(void);                                                                                               \
	__asm__(".pushsection .text\n\t.p2align 4\n\t.type door_" #name ", @function\ndoor_" #name ":\n\t"                    \
		"lea serve_" #name "(%rip), %rax\n\tjmp td__gate_serve\n\t.size door_" #name ", . - door_" #name "\n.popsection");
TD__SERVICES_TYPED(SERVE)

#define IMPORT(name) { "td__svc_" #name, (void *)door_##name },
static const struct td__import imports[] = { TD__SERVICES(IMPORT) { "td__svc_context", (void *)serve_context } };

/* ---- The same for straight calls, which are in no gate */

static struct td__context *straight_context(void)
{
	return (struct td__context *)((char *)td__port_current->frame - CONTEXT);
}

#define STRAIGHT(name, params, args, ...)                                     \
	static int straight_##name params                                     \
	{                                                                     \
		return td__svc_do_##name(td__port_current UNWRAP args);       \
	}
TD__SERVICES_TYPED(STRAIGHT)

#define STRAIGHT_IMPORT(name) { "td__svc_" #name, (void *)straight_##name },
static const struct td__import straight_imports[] = { TD__SERVICES(STRAIGHT_IMPORT) STRAIGHT_IMPORT(context) };
enum { IMPORTS = sizeof(imports) / sizeof(imports[0]) };
_Static_assert(sizeof(straight_imports) == sizeof(imports), "the same services");

/* ---- Start and stop */

static int none_available(char *why, size_t size)
{
	(void)why;
	(void)size;
	return 0;
}

static void *reserve(size_t size, int protection)
{
	void *p = mmap(0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? 0 : p;
}

static struct td__range range(const void *start, size_t size)
{
	return (struct td__range){ (uintptr_t)start, (uintptr_t)start + size };
}

/* How the module can be called without its entry: a file of an older sdk does not say it, or not all of it. */
static const struct td_straight *find_straight(const struct td__elf *e, const void *base)
{
	size_t known = 0;
	const struct td_straight *straight = td__elf_symbol(e, base, "td_module_straight", &known);

	return known < sizeof(*straight) ? 0 : straight;
}

/* After the module has been mapped. */
static void take_calls(struct none *n, struct td__domain *d, const struct td_straight *straight)
{
	uintptr_t at = (uintptr_t)straight->calls;

	d->heap_used = straight->heap_used;
	n->ops = straight->ops;
	for (uint64_t i = 0; i < straight->ncalls && i < TD_OP_MAX; i++)
		if (td__within(n->place.module, at + i * sizeof(*straight->calls)))
			n->by_op[i] = (td__gate_function)straight->calls[i];
}

/* Address space for the module, aligned as its file wants it. */
static int load(struct none *n, struct td__domain *d, char *why, size_t size)
{
	const struct td__module *m = d->module;
	const struct td__elf *e = m->file;
	char reason[TD__ELF_WHY] = "";
	const struct td_straight *straight;
	size_t span = td__elf_span(e), align = td__elf_align(e);
	uintptr_t base;
	int err;

	n->module_size = span + align;
	n->module = td__elf_reserve(n->module_size);
	if (!n->module)
		return -ENOMEM;
	base = ((uintptr_t)n->module + align - 1) & ~(uintptr_t)(align - 1);
	straight = find_straight(e, (void *)base);
	d->straight = td__level_is_straight(&d->level) ? straight : 0;
	err = td__elf_map(e, (void *)base, d->straight ? straight_imports : imports, IMPORTS, reason, sizeof(reason));
	if (err) {
		snprintf(why, size, "%s %s", m->path, reason);
		return err;
	}
	n->place.base = base;
	n->place.module = range((void *)base, span);
	td__elf_text(e, (void *)base, &n->place.text.start, &n->place.text.end);
	td__elf_data(e, (void *)base, &n->place.data.start, &n->place.data.end);
	if (straight)
		take_calls(n, d, straight);
	td__yields_find(&n->yields, m, &n->place);
	n->enter = (td__gate_function)td__elf_symbol(e, (void *)base, "td__enter", 0);
	if (n->enter)
		return 0;
	snprintf(why, size, "the module has no td__enter");
	return -ENOEXEC;
}

static void place_slots(struct none *n, struct td__domain *d)
{
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		char *p = (char *)n->calls + (size_t)i * SLOT;

		n->gates[i].context = (void *)p;
		n->gates[i].place = &n->place;
		n->gates[i].floating = td__gate_floating();
		n->gates[i].recover = td__gate_recover;
		n->gates[i].guard = GUARD;
		n->gates[i].stack = range((char *)n->stacks + (size_t)i * STACK + GUARD, STACK - GUARD);
		d->slots[i].frame = (void *)(p + CONTEXT);
		d->slots[i].window = p + CONTEXT + TD_FRAME_SIZE;
		d->slots[i].window_at = TD_FRAME_SIZE;
		d->slots[i].private = &n->gates[i];
	}
}

static void release(struct none *n)
{
	if (n->module)
		munmap(n->module, n->module_size);
	if (n->heap)
		munmap(n->heap, n->heap_size);
	if (n->area)
		munmap(n->area, TD_HEAP_AREA);
	if (n->calls)
		munmap(n->calls, (size_t)TD__SLOTS * SLOT);
	if (n->stacks)
		munmap(n->stacks, STACKS);
	free(n);
}

static int none_start(struct td__domain *d, char *why, size_t size)
{
	struct none *n;
	int err = td__module_has_form(d->module, TD_WALL_NONE, why, size);

	if (err)
		return err;
	n = aligned_alloc(_Alignof(struct none), sizeof(*n));
	snprintf(why, size, "not enough memory");
	if (!n)
		return -ENOMEM;
	memset(n, 0, sizeof(*n));
	n->heap_size = (d->level.memory + 4095) & ~4095ull;
	n->heap = n->heap_size ? reserve(n->heap_size, PROT_READ | PROT_WRITE) : 0;
	n->area = d->heap ? reserve(TD_HEAP_AREA, PROT_NONE) : 0;
	n->calls = reserve((size_t)TD__SLOTS * SLOT, PROT_READ | PROT_WRITE);
	n->stacks = reserve(STACKS, PROT_NONE);
	err = (n->heap_size && !n->heap) || (d->heap && !n->area) || !n->calls || !n->stacks ? -ENOMEM : 0;
	if (!err && d->level.trap)
		err = td__trap_install(why, size);
	if (!err)
		err = load(n, d, why, size);
	if (err) {
		release(n);
		return err;
	}
	n->place.heap = range(n->heap, n->heap_size);
	n->place.area = range(n->area, n->area ? TD_HEAP_AREA : 0);
	n->place.calls = range(n->calls, (size_t)TD__SLOTS * SLOT);
	n->place.device = range(d->device->data.base, d->device->blocks * d->device->bsize);
	n->place.bsize = d->device->bsize;
	place_slots(n, d);
	d->private = n;
	d->views = TD_VIEW_LIVE;
	d->nslots = TD__SLOTS;
	return 0;
}

static void none_stop(struct td__domain *d)
{
	release(d->private);
	d->private = 0;
}

/* ---- Calls */

static void fill_hello(const struct none *n, struct td_frame *f)
{
	f->heap_at = n->heap ? (int64_t)((uintptr_t)n->heap - (uintptr_t)f) : 0;
	((struct td_frame_hello *)f)->heap_size = n->heap_size;
	((struct td_frame_hello *)f)->area_at = n->area ? (int64_t)((uintptr_t)n->area - (uintptr_t)f) : 0;
}

/* When a slot is used for the first time. */
static int open_stack(struct td__gate *g)
{
	if (g->top)
		return 0;
	if (mprotect((void *)g->stack.start, STACK - GUARD, PROT_READ | PROT_WRITE))
		return -errno;
	g->top = g->stack.end;
	return 0;
}

static __attribute__((noinline, cold)) int come_in(const struct none *n, struct td__gate *g, struct td__call *c)
{
	if (open_stack(g) || td__gate_visit(g, c, c->domain->level.trap, 0)) {
		td__trap_report_attach(c);
		return TD__FAULTED;
	}
	if (c->op == TD_OP_HELLO)
		fill_hello(n, c->frame);
	return td__gate_enter_on(c->frame, 0, g, n->enter);
}

static int none_enter(struct td__call *c)
{
	const struct none *n = c->domain->private;
	struct td__gate *g = c->behind;

	if (__builtin_expect(!td__gate_knows(g, c) || !n->by_op[c->op], 0))
		return come_in(n, g, c);
	if (!td__context_ready(g->context, c->frame))
		return td__gate_enter_on(c->frame, 0, g, n->enter);
	return td__gate_enter_on(n->ops, c->frame, g, n->by_op[c->op]);
}

static void none_interrupt(struct td__domain *d, struct td__call *c)
{
	struct none *n = d->private;

	/* Without trap there is nobody to hear a signal: the next service ends the call. */
	if (!td__yields_ask(&n->yields) && d->level.trap)
		td__trap_interrupt(&n->gates[c->slot]);
}

static int none_pages(struct td__domain *d, uint64_t at, uint64_t size, int open)
{
	const struct none *n = d->private;

	return mprotect((char *)n->area + at, size, open ? PROT_READ | PROT_WRITE : PROT_NONE) ? -errno : 0;
}

const struct td__wall td__wall_none = {
	.name = "none",
	.kind = TD_WALL_NONE,
	.available = none_available,
	.start = none_start,
	.enter = none_enter,
	.interrupt = none_interrupt,
	.where = td__trap_where,
	.stop = none_stop,
	.pages = none_pages,
};
