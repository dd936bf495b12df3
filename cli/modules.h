/* SPDX-License-Identifier: BSD-2-Clause */
/* The module files in the folders where modules are looked up by name. */
#ifndef TADAN_CLI_MODULES_H
#define TADAN_CLI_MODULES_H

#include <stddef.h>

struct td__cli_files {
	char **names, **paths; /* as a person names the module, and its file */
	size_t n;
};

/* In the order in which a name is looked up, the first of each name only. */
void td__cli_find_modules(struct td__cli_files *out);
void td__cli_free_modules(struct td__cli_files *files);

#endif
