/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a network file system comes from: see source.h. */
#include "source.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char scheme[] = "nfs://";

static int complain(const char *url, const char *what, char *why, size_t size)
{
	snprintf(why, size, "%s: %s; give it as in nfs://server/export or nfs://[::1]:2049/export", url, what);
	return -EINVAL;
}

static int find_host(const char *host, struct td__address *to, char *why, size_t size)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list;
	int err = getaddrinfo(host, NULL, &hints, &list);

	if (err == EAI_NONAME || err == EAI_ADDRFAMILY) /* the loopback's addresses do not count as configured */
		err = getaddrinfo(host, NULL, &(const struct addrinfo){ .ai_socktype = SOCK_STREAM }, &list);
	if (err) {
		snprintf(why, size, "%s: no such server: %s", host, gai_strerror(err));
		return -ENOENT;
	}
	memset(to, 0, sizeof(*to));
	if (list->ai_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)list->ai_addr;

		to->family = 6;
		to->scope = a->sin6_scope_id;
		memcpy(to->bytes, &a->sin6_addr, 16);
	} else {
		to->family = 4;
		memcpy(to->bytes, &((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr, 4);
	}
	freeaddrinfo(list);
	return 0;
}

/* Cut "HOST:PORT" or "[HOST]:PORT" in two. */
static const char *split_port(char *host, char **name, unsigned long *port)
{
	char *end;

	*port = 0;
	*name = host;
	if (*host == '[') {
		end = strchr(host, ']');
		if (!end)
			return "a bracket is not closed";
		*end++ = 0;
		*name = host + 1;
	} else {
		end = strchr(host, ':');
		if (!end)
			end = host + strlen(host);
	}
	if (*end && *end != ':')
		return "something stands between the server's name and the path";
	if (*end) {
		*end++ = 0;
		*port = strtoul(end, &end, 10);
		if (*end || !*port || *port > 65535)
			return "its port is none; a port is a number from 1 to 65535";
	}
	return **name ? NULL : "the server's name is missing";
}

static int fill(struct td__source *out, const char *path, unsigned long port, const char *options)
{
	const char *comma = port && options && *options ? "," : "";
	char number[32] = "";

	if (port)
		snprintf(number, sizeof(number), "port=%lu", port);
	out->path = strdup(path);
	if (asprintf(&out->options, "%s%s%s", number, comma, options ? options : "") < 0)
		out->options = NULL;
	if (out->path && out->options)
		return 0;
	td__port_source_close(out);
	return -ENOMEM;
}

int td__port_source_open(const char *url, const char *options, struct td__source *out, char *why, size_t size)
{
	char host[256], *name;
	const char *path, *wrong;
	unsigned long port;
	int err;

	*out = (struct td__source){ 0 };
	if (strncmp(url, scheme, sizeof(scheme) - 1))
		return complain(url, "is no server's address", why, size);
	url += sizeof(scheme) - 1;
	path = url + strcspn(url, "/");
	if ((size_t)(path - url) >= sizeof(host) || strlen(path) > 1024)
		return complain(url, "is too long", why, size);
	memcpy(host, url, (size_t)(path - url));
	host[path - url] = 0;
	wrong = split_port(host, &name, &port);
	if (wrong)
		return complain(url - sizeof(scheme) + 1, wrong, why, size);
	err = find_host(name, &out->server, why, size);
	if (!err)
		err = fill(out, *path ? path : "/", port, options);
	if (err == -ENOMEM)
		snprintf(why, size, "out of memory");
	return err;
}

void td__port_source_close(struct td__source *source)
{
	free(source->path);
	free(source->options);
	source->path = source->options = NULL;
}
