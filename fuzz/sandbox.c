/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what reads sandboxed modules: any bytes as a wasm binary through the verifier, and as a sandboxed form through what takes the
 * binary out of it. What is said of a binary must fit together; its names and lines are asked for as well.
 *
 * Seeds: any .wasm or .sandboxed file.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../walls/sfi/form.h"

static void check(int ok)
{
	if (!ok)
		abort();
}

static void ask(const uint8_t *data, size_t size, const struct td__sfi_report *r)
{
	char text[64];

	for (uint32_t n = 0; n < TD_OP_MAX; n++) {
		const struct td__sfi_op *op = &r->ops[n];

		check(op->proven == (op->steps <= td__sfi_default_policy.most_steps));
		check(op->proven == !op->why && op->proven == (r->proven >> n & 1));
		if (op->why)
			check(op->offset < size);
	}
	td__sfi_function_name(data, size, r->imports, text, sizeof(text));
	check(memchr(text, 0, sizeof(text)) != NULL);
	td__sfi_line(data, size, size / 2, text, sizeof(text));
	check(memchr(text, 0, sizeof(text)) != NULL);
}

static void verify(const uint8_t *data, size_t size)
{
	struct td__sfi_report r;

	if (td__sfi_verify(data, size, &td__sfi_default_policy, &r)) {
		check(r.rule && r.rule != TD__SFI_RESOURCES && r.why[0] && r.offset <= size);
		return;
	}
	check(!r.rule && r.pages <= td__sfi_default_policy.pages && r.info.magic == TD_MAGIC);
	ask(data, size, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[TD__ELF_WHY] = "";
	uint8_t *wasm;
	size_t n;

	if (size < 4 || memcmp(data, "\177ELF", 4)) {
		verify(data, size);
	} else if (!td__sfi_form_extract(data, size, &wasm, &n, why, sizeof(why))) {
		verify(wasm, n);
		free(wasm);
	}
	return 0;
}
