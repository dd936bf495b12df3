/* SPDX-License-Identifier: BSD-2-Clause */
/* The walls there are, and module files for them. */
#ifndef TADAN_WALLS_H
#define TADAN_WALLS_H

#include "../core/wall.h"

/* Weak: a wall that this build does not have is 0 in the table. */
extern const struct td__wall td__wall_none __attribute__((weak)), td__wall_pkey __attribute__((weak)),
	td__wall_sfi __attribute__((weak)), td__wall_process __attribute__((weak));

/* By enum td_wall_kind; 0 where a wall does not exist in this build. */
extern const struct td__wall *const td__walls[TD_WALL_KINDS];

/*
 * Open a module by path, or by name: "smfs" is looked up in $TADAN_MODULES (a colon-separated list of folders),
 * beside the program (modules/NAME/NAME.so), and in the installed module folder. The file is validated as
 * a whole. NAME.sandboxed beside it is the module's sandboxed form, which is opened when first wanted; where only that is
 * there, it is the module. 0 or -errno and a reason in why.
 */
int td__module_open(const char *name, struct td__module **out, char *why, size_t size);
void td__module_close(struct td__module *m);

/* Has the module the form that a wall of this kind loads? 0, or -errno and a reason with a remedy. */
int td__module_has_form(const struct td__module *m, uint32_t wall, char *why, size_t size);

/*
 * The line of source that an address stands for, in the file of the module that a wall of this kind loads: "tree.c:120 (node_find)";
 * where that is not known, "function+0x12"; "" if nothing is.
 */
void td__module_line(const struct td__module *m, uint32_t wall, uint64_t address, char *text, size_t size);

#endif
