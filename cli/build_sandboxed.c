/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandboxed form: wasm32 code from sources or from somebody else, C from that, a shared object from that. */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "../walls/sfi/form.h"
#include "../walls/sfi/mark.h"
#include "../walls/sfi/seal.h"

/* The version whose output unit.c completes. */
static const char wasm2c_version[] = "1.0.32";

static const char *clang(void)
{
	static const char *const names[] = { "clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19" };
	const char *given = getenv("CLANG");

	if (given && *given)
		return td__command_there(given) ? given : NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (td__command_there(names[i]) && td__command_says(names[i], "--print-targets", "wasm32"))
			return names[i];
	return NULL;
}

static int has_linker(void)
{
	char name[16];

	if (td__command_there("wasm-ld"))
		return 1;
	for (int version = 14; version < 20; version++) {
		snprintf(name, sizeof(name), "wasm-ld-%d", version);
		if (td__command_there(name))
			return 1;
	}
	return 0;
}

const char *td__build_lacks_tools(const struct td__build *b)
{
	if (!b->wasm[0] && !clang())
		return "there is no clang that knows wasm32: install clang (or let CLANG name one)";
	if (!b->wasm[0] && !has_linker())
		return "there is no wasm-ld: install lld";
	if (!td__command_there("wasm2c"))
		return "there is no wasm2c: install wabt";
	if (!td__command_says("wasm2c", "--version", wasm2c_version))
		return "wasm2c is of another version than 1.0.32, whose output is known here: install wabt of Debian 12";
	return NULL;
}

/*
 * The whole module is optimized at once, so that its table of operations leaves no indirect call. Atomic operations that the
 * runtime's header does not replace stay in the code as what they are, and are refused later, instead of being made plain.
 */
static int compile(struct td__build *b, const char *wasm)
{
	struct td__command c = { 0 };

	td__command_add(&c, clang(), "--target=wasm32", "-flto", "-O2", "-g", "-std=gnu11", "-mbulk-memory", "-msign-ext",
			"-mmutable-globals", "-matomics", "-ffreestanding", "-nostdinc", "-nostdlib", "-fno-strict-aliasing",
			"-fno-common", "-I", b->kit, "-I", td__build_path(b->kit, "runtime", ""), "-include",
			td__build_path(b->kit, "runtime/atomic.h", ""), NULL);
	for (int i = 0; i < b->nsources; i++)
		td__command_add(&c, b->sources[i], NULL);
	td__command_add(&c, "-Wl,--no-entry", "-Wl,--export=td__enter", "-Wl,--export=td_module_info", "-Wl,--export=__stack_pointer",
			"-Wl,--allow-undefined", "-Wl,--global-base=65536", "-Wl,-z,stack-size=16", "-Wl,--no-check-features",
			"-Wl,--lto-O2", "-o", wasm, NULL);
	return td__command_run(&c);
}

uint8_t *td__build_load(const char *path, size_t *size)
{
	FILE *f = fopen(path, "re");
	uint8_t *bytes = NULL;
	struct stat st;

	if (f && !fstat(fileno(f), &st) && st.st_size <= (off_t)TD__ELF_FILE_MAX) {
		*size = (size_t)st.st_size;
		bytes = malloc(*size + 1);
		if (bytes && fread(bytes, 1, *size, f) != *size) {
			free(bytes);
			bytes = NULL;
		}
	}
	if (!bytes)
		td__cli_error("%s: cannot be read: %s", path, strerror(errno));
	if (f)
		fclose(f);
	return bytes;
}

/* A copy, so that what is verified is what is translated. */
static int take(const char *given, const char *wasm)
{
	size_t size;
	uint8_t *bytes = td__build_load(given, &size);
	FILE *f = bytes ? fopen(wasm, "wxe") : NULL;
	int err = !f || fwrite(bytes, 1, size, f) != size;

	if (f && fclose(f))
		err = 1;
	if (bytes && err)
		td__cli_error("%s: %s", wasm, strerror(errno));
	free(bytes);
	return err ? -1 : 0;
}

/* What the wall would not take is not translated either. */
static int verify(const struct td__build *b, const uint8_t *bytes, size_t size)
{
	struct td__sfi_report report;
	char line[256];

	if (!td__sfi_verify(bytes, size, &td__sfi_default_policy, &report)) {
		if (!(report.info.flags & TD_MODULE_HOSTED))
			return 0;
		td__cli_error("no sandboxed form: the module is hosted: it needs libc, which does not follow it there");
		return -1;
	}
	if (td__sfi_line(bytes, size, report.offset, line, sizeof(line)))
		snprintf(line, sizeof(line), "offset 0x%zx", report.offset);
	td__cli_error("%s is refused (%s), at %s: %s", b->wasm[0] ? b->wasm : "what clang made of it", td__sfi_rules[report.rule],
		      line, report.why);
	return -1;
}

static int mark(const uint8_t *bytes, size_t size, const char *plain, const char *marked)
{
	FILE *from = fopen(plain, "re"), *to = fopen(marked, "we");
	int err = from && to ? td__sfi_mark(bytes, size, from, to) : -errno;

	if (from)
		fclose(from);
	if (to && fclose(to))
		err = -EIO;
	if (err)
		td__cli_error("%s: %s", marked, err == -ENOEXEC ? "does not look like the binary" : strerror(-err));
	return err;
}

static int translate(const struct td__build *b, const char *wasm)
{
	const char *plain = td__build_path(b->work, "module.c", ""), *marked = td__build_path(b->work, "translated.c", "");
	struct td__command c = { 0 };
	size_t size;
	uint8_t *bytes = td__build_load(wasm, &size);
	int err = !bytes || verify(b, bytes, size);

	td__command_add(&c, "wasm2c", "--module-name=module", wasm, "-o", plain, NULL);
	if (!err)
		err = td__command_run(&c);
	if (!err)
		err = mark(bytes, size, plain, marked);
	free(bytes);
	return err;
}

/*
 * As a native module is compiled, so that reports can follow frames; the probes of the stack stop one that is too long. What is to be
 * inlined, clang has: of functions that are called once it has left those for the way that is not usual. But the module's entry is to
 * be one with the form's, however long it is.
 */
static int assemble(struct td__build *b, const char *form)
{
	struct td__command c = { 0 };

	td__command_add(&c, td__build_cc(), "-std=gnu11", "-O2", "-fno-inline-functions-called-once", "--param=max-inline-insns-single=4000",
			"-g", "-DNDEBUG", "-fno-strict-aliasing", "-fno-math-errno", "-w", td__build_args(b, "translated.args"), "-I", b->kit,
			"-I", td__build_path(b->kit, "runtime", ""), "-I", td__build_path(b->kit, "sandbox", ""), "-I", b->work, "-shared",
			td__build_path(b->kit, "sandbox/unit.c", ""), "-o", form, b->plugin,
			b->plugin ? td__build_path(b->kit, "runtime/yield.c", "") : NULL, NULL);
	c.folder = b->work;
	return td__command_run(&c);
}

static int seal(const char *form)
{
	char why[TD__CLI_WHY];
	struct td__sfi_seal s;
	size_t size;
	uint8_t *bytes = td__build_load(form, &size);
	FILE *f = bytes ? fopen(form, "ae") : NULL;
	int err = !f;

	if (!err) {
		td__sfi_seal_make(bytes, size, &s, why, sizeof(why));
		err = fwrite(&s, sizeof(s), 1, f) != 1;
	}
	if (f && fclose(f))
		err = 1;
	free(bytes);
	if (err)
		td__cli_error("%s: %s", form, strerror(errno));
	else if (!s.sealed)
		printf("the sandboxed form has no seal and is good in Tadan's own module folder only: %s\n", why);
	return err ? -1 : 0;
}

int td__build_sandboxed(struct td__build *b)
{
	const char *wasm = td__build_path(b->work, "module.wasm", "");
	const char *form = td__build_path(b->work, b->name, TD__SFI_ENDING);
	int err = b->wasm[0] ? take(b->wasm, wasm) : compile(b, wasm);

	if (!err)
		err = translate(b, wasm);
	if (!err)
		err = assemble(b, form);
	if (!err)
		err = seal(form);
	return err;
}
