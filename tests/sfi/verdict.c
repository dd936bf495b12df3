/* SPDX-License-Identifier: BSD-2-Clause */
/* What the verifier says of wasm binaries, one line each: the file, the rule, the offset, and the steps of each operation (- for none). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../walls/sfi/verify.h"

/* In memory of exactly its size, so that the sanitizers see any read beyond. */
static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long n;

	*size = 0;
	if (!f)
		return NULL;
	if (!fseek(f, 0, SEEK_END) && (n = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
		bytes = malloc(n ? (size_t)n : 1);
		*size = bytes ? fread(bytes, 1, (size_t)n, f) : 0;
	}
	fclose(f);
	return bytes;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct td__sfi_report r;
		size_t size;
		uint8_t *bytes = read_file(argv[i], &size);

		if (!bytes) {
			perror(argv[i]);
			return 1;
		}
		td__sfi_verify(bytes, size, &td__sfi_default_policy, &r);
		printf("%s %s %zu", argv[i], td__sfi_rules[r.rule], r.offset);
		for (uint32_t n = 0; n < TD_OP_MAX && !r.rule; n++)
			if (r.ops[n].steps == UINT64_MAX)
				printf(" -");
			else
				printf(" %" PRIu64, r.ops[n].steps);
		putchar('\n');
		free(bytes);
	}
	return 0;
}
