/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what a module's process can send: any bytes as a ring of messages or as the evidence of a fault, through the gate's own
 * code and the kernel's services.
 *
 * The first byte says what the rest is. After a ring the call is undone, and then the device must be as it was, and no lock
 * held: so the fuzzer also looks for ways around the journal. Or it is committed.
 *
 * clang -fsanitize=fuzzer,address,undefined, with the core, the port and report.c.
 */
#include "../walls/process/gate.c"
#include "../core/fs.h"
#include "../core/journal.h"

#include <stdlib.h>

enum { BLOCKS = 4, BSIZE = 4096, UIO = 2048 };

static struct td__fs fs;
static struct td__domain domain;
static struct td__module module = { .info = { .name = "fuzz" } };
static struct td__call *call;
static struct td__process process;
static const struct td__wall wall = { .where = td__process_where };
static uint8_t users[UIO];

static void check(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static uint8_t slot[TD__SLOT_SIZE] __attribute__((aligned(4096)));
	static uint8_t messages[TD__RING] __attribute__((aligned(8)));
	static uint8_t frame[TD_FRAME_SIZE] __attribute__((aligned(64)));
	struct td__seat *s = &process.seats[0];

	(void)argc, (void)argv;
	check(!td__device_create(BLOCKS, BSIZE, 0, TD_DEV_ZEROED, &fs.device));
	td__locks_init(&fs.locks);
	check(!td__vnodes_init(&fs));
	fs.module = domain.module = &module;
	fs.domain = &domain;
	domain.fs = &fs;
	domain.device = fs.device;
	domain.level = (struct td_level){ .wall = TD_WALL_PROCESS, .check = TD_CHECK_DEEP, .journal = TD_JOURNAL_ALL, .handles = 8 };
	fs.calls = calloc(TD__SLOTS, sizeof(*fs.calls));
	fs.mistakes = calloc(TD_MISTAKES_KEPT, sizeof(*fs.mistakes));
	check(fs.calls && fs.mistakes);
	td__mutex_init(&fs.faults_mutex);
	domain.wall = &wall;
	domain.private = &process;
	call = &fs.calls[0];
	call->fs = &fs;
	call->domain = &domain;
	call->frame = (void *)frame;
	process.nslots = 1;
	s->control = (void *)slot;
	s->ring = slot + TD__AT_RING;
	s->messages = messages;
	return 0;
}

static void begin(uint32_t op)
{
	static struct td__uio uio;

	call->op = op;
	call->doomed = call->aborted = call->died = 0;
	call->nvnodes = call->open_top = call->mistakes = 0;
	uio = (struct td__uio){ .data = users, .len = sizeof(users) };
	call->uio = &uio;
	memset(&call->fault, 0, sizeof(call->fault));
}

static void look(void)
{
	const uint8_t *data = fs.device->data.base;

	for (size_t i = 0; i < BLOCKS * BSIZE; i++)
		check(!data[i]);
	for (uint32_t i = 0; i < TD_LOCK_MAX; i++)
		check(!fs.locks.word[i]);
}

static void ring(uint32_t handed, int commits, const uint8_t *data, size_t size)
{
	struct td__seat *s = &process.seats[0];
	struct batch b;

	size = size > TD__RING ? TD__RING : size;
	memcpy(s->ring, data, size);
	serve(call, s, handed, (uint32_t)size, &b);
	check(!call->fault.kind || call->doomed);
	if (commits && !call->fault.kind) {
		td__journal_commit(call);
		memset(fs.device->data.base, 0, BLOCKS * BSIZE);
	}
	td__journal_undo(call, 0);
	td__locks_give_all(call);
	look();
}

static void evidence(const uint8_t *data, size_t size)
{
	struct td__control *c = process.seats[0].control;

	memset(&c->evidence, 0, sizeof(c->evidence));
	memcpy(&c->evidence, data, size < sizeof(c->evidence) ? size : sizeof(c->evidence));
	td__process_report(call, c);
	check(call->fault.kind && call->fault.kind < TD_FAULT_KINDS && call->fault.nframes <= TD_FAULT_FRAMES);
	check(memchr(call->fault.lay, 0, sizeof(call->fault.lay)) && memchr(call->fault.detail, 0, sizeof(call->fault.detail)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	begin(data[0] & 4 ? TD_OP_read : TD_OP_write);
	if ((data[0] & 3) == 3)
		evidence(data + 1, size - 1);
	else
		ring(TD__HANDED_RETURN + (data[0] & 3), data[0] & 8, data + 1, size - 1);
	return 0;
}
