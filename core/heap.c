/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of a module's allocations where each has pages of its own (heap=pages): where they lie, who allocated and who freed them.
 *
 * The area is a row of units. An allocation takes as many as it needs, and one page more, which stays closed: a load or store over its
 * end faults. When it is freed all of it is closed, so its use faults as well:
 *
 *   NEVER --take--> USED --give--> FREED --take, when the turn has come round--> USED
 *
 * Units are taken in turn, so those that were freed last are used again last: the rest of the area is the quarantine, a quarter of it at the least.
 * All of this is the kernel's own memory, behind every wall. What does not fit is no allocation of this kind: the module's runtime then
 * takes it from the plain heap.
 */
#include <fs_services.h>
#include "fs.h"

enum { UNITS = TD_HEAP_AREA / TD_HEAP_UNIT, MOST_USED = UNITS / 4 * 3, MOST_SIZE = TD_HEAP_AREA / 8 };

struct unit {
	uint32_t state; /* enum td_fault_memory_state, of each unit */
	uint32_t back;  /* units since the allocation's first; the rest is of that one */
	uint32_t units;
	uint64_t size;
	uint64_t calls; /* that had been begun when it came to be what it is */
	uint64_t allocated[TD_MEMORY_FRAMES], freed[TD_MEMORY_FRAMES];
};

struct td__heap {
	struct td__mutex mutex;
	uint32_t next; /* unit; the first one is never taken, so that no place is 0 */
	uint32_t used; /* units */
	struct unit unit[UNITS];
};

int td__heap_make(struct td__domain *d)
{
	if (d->level.heap != TD_HEAP_PAGES)
		return 0;
	d->heap = td__port_alloc(sizeof(*d->heap));
	if (!d->heap)
		return -TD_ENOMEM;
	td__mutex_init(&d->heap->mutex);
	d->heap->next = 1;
	return 0;
}

void td__heap_end(struct td__domain *d)
{
	if (!d->heap)
		return;
	td__mutex_fini(&d->heap->mutex);
	td__port_free(d->heap, sizeof(*d->heap));
	d->heap = 0;
}

static uint64_t calls_begun(const struct td__fs *fs)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < TD__SLOTS; i++)
		sum += (__atomic_load_n(&fs->calls[i].started, __ATOMIC_RELAXED) + 1) / 2;
	return sum;
}

/* Where the module calls the service. */
static void note_place(struct td__call *c, uint64_t frames[TD_MEMORY_FRAMES])
{
	_Static_assert((int)TD_MEMORY_FRAMES == (int)TD__ORIGIN_FRAMES, "frames");
	memset(frames, 0, TD_MEMORY_FRAMES * sizeof(*frames));
	if (!c->fault.kind)
		td__origin_where(c, frames);
}

/* ---- Places */

/* Where an allocation ends: there its closed page begins. */
static uint64_t end_of(uint32_t first, uint32_t units)
{
	return (uint64_t)(first + units) * TD_HEAP_UNIT - TD_HEAP_PAGE;
}

static uint64_t place_of(const struct td__heap *h, uint32_t first)
{
	const struct unit *u = &h->unit[first];

	return end_of(first, u->units) - td__heap_rounded(u->size);
}

/* The first unit of what is known of this one; 0: nothing. */
static uint32_t first_of(const struct td__heap *h, uint32_t unit)
{
	uint32_t first;

	if (!unit || unit >= UNITS || h->unit[unit].state == TD_MEMORY_NONE)
		return 0;
	first = unit - h->unit[unit].back;
	return h->unit[first].units > unit - first ? first : 0; /* of one that was freed the beginning may be another's by now */
}

/* Room for so many units; 0: there is none. */
static uint32_t find_room(struct td__heap *h, uint32_t units)
{
	uint32_t at = h->next, run = 0;

	for (uint32_t looked = 0; looked < UNITS + units; looked++, at++) {
		if (at >= UNITS) {
			at = 1;
			run = 0;
		}
		run = h->unit[at].state == TD_MEMORY_USED ? 0 : run + 1;
		if (run == units)
			return at + 1 - units;
	}
	return 0;
}

static void put_down(struct td__heap *h, uint32_t first, uint32_t units, uint64_t size)
{
	for (uint32_t i = 0; i < units; i++)
		h->unit[first + i] = (struct unit){ .state = TD_MEMORY_USED, .back = i };
	h->unit[first].units = units;
	h->unit[first].size = size;
	h->used += units;
	h->next = first + units;
}

/* ---- Services */

static int open_pages(struct td__call *c, uint32_t first, int open)
{
	struct td__domain *d = c->domain;
	const struct unit *u = &d->heap->unit[first];
	uint64_t len, at = td__heap_pages(place_of(d->heap, first), u->size, &len);

	return d->wall->pages ? d->wall->pages(d, at, len, open) : 0;
}

static void set_state(struct td__heap *h, uint32_t first, uint32_t state)
{
	for (uint32_t i = 0; i < h->unit[first].units; i++)
		h->unit[first + i].state = state;
}

int td__svc_do_heap_take(struct td__call *c, uint64_t size, uint64_t *at)
{
	struct td__heap *h = c->domain->heap;
	uint64_t where[TD_MEMORY_FRAMES];
	uint32_t first = 0, units;
	int err = -TD_ENOMEM;

	if (!h)
		return td__careless(c, TD_EPERM, "heap_take: the level has no heap=pages");
	if (size > MOST_SIZE)
		return -TD_ENOMEM;
	units = (uint32_t)((td__heap_rounded(size) + TD_HEAP_PAGE - 1) / TD_HEAP_PAGE / 2 + 1);
	note_place(c, where);
	td__mutex_lock(&h->mutex);
	if (h->used + units <= MOST_USED)
		first = find_room(h, units);
	if (first) {
		put_down(h, first, units, size);
		h->unit[first].calls = calls_begun(c->fs);
		memcpy(h->unit[first].allocated, where, sizeof(where));
		*at = place_of(h, first);
		err = open_pages(c, first, 1);
		if (err) {
			set_state(h, first, TD_MEMORY_NONE);
			h->used -= units;
		}
	}
	td__mutex_unlock(&h->mutex);
	return err ? -TD_ENOMEM : 0;
}

/* What is wrong with freeing this; 0: nothing. */
static const char *wrong_to_free(const struct td__heap *h, uint32_t first, uint64_t at, uint64_t size, uint64_t damaged)
{
	const struct unit *u = &h->unit[first];

	if (!first)
		return "td_free: no memory that td_alloc() gave";
	if (u->state == TD_MEMORY_FREED)
		return "td_free: memory that was given back before";
	if (at != place_of(h, first))
		return "td_free: not the beginning of what td_alloc() gave";
	if (size != u->size)
		return "td_free: the heap's own data has been written to";
	return damaged ? "td_free: bytes beside the memory have been written to" : 0;
}

int td__svc_do_heap_give(struct td__call *c, uint64_t at, uint64_t size, uint64_t damaged)
{
	struct td__heap *h = c->domain->heap;
	uint64_t where[TD_MEMORY_FRAMES];
	const char *wrong;
	uint32_t first;

	if (!h)
		return td__careless(c, TD_EPERM, "heap_give: the level has no heap=pages");
	note_place(c, where);
	td__mutex_lock(&h->mutex);
	first = at < TD_HEAP_AREA ? first_of(h, (uint32_t)(at / TD_HEAP_UNIT)) : 0;
	wrong = wrong_to_free(h, first, at, size, damaged);
	if (!wrong && open_pages(c, first, 0))
		wrong = "td_free: the pages cannot be closed";
	if (!wrong) {
		set_state(h, first, TD_MEMORY_FREED);
		h->used -= h->unit[first].units;
		h->unit[first].calls = calls_begun(c->fs);
		memcpy(h->unit[first].freed, where, sizeof(where));
	}
	td__mutex_unlock(&h->mutex);
	if (!wrong)
		return 0;
	if (!c->fault.kind)
		c->fault.heap = (damaged ? damaged : at) + 1;
	td__call_fault(c, TD_FAULT_SERVICE, wrong, 0);
	c->domain->wall->where(c);
	return -TD_EINVAL;
}

/* ---- Reports */

/* Behind the end of one, what lies close before the next is more likely about that. */
static uint32_t nearest(const struct td__heap *h, uint64_t at)
{
	uint32_t unit = (uint32_t)(at / TD_HEAP_UNIT), first = first_of(h, unit), next = first_of(h, unit + 1);
	uint64_t end;

	if (at >= TD_HEAP_AREA || !next || next == first)
		return first;
	end = first ? end_of(first, h->unit[first].units) : 0;
	return at >= end && place_of(h, next) - at < at - end ? next : first;
}

void td__heap_describe(const struct td__call *c, struct td_fault *f)
{
	static const char *const lays[] = { [TD_MEMORY_USED] = "beside memory of the heap", [TD_MEMORY_FREED] = "freed memory of the heap" };
	struct td__heap *h = c->domain->heap;
	uint64_t at = f->heap - 1;
	const struct unit *u;
	uint32_t first;

	if (!h || !f->heap || at >= TD_HEAP_AREA)
		return;
	td__mutex_lock(&h->mutex);
	first = nearest(h, at);
	if (first) {
		u = &h->unit[first];
		f->memory = (struct td_fault_memory){
			.state = u->state, .off = (int64_t)(at - place_of(h, first)), .size = u->size, .calls = calls_begun(c->fs) - u->calls
		};
		memcpy(f->memory.allocated, u->allocated, sizeof(u->allocated));
		memcpy(f->memory.freed, u->freed, sizeof(u->freed));
		if (f->lay[0] && (u->state == TD_MEMORY_FREED || (uint64_t)f->memory.off >= u->size))
			td__copy_text(f->lay, sizeof(f->lay), lays[u->state]);
	}
	td__mutex_unlock(&h->mutex);
}
