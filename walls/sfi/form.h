/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandboxed form of a module as a file: NAME.sandboxed, next to the native NAME.so. It is a shared object (unit/object.h)
 * that holds the wasm binary it was made of in its section .tadan_wasm, and ends in a seal (seal.h).
 *
 * A module remembers where it would be; the file is read once, checked and kept when a domain first wants it:
 *
 *   the seal, over all of the file -> the shared object -> the binary, by the verifier -> what it says about itself
 *
 * Whoever waits for that has no lock but the form's own.
 */
#ifndef TADAN_WALLS_SFI_FORM_H
#define TADAN_WALLS_SFI_FORM_H

#include "../elf/elf.h"
#include "verify.h"

#define TD__SFI_SECTION ".tadan_wasm"
#define TD__SFI_ENDING ".sandboxed"

struct td__sfi_form;

/* For the form at `path`, which need not be there. 0: no memory. */
struct td__sfi_form *td__sfi_form_make(const char *path);
void td__sfi_form_free(struct td__sfi_form *form);
const char *td__sfi_form_path(const struct td__sfi_form *form);

/* Of a checked form; all belongs to it. */
struct td__sfi_content {
	const struct td__elf *elf;
	const uint8_t *wasm;
	size_t wasm_size;
	const struct td__sfi_report *report;
};

/*
 * Read and check it, if that has not been done. 0, or: -EOPNOTSUPP there is no such file; -ENOEXEC it is none, or not to be
 * trusted; -ENOMEM; or what open(2) and read(2) said. `why` then names the file and says what to do.
 */
int td__sfi_form_get(struct td__sfi_form *form, struct td__sfi_content *content, char *why, size_t size);

/*
 * The wasm binary that a form in memory holds, be the form trusted or not: in *wasm, memory of the caller's. 0, -ENOEXEC and
 * a reason, or -ENOMEM.
 */
int td__sfi_form_extract(const void *form, size_t size, uint8_t **wasm, size_t *wasm_size, char *why, size_t len);

#endif
