/* SPDX-License-Identifier: BSD-2-Clause */
/* See builtin.h. Of a wall there is left what td_mount() wants: one that starts nothing. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fs_services.h>
#include "../../core/fs.h"
#include "../../core/journal.h"
#include "../../sdk/runtime/runtime.h"
#include "../../walls/walls.h"
#include "builtin.h"

extern const struct td_module_info td_module_info;

/* ---- A number for each thread: what a slot is elsewhere */

struct self {
	struct td__call *call;
	struct td__context context;
	struct td_frame frame;
	uint32_t number;
	uint32_t has;
};

static __thread struct self self;
static uint64_t numbers; /* bit n: taken */
static pthread_key_t ending;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_number(void *s)
{
	__atomic_and_fetch(&numbers, ~(1ull << ((struct self *)s)->number), __ATOMIC_RELEASE);
}

static void make_key(void)
{
	if (pthread_key_create(&ending, give_number))
		abort();
}

static void take_number(void)
{
	uint64_t old = __atomic_load_n(&numbers, __ATOMIC_RELAXED), bit;

	pthread_once(&once, make_key);
	do {
		bit = ~old & (old + 1);
		if (!bit || bit >> TD__SLOTS) {
			fprintf(stderr, "a built-in module serves %d threads at most\n", TD__SLOTS);
			abort();
		}
	} while (!__atomic_compare_exchange_n(&numbers, &old, old | bit, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	self.number = (uint32_t)__builtin_ctzll(bit);
	self.has = 1;
	pthread_setspecific(ending, &self);
}

/* ---- Calls */

struct td__call *td__builtin_begin(struct td__fs *fs, uint32_t op)
{
	struct td__call *c;

	if (__builtin_expect(!self.has, 0))
		take_number();
	c = &fs->calls[self.number];
	self.call = c;
	self.frame.op = c->op = op;
	self.frame.slot = self.number;
	self.context.frame = &self.frame;
	self.context.bsize = fs->device->bsize;
	for (uint32_t i = 0; i < self.context.top; i++)
		self.context.bufs[i] = (struct td_buf){ 0 };
	self.context.top = self.context.tags = self.context.mbufs = self.context.mbuf_uses = 0;
	c->domain = fs->domain;
	c->open_top = c->mistakes = c->nvnodes = 0;
	c->discarded = 0;
	c->uio = 0;
	if (fs->net.has_server) {
		c->mbuf_uses = c->left_messages = 0;
		c->tag = self.frame.tag = td__net_tags(&fs->net);
	}
	return c;
}

void td__builtin_changed(struct td__call *c, struct td__vnode *v, int err)
{
	if (!v || err)
		return;
	td__vnode_believe(v, c->fs->info.attr_ms);
	if (!v->rec.nlink)
		td__vnode_nameless(v);
}

int td__builtin_end(struct td__call *c, int err)
{
	if (c->journal.used) { /* references that it keeps or gives back */
		if (!err)
			td__journal_commit(c);
		c->journal.used = c->journal.last = c->journal.entries = 0;
	}
	td__locks_give_all(c);
	if (c->fs->net.has_server) {
		td__mbufs_close_all(c);
		if (c->left_messages)
			td__net_call_over(&c->fs->net, c->tag);
	}
	return err;
}

/* ---- Services, and what the runtime asks for */

#define UNWRAP(...) __VA_OPT__(, ) __VA_ARGS__
#define SERVE(name, params, args, ...)                         \
	int td__svc_##name params                              \
	{                                                      \
		return td__svc_do_##name(self.call UNWRAP args); \
	}
TD__SERVICES_TYPED(SERVE)

struct td__context *td__svc_context(void)
{
	return &self.context;
}

/* In place of the runtime's, which has the time from the frame. */
void td_now(int64_t *sec, uint32_t *nsec)
{
	td__port_now(sec, nsec);
}

/* ---- A mount */

static int builtin_available(char *why, size_t size)
{
	(void)why, (void)size;
	return 0;
}

static int builtin_start(struct td__domain *d, char *why, size_t size)
{
	size_t heap = d->level.memory;
	char *p = calloc(1, heap + TD__SLOTS * sizeof(struct td_frame_hello));

	if (!p) {
		snprintf(why, size, "not enough memory");
		return -ENOMEM;
	}
	d->private = p;
	d->nslots = TD__SLOTS;
	for (uint32_t i = 0; i < TD__SLOTS; i++)
		d->slots[i].frame = (void *)(p + heap + i * sizeof(struct td_frame_hello));
	return 0;
}

/* Only the first call of a domain comes this way: the one that is the runtime's own. */
static int builtin_enter(struct td__call *c)
{
	struct td_frame_hello *f = (void *)c->frame;

	f->h.heap_at = (char *)c->domain->private - (char *)f;
	f->heap_size = c->domain->level.memory;
	c->result = td__run(c->frame, TD_OP_HELLO, &td__ops);
	return TD__RETURNED;
}

static void builtin_stop(struct td__domain *d)
{
	free(d->private);
}

static const struct td__wall wall = {
	.name = "none",
	.kind = TD_WALL_NONE,
	.available = builtin_available,
	.start = builtin_start,
	.enter = builtin_enter,
	.stop = builtin_stop,
};

const struct td__wall *const td__walls[TD_WALL_KINDS] = { [TD_WALL_NONE] = &wall };

int td__module_open(const char *name, struct td__module **out, char *why, size_t size)
{
	struct td__module *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (strcmp(name, td_module_info.name)) {
		free(m);
		snprintf(why, size, "only '%s' is built into this program", td_module_info.name);
		return -ENOENT;
	}
	m->info = td_module_info;
	*out = m;
	return 0;
}

void td__module_close(struct td__module *m)
{
	free(m);
}

void td__module_line(const struct td__module *m, uint32_t wall, uint64_t address, char *text, size_t size)
{
	(void)m, (void)wall;
	snprintf(text, size, "0x%llx", (unsigned long long)address);
}
