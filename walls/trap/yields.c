/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that yield are asked before they are interrupted.
 *
 * The word is never lowered: a call that is over its time ends with a fault, and that with the domain.
 */
#include "../elf/elf.h"
#include "trap.h"

/* As long as a module may take from one yield to the next. */
enum { PATIENCE_MS = 100 };

void td__yields_find(struct td__yields *y, const struct td__module *m, struct td__place *place)
{
	size_t size = 0;
	const void *base = (const void *)place->base;
	uintptr_t at = (uintptr_t)td__elf_symbol(m->file, base, "td_module_yielder", &size), word;

	*y = (struct td__yields){ 0 };
	if (!(m->info.flags & TD_MODULE_YIELDS))
		return;
	word = (uintptr_t)td__elf_symbol(m->file, base, "td_module_yield", 0);
	if (td__within(place->data, word)) /* where else would the host write? */
		y->wanted = (uint32_t *)word;
	place->yielder = (struct td__range){ at, at + size };
}

int td__yields_ask(struct td__yields *y)
{
	uint64_t now = td__port_monotonic();

	if (!y->wanted)
		return 0;
	if (!y->since)
		y->since = now;
	__atomic_store_n(y->wanted, 1, __ATOMIC_RELEASE);
	return now - y->since < PATIENCE_MS * 1000000ull;
}
