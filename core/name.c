/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name cache: what a name in a directory stands for, or that it is not there. A fixed table in which new
 * entries push old ones out: it only ever saves a call. A directory is known by its handle, whose generation
 * changes when the vnode is used again, so entries of a forgotten directory never match.
 */
#include "fs.h"

enum { ENTRIES = 1 << 15, NAME_KEPT = 40, LOCKS = 64 };

struct entry {
	td_handle dir; /* 0: empty */
	uint64_t fid;  /* 0: the name is not there */
	uint64_t hash;
	uint8_t len;
	uint8_t name[NAME_KEPT - 1];
};

struct td__names {
	struct entry entries[ENTRIES];
	struct td__mutex locks[LOCKS]; /* lock n guards the entries whose index is n modulo LOCKS */
};

int td__names_init(struct td__fs *fs)
{
	fs->names = td__port_alloc(sizeof(*fs->names));
	if (!fs->names)
		return -TD_ENOMEM;
	for (int i = 0; i < LOCKS; i++)
		td__mutex_init(&fs->names->locks[i]);
	return 0;
}

void td__names_fini(struct td__fs *fs)
{
	if (!fs->names)
		return;
	for (int i = 0; i < LOCKS; i++)
		td__mutex_fini(&fs->names->locks[i]);
	td__port_free(fs->names, sizeof(*fs->names));
}

/* FNV-1a, 64 bits, over the handle and the name. */
static uint64_t hash_of(td_handle dir, struct td_name name)
{
	uint64_t h = 0xcbf29ce484222325ull ^ dir * 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < name.len; i++)
		h = (h ^ name.bytes[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

int td__name_get(struct td__vnode *dir, struct td_name name, uint64_t *fid)
{
	struct td__names *n = dir->fs->names;
	td_handle h = td__vnode_handle(dir);
	uint64_t hash = hash_of(h, name);
	struct entry *e = &n->entries[hash % ENTRIES];
	int found = TD__NAME_UNKNOWN;

	if (name.len >= NAME_KEPT)
		return TD__NAME_UNKNOWN;
	td__mutex_lock(&n->locks[hash % LOCKS]);
	if (e->dir == h && e->hash == hash && e->len == name.len && !memcmp(e->name, name.bytes, name.len)) {
		*fid = e->fid;
		found = e->fid ? TD__NAME_KNOWN : TD__NAME_ABSENT;
	}
	td__mutex_unlock(&n->locks[hash % LOCKS]);
	return found;
}

void td__name_set(struct td__vnode *dir, struct td_name name, uint64_t fid)
{
	struct td__names *n = dir->fs->names;
	td_handle h = td__vnode_handle(dir);
	uint64_t hash = hash_of(h, name);
	struct entry *e = &n->entries[hash % ENTRIES];

	if (name.len >= NAME_KEPT)
		return;
	td__mutex_lock(&n->locks[hash % LOCKS]);
	e->dir = h;
	e->fid = fid;
	e->hash = hash;
	e->len = (uint8_t)name.len;
	memcpy(e->name, name.bytes, name.len);
	td__mutex_unlock(&n->locks[hash % LOCKS]);
}
