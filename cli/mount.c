/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `tadan mount`: read what is wanted, and become the server, here or in the background.
 *
 * In the background means in a child. It says "I serve" through a pipe once the mount answers, and its
 * messages until then go to the caller's standard error. The parent passes on its exit status, and signals.
 */
#include "server.h"
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum option {
	SIZE,
	IMAGE,
	LEVEL,
	FOREGROUND,
	ALLOW_OTHER,
	READ_ONLY,
	WRITEBACK,
	NO_XATTRS,
	MAX_FILES,
	COMMIT,
	CACHE,
	DEVICE_TIMEOUT,
	OPTIONS,
	URING,
	NO_FOLLOW
};
static const char default_level[] = "isolated";
enum { DEFAULT_SIZE = 1 << 30, SMALLEST = 64 << 10, SMALLEST_CACHE = 16 << 20, DEFAULT_COMMIT = 5, LONGEST_COMMIT = 3600,
       DEFAULT_TIMEOUT = 30000, SHORTEST_TIMEOUT = 100, LONGEST_TIMEOUT = 24 * 3600 * 1000 /* ms */ };

const struct td__cli_option td__cli_mount_options[] = {
	[SIZE] = { "size", 's', "SIZE", "how much it holds, as in 512M (1G, or as the image)" },
	[IMAGE] = { "image", 'i', "FILE", "keep it in FILE; with --size FILE is made" },
	[LEVEL] = { "level", 'l', "LEVEL", "as in isolated,journal=locks, or auto (isolated)" },
	[FOREGROUND] = { "foreground", 'f', NULL, "stay in the foreground; Ctrl-C unmounts" },
	[ALLOW_OTHER] = { "allow-other", 'o', NULL, "let other users in as well" },
	[READ_ONLY] = { "read-only", 'r', NULL, "change nothing; needs --image or a SERVER" },
	[WRITEBACK] = { "writeback", 'w', NULL, "Linux gathers writes in its cache" },
	[NO_XATTRS] = { "no-xattrs", 'x', NULL, "no extended attributes; fewer requests" },
	[MAX_FILES] = { "max-files", 'n', "N", "at most N files (the module decides)" },
	[COMMIT] = { "commit", 'c', "SECONDS", "write changes to the image that often (5)" },
	[CACHE] = { "cache", 'k', "SIZE", "how much of the image may be in memory (a quarter of it)" },
	[DEVICE_TIMEOUT] = { "device-timeout", 't', "TIME", "how long the image's disk has to answer; 0: for ever (30s)" },
	[OPTIONS] = { "options", 'O', "A,B=C", "of a mount on a SERVER, as in soft,timeo=50" },
	[URING] = { "uring", 'u', "WHEN", "requests by io_uring: auto, on, off (auto)" },
	[NO_FOLLOW] = { "no-follow", 'F', NULL, "the server's threads run where Linux puts them" },
	{ 0 },
};

/* ---- What is wanted. 0 or an exit status. */

static int read_size(const char *text, struct td__server *s)
{
	if (td__cli_size(text, &s->size))
		return td__cli_usage("--size %s is no size; give a number with K, M, G or T behind "
				     "it, as in 512M",
				     text);
	if (s->size < SMALLEST)
		return td__cli_usage("--size %s is too small; a file system needs 64K at least",
				     text);
	return 0;
}

static int read_max_files(const char *text, struct td__server *s)
{
	char *end;

	errno = 0;
	s->max_files = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || !s->max_files)
		return td__cli_usage("--max-files %s is no number of files; give one from 1 on",
				     text);
	return 0;
}

static int read_commit(const char *text, struct td__server *s)
{
	char *end;

	errno = 0;
	s->commit_s = (unsigned)strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || !s->commit_s || s->commit_s > LONGEST_COMMIT)
		return td__cli_usage("--commit %s is no number of seconds; give one from 1 to %d", text, LONGEST_COMMIT);
	if (!s->image.path)
		return td__cli_usage("--commit needs --image: what is in memory is written nowhere");
	return 0;
}

static int read_cache(const char *text, struct td__server *s)
{
	if (td__cli_size(text, &s->cache))
		return td__cli_usage("--cache %s is no size; give a number with K, M, G or T behind it, as in 512M", text);
	if (s->cache < SMALLEST_CACHE)
		return td__cli_usage("--cache %s is too small; operations under way need 16M at least", text);
	if (!s->image.path)
		return td__cli_usage("--cache needs --image: without one, all there is is in memory");
	return 0;
}

static int read_timeout(const char *text, struct td__server *s)
{
	if (td__cli_time(text, &s->device_ms) || s->device_ms > LONGEST_TIMEOUT || (s->device_ms && s->device_ms < SHORTEST_TIMEOUT))
		return td__cli_usage("--device-timeout %s is no such time; give 0 or one from 100ms to 24 hours, as in 500ms, 30s or 2m", text);
	if (!s->image.path)
		return td__cli_usage("--device-timeout needs --image: memory always answers");
	return 0;
}

static int read_uring(const char *text, struct td__server *s)
{
	static const char *const names[] = { [TD_FUSE_URING_AUTO] = "auto", [TD_FUSE_URING_ON] = "on", [TD_FUSE_URING_OFF] = "off" };

	for (s->uring = 0; s->uring < (int)(sizeof(names) / sizeof(names[0])); s->uring++)
		if (!strcmp(text, names[s->uring]))
			return 0;
	return td__cli_usage("--uring %s is unknown; give auto, on or off", text);
}

/* A server has what a device would have. */
static int check_source(const struct td__cli_args *args, const struct td__server *s)
{
	static const enum option for_devices[] = { SIZE, IMAGE, MAX_FILES, WRITEBACK, COMMIT, CACHE, DEVICE_TIMEOUT };

	if (!s->url)
		return args->values[OPTIONS] ? td__cli_usage("--options are of a mount on a SERVER, as in tadan mount "
							     "snfs nfs://server/export DIR --options soft") :
					       0;
	for (size_t i = 0; i < sizeof(for_devices) / sizeof(for_devices[0]); i++)
		if (args->values[for_devices[i]])
			return td__cli_usage("--%s is for file systems on a device; what is mounted on a server has none",
					     td__cli_mount_options[for_devices[i]].name);
	return 0;
}

/* What somebody else compiled for a sandbox runs in one and nowhere else. */
static int is_wasm(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, ".wasm");
}

/* The level auto begins at the strictest one. */
static int read_level(const char *text, struct td__server *s, char *why, size_t size)
{
	char strictest[TD_AUTO_TEXT + 16];
	int err;

	s->is_auto = td_auto_is(text);
	if (!s->is_auto)
		return td__cli_level(text, &s->level, why, size);
	err = td_auto_parse(text, &s->automatic.rule, why, size);
	if (err)
		return err;
	td_auto_level(&s->automatic.rule, 0, strictest, sizeof(strictest));
	return td__cli_level(strictest, &s->level, why, size);
}

static int read_options(const struct td__cli_args *args, struct td__server *s)
{
	const char *const *v = args->values, *level = v[LEVEL] ? v[LEVEL] : is_wasm(args->words[0]) ? "sandboxed" : default_level;
	char why[TD__CLI_WHY];
	int err = 0;

	s->image.path = v[IMAGE];
	s->size = v[IMAGE] ? 0 : DEFAULT_SIZE;
	s->foreground = v[FOREGROUND];
	s->allow_other = v[ALLOW_OTHER];
	s->read_only = v[READ_ONLY];
	s->writeback = v[WRITEBACK];
	s->no_xattrs = v[NO_XATTRS];
	s->no_follow = v[NO_FOLLOW];
	s->url = args->nwords > 2 ? args->words[1] : NULL;
	s->options = v[OPTIONS];
	s->commit_s = DEFAULT_COMMIT;
	s->device_ms = DEFAULT_TIMEOUT;
	err = check_source(args, s);
	if (!err && v[SIZE])
		err = read_size(v[SIZE], s);
	if (!err && v[URING])
		err = read_uring(v[URING], s);
	if (!err && v[MAX_FILES])
		err = read_max_files(v[MAX_FILES], s);
	if (!err && v[COMMIT])
		err = read_commit(v[COMMIT], s);
	if (!err && v[CACHE])
		err = read_cache(v[CACHE], s);
	if (!err && v[DEVICE_TIMEOUT])
		err = read_timeout(v[DEVICE_TIMEOUT], s);
	if (!err && s->read_only && !s->image.path && !s->url)
		err = td__cli_usage(
			"--read-only needs --image: in memory there is nothing to read");
	if (!err && s->read_only && v[SIZE])
		err = td__cli_usage("--size and --read-only exclude each other: an image that is "
				    "only read stays as long as it is");
	if (!err && read_level(level, s, why, sizeof(why)))
		err = td__cli_usage("--level %s: %s", level, why);
	return err;
}

/* ---- Into the background */

static volatile sig_atomic_t child;

static void pass_on(int sig)
{
	(void)sig;
	kill(child, SIGTERM);
}

static void pass_signals_on(void)
{
	struct sigaction act = { .sa_handler = pass_on, .sa_flags = SA_RESTART };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
}

/* The child serves, or has ended: then its exit status says why not. */
static int wait_for_child(int from)
{
	char status;
	ssize_t n;
	int how;

	do
		n = read(from, &status, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return status;
	while (waitpid(child, &how, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(how))
		td__cli_error("the server was ended by signal %d (%s) before it served",
			      WTERMSIG(how), strsignal(WTERMSIG(how)));
	return WIFEXITED(how) && WEXITSTATUS(how) ? WEXITSTATUS(how) : TD__CLI_FAILED;
}

static int serve_in_background(struct td__server *s)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) {
		td__cli_error("cannot go into the background: %s", strerror(errno));
		return TD__CLI_FAILED;
	}
	child = fork();
	if (child > 0) {
		pass_signals_on();
		close(fds[1]);
		return wait_for_child(fds[0]);
	}
	if (child < 0) {
		td__cli_error("cannot go into the background: %s", strerror(errno));
		return TD__CLI_FAILED;
	}
	close(fds[0]);
	setsid();
	s->told = fds[1];
	return td__serve(s);
}

/* Paths are made absolute: a server in the background leaves the folder it was started in. */
static int make_absolute(struct td__server *s, const char *dir)
{
	char *image = s->image.path && s->image.path[0] != '/' ? getcwd(NULL, 0) : NULL, *full;

	if (image && asprintf(&full, "%s/%s", image, s->image.path) > 0)
		s->image.path = full;
	free(image);
	s->dir = td__cli_resolve(dir);
	if (s->dir)
		return 0;
	td__cli_error("%s: %s; make the directory first: mkdir -p %s", dir, strerror(errno), dir);
	return TD__CLI_FAILED;
}

/* A mount of ours is refused here, with the command that helps; others by the front end. */
static int check_mounted(const char *dir)
{
	struct td__runtime_entry entry = { 0 };
	struct td__cli_mounted m;

	if (!td__cli_mounted(dir, &m) || !td__cli_is_ours(&m))
		return 0;
	if (td__runtime_find(dir, &entry) && entry.alive)
		td__cli_error("%s: is mounted already; unmount it first: tadan umount %s", dir,
			      dir);
	else
		td__cli_error(
			"%s: the server of this mount has ended; clear it first: tadan umount %s",
			dir, dir);
	free(entry.dir);
	return TD__CLI_FAILED;
}

int td__cli_mount(const struct td__cli_args *args)
{
	static struct td__server s = { .told = -1 };
	static char form[PATH_MAX];
	int err = read_options(args, &s);

	if (!err)
		err = make_absolute(&s, args->words[args->nwords - 1]);
	if (!err)
		err = check_mounted(s.dir);
	s.module_name = args->words[0];
	if (!err && is_wasm(s.module_name)) {
		err = td__build_wasm(s.module_name, form);
		s.module_name = form;
	}
	if (err)
		return err;
	return s.foreground ? td__serve(&s) : serve_in_background(&s);
}
