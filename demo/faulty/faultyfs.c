/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes SMFS into faultyfs: a fault on request. The sources of SMFS are linked unchanged; the linker puts the two
 * functions here between them and the kernel (--wrap).
 *
 * Setting the extended attribute user.tadan.fault on any file arms a fault and stores nothing:
 *
 *   null N              at the N-th write to a buf from now on, store to address 8
 *   wild N 0xADDRESS    ... store to that address
 *   loop N              ... loop for ever
 *
 * N counts over calls, so that a fault strikes in the middle of whoever's call comes by, when that has changed
 * something already. What is armed is a module's private memory: it is disarmed before it strikes, and a restart
 * forgets it in any case.
 */
#include <tadan/fs.h>

enum kind { NONE, NULL_WRITE, WILD_WRITE, LOOP };

static const char attribute[] = "user.tadan.fault";
static uint32_t armed; /* enum kind */
static int32_t countdown;
static uint64_t address;

/* ---- Reading the request. Numbers are decimal, or hexadecimal behind 0x. */

struct text {
	const uint8_t *p;
	uint32_t len;
};

static int word(struct text *t, const char *w)
{
	uint32_t n = (uint32_t)strlen(w);

	if (t->len < n || memcmp(t->p, w, n))
		return 0;
	t->p += n;
	t->len -= n;
	return 1;
}

static uint32_t digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - 48u : c >= 'a' && c <= 'f' ? c - 87u : 16;
}

static uint64_t number(struct text *t)
{
	uint32_t base = word(t, " 0x") ? 16 : 10;
	uint64_t n = 0;

	if (base == 10)
		word(t, " ");
	for (; t->len && digit(*t->p) < base; t->p++, t->len--)
		n = n * base + digit(*t->p);
	return n;
}

static int32_t arm(struct td_in value)
{
	struct text t = { value.data, value.len };
	uint32_t kind = word(&t, "null") ? NULL_WRITE : word(&t, "wild") ? WILD_WRITE : word(&t, "loop") ? LOOP : NONE;

	if (!kind)
		return -TD_EINVAL;
	__atomic_store_n(&countdown, (int32_t)number(&t), __ATOMIC_RELAXED);
	address = kind == WILD_WRITE ? number(&t) : 8;
	__atomic_store_n(&armed, kind, __ATOMIC_RELEASE);
	return 0;
}

/* ---- The faults. They are real: nobody is asked and nobody is told. */

static void strike(uint32_t kind)
{
	for (volatile int forever = 1; kind == LOOP && forever;)
		;
	*(volatile uint64_t *)(uintptr_t)address = 0x746c756166; /* "fault" */
}

static void come_by(void)
{
	uint32_t kind = __atomic_load_n(&armed, __ATOMIC_ACQUIRE);

	if (!kind || __atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) > 0)
		return;
	if (__atomic_compare_exchange_n(&armed, &kind, NONE, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		strike(kind);
}

/* ---- Between SMFS and the kernel */

TD_IMPORT int __real_td__svc_buf_write(uint32_t buf, uint32_t off, const void *data, uint32_t len);
int __wrap_td__svc_buf_write(uint32_t buf, uint32_t off, const void *data, uint32_t len);
int __real_smfs_setxattr(struct td_vnode *v, struct td_name name, struct td_in value, uint32_t flags);
int __wrap_smfs_setxattr(struct td_vnode *v, struct td_name name, struct td_in value, uint32_t flags);

int __wrap_td__svc_buf_write(uint32_t buf, uint32_t off, const void *data, uint32_t len)
{
	come_by();
	return __real_td__svc_buf_write(buf, off, data, len);
}

int __wrap_smfs_setxattr(struct td_vnode *v, struct td_name name, struct td_in value, uint32_t flags)
{
	return td_name_is(name, attribute) ? arm(value) : __real_smfs_setxattr(v, name, value, flags);
}
