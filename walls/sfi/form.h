/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandboxed form of a module as a file: NAME.sandboxed, next to the native NAME.so.
 *
 * A module remembers where it would be; the file is opened, checked and kept when a domain first wants it. Whoever waits
 * for that has no lock but the form's own.
 */
#ifndef TADAN_WALLS_SFI_FORM_H
#define TADAN_WALLS_SFI_FORM_H

#include "../elf/elf.h"

struct td__sfi_form;

/* For the form at `path`, which need not be there. 0: no memory. */
struct td__sfi_form *td__sfi_form_make(const char *path);
void td__sfi_form_free(struct td__sfi_form *form);
const char *td__sfi_form_path(const struct td__sfi_form *form);

/*
 * The checked file, which belongs to the form. -EOPNOTSUPP: there is no such file; -ENOEXEC: it is none, or not to be trusted. `why` then
 * says so and what to do.
 */
int td__sfi_form_get(struct td__sfi_form *form, const struct td__elf **e, char *why, size_t size);

#endif
