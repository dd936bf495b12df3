/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a server. One thread accepts, each connection has a thread of its own for its one
 * request, and time limits, so that a client that is stuck holds nobody up. Only the server's user and root are
 * answered; the runtime folder keeps others out already.
 *
 * Locks: `mutex` guards the connections and the leavers; answers are made without it.
 */
#include "server.h"
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum place_state { UNUSED, BUSY, DONE };

/* A connection. BUSY -> DONE by its thread, DONE -> UNUSED by whoever joins that. */
struct place {
	struct td__control *control;
	enum place_state state;
	pthread_t thread;
	int fd;
};

struct td__control {
	struct td__server *server;
	int listener, wake; /* wake: an eventfd, readable when a place is done or all shall stop */
	pthread_t acceptor;
	bool accepting;

	pthread_mutex_t mutex;
	bool stop;
	struct place places[TD__CONTROL_AT_ONCE];
	int leavers[TD__CONTROL_LEAVERS]; /* -1: none */
};

static void wake(struct td__control *c)
{
	if (eventfd_write(c->wake, 1))
		td__cli_error("control: %s", strerror(errno));
}

/* ---- One connection */

static int send_json(int fd, json_t *answer, long long end_ms)
{
	char *text = json_dumps(answer, JSON_COMPACT), *line = NULL;
	int n = text ? asprintf(&line, "%s\n", text) : -1, err;

	err = n < 0 ? -ENOMEM : td__control_write(fd, line, (size_t)n, end_ms);
	if (n >= 0)
		free(line);
	free(text);
	return err;
}

static json_t *refusal(const char *text, int error)
{
	return json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "errno", error);
}

/* Who could not unmount has hung up. The mutex is held. */
static void drop_leavers(struct td__control *c)
{
	for (int i = 0; i < TD__CONTROL_LEAVERS; i++) {
		struct pollfd p = { .fd = c->leavers[i], .events = POLLRDHUP };

		if (c->leavers[i] >= 0 && poll(&p, 1, 0) > 0) {
			close(c->leavers[i]);
			c->leavers[i] = -1;
		}
	}
}

/* 1: the leaver is kept until the end. */
static int keep_leaver(struct td__control *c, int fd)
{
	int kept = 0;

	pthread_mutex_lock(&c->mutex);
	drop_leavers(c);
	for (int i = 0; i < TD__CONTROL_LEAVERS && !kept; i++)
		if (c->leavers[i] < 0) {
			c->leavers[i] = fd;
			kept = 1;
		}
	pthread_mutex_unlock(&c->mutex);
	return kept;
}

/* Returns 1 if the connection stays open. */
static int serve_one(struct td__control *c, int fd)
{
	char line[TD__CONTROL_REQUEST];
	long n = td__control_read_line(fd, line, sizeof(line),
				       td__control_now_ms() + TD__CONTROL_COME_MS);
	json_t *request = NULL, *answer;
	bool leave = false;
	int err;

	if (n < 0 && n != -EMSGSIZE)
		return 0;
	if (n >= 0)
		request = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	answer = request ? td__answer(c->server, request, &leave)
			 : refusal(n < 0 ? "the request is too long"
					 : "the request is no JSON object",
				   EINVAL);
	json_decref(request);
	err = send_json(fd, answer, td__control_now_ms() + TD__CONTROL_SECONDS * 1000);
	json_decref(answer);
	return !err && leave && keep_leaver(c, fd);
}

static void *connection(void *arg)
{
	struct place *p = arg;
	int stays = serve_one(p->control, p->fd);

	pthread_mutex_lock(&p->control->mutex);
	if (!stays)
		close(p->fd);
	p->fd = -1;
	p->state = DONE;
	pthread_mutex_unlock(&p->control->mutex);
	wake(p->control);
	return NULL;
}

/* ---- Accepting */

static int may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* A place for one more, or 0. Joins those that are done. */
static struct place *find_place(struct td__control *c)
{
	struct place *found = NULL;

	for (int i = 0; i < TD__CONTROL_AT_ONCE; i++) {
		struct place *p = &c->places[i];

		pthread_mutex_lock(&c->mutex);
		if (p->state == DONE) {
			pthread_join(p->thread, NULL);
			p->state = UNUSED;
		}
		if (p->state == UNUSED)
			found = p;
		pthread_mutex_unlock(&c->mutex);
	}
	return found;
}

static void accept_one(struct td__control *c, struct place *p)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	pthread_mutex_lock(&c->mutex);
	p->control = c;
	p->fd = fd;
	p->state = BUSY;
	if (!may_ask(fd) || c->stop || pthread_create(&p->thread, NULL, connection, p)) {
		p->state = UNUSED;
		close(fd);
	}
	pthread_mutex_unlock(&c->mutex);
}

/* While all places are taken only `wake` is looked at: others wait in the listener's queue. */
static void *accept_all(void *arg)
{
	struct td__control *c = arg;
	eventfd_t any;

	for (;;) {
		struct place *p = find_place(c);
		struct pollfd fds[2] = { { .fd = c->wake, .events = POLLIN },
					 { .fd = p ? c->listener : -1, .events = POLLIN } };
		bool stop;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			eventfd_read(c->wake, &any);
		pthread_mutex_lock(&c->mutex);
		stop = c->stop;
		pthread_mutex_unlock(&c->mutex);
		if (stop)
			break;
		if (p && fds[1].revents)
			accept_one(c, p);
	}
	return NULL;
}

/* ---- Life */

/* Nobody else can hold the name: the lock that goes with it is ours. */
static int listen_at(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) || chmod(path, 0600) ||
	    listen(fd, 128)) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	return fd;
}

int td__control_start(struct td__server *s, char *why, size_t size)
{
	struct td__control *c = calloc(1, sizeof(*c));
	int err = 0;

	if (!c)
		return -ENOMEM;
	json_object_seed(0);
	c->server = s;
	pthread_mutex_init(&c->mutex, NULL);
	for (int i = 0; i < TD__CONTROL_LEAVERS; i++)
		c->leavers[i] = -1;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->listener = listen_at(s->runtime.socket);
	if (c->listener < 0)
		err = c->listener;
	else if (c->wake < 0)
		err = -errno;
	else
		err = -pthread_create(&c->acceptor, NULL, accept_all, c);
	c->accepting = !err;
	s->control = c;
	if (err)
		snprintf(why, size, "%s: no control socket: %s", s->runtime.socket, strerror(-err));
	return err;
}

void td__control_stop(struct td__control *c)
{
	if (!c->accepting)
		return;
	pthread_mutex_lock(&c->mutex);
	c->stop = true;
	for (int i = 0; i < TD__CONTROL_AT_ONCE; i++)
		if (c->places[i].state == BUSY && c->places[i].fd >= 0)
			shutdown(c->places[i].fd,
				 SHUT_RD); /* no more of a request; its answer may go out */
	pthread_mutex_unlock(&c->mutex);
	wake(c);
	pthread_join(c->acceptor, NULL);
	for (int i = 0; i < TD__CONTROL_AT_ONCE; i++)
		if (c->places[i].state != UNUSED)
			pthread_join(c->places[i].thread, NULL);
	c->accepting = false;
}

static void tell_leavers(struct td__control *c, int error, const char *why)
{
	json_t *answer = error ? refusal(why, -error) : json_pack("{s:b}", "ok", 1);

	for (int i = 0; i < TD__CONTROL_LEAVERS; i++)
		if (c->leavers[i] >= 0) {
			send_json(c->leavers[i], answer, td__control_now_ms() + 100);
			close(c->leavers[i]);
		}
	json_decref(answer);
}

void td__control_end(struct td__control *c, int error, const char *why)
{
	if (!c)
		return;
	tell_leavers(c, error, why);
	if (c->listener >= 0)
		close(c->listener);
	if (c->wake >= 0)
		close(c->wake);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}
