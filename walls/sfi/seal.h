/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seals of sandboxed forms. Native code stands in such a file, and what makes it harmless is how it was translated. So it is
 * believed only if Tadan has made it here: if it lies in Tadan's own module folder, which is as trusted as the program, or if it
 * has the seal of this user.
 *
 * A form ends in struct td__sfi_seal: a digest of all that stands before, by which a damaged file is told, and the same with
 * the user's key. The key is made at the first `tadan build`, 0600, in the user's state folder ($XDG_STATE_HOME/tadan,
 * ~/.local/state/tadan): whoever can read it is the user already.
 */
#ifndef TADAN_WALLS_SFI_SEAL_H
#define TADAN_WALLS_SFI_SEAL_H

#include <stddef.h>
#include <stdint.h>

enum { TD__SEAL_VERSION = 1, TD__SEAL_DIGEST = 32 };

struct td__sfi_seal {
	char magic[8];
	uint32_t version;
	uint32_t sealed; /* 1: `code` is there */
	uint8_t digest[TD__SEAL_DIGEST]; /* SHA-256 of the content */
	uint8_t code[TD__SEAL_DIGEST];   /* HMAC-SHA-256 of the content and of what stands above, with the user's key */
};

/*
 * The seal of this content, by the user's key, which is made if need be. *sealed 0, and why: there is no place for a key; the form
 * is good in Tadan's own folder only.
 */
void td__sfi_seal_make(const void *content, size_t size, struct td__sfi_seal *seal, char *why, size_t len);

/*
 * Is the file's content whole, and may it be believed where it lies? `path` has no symbolic link in it. 0, or -ENOEXEC and
 * words that follow "the file ...".
 */
int td__sfi_seal_check(const char *path, const void *content, size_t size, const struct td__sfi_seal *seal, char *why,
		       size_t len);

#endif
