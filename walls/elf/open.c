/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a module file: one read into private memory, then the whole check.
 *
 * The content is hostile.  It is read once, so that nobody can change it between
 * the check and the use; the check ends before anything else looks at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

/*
 * Names in a message come from the file and end on somebody's terminal, so what
 * is not plain text does not get through.
 */
static void explain(struct td__elf_why w, const char *format, va_list ap)
{
	char *s;

	if (!w.buf || !w.len)
		return;
	vsnprintf(w.buf, w.len, format, ap);
	for (s = w.buf; *s; s++)
		if (!td__elf_plain(*s))
			*s = '?';
}

int td__elf_refuse(struct td__elf_why w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	explain(w, format, ap);
	va_end(ap);
	return -ENOEXEC;
}

int td__elf_fail(struct td__elf_why w, int error, const char *what)
{
	td__elf_refuse(w, "cannot be %s: %s", what, strerror(error));
	return -error;
}

int td__elf_check_strings(const struct td__elf *e, struct td__elf_table t, const char *what,
			  struct td__elf_why w)
{
	if (!td__elf_has(e, t.offset, t.n))
		return td__elf_refuse(w, "has a %s that ends outside of it", what);
	if (t.n == 0 || e->file[t.offset + t.n - 1] != 0)
		return td__elf_refuse(w, "has a %s that does not end in a zero", what);
	return 0;
}

static int check_ident(const struct td__elf *e, struct td__elf_why w)
{
	const uint8_t *ident = e->file;

	if (e->size < sizeof(Elf64_Ehdr))
		return td__elf_refuse(w, "is too short for an ELF header: %zu bytes", e->size);
	if (memcmp(ident, ELFMAG, SELFMAG) != 0)
		return td__elf_refuse(w, "is no ELF file");
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB)
		return td__elf_refuse(w, "is not a 64-bit little-endian ELF file");
	if (ident[EI_VERSION] != EV_CURRENT)
		return td__elf_refuse(w, "has ELF version %u", ident[EI_VERSION]);
	if ((ident[EI_OSABI] != ELFOSABI_SYSV && ident[EI_OSABI] != ELFOSABI_GNU) ||
	    ident[EI_ABIVERSION] != 0)
		return td__elf_refuse(w, "is for another system: OS ABI %u, version %u",
				      ident[EI_OSABI], ident[EI_ABIVERSION]);
	return 0;
}

static int check_header(const struct td__elf *e, struct td__elf_why w)
{
	Elf64_Ehdr h;
	int rc = check_ident(e, w);

	if (rc)
		return rc;
	td__elf_get(e, 0, 0, &h, sizeof(h));
	if (h.e_type != ET_DYN)
		return td__elf_refuse(w, "is no shared object (ELF type %u): link with -shared",
				      h.e_type);
	if (h.e_machine != EM_X86_64)
		return td__elf_refuse(w, "is for another processor (ELF machine %u)", h.e_machine);
	if (h.e_version != EV_CURRENT || h.e_flags != 0 || h.e_ehsize != sizeof(h))
		return td__elf_refuse(
			w, "has an ELF header of unknown form (version %u, flags 0x%x, size %u)",
			h.e_version, h.e_flags, h.e_ehsize);
	if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum == 0 || h.e_phnum > 64)
		return td__elf_refuse(w, "has %u program headers of %u bytes", h.e_phnum,
				      h.e_phentsize);
	if (!td__elf_has(e, h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr)))
		return td__elf_refuse(w, "is cut short: its program headers end outside of it");
	return 0;
}

/* The symbol table of the linker, which only reports use. */
static int check_symtab(struct td__elf *e, const Elf64_Ehdr *h, const Elf64_Shdr *s,
			struct td__elf_why w)
{
	Elf64_Shdr strings;
	uint64_t i;
	int rc;

	if (e->symtab.n)
		return td__elf_refuse(w, "has two symbol tables");
	if (s->sh_entsize != sizeof(Elf64_Sym) || s->sh_size % sizeof(Elf64_Sym) ||
	    s->sh_link >= h->e_shnum)
		return td__elf_refuse(w, "has a symbol table of unknown form");
	td__elf_get(e, h->e_shoff, s->sh_link, &strings, sizeof(strings));
	if (strings.sh_type != SHT_STRTAB)
		return td__elf_refuse(w, "has a symbol table without strings");
	e->symtab = (struct td__elf_table){ s->sh_offset, s->sh_size / sizeof(Elf64_Sym) };
	e->strtab = (struct td__elf_table){ strings.sh_offset, strings.sh_size };
	rc = td__elf_check_strings(e, e->strtab, "symbol string table", w);
	for (i = 0; !rc && i < e->symtab.n; i++)
		if (td__elf_sym(e, e->symtab, i).st_name >= e->strtab.n)
			rc = td__elf_refuse(w,
					    "has a name outside of the strings in its symbol %llu",
					    (unsigned long long)i);
	return rc;
}

/* A file may have lost its sections; if it has them, they must be sound. */
static int check_sections(struct td__elf *e, struct td__elf_why w)
{
	Elf64_Ehdr h;
	Elf64_Shdr s;
	unsigned i;
	int rc = 0;

	td__elf_get(e, 0, 0, &h, sizeof(h));
	if (h.e_shoff == 0 && h.e_shnum == 0)
		return 0;
	if (h.e_shentsize != sizeof(s) || h.e_shnum == 0 || h.e_shnum >= SHN_LORESERVE ||
	    h.e_shstrndx >= h.e_shnum)
		return td__elf_refuse(w, "has %u section headers of %u bytes, names in %u",
				      h.e_shnum, h.e_shentsize, h.e_shstrndx);
	if (!td__elf_has(e, h.e_shoff, h.e_shnum * sizeof(s)))
		return td__elf_refuse(w, "is cut short: its section headers end outside of it");
	for (i = 0; !rc && i < h.e_shnum; i++) {
		td__elf_get(e, h.e_shoff, i, &s, sizeof(s));
		if (s.sh_type == SHT_NULL || s.sh_type == SHT_NOBITS)
			continue;
		if (!td__elf_has(e, s.sh_offset, s.sh_size))
			return td__elf_refuse(w, "is cut short: its section %u ends outside of it",
					      i);
		if (s.sh_type == SHT_SYMTAB)
			rc = check_symtab(e, &h, &s, w);
	}
	return rc;
}

/* FNV-1a: it only has to differ between honest builds. */
static void hash_id(struct td__elf *e)
{
	uint64_t hash = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < e->size; i++)
		hash = (hash ^ e->file[i]) * 0x100000001b3;
	snprintf(e->id, sizeof(e->id), "%016llx", (unsigned long long)hash);
}

static int check(struct td__elf *e, struct td__elf_why w)
{
	Elf64_Phdr dynamic;
	int rc = check_header(e, w);

	if (!rc)
		rc = td__elf_check_segments(e, &dynamic, w);
	if (!rc)
		rc = check_sections(e, w);
	if (!rc)
		rc = td__elf_check_dynamic(e, &dynamic, w);
	if (!rc && !e->id[0])
		hash_id(e);
	return rc;
}

static struct td__elf *make(size_t size)
{
	struct td__elf *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->size = size;
	e->file = malloc(size ? size : 1);
	if (e->file)
		return e;
	free(e);
	return NULL;
}

void td__elf_close(struct td__elf *e)
{
	if (!e)
		return;
	free(e->file);
	free(e);
}

/* Check a filled copy and hand it out, or free it. */
static int finish(struct td__elf *e, struct td__elf **out, struct td__elf_why w)
{
	int rc = check(e, w);

	if (rc)
		td__elf_close(e);
	else
		*out = e;
	return rc;
}

int td__elf_open_bytes(const void *bytes, size_t size, struct td__elf **out, char *why,
		       size_t whylen)
{
	struct td__elf_why w = { why, whylen };
	struct td__elf *e;

	*out = NULL;
	if (size > TD__ELF_FILE_MAX)
		return td__elf_fail(w, EFBIG, "a module");
	e = make(size);
	if (!e)
		return td__elf_fail(w, ENOMEM, "read");
	if (size)
		memcpy(e->file, bytes, size);
	return finish(e, out, w);
}

/* Fill the copy.  A file that shrinks meanwhile is refused; one that grows is cut. */
static int fill(struct td__elf *e, int fd, struct td__elf_why w)
{
	size_t done = 0;
	ssize_t n;

	while (done < e->size) {
		n = pread(fd, e->file + done, e->size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return td__elf_fail(w, errno, "read");
		if (n == 0)
			return td__elf_refuse(w, "shrank while it was read");
		done += (size_t)n;
	}
	return 0;
}

int td__elf_open_fd(int fd, struct td__elf **out, char *why, size_t whylen)
{
	struct td__elf_why w = { why, whylen };
	struct td__elf *e;
	struct stat st;
	int rc;

	*out = NULL;
	if (fstat(fd, &st) < 0)
		return td__elf_fail(w, errno, "read");
	if (!S_ISREG(st.st_mode))
		return td__elf_refuse(w, "is not a regular file");
	if (st.st_size > (off_t)TD__ELF_FILE_MAX)
		return td__elf_fail(w, EFBIG, "a module");
	e = make((size_t)st.st_size);
	if (!e)
		return td__elf_fail(w, ENOMEM, "read");
	rc = fill(e, fd, w);
	if (!rc)
		return finish(e, out, w);
	td__elf_close(e);
	return rc;
}

int td__elf_open(const char *path, struct td__elf **out, char *why, size_t whylen)
{
	int fd, rc;

	*out = NULL;
	/* Not to wait for a writer, should the path name a pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return td__elf_fail((struct td__elf_why){ why, whylen }, errno, "opened");
	rc = td__elf_open_fd(fd, out, why, whylen);
	close(fd);
	return rc;
}
