/* SPDX-License-Identifier: BSD-2-Clause */
/* The wall `sfi`: start, calls, and the ways out. See sfi.h for the idea. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../walls.h"
#include "form.h"
#include "serve.h"

enum {
	/* The kernel's part of a call stands on the same stack: so much must be left for it. */
	STACK_FOR_SERVICES = 64 << 10,
	/* Below a thread's stack lies a guard page; below the first thread's, much space. */
	GUARD = 1 << 20,
};

#define ROUNDED(size) (((size_t)(size) + 127) & ~(size_t)127)

/* ---- Ways out */

_Noreturn void td__sfi_end_call(struct td__gate *g, void *pc, void **fp)
{
	td__trap_note_caller(g, (uintptr_t)pc, (uintptr_t)*fp);
	td__gate_set(g, TD__GATE_OUTSIDE);
	td__gate_leave(g);
}

_Noreturn void td__sfi_no_stack(struct td__gate *g, void *pc, void **fp)
{
	td__trap_report_stack(g, (uintptr_t)fp);
	td__sfi_end_call(g, pc, fp);
}

/* The translated code has found that it cannot go on. */
static _Noreturn void trap(uint32_t number)
{
	static const struct {
		uint32_t kind;
		const char *what;
	} traps[TD__TRAPS] = {
		[TD__TRAP_NONE] = { TD_FAULT_ILLEGAL, "trap" },
		[TD__TRAP_OOB] = { TD_FAULT_ACCESS, "bytes beyond the end of the memory, or a misaligned atomic operation" },
		[TD__TRAP_INT_OVERFLOW] = { TD_FAULT_ILLEGAL, "the result of a division or conversion is too large" },
		[TD__TRAP_DIV_BY_ZERO] = { TD_FAULT_ILLEGAL, "integer division by zero" },
		[TD__TRAP_INVALID_CONVERSION] = { TD_FAULT_ILLEGAL, "conversion of what is no number to an integer" },
		[TD__TRAP_UNREACHABLE] = { TD_FAULT_ILLEGAL, "a place that the compiler took for unreachable, or a trap" },
		[TD__TRAP_CALL_INDIRECT] = { TD_FAULT_ILLEGAL, "call of no function, or of one of another type" },
		[TD__TRAP_UNCAUGHT_EXCEPTION] = { TD_FAULT_ILLEGAL, "uncaught exception" },
		[TD__TRAP_LOCK] = { TD_FAULT_TIME, "waited in vain for the lock of the heap" },
		[TD__TRAP_EXHAUSTION] = { TD_FAULT_START, "more tables or types than a sandbox has room for" },
	};
	struct td__gate *g = td__gate_current;
	struct td_fault *f = &g->call->fault;
	void **fp = __builtin_frame_address(0);

	td__gate_set(g, TD__GATE_SERVICE);
	f->kind = traps[number < TD__TRAPS ? number : 0].kind;
	snprintf(f->detail, sizeof(f->detail), "%s", traps[number < TD__TRAPS ? number : 0].what);
	td__sfi_end_call(g, __builtin_return_address(0), fp);
}

/* A form that was built with yields asks by itself, from wherever it is. */
static int32_t serve_yield(void)
{
	struct td__gate *g = td__gate_current;
	int32_t err = td__svc_do_yield(td__sfi_begin(g, __builtin_return_address(0), __builtin_frame_address(0)));

	td__sfi_end(g, __builtin_return_address(0), __builtin_frame_address(0));
	return err;
}

/* ---- Start and stop */

static int sfi_available(char *why, size_t size)
{
	(void)why;
	(void)size;
	return 0;
}

static struct td__range range(const void *start, uint64_t size)
{
	return (struct td__range){ (uintptr_t)start, (uintptr_t)start + size };
}

/* The word of a form that yields is in the form's data, not in the module's. */
static void find_yields(struct td__sfi *s, const struct td__elf *e)
{
	void *base = (void *)s->place.base, *word = td__elf_symbol(e, base, "td_module_yield", 0);
	size_t size = 0;
	void *stub = td__elf_symbol(e, base, "td_module_yielder", &size);
	struct td__range data;

	td__elf_data(e, base, &data.start, &data.end);
	if (!word || !stub || !td__within(data, (uintptr_t)word))
		return;
	s->yields.wanted = word;
	s->place.yielder = range(stub, size);
}

/* Address space for the form's own code and data, which are the host's to the module. */
static int load(struct td__sfi *s, const struct td__elf *e, char *why, size_t size)
{
	size_t n = td__sfi_nservices, span = td__elf_span(e), align = td__elf_align(e);
	struct td__import *imports = calloc(n + 2, sizeof(*imports));
	uintptr_t base;
	int err;

	if (!imports)
		return -ENOMEM;
	memcpy(imports, td__sfi_services, n * sizeof(*imports));
	imports[n] = (struct td__import){ "td__sandbox_trap", (void *)trap };
	imports[n + 1] = (struct td__import){ "td__svc_yield", (void *)serve_yield };
	s->image_size = span + align;
	s->image = td__elf_reserve(s->image_size);
	if (!s->image) {
		free(imports);
		return -ENOMEM;
	}
	base = ((uintptr_t)s->image + align - 1) & ~(uintptr_t)(align - 1);
	err = td__elf_map(e, (void *)base, imports, n + 2, why, size);
	free(imports);
	if (err)
		return err;
	s->place.base = base;
	s->place.module = range((void *)base, span);
	td__elf_text(e, (void *)base, &s->place.text.start, &s->place.text.end);
	find_yields(s, e);
	return 0;
}

static void place_slot(struct td__sfi *s, struct td__domain *d, uint32_t i, const struct td__sandbox_about *about, uint8_t *outside)
{
	uint32_t at = s->memory.slots + i * TD__SFI_SLOT;
	struct td__sfi_slot *slot = &s->slots[i];

	slot->gate = (struct td__gate){
		.place = &s->place,
		.floating = td__gate_floating(),
		.recover = td__gate_recover,
		.guard = GUARD,
		.data_guard = range(s->memory.base + at, TD__SFI_GUARD),
	};
	slot->env = (struct td__sandbox_env){
		.memory = s->memory.base,
		.context = at + TD__SFI_CONTEXT_AT,
		.frame = at + TD__SFI_FRAME_AT,
		.stack = at + TD__SFI_STACK_AT + TD__SFI_STACK,
		.gate = &slot->gate,
		.instance = outside,
		.room = outside + ROUNDED(about->instance_size),
		.room_size = about->room,
	};
	d->slots[i].frame = (void *)(s->memory.base + slot->env.frame);
	d->slots[i].window = s->memory.base + at + TD__SFI_WINDOW_AT;
	d->slots[i].window_at = TD__SFI_WINDOW_AT - TD__SFI_FRAME_AT;
	d->slots[i].private = slot;
}

static int place_slots(struct td__sfi *s, struct td__domain *d, const struct td__sandbox_about *about)
{
	size_t each = ROUNDED(about->instance_size) + about->room;

	s->outside_size = TD__SLOTS * each;
	s->outside = mmap(0, s->outside_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->outside == MAP_FAILED) {
		s->outside = 0;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < TD__SLOTS; i++)
		place_slot(s, d, i, about, (uint8_t *)s->outside + i * each);
	return 0;
}

/* Whose slot it is now; the stack of the calling thread is the slot's for the time of a call. */
static int visit(struct td__sfi_slot *slot, struct td__call *c)
{
	return td__gate_visit(&slot->gate, c, 1, STACK_FOR_SERVICES);
}

/* Make the instances. What the form does is its module's word: it runs as a call does, and may fault. */
static int begin(struct td__sfi *s, struct td__domain *d, const struct td__elf *e, char *why, size_t size)
{
	void *base = (void *)s->place.base;
	td__gate_function start = (td__gate_function)td__elf_symbol(e, base, "td__sandbox_start", 0);
	struct td__call *c = td__port_alloc(sizeof(*c));
	int left = !c;

	if (!c || visit(&s->slots[0], c)) {
		td__port_free(c, sizeof(*c));
		return -ENOMEM;
	}
	c->domain = d;
	for (uint32_t i = 0; i < TD__SLOTS && !left; i++) {
		visit(&s->slots[i], c);
		left = td__gate_enter(&s->slots[i].env, 0, &s->slots[i].gate, start);
		s->slots[i].gate.call = 0;
		s->slots[i].enter = (td__gate_function)td__elf_symbol(e, base, "td__sandbox_enter", 0);
	}
	if (left)
		snprintf(why, size, "cannot be started: %s %s", td_fault_names[c->fault.kind], c->fault.detail);
	td__port_free(c, sizeof(*c));
	if (left)
		return -ENOEXEC;
	s->memory.data_end = s->slots[0].env.data_end;
	if (s->memory.data_end >= s->memory.heap_end) {
		snprintf(why, size, "needs %u KiB for its data, and memory=%lluK is the limit", s->memory.data_end >> 10,
			 (unsigned long long)d->level.memory >> 10);
		return -ENOMEM;
	}
	return 0;
}

static void set_place(struct td__sfi *s, const struct td__domain *d)
{
	const struct td__device *dev = d->device;

	s->place.sandbox = range(s->memory.base, 2ull << 32);
	s->place.data = range(s->memory.base + TD__SANDBOX_BASE, s->memory.data_end - TD__SANDBOX_BASE);
	s->place.heap = range(s->memory.base + s->memory.data_end, s->memory.heap_end - s->memory.data_end);
	s->place.area = range(s->memory.base + s->memory.area, s->memory.area ? TD_HEAP_AREA : 0);
	s->place.calls = range(s->memory.base + s->memory.slots, (uint64_t)TD__SLOTS * TD__SFI_SLOT);
	s->place.view = range(s->memory.base + s->memory.device, s->memory.mapped);
	s->place.device = range(dev->data.base, dev->blocks * dev->bsize);
	s->place.bsize = dev->bsize;
}

static void release(struct td__sfi *s)
{
	td__sfi_memory_destroy(&s->memory);
	if (s->image)
		munmap(s->image, s->image_size);
	if (s->outside)
		munmap(s->outside, s->outside_size);
	free(s);
}

static int build_up(struct td__sfi *s, struct td__domain *d, const struct td__elf *e, char *why, size_t size)
{
	const struct td__sandbox_about *about;
	int err;

	err = td__sfi_memory_create(&s->memory, d, why, size);
	if (!err)
		err = load(s, e, why, size);
	if (err)
		return err;
	if (d->level.shared == TD_SHARED_UNMAPPED)
		err = td__device_count(d->device);
	about = td__elf_symbol(e, (void *)s->place.base, "td__sandbox_about", 0);
	if (!err)
		err = place_slots(s, d, about);
	if (!err) {
		set_place(s, d);
		err = begin(s, d, e, why, size);
	}
	if (!err)
		set_place(s, d);
	return err;
}

/* A live change of level must not lead to another module. Whether it yields is a matter of each form. */
static int check_same(const struct td__domain *d, const struct td_module_info *form, char *why, size_t size)
{
	struct td_module_info native = d->module->info, sandboxed = *form;

	native.flags &= ~(uint32_t)TD_MODULE_YIELDS;
	sandboxed.flags &= ~(uint32_t)TD_MODULE_YIELDS;
	if (!memcmp(&native, &sandboxed, sizeof(native)))
		return 0;
	snprintf(why, size, "%s is the form of another module than %s, or of another version of it: build both with `tadan build`",
		 td__sfi_form_path(d->module->sandboxed), d->module->path);
	return -ENOEXEC;
}

static int sfi_start(struct td__domain *d, char *why, size_t size)
{
	char reason[TD__ELF_WHY] = "not enough memory";
	struct td__sfi_content form;
	struct td__sfi *s;
	int err = td__sfi_form_get(d->module->sandboxed, &form, why, size);

	if (!err)
		err = check_same(d, &form.report->info, why, size);
	if (!err)
		err = td__trap_install(why, size);
	if (err)
		return err;
	s = aligned_alloc(_Alignof(struct td__sfi), sizeof(*s));
	if (!s) {
		snprintf(why, size, "%s", reason);
		return -ENOMEM;
	}
	memset(s, 0, sizeof(*s));
	err = build_up(s, d, form.elf, reason, sizeof(reason));
	if (err) {
		snprintf(why, size, "%s: %s", td__sfi_form_path(d->module->sandboxed), reason);
		release(s);
		return err;
	}
	d->private = s;
	d->proven = form.report->proven;
	d->views = d->level.shared == TD_SHARED_UNMAPPED ? TD_VIEW_NONE :
		   s->memory.mapped == d->device->blocks * d->device->bsize ? TD_VIEW_LIVE : TD_VIEW_SNAPSHOT;
	d->nslots = TD__SLOTS;
	return 0;
}

static void sfi_stop(struct td__domain *d)
{
	release(d->private);
	d->private = 0;
}

/* ---- Calls */

static void fill_hello(const struct td__sfi *s, const struct td__sfi_slot *slot, struct td_frame *f)
{
	f->heap_at = (int64_t)s->memory.data_end - slot->env.frame;
	((struct td_frame_hello *)f)->heap_size = s->memory.heap_end - s->memory.data_end;
	((struct td_frame_hello *)f)->area_at = s->memory.area ? (int64_t)s->memory.area - slot->env.frame : 0;
}

static __attribute__((noinline)) int come_in(struct td__sfi_slot *slot, struct td__call *c)
{
	if (visit(slot, c)) {
		td__trap_report_attach(c);
		return TD__FAULTED;
	}
	if (c->op == TD_OP_HELLO)
		fill_hello(c->domain->private, slot, c->frame);
	slot->env.op = c->op;
	return td__gate_enter(&slot->env, 0, &slot->gate, slot->enter);
}

static int sfi_enter(struct td__call *c)
{
	struct td__sfi_slot *slot = c->behind;

	if (__builtin_expect(!td__gate_knows(&slot->gate, c) || c->op == TD_OP_HELLO, 0))
		return come_in(slot, c);
	slot->env.op = c->op;
	return td__gate_enter(&slot->env, 0, &slot->gate, slot->enter);
}

static void sfi_interrupt(struct td__domain *d, struct td__call *c)
{
	struct td__sfi *s = d->private;

	if (!td__yields_ask(&s->yields))
		td__trap_interrupt(&s->slots[c->slot].gate);
}

static int sfi_pages(struct td__domain *d, uint64_t at, uint64_t size, int open)
{
	const struct td__sfi *s = d->private;

	return mprotect(s->memory.base + s->memory.area + at, size, open ? PROT_READ | PROT_WRITE : PROT_NONE) ? -errno : 0;
}

const struct td__wall td__wall_sfi = {
	.name = "sfi",
	.kind = TD_WALL_SFI,
	.available = sfi_available,
	.start = sfi_start,
	.enter = sfi_enter,
	.interrupt = sfi_interrupt,
	.where = td__trap_where,
	.stop = sfi_stop,
	.pages = sfi_pages,
};
