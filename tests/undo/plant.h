/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where and how a planted fault strikes. The test writes a plan into the last block of the device, of which the file
 * system under test is never told; the module reads it at the beginning of each call, through the services that
 * every wall has. So one way of arming serves all walls, and a plan survives the restarts that it causes.
 */
#ifndef UNDO_PLANT_H
#define UNDO_PLANT_H

#include <tadan/types.h>

enum plant_kind {
	PLANT_NULL,   /* a store to address 8 */
	PLANT_TRAP,   /* an illegal instruction */
	PLANT_RECORD, /* a record that cannot be; at the end only */
	PLANT_RESULT, /* a result that cannot be; at the end only */
	PLANT_KINDS
};

enum { PLANT_END = 0xffffffff, PLANT_ANY = 0xffff };

struct plant_plan {
	uint64_t domains; /* how many domains have mounted: kept by the module */
	uint64_t only;    /* strike in this domain only; 0: in every one */
	uint32_t op;   /* PLANT_ANY: all but mount, and inactive that is made again */
	uint32_t at;      /* before the at-th service of the call, from 1; PLANT_END: when all is done; 0: nowhere */
	uint32_t kind;
	uint32_t mount_at; /* the same for a mount in any domain, beside the others; 0: nowhere */
};

#endif
