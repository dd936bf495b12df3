/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases of wrong uses, run one after the other: see uses.h. */
#include <stdlib.h>
#include <string.h>

#include "../../walls/walls.h"
#include "uses.h"

struct uses uses;

uint64_t more(enum td_mistake kind)
{
	td_get_status(uses.fs, &uses.after);
	return uses.after.mistakes[kind] - uses.before.mistakes[kind];
}

uint32_t fault(void)
{
	struct td_fault f[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(uses.fs, uses.before.faults, f, TD_FAULTS_KEPT);

	return n ? f[n - 1].kind : 0;
}

int checks_deeply(void)
{
	return uses.level.check == TD_CHECK_DEEP;
}

int in_process(void)
{
	return uses.level.wall == TD_WALL_PROCESS;
}

static int parse(const char *knobs, char *text, size_t size, char *why, size_t room)
{
	snprintf(text, size, "%s,restart=1000/1s%s%s", uses.name, knobs[0] ? "," : "", knobs);
	return td_level_parse(text, &uses.level, why, room);
}

int move_to(const char *knobs)
{
	char text[128], why[256];

	if (parse(knobs, text, sizeof(text), why, sizeof(why)) || td_set_level(uses.fs, &uses.level, 0, why, sizeof(why))) {
		snprintf(uses.said, sizeof(uses.said), "%s: %s", text, why);
		return 1;
	}
	td_get_status(uses.fs, &uses.before);
	return 0;
}

void uses_read(int argc, char **argv)
{
	const struct td__wall *wall;
	char text[128], why[512] = "";

	uses.program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (argc < 3) {
		fprintf(stderr, "usage: %s FOLDER LEVEL [CASE | --table]\n", uses.program);
		exit(2);
	}
	uses.folder = argv[1];
	uses.name = argv[2];
	if (parse("", text, sizeof(text), why, sizeof(why)) || !(wall = td__walls[uses.level.wall]) || wall->available(why, sizeof(why))) {
		printf("skipped: %s: %s\n0 passed, 0 failed, 1 skipped\n", uses.name, why);
		exit(77);
	}
}

void uses_open(const char *module, const char *server)
{
	char path[4096], text[128], why[512] = "";
	struct td_volume_params params = { .module = path, .level = text, .size = 1 << 20, .server = server };

	snprintf(path, sizeof(path), "%s/%s.so", uses.folder, module);
	if (parse("", text, sizeof(text), why, sizeof(why)) || td_volume_open(&params, &uses.volume, why, sizeof(why))) {
		fprintf(stderr, "%s: %s\n", uses.program, why);
		exit(1);
	}
	uses.fs = td_volume_fs(uses.volume);
}

/* All that was seen since the case began; its own looks may have begun anew. */
static void print_row(const char *about, const struct td_status *first)
{
	const struct td_status *after = &uses.after;

	td_get_status(uses.fs, &uses.after);
	printf("%s\t%s%scontained%s\n", about, after->faults > first->faults ? "detected, " : "",
	       after->faults == first->faults && after->careless > first->careless ? "counted, " : "",
	       after->faults > first->faults ? ", recovered" : "");
}

static int run_one(const struct use_case *c, int table, int (*clean)(void))
{
	struct td_status first;
	int result;

	uses.said[0] = 0;
	td_get_status(uses.fs, &first);
	result = move_to("") ? 1 : c->run();
	if (result == NOTHING_STOPS_IT) {
		if (table)
			printf("%s\tnothing\n", c->name);
		return result;
	}
	if (result || clean()) {
		printf("FAILED: %s at %s: %s; again: %s %s %s \"%s\"\n", c->name, uses.name, uses.said, uses.program, uses.folder,
		       uses.name, c->name);
		return 1;
	}
	if (table)
		print_row(c->name, &first);
	return 0;
}

int uses_run(char **argv, const struct use_case *cases, size_t n, int (*clean)(void))
{
	const char *only = argv[3];
	int table = only && !strcmp(only, "--table"), count[3] = { 0 };

	for (size_t i = 0; i < n; i++)
		if (!only || table || !strcmp(only, cases[i].name))
			count[run_one(&cases[i], table, clean)]++;
	td_volume_close(uses.volume);
	if (!count[0] && !count[1] && !count[2])
		fprintf(stderr, "%s: no case is called %s\n", uses.program, only);
	printf("%d passed, %d failed, %d skipped\n", count[0], count[1], count[NOTHING_STOPS_IT]);
	return count[1] != 0 || !(count[0] + count[2]);
}
