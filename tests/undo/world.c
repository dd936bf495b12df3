/* SPDX-License-Identifier: BSD-2-Clause */
/* The world of the undo test: see world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/image.h"
#include "../../port/user/disk.h"
#include "../../walls/walls.h"

enum { BLOCKS = 1500, BSIZE = 4096 };

const char *world_module;
struct td_cred world_root = { 0 };
int64_t world_now;

static struct td__module *module;
static uint8_t bytes[1 << 16];

/* In the port's place (--wrap): time stands still, but for what the test says. */
void __wrap_td__port_now(int64_t *sec, uint32_t *nsec);
void __wrap_td__port_now(int64_t *sec, uint32_t *nsec)
{
	*sec = world_now;
	*nsec = 7;
}

/* Faults are planted where frames become calls. */
int __wrap_td__level_is_straight(const struct td_level *level);
int __wrap_td__level_is_straight(const struct td_level *level)
{
	(void)level;
	return 0;
}

/* The log would be full of what the faults have to say. */
void __wrap_td__port_log(uint32_t priority, const char *line);
void __wrap_td__port_log(uint32_t priority, const char *line)
{
	(void)priority;
	(void)line;
}

struct td_name text(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "the world cannot be made: %s: error %d\n", what, err);
	abort();
}

/* ---- The tree */

static void make(struct world *w, enum held in, const char *name, uint32_t type, struct td_in target, enum held as)
{
	td_attr a;

	must(td_make(w->fs, &world_root, w->h[in], text(name), type, type == TD_DIR ? 0755 : 0644, 0, target, &a), name);
	w->h[as] = a.handle;
	w->fid[as] = a.fid;
}

static void write_at(struct world *w, enum held v, uint64_t off, uint64_t len)
{
	must(td_write(w->fs, &world_root, w->h[v], off, bytes, len) != (int64_t)len, "write");
}

static void set_xattrs(struct world *w, enum held v)
{
	must(td_setxattr(w->fs, &world_root, w->h[v], text("user.small"), (struct td_in){ bytes, 20 }, 0), "xattr");
	must(td_setxattr(w->fs, &world_root, w->h[v], text("user.big"), (struct td_in){ bytes, 5000 }, 0), "xattr");
}

static void make_files(struct world *w)
{
	const struct td_in none = { 0, 0 };

	make(w, ROOT, "a", TD_REG, none, A);
	write_at(w, A, 0, 10000);
	set_xattrs(w, A);
	make(w, ROOT, "b", TD_REG, none, B);
	write_at(w, B, 0, 100);
	make(w, ROOT, "c", TD_REG, none, C);
	write_at(w, C, 1 << 20, 5000);
	write_at(w, C, 0, 5000);
	for (uint64_t i = 0; i < 5; i++)
		write_at(w, C, 200000 + i * 2 * BSIZE, 1);
	make(w, ROOT, "new", TD_REG, none, NEW);
	make(w, ROOT, "open", TD_REG, none, OPEN);
	write_at(w, OPEN, 0, 9000);
	write_at(w, OPEN, 1 << 20, 9000);
	set_xattrs(w, OPEN);
	must(td_unlink(w->fs, &world_root, w->h[ROOT], text("open")), "unlink");
	make(w, ROOT, "l", TD_LNK, (struct td_in){ "target", 6 }, L);
	make(w, ROOT, "ll", TD_LNK, (struct td_in){ bytes, 3000 }, LL);
}

static void make_dirs(struct world *w)
{
	const struct td_in none = { 0, 0 };
	td_attr a;

	make(w, ROOT, "d", TD_DIR, none, D);
	make(w, D, "sub", TD_DIR, none, SUB);
	make(w, D, "x", TD_REG, none, X);
	write_at(w, X, 0, 4096);
	must(td_link(w->fs, &world_root, w->h[B], w->h[D], text("b2"), &a), "link");
	td_forget(w->fs, a.handle, 1);
	make(w, ROOT, "e", TD_DIR, none, E);
	make(w, ROOT, "gone", TD_DIR, none, GONE);
	must(td_rmdir(w->fs, &world_root, w->h[ROOT], text("gone")), "rmdir");
	make(w, ROOT, "big", TD_DIR, none, BIG);
	for (int i = 0; i < 70; i++) {
		char name[40];

		snprintf(name, sizeof(name), "a-name-that-takes-room-%d", i);
		must(td_make(w->fs, &world_root, w->h[BIG], text(name), TD_REG, 0600, 0, none, &a), name);
		td_forget(w->fs, a.handle, 1);
	}
}

static void make_tree(struct world *w)
{
	world_now = 1000000000;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 % 250 + 1);
	w->h[ROOT] = td_fs_root(w->fs);
	w->fid[ROOT] = w->fs->info.root;
	make_files(w);
	make_dirs(w);
	w->orphans[w->norphans++] = w->fid[OPEN];
	w->orphans[w->norphans++] = w->fid[GONE];
}

/* ---- Mounting */

static int open_module(char *why, size_t size)
{
	return module ? 0 : td__module_open(world_module, &module, why, size);
}

int world_lacks_form(uint32_t wall, char *why, size_t size)
{
	must(open_module(why, size), why);
	return td__module_has_form(module, wall, why, size) == -TD_EOPNOTSUPP;
}

/* At first without protection: trees are made faster so. */
static int mount_on(struct world *w, struct td__disk *disk)
{
	int blank = 1;
	struct td_mount_params p = { .module = module, .walls = td__walls, .format = 1 };
	int err = td_level_parse("trusted", &p.level, w->why, sizeof(w->why));

	must(err, w->why);
	if (disk)
		err = td__image_open(disk, (uint64_t)BLOCKS * BSIZE, BSIZE, 0, &p.device, &blank, w->why, sizeof(w->why));
	else
		err = td__device_create(BLOCKS, BSIZE, 0, TD_DEV_ZEROED, &p.device);
	must(err, "device");
	err = td_mount(&p, &w->fs, w->why, sizeof(w->why));
	if (err)
		td__device_destroy(p.device);
	w->dev = p.device;
	return err;
}

int world_first_mount(const struct td_level *level, uint32_t at, uint32_t kind, uint64_t *left)
{
	struct td_mount_params p = { .module = module, .walls = td__walls, .format = 1, .level = *level };
	struct world w = { 0 };
	struct state s;
	int err;

	must(open_module(w.why, sizeof(w.why)), w.why);
	p.module = module;
	must(td__device_create(BLOCKS, BSIZE, 0, TD_DEV_ZEROED, &w.dev), "device");
	p.device = w.dev;
	plan_fault(&w, TD_OP_mount, at, kind, 0);
	err = td_mount(&p, &w.fs, w.why, sizeof(w.why));
	*left = 0;
	if (!err) {
		world_close(&w);
		return 0;
	}
	state_take_blocks(&w, &s);
	for (uint64_t b = 0; b < s.nblocks; b++)
		*left += s.sums[b] != 0;
	state_free(&s);
	td__device_destroy(w.dev);
	return err;
}

static struct td__disk *image(struct world *w, int fd)
{
	struct td__disk *disk;
	char path[40];
	uint64_t size;
	int blank;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(td__port_disk_open(path, (uint64_t)BLOCKS * BSIZE, 0, &disk, &size, &blank, w->why, sizeof(w->why)), w->why);
	return disk;
}

/* The tree is made, unmounted and mounted again: what nobody has named since is not cached. */
static int open_on_disk(struct world *w)
{
	int fd = memfd_create("undo", MFD_CLOEXEC), err;

	must(fd < 0, "memfd");
	err = mount_on(w, image(w, fd));
	if (!err) {
		make_tree(w);
		td_forget(w->fs, w->h[OPEN], 1);
		td_forget(w->fs, w->h[GONE], 1);
		w->norphans = 0;
		must(td_unmount(w->fs), "unmount");
		err = mount_on(w, image(w, fd));
		w->h[ROOT] = err ? 0 : td_fs_root(w->fs);
	}
	close(fd);
	return err;
}

int world_open(struct world *w, const struct td_level *level, int on_disk)
{
	int err;

	memset(w, 0, sizeof(*w));
	w->level = *level;
	world_now = 1000000000;
	err = open_module(w->why, sizeof(w->why));
	if (err)
		return err;
	err = on_disk ? open_on_disk(w) : mount_on(w, 0);
	if (!err && !on_disk)
		make_tree(w);
	return err ? err : td_set_level(w->fs, &w->level, 0, w->why, sizeof(w->why));
}

int world_trust(struct world *w)
{
	struct td_level level;
	int err = td_level_parse("trusted", &level, w->why, sizeof(w->why));

	return err ? err : td_set_level(w->fs, &level, 0, w->why, sizeof(w->why));
}

void world_close(struct world *w)
{
	td_unmount(w->fs);
}

void plan_fault(struct world *w, uint32_t op, uint32_t at, uint32_t kind, int once)
{
	struct plant_plan *p;

	must(td__device_load(w->dev, w->dev->blocks - 1, 1), "plan");
	p = (void *)td__device_at(w->dev, w->dev->blocks - 1);
	p->only = once ? p->domains : 0;
	p->op = op;
	p->kind = kind;
	p->at = at;
}
