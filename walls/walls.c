/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of walls. A program that links this file has them all. */
#include "walls.h"

const struct td__wall *const td__walls[TD_WALL_KINDS] = {
	[TD_WALL_NONE] = &td__wall_none,
	[TD_WALL_PKEY] = &td__wall_pkey,
	[TD_WALL_SFI] = &td__wall_sfi,
	[TD_WALL_PROCESS] = &td__wall_process,
};
