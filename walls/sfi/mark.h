/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Positions in translated code. Before each statement of wasm2c's output that can fault, a #line names the offset of its
 * instruction within the wasm binary, as if that were a line of the file module.wasm. So what the C compiler notes as the line
 * of an address is such an offset, and the binary's own debug information leads on to the source.
 */
#ifndef TADAN_WALLS_SFI_MARK_H
#define TADAN_WALLS_SFI_MARK_H

#include <stddef.h>
#include <stdio.h>

#define TD__SFI_MARKED "module.wasm"

/*
 * Copy C code from one stream to the other, with marks. The binary has passed td__sfi_verify(). Functions whose statements are
 * not in step with the binary's instructions are left without marks. The way of every call is told to the compiler. 0, -EIO, -ENOMEM or -ENOEXEC.
 */
int td__sfi_mark(const void *wasm, size_t size, FILE *from, FILE *to);

#endif
