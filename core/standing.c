/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standing requests: reads of a file on a server that the kernel makes without a call of the module, which has said once (so_standing)
 * what to ask the server for and how the reply will begin.
 *
 *   none --so_standing--> STANDS --the vnode is given to a call exclusively, a reply is not as expected, the connection is lost--> none
 *
 * Rules:
 * - It stands for reads of one length, away from where the last one ended: who reads on comes to the module, which reads ahead.
 * - It is the domain's that gave it; another has none.
 * - Whatever is odd, the module is asked, as if nothing had been: to read twice changes nothing.
 *
 * Locks: the vnode's, shared; what readers change in it is under the mutex of the network.
 */
#include "fs.h"
#include "fs_services.h"

enum { BYTES = TD_STANDING_REQUEST + 2 * TD_LIKE_MAX };

struct td__standing {
	struct td_standing s; /* len 0: none */
	uint64_t domain, next; /* next: where the last read ended */
	uint8_t bytes[BYTES]; /* the request, then how the reply begins */
};

static struct td__standing *of(struct td__vnode *v)
{
	return __atomic_load_n(&v->standing, __ATOMIC_ACQUIRE);
}

void td__standing_end(struct td__vnode *v)
{
	struct td__standing *o = of(v);

	if (!o)
		return;
	td__mutex_lock(&v->fs->net.mutex);
	o->s.len = 0;
	td__mutex_unlock(&v->fs->net.mutex);
}

void td__standing_forget(struct td__vnode *v)
{
	if (v->standing)
		td__port_free(v->standing, sizeof(*v->standing));
	v->standing = 0;
}

void td__standing_passed(struct td__vnode *v, uint64_t end)
{
	struct td__standing *o = of(v);

	if (!o)
		return;
	td__mutex_lock(&v->fs->net.mutex);
	o->next = end;
	td__mutex_unlock(&v->fs->net.mutex);
}

/* ---- The module says so */

static const char *wrong(const struct td_standing *s, uint32_t len)
{
	if (len < sizeof(*s) || len != sizeof(*s) + (uint64_t)s->request_len + s->like_len)
		return "so_standing: not as long as it says";
	if (s->request_len > TD_STANDING_REQUEST || s->place_at < 4 || s->request_len < 12 || s->place_at > s->request_len - 8)
		return "so_standing: no place for the tag and the offset, or too long a request";
	if (s->like_len % 2 || s->like_len > 2 * TD_LIKE_MAX || !s->len || s->len > TD_MESSAGE_MAX)
		return "so_standing: no beginning of a reply, or no length";
	return 0;
}

static void put(struct td__vnode *v, const struct td__standing *new)
{
	struct td__standing *o;

	td__mutex_lock(&v->fs->net.mutex);
	o = v->standing ? v->standing : td__port_alloc(sizeof(*o));
	if (o)
		*o = *new;
	__atomic_store_n(&v->standing, o, __ATOMIC_RELEASE);
	td__mutex_unlock(&v->fs->net.mutex);
}

/* Without memory for it nothing is lost. */
int td__svc_do_so_standing(struct td__call *c, const void *standing, uint32_t len)
{
	struct td__standing new = { .domain = c->id };
	struct {
		struct td_standing s;
		uint8_t bytes[BYTES];
	} in;
	const char *why;

	if (__atomic_load_n(&c->aborted, __ATOMIC_RELAXED) || __atomic_load_n(&c->doomed, __ATOMIC_RELAXED))
		return -TD_EDEADLK;
	if (c->op != TD_OP_read || !c->uio || !c->nvnodes || !c->fs->net.has_server)
		return td__careless(c, TD_ESTALE, "so_standing: the call does not read from a server");
	td__zero(&in, sizeof(in.s));
	if (td__port_copy(&in, standing, len < sizeof(in) ? len : sizeof(in)))
		return td__careless(c, TD_EINVAL, "network: memory that is not there");
	why = wrong(&in.s, len);
	if (why)
		return td__careless(c, TD_EINVAL, why);
	new.s = in.s;
	memcpy(new.bytes, in.bytes, len - sizeof(in.s));
	put(c->vnodes[0].v, &new);
	return 0;
}

/* ---- The kernel reads */

static int is_far(const struct td__standing *o, uint64_t off)
{
	return (off > o->next ? off - o->next : o->next - off) > o->s.near;
}

static int take(struct td__vnode *v, uint64_t off, uint64_t len, struct td__standing *copy)
{
	struct td__standing *o = of(v);
	int fits;

	if (!o || __atomic_load_n(&v->fs->traced, __ATOMIC_RELAXED) >> TD_OP_read & 1)
		return 0;
	td__mutex_lock(&v->fs->net.mutex);
	fits = o->s.len == len && is_far(o, off);
	if (fits) {
		o->next = off + len;
		*copy = *o;
	}
	td__mutex_unlock(&v->fs->net.mutex);
	return fits;
}

/* Highest byte first, as on every wire that is served so. */
static void put_number(uint8_t *at, uint64_t value, uint32_t n)
{
	while (n) {
		at[--n] = (uint8_t)value;
		value >>= 8;
	}
}

static int ask(struct td__call *c, struct td__standing *o, uint64_t off)
{
	struct td__pool *pool = &c->fs->net.pool;
	struct td__mbuf *m = td__mbuf_new();
	int err;

	if (!m)
		return -TD_ENOMEM;
	put_number(o->bytes, c->tag, 4);
	put_number(o->bytes + o->s.place_at, off, 8);
	err = td__mbuf_put(pool, m, o->bytes, o->s.request_len, TD_MESSAGE_MAX);
	if (!err)
		err = td__socket_send(c, o->s.socket, m, 0);
	td__mbuf_drop(pool, m);
	return err;
}

/* 0, or -TD_EAGAIN: the module is to read; another error has moved a part. */
static int exchange(struct td__call *c, struct td__standing *o, uint64_t off, struct td__uio *uio)
{
	struct td__pool *pool = &c->fs->net.pool;
	uint32_t n = o->s.like_len / 2;
	struct td__mbuf *reply;
	int err;

	if (ask(c, o, off) || td__socket_receive(c, o->s.socket, c->tag, o->s.ms, &reply))
		return -TD_EAGAIN;
	if (!td__mbuf_is_like(reply, o->bytes + o->s.request_len, n) || o->s.len > reply->len - n)
		err = -TD_EAGAIN;
	else
		err = td__mbuf_cat(pool, uio->read, reply, n, o->s.len, (uint32_t)uio->len);
	if (!err)
		uio->moved += o->s.len;
	td__mbuf_drop(pool, reply);
	return err;
}

int td__standing_read(struct td__vnode *v, uint64_t off, uint64_t len, struct td__uio *uio)
{
	int err = -TD_EAGAIN, ended = 0;
	td__attempts tries = { 0 };
	struct td__standing o;
	struct td__call *c;

	if (!take(v, off, len, &o) || td__call_begin(v->fs, TD_OP_read, &tries, &c))
		return -TD_EAGAIN;
	if (c->id == o.domain)
		err = exchange(c, &o, off, uio);
	if (td__call_end(c, &tries, &ended)) /* it gives way to others: so does the module's */
		return -TD_EAGAIN;
	if (err == -TD_EAGAIN)
		td__standing_end(v);
	return err;
}
