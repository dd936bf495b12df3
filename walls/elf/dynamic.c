/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The check of what a module is linked by: dynamic section, symbols, relocations.
 *
 * Tables are found through the loads, as a running module would find them, and
 * must lie in bytes of the file.  What a module may not have is refused by name;
 * a tag that nobody knows is refused too, unless it is a linker's private hint.
 */
#include "file.h"

/* The tags that are looked at; the rest is refused or means nothing here. */
struct dynamic {
	bool has[DT_NUM];
	uint64_t value[DT_NUM];
	bool has_gnu_hash;
	uint64_t gnu_hash;
};

/* Where in the file `len` bytes of memory at `vaddr` come from. */
static bool find(const struct td__elf *e, uint64_t vaddr, uint64_t len, uint64_t *offset)
{
	const struct td__elf_load *l;

	for (l = e->loads; l < e->loads + e->nloads; l++) {
		if (vaddr < l->vaddr || vaddr - l->vaddr > l->filesz ||
		    len > l->filesz - (vaddr - l->vaddr))
			continue;
		*offset = l->offset + (vaddr - l->vaddr);
		return true;
	}
	return false;
}

static int find_table(const struct td__elf *e, uint64_t vaddr, uint64_t n, uint64_t size,
		      struct td__elf_table *t, const char *what, struct td__elf_why w)
{
	/* No table has more entries than the file has bytes: no overflow below. */
	if (n > e->size || !find(e, vaddr, n * size, &t->offset))
		return td__elf_refuse(w, "has a %s outside of its segments", what);
	t->n = n;
	return 0;
}

static const char *unfit_tag(const Elf64_Dyn *d)
{
	switch (d->d_tag) {
	case DT_INIT:
	case DT_FINI:
	case DT_INIT_ARRAY:
	case DT_INIT_ARRAYSZ:
	case DT_FINI_ARRAY:
	case DT_FINI_ARRAYSZ:
	case DT_PREINIT_ARRAY:
	case DT_PREINIT_ARRAYSZ:
		return "has constructors or destructors: do the work in the module's operations, "
		       "and link with -nostdlib";
	case DT_TEXTREL: return "has relocations in its text: compile with -fPIC";
	case DT_RELR:
	case DT_RELRSZ:
	case DT_RELRENT: return "has packed relocations: link with -Wl,-z,nopack-relative-relocs";
	case DT_REL:
	case DT_RELSZ:
	case DT_RELENT: return "has relocations without addends, which x86-64 does not use";
	case DT_VERNEED:
	case DT_VERNEEDNUM: return "asks for a version of a library";
	case DT_AUXILIARY:
	case DT_FILTER: return "is a filter for another library";
	case DT_FLAGS:
		if (d->d_un.d_val & DF_STATIC_TLS)
			return "has thread-local storage, which a module cannot have";
		if (d->d_un.d_val & DF_TEXTREL)
			return "has relocations in its text: compile with -fPIC";
		return NULL;
	case DT_FLAGS_1:
		if (d->d_un.d_val & DF_1_PIE)
			return "is a program, not a module: link with -shared";
		return NULL;
	default: return NULL;
	}
}

static int take_tag(struct dynamic *t, const Elf64_Dyn *d, struct td__elf_why w)
{
	const char *unfit = unfit_tag(d);
	unsigned long long tag = (unsigned long long)d->d_tag;

	if (unfit)
		return td__elf_refuse(w, "%s", unfit);
	if (d->d_tag == DT_GNU_HASH) {
		if (t->has_gnu_hash)
			return td__elf_refuse(w, "has two hash tables");
		t->has_gnu_hash = true;
		t->gnu_hash = d->d_un.d_ptr;
		return 0;
	}
	if (tag >= DT_NUM)
		return tag >= DT_LOOS ? 0
				      : td__elf_refuse(w, "has the unknown dynamic tag %llu", tag);
	if (t->has[tag])
		return td__elf_refuse(w, "has the dynamic tag %llu twice", tag);
	t->has[tag] = true;
	t->value[tag] = d->d_un.d_val;
	return 0;
}

static int read_tags(const struct td__elf *e, const Elf64_Phdr *p, struct dynamic *t,
		     struct td__elf_why w)
{
	uint64_t needed = UINT64_MAX, offset, i;
	Elf64_Dyn d;
	int rc;

	if (!find(e, p->p_vaddr, p->p_filesz, &offset) || offset != p->p_offset)
		return td__elf_refuse(w, "has a dynamic segment outside of its data");
	for (i = 0; i < p->p_filesz / sizeof(d); i++) {
		td__elf_get(e, offset, i, &d, sizeof(d));
		if (d.d_tag == DT_NULL) {
			/* Told last, when the library's name can be looked up. */
			t->has[DT_NEEDED] = needed != UINT64_MAX;
			t->value[DT_NEEDED] = needed;
			return 0;
		}
		if (d.d_tag == DT_NEEDED) {
			needed = d.d_un.d_val;
			continue;
		}
		rc = take_tag(t, &d, w);
		if (rc)
			return rc;
	}
	return td__elf_refuse(w, "has a dynamic section without an end");
}

static int check_dynstr(struct td__elf *e, const struct dynamic *t, struct td__elf_why w)
{
	uint64_t needed = t->value[DT_NEEDED];
	int rc;

	if (!t->has[DT_STRTAB] || !t->has[DT_STRSZ])
		return td__elf_refuse(w, "has no dynamic strings");
	rc = find_table(e, t->value[DT_STRTAB], t->value[DT_STRSZ], 1, &e->dynstr,
			"dynamic string table", w);
	if (!rc)
		rc = td__elf_check_strings(e, e->dynstr, "dynamic string table", w);
	if (!rc && t->has[DT_NEEDED])
		rc = td__elf_refuse(
			w,
			"needs the library `%.64s`, which a freestanding module cannot: "
			"link with -nostdlib",
			needed < e->dynstr.n ? td__elf_string(e, e->dynstr, needed) : "?");
	return rc;
}

/*
 * A shared object does not say how many dynamic symbols it has; its hash tables
 * do.  The old one counts them; the GNU one ends its last chain with an odd value.
 */
static int count_by_hash(const struct td__elf *e, uint64_t vaddr, uint64_t *n, struct td__elf_why w)
{
	uint32_t head[2];
	struct td__elf_table all;
	uint64_t offset;

	if (!find(e, vaddr, sizeof(head), &offset))
		return td__elf_refuse(w, "has a hash table outside of its segments");
	td__elf_get(e, offset, 0, head, sizeof(head));
	*n = head[1];
	return find_table(e, vaddr, 2 + (uint64_t)head[0] + head[1], 4, &all, "hash table", w);
}

static int count_by_gnu_hash(const struct td__elf *e, uint64_t vaddr, uint64_t *n,
			     struct td__elf_why w)
{
	struct {
		uint32_t buckets, first, bloom, shift;
	} head;
	struct td__elf_table buckets = { 0 };
	uint64_t offset, chains, i;
	uint32_t value, last = 0;
	int rc;

	if (!find(e, vaddr, sizeof(head), &offset))
		return td__elf_refuse(w, "has a hash table outside of its segments");
	td__elf_get(e, offset, 0, &head, sizeof(head));
	vaddr += sizeof(head) + 8 * (uint64_t)head.bloom;
	rc = find_table(e, vaddr, head.buckets, 4, &buckets, "hash table", w);
	if (rc)
		return rc;
	for (i = 0; i < head.buckets; i++) {
		td__elf_get(e, buckets.offset, i, &value, sizeof(value));
		if (value && value < head.first)
			return td__elf_refuse(w, "has a hash table that names an unhashed symbol");
		if (value > last)
			last = value;
	}
	if (!last)
		return td__elf_refuse(w, "exports no symbol");
	chains = vaddr + 4 * (uint64_t)head.buckets;
	do {
		if (!find(e, chains + 4 * ((uint64_t)last - head.first), 4, &offset))
			return td__elf_refuse(w, "has a hash table outside of its segments");
		td__elf_get(e, offset, 0, &value, sizeof(value));
		last++;
	} while (!(value & 1) && last);
	*n = last;
	return 0;
}

static int count_symbols(const struct td__elf *e, const struct dynamic *t, uint64_t *n,
			 struct td__elf_why w)
{
	if (t->has[DT_HASH])
		return count_by_hash(e, t->value[DT_HASH], n, w);
	if (t->has_gnu_hash)
		return count_by_gnu_hash(e, t->gnu_hash, n, w);
	return td__elf_refuse(w, "has no hash table of its symbols");
}

/* Do `size` bytes at `vaddr` lie in one load's memory? */
static const struct td__elf_load *covering(const struct td__elf *e, uint64_t vaddr, uint64_t size)
{
	const struct td__elf_load *l;

	for (l = e->loads; l < e->loads + e->nloads; l++)
		if (vaddr >= l->vaddr && vaddr - l->vaddr <= l->memsz &&
		    size <= l->memsz - (vaddr - l->vaddr))
			return l;
	return NULL;
}

static int check_symbol(const struct td__elf *e, uint64_t i, struct td__elf_why w)
{
	Elf64_Sym s = td__elf_sym(e, e->dynsym, i);
	const char *name;

	if (s.st_name >= e->dynstr.n)
		return td__elf_refuse(
			w, "has a name outside of the strings in its dynamic symbol %llu",
			(unsigned long long)i);
	name = td__elf_string(e, e->dynstr, s.st_name);
	switch (ELF64_ST_TYPE(s.st_info)) {
	case STT_NOTYPE:
	case STT_OBJECT:
	case STT_FUNC:
	case STT_SECTION:
	case STT_FILE: break;
	case STT_TLS:
		return td__elf_refuse(w,
				      "has the thread-local variable `%.64s`, which a module "
				      "cannot have",
				      name);
	case STT_GNU_IFUNC:
		return td__elf_refuse(w,
				      "has the indirect function `%.64s` (ifunc), which a module "
				      "cannot have",
				      name);
	default:
		return td__elf_refuse(w, "has the symbol `%.64s` of unknown type %u", name,
				      ELF64_ST_TYPE(s.st_info));
	}
	if (ELF64_ST_BIND(s.st_info) > STB_WEAK)
		return td__elf_refuse(w, "has the symbol `%.64s` of unknown binding %u", name,
				      ELF64_ST_BIND(s.st_info));
	if (s.st_shndx != SHN_UNDEF && s.st_shndx != SHN_ABS && !covering(e, s.st_value, s.st_size))
		return td__elf_refuse(w, "has the symbol `%.64s` outside of its segments", name);
	return 0;
}

static int check_symbols(struct td__elf *e, const struct dynamic *t, struct td__elf_why w)
{
	uint64_t i, n = 0;
	int rc;

	if (!t->has[DT_SYMTAB] || !t->has[DT_SYMENT] || t->value[DT_SYMENT] != sizeof(Elf64_Sym))
		return td__elf_refuse(w, "has no dynamic symbols, or of unknown form");
	rc = count_symbols(e, t, &n, w);
	if (!rc)
		rc = find_table(e, t->value[DT_SYMTAB], n, sizeof(Elf64_Sym), &e->dynsym,
				"dynamic symbol table", w);
	for (i = 0; !rc && i < n; i++)
		rc = check_symbol(e, i, w);
	return rc;
}

static const char *relocation_name(uint32_t type)
{
	static const char *const names[] = {
		[R_X86_64_NONE] = "NONE",
		[R_X86_64_64] = "64",
		[R_X86_64_PC32] = "PC32",
		[R_X86_64_GOT32] = "GOT32",
		[R_X86_64_PLT32] = "PLT32",
		[R_X86_64_COPY] = "COPY",
		[R_X86_64_GLOB_DAT] = "GLOB_DAT",
		[R_X86_64_JUMP_SLOT] = "JUMP_SLOT",
		[R_X86_64_RELATIVE] = "RELATIVE",
		[R_X86_64_GOTPCREL] = "GOTPCREL",
		[R_X86_64_32] = "32",
		[R_X86_64_32S] = "32S",
		[R_X86_64_16] = "16",
		[R_X86_64_PC16] = "PC16",
		[R_X86_64_8] = "8",
		[R_X86_64_PC8] = "PC8",
		[R_X86_64_DTPMOD64] = "DTPMOD64",
		[R_X86_64_DTPOFF64] = "DTPOFF64",
		[R_X86_64_TPOFF64] = "TPOFF64",
		[R_X86_64_TLSGD] = "TLSGD",
		[R_X86_64_TLSLD] = "TLSLD",
		[R_X86_64_DTPOFF32] = "DTPOFF32",
		[R_X86_64_GOTTPOFF] = "GOTTPOFF",
		[R_X86_64_TPOFF32] = "TPOFF32",
		[R_X86_64_PC64] = "PC64",
		[R_X86_64_SIZE32] = "SIZE32",
		[R_X86_64_SIZE64] = "SIZE64",
		[R_X86_64_TLSDESC] = "TLSDESC",
		[R_X86_64_IRELATIVE] = "IRELATIVE",
		[R_X86_64_RELATIVE64] = "RELATIVE64",
	};

	if (type < sizeof(names) / sizeof(names[0]) && names[type])
		return names[type];
	return "of unknown type";
}

/* What a relocation points at: nowhere but into the module, or at a service. */
static int check_target(const struct td__elf *e, const Elf64_Rela *r, struct td__elf_why w)
{
	uint32_t type = ELF64_R_TYPE(r->r_info);
	uint32_t index = (uint32_t)ELF64_R_SYM(r->r_info);
	uint64_t addend = (uint64_t)r->r_addend;
	Elf64_Sym s;

	if (type == R_X86_64_RELATIVE) {
		if (index || addend > e->span)
			return td__elf_refuse(w, "has a relocation that points outside of it");
		return 0;
	}
	if (index == 0 || index >= e->dynsym.n)
		return td__elf_refuse(w, "has a relocation by symbol %u of %llu", index,
				      (unsigned long long)e->dynsym.n);
	s = td__elf_sym(e, e->dynsym, index);
	if (s.st_shndx == SHN_ABS)
		return td__elf_refuse(w, "has a relocation by the absolute symbol `%.64s`",
				      td__elf_string(e, e->dynstr, s.st_name));
	if (addend && (type != R_X86_64_64 || s.st_shndx == SHN_UNDEF))
		return td__elf_refuse(w, "has a relocation to `%.64s` with an offset",
				      td__elf_string(e, e->dynstr, s.st_name));
	if (s.st_shndx != SHN_UNDEF && s.st_value + addend > e->span)
		return td__elf_refuse(w, "has a relocation that points outside of it");
	return 0;
}

static int check_relocation(const struct td__elf *e, const Elf64_Rela *r, struct td__elf_why w)
{
	uint32_t type = ELF64_R_TYPE(r->r_info);
	const struct td__elf_load *l;

	switch (type) {
	case R_X86_64_NONE: return 0;
	case R_X86_64_64:
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_RELATIVE: break;
	default:
		return td__elf_refuse(w, "has a relocation %s (%u), which no module needs",
				      relocation_name(type), type);
	}
	l = covering(e, r->r_offset, sizeof(uint64_t));
	if (!l)
		return td__elf_refuse(w, "has a relocation at 0x%llx, outside of its segments",
				      (unsigned long long)r->r_offset);
	if (!(l->flags & PF_W))
		return td__elf_refuse(w,
				      "has a relocation at 0x%llx, in a segment that is not "
				      "writable: compile with -fPIC",
				      (unsigned long long)r->r_offset);
	/* A reset writes the data alone: no place may lie half in it. */
	if (r->r_offset < e->data.start && r->r_offset + sizeof(uint64_t) > e->data.start)
		return td__elf_refuse(w, "has a relocation at 0x%llx, across the end of relro",
				      (unsigned long long)r->r_offset);
	return check_target(e, r, w);
}

static int check_relocations(struct td__elf *e, struct td__elf_table *t, uint64_t vaddr,
			     uint64_t size, struct td__elf_why w)
{
	Elf64_Rela r;
	uint64_t i;
	int rc;

	if (size % sizeof(r))
		return td__elf_refuse(w, "has a relocation table that ends within an entry");
	rc = find_table(e, vaddr, size / sizeof(r), sizeof(r), t, "relocation table", w);
	for (i = 0; !rc && i < t->n; i++) {
		td__elf_get(e, t->offset, i, &r, sizeof(r));
		rc = check_relocation(e, &r, w);
	}
	return rc;
}

static int check_tables(struct td__elf *e, const struct dynamic *t, struct td__elf_why w)
{
	int rc = 0;

	if (t->has[DT_RELA] != t->has[DT_RELASZ] || t->has[DT_JMPREL] != t->has[DT_PLTRELSZ])
		return td__elf_refuse(w, "has relocations without a size, or a size without them");
	if (t->has[DT_RELAENT] && t->value[DT_RELAENT] != sizeof(Elf64_Rela))
		return td__elf_refuse(w, "has relocations of %llu bytes",
				      (unsigned long long)t->value[DT_RELAENT]);
	if (t->has[DT_PLTREL] && t->value[DT_PLTREL] != DT_RELA)
		return td__elf_refuse(w,
				      "has relocations without addends, which x86-64 does not use");
	if (t->has[DT_RELA])
		rc = check_relocations(e, &e->relocations[0], t->value[DT_RELA],
				       t->value[DT_RELASZ], w);
	if (!rc && t->has[DT_JMPREL])
		rc = check_relocations(e, &e->relocations[1], t->value[DT_JMPREL],
				       t->value[DT_PLTRELSZ], w);
	return rc;
}

int td__elf_check_dynamic(struct td__elf *e, const Elf64_Phdr *dynamic, struct td__elf_why w)
{
	struct dynamic t = { 0 };
	int rc;

	rc = read_tags(e, dynamic, &t, w);
	if (!rc)
		rc = check_dynstr(e, &t, w);
	if (!rc)
		rc = check_symbols(e, &t, w);
	if (!rc)
		rc = check_tables(e, &t, w);
	return rc;
}
