/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader of module files (walls/elf).
 *
 * The modules under test are built while the test runs, with the compiler in $CC
 * (else cc), from the few lines of C next to each test: what the loader must take
 * or refuse is what a real linker writes.  Hostile files are made from a good one
 * by changing its bytes; a failure says which case it was.
 *
 * Links with: cmocka, walls/elf/ *.c, libdw.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../walls/elf/elf.h"

#define FLAGS                                                                           \
	"-O1 -g -shared -fPIC -ffreestanding -nostdlib -fno-stack-protector "           \
	"-fvisibility=hidden -fcf-protection=none -Wl,-Bsymbolic -Wl,-z,separate-code " \
	"-Wl,-z,now -Wl,-z,noexecstack -Wl,--hash-style=gnu "

#define EXPORT "__attribute__((visibility(\"default\"))) "

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What the good module exports; its source below says the same. */
struct info {
	uint64_t magic;
	const char *name;
	int (*bump)(void);
	int (*add)(int, int);
	int (*later)(void);
	void (*spoil)(void);
	int (*sum)(void);
};

static const char good_source[] =
	"extern int td_add(int a, int b);\n"
	"extern int td_later(void) __attribute__((weak));\n"
	"static volatile int counter = 7, zeros[3000];\n"
	"static int (*volatile service)(int, int) = td_add;\n"
	"static int bump(void) { return ++counter; }\n"
	"static int add(int a, int b) { return td_add(a, b) * 10 + (service(a, b) != 0); }\n"
	"static int later(void) { return td_later ? td_later() : -1; }\n"
	"static void spoil(void) { for (int i = 0; i < 3000; i++) zeros[i] = -1; service = 0; "
	"counter = 99; }\n"
	"static int sum(void) { int s = 0; for (int i = 0; i < 3000; i++) s += zeros[i]; return s; "
	"}\n" EXPORT
	"const struct { unsigned long magic; const char *name; void *f[5]; } td_module_info = {\n"
	"	0x7464, \"good\", { bump, add, later, spoil, sum } };\n";

/* The directory of built modules, and the good one's bytes. */
static char dir[64];
static uint8_t *good;
static size_t good_size;

/* What replays the case that is being tried; printed if its test fails. */
static char replay[128];

static int service_add(int a, int b)
{
	return a + b;
}

static int service_later(void)
{
	return 42;
}

static const struct td__import services[] = {
	{ "td_add", service_add },
	{ "td_later", service_later },
};

/* ---- building ---- */

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Build `source` as DIR/name; false where the toolchain cannot. */
static bool build(const char *name, const char *source, const char *flags)
{
	const char *cc = getenv("CC");
	char command[1024];
	FILE *f;

	snprintf(command, sizeof(command), "%s %s -x c - -o %s 2>%s/errors", cc && *cc ? cc : "cc",
		 flags, path_of(name), dir);
	f = popen(command, "w");
	assert_non_null(f);
	fputs(source, f);
	return pclose(f) == 0;
}

static uint8_t *slurp(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes;
	long n;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	assert_true(n > 0);
	bytes = malloc((size_t)n);
	assert_int_equal(fread(bytes, 1, (size_t)n, f), n);
	fclose(f);
	*size = (size_t)n;
	return bytes;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/td-elf-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	if (build("good.so", good_source, FLAGS "-Wl,--build-id=0x0123456789abcdef"))
		good = slurp(path_of("good.so"), &good_size);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	free(good);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static int tell_replay(void **state)
{
	(void)state;
	if (replay[0])
		print_message("replay: %s\n", replay);
	replay[0] = 0;
	return 0;
}

static void need_good(void)
{
	if (good)
		return;
	print_message("skipped: no C compiler that builds shared objects (set CC)\n");
	skip();
}

/* ---- using ---- */

static struct td__elf *open_good(void)
{
	char why[TD__ELF_WHY] = "";
	struct td__elf *e;

	need_good();
	if (td__elf_open(path_of("good.so"), &e, why, sizeof(why)) != 0)
		fail_msg("the good module %s", why);
	return e;
}

/* Reserve address space that any module of this span and alignment fits into. */
static uint8_t *reserve(const struct td__elf *e, void **region, size_t *size)
{
	size_t align = td__elf_align(e);

	*size = td__elf_span(e) + align;
	*region = mmap(NULL, *size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(*region, MAP_FAILED);
	return (uint8_t *)*region + (-(uintptr_t)*region & (align - 1));
}

static struct info *map_at(const struct td__elf *e, void *base, size_t nservices)
{
	char why[TD__ELF_WHY] = "";
	struct info *info;
	size_t size;

	if (td__elf_map(e, base, services, nservices, why, sizeof(why)) != 0)
		fail_msg("the good module %s", why);
	info = td__elf_symbol(e, base, "td_module_info", &size);
	assert_non_null(info);
	assert_int_equal(size, sizeof(*info));
	return info;
}

static void refused_bytes(const uint8_t *bytes, size_t size, const char *expect)
{
	char why[TD__ELF_WHY] = "";
	struct td__elf *e;

	assert_int_equal(td__elf_open_bytes(bytes, size, &e, why, sizeof(why)), -ENOEXEC);
	assert_null(e);
	if (!strstr(why, expect))
		fail_msg("expected \"%s\", got \"%s\"", expect, why);
}

/* ---- a good module ---- */

static void test_runs(void **state)
{
	struct td__elf *e = open_good();
	struct info *info;
	void *region;
	size_t size;

	(void)state;
	info = map_at(e, reserve(e, &region, &size), 2);
	assert_int_equal(info->magic, 0x7464);
	assert_string_equal(info->name, "good");
	assert_int_equal(info->add(3, 4), 71);
	assert_int_equal(info->later(), 42);
	munmap(region, size);
	td__elf_close(e);
}

static void test_weak_import_may_be_missing(void **state)
{
	struct td__elf *e = open_good();
	struct info *info;
	void *region;
	size_t size;

	(void)state;
	info = map_at(e, reserve(e, &region, &size), 1);
	assert_int_equal(info->later(), -1);
	munmap(region, size);
	td__elf_close(e);
}

static void test_fresh_data_at_each_map(void **state)
{
	struct td__elf *e = open_good();
	struct info *a, *b;
	uint8_t *base, *other;
	void *regions[2];
	size_t sizes[2];

	(void)state;
	base = reserve(e, &regions[0], &sizes[0]);
	other = reserve(e, &regions[1], &sizes[1]);
	a = map_at(e, base, 2);
	b = map_at(e, other, 2);
	assert_int_equal(a->bump(), 8);
	assert_int_equal(a->bump(), 9);
	assert_int_equal(b->bump(), 8);
	a->spoil();
	assert_int_equal(a->sum(), -3000);
	assert_int_equal(b->sum(), 0);

	a = map_at(e, base, 2);
	assert_int_equal(a->bump(), 8);
	assert_int_equal(a->sum(), 0);
	assert_int_equal(a->add(1, 1), 21);
	munmap(regions[0], sizes[0]);
	munmap(regions[1], sizes[1]);
	td__elf_close(e);
}

static void test_reset_is_as_fresh(void **state)
{
	struct td__elf *e = open_good();
	uintptr_t start, end;
	struct info *info;
	uint8_t *base, *before;
	void *region;
	size_t size;

	(void)state;
	base = reserve(e, &region, &size);
	info = map_at(e, base, 2);
	td__elf_data(e, base, &start, &end);
	assert_true(end > start);
	before = malloc(end - start);
	memcpy(before, (void *)start, end - start);

	info->spoil();
	assert_memory_not_equal(before, (void *)start, end - start);
	assert_int_equal(td__elf_reset(e, base, services, 2, NULL, 0), 0);
	assert_memory_equal(before, (void *)start, end - start);
	assert_int_equal(info->add(3, 4), 71);

	/* Without the service nothing is written. */
	info->spoil();
	memcpy(before, (void *)start, end - start);
	assert_int_equal(td__elf_reset(e, base, services, 0, NULL, 0), -ENOEXEC);
	assert_memory_equal(before, (void *)start, end - start);
	free(before);
	munmap(region, size);
	td__elf_close(e);
}

/* The protection of a page as the kernel tells it, such as "r-xp". */
static void protection(uintptr_t address, char out[5])
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];

	assert_non_null(f);
	strcpy(out, "none");
	while (fgets(line, sizeof(line), f)) {
		char prot[5];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, prot) == 3 && address >= start &&
		    address < end)
			strcpy(out, prot);
	}
	fclose(f);
}

/* Every part has its protection from first to last byte, and the gaps have none. */
static unsigned check_parts(const struct td__elf *e, const uint8_t *base)
{
	static const char *const expect[] = { "r-xp", "r--p", "r--p", "rw-p" };
	const struct td__elf_part *parts;
	size_t n, i, at = 0;
	unsigned seen = 0;
	char prot[5];

	parts = td__elf_parts(e, &n);
	for (i = 0; i < n; i++) {
		assert_true(parts[i].start >= at);
		if (parts[i].start > at) {
			protection((uintptr_t)base + at, prot);
			assert_string_equal(prot, "---p");
			protection((uintptr_t)base + parts[i].start - 1, prot);
			assert_string_equal(prot, "---p");
		}
		at = parts[i].start + parts[i].size;
		protection((uintptr_t)base + parts[i].start, prot);
		assert_string_equal(prot, expect[parts[i].kind]);
		protection((uintptr_t)base + at - 1, prot);
		assert_string_equal(prot, expect[parts[i].kind]);
		seen |= 1u << parts[i].kind;
	}
	assert_int_equal(at, td__elf_span(e));
	return seen;
}

static void test_protections(void **state)
{
	struct td__elf *e = open_good();
	uintptr_t start, end;
	uint8_t *base;
	void *region;
	char prot[5];
	size_t size;

	(void)state;
	base = reserve(e, &region, &size);
	map_at(e, base, 2);
	assert_int_equal(check_parts(e, base), 0xf);
	td__elf_text(e, base, &start, &end);
	protection(start, prot);
	assert_string_equal(prot, "r-xp");
	/* What stands behind the text must stop a jump that runs on. */
	assert_int_equal(((uint8_t *)end)[-1], 0xcc);
	munmap(region, size);
	td__elf_close(e);
}

static void test_unresolved_import(void **state)
{
	char why[TD__ELF_WHY] = "", prot[5];
	struct td__elf *e = open_good();
	uint8_t *base;
	void *region;
	size_t size;

	(void)state;
	base = reserve(e, &region, &size);
	assert_int_equal(td__elf_map(e, base, services + 1, 1, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "imports `td_add`, which is no service of this kernel");
	protection((uintptr_t)base, prot);
	assert_string_equal(prot, "---p");
	assert_int_equal(td__elf_map(e, base, NULL, 0, NULL, 0), -ENOEXEC);
	munmap(region, size);
	td__elf_close(e);
}

static void test_import_names(void **state)
{
	struct td__elf *e = open_good();
	const char *a = td__elf_import_name(e, 0), *b = td__elf_import_name(e, 1);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_true((!strcmp(a, "td_add") && !strcmp(b, "td_later")) ||
		    (!strcmp(b, "td_add") && !strcmp(a, "td_later")));
	assert_null(td__elf_import_name(e, 2));
	td__elf_close(e);
}

static void test_base_must_be_aligned(void **state)
{
	char why[TD__ELF_WHY] = "";
	struct td__elf *e = open_good();
	uint8_t *base;
	void *region;
	size_t size;

	(void)state;
	base = reserve(e, &region, &size);
	assert_int_equal(td__elf_map(e, base + 64, services, 2, why, sizeof(why)), -EINVAL);
	assert_true(why[0] != 0);
	munmap(region, size);
	td__elf_close(e);
}

static void test_symbols(void **state)
{
	struct td__elf *e = open_good();

	(void)state;
	assert_non_null(td__elf_symbol(e, NULL, "td_module_info", NULL));
	assert_null(td__elf_symbol(e, NULL, "td_add", NULL)); /* imported */
	assert_null(td__elf_symbol(e, NULL, "bump", NULL));   /* hidden */
	assert_null(td__elf_symbol(e, NULL, "", NULL));
	td__elf_close(e);
}

static void test_where(void **state)
{
	struct td__elf *e = open_good();
	uintptr_t start, end, bump;
	struct info *info;
	uint8_t *base;
	char buf[64], small[5];
	void *region;
	size_t size;

	(void)state;
	base = reserve(e, &region, &size);
	info = map_at(e, base, 2);
	bump = (uintptr_t)info->bump;
	assert_int_equal(td__elf_where(e, base, bump, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "bump+0x0");
	assert_int_equal(td__elf_where(e, base, bump + 3, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "bump+0x3");
	assert_int_equal(td__elf_where(e, base, bump, small, sizeof(small)), 0);
	assert_string_equal(small, "bump");
	assert_int_equal(td__elf_where(e, base, (uintptr_t)info + 16, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "td_module_info+0x10");
	assert_int_equal(td__elf_where(e, base, (uintptr_t)base + 1, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "0x1");
	assert_int_equal(td__elf_where(e, base, (uintptr_t)base - 1, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(td__elf_where(e, base, (uintptr_t)base + td__elf_span(e), buf, 64),
			 -ENOENT);
	td__elf_text(e, base, &start, &end);
	assert_true(bump >= start && bump < end);
	munmap(region, size);
	td__elf_close(e);
}

/* Assembler code: labels without a size, and one within a function. */
static void test_where_labels(void **state)
{
	static const char source[] = EXPORT
		"int td_module_info = 1;\n"
		"__asm__(\".text\\n.globl first\\nfirst: nop\\nnop\\nsecond: nop\\nnop\\n\"\n"
		"	\".globl whole\\n.type whole,@function\\nwhole: nop\\nwithin: "
		"nop\\nnop\\n\"\n"
		"	\".size whole,.-whole\\n.globl last\\nlast: nop\\n\");\n";
	static const char *const expect[] = { "first+0x0", "first+0x1", "second+0x0", "second+0x1",
					      "whole+0x0", "whole+0x1", "whole+0x2",  "last+0x0" };
	uintptr_t first, end;
	struct td__elf *e;
	char buf[64];
	size_t i;

	(void)state;
	need_good();
	assert_true(build("labels.so", source, FLAGS));
	assert_int_equal(td__elf_open(path_of("labels.so"), &e, NULL, 0), 0);
	td__elf_text(e, NULL, &first, &end);
	for (i = 0; i < COUNT(expect); i++) {
		assert_int_equal(td__elf_where(e, NULL, first + i, buf, sizeof(buf)), 0);
		assert_string_equal(buf, expect[i]);
	}
	td__elf_close(e);
}

static void test_id(void **state)
{
	struct td__elf *e = open_good();
	char first[33];

	(void)state;
	assert_string_equal(td__elf_id(e), "0123456789abcdef");
	td__elf_close(e);

	assert_true(build("noid.so", good_source, FLAGS "-Wl,--build-id=none"));
	assert_int_equal(td__elf_open(path_of("noid.so"), &e, NULL, 0), 0);
	assert_int_equal(strlen(td__elf_id(e)), 16);
	snprintf(first, sizeof(first), "%s", td__elf_id(e));
	td__elf_close(e);
	assert_int_equal(td__elf_open(path_of("noid.so"), &e, NULL, 0), 0);
	assert_string_equal(td__elf_id(e), first);
	td__elf_close(e);
	assert_true(build("noid.so", good_source, FLAGS "-O2 -Wl,--build-id=none"));
	assert_int_equal(td__elf_open(path_of("noid.so"), &e, NULL, 0), 0);
	assert_string_not_equal(td__elf_id(e), first);
	td__elf_close(e);
}

/* Stripped, and as other linkers and options lay it out. */
static void test_other_layouts(void **state)
{
	static const char *const flags[] = {
		"-s",
		"-Wl,--hash-style=sysv",
		"-Wl,--hash-style=both",
		"-Wl,-z,noseparate-code",
		"-Wl,-z,norelro",
		"-Wl,-z,lazy",
		"-Wl,-z,max-page-size=2097152",
		"-fuse-ld=lld",
		"-fuse-ld=gold",
	};
	char all[512], why[TD__ELF_WHY];
	struct info *info;
	struct td__elf *e;
	uint8_t *base;
	void *region;
	size_t i, size, built = 0;

	(void)state;
	need_good();
	for (i = 0; i < COUNT(flags); i++) {
		snprintf(replay, sizeof(replay), "flags %s", flags[i]);
		snprintf(all, sizeof(all), FLAGS "%s", flags[i]);
		if (!build("layout.so", good_source, all))
			continue; /* this toolchain has no such linker */
		built++;
		if (td__elf_open(path_of("layout.so"), &e, why, sizeof(why)) != 0)
			fail_msg("the module %s", why);
		base = reserve(e, &region, &size);
		info = map_at(e, base, 2);
		check_parts(e, base);
		assert_int_equal(info->add(3, 4), 71);
		assert_int_equal(info->bump(), 8);
		info->spoil();
		assert_int_equal(td__elf_reset(e, base, services, 2, NULL, 0), 0);
		assert_int_equal(info->sum(), 0);
		assert_int_equal(info->bump(), 8);
		munmap(region, size);
		td__elf_close(e);
	}
	assert_true(built >= 4);
	replay[0] = 0;
}

/* ---- files that cannot be opened ---- */

static void test_no_such_file(void **state)
{
	char why[TD__ELF_WHY];
	struct td__elf *e;

	(void)state;
	assert_int_equal(td__elf_open("/nonexistent/m.so", &e, why, sizeof(why)), -ENOENT);
	assert_null(e);
	assert_string_equal(why, "cannot be opened: No such file or directory");
	assert_int_equal(td__elf_open("/tmp", &e, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "is not a regular file");
	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	assert_int_equal(td__elf_open(path_of("pipe"), &e, why, sizeof(why)), -ENOEXEC);
	assert_int_equal(td__elf_open_fd(-1, &e, why, sizeof(why)), -EBADF);
	assert_int_equal(td__elf_open("/dev/null", &e, NULL, 0), -ENOEXEC);
}

static void test_too_large_file(void **state)
{
	struct td__elf *e;
	int fd = open(path_of("large"), O_RDWR | O_CREAT, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)TD__ELF_FILE_MAX + 1), 0);
	assert_int_equal(td__elf_open_fd(fd, &e, NULL, 0), -EFBIG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(td__elf_open_fd(fd, &e, NULL, 0), -ENOEXEC);
	close(fd);
}

static void test_fd_at_any_position(void **state)
{
	struct td__elf *e;
	int fd;

	(void)state;
	need_good();
	fd = open(path_of("good.so"), O_RDONLY);
	assert_true(fd >= 0);
	lseek(fd, 100, SEEK_SET);
	assert_int_equal(td__elf_open_fd(fd, &e, NULL, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 100);
	close(fd);
	td__elf_close(e);
	td__elf_close(NULL);
}

/* ---- what a module may not be ---- */

#define VICTIM EXPORT "int td_module_info = 1; int f(int x) { return x; }\n"

static const struct {
	const char *what, *source, *flags, *expect;
} unfit[] = {
	{ "library", VICTIM, FLAGS "-Wl,--no-as-needed -lc", "needs the library `libc.so" },
	{ "thread-local", VICTIM "__thread int t;" EXPORT "int g(void) { return t++; }", FLAGS,
	  "thread-local" },
	{ "ifunc",
	  VICTIM "static int i(void) { return 1; } static void *r(void) { return i; }\n" EXPORT
		 "int g(void) __attribute__((ifunc(\"r\")));",
	  FLAGS, "ifunc" },
	{ "hidden ifunc",
	  VICTIM "static int i(void) { return 1; } static void *r(void) { return i; }\n"
		 "int g(void) __attribute__((ifunc(\"r\")));" EXPORT "int h(void) { return g(); }",
	  FLAGS, "relocation IRELATIVE (37)" },
	{ "constructor",
	  VICTIM "volatile int x; __attribute__((constructor)) static void c(void) { x = 1; }",
	  FLAGS, "constructors" },
	{ "destructor",
	  VICTIM "volatile int x; __attribute__((destructor)) static void c(void) { x = 1; }",
	  FLAGS, "constructors" },
	{ "start file", VICTIM "void _init(void) {}", FLAGS, "constructors" },
	{ "text relocation", VICTIM "__asm__(\".text\\n.quad td_module_info\\n\");",
	  FLAGS "-Wl,-z,notext", "compile with -fPIC" },
	{ "executable stack", VICTIM, FLAGS "-Wl,-z,execstack", "executable stack" },
	{ "writable text", VICTIM, FLAGS "-Wl,--omagic", "segment" },
	{ "program", VICTIM "void _start(void) {}", "-pie -fPIE -nostdlib", "is a program" },
	{ "static program", VICTIM "void _start(void) {}", "-static-pie -fPIE -nostdlib",
	  "is a program" },
	{ "fixed program", VICTIM "void _start(void) {}", "-static -no-pie -nostdlib",
	  "is no shared object (ELF type 2)" },
	{ "object file", VICTIM, "-c", "is no shared object (ELF type 1)" },
	{ "packed relocations", VICTIM "void *p[] = { &td_module_info, p };",
	  FLAGS "-Wl,-z,pack-relative-relocs", "packed relocations" },
	{ "32 bits", "int f(int x) { return x; }", "-m32 -shared -nostdlib -ffreestanding -fno-pic",
	  "64-bit" },
	{ "nothing exported", "int f(int x) { return x; }", FLAGS, "exports no symbol" },
	{ "absolute relocation", VICTIM "extern char a; void *p = &a;",
	  "-shared -fPIC -nostdlib -ffreestanding -Wl,--defsym=a=4096", "absolute symbol `a`" },
};

static void test_unfit_modules(void **state)
{
	char why[TD__ELF_WHY];
	struct td__elf *e;
	size_t i, built = 0;
	int rc;

	(void)state;
	need_good();
	for (i = 0; i < COUNT(unfit); i++) {
		snprintf(replay, sizeof(replay), "unfit module: %s", unfit[i].what);
		if (!build("unfit.so", unfit[i].source, unfit[i].flags)) {
			print_message("not built here: %s\n", unfit[i].what);
			continue;
		}
		built++;
		rc = td__elf_open(path_of("unfit.so"), &e, why, sizeof(why));
		if (rc != -ENOEXEC || !strstr(why, unfit[i].expect))
			fail_msg("%s: %d, \"%s\"", unfit[i].what, rc, rc ? why : "taken");
	}
	assert_true(built >= COUNT(unfit) - 4);
	replay[0] = 0;
}

/* ---- inspection ---- */

struct bytes {
	const char *name; /* NULL: harmless */
	unsigned flags;
	size_t n;
	uint8_t at[8];
	size_t opcode; /* where in `at` the opcode begins */
};

static const struct bytes instructions[] = {
	{ "WRPKRU", 0, 3, { 0x0f, 0x01, 0xef }, 0 },
	{ "WRPKRU", 0, 4, { 0x66, 0x0f, 0x01, 0xef }, 1 },
	{ "WRPKRU", 0, 5, { 0xf3, 0x48, 0x0f, 0x01, 0xef }, 2 },
	{ NULL, 0, 3, { 0x0f, 0x01, 0xee }, 0 },	   /* RDPKRU */
	{ NULL, 0, 3, { 0x0f, 0x01, 0xf9 }, 0 },	   /* RDTSCP */
	{ "XRSTOR", 0, 3, { 0x0f, 0xae, 0x28 }, 0 },	   /* (%rax) */
	{ "XRSTOR", 0, 4, { 0x48, 0x0f, 0xae, 0x2f }, 1 }, /* XRSTOR64 (%rdi) */
	{ "XRSTOR", 0, 4, { 0x0f, 0xae, 0x6c, 0x24 }, 0 }, /* d8(%rsp) */
	{ "XRSTOR", 0, 3, { 0x0f, 0xae, 0xaf }, 0 },	   /* d32(%rdi) */
	{ NULL, 0, 3, { 0x0f, 0xae, 0xe8 }, 0 },	   /* LFENCE */
	{ NULL, 0, 3, { 0x0f, 0xae, 0xef }, 0 },	   /* LFENCE, another spelling */
	{ NULL, 0, 3, { 0x0f, 0xae, 0xf0 }, 0 },	   /* MFENCE */
	{ NULL, 0, 3, { 0x0f, 0xae, 0x27 }, 0 },	   /* XSAVE */
	{ NULL, 0, 3, { 0x0f, 0xae, 0x0f }, 0 },	   /* FXRSTOR: no key rights */
	{ NULL, 0, 3, { 0x0f, 0xae, 0x17 }, 0 },	   /* LDMXCSR */
	{ "XRSTORS", 0, 3, { 0x0f, 0xc7, 0x1f }, 0 },
	{ "XRSTORS", 0, 4, { 0x48, 0x0f, 0xc7, 0x5f }, 1 },
	{ NULL, 0, 3, { 0x0f, 0xc7, 0x0f }, 0 }, /* CMPXCHG8B */
	{ NULL, 0, 3, { 0x0f, 0xc7, 0xf0 }, 0 }, /* RDRAND */
	{ "SYSCALL", 0, 2, { 0x0f, 0x05 }, 0 },
	{ "SYSCALL", 0, 3, { 0x48, 0x0f, 0x05 }, 1 },
	{ "SYSENTER", 0, 2, { 0x0f, 0x34 }, 0 },
	{ "INT 0x80", 0, 2, { 0xcd, 0x80 }, 0 },
	{ NULL, 0, 2, { 0xcd, 0x03 }, 0 },
	{ "WRFSBASE", 0, 4, { 0xf3, 0x0f, 0xae, 0xd0 }, 1 },
	{ "WRFSBASE", 0, 5, { 0xf3, 0x48, 0x0f, 0xae, 0xd7 }, 2 },
	{ "WRFSBASE", 0, 5, { 0xf3, 0x41, 0x0f, 0xae, 0xd0 }, 2 },
	{ "WRFSBASE", 0, 7, { 0xf3, 0x2e, 0x67, 0x49, 0x0f, 0xae, 0xd0 }, 4 },
	{ "WRGSBASE", 0, 4, { 0xf3, 0x0f, 0xae, 0xd8 }, 1 },
	{ "WRGSBASE", 0, 5, { 0xf3, 0x66, 0x0f, 0xae, 0xdf }, 2 },
	{ NULL, 0, 4, { 0xf3, 0x0f, 0xae, 0xc0 }, 1 },	     /* RDFSBASE */
	{ NULL, 0, 4, { 0x90, 0x0f, 0xae, 0xd0 }, 1 },	     /* no F3: illegal */
	{ NULL, 0, 5, { 0xf3, 0x90, 0x0f, 0xae, 0xd0 }, 2 }, /* PAUSE before it */
	{ NULL, 0, 4, { 0xf3, 0x0f, 0xae, 0xe8 }, 1 },	     /* INCSSP */
	{ "SYSCALL", TD__ELF_REX2, 3, { 0xd5, 0x80, 0x05 }, 0 },
	{ "WRPKRU", TD__ELF_REX2, 4, { 0xd5, 0x98, 0x01, 0xef }, 0 },
	{ "WRFSBASE", TD__ELF_REX2, 5, { 0xf3, 0xd5, 0x80, 0xae, 0xd0 }, 1 },
	{ NULL, TD__ELF_REX2, 3, { 0xd5, 0x00, 0x05 }, 0 }, /* ADD */
	{ NULL, 0, 3, { 0xd5, 0x80, 0x05 }, 0 },	    /* no REX2 here */
};

/* Each at every offset of a text of NOPs: found there and nowhere else. */
static void test_forbidden_bytes(void **state)
{
	uint8_t text[40];
	size_t i, offset, at;
	const char *name;

	(void)state;
	for (i = 0; i < COUNT(instructions); i++) {
		const struct bytes *b = &instructions[i];

		for (offset = 0; offset + b->n <= sizeof(text); offset++) {
			snprintf(replay, sizeof(replay), "instruction %zu at %zu", i, offset);
			memset(text, 0x90, sizeof(text));
			memcpy(text + offset, b->at, b->n);
			for (at = 0; at < sizeof(text); at++) {
				name = td__elf_forbidden(text, sizeof(text), at, b->flags);
				if (at != offset + b->opcode || !b->name)
					assert_null(name);
				else
					assert_string_equal(name ? name : "let pass", b->name);
			}
		}
	}
	replay[0] = 0;
}

/* An instruction that its text's end cuts is none, and is not read beyond. */
static void test_forbidden_at_the_end(void **state)
{
	size_t i, n, at;

	(void)state;
	for (i = 0; i < COUNT(instructions); i++) {
		const struct bytes *b = &instructions[i];

		for (n = 0; n < b->n; n++) {
			uint8_t *text = malloc(n ? n : 1); /* the sanitizer guards its end */

			memcpy(text, b->at, n);
			for (at = 0; at <= n; at++) {
				const char *name = td__elf_forbidden(text, n, at, b->flags);

				/* Only the displacement may be what is missing. */
				if (name && n < b->opcode + 3)
					fail_msg("instruction %zu, %zu bytes: %s", i, n, name);
			}
			free(text);
		}
	}
}

static const struct {
	const char *body, *name; /* NULL: must pass */
	uint8_t bytes[3];
} texts[] = {
	{ "__asm__ volatile(\"wrpkru\")", "WRPKRU", { 0x0f, 0x01, 0xef } },
	{ "__asm__ volatile(\"xrstor64 (%rdi)\")", "XRSTOR", { 0x0f, 0xae, 0x2f } },
	{ "__asm__ volatile(\"syscall\")", "SYSCALL", { 0x0f, 0x05 } },
	{ "__asm__ volatile(\"int $0x80\")", "INT 0x80", { 0xcd, 0x80 } },
	{ "__asm__ volatile(\"wrfsbase %rax\")", "WRFSBASE", { 0x0f, 0xae, 0xd0 } },
	{ "__asm__ volatile(\"mov $0xef010f, %eax\")", "WRPKRU", { 0x0f, 0x01, 0xef } },
	{ "__asm__ volatile(\"cmp $15, %al; add $1, %eax; .byte 0x0f, 0x1f, 0\")", NULL, { 0 } },
	{ "__asm__ volatile(\"and $15, %eax; add $0x12345678, %eax\")",
	  "SYSCALL",
	  { 0x0f, 0x05, 0x78 } },
	{ "__asm__ volatile(\"lfence; rdpkru; int3\")", NULL, { 0 } },
	/* Data may hold anything: it cannot be executed. */
	{ "static const unsigned char d[] = { 15, 1, 239, 15, 5 }; __asm__ volatile(\"\" "
	  "::\"r\"(d))",
	  NULL,
	  { 0 } },
};

static void inspect_text(size_t i)
{
	char why[TD__ELF_WHY] = "", source[512];
	unsigned long long offset;
	struct td__elf *e;
	uint8_t *bytes;
	size_t size;
	int rc;

	snprintf(replay, sizeof(replay), "text %zu: %s", i, texts[i].body);
	snprintf(source, sizeof(source), VICTIM EXPORT "void culprit(void) { %s; }", texts[i].body);
	assert_true(build("text.so", source, FLAGS));
	assert_int_equal(td__elf_open(path_of("text.so"), &e, why, sizeof(why)), 0);
	rc = td__elf_inspect(e, why, sizeof(why));
	td__elf_close(e);
	if (!texts[i].name) {
		if (rc)
			fail_msg("%s", why);
		return;
	}
	assert_int_equal(rc, -ENOEXEC);
	assert_non_null(strstr(why, texts[i].name));
	assert_non_null(strstr(why, "culprit+0x"));
	assert_true(strlen(why) < sizeof(why) - 100); /* room for longer names */
	assert_int_equal(sscanf(strstr(why, "offset 0x"), "offset 0x%llx", &offset), 1);
	bytes = slurp(path_of("text.so"), &size);
	assert_true(offset + 3 <= size);
	assert_memory_equal(bytes + offset, texts[i].bytes, texts[i].bytes[2] ? 3 : 2);
	free(bytes);
}

static void test_inspect(void **state)
{
	struct td__elf *e = open_good();
	char why[TD__ELF_WHY] = "";
	size_t i;

	(void)state;
	if (td__elf_inspect(e, why, sizeof(why)) != 0)
		fail_msg("the good module %s", why);
	td__elf_close(e);
	for (i = 0; i < COUNT(texts); i++)
		inspect_text(i);
	replay[0] = 0;
}

/* ---- hostile files ---- */

/*
 * Whatever the bytes are: a clear refusal, or a file that every function can
 * handle and that maps.  Returns whether it was taken.
 */
static bool exercise(const uint8_t *bytes, size_t size)
{
	char why[TD__ELF_WHY] = "", where[64];
	struct td__import imports[8];
	struct td__elf *e;
	uintptr_t start, end, at;
	uint8_t *base;
	void *region;
	size_t n, reserved;
	int rc = td__elf_open_bytes(bytes, size, &e, why, sizeof(why));

	if (rc) {
		assert_int_equal(rc, -ENOEXEC);
		assert_null(e);
		assert_true(strlen(why) > 5);
		return false;
	}
	td__elf_inspect(e, why, sizeof(why));
	for (n = 0; n < COUNT(imports) && (imports[n].name = td__elf_import_name(e, n)); n++)
		imports[n].address = service_add;
	if (td__elf_span(e) <= 64u << 20) {
		base = reserve(e, &region, &reserved);
		rc = td__elf_map(e, base, imports, n, why, sizeof(why));
		assert_true(rc == 0 || (rc == -ENOEXEC && n == COUNT(imports)));
		if (!rc)
			assert_int_equal(td__elf_reset(e, base, imports, n, NULL, 0), 0);
		td__elf_text(e, base, &start, &end);
		for (at = start; at < end; at += 61)
			assert_int_equal(td__elf_where(e, base, at, where, sizeof(where)), 0);
		td__elf_symbol(e, base, "td_module_info", NULL);
		munmap(region, reserved);
	}
	td__elf_close(e);
	return true;
}

/* Fields of the ELF header: what they must not be, and what is said then. */
static const struct {
	const char *what;
	size_t offset, size;
	uint64_t value;
	const char *expect;
} fields[] = {
	{ "magic", 0, 4, 0x464c457e, "is no ELF file" },
	{ "class", EI_CLASS, 1, 1, "64-bit" },
	{ "byte order", EI_DATA, 1, 2, "little-endian" },
	{ "version", EI_VERSION, 1, 2, "ELF version 2" },
	{ "system", EI_OSABI, 1, 9, "for another system" },
	{ "system version", EI_ABIVERSION, 1, 1, "for another system" },
	{ "type", offsetof(Elf64_Ehdr, e_type), 2, ET_EXEC, "no shared object" },
	{ "machine", offsetof(Elf64_Ehdr, e_machine), 2, EM_AARCH64, "another processor" },
	{ "version", offsetof(Elf64_Ehdr, e_version), 4, 0, "unknown form" },
	{ "flags", offsetof(Elf64_Ehdr, e_flags), 4, 1, "unknown form" },
	{ "header size", offsetof(Elf64_Ehdr, e_ehsize), 2, 52, "unknown form" },
	{ "phoff", offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 8,
	  "program headers end outside" },
	{ "phentsize", offsetof(Elf64_Ehdr, e_phentsize), 2, 32, "program headers of 32 bytes" },
	{ "phnum", offsetof(Elf64_Ehdr, e_phnum), 2, 0, "0 program headers" },
	{ "phnum", offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, "65535 program headers" },
	{ "shoff", offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX - 8,
	  "section headers end outside" },
	{ "shentsize", offsetof(Elf64_Ehdr, e_shentsize), 2, 40, "section headers of 40 bytes" },
	{ "shnum", offsetof(Elf64_Ehdr, e_shnum), 2, 0, "0 section headers" },
	{ "shnum", offsetof(Elf64_Ehdr, e_shnum), 2, 0xfe00, "section headers end outside" },
	{ "shstrndx", offsetof(Elf64_Ehdr, e_shstrndx), 2, 0xfff0, "names in 65520" },
};

static void test_header_fields(void **state)
{
	uint8_t *bytes;
	size_t i;

	(void)state;
	need_good();
	bytes = malloc(good_size);
	for (i = 0; i < COUNT(fields); i++) {
		snprintf(replay, sizeof(replay), "field %zu, %s", i, fields[i].what);
		memcpy(bytes, good, good_size);
		memcpy(bytes + fields[i].offset, &fields[i].value, fields[i].size);
		refused_bytes(bytes, good_size, fields[i].expect);
	}
	free(bytes);
	replay[0] = 0;
}

/* Find a program header of the good module, the `skip`-th of its type and flags. */
static size_t find_phdr(uint32_t type, uint32_t flags)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	size_t i;

	memcpy(&h, good, sizeof(h));
	for (i = 0; i < h.e_phnum; i++) {
		memcpy(&p, good + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == type && (p.p_flags & flags) == flags)
			return h.e_phoff + i * sizeof(p);
	}
	fail_msg("the good module has no segment of type 0x%x, flags %u", type, flags);
	return 0;
}

#define PH(field) offsetof(Elf64_Phdr, field), sizeof(((Elf64_Phdr *)0)->field)

static const struct {
	uint32_t type, flags;
	size_t offset, size;
	uint64_t value;
	const char *expect;
} segments[] = {
	{ PT_LOAD, PF_X, PH(p_flags), PF_R | PF_W | PF_X, "protection rwx" },
	{ PT_LOAD, PF_X, PH(p_flags), PF_R, "no executable segment" },
	{ PT_LOAD, PF_W, PH(p_flags), PF_R | PF_X, "text that is not in the file" },
	{ PT_LOAD, PF_W, PH(p_flags), 0, "protection ---" },
	{ PT_LOAD, PF_X, PH(p_offset), 1ull << 40, "ends outside" },
	{ PT_LOAD, PF_X, PH(p_offset), UINT64_MAX, "ends outside" },
	{ PT_LOAD, PF_X, PH(p_offset), 8, "does not fit its address" },
	{ PT_LOAD, PF_X, PH(p_filesz), UINT64_MAX, "ends outside" },
	{ PT_LOAD, PF_X, PH(p_filesz), 1, "text that is not in the file" },
	{ PT_LOAD, PF_X, PH(p_memsz), 1, "larger in the file" },
	{ PT_LOAD, PF_X, PH(p_memsz), UINT64_MAX, "address space" },
	{ PT_LOAD, PF_X, PH(p_vaddr), 0, "overlap" },
	{ PT_LOAD, PF_X, PH(p_vaddr), UINT64_MAX & ~4095ull, "address space" },
	{ PT_LOAD, PF_X, PH(p_align), 0, "aligned to 0x0" },
	{ PT_LOAD, PF_X, PH(p_align), 4097, "aligned to 0x1001" },
	{ PT_LOAD, PF_X, PH(p_align), 1ull << 40, "aligned to" },
	{ PT_LOAD, PF_X, PH(p_type), PT_NULL, "no executable segment" },
	{ PT_LOAD, PF_X, PH(p_type), PT_TLS, "thread-local" },
	{ PT_LOAD, PF_X, PH(p_type), PT_INTERP, "is a program" },
	{ PT_LOAD, PF_X, PH(p_type), PT_DYNAMIC, "two dynamic" },
	{ PT_LOAD, PF_X, PH(p_type), 77, "unknown type 0x4d" },
	{ PT_LOAD, PF_W, PH(p_memsz), 1ull << 31, "address space" },
	{ PT_DYNAMIC, 0, PH(p_type), PT_NULL, "no dynamic segment" },
	{ PT_DYNAMIC, 0, PH(p_vaddr), 1ull << 63, "dynamic segment outside" },
	{ PT_DYNAMIC, 0, PH(p_offset), 64, "dynamic segment outside" },
	{ PT_DYNAMIC, 0, PH(p_filesz), 16, "without an end" },
	{ PT_DYNAMIC, 0, PH(p_filesz), 0, "without an end" },
	{ PT_GNU_RELRO, 0, PH(p_vaddr), 0, "relro segment outside" },
	{ PT_GNU_RELRO, 0, PH(p_vaddr), UINT64_MAX - 10, "relro segment outside" },
	{ PT_GNU_RELRO, 0, PH(p_memsz), UINT64_MAX, "relro segment outside" },
	{ PT_GNU_STACK, 0, PH(p_flags), PF_R | PF_W | PF_X, "executable stack" },
	{ PT_NOTE, 0, PH(p_filesz), 13, "note that is cut short" },
	{ PT_NOTE, 0, PH(p_offset), 0, "note that is cut short" },
};

static void test_program_headers(void **state)
{
	uint8_t *bytes;
	size_t i, at;

	(void)state;
	need_good();
	bytes = malloc(good_size);
	for (i = 0; i < COUNT(segments); i++) {
		snprintf(replay, sizeof(replay), "segment case %zu", i);
		memcpy(bytes, good, good_size);
		at = find_phdr(segments[i].type, segments[i].flags);
		memcpy(bytes + at + segments[i].offset, &segments[i].value, segments[i].size);
		refused_bytes(bytes, good_size, segments[i].expect);
	}
	free(bytes);
	replay[0] = 0;
}

/* Where in the good module's file the bytes at `vaddr` stand. */
static size_t offset_at(uint64_t vaddr)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	size_t i;

	memcpy(&h, good, sizeof(h));
	for (i = 0; i < h.e_phnum; i++) {
		memcpy(&p, good + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD && vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz)
			return p.p_offset + (vaddr - p.p_vaddr);
	}
	fail_msg("no bytes at 0x%llx", (unsigned long long)vaddr);
	return 0;
}

/* Where the value of a dynamic tag stands. */
static size_t find_tag(int64_t tag)
{
	Elf64_Phdr p;
	Elf64_Dyn d;
	size_t at;

	memcpy(&p, good + find_phdr(PT_DYNAMIC, 0), sizeof(p));
	for (at = p.p_offset; at < p.p_offset + p.p_filesz; at += sizeof(d)) {
		memcpy(&d, good + at, sizeof(d));
		if (d.d_tag == tag)
			return at + offsetof(Elf64_Dyn, d_un);
	}
	fail_msg("the good module has no dynamic tag 0x%llx", (long long)tag);
	return 0;
}

static uint64_t tag_value(int64_t tag)
{
	uint64_t value;

	memcpy(&value, good + find_tag(tag), sizeof(value));
	return value;
}

/* Where the first relocation of a type, or the symbol of a name, stands. */
static size_t find_relocation(uint32_t type)
{
	size_t at = offset_at(tag_value(DT_RELA)), end = at + tag_value(DT_RELASZ);
	Elf64_Rela r;

	for (; at < end; at += sizeof(r)) {
		memcpy(&r, good + at, sizeof(r));
		if (ELF64_R_TYPE(r.r_info) == type)
			return at;
	}
	fail_msg("the good module has no relocation %u", type);
	return 0;
}

static size_t find_symbol(const char *name)
{
	const char *strings = (const char *)good + offset_at(tag_value(DT_STRTAB));
	size_t at = offset_at(tag_value(DT_SYMTAB)) + sizeof(Elf64_Sym);
	Elf64_Sym s;

	for (;; at += sizeof(s)) {
		memcpy(&s, good + at, sizeof(s));
		if (!strcmp(strings + s.st_name, name))
			return at;
	}
}

static void refused_with(size_t at, const void *value, size_t size, const char *expect)
{
	uint8_t *bytes = malloc(good_size);

	snprintf(replay, sizeof(replay), "%zu bytes at %zu, for \"%s\"", size, at, expect);
	memcpy(bytes, good, good_size);
	memcpy(bytes + at, value, size);
	refused_bytes(bytes, good_size, expect);
	free(bytes);
	replay[0] = 0;
}

static void refused_word(size_t at, uint64_t value, const char *expect)
{
	refused_with(at, &value, sizeof(value), expect);
}

static void test_dynamic_section(void **state)
{
	static const uint64_t far[] = { 1u << 24, 1ull << 40, UINT64_MAX - 7 };
	size_t i;

	(void)state;
	need_good();
	for (i = 0; i < COUNT(far); i++) {
		refused_word(find_tag(DT_STRTAB), far[i], "dynamic string table outside");
		refused_word(find_tag(DT_STRSZ), far[i], "dynamic string table outside");
		refused_word(find_tag(DT_SYMTAB), far[i], "dynamic symbol table outside");
		refused_word(find_tag(DT_GNU_HASH), far[i], "hash table outside");
		refused_word(find_tag(DT_RELA), far[i], "relocation table outside");
		refused_word(find_tag(DT_RELASZ), far[i] / 24 * 24, "relocation table outside");
	}
	refused_word(find_tag(DT_STRSZ), tag_value(DT_STRSZ) - 1, "does not end in a zero");
	refused_word(find_tag(DT_STRSZ), 0, "does not end in a zero");
	refused_word(find_tag(DT_SYMENT), 16, "unknown form");
	refused_word(find_tag(DT_RELASZ), 25, "ends within an entry");
	refused_word(find_tag(DT_RELASZ), 24 * 500, "relocation table outside");
	refused_word(find_tag(DT_RELAENT), 16, "relocations of 16 bytes");
	refused_word(find_tag(DT_SYMTAB) - 8, DT_STRTAB, "dynamic tag 5 twice");
	refused_word(find_tag(DT_SYMTAB) - 8, DT_NULL, "no dynamic");
	refused_word(find_tag(DT_GNU_HASH) - 8, DT_NEEDED, "needs the library `?`");
	refused_word(find_tag(DT_GNU_HASH) - 8, DT_DEBUG, "no hash table");
	refused_word(find_tag(DT_GNU_HASH) - 8, DT_TEXTREL, "compile with -fPIC");
	refused_word(find_tag(DT_GNU_HASH) - 8, 60, "unknown dynamic tag 60");
	refused_word(find_tag(DT_RELASZ) - 8, DT_DEBUG, "relocations without a size");
	refused_word(find_tag(DT_FLAGS), DF_STATIC_TLS, "thread-local");
	refused_word(find_tag(DT_FLAGS_1), DF_1_PIE, "is a program");
}

static void test_hash_table(void **state)
{
	uint32_t head[4], value, none[16] = { 0 };
	size_t at, buckets;

	(void)state;
	need_good();
	at = offset_at(tag_value(DT_GNU_HASH));
	memcpy(head, good + at, sizeof(head));
	buckets = at + sizeof(head) + 8 * head[2];
	assert_true(head[0] <= COUNT(none));
	refused_with(buckets, none, 4 * head[0], "exports no symbol");
	if (head[1] > 1) {
		value = head[1] - 1;
		refused_with(buckets, &value, 4, "names an unhashed symbol");
	}
	value = 0xfffffff0;
	refused_with(buckets, &value, 4, "hash table outside");
	refused_with(at, &value, 4, "hash table outside");     /* buckets */
	refused_with(at + 8, &value, 4, "hash table outside"); /* bloom filter */
}

/* The older table says how many symbols there are, whether it is true or not. */
static void test_old_hash_table(void **state)
{
	uint8_t *kept = good;
	size_t at, kept_size = good_size;
	uint32_t value;

	(void)state;
	need_good();
	assert_true(build("old.so", good_source, FLAGS "-Wl,--hash-style=sysv"));
	good = slurp(path_of("old.so"), &good_size);
	at = offset_at(tag_value(DT_HASH));
	value = 0xffffffff;
	refused_with(at, &value, 4, "hash table outside");
	refused_with(at + 4, &value, 4, "hash table outside");
	value = 1; /* so the relocations name symbols that do not exist */
	refused_with(at + 4, &value, 4, "by symbol");
	refused_word(find_tag(DT_HASH), UINT64_MAX - 3, "hash table outside");
	refused_word(find_tag(DT_HASH) - 8, DT_DEBUG, "no hash table");
	free(good);
	good = kept;
	good_size = kept_size;
}

#define SYM(field) at + offsetof(Elf64_Sym, field)

static void test_dynamic_symbols(void **state)
{
	uint8_t info;
	size_t at;

	(void)state;
	need_good();
	at = find_symbol("td_module_info");
	refused_word(SYM(st_size), 1u << 24, "`td_module_info` outside");
	refused_word(SYM(st_size), UINT64_MAX, "`td_module_info` outside");
	refused_word(SYM(st_value), 1u << 30, "`td_module_info` outside");
	refused_word(SYM(st_value), UINT64_MAX, "`td_module_info` outside");
	refused_with(SYM(st_name), "\xff\xff\xff\xff", 4, "name outside of the strings");
	refused_with(SYM(st_name), "\xff\xff\0", 4, "name outside of the strings");
	info = ELF64_ST_INFO(STB_GLOBAL, STT_TLS);
	refused_with(SYM(st_info), &info, 1, "thread-local variable `td_module_info`");
	info = ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC);
	refused_with(SYM(st_info), &info, 1, "ifunc");
	info = ELF64_ST_INFO(STB_GLOBAL, STT_LOOS + 3);
	refused_with(SYM(st_info), &info, 1, "unknown type 13");
	info = ELF64_ST_INFO(STB_GNU_UNIQUE, STT_OBJECT);
	refused_with(SYM(st_info), &info, 1, "unknown binding 10");
}

#define RELA(field) at + offsetof(Elf64_Rela, field)

static void test_relocations(void **state)
{
	struct td__elf *e = open_good();
	const struct td__elf_part *parts;
	uintptr_t text, data, end;
	uint32_t type, symbol;
	uint64_t info;
	size_t at, n;

	(void)state;
	parts = td__elf_parts(e, &n);
	td__elf_text(e, NULL, &text, &end);
	td__elf_data(e, NULL, &data, &end);
	at = find_relocation(R_X86_64_RELATIVE);
	refused_word(RELA(r_offset), text, "not writable");
	refused_word(RELA(r_offset), parts[0].start, "not writable");
	refused_word(RELA(r_offset), data - 4, "across the end of relro");
	refused_word(RELA(r_offset), td__elf_span(e) - 4, "outside of its segments");
	refused_word(RELA(r_offset), UINT64_MAX - 3, "outside of its segments");
	refused_word(RELA(r_addend), td__elf_span(e) + 1, "points outside");
	refused_word(RELA(r_addend), UINT64_MAX, "points outside");
	for (type = 0; type < 64; type++) {
		static const bool wanted[64] = {
			[R_X86_64_NONE] = true,	    [R_X86_64_64] = true,
			[R_X86_64_GLOB_DAT] = true, [R_X86_64_JUMP_SLOT] = true,
			[R_X86_64_RELATIVE] = true,
		};
		char expect[32];

		snprintf(expect, sizeof(expect), "(%u), which no module", type);
		if (!wanted[type])
			refused_word(RELA(r_info), type, expect);
	}
	refused_word(RELA(r_info), R_X86_64_COPY, "a relocation COPY (5)");
	refused_word(RELA(r_info), R_X86_64_DTPMOD64, "a relocation DTPMOD64 (16)");

	at = find_relocation(R_X86_64_64); /* of `service`, to td_add */
	memcpy(&info, good + RELA(r_info), sizeof(info));
	symbol = ELF64_R_SYM(info);
	assert_true(symbol > 0);
	refused_word(RELA(r_addend), 8, "`td_add` with an offset");
	refused_word(RELA(r_info), ELF64_R_INFO(0ull, R_X86_64_64), "by symbol 0 of");
	refused_word(RELA(r_info), ELF64_R_INFO(99ull, R_X86_64_64), "by symbol 99 of");
	refused_word(RELA(r_info), ELF64_R_INFO(0xffffffffull, R_X86_64_64),
		     "by symbol 4294967295");
	td__elf_close(e);
}

/* Every word of the headers, sections, dynamic section, symbols and relocations. */
static void test_every_word(void **state)
{
	static const uint64_t values[] = { 0, 1, 0x7fffffff, 0xffffffff, 1ull << 63, UINT64_MAX };
	uint8_t *bytes;
	size_t at, i;
	uint64_t old;

	(void)state;
	need_good();
	bytes = malloc(good_size);
	memcpy(bytes, good, good_size);
	for (at = 0; at + 8 <= good_size; at += 8) {
		memcpy(&old, good + at, 8);
		if (!old)
			continue; /* padding, mostly: the bit flips go there */
		for (i = 0; i < COUNT(values); i++) {
			snprintf(replay, sizeof(replay), "word at %zu = 0x%llx", at,
				 (unsigned long long)values[i]);
			memcpy(bytes + at, &values[i], 8);
			exercise(bytes, good_size);
		}
		memcpy(bytes + at, good + at, 8);
	}
	free(bytes);
	replay[0] = 0;
}

/* The file ends with its section headers, so that no part of it can miss unseen. */
static void test_truncated(void **state)
{
	uint8_t *bytes;
	size_t n;

	(void)state;
	need_good();
	for (n = 0; n < good_size; n += n < 1024 ? 1 : 7) {
		snprintf(replay, sizeof(replay), "cut to %zu bytes", n);
		bytes = malloc(n ? n : 1); /* of this size: the sanitizer guards its end */
		memcpy(bytes, good, n);
		assert_false(exercise(bytes, n));
		free(bytes);
	}
	replay[0] = 0;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

#define SEED  0x7464656c66ull
#define FLIPS 20000

/* One to four bits; half of the cases aim at the headers. */
static void flip(uint8_t *bytes, unsigned number)
{
	uint64_t random = SEED + number * 0x9e3779b97f4a7c15ull;
	uint64_t range = number % 2 ? good_size : 0x400;
	unsigned n;

	next(&random);
	for (n = 1 + next(&random) % 4; n > 0; n--)
		bytes[next(&random) % range] ^= (uint8_t)(1u << next(&random) % 8);
}

static void test_flipped_bits(void **state)
{
	unsigned number, taken = 0;
	uint8_t *bytes;

	(void)state;
	need_good();
	bytes = malloc(good_size);
	for (number = 0; number < FLIPS; number++) {
		snprintf(replay, sizeof(replay), "flip %u of seed 0x%llx", number, SEED);
		memcpy(bytes, good, good_size);
		flip(bytes, number);
		taken += exercise(bytes, good_size);
	}
	free(bytes);
	/* Flips in code and debug information cannot be seen; flips of headers must be. */
	assert_true(taken > FLIPS / 100 && taken < FLIPS / 10 * 9);
	replay[0] = 0;
}

/* A hostile name must not reach a terminal as it is. */
static void test_names_are_plain(void **state)
{
	char why[TD__ELF_WHY] = "";
	struct td__elf *e;
	uint8_t *bytes, *at;
	size_t i;

	(void)state;
	need_good();
	bytes = malloc(good_size);
	memcpy(bytes, good, good_size);
	for (i = 0; i + 7 <= good_size; i++) {
		at = bytes + i;
		if (memcmp(at, "td_add", 7) == 0)
			at[0] = 0x1b;
	}
	assert_int_equal(td__elf_open_bytes(bytes, good_size, &e, NULL, 0), 0);
	assert_int_equal(td__elf_map(e, NULL, services, 2, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "imports `?d_add`, which is no service of this kernel");
	td__elf_close(e);
	free(bytes);
}

/* ---- source lines ---- */

static const char lines_source[] =
	"#line 10 \"/src/helper.h\"\n"
	"static inline __attribute__((always_inline)) int helper(volatile int *p) {\n"
	"	return *p / 3;\n"
	"}\n"
	"#line 20 \"/src/outer.c\"\n" EXPORT "int outer(volatile int *p) {\n"
	"	return helper(p);\n"
	"}\n" EXPORT "int plain(volatile int *p) {\n"
	"	*p = 5; return 0;\n"
	"}\n" VICTIM;

static uint64_t offset_of(const struct td__elf *e, const char *name)
{
	return (uint64_t)(uintptr_t)td__elf_symbol(e, NULL, name, NULL);
}

static void test_lines(void **state)
{
	bool inlined = false;
	struct td__elf *e;
	char buf[128];
	uint64_t at;

	(void)state;
	need_good();
	assert_true(build("lines.so", lines_source, FLAGS));
	assert_int_equal(td__elf_open(path_of("lines.so"), &e, NULL, 0), 0);
	at = offset_of(e, "plain");
	assert_int_equal(td__elf_line(path_of("lines.so"), at, buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "outer.c:2"));
	assert_non_null(strstr(buf, " (plain)"));
	for (at = offset_of(e, "outer"); at < offset_of(e, "outer") + 12; at++)
		if (td__elf_line(path_of("lines.so"), at, buf, sizeof(buf)) == 0 &&
		    !strcmp(buf, "helper.h:11 (helper), inlined at outer.c:21 (outer)"))
			inlined = true;
	assert_true(inlined);
	assert_int_equal(td__elf_line(path_of("lines.so"), at, buf, 8), 0);
	assert_true(strlen(buf) < 8);
	assert_int_equal(td__elf_line(path_of("lines.so"), 1, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(td__elf_line("/nonexistent", 1, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(td__elf_line("/dev/null", 1, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(td__elf_line(path_of("lines.so"), at, buf, 0), -EINVAL);
	td__elf_close(e);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_weak_import_may_be_missing),
		cmocka_unit_test(test_fresh_data_at_each_map),
		cmocka_unit_test(test_reset_is_as_fresh),
		cmocka_unit_test(test_protections),
		cmocka_unit_test(test_unresolved_import),
		cmocka_unit_test(test_import_names),
		cmocka_unit_test(test_base_must_be_aligned),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_where_labels),
		cmocka_unit_test(test_id),
		cmocka_unit_test_teardown(test_other_layouts, tell_replay),
		cmocka_unit_test(test_no_such_file),
		cmocka_unit_test(test_too_large_file),
		cmocka_unit_test(test_fd_at_any_position),
		cmocka_unit_test_teardown(test_unfit_modules, tell_replay),
		cmocka_unit_test_teardown(test_forbidden_bytes, tell_replay),
		cmocka_unit_test(test_forbidden_at_the_end),
		cmocka_unit_test_teardown(test_inspect, tell_replay),
		cmocka_unit_test_teardown(test_header_fields, tell_replay),
		cmocka_unit_test_teardown(test_program_headers, tell_replay),
		cmocka_unit_test_teardown(test_dynamic_section, tell_replay),
		cmocka_unit_test_teardown(test_hash_table, tell_replay),
		cmocka_unit_test_teardown(test_old_hash_table, tell_replay),
		cmocka_unit_test_teardown(test_dynamic_symbols, tell_replay),
		cmocka_unit_test_teardown(test_relocations, tell_replay),
		cmocka_unit_test_teardown(test_every_word, tell_replay),
		cmocka_unit_test_teardown(test_truncated, tell_replay),
		cmocka_unit_test_teardown(test_flipped_bits, tell_replay),
		cmocka_unit_test(test_names_are_plain),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests_name("elf", tests, setup, teardown);
}
