/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults for people. The text is made from the server's JSON, and nothing in it is trusted to be there. */
#include "cli.h"
#include "report.h"

#include <stdarg.h>
#include <string.h>

static const char *text(json_t *from, const char *name)
{
	const char *s = json_string_value(json_object_get(from, name));

	return s ? s : "";
}

static long long number(json_t *from, const char *name)
{
	return json_integer_value(json_object_get(from, name));
}

static void row(const char *name, const char *value, FILE *to)
{
	fprintf(to, "  %-10s ", name);
	td__cli_print_safe(value, to);
	fputc('\n', to);
}

__attribute__((format(printf, 3, 4))) static void row_of(FILE *to, const char *name,
							 const char *format, ...)
{
	char value[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(value, sizeof(value), format, ap);
	va_end(ap);
	row(name, value, to);
}

static void print_kind(json_t *fault, FILE *to)
{
	const char *access = text(fault, "access"), *lay = text(fault, "lay");

	if (*access)
		row_of(to, "what", "%s: a %s %s %s%s%s%s", text(fault, "kind"), access,
		       !strcmp(access, "load") ? "from" : !strcmp(access, "load or store") ? "at" : "to", text(fault, "address"),
		       *lay ? " (" : "", lay, *lay ? ")" : "");
	else
		row("what", text(fault, "kind"), to);
	if (*text(fault, "detail"))
		row("detail", text(fault, "detail"), to);
	if (*text(fault, "object"))
		row("object", text(fault, "object"), to);
}

static void print_frame(const char *name, const char *line, const char *address, size_t times,
			FILE *to)
{
	char again[32] = "";

	if (times > 1)
		snprintf(again, sizeof(again), ", %zu times", times);
	if (*line)
		row_of(to, name, "%s%s", line, again);
	else
		row_of(to, name,
		       "%s of the module file (no source line is known: build it with -g)%s",
		       address, again);
}

/* How many frames from the i-th on are at the same place: a recursion. */
static size_t repeats(json_t *frames, size_t i)
{
	const char *address = text(json_array_get(frames, i), "address");
	size_t n = 1;

	while (i + n < json_array_size(frames) &&
	       !strcmp(text(json_array_get(frames, i + n), "address"), address))
		n++;
	return n;
}

/* Its first line, and what its TD_FS_MODULE() made, are the sdk's as well. */
int td__report_is_sdk(const char *line)
{
	static const char *const ends[] = { ", of the sdk)", " (td__enter)" };
	static const char sandbox[] = "td__sandbox_enter+";
	size_t len = strlen(line);

	if (!strncmp(line, sandbox, sizeof(sandbox) - 1))
		return 1;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (len >= strlen(ends[i]) && !strcmp(line + len - strlen(ends[i]), ends[i]))
			return 1;
	return 0;
}

/* How many of the outermost frames are the sdk's, which calls every operation in the same way. */
static size_t without_sdk(json_t *frames)
{
	size_t n = json_array_size(frames);

	while (n && td__report_is_sdk(text(json_array_get(frames, n - 1), "line")))
		n--;
	return n;
}

/* Functions of the sdk that the module was in, then its own place, then from where that was called. */
static void print_place(json_t *fault, FILE *to)
{
	json_t *frames = json_object_get(fault, "backtrace"), *frame;
	size_t n = without_sdk(frames), i, times;
	const char *name = "at";

	if (!n && *text(fault, "pc"))
		print_frame("at", text(fault, "line"), text(fault, "pc"), 1, to);
	for (i = 0; i < n; i += times) {
		frame = json_array_get(frames, i);
		times = !i && repeats(frames, i) > 1 ? 1 : repeats(frames, i); /* the rest is a recursion */
		if (*name == 'a' && td__report_is_sdk(text(frame, "line"))) {
			print_frame("inside", text(frame, "line"), text(frame, "address"), times, to);
			continue;
		}
		print_frame(name, text(frame, "line"), text(frame, "address"), times, to);
		name = "from";
	}
}

static void print_entry(json_t *entry, const char *name, FILE *to)
{
	const char *what = text(entry, "what");

	if (strstr(what, "bytes"))
		row_of(to, name, "%s: %lld at %lld of block %lld", what, number(entry, "length"),
		       number(entry, "offset"), number(entry, "block"));
	else if (strstr(what, "block"))
		row_of(to, name, "%s: block %lld", what, number(entry, "block"));
	else if (strstr(what, "vnode"))
		row_of(to, name, "%s: vnode 0x%llx", what, number(entry, "block"));
	else
		row_of(to, name, "%s: %lld", what, number(entry, "offset"));
}

static void print_journal(json_t *fault, FILE *to)
{
	json_t *journal = json_object_get(fault, "journal"), *entry;
	size_t i;

	json_array_foreach(journal, i, entry) print_entry(entry, i ? "" : "journal", to);
}

/* What lay at the address: an allocation of the module's own heap. */
static void print_memory(json_t *memory, FILE *to)
{
	const int freed = !strcmp(text(memory, "state"), "freed");
	const long long distance = number(memory, "distance"), size = number(memory, "size"), calls = number(memory, "calls");
	char when[48] = "in this call";

	if (!json_is_object(memory))
		return;
	if (calls)
		snprintf(when, sizeof(when), "%lld call%s ago", calls, calls == 1 ? "" : "s");
	row_of(to, "memory", "%lld byte%s %s %lld byte%s that %s %s %s", distance, distance == 1 ? "" : "s", text(memory, "place"), size,
	       size == 1 ? "" : "s", size == 1 ? "was" : "were", freed ? "freed" : "allocated", when);
	row("allocated", *text(memory, "allocated") ? text(memory, "allocated") : "at no known line", to);
	if (freed)
		row("freed", *text(memory, "freed") ? text(memory, "freed") : "at no known line", to);
}

static void print_recovery(json_t *fault, FILE *to)
{
	char bytes[32], time[32];

	td__cli_show_bytes((uint64_t)number(fault, "undone_bytes"), bytes);
	td__cli_show_time((uint64_t)number(fault, "recovery_ns"), time);
	if (number(fault, "undone"))
		row_of(to, "undone", "%lld change%s, %s", number(fault, "undone"),
		       number(fault, "undone") == 1 ? "" : "s", bytes);
	else
		row("undone", "nothing had been changed", to);
	row_of(to, "then", "%s; calls were kept out for %s", text(fault, "action"), time);
}

void td__report_print(json_t *fault, FILE *to)
{
	const int mistake = *text(fault, "mistake") != 0;

	fprintf(to, "%s%s %lld%s of ", td__cli_style(to, TD__BOLD), mistake ? "mistake" : "fault", number(fault, "number"),
		td__cli_style(to, TD__PLAIN));
	td__cli_print_safe(text(fault, "dir"), to);
	fprintf(to, ", %s", text(fault, "time"));
	if (number(fault, "times") > 1)
		fprintf(to, ", the first of %lld", number(fault, "times"));
	fputc('\n', to);
	row_of(to, "module", "%s at level %s (%s, build %s)", text(fault, "module"),
	       text(fault, "level"), text(fault, "file"), text(fault, "build"));
	if (*text(fault, "vnode"))
		row_of(to, "in", "%s, attempt %lld, file %lld (vnode %s)", text(fault, "operation"),
		       number(fault, "attempt"), number(fault, "fid"), text(fault, "vnode"));
	else
		row_of(to, "in", "%s, attempt %lld", text(fault, "operation"),
		       number(fault, "attempt"));
	print_kind(fault, to);
	print_place(fault, to);
	print_memory(json_object_get(fault, "memory"), to);
	print_journal(fault, to);
	if (mistake) {
		row("then", text(fault, "action"), to);
		row("to do", text(fault, "remedy"), to);
	} else {
		print_recovery(fault, to);
	}
}
