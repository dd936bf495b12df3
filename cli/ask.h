/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking servers on a command's behalf. */
#ifndef TADAN_CLI_ASK_H
#define TADAN_CLI_ASK_H

#include "cli.h"
#include "runtime.h"

/*
 * The answer, or 0 after telling why there is none. `request` is given away. Nothing is told, and entry->gone set, if the
 * mount went away in good order just now.
 */
json_t *td__ask(struct td__runtime_entry *entry, json_t *request);
/* The mount at a path. TD__CLI_OK, or an exit status after telling what is wrong. */
int td__ask_find(const char *path, struct td__runtime_entry *entry);
/* The mount that the command line names, or all; to be freed in any case. */
int td__ask_each(const struct td__cli_args *args, struct td__runtime_entry **entries, size_t *n);

#endif
