/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An in-process volume on a server, driven through pipes: what tests/nfs/siege.py works on instead of a mount.
 *
 *   volume MODULE LEVEL URL OPTIONS
 *
 * A request is a line "NUMBER COMMAND ARGUMENTS" and, for write, its bytes; each is carried out by a thread of its own, so that one may
 * wait while others go on. The answer is a line "NUMBER RESULT LENGTH" and so many bytes; a RESULT below 0 is an error. The first
 * answer has the number 0: is the volume there? With the end of its input the volume is closed, and the exit status says how that went.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../core/mount.h"
#include "../../front/inproc/tadan.h"

enum { WORDS = 5, LINE = 8192 };

struct request {
	char line[LINE];
	char *word[WORDS]; /* number, command, arguments; "" where there is none */
	uint8_t *data;     /* in: of write; out: of what answers with bytes */
	size_t len;
};

static struct td_volume *volume;
static struct td_task task = { .cwd = TD_CWD_ROOT, .umask = 022 };
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static int under_way;

static void answer(const char *number, long long result, const void *data, size_t len)
{
	pthread_mutex_lock(&output);
	printf("%s %lld %zu\n", number, result, len);
	fwrite(data, 1, len, stdout);
	fflush(stdout);
	pthread_mutex_unlock(&output);
}

/* ---- Commands */

static long long path_open(struct request *r)
{
	static const struct {
		const char *mode;
		int flags;
	} modes[] = { { "r", O_RDONLY }, { "r+", O_RDWR }, { "w", O_WRONLY | O_CREAT | O_TRUNC }, { "x", O_WRONLY | O_CREAT | O_EXCL } };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(r->word[3], modes[i].mode))
			return td_path_open(&task, r->word[2], modes[i].flags, 0644);
	return -EINVAL;
}

static long long fd_read(struct request *r)
{
	size_t len = strtoull(r->word[4], 0, 10);
	long long n;

	r->data = malloc(len + 1);
	n = r->data ? td_fd_pread(&task, atoi(r->word[2]), r->data, len, atoll(r->word[3])) : -ENOMEM;
	r->len = n > 0 ? (size_t)n : 0;
	return n;
}

static long long fd_write(struct request *r)
{
	long long n = td_fd_pwrite(&task, atoi(r->word[2]), r->data, r->len, atoll(r->word[3]));

	r->len = 0;
	return n;
}

static long long fd_stat(struct request *r)
{
	struct td_vnode v;
	int err = td_fd_stat(&task, atoi(r->word[2]), &v);

	return err ? err : (long long)v.size;
}

static long long path_stat(struct request *r)
{
	struct td_vnode v;
	int err = td_path_stat(&task, r->word[2], 0, &v);

	return err ? err : (long long)v.size;
}

static long long path_readlink(struct request *r)
{
	int n;

	r->data = malloc(4096);
	n = r->data ? td_path_readlink(&task, r->word[2], r->data, 4096) : -ENOMEM;
	r->len = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

/* Names, each with a newline. */
static long long path_list(struct request *r)
{
	int fd = td_path_open(&task, r->word[2], O_RDONLY | O_DIRECTORY, 0), err = fd;
	FILE *to = open_memstream((char **)&r->data, &r->len);
	struct td_entry e;

	while (to && fd >= 0 && (err = td_fd_readdir(&task, fd, &e)) > 0)
		if (strcmp(e.name, ".") && strcmp(e.name, ".."))
			fprintf(to, "%s\n", e.name);
	if (fd >= 0)
		td_fd_close(&task, fd);
	if (to)
		fclose(to);
	return err;
}

static long long set_level(struct request *r)
{
	char why[512] = "";
	int err = td_volume_level(volume, r->word[2], 0, why, sizeof(why));

	if (err)
		fprintf(stderr, "volume: %s: %s\n", r->word[2], why);
	return err;
}

static long long status(struct request *r)
{
	static const char *const states[] = { "running", "changing", "detached" };
	FILE *to = open_memstream((char **)&r->data, &r->len);
	struct td_status s;

	td_get_status(td_volume_fs(volume), &s);
	if (!to)
		return -ENOMEM;
	fprintf(to, "{\"state\": \"%s\", \"faults\": %llu, \"restarts\": %llu, \"module_pid\": %lld, \"network\": {\"resent\": %llu, \"in_flight\": %llu}}",
		states[s.state], (unsigned long long)s.faults, (unsigned long long)s.restarts, (long long)s.process,
		(unsigned long long)s.net.resent, (unsigned long long)s.net.in_flight);
	fclose(to);
	return 0;
}

static long long carry_out(struct request *r)
{
	const char *command = r->word[1], *a = r->word[2], *b = r->word[3];

	if (!strcmp(command, "open"))
		return path_open(r);
	if (!strcmp(command, "close"))
		return td_fd_close(&task, atoi(a));
	if (!strcmp(command, "read"))
		return fd_read(r);
	if (!strcmp(command, "write"))
		return fd_write(r);
	if (!strcmp(command, "sync"))
		return td_fd_sync(&task, atoi(a));
	if (!strcmp(command, "fstat"))
		return fd_stat(r);
	if (!strcmp(command, "stat"))
		return path_stat(r);
	if (!strcmp(command, "mkdir"))
		return td_path_mkdir(&task, a, 0755);
	if (!strcmp(command, "rmdir"))
		return td_path_rmdir(&task, a);
	if (!strcmp(command, "unlink"))
		return td_path_unlink(&task, a);
	if (!strcmp(command, "rename"))
		return td_path_rename(&task, a, b, 0);
	if (!strcmp(command, "link"))
		return td_path_link(&task, a, b, 0);
	if (!strcmp(command, "symlink"))
		return td_path_symlink(&task, a, b);
	if (!strcmp(command, "readlink"))
		return path_readlink(r);
	if (!strcmp(command, "list"))
		return path_list(r);
	if (!strcmp(command, "level"))
		return set_level(r);
	if (!strcmp(command, "status"))
		return status(r);
	if (!strcmp(command, "cut"))
		return td_cut(td_volume_fs(volume)), 0;
	return -ENOSYS;
}

/* ---- */

static void *work(void *arg)
{
	struct request *r = arg;
	long long result = carry_out(r);

	answer(r->word[0], result, r->data, r->len);
	free(r->data);
	free(r);
	pthread_mutex_lock(&counting);
	under_way--;
	pthread_cond_signal(&fewer);
	pthread_mutex_unlock(&counting);
	return 0;
}

static int read_request(struct request *r)
{
	char *next = 0;

	if (!fgets(r->line, sizeof(r->line), stdin))
		return 0;
	for (int i = 0; i < WORDS; i++) {
		char *word = strtok_r(i ? 0 : r->line, " \n", &next);

		r->word[i] = word ? word : r->line + strlen(r->line);
	}
	if (strcmp(r->word[1], "write"))
		return 1;
	r->len = strtoull(r->word[4], 0, 10);
	r->data = malloc(r->len + 1);
	return r->data && fread(r->data, 1, r->len, stdin) == r->len;
}

static void serve(void)
{
	struct request *r;
	pthread_t thread;

	while ((r = calloc(1, sizeof(*r))) && read_request(r)) {
		pthread_mutex_lock(&counting);
		under_way++;
		pthread_mutex_unlock(&counting);
		if (pthread_create(&thread, 0, work, r))
			abort();
		pthread_detach(thread);
	}
	free(r);
	pthread_mutex_lock(&counting);
	while (under_way)
		pthread_cond_wait(&fewer, &counting);
	pthread_mutex_unlock(&counting);
}

int main(int argc, char **argv)
{
	char why[512] = "";
	int err;

	if (argc != 5) {
		fprintf(stderr, "usage: volume MODULE LEVEL URL OPTIONS\n");
		return 2;
	}
	struct td_volume_params params = { .module = argv[1], .level = argv[2], .server = argv[3], .options = argv[4] };
	err = td_volume_open(&params, &volume, why, sizeof(why));
	answer("0", err, why, strlen(why));
	if (err)
		return 1;
	task.volume = volume;
	serve();
	err = td_volume_close(volume);
	if (err)
		fprintf(stderr, "volume: closing: %s\n", strerror(-err));
	return err != 0;
}
