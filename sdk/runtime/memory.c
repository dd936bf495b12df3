/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The domain's heap, and the functions of the C library that compilers call on their own.
 *
 * Blocks are powers of two from 32 bytes up, with 16 bytes of header; freed blocks wait in a list of their
 * size. One spin lock guards the heap: it is held for a few instructions, among them no loop and no call, so that no
 * yield stands there (see yield.c). A call that is ended inside by force takes the whole domain with it.
 *
 * Where something checks the module at all, room behind a block's end is marked, and the mark looked at when it is freed. With heap=pages each
 * block has pages of its own, as far as there is room: the kernel says where, and closes them. What lies beside the block on its pages is
 * filled with a pattern, and looked at when it is freed.
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
	uint32_t checked; /* ends are marked, or there is an area: all that costs nothing more where neither is */
	uint64_t limit;   /* bytes */

	/* With heap=pages; else 0. */
	char *area;
	uint64_t *sizes; /* by units of the area, of the block that begins there; 0: none does */
} heap;

uint64_t td__heap_count;

/* What stands before each block. Its mark tells a block that is given back twice, or was never one; it is hit first by what is written over the end. */
struct header {
	uint32_t mark;
	uint32_t class;
	uint64_t size; /* bytes that were asked for; of a block whose end is marked */
};
_Static_assert(sizeof(struct header) == HEADER, "header");

enum { MARK_USED = 0x75736564, MARK_FREE = 0x66726565, FILL = 0xb5 };
static const uint64_t END = 0xb5b5b5b5b5b5b5b5;

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

void td__heap_init(void *memory, size_t size, void *area, uint32_t marked)
{
	uintptr_t start = ((uintptr_t)memory + 15) & ~(uintptr_t)15;

	heap.next = (char *)start;
	heap.end = (char *)memory + size;
	for (uint32_t i = 0; i < CLASSES; i++)
		heap.freed[i] = 0;
	td__heap_count = 0;
	heap.locked = 0;
	heap.checked = marked || area;
	heap.limit = size;
	heap.area = area;
	heap.sizes = area ? td__heap_take(TD_HEAP_AREA / TD_HEAP_UNIT * sizeof(*heap.sizes)) : 0;
	if (!heap.sizes)
		heap.area = 0;
}

static inline uint32_t class_of(uint64_t size)
{
	uint32_t class = SMALLEST;

	while (class < CLASSES && (uint64_t)1 << class < size)
		class++;
	return class;
}

static inline __attribute__((always_inline)) void *take(size_t size, int count)
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
	((struct header *)p)->mark = MARK_USED;
	((struct header *)p)->class = class;
	return memset(p + HEADER, 0, size);
}

void *td__heap_take(size_t size)
{
	return take(size, 0);
}

/* ---- Ends */

/* The mark may lie anywhere. */
static void put_end(char *at)
{
	__builtin_memcpy(at, &END, sizeof(END));
}

static int has_end(const char *at)
{
	uint64_t end;

	__builtin_memcpy(&end, at, sizeof(end));
	return end == END;
}

/* Bytes behind the end of the block. */
static uint64_t room_behind(uint32_t class, uint64_t size)
{
	return ((uint64_t)1 << class) - HEADER - size;
}

/* Is its end as it was? Its size may have been written over, too. */
static int is_sound(uint32_t class, uint64_t size, const char *memory)
{
	uint64_t room = room_behind(class, size);

	return room < (uint64_t)1 << class && (room < sizeof(END) || has_end(memory + size));
}

static void *take_marked(size_t size)
{
	char *p = take(size, 1);
	struct header *h = (struct header *)(p - HEADER);

	if (!p)
		return 0;
	h->size = size;
	if (room_behind(h->class, size) >= sizeof(END))
		put_end(p + size);
	return p;
}

/* ---- Pages */

/* Is there room for so much more? It counts as in the plain heap. */
static int may_count(uint64_t bytes)
{
	int may;

	heap_lock();
	may = td__heap_count + bytes <= heap.limit;
	if (may)
		__atomic_store_n(&td__heap_count, td__heap_count + bytes, __ATOMIC_RELAXED);
	heap_unlock();
	return may;
}

static void uncount(uint64_t bytes)
{
	heap_lock();
	__atomic_store_n(&td__heap_count, td__heap_count - bytes, __ATOMIC_RELAXED);
	heap_unlock();
}

static uint64_t counted(uint64_t size)
{
	return (uint64_t)1 << class_of(size + HEADER);
}

static void *take_pages(size_t size)
{
	uint64_t at, start, len;

	if (td__svc_heap_take(size, &at) || at >= TD_HEAP_AREA)
		return 0;
	start = td__heap_pages(at, size, &len);
	memset(heap.area + start, FILL, len);
	heap.sizes[at / TD_HEAP_UNIT] = size;
	return memset(heap.area + at, 0, size);
}

/* The first byte beside the block that is not as it was; 0: all are. */
static uint64_t damaged_at(uint64_t at, uint64_t size)
{
	uint64_t len, start = td__heap_pages(at, size, &len);

	for (uint64_t i = at + size; i < start + len; i++)
		if ((uint8_t)heap.area[i] != FILL)
			return i;
	for (uint64_t i = at; i-- > start;)
		if ((uint8_t)heap.area[i] != FILL)
			return i;
	return 0;
}

static int is_in_area(const void *memory)
{
	return heap.area && (uintptr_t)memory - (uintptr_t)heap.area < TD_HEAP_AREA;
}

/* The kernel knows what was allocated, and ends the call if this was not. */
static int free_pages(char *memory)
{
	uint64_t at = (uint64_t)(memory - heap.area), *kept = &heap.sizes[at / TD_HEAP_UNIT], size = *kept;
	int known = size && (at + td__heap_rounded(size)) % TD_HEAP_PAGE == 0, err;

	if (known)
		*kept = 0;
	err = td__svc_heap_give(at, known ? size : 0, known ? damaged_at(at, size) : 0);
	if (!err)
		uncount(counted(size));
	return err;
}

static _Noreturn void refuse(const char *why)
{
	td__svc_explain(why, (uint32_t)strlen(why));
	__builtin_trap();
}

static __attribute__((noinline)) void *alloc_checked(size_t size)
{
	size_t least = size ? size : 1;
	void *p;

	if (!heap.area)
		return take_marked(size);
	if (size > (size_t)1 << 30 || !may_count(counted(least)))
		return 0;
	p = take_pages(least);
	if (p)
		return p;
	uncount(counted(least));
	return take_marked(size);
}

/* 1: it is a block of the plain heap, and its end is as it was. */
static __attribute__((noinline)) int is_good_to_free(char *memory)
{
	const struct header *h = (const struct header *)(memory - HEADER);

	if (is_in_area(memory)) {
		if (free_pages(memory))
			refuse("td_free: refused");
		return 0;
	}
	if (h->mark == MARK_USED && (h->class < SMALLEST || h->class >= CLASSES || !is_sound(h->class, h->size, memory)))
		refuse("td_free: bytes beside the memory have been written to");
	return 1;
}

/* ---- What authors call. Functions of their own in every form, so that the fault laboratory can call them. */

__attribute__((noinline)) void *td_alloc(size_t size)
{
	return __builtin_expect(heap.checked, 0) ? alloc_checked(size) : take(size, 1);
}

__attribute__((noinline)) void td_free(void *memory)
{
	struct free_block *b = memory;
	struct header *h = (struct header *)((char *)memory - HEADER);
	uint32_t was;

	if (!b || (__builtin_expect(heap.checked, 0) && !is_good_to_free(memory)))
		return;
	was = __atomic_exchange_n(&h->mark, MARK_FREE, __ATOMIC_ACQ_REL);
	if (was != MARK_USED) /* the heap would be in disorder: better the call than all of them */
		refuse(was == MARK_FREE ? "td_free: memory that was given back before" : "td_free: no memory that td_alloc() gave, or damaged before");
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
	return td__fill(to, byte, len);
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
