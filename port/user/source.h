/* SPDX-License-Identifier: BSD-2-Clause */
/* What a network file system is mounted on, as a person writes it. */
#ifndef TADAN_PORT_SOURCE_H
#define TADAN_PORT_SOURCE_H

#include "../../core/port.h"

struct td__source {
	struct td__address server;
	char *path;    /* what stands behind the server's name, "/" at least */
	char *options; /* the port that was given, as in "port=2049", and the options given, as in "port=2049,soft" */
};

/*
 * Read nfs://HOST[:PORT]/PATH, where HOST is a name, an IPv4 address or an IPv6 address in brackets, and find the host's
 * address. options may be 0. 0, or -errno and why; on an error nothing is left.
 */
int td__port_source_open(const char *url, const char *options, struct td__source *out, char *why, size_t size);
void td__port_source_close(struct td__source *source);

#endif
