/* SPDX-License-Identifier: BSD-2-Clause */
/* What the generated td__remote_NAME() functions are made of: see services.c. */
#ifndef TD_WALLS_PROCESS_REMOTE_H
#define TD_WALLS_PROCESS_REMOTE_H

#include <tadan/types.h>
#include "../elf/elf.h"

/* Append a message without an answer to the ring of the calling thread's slot. 0. */
int td__post(struct td_msg *m, const void *data, uint32_t len);

/*
 * Append a message and wait for its answer, which is returned: *value (may be 0) and `out_len` bytes of
 * `out` come with it unless it is an error.
 */
int td__ask(struct td_msg *m, const void *data, uint32_t len, uint64_t *value, void *out, uint32_t out_len);

/* Generated: what a module may import. */
extern const struct td__import td__remote_imports[];
extern const size_t td__remote_nimports;

int td__remote_bread(uint32_t buf, uint64_t blkno, uint32_t fresh, uint64_t *view);
int td__remote_lock(uint32_t lock, uint32_t mode);
int td__remote_buf_read(uint32_t buf, uint32_t off, void *data, uint32_t data_len);
int td__remote_heap_take(uint64_t size, uint64_t *at);
int td__remote_heap_give(uint64_t at, uint64_t size, uint64_t damaged);
int td__remote_uio_read(uint32_t uio, void *data, uint32_t data_len);
int td__remote_uio_write(uint32_t uio, const void *data, uint32_t data_len);

#endif
