/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many threads on one mount, while its level changes all the time. They work in the same directories, but each knows
 * its own names and remembers what they stand for, so every answer can be checked at once; at the end everything is
 * looked at again, the file system as a whole is checked, and no reference may be left.
 *
 *   stress MODULE [SECONDS [SEED [LEVEL:LEVEL... [FAULTS]]]]
 *
 * FAULTS: the module, then smfs_planted, strikes so many times a second, in whatever call comes, now and then while it is mounted again after
 * that as well. A call that is hit twice is undone and fails with EIO; so what fails with EIO is done again, and must find all as it was
 * before. The run is as long as so many faults need: on a busy machine they come later, and are not fewer.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../core/fs.h"
#include "../../walls/walls.h"
#include "../unit/smfs_check.h"
#include "strikes.h"

enum { THREADS = 8, DIRS = 4, FILES = 10, SIZE = 40000, BLOCKS = 24000, BSIZE = 4096, LEVELS = 8, AGAIN_MOST = 1000 };

/* A name of a thread's. Two files can be names of one: `twin`. */
struct file {
	int exists, dir, directory;
	int twin; /* index of the other name, -1: none */
	uint32_t size;
	uint8_t *data;
};

struct worker {
	pthread_t thread;
	uint64_t random;
	int id;
	uint64_t done;
	struct file files[FILES];
};

static struct td__fs *fs;
static struct td__device *dev;
static td_handle dirs[DIRS];
static uint64_t seed;
static const struct td_cred cred = { 0 };
static int stop; /* atomic */
static struct td_level levels[LEVELS];
static uint32_t nlevels, faults_a_second;
static uint64_t repeated; /* operations, after EIO; atomic */

static _Noreturn void fail(const struct worker *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "FAILED: seed %llu, thread %d, after %llu steps: ", (unsigned long long)seed, w ? w->id : -1,
		w ? (unsigned long long)w->done : 0);
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, 0);
}

/* Is the operation to be done again? A change of level that failed altogether has left the module detached until the next one. */
static int hit(int64_t err, int *times)
{
	if (err != -TD_EIO || !faults_a_second || ++*times > AGAIN_MOST)
		return 0;
	if (__atomic_load_n(&fs->state, __ATOMIC_RELAXED) == TD_STATE_DETACHED)
		pause_ms(1);
	__atomic_add_fetch(&repeated, 1, __ATOMIC_RELAXED);
	return 1;
}

/* Do it until it has not been hit twice; its result. */
#define served(operation)                          \
	({                                         \
		int64_t result_;                   \
		int times_ = 0;                    \
                                                   \
		do                                 \
			result_ = (operation);     \
		while (hit(result_, &times_));     \
		result_;                           \
	})

static void check(const struct worker *w, int64_t err, const char *what)
{
	if (err < 0)
		fail(w, "%s: error %lld", what, (long long)-err);
}

#define must(w, operation, what) check(w, served(operation), what)

/* ---- Random numbers and names */

static uint64_t random64(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random * 0x2545f4914f6cdd1dull;
}

static uint32_t below(struct worker *w, uint32_t n)
{
	return (uint32_t)((random64(w) >> 32) * n >> 32);
}

/* Some names are longer than what the kernel remembers. */
static struct td_name name_of(const struct worker *w, int i, char text[80])
{
	int n = snprintf(text, 80, i % 3 ? "w%d-%d" : "worker-%d-with-a-name-longer-than-the-cache-keeps-%d", w->id, i);

	return (struct td_name){ (uint8_t *)text, (uint32_t)n };
}

static int pick(struct worker *w, int exists)
{
	int first = (int)below(w, FILES);

	for (int i = 0; i < FILES; i++)
		if (w->files[(first + i) % FILES].exists == exists)
			return (first + i) % FILES;
	return -1;
}

static td_attr look_up(struct worker *w, int i)
{
	char text[80];
	td_attr a;

	must(w, td_lookup(fs, &cred, dirs[w->files[i].dir], name_of(w, i, text), &a), "a file that is there");
	return a;
}

static struct file *content(struct worker *w, int i)
{
	int twin = w->files[i].twin;

	return &w->files[twin >= 0 && twin < i ? twin : i];
}

/* ---- Steps */

static void check_attr(struct worker *w, int i, const td_attr *a)
{
	const struct file *f = content(w, i);

	if ((a->type == TD_DIR) != w->files[i].directory)
		fail(w, "name %d has type %u", i, a->type);
	if (!w->files[i].directory && a->size != f->size)
		fail(w, "name %d has %llu bytes, not %u", i, (unsigned long long)a->size, f->size);
	if (a->nlink != 1u + (w->files[i].twin >= 0 || w->files[i].directory))
		fail(w, "name %d has %u links", i, a->nlink);
}

static void forget_content(struct worker *w, int i)
{
	struct file *f = &w->files[i];

	if (f->twin >= 0) {
		struct file *other = &w->files[f->twin];

		if (f->twin > i) { /* the bytes are kept with the lower name */
			uint8_t *data = other->data;

			other->data = f->data;
			other->size = f->size;
			f->data = data;
		}
		other->twin = -1;
	}
	f->exists = f->directory = 0;
	f->twin = -1;
	f->size = 0;
}

static void step_create(struct worker *w)
{
	int i = pick(w, 0), type;
	char text[80];
	td_attr a;

	if (i < 0)
		return;
	type = below(w, 5) ? TD_REG : TD_DIR;
	w->files[i].dir = (int)below(w, DIRS);
	must(w, td_make(fs, &cred, dirs[w->files[i].dir], name_of(w, i, text), (uint32_t)type, 0644, 0,
			(struct td_in){ 0, 0 }, &a),
	     "create");
	td_forget(fs, a.handle, 1);
	w->files[i].exists = 1;
	w->files[i].twin = -1;
	w->files[i].size = 0;
	w->files[i].directory = type == TD_DIR;
}

static void step_link(struct worker *w)
{
	int i = pick(w, 1), k = pick(w, 0);
	char text[80];
	td_attr a, out;

	if (i < 0 || k < 0 || w->files[i].directory || w->files[i].twin >= 0)
		return;
	a = look_up(w, i);
	w->files[k].dir = (int)below(w, DIRS);
	must(w, td_link(fs, &cred, a.handle, dirs[w->files[k].dir], name_of(w, k, text), &out), "link");
	td_forget(fs, a.handle, 1);
	td_forget(fs, out.handle, 1);
	w->files[k].exists = 1;
	w->files[k].directory = 0;
	w->files[k].twin = i;
	w->files[i].twin = k;
	if (k < i) {
		uint8_t *data = w->files[k].data;

		w->files[k].data = w->files[i].data;
		w->files[k].size = w->files[i].size;
		w->files[i].data = data;
	}
}

static void step_unlink(struct worker *w)
{
	int i = pick(w, 1);
	char text[80];

	if (i < 0)
		return;
	must(w, w->files[i].directory ? td_rmdir(fs, &cred, dirs[w->files[i].dir], name_of(w, i, text)) :
					td_unlink(fs, &cred, dirs[w->files[i].dir], name_of(w, i, text)),
	     "remove");
	forget_content(w, i);
}

/* Two files of one thread, in place of each other or exchanged; or a name that is free. */
static void step_rename(struct worker *w)
{
	int i = pick(w, 1), to = (int)below(w, DIRS), k, exchange;
	char old[80], new[80];
	struct file *a, *b, keep;

	if (i < 0)
		return;
	k = below(w, 2) ? pick(w, 0) : (int)below(w, FILES);
	a = &w->files[i];
	if (k < 0 || k == i)
		return;
	b = &w->files[k];
	exchange = b->exists && below(w, 2);
	if (b->exists && (a->twin >= 0 || b->twin >= 0 || (!exchange && a->directory != b->directory)))
		return;
	if (!b->exists && a->twin >= 0)
		return;
	if (b->exists)
		to = b->dir;
	must(w, td_rename(fs, &cred, dirs[a->dir], name_of(w, i, old), dirs[to], name_of(w, k, new),
			  exchange ? TD_RENAME_EXCHANGE : 0),
	     "rename");
	keep = *b;
	*b = *a;
	b->dir = to;
	if (exchange) {
		keep.dir = a->dir;
		*a = keep;
	} else {
		a->exists = 0;
		a->data = keep.data;
	}
}

static void step_write(struct worker *w)
{
	int i = pick(w, 1);
	uint32_t off, len;
	struct file *f;
	td_attr a;

	if (i < 0 || w->files[i].directory)
		return;
	f = content(w, i);
	off = below(w, 3) ? below(w, f->size + 1) : below(w, SIZE);
	len = 1 + below(w, below(w, 2) ? 200 : SIZE);
	if (len > SIZE - off)
		len = SIZE - off;
	if (!len)
		return;
	a = look_up(w, i);
	if (off > f->size)
		memset(f->data + f->size, 0, off - f->size);
	memset(f->data + off, (int)below(w, 256), len);
	if (off + len > f->size)
		f->size = off + len;
	for (uint32_t done = 0; done < len;) { /* hit in the middle, it has written less */
		int64_t n = served(td_write(fs, &cred, a.handle, off + done, f->data + off + done, len - done));

		if (n <= 0 || (n < len - done && !faults_a_second))
			fail(w, "a short write: %lld", (long long)n);
		done += (uint32_t)n;
	}
	td_forget(fs, a.handle, 1);
}

static void step_truncate(struct worker *w)
{
	int i = pick(w, 1);
	td_attr a, set = { 0 }, out;
	struct file *f;

	if (i < 0 || w->files[i].directory)
		return;
	f = content(w, i);
	set.size = below(w, 2) ? below(w, f->size + 1) : below(w, SIZE);
	a = look_up(w, i);
	must(w, td_setattr(fs, &cred, a.handle, TD_SET_SIZE, &set, &out), "truncate");
	td_forget(fs, a.handle, 1);
	if (set.size > f->size)
		memset(f->data + f->size, 0, set.size - f->size);
	f->size = (uint32_t)set.size;
}

static void step_fallocate(struct worker *w)
{
	static const uint32_t modes[] = { 0, TD_FALLOC_ZERO_RANGE, TD_FALLOC_PUNCH_HOLE | TD_FALLOC_KEEP_SIZE };
	int i = pick(w, 1), mode = (int)below(w, 3);
	uint32_t off, len, end;
	struct file *f;
	td_attr a;

	if (i < 0 || w->files[i].directory)
		return;
	f = content(w, i);
	off = below(w, SIZE - 1);
	len = 1 + below(w, SIZE - off - 1);
	end = off + len;
	a = look_up(w, i);
	must(w, td_fallocate(fs, &cred, a.handle, off, len, modes[mode]), "fallocate");
	td_forget(fs, a.handle, 1);
	if (mode != 2 && end > f->size) {
		memset(f->data + f->size, 0, end - f->size);
		f->size = end;
	}
	if (mode && off < f->size)
		memset(f->data + off, 0, (end < f->size ? end : f->size) - off);
}

static void check_content(struct worker *w, int i)
{
	const struct file *f = content(w, i);
	uint8_t data[SIZE + 10];
	td_attr a = look_up(w, i);
	int64_t n;

	check_attr(w, i, &a);
	if (!w->files[i].directory) {
		n = served(td_read(fs, a.handle, 0, data, sizeof(data)));
		if (n != f->size || memcmp(data, f->data, f->size))
			fail(w, "name %d: wrong content (%lld of %u bytes)", i, (long long)n, f->size);
	}
	td_forget(fs, a.handle, 1);
}

static void step_read(struct worker *w)
{
	int i = pick(w, 1);

	if (i >= 0)
		check_content(w, i);
}

static void step_absent(struct worker *w)
{
	int i = pick(w, 0), d = (int)below(w, DIRS), err;
	char text[80];
	td_attr a;

	if (i < 0)
		return;
	err = (int)served(td_lookup(fs, &cred, dirs[d], name_of(w, i, text), &a));
	if (err != -TD_ENOENT)
		fail(w, "name %d, which is nowhere: %d", i, err);
}

/* Own names are there exactly once, whatever the others do meanwhile. */
static void step_list(struct worker *w)
{
	int d = (int)below(w, DIRS), n, with = (int)below(w, 2), seen[FILES] = { 0 };
	uint8_t entries[2000];
	td_attr attrs[20];
	uint64_t cookie = 0;
	uint32_t nattrs;
	char text[80];

	while ((n = (int)served((nattrs = 20, td_readdir(fs, &cred, dirs[d], cookie, entries, sizeof(entries), with ? attrs : 0,
							 with ? &nattrs : 0)))) > 0) {
		uint32_t k = 0;

		for (int at = 0; at < n; k++) {
			struct td_dirent e;

			memcpy(&e, entries + at, sizeof(e));
			for (int i = 0; i < FILES; i++) {
				struct td_name name = name_of(w, i, text);

				seen[i] += name.len == e.len && !memcmp(name.bytes, entries + at + sizeof(e), e.len);
			}
			if (with && attrs[k].handle)
				td_forget(fs, attrs[k].handle, 1);
			cookie = e.cookie;
			at += (int)sizeof(e) + (int)((e.len + 7) & ~7u);
		}
	}
	check(w, n, "readdir");
	for (int i = 0; i < FILES; i++)
		if (seen[i] != (w->files[i].exists && w->files[i].dir == d))
			fail(w, "name %d was listed %d times in directory %d", i, seen[i], d);
}

static void step_rest(struct worker *w)
{
	int i = pick(w, 1);
	struct td_fsinfo info;
	td_attr a, out;

	switch (below(w, 40)) {
	case 0:
		must(w, td_sync(fs), "sync");
		break;
	case 1:
		must(w, td_statfs(fs, &info), "statfs");
		break;
	default:
		if (i < 0)
			return;
		a = look_up(w, i);
		must(w, td_getattr(fs, a.handle, &out), "getattr");
		check_attr(w, i, &out);
		if (!below(w, 5))
			must(w, td_fsync(fs, a.handle), "fsync");
		td_forget(fs, a.handle, 1);
	}
}

static void *work(void *arg)
{
	static void (*const steps[])(struct worker *) = {
		step_create, step_create, step_link, step_unlink, step_rename, step_rename, step_write, step_write,
		step_truncate, step_fallocate, step_read, step_read, step_absent, step_list, step_rest,
	};
	struct worker *w = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		steps[below(w, sizeof(steps) / sizeof(steps[0]))](w);
		w->done++;
	}
	return 0;
}

/* ---- What goes on besides */

/* A change that is struck itself fails, and the level is as before. */
static void *change_levels(void *arg)
{
	uint64_t *changes = arg;
	char why[256];

	for (uint32_t i = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		const uint64_t in_recovery = strikes_in_recovery();
		const int err = td_set_level(fs, &levels[i % nlevels], 0, why, sizeof(why));

		if (err && in_recovery == strikes_in_recovery())
			fail(0, "level %s: %s", levels[i % nlevels].name, why);
		*changes += !err;
		pause_ms(3);
	}
	return 0;
}

static void *watch(void *arg)
{
	struct td_status status;
	struct td_fault faults[4];

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		td_get_status(fs, &status);
		td_get_faults(fs, 0, faults, 4);
		pause_ms(10);
	}
	return arg;
}

/*
 * On time, or as soon as the last one has struck. Every eighth strikes again in the recovery, once or twice; once where levels change, for a
 * change whose way back fails, too, leaves the module detached, and what is unlinked meanwhile is not freed.
 */
static void strike(struct worker *r, uint64_t faults)
{
	const uint64_t begin = td__port_monotonic();

	for (uint64_t i = 0; i < faults; i++) {
		const uint64_t due = begin + i * 1000000000 / faults_a_second;
		const uint32_t kind = below(r, PLANT_KINDS);
		const int at_end = kind == PLANT_RECORD || kind == PLANT_RESULT;

		while (td__port_monotonic() < due || strikes_pending(fs))
			pause_ms(1);
		strikes_order(fs, PLANT_ANY, at_end ? (uint32_t)PLANT_END : 1 + below(r, 4), kind, i % 8 ? 0 : nlevels > 1 ? 1 : 1 + below(r, 2));
	}
	while (strikes_pending(fs))
		pause_ms(1);
	strikes_end(fs);
	if (strikes_noted() < faults / 4)
		fail(0, "%llu faults are too few", (unsigned long long)strikes_noted());
	printf("%llu faults in %.1f s, %llu more in recovery\n", (unsigned long long)strikes_noted(),
	       (double)(td__port_monotonic() - begin) / 1e9, (unsigned long long)strikes_in_recovery());
}

/* ---- Begin and end */

static void begin(const char *path)
{
	struct td_mount_params p = { .walls = td__walls, .format = 1, .level = levels[0] };
	static struct td__module *module;
	char why[256] = "", name[20];
	td_attr a;

	if (td__module_open(path, &module, why, sizeof(why)))
		fail(0, "%s", why);
	must(0, td__device_create(BLOCKS, BSIZE, 0, TD_DEV_ZEROED, &dev), "device");
	p.module = module;
	p.device = dev;
	if (td_mount(&p, &fs, why, sizeof(why)))
		fail(0, "%s", why);
	dirs[0] = td_fs_root(fs);
	for (int i = 1; i < DIRS; i++) { /* one in the other */
		snprintf(name, sizeof(name), "dir%d", i);
		must(0, td_make(fs, &cred, dirs[i / 2], (struct td_name){ (uint8_t *)name, (uint32_t)strlen(name) }, TD_DIR, 0755,
				0, (struct td_in){ 0, 0 }, &a),
		     name);
		dirs[i] = a.handle;
	}
}

static void check_references(void)
{
	td__orphans_retry(fs, ~0ull); /* whose freeing was hit twice */
	td__graves_empty(fs);
	for (uint32_t i = 0; i < fs->nvnodes; i++) {
		const struct td__vnode *v = &fs->chunks[i / TD__CHUNK][i % TD__CHUNK];
		uint64_t refs = v == fs->root;

		for (int d = 1; d < DIRS; d++)
			refs += td__vnode_handle(v) == dirs[d];
		if (v->state != TD__FREE && (v->refs != refs || v->kept))
			fail(0, "vnode %u, fid %llu: %llu references, not %llu", i, (unsigned long long)v->rec.fid,
			     (unsigned long long)v->refs, (unsigned long long)refs);
		if (v->state != TD__FREE && v->state != TD__ACTIVE)
			fail(0, "vnode %u is in state %u", i, v->state);
	}
}

static void end(struct worker *workers, uint64_t changes)
{
	struct td_status status;
	const char *wrong;
	uint64_t steps = 0;

	for (int t = 0; t < THREADS; t++) {
		for (int i = 0; i < FILES; i++)
			if (workers[t].files[i].exists)
				check_content(&workers[t], i);
		for (int d = 0; d < 20; d++)
			step_list(&workers[t]);
		steps += workers[t].done;
	}
	td_get_status(fs, &status);
	if ((status.faults && !faults_a_second) || status.state != TD_STATE_RUNNING)
		fail(0, "%llu faults, state %u", (unsigned long long)status.faults, status.state);
	check_references();
	must(0, td_sync(fs), "sync");
	wrong = smfs_sound(td__device_at(dev, 0), BLOCKS - (faults_a_second != 0), 0, 0); /* the last one is for the strikes */
	if (wrong)
		fail(0, "%s", wrong);
	must(0, td_unmount(fs), "unmount");
	printf("seed %llu: %llu steps, %llu changes of level, %llu deadlocks ended, %llu careless, %llu operations done again after EIO\n",
	       (unsigned long long)seed, (unsigned long long)steps, (unsigned long long)changes, (unsigned long long)status.deadlocks,
	       (unsigned long long)status.careless, (unsigned long long)repeated);
}

/* Those of the list that this machine can have. */
static void read_levels(char *list)
{
	char why[256];

	for (char *word = strtok(list, ":"); word && nlevels < LEVELS; word = strtok(0, ":")) {
		struct td_level *l = &levels[nlevels];

		if (td_level_parse(word, l, why, sizeof(why)))
			fail(0, "%s", why);
		if (td__walls[l->wall] && !td__walls[l->wall]->available(why, sizeof(why)))
			nlevels++;
		else
			printf("without %s: %s\n", word, why);
	}
	if (!nlevels)
		exit(77);
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	static char list[200] = "trusted:guarded";
	unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 5;
	pthread_t changer, watcher;
	uint64_t changes = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: stress MODULE [SECONDS [SEED [LEVEL:LEVEL... [FAULTS]]]]\n");
		return 2;
	}
	seed = argc > 3 ? strtoull(argv[3], 0, 0) : 20261;
	if (argc > 4)
		snprintf(list, sizeof(list), "%s", argv[4]);
	faults_a_second = argc > 5 ? (uint32_t)atoi(argv[5]) : 0;
	read_levels(list);
	begin(argv[1]);
	pthread_create(&watcher, 0, watch, 0);
	if (nlevels > 1)
		pthread_create(&changer, 0, change_levels, &changes);
	for (int t = 0; t < THREADS; t++) {
		struct worker *w = &workers[t];

		w->id = t;
		w->random = seed * 0x9e3779b97f4a7c15ull + (uint64_t)t * 77777 + 1;
		for (int i = 0; i < FILES; i++) {
			w->files[i].twin = -1;
			w->files[i].data = malloc(SIZE);
		}
		pthread_create(&w->thread, 0, work, w);
	}
	if (faults_a_second)
		strike(&(struct worker){ .random = seed }, (uint64_t)faults_a_second * seconds);
	else
		sleep(seconds);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int t = 0; t < THREADS; t++)
		pthread_join(workers[t].thread, 0);
	if (nlevels > 1)
		pthread_join(changer, 0);
	pthread_join(watcher, 0);
	end(workers, changes);
	for (int t = 0; t < THREADS; t++)
		for (int i = 0; i < FILES; i++)
			free(workers[t].files[i].data);
	return 0;
}
