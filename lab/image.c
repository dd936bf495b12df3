/* SPDX-License-Identifier: BSD-2-Clause */
/* A module file as bytes: where its parts are, and how a planted fault gets in. */
#include "lab.h"

#include <errno.h>
#include <string.h>

#define NAME(service) [TD_SVC_##service] = "td__svc_" #service,
#define ROW(name) NAME(name)
const char *const lab_service_names[TD_SVC_MAX] = { TD__SERVICES(ROW) };

uint64_t lab_image_offset(const struct lab_image *im, uint64_t address)
{
	for (size_t i = 0; i < im->elf->nloads; i++) {
		const struct td__elf_load *l = &im->elf->loads[i];

		if (address >= l->vaddr && address - l->vaddr < l->filesz)
			return l->offset + (address - l->vaddr);
	}
	return 0;
}

static const struct td__elf_load *text_load(const struct td__elf *e)
{
	for (size_t i = 0; i < e->nloads; i++)
		if (e->loads[i].flags & PF_X)
			return &e->loads[i];
	return 0;
}

/* The words that the loader fills with the services' addresses. */
static void find_services(struct lab_image *im)
{
	const struct td__elf *e = im->elf;

	for (int t = 0; t < 2; t++)
		for (uint64_t i = 0; i < e->relocations[t].n; i++) {
			Elf64_Rela r;

			td__elf_get(e, e->relocations[t].offset, i, &r, sizeof(r));
			if (!ELF64_R_SYM(r.r_info))
				continue;
			Elf64_Sym s = td__elf_sym(e, e->dynsym, ELF64_R_SYM(r.r_info));
			const char *name = td__elf_string(e, e->dynstr, s.st_name);

			for (uint32_t n = 0; n < TD_SVC_MAX; n++)
				if (lab_service_names[n] && !strcmp(name, lab_service_names[n]))
					im->service[n] = r.r_offset;
		}
}

/* A function that the module keeps to itself; 0: there is none of this name, or only names that others may use are in the file. */
static uint64_t find_function(const struct td__elf *e, const char *name)
{
	for (uint64_t i = 0; i < e->symtab.n; i++) {
		Elf64_Sym s = td__elf_sym(e, e->symtab, i);

		if (ELF64_ST_TYPE(s.st_info) == STT_FUNC && !strcmp(td__elf_string(e, e->strtab, s.st_name), name))
			return s.st_value;
	}
	return 0;
}

int lab_image_open(struct lab_image *im, const char *path, char *why, size_t size)
{
	int err;

	memset(im, 0, sizeof(*im));
	im->path = path;
	err = td__elf_open(path, &im->elf, why, size);
	if (err)
		return err;
	im->enter = (uint64_t)(uintptr_t)td__elf_symbol(im->elf, 0, "td__enter", 0);
	im->alloc = find_function(im->elf, "td_alloc");
	im->free = find_function(im->elf, "td_free");
	find_services(im);
	lab_sites_find(im);
	return 0;
}

/* ---- Planting */

struct code {
	const char *start, *stop;
};

#define CODE(act) [LAB_##act] = { __start_lab_act_##act, __stop_lab_act_##act },
static const struct code codes[LAB_ACTS] = { LAB_STUB_ACTS(CODE) };

/* lea PARAMETERS(%rip), %rsi */
static const uint8_t prologue[] = { 0x48, 0x8d, 0x35, 0, 0, 0, 0 };

static uint32_t needed(uint32_t act)
{
	uint32_t code = (uint32_t)(sizeof(prologue) + (size_t)(codes[act].stop - codes[act].start));

	return ((code + 7) & ~7u) + (uint32_t)sizeof(struct lab_act_params) + 16;
}

/* Which services does an act want? */
int lab_has_services(const uint64_t *s, uint32_t act)
{
	switch (act) {
	case LAB_BAD_RANGE:
	case LAB_STALE_HANDLE:
		return s[TD_SVC_bread] && s[TD_SVC_buf_write];
	case LAB_WRITE_FREED:
	case LAB_DOUBLE_RELEASE:
		return s[TD_SVC_bread] && s[TD_SVC_brelse];
	case LAB_BAD_BLOCK:
	case LAB_FORGOTTEN_BUFS:
	case LAB_WRITE_SHARED:
		return s[TD_SVC_bread] != 0;
	case LAB_BAD_LOCK:
	case LAB_LOCK_KEPT:
		return s[TD_SVC_lock] != 0;
	case LAB_UNLOCK_FOREIGN:
		return s[TD_SVC_unlock] != 0;
	case LAB_FOREIGN_VNODE:
		return s[TD_SVC_vref] != 0;
	case LAB_BAD_DISCARD:
		return s[TD_SVC_discard] != 0;
	case LAB_LONG_LOG:
		return s[TD_SVC_log] != 0;
	default:
		return 1;
	}
}

int lab_uses_heap(uint32_t act)
{
	return act >= LAB_HEAP_LOAD_FREED && act <= LAB_HEAP_FREE_FOREIGN;
}

/*
 * A load ends somewhere within a page, and what is left of the page is in memory all the same: room for code, behind the text itself, or
 * behind what is only read next to it and then becomes part of the text. Which load it is, or -1.
 */
static int find_room(const struct lab_image *im, uint32_t want, uint64_t *offset)
{
	const struct td__elf *e = im->elf;
	const struct td__elf_load *text = text_load(e);
	int t = (int)(text - e->loads), order[] = { t, t + 1, t - 1 };

	for (int i = 0; i < 3; i++) {
		const struct td__elf_load *l = &e->loads[order[i]];
		uint64_t end, page;

		if (order[i] < 0 || order[i] >= (int)e->nloads || l->flags & PF_W || l->vaddr - l->offset != text->vaddr - text->offset)
			continue;
		end = (l->offset + l->filesz + 15) & ~15ull;
		page = (end + TD__ELF_PAGE - 1) & ~(uint64_t)(TD__ELF_PAGE - 1);
		if (page > e->size || page - end < want)
			continue;
		*offset = end;
		return order[i];
	}
	return -1;
}

int lab_possible(const struct lab_image *im, const struct lab_kind *k)
{
	uint64_t offset;

	if (k->class == LAB_NO_FAULT)
		return 1;
	if (k->class == LAB_MACHINE)
		return im->sites[k->number].n != 0;
	if (k->number == LAB_KILLED)
		return 1;
	return lab_has_services(im->service, k->number) && (!lab_uses_heap(k->number) || (im->alloc && im->free)) && find_room(im, needed(k->number), &offset) >= 0;
}

/* Make the text reach to `end`; a load that it grows over is no more. */
static void stretch_text(const struct lab_image *im, uint8_t *bytes, int load, uint64_t end)
{
	const struct td__elf_load *text = text_load(im->elf), *l = &im->elf->loads[load];
	uint64_t begin = l->offset < text->offset ? l->offset : text->offset, last = text->offset + text->filesz;
	Elf64_Ehdr h;
	Elf64_Phdr p;

	if (last < end)
		last = end;
	memcpy(&h, bytes, sizeof(h));
	for (unsigned i = 0; i < h.e_phnum; i++) {
		uint8_t *at = bytes + h.e_phoff + i * sizeof(p);

		memcpy(&p, at, sizeof(p));
		if (p.p_type != PT_LOAD)
			continue;
		if (p.p_offset == text->offset) {
			p.p_vaddr = p.p_paddr = text->vaddr - (text->offset - begin);
			p.p_offset = begin;
			p.p_filesz = p.p_memsz = last - begin;
		} else if (l != text && p.p_offset == l->offset) {
			p.p_type = PT_NULL;
		}
		memcpy(at, &p, sizeof(p));
	}
}

/* Let the name td__enter stand for another address, past which nobody can call: the table of straight calls has no length any more. */
static void move_entry(const struct lab_image *im, uint8_t *bytes, uint64_t address)
{
	const struct td__elf *e = im->elf;

	for (uint64_t i = 0; i < e->dynsym.n; i++) {
		Elf64_Sym s = td__elf_sym(e, e->dynsym, i);
		const char *name = td__elf_string(e, e->dynstr, s.st_name);

		if (!strcmp(name, "td__enter"))
			s.st_value = address;
		else if (strcmp(name, "td_module_straight"))
			continue;
		s.st_size = 0;
		memcpy(bytes + e->dynsym.offset + i * sizeof(s), &s, sizeof(s));
	}
}

/* See act.c: the one act that is a system call carries a placeholder for it. */
static void make_syscall(uint8_t *code, size_t len)
{
	static const uint8_t placeholder[] = { 0xb8, 110, 0, 0, 0, 0x0f, 0x0b };

	for (size_t i = 0; i + sizeof(placeholder) <= len; i++)
		if (!memcmp(code + i, placeholder, sizeof(placeholder)))
			code[i + 6] = 0x05;
}

int lab_plant(const struct lab_image *im, uint32_t act, const struct lab_act_params *params, uint8_t *bytes)
{
	const struct td__elf_load *l = text_load(im->elf);
	const struct code *c = &codes[act];
	size_t len = (size_t)(c->stop - c->start), at = sizeof(prologue) + len;
	struct lab_act_params p = *params;
	uint64_t offset, address, where;
	int load = find_room(im, needed(act), &offset);
	int32_t distance;

	if (load < 0)
		return -ENOSPC;
	at = (at + 7) & ~(size_t)7;
	address = l->vaddr + (offset - l->offset);
	where = address + at;
	p.enter = (int64_t)(im->enter - where);
	p.alloc = im->alloc ? (int64_t)(im->alloc - where) : 0;
	p.free = im->free ? (int64_t)(im->free - where) : 0;
	for (uint32_t i = 0; i < TD_SVC_MAX; i++)
		p.service[i] = im->service[i] ? (int64_t)(im->service[i] - where) : 0;
	memcpy(bytes + offset, prologue, sizeof(prologue));
	distance = (int32_t)(at - sizeof(prologue));
	memcpy(bytes + offset + 3, &distance, sizeof(distance));
	memcpy(bytes + offset + sizeof(prologue), c->start, len);
	if (act == LAB_SYSCALL)
		make_syscall(bytes + offset + sizeof(prologue), len);
	memcpy(bytes + offset + at, &p, sizeof(p));
	stretch_text(im, bytes, load, offset + at + sizeof(p));
	move_entry(im, bytes, address);
	return 0;
}
