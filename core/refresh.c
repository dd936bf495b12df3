/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File systems that others change, too (TD_FS_REMOTE): how long the kernel believes what it knows.
 *
 * A record is believed for as long as the module says, from the end of the call that brought it. Then, and whenever a
 * file is opened, the module is asked again (refresh), under the shared lock, so that nobody who reads waits for it. An
 * answer that another call has overtaken is dropped. Of what was changed by others the kernel forgets more: the names of a
 * directory, and the front end is told of new content at the next open. What the server knows no more is `gone`: names
 * lead to it no longer.
 */
#include "fs.h"

void td__vnode_believe(struct td__vnode *v, uint32_t ms)
{
	if (!v->fs->remote)
		return;
	v->changes++;
	__atomic_store_n(&v->until, td__port_monotonic() + ms * 1000000ull, __ATOMIC_RELAXED);
}

uint32_t td__vnode_valid(const struct td__vnode *v)
{
	uint64_t until, now, ms;

	if (!v->fs->remote)
		return ~0u;
	until = __atomic_load_n(&v->until, __ATOMIC_RELAXED);
	now = td__port_monotonic();
	ms = until > now ? (until - now) / 1000000 : 0;
	return ms < ~0u ? (uint32_t)ms : ~0u - 1;
}

int td__vnode_is_gone(const struct td__vnode *v)
{
	return __atomic_load_n(&v->gone, __ATOMIC_RELAXED) != 0;
}

static int differ(const struct td_time *a, const struct td_time *b)
{
	return a->sec != b->sec || a->nsec != b->nsec;
}

/* The exclusive lock is held. */
static int take(struct td__vnode *v, struct td_vnode *now, uint32_t changes, uint32_t valid)
{
	struct td_vnode *rec = &v->rec;

	if (now->type != rec->type)
		return -TD_ESTALE;
	if (v->changes != changes)
		return 0;
	if (differ(&now->mtime, &rec->mtime) || now->size != rec->size)
		__atomic_add_fetch(&v->contents, 1, __ATOMIC_RELAXED);
	if (rec->type == TD_DIR && differ(&now->mtime, &rec->mtime))
		__atomic_add_fetch(&v->names, 1, __ATOMIC_RELAXED);
	now->flags = rec->flags;
	td__record_take(rec, now);
	td__vnode_believe(v, valid);
	return 0;
}

int td__vnode_refresh(struct td__vnode *v, int now)
{
	struct td__fs *fs = v->fs;
	struct td_vnode rec;
	uint32_t changes, valid = 0;
	int err;

	if (!fs->remote || (!now && td__vnode_valid(v)) || !td__hook_bound(fs, TD_OP_refresh))
		return 0;
	td__rwlock_shared(&v->lock);
	changes = v->changes;
	err = td__fs_refresh(fs, v, &rec, &valid);
	td__rwlock_unlock(&v->lock);
	if (!err) {
		td__rwlock_exclusive(&v->lock);
		err = take(v, &rec, changes, valid);
		td__rwlock_unlock(&v->lock);
	}
	if (err == -TD_ESTALE)
		__atomic_store_n(&v->gone, 1, __ATOMIC_RELAXED);
	return err;
}

void td__vnode_opened(struct td__vnode *v, int more)
{
	__atomic_add_fetch(&v->opens, more ? 1u : ~0u, __ATOMIC_RELAXED);
}

int td__vnode_is_new_content(struct td__vnode *v)
{
	uint32_t contents = __atomic_load_n(&v->contents, __ATOMIC_RELAXED);

	return __atomic_exchange_n(&v->contents_opened, contents, __ATOMIC_RELAXED) != contents;
}
