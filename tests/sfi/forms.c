/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damaged files of a sandboxed form: none is loaded, and the message names the file.
 *
 *   forms FOLDER SCRATCH
 *
 * FOLDER has handmade.so and handmade.sandboxed, SCRATCH is a folder for damaged copies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../front/inproc/tadan.h"

enum { SKIP = 77 };
static uint8_t form[1 << 22], native[1 << 22];
static char so[512], sandboxed[512];
static unsigned passed, failed;

static size_t read_file(const char *folder, const char *name, uint8_t *to, size_t room)
{
	char path[512];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "rb");
	if (!f)
		return 0;
	n = fread(to, 1, room, f);
	fclose(f);
	return n;
}

static void write_file(const char *path, const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* Mount it; 0 if it is taken. */
static int try(const uint8_t *bytes, size_t n, char *why, size_t size)
{
	struct td_volume_params p = { .module = so, .size = 1 << 20, .level = "sandboxed" };
	struct td_volume *v;
	int err;

	unlink(sandboxed);
	write_file(sandboxed, bytes, n);
	err = td_volume_open(&p, &v, why, size);
	if (!err)
		td_volume_close(v);
	return err;
}

static void refused(const char *what, size_t at, size_t n)
{
	char why[512] = "";
	int err = try(form, n, why, sizeof(why));

	if (err && strstr(why, "handmade.sandboxed")) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s %zu: %s\n", what, at, err ? why : "is loaded");
}

int main(int argc, char **argv)
{
	char why[512];
	size_t n, m;

	if (argc != 3)
		return 2;
	mkdir(argv[2], 0700);
	snprintf(so, sizeof(so), "%s/handmade.so", argv[2]);
	snprintf(sandboxed, sizeof(sandboxed), "%s/handmade.sandboxed", argv[2]);
	n = read_file(argv[1], "handmade.sandboxed", form, sizeof(form));
	m = read_file(argv[1], "handmade.so", native, sizeof(native));
	if (!n || !m) {
		puts("skip: there is no sandboxed form here\n0 passed, 0 failed, 1 skipped");
		return SKIP;
	}
	write_file(so, native, m);
	if (try(form, n, why, sizeof(why))) {
		printf("FAIL as it is: %s\n", why);
		failed++;
	}
	for (size_t at = 0; at < n; at += n / 60 + 1) {
		form[at] ^= (uint8_t)(1 << at % 8);
		refused("with the byte changed at", at, n);
		form[at] ^= (uint8_t)(1 << at % 8);
	}
	for (size_t size = 0; size < n; size += n / 40 + 1)
		refused("cut to", size, size);
	refused("without its last byte, of", n, n - 1);
	unlink(sandboxed);
	unlink(so);
	rmdir(argv[2]);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
