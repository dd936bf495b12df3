/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks of a module written by hand, against the wall sfi through the whole kernel.
 *
 *   attacks FOLDER [NAME]
 *
 * FOLDER has handmade.so, its sandboxed form, and handmade.expected: names to look up, each of them an attack, and what it is to
 * come to. After each, memory of the host is as it was and the mount answers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/fault.h"
#include "../../core/mount.h"
#include "../../front/inproc/tadan.h"

enum { SKIP = 77 };
static const char level[] = "sandboxed,time=200ms,restart=1000/60s";

static struct td_task task = { .cwd = TD_CWD_ROOT };
static struct td__fs *fs;
static unsigned passed, failed;
static uint64_t seen; /* number of the last fault */

static void wrong(const char *name, const char *what, const char *got)
{
	failed++;
	printf("FAIL %s (%s): %s; attacks FOLDER %s makes it again\n", name, what, got, name);
}

static const struct {
	const char *name;
	uint32_t kind;
} kinds[] = { { "ok", TD_FAULT_NONE },     { "access", TD_FAULT_ACCESS }, { "illegal", TD_FAULT_ILLEGAL },
	      { "stack", TD_FAULT_STACK }, { "time", TD_FAULT_TIME },     { "result", TD_FAULT_RESULT },
	      { "service", TD_FAULT_SERVICE } };

static const char *kind_name(uint32_t kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return td_fault_names[kind];
}

/* The kind of the faults since the last look; TD_FAULT_NONE: there was none. */
static uint32_t faults(struct td_fault *first)
{
	static struct td_fault kept[TD_FAULTS_KEPT];
	uint32_t n = td_get_faults(fs, seen, kept, TD_FAULTS_KEPT), kind = TD_FAULT_NONE;

	for (uint32_t i = 0; i < n; i++) {
		if (!kind) {
			kind = kept[i].kind;
			*first = kept[i];
		}
		if (kept[i].number > seen)
			seen = kept[i].number;
	}
	return kind;
}

static int look_up(const char *name)
{
	char path[32];
	struct td_vnode v;

	snprintf(path, sizeof(path), "/%s", name);
	return td_path_stat(&task, path, 0, &v);
}

static void attack(const char *name, const char *expected, const char *what)
{
	struct td_fault fault = { 0 };
	int err = look_up(name);
	uint32_t kind = faults(&fault);
	const char *got = kind_name(kind);
	char text[256];

	snprintf(text, sizeof(text), "%s %s instead of %s (the caller got %d)", got, fault.detail, expected, err);
	if (strcmp(got, expected) || err != (kind ? -EIO : -ENOENT))
		wrong(name, what, text);
	else if (look_up("none") != -ENOENT || faults(&fault))
		wrong(name, what, "afterwards the mount does not answer as before");
	else
		passed++;
}

static int open_mount(const char *folder)
{
	char path[512], why[512];
	struct td_volume_params p = { .module = path, .size = 1 << 20, .level = level };
	int err;

	snprintf(path, sizeof(path), "%s/handmade.so", folder);
	err = td_volume_open(&p, &task.volume, why, sizeof(why));
	if (err)
		printf("%s: %s\n", err == -EOPNOTSUPP ? "skip" : "FAIL: cannot mount", why);
	else
		fs = td_volume_fs(task.volume);
	return err;
}

int main(int argc, char **argv)
{
	char path[512], line[256], name[8], expected[16];
	FILE *list;
	int err, at;

	if (argc < 2)
		return 2;
	err = open_mount(argv[1]);
	if (err) {
		printf("0 passed, %d failed, %d skipped\n", err != -EOPNOTSUPP, err == -EOPNOTSUPP);
		return err == -EOPNOTSUPP ? SKIP : 1;
	}
	snprintf(path, sizeof(path), "%s/handmade.expected", argv[1]);
	list = fopen(path, "r");
	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%7s %15s %n", name, expected, &at) == 2 && (argc < 3 || !strcmp(argv[2], name)))
			attack(name, expected, line + at);
	}
	if (list)
		fclose(list);
	if (td_volume_close(task.volume)) {
		failed++;
		puts("FAIL: the unmount");
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed;
}
