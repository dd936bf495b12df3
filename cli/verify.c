/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan verify`: what the host checks of a sandboxed module when it loads it, and what is proven of its operations. */
#include "cli.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fs_gateway.h>
#include "../walls/sfi/form.h"
#include "../walls/sfi/verify.h"
#include "../walls/walls.h"

enum option { JSON };
enum { MOST = 64 << 20 };

struct binary {
	char path[512];
	uint8_t *bytes;
	size_t size;
	struct td__sfi_report report;
};

/* ---- The file */

static int read_file(struct binary *b)
{
	int fd = open(b->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err = fd < 0 ? errno : 0;
	struct stat st;
	ssize_t n = 1;

	if (!err && (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MOST))
		err = EINVAL;
	b->bytes = err ? NULL : malloc((size_t)st.st_size + 1);
	if (!err && !b->bytes)
		err = ENOMEM;
	while (!err && n > 0 && b->size < (size_t)st.st_size) {
		n = read(fd, b->bytes + b->size, (size_t)st.st_size - b->size);
		if (n < 0)
			err = errno;
		else
			b->size += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	if (!err)
		return TD__CLI_OK;
	td__cli_error("%s: %s", b->path, err == EINVAL ? "is no file that could be a module" : strerror(err));
	return TD__CLI_FAILED;
}

/* In a sandboxed form the binary is a section. Whether the form may be loaded, is not asked here. */
static int take_from_form(struct binary *b)
{
	char why[TD__CLI_WHY] = "";
	uint8_t *wasm;

	if (td__sfi_form_extract(b->bytes, b->size, &wasm, &b->size, why, sizeof(why))) {
		td__cli_error("%s: %s; give a wasm binary, or the NAME%s that `tadan build` makes", b->path, why, TD__SFI_ENDING);
		return TD__CLI_FAILED;
	}
	free(b->bytes);
	b->bytes = wasm;
	return TD__CLI_OK;
}

/* A module's name, or its native file, stands for the sandboxed form beside it. */
static int find(const char *name, struct binary *b)
{
	size_t len = strlen(name), ending = strlen(TD__SFI_ENDING);
	char why[TD__CLI_WHY];
	struct td__module *m;

	snprintf(b->path, sizeof(b->path), "%s", name);
	if (len >= sizeof(b->path) || (len > 5 && !strcmp(name + len - 5, ".wasm")) ||
	    (len > ending && !strcmp(name + len - ending, TD__SFI_ENDING)))
		return TD__CLI_OK;
	if (td__cli_module(name, &m, why, sizeof(why))) {
		td__cli_error("%s", why);
		return TD__CLI_FAILED;
	}
	snprintf(b->path, sizeof(b->path), "%.*s%s", (int)(strlen(m->path) - 3), m->path, TD__SFI_ENDING);
	td__module_close(m);
	return TD__CLI_OK;
}

static int open_binary(const char *name, struct binary *b)
{
	int err = find(name, b);

	if (!err)
		err = read_file(b);
	if (err)
		return err;
	return b->size >= 4 && !memcmp(b->bytes, "\177ELF", 4) ? take_from_form(b) : TD__CLI_OK;
}

/* ---- What was found, as JSON */

static json_t *place(const struct binary *b, uint32_t function, size_t offset)
{
	char name[128] = "", line[512];

	if (function != UINT32_MAX)
		td__sfi_function_name(b->bytes, b->size, function, name, sizeof(name));
	if (td__sfi_line(b->bytes, b->size, offset, line, sizeof(line)))
		line[0] = 0;
	return json_pack("{s:o, s:o, s:o}", "function", name[0] ? td__cli_json_text(name) : json_null(), "offset",
			 td__cli_json_number(offset), "line", line[0] ? td__cli_json_text(line) : json_null());
}

static json_t *steps(uint64_t n)
{
	return n == UINT64_MAX ? json_null() : td__cli_json_number(n);
}

static json_t *operation(const struct binary *b, uint32_t n)
{
	const struct td__sfi_op *op = &b->report.ops[n];
	json_t *to = json_pack("{s:s, s:b, s:o}", "name", td__op_names[n] ? td__op_names[n] : "hello", "proven", (int)op->proven,
			       "steps", steps(op->steps));

	if (!op->proven) {
		json_t *obstacle = place(b, op->function, op->offset);

		json_object_set_new(obstacle, "why", json_string(op->why));
		json_object_set_new(obstacle, "steps", steps(op->part));
		json_object_set_new(to, "obstacle", obstacle);
	}
	return to;
}

static json_t *operations(const struct binary *b)
{
	json_t *list = json_array();

	for (uint32_t n = 0; n < TD_OP_MAX; n++)
		json_array_append_new(list, operation(b, n));
	return list;
}

static json_t *about(const struct binary *b)
{
	const struct td__sfi_report *r = &b->report;
	json_t *to = json_pack("{s:o, s:b, s:i, s:i, s:i, s:i, s:i}", "file", td__cli_json_text(b->path), "verified", !r->rule,
			       "functions", (int)r->functions, "imports", (int)r->imports, "table", (int)r->table, "pages",
			       (int)r->pages, "limit_pages", (int)td__sfi_default_policy.pages);
	json_t *refused;

	if (!r->rule) {
		json_object_set_new(to, "name", td__cli_json_text(r->info.name));
		json_object_set_new(to, "limit_steps", td__cli_json_number(td__sfi_default_policy.most_steps));
		json_object_set_new(to, "operations", operations(b));
		return to;
	}
	refused = place(b, r->function, r->offset);
	json_object_set_new(refused, "rule", json_string(td__sfi_rules[r->rule]));
	json_object_set_new(refused, "why", td__cli_json_text(r->why));
	json_object_set_new(to, "refused", refused);
	return to;
}

/* ---- And as text */

static const char *text_of(const json_t *from, const char *key)
{
	const char *text = json_string_value(json_object_get(from, key));

	return text ? text : "";
}

/* Where something is: a line, or a function and an offset of the file. */
static void where(const json_t *from, char *text, size_t size)
{
	const char *line = text_of(from, "line"), *function = text_of(from, "function");

	const char *unknown = strstr(line, "(?)"); /* the line is known, and not which function it is of */

	if (unknown && function[0])
		snprintf(text, size, "%.*s(%s)", (int)(unknown - line), line, function);
	else if (line[0])
		snprintf(text, size, "%s", line);
	else
		snprintf(text, size, "%s%soffset 0x%llx", function, function[0] ? ", " : "",
			 (unsigned long long)json_integer_value(json_object_get(from, "offset")));
}

static void bound_text(json_t *steps, char text[32])
{
	if (json_is_null(steps))
		snprintf(text, 32, "none");
	else
		snprintf(text, 32, "%llu", (unsigned long long)json_integer_value(steps));
}

static void print_operations(json_t *list)
{
	struct td__table t = { .columns = 4 };
	json_t *op;
	size_t i;

	td__table_add(&t, "OPERATION");
	td__table_add(&t, "PROVEN");
	td__table_add(&t, "STEPS");
	td__table_add(&t, "IN THE WAY");
	json_array_foreach(list, i, op)
	{
		json_t *obstacle = json_object_get(op, "obstacle");
		char bound[32], at[512] = "";

		bound_text(json_object_get(op, "steps"), bound);
		if (obstacle)
			where(obstacle, at, sizeof(at));
		td__table_add(&t, "%s", text_of(op, "name"));
		td__table_add(&t, "%s", obstacle ? "no" : "yes");
		td__table_add(&t, "%s", bound);
		td__table_add(&t, "%s%s%s", obstacle ? text_of(obstacle, "why") : "", obstacle ? ": " : "", at);
	}
	td__table_print(&t);
}

static void print(const struct binary *b, json_t *all)
{
	const struct td__sfi_report *r = &b->report;
	json_t *refused = json_object_get(all, "refused");
	char at[512];

	td__cli_print_safe(b->path, stdout);
	if (refused) {
		where(refused, at, sizeof(at));
		printf(": %srefused%s (%s): ", td__cli_style(stdout, TD__RED), td__cli_style(stdout, TD__PLAIN), text_of(refused, "rule"));
		td__cli_print_safe(r->why, stdout);
		printf("\n  at %s\n", at);
		return;
	}
	printf(": %sverified%s\n", td__cli_style(stdout, TD__GREEN), td__cli_style(stdout, TD__PLAIN));
	printf("  types and control flow of %u functions are valid\n"
	       "  %u imports, all of them services with their types\n"
	       "  exports what the wall uses and nothing else; no start function\n"
	       "  a constant table of %u elements; %u pages of memory, at most %u are taken\n\n",
	       r->functions, r->imports, r->table, r->pages, td__sfi_default_policy.pages);
	print_operations(json_object_get(all, "operations"));
	printf("\nProven: every path of the operation ends within so many steps, and within %llu: it needs no time limit.\n",
	       (unsigned long long)td__sfi_default_policy.most_steps);
}

int td__cli_verify(const struct td__cli_args *args)
{
	struct binary b = { 0 };
	int status = open_binary(args->words[0], &b);
	json_t *all;

	if (!status) {
		status = td__sfi_verify(b.bytes, b.size, &td__sfi_default_policy, &b.report) ? TD__CLI_FAILED : TD__CLI_OK;
		all = about(&b);
		if (args->values[JSON]) {
			td__cli_print_json(all);
		} else {
			print(&b, all);
			json_decref(all);
		}
	}
	free(b.bytes);
	return status;
}
