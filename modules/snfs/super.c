/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounting. The first domain asks the server: where its programs are, for the root's handle, for its limits; and writes what it
 * heard to the superblock. A later one reads it there, and asks nobody: the server may be away.
 */
#include "snfs.h"

#define MAGIC 0x3153464e53206454ull /* "Td SNFS1" */
enum { NFS_PORT = 2049, MOST_LINKS = 0x7fffffff, DIR_MOST = 128 << 10 };

struct fs fs;

struct superblock {
	uint64_t magic;
	uint64_t blocks, boot, root, maxsize;
	uint32_t port, rsize, wsize, dirsize;
	uint32_t namemax, maxlink, mountport;
};

/* ---- The superblock */

static int load(uint64_t blocks, struct superblock *sb)
{
	struct td_buf *b;

	if (td_bread(0, &b))
		return -TD_EIO;
	memcpy(sb, td_buf_data(b), sizeof(*sb));
	td_brelse(b);
	if (!sb->magic)
		return -TD_ENODATA;
	return sb->magic == MAGIC && sb->blocks == blocks ? 0 : -TD_EMEDIUMTYPE;
}

static int store(uint64_t blocks)
{
	struct superblock sb = { MAGIC, blocks, fs.boot, fs.root, fs.maxsize, fs.port, fs.rsize, fs.wsize, fs.dirsize, fs.namemax, fs.maxlink, fs.mountport };
	struct td_buf *b;
	int err;

	if (td_bread(0, &b))
		return -TD_EIO;
	err = td_buf_write(b, 0, &sb, sizeof(sb));
	td_brelse(b);
	return err ? -TD_EIO : 0;
}

static int take_over(const struct superblock *sb)
{
	fs.boot = sb->boot;
	fs.root = sb->root;
	fs.maxsize = sb->maxsize;
	fs.port = sb->port;
	fs.rsize = sb->rsize;
	fs.wsize = sb->wsize;
	fs.dirsize = sb->dirsize;
	fs.namemax = sb->namemax;
	fs.maxlink = sb->maxlink;
	fs.mountport = sb->mountport;
	fs.restarted = 1;
	return fs.rsize < IO_MIN || fs.rsize > IO_MAX || fs.wsize < IO_MIN || fs.wsize > IO_MAX || !fs.root ? -TD_EUCLEAN : 0;
}

/* ---- Asking */

static const char *unreachable(int err)
{
	switch (-err) {
	case TD_ECONNREFUSED:
		return "nothing listens there (connection refused)";
	case TD_ETIMEDOUT:
		return "no answer";
	case TD_EHOSTUNREACH:
	case TD_ENETUNREACH:
		return "it cannot be reached";
	default:
		return "the connection failed";
	}
}

/* Any failure of the network, for whoever mounts. */
static int explain(int err, const char *what, const char *remedy)
{
	char line[200];
	const char *parts[] = { what, ": ", unreachable(err), remedy };
	uint32_t used = 0;

	switch (-err) {
	case TD_ECONNREFUSED:
	case TD_ETIMEDOUT:
	case TD_EHOSTUNREACH:
	case TD_ENETUNREACH:
	case TD_ENOTCONN:
		for (uint32_t i = 0; i < 4; i++)
			for (const char *p = parts[i]; *p && used < sizeof(line) - 1; p++)
				line[used++] = *p;
		line[used] = 0;
		td_explain(line);
		return err == -TD_ENOTCONN ? -TD_EIO : err;
	case TD_EBADMSG:
		return -TD_EIO;
	default:
		return err;
	}
}

static int get_port(uint32_t program, uint32_t version, uint32_t *port)
{
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin_at(&r, PMAP_PORT, (struct rpc_proc){ PMAP_PROGRAM, PMAP_VERSION, PMAP_GETPORT }, 0);
	r.patience = BRIEF;
	pmap_put_getport(&r.args, program, version);
	err = rpc_call(&r, &in);
	if (err)
		return explain(err, "the server's port mapper (port 111)", "; name the ports: -o port=N,mountport=N");
	*port = pmap_get_port(&in);
	err = rpc_end(&r, &in, NFS_OK);
	if (!err && !*port) {
		td_explain(program == NFS_PROGRAM ? "the server's port mapper knows of no NFS version 3 over TCP" :
						    "the server's port mapper knows of no MOUNT version 3 over TCP; name it: -o mountport=N");
		err = -TD_EOPNOTSUPP;
	}
	return err;
}

static int find_port(uint32_t given, uint32_t program, uint32_t version, uint32_t *port)
{
	*port = given;
	return given ? 0 : get_port(program, version, port);
}

static int ask_mountd(struct rpc *r, uint32_t proc, enum patience patience, struct td_in path, struct xdr_in *in)
{
	struct rpc_cred cred;

	cred_of_call(&cred);
	rpc_begin_at(r, fs.mountport, (struct rpc_proc){ MOUNT_PROGRAM, MOUNT_VERSION, proc }, &cred);
	r->patience = patience;
	mount_put_path(&r->args, path);
	return rpc_call(r, in);
}

static int mnt(struct td_in path, struct nfs_fh *root)
{
	const char *why = 0;
	struct xdr_in in;
	struct rpc r;
	int err = find_port(fs.o.mountport, MOUNT_PROGRAM, MOUNT_VERSION, &fs.mountport), err2;

	if (err)
		return err;
	err = ask_mountd(&r, MOUNT_MNT, BRIEF, path, &in);
	if (err)
		return explain(err, "the server's mount daemon", "; is its port right (-o mountport=N)?");
	err = mount_get_mnt(&in, root, &why);
	if (why)
		td_explain(why);
	err2 = rpc_end(&r, &in, NFS_OK);
	return err == -TD_EBADMSG ? conn_senseless(r.proc) : err ? err : err2;
}

/* The server's list of who has mounted what is for people: whether it hears us does not matter. */
static void umnt(struct td_in path)
{
	struct xdr_in in;
	struct rpc r;

	if (!ask_mountd(&r, MOUNT_UMNT, ONCE, path, &in))
		rpc_end(&r, &in, NFS_OK);
}

static uint32_t size_of(uint32_t pref, uint32_t most, uint32_t wish)
{
	uint32_t size = pref && pref < wish ? pref : wish;

	if (most && size > most)
		size = most;
	size &= ~(uint32_t)(IO_MIN - 1);
	return size < IO_MIN ? IO_MIN : size;
}

static int ask_fsinfo(const struct nfs_fh *root)
{
	struct nfs_fsinfo f = { 0 };
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin(&r, NFS_FSINFO, 0);
	r.patience = BRIEF;
	nfs_put_fh(&r.args, root);
	err = rpc_call(&r, &in);
	if (err)
		return explain(err, "the server's NFS", "; is its port right (-o port=N)?");
	uint32_t status = nfs_get_fsinfo(&in, &f);
	err = rpc_end(&r, &in, status);
	if (err)
		return err;
	fs.rsize = size_of(f.rtpref, f.rtmax, fs.o.rsize);
	fs.wsize = size_of(f.wtpref, f.wtmax, fs.o.wsize);
	fs.dirsize = f.dtpref > DIR_MOST / 2 ? f.dtpref : DIR_MOST / 2;
	if (fs.dirsize > DIR_MOST)
		fs.dirsize = DIR_MOST;
	fs.maxsize = f.maxsize && f.maxsize < 0x7fffffffffffffffull ? f.maxsize : 0x7fffffffffffffffull;
	return 0;
}

static int ask_pathconf(const struct nfs_fh *root)
{
	struct nfs_pathconf p = { 0 };
	struct xdr_in in;
	struct rpc r;
	int err;

	rpc_begin(&r, NFS_PATHCONF, 0);
	r.patience = BRIEF;
	nfs_put_fh(&r.args, root);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_pathconf(&in, &p);
	err = rpc_end(&r, &in, status);
	fs.namemax = p.namemax && p.namemax < TD_NAME_MAX ? p.namemax : TD_NAME_MAX;
	fs.maxlink = p.linkmax && p.linkmax < MOST_LINKS ? p.linkmax : MOST_LINKS;
	return err;
}

/* ---- The operations */

static int first_mount(uint64_t blocks, const char *source)
{
	struct td_in path = { source, (uint32_t)strlen(source) };
	struct nfs_fh root = { 0 };
	uint64_t now = now_ms();
	int64_t sec;
	uint32_t nsec;
	int err;

	td_now(&sec, &nsec);
	fs.boot = hash_bytes(now, source, path.len) ^ hash_bytes(now, &nsec, sizeof(nsec));
	if (!path.len || path.len > MOUNT_PATH_MAX) {
		td_explain("no export is named: nfs://SERVER/EXPORT");
		return -TD_EINVAL;
	}
	err = mnt(path, &root);
	if (err)
		return err;
	err = find_port(fs.o.port, NFS_PROGRAM, NFS_VERSION, &fs.port);
	if (!err)
		err = ask_fsinfo(&root);
	if (!err)
		err = ask_pathconf(&root);
	if (!err)
		err = fid_find(&root, &fs.root);
	if (!err)
		err = store(blocks);
	if (err)
		umnt(path);
	conn_close(PMAP_PORT);
	conn_close(fs.mountport);
	return err;
}

static void fill_info(struct td_fsinfo *info)
{
	*info = (struct td_fsinfo){
		.root = fs.root,
		.maxsize = fs.maxsize,
		.bsize = td_bsize(),
		.namemax = fs.namemax,
		.maxlink = fs.maxlink,
		.flags = TD_FS_REMOTE,
		.attr_ms = fs.o.acregmin < fs.o.acdirmin ? fs.o.acregmin : fs.o.acdirmin,
		.name_ms = fs.o.acdirmin,
	};
}

int snfs_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	char source[MOUNT_PATH_MAX + 1], options[1024];
	struct superblock sb;
	int err;

	memset(&fs, 0, sizeof(fs));
	if (td_source(source, sizeof(source)) || td_options(options, sizeof(options)))
		return -TD_EINVAL;
	err = options_parse(options, &fs.o);
	if (!err)
		err = fids_geometry(dev->blocks);
	if (err)
		return err;
	err = load(dev->blocks, &sb);
	if (!err)
		err = take_over(&sb);
	else if (err == -TD_ENODATA)
		err = format ? first_mount(dev->blocks, source) : -TD_EMEDIUMTYPE;
	if (!err)
		fill_info(info);
	return err;
}

int snfs_unmount(uint32_t last)
{
	char source[MOUNT_PATH_MAX + 1];

	if (last && !td_source(source, sizeof(source)))
		umnt((struct td_in){ source, (uint32_t)strlen(source) });
	return 0;
}

int snfs_statfs(struct td_fsinfo *info)
{
	struct nfs_fsstat s = { 0 };
	struct nfs_fh root;
	struct xdr_in in;
	struct rpc r;
	int err = fid_handle(fs.root, &root);

	if (err)
		return err;
	rpc_begin(&r, NFS_FSSTAT, 0);
	nfs_put_fh(&r.args, &root);
	err = rpc_call(&r, &in);
	if (err)
		return err;
	uint32_t status = nfs_get_fsstat(&in, &s);
	err = rpc_end(&r, &in, status);
	fill_info(info);
	info->blocks = s.tbytes / info->bsize;
	info->bfree = s.abytes / info->bsize;
	info->files = s.tfiles;
	info->ffree = s.afiles;
	return err;
}
