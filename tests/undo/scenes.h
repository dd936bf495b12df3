/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenes of the undo test: see scenes.c. */
#ifndef UNDO_SCENES_H
#define UNDO_SCENES_H

#include <string.h>

#include "world.h"

enum {
	SCENE_ON_DISK = 1, /* on an image file, of which nothing is cached */
	SCENE_FORGETS = 2, /* has nobody who could be told of an error: the vnode goes in any case */
};

struct scene {
	const char *name;
	int (*act)(struct world *w); /* 0, or an error */
	uint32_t flags;
	int (*prepare)(struct world *w); /* before the state is taken; may be 0 */
};

extern const struct scene scenes[]; /* ended by a null name */

#endif
