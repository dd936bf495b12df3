/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a sandboxed form: see form.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "form.h"
#include "seal.h"
#include "unit/object.h"

struct td__sfi_form {
	pthread_mutex_t mutex; /* guards what follows until elf is set; then it stays as it is */
	struct td__elf *elf;
	struct td__sfi_content content;
	struct td__sfi_report report;
	char path[];
};

struct td__sfi_form *td__sfi_form_make(const char *path)
{
	struct td__sfi_form *f = calloc(1, sizeof(*f) + strlen(path) + 1);

	if (!f)
		return 0;
	pthread_mutex_init(&f->mutex, 0);
	strcpy(f->path, path);
	return f;
}

void td__sfi_form_free(struct td__sfi_form *f)
{
	if (!f)
		return;
	td__elf_close(f->elf);
	pthread_mutex_destroy(&f->mutex);
	free(f);
}

const char *td__sfi_form_path(const struct td__sfi_form *f)
{
	return f->path;
}

/* The whole file in memory, so that what is checked is what is used. */
static int read_file(const char *path, uint8_t **bytes, size_t *size, char *why, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err = fd < 0 ? -errno : 0;
	struct stat st;
	ssize_t n = 0;

	*bytes = 0;
	if (!err && (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > TD__ELF_FILE_MAX))
		err = -ENOEXEC;
	if (!err) {
		*bytes = malloc((size_t)st.st_size + 1);
		err = *bytes ? 0 : -ENOMEM;
	}
	for (*size = 0; !err && *size < (size_t)st.st_size; *size += (size_t)n) {
		n = pread(fd, *bytes + *size, (size_t)st.st_size - *size, (off_t)*size);
		if (n <= 0)
			err = n ? -errno : -ENOEXEC;
	}
	if (fd >= 0)
		close(fd);
	if (err)
		snprintf(why, len, "%s", err == -ENOEXEC ? "is no file that could be a sandboxed form" : strerror(-err));
	return err;
}

/* Everything that the wall calls or reads is there, and of this version. */
static int check_object(const struct td__elf *e, char *why, size_t size)
{
	static const char *const functions[] = { "td__sandbox_start", "td__sandbox_enter" };
	const struct td__sandbox_about *about;
	size_t have = 0;
	int wrong = 0;

	about = td__elf_content(e, "td__sandbox_about", &have);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		wrong |= !td__elf_symbol(e, 0, functions[i], 0);
	if (wrong || !about || have != sizeof(*about) || about->magic != TD__SANDBOX_MAGIC) {
		snprintf(why, size, "is no sandboxed form of a module");
		return -ENOEXEC;
	}
	if (about->version == TD__SANDBOX_VERSION)
		return 0;
	snprintf(why, size, "was made by another version of Tadan: build it again with `tadan build`");
	return -ENOEXEC;
}

static int check_wasm(struct td__sfi_form *f, const struct td__elf *e, char *why, size_t size)
{
	int err;

	f->content.wasm = td__elf_section(e, TD__SFI_SECTION, &f->content.wasm_size);
	if (!f->content.wasm) {
		snprintf(why, size, "does not hold the wasm binary that it was made of: build it again with `tadan build`");
		return -ENOEXEC;
	}
	err = td__sfi_verify(f->content.wasm, f->content.wasm_size, &td__sfi_default_policy, &f->report);
	if (err)
		snprintf(why, size, "is refused (%s): %s", td__sfi_rules[f->report.rule], f->report.why);
	return err;
}

static int check(struct td__sfi_form *f, const uint8_t *bytes, size_t size, char *why, size_t len)
{
	struct td__sfi_seal seal;
	struct td__elf *e = 0;
	int err;

	if (size < sizeof(seal)) {
		snprintf(why, len, "is no sandboxed form, or is cut short: build it again with `tadan build`");
		return -ENOEXEC;
	}
	size -= sizeof(seal);
	memcpy(&seal, bytes + size, sizeof(seal));
	err = td__sfi_seal_check(f->path, bytes, size, &seal, why, len);
	if (!err)
		err = td__elf_open_bytes(bytes, size, &e, why, len);
	if (!err)
		err = check_object(e, why, len);
	if (!err)
		err = check_wasm(f, e, why, len);
	if (err) {
		td__elf_close(e);
		return err;
	}
	f->elf = e;
	f->content.elf = e;
	f->content.report = &f->report;
	return 0;
}

static int open_form(struct td__sfi_form *f, char *why, size_t size)
{
	char reason[TD__ELF_WHY] = "";
	uint8_t *bytes;
	size_t n;
	int err = read_file(f->path, &bytes, &n, reason, sizeof(reason));

	if (err == -ENOENT) {
		snprintf(why, size, "%s: there is no sandboxed form of the module: `tadan build` makes it", f->path);
		return -EOPNOTSUPP;
	}
	if (!err)
		err = check(f, bytes, n, reason, sizeof(reason));
	free(bytes);
	if (err)
		snprintf(why, size, "%s %s", f->path, reason);
	return err;
}

int td__sfi_form_get(struct td__sfi_form *f, struct td__sfi_content *content, char *why, size_t size)
{
	int err = 0;

	pthread_mutex_lock(&f->mutex);
	if (!f->elf)
		err = open_form(f, why, size);
	*content = f->content;
	pthread_mutex_unlock(&f->mutex);
	return err;
}

int td__sfi_form_extract(const void *form, size_t size, uint8_t **wasm, size_t *wasm_size, char *why, size_t len)
{
	struct td__elf *e;
	const void *found;
	int err = td__elf_open_bytes(form, size, &e, why, len);

	if (err)
		return err;
	found = td__elf_section(e, TD__SFI_SECTION, wasm_size);
	*wasm = found ? malloc(*wasm_size + 1) : 0;
	if (*wasm)
		memcpy(*wasm, found, *wasm_size);
	else
		snprintf(why, len, "%s", found ? "not enough memory" : "holds no wasm binary, as a sandboxed form does");
	td__elf_close(e);
	return *wasm ? 0 : found ? -ENOMEM : -ENOEXEC;
}
