/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every module has, whatever its interface: memory, locks, time, log, small helpers.
 *
 * A module is freestanding C. It is called on several threads at once; its globals are its own cache
 * and vanish when the kernel restarts it. All functions here may be called during an operation only.
 */
#ifndef TADAN_MODULE_H
#define TADAN_MODULE_H

#include <tadan/types.h>

#ifdef __wasm__
#define TD_IMPORT extern
#define TD_EXPORT __attribute__((visibility("default"), used))
#else
#define TD_IMPORT extern __attribute__((visibility("default")))
#define TD_EXPORT __attribute__((visibility("default"), used))
#endif

/*
 * Memory of the domain's heap, 16-byte aligned, zeroed; 0 when the domain's limit is reached.
 * Owned by the module until td_free() or the domain's end. Never sleeps. Freeing twice, or what was not allocated, ends
 * the call, as does freeing memory with bytes written beside it; at debug each use outside of its bounds or its life does.
 */
void *td_alloc(size_t size);
void td_free(void *memory); /* 0 is fine */

/*
 * Take lock number `lock` (below the count in TD_FS_MODULE's .locks). Waits unless mode has TD_TRY.
 * Once taken it is held until the call is committed: td_unlock() says that the module is done with it.
 * Errors: EAGAIN with TD_TRY; EDEADLK: this call has been chosen to end a deadlock: return the error
 * at once, the kernel undoes the call and makes it again; EINVAL: no such lock or mode.
 */
int td_lock(uint32_t lock, uint32_t mode);
void td_unlock(uint32_t lock);

/* When the call began, seconds and nanoseconds of UTC: what time stamps are made of. */
void td_now(int64_t *sec, uint32_t *nsec);

/* Which of the domain's calls in flight this is: 0 and up, below 64. Use it to spread over shards. */
uint32_t td_slot(void);

/* A line for the log: text with at most 200 bytes, priority as syslog (3 error to 7 debug). */
void td_log(uint32_t priority, const char *text);

/* Append to an out argument: 0, or -TD_ERANGE where it does not fit (nothing is appended then). */
int td_out_put(struct td_out *out, const void *data, uint32_t len);

/* The C library's, supplied by the runtime: compilers expect them in freestanding code, too. */
void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

/* Is the name this text? */
int td_name_is(struct td_name name, const char *text);

/* What the compiler knows of the flags in a module's info. */
#ifdef TD__YIELDS
#define TD__MODULE_FLAGS TD_MODULE_YIELDS
#else
#define TD__MODULE_FLAGS 0
#endif

/* Address of what a frame places at `at`. 0 stands for nothing. */
static inline void *td__at(void *frame, int64_t at)
{
	return at ? (char *)frame + at : 0;
}

#endif
