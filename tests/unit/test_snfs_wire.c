/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SNFS on the wire: what it sends and what it reads, against encodings worked out by hand from RFC 4506, 5531, 1833 and 1813; then
 * replies that are cut short at every byte, and changed in ways that SNFS_SEED=n replays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mount3.h"
#include "snfs_decode.h"

/* ---- Bytes written as hexadecimal digits; spaces are ignored. */

struct bytes {
	uint8_t data[1024];
	uint32_t len;
};

static struct bytes hex(const char *text)
{
	struct bytes b = { .len = 0 };
	unsigned byte;

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		assert_true(b.len < sizeof(b.data));
		b.data[b.len++] = (uint8_t)byte;
		text += 2;
	}
	return b;
}

static void same(const struct xdr_out *out, const char *text)
{
	struct bytes want = hex(text);

	assert_false(out->bad);
	assert_int_equal(out->used, want.len);
	assert_memory_equal(out->data, want.data, want.len);
}

static uint8_t room[2048];

static struct xdr_out writer(uint32_t size)
{
	return (struct xdr_out){ room, size, 0, 0 };
}

static struct xdr_in reader(const struct bytes *b)
{
	return (struct xdr_in){ b->data, b->len, 0, 0 };
}

static struct td_name name(const char *text)
{
	return (struct td_name){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static const struct nfs_fh fh5 = { 5, { 1, 2, 3, 4, 5 } }, fh4 = { 4, { 9, 8, 7, 6 } };
#define FH5 "00000005 0102030405000000 "
#define FH4 "00000004 09080706 "

/* ---- XDR */

static void xdr_encodes(void **state)
{
	struct xdr_out out = writer(64);

	xdr_put_u32(&out, 0x01020304);
	xdr_put_u64(&out, 0x1122334455667788ull);
	xdr_put_opaque(&out, "abcde", 5);
	xdr_put_fixed(&out, "xyz", 3);
	xdr_put_opaque(&out, "", 0);
	same(&out, "01020304 1122334455667788 00000005 6162636465000000 78797a00 00000000");
}

static void xdr_encodes_within_its_room(void **state)
{
	for (uint32_t size = 0; size < 16; size++) {
		struct xdr_out out = writer(size);

		memset(room, 0xee, sizeof(room));
		xdr_put_u32(&out, 7);
		xdr_put_opaque(&out, "abcde", 5);
		assert_true(out.bad);
		assert_true(out.used <= size);
		assert_int_equal(room[size], 0xee);
	}
}

static void xdr_decodes(void **state)
{
	struct bytes b = hex("01020304 1122334455667788 00000005 6162636465000000 78797a00 00000001");
	struct xdr_in in = reader(&b);
	const uint8_t *at;
	uint32_t len;
	char three[3];

	assert_int_equal(xdr_get_u32(&in), 0x01020304);
	assert_int_equal(xdr_get_u64(&in), 0x1122334455667788ull);
	at = xdr_get_opaque(&in, 5, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(at, "abcde", 5);
	xdr_get_fixed(&in, three, 3);
	assert_memory_equal(three, "xyz", 3);
	assert_int_equal(xdr_get_bool(&in), 1);
	assert_false(in.bad);
	assert_int_equal(xdr_left(&in), 0);
}

/* A length is held against what is left, with its padding, and against the most that may be. */
static void xdr_refuses_lengths(void **state)
{
	static const char *const wrong[] = { "ffffffff", "fffffffd 61626364", "00000005 6162636465", "00000005 61626364650000", "00000009 616263646566676869000000",
					     "000000", "" };
	uint32_t len;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct bytes b = hex(wrong[i]);
		struct xdr_in in = reader(&b);

		assert_null(xdr_get_opaque(&in, 8, &len));
		assert_true(in.bad);
		assert_int_equal(len, 0);
		assert_int_equal(xdr_get_u32(&in), 0);
	}
	struct bytes two = hex("00000002");
	struct xdr_in in = reader(&two);
	assert_int_equal(xdr_get_bool(&in), 0);
	assert_true(in.bad);
}

/* ---- RPC */

static void rpc_calls(void **state)
{
	struct rpc_cred cred = { 1000, 100, 3, { 100, 4, 24 } };
	struct xdr_out out = writer(sizeof(room));

	rpc_put_call(&out, 0xa1b2c3d4, (struct rpc_proc){ NFS_PROGRAM, 3, NFS_LOOKUP }, &cred, "tadan");
	same(&out, "a1b2c3d4 00000000 00000002 000186a3 00000003 00000003"
		   "00000001 00000028 a1b2c3d4 00000005 746164616e000000 000003e8 00000064 00000003 00000064 00000004 00000018"
		   "00000000 00000000");
	out = writer(sizeof(room));
	rpc_put_call(&out, 1, (struct rpc_proc){ PMAP_PROGRAM, PMAP_VERSION, PMAP_GETPORT }, 0, "");
	pmap_put_getport(&out, MOUNT_PROGRAM, MOUNT_VERSION);
	same(&out, "00000001 00000000 00000002 000186a0 00000002 00000003 00000000 00000000 00000000 00000000"
		   "000186a5 00000003 00000006 00000000");
}

static void rpc_sends_no_more_groups_than_there_is_room_for(void **state)
{
	struct rpc_cred cred = { .ngroups = 1000 };
	struct xdr_out out = writer(sizeof(room));
	char machine[300];

	memset(machine, 'm', sizeof(machine) - 1);
	machine[sizeof(machine) - 1] = 0;
	rpc_put_call(&out, 1, (struct rpc_proc){ 1, 1, 1 }, &cred, machine);
	assert_false(out.bad);
	assert_true(out.used <= RPC_CALL_MAX);
	assert_memory_equal(room + 28, "\0\0\1\x54", 4); /* the credentials' length: 20, the name's 256, the groups' 64 */
}

static void rpc_reads_replies(void **state)
{
	static const struct {
		const char *bytes;
		int err;
		const char *word;
	} cases[] = {
		{ "01020304 00000001 00000000 00000000 00000000 00000000", 0, 0 },
		{ "01020304 00000001 00000000 00000001 00000003 61626300 00000000", 0, 0 },
		{ "01020304 00000001 00000000 00000000 00000000 00000001", -TD_EOPNOTSUPP, "program" },
		{ "01020304 00000001 00000000 00000000 00000000 00000002 00000002 00000004", -TD_EOPNOTSUPP, "versions" },
		{ "01020304 00000001 00000000 00000000 00000000 00000003", -TD_EOPNOTSUPP, "procedure" },
		{ "01020304 00000001 00000000 00000000 00000000 00000004", -TD_EIO, "decode" },
		{ "01020304 00000001 00000000 00000000 00000000 00000005", -TD_EIO, "failed" },
		{ "01020304 00000001 00000001 00000000 00000002 00000002", -TD_EOPNOTSUPP, "version 2" },
		{ "01020304 00000001 00000001 00000001 00000005", -TD_EACCES, "stronger" },
		{ "01020304 00000001 00000001 00000001 000000ff", -TD_EACCES, "credentials" },
		{ "01020305 00000001 00000000 00000000 00000000 00000000", -TD_EBADMSG, 0 }, /* to another call */
		{ "01020304 00000000 00000000 00000000 00000000 00000000", -TD_EBADMSG, 0 }, /* a call */
		{ "01020304 00000001 00000002 00000000 00000000 00000000", -TD_EBADMSG, 0 },
		{ "01020304 00000001 00000000 00000000 00000000 00000006", -TD_EBADMSG, 0 },
		{ "01020304 00000001 00000000 00000000 00000191 00000000", -TD_EBADMSG, 0 }, /* a verifier of 401 bytes */
		{ "01020304 00000001 00000000 00000000 00000000", -TD_EBADMSG, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes b = hex(cases[i].bytes);
		struct xdr_in in = reader(&b);
		const char *why = 0;

		assert_int_equal(rpc_get_reply(&in, 0x01020304, &why), cases[i].err);
		assert_true(!why == !cases[i].word);
		if (why)
			assert_non_null(strstr(why, cases[i].word));
		if (!cases[i].err)
			assert_int_equal(xdr_left(&in), 0);
	}
}

/* ---- MOUNT */

static void mount_reads_what_mountd_says(void **state)
{
	static const struct {
		const char *bytes;
		int err;
	} cases[] = {
		{ "00000000 00000004 09080706 00000001 00000001", 0 },
		{ "00000000 00000004 09080706 00000000", 0 },
		{ "00000000 00000004 09080706 00000002 0005f3f3 00000001", 0 },
		{ "00000000 00000004 09080706 00000001 0005f3f3", -TD_EACCES },
		{ "00000000 00000000 00000000", -TD_EBADMSG }, /* a handle of no bytes */
		{ "00000000 00000041 00000000", -TD_EBADMSG }, /* of 65 */
		{ "00000000 00000004 09080706 ffffffff", -TD_EBADMSG },
		{ "0000000d", -TD_EACCES },
		{ "00000002", -TD_ENOENT },
		{ "00000003", -TD_EBADMSG },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes b = hex(cases[i].bytes);
		struct xdr_in in = reader(&b);
		const char *why = 0;
		struct nfs_fh root;

		assert_int_equal(mount_get_mnt(&in, &root, &why), cases[i].err);
		assert_true(!why == (!cases[i].err || cases[i].err == -TD_EBADMSG));
		if (!cases[i].err) {
			assert_int_equal(root.len, 4);
			assert_memory_equal(root.data, fh4.data, 4);
		}
	}
	struct xdr_out out = writer(64);
	mount_put_path(&out, (struct td_in){ "/vfs", 4 });
	same(&out, "00000004 2f766673");
}

/* ---- NFS: arguments */

static const struct nfs_sattr some = { NFS_SET_MODE | NFS_SET_GID, 0640, 1, 7, 0, NFS_SERVER_TIME, NFS_CLIENT_TIME, { 0 }, { 5, 6, 0 } };
#define SOME "00000001 000001a0 00000000 00000001 00000007 00000000 00000001 00000002 00000005 00000006 "

static void nfs_sends_names(void **state)
{
	struct nfs_verf verf = { { 1, 2, 3, 4, 5, 6, 7, 8 } };
	struct xdr_out out = writer(512);

	nfs_put_dirop(&out, &fh5, name("file1"));
	same(&out, FH5 "00000005 66696c6531000000");
	out = writer(512);
	nfs_put_create(&out, &fh4, name("f"), &verf, &some);
	same(&out, FH4 "00000001 66000000 00000002 0102030405060708");
	out = writer(512);
	nfs_put_create(&out, &fh4, name("f"), 0, &some);
	same(&out, FH4 "00000001 66000000 00000001" SOME);
	out = writer(512);
	nfs_put_mkdir(&out, &fh4, name("f"), &some);
	same(&out, FH4 "00000001 66000000" SOME);
	out = writer(512);
	nfs_put_symlink(&out, &fh4, name("f"), &some, (struct td_in){ "to", 2 });
	same(&out, FH4 "00000001 66000000" SOME "00000002 746f0000");
	out = writer(512);
	nfs_put_mknod(&out, &fh4, name("f"), TD_CHR, &some, 5, 6);
	same(&out, FH4 "00000001 66000000 00000004" SOME "00000005 00000006");
	out = writer(512);
	nfs_put_mknod(&out, &fh4, name("f"), TD_FIFO, &some, 5, 6);
	same(&out, FH4 "00000001 66000000 00000007" SOME);
	out = writer(512);
	nfs_put_rename(&out, &fh4, name("a"), &fh5, name("b"));
	same(&out, FH4 "00000001 61000000" FH5 "00000001 62000000");
	out = writer(512);
	nfs_put_link(&out, &fh5, &fh4, name("a"));
	same(&out, FH5 FH4 "00000001 61000000");
}

static void nfs_sends_the_rest(void **state)
{
	struct nfs_verf verf = { { 1, 2, 3, 4, 5, 6, 7, 8 } };
	struct nfs_sattr size = { .set = NFS_SET_SIZE, .size = 0x100000002 };
	struct nfs_sattr times = { .atime_how = NFS_CLIENT_TIME, .mtime_how = NFS_CLIENT_TIME, .atime = { -1, 5, 0 }, .mtime = { 1ll << 40, 5, 0 } };
	struct xdr_out out = writer(512);

	nfs_put_setattr(&out, &fh4, &size);
	same(&out, FH4 "00000000 00000000 00000000 00000001 0000000100000002 00000000 00000000 00000000");
	out = writer(512);
	nfs_put_setattr(&out, &fh4, &times); /* before 1970 and after 2106 */
	same(&out, FH4 "00000000 00000000 00000000 00000000 00000002 00000000 00000000 00000002 ffffffff 00000000 00000000");
	out = writer(512);
	nfs_put_access(&out, &fh4, NFS_MAY_READ | NFS_MAY_EXECUTE);
	same(&out, FH4 "00000021");
	out = writer(512);
	nfs_put_read(&out, &fh4, 0x123456789a, 4096);
	same(&out, FH4 "000000123456789a 00001000");
	out = writer(512);
	nfs_put_write(&out, &fh4, 0x123456789a, 3, NFS_UNSTABLE);
	xdr_put_fixed(&out, "abc", 3);
	same(&out, FH4 "000000123456789a 00000003 00000000 00000003 61626300");
	out = writer(512);
	nfs_put_commit(&out, &fh4, 1, 2);
	same(&out, FH4 "0000000000000001 00000002");
	out = writer(512);
	nfs_put_readdir(&out, &fh4, 7, &verf, 4096);
	same(&out, FH4 "0000000000000007 0102030405060708 00001000");
	out = writer(512);
	nfs_put_readdirplus(&out, &fh4, 7, &verf, 4096, 32768);
	same(&out, FH4 "0000000000000007 0102030405060708 00001000 00008000");
}

/* ---- NFS: results */

#define ATTR                                                                                                         \
	"00000001 000081a4 00000002 000003e8 00000064 0000000000001001 0000000000002000 00000003 00000004 "          \
	"00000000000000aa 00000000000000bb 00000001 00000002 00000003 00000004 00000005 00000006 "
#define POST "00000001" ATTR
#define WCC  "00000001 0000000000001000 00000007 00000008 00000009 0000000a" POST

static void is_attr(const struct nfs_attr *a)
{
	assert_int_equal(a->type, TD_REG);
	assert_int_equal(a->mode, 0644);
	assert_int_equal(a->nlink, 2);
	assert_int_equal(a->uid, 1000);
	assert_int_equal(a->gid, 100);
	assert_int_equal(a->size, 0x1001);
	assert_int_equal(a->used, 0x2000);
	assert_int_equal(a->major, 3);
	assert_int_equal(a->minor, 4);
	assert_int_equal(a->fsid, 0xaa);
	assert_int_equal(a->fileid, 0xbb);
	assert_int_equal(a->atime.sec, 1);
	assert_int_equal(a->atime.nsec, 2);
	assert_int_equal(a->mtime.sec, 3);
	assert_int_equal(a->ctime.nsec, 6);
}

static void is_wcc(const struct nfs_wcc *w)
{
	assert_true(w->pre_there);
	assert_int_equal(w->pre_size, 0x1000);
	assert_int_equal(w->pre_mtime.sec, 7);
	assert_int_equal(w->pre_ctime.nsec, 10);
	assert_true(w->post.there);
	is_attr(&w->post.attr);
}

/* All of it was read, and it made sense. */
static void whole(const struct xdr_in *in)
{
	assert_false(in->bad);
	assert_int_equal(xdr_left(in), 0);
}

static void nfs_reads_names(void **state)
{
	struct bytes b = hex("00000000" FH5 POST "00000000");
	struct xdr_in in = reader(&b);
	struct nfs_post obj, dir;
	struct nfs_made made;
	struct nfs_wcc wcc, to;
	struct nfs_fh fh;

	assert_int_equal(nfs_get_lookup(&in, &fh, &obj, &dir), NFS_OK);
	whole(&in);
	assert_memory_equal(&fh, &fh5, 4 + 5);
	is_attr(&obj.attr);
	assert_false(dir.there);
	b = hex("00000002" POST);
	in = reader(&b);
	assert_int_equal(nfs_get_lookup(&in, &fh, &obj, &dir), NFS_NOENT);
	whole(&in);
	is_attr(&dir.attr);
	b = hex("00000000 00000001" FH4 POST WCC);
	in = reader(&b);
	assert_int_equal(nfs_get_made(&in, &made), NFS_OK);
	whole(&in);
	assert_memory_equal(&made.fh, &fh4, 8);
	is_attr(&made.obj.attr);
	is_wcc(&made.dir);
	b = hex("00000000 00000000 00000000 00000000 00000000"); /* a server that says nothing of what it made */
	in = reader(&b);
	assert_int_equal(nfs_get_made(&in, &made), NFS_OK);
	whole(&in);
	assert_int_equal(made.fh.len, 0);
	b = hex("00000011" WCC);
	in = reader(&b);
	assert_int_equal(nfs_get_made(&in, &made), NFS_EXIST);
	whole(&in);
	b = hex("00000042" WCC "00000000" POST);
	in = reader(&b);
	assert_int_equal(nfs_errno(nfs_get_rename(&in, &wcc, &to)), -TD_ENOTEMPTY);
	whole(&in);
	is_wcc(&wcc);
	assert_false(to.pre_there);
	is_attr(&to.post.attr);
	b = hex("00000000" POST WCC);
	in = reader(&b);
	assert_int_equal(nfs_get_link(&in, &obj, &wcc), NFS_OK);
	whole(&in);
}

static void nfs_reads_data(void **state)
{
	struct bytes b = hex("00000000" POST "00000003 00000001 00000003 61626300");
	struct xdr_in in = reader(&b);
	struct nfs_written w;
	struct nfs_read r;
	struct nfs_wcc wcc;
	struct nfs_verf verf;

	assert_int_equal(nfs_get_read(&in, b.len, &r), NFS_OK);
	assert_false(in.bad);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.eof, 1);
	assert_memory_equal(b.data + r.at, "abc", 3);
	in = reader(&b); /* the message is longer than what lies in the buffer: fine; and shorter than it says: not */
	in.len = r.at;
	assert_int_equal(nfs_get_read(&in, b.len, &r), NFS_OK);
	assert_false(in.bad);
	in = reader(&b);
	nfs_get_read(&in, r.at + 2, &r);
	assert_true(in.bad);
	b = hex("00000000" POST "00000003 00000001 00000002 61620000"); /* two lengths */
	in = reader(&b);
	nfs_get_read(&in, b.len, &r);
	assert_true(in.bad);
	b = hex("00000000" WCC "00001000 00000002 0102030405060708");
	in = reader(&b);
	assert_int_equal(nfs_get_written(&in, &w), NFS_OK);
	whole(&in);
	is_wcc(&w.wcc);
	assert_int_equal(w.count, 4096);
	assert_int_equal(w.committed, NFS_FILE_SYNC);
	assert_memory_equal(w.verf.bytes, "\1\2\3\4\5\6\7\10", 8);
	b = hex("00000000" WCC "0102030405060708");
	in = reader(&b);
	assert_int_equal(nfs_get_commit(&in, &wcc, &verf), NFS_OK);
	whole(&in);
	assert_memory_equal(verf.bytes, "\1\2\3\4\5\6\7\10", 8);
}

static void nfs_reads_listings(void **state)
{
	struct bytes b = hex("00000000" POST "0102030405060708"
			     "00000001 00000000000000bb 00000005 66696c6531000000 0000000000000007" POST "00000001" FH5
			     "00000001 00000000000000bc 00000001 62000000 0000000000000008 00000000 00000000"
			     "00000000 00000001");
	struct xdr_in in = reader(&b);
	struct nfs_post dir;
	struct nfs_verf verf;
	struct nfs_entry e;

	assert_int_equal(nfs_get_listing(&in, &dir, &verf), NFS_OK);
	assert_memory_equal(verf.bytes, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(nfs_get_entry(&in, 1, &e), 1);
	assert_int_equal(e.name.len, 5);
	assert_memory_equal(e.name.bytes, "file1", 5);
	assert_int_equal(e.cookie, 7);
	is_attr(&e.post.attr);
	assert_int_equal(e.fh.len, 5);
	assert_int_equal(nfs_get_entry(&in, 1, &e), 1);
	assert_int_equal(e.fileid, 0xbc);
	assert_false(e.post.there);
	assert_int_equal(e.fh.len, 0);
	assert_int_equal(nfs_get_entry(&in, 1, &e), 0);
	assert_int_equal(nfs_get_listing_end(&in), 1);
	whole(&in);
}

static void nfs_refuses_names_that_are_none(void **state)
{
	static const char *const wrong[] = { "00000000", "00000001 2f000000", "00000002 61000000" };

	for (size_t i = 0; i < 3; i++) {
		char text[128];
		snprintf(text, sizeof(text), "00000001 00000000000000bb %s 0000000000000007 00000000", wrong[i]);
		struct bytes b = hex(text);
		struct xdr_in in = reader(&b);
		struct nfs_entry e;

		assert_int_equal(nfs_get_entry(&in, 0, &e), 0);
		assert_true(in.bad);
	}
}

static void nfs_reads_the_rest(void **state)
{
	struct bytes b = hex("00000000" ATTR);
	struct xdr_in in = reader(&b);
	struct nfs_pathconf p;
	struct nfs_fsinfo f;
	struct nfs_fsstat s;
	struct nfs_attr attr;
	struct nfs_post post;
	struct td_in target;
	uint32_t mask = 0;

	assert_int_equal(nfs_get_getattr(&in, &attr), NFS_OK);
	whole(&in);
	is_attr(&attr);
	b = hex("00000000" POST "0000001f");
	in = reader(&b);
	assert_int_equal(nfs_get_access(&in, &post, &mask), NFS_OK);
	whole(&in);
	assert_int_equal(mask, 0x1f);
	b = hex("00000000" POST "00000005 6162636465000000");
	in = reader(&b);
	assert_int_equal(nfs_get_readlink(&in, &post, &target), NFS_OK);
	whole(&in);
	assert_memory_equal(target.data, "abcde", 5);
	b = hex("00000000" POST "0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005 0000000000000006 00000000");
	in = reader(&b);
	assert_int_equal(nfs_get_fsstat(&in, &s), NFS_OK);
	whole(&in);
	assert_int_equal(s.abytes, 3);
	assert_int_equal(s.afiles, 6);
	b = hex("00000000 00000000 00100000 00080000 00001000 00200000 00040000 00001000 00002000 7fffffffffffffff 00000000 00000001 0000001b");
	in = reader(&b);
	assert_int_equal(nfs_get_fsinfo(&in, &f), NFS_OK);
	whole(&in);
	assert_int_equal(f.rtmax, 0x100000);
	assert_int_equal(f.rtpref, 0x80000);
	assert_int_equal(f.wtmax, 0x200000);
	assert_int_equal(f.wtpref, 0x40000);
	assert_int_equal(f.dtpref, 0x2000);
	assert_int_equal(f.maxsize, INT64_MAX);
	assert_int_equal(f.properties, 0x1b);
	b = hex("00000000 00000000 00007fff 000000ff 00000001 00000001 00000000 00000001");
	in = reader(&b);
	assert_int_equal(nfs_get_pathconf(&in, &p), NFS_OK);
	whole(&in);
	assert_int_equal(p.linkmax, 32767);
	assert_int_equal(p.namemax, 255);
}

static void errors_are_linuxs(void **state)
{
	static const int pairs[][2] = { { 0, 0 },	      { 1, TD_EPERM },	   { 2, TD_ENOENT },	  { 5, TD_EIO },	 { 13, TD_EACCES },
					{ 17, TD_EEXIST },    { 20, TD_ENOTDIR },  { 28, TD_ENOSPC },	  { 63, TD_ENAMETOOLONG }, { 66, TD_ENOTEMPTY },
					{ 69, TD_EDQUOT },    { 70, TD_ESTALE },   { 10001, TD_ESTALE },  { 10004, TD_EOPNOTSUPP },
					{ 10006, TD_EIO },    { 10008, TD_EAGAIN } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_int_equal(nfs_errno((uint32_t)pairs[i][0]), -pairs[i][1]);
	assert_string_equal(nfs_status_name(70), "NFS3ERR_STALE");
	struct bytes b = hex("00000003"); /* there is no such status */
	struct xdr_in in = reader(&b);
	nfs_get_status(&in);
	assert_true(in.bad);
}

/* ---- Replies that were damaged */

#define HEAD "01020304 00000001 00000000 00000000 00000000 00000000"

static const struct {
	uint32_t kind;
	const char *bytes;
} replies[] = {
	{ NFS_GETATTR, HEAD "00000000" ATTR },
	{ NFS_SETATTR, HEAD "00000000" WCC },
	{ NFS_LOOKUP, HEAD "00000000" FH5 POST POST },
	{ NFS_ACCESS, HEAD "00000000" POST "0000001f" },
	{ NFS_READLINK, HEAD "00000000" POST "00000005 6162636465000000" },
	{ NFS_READ, HEAD "00000000" POST "00000004 00000001 00000004 61626364" },
	{ NFS_WRITE, HEAD "00000000" WCC "00001000 00000002 0102030405060708" },
	{ NFS_CREATE, HEAD "00000000 00000001" FH4 POST WCC },
	{ NFS_REMOVE, HEAD "00000002" WCC },
	{ NFS_RENAME, HEAD "00000000" WCC WCC },
	{ NFS_LINK, HEAD "00000000" POST WCC },
	{ NFS_READDIR, HEAD "00000000" POST "0102030405060708 00000001 00000000000000bb 00000001 61000000 0000000000000007 00000000 00000001" },
	{ NFS_READDIRPLUS,
	  HEAD "00000000" POST "0102030405060708 00000001 00000000000000bb 00000005 66696c6531000000 0000000000000007" POST "00000001" FH5 "00000000 00000001" },
	{ NFS_FSSTAT, HEAD "00000000 00000000 0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005 0000000000000006 00000000" },
	{ NFS_FSINFO,
	  HEAD "00000000 00000000 00100000 00080000 00001000 00200000 00040000 00001000 00002000 7fffffffffffffff 00000000 00000001 0000001b" },
	{ NFS_PATHCONF, HEAD "00000000 00000000 00007fff 000000ff 00000001 00000001 00000000 00000001" },
	{ NFS_COMMIT, HEAD "00000000" WCC "0102030405060708" },
	{ DECODE_PMAP, HEAD "00000801" },
	{ DECODE_MNT, HEAD "00000000 00000004 09080706 00000001 00000001" },
};

enum { REPLIES = sizeof(replies) / sizeof(replies[0]) };

/* In memory of its own, so that a sanitizer sees a byte too far. */
static int decode(uint32_t kind, const uint8_t *data, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int sense;

	memcpy(copy, data, len);
	sense = snfs_decode(kind, copy, len);
	free(copy);
	return sense;
}

static void cut_short_at_every_byte(void **state)
{
	for (size_t i = 0; i < REPLIES; i++) {
		struct bytes b = hex(replies[i].bytes);

		assert_int_equal(decode(replies[i].kind, b.data, b.len), 1);
		for (uint32_t len = 0; len < b.len; len++)
			if (replies[i].kind != DECODE_PMAP) /* a port cut short is port 0: not registered */
				assert_int_equal(decode(replies[i].kind, b.data, len), 0);
	}
}

static uint32_t below(uint64_t *random, uint32_t n)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((*random >> 33) * n >> 31);
}

static void mutate(struct bytes *b, uint64_t *random)
{
	static const uint32_t words[] = { 0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc, 64, 65, 255, 256, 1000000000 };
	uint32_t at = below(random, b->len), word = words[below(random, sizeof(words) / sizeof(words[0]))];

	switch (below(random, 4)) {
	case 0:
		b->data[at] ^= (uint8_t)(1u << below(random, 8));
		break;
	case 1:
		b->data[at] = (uint8_t)below(random, 256);
		break;
	case 2:
		at &= ~3u;
		for (uint32_t i = 0; i < 4 && at + i < b->len; i++)
			b->data[at + i] = (uint8_t)(word >> (24 - 8 * i));
		break;
	default:
		b->len -= below(random, b->len);
	}
}

static void changed_in_many_ways(void **state)
{
	const char *given = getenv("SNFS_SEED");
	uint64_t first = given ? strtoull(given, 0, 0) : 1, last = given ? first : 20000;

	for (uint64_t seed = first; seed <= last; seed++) {
		uint64_t random = seed * 0x9e3779b97f4a7c15ull;
		uint32_t i = below(&random, REPLIES), n = 1 + below(&random, 6);
		struct bytes b = hex(replies[i].bytes);

		while (n--)
			mutate(&b, &random);
		if (given)
			fprintf(stderr, "SNFS_SEED=%llu: reply %u, %u bytes\n", (unsigned long long)seed, i, b.len);
		decode(replies[i].kind, b.data, b.len); /* aborts where a rule is broken */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xdr_encodes),
		cmocka_unit_test(xdr_encodes_within_its_room),
		cmocka_unit_test(xdr_decodes),
		cmocka_unit_test(xdr_refuses_lengths),
		cmocka_unit_test(rpc_calls),
		cmocka_unit_test(rpc_sends_no_more_groups_than_there_is_room_for),
		cmocka_unit_test(rpc_reads_replies),
		cmocka_unit_test(mount_reads_what_mountd_says),
		cmocka_unit_test(nfs_sends_names),
		cmocka_unit_test(nfs_sends_the_rest),
		cmocka_unit_test(nfs_reads_names),
		cmocka_unit_test(nfs_reads_data),
		cmocka_unit_test(nfs_reads_listings),
		cmocka_unit_test(nfs_refuses_names_that_are_none),
		cmocka_unit_test(nfs_reads_the_rest),
		cmocka_unit_test(errors_are_linuxs),
		cmocka_unit_test(cut_short_at_every_byte),
		cmocka_unit_test(changed_in_many_ways),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
