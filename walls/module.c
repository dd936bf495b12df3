/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Module files: found by path or name, read, and believed only after every field has been compared.
 *
 * To read what a file says about itself it is placed in memory once, where no code of it ever runs;
 * so a module that imports what is no service is refused here and not at its first mount.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fs_services.h>
#include "elf/elf.h"
#include "sfi/form.h"
#include "sfi/mark.h"
#include "walls.h"

#ifndef TADAN_MODULE_DIR
#define TADAN_MODULE_DIR "/usr/local/lib/tadan/modules"
#endif

/* ---- Finding the file */

static int is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* FOLDER/NAME.so or FOLDER/NAME/NAME.so; else the same of what has a sandboxed form only. 1: found, its path is in `path`. */
static int in_folder(const char *folder, int len, const char *name, char path[PATH_MAX])
{
	static const char *const endings[] = { ".so", TD__SFI_ENDING };

	for (size_t i = 0; len && i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(path, PATH_MAX, "%.*s/%s%s", len, folder, name, endings[i]);
		if (is_file(path))
			return 1;
		snprintf(path, PATH_MAX, "%.*s/%s/%s%s", len, folder, name, name, endings[i]);
		if (is_file(path))
			return 1;
	}
	return 0;
}

static int in_environment(const char *name, char path[PATH_MAX])
{
	const char *at = getenv("TADAN_MODULES");

	while (at) {
		const char *end = strchrnul(at, ':');

		if (in_folder(at, (int)(end - at), name, path))
			return 1;
		at = *end ? end + 1 : 0;
	}
	return 0;
}

/* modules/ where the program stands, or next to the program's folder, as in a build. */
static int beside_program(const char *name, char path[PATH_MAX])
{
	char program[PATH_MAX], folder[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return 0;
	program[n] = 0;
	*strrchr(program, '/') = 0;
	n = snprintf(folder, sizeof(folder), "%s/modules", program);
	if (in_folder(folder, (int)n, name, path))
		return 1;
	n = snprintf(folder, sizeof(folder), "%s/../modules", program);
	return in_folder(folder, (int)n, name, path);
}

/* A path names the file, or a folder that holds FOLDER.so. */
static int by_path(const char *name, char path[PATH_MAX])
{
	char full[PATH_MAX];

	if (!realpath(name, full))
		return 0;
	snprintf(path, PATH_MAX, "%s", full);
	return is_file(path) || in_folder(full, (int)strlen(full), strrchr(full, '/') + 1, path);
}

static int find(const char *name, char path[PATH_MAX], char *why, size_t size)
{
	char found[PATH_MAX];

	if (strchr(name, '/')) {
		if (by_path(name, found) && realpath(found, path))
			return 0;
		snprintf(why, size, "%s: no such module file", name);
		return -ENOENT;
	}
	if ((in_environment(name, found) || beside_program(name, found) ||
	     in_folder(TADAN_MODULE_DIR, (int)strlen(TADAN_MODULE_DIR), name, found)) &&
	    realpath(found, path))
		return 0;
	snprintf(why, size,
		 "no module named %s: looked in $TADAN_MODULES, beside the program and in %s; "
		 "a file is given by its path, as in ./%s.so",
		 name, TADAN_MODULE_DIR, name);
	return -ENOENT;
}

/* ---- What the file says about itself */

#define IMPORT(name) { "td__svc_" #name, 0 },
static const struct td__import imports[] = { TD__SERVICES(IMPORT) IMPORT(context) };

static const char *wrong_info(const struct td_module_info *info)
{
	if (info->magic != TD_MAGIC)
		return "is no Tadan module";
	if (info->abi != TD_ABI)
		return "was built for another version of Tadan: build it again";
	if (info->interface != TD_INTERFACE_FS)
		return "implements an interface that this kernel does not know";
	if (info->version != TD_FS_VERSION)
		return "implements another version of its interface: build it again";
	if (info->flags & ~(uint32_t)(TD_MODULE_HOSTED | TD_MODULE_YIELDS | TD_MODULE_NETWORK))
		return "has flags that this kernel does not know";
	if (info->locks > TD_LOCK_MAX)
		return "wants more locks than a domain has";
	if (!info->name[0] || !memchr(info->name, 0, sizeof(info->name)))
		return "has no name, or one that does not end";
	for (const char *p = info->name; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '/')
			return "has a name with characters that no name has";
	return 0;
}

static int read_info(const struct td__elf *e, const void *base, struct td_module_info *info,
		     char *why, size_t size)
{
	size_t have = 0;
	const void *at = td__elf_symbol(e, base, "td_module_info", &have);
	const char *wrong = "is no Tadan module";

	if (at && have == sizeof(*info)) {
		memcpy(info, at, sizeof(*info));
		wrong = wrong_info(info);
	}
	if (!wrong && !td__elf_symbol(e, base, "td__enter", 0))
		wrong = "has no td__enter: TD_FS_MODULE makes it";
	at = td__elf_symbol(e, base, "td_module_yield", &have);
	if (!wrong && info->flags & TD_MODULE_YIELDS && (!at || have != sizeof(uint32_t) || (uintptr_t)at % sizeof(uint32_t)))
		wrong = "says that it yields, and has no td_module_yield: link it with the sdk's runtime";
	if (!wrong)
		return 0;
	snprintf(why, size, "%s", wrong);
	return -ENOEXEC;
}

/* Place the file in memory for as long as it takes to read its info. */
static int look_into(const struct td__elf *e, struct td_module_info *info, char *why, size_t size)
{
	size_t span = td__elf_span(e), align = td__elf_align(e);
	char *p = mmap(0, span + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);
	char *base;
	int err;

	if (p == MAP_FAILED) {
		snprintf(why, size, "cannot be mapped: not enough memory");
		return -ENOMEM;
	}
	base = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	err = td__elf_map(e, base, imports, sizeof(imports) / sizeof(imports[0]), why, size);
	if (!err)
		err = read_info(e, base, info, why, size);
	munmap(p, span + align);
	return err;
}

/* FNV-1a over the build's name. */
static uint64_t build_number(const char *id)
{
	uint64_t n = 0xcbf29ce484222325ull;

	while (*id)
		n = (n ^ (uint8_t)*id++) * 0x100000001b3ull;
	return n;
}

static int open_native(const char *path, struct td__module *m, char *why, size_t size)
{
	char reason[TD__ELF_WHY] = "";
	struct td__elf *e;
	int err = td__elf_open(path, &e, reason, sizeof(reason));

	if (!err) {
		err = look_into(e, &m->info, reason, sizeof(reason));
		if (err)
			td__elf_close(e);
	}
	if (err) {
		snprintf(why, size, "%s %s", path, reason);
		return err;
	}
	m->build = build_number(td__elf_id(e));
	m->file = e;
	return 0;
}

/* There is no native form beside it. */
static int open_sandboxed(struct td__module *m, char *why, size_t size)
{
	struct td__sfi_content form;
	const char *wrong;
	int err = td__sfi_form_get(m->sandboxed, &form, why, size);

	if (err)
		return err;
	wrong = wrong_info(&form.report->info);
	if (wrong) {
		snprintf(why, size, "%s %s", m->path, wrong);
		return -ENOEXEC;
	}
	m->info = form.report->info;
	m->build = build_number(td__elf_id(form.elf));
	return 0;
}

/* DIR/NAME.so and DIR/NAME.sandboxed are two forms of one module, whichever is named. */
static int open_forms(const char *path, struct td__module *m, char *why, size_t size)
{
	char other[sizeof(m->path) + sizeof(TD__SFI_ENDING)];
	size_t len = strlen(path), ending = strlen(TD__SFI_ENDING);
	int sandboxed = len > ending && !strcmp(path + len - ending, TD__SFI_ENDING);

	memcpy(m->path, path, len + 1); /* it fits: td__module_open() has looked */
	if (sandboxed)
		len -= ending;
	else if (len > 3 && !strcmp(path + len - 3, ".so"))
		len -= 3;
	snprintf(other, sizeof(other), "%.*s%s", (int)len, path, sandboxed ? ".so" : TD__SFI_ENDING);
	m->sandboxed = td__sfi_form_make(sandboxed ? path : other);
	if (!m->sandboxed) {
		snprintf(why, size, "not enough memory");
		return -ENOMEM;
	}
	if (!sandboxed)
		return open_native(path, m, why, size);
	if (!is_file(other))
		return open_sandboxed(m, why, size);
	memcpy(m->path, other, strlen(other) + 1);
	return open_native(other, m, why, size);
}

int td__module_has_form(const struct td__module *m, uint32_t wall, char *why, size_t size)
{
	struct td__sfi_content form;

	if (wall == TD_WALL_SFI)
		return td__sfi_form_get(m->sandboxed, &form, why, size);
	if (m->file)
		return 0;
	snprintf(why, size, "%s: of this module there is the sandboxed form only; use --level sandboxed, or build it from its sources",
		 m->path);
	return -EOPNOTSUPP;
}

int td__module_open(const char *name, struct td__module **out, char *why, size_t size)
{
	struct td__module *m;
	char path[PATH_MAX];
	int err = find(name, path, why, size);

	*out = 0;
	if (err)
		return err;
	if (strlen(path) >= sizeof(m->path)) {
		snprintf(why, size, "%s: the path is too long", path);
		return -ENAMETOOLONG;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		snprintf(why, size, "not enough memory");
		return -ENOMEM;
	}
	err = open_forms(path, m, why, size);
	if (err) {
		td__module_close(m);
		return err;
	}
	*out = m;
	return 0;
}

void td__module_close(struct td__module *m)
{
	if (!m)
		return;
	td__sfi_form_free(m->sandboxed);
	td__elf_close(m->file);
	free(m);
}

/* What the C compiler has noted as a line is an offset in the binary: see sfi/mark.h. */
static void sandboxed_line(const struct td__module *m, uint64_t address, char *text, size_t size)
{
	struct td__sfi_content form;
	int offset;

	if (td__sfi_form_get(m->sandboxed, &form, text, size)) {
		text[0] = 0;
		return;
	}
	if (!td__elf_line_number(td__sfi_form_path(m->sandboxed), address, TD__SFI_MARKED, &offset) &&
	    !td__sfi_line(form.wasm, form.wasm_size, (size_t)offset, text, size))
		return;
	if (td__elf_where(form.elf, 0, (uintptr_t)address, text, size))
		text[0] = 0;
}

void td__module_line(const struct td__module *m, uint32_t wall, uint64_t address, char *text, size_t size)
{
	if (size)
		text[0] = 0;
	if (size && wall == TD_WALL_SFI)
		sandboxed_line(m, address, text, size);
	else if (size && td__elf_line(m->path, address, text, size) &&
	    td__elf_where(m->file, 0, (uintptr_t)address, text, size))
		text[0] = 0;
}
