/* SPDX-License-Identifier: BSD-2-Clause */
/* Seals of sandboxed forms: see seal.h. The digests are nettle's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal.h"

#ifndef TADAN_MODULE_DIR
#define TADAN_MODULE_DIR "/usr/local/lib/tadan/modules"
#endif

static const char magic[8] = "TadanSbx";

/* ---- The key */

enum { KEY = 32 };

static int name_folder(char folder[PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	if (state && *state == '/')
		return snprintf(folder, PATH_MAX, "%s/tadan", state) < PATH_MAX;
	if (!home || *home != '/') {
		user = getpwuid(geteuid());
		home = user ? user->pw_dir : NULL;
	}
	return home && *home == '/' && snprintf(folder, PATH_MAX, "%s/.local/state/tadan", home) < PATH_MAX;
}

static void make_folders(char *folder)
{
	for (char *p = strchr(folder + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		mkdir(folder, 0700);
		*p = '/';
	}
	mkdir(folder, 0700);
}

/* A key that somebody else could have read or written is none. */
static int read_key(const char *path, uint8_t key[KEY], char *why, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077) {
		snprintf(why, len, "%s: the key of your seal must be a file of yours with mode 0600: remove it, and build again", path);
		err = -EPERM;
	} else if (pread(fd, key, KEY, 0) != KEY) {
		snprintf(why, len, "%s: the key of your seal is cut short: remove it, and build again", path);
		err = -EIO;
	}
	close(fd);
	return err;
}

/* In one step: two that make it at the same time agree on one. */
static int make_key(const char *folder, const char *path)
{
	char beside[PATH_MAX + 16];
	uint8_t key[KEY];
	int fd, err = 0;

	snprintf(beside, sizeof(beside), "%s/key.XXXXXX", folder);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (getrandom(key, KEY, 0) != KEY || write(fd, key, KEY) != KEY || fsync(fd))
		err = -EIO;
	close(fd);
	if (!err && link(beside, path) && errno != EEXIST)
		err = -errno;
	unlink(beside);
	return err;
}

static int get_key(int make, uint8_t key[KEY], char *why, size_t len)
{
	char folder[PATH_MAX], path[PATH_MAX + 16];
	int err;

	if (!name_folder(folder)) {
		snprintf(why, len, "you have no home folder for the key of your seal: set XDG_STATE_HOME");
		return -ENOENT;
	}
	snprintf(path, sizeof(path), "%s/seal.key", folder);
	why[0] = 0;
	err = read_key(path, key, why, len);
	if (err == -ENOENT && make) {
		make_folders(folder);
		err = make_key(folder, path);
		if (!err)
			err = read_key(path, key, why, len);
	}
	if (err && !why[0])
		snprintf(why, len, "%s: %s", path, strerror(-err));
	return err;
}

/* ---- Digests */

static void digest(const void *content, size_t size, uint8_t out[TD__SEAL_DIGEST])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, size, content);
	sha256_digest(&ctx, TD__SEAL_DIGEST, out);
}

static void code(const uint8_t key[KEY], const void *content, size_t size, const struct td__sfi_seal *seal,
		 uint8_t out[TD__SEAL_DIGEST])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, KEY, key);
	hmac_sha256_update(&ctx, size, content);
	hmac_sha256_update(&ctx, offsetof(struct td__sfi_seal, code), (const uint8_t *)seal);
	hmac_sha256_digest(&ctx, TD__SEAL_DIGEST, out);
}

void td__sfi_seal_make(const void *content, size_t size, struct td__sfi_seal *seal, char *why, size_t len)
{
	uint8_t key[KEY];

	memset(seal, 0, sizeof(*seal));
	memcpy(seal->magic, magic, sizeof(magic));
	seal->version = TD__SEAL_VERSION;
	digest(content, size, seal->digest);
	if (get_key(1, key, why, len))
		return;
	seal->sealed = 1;
	code(key, content, size, seal, seal->code);
}

/* ---- Belief */

static int is_below(const char *path, const char *folder)
{
	char real[PATH_MAX];
	size_t len;

	if (!realpath(folder, real))
		return 0;
	len = strlen(real);
	return !strncmp(path, real, len) && path[len] == '/';
}

/* Where td__module_open() looks by itself: modules/ beside the program or next to its folder, and the installed folder. */
static int is_own(const char *path)
{
	char program[PATH_MAX], folder[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n > 0) {
		program[n] = 0;
		*strrchr(program, '/') = 0;
		snprintf(folder, sizeof(folder), "%s/modules", program);
		if (is_below(path, folder))
			return 1;
		snprintf(folder, sizeof(folder), "%s/../modules", program);
		if (is_below(path, folder))
			return 1;
	}
	return is_below(path, TADAN_MODULE_DIR);
}

int td__sfi_seal_check(const char *path, const void *content, size_t size, const struct td__sfi_seal *seal, char *why,
		       size_t len)
{
	uint8_t expected[TD__SEAL_DIGEST], key[KEY];
	char reason[PATH_MAX + 128];

	if (memcmp(seal->magic, magic, sizeof(magic))) {
		snprintf(why, len, "is no sandboxed form, or is cut short: build it again with `tadan build`");
		return -ENOEXEC;
	}
	if (seal->version != TD__SEAL_VERSION || seal->sealed > 1) {
		snprintf(why, len, "was made by another version of Tadan: build it again with `tadan build`");
		return -ENOEXEC;
	}
	digest(content, size, expected);
	if (!memeql_sec(expected, seal->digest, TD__SEAL_DIGEST)) {
		snprintf(why, len, "is damaged: build it again with `tadan build`");
		return -ENOEXEC;
	}
	if (is_own(path))
		return 0;
	if (!seal->sealed || get_key(0, key, reason, sizeof(reason))) {
		snprintf(why, len, "does not have your seal%s%s: build it yourself with `tadan build`, from its sources or its .wasm file",
			 seal->sealed ? ", and you have no key to tell: " : "", seal->sealed ? reason : "");
		return -ENOEXEC;
	}
	code(key, content, size, seal, expected);
	if (memeql_sec(expected, seal->code, TD__SEAL_DIGEST))
		return 0;
	snprintf(why, len, "has the seal of somebody else: build it yourself with `tadan build`, from its sources or its .wasm file");
	return -ENOEXEC;
}
