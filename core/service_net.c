/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The services for messages and sockets. As in service.c each checks its handles and arguments first. An mbuf that a
 * call has open is a reference to a chain; changing one that somebody else has, too, gives the call a chain of its own.
 */
#include "fs.h"
#include "journal.h"
#include "fs_services.h"

static int over(const struct td__call *c)
{
	return __atomic_load_n(&c->aborted, __ATOMIC_RELAXED) || __atomic_load_n(&c->doomed, __ATOMIC_RELAXED);
}

static struct td__pool *pool(struct td__call *c)
{
	return &c->fs->net.pool;
}

/* ---- Mbufs of a call */

static struct td__open_mbuf *find(struct td__call *c, uint32_t handle)
{
	uint32_t i = handle & 255;

	if (i >= TD_MBUF_MAX || !(c->mbufs_open >> i & 1) || c->mbufs[i].handle != handle)
		return 0;
	return &c->mbufs[i];
}

static struct td__open_mbuf *open_mbuf(struct td__call *c, uint32_t handle, int *err)
{
	struct td__open_mbuf *o = find(c, handle);

	*err = over(c) ? -TD_EDEADLK : o ? 0 : td__careless_of(c, TD_ESTALE, "mbuf: no such handle is open", "mbuf", handle);
	return *err ? 0 : o;
}

/* May the call open an mbuf by this number? */
static int may_number(struct td__call *c, uint32_t handle)
{
	uint32_t i = handle & 255;

	if (over(c))
		return -TD_EDEADLK;
	if (i >= TD_MBUF_MAX || c->mbufs_open >> i & 1 || handle >> 8 <= c->mbuf_uses)
		return td__careless_of(c, TD_EINVAL, "mbuf: a handle that is in use, out of range or out of turn", "mbuf", handle);
	return 0;
}

static void number(struct td__call *c, uint32_t handle, struct td__mbuf *m)
{
	uint32_t i = handle & 255;

	c->mbufs[i] = (struct td__open_mbuf){ m, handle };
	c->mbufs_open |= 1u << i;
	c->mbuf_uses = handle >> 8;
	td__origin_note(c, "mbuf", handle);
}

static void close_mbuf(struct td__call *c, uint32_t i)
{
	td__mbuf_drop(pool(c), c->mbufs[i].m);
	c->mbufs[i].m = 0;
	c->mbufs_open &= ~(1u << i);
}

void td__mbufs_close_all(struct td__call *c)
{
	while (c->mbufs_open)
		close_mbuf(c, (uint32_t)__builtin_ctz(c->mbufs_open));
}

/* One that is to be changed. */
static struct td__mbuf *own(struct td__call *c, uint32_t handle, int *err)
{
	struct td__open_mbuf *o = open_mbuf(c, handle, err);

	if (!o)
		return 0;
	*err = td__mbuf_own(pool(c), &o->m);
	return *err ? 0 : o->m;
}

static int put_result(struct td__call *c, int err)
{
	switch (-err) {
	case TD_EFAULT:
		return td__careless(c, TD_EINVAL, "mbuf: memory that is not there");
	case TD_EMSGSIZE:
		return td__careless(c, TD_EINVAL, "mbuf: longer than a message may be");
	default:
		return err;
	}
}

int td__svc_do_mb_build(struct td__call *c, uint32_t mbuf, const void *data, uint32_t len)
{
	struct td__mbuf *m;
	int err = may_number(c, mbuf);

	if (err)
		return err;
	m = td__mbuf_new();
	if (!m)
		return -TD_ENOMEM;
	number(c, mbuf, m);
	return put_result(c, td__mbuf_put(pool(c), m, data, len, TD_MESSAGE_MAX));
}

int td__svc_do_mb_put(struct td__call *c, uint32_t mbuf, const void *data, uint32_t len)
{
	int err;
	struct td__mbuf *m = own(c, mbuf, &err);

	return m ? put_result(c, td__mbuf_put(pool(c), m, data, len, TD_MESSAGE_MAX)) : err;
}

int td__svc_do_mb_put_uio(struct td__call *c, uint32_t mbuf, uint32_t uio, uint32_t len)
{
	int err;
	struct td__mbuf *m = own(c, mbuf, &err);

	if (!m)
		return err;
	if (c->op != TD_OP_write || !c->uio || uio != 1)
		return td__careless(c, TD_ESTALE, "uio: no such handle, or the call does not write");
	if (len > c->uio->len - c->uio->moved)
		return td__careless(c, TD_EINVAL, "uio: more than the caller's buffer holds");
	err = td__mbuf_put(pool(c), m, c->uio->data + c->uio->moved, len, TD_MESSAGE_MAX);
	if (!err)
		c->uio->moved += len;
	return put_result(c, err);
}

static int within(const struct td__mbuf *m, uint32_t off, uint32_t len)
{
	return off <= m->len && len <= m->len - off;
}

int td__svc_do_mb_cat(struct td__call *c, uint32_t mbuf, uint32_t from, uint32_t off, uint32_t len)
{
	int err;
	struct td__open_mbuf *o = open_mbuf(c, from, &err);
	struct td__mbuf *m = o ? own(c, mbuf, &err) : 0;

	if (!m)
		return err;
	if (!within(o->m, off, len))
		return td__careless(c, TD_EINVAL, "mbuf: bytes beyond its end");
	return put_result(c, td__mbuf_cat(pool(c), m, o->m, off, len, TD_MESSAGE_MAX));
}

int td__svc_do_mb_get(struct td__call *c, uint32_t mbuf, uint32_t off, void *data, uint32_t len)
{
	int err;
	struct td__open_mbuf *o = open_mbuf(c, mbuf, &err);

	if (!o)
		return err;
	if (!within(o->m, off, len))
		return td__careless(c, TD_EINVAL, "mbuf: bytes beyond its end");
	return put_result(c, td__mbuf_get(o->m, off, data, len));
}

/* To memory of the module's, which need not be there. */
static int tell(struct td__call *c, void *to, const void *value, uint32_t len)
{
	return td__port_copy(to, value, len) ? td__careless(c, TD_EINVAL, "network: memory that is not there") : 0;
}

int td__svc_do_mb_length(struct td__call *c, uint32_t mbuf, uint64_t *len)
{
	int err;
	struct td__open_mbuf *o = open_mbuf(c, mbuf, &err);
	uint64_t n = o ? o->m->len : 0;

	return o ? tell(c, len, &n, sizeof(n)) : err;
}

int td__svc_do_mb_to_uio(struct td__call *c, uint32_t mbuf, uint32_t uio, uint32_t off, uint32_t len)
{
	int err;
	struct td__open_mbuf *o = open_mbuf(c, mbuf, &err);

	if (!o)
		return err;
	if (c->op != TD_OP_read || !c->uio || uio != 1)
		return td__careless(c, TD_ESTALE, "uio: no such handle, or the call does not read");
	if (!within(o->m, off, len))
		return td__careless(c, TD_EINVAL, "mbuf: bytes beyond its end");
	if (len > c->uio->len - c->uio->moved)
		return td__careless(c, TD_EINVAL, "uio: more than the caller's buffer holds");
	err = td__mbuf_cat(pool(c), c->uio->read, o->m, off, len, (uint32_t)c->uio->len);
	if (!err)
		c->uio->moved += len;
	return err;
}

int td__svc_do_mb_free(struct td__call *c, uint32_t mbuf)
{
	struct td__open_mbuf *o = find(c, mbuf);

	if (!o)
		return over(c) ? -TD_EDEADLK : td__careless_of(c, TD_ESTALE, "mbuf: no such handle is open", "mbuf", mbuf);
	close_mbuf(c, mbuf & 255);
	return 0;
}

/* ---- What is kept with vnodes: of those that the call has, under their locks */

static struct td__vnode *vnode_of(struct td__call *c, uint64_t handle, uint32_t mode, int *err)
{
	*err = over(c) ? -TD_EDEADLK : 0;
	for (uint32_t i = 0; i < c->nvnodes && !*err; i++)
		if (td__vnode_handle(c->vnodes[i].v) == handle && c->vnodes[i].mode >= mode)
			return c->vnodes[i].v;
	if (!*err)
		*err = td__careless_of(c, TD_ESTALE, "kept: a vnode that the call does not have so", "vnode", handle);
	return 0;
}
_Static_assert(TD_EXCLUSIVE > (int)TD_SHARED, "modes");

static void account(struct td__vnode *v, uint32_t len, int on)
{
	v->chain_bytes += on ? len : 0ull - len;
	__atomic_add_fetch(&v->fs->net.kept, on ? len : 0ull - len, __ATOMIC_RELAXED);
}

static void unlink_kept(struct td__vnode *v, struct td__kept *k)
{
	struct td__kept **at = &v->chains;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	if (!*at)
		v->chains_end = at;
	account(v, k->m->len, 0);
	td__mbuf_drop(&v->fs->net.pool, k->m);
	td__port_free(k, sizeof(*k));
}

void td__kept_drop_all(struct td__vnode *v)
{
	while (v->chains)
		unlink_kept(v, v->chains);
}

void td__kept_end(struct td__call *c, const struct td__entry *e, int commit)
{
	struct td__vnode *v = (struct td__vnode *)(uintptr_t)e->blkno;
	struct td__kept *k = (struct td__kept *)(uintptr_t)e->count;

	if (e->kind == TD__ENTRY_UNKEPT && !commit)
		k->dropped = 0;
	else
		unlink_kept(v, k);
}

int td__svc_do_mb_keep(struct td__call *c, uint32_t mbuf, uint64_t vnode, uint64_t key, uint64_t value)
{
	int err;
	struct td__open_mbuf *o = open_mbuf(c, mbuf, &err);
	struct td__vnode *v = o ? vnode_of(c, vnode, TD_EXCLUSIVE, &err) : 0;
	struct td__kept *k;

	if (!v)
		return err;
	if (v->chain_bytes > 2 * TD__KEPT_VNODE || __atomic_load_n(&c->fs->net.kept, __ATOMIC_RELAXED) > 2 * TD__KEPT_MOUNT)
		return td__careless_of(c, TD_ENOMEM, "mb_keep: over the limit, and flush has dropped nothing", "vnode", vnode);
	k = td__port_alloc(sizeof(*k));
	if (!k)
		return -TD_ENOMEM;
	*k = (struct td__kept){ 0, td__mbuf_hold(o->m), key, value, 0 };
	if (c->domain->level.journal == TD_JOURNAL_ALL &&
	    td__journal_mark(c, TD__ENTRY_KEPT, (uintptr_t)v, (uintptr_t)k)) {
		td__mbuf_drop(pool(c), k->m);
		td__port_free(k, sizeof(*k));
		return -TD_ENOMEM;
	}
	if (!v->chains)
		v->chains_end = &v->chains;
	*v->chains_end = k;
	v->chains_end = &k->next;
	account(v, k->m->len, 1);
	td__vnode_dirty(v);
	return 0;
}

static struct td__kept *nth_kept(struct td__vnode *v, uint32_t nth)
{
	struct td__kept *k = v->chains;

	for (; k && (k->dropped || nth); k = k->next)
		nth -= !k->dropped;
	return k;
}

int td__svc_do_mb_cat_kept(struct td__call *c, uint32_t mbuf, uint64_t vnode, uint32_t nth, uint32_t off)
{
	int err;
	struct td__mbuf *m = own(c, mbuf, &err);
	struct td__vnode *v = m ? vnode_of(c, vnode, TD_SHARED, &err) : 0;
	const struct td__kept *k = v ? nth_kept(v, nth) : 0;

	if (!v)
		return err;
	if (!k)
		return -TD_ENOENT;
	if (!within(k->m, off, 0))
		return td__careless(c, TD_EINVAL, "mbuf: bytes beyond its end");
	return put_result(c, td__mbuf_cat(pool(c), m, k->m, off, k->m->len - off, TD_MESSAGE_MAX));
}

int td__svc_do_kept_open(struct td__call *c, uint32_t mbuf, uint64_t vnode, uint32_t nth, void *kept, uint32_t len)
{
	int err = may_number(c, mbuf);
	struct td__vnode *v = err ? 0 : vnode_of(c, vnode, TD_SHARED, &err);
	struct td_kept out = { 0 };
	struct td__kept *k;

	if (!v)
		return err;
	k = nth_kept(v, nth);
	if (!k)
		return -TD_ENOENT;
	out = (struct td_kept){ k->key, k->value, k->m->len, mbuf };
	err = tell(c, kept, &out, len < sizeof(out) ? len : sizeof(out));
	if (!err)
		number(c, mbuf, td__mbuf_hold(k->m));
	return err;
}

int td__svc_do_kept_drop(struct td__call *c, uint64_t vnode, uint64_t value)
{
	int err;
	struct td__vnode *v = vnode_of(c, vnode, TD_EXCLUSIVE, &err);

	for (struct td__kept *k = v ? v->chains : 0, *next; k; k = next) {
		next = k->next;
		if (k->dropped || k->value != value)
			continue;
		if (c->domain->level.journal != TD_JOURNAL_ALL)
			unlink_kept(v, k);
		else if (td__journal_mark(c, TD__ENTRY_UNKEPT, (uintptr_t)v, (uintptr_t)k))
			return td__careless(c, TD_EINVAL, "journal: over the limit of one call");
		else
			k->dropped = 1;
	}
	return err;
}

/* ---- Sockets */

static int may_use_network(struct td__call *c)
{
	if (over(c))
		return -TD_EDEADLK;
	return c->fs->net.has_server ? 0 : td__careless(c, TD_EINVAL, "network: the mount has no server");
}

int td__svc_do_so_open(struct td__call *c, uint32_t port, uint32_t flags, uint32_t ms, uint64_t *socket)
{
	uint32_t handle = 0;
	uint64_t value;
	int err = may_use_network(c);

	if (!err && (!port || port > 65535 || flags & ~(uint32_t)TD_SOCK_RESERVED))
		err = td__careless(c, TD_EINVAL, "so_open: no such port or flag");
	if (!err)
		err = td__socket_open(c, port, flags, ms, &handle);
	value = handle;
	return err ? err : tell(c, socket, &value, sizeof(value));
}

static int used_socket(struct td__call *c, int err)
{
	return err == -TD_ESTALE ? td__careless(c, TD_ESTALE, "socket: no such handle was given") : err;
}

/* The same, posted: that the connection is lost is nobody's mistake. */
static int posted_to_socket(struct td__call *c, int err)
{
	return err == -TD_ESTALE ? used_socket(c, err) : 0;
}

/* An mbuf that can be sent. */
static struct td__mbuf *message(struct td__call *c, uint32_t handle, int *err)
{
	struct td__open_mbuf *o = open_mbuf(c, handle, err);

	if (!o)
		return 0;
	if (o->m->len < 4)
		*err = td__careless(c, TD_EINVAL, "a message without a tag");
	else if (c->domain->level.check == TD_CHECK_DEEP)
		TD__ASSERT(!td__mbuf_check(o->m));
	return *err ? 0 : o->m;
}

/* Wait for the reply with this tag, and open it as mbuf `reply`. */
static int receive(struct td__call *c, uint32_t socket, uint32_t tag, uint32_t reply, uint32_t ms, void *head, uint32_t room)
{
	struct td_reply r = { 0 };
	struct td__mbuf *m;
	uint32_t n;
	int err = used_socket(c, td__socket_receive(c, socket, tag, ms, &m));

	if (err)
		return err;
	number(c, reply, m);
	r.len = m->len;
	r.mbuf = reply;
	n = room - (uint32_t)sizeof(r) < m->len ? room - (uint32_t)sizeof(r) : m->len;
	err = tell(c, head, &r, sizeof(r));
	return err ? err : put_result(c, td__mbuf_get(m, 0, (char *)head + sizeof(r), n));
}

static int may_receive(struct td__call *c, uint32_t reply, uint32_t room)
{
	int err = may_use_network(c);

	if (!err)
		err = may_number(c, reply);
	if (!err && (room < sizeof(struct td_reply) || room > TD_REPLY_ROOM))
		err = td__careless(c, TD_EINVAL, "no room, or too much, for a reply");
	return err;
}

int td__svc_do_so_call(struct td__call *c, uint32_t socket, uint32_t request, uint32_t reply, uint32_t ms, void *head,
		       uint32_t head_len)
{
	int err = may_receive(c, reply, head_len);
	struct td__mbuf *m = err ? 0 : message(c, request, &err);

	if (!m)
		return err;
	err = used_socket(c, td__socket_send(c, socket, m, 0));
	return err ? err : receive(c, socket, td__tag_of(m), reply, ms, head, head_len);
}

/* Posted: whether it could be sent shows when somebody waits for the reply. */
int td__svc_do_so_send(struct td__call *c, uint32_t socket, uint32_t request)
{
	int err = may_use_network(c);
	struct td__mbuf *m = err ? 0 : message(c, request, &err);

	if (!m)
		return err;
	return posted_to_socket(c, td__socket_send(c, socket, m, 1));
}

int td__svc_do_so_receive(struct td__call *c, uint32_t socket, uint32_t tag, uint32_t reply, uint32_t ms, void *head,
			  uint32_t head_len)
{
	int err = may_receive(c, reply, head_len);

	return err ? err : receive(c, socket, tag, reply, ms, head, head_len);
}

static int may_deliver(struct td__call *c, uint32_t tag, uint32_t len, uint32_t like_len)
{
	int err = may_use_network(c);

	if (err)
		return err;
	if (c->op != TD_OP_read || !c->uio)
		return td__careless(c, TD_ESTALE, "so_deliver: the call does not read");
	if (tag >> 31 || like_len % 2 || like_len > 2 * TD_LIKE_MAX)
		return td__careless(c, TD_EINVAL, "so_deliver: a tag that is not the call's, or no beginning of a reply");
	return len > c->uio->len - c->uio->moved ? td__careless(c, TD_EINVAL, "uio: more than the caller's buffer holds") : 0;
}

int td__svc_do_so_deliver(struct td__call *c, uint32_t socket, uint32_t tag, uint32_t len, uint32_t ms, const void *like, uint32_t like_len)
{
	uint8_t expected[2 * TD_LIKE_MAX];
	uint32_t n = like_len / 2;
	struct td__mbuf *m;
	int err = may_deliver(c, tag, len, like_len);

	if (!err && td__port_copy(expected, like, like_len))
		err = td__careless(c, TD_EINVAL, "network: memory that is not there");
	if (err)
		return err;
	err = used_socket(c, td__socket_receive(c, socket, tag, ms, &m));
	if (err)
		return err == -TD_EDEADLK || err == -TD_ESTALE || err == -TD_EIO ? err : -TD_EAGAIN;
	if (!td__mbuf_is_like(m, expected, n) || len > m->len - n)
		err = -TD_EAGAIN;
	else
		err = td__mbuf_cat(pool(c), c->uio->read, m, n, len, (uint32_t)c->uio->len);
	if (!err)
		c->uio->moved += len;
	td__mbuf_drop(pool(c), m);
	return err;
}

int td__svc_do_so_forget(struct td__call *c, uint32_t socket, uint32_t tag)
{
	int err = may_use_network(c);

	return err ? err : posted_to_socket(c, td__socket_forget(&c->fs->net, socket, tag));
}

int td__svc_do_so_close(struct td__call *c, uint32_t socket)
{
	int err = may_use_network(c);

	return err ? err : posted_to_socket(c, td__socket_close(&c->fs->net, socket));
}

int td__svc_do_sleep(struct td__call *c, uint32_t ms)
{
	int err = may_use_network(c);

	return err ? err : td__net_sleep(c, ms);
}

int td__svc_do_mount_text(struct td__call *c, uint32_t which, void *text, uint32_t len)
{
	const char *from = which ? c->fs->options : c->fs->source;
	uint32_t need = from ? (uint32_t)strlen(from) + 1 : 1;

	if (over(c))
		return -TD_EDEADLK;
	if (which > 1)
		return td__careless(c, TD_EINVAL, "mount_text: no such text");
	return need > len ? -TD_ERANGE : tell(c, text, from ? from : "", need);
}

int td__svc_do_explain(struct td__call *c, const void *text, uint32_t len)
{
	char said[201];

	if (len > sizeof(said) - 1)
		return td__careless(c, TD_EINVAL, "explain: more than 200 bytes");
	if (td__port_copy(said, text, len))
		return td__careless(c, TD_EINVAL, "explain: memory that is not there");
	for (uint32_t i = 0; i < len; i++)
		if ((uint8_t)said[i] < ' ' || said[i] == 127)
			said[i] = '?';
	said[len] = 0;
	td__copy_text(c->said, sizeof(c->said), said);
	c->said_in = c->serial + 1;
	if (c->op != TD_OP_mount)
		return td__svc_do_log(c, 4, said, len);
	memcpy(c->fs->said, said, len + 1);
	return 0;
}
