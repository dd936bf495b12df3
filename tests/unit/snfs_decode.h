/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes a reply of any procedure and checks what must hold whatever the bytes are: for fuzz/snfs.c and test_snfs_wire.c. */
#ifndef SNFS_DECODE_H
#define SNFS_DECODE_H

#include <stddef.h>
#include <stdint.h>

enum { DECODE_PMAP = 22, DECODE_MNT, DECODE_KINDS }; /* behind the procedures of NFS */

/* kind: enum nfs_proc, or one of the above. 1 if the message made sense as a whole. Aborts where the decoder breaks a rule. */
int snfs_decode(uint32_t kind, const uint8_t *data, size_t len);

#endif
