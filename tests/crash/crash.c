/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The crash test: SMFS on an image whose disk notes everything. A scene is played once; then, for each epoch between two flushes,
 * the machine crashes with any part of the epoch on the disk: all of its subsets if there are few writes, else each one lost,
 * each one kept, and random ones; besides with writes torn at sectors. What is left is opened, recovered and mounted: it must be sound, it must be
 * the state between two operations, and not one from before what was acknowledged. Some recoveries crash, too.
 *
 * With --trouble the disk fails at each act in turn, once or from then on, and then is well again: nothing may be lost that was
 * acknowledged, and in the end everything must be there. With --storm it fails and recovers at random all the time.
 *
 * With --cache hardly anything of the image may be in memory, so blocks are evicted and loaded again all the time.
 *
 *	crash [--seed S] [--most N] [--trouble | --storm] [--level L] [--cache BYTES] MODULE [SCENE | ID]
 *
 * A failure prints its ID: scene:seed:epoch:variant, or with :epoch:variant of the recovery, scene:seed:trouble:act:kind, or
 * scene:seed:storm:number.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/fs.h"
#include "../../core/image.h"
#include "../../walls/walls.h"
#include "disk.h"
#include "scenes.h"
#include "sound.h"
#include "state.h"

enum { BYTES = 6 << 20, BSIZE = 4096, STATES = 128, ALL_OF = 5 };

static struct td__module *module;
static uint64_t passed, failed, most = 400;
static int only_one;
static uint64_t cache;
static const char *play_level = "trusted"; /* of the scenes; recoveries need no protection */
static char why[256];

/* In the port's place (--wrap): time stands still, and the log is quiet. */
void __wrap_td__port_now(int64_t *sec, uint32_t *nsec);
void __wrap_td__port_now(int64_t *sec, uint32_t *nsec)
{
	*sec = 1000000000;
	*nsec = 7;
}

void __wrap_td__port_log(uint32_t priority, const char *line);
void __wrap_td__port_log(uint32_t priority, const char *line)
{
	(void)priority;
	(void)line;
}

static int mount(struct td__disk *disk, const char *level, struct td__fs **fs)
{
	struct td_mount_params p = { .module = module, .walls = td__walls, .cache = cache };
	int blank = 1, err;

	for (uint64_t i = 0; i < 1 << 20 && blank; i++)
		blank = !disk->bytes[i];
	err = td_level_parse(level, &p.level, why, sizeof(why));
	if (!err)
		err = td__image_open(disk, disk->size, BSIZE, 0, &p.device, &blank, why, sizeof(why));
	if (err)
		return err;
	p.format = (uint32_t)blank;
	err = td_mount(&p, fs, why, sizeof(why));
	if (err)
		td__device_destroy(p.device);
	return err;
}

/* ---- A scene, played */

struct play {
	const struct scene *scene;
	uint64_t seed;
	struct td__disk *disk;
	struct state states[STATES];
	uint64_t begun[STATES]; /* how many events there were when the step began */
	uint64_t known[STATES]; /* how many, when it was known to last; ~0: not by this step */
	uint32_t n;
	int troubled;
	uint64_t storm; /* not 0: a seed; other trouble comes, or none, before each step */
};

static void play_free(struct play *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		state_free(&p->states[i]);
	disk_free(p->disk);
	free(p);
}

static struct play *play_new(const struct scene *scene, uint64_t seed)
{
	struct play *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->scene = scene;
	p->seed = seed;
	p->disk = disk_new(BYTES);
	disk_note(p->disk);
	return p;
}

/* ---- Trouble: what the disk answers, for how long, and to what */

static const struct {
	int error, stays, reads, flushes;
} kinds[] = { { -TD_EIO, 0, 0, 0 }, { -TD_ENOSPC, 0, 0, 0 }, { -TD_EIO, 1, 0, 0 }, { -TD_ENOSPC, 1, 0, 0 }, { -TD_EIO, 1, 0, 1 },
	      { -TD_EIO, 0, 1, 0 }, { -TD_EIO, 1, 1, 0 } };
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), WRITES_ONLY = 5 };

/* Without a journal a call that meets a read error halfway stays half done: CAVEATS. */
static uint64_t kinds_here(void)
{
	return !strcmp(play_level, "trusted") ? WRITES_ONLY : KINDS;
}

static void plan(struct td__disk *disk, uint32_t kind, uint64_t act)
{
	struct trouble t = { .error = kinds[kind].error, .stays = kinds[kind].stays, .flushes = kinds[kind].flushes };

	*(kinds[kind].reads ? &t.read_at : &t.at) = act;
	disk_plan(disk, &t);
}

static void turn_weather(struct play *p)
{
	uint64_t r = next_random(&p->storm);

	if (r & 1)
		plan(p->disk, (uint32_t)(r / 2 % kinds_here()), 1 + r / 1024 % 6);
	else
		disk_plan(p->disk, NULL);
}

/* The disk may be in trouble: that ends after the last step, or when the state cannot be read any more. 0, or what is wrong. */
static const char *run(struct play *p, int strict)
{
	struct stage st = { .seed = p->seed, .strict = strict };
	int err = mount(p->disk, play_level, &st.fs);

	if (err)
		return strict ? why : NULL;
	for (; !st.over && p->n < STATES; st.step++) {
		p->begun[p->n] = p->disk->n;
		st.acknowledged = 0;
		if (p->storm)
			turn_weather(p);
		if (p->n) {
			st.step = p->n - 1;
			p->scene->act(&st);
		}
		err = state_take(st.fs, &p->states[p->n]);
		if (err && p->troubled) {
			disk_plan(p->disk, NULL);
			state_free(&p->states[p->n]);
			err = state_take(st.fs, &p->states[p->n]);
		}
		p->known[p->n] = st.acknowledged ? p->disk->n : ~0ull;
		p->n++;
		if (err)
			break;
	}
	if (!err && p->troubled) {
		disk_plan(p->disk, NULL);
		err = td_sync(st.fs);
		if (err)
			snprintf(why, sizeof(why), "the disk is well again, and sync fails: %d", -err);
		p->known[p->n - 1] = p->disk->n;
	}
	for (int i = 0; i < 4; i++)
		if (st.held[i])
			td_forget(st.fs, st.held[i], 1);
	int err2 = td_unmount(st.fs);
	if (err2 && !err) {
		snprintf(why, sizeof(why), "unmount: error %d", -err2);
		err = err2;
	}
	p->disk->noting = 0;
	return err ? why[0] ? why : "the tree cannot be read" : NULL;
}

/* ---- What must be true of a disk after a crash */

static const char *check(struct td__disk *disk, const struct play *p, uint32_t from, uint32_t to)
{
	struct state found = { 0 };
	const char *wrong = NULL;
	struct td__fs *fs;
	uint32_t which = 0;
	int err = mount(disk, "trusted", &fs);

	if (err) {
		snprintf(why + strlen(why), sizeof(why) - strlen(why), " (error %d)", -err);
		return why;
	}
	err = state_take(fs, &found);
	if (err)
		wrong = "the tree cannot be read";
	else
		wrong = state_match(&found, p->states, from, to, p->troubled, &which);
	if (wrong && only_one)
		printf("found:\n%snot before:\n%snot after:\n%s", found.tree, p->states[from].tree, p->states[to].tree);
	if (!wrong && td_sync(fs))
		wrong = "sync fails";
	if (!wrong)
		wrong = sound(fs);
	err = td_unmount(fs);
	if (!wrong && err)
		wrong = "unmount fails";
	state_free(&found);
	return wrong;
}

/* The states that may be found: from the last one that was known to last, to the last one that was begun. */
static void range(const struct play *p, uint64_t events, uint32_t *from, uint32_t *to)
{
	*from = *to = 0;
	for (uint32_t k = 0; k < p->n; k++) {
		if (p->known[k] <= events)
			*from = k;
		if (p->begun[k] <= events)
			*to = k;
	}
}

static void report(const char *wrong, const char *id)
{
	if (!wrong) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s\n", id, wrong);
	fflush(stdout);
}

/* ---- Crashes */

struct epoch {
	uint64_t first, end; /* events */
};

/* A variant below this keeps or loses each event as a whole. */
static uint64_t subsets_of(const struct epoch *e)
{
	uint64_t n = e->end - e->first;

	return n <= ALL_OF ? 1ull << n : 2 + 2 * n;
}

static uint64_t variants_of(const struct epoch *e)
{
	uint64_t n = e->end - e->first;

	return subsets_of(e) + (n <= 1 ? 2 : n <= 8 ? 8 : 16);
}

/* What a variant keeps of an epoch. */
static void keep(struct td__disk *to, const struct event *events, const struct epoch *e, uint64_t variant, uint64_t seed)
{
	uint64_t n = e->end - e->first, random = seed + variant * 1000003;

	for (uint64_t i = 0; i < n; i++) {
		const struct event *ev = &events[e->first + i];
		int kept;

		if (variant >= subsets_of(e)) { /* torn, and lost, and kept */
			uint64_t dice = next_random(&random) % 3;

			if (dice == 0)
				disk_tear(to, ev, &random);
			else if (dice == 1)
				disk_apply(to, ev);
			continue;
		}
		if (n <= ALL_OF)
			kept = (int)(variant >> i & 1);
		else
			kept = variant < 2 ? (int)variant : variant < 2 + n ? variant - 2 != i : variant - 2 - n == i;
		if (kept)
			disk_apply(to, ev);
	}
}

/* The next epoch from an event on; 0: there is none. */
static int epoch_at(const struct event *events, uint64_t n, uint64_t first, struct epoch *e)
{
	if (first >= n)
		return 0;
	e->first = e->end = first;
	while (e->end < n && events[e->end].act != FLUSH)
		e->end++;
	return 1;
}

/* The recovery of what is on the disk crashes itself. */
static void crash_again(const struct play *p, struct td__disk *disk, uint32_t from, uint32_t to, const char *id, const char *wanted)
{
	uint64_t mark = disk_mark(disk), nth = 0, n;
	struct event *events;
	struct epoch e;

	disk_note(disk);
	check(disk, p, from, to);
	events = disk_take_notes(disk, &n);
	disk_revert(disk, mark);
	mark = disk_mark(disk);
	for (uint64_t at = 0; epoch_at(events, n, at, &e); at = e.end + 1, nth++) {
		for (uint64_t v = 0; v < 12 && v * 7 < variants_of(&e); v++) {
			uint64_t before = disk_mark(disk);
			char mine[120];

			snprintf(mine, sizeof(mine), "%s:%llu:%llu", id, (unsigned long long)nth, (unsigned long long)v);
			if (!wanted || !strcmp(wanted, mine)) {
				keep(disk, events, &e, v * 7, p->seed);
				report(check(disk, p, from, to), mine);
			}
			disk_revert(disk, before);
		}
		for (uint64_t i = e.first; i < e.end; i++)
			disk_apply(disk, &events[i]);
	}
	disk_revert(disk, mark);
	events_free(events, n);
}

static uint64_t epochs_of(const struct play *p)
{
	struct epoch e;
	uint64_t n = 0;

	for (uint64_t at = 0; epoch_at(p->disk->events, p->disk->n, at, &e); at = e.end + 1)
		n++;
	return n;
}

static void crash_epoch(const struct play *p, struct td__disk *now, const struct epoch *e, uint64_t nth, uint64_t *dice,
			uint64_t in, const char *wanted)
{
	uint32_t from, to;

	range(p, e->end, &from, &to);
	for (uint64_t v = 0; v < variants_of(e); v++) {
		int nested = v % 23 == 5;
		uint64_t mark;
		char id[80];

		snprintf(id, sizeof(id), "%s:%llu:%llu:%llu", p->scene->name, (unsigned long long)p->seed, (unsigned long long)nth,
			 (unsigned long long)v);
		if (wanted ? strncmp(wanted, id, strlen(id)) : next_random(dice) % in >= most)
			continue;
		mark = disk_mark(now);
		keep(now, p->disk->events, e, v, p->seed);
		if (wanted ? strcmp(wanted, id) : nested)
			crash_again(p, now, from, to, id, wanted);
		if (!wanted || !strcmp(wanted, id))
			report(check(now, p, from, to), id);
		disk_revert(now, mark);
	}
}

static void crash(const struct scene *scene, uint64_t seed, const char *wanted)
{
	struct play *p = play_new(scene, seed);
	const char *wrong = run(p, 1);
	struct td__disk *now = disk_new(BYTES);
	uint64_t dice = seed, nth = 0, in = 32 * epochs_of(p);
	struct epoch e;

	if (wrong)
		report(wrong, scene->name);
	for (uint64_t at = 0; !wrong && epoch_at(p->disk->events, p->disk->n, at, &e); at = e.end + 1, nth++) {
		crash_epoch(p, now, &e, nth, &dice, in, wanted);
		for (uint64_t i = e.first; i < e.end; i++)
			disk_apply(now, &p->disk->events[i]);
	}
	disk_free(now);
	play_free(p);
}

/* ---- Trouble */

/* What would be on the disk if it lost all that no flush has confirmed, or nothing. */
static struct td__disk *left_of(const struct play *p, uint64_t events, int lost)
{
	struct td__disk *d = disk_new(BYTES);
	uint64_t last = 0;

	for (uint64_t i = 0; i < events; i++)
		if (p->disk->events[i].act == FLUSH)
			last = i;
	for (uint64_t i = 0; i < events; i++)
		if (!lost || (i < last && !p->disk->events[i].lost))
			disk_apply(d, &p->disk->events[i]);
	return d;
}

static const char *troubled(struct play *p)
{
	const char *wrong;
	uint32_t from, to;

	p->troubled = 1;
	wrong = run(p, 0);
	if (wrong || !p->n)
		return wrong;
	for (int lost = 0; lost < 2 && !wrong; lost++) {
		struct td__disk *d = left_of(p, p->disk->n, lost);

		wrong = check(d, p, p->n - 1, p->n - 1);
		disk_free(d);
	}
	/* And if the machine had crashed when the last step was over, before it was well again. */
	for (uint32_t k = 1; k < p->n && !wrong; k++) {
		struct td__disk *d;

		if (p->known[k] == ~0ull)
			continue;
		range(p, p->known[k], &from, &to);
		d = left_of(p, p->known[k], 1);
		wrong = check(d, p, from, to);
		disk_free(d);
	}
	return wrong;
}

static void trouble(const struct scene *scene, uint64_t seed, const char *wanted)
{
	struct play *p = play_new(scene, seed);
	uint64_t acts, step, nkinds = kinds_here();

	run(p, 1);
	acts = p->disk->acts > p->disk->reads ? p->disk->acts : p->disk->reads;
	play_free(p);
	step = most >= acts * nkinds ? 1 : acts * nkinds / most + 1;
	for (uint64_t n = wanted ? 0 : seed % step; n < acts * nkinds; n += wanted ? 1 : step) {
		char id[80];

		snprintf(id, sizeof(id), "%s:%llu:trouble:%llu:%llu", scene->name, (unsigned long long)seed,
			 (unsigned long long)(n / nkinds + 1), (unsigned long long)(n % nkinds));
		if (wanted && strcmp(wanted, id))
			continue;
		why[0] = 0;
		p = play_new(scene, seed);
		plan(p->disk, (uint32_t)(n % nkinds), n / nkinds + 1);
		report(troubled(p), id);
		play_free(p);
	}
}

static void storm(const struct scene *scene, uint64_t seed, const char *wanted)
{
	for (uint64_t n = 0; n < most || wanted; n++) {
		struct play *p;
		char id[80];

		snprintf(id, sizeof(id), "%s:%llu:storm:%llu", scene->name, (unsigned long long)seed, (unsigned long long)n);
		if (wanted && strcmp(wanted, id))
			continue;
		why[0] = 0;
		p = play_new(scene, seed);
		p->storm = seed << 32 | (n + 1);
		report(troubled(p), id);
		play_free(p);
		if (wanted)
			break;
	}
}

/* ---- */

static int is_for(const struct scene *s, const char *what)
{
	size_t len = strcspn(what, ":");

	return strlen(s->name) == len && !strncmp(s->name, what, len);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", 1, 0, 's' }, { "most", 1, 0, 'm' }, { "trouble", 0, 0, 't' },
						{ "storm", 0, 0, 'S' }, { "level", 1, 0, 'l' }, { "cache", 1, 0, 'c' }, { 0 } };
	uint64_t seed = 1;
	void (*play)(const struct scene *scene, uint64_t seed, const char *wanted) = crash;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'm')
			most = strtoull(optarg, NULL, 0);
		else if (c == 't')
			play = trouble;
		else if (c == 'S')
			play = storm;
		else if (c == 'l')
			play_level = optarg;
		else if (c == 'c')
			cache = strtoull(optarg, NULL, 0);
		else
			return 2;
	const char *what = optind + 1 < argc ? argv[optind + 1] : NULL, *id = what && strchr(what, ':') ? what : NULL;
	if (optind == argc || td__module_open(argv[optind], &module, why, sizeof(why))) {
		fprintf(stderr, "crash: %s\n", optind == argc ? "which module?" : why);
		return 2;
	}
	if (id) {
		seed = strtoull(strchr(id, ':') + 1, NULL, 0);
		play = strstr(id, ":trouble:") ? trouble : strstr(id, ":storm:") ? storm : crash;
		only_one = 1;
	}
	for (const struct scene *s = scenes; s->name; s++) {
		uint64_t before = passed, bad = failed;

		if (what && !is_for(s, what))
			continue;
		for (uint64_t again = 0; again < (s->random && !id ? 4 : 1); again++)
			play(s, seed + again, id);
		printf("%s: %llu, %llu failed\n", s->name, (unsigned long long)(passed - before + failed - bad),
		       (unsigned long long)(failed - bad));
	}
	td__module_close(module);
	printf("%llu passed, %llu failed, 0 skipped\n", (unsigned long long)passed, (unsigned long long)failed);
	return failed != 0;
}
