/* SPDX-License-Identifier: BSD-2-Clause */
/* References that a module keeps over calls: the services vref and vrele. They count against the domain's limit, and end with the mount. */
#include "fs.h"

int td__vnode_keep(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	struct td__stripe *s;

	if (!v)
		return -TD_ESTALE;
	s = td__stripe_of(fs, v->fid);
	td__mutex_lock(&s->mutex);
	uint32_t limit = fs->domain->level.handles;
	if (limit && fs->kept >= limit) {
		td__mutex_unlock(&s->mutex);
		td__vnode_drop(v);
		return -TD_EMFILE;
	}
	v->kept++;
	__atomic_add_fetch(&fs->kept, 1, __ATOMIC_RELAXED);
	td__mutex_unlock(&s->mutex);
	return 0;
}

int td__vnode_unkeep(struct td__fs *fs, td_handle h)
{
	struct td__vnode *v = td__vnode_get(fs, h);
	struct td__stripe *s;
	uint32_t kept;

	if (!v)
		return -TD_ESTALE;
	s = td__stripe_of(fs, v->fid);
	td__mutex_lock(&s->mutex);
	kept = v->kept;
	if (kept) {
		v->kept--;
		__atomic_sub_fetch(&fs->kept, 1, __ATOMIC_RELAXED);
	}
	td__mutex_unlock(&s->mutex);
	td__vnode_drop(v);
	if (kept)
		td__vnode_drop(v);
	return kept ? 0 : -TD_ESTALE;
}

void td__vnodes_unkeep_all(struct td__fs *fs)
{
	for (uint32_t i = 0; fs->kept && i < fs->nvnodes; i++) {
		struct td__vnode *v = td__vnode_at(fs, i);

		while (v->kept && !td__vnode_unkeep(fs, v->handle))
			;
	}
}
