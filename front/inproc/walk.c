/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk along a path, as Linux does it.
 *
 * One name after the other is looked up, with one reference held: to the directory that was reached. A
 * symbolic link that is to be followed takes the place of its name in the text, and the walk goes on
 * from the directory that it lies in, or from the volume's root. So a link's own trailing slashes and
 * those behind it count alike, as they do for the system's own walk.
 */
#include "inproc.h"

enum { PATH_LIMIT = 4095, LINK_LIMIT = 40 };

static int walk_from(const struct td_task *t, const char *path, td_handle *dir)
{
	struct td__file *f;
	int err;

	if (*path == '/' || t->cwd == TD_CWD_ROOT) {
		*dir = td_fs_root(td__fs_of(t));
		return td_ref(td__fs_of(t), *dir);
	}
	f = td__file_get(t->volume, t->cwd);
	if (!f)
		return -EBADF;
	*dir = f->handle;
	err = f->type == TD_DIR ? td_ref(td__fs_of(t), *dir) : -ENOTDIR;
	td__file_put(t->volume, f);
	return err;
}

/* Put the link's target in front of `rest`, and go to the root if it is absolute. */
static int follow(const struct td_task *t, struct td__where *w, td_handle link, const char *rest)
{
	size_t tail = strlen(rest);
	char *text;
	int n;

	if (++w->links > LINK_LIMIT)
		return -ELOOP;
	text = malloc(PATH_LIMIT + tail + 1);
	if (!text)
		return -ENOMEM;
	n = td_readlink(td__fs_of(t), link, text, PATH_LIMIT);
	if (n <= 0) {
		free(text);
		return n ? n : -ENOENT;
	}
	memcpy(text + n, rest, tail + 1);
	free(w->path);
	w->path = text;
	if (*text != '/')
		return 0;
	td_forget(td__fs_of(t), w->dir, 1);
	w->dir = td_fs_root(td__fs_of(t));
	return td_ref(td__fs_of(t), w->dir);
}

static enum td__last kind_of(struct td_name name)
{
	if (name.len == 1 && name.bytes[0] == '.')
		return TD__LAST_DOT;
	if (name.len == 2 && name.bytes[0] == '.' && name.bytes[1] == '.')
		return TD__LAST_DOTDOT;
	return TD__LAST_NAME;
}

static int at_root(const struct td_task *t, struct td__where *w)
{
	int err = td_getattr(td__fs_of(t), w->dir, &w->v);

	if (!err)
		err = td_ref(td__fs_of(t), w->dir);
	w->last = TD__LAST_ROOT;
	w->found = !err;
	return err;
}

int td__walk_last(const struct td_task *t, struct td__where *w)
{
	struct td_cred cred = td__cred_of(t, false);
	int err;

	if (w->found)
		return 0;
	err = td_lookup(td__fs_of(t), &cred, w->dir, w->name, &w->v);
	w->found = !err;
	return err;
}

/*
 * One name. Returns 1 to go on with *at, 0 when the end is reached, or -errno.
 */
static int step(const struct td_task *t, struct td__where *w, uint32_t how, size_t *at)
{
	char *p = w->path + *at, *end;
	size_t slashes, len;
	bool final;
	int err;

	p += strspn(p, "/");
	if (!*p)
		return at_root(t, w);
	len = strcspn(p, "/");
	end = p + len;
	slashes = strspn(end, "/");
	final = !end[slashes];
	w->name = (struct td_name){ (const uint8_t *)p, (uint32_t)len };
	if (final) {
		w->last = kind_of(w->name);
		w->slash = slashes;
		if (how & TD__PARENT)
			return 0;
	}
	err = td__walk_last(t, w);
	if (err)
		return final && err == -ENOENT ? 0 : err;
	if (w->v.type == TD_LNK && (!final || slashes || (how & TD__FOLLOW))) {
		err = follow(t, w, w->v.handle, end);
		td_forget(td__fs_of(t), w->v.handle, 1);
		w->found = false;
		*at = 0;
		return err ? err : 1;
	}
	if ((!final || slashes) && w->v.type != TD_DIR)
		return -ENOTDIR;
	if (final)
		return 0;
	td_forget(td__fs_of(t), w->dir, 1);
	w->dir = w->v.handle;
	w->found = false;
	*at = (size_t)(end - w->path);
	return 1;
}

int td__walk_maybe(const struct td_task *t, const char *path, uint32_t how, struct td__where *w)
{
	size_t at = 0, len = strlen(path);
	int err;

	memset(w, 0, sizeof(*w));
	if (!len)
		return -ENOENT;
	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	w->path = strdup(path);
	if (!w->path)
		return -ENOMEM;
	err = walk_from(t, path, &w->dir);
	if (err) {
		free(w->path);
		return err;
	}
	do {
		err = step(t, w, how, &at);
	} while (err > 0);
	if (err)
		td__walk_end(t, w);
	return err;
}

int td__walk(const struct td_task *t, const char *path, uint32_t how, struct td__where *w)
{
	int err = td__walk_maybe(t, path, how, w);

	if (!err && !w->found && !(how & TD__PARENT)) {
		td__walk_end(t, w);
		return -ENOENT;
	}
	return err;
}

void td__walk_end(const struct td_task *t, struct td__where *w)
{
	if (w->found)
		td_forget(td__fs_of(t), w->v.handle, 1);
	td_forget(td__fs_of(t), w->dir, 1);
	free(w->path);
}
