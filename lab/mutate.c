/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine-made faults: changes of a module's own instructions and data as a programmer's slip would have made them. The kinds follow
 * the studies of Nooks (Swift, Bershad and Levy, "Improving the reliability of commodity operating systems", 2003) and of
 * Rio (Chen et al., "The Rio file cache: surviving operating system crashes", 1996; Ng and Chen, "The systematic improvement of
 * fault tolerance in the Rio file cache", 1999).
 *
 * Zydis knows where instructions begin and what they do. A change never moves an instruction: what is taken away becomes NOPs.
 */
#include "lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <Zydis/Zydis.h>

enum { NOP = 0x90 };

struct code {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t *bytes;
	uint64_t address;
};

static int decode(uint8_t *bytes, size_t len, uint64_t address, struct code *c)
{
	static ZydisDecoder decoder;
	static int ready;

	if (!ready) {
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = 1;
	}
	c->bytes = bytes;
	c->address = address;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len, &c->i, c->o));
}

/* ---- What an instruction is */

static int is_short_branch(const struct code *c)
{
	return c->i.length == 2 && c->bytes[0] >= 0x70 && c->bytes[0] <= 0x7f;
}

static int is_near_branch(const struct code *c)
{
	return c->i.length == 6 && c->bytes[0] == 0x0f && (c->bytes[1] & 0xf0) == 0x80;
}

static int is_branch(const struct code *c)
{
	return is_short_branch(c) || is_near_branch(c);
}

/* The byte with the condition in its low half. */
static uint8_t *condition(struct code *c)
{
	return c->bytes + (is_near_branch(c) ? 1 : 0);
}

static int32_t distance(const struct code *c)
{
	int32_t far;

	if (is_short_branch(c))
		return (int8_t)c->bytes[1];
	memcpy(&far, c->bytes + 2, sizeof(far));
	return far;
}

/* An operand that names a register in the byte behind the opcode, where three bits of it can be changed. 0: there is none. */
static uint8_t register_bits(const struct code *c, int written)
{
	for (unsigned i = 0; i < c->i.operand_count_visible; i++) {
		const ZydisDecodedOperand *o = &c->o[i];
		int writes = (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || writes != written)
			continue;
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			return 3;
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && c->i.raw.modrm.mod == 3)
			return 1; /* shift 0 */
	}
	return 0;
}

static int has_immediate(const struct code *c)
{
	return c->i.raw.imm[0].size >= 8 && !c->i.raw.imm[0].is_relative;
}

/* Sets a register or a variable to a constant. */
static int is_init(const struct code *c)
{
	if (c->i.mnemonic == ZYDIS_MNEMONIC_MOV)
		return has_immediate(c);
	return c->i.mnemonic == ZYDIS_MNEMONIC_XOR && c->o[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       c->o[1].type == ZYDIS_OPERAND_TYPE_REGISTER && c->o[0].reg.value == c->o[1].reg.value;
}

static int compares_order(struct code *c)
{
	static const uint8_t ordered[16] = { [2] = 1, [3] = 1, [6] = 1, [7] = 1, [12] = 1, [13] = 1, [14] = 1, [15] = 1 };

	return is_branch(c) && ordered[*condition(c) & 15];
}

static int counts(const struct code *c)
{
	return has_immediate(c) && (c->i.mnemonic == ZYDIS_MNEMONIC_CMP || c->i.mnemonic == ZYDIS_MNEMONIC_ADD ||
				    c->i.mnemonic == ZYDIS_MNEMONIC_SUB);
}

/* A mov whose opcode's last bit, or a widening one whose opcode, says how many bytes are moved; or a constant that could be a size. */
static uint32_t width_at(const struct code *c)
{
	uint32_t at = c->i.raw.modrm.offset;

	if (!at || c->i.mnemonic == ZYDIS_MNEMONIC_LEA)
		return 0;
	at--;
	if (c->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && c->i.opcode >= 0x88 && c->i.opcode <= 0x8b)
		return at;
	if (c->i.opcode_map == ZYDIS_OPCODE_MAP_0F && (c->i.opcode == 0xb6 || c->i.opcode == 0xb7 || c->i.opcode == 0xbe || c->i.opcode == 0xbf))
		return at;
	return 0;
}

static int is_size(const struct code *c)
{
	return c->i.mnemonic == ZYDIS_MNEMONIC_MOV && has_immediate(c) && c->i.raw.imm[0].size == 32 &&
	       c->i.raw.imm[0].value.u >= 4 && c->i.raw.imm[0].value.u <= 65536;
}

/* Refers to memory by an address that has a displacement or a base that can be changed. */
static int is_pointer(const struct code *c)
{
	return c->i.raw.modrm.offset && c->i.raw.modrm.mod != 3 &&
	       (c->i.raw.disp.size || (c->i.raw.modrm.rm != 4 && c->i.raw.modrm.rm != 5)) &&
	       c->i.mnemonic != ZYDIS_MNEMONIC_NOP;
}

static int is_plain_call(const struct code *c)
{
	return c->i.length == 5 && c->bytes[0] == 0xe8;
}

static uint64_t call_target(const struct code *c)
{
	int32_t far;

	memcpy(&far, c->bytes + 1, sizeof(far));
	return c->address + 5 + (uint64_t)(int64_t)far;
}

static int fits(uint32_t mutation, struct code *c)
{
	switch (mutation) {
	case LAB_SOURCE: return register_bits(c, 0) != 0;
	case LAB_DESTINATION: return register_bits(c, 1) != 0;
	case LAB_POINTER: return is_pointer(c);
	case LAB_INIT: return is_init(c);
	case LAB_BRANCH: return is_branch(c);
	case LAB_BOUNDARY: return compares_order(c) || counts(c);
	case LAB_SIZE: return width_at(c) || is_size(c);
	case LAB_ENDLESS: return is_branch(c) && distance(c) < 0;
	case LAB_DROP: return c->i.mnemonic != ZYDIS_MNEMONIC_NOP && c->i.mnemonic != ZYDIS_MNEMONIC_INT3;
	case LAB_BIT: return 1;
	default: return 0;
	}
}

/* ---- Finding */

static void add(struct lab_sites *s, uint64_t at, uint32_t len)
{
	if (s->n == s->room) {
		uint32_t room = s->room ? 2 * s->room : 256;
		struct lab_site *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return;
		s->list = list;
		s->room = room;
	}
	s->list[s->n++] = (struct lab_site){ (uint32_t)at, len };
}

typedef void visit_fn(struct lab_image *im, struct code *c, uint64_t offset, void *arg);

static void visit_text(struct lab_image *im, visit_fn *visit, void *arg)
{
	for (size_t n = 0; n < im->elf->nloads; n++) {
		const struct td__elf_load *l = &im->elf->loads[n];
		struct code c;

		if (!(l->flags & PF_X))
			continue;
		for (uint64_t at = 0; at < l->filesz; at += c.i.length) {
			uint8_t *p = im->elf->file + l->offset + at;

			if (!decode(p, l->filesz - at, l->vaddr + at, &c))
				c.i.length = 1;
			else
				visit(im, &c, l->offset + at, arg);
		}
	}
}

static void note_fitting(struct lab_image *im, struct code *c, uint64_t offset, void *arg)
{
	(void)arg;
	for (uint32_t m = 0; m < LAB_MUTATIONS; m++)
		if (fits(m, c))
			add(&im->sites[m], offset, c->i.length);
}

/*
 * Calls that take or give back a lock. The sdk's td_lock() is a small function around the service, so its callers are what is looked
 * for: functions that begin a little before a call of the service's stub (jmp *WORD), and whoever calls those.
 */
struct lock_search {
	uint64_t stubs[4], wrappers[8];
	uint32_t nstubs, nwrappers;
	uint64_t last_target; /* the nearest address before that somebody calls */
	struct lab_sites targets;
};

static int leads_to(const struct lab_image *im, const struct code *c)
{
	uint64_t word;

	/* jmp or call *disp(%rip) */
	if (c->i.length < 6 || c->i.raw.disp.size != 32 || c->i.raw.modrm.mod != 0 || c->i.raw.modrm.rm != 5 ||
	    (c->i.mnemonic != ZYDIS_MNEMONIC_JMP && c->i.mnemonic != ZYDIS_MNEMONIC_CALL))
		return 0;
	word = c->address + c->i.length + (uint64_t)c->i.raw.disp.value;
	return word && (word == im->service[TD_SVC_lock] || word == im->service[TD_SVC_unlock]);
}

static void note_stubs(struct lab_image *im, struct code *c, uint64_t offset, void *arg)
{
	struct lock_search *s = arg;

	(void)offset;
	if (leads_to(im, c) && c->i.mnemonic == ZYDIS_MNEMONIC_JMP && s->nstubs < 4)
		s->stubs[s->nstubs++] = c->address;
	if (is_plain_call(c))
		add(&s->targets, call_target(c), 0);
}

static int is_stub(const struct lock_search *s, const struct code *c)
{
	for (uint32_t i = 0; i < s->nstubs; i++)
		if (is_plain_call(c) && call_target(c) == s->stubs[i])
			return 1;
	return 0;
}

enum { WRAPPER_MAX = 32 };

static void note_wrappers(struct lab_image *im, struct code *c, uint64_t offset, void *arg)
{
	struct lock_search *s = arg;
	uint64_t nearest = 0;

	(void)offset;
	if (!is_stub(s, c) && !(leads_to(im, c) && c->i.mnemonic == ZYDIS_MNEMONIC_CALL))
		return;
	for (uint32_t i = 0; i < s->targets.n; i++)
		if (s->targets.list[i].at <= c->address && s->targets.list[i].at > nearest)
			nearest = s->targets.list[i].at;
	if (c->address - nearest < WRAPPER_MAX && s->nwrappers < 8)
		s->wrappers[s->nwrappers++] = nearest;
}

static void note_lock_calls(struct lab_image *im, struct code *c, uint64_t offset, void *arg)
{
	struct lock_search *s = arg;

	for (uint32_t i = 0; i < s->nwrappers; i++)
		if (is_plain_call(c) && call_target(c) == s->wrappers[i]) {
			add(&im->sites[LAB_UNLOCKED], offset, c->i.length);
			return;
		}
}

static void find_lock_calls(struct lab_image *im)
{
	struct lock_search s = { 0 };

	visit_text(im, note_stubs, &s);
	visit_text(im, note_wrappers, &s);
	visit_text(im, note_lock_calls, &s);
	free(s.targets.list);
}

/* Data in the file, and the words that the loader relocates: tables of functions and the like. The first load holds what the loader reads. */
static void find_data(struct lab_image *im)
{
	const struct td__elf *e = im->elf;

	for (size_t i = 1; i < e->nloads; i++)
		if (!(e->loads[i].flags & PF_X) && e->loads[i].filesz)
			add(&im->sites[LAB_DATA], e->loads[i].offset, (uint32_t)e->loads[i].filesz);
	for (uint64_t i = 0; i < e->relocations[0].n; i++) {
		Elf64_Rela r;

		td__elf_get(e, e->relocations[0].offset, i, &r, sizeof(r));
		if (ELF64_R_TYPE(r.r_info) == R_X86_64_RELATIVE)
			add(&im->sites[LAB_TABLE], e->relocations[0].offset + i * sizeof(r), sizeof(r));
	}
}

void lab_sites_find(struct lab_image *im)
{
	visit_text(im, note_fitting, 0);
	find_lock_calls(im);
	find_data(im);
}

/* ---- Changing */

static void drop(struct code *c)
{
	memset(c->bytes, NOP, c->i.length);
}

static void change_register(struct code *c, int written, struct lab_random *r)
{
	uint8_t shift = register_bits(c, written) == 3 ? 3 : 0;

	c->bytes[c->i.raw.modrm.offset] ^= (uint8_t)((1 + lab_below(r, 7)) << shift);
}

static void change_number(uint8_t *at, uint32_t bits, int64_t by)
{
	uint64_t n = 0;

	memcpy(&n, at, bits / 8);
	n += (uint64_t)by;
	memcpy(at, &n, bits / 8);
}

static void change_pointer(struct code *c, struct lab_random *r)
{
	int base = c->i.raw.modrm.rm != 4 && c->i.raw.modrm.rm != 5 && (!c->i.raw.disp.size || lab_below(r, 2));

	if (base)
		c->bytes[c->i.raw.modrm.offset] ^= (uint8_t)(1 + lab_below(r, 3));
	else
		c->bytes[c->i.raw.disp.offset + lab_below(r, c->i.raw.disp.size / 8)] ^= (uint8_t)(1u << lab_below(r, 8));
}

/* < becomes <=, and the like; or a constant becomes one more or less. */
static void change_boundary(struct code *c, struct lab_random *r)
{
	if (is_branch(c))
		*condition(c) ^= *condition(c) & 8 ? 2 : 4;
	else
		change_number(c->bytes + c->i.raw.imm[0].offset, c->i.raw.imm[0].size, lab_below(r, 2) ? 1 : -1);
}

static void change_size(struct code *c, struct lab_random *r)
{
	static const int64_t by[] = { -8, -1, 1, 8, 64, 4096 };
	uint32_t at = width_at(c);

	if (at)
		c->bytes[at] ^= 1;
	else
		change_number(c->bytes + c->i.raw.imm[0].offset, 32, by[lab_below(r, sizeof(by) / sizeof(by[0]))]);
}

/* A branch back becomes a jump. */
static void make_endless(struct code *c)
{
	if (is_short_branch(c)) {
		c->bytes[0] = 0xeb;
	} else {
		c->bytes[0] = NOP;
		c->bytes[1] = 0xe9;
	}
}

/* A call that is not made has succeeded, as far as the caller can tell. */
static void drop_call(struct code *c)
{
	drop(c);
	c->bytes[0] = 0x31; /* xor %eax, %eax */
	c->bytes[1] = 0xc0;
}

static void change_table(uint8_t *at, struct lab_random *r)
{
	Elf64_Rela rela;

	memcpy(&rela, at, sizeof(rela));
	rela.r_addend ^= 1ll << lab_below(r, 16);
	memcpy(at, &rela, sizeof(rela));
}

static void change_instruction(uint32_t mutation, struct code *c, struct lab_random *r)
{
	switch (mutation) {
	case LAB_SOURCE: change_register(c, 0, r); break;
	case LAB_DESTINATION: change_register(c, 1, r); break;
	case LAB_POINTER: change_pointer(c, r); break;
	case LAB_BRANCH: *condition(c) ^= 1; break;
	case LAB_BOUNDARY: change_boundary(c, r); break;
	case LAB_SIZE: change_size(c, r); break;
	case LAB_ENDLESS: make_endless(c); break;
	case LAB_UNLOCKED: drop_call(c); break;
	case LAB_BIT: c->bytes[lab_below(r, c->i.length)] ^= (uint8_t)(1u << lab_below(r, 8)); break;
	default: drop(c); break; /* LAB_INIT, LAB_DROP */
	}
}

/* The instruction as text, for the report. */
static size_t show(const struct code *c, char *text, size_t size)
{
	ZydisFormatter f;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_ATT);
	text[0] = 0;
	ZydisFormatterFormatInstruction(&f, &c->i, c->o, c->i.operand_count_visible, text, size, c->address, 0);
	return strlen(text);
}

static uint64_t address_of(const struct lab_image *im, uint64_t offset)
{
	for (size_t i = 0; i < im->elf->nloads; i++)
		if (offset >= im->elf->loads[i].offset && offset - im->elf->loads[i].offset < im->elf->loads[i].filesz)
			return im->elf->loads[i].vaddr + (offset - im->elf->loads[i].offset);
	return 0;
}

static void mutate_text(const struct lab_image *im, uint32_t mutation, const struct lab_site *s, struct lab_random *r,
			uint8_t *bytes, char *what, size_t size)
{
	uint64_t address = address_of(im, s->at);
	char place[100] = "", before[60];
	struct code c;
	size_t used;

	if (!decode(bytes + s->at, s->len, address, &c))
		return;
	td__elf_where(im->elf, 0, address, place, sizeof(place));
	show(&c, before, sizeof(before));
	change_instruction(mutation, &c, r);
	used = (size_t)snprintf(what, size, "%s, 0x%llx: %s -> ", place, (unsigned long long)address, before);
	if (used < size && decode(bytes + s->at, 15, address, &c))
		show(&c, what + used, size - used);
}

int lab_mutate(const struct lab_image *im, uint32_t mutation, struct lab_random *r, uint8_t *bytes, char *what, size_t size)
{
	const struct lab_sites *sites = &im->sites[mutation];
	const struct lab_site *s;
	uint32_t at, bit;

	if (!sites->n)
		return -ENOENT;
	s = &sites->list[lab_below(r, sites->n)];
	if (mutation == LAB_TABLE) {
		change_table(bytes + s->at, r);
		snprintf(what, size, "a relocated pointer, entry at offset 0x%x of the file", s->at);
	} else if (mutation == LAB_DATA) {
		at = s->at + lab_below(r, s->len);
		bit = lab_below(r, 8);
		bytes[at] ^= (uint8_t)(1u << bit);
		snprintf(what, size, "data at offset 0x%x of the file, bit %u", at, bit);
	} else {
		mutate_text(im, mutation, s, r, bytes, what, size);
	}
	return 0;
}
