/* SPDX-License-Identifier: BSD-2-Clause */
/* NFS version 3, arguments: see nfs3.h. */
#include "nfs3.h"

enum { GUARDED = 1, EXCLUSIVE = 2 }; /* createmode3 */

void nfs_put_fh(struct xdr_out *out, const struct nfs_fh *fh)
{
	xdr_put_opaque(out, fh->data, fh->len);
}

void nfs_put_dirop(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name)
{
	nfs_put_fh(out, dir);
	xdr_put_opaque(out, name.bytes, name.len);
}

/* ---- Attributes to set */

static void put_optional(struct xdr_out *out, uint32_t wanted, uint32_t value)
{
	xdr_put_u32(out, wanted ? 1 : 0);
	if (wanted)
		xdr_put_u32(out, value);
}

/* NFS has seconds from 1970 to 2106; what lies outside becomes the nearest of them, as other clients do. */
static void put_time(struct xdr_out *out, uint32_t how, const struct td_time *t)
{
	xdr_put_u32(out, how);
	if (how != NFS_CLIENT_TIME)
		return;
	if (t->sec < 0 || t->sec > 0xffffffffll) {
		xdr_put_u32(out, t->sec < 0 ? 0 : 0xffffffffu);
		xdr_put_u32(out, 0);
	} else {
		xdr_put_u32(out, (uint32_t)t->sec);
		xdr_put_u32(out, t->nsec);
	}
}

static void put_sattr(struct xdr_out *out, const struct nfs_sattr *s)
{
	put_optional(out, s->set & NFS_SET_MODE, s->mode);
	put_optional(out, s->set & NFS_SET_UID, s->uid);
	put_optional(out, s->set & NFS_SET_GID, s->gid);
	xdr_put_u32(out, s->set & NFS_SET_SIZE ? 1 : 0);
	if (s->set & NFS_SET_SIZE)
		xdr_put_u64(out, s->size);
	put_time(out, s->atime_how, &s->atime);
	put_time(out, s->mtime_how, &s->mtime);
}

/* Without a guard: a request that is sent twice must not fail the second time. */
void nfs_put_setattr(struct xdr_out *out, const struct nfs_fh *fh, const struct nfs_sattr *s)
{
	nfs_put_fh(out, fh);
	put_sattr(out, s);
	xdr_put_u32(out, 0);
}

/* ---- Content */

void nfs_put_access(struct xdr_out *out, const struct nfs_fh *fh, uint32_t mask)
{
	nfs_put_fh(out, fh);
	xdr_put_u32(out, mask);
}

void nfs_put_read(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count)
{
	nfs_put_fh(out, fh);
	xdr_put_u64(out, off);
	xdr_put_u32(out, count);
}

void nfs_put_write(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count, uint32_t stable)
{
	nfs_put_fh(out, fh);
	xdr_put_u64(out, off);
	xdr_put_u32(out, count);
	xdr_put_u32(out, stable);
	xdr_put_u32(out, count);
}

void nfs_put_commit(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count)
{
	nfs_put_read(out, fh, off, count);
}

/* ---- What makes and moves names */

void nfs_put_create(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_verf *verf, const struct nfs_sattr *s)
{
	nfs_put_dirop(out, dir, name);
	xdr_put_u32(out, verf ? EXCLUSIVE : GUARDED);
	if (verf)
		xdr_put_fixed(out, verf->bytes, NFS_VERF);
	else
		put_sattr(out, s);
}

void nfs_put_mkdir(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_sattr *s)
{
	nfs_put_dirop(out, dir, name);
	put_sattr(out, s);
}

void nfs_put_symlink(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_sattr *s,
		     struct td_in target)
{
	nfs_put_mkdir(out, dir, name, s);
	xdr_put_opaque(out, target.data, target.len);
}

void nfs_put_mknod(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, uint32_t type, const struct nfs_sattr *s,
		   uint32_t major, uint32_t minor)
{
	nfs_put_dirop(out, dir, name);
	xdr_put_u32(out, type == TD_BLK ? 3 : type == TD_CHR ? 4 : type == TD_SOCK ? 6 : 7);
	put_sattr(out, s);
	if (type == TD_BLK || type == TD_CHR) {
		xdr_put_u32(out, major);
		xdr_put_u32(out, minor);
	}
}

void nfs_put_rename(struct xdr_out *out, const struct nfs_fh *from, struct td_name old, const struct nfs_fh *to,
		    struct td_name new)
{
	nfs_put_dirop(out, from, old);
	nfs_put_dirop(out, to, new);
}

void nfs_put_link(struct xdr_out *out, const struct nfs_fh *file, const struct nfs_fh *dir, struct td_name name)
{
	nfs_put_fh(out, file);
	nfs_put_dirop(out, dir, name);
}

/* ---- Listings */

void nfs_put_readdir(struct xdr_out *out, const struct nfs_fh *dir, uint64_t cookie, const struct nfs_verf *verf, uint32_t count)
{
	nfs_put_fh(out, dir);
	xdr_put_u64(out, cookie);
	xdr_put_fixed(out, verf->bytes, NFS_VERF);
	xdr_put_u32(out, count);
}

void nfs_put_readdirplus(struct xdr_out *out, const struct nfs_fh *dir, uint64_t cookie, const struct nfs_verf *verf,
			 uint32_t dircount, uint32_t maxcount)
{
	nfs_put_readdir(out, dir, cookie, verf, dircount);
	xdr_put_u32(out, maxcount);
}
