/* SPDX-License-Identifier: BSD-2-Clause */
/* The demonstration without a mount: what its two files share. */
#ifndef DEMO_INPROC_H
#define DEMO_INPROC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../front/inproc/tadan.h"

/* Says that something holds; ends the program with status 1 if it does not. */
void proof(bool holds, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A call that must work: its result, 0 and up. */
int64_t must(const char *what, int64_t result);
double seconds(void);

/* Numbers by chance, the same for the same seed. */
uint64_t chance(uint64_t *state);

/*
 * Writers: threads that make, write, rename, read and remove files, append to a log that each opened at the
 * beginning, and remember what was acknowledged.
 */
enum { WRITERS = 2, KEPT = 300 };

struct writer {
	pthread_t thread;
	struct td_task task;
	char dir[32];
	uint64_t number;     /* rounds */
	uint64_t log_bytes;  /* acknowledged */
	int log;
	uint64_t seeds[KEPT]; /* of the content of file number n, at n % KEPT; 0: no such file */
	uint64_t ops;	      /* atomic */
	uint64_t failed;      /* atomic */
	char error[128];      /* the first */
	bool stop;	      /* atomic */
};

struct writers {
	struct writer w[WRITERS];
};

void writers_start(struct writers *all, struct td_volume *vol);
uint64_t writers_ops(struct writers *all);
/* Until they have done that many operations more. */
void writers_wait(struct writers *all, uint64_t more);
/* End them, compare all that they wrote with what was acknowledged, and remove it. */
void writers_verify(struct writers *all);

#endif
