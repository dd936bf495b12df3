/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may do what: POSIX permission bits. A front end that has checked already says so in the credentials. */
#include "fs.h"

int td__in_group(const struct td_cred *cred, uint32_t gid)
{
	if (cred->gid == gid)
		return 1;
	for (uint32_t i = 0; i < cred->ngroups; i++)
		if (cred->groups[i] == gid)
			return 1;
	return cred->member && cred->member(gid);
}

int td__is_owner(const struct td_cred *cred, const struct td_vnode *rec)
{
	return cred->checked || cred->uid == 0 || cred->uid == rec->uid;
}

int td__may(const struct td_cred *cred, const struct td_vnode *rec, uint32_t mask)
{
	uint32_t bits = rec->mode;

	if (cred->checked)
		return 0;
	if (cred->uid == 0) /* all but executing what nobody may execute */
		return mask & 1 && rec->type != TD_DIR && !(bits & 0111) ? -TD_EACCES : 0;
	if (cred->uid == rec->uid)
		bits >>= 6;
	else if (td__in_group(cred, rec->gid))
		bits >>= 3;
	return mask & ~bits & 7 ? -TD_EACCES : 0;
}

int td__may_remove(const struct td_cred *cred, const struct td_vnode *dir, const struct td_vnode *v)
{
	if (cred->checked || cred->uid == 0 || !(dir->mode & 01000))
		return 0;
	return cred->uid == dir->uid || cred->uid == v->uid ? 0 : -TD_EPERM;
}

void td__drop_set_id(struct td_vnode *rec, const struct td_cred *cred)
{
	rec->mode &= ~04000u;
	if (rec->mode & 02000 && (rec->mode & 010 || (cred->uid && !td__in_group(cred, rec->gid))))
		rec->mode &= ~02000u;
}
