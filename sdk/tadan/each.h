/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations that are made of another one of the module's (`each` in the interface's description): for both sides of the gate. */
#ifndef TADAN_EACH_H
#define TADAN_EACH_H

#include <tadan/fs_if.h>

/* A record whose file is gone has no type; at any other error it stops, and the records are fewer than the fids. */
static inline int td__each_getvnode(int (*getvnode)(uint64_t fid, struct td_vnode *v), struct td_in fids, struct td_out *records)
{
	const uint64_t *fid = fids.data;
	struct td_vnode *v = records->data;

	for (uint32_t i = 0; i < TD_EACH_MAX && i < fids.len / sizeof(*fid) && i < records->size / sizeof(*v); i++) {
		v[i] = (struct td_vnode){ .fid = fid[i] };
		int err = getvnode(fid[i], &v[i]);

		if (err == -TD_ESTALE)
			v[i] = (struct td_vnode){ .fid = fid[i] };
		else if (err)
			break;
		records->used += (uint32_t)sizeof(*v);
	}
	return 0;
}

#endif
