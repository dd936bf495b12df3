/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on a volume, each drawn by chance and compared with the model. What succeeds is acknowledged, and the model takes it over.
 * What fails with EIO while the module failed is not: then the model holds both the old and the new for right.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH = 1024, TRANSFER = 20000 };

static uint8_t transfer[LAB_BYTES];

/* ---- Answers */

/* Was the module's failure to be seen by this operation? */
static int excused(const struct lab_work *w, uint64_t faults)
{
	const struct td__fs *fs = td_volume_fs(w->vol);

	return fs->nfaults != faults || fs->state == TD_STATE_DETACHED;
}

static uint64_t faults_now;

/* 1: the answer is the one due. */
static int settle(struct lab_work *w, const char *what, const char *path, int64_t is, int64_t due)
{
	snprintf(w->last[w->settled++ % LAB_LAST], sizeof(w->last[0]), "%s %.140s: %lld%s", what, path, (long long)is,
		 excused(w, faults_now) ? ", after a fault" : "");
	if (is == due)
		return 1;
	if (is == -EIO && excused(w, faults_now)) {
		w->failed++;
		return 0;
	}
	if (!w->wrong++)
		snprintf(w->first_wrong, sizeof(w->first_wrong), "%s %.100s: answered %lld instead of %lld", what, path, (long long)is,
			 (long long)due);
	return 0;
}

/* ---- Choosing */

#define TYPES(a) (1u << (a))
enum { ANY_TYPE = ~0u };

static int is_clean(const struct lab_model *m, const struct lab_entry *e)
{
	while (!e->vague && e->dir) {
		const struct lab_entry *up = 0;

		for (uint32_t i = 0; i < LAB_ENTRIES && !up; i++)
			if (m->entries[i].used && m->entries[i].node == e->dir)
				up = &m->entries[i];
		if (!up)
			return 0;
		e = up;
	}
	return !e->vague;
}

/* An entry of one of these types that is certainly there. */
static struct lab_entry *pick(struct lab_work *w, uint32_t types, char path[PATH])
{
	struct lab_model *m = w->model;
	uint32_t start = lab_below(w->random, LAB_ENTRIES);

	for (uint32_t i = 0; i < LAB_ENTRIES; i++) {
		struct lab_entry *e = &m->entries[(start + i) % LAB_ENTRIES];

		if (e->used && types & TYPES(m->nodes[e->node].type) && is_clean(m, e) && lab_model_path(m, e, path, PATH))
			return e;
	}
	return 0;
}

/* A directory, the root half of the time, and its path ("" for the root). */
static uint32_t pick_dir(struct lab_work *w, char path[PATH])
{
	struct lab_entry *e = lab_below(w->random, 2) ? pick(w, TYPES(TD_DIR), path) : 0;

	if (e && strlen(path) < 200)
		return e->node;
	path[0] = 0;
	return 0;
}

/* A name that is not there, in a directory, and its path, if the model has room for it. */
static int pick_new(struct lab_work *w, uint32_t *dir, char name[64], char path[PATH])
{
	static const char padding[] = "-a-name-that-is-somewhat-longer-than-most";
	size_t used;

	if (!lab_model_has_room(w->model))
		return 0;
	*dir = pick_dir(w, path);
	snprintf(name, 64, "n%u%.*s", lab_below(w->random, 1000), (int)lab_below(w->random, 2) * (int)lab_below(w->random, 40), padding);
	if (lab_model_find(w->model, *dir, name))
		return 0;
	used = strlen(path);
	snprintf(path + used, PATH - used, "/%s", name);
	return 1;
}

/* ---- What the model does */

static void put_node(struct lab_work *w, uint32_t node)
{
	struct lab_node *n = &w->model->nodes[node];

	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (w->model->entries[i].used && w->model->entries[i].node == node)
			return;
	if (!n->held)
		n->used = 0;
}

static void add_links(struct lab_work *w, uint32_t dir, int n)
{
	w->model->nodes[dir].links += (uint32_t)n;
}

/* A name was to be made or taken away, and nobody knows whether it was. */
static void unsure_of(struct lab_work *w, struct lab_entry *e)
{
	if (!e)
		return;
	e->vague = 1;
	w->model->nodes[e->node].vague |= LAB_VAGUE_LINKS;
	w->model->nodes[e->dir].vague |= LAB_VAGUE_LINKS;
}

/* An operation that makes a name is over. */
static struct lab_entry *made(struct lab_work *w, const char *what, const char *path, int64_t rc, int64_t due, uint32_t dir,
			      const char *name, int node)
{
	int right = settle(w, what, path, rc, due);
	struct lab_entry *e = lab_model_link(w->model, dir, name, (uint32_t)node);

	if (!right)
		unsure_of(w, e);
	return right ? e : 0;
}

/* ---- Operations. 0: nothing fitting is there. */

static int do_make(struct lab_work *w, uint32_t type)
{
	char path[PATH], name[64];
	struct lab_node *n;
	uint32_t dir;
	int node, rc;

	if (!pick_new(w, &dir, name, path))
		return 0;
	node = lab_model_node(w->model, type);
	if (node < 0)
		return 0;
	n = &w->model->nodes[node];
	n->links = type == TD_DIR ? 2 : 1;
	n->mode = type == TD_DIR ? 0755 : type == TD_LNK ? 0777 : 0640;
	if (type == TD_DIR) {
		rc = td_path_mkdir(&w->task, path, n->mode);
	} else if (type == TD_LNK) {
		snprintf(n->target, sizeof(n->target), "to/%s", name);
		rc = td_path_symlink(&w->task, n->target, path);
	} else {
		rc = td_path_mknod(&w->task, path, S_IFREG | n->mode, 0);
	}
	if (made(w, "make", path, rc, 0, dir, name, node) && type == TD_DIR)
		add_links(w, dir, 1);
	return 1;
}

static int do_create(struct lab_work *w)
{
	return do_make(w, TD_REG);
}

static int do_mkdir(struct lab_work *w)
{
	return do_make(w, TD_DIR);
}

static int do_symlink(struct lab_work *w)
{
	return do_make(w, TD_LNK);
}

static void fill(struct lab_work *w, uint8_t *p, uint32_t len)
{
	uint64_t word = lab_next(w->random);

	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(word >> i % 8 * 8) ^ (uint8_t)(i >> 3);
}

/* A change of content that failed: these bytes may be the old or the new ones. */
static void unsure_of_bytes(struct lab_node *n, uint64_t from, uint64_t to, uint64_t size)
{
	n->vague |= LAB_VAGUE_DATA;
	n->vague_from = from;
	n->vague_to = to;
	n->vague_size = size;
}

/* Into an open file. */
static void write_fd(struct lab_work *w, int fd, struct lab_node *n, const char *path)
{
	uint64_t off = lab_below(w->random, 3) ? n->size : lab_below(w->random, (uint32_t)n->size + 10000);
	uint32_t len = 1 + lab_below(w->random, lab_below(w->random, 4) ? 3000 : TRANSFER);
	uint64_t end;

	if (off + len > LAB_BYTES)
		return;
	end = off + len;
	fill(w, transfer, len);
	int64_t rc = td_fd_pwrite(&w->task, fd, transfer, len, (int64_t)off);
	/* The module failed on the way: what was written before that is acknowledged, and the rest is not. */
	if (rc > 0 && rc < (int64_t)len && excused(w, faults_now)) {
		w->failed++;
		len = (uint32_t)rc;
		end = off + len;
	}
	if (settle(w, "write", path, rc, len)) {
		memcpy(n->data + off, transfer, len);
		if (end > n->size)
			n->size = end;
	} else {
		unsure_of_bytes(n, off < n->size ? off : n->size, end, end > n->size ? end : n->size);
		/* Written halfway, the file may also have got only so far. */
		if (rc >= 0 || end > n->size)
			n->vague_to = LAB_BYTES;
	}
}

static int open_picked(struct lab_work *w, int flags, char path[PATH], struct lab_node **n, uint32_t *node)
{
	struct lab_entry *e = pick(w, TYPES(TD_REG), path);
	int fd;

	if (!e)
		return -1;
	*n = &w->model->nodes[e->node];
	*node = e->node;
	if (flags != O_RDONLY && (*n)->vague & LAB_VAGUE_DATA)
		return -1;
	fd = td_path_open(&w->task, path, flags, 0);
	settle(w, "open", path, fd < 0 ? fd : 0, 0);
	return fd;
}

static int do_write(struct lab_work *w)
{
	char path[PATH];
	struct lab_node *n;
	uint32_t node;
	int fd = open_picked(w, O_WRONLY, path, &n, &node);

	if (fd < 0)
		return 0;
	write_fd(w, fd, n, path);
	td_fd_close(&w->task, fd);
	return 1;
}

static void read_fd(struct lab_work *w, int fd, const struct lab_node *n, const char *path)
{
	uint64_t off = lab_below(w->random, (uint32_t)n->size + 100);
	uint32_t len = 1 + lab_below(w->random, TRANSFER);
	uint64_t due = off >= n->size ? 0 : n->size - off < len ? n->size - off : len;
	int64_t got = td_fd_pread(&w->task, fd, transfer, len, (int64_t)off);

	if (n->vague & LAB_VAGUE_DATA || !settle(w, "read", path, got, (int64_t)due))
		return;
	if (memcmp(transfer, n->data + off, due) && !w->wrong++)
		snprintf(w->first_wrong, sizeof(w->first_wrong), "read %.100s: %u bytes at %u are not those written", path, (uint32_t)due,
			 (uint32_t)off);
}

static int do_read(struct lab_work *w)
{
	char path[PATH];
	struct lab_node *n;
	uint32_t node;
	int fd = open_picked(w, O_RDONLY, path, &n, &node);

	if (fd < 0)
		return 0;
	read_fd(w, fd, n, path);
	td_fd_close(&w->task, fd);
	return 1;
}

static int do_truncate(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, TYPES(TD_REG), path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;
	uint64_t size;

	if (!n || n->vague & LAB_VAGUE_DATA)
		return 0;
	size = lab_below(w->random, (uint32_t)n->size + 5000);
	if (size > LAB_BYTES)
		return 0;
	if (settle(w, "truncate", path, td_path_truncate(&w->task, path, (int64_t)size), 0)) {
		if (size < n->size)
			memset(n->data + size, 0, n->size - size);
		n->size = size;
	} else {
		unsure_of_bytes(n, size < n->size ? size : n->size, LAB_BYTES, size);
	}
	return 1;
}

static int do_punch(struct lab_work *w)
{
	char path[PATH];
	struct lab_node *n;
	uint32_t node, off, len;
	int fd = open_picked(w, O_RDWR, path, &n, &node), rc;

	if (fd < 0)
		return 0;
	off = lab_below(w->random, (uint32_t)n->size + 1);
	len = 1 + lab_below(w->random, 20000);
	rc = td_fd_fallocate(&w->task, fd, TD_FALLOC_PUNCH_HOLE | TD_FALLOC_KEEP_SIZE, off, len);
	if (rc == -EOPNOTSUPP) {
		w->failed++;
	} else if (!settle(w, "punch", path, rc, 0)) {
		unsure_of_bytes(n, off, (uint64_t)off + len, n->size);
	} else if (off < n->size) {
		memset(n->data + off, 0, off + len < n->size ? len : n->size - off);
	}
	td_fd_close(&w->task, fd);
	return 1;
}

static int do_unlink(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, ~TYPES(TD_DIR), path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;

	if (!e)
		return 0;
	if (settle(w, "unlink", path, td_path_unlink(&w->task, path), 0)) {
		lab_model_unlink(w->model, e);
		n->links--;
		put_node(w, e->node);
	} else {
		unsure_of(w, e);
	}
	return 1;
}

static int is_empty(const struct lab_model *m, uint32_t dir)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (m->entries[i].used && m->entries[i].dir == dir)
			return 0;
	return 1;
}

static int has_vague(const struct lab_model *m, uint32_t dir)
{
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		if (m->entries[i].used && m->entries[i].dir == dir && m->entries[i].vague)
			return 1;
	return 0;
}

static int do_rmdir(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, TYPES(TD_DIR), path);
	int rc;

	if (!e || has_vague(w->model, e->node))
		return 0;
	rc = td_path_rmdir(&w->task, path);
	if (!is_empty(w->model, e->node)) {
		settle(w, "rmdir", path, rc, -ENOTEMPTY);
	} else if (settle(w, "rmdir", path, rc, 0)) {
		add_links(w, e->dir, -1);
		lab_model_unlink(w->model, e);
		put_node(w, e->node);
	} else {
		unsure_of(w, e);
	}
	return 1;
}

static void moved(struct lab_work *w, struct lab_entry *e, uint32_t dir, const char *name)
{
	if (w->model->nodes[e->node].type == TD_DIR) {
		add_links(w, e->dir, -1);
		add_links(w, dir, 1);
	}
	e->dir = dir;
	snprintf(e->name, sizeof(e->name), "%s", name);
}

/* To a new name. A directory stays where it is, so that it cannot come to lie in itself. */
static int do_rename(struct lab_work *w)
{
	char from[PATH], to[PATH], name[64];
	struct lab_entry *e = pick(w, ANY_TYPE, from);
	uint32_t dir;

	if (!e || !pick_new(w, &dir, name, to))
		return 0;
	if (w->model->nodes[e->node].type == TD_DIR && dir != e->dir)
		return 0;
	if (settle(w, "rename", from, td_path_rename(&w->task, from, to, 0), 0)) {
		moved(w, e, dir, name);
	} else {
		unsure_of(w, e);
		unsure_of(w, lab_model_link(w->model, dir, name, e->node));
	}
	return 1;
}

/* Over a name that is there. */
static int do_replace(struct lab_work *w)
{
	char from[PATH], to[PATH], name[TD_NAME_MAX + 1];
	struct lab_entry *e = pick(w, TYPES(TD_REG), from), *over = pick(w, TYPES(TD_REG), to);
	uint32_t dir, gone;

	if (!e || !over || e->node == over->node)
		return 0;
	gone = over->node;
	dir = over->dir;
	snprintf(name, sizeof(name), "%s", over->name);
	if (settle(w, "replace", from, td_path_rename(&w->task, from, to, 0), 0)) {
		lab_model_unlink(w->model, over);
		moved(w, e, dir, name);
		w->model->nodes[gone].links--;
		put_node(w, gone);
	} else {
		unsure_of(w, e);
		unsure_of(w, over);
		over->vague = 2;
	}
	return 1;
}

static int do_link(struct lab_work *w)
{
	char from[PATH], to[PATH], name[64];
	struct lab_entry *e = pick(w, TYPES(TD_REG), from);
	uint32_t dir;

	if (!e || !pick_new(w, &dir, name, to))
		return 0;
	if (made(w, "link", to, td_path_link(&w->task, from, to, 0), 0, dir, name, (int)e->node))
		w->model->nodes[e->node].links++;
	return 1;
}

static int do_readlink(struct lab_work *w)
{
	char path[PATH], target[80] = "";
	struct lab_entry *e = pick(w, TYPES(TD_LNK), path);
	const char *due = e ? w->model->nodes[e->node].target : "";

	if (!e)
		return 0;
	if (settle(w, "readlink", path, td_path_readlink(&w->task, path, target, sizeof(target) - 1), (int64_t)strlen(due)) &&
	    strcmp(target, due) && !w->wrong++)
		snprintf(w->first_wrong, sizeof(w->first_wrong), "readlink %.100s: another target", path);
	return 1;
}

static int do_stat(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, ANY_TYPE, path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;
	struct td_vnode v;

	if (!e || !settle(w, "stat", path, td_path_stat(&w->task, path, AT_SYMLINK_NOFOLLOW, &v), 0))
		return e != 0;
	settle(w, "type of", path, v.type, n->type);
	if (n->type == TD_REG && !(n->vague & LAB_VAGUE_DATA))
		settle(w, "size of", path, (int64_t)v.size, (int64_t)n->size);
	if (!(n->vague & LAB_VAGUE_ATTRS))
		settle(w, "mode of", path, v.mode, n->mode);
	if (!(n->vague & LAB_VAGUE_LINKS))
		settle(w, "links of", path, v.nlink, n->links);
	return 1;
}

static int do_list(struct lab_work *w)
{
	char path[PATH];
	uint32_t dir = pick_dir(w, path), is = 0, due = 0;
	struct td_entry e;
	int fd = td_path_open(&w->task, path[0] ? path : "/", O_RDONLY | O_DIRECTORY, 0), err;

	if (!settle(w, "open", path, fd < 0 ? fd : 0, 0))
		return 1;
	while ((err = td_fd_readdir(&w->task, fd, &e)) > 0 && is < 4 * LAB_ENTRIES)
		is++;
	td_fd_close(&w->task, fd);
	for (uint32_t i = 0; i < LAB_ENTRIES; i++)
		due += w->model->entries[i].used && w->model->entries[i].dir == dir;
	if (settle(w, "list", path, err, 0) && !has_vague(w->model, dir))
		settle(w, "names in", path, is, due + 2);
	return 1;
}

static int do_chmod(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, ~TYPES(TD_LNK), path);
	uint32_t mode = 0600 | lab_below(w->random, 0200), uid = lab_below(w->random, 1000);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;

	if (!e)
		return 0;
	if (settle(w, "chown", path, td_path_chown(&w->task, path, uid, uid + 1, 0), 0)) {
		n->uid = uid;
		n->gid = uid + 1;
	} else {
		n->vague |= LAB_VAGUE_ATTRS;
	}
	if (settle(w, "chmod", path, td_path_chmod(&w->task, path, mode), 0))
		n->mode = mode;
	else
		n->vague |= LAB_VAGUE_ATTRS;
	return 1;
}

static int do_setxattr(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, TYPES(TD_REG) | TYPES(TD_DIR), path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;
	uint32_t which = lab_below(w->random, LAB_XATTRS), len = 1 + lab_below(w->random, LAB_VALUE);

	if (!e || n->vague & LAB_VAGUE_XATTRS)
		return 0;
	fill(w, transfer, len);
	if (settle(w, "setxattr", path, td_path_setxattr(&w->task, path, lab_xattr_names[which], transfer, len, 0, 0), 0)) {
		memcpy(n->xattr[which].value, transfer, len);
		n->xattr[which].len = len;
	} else {
		n->vague |= LAB_VAGUE_XATTRS;
	}
	return 1;
}

static int do_removexattr(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, TYPES(TD_REG) | TYPES(TD_DIR), path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;
	uint32_t which = lab_below(w->random, LAB_XATTRS);

	if (!e || n->vague & LAB_VAGUE_XATTRS)
		return 0;
	if (settle(w, "removexattr", path, td_path_removexattr(&w->task, path, lab_xattr_names[which], 0), n->xattr[which].len ? 0 : -ENODATA))
		n->xattr[which].len = 0;
	else
		n->vague |= LAB_VAGUE_XATTRS;
	return 1;
}

static int do_getxattr(struct lab_work *w)
{
	char path[PATH];
	struct lab_entry *e = pick(w, TYPES(TD_REG) | TYPES(TD_DIR), path);
	struct lab_node *n = e ? &w->model->nodes[e->node] : 0;
	uint32_t which = lab_below(w->random, LAB_XATTRS);
	int64_t due;

	if (!e || n->vague & LAB_VAGUE_XATTRS)
		return 0;
	due = n->xattr[which].len ? (int64_t)n->xattr[which].len : -ENODATA;
	if (settle(w, "getxattr", path, td_path_getxattr(&w->task, path, lab_xattr_names[which], transfer, LAB_VALUE, 0), due) && due > 0 &&
	    memcmp(transfer, n->xattr[which].value, (size_t)due) && !w->wrong++)
		snprintf(w->first_wrong, sizeof(w->first_wrong), "getxattr %.100s: another value", path);
	return 1;
}

static int do_fsync(struct lab_work *w)
{
	char path[PATH];
	struct lab_node *n;
	uint32_t node;
	int fd;

	if (lab_below(w->random, 2)) {
		settle(w, "sync", "", td_volume_sync(w->vol), 0);
		return 1;
	}
	fd = open_picked(w, O_RDWR, path, &n, &node);
	if (fd < 0)
		return 0;
	settle(w, "fsync", path, td_fd_sync(&w->task, fd), 0);
	td_fd_close(&w->task, fd);
	return 1;
}

static int do_statfs(struct lab_work *w)
{
	struct td_fsinfo info;

	settle(w, "statfs", "/", td_path_statfs(&w->task, "/", &info), 0);
	return 1;
}

/* Names that are not there, or are there already. */
static int do_refused(struct lab_work *w)
{
	char path[PATH], name[64];
	struct lab_entry *e = pick(w, ANY_TYPE, path);
	struct td_vnode v;
	uint32_t dir;

	if (e && w->writable)
		settle(w, "mkdir", path, td_path_mkdir(&w->task, path, 0700), -EEXIST);
	if (!pick_new(w, &dir, name, path))
		return 0;
	settle(w, "stat", path, td_path_stat(&w->task, path, 0, &v), -ENOENT);
	return 1;
}

/* A file stays open while other things happen, its unlinking included. */
static int do_hold(struct lab_work *w)
{
	uint32_t i = lab_below(w->random, LAB_HELD);
	char path[PATH];
	struct lab_node *n;

	if (w->held[i].fd >= 0) {
		td_fd_close(&w->task, w->held[i].fd);
		w->held[i].fd = -1;
		w->model->nodes[w->held[i].node].held--;
		put_node(w, w->held[i].node);
		return 1;
	}
	w->held[i].fd = open_picked(w, w->writable ? O_RDWR : O_RDONLY, path, &n, &w->held[i].node);
	if (w->held[i].fd < 0)
		return 0;
	n->held++;
	return 1;
}

static int do_held(struct lab_work *w)
{
	uint32_t i = lab_below(w->random, LAB_HELD);
	struct lab_node *n = &w->model->nodes[w->held[i].node];

	if (w->held[i].fd < 0)
		return 0;
	if (w->writable && !(n->vague & LAB_VAGUE_DATA) && lab_below(w->random, 2))
		write_fd(w, w->held[i].fd, n, "of an open file");
	else
		read_fd(w, w->held[i].fd, n, "of an open file");
	return 1;
}

static const struct {
	int (*run)(struct lab_work *w);
	uint32_t weight, changes; /* changes: only where the module can be written to */
} operations[] = {
	{ do_create, 10, 1 }, { do_mkdir, 4, 1 },     { do_symlink, 2, 1 },  { do_write, 16, 1 },      { do_read, 10, 0 },
	{ do_truncate, 4, 1 }, { do_punch, 2, 1 },    { do_unlink, 5, 1 },   { do_rmdir, 2, 1 },       { do_rename, 5, 1 },
	{ do_replace, 3, 1 }, { do_link, 3, 1 },      { do_readlink, 2, 0 }, { do_stat, 6, 0 },        { do_list, 5, 0 },
	{ do_chmod, 4, 1 },   { do_setxattr, 3, 1 },  { do_getxattr, 2, 1 }, { do_removexattr, 1, 1 }, { do_fsync, 2, 0 },
	{ do_statfs, 1, 0 },  { do_refused, 3, 0 },   { do_hold, 3, 0 },     { do_held, 5, 0 },
};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

/* ---- */

void lab_work_init(struct lab_work *w, struct lab_model *m, struct td_volume *vol, struct lab_random *r)
{
	memset(w, 0, sizeof(*w));
	w->model = m;
	w->vol = vol;
	w->random = r;
	w->task = (struct td_task){ .volume = vol, .cwd = TD_CWD_ROOT };
	w->writable = 1;
	for (int i = 0; i < LAB_HELD; i++)
		w->held[i].fd = -1;
}

void lab_work_probe(struct lab_work *w)
{
	w->writable = !td_path_mkdir(&w->task, "/probe", 0700) && !td_path_rmdir(&w->task, "/probe");
	if (!w->writable)
		return;
	if (td_path_mkdir(&w->task, "/probe", 0700))
		return;
	w->no_xattrs = td_path_setxattr(&w->task, "/probe", lab_xattr_names[0], "x", 1, 0, 0) != 0;
	td_path_rmdir(&w->task, "/probe");
}

static int suits(const struct lab_work *w, uint32_t i)
{
	int xattrs = operations[i].run == do_setxattr || operations[i].run == do_getxattr || operations[i].run == do_removexattr;

	return (w->writable || !operations[i].changes) && !(xattrs && w->no_xattrs);
}

static uint32_t weights(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < OPERATIONS; i++)
		sum += operations[i].weight;
	return sum;
}

void lab_work_once(struct lab_work *w)
{
	for (int tries = 0; tries < 100; tries++) {
		uint32_t at = lab_below(w->random, weights()), i = 0;

		while (i < OPERATIONS - 1 && at >= operations[i].weight)
			at -= operations[i++].weight;
		if (!suits(w, i))
			continue;
		lab_watch_tick();
		faults_now = td_volume_fs(w->vol)->nfaults;
		if (operations[i].run(w)) {
			w->operations++;
			return;
		}
	}
}

void lab_work_end(struct lab_work *w)
{
	for (int i = 0; i < LAB_HELD; i++)
		if (w->held[i].fd >= 0)
			td_fd_close(&w->task, w->held[i].fd);
}
