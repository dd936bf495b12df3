/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Undo is exact. For every scene, every operation of the module that it leads to, every service call of that
 * operation and its end:
 *
 *   a fault that strikes each time:  the scene fails with EIO, and the state of all kernel objects is the one before
 *   a fault that strikes once:       the scene succeeds, and the state is the one after a run without a fault
 *
 * How many services there are is not written down: the places are tried in order until the fault does not strike. A module that was just
 * started again reads blocks that it would have had copies of with shared=unmapped, so there the last places of a call
 * may be none in a world that is new: what the call does is compared all the same.
 *
 *   undo MODULE [LEVEL [SCENE [OPERATION [AT [KIND [always|once]]]]]]
 *
 * SCENE may also be a part of all, as in 2/4; AT is the number of the service, or end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "scenes.h"

enum { PLACES_MAX = 5000 };

static const char *const levels[] = { "guarded", "walled", "sandboxed", "isolated", "debug", 0 };
static const char *const kinds[PLANT_KINDS] = { "null", "trap", "record", "result" };

/* What is being tried, for messages and to be replayed alone. */
static struct {
	const char *level;
	const struct scene *scene;
	uint32_t op, at, kind;
	int once, copies, ended; /* ended: a call in a new world has no place so far on */
} now;

static struct {
	const char *level, *scene, *op, *kind, *mode;
	long at; /* 0: all */
	unsigned int part, parts;
} only;

static uint32_t passed, failed, skipped;

static const char *place(uint32_t at)
{
	static char text[16];

	snprintf(text, sizeof(text), at == PLANT_END ? "end" : "%u", at);
	return text;
}

static void verdict(const char *wrong)
{
	if (!wrong) {
		passed++;
		return;
	}
	failed++;
	printf("FAILED: %s\n   replay: undo MODULE %s %s %s %s %s %s\n", wrong, now.level, now.scene->name,
	       td__op_names[now.op], place(now.at), kinds[now.kind], now.once ? "once" : "always");
}

static int wanted(void)
{
	return (!only.op || !strcmp(only.op, td__op_names[now.op])) &&
	       (!only.at || only.at == (long)now.at) && (!only.kind || !strcmp(only.kind, kinds[now.kind])) &&
	       (!only.mode || !strcmp(only.mode, now.once ? "once" : "always"));
}

/* ---- One fault */

struct run {
	int err;
	uint64_t faults;
	struct state state;
	char wrong[200]; /* "": nothing */
};

static void complain(struct run *r, const char *what, const char *more)
{
	if (!r->wrong[0])
		snprintf(r->wrong, sizeof(r->wrong), "%s%s", what, more);
}

/* Act with a fault planted, and take the state. */
static void run(struct world *w, uint32_t at, int once, struct run *r)
{
	uint64_t faults = w->fs->nfaults;
	const char *wrong;

	memset(r, 0, sizeof(*r));
	plan_fault(w, now.op, at, now.kind, once);
	r->err = now.scene->act(w);
	plan_fault(w, 0, 0, 0, 0);
	r->faults = w->fs->nfaults - faults;
	state_take(w, &r->state);
	wrong = state_wrong(w);
	if (wrong)
		complain(r, "after the call ", wrong);
}

static void check_kind(struct world *w, struct run *r)
{
	struct td_fault f = w->fs->faults[(w->fs->nfaults - 1) % TD_FAULTS_KEPT];
	static const uint32_t expected[PLANT_KINDS][2] = { { TD_FAULT_ACCESS, TD_FAULT_WALL },
							   { TD_FAULT_ILLEGAL, TD_FAULT_ILLEGAL },
							   { TD_FAULT_RECORD, TD_FAULT_RESULT },
							   { TD_FAULT_RESULT, TD_FAULT_RESULT } };

	if (f.kind != expected[now.kind][0] && f.kind != expected[now.kind][1])
		complain(r, "the fault was reported as ", td_fault_names[f.kind]);
	if (f.op != now.op)
		complain(r, "the fault was reported in ", td__op_names[f.op]);
}

static void check_fs(struct world *w, struct run *r)
{
	const char *wrong = r->wrong[0] ? 0 : world_check(w);

	if (wrong)
		complain(r, "the file system afterwards: ", wrong);
}

static void compare(struct run *r, const struct state *should, const char *when, int blocks_only)
{
	char where[160];

	if (!r->wrong[0] && state_differs(&r->state, should, blocks_only, where, sizeof(where)))
		snprintf(r->wrong, sizeof(r->wrong), "not the state %s: %s", when, where);
}

static int make_world(struct world *w)
{
	struct td_level level;
	char text[64], why[200];

	snprintf(text, sizeof(text), "%s,restart=1000000/1s", now.level);
	if (td_level_parse(text, &level, why, sizeof(why)) || world_open(w, &level, now.scene->flags & SCENE_ON_DISK)) {
		verdict(w->why[0] ? w->why : "the world cannot be made");
		return -1;
	}
	if (now.scene->prepare && now.scene->prepare(w)) {
		verdict("the scene cannot be prepared");
		return -1;
	}
	now.copies = level.shared == TD_SHARED_UNMAPPED;
	world_now += 1000;
	return 0;
}

/* A fault that strikes each time. Returns how often it did. */
static uint64_t always(struct world *w, const struct state *before, uint32_t at)
{
	int forgets = now.scene->flags & SCENE_FORGETS;
	struct run r;

	now.at = at;
	now.once = 0;
	if (!wanted())
		return 1;
	run(w, at, 0, &r);
	if (r.faults) {
		if (r.faults % 2)
			complain(&r, "the call was not made twice", "");
		if (r.err != (forgets ? 0 : -TD_EIO))
			complain(&r, "the call did not fail with EIO", "");
		check_kind(w, &r);
		if (now.op != TD_OP_inactive_many) /* else each file has been freed by itself */
			compare(&r, before, "before the call", forgets);
		verdict(r.wrong[0] ? r.wrong : 0);
	}
	state_free(&r.state);
	return r.faults;
}

static void once(const struct run *after, uint32_t at)
{
	struct world w;
	struct run r;

	now.at = at;
	now.once = 1;
	if (!wanted() || make_world(&w))
		return;
	run(&w, at, 1, &r);
	if (at != PLANT_END && at > 1 && now.copies && !r.faults)
		now.ended = 1;
	if (r.faults != (at == PLANT_END || !now.ended))
		complain(&r, "the fault did not strike once", "");
	if (r.err)
		complain(&r, "the call failed although it was made again", "");
	compare(&r, &after->state, "after the call", 0);
	if (r.faults)
		check_kind(&w, &r);
	check_fs(&w, &r);
	verdict(r.wrong[0] ? r.wrong : 0);
	state_free(&r.state);
	world_close(&w);
}

/* ---- All places of one operation in one scene */

/* Where it strikes each time, in a world that must not change by it. A forgotten vnode is forgotten once. */
static uint32_t all_always(void)
{
	int forgets = now.scene->flags & SCENE_FORGETS;
	struct state before;
	struct world w;
	uint32_t at = 0;

	if (make_world(&w))
		return 0;
	state_take(&w, &before);
	for (now.kind = 0; now.kind < PLANT_KINDS && !forgets; now.kind++)
		if (!always(&w, &before, PLANT_END))
			verdict("no fault at the end of the operation");
	for (;;) {
		now.kind = at % 2;
		if (++at > PLACES_MAX || (only.at && at > only.at) || !always(&w, &before, at))
			break;
		if (forgets) {
			world_close(&w);
			state_free(&before);
			if (make_world(&w))
				return 0;
			state_take(&w, &before);
		}
	}
	if (at > PLACES_MAX)
		verdict("there is no end of services");
	state_free(&before);
	world_close(&w);
	return at - 1;
}

static void try_op(const struct run *after)
{
	uint32_t places = all_always();

	now.ended = 0;
	for (uint32_t at = 1; at <= places; at++) {
		now.kind = (at - 1) % 2;
		once(after, at);
	}
	for (now.kind = 0; now.kind < PLANT_KINDS; now.kind++)
		once(after, PLANT_END);
	if (only.scene)
		printf("   %s %s %s: %u services\n", now.level, now.scene->name, td__op_names[now.op], places);
}

/* Without a fault: what the state is afterwards, and which operations take part. */
static void try_scene(void)
{
	struct td_status before, status;
	struct world w;
	struct run after;

	now.op = now.at = now.kind = 0;
	if (make_world(&w))
		return;
	td_get_status(w.fs, &before);
	memset(&after, 0, sizeof(after));
	after.err = now.scene->act(&w);
	td_get_status(w.fs, &status);
	state_take(&w, &after.state);
	check_fs(&w, &after);
	if (after.err)
		complain(&after, "the scene fails without a fault", "");
	world_close(&w);
	verdict(after.wrong[0] ? after.wrong : 0);
	for (now.op = 1; now.op < TD_OP_MAX && !after.wrong[0]; now.op++)
		if (status.calls_by_op[now.op] != before.calls_by_op[now.op])
			try_op(&after);
	state_free(&after.state);
}

/* ---- All */

static int available(const char *name, char *why, size_t size)
{
	extern const struct td__wall *const td__walls[TD_WALL_KINDS];
	struct td_level level;

	if (td_level_parse(name, &level, why, size))
		return 0;
	if (!td__walls[level.wall]) {
		snprintf(why, size, "this build has no wall '%s'", td_wall_names[level.wall]);
		return 0;
	}
	return !td__walls[level.wall]->available(why, size) && !world_lacks_form(level.wall, why, size);
}

/* A first mount that fails leaves the device blank. */
static uint64_t try_mount(const struct td_level *level, uint32_t at)
{
	uint64_t left;
	int err;

	now.at = at;
	if (!wanted())
		return 1;
	err = world_first_mount(level, at, now.kind, &left);
	if (err && left)
		verdict("a mount that failed has left something on the device");
	else if (err)
		verdict(err == -TD_EIO ? 0 : "the mount did not fail with EIO");
	return err != 0;
}

static void try_mounts(void)
{
	static const struct scene mount = { "mount", 0, 0, 0 };
	struct td_level level;
	uint32_t at = 0;
	char why[200];

	now.scene = &mount;
	now.op = TD_OP_mount;
	now.once = 0;
	if (td_level_parse(now.level, &level, why, sizeof(why)))
		return;
	for (now.kind = 0; now.kind < PLANT_KINDS; now.kind++)
		if (!try_mount(&level, PLANT_END))
			verdict("no fault at the end of the operation");
	do
		now.kind = at % 2;
	while (++at < PLACES_MAX && !(only.at && at > only.at) && try_mount(&level, at));
}

static int scene_wanted(void)
{
	if (only.parts)
		return (now.scene - scenes) % only.parts == only.part % only.parts;
	return !only.scene || !strcmp(only.scene, now.scene->name);
}

static void try_level(void)
{
	char why[256] = "";
	uint32_t was = passed, wrong = failed;

	if (!available(now.level, why, sizeof(why))) {
		skipped++;
		printf("skipped: %s: %s\n", now.level, why);
		return;
	}
	if (only.parts ? only.part == 1 : !only.scene || !strcmp(only.scene, "mount"))
		try_mounts();
	for (now.scene = scenes; now.scene->name; now.scene++)
		if (scene_wanted())
			try_scene();
	printf("%s: %u passed, %u failed\n", now.level, passed - was, failed - wrong);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: undo MODULE [LEVEL [SCENE [OPERATION [AT [KIND [always|once]]]]]]\n");
		return 2;
	}
	setvbuf(stdout, 0, _IOLBF, 0);
	world_module = argv[1];
	only.level = argc > 2 ? argv[2] : 0;
	only.scene = argc > 3 ? argv[3] : 0;
	if (only.scene && sscanf(only.scene, "%u/%u", &only.part, &only.parts) == 2)
		only.scene = 0;
	only.op = argc > 4 ? argv[4] : 0;
	only.at = argc > 5 ? strcmp(argv[5], "end") ? atol(argv[5]) : (long)PLANT_END : 0;
	only.kind = argc > 6 ? argv[6] : 0;
	only.mode = argc > 7 ? argv[7] : 0;
	for (uint32_t i = 0; levels[i]; i++)
		if (!only.level || !strcmp(only.level, levels[i])) {
			now.level = levels[i];
			try_level();
		}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : passed ? 0 : 77;
}
