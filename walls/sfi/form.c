/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a sandboxed form: see form.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/object.h"
#include "form.h"

struct td__sfi_form {
	pthread_mutex_t mutex; /* guards elf */
	struct td__elf *elf;
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

/* Everything that the wall calls or reads is there, and of this version. */
static int check(const struct td__elf *e, char *why, size_t size)
{
	static const char *const functions[] = { "td__sandbox_start", "td__sandbox_info", "td__sandbox_enter" };
	const char *wrong = 0;
	size_t have = 0;

	if (!td__elf_symbol(e, 0, "td__sandbox_about", &have) || have != sizeof(struct td__sandbox_about))
		wrong = "is no sandboxed form of a module";
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]) && !wrong; i++)
		if (!td__elf_symbol(e, 0, functions[i], 0))
			wrong = "is no sandboxed form of a module";
	if (!wrong)
		return 0;
	snprintf(why, size, "%s", wrong);
	return -ENOEXEC;
}

static int open_form(struct td__sfi_form *f, char *why, size_t size)
{
	char reason[TD__ELF_WHY] = "";
	struct td__elf *e;
	int err = td__elf_open(f->path, &e, reason, sizeof(reason));

	if (err == -ENOENT) {
		snprintf(why, size, "%s: there is no sandboxed form of the module: `tadan build` makes it", f->path);
		return -EOPNOTSUPP;
	}
	if (!err) {
		err = check(e, reason, sizeof(reason));
		if (err)
			td__elf_close(e);
	}
	if (err)
		snprintf(why, size, "%s %s", f->path, reason);
	else
		f->elf = e;
	return err;
}

int td__sfi_form_get(struct td__sfi_form *f, const struct td__elf **e, char *why, size_t size)
{
	int err = 0;

	pthread_mutex_lock(&f->mutex);
	if (!f->elf)
		err = open_form(f, why, size);
	*e = f->elf;
	pthread_mutex_unlock(&f->mutex);
	return err;
}
