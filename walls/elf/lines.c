/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From an address in a module to the source line that made it, by libdw.
 *
 * Only reports ask for it, seconds apart; so the file is opened anew each time
 * and nothing is kept.  Debug information is taken from the module file alone: a
 * search elsewhere could go over the network.  It is as untrusted as the file.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"

/* The unit whose code covers `pc`.  Not every compiler writes an index of them. */
static Dwarf_Die *find_unit(Dwarf *dwarf, Dwarf_Addr pc, Dwarf_Die *unit)
{
	Dwarf_CU *cu = NULL;

	if (dwarf_addrdie(dwarf, pc, unit))
		return unit;
	while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, unit, NULL) == 0)
		if (dwarf_haspc(unit, pc) > 0)
			return unit;
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "?";
}

/* What the author of the module has not written: the sdk's runtime, and what is made from the interface's description. */
static int is_sdk(const char *path)
{
	return path && (strstr(path, "sdk/runtime/") || !strcmp(base_name(path), "fs_dispatch.c"));
}

/* Append "file.c:12 (function)", and keep to plain text. */
static void add(char *buf, size_t len, const char *before, const char *file, int line,
		const char *function)
{
	size_t at = strlen(buf), i;

	snprintf(buf + at, len - at, "%s%s:%d (%s%s)", before, base_name(file), line,
		 function ? function : "?", is_sdk(file) ? TD__ELF_SDK : "");
	for (i = at; buf[i]; i++)
		if (buf[i] < ' ' || buf[i] > '~')
			buf[i] = '?';
}

static int attribute(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value) != 0)
		return 0;
	return (int)value;
}

/* The file from which `call`, an inlined function, was called. */
static const char *call_file(Dwarf_Die *unit, Dwarf_Die *call)
{
	int index = attribute(call, DW_AT_call_file);
	Dwarf_Files *files;
	size_t n;

	if (index < 0 || dwarf_getsrcfiles(unit, &files, &n) != 0 || (size_t)index >= n)
		return NULL;
	return dwarf_filesrc(files, (size_t)index, NULL, NULL);
}

/* Deeper than people nest; what lies deeper is not told. */
enum { SCOPES = 64 };

/* The entry below `die` whose code covers `pc`. */
static int find_below(Dwarf_Die *die, Dwarf_Addr pc, Dwarf_Die *found)
{
	int rc = dwarf_child(die, found);

	while (rc == 0 && dwarf_haspc(found, pc) <= 0)
		rc = dwarf_siblingof(found, found);
	return rc == 0;
}

/*
 * The scopes around `pc`, outermost first, as the code stands and not as the source does. libdw's own search goes from an
 * inlined function to where it is defined, which after optimization of a whole program may be another unit: then it fails.
 */
static int find_scopes(Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Die scopes[SCOPES])
{
	Dwarf_Die *above = unit;
	int n = 0;

	while (n < SCOPES && find_below(above, pc, &scopes[n]))
		above = &scopes[n++];
	return n;
}

/*
 * The line table knows the innermost line; each inlined function around it knows
 * where it was called, which is a line of the next function outwards.
 */
static void describe(Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Line *line, char *buf, size_t len)
{
	const char *file = dwarf_linesrc(line, NULL, NULL), *before = "";
	Dwarf_Die scopes[SCOPES];
	int number = 0, i, tag;

	dwarf_lineno(line, &number);
	for (i = find_scopes(unit, pc, scopes) - 1; i >= 0; i--) {
		tag = dwarf_tag(&scopes[i]);
		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		add(buf, len, before, file, number, dwarf_diename(&scopes[i]));
		before = ", inlined at ";
		if (tag == DW_TAG_subprogram)
			break;
		file = call_file(unit, &scopes[i]);
		number = attribute(&scopes[i], DW_AT_call_line);
	}
	if (!buf[0])
		add(buf, len, "", file, number, NULL);
}

int td__elf_line_of(struct Dwarf *dwarf, uint64_t offset, char *buf, size_t len)
{
	Dwarf_Die unit;
	Dwarf_Line *line;

	if (!find_unit(dwarf, offset, &unit))
		return -ENOENT;
	line = dwarf_getsrc_die(&unit, offset);
	if (!line)
		return -ENOENT;
	describe(&unit, offset, line, buf, len);
	return 0;
}

/* NULL where there is no debug information; *fd is -1 where there is no file. */
static Dwarf *open_dwarf(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return *fd < 0 ? NULL : dwarf_begin(*fd, DWARF_C_READ);
}

static void close_dwarf(Dwarf *dwarf, int fd)
{
	dwarf_end(dwarf);
	if (fd >= 0)
		close(fd);
}

int td__elf_line(const char *path, uint64_t offset, char *buf, size_t len)
{
	Dwarf *dwarf;
	int fd, rc;

	if (!len)
		return -EINVAL;
	buf[0] = 0;
	dwarf = open_dwarf(path, &fd);
	rc = fd < 0 ? -errno : dwarf ? td__elf_line_of(dwarf, offset, buf, len) : -ENOENT;
	close_dwarf(dwarf, fd);
	return rc;
}

/* The innermost line of this source, from the code itself outwards through the calls that were inlined. */
static int line_in(Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Line *line, const char *source, int *number)
{
	const char *file = dwarf_linesrc(line, NULL, NULL);
	Dwarf_Die scopes[SCOPES];
	int i;

	dwarf_lineno(line, number);
	for (i = find_scopes(unit, pc, scopes) - 1; i >= 0 && strcmp(base_name(file), source); i--) {
		if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
			continue;
		file = call_file(unit, &scopes[i]);
		*number = attribute(&scopes[i], DW_AT_call_line);
	}
	return strcmp(base_name(file), source) ? -ENOENT : 0;
}

int td__elf_line_number(const char *path, uint64_t offset, const char *source, int *number)
{
	int fd, rc = -ENOENT;
	Dwarf *dwarf = open_dwarf(path, &fd);
	Dwarf_Line *line;
	Dwarf_Die unit;

	if (dwarf && find_unit(dwarf, offset, &unit)) {
		line = dwarf_getsrc_die(&unit, offset);
		if (line)
			rc = line_in(&unit, offset, line, source, number);
	}
	close_dwarf(dwarf, fd);
	return rc;
}
