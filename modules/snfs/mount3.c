/* SPDX-License-Identifier: BSD-2-Clause */
/* Port mapper and MOUNT: see mount3.h. */
#include "mount3.h"

enum { TCP = 6, FLAVORS_MAX = 64, AUTH_NONE = 0, AUTH_SYS = 1 };

void pmap_put_getport(struct xdr_out *out, uint32_t program, uint32_t version)
{
	xdr_put_u32(out, program);
	xdr_put_u32(out, version);
	xdr_put_u32(out, TCP);
	xdr_put_u32(out, 0);
}

uint32_t pmap_get_port(struct xdr_in *in)
{
	uint32_t port = xdr_get_u32(in);

	return port < 65536 ? port : 0;
}

void mount_put_path(struct xdr_out *out, struct td_in path)
{
	xdr_put_opaque(out, path.data, path.len);
}

/* mountstat3 */
static int refusal(uint32_t status, const char **why)
{
	static const struct {
		uint32_t status;
		int error;
		const char *why;
	} reasons[] = {
		{ 1, TD_EPERM, "the server does not let this machine mount the export (MNT3ERR_PERM)" },
		{ 2, TD_ENOENT, "the server has no such export (MNT3ERR_NOENT)" },
		{ 5, TD_EIO, "the server could not read the export (MNT3ERR_IO)" },
		{ 13, TD_EACCES, "the server refuses the export to this machine or port (MNT3ERR_ACCES); see its list of exports" },
		{ 20, TD_ENOTDIR, "the export is not a directory (MNT3ERR_NOTDIR)" },
		{ 22, TD_EINVAL, "the server does not understand the path of the export (MNT3ERR_INVAL)" },
		{ 63, TD_ENAMETOOLONG, "the path of the export is too long for the server (MNT3ERR_NAMETOOLONG)" },
		{ 10004, TD_EOPNOTSUPP, "the server does not support mounting (MNT3ERR_NOTSUPP)" },
		{ 10006, TD_EIO, "the server failed while mounting (MNT3ERR_SERVERFAULT)" },
	};

	for (uint32_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status) {
			*why = reasons[i].why;
			return -reasons[i].error;
		}
	return -TD_EBADMSG;
}

int mount_get_mnt(struct xdr_in *in, struct nfs_fh *root, const char **why)
{
	uint32_t status = xdr_get_u32(in), n, sys = 0;
	const uint8_t *at;

	if (in->bad || status)
		return in->bad ? -TD_EBADMSG : refusal(status, why);
	at = xdr_get_opaque(in, NFS_FH_MAX, &root->len);
	if (root->len)
		memcpy(root->data, at, root->len);
	n = xdr_get_u32(in);
	if (in->bad || !root->len || n > FLAVORS_MAX)
		return -TD_EBADMSG;
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t flavor = xdr_get_u32(in);

		sys |= flavor == AUTH_SYS || flavor == AUTH_NONE;
	}
	if (in->bad)
		return -TD_EBADMSG;
	if (!sys)
		*why = "the server wants a stronger security than AUTH_SYS for this export";
	return sys ? 0 : -TD_EACCES;
}
