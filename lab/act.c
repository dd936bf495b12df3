/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a planted fault does: see act.h. Compiled so that the code can be copied: no calls, no tables, no constants elsewhere. For
 * sandboxed modules it is compiled once more, for wasm32, where it has no words for what has none there.
 */
#include "act.h"

#define PIECE static inline __attribute__((always_inline))

/* Places of a record in a frame, as its `v_at` stands there. */
#define RECORD(op, arg) ((uint32_t)__builtin_offsetof(struct td_frame_##op, arg##_at))

/* Where the frame says where the record lies that the operation may change; 0: there is none. */
PIECE uint32_t record_place(uint32_t op)
{
	if (op == TD_OP_getvnode)
		return RECORD(getvnode, v);
	if (op == TD_OP_update || op == TD_OP_inactive || op == TD_OP_getattr || op == TD_OP_fsync)
		return RECORD(update, v);
	if (op == TD_OP_create || op == TD_OP_mknod || op == TD_OP_mkdir)
		return RECORD(create, dir);
	if (op == TD_OP_symlink)
		return RECORD(symlink, dir);
	if (op == TD_OP_link || op == TD_OP_unlink || op == TD_OP_rmdir)
		return RECORD(link, dir);
	if (op == TD_OP_rename)
		return RECORD(rename, from);
	if (op == TD_OP_balloc)
		return RECORD(balloc, v);
	if (op == TD_OP_bunmap)
		return RECORD(bunmap, v);
	if (op == TD_OP_setxattr)
		return RECORD(setxattr, v);
	return 0;
}

PIECE struct td_vnode *record_of(struct td_frame *f)
{
	uint32_t place = record_place(f->op);

	return place ? (void *)((char *)f + *(int64_t *)((char *)f + place)) : 0;
}

#ifdef __wasm__
#define SERVICE(name, ...) td__svc_##name
int32_t td__enter(struct td_frame *f, uint32_t op); /* the module's own */
#define ENTER(f, op, p) td__enter(f, op)
void *td_alloc(size_t size);
void td_free(void *memory);
#define ALLOC(p, size) td_alloc(size)
#define FREE(p, memory) td_free(memory)
#else
#define SERVICE(name, ...) ((int (*)(__VA_ARGS__)) * (void **)((char *)p + p->service[TD_SVC_##name]))
#define ENTER(f, op, p) ((int32_t(*)(struct td_frame *))((char *)p + p->enter))(f)
#define ALLOC(p, size) ((void *(*)(size_t))((char *)p + p->alloc))(size)
#define FREE(p, memory) ((void (*)(void *))((char *)p + p->free))(memory)
#endif

PIECE int open_buf(struct lab_act_params *p, uint32_t handle, uint64_t blkno, uint64_t *view)
{
	return SERVICE(bread, uint32_t, uint64_t, uint32_t, uint64_t *)(handle, blkno, 0, view);
}

/* The last index: a module reaches it only with 64 bufs open. */
#define FIRST_OPEN (63u | 1u << 8)

PIECE void use_bufs(struct lab_act_params *p, uint32_t act)
{
	uint64_t view = 0, word = 0;

	if (act == LAB_BAD_BLOCK)
		for (uint32_t i = 1; i <= LAB_OFTEN; i++)
			open_buf(p, FIRST_OPEN, p->blocks + i, &view);
	else
		open_buf(p, FIRST_OPEN, 0, &view);
	if (act == LAB_FORGOTTEN_BUFS)
		for (uint32_t i = 0; i < LAB_OFTEN; i++)
			open_buf(p, (62 - i) | 1 << 8, 0, &view);
	if (act == LAB_WRITE_SHARED || act == LAB_WRITE_FREED) {
		if (act == LAB_WRITE_FREED)
			SERVICE(brelse, uint32_t)(FIRST_OPEN);
		*(volatile uint64_t *)(uintptr_t)(view + 64) ^= ~0ull;
	}
	for (uint32_t i = 0; i < LAB_OFTEN; i++) {
		if (act == LAB_BAD_RANGE)
			SERVICE(buf_write, uint32_t, uint32_t, const void *, uint32_t)(FIRST_OPEN, p->bsize - 4, &word, 8);
		if (act == LAB_STALE_HANDLE)
			SERVICE(buf_write, uint32_t, uint32_t, const void *, uint32_t)(63 | 9 << 8, 0, &word, 8);
		if (act == LAB_DOUBLE_RELEASE)
			SERVICE(brelse, uint32_t)(FIRST_OPEN);
	}
}

PIECE void use_services(struct lab_act_params *p, uint32_t act)
{
	for (uint32_t i = 0; i < LAB_OFTEN; i++) {
		if (act == LAB_BAD_LOCK)
			SERVICE(lock, uint32_t, uint32_t)(TD_LOCK_MAX + i, TD_EXCLUSIVE);
		if (act == LAB_LOCK_KEPT)
			SERVICE(lock, uint32_t, uint32_t)(TD_LOCK_MAX - 1 - i, TD_EXCLUSIVE);
		if (act == LAB_UNLOCK_FOREIGN)
			SERVICE(unlock, uint32_t)(TD_LOCK_MAX - 1);
		if (act == LAB_FOREIGN_VNODE)
			SERVICE(vref, uint64_t)(0x1234567800000000ull + i);
		if (act == LAB_BAD_DISCARD)
			SERVICE(discard, uint64_t, uint64_t)(p->blocks - 1, 7);
		if (act == LAB_LONG_LOG)
			SERVICE(log, uint32_t, const void *, uint32_t)(7, p, 4000);
	}
}

/* Memory of the module's own heap. */
PIECE void use_heap(struct td_frame *f, struct lab_act_params *p, uint32_t act)
{
	enum { SIZE = 100 };
	volatile uint8_t *m = act == LAB_HEAP_FREE_FOREIGN ? (uint8_t *)f + TD_FRAME_SIZE / 2 : ALLOC(p, SIZE);

	if (!m)
		return;
	if (act == LAB_HEAP_LOAD_FREED || act == LAB_HEAP_STORE_FREED || act == LAB_HEAP_FREE_TWICE)
		FREE(p, (void *)(uintptr_t)m);
	if (act == LAB_HEAP_LOAD_FREED)
		(void)m[24];
	if (act == LAB_HEAP_STORE_FREED)
		m[24] = 1;
	if (act == LAB_HEAP_STORE_BEYOND)
		m[SIZE] = 1;
	if (act == LAB_HEAP_LOAD_BEYOND)
		(void)m[SIZE + 16];
	if (act == LAB_HEAP_STORE_BEFORE)
		m[-1] = 1;
	if (act == LAB_HEAP_LOAD_BEFORE)
		(void)m[-1];
	if (act != LAB_HEAP_LOAD_FREED && act != LAB_HEAP_STORE_FREED)
		FREE(p, (void *)(uintptr_t)m);
}

#ifdef __wasm__
/* Far beyond all that a sandbox has mapped. */
#define NOWHERE 0xffff0000u

__attribute__((noinline)) static int overflow(volatile uint32_t *up)
{
	volatile uint32_t here[512];

	here[0] = up[0] + 1;
	return overflow(here) + (int)here[0];
}

PIECE void touch(struct td_frame *f, struct lab_act_params *p, uint32_t act)
{
	volatile uint32_t where = act == LAB_WRITE_UNMAPPED ? NOWHERE : act == LAB_JUMP_DATA ? (uint32_t)f : act == LAB_JUMP_NULL ? 0 : 8;
	volatile uint32_t zero = 0;

	if (act == LAB_READ_NULL)
		(void)*(volatile uint64_t *)where;
	if (act == LAB_WRITE_NULL || act == LAB_WRITE_UNMAPPED)
		*(volatile uint64_t *)where = 0x6d657377;
	if (act == LAB_MISALIGNED)
		td__svc_atomic(TD__ATOMIC_STORE, (char *)f + 1, 0, 0);
	if (act == LAB_JUMP_NULL || act == LAB_JUMP_DATA)
		((void (*)(void))where)();
	if (act == LAB_STACK)
		overflow(&zero);
	if (act == LAB_DIVIDE)
		where = act / zero;
	while (act == LAB_LOOP)
		where = zero;
}
#else
PIECE void touch(struct td_frame *f, struct lab_act_params *p, uint32_t act)
{
	uint64_t where = act == LAB_NO_ADDRESS ? 0x8000000000000000ull : act == LAB_WRITE_NULL || act == LAB_READ_NULL ? 8 : p->address;

	if (act == LAB_READ_NULL || act == LAB_READ_KERNEL)
		__asm__ volatile("mov (%0), %%rax" : : "r"(where) : "rax", "memory");
	if (act == LAB_WRITE_NULL || act == LAB_NO_ADDRESS || act == LAB_WRITE_UNMAPPED || act == LAB_WRITE_KERNEL ||
	    act == LAB_WRITE_DOMAIN)
		__asm__ volatile("movq $0x6d657377, (%0)" : : "r"(where) : "memory");
	if (act == LAB_WRITE_TEXT)
		__asm__ volatile("movb $0, (%0)" : : "r"(p) : "memory");
	if (act == LAB_MISALIGNED)
		__asm__ volatile("movaps %%xmm0, 1(%0)" : : "r"(f) : "memory");
	if (act == LAB_JUMP_NULL)
		__asm__ volatile("xor %%eax, %%eax\n\tcall *%%rax" : : : "rax", "memory");
	if (act == LAB_JUMP_DATA)
		__asm__ volatile("call *%0" : : "r"(f) : "memory");
	if (act == LAB_JUMP_KERNEL)
		__asm__ volatile("call *%0" : : "r"(where) : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
	if (act == LAB_STACK)
		__asm__ volatile("1: sub $2048, %%rsp\n\tmovq $0, (%%rsp)\n\tjmp 1b" : : : "memory");
	/* With LAB_SYSCALL whoever plants this makes the ud2 a syscall; as it stands, no copy for another act has one. */
	if (act == LAB_ILLEGAL || act == LAB_SYSCALL)
		__asm__ volatile("mov $110, %%eax\n\tud2" : : : "rax", "rcx", "r11", "memory");
	if (act == LAB_DIVIDE)
		__asm__ volatile("xor %%ecx, %%ecx\n\tmov $1, %%eax\n\tcltd\n\tidiv %%ecx" : : : "rax", "rcx", "rdx");
	if (act == LAB_PRIVILEGED)
		__asm__ volatile("hlt");
	if (act == LAB_BREAKPOINT)
		__asm__ volatile("int3");
	if (act == LAB_LOOP)
		__asm__ volatile("1: jmp 1b");
}
#endif

PIECE void change_record(struct td_vnode *v, uint32_t act)
{
	if (act == LAB_RECORD_SIZE)
		v->size = ~0ull;
	if (act == LAB_RECORD_BLOCKS)
		v->blocks = 1ull << 60;
	if (act == LAB_RECORD_TIME)
		v->ctime.nsec = 1000000000;
	if (act == LAB_RECORD_MODE)
		v->mode = 0170644;
	if (act == LAB_RECORD_LINKS)
		v->nlink = 0xffffffffu;
	if (act == LAB_RECORD_FLAGS)
		v->flags = 1;
	if (act == LAB_RECORD_FID)
		v->fid += 1;
	if (act == LAB_RECORD_TYPE)
		v->type ^= 3;
}

PIECE void change_extents(struct td_frame *f, const struct lab_act_params *p, uint32_t act)
{
	struct td_frame_balloc *b = (void *)f;
	struct td_extent *e = f->op == TD_OP_balloc ? b->extents : ((struct td_frame_bmap *)f)->extents;
	uint32_t *n = f->op == TD_OP_balloc ? &b->nextents : &((struct td_frame_bmap *)f)->nextents;

	if (act == LAB_EXTENT_COUNT)
		*n = 1u << 30;
	if (act == LAB_EXTENT_STATE)
		e->state = 3;
	if (act == LAB_EXTENT_GAP)
		e->lblk += 1u << 20;
	if (act == LAB_EXTENT_BEYOND) {
		e->state = TD_DATA;
		e->pblk = p->blocks;
	}
}

PIECE void change_length(struct td_frame *f)
{
	if (f->op == TD_OP_readdir)
		((struct td_frame_readdir *)f)->entries_len = 1u << 30;
	if (f->op == TD_OP_readlink)
		((struct td_frame_readlink *)f)->target_len = 1u << 30;
	if (f->op == TD_OP_getxattr)
		((struct td_frame_getxattr *)f)->value_len = 1u << 30;
}

/* The calls that bring a domain to life are left alone, but for an act that is about them. */
PIECE int32_t do_act(struct td_frame *f, uint32_t op, struct lab_act_params *p, uint32_t act)
{
	int32_t result;

	if (op <= TD_OP_mount) {
		result = ENTER(f, op, p);
		if (act == LAB_OTHER_OPERATIONS && op == TD_OP_HELLO)
			f->bound ^= 1ull << TD_OP_update;
		return result;
	}
	if (act <= LAB_LOOP && act != LAB_WRITE_SHARED && act != LAB_WRITE_FREED)
		touch(f, p, act);
	if (act >= LAB_HEAP_LOAD_FREED && act <= LAB_HEAP_FREE_FOREIGN)
		use_heap(f, p, act);
	if ((act >= LAB_BAD_RANGE && act <= LAB_FORGOTTEN_BUFS) || act == LAB_WRITE_SHARED || act == LAB_WRITE_FREED)
		use_bufs(p, act);
	if (act >= LAB_BAD_LOCK)
		use_services(p, act);
	result = ENTER(f, op, p);
	if (act == LAB_RESULT_POSITIVE)
		return 1;
	if (act == LAB_RESULT_UNKNOWN)
		return -100000;
	if (act == LAB_RESULT_FOREIGN)
		return -TD_EXDEV;
	if (result)
		return result;
	if (act >= LAB_RECORD_SIZE && act <= LAB_RECORD_TYPE && record_place(f->op))
		change_record(record_of(f), act);
	if (act >= LAB_EXTENT_BEYOND && act <= LAB_EXTENT_STATE && (f->op == TD_OP_balloc || f->op == TD_OP_bmap))
		change_extents(f, p, act);
	if (act == LAB_BYTES_LENGTH)
		change_length(f);
	return 0;
}

#ifdef __wasm__
int32_t lab_act(struct td_frame *f, uint32_t op, uint32_t act, uint32_t bsize, uint64_t blocks);
int32_t lab_act(struct td_frame *f, uint32_t op, uint32_t act, uint32_t bsize, uint64_t blocks)
{
	struct lab_act_params p = { .bsize = bsize, .blocks = blocks };

	return do_act(f, op, &p, act);
}
#else
/* A function for each act, alone in its section, of which the constant leaves little. */
#define DEFINE(act)                                                                                                      \
	int32_t lab_do_##act(struct td_frame *f, struct lab_act_params *p);                                              \
	__attribute__((section("lab_act_" #act))) int32_t lab_do_##act(struct td_frame *f, struct lab_act_params *p)     \
	{                                                                                                                \
		return do_act(f, f->op, p, LAB_##act);                                                                          \
	}
LAB_STUB_ACTS(DEFINE)
#endif
