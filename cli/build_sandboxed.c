/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandboxed form: wasm32 code from sources or from somebody else, C from that, a shared object from that. */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

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
	td__command_add(&c, td__build_path(b->kit, "runtime/start.c", ""), td__build_path(b->kit, "runtime/bufs.c", ""),
			td__build_path(b->kit, "runtime/memory.c", ""), td__build_path(b->kit, "runtime/fs_dispatch.c", ""),
			"-Wl,--no-entry", "-Wl,--export=td__enter", "-Wl,--export=td_module_info", "-Wl,--export=__stack_pointer",
			"-Wl,--allow-undefined", "-Wl,--global-base=65536", "-Wl,-z,stack-size=16", "-Wl,--no-check-features",
			"-Wl,--lto-O2", "-o", wasm, NULL);
	return td__command_run(&c);
}

static int translate(const char *wasm, const char *c_file)
{
	struct td__command c = { 0 };

	td__command_add(&c, "wasm2c", "--module-name=module", wasm, "-o", c_file, NULL);
	return td__command_run(&c);
}

/* As a native module is compiled, so that reports can follow frames; the probes of the stack stop one that is too long. */
static int assemble(struct td__build *b, const char *form)
{
	struct td__command c = { 0 };

	td__command_add(&c, td__build_cc(), "-std=gnu11", "-O2", "-g", "-DNDEBUG", "-fno-strict-aliasing", "-fno-math-errno", "-w",
			td__build_args(b, "translated.args"), "-I", b->kit, "-I", td__build_path(b->kit, "runtime", ""), "-I",
			td__build_path(b->kit, "sandbox", ""), "-I", b->work, "-shared", td__build_path(b->kit, "sandbox/unit.c", ""),
			"-o", form, NULL);
	return td__command_run(&c);
}

int td__build_sandboxed(struct td__build *b)
{
	const char *wasm = b->wasm[0] ? b->wasm : td__build_path(b->work, "module.wasm", "");
	const char *form = td__build_path(b->work, b->name, ".sandboxed");
	int err = b->wasm[0] ? 0 : compile(b, wasm);

	if (!err)
		err = translate(wasm, td__build_path(b->work, "translated.c", ""));
	if (!err)
		err = assemble(b, form);
	return err;
}
