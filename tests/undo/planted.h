/* SPDX-License-Identifier: BSD-2-Clause */
/* How a service is wrapped where faults are planted: planted.c, and net_planted.c for those of the network. */
#ifndef UNDO_PLANTED_H
#define UNDO_PLANTED_H

#include "plant.h"

/* Before each service: count it, and strike where the plan says. */
void planted_service(void);

#define WRAP(name, params, args)                                                                   \
	TD_IMPORT int __real_td__svc_##name params;                                                \
	int __wrap_td__svc_##name params;                                                          \
	int __wrap_td__svc_##name params                                                           \
	{                                                                                          \
		planted_service();                                                                 \
		return __real_td__svc_##name args;                                                 \
	}

#endif
