/* SPDX-License-Identifier: BSD-2-Clause */
/* `tadan build`: see build.h. */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "../walls/sfi/form.h"
#include "../walls/walls.h"

enum option { OUTPUT, NATIVE, SANDBOXED, YIELDS, KEEP };

const struct td__cli_option td__cli_build_options[] = {
	[OUTPUT] = { "output", 'o', "FOLDER", "where the forms go (beside the sources, or the .wasm file)" },
	[NATIVE] = { "native", 0, NULL, "the native form only" },
	[SANDBOXED] = { "sandboxed", 0, NULL, "the sandboxed form only" },
	[YIELDS] = { "yields", 0, NULL, "code that looks by itself whether its time is over (needs GCC and its plugin)" },
	[KEEP] = { "keep", 0, NULL, "keep what was made on the way, and say where" },
	{ 0 },
};

/* ---- Where things are */

static int ends_in(const char *path, const char *ending)
{
	size_t len = strlen(path), n = strlen(ending);

	return len > n && !strcmp(path + len - n, ending);
}

/* The last part of a path, without an ending. */
static int take_name(struct td__build *b, const char *path, size_t ending)
{
	const char *last = strrchr(path, '/') + 1;
	size_t len = strlen(last) - ending;

	if (!len || len >= sizeof(b->name)) {
		td__cli_error("%s: a module's name has 1 to %zu bytes", path, sizeof(b->name) - 1);
		return TD__CLI_FAILED;
	}
	memcpy(b->name, last, len);
	return 0;
}

static int find_input(struct td__build *b, const char *given)
{
	char path[PATH_MAX];
	struct stat st;

	if (!realpath(given, path) || stat(path, &st)) {
		td__cli_error("%s: %s", given, strerror(errno));
		return TD__CLI_FAILED;
	}
	strcpy(b->to, path);
	if (S_ISDIR(st.st_mode))
		return take_name(b, path, 0) ? TD__CLI_FAILED : td__build_find_sources(b, path);
	*strrchr(b->to, '/') = 0;
	if (ends_in(path, ".c")) {
		b->sources[b->nsources++] = td__build_text("%s", path);
		return take_name(b, path, strlen(".c"));
	}
	if (!ends_in(path, ".wasm"))
		return td__cli_usage("%s: neither the sources of a module, a folder or a .c file, nor a .wasm file", given);
	strcpy(b->wasm, path);
	return take_name(b, path, strlen(".wasm"));
}

static int find_output(struct td__build *b, const char *folder)
{
	if (!folder)
		return 0;
	if (mkdir(folder, 0777) && errno != EEXIST) {
		td__cli_error("%s: %s", folder, strerror(errno));
		return TD__CLI_FAILED;
	}
	if (realpath(folder, b->to))
		return 0;
	td__cli_error("%s: %s", folder, strerror(errno));
	return TD__CLI_FAILED;
}

static int make_work(struct td__build *b)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(b->work, sizeof(b->work), "%s/tadan-build.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(b->work))
		return 0;
	td__cli_error("%s: %s; TMPDIR names another folder", b->work, strerror(errno));
	b->work[0] = 0;
	return TD__CLI_FAILED;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void end_work(const struct td__build *b)
{
	if (b->keep)
		printf("kept: %s\n", b->work);
	else if (b->work[0])
		nftw(b->work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- The forms */

static int copy(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)n) != n)
			return -1;
	return n ? -1 : 0;
}

/* Put NAME and ending in its place, in one step: whoever has the old one open keeps it. */
static int put(const struct td__build *b, const char *ending)
{
	const char *from = td__build_path(b->work, b->name, ending), *to = td__build_path(b->to, b->name, ending);
	const char *beside = td__build_path(b->to, b->name, ".new");
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	int err = in < 0 || out < 0 || copy(in, out);

	if (in >= 0)
		close(in);
	if (out >= 0 && close(out))
		err = 1;
	if (!err && !rename(beside, to)) {
		printf("%s\n", to);
		return 0;
	}
	td__cli_error("%s: %s", to, strerror(errno));
	unlink(beside);
	return -1;
}

static int build_native(struct td__build *b)
{
	struct td__command c = { 0 };

	if (!td__command_there(td__build_cc())) {
		td__cli_error("there is no C compiler %s: install gcc (or let CC name one)", td__build_cc());
		return -1;
	}
	/* Of the runtime stays what is used: a module without the network does not ask for its services. */
	td__command_add(&c, td__build_cc(), "-std=gnu11", "-O2", "-g", "-Wall", "-fno-strict-aliasing", "-ffunction-sections",
			"-Wl,--gc-sections", td__build_args(b, "native.args"), "-I", b->kit, "-I",
			td__build_path(b->kit, "runtime", ""), "-shared", "-o", td__build_path(b->work, b->name, ".so"), b->plugin, NULL);
	for (int i = 0; i < b->nsources; i++)
		td__command_add(&c, b->sources[i], NULL);
	return td__command_run(&c);
}

/* What was built is looked at as a mount would: a mistake shows now. */
static int check_form(struct td__build *b, const char *ending, struct td_module_info *info)
{
	const char *path = td__build_path(b->work, b->name, ending);
	char why[TD__CLI_WHY];
	struct td__module *m;

	if (td__module_open(path, &m, why, sizeof(why))) {
		td__cli_error("what was built cannot be used: %s", why);
		return -1;
	}
	*info = m->info;
	td__module_close(m);
	return 0;
}

static int make_native(struct td__build *b, struct td_module_info *info)
{
	return build_native(b) || check_form(b, ".so", info) || put(b, ".so") ? -1 : 0;
}

/* `asked`: it is what the person wants, not one form of two. */
static int make_sandboxed(struct td__build *b, const struct td_module_info *info, int asked)
{
	const char *lacks = td__build_lacks_tools(b);

	if (info->flags & TD_MODULE_HOSTED)
		lacks = "the module is hosted: it needs libc, which does not follow it there";
	if (lacks && asked) {
		td__cli_error("no sandboxed form: %s", lacks);
		return -1;
	}
	if (lacks) {
		printf("no sandboxed form: %s\n", lacks);
		return 0;
	}
	return td__build_sandboxed(b) || put(b, ".sandboxed") ? -1 : 0;
}

static int make(struct td__build *b, int native, int sandboxed)
{
	struct td_module_info info = { 0 };

	if (native && make_native(b, &info))
		return TD__CLI_FAILED;
	if (sandboxed && make_sandboxed(b, &info, !native))
		return TD__CLI_FAILED;
	return TD__CLI_OK;
}

/* Is the form there, whole, ours, and made of this binary? */
static int is_made_of(const char *path, const char *wasm)
{
	struct td__sfi_form *form = td__sfi_form_make(path);
	struct td__sfi_content content;
	char why[TD__CLI_WHY];
	uint8_t *bytes = NULL;
	size_t size;
	int same = 0;

	if (form && !td__sfi_form_get(form, &content, why, sizeof(why)))
		bytes = td__build_load(wasm, &size);
	if (bytes)
		same = size == content.wasm_size && !memcmp(bytes, content.wasm, size);
	free(bytes);
	td__sfi_form_free(form);
	return same;
}

static int find_plugin(struct td__build *b)
{
	const char *file = td__build_path(b->kit, "tadan-yield.so", "");

	if (access(file, R_OK)) {
		td__cli_error("modules that yield need the compiler's plugin, which this build of Tadan lacks: install g++ and "
			      "gcc-12-plugin-dev, and build Tadan again");
		return TD__CLI_FAILED;
	}
	b->plugin = td__build_text("-fplugin=%s", file);
	return 0;
}

/* A build from an input that is known, in a folder of its own. */
static int run(struct td__build *b, int native, int sandboxed, int yields)
{
	int status = td__build_find_kit(b);

	if (!status && !b->wasm[0])
		status = td__build_find_sources(b, td__build_path(b->kit, "runtime", ""));
	if (!status && yields)
		status = find_plugin(b);
	if (!status)
		status = make_work(b);
	if (!status)
		status = make(b, native, sandboxed);
	end_work(b);
	return status;
}

int td__build_wasm(const char *file, char form[PATH_MAX])
{
	struct td__build *b = calloc(1, sizeof(*b));
	int status = b ? find_input(b, file) : TD__CLI_FAILED;

	if (!status && snprintf(form, PATH_MAX, "%s/%s%s", b->to, b->name, TD__SFI_ENDING) >= PATH_MAX)
		status = TD__CLI_FAILED;
	if (!status && !is_made_of(form, b->wasm))
		status = run(b, 0, 1, 0);
	free(b);
	return status;
}

int td__cli_build(const struct td__cli_args *args)
{
	const char *const *v = args->values;
	struct td__build *b = calloc(1, sizeof(*b));
	int status;

	if (!b)
		return TD__CLI_FAILED;
	if (v[NATIVE] && v[SANDBOXED]) {
		free(b);
		return td__cli_usage("--native and --sandboxed exclude each other; without them both are built");
	}
	b->keep = v[KEEP] != NULL;
	status = find_input(b, args->words[0]);
	if (!status && b->wasm[0] && v[NATIVE])
		status = td__cli_usage("%s: of a .wasm file there is only the sandboxed form", args->words[0]);
	if (!status)
		status = find_output(b, v[OUTPUT]);
	if (!status)
		status = run(b, !v[SANDBOXED] && !b->wasm[0], !v[NATIVE], v[YIELDS] != NULL);
	free(b);
	return status;
}
