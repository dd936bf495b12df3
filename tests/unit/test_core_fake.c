/* SPDX-License-Identifier: BSD-2-Clause */
/* The wall behind which a test plays the module: see test_core_fake.h. */
#include "test_core_fake.h"

fake_op fake_ops[TD_OP_MAX];

static struct {
	struct td_frame frame;
	uint8_t rest[TD_FRAME_SIZE - sizeof(struct td_frame)];
	uint8_t window[TD_WINDOW];
} calls[TD__SLOTS];

static int hello(struct td__call *c)
{
	c->frame->bound = 1ull << TD_OP_mount | 1ull << TD_OP_getvnode;
	for (uint32_t op = 1; op < TD_OP_MAX; op++)
		if (fake_ops[op])
			c->frame->bound |= 1ull << op;
	return 0;
}

static int mount(struct td__call *c)
{
	struct td_frame_mount *f = (void *)c->frame;

	f->info = (struct td_fsinfo){ .root = 1, .maxsize = 1ull << 40, .blocks = 64, .bsize = 4096, .namemax = 255, .maxlink = 100 };
	return 0;
}

static int getvnode(struct td__call *c)
{
	struct td_frame_getvnode *f = (void *)c->frame;
	struct td_vnode *v = td__at(f, f->v_at);

	if (f->fid > 1000)
		return -TD_ESTALE;
	v->type = f->fid == 1 ? TD_DIR : TD_REG;
	v->nlink = 1;
	return 0;
}

static int available(char *why, size_t size)
{
	(void)why;
	(void)size;
	return 0;
}

static int start(struct td__domain *d, char *why, size_t size)
{
	(void)why;
	(void)size;
	d->nslots = TD__SLOTS;
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		d->slots[i].frame = &calls[i].frame;
		d->slots[i].window = calls[i].window;
		d->slots[i].window_at = TD_FRAME_SIZE;
	}
	return 0;
}

static int enter(struct td__call *c)
{
	fake_op op = fake_ops[c->op];

	if (!op)
		op = c->op == TD_OP_HELLO ? hello : c->op == TD_OP_mount ? mount : getvnode;
	c->result = op(c);
	return c->fault.kind || c->doomed ? TD__FAULTED : TD__RETURNED;
}

static void stop(struct td__domain *d)
{
	(void)d;
}

/* There is no module file, so no place in one; a test may say what it wants to see. */
uint64_t fake_place;

static void where(struct td__call *c)
{
	c->fault.pc = c->fault.frames[0] = fake_place;
	c->fault.nframes = fake_place != 0;
}

int (*fake_pages)(struct td__domain *d, uint64_t at, uint64_t size, int open);

static int pages(struct td__domain *d, uint64_t at, uint64_t size, int open)
{
	return fake_pages ? fake_pages(d, at, size, open) : 0;
}

static const struct td__wall wall = { .name = "none", .kind = TD_WALL_NONE, .available = available, .start = start, .enter = enter,
				      .stop = stop, .where = where, .pages = pages };
static const struct td__wall *const walls[TD_WALL_KINDS] = { &wall };
static const struct td__module module = { .info = { .magic = TD_MAGIC, .locks = 16, .name = "fake" } };

struct td__fs *fake_mount(const char *level)
{
	return fake_mount_on(level, 0);
}

static struct td__fs *mount_on(const char *level, const struct td__address *server, struct td__disk *disk)
{
	struct td_mount_params p = { .module = &module, .walls = walls, .format = 1, .server = server };
	struct td__fs *fs;
	char why[256];

	assert_int_equal(td_level_parse(level, &p.level, why, sizeof(why)), 0);
	assert_int_equal(td__device_create(64, 4096, disk, disk ? 0 : TD_DEV_ZEROED, &p.device), 0);
	if (td_mount(&p, &fs, why, sizeof(why)))
		fail_msg("%s", why);
	return fs;
}

struct td__fs *fake_mount_on(const char *level, const struct td__address *server)
{
	return mount_on(level, server, 0);
}

struct td__fs *fake_mount_disk(const char *level, struct td__disk *disk)
{
	return mount_on(level, 0, disk);
}
