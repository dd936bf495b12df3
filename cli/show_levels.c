/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan levels`: which levels there are, and which of them this machine can have. */
#include "cli.h"
#include "report.h"

#include <string.h>

#include "../walls/walls.h"

enum option { JSON };

/* 1: this machine has it; else why says what is missing. */
static int available(uint32_t kind, char *why, size_t size)
{
	why[0] = 0;
	if (td__walls[kind])
		return !td__walls[kind]->available(why, size);
	snprintf(why, size, "this build has no wall %s", td_wall_names[kind]);
	return 0;
}

static json_t *about(const struct td_level_about *a)
{
	char why[TD__CLI_WHY], text[512];
	struct td_level level;
	int here;

	if (td_level_parse(a->name, &level, why, sizeof(why)))
		return NULL;
	td_level_format(&level, text, sizeof(text));
	here = available(level.wall, why, sizeof(why));
	return json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", a->name, "purpose", a->purpose,
			 "available", here, "reason", here ? json_null() : td__cli_json_text(why),
			 "knobs", td__report_knobs(text));
}

static void print_knobs(json_t *level)
{
	json_t *knobs = json_object_get(level, "knobs"), *value;
	const char *name;

	printf("            ");
	json_object_foreach(knobs, name, value) printf(" %s=%s", name, json_string_value(value));
	putchar('\n');
}

static void print(json_t *level)
{
	const char *reason = json_string_value(json_object_get(level, "reason"));

	printf("%s%-12s%s %s\n", td__cli_style(stdout, reason ? TD__YELLOW : TD__GREEN),
	       json_string_value(json_object_get(level, "name")), td__cli_style(stdout, TD__PLAIN),
	       json_string_value(json_object_get(level, "purpose")));
	print_knobs(level);
	if (reason)
		printf("             not on this machine: %s\n", reason);
}

int td__cli_levels(const struct td__cli_args *args)
{
	json_t *all = json_array(), *level;
	size_t i;

	for (const struct td_level_about *a = td_levels; a->name; a++)
		json_array_append_new(all, about(a));
	if (args->values[JSON])
		return td__cli_print_json(all);
	json_array_foreach(all, i, level) print(level);
	puts("auto         do not know yet: isolated at first; clean work moves it down, a fault up (tadan-level(1))");
	puts("\nTurn single knobs behind a name: --level isolated,journal=locks,deadlock=1s");
	json_decref(all);
	return TD__CLI_OK;
}
