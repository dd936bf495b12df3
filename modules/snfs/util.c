/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every part uses. */
#include <tadan/fs.h>
#include "snfs.h"

enum { LINE = 200 };

void spin_lock(struct spin *s)
{
	while (__atomic_exchange_n(&s->taken, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&s->taken, __ATOMIC_RELAXED))
			;
}

void spin_unlock(struct spin *s)
{
	__atomic_store_n(&s->taken, 0, __ATOMIC_RELEASE);
}

uint64_t now_ms(void)
{
	int64_t sec;
	uint32_t nsec;

	td_now(&sec, &nsec);
	return (uint64_t)sec * 1000 + nsec / 1000000;
}

/* FNV-1a, and a turn at the end for who uses some of the bits only. */
uint64_t hash_bytes(uint64_t h, const void *data, uint32_t len)
{
	const uint8_t *p = data;

	h ^= 0xcbf29ce484222325ull;
	for (uint32_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

void say(uint32_t priority, const char *part, ...)
{
	char line[LINE + 1];
	uint32_t used = 0;
	__builtin_va_list parts;

	__builtin_va_start(parts, part);
	for (; part; part = __builtin_va_arg(parts, const char *))
		while (*part && used < LINE)
			line[used++] = *part++;
	__builtin_va_end(parts);
	line[used] = 0;
	td_log(priority, line);
}
