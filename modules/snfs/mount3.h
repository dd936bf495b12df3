/* SPDX-License-Identifier: BSD-2-Clause */
/* The two services that lead to a server's files: the port mapper, version 2 (RFC 1833), and MOUNT, version 3 (RFC 1813, appendix I). */
#ifndef SNFS_MOUNT3_H
#define SNFS_MOUNT3_H

#include "nfs3.h"

enum { PMAP_PORT = 111, PMAP_PROGRAM = 100000, PMAP_VERSION = 2, PMAP_GETPORT = 3 };
enum { MOUNT_PROGRAM = 100005, MOUNT_VERSION = 3, MOUNT_MNT = 1, MOUNT_UMNT = 3, MOUNT_PATH_MAX = 1024 };

void pmap_put_getport(struct xdr_out *out, uint32_t program, uint32_t version); /* over TCP */
/* The port; 0: the program is not registered, or the answer makes no sense. */
uint32_t pmap_get_port(struct xdr_in *in);

void mount_put_path(struct xdr_out *out, struct td_in path);
/* 0 and the root's handle, or -errno and the server's reason. */
int mount_get_mnt(struct xdr_in *in, struct nfs_fh *root, const char **why);

#endif
