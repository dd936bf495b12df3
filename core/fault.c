/* SPDX-License-Identifier: BSD-2-Clause */
/* Fault records, and the little text handling that a freestanding core needs. */
#include "fs.h"

const char *const td_fault_names[TD_FAULT_KINDS] = {
	[TD_FAULT_NONE] = "none",
	[TD_FAULT_ACCESS] = "bad memory access",
	[TD_FAULT_WALL] = "access beyond the wall",
	[TD_FAULT_ILLEGAL] = "illegal instruction",
	[TD_FAULT_STACK] = "stack overflow",
	[TD_FAULT_TIME] = "over the time limit",
	[TD_FAULT_RECORD] = "impossible record",
	[TD_FAULT_RESULT] = "impossible result",
	[TD_FAULT_SERVICE] = "misuse of a service",
	[TD_FAULT_LOCK] = "misuse of a lock",
	[TD_FAULT_MESSAGE] = "malformed message",
	[TD_FAULT_GONE] = "process gone",
	[TD_FAULT_LIMIT] = "over a limit",
	[TD_FAULT_START] = "cannot be started",
	[TD_FAULT_MISTAKE] = "mistake",
};

void td__copy_text(char *to, size_t size, const char *from)
{
	size_t i = 0;

	if (!size)
		return;
	for (; from && from[i] && i + 1 < size; i++)
		to[i] = from[i];
	to[i] = 0;
}

void td__copy_number(char *to, size_t size, uint64_t n)
{
	char digits[24], *p = digits + sizeof(digits);

	*--p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	td__copy_text(to, size, p);
}

void td__why(char *why, size_t size, const char *a, const char *b, const char *c)
{
	const char *parts[3] = { a, b, c };
	size_t used = 0;

	if (!size)
		return;
	why[0] = 0;
	for (int i = 0; i < 3 && used + 1 < size; i++)
		if (parts[i]) {
			td__copy_text(why + used, size - used, parts[i]);
			used += strlen(why + used);
		}
}

void td__fault_object(struct td_fault *f, const char *object, uint64_t which)
{
	td__copy_text(f->object, sizeof(f->object), object);
	f->which = which;
}

int td__same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static uint64_t value_of(const void *record, const struct td__field *f)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)record + f->at, f->size); /* the lowest byte comes first */
	return value;
}

void td__fault_field(struct td_fault *f, const struct td__fields *r, const void *was, const void *is, const char *field)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (td__same_text(r->fields[i].name, field) && r->fields[i].size) {
			td__fault_object(f, field, value_of(is, &r->fields[i]));
			f->had = was != 0;
			f->was = was ? value_of(was, &r->fields[i]) : 0;
		}
}

void td__fault_describe(const struct td__call *c, struct td_fault *f, uint32_t attempt)
{
	td__port_now(&f->sec, &f->nsec);
	f->op = c->op;
	f->attempt = attempt;
	f->wall = c->domain->level.wall;
	td__heap_describe(c, f);
	if (c->nvnodes) {
		f->vnode = td__vnode_handle(c->vnodes[0].v);
		f->fid = c->vnodes[0].v->rec.fid;
	}
	td__copy_text(f->level, sizeof(f->level), c->domain->level.name);
	td__copy_text(f->module, sizeof(f->module), c->fs->module->info.name);
}

void td__fault_note(struct td__fs *fs, struct td_fault *f)
{
	td__mutex_lock(&fs->faults_mutex);
	f->number = fs->nfaults + 1;
	__atomic_store_n(&fs->nfaults, f->number, __ATOMIC_RELAXED);
	fs->faults[(f->number - 1) % TD_FAULTS_KEPT] = *f;
	td__mutex_unlock(&fs->faults_mutex);
}

uint32_t td__faults_after(struct td__fs *fs, const struct td_fault *ring, uint32_t kept, const uint64_t *made, uint64_t after,
			  struct td_fault *out, uint32_t n)
{
	uint32_t got = 0;
	uint64_t first;

	td__mutex_lock(&fs->faults_mutex);
	first = *made > kept ? *made - kept : 0;
	for (uint64_t i = after > first ? after : first; i < *made && got < n; i++)
		out[got++] = ring[i % kept];
	td__mutex_unlock(&fs->faults_mutex);
	return got;
}

uint32_t td_get_faults(struct td__fs *fs, uint64_t after, struct td_fault *out, uint32_t n)
{
	return td__faults_after(fs, fs->faults, TD_FAULTS_KEPT, &fs->nfaults, after, out, n);
}
