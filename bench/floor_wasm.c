/* SPDX-License-Identifier: BSD-2-Clause */
/* floor: a call of translated WebAssembly, with wabt's own runtime and guard pages. Built where wabt is. */
#include "floor.h"

#ifdef FLOOR_WASM
#include <setjmp.h>

#include "floor_wasm.h"

static Z_floor_instance_t instance;
static void (*volatile count)(Z_floor_instance_t *) = Z_floorZ_count;
static sigjmp_buf back;

static void wasm_call(void *arg, unsigned n)
{
	(void)arg;
	while (n--)
		count(&instance);
}

static void wasm_sigsetjmp_call(void *arg, unsigned n)
{
	(void)arg;
	while (n--)
		if (!sigsetjmp(back, 0))
			count(&instance);
}

void measure_wasm(unsigned batches, unsigned calls)
{
	wasm_rt_init();
	Z_floor_init_module();
	Z_floor_instantiate(&instance);
	measure("wasm_call", wasm_call, 0, batches, calls);
	measure("wasm_sigsetjmp_call", wasm_sigsetjmp_call, 0, batches, calls);
	Z_floor_free(&instance);
	wasm_rt_free();
}
#else
void measure_wasm(unsigned batches, unsigned calls)
{
	(void)batches;
	(void)calls;
	skipped("wasm_call", "wabt was not there when this was built");
	skipped("wasm_sigsetjmp_call", "wabt was not there when this was built");
}
#endif
