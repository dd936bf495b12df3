/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What code that was compiled with -fsanitize=thread calls: before each atomic operation somebody else may go on. Plain reads and
 * writes are no points: the thread sanitizer itself, in builds of its own, shows that nobody else looks at them.
 */
#include "sched.h"

#define ATOMIC(bits, type)                                                                                  \
	type __tsan_atomic##bits##_load(const volatile type *p, int order);                                 \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)                                  \
	{                                                                                                   \
		(void)order;                                                                                \
		td__sched_point();                                                                          \
		return *p;                                                                                  \
	}                                                                                                   \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order);                              \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order)                               \
	{                                                                                                   \
		(void)order;                                                                                \
		td__sched_point();                                                                          \
		*p = v;                                                                                     \
	}                                                                                                   \
	FETCH(bits, type, exchange, v)                                                                      \
	FETCH(bits, type, fetch_add, old + v)                                                               \
	FETCH(bits, type, fetch_sub, old - v)                                                               \
	FETCH(bits, type, fetch_or, old | v)                                                                \
	FETCH(bits, type, fetch_and, old & v)                                                               \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type was, type v, int o, int f);   \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type was, type v, int o, int f)    \
	{                                                                                                   \
		type old;                                                                                   \
                                                                                                            \
		(void)o, (void)f;                                                                           \
		td__sched_point();                                                                          \
		old = *p;                                                                                   \
		if (old == was)                                                                             \
			*p = v;                                                                             \
		return old;                                                                                 \
	}                                                                                                   \
	EXCHANGE(bits, type, strong)                                                                        \
	EXCHANGE(bits, type, weak)

#define FETCH(bits, type, name, result)                                              \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order);      \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order)       \
	{                                                                            \
		type old;                                                            \
                                                                                     \
		(void)order;                                                         \
		td__sched_point();                                                   \
		old = *p;                                                            \
		*p = result;                                                         \
		return old;                                                          \
	}

#define EXCHANGE(bits, type, name)                                                                         \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile type *p, type *was, type v, int o, int f); \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile type *p, type *was, type v, int o, int f)  \
	{                                                                                                  \
		type old = __tsan_atomic##bits##_compare_exchange_val(p, *was, v, o, f);                   \
                                                                                                           \
		if (old == *was)                                                                           \
			return 1;                                                                          \
		*was = old;                                                                                \
		return 0;                                                                                  \
	}

ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

#define PLAIN(name)               \
	void __tsan_##name(void *p);  \
	void __tsan_##name(void *p)   \
	{                         \
		(void)p;          \
	}

PLAIN(read1) PLAIN(read2) PLAIN(read4) PLAIN(read8) PLAIN(read16)
PLAIN(write1) PLAIN(write2) PLAIN(write4) PLAIN(write8) PLAIN(write16)
PLAIN(unaligned_read2) PLAIN(unaligned_read4) PLAIN(unaligned_read8) PLAIN(unaligned_read16)
PLAIN(unaligned_write2) PLAIN(unaligned_write4) PLAIN(unaligned_write8) PLAIN(unaligned_write16)
PLAIN(func_entry)

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

void __tsan_init(void);
void __tsan_init(void)
{
}

#define RANGE(name)                        \
	void __tsan_##name(void *p, size_t size);  \
	void __tsan_##name(void *p, size_t size)   \
	{                                  \
		(void)p, (void)size;       \
	}

RANGE(read_range) RANGE(write_range)

/* clang's names for these. */
void *__tsan_memset(void *to, int byte, size_t len);
void *__tsan_memset(void *to, int byte, size_t len)
{
	return __builtin_memset(to, byte, len);
}

void *__tsan_memcpy(void *to, const void *from, size_t len);
void *__tsan_memcpy(void *to, const void *from, size_t len)
{
	return __builtin_memcpy(to, from, len);
}

void *__tsan_memmove(void *to, const void *from, size_t len);
void *__tsan_memmove(void *to, const void *from, size_t len)
{
	return __builtin_memmove(to, from, len);
}
