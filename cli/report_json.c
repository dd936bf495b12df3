/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults as JSON. Made by the server, which has the module file at hand to look source lines up in. */
#include "cli.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/gateway.h"
#include <fs_gateway.h>
#include "../walls/walls.h"

json_t *td__report_knobs(const char *knobs)
{
	char *copy = strdup(knobs), *next;
	json_t *to = json_object();

	for (char *word = copy ? strtok_r(copy, ",", &next) : NULL; word;
	     word = strtok_r(NULL, ",", &next)) {
		char *value = strchr(word, '=');

		if (value) {
			*value = 0;
			json_object_set_new(to, word, json_string(value + 1));
		}
	}
	free(copy);
	return to;
}

const char *const td__report_mistakes[] = {
	[TD_MISTAKE_ARGUMENT] = "arguments", [TD_MISTAKE_HANDLE] = "handles", [TD_MISTAKE_OPERATION] = "operations",
	[TD_MISTAKE_LIMIT] = "limits",	     [TD_MISTAKE_BUF] = "bufs_left",  [TD_MISTAKE_LOCK] = "locks_left",
	[TD_MISTAKE_SHARED] = "shared_records", [TD_MISTAKE_LEFT] = "left",
	[TD_MISTAKE_DEADLOCK] = "deadlocks",
};

static const struct {
	const char *kind, *remedy;
} mistakes[] = {
	[TD_MISTAKE_ARGUMENT] = { "bad argument", "check what is passed to this service against its description in <tadan/fs.h>" },
	[TD_MISTAKE_HANDLE] = { "stale or foreign handle",
				"use a handle only between the call that gives it and the one that takes it back, once, in one operation" },
	[TD_MISTAKE_OPERATION] = { "operation that is not allowed now",
				   "take and give back each lock once, on every path; give back only what this call holds" },
	[TD_MISTAKE_LIMIT] = { "over a limit", "give back what is not needed any more, or raise the limit of the level" },
	[TD_MISTAKE_BUF] = { "buf left open", "release it on every path out of the operation, those of errors included" },
	[TD_MISTAKE_LOCK] = { "lock left", "td_unlock() it on every path out of the operation, those of errors included" },
	[TD_MISTAKE_SHARED] = { "shared record changed", "change a record only in an operation that has it exclusively" },
	[TD_MISTAKE_DEADLOCK] = { "deadlock", "take locks in one order everywhere" },
	[TD_MISTAKE_LEFT] = { "left at the unmount", "give it back in the operation unmount at the latest" },
};

static json_t *line(const struct td__module *m, uint32_t wall, uint64_t address)
{
	char text[256] = "";

	td__module_line(m, wall, address, text, sizeof(text));
	return text[0] ? td__cli_json_text(text) : json_null();
}

static json_t *backtrace(const struct td__module *m, const struct td_fault *f)
{
	json_t *frames = json_array();

	for (uint32_t i = 0; i < f->nframes && i < TD_FAULT_FRAMES; i++)
		json_array_append_new(frames, json_pack("{s:o, s:o}", "address",
							td__cli_json_hex(f->frames[i]), "line",
							line(m, f->wall, f->frames[i])));
	return frames;
}

static const char *entry_name(uint32_t what)
{
	switch (what) {
	case TD__ENTRY_BYTES: return "bytes written";
	case TD__ENTRY_ZEROED: return "block overwritten";
	case TD__ENTRY_DISCARD: return "blocks to be discarded";
	case TD__ENTRY_LOCK: return "lock taken";
	case TD__ENTRY_REF: return "vnode reference taken";
	case TD__ENTRY_UNREF: return "vnode reference to be given back";
	case TD__ENTRY_KEPT: return "chain kept";
	case TD__ENTRY_UNKEPT: return "kept chain to be dropped";
	default: return "?";
	}
}

/* A chain's entry says nothing that means something outside of the server. */
static uint64_t number_of(const struct td_fault_entry *e)
{
	return e->what == TD__ENTRY_KEPT || e->what == TD__ENTRY_UNKEPT ? 0 : e->blkno;
}

static json_t *journal(const struct td_fault *f)
{
	json_t *entries = json_array();

	for (uint32_t i = 0; i < f->entries && i < TD_FAULT_ENTRIES; i++)
		json_array_append_new(entries,
				      json_pack("{s:s, s:o, s:o, s:o}", "what",
						entry_name(f->last[i].what), "block",
						td__cli_json_number(number_of(&f->last[i])), "offset",
						td__cli_json_number(f->last[i].off), "length",
						td__cli_json_number(f->last[i].len)));
	return entries;
}

static int has_address(const struct td_fault *f)
{
	return (f->kind == TD_FAULT_ACCESS || f->kind == TD_FAULT_WALL || f->kind == TD_FAULT_STACK) && f->write < TD_FAULT_UNKNOWN;
}

/* Of a field of a record its value, and what that was; of a result the error's name. */
static json_t *value(const struct td_fault *f)
{
	long long result = (long long)f->which;
	const char *error = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;

	if (f->kind == TD_FAULT_RESULT)
		return error ? json_sprintf("result -%s", error) : json_sprintf("result %lld", result);
	if (f->had)
		return json_sprintf("%s %llu, which was %llu", f->object, (unsigned long long)f->which, (unsigned long long)f->was);
	return json_sprintf("%s %llu", f->object, (unsigned long long)f->which);
}

/* As the module's author knows it. */
static json_t *object(const struct td_fault *f)
{
	int decimal = !strcmp(f->object, "block") || !strcmp(f->object, "lock");

	if (!f->object[0])
		return json_null();
	if (!strcmp(f->object, "bytes"))
		return json_sprintf("%llu bytes", (unsigned long long)f->which);
	if (f->kind == TD_FAULT_RECORD || f->kind == TD_FAULT_RESULT)
		return value(f);
	return json_sprintf(decimal ? "%s %llu" : "%s 0x%llx", f->object, (unsigned long long)f->which);
}

static void put_mistake(json_t *to, const struct td_fault *f)
{
	int is = f->kind == TD_FAULT_MISTAKE && f->mistake <= TD_MISTAKE_DEADLOCK;

	json_object_set_new(to, "mistake", is ? json_string(td__report_mistakes[f->mistake]) : json_null());
	json_object_set_new(to, "times", td__cli_json_number(is ? f->times : 1));
	json_object_set_new(to, "object", object(f));
	json_object_set_new(to, "remedy", is ? json_string(mistakes[f->mistake].remedy) : json_null());
	if (is)
		json_object_set_new(to, "kind", json_string(mistakes[f->mistake].kind));
}

/* What happened: kind and access. */
static void put_kind(json_t *to, const struct td_fault *f)
{
	static const char *const accesses[TD_FAULT_UNKNOWN] = {
		[TD_FAULT_LOAD] = "load", [TD_FAULT_STORE] = "store", [TD_FAULT_JUMP] = "jump", [TD_FAULT_EITHER] = "load or store",
	};
	const char *kind = f->kind < TD_FAULT_KINDS ? td_fault_names[f->kind] : NULL;

	json_object_set_new(to, "kind", json_string(kind ? kind : "?"));
	json_object_set_new(to, "access",
			    has_address(f) ? json_string(accesses[f->write])
							   : json_null());
	json_object_set_new(to, "address",
			    has_address(f) ? td__cli_json_hex(f->address) : json_null());
	json_object_set_new(to, "lay", f->lay[0] ? td__cli_json_text(f->lay) : json_null());
	json_object_set_new(to, "detail",
			    f->detail[0] ? td__cli_json_text(f->detail) : json_null());
}

/* The innermost that the module's author has written; else where it was. */
static json_t *own_line(const struct td__module *m, const struct td_fault *f, json_t *frames)
{
	json_t *frame;
	size_t i;

	json_array_foreach(frames, i, frame)
	{
		const char *text = json_string_value(json_object_get(frame, "line"));

		if (text && !td__report_is_sdk(text))
			return json_string(text);
	}
	return f->pc ? line(m, f->wall, f->pc) : json_null();
}

/* ---- An allocation of the heap */

/* The innermost place that the module's author has written. */
static json_t *site(const struct td__module *m, uint32_t wall, const uint64_t frames[TD_MEMORY_FRAMES])
{
	static const char inlined[] = ", of the sdk), inlined at ";
	char text[256];

	for (uint32_t i = 0; i < TD_MEMORY_FRAMES && frames[i]; i++) {
		const char *own = text, *next;

		text[0] = 0;
		td__module_line(m, wall, frames[i], text, sizeof(text));
		while ((next = strstr(own, inlined)))
			own = next + sizeof(inlined) - 1;
		if (*own && !td__report_is_sdk(own))
			return td__cli_json_text(own);
	}
	return json_null();
}

static json_t *memory(const struct td__module *m, const struct td_fault *f)
{
	const struct td_fault_memory *h = &f->memory;
	const int freed = h->state == TD_MEMORY_FREED, beyond = h->off >= (int64_t)h->size;
	const int64_t distance = h->off < 0 ? -h->off : beyond ? h->off - (int64_t)h->size + 1 : h->off;

	if (h->state == TD_MEMORY_NONE)
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o}", "place", h->off < 0 ? "before" : beyond ? "beyond the end of" : "into",
			 "distance", td__cli_json_number((uint64_t)distance), "state", freed ? "freed" : "in use", "size",
			 td__cli_json_number(h->size), "calls", td__cli_json_number(h->calls), "allocated", site(m, f->wall, h->allocated),
			 "freed", freed ? site(m, f->wall, h->freed) : json_null());
}

static void put_place(json_t *to, const struct td__module *m, const struct td_fault *f)
{
	json_t *frames = backtrace(m, f);

	json_object_set_new(to, "pc", f->pc ? td__cli_json_hex(f->pc) : json_null());
	json_object_set_new(to, "line", own_line(m, f, frames));
	json_object_set_new(to, "backtrace", frames);
}

static void put_recovery(json_t *to, const struct td_fault *f)
{
	json_object_set_new(to, "journal", journal(f));
	json_object_set_new(to, "undone", json_integer(f->undone));
	json_object_set_new(to, "undone_bytes", td__cli_json_number(f->undone_bytes));
	json_object_set_new(to, "action", td__cli_json_text(f->action));
	json_object_set_new(to, "recovery_ns", td__cli_json_number(f->recovery_ns));
}

static json_t *date(const struct td_fault *f)
{
	char text[32];

	td__cli_show_date(f->sec, text);
	text[strcspn(text, "Z")] = 0;
	return json_sprintf("%s.%09uZ", text, f->nsec);
}

json_t *td__report_fault(const char *dir, const struct td__module *m, const struct td_fault *f)
{
	const char *op = f->op < TD_OP_MAX && td__op_names[f->op] ? td__op_names[f->op] : "?";
	json_t *to = json_object();

	json_object_set_new(to, "dir", td__cli_json_text(dir));
	json_object_set_new(to, "number", td__cli_json_number(f->number));
	json_object_set_new(to, "time", date(f));
	json_object_set_new(to, "module", td__cli_json_text(f->module));
	json_object_set_new(to, "file", td__cli_json_text(m->path));
	json_object_set_new(to, "build", json_sprintf("%016llx", (unsigned long long)m->build));
	json_object_set_new(to, "level", td__cli_json_text(f->level));
	json_object_set_new(to, "operation", json_string(f->op == TD_OP_HELLO ? "hello" : op));
	json_object_set_new(to, "attempt", json_integer(f->attempt));
	json_object_set_new(to, "vnode", f->vnode ? td__cli_json_hex(f->vnode) : json_null());
	json_object_set_new(to, "fid", f->vnode ? td__cli_json_number(f->fid) : json_null());
	put_kind(to, f);
	put_mistake(to, f);
	json_object_set_new(to, "memory", memory(m, f));
	put_place(to, m, f);
	put_recovery(to, f);
	return to;
}
