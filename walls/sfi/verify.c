/* SPDX-License-Identifier: BSD-2-Clause */
/* All steps of the verification, one after the other. */
#include <string.h>

#include "wasm.h"

const struct td__sfi_policy td__sfi_default_policy = { .pages = 1 << 14, .most_steps = 1 << 28 };

const char *const td__sfi_rules[] = {
	[TD__SFI_FINE] = "fine",     [TD__SFI_MALFORMED] = "malformed", [TD__SFI_INVALID] = "invalid",
	[TD__SFI_FEATURE] = "feature", [TD__SFI_LIMIT] = "limit",         [TD__SFI_IMPORT] = "import",
	[TD__SFI_EXPORT] = "export", [TD__SFI_START] = "start",         [TD__SFI_TABLE] = "table",
	[TD__SFI_MEMORY] = "memory", [TD__SFI_INFO] = "info",           [TD__SFI_RESOURCES] = "resources",
};

int td__sfi_verify(const void *wasm, size_t size, const struct td__sfi_policy *policy, struct td__sfi_report *report)
{
	struct td__wasm w = { .data = wasm, .size = size, .report = report };
	int err;

	memset(report, 0, sizeof(*report));
	report->function = UINT32_MAX;
	err = td__wasm_open(&w);
	report->functions = w.nfunctions - w.nimported;
	report->imports = w.nimports;
	report->table = w.table.min;
	if (!err)
		err = td__wasm_check(&w);
	if (!err)
		err = td__wasm_policy(&w, policy);
	if (!err)
		err = td__wasm_bounds(&w, policy);
	td__wasm_close(&w);
	return err;
}
