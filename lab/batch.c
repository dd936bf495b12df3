/* SPDX-License-Identifier: BSD-2-Clause */
/* Faulty copies of a sandboxed module, many in one form: see sandbox.h. `tadan build` makes the form. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct lab_batch {
	struct lab_wasm wasm;
	struct td__module *bad;
	uint8_t *chosen; /* the variable's initial value, in the open form */
	struct lab_mutant *list;
	uint32_t n;
};

struct lab_batch *lab_batch_make(const struct td__module *good, char *why, size_t size)
{
	struct lab_batch *b = calloc(1, sizeof(*b));
	struct td__sfi_content form;

	if (b && !td__sfi_form_get(good->sandboxed, &form, why, size) && !lab_wasm_open(&b->wasm, &form, why, size))
		return b;
	free(b);
	return 0;
}

int lab_batch_possible(const struct lab_batch *b, const struct lab_kind *k)
{
	return k->class == LAB_NO_FAULT || (k->class == LAB_MACHINE && b->wasm.places[k->number].n);
}

/* Beside this program, as in a build; else where it is installed. */
static void find_program(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 8);

	if (n > 0) {
		path[n] = 0;
		strcpy(strrchr(path, '/'), "/tadan");
		if (!access(path, X_OK))
			return;
	}
	snprintf(path, PATH_MAX, "%s", TADAN_BIN_DIR "/tadan");
}

/* Only its complaints are shown. */
static int build(const char *wasm, const char *folder)
{
	char program[PATH_MAX];
	const char *words[] = { program, "build", wasm, "--output", folder, 0 };
	posix_spawn_file_actions_t actions;
	int status = 0, err;
	pid_t pid;

	find_program(program);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	err = posix_spawn(&pid, program, &actions, 0, (char *const *)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	while (!err && waitpid(pid, &status, 0) < 0)
		err = errno == EINTR ? 0 : errno;
	return err ? -err : status ? -EIO : 0;
}

/* The one place in the form where the variable's first value stands, as an instruction's or as data. */
static uint8_t *find_chosen(const struct td__elf *e)
{
	const uint32_t value = LAB_CHOSEN;
	uint8_t *found = 0;

	for (size_t i = 0; i < e->nloads; i++)
		for (uint64_t at = 0; at + sizeof(value) <= e->loads[i].filesz; at++) {
			uint8_t *p = e->file + e->loads[i].offset + at;

			if (memcmp(p, &value, sizeof(value)))
				continue;
			if (found)
				return 0;
			found = p;
		}
	return found;
}

static int open_form(struct lab_batch *b, const char *path, char *why, size_t size)
{
	struct td__sfi_content form;
	int err = td__module_open(path, &b->bad, why, size);

	if (!err)
		err = td__sfi_form_get(b->bad->sandboxed, &form, why, size);
	if (err)
		return err;
	b->chosen = find_chosen(form.elf);
	if (b->chosen)
		return 0;
	snprintf(why, size, "the form does not hold the variable by which faults are chosen, or holds it twice");
	return -ENOEXEC;
}

static void empty(struct lab_batch *b)
{
	td__module_close(b->bad);
	free(b->list);
	b->bad = 0;
	b->list = 0;
	b->n = 0;
}

int lab_batch_fill(struct lab_batch *b, const struct lab_choice *choices, uint32_t n, const char *folder, char *why, size_t size)
{
	char wasm[PATH_MAX], form[PATH_MAX];
	struct lab_bytes bytes = { 0 };
	int err;

	empty(b);
	b->list = calloc(n, sizeof(*b->list));
	if (!b->list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct lab_random r = { choices[i].seed };

		if (lab_wasm_mutate(&b->wasm, choices[i].kind->number, &r, &b->list[b->n]))
			continue;
		b->list[b->n++].number = choices[i].number;
	}
	lab_schema_write(&b->wasm, b->list, b->n, &bytes);
	snprintf(wasm, sizeof(wasm), "%s/batch.wasm", folder);
	snprintf(form, sizeof(form), "%s/batch.sandboxed", folder);
	err = lab_write_file(wasm, bytes.p, bytes.n);
	free(bytes.p);
	if (!err) {
		snprintf(why, size, "the faulty form cannot be built");
		err = build(wasm, folder);
	}
	if (!err)
		err = open_form(b, form, why, size);
	unlink(wasm);
	unlink(form);
	return err;
}

struct td__module *lab_batch_choose(const struct lab_batch *b, uint32_t number, const char **what)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (b->list[i].number == number) {
			memcpy(b->chosen, &number, sizeof(number));
			*what = b->list[i].what;
			return b->bad;
		}
	return 0;
}
