/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands' end of the control socket. */
#include "cli.h"
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = TD__CONTROL_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&name, sizeof(name))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int td__control_open(const char *socket, json_t *request, char *why, size_t size)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int fd = connect_to(socket), n = text ? asprintf(&line, "%s\n", text) : -1,
	    err = fd < 0 ? fd : 0;

	json_decref(request);
	if (!err)
		err = n < 0 ? -ENOMEM
			    : td__control_write(fd, line, (size_t)n,
						td__control_now_ms() + TD__CONTROL_SECONDS * 1000);
	if (n >= 0)
		free(line);
	free(text);
	if (!err)
		return fd;
	snprintf(why, size, "the server cannot be asked: %s", strerror(-err));
	if (fd >= 0)
		close(fd);
	return err;
}

/* "ok" answers are given back, others become why. */
static json_t *check(json_t *answer, char *why, size_t size)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	snprintf(why, size, "%s", error ? error : "the server gave an answer that is none");
	json_decref(answer);
	return NULL;
}

json_t *td__control_take(int fd, int timeout_s, char *why, size_t size)
{
	char *line = malloc(TD__CONTROL_ANSWER);
	long long end = timeout_s < 0 ? -1 : td__control_now_ms() + timeout_s * 1000ll;
	long n = line ? td__control_read_line(fd, line, TD__CONTROL_ANSWER, end) : -ENOMEM;
	json_t *answer = n < 0 ? NULL : json_loadb(line, (size_t)n, 0, NULL);

	free(line);
	errno = n < 0 ? (int)-n : 0;
	if (n == -ETIMEDOUT)
		snprintf(why, size, "the server does not answer");
	else if (n < 0)
		snprintf(why, size, "the server left without an answer: %s", strerror((int)-n));
	return n < 0 ? NULL : check(answer, why, size);
}

json_t *td__control_ask(const char *socket, json_t *request, char *why, size_t size)
{
	int fd = td__control_open(socket, request, why, size);
	json_t *answer;

	if (fd < 0)
		return NULL;
	answer = td__control_take(fd, TD__CONTROL_PATIENCE, why, size);
	close(fd);
	return answer;
}
