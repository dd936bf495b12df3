/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and source lines of a wasm binary, for messages. What they come from is in sections of its own, which the
 * verification passes over: nothing that is said here is more than a hint.
 *
 * The sections of DWARF are the same as in an ELF file, so one is made around them, in memory, for libdw to read. Its
 * addresses count from the beginning of the code section's content.
 */
#include <elf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../elf/elf.h"
#include "wasm.h"

/* ---- Sections by name */

struct section {
	const char *name;
	uint32_t name_len, at, len;
	uint8_t id;
};

/* The section behind c, and c behind it. 0: there is none, or it is cut short. */
static int next_section(struct td__cursor *c, struct section *s)
{
	uint32_t len, end;

	s->id = td__read_byte(c);
	len = td__read_u32(c);
	if (c->bad || len > c->end - c->at)
		return 0;
	end = c->at + len;
	s->name_len = 0;
	if (!s->id) {
		s->name_len = td__read_u32(c);
		if (c->bad || c->at > end || s->name_len > end - c->at)
			return 0;
		s->name = (const char *)c->data + c->at;
		c->at += s->name_len;
	}
	s->at = c->at;
	s->len = end - c->at;
	c->at = end;
	return 1;
}

static struct td__cursor sections(const void *wasm, size_t size)
{
	return (struct td__cursor){ wasm, 8, size > TD__WASM_SIZE ? 0 : (uint32_t)size, size < 8 };
}

static int is_named(const struct section *s, const char *name)
{
	return !s->id && s->name_len == strlen(name) && !memcmp(s->name, name, s->name_len);
}

/* ---- Names of functions */

static void take_name(const struct td__cursor *c, uint32_t len, char *text, size_t room)
{
	size_t n = len < room ? len : room - 1;

	for (size_t i = 0; i < n; i++) {
		char byte = (char)c->data[c->at + i];

		text[i] = byte < ' ' || byte > '~' ? '?' : byte;
	}
	text[n] = 0;
}

static void find_name(struct td__cursor c, uint32_t function, char *text, size_t room)
{
	uint32_t n = td__read_u32(&c);

	while (n-- && !c.bad) {
		uint32_t index = td__read_u32(&c), len = td__read_u32(&c);

		if (c.bad || len > c.end - c.at)
			return;
		if (index == function) {
			take_name(&c, len, text, room);
			return;
		}
		c.at += len;
	}
}

void td__sfi_function_name(const void *wasm, size_t size, uint32_t function, char *text, size_t room)
{
	struct td__cursor c = sections(wasm, size);
	struct section s, part;

	text[0] = 0;
	while (next_section(&c, &s)) {
		struct td__cursor names = { c.data, s.at, s.at + s.len, 0 };

		if (!is_named(&s, "name"))
			continue;
		while (next_section(&names, &part)) /* its parts look like sections: 1 is functions */
			if (part.id == 1)
				find_name((struct td__cursor){ c.data, part.at, part.at + part.len, 0 }, function, text, room);
	}
}

/* ---- Lines */

enum { MOST_SECTIONS = 32, NAMES = 1024 };

struct image {
	Elf32_Ehdr head;
	Elf32_Shdr sections[MOST_SECTIONS];
	char names[NAMES];
	uint8_t content[];
};

static void add_section(struct image *m, const struct section *s, const uint8_t *data, uint32_t *name, uint32_t *at)
{
	Elf32_Shdr *h = &m->sections[m->head.e_shnum];

	if (m->head.e_shnum == MOST_SECTIONS || s->name_len >= NAMES - *name)
		return;
	memcpy(m->names + *name, s->name, s->name_len);
	memcpy((uint8_t *)m + *at, data + s->at, s->len);
	h->sh_name = *name;
	h->sh_type = SHT_PROGBITS;
	h->sh_offset = *at;
	h->sh_size = s->len;
	h->sh_addralign = 1;
	*name += s->name_len + 1;
	*at += s->len;
	m->head.e_shnum++;
}

/* An ELF file of the binary's debug information; `code` is where its addresses begin. */
static struct image *make_image(const void *wasm, size_t size, uint32_t *code, uint32_t *length)
{
	struct image *m = calloc(1, sizeof(*m) + size);
	struct td__cursor c = sections(wasm, size);
	uint32_t name = 11, at = sizeof(*m);
	struct section s;

	if (!m)
		return 0;
	memcpy(m->head.e_ident, ELFMAG, SELFMAG);
	m->head.e_ident[EI_CLASS] = ELFCLASS32;
	m->head.e_ident[EI_DATA] = ELFDATA2LSB;
	m->head.e_ident[EI_VERSION] = m->head.e_version = EV_CURRENT;
	m->head.e_type = ET_EXEC;
	m->head.e_machine = EM_386; /* any of 32 bits */
	m->head.e_ehsize = sizeof(m->head);
	m->head.e_shoff = offsetof(struct image, sections);
	m->head.e_shentsize = sizeof(m->sections[0]);
	m->head.e_shnum = 2;
	m->head.e_shstrndx = 1;
	memcpy(m->names + 1, ".shstrtab", 9);
	m->sections[1] = (Elf32_Shdr){ .sh_name = 1, .sh_type = SHT_STRTAB, .sh_offset = offsetof(struct image, names), .sh_size = NAMES };
	while (next_section(&c, &s)) {
		if (s.id == 10)
			*code = s.at;
		if (!s.id && s.name_len > 7 && !memcmp(s.name, ".debug_", 7))
			add_section(m, &s, wasm, &name, &at);
	}
	*length = at;
	return m;
}

/* Compilers give some code, heads of loops above all, no line (0): then the next that has one is meant. */
static int near_line(Dwarf *dwarf, size_t at, char *text, size_t room)
{
	for (size_t end = at + 64; at < end; at++) {
		text[0] = 0;
		if (td__elf_line_of(dwarf, at, text, room))
			return -ENOENT;
		if (!strstr(text, ":0 ("))
			return 0;
	}
	return 0;
}

int td__sfi_line(const void *wasm, size_t size, size_t offset, char *text, size_t room)
{
	uint32_t code = 0, length;
	struct image *m;
	Dwarf *dwarf = 0;
	Elf *elf = 0;
	int err = -ENOENT;

	text[0] = 0;
	m = make_image(wasm, size, &code, &length);
	if (!m)
		return -ENOMEM;
	elf_version(EV_CURRENT);
	if (code && offset >= code)
		elf = elf_memory((char *)m, length);
	if (elf)
		dwarf = dwarf_begin_elf(elf, DWARF_C_READ, 0);
	if (dwarf)
		err = near_line(dwarf, offset - code, text, room);
	dwarf_end(dwarf);
	elf_end(elf);
	free(m);
	return err;
}
