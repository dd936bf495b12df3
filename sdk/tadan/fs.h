/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that the author of a file system needs; tadan-fs(7) describes the operations.
 *
 * Rules of the game:
 * - The kernel holds the vnodes' locks that an operation names, for the whole call.
 * - What must survive lives in bufs, blocks of the mount's device. Reads go through td_buf_data(),
 *   writes through td_buf_write() and its sisters: so the kernel can undo them.
 * - One call is one transaction. With journal=all an error that an operation returns undoes what the
 *   call has done so far; without a journal nothing is undone, so check before you change.
 * - Records of `shared` vnodes are for reading. In `exclusive` and `new` ones, change what the operation
 *   is about; the kernel takes the changes over when the operation returns 0.
 */
#ifndef TADAN_FS_H
#define TADAN_FS_H

#include <tadan/module.h>
#include <tadan/fs_if.h>

/*
 * A block of the device, open for this call. At most TD_BUF_MAX at a time; all are closed by the
 * kernel when the call ends, but a call that forgets one is counted as careless.
 */
struct td_buf {
	uint64_t blkno;
	const uint8_t *view;
	uint32_t handle;
	uint32_t opened; /* how often this entry was opened in this call */
	uint16_t refs;
	uint16_t copied;
	uint32_t pad;
};

/*
 * bread: open a block to read and perhaps change it. getblk: open a block whose old content does not
 * matter: it becomes zeroes. getnextblk: open the block behind `b`. Sleeps while the device works.
 * Errors: EIO, EINVAL (beyond the device), EMFILE (too many open).
 */
int td_bread(uint64_t blkno, struct td_buf **b);
int td_getblk(uint64_t blkno, struct td_buf **b);
int td_getnextblk(struct td_buf *b, struct td_buf **next);
void td_brelse(struct td_buf *b); /* 0 is fine */

/*
 * The block's content, bsize bytes, for reading. The address is good until the next write to this
 * block in this call, or td_brelse(): ask again after a write.
 */
static inline const void *td_buf_data(const struct td_buf *b)
{
	return b->view;
}

/*
 * Change bytes: copy in, fill with a byte, move within the block. A range outside the block is the
 * module's mistake: EINVAL, and the kernel counts it.
 */
int td_buf_write(struct td_buf *b, uint32_t off, const void *data, uint32_t len);
int td_buf_fill(struct td_buf *b, uint32_t off, uint32_t len, uint8_t byte);
int td_buf_move(struct td_buf *b, uint32_t to, uint32_t from, uint32_t len);

/* Bytes of a block. */
uint32_t td_bsize(void);

/* These blocks hold nothing any more. Takes effect when the call is committed; they read as zeroes then. */
int td_discard(uint64_t blkno, uint64_t count);

/*
 * Move bytes between the caller's buffer and the module's, from where the last move ended. The
 * operation (read or write) decides the direction. Errors: EINVAL where it goes beyond the buffer.
 */
int td_uio_move(uint32_t uio, void *data, uint32_t len);

/*
 * For readdir: add an entry. `cookie` continues behind it, is not 0, and is the same each time the
 * directory is read. Returns 0 where there is no more room: then return 0 from readdir.
 */
int td_readdir_emit(struct td_out *out, uint64_t fid, uint64_t cookie, uint32_t type,
		    struct td_name name);

/*
 * For check: add a problem; its text is `text` and, where that is not empty, `name`. Returns 0 where there is no more room in this
 * part.
 */
int td_problem_emit(struct td_out *out, const struct td_problem *p, const char *text, struct td_name name);

/* For modules that make their vnodes up: type, mode and size, all times now, one link (two for a directory). */
int td_vnode_init(struct td_vnode *v, uint32_t type, uint32_t mode, uint64_t size);

int32_t td__dispatch_fs(const struct td_fs_ops *ops, struct td_frame *f, uint32_t op);
int32_t td__run(struct td_frame *f, uint32_t op, const struct td_fs_ops *ops);
void td__begin(struct td_frame *f);
extern int32_t (*const td__calls_fs[TD_OP_MAX])(const struct td_fs_ops *ops, struct td_frame *f);
extern uint64_t td__heap_count;

/*
 * How a call enters. In a sandbox the operation's number comes as a value, since what is proven of an operation must not
 * hang on memory that other calls of the module can write.
 */
#ifdef __wasm__
#define TD__ENTER struct td_frame *f, uint32_t op
#define TD__ENTERED op
#define TD__STRAIGHT
#else
#define TD__ENTER struct td_frame *f
#define TD__ENTERED f->op
#define TD__STRAIGHT                                                        \
	extern const struct td_straight td_module_straight;                 \
	TD_EXPORT const struct td_straight td_module_straight = { &td__ops, td__begin, &td__heap_count, td__calls_fs, TD_OP_MAX };
#endif

/* Linked with the kernel itself (bench/builtin), the table is called without a gate. */
#ifdef TD__BUILTIN
#define TD__LOCAL
#else
#define TD__LOCAL static
#endif

/* The module's table: TD_FS_MODULE(name, number of locks, .lookup = ..., .read = ...); once a module. */
#define TD_FS_MODULE(module, nlocks, ...) TD__FS_MODULE(0, module, nlocks, __VA_ARGS__)
/* The same for one that is mounted on a server: see <tadan/net.h>. */
#define TD_FS_NET_MODULE(module, nlocks, ...) TD__FS_MODULE(TD_MODULE_NETWORK, module, nlocks, __VA_ARGS__)

#define TD__FS_MODULE(flags, module, nlocks, ...)                                                  \
	TD__LOCAL const struct td_fs_ops td__ops = { __VA_ARGS__ };                                \
	TD_EXPORT const struct td_module_info td_module_info = {                                   \
		TD_MAGIC, TD_ABI, TD_INTERFACE_FS, TD_FS_VERSION, (flags) | TD__MODULE_FLAGS, nlocks, #module \
	};                                                                                         \
	TD__STRAIGHT                                                                               \
	TD_EXPORT int32_t td__enter(TD__ENTER);                                                    \
	TD_EXPORT int32_t td__enter(TD__ENTER)                                                     \
	{                                                                                          \
		return td__run(f, TD__ENTERED, &td__ops);                                          \
	}

#endif
