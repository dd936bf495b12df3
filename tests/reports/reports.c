/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports of faults and mistakes, as a module's author reads them.
 *
 *   reports FOLDER LEVEL SOURCE [ACT]
 *
 * FOLDER has the module, SOURCE is its source. Each act is done at LEVEL, and the text of its report compared with what it has to say: what
 * happened, what lay there, the object, the exact line of the source, operation, file, what the call had changed. With ACT that act's
 * reports are printed.
 */
#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fs_gateway.h>
#include "../../cli/report.h"
#include "../../core/fs.h"
#include "../../front/inproc/tadan.h"
#include "../../walls/walls.h"
#include "report_acts.h"

static struct td_volume *volume;
static struct td__fs *fs;
static struct td_level level;
static struct td_status before;
static const char *folder, *name, *source;
static char said[1024];
static uint64_t nmistakes;
static char reports[1 << 16]; /* of this act, each ends with an empty line */


enum { LINE = 256 };

static const char *const acts[ACTS] = {
#define ACT_NAME(name, op) [ACT_##name] = #name,
	REPORT_ACTS(ACT_NAME)
};

enum {
	G = 1, W = 2, S = 4, I = 8, D = 16, P = I | D, ALL = G | W | S | I | D,
	PAGES = 32, /* at all of them, if heap=pages; else without */
};

/* `levels`: where it is found. Patterns of a shell; what they leave out, all reports have: see check(). */
struct expected {
	uint64_t act;
	uint32_t levels;
	const char *what, *detail, *object; /* NULL: whatever it is */
};

/* ---- Doing it */

static int vnode_of(uint64_t act, struct td__vnode **v)
{
	int err = td__vnode_by_fid(fs, act, v);

	if (err)
		snprintf(said, sizeof(said), "there is no file %llu: %d", (unsigned long long)act, err);
	return err;
}

static int seek(struct td__vnode *v, uint64_t off)
{
	uint64_t found = 0;

	return td__fs_seek(fs, v, off, TD_SEEK_DATA, &found);
}

/* A number for the act: an address that is the host's, or nobody's. */
static uint64_t number_for(uint64_t act)
{
	static uint64_t hosts;

	if (act == ACT_host_load || act == ACT_host_store || act == ACT_bad_memory)
		return (uintptr_t)&hosts;
	return act == ACT_unmapped ? level.wall == TD_WALL_SFI ? 0xffff0000u : 0x123456789000ull : 0;
}

static int make_call(uint64_t act, struct td__vnode *v)
{
	struct td_extent extents[32];
	uint32_t n;

	switch (act) {
#define DO_seek(name)
#define DO_fsync(name) case ACT_##name:
#define DO_bmap(name)
#define DO(name, op) DO_##op(name)
		REPORT_ACTS(DO)
		return td__fs_fsync(fs, v);
#undef DO_fsync
#undef DO_bmap
#define DO_fsync(name)
#define DO_bmap(name) case ACT_##name:
		REPORT_ACTS(DO)
		return td__fs_bmap(fs, v, 0, 1, extents, &n);
	default:
		return seek(v, number_for(act));
	}
}

struct other {
	pthread_t thread;
	struct td__vnode *v;
	uint64_t off;
	int err;
};

static void *other(void *arg)
{
	struct other *o = arg;

	o->err = seek(o->v, o->off);
	return NULL;
}

static void make_two(struct td__vnode *v)
{
	struct other two[2] = { { .v = v }, { .v = v, .off = 1 } };

	for (int i = 0; i < 2; i++)
		pthread_create(&two[i].thread, NULL, other, &two[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(two[i].thread, NULL);
}

static int move_to(const char *knobs)
{
	char text[160], why[256];

	snprintf(text, sizeof(text), "%s,restart=1000/1s%s%s", name, knobs[0] ? "," : "", knobs);
	if (!td_level_parse(text, &level, why, sizeof(why)) && !td_set_level(fs, &level, 0, why, sizeof(why)))
		return 0;
	snprintf(said, sizeof(said), "%s: %s", text, why);
	return -EINVAL;
}

static const char *knobs_for(const struct expected *e)
{
	uint64_t act = e->act;

	switch (act) {
	case ACT_endless:
	case ACT_endless_services: return "time=60ms/300ms";
	case ACT_too_much_undo: return "undo=64K";
	case ACT_deadlock: return "deadlock=10ms,time=60s/60s";
	case ACT_no_lock: return "time=60s/60s";
	default: return e->levels & PAGES ? "heap=pages" : "";
	}
}

/* ---- What is said of it */

static void add(FILE *to, const struct td_fault *f)
{
	json_t *fault = td__report_fault("DIR", fs->module, f);

	td__report_print(fault, to);
	fputc('\n', to);
	json_decref(fault);
}

static int collect(void)
{
	static struct td_fault faults[TD_FAULTS_KEPT], mistakes[TD_MISTAKES_KEPT];
	uint32_t nf = td_get_faults(fs, before.faults, faults, TD_FAULTS_KEPT);
	uint32_t nm = td_get_mistakes(fs, nmistakes, mistakes, TD_MISTAKES_KEPT);
	FILE *to = fmemopen(reports, sizeof(reports), "w");

	if (!to)
		return -ENOMEM;
	for (uint32_t i = 0; i < nm; i++)
		add(to, &mistakes[i]);
	for (uint32_t i = 0; i < nf; i++)
		add(to, &faults[i]);
	fclose(to);
	nmistakes += nm;
	return 0;
}

/* Twice what leaves something behind, for only then is it known where; and at the unmount what is left there is found. */
static int act_out(const struct expected *e)
{
	const uint64_t act = e->act;
	struct td__vnode *v;
	int err = move_to(knobs_for(e));

	td_get_status(fs, &before);
	if (!err)
		err = vnode_of(act, &v);
	if (err)
		return err;
	if (act == ACT_freed_before)
		seek(v, 1);
	if (act == ACT_no_lock || act == ACT_deadlock)
		make_two(v);
	else
		make_call(act, v);
	if (act == ACT_buf_left || act == ACT_lock_left || act == ACT_given_back_twice)
		make_call(act, v);
	if (act == ACT_reference_left || act == ACT_memory_left) {
		err = move_to("");
		if (!err && act == ACT_reference_left) {
			make_call(act, v);
			err = move_to("");
		}
	}
	td__vnode_put(v, 1);
	return err ? err : collect();
}


/* ---- What has to be said */

static const struct expected expected[] = {
	{ ACT_null_load, ALL, "bad memory access: a load from 0x8 (nothing: a null pointer)", NULL, NULL },
	{ ACT_null_store, ALL, "bad memory access: a store to 0x8 (nothing: a null pointer)", NULL, NULL },
	{ ACT_misaligned, ALL & ~S, "bad memory access: a load or store at 0x*1 (module data)", "a vector that is misaligned", NULL },
	{ ACT_no_address, ALL & ~S, "bad memory access: a load or store at 0x8000000000000000 (nothing: beyond all memory)", NULL, NULL },
	{ ACT_unmapped, S, "bad memory access: a store to 0xffff0000 (nothing)", NULL, NULL },
	{ ACT_unmapped, ALL & ~S, "bad memory access: a store to 0x123456789000 (nothing)", NULL, NULL },
	{ ACT_host_load, D | P, "bad memory access: a load from 0x* (nothing)", NULL, NULL },
	{ ACT_host_store, W, "access beyond the wall: a store to 0x* (kernel memory)", NULL, NULL },
	{ ACT_host_store, P, "bad memory access: a store to 0x* (nothing)", NULL, NULL },
	{ ACT_text_store, ALL & ~S, "bad memory access: a store to 0x* (module text)", NULL, NULL },
	{ ACT_constant_store, ALL & ~S, "bad memory access: a store to 0x* (module constants)", NULL, NULL },
	{ ACT_block_store, W | I, "access beyond the wall: a store to 0x* (buf of block 16)", NULL, NULL },
	{ ACT_block_store, S, "bad memory access: a store to 0x* (buf of block 16)", NULL, NULL },
	{ ACT_released_store, W | I, "access beyond the wall: a store to 0x* (buf of block 16)", NULL, NULL },
	{ ACT_released_store, S, "bad memory access: a store to 0x* (buf of block 16)", NULL, NULL },
	{ ACT_recursion, ALL, "stack overflow: a store to 0x* (the guard page of the stack)", NULL, NULL },
	{ ACT_recursion_in_service, G, "stack overflow: * 0x* (the * of the stack)", NULL, NULL },
	{ ACT_recursion_in_service, W | S | P, "stack overflow: a store to 0x* (the guard page of the stack)", NULL, NULL },
	{ ACT_large_frame, W | P, "stack overflow: a * 0x* (the guard page of the stack)", NULL, NULL },
	{ ACT_stack_above, G, "bad memory access: a store to 0x* (the guard page above the stack)", NULL, NULL },
	{ ACT_jump_null, ALL & ~S, "bad memory access: a jump to 0x0 (nothing: a null pointer)", NULL, NULL },
	{ ACT_jump_null, S, "illegal instruction", "call of no function, or of one of another type", NULL },
	{ ACT_jump_data, ALL & ~S, "bad memory access: a jump to 0x* (module data)", NULL, NULL },
	{ ACT_jump_heap, ALL & ~S, "bad memory access: a jump to 0x* (domain heap)", NULL, NULL },
	{ ACT_illegal, ALL & ~S, "illegal instruction", "undefined instruction", NULL },
	{ ACT_illegal, S, "illegal instruction", "a place that the compiler took for unreachable, or a trap", NULL },
	{ ACT_divide, ALL, "illegal instruction", "integer division by zero*", NULL },
	{ ACT_privileged, ALL & ~S, "illegal instruction", "privileged instruction", NULL },
	{ ACT_breakpoint, ALL & ~S, "illegal instruction", "breakpoint", NULL },
	{ ACT_free_twice, ALL & ~D, "illegal instruction", "td_free: memory that was given back before", NULL },
	{ ACT_free_twice, PAGES, "misuse of a service", "td_free: memory that was given back before", NULL },
	{ ACT_free_foreign, ALL, "illegal instruction", "td_free: no memory that td_alloc() gave, or damaged before", NULL },
	{ ACT_free_middle, PAGES, "misuse of a service", "td_free: not the beginning of what td_alloc() gave", NULL },
	{ ACT_freed_load, PAGES, "bad memory access: a load from 0x* (freed memory of the heap)", NULL, NULL },
	{ ACT_freed_store, PAGES, "bad memory access: a store to 0x* (freed memory of the heap)", NULL, NULL },
	{ ACT_freed_before, PAGES, "bad memory access: a store to 0x* (freed memory of the heap)", NULL, NULL },
	{ ACT_over_end, PAGES, "bad memory access: a store to 0x* (beside memory of the heap)", NULL, NULL },
	{ ACT_over_end_load, PAGES, "bad memory access: a load from 0x* (beside memory of the heap)", NULL, NULL },
	{ ACT_over_end_near, ALL & ~D, "illegal instruction", "td_free: bytes beside the memory have been written to", NULL },
	{ ACT_over_end_near, PAGES, "misuse of a service", "td_free: bytes beside the memory have been written to", NULL },
	{ ACT_before_store, PAGES, "misuse of a service", "td_free: bytes beside the memory have been written to", NULL },
	{ ACT_before_pages, PAGES, "bad memory access: a load from 0x* (beside memory of the heap)", NULL, NULL },

	{ ACT_negative_links, ALL, "impossible record", "vnode: nlink", "nlink 4294967295, which was 1" },
	{ ACT_huge_size, ALL, "impossible record", "vnode: size", "size 18446744073709551615, which was 0" },
	{ ACT_other_type, ALL, "impossible record", "vnode: type", "type 2, which was 1" },
	{ ACT_unchangeable, S | P, "impossible record", "vnode: uid", "uid 7, which was 0" },
	{ ACT_positive_result, ALL, "impossible result", "neither 0 nor an error", "result 1" },
	{ ACT_foreign_error, S | P, "impossible result", "an error that the operation cannot have", "result -ENOTEMPTY" },
	{ ACT_false_eio, S | P, "impossible result", "EIO, but the device has not failed", "result -EIO" },
	{ ACT_block_beyond, ALL, "impossible record", "extent: pblk", "pblk 1099511627776" },
	{ ACT_other_place, ALL, "impossible record", "bmap: the block that was asked for is missing", NULL },
	{ ACT_many_extents, ALL, "impossible record", "extents: count", NULL },

	{ ACT_bad_range, ALL & ~P, "bad argument", "buf: a range outside the block", "block 16" },
	{ ACT_bad_range, P, "misuse of a service", "buf: a range outside the block", "block 16" },
	{ ACT_stale_buf, ALL & ~P, "stale or foreign handle", "buf: no such handle is open", "buf 0x*" },
	{ ACT_stale_buf, P, "misuse of a service", "buf: no such handle is open", "buf 0x*" },
	{ ACT_closed_twice, ALL, "stale or foreign handle", "brelse: no such handle is open", "buf 0x*" },
	{ ACT_beyond_device, ALL, "bad argument", "bread: a block beyond the device", "block 1099511627776" },
	{ ACT_bad_memory, W | S, "bad argument", "*memory that is not *", NULL },
	{ ACT_bad_memory, P, "bad memory access: a store to 0x* (nothing)", NULL, NULL },
	{ ACT_no_such_lock, ALL, "bad argument", "lock: no such lock or mode", "lock 261" },
	{ ACT_unlock_free, ALL, "operation that is not allowed now", "unlock: a lock that the call does not hold", "lock 2" },
	{ ACT_lock_twice, ALL, "operation that is not allowed now", "lock: taken twice", "lock 2" },
	{ ACT_foreign_vnode, ALL & ~P, "stale or foreign handle", "vref: no such vnode, or too many", "vnode 0x7777777777" },
	{ ACT_foreign_vnode, P, "misuse of a service", "vref: no such vnode, or too many", "vnode 0x7777777777" },
	{ ACT_given_back_twice, ALL, "stale or foreign handle", "vrele: *", "vnode 0x*" },
	{ ACT_shared_record, S | P, "shared record changed", "changed the record of a vnode that it had for reading", "vnode 0x*" },
	{ ACT_buf_left, ALL, "buf left open", "returned with a buf open", "block 16" },
	{ ACT_lock_left, G | W, "lock left", "returned without giving a lock back", "lock 2" },
	{ ACT_lock_left, S | P, "misuse of a lock", "returned without giving a lock back", "lock 2" },
	{ ACT_too_many, ALL, "misuse of a service", "unlock: a lock that the call does not hold", "lock 2" },
	{ ACT_too_much_undo, ALL, "over a limit", "more undo than the level or the memory has for one call", NULL },
	{ ACT_reference_left, ALL, "left at the unmount", "vnode references that were not given back at the unmount", "vnode 0x*" },
	{ ACT_memory_left, ALL, "left at the unmount", "memory that was not given back at the unmount", "1024 bytes" },
	{ ACT_no_lock, S | P, "misuse of a lock", "changed what another call has changed and not committed*", "block 16" },
	{ ACT_deadlock, ALL, "deadlock", "deadlock: waited for it, and another call for what this one held, lock [12]", "lock [12]" },
	{ ACT_endless, ALL, "over the time limit", NULL, NULL },
	{ ACT_endless_services, ALL, "over the time limit", NULL, NULL },
};

/* A pattern of the line of the source that does it, as it is marked there; empty: none does. */
static void find_line(const char *mark, const char *act, char *to, size_t size)
{
	char text[LINE], here[64], within[64];
	FILE *f = fopen(source, "r");

	snprintf(here, sizeof(here), "/* %s %s */", mark, act);
	snprintf(within, sizeof(within), "/* WITHIN %s */", act);
	to[0] = 0;
	for (int n = 1; f && !to[0] && fgets(text, sizeof(text), f); n++)
		if (strstr(text, here))
			snprintf(to, size, "*report_acts.c:%d (act_%s)", n, act);
		else if (strstr(text, within))
			snprintf(to, size, "*report_acts.c:* (act_%s)", act);
	if (f)
		fclose(f);
}

/* Does a line of the last report begin with this name, and fit? */
static int has_row(const char *report, const char *row, const char *pattern)
{
	char line[LINE], start[16];

	snprintf(start, sizeof(start), "  %-10s ", row);
	for (const char *at = report; *at; at = strchr(at, '\n') + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (!strncmp(line, start, strlen(start)) && !fnmatch(pattern, line + strlen(start), 0))
			return 1;
	}
	snprintf(said, sizeof(said), "no line \"%s %s\"", row, pattern);
	return 0;
}

static const char *operation_of(uint64_t act)
{
	static const char *const ops[ACTS] = {
#define ACT_OP(name, op) [ACT_##name] = #op,
		REPORT_ACTS(ACT_OP)
	};

	return act == ACT_reference_left || act == ACT_memory_left ? "unmount" : ops[act];
}

static const char *last_report(void)
{
	char *end = reports + strlen(reports), *at;

	if (end - reports < 2)
		return NULL;
	end[-1] = 0; /* the empty line */
	at = strstr(reports, "\n\n");
	for (char *next = at; next; next = strstr(next + 2, "\n\n"))
		at = next;
	return at ? at + 2 : reports;
}

/* With PAGES, of the memory that it is about. */
static const char *const memories[ACTS] = {
	[ACT_free_twice] = "0 bytes into 48 bytes that were freed in this call",
	[ACT_free_middle] = "32 bytes into 100 bytes that were allocated in this call",
	[ACT_freed_load] = "8 bytes into 48 bytes that were freed in this call",
	[ACT_freed_store] = "9 bytes into 10000 bytes that were freed in this call",
	[ACT_freed_before] = "0 bytes into 200 bytes that were freed * call* ago",
	[ACT_over_end] = "1 byte beyond the end of 4000 bytes that were allocated in this call",
	[ACT_over_end_load] = "4 bytes beyond the end of 64 bytes that were allocated in this call",
	[ACT_over_end_near] = "1 byte beyond the end of 99 bytes that were allocated in this call",
	[ACT_before_store] = "1 byte before 64 bytes that were allocated in this call",
	[ACT_before_pages] = "3 bytes before 8192 bytes that were allocated in this call",
};

/* Both places must be named, the second only if it was freed. */
static int check_memory(const struct expected *e, const char *report)
{
	char text[LINE];

	if (!has_row(report, "memory", memories[e->act]))
		return -1;
	find_line("ALLOCATED", acts[e->act], text, sizeof(text));
	if (!has_row(report, "allocated", text))
		return -1;
	find_line("FREED", acts[e->act], text, sizeof(text));
	return text[0] && !has_row(report, "freed", text) ? -1 : 0;
}

static int check(const struct expected *e)
{
	const char *report = last_report(), *op = operation_of(e->act);
	const int own = strcmp(op, "unmount") != 0;
	char text[LINE];

	if (!report) {
		snprintf(said, sizeof(said), "no report");
		return -1;
	}
	snprintf(text, sizeof(text), own ? "%s, attempt [12], file %llu (vnode 0x*)" : "%s, attempt 1", op, (unsigned long long)e->act);
	if (!has_row(report, "in", text) || !has_row(report, "what", e->what) || (e->detail && !has_row(report, "detail", e->detail)) ||
	    (e->object && !has_row(report, "object", e->object)))
		return -1;
	find_line("HERE", acts[e->act], text, sizeof(text));
	if (text[0] && !has_row(report, "at", text))
		return -1;
	if (e->levels & PAGES && check_memory(e, report))
		return -1;
	if (e->act == ACT_null_store && level.wall != TD_WALL_SFI && !has_row(report, "from", "report_acts.c:* (seek)"))
		return -1; /* it is so short that it has no frame */
	if (!strcmp(op, "unmount") || !strcmp(op, "bmap") || e->act == ACT_deadlock)
		return 0;
	return has_row(report, "journal", e->act == ACT_no_lock ? "bytes written: 4 at 8 of block 16" : "*") ? 0 : -1;
}

/* ---- Of several calls one falls, and takes the domain from under the others */

static int beside(void)
{
	enum { SLOW = 4 };
	const struct timespec pause = { .tv_nsec = 5000000 };
	struct td_fault faults[TD_FAULTS_KEPT];
	struct other slow[SLOW] = { 0 };
	struct td__vnode *guilty;
	int err = move_to("time=60s/60s"), others = 0;
	uint32_t n;

	td_get_status(fs, &before);
	if (err || vnode_of(ACT_null_store, &guilty))
		return -1;
	for (int i = 0; i < SLOW; i++) {
		if (vnode_of(ACT_slow, &slow[i].v))
			return -1;
		pthread_create(&slow[i].thread, NULL, other, &slow[i]);
	}
	nanosleep(&pause, NULL);
	err = seek(guilty, 0);
	for (int i = 0; i < SLOW; i++) {
		pthread_join(slow[i].thread, NULL);
		td__vnode_put(slow[i].v, 1);
		others += slow[i].err != 0;
	}
	td__vnode_put(guilty, 1);
	n = td_get_faults(fs, before.faults, faults, TD_FAULTS_KEPT);
	for (uint32_t i = 0; i < n; i++)
		if (faults[i].fid != ACT_null_store || faults[i].kind != TD_FAULT_ACCESS) {
			snprintf(said, sizeof(said), "fault %u is of file %llu: %s", i, (unsigned long long)faults[i].fid,
				 td_fault_names[faults[i].kind]);
			return -1;
		}
	if (n == 2 && err == -EIO && !others)
		return 0;
	snprintf(said, sizeof(said), "%u faults; %d for the call that fell; %d beside it failed", n, err, others);
	return -1;
}

/* ---- */

static int start(void)
{
	char path[4096], why[512] = "";
	struct td_volume_params params = { .module = path, .level = name, .size = 1 << 20 };

	snprintf(path, sizeof(path), "%s/report_acts.so", folder);
	if (td_level_parse(name, &level, why, sizeof(why)) || !td__walls[level.wall] || td__walls[level.wall]->available(why, sizeof(why))) {
		printf("skipped: %s: %s\n0 passed, 0 failed, 1 skipped\n", name, why);
		exit(77);
	}
	if (td_volume_open(&params, &volume, why, sizeof(why))) {
		fprintf(stderr, "reports: %s\n", why);
		return 1;
	}
	fs = td_volume_fs(volume);
	return 0;
}

static uint32_t this_level(void)
{
	static const char *const names[] = { "guarded", "walled", "sandboxed", "isolated", "debug" };
	uint32_t bit = 0;

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			bit = 1u << i;
	return bit;
}

/* 1: it passed. */
static int try(const struct expected *e, int show)
{
	int good;

	memset(reports, 0, sizeof(reports));
	said[0] = 0;
	good = !act_out(e);
	if (show)
		fputs(reports, stdout);
	good = good && !check(e);
	if (!good)
		printf("FAILED: %s at %s: %s; again: reports %s %s %s %s\n", acts[e->act], name, said, folder, name, source, acts[e->act]);
	return good;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: reports FOLDER LEVEL SOURCE [ACT]\n");
		return 2;
	}
	folder = argv[1];
	name = argv[2];
	source = argv[3];
	if (start())
		return 1;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		if (!(expected[i].levels & (this_level() | PAGES)) || (argc > 4 && strcmp(argv[4], acts[expected[i].act])))
			continue;
		if (try(&expected[i], argc > 4))
			passed++;
		else
			failed++;
	}
	if (argc == 4 && beside()) {
		printf("FAILED: a call beside one that falls at %s: %s\n", name, said);
		failed++;
	} else if (argc == 4) {
		passed++;
	}
	td_volume_close(volume);
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
