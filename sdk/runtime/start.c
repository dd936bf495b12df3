/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a call enters the module, and the parts of the sdk that need no service. */
#include "runtime.h"

static __attribute__((noinline)) void hello(struct td_frame *f)
{
	struct td_frame_hello *h = (void *)f;

	td__heap_init(td__at(f, f->heap_at), h->heap_size, td__at(f, h->area_at), h->marked);
}

__attribute__((noinline)) void td__begin(struct td_frame *f)
{
	struct td__context *ctx = td__svc_context();

	ctx->frame = f;
	ctx->views = f->views;
	ctx->bsize = f->bsize;
	td__bufs_begin(ctx, (f->flags & TD_FRAME_KEPT) != 0);
	ctx->used = ctx->tags = ctx->mbufs = ctx->mbuf_uses = 0;
}

int32_t td__run(struct td_frame *f, uint32_t op, const struct td_fs_ops *ops)
{
	if (!td__context_ready(td__svc_context(), f))
		td__begin(f);
	if (op == TD_OP_HELLO)
		hello(f);
	int32_t result = td__dispatch_fs(ops, f, op);

	uint64_t used = *(volatile uint64_t *)&td__heap_count; /* an atomic load would be a call of the host in a sandbox */

	if (f->heap_used != used) /* to write to a line that another core has, too, is dear */
		f->heap_used = used;
	return result;
}

void td_now(int64_t *sec, uint32_t *nsec)
{
	struct td_frame *f = td__svc_context()->frame;
	uint64_t ns = 0;

	if (!f->now_sec && !td__svc_now(&ns)) {
		f->now_sec = (int64_t)(ns / 1000000000);
		f->now_nsec = (uint32_t)(ns % 1000000000);
	}
	*sec = f->now_sec;
	*nsec = f->now_nsec;
}

uint32_t td_slot(void)
{
	return td__svc_context()->frame->slot;
}

uint32_t td_bsize(void)
{
	return td__svc_context()->bsize;
}

int td_lock(uint32_t lock, uint32_t mode)
{
	return td__svc_lock(lock, mode);
}

void td_unlock(uint32_t lock)
{
	td__svc_unlock(lock);
}

void td_log(uint32_t priority, const char *text)
{
	uint32_t len = 0;

	while (len < 200 && text[len])
		len++;
	td__svc_log(priority, text, len);
}

int td_discard(uint64_t blkno, uint64_t count)
{
	return td__svc_discard(blkno, count);
}

int td_uio_move(uint32_t uio, void *data, uint32_t len)
{
	if (td__svc_context()->frame->op == TD_OP_read)
		return td__svc_uio_write(uio, data, len);
	return td__svc_uio_read(uio, data, len);
}

int td_out_put(struct td_out *out, const void *data, uint32_t len)
{
	if (len > out->size - out->used)
		return -TD_ERANGE;
	memcpy((char *)out->data + out->used, data, len);
	out->used += len;
	return 0;
}

int td_readdir_emit(struct td_out *out, uint64_t fid, uint64_t cookie, uint32_t type,
		    struct td_name name)
{
	struct td_dirent d = { fid, cookie, type, name.len };
	uint32_t padded = (name.len + 7) & ~7u;
	char *p = (char *)out->data + out->used;

	if (name.len > TD_NAME_MAX || sizeof(d) + padded > out->size - out->used)
		return 0;
	memcpy(p, &d, sizeof(d));
	memset(p + sizeof(d) + padded - 8, 0, 8);
	memcpy(p + sizeof(d), name.bytes, name.len);
	out->used += sizeof(d) + padded;
	return 1;
}

int td_problem_emit(struct td_out *out, const struct td_problem *problem, const char *text, struct td_name name)
{
	uint32_t head = (uint32_t)strlen(text), len = head + name.len, padded = (len + 7) & ~7u;
	struct td_problem p = *problem;
	char *to = (char *)out->data + out->used;

	if (len > TD_PROBLEM_TEXT || sizeof(p) + padded > out->size - out->used)
		return 0;
	p.len = len;
	memset(to, 0, sizeof(p) + padded);
	memcpy(to, &p, sizeof(p));
	memcpy(to + sizeof(p), text, head);
	if (name.len)
		memcpy(to + sizeof(p) + head, name.bytes, name.len);
	out->used += sizeof(p) + padded;
	return 1;
}

int td_name_is(struct td_name name, const char *text)
{
	uint32_t i = 0;

	while (i < TD_NAME_MAX && i < name.len && text[i] && name.bytes[i] == (uint8_t)text[i])
		i++;
	return i == name.len && !text[i];
}

int td_vnode_init(struct td_vnode *v, uint32_t type, uint32_t mode, uint64_t size)
{
	td_now(&v->mtime.sec, &v->mtime.nsec);
	v->atime = v->ctime = v->btime = v->mtime;
	v->type = type;
	v->mode = mode;
	v->size = size;
	v->blocks = (size + 511) / 512;
	v->nlink = type == TD_DIR ? 2 : 1;
	return 0;
}
