/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mount for unit tests of the core, with a wall behind which the test itself plays the module: enter() calls the
 * test's function for the operation, on the thread that made the call.
 */
#ifndef TEST_CORE_FAKE_H
#define TEST_CORE_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/fs.h"
#include "../../core/journal.h"
#include "fs_services.h"

/* What the module does. Returns its result; 0 there: success with the frame as it came. */
typedef int (*fake_op)(struct td__call *c);

extern fake_op fake_ops[TD_OP_MAX];

/* Where the module calls services from, as the wall says; 0: it does not know. */
extern uint64_t fake_place;

/* Opens and closes pages for a level with heap=pages; 0: there are none to open. */
extern int (*fake_pages)(struct td__domain *d, uint64_t at, uint64_t size, int open);

/* Mount at `level` on a device of 64 blocks. The operations mount and getvnode have answers of their own: fid 1 is the root,
 * fids up to 1000 are files with one link, all others are stale. */
struct td__fs *fake_mount(const char *level);
/* The same on a server; 0: none. */
struct td__fs *fake_mount_on(const char *level, const struct td__address *server);

/* The same on a disk, which belongs to the mount from now on. */
struct td__fs *fake_mount_disk(const char *level, struct td__disk *disk);

static inline struct td_name fake_name(const char *s)
{
	return (struct td_name){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

#endif
