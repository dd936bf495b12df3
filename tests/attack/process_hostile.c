/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A runner that is the host's enemy, in place of tadan-runner: it has what a module's process has, and nothing holds it back.
 *
 * The size of the heap that the host asks for is the seed, so a run can be made again. Until `polite` calls have been
 * answered it answers well, so that the host gets somewhere; from then on it does what its manner says:
 *
 *   SCRIBBLE  two threads write random numbers into all that is shared, all the time
 *   MESSAGES  answers with rings that are almost right
 *   RACE      the same, while another thread changes the ring, the frame and the control words
 *   EVIDENCE  reports faults that nobody had
 *   RESULTS   returns from every call, with frames full of random numbers
 *   FLICKER   gives and takes the turn as fast as it can
 *   DIE       ends in the middle
 *   SULK      never says that it is ready, or says so in odd words
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tadan/fs_if.h>
#include "../../walls/process/share.h"

enum manner { SCRIBBLE, MESSAGES, RACE, EVIDENCE, RESULTS, FLICKER, DIE, SULK, MANNERS };

static struct td__share *share;
static uint64_t size, seed;
static uint32_t slots, polite;
static enum manner manner;

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(next(state) >> 16) % n;
}

static void fill(volatile uint8_t *at, size_t len, uint64_t *state)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(next(state) >> 24);
}

static void give(struct td__control *c, uint32_t handed, uint32_t used)
{
	td__turn_give(c, TD__TURN_HOST, td__said((enum td__handed)handed, used));
	syscall(SYS_futex, &c->turn, FUTEX_WAKE, 1, 0, 0, 0);
}

/* ---- Good answers */

static void answer_well(struct td__control *c)
{
	struct td_frame *f = (void *)((char *)c + TD__AT_FRAME);

	f->error = 0;
	if (f->op == TD_OP_HELLO) {
		f->bound = ~0ull;
	} else if (f->op == TD_OP_mount || f->op == TD_OP_statfs) {
		struct td_fsinfo info = { .root = 1, .maxsize = 1 << 30, .blocks = 16, .files = 9, .bsize = 4096,
					  .namemax = 255, .maxlink = 100 };

		memcpy(f->op == TD_OP_mount ? &((struct td_frame_mount *)f)->info : &((struct td_frame_statfs *)f)->info,
		       &info, sizeof(info));
	} else if (f->op == TD_OP_getvnode) {
		struct td_vnode *v = &((struct td_frame_getvnode *)f)->v;

		v->fid = ((struct td_frame_getvnode *)f)->fid;
		v->type = v->fid == 1 ? TD_DIR : TD_REG;
		v->mode = 0755;
		v->nlink = 2;
	} else if (f->op == TD_OP_lookup) {
		((struct td_frame_lookup *)f)->fid = 2;
	}
	c->seen = c->said;
	give(c, TD__HANDED_RETURN, 0);
}

/* ---- Bad ones */

/* Numbers at which something may break. */
static uint64_t edge(uint64_t *s)
{
	static const uint64_t edges[] = { 0, 1, 47, 48, 255, 256, 257, 4095, 4096, 65535, 65536, TD__RING - 48, TD__RING,
					  0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 1ull << 32, 1ull << 52, 1ull << 63, ~0ull };

	return below(s, 3) ? edges[below(s, sizeof(edges) / sizeof(edges[0]))] : next(s) >> below(s, 64);
}

/* Messages that are right but for some number. Returns the ring's length. */
static uint32_t almost(uint8_t *ring, uint64_t *s)
{
	uint32_t used = 0, n = 1 + below(s, 12), opened = 0;

	while (n-- && used < TD__RING - 8192) {
		struct td_msg m = { .service = 1 + below(s, TD_SVC_MAX), .len = 0 };

		if (!below(s, 4))
			m.service = TD_SVC_bread;
		for (int i = 0; i < 4; i++)
			m.a[i] = below(s, 2) ? below(s, 8) : edge(s);
		if (m.service == TD_SVC_bread) {
			m.a[0] = opened | 256;
			opened += below(s, 2);
			m.a[1] = below(s, 300);
			m.a[2] = below(s, 2);
		} else if (m.service >= TD_SVC_brelse && m.service <= TD_SVC_buf_move) {
			m.a[0] = below(s, opened + 1) | 256;
		}
		if (m.service == TD_SVC_buf_write || m.service == TD_SVC_uio_write || m.service == TD_SVC_log)
			m.len = below(s, 4096);
		if (m.service == TD_SVC_buf_read || m.service == TD_SVC_uio_read)
			m.want = below(s, 2) ? below(s, 4097) : (uint32_t)edge(s);
		if (!below(s, 10))
			m.len = (uint32_t)edge(s);
		m.pad = below(s, 3);
		memcpy(ring + used, &m, sizeof(m));
		used += (uint32_t)sizeof(m) + (m.len > 4096 ? 0 : (m.len + 7) & ~7u);
	}
	return below(s, 10) ? used : (uint32_t)edge(s);
}

static void answer_badly(struct td__control *c, uint64_t *s)
{
	struct td_frame *f = (void *)((char *)c + TD__AT_FRAME);
	uint8_t *ring = (uint8_t *)c + TD__AT_RING;

	switch (manner) {
	case EVIDENCE:
		fill((uint8_t *)&c->evidence, sizeof(c->evidence), s);
		c->evidence.signal = 4 + (int32_t)below(s, 30);
		c->evidence.lay = below(s, 20);
		give(c, TD__HANDED_FAULT, 0);
		break;
	case RESULTS:
		if (below(s, 2))
			fill((uint8_t *)f + sizeof(*f), TD_FRAME_SIZE - sizeof(*f), s);
		else
			((uint8_t *)f)[sizeof(*f) + below(s, 1024)] = (uint8_t)next(s);
		fill((uint8_t *)c + TD__AT_WINDOW, 512, s);
		f->error = below(s, 4) ? 0 : below(s, 2) ? -(int32_t)below(s, 140) : (int32_t)edge(s);
		give(c, TD__HANDED_RETURN, 0);
		break;
	case DIE:
		if (!below(s, 4))
			_exit((int)below(s, 256));
		answer_well(c);
		break;
	default:
		c->seen = c->said;
		give(c, below(s, 10) ? 1 + below(s, 3) : (uint32_t)edge(s), almost(ring, s));
	}
}

static void serve(uint64_t *s)
{
	for (uint32_t i = 0;; i = (i + 1) % slots) {
		struct td__control *c = td__share_control(share, i);

		if (!(__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) & 1))
			continue;
		if (polite) {
			polite--;
			answer_well(c);
		} else {
			answer_badly(c, s);
		}
	}
}

/* Change what the host may be reading, here and there. */
static void *meddle(void *arg)
{
	uint64_t s = seed ^ (uintptr_t)arg;

	while (polite)
		sched_yield();
	for (;;) {
		uint8_t *slot = (uint8_t *)td__share_control(share, below(&s, slots));
		static const uint32_t places[] = { 0, 64, 128, TD__AT_FRAME, TD__AT_FRAME + 48, TD__AT_WINDOW, TD__AT_RING, TD__AT_RING };
		uint32_t place = places[below(&s, 8)] + below(&s, 64);

		if (manner == SCRIBBLE)
			place = below(&s, TD__SLOT_SIZE);
		if (manner == SCRIBBLE && !below(&s, 4096))
			fill((uint8_t *)share, TD__PAGE, &s);
		if (manner == FLICKER)
			*(volatile uint32_t *)slot = below(&s, 4);
		else
			slot[place] = (uint8_t)(next(&s) >> 24);
	}
	return arg;
}

static void sulk(uint64_t *s)
{
	fill((uint8_t *)share->why, sizeof(share->why), s);
	share->error = (int32_t)edge(s);
	switch (below(s, 4)) {
	case 0: _exit(0);
	case 1: share->state = TD__RUNNER_FAILED; break;
	case 2: share->state = 0x12345678; break;
	default: raise(SIGSEGV);
	}
	pause();
}

int main(void)
{
	struct timespec ms = { 0, 1000000 };
	struct stat st;
	pthread_t thread;

	if (fstat(TD__FD_SHARE, &st) < 0)
		return 1;
	size = (uint64_t)st.st_size;
	share = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, TD__FD_SHARE, 0);
	if (share == MAP_FAILED)
		return 1;
	seed = (share->heap_size >> 12) * 0x9e3779b97f4a7c15ull | 1;
	for (int i = 0; i < 8; i++)
		next(&seed);
	manner = (share->heap_size >> 12) % MANNERS;
	slots = share->nslots;
	polite = 3 + below(&seed, 12);
	if (manner == SULK)
		sulk(&seed);
	for (uint32_t i = 0; i < slots; i++)
		td__share_control(share, i)->thread = manner == RESULTS ? 1 : (int32_t)below(&seed, 100);
	if (manner == SCRIBBLE || manner == RACE || manner == FLICKER) {
		pthread_create(&thread, 0, meddle, (void *)1);
		if (manner == SCRIBBLE)
			pthread_create(&thread, 0, meddle, (void *)2);
	}
	__atomic_store_n(&share->state, TD__RUNNER_READY, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &share->state, FUTEX_WAKE, 1, 0, 0, 0);
	nanosleep(&ms, 0);
	serve(&seed);
}
