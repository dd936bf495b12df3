/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a server sends: record marks (RFC 5531, section 11) and messages. Bytes come into a stage; those of a message
 * that somebody wants go on to an mbuf, and what is still to come of it is received there at once.
 */
#include "net.h"

enum { STAGE = 16384, FRAGMENTS_MAX = 1024, UNWANTED_MESSAGES = 10000 };
#define UNWANTED_BYTES (64ull << 20)

void td__in_reset(struct td__socket *s)
{
	struct td__in *in = &s->in;
	uint8_t *stage = in->stage;

	td__mbuf_drop(&s->net->pool, in->message);
	*in = (struct td__in){ .stage = stage };
}

void td__in_fini(struct td__socket *s)
{
	td__in_reset(s);
	if (s->in.stage)
		td__port_free(s->in.stage, STAGE);
	s->in.stage = 0;
}

/* The first four bytes have come: is the message for anybody? Else count it: an honest server sends few of these. */
static int look_at_tag(struct td__socket *s)
{
	struct td__in *in = &s->in;

	if (td__socket_wanted(s, td__tag_of(in->message)))
		return 0;
	in->unwanted = 1;
	td__mbuf_drop(&s->net->pool, in->message);
	in->message = 0;
	__atomic_add_fetch(&s->net->counts.unwanted, 1, __ATOMIC_RELAXED);
	return ++s->unwanted_messages > UNWANTED_MESSAGES ? -TD_EBADMSG : 0;
}

/* n bytes of a message that nobody wants. */
static int skip(struct td__socket *s, uint32_t n)
{
	s->unwanted_bytes += n;
	return s->unwanted_bytes > UNWANTED_BYTES ? -TD_EBADMSG : 0;
}

/* Bytes of the fragment that are in the stage. */
static int take_body(struct td__socket *s)
{
	struct td__in *in = &s->in;
	uint32_t n = in->to - in->from < in->left ? in->to - in->from : in->left;
	int err;

	if (!in->unwanted && in->len < 4 && n > 4 - in->len)
		n = 4 - in->len; /* the tag first: what nobody wants is not to cost memory */
	if (in->unwanted)
		err = skip(s, n);
	else
		err = td__mbuf_put(&s->net->pool, in->message, in->stage + in->from, n, TD_MESSAGE_MAX);
	if (err)
		return err == -TD_EMSGSIZE ? -TD_EBADMSG : err;
	in->from += n;
	in->left -= n;
	in->len += n;
	return !in->unwanted && in->len == 4 && n ? look_at_tag(s) : 0;
}

static int end_of_message(struct td__socket *s)
{
	struct td__in *in = &s->in;
	struct td__mbuf *m = in->message;
	uint32_t short_one = in->len < 4, unwanted = in->unwanted;

	in->message = 0;
	in->unwanted = in->fragments = in->len = in->last = 0;
	if (short_one) {
		td__mbuf_drop(&s->net->pool, m);
		return -TD_EBADMSG;
	}
	if (unwanted)
		return 0;
	__atomic_add_fetch(&s->net->counts.received, 1, __ATOMIC_RELAXED);
	td__socket_came(s, td__tag_of(m), m);
	return 0;
}

static int take_mark(struct td__socket *s)
{
	struct td__in *in = &s->in;

	while (in->nmark < 4 && in->from < in->to)
		in->mark[in->nmark++] = in->stage[in->from++];
	if (in->nmark < 4)
		return 0;
	in->last = in->mark[0] >> 7;
	in->left = (uint32_t)(in->mark[0] & 127) << 24 | (uint32_t)in->mark[1] << 16 | (uint32_t)in->mark[2] << 8 | in->mark[3];
	if (in->left > TD_MESSAGE_MAX - in->len || ++in->fragments > FRAGMENTS_MAX)
		return -TD_EBADMSG;
	if (!in->message && !in->unwanted)
		in->message = td__mbuf_new();
	return in->message || in->unwanted ? 0 : -TD_ENOMEM;
}

/* All that is in the stage. */
static int take_stage(struct td__socket *s)
{
	struct td__in *in = &s->in;
	int err = 0;

	while (!err) {
		if (in->nmark < 4) {
			if (in->from == in->to)
				break;
			err = take_mark(s);
		} else if (in->left) {
			if (in->from == in->to)
				break;
			err = take_body(s);
		} else {
			in->nmark = 0;
			err = in->last ? end_of_message(s) : 0;
		}
	}
	if (in->from == in->to)
		in->from = in->to = 0;
	return err;
}

/* One receive: first what is known to belong to the message, behind it the stage. */
static int64_t receive(struct td__socket *s, uint32_t *direct)
{
	struct td__in *in = &s->in;
	struct td__piece pieces[2];
	uint32_t n = 0;

	*direct = 0;
	if (in->nmark == 4 && in->left > STAGE && !in->unwanted && in->len >= 4) {
		uint8_t *room = td__mbuf_room(&s->net->pool, in->message, in->left, direct);

		if (!room)
			return -TD_ENOMEM;
		pieces[n++] = (struct td__piece){ room, *direct };
	}
	pieces[n++] = (struct td__piece){ in->stage, STAGE };
	if (*direct && *direct < in->left)
		n = 1; /* the stage is for what comes behind it */
	return td__port_sock_receive(s->sock, pieces, n);
}

int td__socket_take(struct td__socket *s)
{
	struct td__in *in = &s->in;
	uint32_t direct;
	int64_t got;

	if (!in->stage)
		in->stage = td__port_alloc(STAGE);
	if (!in->stage)
		return -TD_ENOMEM;
	got = receive(s, &direct);
	if (got == -TD_EAGAIN || got == -TD_ENOMEM)
		return (int)got;
	if (got <= 0)
		return -TD_ENOTCONN;
	__atomic_add_fetch(&s->net->counts.received_bytes, (uint64_t)got, __ATOMIC_RELAXED);
	if (direct) {
		uint32_t n = got < direct ? (uint32_t)got : direct;

		td__mbuf_grow(in->message, n);
		in->left -= n;
		in->len += n;
		got -= n;
	}
	in->to = (uint32_t)got;
	return take_stage(s);
}
