/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The check of a module's program headers, and the layout that follows from them.
 *
 * The layout is what the linker makes of a freestanding shared object: parts that
 * share no page, the first at address 0, one of them text and at most one
 * writable once relocation is over.  Anything else is refused, which keeps the
 * ranges that a fault handler asks for exact.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "file.h"

static uint64_t page_floor(uint64_t x)
{
	return x & ~(uint64_t)(TD__ELF_PAGE - 1);
}

static uint64_t page_ceil(uint64_t x)
{
	return page_floor(x + TD__ELF_PAGE - 1);
}

static int check_load_form(const Elf64_Phdr *p, struct td__elf_why w)
{
	if (p->p_vaddr > TD__ELF_SPAN_MAX || p->p_memsz > TD__ELF_SPAN_MAX)
		return td__elf_refuse(w, "wants more than %u MiB of address space",
				      TD__ELF_SPAN_MAX >> 20);
	if (p->p_filesz > p->p_memsz)
		return td__elf_refuse(w, "has a segment that is larger in the file than in memory");
	if (p->p_align < TD__ELF_PAGE || p->p_align > TD__ELF_ALIGN_MAX ||
	    (p->p_align & (p->p_align - 1)))
		return td__elf_refuse(w, "has a segment aligned to 0x%llx",
				      (unsigned long long)p->p_align);
	if ((p->p_vaddr ^ p->p_offset) & (p->p_align - 1))
		return td__elf_refuse(w, "has a segment whose offset does not fit its address");
	if (p->p_flags != PF_R && p->p_flags != (PF_R | PF_W) && p->p_flags != (PF_R | PF_X))
		return td__elf_refuse(w, "has a segment with protection %c%c%c (flags 0x%x)",
				      p->p_flags & PF_R ? 'r' : '-', p->p_flags & PF_W ? 'w' : '-',
				      p->p_flags & PF_X ? 'x' : '-', p->p_flags);
	/* Text beyond the file would not have been inspected. */
	if ((p->p_flags & PF_X) && p->p_filesz != p->p_memsz)
		return td__elf_refuse(w, "has text that is not in the file");
	return 0;
}

static int add_load(struct td__elf *e, const Elf64_Phdr *p, struct td__elf_why w)
{
	int rc = check_load_form(p, w);

	if (rc || p->p_memsz == 0)
		return rc;
	if (e->nloads == TD__ELF_LOADS)
		return td__elf_refuse(w, "has more than %d segments", TD__ELF_LOADS);
	if (e->nloads == 0 && page_floor(p->p_vaddr) != 0)
		return td__elf_refuse(w, "has its first segment at 0x%llx instead of 0",
				      (unsigned long long)p->p_vaddr);
	if (page_floor(p->p_vaddr) < e->span)
		return td__elf_refuse(
			w, "has segments that overlap, share a page or are not in order");
	e->loads[e->nloads++] = (struct td__elf_load){
		.vaddr = p->p_vaddr,
		.memsz = p->p_memsz,
		.offset = p->p_offset,
		.filesz = p->p_filesz,
		.flags = p->p_flags,
	};
	e->span = page_ceil(p->p_vaddr + p->p_memsz);
	if (p->p_align > e->align)
		e->align = p->p_align;
	return 0;
}

/* The linker's name for the content, in hexadecimal. */
static void take_id(struct td__elf *e, const uint8_t *bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		snprintf(e->id + 2 * i, 3, "%02x", bytes[i]);
}

static uint64_t round_up(uint64_t x, uint64_t align)
{
	return (x + align - 1) & ~(align - 1);
}

static int check_notes(struct td__elf *e, const Elf64_Phdr *p, struct td__elf_why w)
{
	uint64_t align = p->p_align == 8 ? 8 : 4;
	uint64_t at = 0, name, desc, next;
	Elf64_Nhdr n;

	for (; at < p->p_filesz; at = next) {
		if (p->p_filesz - at < sizeof(n))
			return td__elf_refuse(w, "has a note that is cut short");
		memcpy(&n, e->file + p->p_offset + at, sizeof(n));
		name = at + sizeof(n);
		desc = at + round_up(sizeof(n) + (uint64_t)n.n_namesz, align);
		next = at + round_up(desc - at + n.n_descsz, align);
		if (desc > p->p_filesz || n.n_descsz > p->p_filesz - desc)
			return td__elf_refuse(w, "has a note that is cut short");
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !e->id[0] &&
		    memcmp(e->file + p->p_offset + name, "GNU", 4) == 0 && n.n_descsz > 0 &&
		    n.n_descsz <= TD__ELF_ID_MAX)
			take_id(e, e->file + p->p_offset + desc, n.n_descsz);
	}
	return 0;
}

/* Keep a header that may stand only once. */
static int take_once(Elf64_Phdr *slot, const Elf64_Phdr *p, const char *what, struct td__elf_why w)
{
	if (slot->p_type != PT_NULL)
		return td__elf_refuse(w, "has two %s segments", what);
	*slot = *p;
	return 0;
}

static int take_header(struct td__elf *e, const Elf64_Phdr *p, Elf64_Phdr *dynamic,
		       Elf64_Phdr *relro, struct td__elf_why w)
{
	switch (p->p_type) {
	case PT_LOAD: return add_load(e, p, w);
	case PT_DYNAMIC: return take_once(dynamic, p, "dynamic", w);
	case PT_GNU_RELRO: return take_once(relro, p, "relro", w);
	case PT_NOTE: return check_notes(e, p, w);
	case PT_NULL:
	case PT_PHDR: return 0;
	case PT_INTERP: return td__elf_refuse(w, "is a program, not a module: link with -shared");
	case PT_TLS:
		return td__elf_refuse(w, "has thread-local storage, which a module cannot have");
	case PT_GNU_STACK:
		if (p->p_flags & PF_X)
			return td__elf_refuse(w, "asks for an executable stack: link with "
						 "-Wl,-z,noexecstack");
		return 0;
	default:
		/* Hints of newer linkers: what is not looked at cannot hurt. */
		if (p->p_type >= PT_LOOS && p->p_type <= PT_HIOS)
			return 0;
		return td__elf_refuse(w, "has a segment of unknown type 0x%x", p->p_type);
	}
}

static int add_part(struct td__elf *e, enum td__elf_kind kind, uint64_t start, uint64_t end,
		    struct td__elf_why w)
{
	static const int prots[] = {
		[TD__ELF_TEXT] = PROT_READ | PROT_EXEC,
		[TD__ELF_RODATA] = PROT_READ,
		[TD__ELF_RELRO] = PROT_READ,
		[TD__ELF_DATA] = PROT_READ | PROT_WRITE,
	};
	struct td__elf_part part = { start, end - start, kind, prots[kind] };

	if (start == end)
		return 0;
	if ((kind == TD__ELF_TEXT && e->text.size) || (kind == TD__ELF_DATA && e->data.size))
		return td__elf_refuse(w, "has two %s segments",
				      kind == TD__ELF_TEXT ? "executable" : "writable");
	if (kind == TD__ELF_TEXT)
		e->text = part;
	if (kind == TD__ELF_DATA)
		e->data = part;
	e->parts[e->nparts++] = part;
	return 0;
}

/*
 * Turn the loads into parts.  Relro covers the first pages of one writable load;
 * its end is rounded down, for what shares its last page must stay writable.
 */
static int add_parts(struct td__elf *e, const Elf64_Phdr *relro, struct td__elf_why w)
{
	uint64_t low = 0, high = 0;
	bool found = relro->p_type == PT_NULL;
	size_t i;
	int rc = 0;

	if (!found) {
		if (relro->p_vaddr > TD__ELF_SPAN_MAX || relro->p_memsz > TD__ELF_SPAN_MAX)
			return td__elf_refuse(w, "has a relro segment outside of its data");
		low = page_floor(relro->p_vaddr);
		high = page_floor(relro->p_vaddr + relro->p_memsz);
	}
	for (i = 0; !rc && i < e->nloads; i++) {
		const struct td__elf_load *l = &e->loads[i];
		uint64_t start = page_floor(l->vaddr), end = page_ceil(l->vaddr + l->memsz);

		if (l->flags & PF_X) {
			rc = add_part(e, TD__ELF_TEXT, start, end, w);
		} else if (!(l->flags & PF_W)) {
			rc = add_part(e, TD__ELF_RODATA, start, end, w);
		} else if (!found && start == low && high >= low && high <= end) {
			found = true;
			rc = add_part(e, TD__ELF_RELRO, start, high, w);
			if (!rc)
				rc = add_part(e, TD__ELF_DATA, high, end, w);
		} else {
			rc = add_part(e, TD__ELF_DATA, start, end, w);
		}
	}
	if (!rc && !found)
		rc = td__elf_refuse(w, "has a relro segment outside of its data");
	if (!rc && !e->text.size)
		rc = td__elf_refuse(w, "has no executable segment");
	return rc;
}

int td__elf_check_segments(struct td__elf *e, Elf64_Phdr *dynamic, struct td__elf_why w)
{
	Elf64_Phdr relro = { .p_type = PT_NULL };
	Elf64_Phdr p;
	Elf64_Ehdr h;
	unsigned i;
	int rc;

	memset(dynamic, 0, sizeof(*dynamic));
	td__elf_get(e, 0, 0, &h, sizeof(h));
	for (i = 0; i < h.e_phnum; i++) {
		td__elf_get(e, h.e_phoff, i, &p, sizeof(p));
		if (p.p_type != PT_NULL && !td__elf_has(e, p.p_offset, p.p_filesz))
			return td__elf_refuse(w, "is cut short: its segment %u ends outside of it",
					      i);
		rc = take_header(e, &p, dynamic, &relro, w);
		if (rc)
			return rc;
	}
	if (dynamic->p_type == PT_NULL)
		return td__elf_refuse(w, "has no dynamic segment: link with -shared");
	return add_parts(e, &relro, w);
}
