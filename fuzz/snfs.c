/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzzing what SNFS makes of a server's replies: the first byte chooses the procedure that was called, the rest is the reply. */
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/snfs_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy;

	if (!len)
		return 0;
	copy = malloc(len); /* of its own, so that a byte too far is seen */
	memcpy(copy, data + 1, len - 1);
	snfs_decode(data[0] % DECODE_KINDS, copy, len - 1);
	free(copy);
	return 0;
}
