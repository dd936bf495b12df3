/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that does all that code in a sandboxed process can try: against its own process, against the system, and
 * against the host through the memory that they share. It knows the layout of that memory as well as the host does.
 */
#include <tadan/fs.h>
#include "../../../walls/process/share.h"
#include "process_acts.h"

enum { SYS_futex = 202, SLOTS = 8, BLOCK = 3 };

static uint64_t greetings;
static const char text[] = "as it should be";
static uint32_t own_word;

static long system_call(long number, long a, long b, long c)
{
	register long r10 __asm__("r10") = 0;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

static long system_call_32(long number)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0) : "memory");
	return result;
}

static struct td__control *control(void)
{
	extern struct td__context *td__svc_context(void);
	char *frame = *(char **)td__svc_context();

	return (void *)(frame - TD__AT_FRAME);
}

static uint8_t *ring(void)
{
	return (uint8_t *)control() + TD__AT_RING;
}

/* Give the turn and wait until it is back; with `value` not the host's, for a while. */
static void give(uint32_t value)
{
	struct td__control *c = control();

	__atomic_store_n(&c->turn, value, __ATOMIC_SEQ_CST);
	system_call(SYS_futex, (long)&c->turn, 1, 1);
	for (int i = 0; i < 1000000 || value == TD__TURN_HOST; i++)
		if (__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) == TD__TURN_MODULE)
			return;
}

static void ask(uint32_t handed, uint32_t used)
{
	control()->said = td__said((enum td__handed)handed, used);
	give(TD__TURN_HOST);
}

static void message(struct td_msg m, uint32_t handed)
{
	memcpy(ring(), &m, sizeof(m));
	ask(handed, sizeof(m));
}

/* ---- Acts */

static int protect(uint64_t off)
{
	enum { SYS_mprotect = 10, PAGE = 4096 };
	long page = (long)((uintptr_t)td_alloc(100) & ~(uintptr_t)(PAGE - 1)), len = (long)(off & ~7ull);

	return system_call(SYS_mprotect, page, len ? len : PAGE, (long)(off & 7)) ? -TD_EIO : 0;
}

static int greet(uint64_t *found)
{
	struct td_buf *b;
	char *copy = td_alloc(sizeof(text));
	int err = td_bread(1, &b);

	if (err || !copy)
		return -TD_EIO;
	memcpy(copy, text, sizeof(text));
	err = td_buf_write(b, 8, copy, sizeof(text));
	if (!err && memcmp((const char *)td_buf_data(b) + 8, text, sizeof(text)))
		err = -TD_EIO;
	td_brelse(b);
	td_free(copy);
	*found = ++greetings;
	return err;
}

static int change(uint64_t value)
{
	struct td_buf *b;
	int err = td_bread(2, &b);

	if (!err)
		err = td_buf_write(b, 0, &value, sizeof(value));
	td__svc_sync();
	__builtin_trap();
	return err;
}

static int look(uint64_t blkno, uint64_t *found)
{
	struct td_buf *b;
	int err = td_bread(blkno, &b);

	if (err)
		return -TD_EIO;
	memcpy(found, td_buf_data(b), sizeof(*found));
	td_brelse(b);
	return 0;
}

__attribute__((noinline)) static int recurse(const volatile char *below)
{
	volatile char here[256];

	here[0] = below[0];
	return here[0] ? recurse(here) + here[0] : 0;
}

static int view_write(uint64_t blkno)
{
	struct td_buf *b;
	int err = td_bread(blkno, &b);

	if (!err)
		*(volatile char *)(uintptr_t)td_buf_data(b) = 'x';
	return err;
}

static int posts(int act, uint64_t off)
{
	struct td_buf *b;
	uint64_t block[512];

	if (td_bread(BLOCK, &b))
		return -TD_EIO;
	if (act == ACT_BAD_RANGE)
		return td_buf_write(b, 1 << 30, text, sizeof(text));
	if (act == ACT_SERVICE_OUT)
		return td__svc_buf_read(b->handle, 0, (void *)off, 64);
	for (uint64_t i = 0; i < off; i++) {
		if (act == ACT_MISTAKES) {
			td__svc_unlock(200);
			continue;
		}
		for (int k = 0; k < 512; k++)
			block[k] = i;
		td_buf_write(b, 0, block, sizeof(block));
	}
	td_brelse(b);
	return 0;
}

static uint64_t random_word(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void garbage(uint8_t *at, uint64_t size, uint64_t *seed)
{
	for (uint64_t i = 0; i + 8 <= size; i += 8)
		*(volatile uint64_t *)(at + i) = random_word(seed);
}

static int garbage_everywhere(int act, uint64_t seed)
{
	uint8_t *mine = (uint8_t *)control(), *first = mine - (uint64_t)td_slot() * TD__SLOT_SIZE;

	seed = seed * 2 + 1;
	if (act == ACT_GARBAGE) {
		garbage(mine + sizeof(struct td__control), TD__SLOT_SIZE - sizeof(struct td__control), &seed);
		control()->said = (uint32_t)random_word(&seed);
		return 0;
	}
	for (int i = 0; act == ACT_OTHER_SLOTS && i < SLOTS; i++)
		if (first + (uint64_t)i * TD__SLOT_SIZE != mine)
			garbage(first + (uint64_t)i * TD__SLOT_SIZE, TD__SLOT_SIZE, &seed);
	for (int i = 0; act == ACT_GARBAGE_ASK && i < 100; i++) {
		garbage(ring(), 1024, &seed);
		*(uint32_t *)ring() = (uint32_t)random_word(&seed) % 20;
		((uint32_t *)ring())[1] = (uint32_t)random_word(&seed) % 64;
		ask(TD__HANDED_FLUSH + (uint32_t)random_word(&seed) % 2, (uint32_t)random_word(&seed) % 1024);
	}
	return 0;
}

static int against_host(int act, uint64_t off)
{
	uint32_t n = (uint32_t)off;

	switch (act) {
	case ACT_TURN: give(n); return 0;
	case ACT_HANDED: ask(n, 0); return 0;
	case ACT_USED: ask(TD__HANDED_ASK, n); return 0;
	case ACT_LENGTH: message((struct td_msg){ .service = TD_SVC_log, .len = n }, TD__HANDED_ASK); return 0;
	case ACT_SERVICE: message((struct td_msg){ .service = n }, TD__HANDED_FLUSH); return 0;
	case ACT_WANT: message((struct td_msg){ .service = TD_SVC_buf_read, .want = n, .a = { 256 } }, TD__HANDED_ASK); return 0;
	case ACT_EVIDENCE:
		memset(&control()->evidence, (int)n, sizeof(control()->evidence));
		ask(TD__HANDED_FAULT, 0);
		return 0;
	case ACT_ASK_FOR_EVER:
		for (;;)
			message((struct td_msg){ .service = TD_SVC_sync }, TD__HANDED_ASK);
	default: return garbage_everywhere(act, off);
	}
}

static int processor(int act, uint64_t off, uint64_t *found)
{
	switch (act) {
	case ACT_TRAP: __builtin_trap();
	case ACT_DIVIDE:
		__asm__ volatile("xor %%edx, %%edx\n\tmov $7, %%eax\n\tdiv %1" : "=&a"(*found) : "r"(off) : "rdx");
		return 0;
	case ACT_PRIVILEGED: __asm__ volatile("hlt"); return 0;
	case ACT_SET_FS: __asm__ volatile("wrfsbase %0\n\tud2" : : "r"(off) : "memory"); return 0;
	case ACT_LOST_STACK: __asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(off) : "memory"); return 0;
	case ACT_OTHER_LANE:
		__asm__ volatile("mov %%rsp, %%rbx\n\tsub $0x80000, %%rsp\n\tcall *%0\n\tmov %%rbx, %%rsp"
				 :
				 : "r"(td__svc_sync)
				 : "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
		return 0;
	default: return against_host(act, off);
	}
}

static int seek(struct td_vnode *v, uint64_t off, uint32_t act, uint64_t *found)
{
	(void)v;
	switch (act) {
	case ACT_NOTHING: *found = off + 1; return 0;
	case ACT_GREET: return greet(found);
	case ACT_CHANGE: return change(off);
	case ACT_LOOK: return look(off, found);
	case ACT_READ: *found = *(volatile uint8_t *)off; return 0;
	case ACT_WRITE: *(volatile uint8_t *)off = 'x'; return 0;
	case ACT_CALL: ((void (*)(void))off)(); return 0;
	case ACT_OVERFLOW: return recurse(text);
	case ACT_LOOP:
		for (;;)
			__asm__ volatile("");
	case ACT_LOOP_SERVICES:
		for (;;)
			td__svc_sync();
	case ACT_VIEW_WRITE: return view_write(off);
	case ACT_SYSCALL: *found = (uint64_t)system_call((long)off, 0, 0, 0); return 0;
	case ACT_SYSCALL_32: *found = (uint64_t)system_call_32((long)off); return 0;
	case ACT_PROTECT: return protect(off);
	case ACT_FUTEX: *found = (uint64_t)system_call(SYS_futex, (long)&own_word, (long)off, 1); return 0;
	case ACT_BAD_RANGE:
	case ACT_MISTAKES:
	case ACT_MANY_POSTS:
	case ACT_SERVICE_OUT: return posts((int)act, off);
	default: return processor((int)act, off, found);
	}
}

static int mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)format;
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1 << 30, .blocks = dev->blocks, .bsize = dev->bsize,
				    .namemax = 255, .maxlink = 100, .files = 10 };
	return 0;
}

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	v->fid = fid;
	return td_vnode_init(v, TD_DIR, 0755, 0);
}

TD_FS_MODULE(process_acts, 1, .mount = mount, .getvnode = getvnode, .seek = seek);
