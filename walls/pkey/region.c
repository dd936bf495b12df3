/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A domain's memory: image (stubs, then the module), heap, slots.
 *
 *   fresh --create--> in use --destroy--> gone, or if sealed: kept --create--> in use
 *
 * Where Linux has mseal(2), the parts of the image that are not writable are sealed: nobody can
 * change, move or remove them any more, nor their key, by whatever system call. They stay until
 * the process ends. So they are kept, and the same module's next domain with the same key and
 * rights uses them again, with new data. As a key that is given back is the first that is given
 * out, a restart finds its image.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fs_services.h>
#include "pkey.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { PAGE = 4096, SERVICES_MAX = 64, STUB_CODE = 1024 };
_Static_assert(STUB_CODE + SERVICES_MAX * TD__PKEY_STUB_SIZE <= TD__PKEY_STUBS, "stubs");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards kept */
static struct td__region *kept;

static void *reserve(size_t size)
{
	void *p = mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? 0 : p;
}

static uintptr_t align_up(uintptr_t at, uintptr_t to)
{
	return (at + to - 1) & ~(to - 1);
}

/* ---- Stubs */

static void put_value(uint8_t *stubs, const uint8_t *place, uint32_t value)
{
	memcpy(stubs + (place - td__pkey_template), &value, sizeof(value));
}

static void put_address(uint8_t *stubs, const uint8_t *place, void (*to)(void))
{
	memcpy(stubs + (place - td__pkey_template), &to, sizeof(to));
}

static uint8_t *service_stub(const struct td__region *r, uint32_t n)
{
	return r->stubs + STUB_CODE + n * TD__PKEY_STUB_SIZE;
}

/* mov $n, %eax; jmp stub_service */
static void write_service(const struct td__region *r, uint32_t n)
{
	uint8_t *p = service_stub(r, n);
	const uint8_t *to = r->stubs + (td__pkey_stub_service - td__pkey_template);
	int32_t distance = (int32_t)(to - (p + 10));

	p[0] = 0xb8;
	memcpy(p + 1, &n, sizeof(n));
	p[5] = 0xe9;
	memcpy(p + 6, &distance, sizeof(distance));
}

static int write_stubs(struct td__region *r, uint32_t rights)
{
	size_t size = (size_t)(td__pkey_template_end - td__pkey_template);

	if (size > STUB_CODE || td__pkey_nservices > SERVICES_MAX)
		return -E2BIG;
	if (mprotect(r->stubs, TD__PKEY_STUBS, PROT_READ | PROT_WRITE))
		return -errno;
	memset(r->stubs, 0xcc, TD__PKEY_STUBS);
	memcpy(r->stubs, td__pkey_template, size);
	put_value(r->stubs, td__pkey_closed_1, rights);
	put_value(r->stubs, td__pkey_closed_2, rights);
	put_value(r->stubs, td__pkey_closed_3, rights);
	put_value(r->stubs, td__pkey_closed_4, rights);
	put_address(r->stubs, td__pkey_to_out, td__pkey_out);
	put_address(r->stubs, td__pkey_to_service, td__pkey_service);
	for (uint32_t n = 0; n < td__pkey_nservices; n++)
		write_service(r, n);
	r->rights = rights;
	return pkey_mprotect(r->stubs, TD__PKEY_STUBS, PROT_READ | PROT_EXEC, r->key) ? -errno : 0;
}

/* ---- The image */

static size_t list_imports(const struct td__region *r, struct td__import imports[SERVICES_MAX + 1])
{
	uint32_t n;

	for (n = 0; n < td__pkey_nservices; n++)
		imports[n] = (struct td__import){ td__pkey_service_names[n], service_stub(r, n) };
	imports[n] = (struct td__import){ "td__svc_context", (void *)td__pkey_context };
	return n + 1;
}

/* Put the key on the parts, and seal those that are to stay as they are. */
static int lock_parts(struct td__region *r, const struct td__elf *e)
{
	size_t n;
	const struct td__elf_part *parts = td__elf_parts(e, &n);

	for (size_t i = 0; i < n; i++)
		if (pkey_mprotect(r->base + parts[i].start, parts[i].size, parts[i].prot, r->key))
			return -errno;
	if (syscall(SYS_mseal, r->stubs, TD__PKEY_STUBS, 0))
		return 0; /* Linux before 6.10 */
	r->sealed = 1;
	for (size_t i = 0; i < n; i++)
		if (parts[i].kind != TD__ELF_DATA)
			syscall(SYS_mseal, r->base + parts[i].start, parts[i].size, 0);
	return 0;
}

static int load(struct td__region *r, const struct td__elf *e, uint32_t rights, char *why,
		size_t size)
{
	struct td__import imports[SERVICES_MAX + 1];
	size_t align = td__elf_align(e), span = td__elf_span(e);
	int err;

	r->image_size = TD__PKEY_STUBS + align + span;
	r->image = reserve(r->image_size);
	if (!r->image)
		return -ENOMEM;
	r->stubs = r->image;
	r->base = (uint8_t *)align_up((uintptr_t)r->image + TD__PKEY_STUBS, align);
	err = write_stubs(r, rights);
	if (!err)
		err = td__elf_map(e, r->base, imports, list_imports(r, imports), why, size);
	if (!err)
		err = lock_parts(r, e);
	return err;
}

/* The data of a kept image is gone: make it anew. */
static int reload(struct td__region *r, const struct td__elf *e, char *why, size_t size)
{
	struct td__import imports[SERVICES_MAX + 1];
	uintptr_t start, end;

	td__elf_data(e, r->base, &start, &end);
	if (start != end &&
	    pkey_mprotect((void *)start, end - start, PROT_READ | PROT_WRITE, r->key))
		return -errno;
	return td__elf_reset(e, r->base, imports, list_imports(r, imports), why, size);
}

/* ---- Kept images */

static struct td__region *find_kept(const struct td__elf *e, int key, uint32_t rights)
{
	struct td__region **at, *r;

	pthread_mutex_lock(&lock);
	for (at = &kept; (r = *at); at = &r->next)
		if (r->file_id == e && r->key == key && r->rights == rights &&
		    !strcmp(r->id, td__elf_id(e)))
			break;
	if (r)
		*at = r->next;
	pthread_mutex_unlock(&lock);
	return r;
}

static void keep(struct td__region *r)
{
	/* All that is writable lies between the sealed parts: give its memory back. */
	uint8_t *at = r->image, *end = at + r->image_size;

	for (; at < end; at += PAGE)
		(void)!mmap(at, PAGE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	pthread_mutex_lock(&lock);
	r->next = kept;
	kept = r;
	pthread_mutex_unlock(&lock);
}

/* ---- Heap and slots */

static int make_heap(struct td__region *r, uint64_t heap)
{
	r->heap_size = align_up(heap, PAGE);
	if (!r->heap_size)
		return 0;
	r->heap = reserve(r->heap_size);
	if (!r->heap)
		return -ENOMEM;
	return pkey_mprotect(r->heap, r->heap_size, PROT_READ | PROT_WRITE, r->key) ? -errno : 0;
}

static int make_area(struct td__region *r)
{
	r->area = reserve(TD_HEAP_AREA);
	if (!r->area)
		return -ENOMEM;
	return pkey_mprotect(r->area, TD_HEAP_AREA, PROT_NONE, r->key) ? -errno : 0;
}

static int make_slots(struct td__region *r)
{
	r->slots_map = reserve((size_t)(TD__SLOTS + 1) * TD__PKEY_SLOT);
	if (!r->slots_map)
		return -ENOMEM;
	r->slots = (uint8_t *)align_up((uintptr_t)r->slots_map, TD__PKEY_SLOT);
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		uint8_t *p = r->slots + (size_t)i * TD__PKEY_SLOT;

		if (pkey_mprotect(p, TD__PKEY_GUARD_AT, PROT_READ | PROT_WRITE, r->key) ||
		    pkey_mprotect(p + TD__PKEY_STACK_AT, TD__PKEY_SLOT - TD__PKEY_STACK_AT,
				  PROT_READ | PROT_WRITE, r->key))
			return -errno;
	}
	return 0;
}

/* ---- */

static struct td__region *make(const struct td__elf *e, int key)
{
	struct td__region *r = calloc(1, sizeof(*r));

	if (!r)
		return 0;
	r->key = key;
	r->file_id = e;
	snprintf(r->id, sizeof(r->id), "%s", td__elf_id(e));
	return r;
}

int td__region_create(const struct td__elf *e, int key, uint32_t rights, uint64_t heap, int area,
		      struct td__region **out, char *why, size_t size)
{
	struct td__region *r = find_kept(e, key, rights);
	int err;

	snprintf(why, size, "needs more memory than there is");
	if (r) {
		err = reload(r, e, why, size);
	} else {
		r = make(e, key);
		if (!r)
			return -ENOMEM;
		err = load(r, e, rights, why, size);
	}
	if (!err)
		err = make_heap(r, heap);
	if (!err && area)
		err = make_area(r);
	if (!err)
		err = make_slots(r);
	if (err) {
		td__region_destroy(r);
		return err;
	}
	*out = r;
	return 0;
}

void td__region_destroy(struct td__region *r)
{
	if (r->heap)
		munmap(r->heap, r->heap_size);
	if (r->area)
		munmap(r->area, TD_HEAP_AREA);
	if (r->slots_map)
		munmap(r->slots_map, (size_t)(TD__SLOTS + 1) * TD__PKEY_SLOT);
	r->heap = r->area = r->slots = 0;
	r->slots_map = 0;
	if (r->sealed) {
		keep(r);
		return;
	}
	if (r->image)
		munmap(r->image, r->image_size);
	free(r);
}
