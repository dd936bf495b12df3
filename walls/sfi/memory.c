/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a sandbox: see sfi.h for what lies where. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "sfi.h"

/* A place and an offset of 32 bits each, and the widest access. */
#define RESERVED ((2ull << 32) + TD__SANDBOX_PAGE)
#define PLACES (1ull << 32)
#define ALIGNED(n) (((n) + TD__SANDBOX_PAGE - 1) & ~(uint64_t)(TD__SANDBOX_PAGE - 1))
/* What is always needed besides data and heap. */
#define LEAST (ALIGNED((uint64_t)TD__SFI_SLOT * TD__SLOTS) + 4 * TD__SANDBOX_PAGE)

static int open_pages(struct td__sfi_memory *m, uint64_t at, uint64_t size)
{
	return mprotect(m->base + at, size, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int open_slots(struct td__sfi_memory *m)
{
	int err = 0;

	for (uint32_t i = 0; i < TD__SLOTS && !err; i++) {
		uint64_t slot = m->slots + (uint64_t)i * TD__SFI_SLOT;

		err = open_pages(m, slot + TD__SFI_STACK_AT, TD__SFI_STACK);
		if (!err)
			err = open_pages(m, slot + TD__SFI_CONTEXT_AT, TD__SFI_SLOT - TD__SFI_CONTEXT_AT);
	}
	return err;
}

/* The last page of places stays empty, so that blocks end before the memory does. */
static int map_device(struct td__sfi_memory *m, const struct td__domain *d)
{
	uint64_t size = d->device->blocks * d->device->bsize, room = PLACES - TD__SANDBOX_PAGE - m->device;
	int prot = d->level.shared == TD_SHARED_RW ? PROT_READ | PROT_WRITE : PROT_READ;

	if (d->level.shared == TD_SHARED_UNMAPPED)
		return 0;
	m->mapped = size < room ? size : room / d->device->bsize * d->device->bsize;
	if (mmap(m->base + m->device, m->mapped, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (int)d->device->data.share,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

int td__sfi_memory_create(struct td__sfi_memory *m, const struct td__domain *d, char *why, size_t size)
{
	uint64_t memory = ALIGNED(d->level.memory), area = d->heap ? TD_HEAP_AREA + TD__SANDBOX_PAGE : 0;
	int err;

	if (memory > PLACES - LEAST - area) {
		snprintf(why, size, "a sandbox has 32-bit places: memory is at most %lluM there; give less, or use --level isolated",
			 (unsigned long long)((PLACES - LEAST - area) >> 20));
		return -EINVAL;
	}
	m->base = mmap(0, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		m->base = 0;
		snprintf(why, size, "no 8 GiB of address space for a sandbox (ulimit -v?); use --level isolated");
		return -ENOMEM;
	}
	m->heap_end = (uint32_t)(TD__SANDBOX_BASE + memory);
	m->area = area ? m->heap_end + TD__SANDBOX_PAGE : 0;
	m->slots = (uint32_t)(m->heap_end + TD__SANDBOX_PAGE + area);
	m->device = (uint32_t)(m->slots + ALIGNED((uint64_t)TD__SFI_SLOT * TD__SLOTS) + TD__SANDBOX_PAGE);
	err = open_pages(m, TD__SANDBOX_BASE, memory);
	if (!err)
		err = open_slots(m);
	if (!err)
		err = map_device(m, d);
	if (err)
		snprintf(why, size, "not enough memory");
	return err;
}

void td__sfi_memory_destroy(struct td__sfi_memory *m)
{
	if (m->base)
		munmap(m->base, RESERVED);
	m->base = 0;
}
