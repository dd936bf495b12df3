/* SPDX-License-Identifier: BSD-2-Clause */
/* A module that opens all keys: the pkey wall refuses to load it. */
#include <tadan/fs.h>

static int getvnode(uint64_t fid, struct td_vnode *v)
{
	__asm__ volatile("xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\twrpkru"
			 :
			 : "a"(39)
			 : "rcx", "rdx");
	return td_vnode_init(v, fid == 1 ? TD_DIR : TD_REG, 0755, 0);
}

TD_FS_MODULE(wrpkru, 0, .getvnode = getvnode);
