/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle and the shadow: see lab.h. The linker (--wrap) puts this file between the gateway and the calls, between the walls and the
 * services, and between the kernel and its device. What is wrapped does its work as ever.
 *
 * The oracle is a mount of its own, of the good module, in memory, at wall none. Each call of the watched mount is given to it with the
 * very same frame, when it has returned and before it is committed; it is committed or undone as the watched one is. Compared are
 * the result, the frame, the bytes that came out, what was done besides (discards, references, moved bytes), and the content of
 * every block that either of the two has changed. After the first difference the two are no longer the same, and the oracle rests.
 */
#include "lab.h"

#include "../core/mbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TOUCHED = 1024 };

struct side {
	uint64_t touched[TOUCHED];
	uint32_t ntouched;
	uint64_t effects; /* a hash of what was done besides changing blocks */
};

static struct {
	struct td__fs *fs, *oracle;
	uint8_t *shadow;    /* zeroes at first, as the device is */
	uint8_t *shadowed;  /* a byte for each block: it is in the shadow */
	uint8_t *marks;     /* a byte for each block: the kernel has changed it since the shadow was last brought up to date */
	uint64_t *changed;  /* these blocks */
	uint64_t nchanged;
	uint64_t calls, started, diverged; /* started: when the last domain began */
	char what[LAB_TEXT];
	int64_t now;
	struct side sides[2]; /* the watched mount's, the oracle's */
	struct td_frame *in, *out;
	uint8_t *window;
	uint32_t window_used;
	int64_t window_at;
	int32_t result;
	int packed; /* `in` is the call's */
} watch;

static void update_shadow(void);

/* ---- Time */

void __wrap_td__port_now(int64_t *sec, uint32_t *nsec);
void __wrap_td__port_now(int64_t *sec, uint32_t *nsec)
{
	*sec = 1700000000 + watch.now;
	*nsec = 7;
}

void lab_watch_tick(void)
{
	watch.now++;
	update_shadow();
}

/* What a bad module has to say would fill the screen. */
void __wrap_td__port_log(uint32_t priority, const char *line);
void __wrap_td__port_log(uint32_t priority, const char *line)
{
	(void)priority;
	(void)line;
}

/* ---- Blocks. Most of a device has never been touched: looking at that would make it all memory, which is what a trial takes longest for. */

uint8_t *lab_blocks_used(const struct td__device *dev)
{
	uint64_t size = dev->blocks * dev->bsize, page = (uint64_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
	uint8_t *used = malloc(dev->blocks), *resident = malloc(pages);

	if (!used || !resident)
		abort();
	if (mincore(td__device_at(dev, 0), size, resident))
		memset(resident, 1, pages);
	for (uint64_t b = 0; b < dev->blocks; b++) {
		used[b] = 0;
		for (uint64_t p = b * dev->bsize / page; p <= ((b + 1) * dev->bsize - 1) / page; p++)
			used[b] |= resident[p] & 1;
	}
	free(resident);
	return used;
}

void lab_blocks_copy(uint8_t *to, const struct td__device *from)
{
	uint8_t *used = lab_blocks_used(from);

	for (uint64_t b = 0; b < from->blocks; b++)
		if (used[b])
			memcpy(to + b * from->bsize, td__device_at(from, b), from->bsize);
	free(used);
}

/* ---- The shadow */

/* One call can change a block a million times, and undo that: the shadow gets it when the call is over. */
static void follow(const struct td__device *dev, uint64_t blkno, uint64_t count)
{
	if (!watch.fs || dev != watch.fs->device)
		return;
	for (uint64_t b = blkno; b < blkno + count; b++)
		if (!watch.marks[b]) {
			watch.marks[b] = 1;
			watch.changed[watch.nchanged++] = b;
		}
}

static void update_shadow(void)
{
	const struct td__device *dev = watch.fs ? watch.fs->device : 0;

	while (watch.nchanged) {
		uint64_t b = watch.changed[--watch.nchanged];

		watch.marks[b] = 0;
		watch.shadowed[b] = 1;
		memcpy(watch.shadow + b * dev->bsize, td__device_at(dev, b), dev->bsize);
	}
}

void __real_td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_changed(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	__real_td__device_changed(dev, blkno, count);
	follow(dev, blkno, count);
}

void __real_td__device_altered(struct td__device *dev, uint64_t blkno);
void __wrap_td__device_altered(struct td__device *dev, uint64_t blkno);
void __wrap_td__device_altered(struct td__device *dev, uint64_t blkno)
{
	__real_td__device_altered(dev, blkno);
	follow(dev, blkno, 1);
}

void __real_td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_zero(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	__real_td__device_zero(dev, blkno, count);
	follow(dev, blkno, count);
}

void __real_td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count);
void __wrap_td__device_discard(struct td__device *dev, uint64_t blkno, uint64_t count)
{
	__real_td__device_discard(dev, blkno, count);
	follow(dev, blkno, count);
}

uint64_t lab_watch_shadow(void)
{
	const struct td__device *dev = watch.fs->device;
	uint8_t *used = lab_blocks_used(dev);
	uint64_t found = 0;

	update_shadow();
	for (uint64_t b = 0; b < dev->blocks && !found; b++)
		if ((used[b] || watch.shadowed[b]) && memcmp(td__device_at(dev, b), watch.shadow + b * dev->bsize, dev->bsize))
			found = b + 1;
	free(used);
	return found;
}

/* ---- What services do */

static struct side *side_of(const struct td__call *c)
{
	return c->fs == watch.fs ? &watch.sides[0] : &watch.sides[1];
}

static void touch(const struct td__call *c, uint64_t blkno)
{
	struct side *s = side_of(c);

	for (uint32_t i = 0; i < s->ntouched; i++)
		if (s->touched[i] == blkno)
			return;
	if (s->ntouched < TOUCHED)
		s->touched[s->ntouched++] = blkno;
}

static void note(const struct td__call *c, uint64_t a, uint64_t b, uint64_t d)
{
	struct side *s = side_of(c);

	s->effects = (s->effects ^ a) * 0x9e3779b97f4a7c15ull + b;
	s->effects = (s->effects ^ s->effects >> 29) * 0xbf58476d1ce4e5b9ull + d;
}

static uint64_t hash(const void *data, uint32_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (uint32_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3ull;
	return h;
}

static void touch_buf(const struct td__call *c, uint32_t buf)
{
	touch(c, c->bufs[buf & (TD_BUF_MAX - 1)].blkno);
}

#define WRAP(name, params, args, then)                                                           \
	int __real_td__svc_do_##name params;                                                     \
	int __wrap_td__svc_do_##name params;                                                     \
	int __wrap_td__svc_do_##name params                                                      \
	{                                                                                        \
		int err = __real_td__svc_do_##name args;                                         \
		if (watch.oracle && !err)                                                        \
			then;                                                                    \
		return err;                                                                      \
	}

WRAP(bread, (struct td__call *c, uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view), (c, buf, blkno, fresh, view),
     fresh ? touch(c, blkno) : (void)0)
WRAP(buf_write, (struct td__call *c, uint32_t buf, uint32_t off, const void *data, uint32_t len), (c, buf, off, data, len),
     touch_buf(c, buf))
WRAP(buf_fill, (struct td__call *c, uint32_t buf, uint32_t off, uint32_t len, uint32_t value), (c, buf, off, len, value),
     touch_buf(c, buf))
WRAP(buf_move, (struct td__call *c, uint32_t buf, uint32_t to, uint32_t from, uint32_t len), (c, buf, to, from, len),
     touch_buf(c, buf))
WRAP(discard, (struct td__call *c, uint64_t blkno, uint64_t count), (c, blkno, count), note(c, 1, blkno, count))

/* What has been moved is looked at where the kernel has it. */
int __real_td__svc_do_uio_write(struct td__call *c, uint32_t uio, const void *data, uint32_t len);
int __wrap_td__svc_do_uio_write(struct td__call *c, uint32_t uio, const void *data, uint32_t len);
int __wrap_td__svc_do_uio_write(struct td__call *c, uint32_t uio, const void *data, uint32_t len)
{
	int err = __real_td__svc_do_uio_write(c, uio, data, len);

	static uint8_t moved[1 << 16];
	uint32_t n = len < sizeof(moved) ? len : sizeof(moved);

	if (watch.oracle && !err && !td__mbuf_get(c->uio->read, (uint32_t)c->uio->moved - len, moved, n))
		note(c, 2, len, hash(moved, n));
	return err;
}

/* The handles are those of the watched mount: the oracle is told what it was told. */
#define WRAP_HANDLE(name, number)                                                                \
	int __real_td__svc_do_##name(struct td__call *c, uint64_t vnode);                        \
	int __wrap_td__svc_do_##name(struct td__call *c, uint64_t vnode);                        \
	int __wrap_td__svc_do_##name(struct td__call *c, uint64_t vnode)                         \
	{                                                                                        \
		int err = watch.oracle && c->fs == watch.oracle ? 0 : __real_td__svc_do_##name(c, vnode); \
		if (watch.oracle && !err)                                                        \
			note(c, number, vnode, 0);                                               \
		return err;                                                                      \
	}

WRAP_HANDLE(vref, 3)
WRAP_HANDLE(vrele, 4)

/* ---- Calls */

/* Where a frame says at which distance its bytes lie, and how many came out. */
static const struct {
	uint32_t op, at, len;
} windows[] = {
#define WINDOW(op, arg) { TD_OP_##op, offsetof(struct td_frame_##op, arg##_at), offsetof(struct td_frame_##op, arg##_len) }
	WINDOW(symlink, target), WINDOW(readlink, target), WINDOW(readdir, entries),
	WINDOW(getxattr, value), WINDOW(setxattr, value),  WINDOW(listxattr, names),
};
enum { WINDOWS = sizeof(windows) / sizeof(windows[0]) };

/* Where the records stand that a call gets, so that the extents behind the counted ones are left out. */
static uint32_t frame_end(const struct td_frame *f)
{
	const struct td_frame_bmap *m = (const void *)f;
	const struct td_frame_balloc *a = (const void *)f;

	if (f->op == TD_OP_bmap)
		return (uint32_t)(offsetof(struct td_frame_bmap, extents) + (m->nextents < 32 ? m->nextents : 32) * sizeof(struct td_extent));
	if (f->op == TD_OP_balloc)
		return (uint32_t)(offsetof(struct td_frame_balloc, extents) + (a->nextents < 32 ? a->nextents : 32) * sizeof(struct td_extent));
	return td__frame_sizes[f->op];
}

static int is_watched(const struct td__call *c)
{
	return watch.fs && c->fs == watch.fs;
}

static void keep_input(const struct td__call *c)
{
	const struct td__slot *slot = &c->domain->slots[c->slot];

	memset(watch.sides, 0, sizeof(watch.sides));
	memcpy(watch.in, c->frame, td__frame_sizes[c->op]);
	watch.window_used = c->window_used;
	watch.window_at = slot->window_at;
	memcpy(watch.window, slot->window, c->window_used);
	watch.packed = 1;
}

/* What is watched has a frame. */
int __wrap_td__level_is_straight(const struct td_level *level);
int __wrap_td__level_is_straight(const struct td_level *level)
{
	(void)level;
	return 0;
}

int __real_td__call_enter(struct td__call *c);
int __wrap_td__call_enter(struct td__call *c);
int __wrap_td__call_enter(struct td__call *c)
{
	int err;

	if (!is_watched(c))
		return __real_td__call_enter(c);
	watch.calls++;
	update_shadow();
	if (c->op == TD_OP_HELLO)
		watch.started = watch.calls;
	if (watch.oracle && !watch.diverged && c->op != TD_OP_HELLO)
		keep_input(c);
	err = __real_td__call_enter(c);
	if (watch.packed) {
		memcpy(watch.out, c->frame, td__frame_sizes[c->op]);
		watch.out->op = c->op;
	}
	return err;
}

__attribute__((format(printf, 2, 3))) static void diverge(const struct td__call *c, const char *format, ...)
{
	char detail[120];
	va_list ap;

	if (watch.diverged)
		return;
	va_start(ap, format);
	vsnprintf(detail, sizeof(detail), format, ap);
	va_end(ap);
	watch.diverged = watch.calls;
	snprintf(watch.what, sizeof(watch.what), "call %llu, %s: %s", (unsigned long long)watch.calls, td__op_names[c->op], detail);
}

static void compare_blocks(const struct td__call *c, const struct side *s)
{
	const struct td__device *a = watch.fs->device, *b = watch.oracle->device;

	for (uint32_t i = 0; i < s->ntouched; i++)
		if (memcmp(td__device_at(a, s->touched[i]), td__device_at(b, s->touched[i]), a->bsize))
			diverge(c, "block %llu became another than the good module makes it", (unsigned long long)s->touched[i]);
}

static void compare_frames(const struct td__call *c, const struct td__call *o, int32_t window)
{
	const uint8_t *a = (const void *)watch.out, *b = (const void *)o->frame;
	uint32_t end = frame_end(watch.out), other = frame_end(o->frame);

	if (end != other) {
		diverge(c, "another number of extents");
		return;
	}
	for (uint32_t i = sizeof(struct td_frame); i < end; i++)
		if (a[i] != b[i] && !(window >= 0 && i >= windows[window].at && i < windows[window].at + 8)) {
			diverge(c, "byte %u of the answer is 0x%02x, the good module's is 0x%02x", i, a[i], b[i]);
			return;
		}
}

static void compare_bytes(const struct td__call *c, const struct td__call *o, int32_t window)
{
	uint32_t len;

	if (window < 0 || !c->out_size)
		return;
	memcpy(&len, (const char *)watch.out + windows[window].len, sizeof(len));
	if (len <= c->out_size && memcmp((char *)c->domain->slots[c->slot].window + c->out_at,
					 (char *)o->domain->slots[o->slot].window + c->out_at, len))
		diverge(c, "other bytes than the good module's");
}

static void compare(const struct td__call *c, const struct td__call *o, int32_t window)
{
	if (c->result != o->result)
		diverge(c, "the result is %d, the good module's is %d", c->result, o->result);
	if (!c->result) {
		compare_frames(c, o, window);
		compare_bytes(c, o, window);
		if (watch.sides[0].effects != watch.sides[1].effects)
			diverge(c, "discards, references or moved bytes are others than the good module's");
		compare_blocks(c, &watch.sides[0]);
		compare_blocks(c, &watch.sides[1]);
	}
}

static int32_t window_of(uint32_t op)
{
	for (int32_t i = 0; i < WINDOWS; i++)
		if (windows[i].op == op)
			return i;
	return -1;
}

int __real_td__call_end(struct td__call *c, td__attempts *tries, int *err);
int __wrap_td__call_end(struct td__call *c, td__attempts *tries, int *err);

/* Let the oracle make the call that the watched mount has made. */
static void consult(struct td__call *c, int committed, int faulted)
{
	int32_t window = window_of(c->op);
	struct td__uio uio = { 0 };
	td__attempts tries = { 0 };
	struct td__call *o;
	int err;

	if (td__call_begin(watch.oracle, c->op, &tries, &o))
		return;
	memcpy(o->frame, watch.in, td__frame_sizes[c->op]);
	memcpy(o->domain->slots[o->slot].window, watch.window, watch.window_used);
	o->window_used = watch.window_used;
	if (window >= 0) {
		int64_t *at = (int64_t *)((char *)o->frame + windows[window].at);

		*at += o->domain->slots[o->slot].window_at - watch.window_at;
	}
	if (c->uio) {
		uio = (struct td__uio){ .data = c->uio->data, .read = c->uio->read ? td__mbuf_new() : 0, .len = c->uio->len };
		o->uio = &uio;
	}
	__real_td__call_enter(o);
	if (!faulted)
		compare(c, o, window);
	err = committed ? 0 : -TD_EIO;
	__real_td__call_end(o, &tries, &err);
	td__mbuf_drop(&watch.oracle->net.pool, uio.read);
}

/* The watched mount has a new domain: so has the oracle. */
static void restart(void)
{
	struct td_fault fault = { 0 };
	char why[128];

	if (td__domain_replace(watch.oracle, watch.oracle->domain->id, 0, &fault, why, sizeof(why)))
		watch.oracle = 0;
}

int __wrap_td__call_end(struct td__call *c, td__attempts *tries, int *err)
{
	int faulted = c->fault.kind || c->died || c->aborted, committed = !faulted && !*err;

	if (!is_watched(c) || !watch.oracle || watch.diverged)
		return __real_td__call_end(c, tries, err);
	if (c->op == TD_OP_HELLO && committed)
		restart();
	else if (watch.packed && c->op == TD_OP_mount && committed)
		compare_blocks(c, &watch.sides[0]); /* the oracle was mounted when it was started again */
	else if (watch.packed && c->op > TD_OP_mount)
		consult(c, committed, faulted);
	watch.packed = 0;
	return __real_td__call_end(c, tries, err);
}

/* ---- */

static int make_oracle(struct td__fs *fs, const struct td__module *good)
{
	struct td_mount_params p = { .module = good, .walls = td__walls, .format = 1, .maxfiles = fs->maxfiles };
	char why[200];
	int err = td_level_parse("guarded,time=off,deadlock=off,restart=1000000/1s", &p.level, why, sizeof(why));

	if (!err)
		err = td__device_create(fs->device->blocks, fs->device->bsize, 0, fs->device->flags, &p.device);
	if (err)
		return err;
	/* As it is now: the oracle finds the same file system. */
	lab_blocks_copy(td__device_at(p.device, 0), fs->device);
	err = td_mount(&p, &watch.oracle, why, sizeof(why));
	if (err) {
		td__device_destroy(p.device);
		watch.oracle = 0;
	}
	return err;
}

int lab_watch_start(struct td__fs *fs, const struct td__module *good)
{
	uint64_t size = fs->device->blocks * fs->device->bsize;

	watch.in = calloc(1, TD_FRAME_SIZE);
	watch.out = calloc(1, TD_FRAME_SIZE);
	watch.window = malloc(TD_WINDOW);
	watch.shadow = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	watch.shadowed = lab_blocks_used(fs->device);
	watch.marks = calloc(fs->device->blocks, 1);
	watch.changed = calloc(fs->device->blocks, sizeof(*watch.changed));
	if (!watch.in || !watch.out || !watch.window || watch.shadow == MAP_FAILED || !watch.marks || !watch.changed)
		return -ENOMEM;
	lab_blocks_copy(watch.shadow, fs->device);
	watch.fs = fs;
	return make_oracle(fs, good);
}

void lab_watch_stop(void)
{
	watch.fs = 0;
	if (watch.oracle)
		td_unmount(watch.oracle);
	watch.oracle = 0;
}

uint64_t lab_watch_calls(void)
{
	return watch.calls;
}

uint64_t lab_watch_started(void)
{
	return watch.started;
}

uint64_t lab_watch_diverged(const char **what)
{
	if (what)
		*what = watch.what;
	return watch.diverged;
}
