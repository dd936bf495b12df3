/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread inherits the cores and the policy of the thread that starts it, and a process those of its parent. Some threads have others than the
 * program's for a while (front/fuse/follow.c). So who serves everybody takes those of the program's first thread.
 */
#ifndef TADAN_PORT_USER_COMMON_H
#define TADAN_PORT_USER_COMMON_H

#include <sched.h>
#include <unistd.h>

/* By the new thread, first of all. What fails leaves it as it is. */
static inline void td__port_be_common(void)
{
	struct sched_param param;
	cpu_set_t cores;

	if (sched_getscheduler(getpid()) != sched_getscheduler(0) && !sched_getparam(getpid(), &param))
		sched_setscheduler(0, sched_getscheduler(getpid()), &param);
	if (!sched_getaffinity(getpid(), sizeof(cores), &cores))
		sched_setaffinity(0, sizeof(cores), &cores);
}

#endif
