/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked into a module file between the module, whose sources are the same as ever, and its services (the linker's
 * --wrap): counts the services of a call and strikes as the plan says. Of calls at the same time the services are counted together.
 */
#include <tadan/fs.h>

#include "runtime.h"
#include "planted.h"

/* The last index, which a module reaches only with 64 bufs open; opened for the first time in this call. */
enum { CONTROL = (TD_BUF_MAX - 1) | 1 << 8 };

static uint64_t control; /* the block of the plan; 0: not known yet */
static struct plant_plan plan;
static uint32_t services;

static void strike(void)
{
	volatile int *volatile nowhere = (volatile int *)8;

	if (plan.kind == PLANT_NULL)
		*nowhere = 1;
	else
		__builtin_trap();
}

/* A file whose freeing is hit twice keeps its blocks, since nobody asks for it again. */
static int is_any(const struct td_frame *f)
{
	return plan.op == PLANT_ANY && f->op != TD_OP_mount && !(f->op == TD_OP_inactive && f->flags & TD_FRAME_AGAIN);
}

static int due(uint32_t at)
{
	const struct td_frame *f = td__svc_context()->frame;

	if (f->op == TD_OP_mount && plan.mount_at == at)
		return 1;
	return plan.at == at && (plan.op == f->op || is_any(f)) && (!plan.only || plan.only == plan.domains);
}

void planted_service(void)
{
	if (due(++services))
		strike();
}

WRAP(bread, (uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view), (buf, blkno, fresh, view))
WRAP(brelse, (uint32_t buf), (buf))
WRAP(buf_read, (uint32_t buf, uint32_t off, void *data, uint32_t len), (buf, off, data, len))
WRAP(buf_write, (uint32_t buf, uint32_t off, const void *data, uint32_t len), (buf, off, data, len))
WRAP(buf_fill, (uint32_t buf, uint32_t off, uint32_t len, uint32_t value), (buf, off, len, value))
WRAP(buf_move, (uint32_t buf, uint32_t to, uint32_t from, uint32_t len), (buf, to, from, len))
WRAP(discard, (uint64_t blkno, uint64_t count), (blkno, count))
WRAP(lock, (uint32_t lock, uint32_t mode), (lock, mode))
WRAP(unlock, (uint32_t lock), (lock))
WRAP(sync, (void), ())

/* A mount is counted as part of the mount: undone with it. */
static void read_plan(struct td_frame *f)
{
	uint64_t view;

	plan.at = 0;
	services = 0;
	if (f->op == TD_OP_mount)
		control = --((struct td_frame_mount *)f)->dev.blocks;
	if (!control || __real_td__svc_bread(CONTROL, control, 0, &view))
		return;
	if (__real_td__svc_buf_read(CONTROL, 0, &plan, sizeof(plan)))
		plan.at = 0;
	if (f->op == TD_OP_mount) {
		plan.domains++;
		__real_td__svc_buf_write(CONTROL, 0, &plan.domains, sizeof(plan.domains));
	}
	__real_td__svc_brelse(CONTROL);
}

/* The first record that the module may change. */
static struct td_vnode *record_of(struct td_frame *f)
{
	switch (f->op) {
	case TD_OP_create:
	case TD_OP_mknod:
	case TD_OP_mkdir:
		return td__at(f, ((struct td_frame_create *)f)->dir_at);
	case TD_OP_symlink:
		return td__at(f, ((struct td_frame_symlink *)f)->dir_at);
	case TD_OP_link:
	case TD_OP_unlink:
	case TD_OP_rmdir:
		return td__at(f, ((struct td_frame_link *)f)->dir_at);
	case TD_OP_rename:
		return td__at(f, ((struct td_frame_rename *)f)->from_at);
	case TD_OP_getvnode:
		return td__at(f, ((struct td_frame_getvnode *)f)->v_at);
	case TD_OP_update:
	case TD_OP_inactive:
		return td__at(f, ((struct td_frame_update *)f)->v_at);
	case TD_OP_balloc:
		return td__at(f, ((struct td_frame_balloc *)f)->v_at);
	case TD_OP_bunmap:
		return td__at(f, ((struct td_frame_bunmap *)f)->v_at);
	case TD_OP_setxattr:
		return td__at(f, ((struct td_frame_setxattr *)f)->v_at);
	case TD_OP_removexattr:
		return td__at(f, ((struct td_frame_removexattr *)f)->v_at);
	default:
		return 0;
	}
}

/* No call goes past this one. */
extern int32_t (*const __wrap_td__calls_fs[TD_OP_MAX])(const struct td_fs_ops *ops, struct td_frame *f);
int32_t (*const __wrap_td__calls_fs[TD_OP_MAX])(const struct td_fs_ops *ops, struct td_frame *f) = { 0 };

int32_t __real_td__dispatch_fs(const struct td_fs_ops *ops, struct td_frame *f, uint32_t op);
int32_t __wrap_td__dispatch_fs(const struct td_fs_ops *ops, struct td_frame *f, uint32_t op);

int32_t __wrap_td__dispatch_fs(const struct td_fs_ops *ops, struct td_frame *f, uint32_t op)
{
	struct td_vnode *v;
	int32_t result;

	read_plan(f);
	result = __real_td__dispatch_fs(ops, f, op);
	if (!due(PLANT_END))
		return result;
	if (plan.kind == PLANT_NULL || plan.kind == PLANT_TRAP)
		strike();
	v = plan.kind == PLANT_RECORD && !result ? record_of(f) : 0;
	if (!v)
		return 7;
	v->size = ~0ull;
	return 0;
}
