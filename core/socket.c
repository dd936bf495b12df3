/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: connecting, sending, waiting for replies. States, roles and locks: see net.h. */
#include "fs.h"

enum {
	SLICE_MS = 1000,         /* nobody sleeps longer without a look around */
	QUEUE_MAX = 8 << 20,     /* bytes that wait to be sent; above it who sends waits */
	STUCK_MS = 60000,        /* a server that takes nothing for so long is gone */
	PIECES = 48,
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static uint64_t now_ms(void)
{
	return td__port_monotonic() / 1000000;
}

/* ---- Waiting */

int td__net_must_end(struct td__call *c)
{
	if (__atomic_load_n(&c->fs->net.cut, __ATOMIC_ACQUIRE))
		return -TD_EIO;
	if (__atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE) || __atomic_load_n(&c->aborted, __ATOMIC_ACQUIRE))
		return -TD_EDEADLK;
	if (!(__atomic_load_n(&c->fs->closed, __ATOMIC_SEQ_CST) & TD__REPLACED) || td__is_starter(c->fs))
		return 0;
	__atomic_store_n(&c->aborted, 1, __ATOMIC_RELEASE);
	return -TD_EDEADLK;
}

/* Milliseconds from now to `until`, at most SLICE_MS; 0: it is over. */
static uint32_t slice(uint64_t until)
{
	uint64_t now = now_ms();

	return now >= until ? 0 : until - now < SLICE_MS ? (uint32_t)(until - now) : SLICE_MS;
}

static void asleep(struct td__call *c, uint32_t on)
{
	__atomic_store_n(&c->asleep, on, __ATOMIC_RELEASE);
}

/* ---- Pendings. The mutex is held. */

static struct td__pending **bucket(struct td__socket *s, uint32_t tag)
{
	return &s->buckets[tag * 0x9e3779b1u >> 26];
}
_Static_assert(TD__BUCKETS == 1 << (32 - 26), "buckets");

static struct td__pending *find(struct td__socket *s, uint32_t tag)
{
	struct td__pending *p = *bucket(s, tag);

	while (p && p->tag != tag)
		p = p->next;
	return p;
}

static int add(struct td__socket *s, uint32_t tag, uint32_t call, struct td__mbuf *request, uint32_t posted)
{
	struct td__pending *p = s->npending < TD__PENDING_MAX ? td__port_alloc(sizeof(*p)) : 0;

	if (!p)
		return -TD_ENOBUFS;
	p->tag = tag;
	p->call = call;
	p->posted = posted;
	p->request = td__mbuf_hold(request);
	td__cond_init(&p->came);
	p->next = *bucket(s, tag);
	*bucket(s, tag) = p;
	s->npending++;
	return 0;
}

static void remove_pending(struct td__socket *s, struct td__pending *p)
{
	struct td__pending **at = bucket(s, p->tag);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	s->npending -= !p->taken;
	td__mbuf_drop(&s->net->pool, p->request);
	td__mbuf_drop(&s->net->pool, p->reply);
	td__cond_fini(&p->came);
	td__port_free(p, sizeof(*p));
}

/* Those that `which` says, but for who is waited for: they are ended by who waits. */
static void remove_if(struct td__socket *s, int (*which)(const struct td__pending *p, uint32_t arg), uint32_t arg)
{
	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		for (struct td__pending *p = s->buckets[i], *next; p; p = next) {
			next = p->next;
			if (!p->waits && which(p, arg))
				remove_pending(s, p);
		}
}

static void wake_waiters(struct td__socket *s)
{
	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		for (struct td__pending *p = s->buckets[i]; p; p = p->next)
			if (p->waits)
				td__cond_broadcast(&p->came);
	td__cond_broadcast(&s->changed);
}

/* ---- The end of a connection. The mutex is held. */

static int any(const struct td__pending *p, uint32_t arg)
{
	(void)p;
	(void)arg;
	return 1;
}

static void drop_queue(struct td__socket *s)
{
	for (struct td__out *o = s->out, *next; o; o = next) {
		next = o->next;
		td__mbuf_drop(&s->net->pool, o->message);
		td__port_free(o, sizeof(*o));
	}
	s->out = 0;
	s->out_end = &s->out;
	s->out_at = 0;
	s->out_bytes = 0;
}

/* What is in use by a sender or reader is taken down by the last of them. */
static void take_down(struct td__socket *s)
{
	if (s->state != TD__CLOSED || s->sending || s->pumping || !s->sock)
		return;
	td__port_sock_close(s->sock);
	s->sock = 0;
	drop_queue(s);
	td__in_reset(s);
	td__cond_broadcast(&s->changed);
}

static void note_lost(struct td__socket *s)
{
	struct td__lost_tags *lost = &s->lost;

	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		for (const struct td__pending *p = s->buckets[i]; p; p = p->next)
			if (!p->replied)
				lost->tags[lost->n++ % TD__PENDING_MAX] = p->tag;
}

/* A message is put into flight: is it one that was lost? */
static int was_lost(struct td__socket *s, uint32_t tag)
{
	struct td__lost_tags *lost = &s->lost;
	uint32_t n = lost->n < TD__PENDING_MAX ? lost->n : TD__PENDING_MAX;

	for (uint32_t i = 0; i < n; i++)
		if (lost->tags[i] == tag) {
			lost->n = n - 1;
			lost->tags[i] = lost->tags[n - 1];
			return 1;
		}
	return 0;
}

static void lose(struct td__socket *s, int err)
{
	if (s->state != TD__LIVE)
		return;
	s->state = TD__CLOSED;
	s->generation = s->generation % 0xffffff + 1;
	s->broken = err == -TD_EBADMSG;
	count(&s->net->counts.lost, 1);
	count(&s->net->counts.broken, s->broken);
	note_lost(s);
	remove_if(s, any, 0);
	wake_waiters(s);
	td__port_sock_wake(s->sock);
	take_down(s);
}

/* ---- Sending */

static uint32_t gather(struct td__socket *s, struct td__piece *pieces)
{
	uint32_t n = 0, at = s->out_at;

	for (struct td__out *o = s->out; o && n + 2 < PIECES; o = o->next, at = 0) {
		if (at < 4)
			pieces[n++] = (struct td__piece){ o->mark + at, 4 - at };
		n += td__mbuf_pieces(o->message, at < 4 ? 0 : at - 4, pieces + n, PIECES - n);
	}
	return n;
}

static void sent(struct td__socket *s, uint64_t n)
{
	s->out_bytes -= n;
	count(&s->net->counts.sent_bytes, n);
	while (n) {
		struct td__out *o = s->out;
		uint64_t left = 4 + (uint64_t)o->message->len - s->out_at;

		if (n < left) {
			s->out_at += (uint32_t)n;
			return;
		}
		n -= left;
		s->out_at = 0;
		s->out = o->next;
		if (!s->out)
			s->out_end = &s->out;
		td__mbuf_drop(&s->net->pool, o->message);
		td__port_free(o, sizeof(*o));
		count(&s->net->counts.sent, 1);
	}
}

/* Send what goes without waiting. Called and returns with the mutex; messages of the queue stay while `sending`. */
static void flush(struct td__socket *s)
{
	struct td__piece pieces[PIECES];
	int64_t n = 0;

	if (s->sending)
		return;
	s->sending = 1;
	while (s->out && s->state == TD__LIVE && n >= 0) {
		uint32_t count = gather(s, pieces);

		td__mutex_unlock(&s->mutex);
		n = td__port_sock_send(s->sock, pieces, count);
		td__mutex_lock(&s->mutex);
		if (n >= 0)
			sent(s, (uint64_t)n);
	}
	s->sending = 0;
	if (n < 0 && n != -TD_EAGAIN)
		lose(s, -TD_ENOTCONN);
	else if (n < 0 && s->pumping)
		td__port_sock_wake(s->sock); /* who reads looks after the rest */
	take_down(s);
}

static int enqueue(struct td__socket *s, struct td__mbuf *message)
{
	struct td__out *o = td__port_alloc(sizeof(*o));
	uint32_t len = message->len;

	if (!o)
		return -TD_ENOBUFS;
	o->message = td__mbuf_hold(message);
	o->mark[0] = (uint8_t)(0x80 | len >> 24);
	o->mark[1] = (uint8_t)(len >> 16);
	o->mark[2] = (uint8_t)(len >> 8);
	o->mark[3] = (uint8_t)len;
	*s->out_end = o;
	s->out_end = &o->next;
	s->out_bytes += 4 + (uint64_t)len;
	return 0;
}

/* ---- Reading, for all */

void td__socket_came(struct td__socket *s, uint32_t tag, struct td__mbuf *message)
{
	struct td__pending *p;

	td__mutex_lock(&s->mutex);
	p = find(s, tag);
	if (p && !p->replied) {
		p->replied = 1;
		p->reply = message;
		message = 0;
		s->unwanted_bytes = 0;
		s->unwanted_messages = 0;
		if (p->waits)
			td__cond_broadcast(&p->came);
	}
	td__mutex_unlock(&s->mutex);
	td__mbuf_drop(&s->net->pool, message);
}

int td__socket_wanted(struct td__socket *s, uint32_t tag)
{
	const struct td__pending *p;

	td__mutex_lock(&s->mutex);
	p = find(s, tag);
	td__mutex_unlock(&s->mutex);
	return p && !p->replied;
}

/* Wait for the server, take what it sends and send what it takes. Called and returns with the mutex, and nobody pumps. */
static void pump(struct td__socket *s, uint32_t ms)
{
	uint32_t what = TD__SOCK_IN | (s->out && !s->sending ? TD__SOCK_OUT : 0), came;
	int err = 0;

	s->pumping = 1;
	td__mutex_unlock(&s->mutex);
	came = td__port_sock_wait(s->sock, what, ms);
	if (came & TD__SOCK_IN)
		err = td__socket_take(s);
	td__mutex_lock(&s->mutex);
	s->pumping = 0;
	if (err && err != -TD_EAGAIN)
		lose(s, err);
	if (came & TD__SOCK_OUT && s->state == TD__LIVE)
		flush(s);
	take_down(s);
}

/* Somebody else who waits is to read now. */
static void hand_on(struct td__socket *s)
{
	if (s->pumping || s->state != TD__LIVE)
		return;
	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		for (struct td__pending *p = s->buckets[i]; p; p = p->next)
			if (p->waits && !p->replied) {
				td__cond_broadcast(&p->came);
				return;
			}
}

/* ---- Handles: index of the socket, generation above it */

static struct td__socket *socket_at(struct td__net *net, uint32_t handle)
{
	return (handle & 255) < TD_SOCK_MAX ? &net->sockets[handle & 255] : 0;
}

static uint32_t handle_of(const struct td__net *net, const struct td__socket *s)
{
	return (uint32_t)(s - net->sockets) | s->generation << 8;
}

/* The live socket of a handle, with its mutex held; 0 and an error: ESTALE for a handle that nobody was ever given. */
static struct td__socket *lock_socket(struct td__net *net, uint32_t handle, int *err)
{
	struct td__socket *s = socket_at(net, handle);
	uint32_t generation = handle >> 8;

	*err = -TD_ESTALE;
	if (!s)
		return 0;
	td__mutex_lock(&s->mutex);
	if (s->state == TD__LIVE && generation == s->generation)
		return s;
	if (generation && generation < s->generation)
		*err = s->broken && generation == s->generation - 1 ? -TD_EBADMSG : -TD_ENOTCONN;
	td__mutex_unlock(&s->mutex);
	return 0;
}

/* A queue that the server does not take: wait, as long as the call may. The mutex is held. */
static int drain(struct td__call *c, struct td__socket *s)
{
	uint64_t until = now_ms() + STUCK_MS;
	uint32_t generation = s->generation, ms;
	int err = 0;

	while (!err && s->out_bytes > QUEUE_MAX && s->generation == generation) {
		ms = slice(until);
		err = ms ? td__net_must_end(c) : -TD_ENOTCONN;
		if (err == -TD_ENOTCONN)
			lose(s, err);
		else if (!err && s->pumping)
			td__cond_wait(&s->changed, &s->mutex, 10);
		else if (!err)
			pump(s, ms);
	}
	return err;
}

/* Tags with the highest bit are the module's, for messages that do not belong to one call. */
static int is_of_a_call(uint32_t tag)
{
	return !(tag >> 31);
}

int td__socket_send(struct td__call *c, uint32_t handle, struct td__mbuf *request, uint32_t posted)
{
	uint32_t tag = td__tag_of(request);
	struct td__pending *p;
	struct td__socket *s;
	int err;

	s = lock_socket(&c->fs->net, handle, &err);
	if (!s)
		return err;
	p = find(s, tag);
	if (p) {
		err = td__mbuf_same(p->request, request) && !p->waits ? 0 : -TD_EEXIST;
		if (!err)
			p->call = c->tag;
	} else {
		c->left_messages |= (uint32_t)is_of_a_call(tag);
		err = add(s, tag, c->tag, request, posted && !is_of_a_call(tag));
		if (!err && enqueue(s, request)) {
			remove_pending(s, find(s, tag));
			err = -TD_ENOBUFS;
		}
		if (!err) {
			count(&s->net->counts.resent, (uint64_t)was_lost(s, tag));
			flush(s);
		}
		if (!err && s->out_bytes > QUEUE_MAX) {
			asleep(c, 1);
			err = drain(c, s);
			asleep(c, 0);
		}
	}
	td__mutex_unlock(&s->mutex);
	return err;
}

/* The mutex is held, and p is ours to wait for; ms 0 is one look. */
static int wait_for(struct td__call *c, struct td__socket *s, struct td__pending *p, uint32_t ms)
{
	uint32_t generation = s->generation, looks = 0, part;
	uint64_t until = now_ms() + ms;
	int err;

	for (;;) {
		if (p->replied)
			return 0;
		if (s->generation != generation)
			return s->broken ? -TD_EBADMSG : -TD_ENOTCONN;
		err = td__net_must_end(c);
		part = slice(until);
		if (err || (!part && looks))
			return err ? err : -TD_ETIMEDOUT;
		if (!s->pumping)
			pump(s, part);
		else if (part)
			td__cond_wait(&p->came, &s->mutex, part);
		looks++;
	}
}

int td__socket_receive(struct td__call *c, uint32_t handle, uint32_t tag, uint32_t ms, struct td__mbuf **reply)
{
	struct td__pending *p;
	struct td__socket *s;
	int err;

	s = lock_socket(&c->fs->net, handle, &err);
	if (!s)
		return err;
	p = find(s, tag);
	if (!p || p->waits) {
		td__mutex_unlock(&s->mutex);
		return p ? -TD_EEXIST : -TD_ENOENT;
	}
	p->waits = 1;
	asleep(c, 1);
	err = wait_for(c, s, p, ms);
	asleep(c, 0);
	p->waits = 0;
	if (!err)
		*reply = td__mbuf_hold(p->reply);
	if (!err && is_of_a_call(tag)) {
		s->npending -= !p->taken;
		p->taken = 1;
		c->left_messages = 1;
	} else if (!err || err == -TD_ENOTCONN || err == -TD_EBADMSG || handle_of(&c->fs->net, s) != handle)
		remove_pending(s, p); /* else it stays in flight */
	else
		c->left_messages = 1;
	hand_on(s);
	td__mutex_unlock(&s->mutex);
	return err;
}

int td__socket_forget(struct td__net *net, uint32_t handle, uint32_t tag)
{
	struct td__pending *p;
	struct td__socket *s;
	int err;

	s = lock_socket(net, handle, &err);
	if (!s)
		return err;
	p = find(s, tag);
	if (p && !p->waits)
		remove_pending(s, p);
	td__mutex_unlock(&s->mutex);
	return 0;
}

/* ---- Connecting */

/* The connection is made by the caller; others who want it wait. The mutex is held, the state CONNECTING. */
static int connect_now(struct td__call *c, struct td__socket *s, uint32_t reserved, uint64_t until)
{
	struct td__sock *sock;
	uint32_t ms = 1;
	int err;

	td__mutex_unlock(&s->mutex);
	err = td__port_sock_open(&s->net->server, s->port, reserved, &sock);
	if (!err) {
		while (!err && ms && !td__port_sock_wait(sock, TD__SOCK_OUT, ms < 100 ? ms : 100)) {
			err = td__net_must_end(c);
			ms = slice(until);
		}
		if (!err)
			err = ms ? td__port_sock_connected(sock) : -TD_ETIMEDOUT;
		if (err)
			td__port_sock_close(sock);
	}
	td__mutex_lock(&s->mutex);
	s->state = err ? TD__CLOSED : TD__LIVE;
	if (!err) {
		s->sock = sock;
		s->broken = 0;
		s->unwanted_bytes = 0;
		s->unwanted_messages = 0;
		count(&s->net->counts.connects, 1);
	}
	td__cond_broadcast(&s->changed);
	return err;
}

/* Until it is live, or cannot be. The mutex is held. */
static int make_live(struct td__call *c, struct td__socket *s, uint32_t reserved, uint64_t until)
{
	int err = 0;

	while (!err && s->state != TD__LIVE) {
		err = td__net_must_end(c);
		if (!err && !slice(until))
			err = -TD_ETIMEDOUT;
		if (err)
			break;
		if (s->state == TD__CONNECTING || s->sock) {
			td__cond_wait(&s->changed, &s->mutex, 50);
			continue;
		}
		s->state = TD__CONNECTING;
		err = connect_now(c, s, reserved, until);
	}
	return err;
}

/* The socket of a port, or one that has none as yet; with its mutex held. */
static struct td__socket *socket_for(struct td__net *net, uint32_t port)
{
	for (uint32_t i = 0; i < TD_SOCK_MAX; i++) {
		struct td__socket *s = &net->sockets[i];

		td__mutex_lock(&s->mutex);
		if (!s->port)
			__atomic_store_n(&s->port, port, __ATOMIC_RELEASE); /* for good: who connects reads it without the mutex */
		if (s->port == port)
			return s;
		td__mutex_unlock(&s->mutex);
	}
	return 0;
}

int td__socket_open(struct td__call *c, uint32_t port, uint32_t flags, uint32_t ms, uint32_t *handle)
{
	struct td__net *net = &c->fs->net;
	struct td__socket *s = socket_for(net, port);
	int err;

	if (!s)
		return -TD_EMFILE;
	asleep(c, 1);
	err = make_live(c, s, flags & TD_SOCK_RESERVED, now_ms() + ms);
	asleep(c, 0);
	if (!err)
		*handle = handle_of(net, s);
	td__mutex_unlock(&s->mutex);
	return err;
}

int td__socket_close(struct td__net *net, uint32_t handle)
{
	struct td__socket *s;
	int err;

	s = lock_socket(net, handle, &err);
	if (!s)
		return err;
	lose(s, -TD_ENOTCONN);
	td__mutex_unlock(&s->mutex);
	return 0;
}

/* ---- The network of a mount */

void td__net_init(struct td__net *net, struct td__fs *fs, const struct td__address *server)
{
	int64_t sec;
	uint32_t nsec;

	net->fs = fs;
	if (server)
		net->server = *server;
	net->has_server = server != 0;
	td__port_now(&sec, &nsec);
	net->calls = (uint32_t)sec * 0x9e3779b1u ^ nsec; /* a server may remember the tags of the mount before this one */
	td__pool_init(&net->pool);
	td__mutex_init(&net->mutex);
	td__cond_init(&net->sleepers);
	for (uint32_t i = 0; i < TD_SOCK_MAX; i++) {
		struct td__socket *s = &net->sockets[i];

		s->net = net;
		s->generation = 1; /* so that no handle is 0 */
		s->out_end = &s->out;
		td__mutex_init(&s->mutex);
		td__cond_init(&s->changed);
	}
}

void td__net_fini(struct td__net *net)
{
	for (uint32_t i = 0; i < TD_SOCK_MAX; i++) {
		struct td__socket *s = &net->sockets[i];

		lose(s, -TD_ENOTCONN);
		td__in_fini(s);
		td__cond_fini(&s->changed);
		td__mutex_fini(&s->mutex);
	}
	td__cond_fini(&net->sleepers);
	td__mutex_fini(&net->mutex);
	TD__ASSERT(!net->pool.bytes);
	td__pool_fini(&net->pool);
}

static void look_at(struct td__socket *s, struct td_net_counts *out)
{
	td__mutex_lock(&s->mutex);
	out->connections += s->state == TD__LIVE;
	for (uint32_t i = 0; i < TD__BUCKETS; i++)
		for (const struct td__pending *p = s->buckets[i]; p; p = p->next)
			out->in_flight += !p->replied;
	td__mutex_unlock(&s->mutex);
}

int td__net_status(struct td__net *net, struct td_net_counts *out)
{
	const struct td_net_counts *c = &net->counts;

	if (!net->has_server)
		return 0;
	*out = (struct td_net_counts){
		.connects = __atomic_load_n(&c->connects, __ATOMIC_RELAXED),
		.lost = __atomic_load_n(&c->lost, __ATOMIC_RELAXED),
		.broken = __atomic_load_n(&c->broken, __ATOMIC_RELAXED),
		.sent = __atomic_load_n(&c->sent, __ATOMIC_RELAXED),
		.sent_bytes = __atomic_load_n(&c->sent_bytes, __ATOMIC_RELAXED),
		.received = __atomic_load_n(&c->received, __ATOMIC_RELAXED),
		.received_bytes = __atomic_load_n(&c->received_bytes, __ATOMIC_RELAXED),
		.resent = __atomic_load_n(&c->resent, __ATOMIC_RELAXED),
		.unwanted = __atomic_load_n(&c->unwanted, __ATOMIC_RELAXED),
		.kept = __atomic_load_n(&net->kept, __ATOMIC_RELAXED),
		.buffers = __atomic_load_n(&net->pool.bytes, __ATOMIC_RELAXED),
	};
	for (uint32_t i = 0; i < TD_SOCK_MAX && __atomic_load_n(&net->sockets[i].port, __ATOMIC_ACQUIRE); i++)
		look_at(&net->sockets[i], out);
	return 1;
}

uint32_t td__net_tags(struct td__net *net)
{
	return (__atomic_add_fetch(&net->calls, 1, __ATOMIC_RELAXED) << TD_TAG_BITS) & 0x7fffffff;
}

static int is_of_call(const struct td__pending *p, uint32_t call)
{
	return !p->posted && p->call == call;
}

static int is_posted(const struct td__pending *p, uint32_t arg)
{
	(void)arg;
	return (int)p->posted;
}

static void remove_everywhere(struct td__net *net, int (*which)(const struct td__pending *p, uint32_t arg), uint32_t arg)
{
	for (uint32_t i = 0; i < TD_SOCK_MAX && __atomic_load_n(&net->sockets[i].port, __ATOMIC_ACQUIRE); i++) {
		struct td__socket *s = &net->sockets[i];

		td__mutex_lock(&s->mutex);
		remove_if(s, which, arg);
		td__mutex_unlock(&s->mutex);
	}
}

void td__net_call_over(struct td__net *net, uint32_t tag)
{
	remove_everywhere(net, is_of_call, tag);
}

void td__net_new_domain(struct td__net *net)
{
	remove_everywhere(net, is_posted, 0);
}

int td__net_sleep(struct td__call *c, uint32_t ms)
{
	struct td__net *net = &c->fs->net;
	uint64_t until = now_ms() + ms;
	uint32_t part;
	int err;

	asleep(c, 1);
	td__mutex_lock(&net->mutex);
	while (!(err = td__net_must_end(c)) && (part = slice(until)))
		td__cond_wait(&net->sleepers, &net->mutex, part);
	td__mutex_unlock(&net->mutex);
	asleep(c, 0);
	return err;
}

void td__net_interrupt(struct td__net *net)
{
	td__mutex_lock(&net->mutex);
	td__cond_broadcast(&net->sleepers);
	td__mutex_unlock(&net->mutex);
	for (uint32_t i = 0; i < TD_SOCK_MAX && __atomic_load_n(&net->sockets[i].port, __ATOMIC_ACQUIRE); i++) {
		struct td__socket *s = &net->sockets[i];

		td__mutex_lock(&s->mutex);
		wake_waiters(s);
		if (s->sock)
			td__port_sock_wake(s->sock);
		td__mutex_unlock(&s->mutex);
	}
}
