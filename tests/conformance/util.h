/* SPDX-License-Identifier: BSD-2-Clause */
/* What many tests need. All of these end the test if the file system fails them. */
#ifndef CONFORMANCE_UTIL_H
#define CONFORMANCE_UTIL_H

#include "harness.h"

/* ---- Files */

void put(const char *path, const char *text); /* make a file with this in it */
void put_mode(const char *path, const char *text, mode_t mode);
void expect_text(const char *path, const char *text); /* it holds just this */
void dir(const char *path);			      /* a directory with mode 0777 */
bool there(const char *path);			      /* the name itself, links not followed */
struct stat look(const char *path);		      /* lstat */
struct stat look_fd(int fd);
mode_t mode_of(const char *path); /* 07777 */
/* Remove a tree. 0 or -errno: does not end the test. */
int remove_all(const char *path);

/* ---- Kinds of files: tests go over all of them. CHR and BLK only as root: kinds() is then fewer. */

enum kind { REG, DIRECTORY, FIFO, SOCKET, LINK, CHAR, BLOCK, KINDS };
extern const char *const kind_names[KINDS];
enum kind kinds(void);
mode_t kind_type(enum kind k);
int make(enum kind k, const char *path, mode_t mode); /* 0 or -errno */
int remove_kind(enum kind k, const char *path);

/* ---- Times */

void tick(void); /* until the clock of time stamps has moved on */
int64_t ns(struct timespec t);
enum { A = 1, M = 2, C = 4 };
int times_moved(const struct stat *before, const struct stat *after);

/* Which of path's times the calls moved: a set of A, M, C. */
#define moves(path, ...)                                  \
	({                                                \
		struct stat before_ = look(path), after_; \
		tick();                                   \
		__VA_ARGS__;                              \
		after_ = look(path);                      \
		times_moved(&before_, &after_);           \
	})

/* ---- Bytes */

/* Bytes that belong to a place: any mix-up of places shows. */
void pattern(void *data, size_t len, uint64_t at, uint64_t key);
void expect_pattern(struct place p, const void *data, size_t len, uint64_t at, uint64_t key);
void expect_zeroes(struct place p, const void *data, size_t len);
extern void *memory_given[256];
void *get_memory(size_t size); /* zeroed, or the test ends; small leaks of failing tests are fine */
/*
 * Past the system's cache, which answers for the file system, and would take a write that the device has no room for.
 * O_DIRECT wants its memory aligned; where there is none, the cache is used.
 */
int open_direct(const char *path, int flags);
void *aligned_memory(size_t size);
void write_all(int fd, const void *data, size_t len, int64_t off);
/* Read until the end or len. */
size_t read_all(int fd, void *data, size_t len, int64_t off);

/* ---- Names */

/* "xxxx..." with len bytes, in memory of its own that lasts. */
const char *long_name(size_t len);

#endif
