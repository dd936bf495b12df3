/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan faults`: what went wrong, as text or JSON, once or as it comes. */
#include "ask.h"
#include "report.h"

#include <stdlib.h>
#include <time.h>

enum option { JSON, FOLLOW };
enum { FOLLOW_MS = 500 };

const struct td__cli_option td__cli_faults_options[] = {
	[JSON] = { "json", 0, NULL, "as JSON, for programs" },
	[FOLLOW] = { "follow", 'F', NULL,
		     "go on showing them as they come, until the mount is gone" },
	{ 0 },
};

/* The numbers of what has been shown: faults and mistakes are counted apart. */
struct shown {
	json_int_t fault, mistake;
};

/* The faults and mistakes of a mount that have not been shown; 0 after telling why it cannot say. */
static json_t *ask(struct td__runtime_entry *entry, const struct shown *shown)
{
	json_t *answer = td__ask(entry, json_pack("{s:s, s:I, s:I}", "do", "faults", "after", shown->fault, "after_mistake",
						  shown->mistake));
	json_t *faults = answer ? json_incref(json_object_get(answer, "faults")) : NULL;

	json_decref(answer);
	return faults;
}

static void print(json_t *faults, struct shown *shown, int as_json)
{
	json_t *fault;
	size_t i;

	json_array_foreach(faults, i, fault)
	{
		if (as_json) {
			json_dumpf(fault, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			td__report_print(fault, stdout);
			putchar('\n');
		}
		*(json_is_string(json_object_get(fault, "mistake")) ? &shown->mistake : &shown->fault) =
			json_integer_value(json_object_get(fault, "number"));
	}
	fflush(stdout);
}

/* One JSON object on a line each, or text. */
static int follow(const struct td__cli_args *args)
{
	const struct timespec pause = { .tv_nsec = FOLLOW_MS * 1000000L };
	struct td__runtime_entry entry = { 0 };
	struct shown shown = { 0 };
	json_t *faults;
	int status;

	if (!args->nwords)
		return td__cli_usage(
			"--follow needs the directory of a mount: tadan faults DIR --follow");
	status = td__ask_find(args->words[0], &entry);
	while (!status && (faults = ask(&entry, &shown))) {
		print(faults, &shown, args->values[JSON] != NULL);
		json_decref(faults);
		nanosleep(&pause, NULL);
	}
	free(entry.dir);
	return !status && entry.gone ? TD__CLI_OK : TD__CLI_FAILED;
}

static int show(const struct td__cli_args *args)
{
	struct td__runtime_entry *entries;
	json_t *all = json_array(), *faults;
	struct shown none = { 0 };
	int status;
	size_t n;

	status = td__ask_each(args, &entries, &n);
	for (size_t i = 0; i < n && entries[i].dir; i++) {
		faults = ask(&entries[i], &none);
		if (faults)
			json_array_extend(all, faults);
		else if (args->nwords || !entries[i].gone)
			status = TD__CLI_FAILED;
		json_decref(faults);
	}
	td__runtime_free(entries, n);
	if (args->values[JSON] && (!status || !args->nwords))
		return td__cli_print_json(all) || status ? TD__CLI_FAILED : TD__CLI_OK;
	print(all, &none, 0);
	if (!status && !json_array_size(all))
		puts("no faults");
	json_decref(all);
	return status;
}

int td__cli_faults(const struct td__cli_args *args)
{
	return args->values[FOLLOW] ? follow(args) : show(args);
}
