/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wall `pkey`: start, calls and services. See pkey.h for the idea and gate.S for the crossing.
 *
 * The kernel shares frames and windows with the module, whose other threads may write there while
 * it reads: the gateway reads each value once, or copies before it checks.
 *
 * Services run with all keys open. What they are given as memory is compared with the domain's own
 * ranges first; what the page tables say of it, td__port_copy() finds out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <fs_services.h>
#include "../walls.h"
#include "pkey.h"

struct pkey {
	int32_t (*enter)(struct td_frame *);
	const void *stub; /* that leads in */
	struct td__region *region;
	struct td__place place;
	struct td__yields yields;
	int key, device_key;
	int views; /* may the module read the device? */
	struct td__gate gates[TD__SLOTS];
};

/* ---- Services */

static _Noreturn void end_call(struct td__gate *g)
{
	uintptr_t pc = 0;

	if (td__within(g->stack, g->inner))
		pc = *(const uintptr_t *)(g->inner & ~7ull);
	td__trap_note_caller(g, pc, g->inner_fp);
	td__gate_set(g, TD__GATE_OUTSIDE);
	td__gate_leave(g);
}

static int holds(struct td__range r, uintptr_t at, uint64_t size)
{
	return at >= r.start && at < r.end && size <= r.end - at;
}

/* Does memory that the module named belong to it? */
static int is_own(const struct td__gate *g, const void *memory, uint64_t size, int writes)
{
	const struct pkey *p = g->call->domain->private;
	uintptr_t at = (uintptr_t)memory;

	return holds(p->place.heap, at, size) || holds(p->place.area, at, size) || holds(p->place.calls, at, size) ||
	       holds(p->place.data, at, size) ||
	       (!writes && (holds(p->place.module, at, size) ||
			    (p->views && holds(p->place.device, at, size))));
}

static inline int may_pass(struct td__gate *g, const void *memory, uint64_t size, int writes)
{
	return !memory || !size || is_own(g, memory, size, writes);
}

/* A view is told with care: there may be no memory where the module wants it, but on the stack there is. */
static int bread(struct td__call *c, uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view)
{
	uint64_t at;
	int err = td__svc_do_bread(c, buf, blkno, fresh, &at);

	if (err)
		return err;
	if (holds(td__gate_current->stack, (uintptr_t)view, sizeof(at)))
		*view = at;
	else if (td__port_copy(view, &at, sizeof(at)))
		return td__careless(c, TD_EINVAL, "bread: memory that is not there");
	return 0;
}
#define td__svc_do_bread bread

#define UNWRAP(...) __VA_OPT__(, ) __VA_ARGS__
#define SERVE(name, params, args, memory, size, writes)                                            \
	static int serve_##name params                                                             \
	{                                                                                          \
		struct td__gate *g = td__gate_current;                                             \
		int err;                                                                           \
                                                                                                   \
		if (may_pass(g, memory, size, writes))                                             \
			err = td__svc_do_##name(g->call UNWRAP args);                              \
		else                                                                               \
			err = td__careless(g->call, TD_EFAULT, "memory that is not the module's"); \
		if (__builtin_expect(__atomic_load_n(&g->call->doomed, __ATOMIC_RELAXED), 0))      \
			end_call(g);                                                               \
		return err;                                                                        \
	}
TD__SERVICES_TYPED(SERVE)

#define ENTRY(name) (const void *)serve_##name,
const void *const td__pkey_services[] = { TD__SERVICES(ENTRY) };

#define NAME(name) "td__svc_" #name,
const char *const td__pkey_service_names[] = { TD__SERVICES(NAME) };

const uint32_t td__pkey_nservices = sizeof(td__pkey_services) / sizeof(td__pkey_services[0]);

/* ---- Start and stop */

static int pkey_available(char *why, size_t size)
{
	int key;

	if (!td__pkey_present()) {
		snprintf(why, size,
			 "this processor has no protection keys; use --level guarded (weaker) or "
			 "--level isolated "
			 "(stronger)");
		return -EOPNOTSUPP;
	}
	key = td__pkey_take(why, size);
	if (key < 0)
		return -EOPNOTSUPP;
	td__pkey_give(key);
	return 0;
}

static struct td__range range(const void *start, uint64_t size)
{
	return (struct td__range){ (uintptr_t)start, (uintptr_t)start + size };
}

static void set_place(struct pkey *p, const struct td__domain *d, const struct td__elf *e)
{
	const struct td__region *r = p->region;
	const struct td__device *dev = d->device;

	p->place.base = (uintptr_t)r->base;
	p->place.module = range(r->base, td__elf_span(e));
	td__elf_text(e, r->base, &p->place.text.start, &p->place.text.end);
	td__elf_data(e, r->base, &p->place.data.start, &p->place.data.end);
	p->place.heap = range(r->heap, r->heap_size);
	p->place.area = range(r->area, r->area ? TD_HEAP_AREA : 0);
	p->place.calls = range(r->slots, (size_t)TD__SLOTS * TD__PKEY_SLOT);
	p->place.device = range(dev->data.base, dev->blocks * dev->bsize);
	p->place.bsize = dev->bsize;
	p->place.key = p->key;
	p->place.device_key = p->device_key;
	td__yields_find(&p->yields, d->module, &p->place);
	p->enter = (int32_t(*)(struct td_frame *))td__elf_symbol(e, r->base, "td__enter", 0);
	p->stub = r->stubs + (td__pkey_stub_enter - td__pkey_template);
}

static void place_slots(struct pkey *p, struct td__domain *d)
{
	const struct td__region *r = p->region;

	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		uint8_t *at = r->slots + (size_t)i * TD__PKEY_SLOT;
		struct td__gate *g = &p->gates[i];

		g->place = &p->place;
		g->context = (void *)at;
		g->stack = range(at + TD__PKEY_STACK_AT, TD__PKEY_SLOT - TD__PKEY_STACK_AT);
		g->floating = td__gate_floating();
		g->guard = TD__PKEY_GUARD;
		g->recover = td__pkey_recover;
		g->back = r->stubs + (td__pkey_stub_back - td__pkey_template);
		d->slots[i].frame = (void *)(at + TD__PKEY_FRAME_AT);
		d->slots[i].window = at + TD__PKEY_WINDOW_AT;
		d->slots[i].window_at = TD__PKEY_WINDOW_AT - TD__PKEY_FRAME_AT;
		d->slots[i].private = g;
	}
}

static int take_keys(struct pkey *p, const struct td__domain *d, char *why, size_t size)
{
	if (td__trap_need_signal_key()) {
		snprintf(why, size,
			 "this process has no protection key left for its signals; use --level "
			 "isolated");
		return -ENOSPC;
	}
	p->key = td__pkey_take(why, size);
	if (p->key < 0)
		return p->key;
	p->device_key = td__pkey_take_device(d->device, why, size);
	return p->device_key < 0 ? p->device_key : 0;
}

static void release(struct pkey *p, const struct td__device *device)
{
	if (p->region)
		td__region_destroy(p->region);
	if (p->device_key > 0)
		td__pkey_give_device(device);
	if (p->key > 0)
		td__pkey_give(p->key);
	free(p);
}

static int begin(struct pkey *p, struct td__domain *d, char *why, size_t size)
{
	const struct td__elf *e = d->module->file;
	char reason[TD__ELF_WHY] = "";
	int err = td__elf_inspect(e, reason, sizeof(reason));

	if (!err)
		err = take_keys(p, d, why, size);
	if (!err && d->level.shared == TD_SHARED_UNMAPPED)
		err = td__device_count(d->device);
	if (err) {
		if (reason[0])
			snprintf(why, size, "%s %s", d->module->path, reason);
		return err;
	}
	err = td__region_create(e, p->key, td__pkey_rights(p->key, p->device_key, d->level.shared),
				d->level.memory, d->heap != 0, &p->region, reason, sizeof(reason));
	if (err)
		snprintf(why, size, "%s %s", d->module->path, reason);
	return err;
}

static int pkey_start(struct td__domain *d, char *why, size_t size)
{
	struct pkey *p;
	int err = pkey_available(why, size);

	if (!err)
		err = td__module_has_form(d->module, TD_WALL_PKEY, why, size);
	if (!err)
		err = td__trap_install(why, size);
	if (err)
		return err;
	p = aligned_alloc(_Alignof(struct pkey), sizeof(*p));
	if (!p) {
		snprintf(why, size, "not enough memory");
		return -ENOMEM;
	}
	memset(p, 0, sizeof(*p));
	td__pkey_open();
	err = begin(p, d, why, size);
	if (err) {
		release(p, d->device);
		return err;
	}
	p->views = d->level.shared != TD_SHARED_UNMAPPED;
	set_place(p, d, d->module->file);
	place_slots(p, d);
	d->private = p;
	d->views = p->views ? TD_VIEW_LIVE : TD_VIEW_NONE;
	d->nslots = TD__SLOTS;
	return 0;
}

static void pkey_stop(struct td__domain *d)
{
	release(d->private, d->device);
	d->private = 0;
}

/* ---- Calls */

static void fill_hello(const struct td__region *r, struct td_frame *f)
{
	f->heap_at = r->heap ? (int64_t)((uintptr_t)r->heap - (uintptr_t)f) : 0;
	((struct td_frame_hello *)f)->heap_size = r->heap_size;
	((struct td_frame_hello *)f)->area_at = r->area ? (int64_t)((uintptr_t)r->area - (uintptr_t)f) : 0;
}

/* A module that jumped to the way back: nobody has seen a fault. */
static int left(struct td__call *c)
{
	if (c->fault.kind == TD_FAULT_NONE) {
		c->fault.kind = c->doomed ? c->doomed : TD_FAULT_ILLEGAL;
		snprintf(c->fault.detail, sizeof(c->fault.detail),
			 "left its call by a jump into the gate");
	}
	return TD__FAULTED;
}

static int pkey_enter(struct td__call *c)
{
	struct pkey *p = c->domain->private;
	struct td__gate *g = c->behind;

	if (td__trap_attach(1)) {
		td__trap_report_attach(c);
		return TD__FAULTED;
	}
	if (c->op == TD_OP_HELLO)
		fill_hello(p->region, c->frame);
	__atomic_store_n(&g->thread, td__thread_self.number, __ATOMIC_RELAXED);
	g->call = c;
	g->result = &c->result;
	g->outer = td__gate_current;
	td__gate_current = g;
	td__gate_set(g, TD__GATE_MODULE);
	if (td__pkey_enter(g, p->enter, c->frame, (void *)g->stack.end, p->stub))
		return left(c);
	return TD__RETURNED;
}

static void pkey_interrupt(struct td__domain *d, struct td__call *c)
{
	struct pkey *p = d->private;

	td__pkey_open(); /* a thread made before the domain's key has no right to its memory */
	if (!td__yields_ask(&p->yields))
		td__trap_interrupt(&p->gates[c->slot]);
}

static int pkey_pages(struct td__domain *d, uint64_t at, uint64_t size, int open)
{
	const struct pkey *p = d->private;

	return pkey_mprotect(p->region->area + at, size, open ? PROT_READ | PROT_WRITE : PROT_NONE, p->key) ? -errno : 0;
}

const struct td__wall td__wall_pkey = {
	.name = "pkey",
	.kind = TD_WALL_PKEY,
	.available = pkey_available,
	.start = pkey_start,
	.enter = pkey_enter,
	.interrupt = pkey_interrupt,
	.where = td__trap_where,
	.pages = pkey_pages,
	.stop = pkey_stop,
};
