/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How commands talk to a server: one request and its answer on a connection, each a JSON object on a line.
 *
 *	{"do": "status", "check": true}
 *	{"do": "level", "level": "isolated,journal=locks"}
 *	{"do": "faults", "after": 3}
 *	{"do": "leave"}		answered at once, and once more when the server has ended
 *
 * An answer has "ok": true and what was asked for, or "ok": false, "error" (text) and "errno".
 * A request has at most TD__CONTROL_REQUEST bytes and must come within TD__CONTROL_COME_MS.
 */
#ifndef TADAN_CLI_CONTROL_H
#define TADAN_CLI_CONTROL_H

#include <jansson.h>
#include <stddef.h>

enum {
	TD__CONTROL_REQUEST = 4096,
	TD__CONTROL_ANSWER = 16 << 20,
	TD__CONTROL_SECONDS = 5,    /* to connect, and for an answer to be taken */
	TD__CONTROL_COME_MS = 2000, /* for a request to come */
	TD__CONTROL_PATIENCE = 60,  /* of a command that waits for its answer */
	TD__CONTROL_AT_ONCE = 8,    /* requests; one more waits until another is done */
	TD__CONTROL_LEAVERS = 8,
};

/* Ask a server. `request` is given away. The "ok" answer, or 0 and why. */
json_t *td__control_ask(const char *socket, json_t *request, char *why, size_t size);

/* The same, for several answers: a connection, then an answer each time; -1 as timeout waits for ever. */
int td__control_open(const char *socket, json_t *request, char *why, size_t size);
json_t *td__control_take(int fd, int timeout_s, char *why, size_t size);

/* A line that ends before `end_ms` of the monotonic clock. Its length without the line's end; 0 and up, or -errno. */
long td__control_read_line(int fd, char *line, size_t size, long long end_ms);
int td__control_write(int fd, const char *text, size_t len, long long end_ms);
long long td__control_now_ms(void);

#endif
