/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A heap whose allocations have pages of their own: the sdk's td_alloc() and td_free() over the kernel's books, with pages that are
 * opened and closed for good. Whatever is allocated and freed in whatever order, blocks are what they promise and none reaches another; what was freed
 * cannot be reached; and each misuse is found. A failure prints the seed; HEAP_SEED=n replays it.
 */
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "test_core_fake.h"
#include "../../sdk/runtime/runtime.h"

enum { BLOCKS = 400, STEPS = 6000, PLAIN = 4 << 20 };

void *td_alloc(size_t size);
void td_free(void *memory);

static char plain[PLAIN] __attribute__((aligned(4096)));
static char *area;
static struct td__call *call;
static struct td__fs *fs;
static const char *explained;
static jmp_buf refused;
static uint64_t seed, random_state;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

/* ---- What a wall does */

static int open_pages(struct td__domain *d, uint64_t at, uint64_t size, int open)
{
	(void)d;
	assert_true(at + size <= TD_HEAP_AREA && at % TD_HEAP_PAGE == 0 && size % TD_HEAP_PAGE == 0);
	return mprotect(area + at, size, open ? PROT_READ | PROT_WRITE : PROT_NONE) ? -1 : 0;
}

int td__svc_heap_take(uint64_t size, uint64_t *at)
{
	return td__svc_do_heap_take(call, size, at);
}

/* A call that is doomed ends here. */
int td__svc_heap_give(uint64_t at, uint64_t size, uint64_t damaged)
{
	int err = td__svc_do_heap_give(call, at, size, damaged);

	if (call->fault.kind)
		longjmp(refused, 1);
	return err;
}

int td__svc_explain(const void *text, uint32_t len)
{
	(void)len;
	explained = text;
	longjmp(refused, 1);
}

static int can_reach(const void *at)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)at, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

/* ---- */

static int (*body)(void);

static int in_call(struct td__call *c)
{
	int err;

	call = c;
	memset(&c->fault, 0, sizeof(c->fault));
	err = setjmp(refused) ? -TD_EIO : body();
	return err;
}

static void make_call(int (*what)(void))
{
	struct td__vnode *v;
	uint64_t found;

	body = what;
	assert_int_equal(td__vnode_by_fid(fs, 2, &v), 0);
	td__fs_seek(fs, v, 0, TD_SEEK_DATA, &found);
	td__vnode_put(v, 1);
}

static struct td_fault newest(void)
{
	static struct td_fault faults[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(fs, 0, faults, TD_FAULTS_KEPT);

	assert_true(n);
	return faults[n - 1];
}

static int setup(void **state)
{
	(void)state;
	fake_pages = open_pages;
	fake_ops[TD_OP_seek] = in_call;
	area = mmap(0, TD_HEAP_AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(area != MAP_FAILED);
	fs = fake_mount("guarded,heap=pages,restart=1000/1s,mistakes=1000");
	td__heap_init(plain, sizeof(plain), area, 1);
	fake_place = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	td_unmount(fs);
	munmap(area, TD_HEAP_AREA);
	return 0;
}

/* ---- */

static struct block {
	uint8_t *p;
	size_t size;
	uint8_t byte;
} blocks[BLOCKS];

static size_t some_size(void)
{
	switch (below(8)) {
	case 0: return below(2);
	case 1: return below(3) * 4096 + below(3) - 1;
	case 2: return below(100000);
	default: return 1 + below(600);
	}
}

static void check_block(const struct block *b)
{
	for (size_t i = 0; i < b->size; i++)
		assert_int_equal(b->p[i], b->byte);
}

static void new_block(struct block *b)
{
	b->size = some_size();
	b->size = b->size > 1 << 20 ? 0 : b->size;
	b->p = td_alloc(b->size);
	assert_non_null(b->p);
	assert_int_equal((uintptr_t)b->p % 16, 0);
	assert_true((uint64_t)((char *)b->p - area) < TD_HEAP_AREA);
	for (size_t i = 0; i < b->size; i++)
		assert_int_equal(b->p[i], 0);
	b->byte = (uint8_t)(1 + below(255));
	memset(b->p, b->byte, b->size);
	assert_false(can_reach(b->p + td__heap_rounded(b->size)));
}

static int work(void)
{
	for (int step = 0; step < STEPS; step++) {
		struct block *b = &blocks[below(BLOCKS)];
		uint8_t *was = b->p;

		if (!b->p) {
			new_block(b);
			continue;
		}
		check_block(b);
		td_free(b->p);
		b->p = 0;
		assert_false(can_reach(was));
	}
	for (int i = 0; i < BLOCKS; i++)
		if (blocks[i].p) {
			check_block(&blocks[i]);
			td_free(blocks[i].p);
		}
	memset(blocks, 0, sizeof(blocks));
	assert_int_equal(td__heap_count, 0);
	return 0;
}

static void test_work(void **state)
{
	(void)state;
	printf("HEAP_SEED=%llu\n", (unsigned long long)seed);
	make_call(work);
	assert_int_equal(fs->nfaults, 0);
}

/* What was freed is closed for as long as there is other room. */
static int wait_in_line(void)
{
	uint8_t *first = td_alloc(100), *other;
	int times = 0;

	td_free(first);
	do {
		other = td_alloc(100);
		assert_non_null(other);
		td_free(other);
		times++;
	} while (other != first);
	assert_true(times > TD_HEAP_AREA / TD_HEAP_UNIT / 2);
	return 0;
}

static void test_quarantine(void **state)
{
	(void)state;
	make_call(wait_in_line);
	assert_int_equal(fs->nfaults, 0);
}

/* When the area is full as it may be, the plain heap has room; and the limit is one for both. */
static int fill(void)
{
	static char *all[PLAIN / 32];
	uint32_t n = 0, outside = 0;

	while (n < PLAIN / 32 && (all[n] = td_alloc(200)))
		outside += (uint64_t)(all[n++] - area) >= TD_HEAP_AREA;
	assert_true(outside > 0 && n - outside == TD_HEAP_AREA / TD_HEAP_UNIT / 4 * 3);
	assert_int_equal(td__heap_count, (uint64_t)n * 256);
	assert_true(td__heap_count <= PLAIN);
	while (n)
		td_free(all[--n]);
	assert_int_equal(td__heap_count, 0);
	return 0;
}

static void test_full(void **state)
{
	(void)state;
	make_call(fill);
	assert_int_equal(fs->nfaults, 0);
}

/* ---- Misuse: found, and said of which block */

static uint8_t *volatile p;

static int free_twice(void)
{
	p = td_alloc(50);
	td_free(p);
	td_free(p);
	return 0;
}

static int free_middle(void)
{
	p = td_alloc(50);
	td_free(p + 16);
	return 0;
}

static int write_behind(void)
{
	p = td_alloc(50);
	p[50] ^= 1;
	td_free(p);
	return 0;
}

static int write_before(void)
{
	p = td_alloc(50);
	p[-100] ^= 1;
	td_free(p);
	return 0;
}

static void expect(int (*what)(void), const char *detail, int64_t off, uint32_t state)
{
	struct td_fault f;

	make_call(what);
	f = newest();
	assert_string_equal(f.detail, detail);
	assert_int_equal(f.kind, TD_FAULT_SERVICE);
	assert_int_equal(f.memory.state, state);
	assert_int_equal(f.memory.off, off);
	assert_int_equal(f.memory.size, 50);
	assert_int_equal(f.memory.calls, 0);
	assert_int_equal(f.memory.allocated[0], 0x1234);
	assert_int_equal(f.memory.freed[0], state == TD_MEMORY_FREED ? 0x1234 : 0);
}

static void test_misuse(void **state)
{
	(void)state;
	fake_place = 0x1234;
	expect(free_twice, "td_free: memory that was given back before", 0, TD_MEMORY_FREED);
	expect(free_middle, "td_free: not the beginning of what td_alloc() gave", 16, TD_MEMORY_USED);
	expect(write_behind, "td_free: bytes beside the memory have been written to", 50, TD_MEMORY_USED);
	expect(write_before, "td_free: bytes beside the memory have been written to", -100, TD_MEMORY_USED);
}

/* The services, as a hostile module calls them. */
static int any_numbers(void)
{
	static const uint64_t odd[] = { 0, 1, 4096, 8192, TD_HEAP_AREA - 1, TD_HEAP_AREA, 1ull << 32, ~0ull, ~0ull - 15, 1ull << 63 };
	uint64_t at;

	for (int i = 0; i < 2000; i++) {
		uint64_t a[3];

		for (int k = 0; k < 3; k++)
			a[k] = below(2) ? odd[below(sizeof(odd) / sizeof(odd[0]))] : below(TD_HEAP_AREA + 100000);
		if (!td__svc_do_heap_take(call, a[0], &at))
			assert_true(at < TD_HEAP_AREA);
		td__svc_do_heap_give(call, a[0], a[1], a[2]);
		assert_true(call->fault.kind == TD_FAULT_SERVICE || call->fault.kind == 0);
		memset(&call->fault, 0, sizeof(call->fault));
	}
	__atomic_store_n(&call->doomed, 0, __ATOMIC_RELAXED);
	return 0;
}

static void test_hostile(void **state)
{
	(void)state;
	make_call(any_numbers);
}

/* The plain heap's marks. */
static int plain_behind(void)
{
	td__heap_init(plain, sizeof(plain), 0, 1);
	p = td_alloc(50);
	p[50] ^= 1;
	td_free(p);
	return 0;
}

static int plain_before(void)
{
	td__heap_init(plain, sizeof(plain), 0, 1);
	p = td_alloc(50);
	p[-1] ^= 1;
	td_free(p);
	return 0;
}

static int plain_sound(void)
{
	td__heap_init(plain, sizeof(plain), 0, 1);
	for (size_t size = 0; size < 300; size++) {
		p = td_alloc(size);
		memset(p, 0xff, size);
		td_free(p);
	}
	return 0;
}

static void test_plain(void **state)
{
	(void)state;
	explained = 0;
	make_call(plain_sound);
	assert_null(explained);
	make_call(plain_behind);
	assert_non_null(strstr(explained, "beside"));
	explained = 0;
	make_call(plain_before);
	assert_non_null(strstr(explained, "beside"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_work, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quarantine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
	};

	seed = getenv("HEAP_SEED") ? strtoull(getenv("HEAP_SEED"), 0, 0) : (uint64_t)time(0);
	random_state = seed | 1;
	return cmocka_run_group_tests(tests, 0, 0);
}
