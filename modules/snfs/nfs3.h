/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NFS version 3 (RFC 1813): the arguments and results of its procedures as XDR has them. nfs_put_*() append arguments to a
 * call. nfs_get_*() read results: a procedure's own function returns its status (enum nfs_status), after having
 * read all that the server sends along with it; whether the message as a whole made sense is in in->bad.
 *
 * Values are checked where RFC 1813 or the interface has a range: a type that is none, a time with more nanoseconds than
 * a second has, a size that no file can have make a message bad.
 */
#ifndef SNFS_NFS3_H
#define SNFS_NFS3_H

#include <tadan/fs.h>
#include "rpc.h"

enum { NFS_PROGRAM = 100003, NFS_VERSION = 3 };

enum nfs_proc {
	NFS_NULL,
	NFS_GETATTR,
	NFS_SETATTR,
	NFS_LOOKUP,
	NFS_ACCESS,
	NFS_READLINK,
	NFS_READ,
	NFS_WRITE,
	NFS_CREATE,
	NFS_MKDIR,
	NFS_SYMLINK,
	NFS_MKNOD,
	NFS_REMOVE,
	NFS_RMDIR,
	NFS_RENAME,
	NFS_LINK,
	NFS_READDIR,
	NFS_READDIRPLUS,
	NFS_FSSTAT,
	NFS_FSINFO,
	NFS_PATHCONF,
	NFS_COMMIT,
	NFS_PROCS,
};

/* Those that the code treats in a way of their own; the others only have a name and an errno. */
enum nfs_status {
	NFS_OK = 0,
	NFS_NOENT = 2,
	NFS_ACCES = 13,
	NFS_EXIST = 17,
	NFS_INVAL = 22,
	NFS_STALE = 70,
	NFS_NOT_SYNC = 10002,
	NFS_BAD_COOKIE = 10003,
	NFS_NOTSUPP = 10004,
	NFS_TOOSMALL = 10005,
	NFS_JUKEBOX = 10008,
};

enum {
	NFS_FH_MAX = 64,
	NFS_VERF = 8,     /* bytes of a verifier */
	NFS_ATTR = 84,    /* bytes of attributes in a message */
	NFS_ARGS_MAX = 2 * (4 + NFS_FH_MAX + 4 + TD_NAME_MAX + 1) + 64, /* of any call, but for data and a symlink's target */
	NFS_READ_PLACE = 12, /* from the offset to the end of a call of READ */
	NFS_READ_HEAD = RPC_REPLY_MAX + 4 + 4 + NFS_ATTR + 12, /* what stands before the data, at most */
};

enum nfs_stable { NFS_UNSTABLE = 0, NFS_DATA_SYNC = 1, NFS_FILE_SYNC = 2 };

enum nfs_access { NFS_MAY_READ = 1, NFS_MAY_LOOKUP = 2, NFS_MAY_MODIFY = 4, NFS_MAY_EXTEND = 8, NFS_MAY_DELETE = 16, NFS_MAY_EXECUTE = 32 };

struct nfs_fh {
	uint32_t len; /* 0: none */
	uint8_t data[NFS_FH_MAX];
};

struct nfs_verf {
	uint8_t bytes[NFS_VERF];
};

struct nfs_attr {
	uint32_t type; /* enum td_type */
	uint32_t mode, nlink, uid, gid;
	uint32_t major, minor;
	uint64_t size, used; /* bytes */
	uint64_t fsid, fileid;
	struct td_time atime, mtime, ctime;
};

/* Attributes that the server may send along. */
struct nfs_post {
	uint32_t there;
	struct nfs_attr attr;
};

/* What changed, seen from before and after ("weak cache consistency"). */
struct nfs_wcc {
	uint32_t pre_there;
	uint64_t pre_size;
	struct td_time pre_mtime, pre_ctime;
	struct nfs_post post;
};

enum nfs_time_how { NFS_KEEP_TIME = 0, NFS_SERVER_TIME = 1, NFS_CLIENT_TIME = 2 };

/* Attributes to set; what is not named in `set` stays. */
struct nfs_sattr {
	uint32_t set; /* NFS_SET_* */
	uint32_t mode, uid, gid;
	uint64_t size;
	uint32_t atime_how, mtime_how; /* enum nfs_time_how */
	struct td_time atime, mtime;
};
enum { NFS_SET_MODE = 1, NFS_SET_UID = 2, NFS_SET_GID = 4, NFS_SET_SIZE = 8 };

int nfs_errno(uint32_t status); /* -errno; 0 for NFS_OK */
const char *nfs_status_name(uint32_t status);
const char *nfs_proc_name(uint32_t proc);

/* ---- Arguments */

void nfs_put_fh(struct xdr_out *out, const struct nfs_fh *fh);
/* A directory and a name in it: LOOKUP, REMOVE, RMDIR, and what RENAME, LINK and those that make begin or end with. */
void nfs_put_dirop(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name);
void nfs_put_setattr(struct xdr_out *out, const struct nfs_fh *fh, const struct nfs_sattr *s);
void nfs_put_access(struct xdr_out *out, const struct nfs_fh *fh, uint32_t mask);
void nfs_put_read(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count);
/* Up to the data's length; the data follow, padded. */
void nfs_put_write(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count, uint32_t stable);
/* EXCLUSIVE with a verifier; without one GUARDED. */
void nfs_put_create(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_verf *verf, const struct nfs_sattr *s);
void nfs_put_mkdir(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_sattr *s);
void nfs_put_symlink(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, const struct nfs_sattr *s,
		     struct td_in target);
/* type: TD_CHR, TD_BLK, TD_FIFO or TD_SOCK. */
void nfs_put_mknod(struct xdr_out *out, const struct nfs_fh *dir, struct td_name name, uint32_t type, const struct nfs_sattr *s,
		   uint32_t major, uint32_t minor);
void nfs_put_rename(struct xdr_out *out, const struct nfs_fh *from, struct td_name old, const struct nfs_fh *to,
		    struct td_name new);
void nfs_put_link(struct xdr_out *out, const struct nfs_fh *file, const struct nfs_fh *dir, struct td_name name);
void nfs_put_readdir(struct xdr_out *out, const struct nfs_fh *dir, uint64_t cookie, const struct nfs_verf *verf, uint32_t count);
void nfs_put_readdirplus(struct xdr_out *out, const struct nfs_fh *dir, uint64_t cookie, const struct nfs_verf *verf,
			 uint32_t dircount, uint32_t maxcount);
void nfs_put_commit(struct xdr_out *out, const struct nfs_fh *fh, uint64_t off, uint32_t count);

/* ---- Results */

/* What a procedure that makes something gives back; fh.len is 0 where the server does not say. */
struct nfs_made {
	struct nfs_fh fh;
	struct nfs_post obj;
	struct nfs_wcc dir;
};

struct nfs_read {
	struct nfs_post post;
	uint32_t count, eof;
	uint32_t at; /* where in the message the data begin */
};

struct nfs_written {
	struct nfs_wcc wcc;
	uint32_t count, committed;
	struct nfs_verf verf;
};

struct nfs_fsstat {
	uint64_t tbytes, fbytes, abytes, tfiles, ffiles, afiles;
};

struct nfs_fsinfo {
	uint32_t rtmax, rtpref, wtmax, wtpref, dtpref;
	uint64_t maxsize;
	uint32_t properties;
};

struct nfs_pathconf {
	uint32_t linkmax, namemax;
};

/* One entry of a listing. Without READDIRPLUS there are no attributes and no handle. */
struct nfs_entry {
	uint64_t fileid, cookie;
	struct td_name name;
	struct nfs_post post;
	struct nfs_fh fh;
};

/* The status, for procedures whose results are read piece by piece. One that RFC 1813 does not know makes the message bad. */
uint32_t nfs_get_status(struct xdr_in *in);
uint32_t nfs_get_getattr(struct xdr_in *in, struct nfs_attr *attr);
uint32_t nfs_get_wcc_only(struct xdr_in *in, struct nfs_wcc *wcc); /* SETATTR, REMOVE, RMDIR */
uint32_t nfs_get_lookup(struct xdr_in *in, struct nfs_fh *fh, struct nfs_post *obj, struct nfs_post *dir);
uint32_t nfs_get_access(struct xdr_in *in, struct nfs_post *post, uint32_t *mask);
uint32_t nfs_get_readlink(struct xdr_in *in, struct nfs_post *post, struct td_in *target);
/* The data are not in the buffer: `total` is the length of the whole message, of which `in` has the beginning. */
uint32_t nfs_get_read(struct xdr_in *in, uint32_t total, struct nfs_read *r);
uint32_t nfs_get_written(struct xdr_in *in, struct nfs_written *w);
uint32_t nfs_get_made(struct xdr_in *in, struct nfs_made *m); /* CREATE, MKDIR, SYMLINK, MKNOD */
uint32_t nfs_get_rename(struct xdr_in *in, struct nfs_wcc *from, struct nfs_wcc *to);
uint32_t nfs_get_link(struct xdr_in *in, struct nfs_post *file, struct nfs_wcc *dir);
uint32_t nfs_get_fsstat(struct xdr_in *in, struct nfs_fsstat *s);
uint32_t nfs_get_fsinfo(struct xdr_in *in, struct nfs_fsinfo *f);
uint32_t nfs_get_pathconf(struct xdr_in *in, struct nfs_pathconf *p);
uint32_t nfs_get_commit(struct xdr_in *in, struct nfs_wcc *wcc, struct nfs_verf *verf);

/* READDIR and READDIRPLUS: the beginning, then entries while nfs_get_entry() returns 1, then the end. */
uint32_t nfs_get_listing(struct xdr_in *in, struct nfs_post *dir, struct nfs_verf *verf);
int nfs_get_entry(struct xdr_in *in, int plus, struct nfs_entry *e);
/* 1 if the directory ends here. */
int nfs_get_listing_end(struct xdr_in *in);

#endif
