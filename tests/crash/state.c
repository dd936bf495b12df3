/* SPDX-License-Identifier: BSD-2-Clause */
/* States: see state.h. */
#include "state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct td_cred root = { 0 };

static void say(struct state *s, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (s->used + (size_t)n + 1 > s->room) {
		s->room = 2 * s->room + (size_t)n + 4096;
		s->tree = realloc(s->tree, s->room);
		if (!s->tree)
			abort();
	}
	va_start(ap, format);
	s->used += (size_t)vsnprintf(s->tree + s->used, s->room - s->used, format, ap);
	va_end(ap);
}

static uint64_t sum_of(const uint8_t *p, size_t len)
{
	uint64_t h = 14695981039346656037ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h;
}

static int content(struct td__fs *fs, const td_attr *a, struct state *s)
{
	struct file *f;
	int64_t n;

	for (uint32_t i = 0; i < s->nfiles; i++)
		if (s->files[i].fid == a->fid)
			return 0; /* another name of it */
	s->files = realloc(s->files, (s->nfiles + 1) * sizeof(*s->files));
	f = &s->files[s->nfiles++];
	*f = (struct file){ a->fid, a->generation, a->size, calloc(1, a->size + 1) };
	n = td_read(fs, a->handle, 0, f->bytes, a->size);
	return n < 0 ? (int)n : n == (int64_t)a->size ? 0 : -TD_EIO;
}

static int xattrs(struct td__fs *fs, const td_attr *a, struct state *s)
{
	static char names[65536], value[65536];
	int len = td_listxattr(fs, &root, a->handle, names, sizeof(names));

	for (int at = 0; at < len; at += (int)strlen(names + at) + 1) {
		struct td_name name = { (uint8_t *)names + at, (uint32_t)strlen(names + at) };
		int n = td_getxattr(fs, &root, a->handle, name, value, sizeof(value));

		if (n < 0)
			return n;
		say(s, " %s=%d:%llx", names + at, n, (unsigned long long)sum_of((uint8_t *)value, (size_t)n));
	}
	return len < 0 ? len : 0;
}

static int walk(struct td__fs *fs, td_handle dir, const char *path, struct state *s);

static int show(struct td__fs *fs, const td_attr *a, const char *path, struct state *s)
{
	static char target[4096];
	int err = 0;

	say(s, "%s fid %llu.%u type %u mode %o links %u owner %u:%u rdev %u", path, (unsigned long long)a->fid, a->generation,
	    a->type, a->mode, a->nlink, a->uid, a->gid, a->rdev);
	if (a->type != TD_DIR)
		say(s, " size %llu", (unsigned long long)a->size);
	if (a->type == TD_LNK) {
		int n = td_readlink(fs, a->handle, target, sizeof(target));

		if (n < 0)
			return n;
		say(s, " to %llx", (unsigned long long)sum_of((uint8_t *)target, (size_t)n));
	}
	err = xattrs(fs, a, s);
	say(s, "\n");
	if (!err && a->type == TD_REG)
		err = content(fs, a, s);
	if (!err && a->type == TD_DIR)
		err = walk(fs, a->handle, path, s);
	return err;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of names: that of a listing may differ. */
static int walk(struct td__fs *fs, td_handle dir, const char *path, struct state *s)
{
	uint8_t *list = malloc(65536);
	char **names = NULL;
	uint32_t n = 0;
	uint64_t cookie = 0;
	int err = 0, len;

	while ((len = td_readdir(fs, &root, dir, cookie, list, 65536, 0, 0)) > 0)
		for (int at = 0; at < len;) {
			struct td_dirent d;

			memcpy(&d, list + at, sizeof(d));
			cookie = d.cookie;
			if (d.cookie > 2) {
				names = realloc(names, (n + 1) * sizeof(*names));
				names[n++] = strndup((char *)list + at + sizeof(d), d.len);
			}
			at += (int)sizeof(d) + (int)((d.len + 7) & ~7u);
		}
	err = len;
	if (n)
		qsort(names, n, sizeof(*names), compare);
	for (uint32_t i = 0; i < n; i++) {
		struct td_name name = { (uint8_t *)names[i], (uint32_t)strlen(names[i]) };
		char below[1024];
		td_attr a;

		snprintf(below, sizeof(below), "%s/%s", path, names[i]);
		if (!err) {
			err = td_lookup(fs, &root, dir, name, &a);
			if (!err) {
				err = show(fs, &a, below, s);
				td_forget(fs, a.handle, 1);
			}
		}
		free(names[i]);
	}
	free(names);
	free(list);
	return err;
}

int state_take(struct td__fs *fs, struct state *s)
{
	td_attr a;
	int err;

	memset(s, 0, sizeof(*s));
	err = td_getattr(fs, td_fs_root(fs), &a);
	return err ? err : show(fs, &a, "", s);
}

void state_free(struct state *s)
{
	for (uint32_t i = 0; i < s->nfiles; i++)
		free(s->files[i].bytes);
	free(s->files);
	free(s->tree);
	memset(s, 0, sizeof(*s));
}

static const struct file *file_of(const struct state *s, const struct file *f)
{
	for (uint32_t i = 0; i < s->nfiles; i++)
		if (s->files[i].fid == f->fid && s->files[i].generation == f->generation)
			return &s->files[i];
	return NULL;
}

/* The bytes [at, at + n) are those of this state's file; behind its end are zeroes. */
static int same(const struct file *f, const uint8_t *bytes, uint64_t at, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (bytes[i] != (at + i < f->size ? f->bytes[at + i] : 0))
			return 0;
	return 1;
}

static const char *match_file(const struct file *f, const struct state *states, uint32_t from, uint32_t to)
{
	static char wrong[200];

	for (uint64_t at = 0; at < f->size; at += 512) {
		uint64_t n = f->size - at < 512 ? f->size - at : 512;
		int ok = 0;

		for (uint32_t k = from; k <= to && !ok; k++) {
			const struct file *was = file_of(&states[k], f);

			ok = was && same(was, f->bytes + at, at, n);
		}
		if (!ok) {
			snprintf(wrong, sizeof(wrong), "file %llu has bytes at %llu that were never there: %02x %02x %02x",
				 (unsigned long long)f->fid, (unsigned long long)at, f->bytes[at], f->bytes[at + 1], f->bytes[at + 2]);
			return wrong;
		}
	}
	return NULL;
}

const char *state_match(const struct state *found, const struct state *states, uint32_t from, uint32_t to, int late, uint32_t *which)
{
	for (uint32_t k = from; k <= to; k++) {
		if (strcmp(found->tree, states[k].tree))
			continue;
		*which = k;
		for (uint32_t i = 0; i < found->nfiles; i++) {
			const char *wrong = match_file(&found->files[i], states, late ? from : k, to);

			if (wrong)
				return wrong;
		}
		return NULL;
	}
	return "the tree is none that ever was";
}
