/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to an image's file, each waited for so long and no longer. A lane is a thread with a buffer of its own; who asks fills the
 * buffer, or takes what is in it, so no memory of anybody else's is in the hands of a disk that does not answer:
 *
 *	IDLE --begin--> TAKEN --run--> ASKED --its thread--> DONE --end--> IDLE
 *	                                 +--no answer in time--> LATE --its thread--> IDLE, and what it brought is thrown away
 *
 * Requests that change the file have lanes apart from those that read. While one of them is late no other is begun: so what the disk
 * does at last comes before all that is asked of it later, as if the request had failed then and been carried out all the same. While
 * any request is late, others are given little time, so that few steps of an unmount, say, come to an end soon.
 */
#ifndef TADAN_LANES_H
#define TADAN_LANES_H

#include "../../core/port.h"

struct td__lanes;
struct td__lane;

enum { TD__LANE_BYTES = 1 << 20 };

/* Done by a lane's thread. 0 or -errno. */
typedef int td__lane_work(int fd, uint64_t off, void *data, size_t len);

/* The name is for the log. 0: no memory. */
struct td__lanes *td__lanes_create(int fd, const char *name);
/* From now on a request gets so many milliseconds; 0: all the time that it takes. */
void td__lanes_limit(struct td__lanes *l, uint32_t ms);
int td__lanes_are_limited(const struct td__lanes *l);
/* Closes the file as soon as no request is late, and waits for none that is. */
void td__lanes_end(struct td__lanes *l);

/* Claim a lane. 0, -ETIMEDOUT if there is none in time, -EAGAIN if there cannot be any: do it without. */
int td__lane_begin(struct td__lanes *l, int changes, struct td__lane **out);
/* Its buffer, of TD__LANE_BYTES. */
void *td__lane_buffer(struct td__lane *lane);
/* Have it done, on the buffer. -ETIMEDOUT: there was no answer, and the lane is not the caller's any more. */
int td__lane_run(struct td__lane *lane, td__lane_work *work, uint64_t off, size_t len);
void td__lane_end(struct td__lane *lane);

/* May the file be changed? Not while a change of it is late: -ETIMEDOUT. */
int td__lanes_check(struct td__lanes *l);
void td__lanes_state(struct td__lanes *l, struct td__disk_state *out);

#endif
