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

/* The binary of act.c, where the build has it. */
extern const unsigned char lab_act_wasm[] __attribute__((weak));
extern const unsigned lab_act_wasm_size __attribute__((weak));

enum { COPIES = 16 };

struct lab_batch {
	struct lab_wasm wasm, acts;
	uint64_t service[TD_SVC_MAX]; /* 1: the module imports it */
	int can_plant;
	struct td__module *bad;
	uint8_t *chosen[COPIES]; /* the variable's initial value, in the open form */
	uint32_t nchosen;
	struct lab_mutant *list;
	uint32_t n;
};

/* The grafted code wants the module's stack; a module that has none, and where the acts bring data, stays without. */
static void find_acts(struct lab_batch *b)
{
	char why[256];

	for (uint32_t i = 0; i < TD_SVC_MAX; i++)
		b->service[i] = lab_service_names[i] &&
				lab_wasm_imported(&b->wasm, lab_service_names[i], strlen(lab_service_names[i])) != UINT32_MAX;
	b->can_plant = &lab_act_wasm_size && !lab_wasm_open(&b->acts, lab_act_wasm, lab_act_wasm_size, why, sizeof(why)) &&
		       !b->acts.w.nsegments && b->wasm.w.ntables && td__wasm_export(&b->wasm.w, "__stack_pointer");
}

struct lab_batch *lab_batch_make(const struct td__module *good, char *why, size_t size)
{
	struct lab_batch *b = calloc(1, sizeof(*b));
	struct td__sfi_content form;

	if (b && !td__sfi_form_get(good->sandboxed, &form, why, size) && !lab_wasm_open(&b->wasm, form.wasm, form.wasm_size, why, size)) {
		find_acts(b);
		return b;
	}
	free(b);
	return 0;
}

/* What the binary's language has no words for: addresses beyond 32 bits, the host's memory and code, other instructions. */
static int can_be_said(uint32_t act)
{
	switch (act) {
	case LAB_NO_ADDRESS:
	case LAB_READ_KERNEL:
	case LAB_WRITE_KERNEL:
	case LAB_WRITE_DOMAIN:
	case LAB_WRITE_TEXT:
	case LAB_JUMP_KERNEL:
	case LAB_ILLEGAL:
	case LAB_PRIVILEGED:
	case LAB_SYSCALL:
	case LAB_BREAKPOINT:
	case LAB_KILLED: return 0;
	default: return 1;
	}
}

int lab_batch_possible(const struct lab_batch *b, const struct lab_kind *k)
{
	if (k->class == LAB_MACHINE)
		return b->wasm.places[k->number].n != 0;
	if (k->class == LAB_NO_FAULT)
		return 1;
	if (lab_uses_heap(k->number) && (b->wasm.alloc == UINT32_MAX || b->wasm.free == UINT32_MAX))
		return 0;
	return b->can_plant && can_be_said(k->number) && lab_has_services(b->service, k->number);
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

/*
 * Where the variable's first value stands in the open form, as part of an instruction or as data: once, or oftener where the compiler has
 * made copies of the code that sets it.
 */
static void find_chosen(struct lab_batch *b, const struct td__elf *e)
{
	const uint32_t value = LAB_CHOSEN;

	b->nchosen = 0;
	for (size_t i = 0; i < e->nloads; i++)
		for (uint64_t at = 0; at + sizeof(value) <= e->loads[i].filesz && b->nchosen < COPIES; at++) {
			uint8_t *p = e->file + e->loads[i].offset + at;

			if (!memcmp(p, &value, sizeof(value)))
				b->chosen[b->nchosen++] = p;
		}
}

static int open_form(struct lab_batch *b, const char *path, char *why, size_t size)
{
	struct td__sfi_content form;
	int err = td__module_open(path, &b->bad, why, size);

	if (!err)
		err = td__sfi_form_get(b->bad->sandboxed, &form, why, size);
	if (err)
		return err;
	find_chosen(b, form.elf);
	if (b->nchosen && b->nchosen < COPIES)
		return 0;
	snprintf(why, size, "the form does not show the variable by which faults are chosen");
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

static void draw(struct lab_batch *b, const struct lab_choice *c)
{
	struct lab_mutant *x = &b->list[b->n];
	struct lab_random r = { c->seed };

	if (c->kind->class == LAB_PLANTED) {
		*x = (struct lab_mutant){ .kind = LAB_PLANT, .value = c->kind->number };
		snprintf(x->what, sizeof(x->what), "at the module's entry: %s", c->kind->about);
	} else if (c->kind->class == LAB_NO_FAULT || lab_wasm_mutate(&b->wasm, c->kind->number, &r, x)) {
		return;
	}
	x->number = c->number;
	b->n++;
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
	for (uint32_t i = 0; i < n; i++)
		draw(b, &choices[i]);
	lab_schema_write(&b->wasm, b->can_plant ? &b->acts : 0, b->list, b->n, &bytes);
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
	if (!number)
		return b->bad;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->list[i].number == number) {
			for (uint32_t c = 0; c < b->nchosen; c++)
				memcpy(b->chosen[c], &number, sizeof(number));
			*what = b->list[i].what;
			return b->bad;
		}
	return 0;
}
