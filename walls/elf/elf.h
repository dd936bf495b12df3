/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader of native module files.
 *
 * A native module is a freestanding x86-64 shared object: no library, no
 * thread-local storage, no indirect functions, no constructors.  What it leaves
 * undefined are the sdk's services; the wall that loads it supplies them.  The
 * walls do not use dlopen: each restart of a domain needs fresh data and bss,
 * and a file that a stranger wrote must be refused before a byte of it can act.
 *
 * States of a file, in the order of the calls:
 *
 *	td__elf_open	the file was read once into private memory and checked to
 *			the last field; later changes to it on disk are not seen
 *	td__elf_inspect	(pkey wall) its text holds no instruction that opens the wall
 *	td__elf_map	it stands in memory at a base, ready to be called; any
 *			number of times, at any number of bases
 *	td__elf_reset	its writable data at one base is as new
 *	td__elf_close	the private copy is gone; what was mapped stays
 *
 * Rules:
 *  - Errors are -errno.  -ENOEXEC says that the file is at fault, and `why` then
 *    names what is wrong in words that follow "the file ...".
 *  - `why` may be NULL with `whylen` 0; TD__ELF_WHY bytes hold every message.
 *  - An open file is never written to: threads may share it without a lock.
 *  - Nothing is mapped writable and executable, not even for a moment: the
 *    region is writable while it is filled and gets its protections after.
 *  - load.c and its neighbours need only libc; lines.c needs libdw and is for
 *    the host alone.
 */
#ifndef TD_WALLS_ELF_H
#define TD_WALLS_ELF_H

#include <stddef.h>
#include <stdint.h>

/* Room for any message in `why`, with its end. */
#define TD__ELF_WHY 512
#define TD__ELF_SDK ", of the sdk"

/* Where file sizes and address space end; real modules are far below. */
#define TD__ELF_FILE_MAX (64u << 20)
#define TD__ELF_SPAN_MAX (1u << 30)

struct td__elf;

/* One service that a module may import. */
struct td__import {
	const char *name;
	void *address;
};

/* What a run of pages is for; the protection follows from it. */
enum td__elf_kind {
	TD__ELF_TEXT,	/* r-x; every module has exactly one */
	TD__ELF_RODATA, /* r-- */
	TD__ELF_RELRO,	/* r-- once relocated: constants that hold addresses */
	TD__ELF_DATA,	/* rw-; at most one, bss included */
};

/* A run of whole pages, as it is once mapped. */
struct td__elf_part {
	size_t start; /* from the base */
	size_t size;
	enum td__elf_kind kind;
	int prot; /* PROT_... of sys/mman.h */
};

/*
 * Read and check a module file.  Nothing is mapped.
 *
 * path, fd	the file; fd is read from offset 0 whatever its position, stays
 *		the caller's and may be closed at once
 * bytes	the content itself; copied
 * out		gets the file, to be given back with td__elf_close; NULL on error
 *
 * 0, or: -ENOEXEC the content cannot be a module; -EFBIG it is over
 * TD__ELF_FILE_MAX; -ENOMEM; or what open(2), fstat(2) and pread(2) said.
 */
int td__elf_open(const char *path, struct td__elf **out, char *why, size_t whylen);
int td__elf_open_fd(int fd, struct td__elf **out, char *why, size_t whylen);
int td__elf_open_bytes(const void *bytes, size_t size, struct td__elf **out, char *why,
		       size_t whylen);

/* Give the file back.  NULL is allowed.  Mapped copies stay as they are. */
void td__elf_close(struct td__elf *e);

/* Bytes of address space that td__elf_map fills; a multiple of the page. */
size_t td__elf_span(const struct td__elf *e);

/* What a base must be a multiple of: a power of two, a page at least. */
size_t td__elf_align(const struct td__elf *e);

/*
 * The parts in ascending order, without overlap; what lies between them becomes
 * inaccessible.  The array belongs to the file; *n gets its length.
 */
const struct td__elf_part *td__elf_parts(const struct td__elf *e, size_t *n);

/*
 * Name of the i-th symbol that the module imports, or NULL after the last.
 * The string belongs to the file.
 */
const char *td__elf_import_name(const struct td__elf *e, size_t i);

/*
 * Inaccessible address space to place a module in, for munmap(2); NULL where there is none. Close to this program's own code, if there
 * is room: calls between the two are predicted sooner than across the whole address space (AMD Zen: by 3 cycles).
 */
void *td__elf_reserve(size_t size);

/*
 * Place the module at `base`, with fresh data and bss.
 *
 * base		start of td__elf_span bytes, a multiple of td__elf_align, that the
 *		caller has reserved; what was mapped there is replaced
 * imports, n	the services; the table is not kept.  A weak import that is not
 *		in it becomes NULL.
 *
 * 0, or: -ENOEXEC an import is no service; -EINVAL `base` is not aligned;
 * -ENOMEM; or what mmap(2) and mprotect(2) said.  After -EINVAL and -ENOEXEC
 * the region is untouched; after other errors it is inaccessible or untouched.
 */
int td__elf_map(const struct td__elf *e, void *base, const struct td__import *imports, size_t n,
		char *why, size_t whylen);

/*
 * Make the data part at `base` as td__elf_map left it, in place: the mapping,
 * its protection, key and seal stay.  No thread may run in the module, and the
 * caller must be able to write to the part.  Errors as of td__elf_map, on
 * which nothing was written.
 */
int td__elf_reset(const struct td__elf *e, void *base, const struct td__import *imports, size_t n,
		  char *why, size_t whylen);

/*
 * Address of an exported symbol of the module at `base`, or NULL.  `size`, which
 * may be NULL, gets the symbol's size; so many bytes are readable there, as
 * td__elf_open has checked: once its size is compared, a manifest can be read
 * without fear (its pointers cannot).  `base` may be one in another process.
 */
void *td__elf_symbol(const struct td__elf *e, const void *base, const char *name, size_t *size);

/*
 * The bytes of an exported symbol as they stand in the file, before any relocation, or NULL where they do not. And those of a
 * section by its name, or NULL. They belong to the file.
 */
const void *td__elf_content(const struct td__elf *e, const char *name, size_t *size);
const void *td__elf_section(const struct td__elf *e, const char *name, size_t *size);

/*
 * First and first-after address of the text, and of the writable data with bss
 * (start == end where there is none).  Whole pages.  Safe in a signal handler.
 */
void td__elf_text(const struct td__elf *e, const void *base, uintptr_t *start, uintptr_t *end);
void td__elf_data(const struct td__elf *e, const void *base, uintptr_t *start, uintptr_t *end);

/*
 * A stable name of the file's content in hexadecimal: the linker's GNU build id
 * where it has one, else a hash of all bytes.  Belongs to the file.  Not a
 * proof: whoever writes a file can give it any id.
 */
const char *td__elf_id(const struct td__elf *e);

/*
 * Say in `buf` what lies at address `pc`: "name+0x1f", or "0x1234" from the base
 * where no symbol covers it.  Always ends in NUL, cut short if need be.  Code and
 * data alike.  0, or -ENOENT where `pc` is not in the module.  Safe in a signal
 * handler.
 */
int td__elf_where(const struct td__elf *e, const void *base, uintptr_t pc, char *buf, size_t len);

/*
 * Look at every byte offset of the text for instructions that could open the
 * pkey wall.  0, or -ENOEXEC with a `why` that names the instruction, where it
 * stands and what its author can do.
 */
int td__elf_inspect(const struct td__elf *e, char *why, size_t whylen);

/* The processor takes the REX2 prefix, which holds an opcode escape of its own. */
#define TD__ELF_REX2 1u

/*
 * Name of the forbidden instruction whose opcode begins at text[at], or NULL.
 * Prefixes may stand before `at`; bytes past `len` count as none.  `flags` is 0
 * or TD__ELF_REX2.  td__elf_inspect asks it of every offset.
 */
const char *td__elf_forbidden(const uint8_t *text, size_t len, size_t at, unsigned flags);

/*
 * (lines.c, host only) Say in `buf` which source line made the code at `offset`
 * from the module's base: "file.c:12 (function)", and for inlined code
 * "file.c:12 (inner), inlined at other.c:40 (outer)"; "file.c:12 (function" TD__ELF_SDK ")"
 * for what the sdk adds to every module.  For a return address of
 * a backtrace pass the address less one.
 *
 * 0, or: -ENOENT nothing is known of this offset (built without -g, damaged);
 * -EINVAL `len` is 0; or what open(2) said.
 */
int td__elf_line(const char *path, uint64_t offset, char *buf, size_t len);

/* The number of the innermost line that belongs to a source of this name (without folders). 0 or -ENOENT. */
int td__elf_line_number(const char *path, uint64_t offset, const char *source, int *number);

/* The same of debug information that libdw has open already. `len` is not 0, and buf is empty. */
struct Dwarf;
int td__elf_line_of(struct Dwarf *dwarf, uint64_t offset, char *buf, size_t len);

#endif
