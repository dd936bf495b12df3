/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module with a function for each thing that a module can do wrongly. The file that an operation works on says which; what the reports
 * must say of it, reports.c knows. Before it goes wrong, each changes a block, so that there is a journal to be seen.
 */
#include <tadan/fs.h>
#include "report_acts.h"

#define ACT __attribute__((noinline)) static int

enum { LOCK = 1, OTHER = 2, BLOCK = 9, FIRST = 16, MARK_AT = 16, MANY = 200 };

static const uint8_t constant[64] = "constant";
static uint8_t data[64] = "data";
static volatile uint64_t zero;
static volatile int deep;

/* ---- Memory */

ACT act_null_load(uint64_t off)
{
	return (int)*(volatile uint32_t *)(zero + 8); /* HERE null_load */
}

ACT act_null_store(uint64_t off)
{
	*(volatile uint32_t *)(zero + 8) = 1; /* HERE null_store */
	return 0;
}

ACT act_unmapped(uint64_t off)
{
	*(volatile uint32_t *)(uintptr_t)off = 1; /* HERE unmapped */
	return 0;
}

ACT act_host_load(uint64_t off)
{
	return (int)*(volatile uint32_t *)(uintptr_t)off; /* HERE host_load */
}

ACT act_host_store(uint64_t off)
{
	*(volatile uint32_t *)(uintptr_t)off = 2; /* HERE host_store */
	return 0;
}

ACT act_text_store(uint64_t off)
{
	int (*volatile where)(uint64_t) = act_host_load;

	*(volatile uint8_t *)(uintptr_t)where = 0; /* HERE text_store */
	return 0;
}

ACT act_constant_store(uint64_t off)
{
	*(volatile uint8_t *)(uintptr_t)(constant + zero) = 'x'; /* HERE constant_store */
	return 0;
}

ACT act_block_store(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	((volatile uint8_t *)(uintptr_t)td_buf_data(b))[100] = 1; /* HERE block_store */
	td_brelse(b);
	return 0;
}

ACT act_released_store(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);
	volatile uint8_t *view = err ? 0 : (volatile uint8_t *)(uintptr_t)td_buf_data(b);

	if (err)
		return err;
	td_brelse(b);
	view[100] = 1; /* HERE released_store */
	return 0;
}

ACT act_recursion(uint64_t off)
{
	volatile uint8_t here[256];

	here[0] = (uint8_t)off;
	if (zero)
		return 0;
	return act_recursion(off + here[0] + 1) + here[0]; /* WITHIN recursion */
}

ACT act_recursion_in_service(uint64_t off)
{
	volatile uint8_t here[256];

	here[0] = (uint8_t)off;
	td__svc_sync(); /* WITHIN recursion_in_service */
	if (zero)
		return 0;
	return act_recursion_in_service(off + here[0] + 1) + here[0];
}

ACT act_large_frame(uint64_t off)
{
	volatile uint8_t here[3 << 20];

	here[zero] = 1; /* WITHIN large_frame */
	return here[zero + off % 2] != 1;
}

ACT act_stack_above(uint64_t off)
{
	volatile uint8_t here[64];

	for (uint64_t i = 0; i < 1 << 20; i++)
		here[zero + i] = 0; /* WITHIN stack_above */
	return here[zero];
}

ACT act_jump_null(uint64_t off)
{
	((void (*)(void))(uintptr_t)zero)(); /* HERE jump_null */
	return (int)zero;
}

ACT act_jump_data(uint64_t off)
{
	((void (*)(void))(uintptr_t)(data + zero))(); /* HERE jump_data */
	return deep;
}

ACT act_jump_heap(uint64_t off)
{
	void *p = td_alloc(48);

	((void (*)(void))(uintptr_t)p)(); /* HERE jump_heap */
	td_free(p);
	return deep;
}

ACT act_illegal(uint64_t off)
{
	__builtin_trap(); /* HERE illegal */
}

ACT act_divide(uint64_t off)
{
	return (int)((off | 7) / zero); /* HERE divide */
}

static volatile uint8_t *volatile kept; /* from another call */

ACT act_free_twice(uint64_t off)
{
	void *volatile p = td_alloc(48); /* ALLOCATED free_twice */

	td_free(p); /* FREED free_twice */
	td_free(p); /* HERE free_twice */
	return 0;
}

ACT act_free_foreign(uint64_t off)
{
	td_free(data + 32 + zero); /* HERE free_foreign */
	return 0;
}

ACT act_free_middle(uint64_t off)
{
	uint8_t *p = td_alloc(100); /* ALLOCATED free_middle */

	td_free(p + 32 + zero); /* HERE free_middle */
	return 0;
}

ACT act_freed_load(uint64_t off)
{
	volatile uint8_t *p = td_alloc(48); /* ALLOCATED freed_load */

	td_free((void *)(uintptr_t)p); /* FREED freed_load */
	return p[8 + zero] == 7; /* HERE freed_load */
}

ACT act_freed_store(uint64_t off)
{
	volatile uint8_t *p = td_alloc(10000); /* ALLOCATED freed_store */

	td_free((void *)(uintptr_t)p); /* FREED freed_store */
	p[9 + zero] = 7; /* HERE freed_store */
	return 0;
}

/* Memory that an earlier call has freed. */
ACT act_freed_before(uint64_t off)
{
	if (off) {
		kept = td_alloc(200); /* ALLOCATED freed_before */
		td_free((void *)(uintptr_t)kept); /* FREED freed_before */
		return 0;
	}
	if (kept)
		kept[zero] = 1; /* HERE freed_before */
	return 0;
}

ACT act_over_end(uint64_t off)
{
	volatile uint8_t *p = td_alloc(4000); /* ALLOCATED over_end */

	p[4000 + zero] = 1; /* HERE over_end */
	return 0;
}

ACT act_over_end_load(uint64_t off)
{
	volatile uint8_t *p = td_alloc(64); /* ALLOCATED over_end_load */

	return p[67 + zero] == 8; /* HERE over_end_load */
}

/* Within what the size was rounded up to. */
ACT act_over_end_near(uint64_t off)
{
	volatile uint8_t *p = td_alloc(99); /* ALLOCATED over_end_near */

	p[99 + zero] = 1;
	td_free((void *)(uintptr_t)p); /* HERE over_end_near */
	return 0;
}

ACT act_before_store(uint64_t off)
{
	volatile uint8_t *p = td_alloc(64); /* ALLOCATED before_store */

	p[-1 - (int64_t)zero] = 1;
	td_free((void *)(uintptr_t)p); /* HERE before_store */
	return 0;
}

ACT act_before_pages(uint64_t off)
{
	volatile uint8_t *p = td_alloc(8192); /* ALLOCATED before_pages */

	return p[-3 - (int64_t)zero] == 9; /* HERE before_pages */
}

#ifdef __wasm__ /* no words for these: the compiler has no such instructions */
#define act_misaligned act_illegal
#define act_no_address act_illegal
#define act_privileged act_illegal
#define act_breakpoint act_illegal
#else
ACT act_misaligned(uint64_t off)
{
	__asm__ volatile("movaps %%xmm0, 1(%0)" : : "r"(data) : "memory"); /* HERE misaligned */
	return 0;
}

ACT act_no_address(uint64_t off)
{
	*(volatile uint32_t *)(zero + (1ull << 63)) = 1; /* HERE no_address */
	return 0;
}

ACT act_privileged(uint64_t off)
{
	__asm__ volatile("hlt"); /* HERE privileged */
	return 0;
}

ACT act_breakpoint(uint64_t off)
{
	__asm__ volatile("int3"); /* HERE breakpoint */
	return 0;
}
#endif

/* ---- Meaning */

ACT act_negative_links(struct td_vnode *v)
{
	v->nlink = ~0u;
	return 0;
}

ACT act_huge_size(struct td_vnode *v)
{
	v->size = ~0ull;
	return 0;
}

ACT act_other_type(struct td_vnode *v)
{
	v->type = TD_DIR;
	return 0;
}

ACT act_unchangeable(struct td_vnode *v)
{
	v->uid += 7;
	return 0;
}

ACT act_positive_result(struct td_vnode *v)
{
	return 1;
}

ACT act_foreign_error(struct td_vnode *v)
{
	return -TD_ENOTEMPTY;
}

ACT act_false_eio(struct td_vnode *v)
{
	return -TD_EIO;
}

/* ---- Use of the kernel */

ACT act_bad_range(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	td__svc_buf_fill(b->handle, td_bsize() - 4, 8, 1); /* HERE bad_range */
	td_brelse(b);
	return 0;
}

ACT act_stale_buf(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	td__svc_brelse(b->handle);
	td__svc_buf_fill(b->handle, 0, 4, 1); /* HERE stale_buf */
	return 0;
}

ACT act_closed_twice(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	td__svc_brelse(b->handle);
	td__svc_brelse(b->handle); /* HERE closed_twice */
	return 0;
}

ACT act_beyond_device(uint64_t off)
{
	struct td_buf *b;

	td_bread(1ull << 40, &b); /* HERE beyond_device */
	return 0;
}

ACT act_bad_memory(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (err)
		return err;
	td__svc_buf_read(b->handle, 0, (void *)(uintptr_t)off, 64); /* HERE bad_memory */
	td_brelse(b);
	return 0;
}

ACT act_no_such_lock(uint64_t off)
{
	td_lock(TD_LOCK_MAX + 5, TD_EXCLUSIVE); /* HERE no_such_lock */
	return 0;
}

ACT act_unlock_free(uint64_t off)
{
	td_unlock(OTHER); /* HERE unlock_free */
	return 0;
}

ACT act_lock_twice(uint64_t off)
{
	int err = td_lock(OTHER, TD_EXCLUSIVE);

	if (err)
		return err;
	td_lock(OTHER, TD_EXCLUSIVE); /* HERE lock_twice */
	td_unlock(OTHER);
	return 0;
}

ACT act_foreign_vnode(uint64_t off)
{
	td__svc_vref(0x7777777777ull); /* HERE foreign_vnode */
	return 0;
}

ACT act_given_back_twice(uint64_t handle)
{
	td__svc_vrele(handle); /* HERE given_back_twice */
	return 0;
}

ACT act_shared_record(struct td_vnode *v)
{
	v->size += 7;
	return 0;
}

ACT act_buf_left(uint64_t off)
{
	struct td_buf *b;

	return td_bread(FIRST, &b); /* HERE buf_left */
}

ACT act_lock_left(uint64_t off)
{
	return td_lock(OTHER, TD_EXCLUSIVE); /* HERE lock_left */
}

ACT act_too_many(uint64_t off)
{
	for (int i = 0; i < MANY; i++)
		td_unlock(OTHER); /* WITHIN too_many */
	return 0;
}

ACT act_too_much_undo(uint64_t off)
{
	struct td_buf *b;
	int err = 0;

	for (uint64_t i = 0; i < MANY && !err; i++) {
		err = td_bread(FIRST + i % 64, &b);
		if (!err) {
			err = td_buf_fill(b, 0, td_bsize(), (uint8_t)i); /* HERE too_much_undo */
			td_brelse(b);
		}
	}
	return err;
}

ACT act_reference_left(uint64_t handle)
{
	return td__svc_vref(handle); /* HERE reference_left */
}

ACT act_memory_left(uint64_t off)
{
	return td_alloc(1000) ? 0 : -TD_ENOMEM;
}

static void spin(void)
{
	for (uint64_t i = 0; i < 30000000; i++)
		zero = 0;
}

ACT act_no_lock(uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(FIRST, &b);

	if (!err)
		err = td_buf_fill(b, 8, 4, 1); /* HERE no_lock */
	if (!err)
		err = td__svc_sync();
	spin();
	td_brelse(err ? 0 : b);
	return err;
}

/* Nothing wrong: but it is inside while another falls. */
ACT act_slow(uint64_t off)
{
	spin();
	return 0;
}

/* Two at once: `off` says who takes which first. */
ACT act_deadlock(uint64_t off)
{
	int err = td_lock(off ? OTHER : LOCK, TD_EXCLUSIVE);

	if (!err)
		err = td__svc_sync();
	spin();
	if (!err)
		err = td_lock(off ? LOCK : OTHER, TD_EXCLUSIVE); /* HERE deadlock */
	if (!err) {
		td_unlock(LOCK);
		td_unlock(OTHER);
	}
	return err;
}

ACT act_endless(uint64_t off)
{
	while (!zero)
		deep = 0; /* WITHIN endless */
	return 0;
}

ACT act_endless_services(uint64_t off)
{
	while (!zero)
		td__svc_sync(); /* WITHIN endless_services */
	return 0;
}

/* ---- */

static int change_a_block(void)
{
	struct td_buf *b;
	int err = td_bread(BLOCK, &b);

	if (err)
		return err;
	err = td_buf_fill(b, MARK_AT, 4, 0xee);
	td_brelse(b);
	return err;
}

static int wants_handle(uint64_t act)
{
	return act == ACT_given_back_twice || act == ACT_reference_left;
}

static int seek(struct td_vnode *v, uint64_t off, uint32_t whence, uint64_t *found)
{
#define CASE_seek(name) case ACT_##name: return act_##name(wants_handle(v->fid) ? v->handle : off);
#define CASE_fsync(name)
#define CASE_bmap(name)
#define CASE(name, op) CASE_##op(name)
#define act_shared_record(off) act_shared_record(v)
	int several = v->fid == ACT_no_lock || v->fid == ACT_deadlock || v->fid == ACT_slow;
	int err = several ? 0 : change_a_block();

	if (err)
		return err;
	*found = 0;
	switch (v->fid) {
		REPORT_ACTS(CASE)
	default: return deep;
	}
#undef act_shared_record
}

static int fsync(struct td_vnode *v)
{
#undef CASE_seek
#undef CASE_fsync
#define CASE_seek(name)
#define CASE_fsync(name) case ACT_##name: return act_##name(v);
	int err = change_a_block();

	if (err)
		return err;
	switch (v->fid) {
		REPORT_ACTS(CASE)
	default: return 0;
	}
}

static int bmap(struct td_vnode *v, uint64_t lblk, uint64_t count, struct td_extent *extents, uint32_t *nextents)
{
	*extents = (struct td_extent){ .lblk = lblk, .pblk = BLOCK, .count = 1, .state = TD_DATA };
	*nextents = 1;
	if (v->fid == ACT_block_beyond)
		extents->pblk = 1ull << 40;
	else if (v->fid == ACT_other_place)
		extents->lblk += 1u << 20;
	else if (v->fid == ACT_many_extents)
		*nextents = 1u << 30;
	return 0;
}

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	*info = (struct td_fsinfo){ .root = ACT_NONE, .maxsize = 1 << 20, .blocks = dev->blocks, .bsize = dev->bsize, .namemax = 255,
				    .maxlink = 100 };
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	return td_vnode_init(v, fid == ACT_NONE ? TD_DIR : TD_REG, 0644, 0);
}

TD_FS_MODULE(report_acts, 4, .mount = mount, .getvnode = getvnode, .seek = seek, .fsync = fsync, .bmap = bmap);
