/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SNFS, a network file system: a client of NFS version 3. SPEC.md says what it does of the protocol.
 *
 * The parts, each on top of those before it:
 *   xdr, rpc, nfs3, mount3   what goes over the wire: nothing but bytes
 *   options.c  what the mount asks for
 *   fids.c     the table of file handles on the device: which fid stands for which handle
 *   conn.c     one request and its reply: connect, send again, wait
 *   attrs.c    attributes: the cache, records
 *   page.c     what was listed and not yet given out
 *   node.c     what is known in memory of a file whose content is used
 *   send.c dirty.c    data written and not yet stable: send, await, commit, send again
 *   super.c names.c made.c silly.c open.c dir.c read.c write.c    the operations
 *
 * Rules:
 * - What must survive the domain is on the device (file handles, silly names), or kept by the kernel (data that the
 *   server may still lose). All else is private memory, a cache: a new domain begins without it and does right.
 * - A call first talks to the server, then changes the table: no lock of the module's is held while it waits, but for that of
 *   refresh_lock().
 * - What comes from the server is not believed: each reply is decoded within its bounds, and one that makes no sense is EIO and a
 *   line in the log. What comes from the device is not believed either.
 * - A call may be undone and made again (td_again()), and a request may reach the server twice: see made.c.
 * - `fs` is set by mount and only read after it. Shared private memory is under one of the spin locks below, which are held for
 *   a few instructions and never over a service; a node's own fields are under its vnode's lock, as node.c says.
 */
#ifndef SNFS_H
#define SNFS_H

#include <tadan/net.h>
#include "nfs3.h"
#include "mount3.h"

enum {
	LOCK_TABLE = 0,	   /* the table of handles: adding and removing */
	LOCK_FIELDS = 1,   /* + fid % LOCKS_EACH: fields of one entry */
	LOCK_REFRESH = 33, /* + fid % LOCKS_EACH: awaiting what was written before asking for attributes */
	LOCKS_EACH = 32,
	LOCKS = 65,
};

enum {
	REQUEST_MAX = RPC_CALL_MAX + NFS_ARGS_MAX,
	REPLY_ROOM = 1024,	 /* replies up to here come without another service */
	REPLY_MAX = 512 << 10,	 /* of those that are decoded as a whole */
	IO_MAX = 1 << 20,	 /* bytes of one READ or WRITE */
	IO_MIN = 4096,
};

/* ---- options.c */

struct options {
	uint32_t port, mountport; /* 0: ask the port mapper */
	uint32_t timeo_ms, retrans;
	uint32_t soft;	  /* give up after retrans tries; else never */
	uint32_t rsize, wsize, readahead;
	uint32_t acregmin, acregmax, acdirmin, acdirmax; /* milliseconds */
	uint32_t sync;	  /* write FILE_SYNC at once */
	uint32_t plus;	  /* READDIRPLUS */
	uint32_t reserved; /* come from a port below 1024 */
	char host[64];	  /* what we call ourselves */
};
/* 0, or EINVAL and td_explain(). */
int options_parse(const char *text, struct options *o);

/* ---- super.c */

struct fs {
	struct options o;
	uint32_t port;	   /* of NFS */
	uint32_t rsize, wsize, dirsize;
	uint32_t restarted; /* there was a domain before: the kernel may keep something for us */
	uint64_t boot;	   /* tells this mount from others: in names of ours, and verifiers */
	uint64_t root;
	uint64_t maxsize;
	uint32_t namemax, maxlink, mountport;
	/* The table: buckets (u32 each), then entries. */
	uint64_t first_bucket, first_entry, buckets, slots;
};
extern struct fs fs;

int snfs_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info);
int snfs_unmount(uint32_t last);
int snfs_statfs(struct td_fsinfo *info);

/* ---- Small things: util.c */

struct spin {
	uint32_t taken;
};
void spin_lock(struct spin *s);
void spin_unlock(struct spin *s);
uint64_t now_ms(void); /* when the call began */
uint64_t hash_bytes(uint64_t h, const void *data, uint32_t len);
/* A line for the log, of parts; 0 ends them. */
void say(uint32_t priority, const char *part, ...) __attribute__((sentinel));

/* ---- fids.c */

/* What the table has of a fid, behind the chain of its bucket. Times and sizes are not here: they are the server's. */
struct fid_fields {
	uint64_t silly_dir;  /* the directory where it has a name of ours, having lost its last; 0: none */
	struct nfs_verf verf; /* of a directory: what the last listing's cookies go with */
	struct rpc_cred cred[2]; /* of who opened it last, to read and to write: with these content is moved that nobody calls for */
	uint32_t has_cred;	 /* bit n: cred[n] */
	uint32_t pad;
};
enum { CRED_READ = 0, CRED_WRITE = 1 };

int fids_geometry(uint64_t blocks); /* where things lie on a device of this size */
int fid_handle(uint64_t fid, struct nfs_fh *fh);		 /* ESTALE */
int fid_find(const struct nfs_fh *fh, uint64_t *fid);		 /* adds it if need be; ENOSPC */
/* The same in parts, for many: those that are there (else *fid is 0), and under the table's lock those that are to be added. */
int fid_known(const struct nfs_fh *fh, uint64_t *fid);
int fids_lock(void);
int fid_add(const struct nfs_fh *fh, uint64_t *fid);
void fids_unlock(void);
int fid_remove(uint64_t fid);
int fid_fields(uint64_t fid, struct fid_fields *f);
int fid_set_fields(uint64_t fid, const struct fid_fields *f);

/* ---- conn.c */

/* Room for a reply's first bytes. */
struct reply {
	uint64_t space[(sizeof(struct td_reply) + REPLY_ROOM) / 8];
};
static inline struct td_reply *reply_in(struct reply *r)
{
	return (struct td_reply *)r->space;
}

/* WAIT: as the mount's options say. BRIEF: a few tries, while mounting. ONCE: one try, a second long, for what can do without. */
enum patience { WAIT, BRIEF, ONCE };

struct rpc {
	struct rpc_proc proc;
	uint32_t port;
	uint32_t xid;
	uint32_t resent;  /* the server may have seen this request before */
	enum patience patience;
	struct xdr_out args;
	td_mbuf reply;
	uint8_t *whole; /* a long reply; to be freed */
	struct reply answer;
	uint8_t bytes[REQUEST_MAX];
};

/* Whose credentials: the caller's, or root's where nobody calls; for content, those of the file's last opener (CRED_*), if there is one. */
void cred_of_call(struct rpc_cred *cred);
void cred_of_file(uint64_t fid, uint32_t which, struct rpc_cred *cred);

/* Begin a request of NFS: the header. Append arguments to r->args. cred 0: the caller's. */
void rpc_begin(struct rpc *r, uint32_t proc, const struct rpc_cred *cred);
/* Any program. */
void rpc_begin_at(struct rpc *r, uint32_t port, struct rpc_proc proc, const struct rpc_cred *cred);
/* With a tag of conn_tag()'s, for a message whose reply another call may receive. */
void rpc_begin_tagged(struct rpc *r, uint32_t proc, const struct rpc_cred *cred, uint32_t tag);
/* A longer buffer for the request, which remains the caller's; after rpc_begin(). */
void rpc_buffer(struct rpc *r, void *bytes, uint32_t size);
/* Send and wait; JUKEBOX is waited for. 0: `in` stands before the results, to be ended with rpc_end(). */
int rpc_call(struct rpc *r, struct xdr_in *in);
/* After decoding: 0, the error that `status` stands for, or EIO for a reply that made no sense. */
int rpc_end(struct rpc *r, const struct xdr_in *in, uint32_t status);

/* A request that is asked ahead, with a tag of its own: send it, if there is a connection; and its reply, as rpc_call() gives it. */
int rpc_send(struct rpc *r);
/* An error that a new call would not meet, as the network's, is 1. */
int rpc_await(struct rpc *r, struct xdr_in *in);

/* In parts, for content: the socket of a port, and what to do when it is lost. */
int conn_socket(uint32_t port, uint32_t *sock);
int conn_known(uint32_t port, uint32_t *sock); /* 1: there is one, to be had without waiting */
void conn_lost(uint32_t port, uint32_t sock);
void conn_close(uint32_t port); /* it is not needed any more; that of NFS stays */
/* A tag for a message that can be sent twice without harm, and whose reply another call may receive. */
uint32_t conn_tag(void);
/* What an error of the network means: 0: try again (it has waited); else give up with it. `tries` counts. */
int conn_again(struct rpc *r, uint32_t sock, int err, uint32_t *tries);
/* The header of a reply. 0, or an error that has been logged. */
int conn_header(struct xdr_in *in, uint32_t xid, struct rpc_proc proc);
int conn_senseless(struct rpc_proc proc); /* log it; EIO */

struct node; /* node.h */

/* ---- attrs.c */

/* Take over what the server says of a file, unless it is older than what is known. */
void attrs_note(uint64_t fid, const struct nfs_attr *a);
void attrs_note_at(uint64_t fid, const struct nfs_attr *a, uint64_t at); /* what was heard before now: of this moment, ms */
void attrs_note_post(uint64_t fid, const struct nfs_post *p);
void attrs_forget(uint64_t fid);
/* What was heard in the last `age` ms; 1 if there is something. */
int attrs_known(uint64_t fid, uint32_t age, struct nfs_attr *a);
/* How long to believe it from now on, ms. */
uint32_t attrs_valid(uint64_t fid);
int attrs_ask(uint64_t fid, struct nfs_attr *a); /* GETATTR */
int attrs_access(uint64_t fid, uint32_t mask);	 /* ACCESS: 0 or EACCES */
/* Into a record; handle, fid, flags and btime stay. ESTALE where it has become another type of file. */
int attrs_fill(struct td_vnode *v, const struct nfs_attr *a);
/* The same from what a reply brought, or else by asking. */
int attrs_fill_post(struct td_vnode *v, const struct nfs_post *p);
/* The record of a directory that we changed. */
int attrs_fill_wcc(struct td_vnode *v, const struct nfs_wcc *w);
int snfs_getvnode(uint64_t fid, struct td_vnode *v);
int snfs_refresh(struct td_vnode *v, struct td_vnode *now, uint32_t *valid);
int snfs_setattr(struct td_vnode *v, const struct td_vnode *wanted, uint32_t want);

/* ---- page.c: see page.h */

/* The handle of a directory that is about to be changed: what was listed of it is forgotten. */
int dir_to_change(const struct td_vnode *dir, struct nfs_fh *fh);
void pages_forget(uint64_t dir);

/* ---- node.c: see there */

void node_forget(uint64_t fid);
void node_opened(uint64_t fid); /* what was read ahead is old */

/* ---- dirty.c */

int dirty_flush(struct td_vnode *v); /* all is stable on the server, or an error */
int dirty_settle(struct td_vnode *v); /* all has been sent and answered */
int dirty_any(const struct td_vnode *v, struct node **n); /* *n 0: there is none */
uint64_t dirty_end(uint64_t fid); /* one byte behind the last that is not stable */

/* ---- The operations */

/* RENAME by handles; that it was done already, by this request's first copy, is success. */
int rename_fh(const struct nfs_fh *from, struct td_name old, const struct nfs_fh *to, struct td_name new, const struct nfs_fh *what,
	      struct nfs_wcc *wfrom, struct nfs_wcc *wto);
int remove_fh(const struct nfs_fh *dir, struct td_name name, uint32_t proc, const struct rpc_cred *cred, struct nfs_wcc *wcc);
int lookup_fh(const struct nfs_fh *dir, struct td_name name, struct nfs_fh *fh, struct nfs_post *obj, struct nfs_post *dpost);
int snfs_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid);
int snfs_readlink(struct td_vnode *v, struct td_out *target);
int snfs_link(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_unlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_rmdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_rename(struct td_vnode *from, struct td_name old, struct td_vnode *to, struct td_name new, struct td_vnode *v,
		struct td_vnode *target, uint32_t flags);

int snfs_create(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_mkdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_mknod(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int snfs_symlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v, struct td_in target);

/* Give a file that is open a name of ours instead of its last: REMOVE would take it from those who have it open. */
int silly_rename(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int silly_undo(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int silly_wanted(const struct td_vnode *v);
int snfs_inactive(struct td_vnode *v);
int snfs_reclaim(struct td_vnode *v);

int snfs_open(struct td_vnode *v, uint32_t flags);
/* Who calls has it open from now on, for TD_OPEN_*: his are the credentials. */
int open_note(uint64_t fid, const struct rpc_cred *cred, uint32_t flags);
int snfs_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries);
int snfs_read(struct td_vnode *v, uint64_t off, uint64_t len, uint32_t uio);
int snfs_write(struct td_vnode *v, uint64_t off, uint64_t len, uint32_t uio);
int snfs_truncate(struct td_vnode *v, uint64_t size);
int snfs_fsync(struct td_vnode *v);

#endif
