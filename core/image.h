/* SPDX-License-Identifier: BSD-2-Clause */
/* Image files: header, log, device. IMAGE.md describes the bytes; log.h, how they are used. */
#ifndef TADAN_IMAGE_H
#define TADAN_IMAGE_H

#include "log.h"

/* ---- On the disk; little-endian */

#define TD__IMAGE_MAGIC 0x316567616d496454ull /* "TdImage1" */
#define TD__RECORD_MAGIC 0x64726f6365526454ull /* "TdRecord" */

struct td__image_header {
	uint64_t magic;
	uint32_t version, bsize;
	uint64_t salt;
	uint64_t slot_bytes; /* of each of the log's slots, which follow the header's block */
	uint64_t base;       /* where the device begins */
	uint64_t bytes;      /* of the whole image */
	uint64_t pad;
	uint64_t sum;        /* of what is before it */
};

struct td__record {
	uint64_t magic, salt;
	uint64_t seq;
	uint64_t tail;    /* a recovery begins with this one */
	uint64_t copies, zeros, orphans;
	uint64_t body_at; /* on the disk: descriptors, then blocks */
	uint64_t body_sum;
	uint64_t pad[6];
	uint64_t sum;     /* of what is before it */
};
_Static_assert(sizeof(struct td__image_header) == 64 && sizeof(struct td__record) == 128, "records");

uint64_t td__image_sum(uint64_t salt, const void *data, uint64_t len);
/* Bytes of the descriptors, up to a whole block. */
uint64_t td__record_head(uint32_t bsize, uint64_t copies, uint64_t zeros, uint64_t orphans);

/*
 * The device of an image file of `bytes` bytes, which belongs to it on success. A blank file is made an image when it is first
 * written to; one that was in use when its kernel ended is recovered. *blank: nothing has been committed to it. On an error why
 * says what is wrong and what to do: EMEDIUMTYPE (no image), EUCLEAN (damaged), EIO, EINVAL, ENOSPC, ENOMEM.
 */
int td__image_open(struct td__disk *disk, uint64_t bytes, uint32_t bsize, int readonly, struct td__device **out, int *blank,
		   char *why, size_t size);

#endif
