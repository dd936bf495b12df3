/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that misbehaves in every way that the walls of one address space meet. Test modules
 * may use assembly: the compiler would not write these by itself.
 */
#include <tadan/fs.h>
#include "inside_acts.h"

static int greetings;
static const char text[] = "as it should be";

static int greet(uint64_t *found)
{
	struct td_buf *b;
	char *copy = td_alloc(sizeof(text));
	int err = td_bread(1, &b);

	if (err || !copy)
		return err ? err : -TD_ENOMEM;
	memcpy(copy, text, sizeof(text));
	err = td_buf_write(b, 8, copy, sizeof(text));
	if (!err && memcmp((const char *)td_buf_data(b) + 8, text, sizeof(text)))
		err = -TD_EIO;
	td_brelse(b);
	td_free(copy);
	*found = (uint64_t)++greetings;
	return err;
}

__attribute__((noinline)) static int recurse(const volatile char *below, int service)
{
	volatile char here[256];

	here[0] = below[0];
	if (!here[0])
		return 0;
	if (service)
		td_log(7, "deeper");
	return recurse(here, service) + here[0];
}

static int services(int act, uint64_t off)
{
	struct td_buf *b;
	int err = td_bread(2, &b);

	if (err)
		return err;
	switch (act) {
	case ACT_OUT_OF_BLOCK: return td_buf_write(b, 1 << 30, text, sizeof(text));
	case ACT_SERVICE_OUT: return td__svc_buf_read(b->handle, 0, (void *)off, 64);
	default: return td__svc_buf_write(b->handle, 0, (const void *)off, 64);
	}
}

static int view_write(uint64_t blkno)
{
	struct td_buf *b;
	int err = td_bread(blkno, &b);

	if (!err)
		*(volatile char *)(uintptr_t)td_buf_data(b) = 'x';
	return err;
}

static int processor(int act, uint64_t off, uint64_t *found)
{
	switch (act) {
	case ACT_TRAP: __builtin_trap();
	case ACT_BREAKPOINT: __asm__ volatile("int3"); return 0;
	case ACT_DIVIDE:
		__asm__ volatile("xor %%edx, %%edx\n\tmov $7, %%eax\n\tdiv %1"
				 : "=&a"(*found)
				 : "r"(off)
				 : "rdx");
		return 0;
	case ACT_PRIVILEGED: __asm__ volatile("hlt"); return 0;
	case ACT_UNALIGNED:
		__asm__ volatile("movaps %%xmm0, (%0)" : : "r"(off) : "memory");
		return 0;
	case ACT_LOST_STACK:
		__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(off) : "memory");
		return 0;
	case ACT_OTHER_STATE: {
		uint32_t rounding = 0x7f80;

		__asm__ volatile("ldmxcsr %0\n\tfldz\n\tfldz\n\tstd\n\tmovb $1, (%1)"
				 :
				 : "m"(rounding), "r"(0ul)
				 : "memory");
		return 0;
	}
	case ACT_JUMP:
		__asm__ volatile("call 1f\n1:\tpop %%rax\n\tjmp *%0"
				 :
				 : "r"(off)
				 : "rax", "memory");
		return 0;
	default: return -TD_EINVAL;
	}
}

static int seek(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found);

static uint64_t where(uint64_t what)
{
	switch (what) {
	case 0: return (uintptr_t)&greetings;
	case 1: return (uintptr_t)seek;
	case 2: return (uintptr_t)td_alloc(64);
	default: return (uintptr_t)__builtin_frame_address(0);
	}
}

static int seek(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found)
{
	switch (act) {
	case ACT_NOTHING: *found = off + 1; return 0;
	case ACT_GREET: return greet(found);
	case ACT_WHERE: *found = where(off); return 0;
	case ACT_READ: *found = *(volatile uint8_t *)off; return 0;
	case ACT_WRITE: *(volatile uint8_t *)off = 'x'; return 0;
	case ACT_CALL: ((void (*)(void))off)(); return 0;
	case ACT_OVERFLOW: return recurse(text, 0);
	case ACT_OVERFLOW_IN_SERVICE: return recurse(text, 1);
	case ACT_LOOP:
		for (;;)
			__asm__ volatile("");
	case ACT_LOOP_SERVICES:
		for (;;)
			td_log(7, "again");
	case ACT_OUT_OF_BLOCK:
	case ACT_SERVICE_OUT:
	case ACT_SERVICE_IN: return services((int)act, off);
	case ACT_VIEW_WRITE: return view_write(off);
	case ACT_OPEN_KEYS:
		__asm__ volatile(
			"xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tcall *%0"
			:
			: "r"(off)
			: "rax", "rcx", "rdx", "memory");
		*(volatile char *)(uintptr_t)v->fid = 'x';
		return 0;
	default: return processor((int)act, off, found);
	}
}

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)dev;
	(void)format;
	(void)info;
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	(void)fid;
	return td_vnode_init(v, TD_DIR, 0755, 0);
}

TD_FS_MODULE(acts, 0, .mount = mount, .getvnode = getvnode, .seek = seek);
