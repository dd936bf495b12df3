/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan status`: a table of all mounts, or everything about one. */
#include "ask.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum option { JSON, CHECK };

const struct td__cli_option td__cli_status_options[] = {
	[JSON] = { "json", 0, NULL, "as JSON, for programs" },
	[CHECK] = { "check", 0, NULL, "look for deadlocks of the modules first, and end them" },
	{ 0 },
};

static const char *text(json_t *from, const char *name)
{
	const char *s = json_string_value(json_object_get(from, name));

	return s ? s : "-";
}

static long long number(json_t *from, const char *name)
{
	return json_integer_value(json_object_get(from, name));
}

static void knobs(json_t *status, char *to, size_t size)
{
	json_t *all = json_object_get(status, "knobs"), *value;
	const char *name;
	size_t n = 0;

	to[0] = 0;
	json_object_foreach(all, name, value)
	{
		n += (size_t)snprintf(to + n, size - n, "%s%s=%s", n ? "," : "", name,
				      json_string_value(value));
		if (n >= size)
			break;
	}
}

static void process(json_t *status, const char *name, char to[24])
{
	if (json_is_integer(json_object_get(status, name)))
		snprintf(to, 24, "%lld", number(status, name));
	else
		strcpy(to, "-");
}

/* ---- All of them */

static void add_row(struct td__table *t, json_t *status)
{
	char all_knobs[512], pid[24];

	knobs(status, all_knobs, sizeof(all_knobs));
	process(status, "module_pid", pid);
	td__table_add(t, "%s", text(status, "dir"));
	td__table_add(t, "%s", text(status, "module"));
	td__table_add(t, "%s", text(status, "level"));
	td__table_add(t, "%s", text(status, "state"));
	td__table_add(t, "%s", text(status, "since"));
	td__table_add(t, "%lld", number(status, "calls"));
	td__table_add(t, "%lld", number(status, "faults"));
	td__table_add(t, "%lld", number(status, "restarts"));
	td__table_add(t, "%lld", number(status, "pid"));
	td__table_add(t, "%s", pid);
	td__table_add(t, "%s", all_knobs);
}

static int print_table(json_t *all)
{
	static const char *const heads[] = { "DIR",    "MODULE",  "LEVEL",  "STATE",
					     "SINCE",  "CALLS",	  "FAULTS", "RESTARTS",
					     "SERVER", "PROCESS", "KNOBS" };
	struct td__table t = { .columns = sizeof(heads) / sizeof(heads[0]) };
	json_t *status;
	size_t i;

	if (!json_array_size(all)) {
		puts("nothing is mounted");
		return TD__CLI_OK;
	}
	for (i = 0; i < t.columns; i++)
		td__table_add(&t, "%s", heads[i]);
	json_array_foreach(all, i, status) add_row(&t, status);
	td__table_print(&t);
	return TD__CLI_OK;
}

/* ---- One of them */

static void row(const char *name, const char *value)
{
	printf("  %-14s ", name);
	td__cli_print_safe(value, stdout);
	putchar('\n');
}

static void row_number(const char *name, json_t *status, const char *member)
{
	printf("  %-14s %lld\n", name, number(status, member));
}

static void print_knobs(json_t *status)
{
	char all[512];

	knobs(status, all, sizeof(all));
	for (char *p = all; *p; p++)
		if (*p == ',')
			*p = ' ';
	row("knobs", all);
}

static void print_calls(json_t *status)
{
	json_t *calls = json_object_get(status, "calls_by_operation"), *n;
	const char *op;

	row_number("calls", status, "calls");
	json_object_foreach(calls, op, n)
		printf("    %-12s %lld\n", op, (long long)json_integer_value(n));
}

/* What is not 0 of an object, on one line. */
static void print_members(const char *name, json_t *from)
{
	char line[512] = "";
	const char *member;
	size_t n = 0;
	json_t *value;

	json_object_foreach(from, member, value)
		if (json_integer_value(value) && n < sizeof(line))
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s %lld", n ? ", " : "", member,
					      (long long)json_integer_value(value));
	row(name, n ? line : "-");
}

static void print_auto(json_t *on_its_way)
{
	const char *next = json_string_value(json_object_get(on_its_way, "next"));

	if (!json_is_object(on_its_way))
		return;
	if (next)
		printf("  %-14s to %s after %lld of %lld calls and %lld of %lld s without a fault; floor %s\n", "auto", next,
		       number(on_its_way, "calls_clean"), number(on_its_way, "calls_wanted"), number(on_its_way, "seconds_clean"),
		       number(on_its_way, "seconds_wanted"), text(on_its_way, "floor"));
	else
		printf("  %-14s no further down; floor %s\n", "auto", text(on_its_way, "floor"));
	if (json_object_size(json_object_get(on_its_way, "faults")))
		print_members("  faults so far", json_object_get(on_its_way, "faults"));
}

static void print_cache(json_t *cache)
{
	char now[32], most[32], evicted[32], line[128];

	if (!json_is_object(cache))
		return;
	td__cli_show_bytes((uint64_t)number(cache, "bytes"), now);
	td__cli_show_bytes((uint64_t)number(cache, "most"), most);
	td__cli_show_bytes((uint64_t)number(cache, "evicted"), evicted);
	snprintf(line, sizeof(line), "%s of %s at most, %s evicted", now, most, evicted);
	row("in memory", line);
}

static void print_disk(json_t *disk)
{
	char unwritten[32], limit[32] = "no limit", line[160];
	long long ms = number(disk, "timeout_ms");

	if (!json_is_object(disk))
		return;
	td__cli_show_bytes((uint64_t)number(disk, "unwritten"), unwritten);
	if (ms)
		td__cli_show_time((uint64_t)ms * 1000000, limit);
	snprintf(line, sizeof(line), "%s to be written; %s for an answer, in vain %lld times", unwritten, limit, number(disk, "timeouts"));
	row("disk", line);
	if (!number(disk, "late"))
		return;
	snprintf(line, sizeof(line), "the disk owes %lld answers, one for %.1f s", number(disk, "late"), (double)number(disk, "late_ms") / 1e3);
	row("NO ANSWER", line);
}

static void print_device(json_t *status)
{
	const char *image =
		json_is_string(json_object_get(status, "image")) ? text(status, "image") : "memory";
	char bytes[32];

	if (json_is_string(json_object_get(status, "source"))) {
		row("source", text(status, "source"));
		print_members("network", json_object_get(status, "network"));
		return;
	}
	td__cli_show_bytes((uint64_t)number(status, "size"), bytes);
	row("size", bytes);
	row(json_is_true(json_object_get(status, "read_only")) ? "read from" : "kept in", image);
	print_cache(json_object_get(status, "cache"));
	print_disk(json_object_get(status, "disk"));
	if (json_is_string(json_object_get(status, "write_error")))
		row("NOT WRITTEN", text(status, "write_error"));
}

static void print_channel(json_t *status)
{
	char line[256];

	snprintf(line, sizeof(line), "%s%s%s", text(status, "channel"), json_is_string(json_object_get(status, "no_uring")) ? "; " : "",
		 json_is_string(json_object_get(status, "no_uring")) ? text(status, "no_uring") : "");
	row("requests by", line);
}

static void print_one(json_t *status)
{
	char pause[32], pid[24];

	process(status, "module_pid", pid);
	td__cli_show_time((uint64_t)number(status, "last_pause_ns"), pause);
	fputs(td__cli_style(stdout, TD__BOLD), stdout);
	td__cli_print_safe(text(status, "dir"), stdout);
	printf("%s\n", td__cli_style(stdout, TD__PLAIN));
	row("module", text(status, "module"));
	row("file", text(status, "file"));
	row("build", text(status, "build"));
	row("state", text(status, "state"));
	row("level", text(status, "level"));
	print_knobs(status);
	print_auto(json_object_get(status, "auto"));
	row("since", text(status, "since"));
	row("mounted", text(status, "mounted"));
	print_device(status);
	print_channel(status);
	row_number("server", status, "pid");
	row("process", pid);
	process(status, "standby_pid", pid);
	row("standby", pid);
	row_number("faults", status, "faults");
	row_number("restarts", status, "restarts");
	row_number("level changes", status, "level_changes");
	row("last pause", pause);
	row_number("careless", status, "careless");
	print_members("mistakes", json_object_get(status, "mistakes"));
	print_members("usage", json_object_get(status, "usage"));
	row_number("deadlocks", status, "deadlocks");
	row_number("  revoked", status, "revoked");
	row_number("vnodes", status, "vnodes");
	print_calls(status);
}

/* ---- */

/* It is there, and it is in the way. */
static json_t *dead(const struct td__runtime_entry *entry)
{
	return json_pack("{s:o, s:s}", "dir", td__cli_json_text(entry->dir), "state",
			 "server ended");
}

static json_t *ask(struct td__runtime_entry *entry, int check)
{
	json_t *answer = td__ask(entry, json_pack("{s:s, s:b}", "do", "status", "check", check)), *status;

	status = answer ? json_incref(json_object_get(answer, "status")) : NULL;
	json_decref(answer);
	return status;
}

static int show(json_t *all, const struct td__cli_args *args, int status)
{
	if (args->values[JSON] && (!status || !args->nwords))
		return td__cli_print_json(all) || status ? TD__CLI_FAILED : TD__CLI_OK;
	if (!args->nwords)
		print_table(all);
	else if (json_array_size(all))
		print_one(json_array_get(all, 0));
	json_decref(all);
	return status;
}

int td__cli_status(const struct td__cli_args *args)
{
	struct td__runtime_entry *entries;
	json_t *all = json_array(), *one;
	int status;
	size_t n;

	status = td__ask_each(args, &entries, &n);
	for (size_t i = 0; i < n && entries[i].dir; i++) {
		/* In the table a mount whose server was killed has its row. */
		one = entries[i].alive || args->nwords ? ask(&entries[i], args->values[CHECK] != NULL) : dead(&entries[i]);
		if (one)
			json_array_append_new(all, one);
		else if (args->nwords || !entries[i].gone)
			status = TD__CLI_FAILED;
	}
	td__runtime_free(entries, n);
	return show(all, args, status);
}
