/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `tadan umount`: tell the server that somebody waits for its end, unmount, wait.
 *
 * Unmounting is Linux's business, so that it happens even if the server is dead or stuck: with umount2() for
 * root, with fusermount3 for others.
 */
#include "cli.h"
#include "control.h"
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PATIENCE = 10 }; /* seconds, before a word that it takes longer */

const struct td__cli_option td__cli_umount_options[] = {
	{ "force", 'f', NULL, "give up a network server that does not answer, and what it lacks" },
	{ 0 },
};

/* ---- Unmounting: 0 or -errno, and in why what fusermount3 said. */

static int ask_fusermount(const char *dir, int lazy, char *why, size_t size)
{
	char *argv[6] = { "fusermount3", "-u" };
	posix_spawn_file_actions_t actions;
	int fds[2], n = 2, err, status = 0;
	ssize_t got;
	pid_t pid;

	if (lazy)
		argv[n++] = "-z";
	argv[n++] = "--";
	argv[n] = (char *)dir;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	got = err ? 0 : read(fds[0], why, size - 1);
	why[got > 0 ? got : 0] = 0;
	why[strcspn(why, "\n")] = 0;
	close(fds[0]);
	if (err) {
		snprintf(why, size, "fusermount3 cannot be run: %s; install the package fuse3",
			 strerror(err));
		return -err;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return !status ? 0 : strstr(why, "busy") ? -EBUSY : -EPERM;
}

static int detach(const char *dir, int lazy, char *why, size_t size)
{
	if (!umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	if (errno == EPERM && geteuid())
		return ask_fusermount(dir, lazy, why, size);
	snprintf(why, size, "%s", strerror(errno));
	return -errno;
}

static int say_why(const char *dir, int err, const char *why)
{
	char users[256];

	if (err != -EBUSY) {
		td__cli_error("%s: cannot be unmounted: %s", dir, why);
		return TD__CLI_FAILED;
	}
	td__cli_users(dir, users, sizeof(users));
	td__cli_error("%s: is busy: %s%s; nothing was changed", dir,
		      users[0] ? "close what uses it first: "
			       : "a program has a file open there, or stands there",
		      users);
	return TD__CLI_FAILED;
}

/* ---- Waiting */

/* What `leave` needs to hear of the end: a connection for the last word, and the process; -1: none. */
struct end {
	int socket, process;
};

/* Linux lets go of a file system when it is unmounted in every mount namespace. */
static int explain_delay(const char *dir, const char *device)
{
	char holders[256];

	td__cli_holders(device, holders, sizeof(holders));
	if (holders[0])
		td__cli_error("%s: unmounted here, but still mounted in another mount namespace, "
			      "for %s; the server goes on until that ends",
			      dir, holders);
	else
		fprintf(stderr, "%s: still writing back ...\n", td__cli_name);
	return holders[0];
}

/* The server's last word. */
static int wait_for_word(const char *dir, const char *device, int fd)
{
	char why[TD__CLI_WHY];
	json_t *end = td__control_take(fd, PATIENCE, why, sizeof(why));

	if (!end && errno == ETIMEDOUT) {
		if (explain_delay(dir, device))
			return TD__CLI_FAILED;
		end = td__control_take(fd, -1, why, sizeof(why));
	}
	if (end) {
		json_decref(end);
		return TD__CLI_OK;
	}
	td__cli_error("%s: unmounted, but not everything could be written back: %s", dir, why);
	return TD__CLI_FAILED;
}

static int wait_for_end(const char *dir, const char *device, const struct end *end)
{
	struct pollfd p = { .fd = end->process, .events = POLLIN };
	int status = end->socket < 0 ? TD__CLI_OK : wait_for_word(dir, device, end->socket);

	if (!status && end->process >= 0 && poll(&p, 1, PATIENCE * 1000) == 0)
		td__cli_error("%s: unmounted, but its server goes on", dir);
	return status;
}

static void announce(const struct td__runtime_entry *entry, bool force, struct end *end)
{
	char why[TD__CLI_WHY];
	int fd = td__control_open(entry->socket, json_pack("{s:s, s:b}", "do", "leave", "force", force), why,
				  sizeof(why));
	json_t *answer =
		fd < 0 ? NULL : td__control_take(fd, TD__CONTROL_SECONDS, why, sizeof(why));

	*end = (struct end){ fd, -1 };
	if (answer)
		end->process =
			pidfd_open((pid_t)json_integer_value(json_object_get(answer, "pid")), 0);
	if (!answer && fd >= 0) {
		close(fd);
		end->socket = -1;
	}
	json_decref(answer);
}

/* Without a server that can be asked it is just unmounted. */
static int leave(const char *dir, const char *device, const struct td__runtime_entry *entry, bool force)
{
	struct end end = { -1, -1 };
	char why[TD__CLI_WHY] = "";
	int err, status;

	if (entry->alive)
		announce(entry, force, &end);
	err = detach(dir, force, why, sizeof(why));
	status = err ? say_why(dir, err, why) : wait_for_end(dir, device, &end);
	if (end.socket >= 0)
		close(end.socket);
	if (end.process >= 0)
		close(end.process);
	return status;
}

/* Nothing can be lost any more: the directory is freed even if programs still have files open there. */
static int clear(const char *dir)
{
	char why[TD__CLI_WHY] = "";
	int err = detach(dir, 1, why, sizeof(why));

	if (err)
		return say_why(dir, err, why);
	td__runtime_clear(dir);
	return TD__CLI_OK;
}

/* Somebody else's server cannot be asked; it is dead if its mount says so. */
static int is_dead(const char *dir)
{
	return access(dir, F_OK) && errno == ENOTCONN;
}

static int unmount(const char *dir, bool force)
{
	struct td__runtime_entry entry = { 0 };
	struct td__cli_mounted m;
	int status;

	if (!td__cli_mounted(dir, &m)) {
		td__runtime_clear(dir);
		td__cli_error("%s: nothing is mounted there; `tadan status` shows what is", dir);
		return TD__CLI_FAILED;
	}
	if (!td__cli_is_ours(&m)) {
		td__cli_error("%s: what is mounted there (type %s) is not Tadan's; use umount", dir,
			      m.type);
		return TD__CLI_FAILED;
	}
	if (td__runtime_find(dir, &entry))
		status = entry.alive ? leave(dir, m.device, &entry, force) : clear(dir);
	else
		status = is_dead(dir) ? clear(dir) : leave(dir, m.device, &entry, force);
	free(entry.dir);
	return status;
}

int td__cli_umount(const struct td__cli_args *args)
{
	char *dir = td__cli_resolve(args->words[0]);
	int status;

	if (!dir) {
		td__cli_error("%s: %s", args->words[0], strerror(errno));
		return TD__CLI_FAILED;
	}
	status = unmount(dir, args->values[0] != NULL);
	free(dir);
	return status;
}
