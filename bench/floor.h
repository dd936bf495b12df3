/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two parts of `floor` share: one way to measure and one way to report.
 *
 * A probe runs n operations. measure() times many batches of it and keeps the median of the time
 * for one operation: a batch that was interrupted lies far off and does no harm.
 */
#ifndef FLOOR_H
#define FLOOR_H

typedef void probe(void *arg, unsigned n);

void measure(const char *name, probe *p, void *arg, unsigned batches, unsigned per_batch);
/* All `batches` are divided by this: for a first look. */
extern unsigned floor_divisor;
void skipped(const char *name, const char *why);

/* floor_wasm.c: calls of translated WebAssembly */
void measure_wasm(unsigned batches, unsigned calls);

/* floor_trips.c: round trips between two processes */
void measure_trips(void);

#endif
