/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tadan-runner: the program of a module's process. See runner.h for its memory and share.h for what it
 * shares with the host.
 *
 *   map what was passed on -> leave the system -> load the module -> make the threads -> limit, seal -> READY
 *
 * Not for people: the host starts it with the descriptors that it expects, and it says what went wrong in the
 * header that they share.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

struct td__runner td__runner;

__attribute__((noreturn)) static void fail(int error, const char *what)
{
	struct td__share *share = td__runner.share;

	share->error = -error;
	if (what)
		snprintf(share->why, sizeof(share->why), "the module's process cannot %s: %s", what, strerror(error));
	__atomic_store_n(&share->state, TD__RUNNER_FAILED, __ATOMIC_SEQ_CST);
	td__wake(&share->state);
	_exit(1);
}

static void *map(int fd, uint64_t size, int prot, const char *what)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	void *p = mmap(0, size, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		fail(errno, what);
	return p;
}

/* Allocations are opened and closed in it by the only change of memory that the filter lets through: see sandbox.c. */
static void map_area(struct td__runner *r)
{
	uintptr_t align = 2 * (uintptr_t)TD_HEAP_AREA;

	r->area = (uint8_t *)(((uintptr_t)map(-1, 2 * align, PROT_NONE, "have a heap of this size") + align - 1) & ~(align - 1));
}

static void map_all(void)
{
	struct td__runner *r = &td__runner;
	int prot = r->set.writable ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t room = ((uint64_t)r->set.nslots + 1) * TD__LANE;
	uint8_t *p;

	if (r->set.data_size)
		r->data = map(TD__FD_DATA, r->set.data_size, prot, "map the device");
	if (r->set.state_size)
		r->state = map(TD__FD_STATE, r->set.state_size, PROT_READ, "map the device's state");
	if (r->set.changes_size)
		r->changes = map(TD__FD_CHANGES, r->set.changes_size, PROT_READ, "map the counts of changes");
	r->heap = map(-1, r->set.heap_size, PROT_READ | PROT_WRITE, "have a heap of this size");
	if (r->set.area)
		map_area(r);
	r->lanes = map(-1, r->set.nslots * sizeof(*r->lanes), PROT_READ | PROT_WRITE, "have memory");
	p = map(-1, room, PROT_NONE, "have stacks");
	r->stacks = (uint8_t *)(((uintptr_t)p + TD__LANE - 1) & ~(uintptr_t)(TD__LANE - 1));
	for (uint32_t i = 0; i < r->set.nslots; i++) {
		p = r->stacks + (size_t)i * TD__LANE;
		if (mprotect(p + TD__LANE_SIGNALS, TD__LANE_GUARD - TD__LANE_SIGNALS, PROT_READ | PROT_WRITE) < 0 ||
		    mprotect(p + TD__LANE_STACK, TD__LANE - TD__LANE_STACK, PROT_READ | PROT_WRITE) < 0)
			fail(errno, "have stacks");
	}
}

static void load_module(void)
{
	struct td__runner *r = &td__runner;
	struct td__import imports[128];
	char why[TD__ELF_WHY - 32];
	size_t align, span;
	uint8_t *p;
	int err;

	err = td__elf_open_bytes((char *)r->share + r->set.module_at, r->set.module_size, &r->elf, why, sizeof(why));
	if (!err) {
		align = td__elf_align(r->elf);
		span = td__elf_span(r->elf);
		p = map(-1, span + align, PROT_NONE, "place the module");
		r->base = (uint8_t *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
		err = td__elf_map(r->elf, r->base, imports, td__runner_imports(imports, 128), why, sizeof(why));
	}
	if (err) {
		snprintf(r->share->why, sizeof(r->share->why), "the module file %s", why);
		fail(-err, 0);
	}
	r->enter = (int32_t(*)(struct td_frame *))(uintptr_t)td__elf_symbol(r->elf, r->base, "td__enter", 0);
	if (!r->enter)
		fail(ENOEXEC, "call the module: it exports no td__enter");
}

static int serve(void *arg)
{
	struct td__lane *l = arg;
	struct td__control *c = l->control;
	int32_t error;

	if (td__traps_attach((uint32_t)(l - td__runner.lanes)))
		return 1;
	__atomic_add_fetch(&td__runner.attached, 1, __ATOMIC_SEQ_CST);
	td__wake(&td__runner.attached);
	for (;;) {
		c->seen = td__await_turn(c);
		l->used = 0;
		if (l->frame->op == TD_OP_HELLO) {
			l->frame->heap_at = td__runner.heap - (uint8_t *)l->frame;
			((struct td_frame_hello *)l->frame)->heap_size = td__runner.set.heap_size;
			((struct td_frame_hello *)l->frame)->area_at = td__runner.area ? td__runner.area - (uint8_t *)l->frame : 0;
		}
		error = td__runner.enter(l->frame);
		if (l->frame->error != error) /* a line that is not written stays with the host as well */
			l->frame->error = error;
		td__hand_over(c, l->used, TD__HANDED_RETURN);
	}
	return 0;
}

static void make_threads(void)
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			  CLONE_PARENT_SETTID;
	struct td__runner *r = &td__runner;
	uint32_t attached;

	if (td__traps_install() < 0)
		fail(errno, "catch signals");
	for (uint32_t i = 0; i < r->set.nslots; i++) {
		struct td__lane *l = &r->lanes[i];

		l->control = td__share_control(r->share, i);
		l->frame = (void *)((char *)l->control + TD__AT_FRAME);
		l->ring = (uint8_t *)l->control + TD__AT_RING;
		if (clone(serve, r->stacks + (size_t)(i + 1) * TD__LANE, flags, l, &l->control->thread) < 0)
			fail(errno, "have threads");
	}
	while ((attached = __atomic_load_n(&r->attached, __ATOMIC_ACQUIRE)) < r->set.nslots)
		td__sleep_on(&r->attached, attached);
}

static void open_share(void)
{
	struct td__runner *r = &td__runner;
	struct stat st;

	if (fstat(TD__FD_SHARE, &st) < 0 || st.st_size < TD__PAGE) {
		static const char text[] = "tadan-runner runs modules behind the process wall; `tadan mount` starts it.\n";

		_exit(write(2, text, sizeof(text) - 1) < 0 ? 3 : 2);
	}
	r->share = mmap(0, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, TD__FD_SHARE, 0);
	if (r->share == MAP_FAILED)
		_exit(3);
	r->set = *r->share;
	if (r->set.version != TD__SHARE_VERSION)
		fail(EPROTO, "serve this version of Tadan: install host and runner of one build");
	if (!r->set.nslots || r->set.nslots > TD__RUNNER_SLOTS)
		fail(EINVAL, "serve so many calls");
}

int main(int argc, char **argv)
{
	const char *what = "start";
	uint32_t *yield;
	int err;

	if (argc > 1)
		prctl(PR_SET_NAME, argv[1]);
	open_share();
	map_all();
	err = td__sandbox_leave(&td__runner.set, &td__runner.share->left_out, &what);
	if (err)
		fail(-err, what);
	load_module();
	yield = td__elf_symbol(td__runner.elf, td__runner.base, "td_module_yield", 0);
	td__runner.yielder = (uintptr_t)td__elf_symbol(td__runner.elf, td__runner.base, "td_module_yielder",
						       &td__runner.yielder_size);
	make_threads();
	err = td__sandbox_limit(&what);
	if (!err)
		err = td__sandbox_seal(td__runner.area, &what);
	if (err)
		fail(-err, what);
	__atomic_store_n(&td__runner.share->state, TD__RUNNER_READY, __ATOMIC_SEQ_CST);
	td__wake(&td__runner.share->state);
	while (!__atomic_load_n(&td__runner.share->yield, __ATOMIC_ACQUIRE))
		td__sleep_on(&td__runner.share->yield, 0);
	if (yield)
		__atomic_store_n(yield, 1, __ATOMIC_RELEASE);
	for (;;)
		td__sleep_on(&td__runner.share->state, TD__RUNNER_READY);
}
