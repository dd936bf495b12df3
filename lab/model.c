/* SPDX-License-Identifier: BSD-2-Clause */
/* What has been acknowledged: a tree in memory, and its comparison with a volume. See lab.h. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PATH = 1024 };

const char *const lab_xattr_names[LAB_XATTRS] = { "user.one", "user.two" };

void lab_model_init(struct lab_model *m)
{
	memset(m, 0, sizeof(*m));
	m->nodes[0] = (struct lab_node){ .used = 1, .type = TD_DIR, .mode = 0755, .links = 2 };
}

/* Pages that cost nothing until they are touched: most files are short. */
static uint8_t *zeroes(size_t size)
{
	void *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 0 : p;
}

int lab_model_node(struct lab_model *m, uint32_t type)
{
	for (int i = 1; i < LAB_NODES; i++) {
		struct lab_node *n = &m->nodes[i];
		uint8_t *data = n->data;

		if (n->used)
			continue;
		if (data && n->type == TD_REG)
			memset(data, 0, n->size); /* behind its end are zeroes already */
		memset(n, 0, sizeof(*n));
		n->data = data ? data : zeroes(LAB_BYTES);
		if (!n->data)
			return -1;
		n->used = 1;
		n->type = type;
		return i;
	}
	return -1;
}

struct lab_entry *lab_model_link(struct lab_model *m, uint32_t dir, const char *name, uint32_t node)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++) {
		struct lab_entry *e = &m->entries[i];

		if (e->used)
			continue;
		e->used = 1;
		e->vague = 0;
		e->dir = dir;
		e->node = node;
		snprintf(e->name, sizeof(e->name), "%s", name);
		return e;
	}
	return 0;
}

int lab_model_has_room(const struct lab_model *m)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (!m->entries[i].used)
			return 1;
	return 0;
}

struct lab_entry *lab_model_find(struct lab_model *m, uint32_t dir, const char *name)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (m->entries[i].used && m->entries[i].dir == dir && !strcmp(m->entries[i].name, name))
			return &m->entries[i];
	return 0;
}

void lab_model_unlink(struct lab_model *m, struct lab_entry *e)
{
	(void)m;
	e->used = 0;
}

static const struct lab_entry *entry_of_dir(const struct lab_model *m, uint32_t dir)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (m->entries[i].used && m->entries[i].node == dir)
			return &m->entries[i];
	return 0;
}

int lab_model_dir_path(const struct lab_model *m, uint32_t dir, char *path, size_t size)
{
	const struct lab_entry *e;

	if (!dir) {
		path[0] = 0;
		return 1;
	}
	e = entry_of_dir(m, dir);
	return e && lab_model_path(m, e, path, size);
}

int lab_model_path(const struct lab_model *m, const struct lab_entry *e, char *path, size_t size)
{
	size_t used;

	if (!lab_model_dir_path(m, e->dir, path, size))
		return 0;
	used = strlen(path);
	return (size_t)snprintf(path + used, size - used, "/%s", e->name) < size - used;
}

/* ---- Learning what is there */

static int load_content(struct lab_node *n, const struct td_task *t, const char *path)
{
	int fd = td_path_open(t, path, O_RDONLY, 0);
	int64_t got = fd < 0 ? fd : td_fd_pread(t, fd, n->data, LAB_BYTES, 0);

	if (fd >= 0)
		td_fd_close(t, fd);
	return got < 0 ? (int)got : 0;
}

static int load_node(struct lab_model *m, const struct td_task *t, const char *path, int *node)
{
	struct td_vnode v;
	int err = td_path_stat(t, path, AT_SYMLINK_NOFOLLOW, &v);
	struct lab_node *n;

	if (err)
		return err;
	*node = lab_model_node(m, v.type);
	if (*node < 0)
		return -ENOSPC;
	n = &m->nodes[*node];
	n->mode = v.mode;
	n->uid = v.uid;
	n->gid = v.gid;
	n->links = v.nlink;
	n->size = v.size;
	n->rdev = v.rdev;
	if (v.type == TD_REG)
		return v.size > LAB_BYTES ? -EFBIG : load_content(n, t, path);
	if (v.type == TD_LNK)
		return td_path_readlink(t, path, n->target, sizeof(n->target) - 1) < 0 ? -EIO : 0;
	return 0;
}

static int load_dir(struct lab_model *m, const struct td_task *t, uint32_t dir)
{
	char path[PATH] = "/";
	struct td_entry e;
	int fd, err, node = 0;

	if (dir && !lab_model_dir_path(m, dir, path, sizeof(path)))
		return -ENAMETOOLONG;
	fd = td_path_open(t, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	while ((err = td_fd_readdir(t, fd, &e)) > 0) {
		struct lab_entry *new;

		if (!strcmp(e.name, ".") || !strcmp(e.name, ".."))
			continue;
		new = lab_model_link(m, dir, e.name, 0);
		err = new && lab_model_path(m, new, path, sizeof(path)) ? load_node(m, t, path, &node) : -ENOSPC;
		if (err)
			break;
		new->node = (uint32_t)node;
		if (m->nodes[node].type == TD_DIR)
			err = load_dir(m, t, (uint32_t)node);
		if (err)
			break;
	}
	td_fd_close(t, fd);
	return err;
}

int lab_model_load(struct lab_model *m, struct td_volume *vol)
{
	struct td_task t = { .volume = vol, .cwd = TD_CWD_ROOT };
	struct td_vnode v;
	int err;

	lab_model_init(m);
	err = td_path_stat(&t, "/", 0, &v);
	if (err)
		return err;
	m->nodes[0].mode = v.mode;
	m->nodes[0].links = v.nlink;
	m->nodes[0].uid = v.uid;
	m->nodes[0].gid = v.gid;
	return load_dir(m, &t, 0);
}

/* ---- Comparing */

struct verify {
	const struct lab_model *m;
	struct td_task t;
	uint32_t differences;
	char *what;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void differs(struct verify *v, const char *format, ...)
{
	va_list ap;

	if (v->differences++)
		return;
	va_start(ap, format);
	vsnprintf(v->what, v->size, format, ap);
	va_end(ap);
}

static void verify_number(struct verify *v, const char *path, const char *field, uint64_t is, uint64_t should)
{
	if (is != should)
		differs(v, "%s: %s is %llu instead of %llu", path, field, (unsigned long long)is, (unsigned long long)should);
}

static void verify_attrs(struct verify *v, const char *path, const struct lab_node *n, const struct td_vnode *a)
{
	verify_number(v, path, "type", a->type, n->type);
	if (!(n->vague & LAB_VAGUE_LINKS))
		verify_number(v, path, "links", a->nlink, n->links);
	if (n->vague & LAB_VAGUE_ATTRS)
		return;
	verify_number(v, path, "mode", a->mode, n->mode);
	verify_number(v, path, "owner", a->uid, n->uid);
	verify_number(v, path, "group", a->gid, n->gid);
}

static int may_differ(const struct lab_node *n, uint64_t at)
{
	return n->vague & LAB_VAGUE_DATA && at >= n->vague_from && at < n->vague_to;
}

static void verify_bytes(struct verify *v, const char *path, const struct lab_node *n, const uint8_t *got, uint64_t len)
{
	if (!(n->vague & LAB_VAGUE_DATA) && !memcmp(got, n->data, len))
		return;
	for (uint64_t i = 0; i < len; i++)
		if (got[i] != n->data[i] && !may_differ(n, i)) {
			differs(v, "%s: byte %llu of %llu is 0x%02x instead of 0x%02x", path, (unsigned long long)i, (unsigned long long)len,
				got[i], n->data[i]);
			return;
		}
}

static void verify_content(struct verify *v, const char *path, const struct lab_node *n, uint64_t size)
{
	static uint8_t bytes[LAB_BYTES + 1];
	int fd = td_path_open(&v->t, path, O_RDONLY, 0);
	int64_t got = fd < 0 ? fd : td_fd_pread(&v->t, fd, bytes, sizeof(bytes), 0);

	if (fd >= 0)
		td_fd_close(&v->t, fd);
	if (got < 0) {
		differs(v, "%s: cannot be read: error %lld", path, (long long)-got);
		return;
	}
	verify_number(v, path, "bytes", (uint64_t)got, size);
	if (size != n->size && !(n->vague & LAB_VAGUE_DATA && size == n->vague_size))
		verify_number(v, path, "size", size, n->size);
	verify_bytes(v, path, n, bytes, (uint64_t)got < n->size ? (uint64_t)got : n->size);
}

static void verify_xattrs(struct verify *v, const char *path, const struct lab_node *n)
{
	uint8_t value[LAB_VALUE];

	if (n->vague & LAB_VAGUE_XATTRS)
		return;
	for (int i = 0; i < LAB_XATTRS; i++) {
		int got;

		if (!n->xattr[i].len)
			continue;
		got = td_path_getxattr(&v->t, path, lab_xattr_names[i], value, sizeof(value), AT_SYMLINK_NOFOLLOW);
		if (got != (int)n->xattr[i].len || memcmp(value, n->xattr[i].value, (size_t)got))
			differs(v, "%s: attribute %s is not what was set (%d)", path, lab_xattr_names[i], got);
	}
}

static void verify_target(struct verify *v, const char *path, const struct lab_node *n)
{
	char target[sizeof(n->target)] = "";
	int got = td_path_readlink(&v->t, path, target, sizeof(target) - 1);

	if (got < 0 || strcmp(target, n->target))
		differs(v, "%s: leads to '%s' instead of '%s' (%d)", path, got < 0 ? "" : target, n->target, got);
}

static void verify_entry(struct verify *v, const struct lab_entry *e)
{
	const struct lab_node *n = &v->m->nodes[e->node];
	char path[PATH];
	struct td_vnode a;
	int err;

	if (e->vague == 2 || !lab_model_path(v->m, e, path, sizeof(path)))
		return;
	err = td_path_stat(&v->t, path, AT_SYMLINK_NOFOLLOW, &a);
	if (err) {
		if (!e->vague || err != -ENOENT)
			differs(v, "%s: is not to be seen: error %d", path, -err);
		return;
	}
	verify_attrs(v, path, n, &a);
	if (n->type == TD_REG)
		verify_content(v, path, n, a.size);
	if (n->type == TD_LNK)
		verify_target(v, path, n);
	verify_xattrs(v, path, n);
}

/* Each name once, and none that should not be. */
static void verify_listing(struct verify *v, uint32_t dir, const char *path)
{
	uint8_t seen[LAB_ENTRIES] = { 0 };
	struct td_entry got;
	int fd = td_path_open(&v->t, path, O_RDONLY | O_DIRECTORY, 0), err, guard = 0;

	if (fd < 0) {
		differs(v, "%s: cannot be listed: error %d", path, -fd);
		return;
	}
	while ((err = td_fd_readdir(&v->t, fd, &got)) > 0 && guard++ < 1000) {
		struct lab_entry *e = lab_model_find((struct lab_model *)v->m, dir, got.name);

		if (!strcmp(got.name, ".") || !strcmp(got.name, ".."))
			continue;
		if (!e)
			differs(v, "%s: has the name '%s', which nobody made", path, got.name);
		else if (seen[e - v->m->entries]++)
			differs(v, "%s: has the name '%s' twice", path, got.name);
	}
	td_fd_close(&v->t, fd);
	if (err < 0)
		differs(v, "%s: cannot be listed: error %d", path, -err);
	for (uint32_t i = 0; err >= 0 && i < LAB_ENTRIES; i++) {
		const struct lab_entry *e = &v->m->entries[i];

		if (e->used && e->dir == dir && !e->vague && !seen[i])
			differs(v, "%s: the name '%s' is missing", path, e->name);
	}
}

/* A directory whose own name may be gone is not looked into. */
static int is_certain(const struct lab_model *m, uint32_t dir)
{
	const struct lab_entry *e;

	while (dir) {
		e = entry_of_dir(m, dir);
		if (!e || e->vague)
			return 0;
		dir = e->dir;
	}
	return 1;
}

uint32_t lab_model_verify(const struct lab_model *m, struct td_volume *vol, char *what, size_t size)
{
	struct verify v = { .m = m, .t = { .volume = vol, .cwd = TD_CWD_ROOT }, .what = what, .size = size };
	char path[PATH];

	for (uint32_t i = 0; i < LAB_NODES; i++)
		if (m->nodes[i].used && m->nodes[i].type == TD_DIR && is_certain(m, i) &&
		    lab_model_dir_path(m, i, path, sizeof(path)))
			verify_listing(&v, i, path[0] ? path : "/");
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (m->entries[i].used && is_certain(m, m->entries[i].dir))
			verify_entry(&v, &m->entries[i]);
	return v.differences;
}
