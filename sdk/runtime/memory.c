/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The domain's heap, and the functions of the C library that compilers call on their own.
 *
 * Blocks are powers of two from 32 bytes up, with 16 bytes of header; freed blocks wait in a list of their
 * size. One spin lock guards the heap: it is held for a few instructions, among them no loop and no call, so that no
 * yield stands there (see yield.c). A call that is ended inside by force takes the whole domain with it.
 */
#include "atomic.h"
#include "runtime.h"

#if defined(__x86_64__)
#include "bytes.h"
#endif

enum { CLASSES = 32, SMALLEST = 5, HEADER = 16 };

struct free_block {
	struct free_block *next;
};

static struct {
	char *next, *end;
	struct free_block *freed[CLASSES];
	int locked;
} heap;

uint64_t td__heap_count;

/* What stands before each block. Its mark tells a block that is given back twice, or was never one. */
struct header {
	uint32_t class;
	uint32_t mark;
};

enum { MARK_USED = 0x75736564, MARK_FREE = 0x66726565 };

static void heap_lock(void)
{
#ifdef __wasm__
	td__svc_atomic(TD__ATOMIC_LOCK, &heap.locked, 0, 0);
#else
	while (__atomic_exchange_n(&heap.locked, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&heap.locked, __ATOMIC_RELAXED))
			;
#endif
}

static void heap_unlock(void)
{
	__atomic_store_n(&heap.locked, 0, __ATOMIC_RELEASE);
}

void td__heap_init(void *memory, size_t size)
{
	uintptr_t start = ((uintptr_t)memory + 15) & ~(uintptr_t)15;

	heap.next = (char *)start;
	heap.end = (char *)memory + size;
	for (uint32_t i = 0; i < CLASSES; i++)
		heap.freed[i] = 0;
	td__heap_count = 0;
	heap.locked = 0;
}

static uint32_t class_of(size_t size)
{
	uint32_t class = SMALLEST;

	while (class < CLASSES && (size_t)1 << class < size)
		class++;
	return class;
}

static void *take(size_t size, int count)
{
	uint32_t class = class_of(size + HEADER);
	char *p = 0;

	if (size > (size_t)1 << 30 || class >= CLASSES)
		return 0;
	heap_lock();
	if (heap.freed[class]) {
		p = (char *)heap.freed[class] - HEADER;
		heap.freed[class] = heap.freed[class]->next;
	} else if ((size_t)1 << class <= (size_t)(heap.end - heap.next)) {
		p = heap.next;
		heap.next += (size_t)1 << class;
	}
	if (p && count)
		__atomic_store_n(&td__heap_count, td__heap_count + ((size_t)1 << class), __ATOMIC_RELAXED);
	heap_unlock();
	if (!p)
		return 0;
	*(struct header *)p = (struct header){ class, MARK_USED };
	return memset(p + HEADER, 0, size);
}

void *td_alloc(size_t size)
{
	return take(size, 1);
}

void *td__heap_take(size_t size)
{
	return take(size, 0);
}

static _Noreturn void refuse(uint32_t mark)
{
	static const char twice[] = "td_free: memory that was given back before", none[] = "td_free: no memory that td_alloc() gave, or damaged before";

	if (mark == MARK_FREE)
		td__svc_explain(twice, sizeof(twice) - 1);
	else
		td__svc_explain(none, sizeof(none) - 1);
	__builtin_trap();
}

void td_free(void *memory)
{
	struct free_block *b = memory;
	struct header *h = (struct header *)((char *)memory - HEADER);
	uint32_t was;

	if (!b)
		return;
	was = __atomic_exchange_n(&h->mark, MARK_FREE, __ATOMIC_ACQ_REL);
	if (was != MARK_USED)
		refuse(was); /* the heap would be in disorder: better the call than all of them */
	uint32_t class = h->class;
	heap_lock();
	__atomic_store_n(&td__heap_count, td__heap_count - ((size_t)1 << class), __ATOMIC_RELAXED);
	b->next = heap.freed[class];
	heap.freed[class] = b;
	heap_unlock();
}

void *memcpy(void *to, const void *from, size_t len)
{
#if defined(__x86_64__)
	return td__move(to, from, len);
#else
	return __builtin_memcpy(to, from, len); /* an instruction of wasm */
#endif
}

void *memmove(void *to, const void *from, size_t len)
{
#if defined(__x86_64__)
	return td__move(to, from, len);
#else
	return __builtin_memmove(to, from, len);
#endif
}

void *memset(void *to, int byte, size_t len)
{
#if defined(__x86_64__)
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(len) : "a"(byte) : "memory");
	return to;
#else
	return __builtin_memset(to, byte, len);
#endif
}

int memcmp(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;

	for (size_t i = 0; i < len; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	const volatile char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}

#ifndef __wasm__
/* The processors that modules are built for need not have an instruction for it. */
int __popcountdi2(uint64_t n);
int __popcountdi2(uint64_t n)
{
	static const uint8_t ones[16] = { 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4 };
	int sum = 0;

	for (; n; n >>= 4)
		sum += ones[n & 15];
	return sum;
}
#endif
