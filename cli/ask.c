/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that ask one mount, or all of them. */
#include "ask.h"
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void ended(const char *dir)
{
	td__cli_error("%s: the server of this mount has ended; clear it: tadan umount %s", dir,
		      dir);
}

static void explain(struct td__runtime_entry *entry, const char *why)
{
	struct td__runtime_entry now = { 0 };

	if (!td__runtime_find(entry->dir, &now))
		entry->gone = 1;
	else if (!now.alive)
		ended(entry->dir);
	else
		td__cli_error("%s: %s", entry->dir, why);
	free(now.dir);
}

json_t *td__ask(struct td__runtime_entry *entry, json_t *request)
{
	char why[TD__CLI_WHY];
	json_t *answer;

	if (!entry->alive) {
		json_decref(request);
		ended(entry->dir);
		return NULL;
	}
	answer = td__control_ask(entry->socket, request, why, sizeof(why));
	if (!answer)
		explain(entry, why);
	return answer;
}

static int not_ours(const char *dir)
{
	struct td__cli_mounted m;

	if (td__cli_mounted(dir, &m) && td__cli_is_ours(&m))
		td__cli_error("%s: this mount is another user's: only he may ask it", dir);
	else
		td__cli_error(
			"%s: Tadan has mounted nothing there; `tadan status` shows what is mounted",
			dir);
	return TD__CLI_FAILED;
}

int td__ask_find(const char *path, struct td__runtime_entry *entry)
{
	char *dir = td__cli_resolve(path);
	int status = TD__CLI_OK;

	if (!dir) {
		td__cli_error("%s: %s", path, strerror(errno));
		return TD__CLI_FAILED;
	}
	if (!td__runtime_find(dir, entry) || strcmp(entry->dir, dir))
		status = not_ours(dir);
	free(dir);
	return status;
}

int td__ask_each(const struct td__cli_args *args, struct td__runtime_entry **entries, size_t *n)
{
	if (!args->nwords) {
		*entries = td__runtime_list(n);
		return TD__CLI_OK;
	}
	*n = 1;
	*entries = calloc(1, sizeof(**entries));
	return *entries ? td__ask_find(args->words[0], *entries) : TD__CLI_FAILED;
}
