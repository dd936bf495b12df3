/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan modules`: the modules that can be mounted by name, and the walls that each can have here. */
#include "cli.h"
#include "modules.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "../walls/walls.h"

enum option { JSON };

/* A hosted module runs where libc can follow it. */
static int may_have(const struct td__module *m, uint32_t kind)
{
	return !(m->info.flags & TD_MODULE_HOSTED) || kind == TD_WALL_NONE ||
	       kind == TD_WALL_PROCESS;
}

static json_t *walls(const struct td__module *m)
{
	char why[TD__CLI_WHY];
	json_t *list = json_array();

	for (uint32_t kind = 0; kind < TD_WALL_KINDS; kind++)
		if (td__walls[kind] && may_have(m, kind) && !td__module_has_form(m, kind, why, sizeof(why)) &&
		    !td__walls[kind]->available(why, sizeof(why)))
			json_array_append_new(list, json_string(td_wall_names[kind]));
	return list;
}

/* A file that is no good module is shown as well, with the reason. */
static json_t *about(const char *name, const char *path)
{
	char why[TD__CLI_WHY] = "";
	struct td__module *m;
	json_t *to;

	if (td__module_open(path, &m, why, sizeof(why)))
		return json_pack("{s:o, s:o, s:o}", "name", td__cli_json_text(name), "file",
				 td__cli_json_text(path), "error", td__cli_json_text(why));
	to = json_pack("{s:o, s:s, s:i, s:o, s:b, s:b, s:o, s:o}", "name", td__cli_json_text(name),
		       "interface", m->info.interface == TD_INTERFACE_FS ? "fs" : "?", "version",
		       (int)m->info.version, "build",
		       json_sprintf("%016llx", (unsigned long long)m->build), "hosted",
		       (int)(m->info.flags & TD_MODULE_HOSTED), "yields",
		       (int)(m->info.flags & TD_MODULE_YIELDS), "walls", walls(m), "file",
		       td__cli_json_text(path));
	td__module_close(m);
	return to;
}

static void add_row(struct td__table *t, json_t *m)
{
	const char *error = json_string_value(json_object_get(m, "error"));
	json_t *list = json_object_get(m, "walls"), *wall;
	char names[64] = "";
	size_t i;

	json_array_foreach(list, i, wall)
	{
		strcat(names, i ? "," : "");
		strcat(names, json_string_value(wall));
	}
	td__table_add(t, "%s", json_string_value(json_object_get(m, "name")));
	if (error)
		td__table_add(t, "unusable");
	else
		td__table_add(t, "%s %lld", json_string_value(json_object_get(m, "interface")),
			      (long long)json_integer_value(json_object_get(m, "version")));
	td__table_add(t, "%s", error ? "-" : names);
	td__table_add(t, "%s", error ? "-" : json_string_value(json_object_get(m, "build")));
	td__table_add(t, "%s", error ? error : json_string_value(json_object_get(m, "file")));
}

static void print_table(json_t *all)
{
	static const char *const heads[] = { "MODULE", "INTERFACE", "WALLS", "BUILD", "FILE" };
	struct td__table t = { .columns = sizeof(heads) / sizeof(heads[0]) };
	json_t *m;
	size_t i;

	if (!json_array_size(all)) {
		printf("no modules: none in $TADAN_MODULES, beside the program, or in %s\n",
		       TADAN_MODULE_DIR);
		return;
	}
	for (i = 0; i < t.columns; i++)
		td__table_add(&t, "%s", heads[i]);
	json_array_foreach(all, i, m) add_row(&t, m);
	td__table_print(&t);
}

int td__cli_modules(const struct td__cli_args *args)
{
	struct td__cli_files files;
	json_t *all = json_array();

	td__cli_find_modules(&files);
	for (size_t i = 0; i < files.n; i++)
		json_array_append_new(all, about(files.names[i], files.paths[i]));
	td__cli_free_modules(&files);
	if (args->values[JSON])
		return td__cli_print_json(all);
	print_table(all);
	json_decref(all);
	return TD__CLI_OK;
}
