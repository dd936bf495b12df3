/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan level`: move a mount to another level. */
#include "ask.h"
#include "../core/auto.h"

#include <stdlib.h>

int td__cli_set_level(const struct td__cli_args *args)
{
	struct td__runtime_entry entry = { 0 };
	const char *text = args->words[1];
	char why[TD__CLI_WHY], pause[32];
	struct td_auto_rule rule;
	struct td_level level;
	json_t *answer = NULL;

	if (td_auto_is(text) ? td_auto_parse(text, &rule, why, sizeof(why)) : td__cli_level(text, &level, why, sizeof(why)))
		return td__cli_usage("%s: %s", text, why);
	if (!td__ask_find(args->words[0], &entry))
		answer = td__ask(&entry, json_pack("{s:s, s:o}", "do", "level", "level",
						   td__cli_json_text(text)));
	if (answer) {
		td__cli_show_time((uint64_t)json_integer_value(json_object_get(answer, "pause_ns")),
				  pause);
		td__cli_print_safe(entry.dir, stdout);
		printf(": %s -> %s, calls waited %s\n",
		       json_string_value(json_object_get(answer, "from")),
		       json_string_value(json_object_get(answer, "to")), pause);
	}
	if (entry.gone)
		td__cli_error("%s: was unmounted just now", entry.dir);
	free(entry.dir);
	json_decref(answer);
	return answer ? TD__CLI_OK : TD__CLI_FAILED;
}
