/* SPDX-License-Identifier: BSD-2-Clause */
/* Image files as disks. */
#ifndef TADAN_DISK_H
#define TADAN_DISK_H

#include "../../core/port.h"

/*
 * Open an image file. size 0: as it is. Otherwise a missing file is made with that size, and a smaller one
 * is extended (never shortened). The file is locked against a second use until td__port_disk_close().
 * *bytes: its size. *blank: 1 if the first MiB holds nothing but zeroes. 0 or -errno and a reason that names the
 * remedy in why; nothing has been changed then.
 */
int td__port_disk_open(const char *path, uint64_t size, int readonly, struct td__disk **out, uint64_t *bytes,
		       int *blank, char *why, size_t whylen);

/*
 * How long a disk has to answer, milliseconds; 0: as long as it takes. Without this, 30 s; where the file is in memory (tmpfs), always 0. Before the disk is used by more than one
 * thread.
 */
void td__port_disk_limit(struct td__disk *disk, uint32_t ms);

#endif
