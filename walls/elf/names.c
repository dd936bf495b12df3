/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions to an open module file: its parts, its symbols, what lies where.
 *
 * A fault handler asks some of these: no allocation, no locks, no stdio here.
 */
#include <errno.h>

#include "file.h"

size_t td__elf_span(const struct td__elf *e)
{
	return e->span;
}

size_t td__elf_align(const struct td__elf *e)
{
	return e->align;
}

const char *td__elf_id(const struct td__elf *e)
{
	return e->id;
}

const struct td__elf_part *td__elf_parts(const struct td__elf *e, size_t *n)
{
	*n = e->nparts;
	return e->parts;
}

static void range(const struct td__elf_part *p, const void *base, uintptr_t *start, uintptr_t *end)
{
	*start = (uintptr_t)base + p->start;
	*end = *start + p->size;
}

void td__elf_text(const struct td__elf *e, const void *base, uintptr_t *start, uintptr_t *end)
{
	range(&e->text, base, start, end);
}

void td__elf_data(const struct td__elf *e, const void *base, uintptr_t *start, uintptr_t *end)
{
	range(&e->data, base, start, end);
}

const char *td__elf_import_name(const struct td__elf *e, size_t i)
{
	uint64_t at;
	Elf64_Sym s;

	for (at = 1; at < e->dynsym.n; at++) {
		s = td__elf_sym(e, e->dynsym, at);
		if (s.st_shndx == SHN_UNDEF && i-- == 0)
			return td__elf_string(e, e->dynstr, s.st_name);
	}
	return NULL;
}

static bool exported(const Elf64_Sym *s)
{
	unsigned bind = ELF64_ST_BIND(s->st_info), seen = ELF64_ST_VISIBILITY(s->st_other);

	return s->st_shndx != SHN_UNDEF && s->st_shndx != SHN_ABS &&
	       (bind == STB_GLOBAL || bind == STB_WEAK) &&
	       (seen == STV_DEFAULT || seen == STV_PROTECTED);
}

void *td__elf_symbol(const struct td__elf *e, const void *base, const char *name, size_t *size)
{
	Elf64_Sym s;
	uint64_t i;

	for (i = 1; i < e->dynsym.n; i++) {
		s = td__elf_sym(e, e->dynsym, i);
		if (!exported(&s) || strcmp(td__elf_string(e, e->dynstr, s.st_name), name) != 0)
			continue;
		if (size)
			*size = s.st_size;
		return (void *)((uintptr_t)base + s.st_value);
	}
	return NULL;
}

const void *td__elf_content(const struct td__elf *e, const char *name, size_t *size)
{
	uint64_t at = (uintptr_t)td__elf_symbol(e, 0, name, size);
	const struct td__elf_load *l;

	for (l = e->loads; at && l < e->loads + e->nloads; l++)
		if (at >= l->vaddr && at - l->vaddr <= l->filesz && *size <= l->filesz - (at - l->vaddr))
			return e->file + l->offset + (at - l->vaddr);
	return NULL;
}

const void *td__elf_section(const struct td__elf *e, const char *name, size_t *size)
{
	size_t len = strlen(name) + 1;
	Elf64_Shdr names, s;
	Elf64_Ehdr h;
	unsigned i;

	td__elf_get(e, 0, 0, &h, sizeof(h));
	if (!h.e_shnum)
		return NULL;
	td__elf_get(e, h.e_shoff, h.e_shstrndx, &names, sizeof(names));
	if (names.sh_type != SHT_STRTAB)
		return NULL;
	for (i = 0; i < h.e_shnum; i++) {
		td__elf_get(e, h.e_shoff, i, &s, sizeof(s));
		if (s.sh_type != SHT_PROGBITS || s.sh_name > names.sh_size || len > names.sh_size - s.sh_name ||
		    memcmp(e->file + names.sh_offset + s.sh_name, name, len) != 0)
			continue;
		*size = s.sh_size;
		return e->file + s.sh_offset;
	}
	return NULL;
}

/* Can this symbol name an address? */
static bool names_place(const Elf64_Sym *s, const char *name)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF && s->st_shndx < SHN_LORESERVE && name[0] &&
	       (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE);
}

static const struct td__elf_part *part_of(const struct td__elf *e, uint64_t offset)
{
	const struct td__elf_part *p;

	for (p = e->parts; p < e->parts + e->nparts; p++)
		if (offset >= p->start && offset - p->start < p->size)
			return p;
	return NULL;
}

/*
 * The symbol that covers `offset`, else the last one without a size before it in
 * the same part: a label of an assembler file.
 */
static const char *nearest(const struct td__elf *e, uint64_t offset, uint64_t *from)
{
	struct td__elf_table t = e->symtab.n ? e->symtab : e->dynsym;
	struct td__elf_table strings = e->symtab.n ? e->strtab : e->dynstr;
	const struct td__elf_part *part = part_of(e, offset);
	const char *name, *best = NULL;
	bool covers, sure = false;
	Elf64_Sym s;
	uint64_t i;

	for (i = 1; part && i < t.n; i++) {
		s = td__elf_sym(e, t, i);
		name = td__elf_string(e, strings, s.st_name);
		if (!names_place(&s, name) || s.st_value > offset || s.st_value < part->start)
			continue;
		covers = offset - s.st_value < s.st_size;
		if (!covers && (s.st_size || sure))
			continue;
		if (best && covers == sure && s.st_value < *from)
			continue;
		best = name;
		*from = s.st_value;
		sure = covers;
	}
	return best;
}

/* A string that is cut at its end; stdio may not be used in a signal handler. */
struct text {
	char *buf;
	size_t len, at;
};

static void add(struct text *t, const char *s)
{
	for (; *s && t->at + 1 < t->len; s++)
		t->buf[t->at++] = td__elf_plain(*s) ? *s : '?';
	if (t->len)
		t->buf[t->at] = 0;
}

static void add_hex(struct text *t, uint64_t x)
{
	char digits[19] = { 0 };
	size_t i = sizeof(digits) - 1;

	do
		digits[--i] = "0123456789abcdef"[x & 15];
	while ((x >>= 4) != 0);
	add(t, "0x");
	add(t, digits + i);
}

int td__elf_where(const struct td__elf *e, const void *base, uintptr_t pc, char *buf, size_t len)
{
	struct text t = { buf, len, 0 };
	uint64_t from = 0, offset = pc - (uintptr_t)base;
	const char *name;

	if (pc < (uintptr_t)base || offset >= e->span)
		return -ENOENT;
	name = nearest(e, offset, &from);
	if (name) {
		add(&t, name);
		add(&t, "+");
	}
	add_hex(&t, offset - from);
	return 0;
}
