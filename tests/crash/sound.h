/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a mounted file system sound, by its module's own check? 0, or the first thing that is wrong. Nobody else uses it. */
#ifndef CRASH_SOUND_H
#define CRASH_SOUND_H

#include "../../core/mount.h"

const char *sound(struct td__fs *fs);

#endif
