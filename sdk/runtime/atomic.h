/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Atomic operations of a module in its sandboxed form. The translation of wasm knows none, and without them the
 * compiler would quietly take plain loads and stores. So the builtins on words of 4 and 8 bytes become calls of one
 * import, which unit.c supplies and the compiler inlines; whatever else is atomic is refused when the form is made.
 * Included before each file of the module by the compiler's command line.
 */
#ifndef TADAN_ATOMIC_H
#define TADAN_ATOMIC_H

enum td__atomic_op {
	TD__ATOMIC_LOAD,
	TD__ATOMIC_STORE,
	TD__ATOMIC_EXCHANGE,
	TD__ATOMIC_ADD,
	TD__ATOMIC_AND,
	TD__ATOMIC_OR,
	TD__ATOMIC_XOR,
	TD__ATOMIC_COMPARE, /* with a; b is what is stored if equal; the answer is what was there */
	TD__ATOMIC_FENCE,
	TD__ATOMIC_LOCK, /* a spin lock, 4 bytes: 0 free, 1 taken; gives up after some seconds, by a trap */
	TD__ATOMIC_WIDE = 16, /* 8 bytes, else 4 */
};

#ifdef __wasm__

extern unsigned long long td__svc_atomic(unsigned op, volatile void *at, unsigned long long a, unsigned long long b);

#define TD__ATOMIC(op, p, a, b)                                                                                  \
	({                                                                                                       \
		_Static_assert(sizeof(*(p)) == 4 || sizeof(*(p)) == 8, "atomic operations are on 4 or 8 bytes"); \
		(__typeof__(*(p)))td__svc_atomic((op) + (sizeof(*(p)) == 8 ? TD__ATOMIC_WIDE : 0),               \
						 (volatile void *)(p), (unsigned long long)(a), (b));            \
	})
#define __atomic_load_n(p, order) TD__ATOMIC(TD__ATOMIC_LOAD, p, 0, 0)
#define __atomic_store_n(p, v, order) ((void)TD__ATOMIC(TD__ATOMIC_STORE, p, v, 0))
#define __atomic_exchange_n(p, v, order) TD__ATOMIC(TD__ATOMIC_EXCHANGE, p, v, 0)
#define __atomic_fetch_add(p, v, order) TD__ATOMIC(TD__ATOMIC_ADD, p, v, 0)
#define __atomic_fetch_sub(p, v, order) TD__ATOMIC(TD__ATOMIC_ADD, p, -(__typeof__(*(p)))(v), 0)
#define __atomic_fetch_and(p, v, order) TD__ATOMIC(TD__ATOMIC_AND, p, v, 0)
#define __atomic_fetch_or(p, v, order) TD__ATOMIC(TD__ATOMIC_OR, p, v, 0)
#define __atomic_fetch_xor(p, v, order) TD__ATOMIC(TD__ATOMIC_XOR, p, v, 0)
#define TD__ATOMIC_THEN(fetch, p, op, v)                                   \
	({                                                                 \
		__typeof__(*(p)) td__operand = (v);                        \
		(__typeof__(*(p)))(fetch(p, td__operand, 0) op td__operand); \
	})
#define __atomic_add_fetch(p, v, order) TD__ATOMIC_THEN(__atomic_fetch_add, p, +, v)
#define __atomic_sub_fetch(p, v, order) TD__ATOMIC_THEN(__atomic_fetch_sub, p, -, v)
#define __atomic_and_fetch(p, v, order) TD__ATOMIC_THEN(__atomic_fetch_and, p, &, v)
#define __atomic_or_fetch(p, v, order) TD__ATOMIC_THEN(__atomic_fetch_or, p, |, v)
#define __atomic_xor_fetch(p, v, order) TD__ATOMIC_THEN(__atomic_fetch_xor, p, ^, v)
#define __atomic_compare_exchange_n(p, expected, wanted, weak, order, failed)                        \
	({                                                                                           \
		__typeof__(*(p)) *td__expected = (expected);                                         \
		__typeof__(*(p)) td__was = *td__expected,                                            \
				 td__found = TD__ATOMIC(TD__ATOMIC_COMPARE, p, td__was,              \
							(unsigned long long)(wanted));               \
		*td__expected = td__found;                                                           \
		td__found == td__was;                                                                \
	})
#define __atomic_thread_fence(order) ((void)td__svc_atomic(TD__ATOMIC_FENCE, 0, 0, 0))

#endif
#endif
