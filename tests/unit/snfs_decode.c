/* SPDX-License-Identifier: BSD-2-Clause */
/* See snfs_decode.h. */
#include <stdlib.h>

#include "mount3.h"
#include "snfs_decode.h"

enum { XID = 0x01020304 };

static void must(int so)
{
	if (!so)
		abort();
}

static void look_at_attr(const struct nfs_attr *a)
{
	must(a->type >= TD_REG && a->type <= TD_SOCK && a->mode <= 07777);
	must(a->atime.nsec < 1000000000 && a->mtime.nsec < 1000000000 && a->ctime.nsec < 1000000000);
	must(a->size <= INT64_MAX && a->nlink <= INT32_MAX);
}

static void look_at(const struct xdr_in *in, const struct nfs_post *p)
{
	if (!in->bad && p->there)
		look_at_attr(&p->attr);
}

static void look_inside(const struct xdr_in *in, const void *at, uint32_t len)
{
	const uint8_t *p = at;

	must(p >= in->data && p <= in->data + in->len && len <= (size_t)(in->data + in->len - p));
}

static void decode_listing(struct xdr_in *in, int plus)
{
	struct nfs_entry e;
	struct nfs_post dir;
	struct nfs_verf verf;
	uint32_t before = in->pos;

	if (nfs_get_listing(in, &dir, &verf))
		return;
	look_at(in, &dir);
	while (nfs_get_entry(in, plus, &e)) {
		must(e.name.len > 0 && e.name.len <= TD_NAME_MAX && e.fh.len <= NFS_FH_MAX && in->pos > before);
		look_inside(in, e.name.bytes, e.name.len);
		for (uint32_t i = 0; i < e.name.len; i++)
			must(e.name.bytes[i] && e.name.bytes[i] != '/');
		look_at(in, &e.post);
		before = in->pos;
	}
	nfs_get_listing_end(in);
}

static void decode_made(struct xdr_in *in)
{
	struct nfs_made m;

	nfs_get_made(in, &m);
	must(m.fh.len <= NFS_FH_MAX);
	look_at(in, &m.obj);
	look_at(in, &m.dir.post);
}

static void decode_data(struct xdr_in *in, uint32_t kind)
{
	struct nfs_written w;
	struct nfs_read r;
	struct nfs_verf verf;

	if (kind == NFS_READ) {
		if (!nfs_get_read(in, in->len, &r) && !in->bad)
			must(r.at <= in->len && r.count <= in->len - r.at);
		return;
	}
	if (kind == NFS_WRITE && !nfs_get_written(in, &w) && !in->bad)
		must(w.committed <= NFS_FILE_SYNC);
	else if (kind == NFS_COMMIT)
		nfs_get_commit(in, &w.wcc, &verf);
	look_at(in, &w.wcc.post);
}

static void decode_names(struct xdr_in *in, uint32_t kind)
{
	struct nfs_wcc a = { 0 }, b = { 0 };
	struct nfs_post obj = { 0 }, dir = { 0 };
	struct td_in target = { 0, 0 };
	struct nfs_fh fh = { 0 };

	switch (kind) {
	case NFS_LOOKUP:
		if (!nfs_get_lookup(in, &fh, &obj, &dir) && !in->bad)
			must(fh.len > 0 && fh.len <= NFS_FH_MAX);
		break;
	case NFS_READLINK:
		if (!nfs_get_readlink(in, &obj, &target) && !in->bad && target.len)
			look_inside(in, target.data, target.len);
		break;
	case NFS_RENAME:
		nfs_get_rename(in, &a, &b);
		break;
	case NFS_LINK:
		nfs_get_link(in, &obj, &a);
		break;
	default:
		nfs_get_wcc_only(in, &a);
	}
	look_at(in, &obj);
	look_at(in, &dir);
	look_at(in, &a.post);
	look_at(in, &b.post);
}

static void decode_rest(struct xdr_in *in, uint32_t kind)
{
	struct nfs_pathconf p;
	struct nfs_fsstat s;
	struct nfs_fsinfo f;
	struct nfs_attr a;
	struct nfs_post post;
	struct nfs_fh fh;
	const char *why = "";
	uint32_t mask;

	switch (kind) {
	case NFS_GETATTR:
		if (!nfs_get_getattr(in, &a) && !in->bad)
			look_at_attr(&a);
		break;
	case NFS_ACCESS:
		nfs_get_access(in, &post, &mask);
		break;
	case NFS_FSSTAT:
		nfs_get_fsstat(in, &s);
		break;
	case NFS_FSINFO:
		nfs_get_fsinfo(in, &f);
		break;
	case NFS_PATHCONF:
		nfs_get_pathconf(in, &p);
		break;
	case DECODE_PMAP:
		must(pmap_get_port(in) < 65536);
		break;
	case DECODE_MNT:
		if (!mount_get_mnt(in, &fh, &why))
			must(fh.len > 0 && fh.len <= NFS_FH_MAX && !in->bad);
		break;
	}
}

int snfs_decode(uint32_t kind, const uint8_t *data, size_t len)
{
	struct xdr_in in = { data, (uint32_t)len, 0, 0 };
	const char *why = 0;
	int err = rpc_get_reply(&in, XID, &why);

	must(err <= 0 && (!err || err == -TD_EBADMSG) == !why);
	if (err)
		return err != -TD_EBADMSG;
	switch (kind) {
	case NFS_READDIR:
	case NFS_READDIRPLUS:
		decode_listing(&in, kind == NFS_READDIRPLUS);
		break;
	case NFS_CREATE:
	case NFS_MKDIR:
	case NFS_SYMLINK:
	case NFS_MKNOD:
		decode_made(&in);
		break;
	case NFS_READ:
	case NFS_WRITE:
	case NFS_COMMIT:
		decode_data(&in, kind);
		break;
	case NFS_SETATTR:
	case NFS_LOOKUP:
	case NFS_READLINK:
	case NFS_REMOVE:
	case NFS_RMDIR:
	case NFS_RENAME:
	case NFS_LINK:
		decode_names(&in, kind);
		break;
	default:
		decode_rest(&in, kind);
	}
	must(in.pos <= in.len);
	return !in.bad;
}
