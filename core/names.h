/* SPDX-License-Identifier: BSD-2-Clause */
/* What operations on names share: names_ops.c, for rename.c. */
#ifndef TADAN_NAMES_H
#define TADAN_NAMES_H

#include "fs.h"

static inline struct td_name td__text_name(const char *text)
{
	return (struct td_name){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

/* "." or "..". */
int td__is_dots(struct td_name n);
/* The vnode of a directory's handle, with a reference, and a name that may stand in it. */
int td__dir_enter(struct td__fs *fs, td_handle h, struct td_name name, struct td__vnode **dir);
/* What a name stands for, with a reference. The directory's lock is held. */
int td__dir_find(struct td__fs *fs, struct td__vnode *dir, struct td_name name, struct td__vnode **out);
/* Times, after a change of the directory's names; after a change of the record. The exclusive lock is held. */
void td__touch_dir(struct td__vnode *dir);
void td__touch_change(struct td__vnode *v);
/* A character device of number 0 under a name that is free; with a reference. The directory's exclusive lock is held. */
int td__make_whiteout(struct td__fs *fs, const struct td_cred *cred, struct td__vnode *dir, struct td_name name, struct td__vnode **out);

#endif
