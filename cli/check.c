/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `tadan check`: is an image sound? The kernel looks at header and log, the module that knows the file system at the rest, behind its
 * wall. The statuses are those of fsck(8).
 */
#include "cli.h"

#include <errno.h>
#include <string.h>

#include "../core/fs.h"
#include "../core/image.h"
#include "../port/user/disk.h"
#include "../walls/walls.h"
#include "modules.h"

enum { CLEAN = 0, CORRECTED = 1, LEFT = 4, FAILED = 8 };
enum { MODULE, LEVEL, REPAIR, JSON };
enum { BLOCK = 4096 };

/* What a check keeps of large file systems needs room. */
static const char level_default[] = "isolated,memory=1G";

const struct td__cli_option td__cli_check_options[] = {
	{ "module", 'm', "MODULE", "whose file system it is; without it, all modules that can be named are asked" },
	{ "level", 'l', "LEVEL", "where the module runs meanwhile (isolated)" },
	{ "repair", 0, NULL, "set right what can be set right without losing anything" },
	{ "json", 0, NULL, "as JSON, for programs" },
	{ 0 },
};

struct checked {
	const char *path;
	struct td_level level;
	char module[64];
	struct td__module *file;
	struct td__device *device;
	struct td__fs *fs;
	json_t *problems;
	size_t left, safe; /* problems that are not repaired; of these, those that could be */
	int damaged;       /* so that it cannot be looked at; `why` says how */
	uint64_t bytes;
	uint32_t replayed;
	int blank;
	char why[TD__CLI_WHY];
};

/* ---- What is found */

static void found(void *arg, const struct td_problem *p, const char *text)
{
	struct checked *c = arg;
	json_t *to = json_object();

	if (p->fid)
		json_object_set_new(to, "fid", td__cli_json_number(p->fid));
	if (p->blocks) {
		json_object_set_new(to, "block", td__cli_json_number(p->blkno));
		json_object_set_new(to, "blocks", td__cli_json_number(p->blocks));
	}
	json_object_set_new(to, "problem", td__cli_json_text(text));
	if (p->flags & TD_PROBLEM_NUMBERS) {
		json_object_set_new(to, "found", td__cli_json_number(p->found));
		json_object_set_new(to, "right", td__cli_json_number(p->right));
	}
	json_object_set_new(to, "repairable", json_boolean(p->flags & TD_PROBLEM_SAFE));
	json_object_set_new(to, "repaired", json_boolean(p->flags & TD_PROBLEM_REPAIRED));
	json_array_append_new(c->problems, to);
	c->left += !(p->flags & TD_PROBLEM_REPAIRED);
	c->safe += (p->flags & (TD_PROBLEM_REPAIRED | TD_PROBLEM_SAFE)) == TD_PROBLEM_SAFE;
}

static void again(void *arg)
{
	struct checked *c = arg;

	json_array_clear(c->problems);
	c->left = c->safe = 0;
}

/* ---- The image */

static void close_all(struct checked *c)
{
	if (c->fs)
		td_unmount(c->fs);
	else if (c->device)
		td__device_destroy(c->device);
	if (c->file)
		td__module_close(c->file);
	c->fs = NULL;
	c->device = NULL;
	c->file = NULL;
}

/* What is damaged is a finding; what cannot be read, or is none of ours, is not. */
static int open_image(struct checked *c, int readonly)
{
	char reason[TD__CLI_WHY] = "";
	struct td__disk *disk;
	int err = td__port_disk_open(c->path, 0, readonly, &disk, &c->bytes, &c->blank, c->why, sizeof(c->why));

	if (err) {
		size_t n = strlen(c->path) + 2; /* "PATH: ", which is told anyway */

		if (strlen(c->why) > n)
			memmove(c->why, c->why + n, strlen(c->why + n) + 1);
		return err;
	}
	err = td__image_open(disk, c->bytes, BLOCK, readonly, &c->device, &c->blank, reason, sizeof(reason));
	if (!err) {
		c->replayed = c->device->replayed;
		return 0;
	}
	td__port_disk_close(disk);
	snprintf(c->why, sizeof(c->why), "%s", reason[0] ? reason : strerror(-err));
	c->damaged = err == -EUCLEAN;
	return err;
}

static int mount(struct checked *c)
{
	struct td_mount_params p = { .module = c->file, .walls = td__walls, .device = c->device, .level = c->level };
	int err = td_mount(&p, &c->fs, c->why, sizeof(c->why));

	if (!err)
		c->device = NULL;
	c->damaged = err == -EUCLEAN;
	return err;
}

/* ---- The module */

static int is_server_module(const struct checked *c)
{
	return (c->file->info.flags & TD_MODULE_NETWORK) != 0;
}

static int open_module(struct checked *c, const char *name)
{
	int err = td__cli_module(name, &c->file, c->why, sizeof(c->why));

	if (!err)
		snprintf(c->module, sizeof(c->module), "%s", c->file->info.name);
	return err;
}

/* Is it this module's? 0; EMEDIUMTYPE: no. The image is only read, since a module that does not know it might take it for its own. */
static int ask(struct checked *c, const char *path)
{
	int err = open_module(c, path);

	if (err)
		return -EMEDIUMTYPE;
	err = is_server_module(c) ? -EMEDIUMTYPE : open_image(c, 1);
	if (!err)
		err = mount(c);
	if (!err && !td__hook_bound(c->fs, TD_OP_check))
		err = -EMEDIUMTYPE;
	close_all(c);
	return err;
}

/* 0, or -errno and why. */
static int find_module(struct checked *c, char *path, size_t size)
{
	struct td__cli_files files;
	int err = -EMEDIUMTYPE;

	td__cli_find_modules(&files);
	for (size_t i = 0; i < files.n && err && !c->damaged; i++) {
		snprintf(path, size, "%s", files.paths[i]);
		err = ask(c, path);
	}
	td__cli_free_modules(&files);
	if (err && !c->damaged)
		snprintf(c->why, sizeof(c->why), "no module that `tadan modules` lists knows what is in it; name its module with --module");
	return err;
}

static int check(struct checked *c, int repair)
{
	const struct td_checker to = { c, found, again };
	int err = mount(c);

	if (err)
		return err;
	err = td_check(c->fs, repair, &to);
	if (err == -EOPNOTSUPP)
		snprintf(c->why, sizeof(c->why), "the module %s cannot check its file system", c->module);
	else if (err == -ENOMEM)
		snprintf(c->why, sizeof(c->why), "the module needs more memory than its level gives it: --level isolated,memory=4G");
	else if (err == -E2BIG)
		snprintf(c->why, sizeof(c->why), "more than %d problems, of which these are the first", TD_CHECK_PROBLEMS);
	else if (err == -ETIMEDOUT)
		snprintf(c->why, sizeof(c->why), "the module does not come to an end");
	else if (err)
		snprintf(c->why, sizeof(c->why), "the module failed while it looked: %s", strerror(-err));
	c->damaged |= err == -E2BIG;
	if (!err && repair) {
		err = td_unmount(c->fs);
		c->fs = NULL;
		if (err)
			snprintf(c->why, sizeof(c->why), "what was repaired cannot be written: %s", strerror(-err));
	}
	return err;
}

static int run(struct checked *c, const char *module, int repair)
{
	char path[4096];
	int err = open_image(c, 1);

	if (err || c->blank)
		return err;
	close_all(c);
	if (!module && find_module(c, path, sizeof(path)))
		return -EMEDIUMTYPE;
	err = open_module(c, module ? module : path);
	if (!err)
		err = open_image(c, !repair);
	return err ? err : check(c, repair);
}

/* ---- Telling it */

static const char *text_of(const json_t *from, const char *key)
{
	const char *text = json_string_value(json_object_get(from, key));

	return text ? text : "";
}

static unsigned long long number_of(const json_t *from, const char *key)
{
	return (unsigned long long)json_integer_value(json_object_get(from, key));
}

static void print_problem(const struct checked *c, const json_t *p)
{
	unsigned long long n = number_of(p, "blocks"), first = number_of(p, "block");

	td__cli_print_safe(c->path, stdout);
	printf(": ");
	if (json_object_get(p, "fid"))
		printf("file %llu%s", number_of(p, "fid"), n ? ", " : " ");
	if (n == 1)
		printf("block %llu ", first);
	else if (n)
		printf("blocks %llu to %llu ", first, first + n - 1);
	td__cli_print_safe(text_of(p, "problem"), stdout);
	if (json_object_get(p, "found"))
		printf(": %llu, not %llu", number_of(p, "found"), number_of(p, "right"));
	printf("%s\n", json_is_true(json_object_get(p, "repaired")) ? " (repaired)" : "");
}

static void print(const struct checked *c, int status)
{
	json_t *p;
	size_t i;

	json_array_foreach(c->problems, i, p)
		print_problem(c, p);
	td__cli_print_safe(c->path, stdout);
	if (c->why[0])
		printf(": %s%s%s", td__cli_style(stdout, TD__RED), c->why, td__cli_style(stdout, TD__PLAIN));
	else if (c->blank)
		printf(": %sclean%s: blank, the first mount makes a file system", td__cli_style(stdout, TD__GREEN), td__cli_style(stdout, TD__PLAIN));
	else if (status == CLEAN)
		printf(": %sclean%s", td__cli_style(stdout, TD__GREEN), td__cli_style(stdout, TD__PLAIN));
	else
		printf(": %zu problems, %s%zu left%s", json_array_size(c->problems), td__cli_style(stdout, status == LEFT ? TD__RED : TD__GREEN),
		       c->left, td__cli_style(stdout, TD__PLAIN));
	if (c->module[0] && !c->why[0])
		printf(", by the module %s", c->module);
	if (c->replayed)
		printf("; its log holds %u transactions, which the next mount writes in place", c->replayed);
	printf("\n");
	if (c->safe)
		printf("%zu of them can be set right without losing anything: tadan check --repair\n", c->safe);
	if (c->left > c->safe)
		printf("What cannot be repaired is still there to be read: mount it with --read-only and copy what it holds to a new image.\n");
}

static json_t *as_json(struct checked *c, int status)
{
	static const char *const states[] = { [CLEAN] = "clean", [CORRECTED] = "repaired", [LEFT] = "damaged", [FAILED] = "failed" };
	json_t *to = json_object();

	json_object_set_new(to, "image", td__cli_json_text(c->path));
	json_object_set_new(to, "state", json_string(states[status]));
	json_object_set_new(to, "module", td__cli_json_text(c->module));
	json_object_set_new(to, "replayed", td__cli_json_number(c->replayed));
	json_object_set_new(to, "left", td__cli_json_number(c->left));
	if (c->why[0])
		json_object_set_new(to, "why", td__cli_json_text(c->why));
	json_object_set(to, "problems", c->problems);
	return to;
}

int td__cli_check(const struct td__cli_args *args)
{
	struct checked c = { .path = args->words[0] };
	const char *level = args->values[LEVEL] ? args->values[LEVEL] : level_default;
	int err, status;

	if (td__cli_level(level, &c.level, c.why, sizeof(c.why)))
		return td__cli_usage("--level %s: %s", level, c.why);
	c.problems = json_array();
	err = run(&c, args->values[MODULE], args->values[REPAIR] != NULL);
	close_all(&c);
	if (!err)
		c.why[0] = 0;
	status = c.damaged ? LEFT : err ? FAILED : c.left ? LEFT : json_array_size(c.problems) ? CORRECTED : CLEAN;
	if (args->values[JSON])
		td__cli_print_json(as_json(&c, status));
	else if (status == FAILED && !json_array_size(c.problems))
		td__cli_error("%s: %s", c.path, c.why);
	else
		print(&c, status);
	json_decref(c.problems);
	return status;
}
