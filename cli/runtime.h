/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime folder: where a server and the commands that ask it find each other.
 *
 * It is $TADAN_RUNTIME_DIR; else /run/tadan for root, $XDG_RUNTIME_DIR/tadan or /tmp/tadan-UID for others. It is
 * believed only if it belongs to the user and nobody else may enter it: then whatever lies in it is the user's own.
 *
 * A mount has two files there, named after a hash of its directory's path:
 *	HASH.lock  locked while the server lives (the lock dies with it); holds the server's pid and the path
 *	HASH.sock  the control socket, see control.h
 * Whoever gets the lock may remove both: the server at its end, and anybody who finds that it was killed.
 */
#ifndef TADAN_CLI_RUNTIME_H
#define TADAN_CLI_RUNTIME_H

#include <stddef.h>
#include <sys/un.h>

enum { TD__RUNTIME_PATH = sizeof(((struct sockaddr_un *)0)->sun_path) };

/* The folder, made if need be. 0 or -errno and why. */
int td__runtime_folder(char folder[TD__RUNTIME_PATH], char *why, size_t size);

/* A server's place in it. */
struct td__runtime {
	char lock[TD__RUNTIME_PATH], socket[TD__RUNTIME_PATH];
	int fd;
};
/* Take the place for this directory. -EBUSY: another server has it. */
int td__runtime_take(const char *dir, struct td__runtime *out, char *why, size_t size);
void td__runtime_give_back(struct td__runtime *r);

/* What a command finds there about one mount. */
struct td__runtime_entry {
	char *dir;
	char socket[TD__RUNTIME_PATH];
	int alive; /* its server is */
	int gone;  /* it was unmounted meanwhile, as td__ask() found */
};
/* 1: found; 0: no server of this user has ever been there, or it left in good order. */
int td__runtime_find(const char *dir, struct td__runtime_entry *out);
/* All, sorted by directory. What dead servers left is removed, unless their mount is still there. */
struct td__runtime_entry *td__runtime_list(size_t *n);
void td__runtime_free(struct td__runtime_entry *entries, size_t n);
/* Remove what a dead server left. */
void td__runtime_clear(const char *dir);

#endif
