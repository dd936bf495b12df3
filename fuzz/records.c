/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what the kernel makes of a server's bytes: record marks, lengths, messages that nobody wants (core/receive.c). The socket is
 * played: the input says how much each receive gets; tags that are odd are wanted. Each message that comes out must be sound, wanted and no
 * longer than what came in, and at the end nothing is left.
 */
#include <stdlib.h>
#include <string.h>

#include "../core/net.h"

static struct {
	const uint8_t *data;
	size_t len, at;
} input;
static uint64_t given;

static uint8_t next(void)
{
	return input.at < input.len ? input.data[input.at++] : 0;
}

/* ---- What receive.c asks of others */

void *td__port_alloc(size_t size)
{
	return calloc(1, size);
}

void td__port_free(void *p, size_t size)
{
	free(p);
}

int td__port_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return 0;
}

void td__mutex_init(struct td__mutex *m)
{
}

void td__mutex_fini(struct td__mutex *m)
{
}

void td__mutex_lock(struct td__mutex *m)
{
}

void td__mutex_unlock(struct td__mutex *m)
{
}

/* As many bytes as the input says, and these are its next ones; or very many, which are all zero. */
int64_t td__port_sock_receive(struct td__sock *sock, const struct td__piece *pieces, uint32_t n)
{
	uint32_t how = next();
	uint64_t want = how < 64 ? how + 1u : how < 250 ? (uint64_t)how << 8 : 1 << 20, got = 0;

	if (input.at >= input.len)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		for (uint64_t k = 0; k < pieces[i].len && got < want && input.at < input.len; k++, got++)
			((uint8_t *)pieces[i].data)[k] = how < 250 ? next() : 0;
	given += got;
	return (int64_t)got;
}

int td__socket_wanted(struct td__socket *s, uint32_t tag)
{
	return tag & 1;
}

void td__socket_came(struct td__socket *s, uint32_t tag, struct td__mbuf *message)
{
	if (td__mbuf_check(message) || td__tag_of(message) != tag || !(tag & 1) || message->len > TD_MESSAGE_MAX || message->len > given)
		abort();
	td__mbuf_drop(&s->net->pool, message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct td__net net;
	struct td__socket *s = &net.sockets[0];
	int err = 0;

	input.data = data;
	input.len = len;
	input.at = 0;
	given = 0;
	memset(s, 0, sizeof(*s));
	s->net = &net;
	for (int steps = 0; !err && steps < 4096; steps++)
		err = td__socket_take(s);
	td__in_fini(s);
	if (net.pool.bytes)
		abort(); /* something was forgotten */
	return 0;
}
