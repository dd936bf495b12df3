/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that `tadan build` runs. */
#include "build.h"

#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

extern char **environ;

void td__command_add(struct td__command *c, ...)
{
	const char *word;
	va_list words;

	va_start(words, c);
	while ((word = va_arg(words, const char *)) && c->n < (int)(sizeof(c->words) / sizeof(*c->words)) - 1)
		c->words[c->n++] = word;
	va_end(words);
	c->words[c->n] = NULL;
}

int td__command_run(const struct td__command *c)
{
	posix_spawn_file_actions_t actions;
	int status, err;
	pid_t pid;

	fflush(stdout);
	posix_spawn_file_actions_init(&actions);
	if (c->folder)
		posix_spawn_file_actions_addchdir_np(&actions, c->folder);
	err = posix_spawnp(&pid, c->words[0], &actions, NULL, (char *const *)c->words, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err) {
		td__cli_error("%s: %s", c->words[0], strerror(err));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFSIGNALED(status))
		td__cli_error("%s was ended by signal %d", c->words[0], WTERMSIG(status));
	else
		td__cli_error("%s has failed; what it says stands above", c->words[0]);
	return -1;
}

int td__command_there(const char *name)
{
	const char *folders = getenv("PATH");
	char path[PATH_MAX];

	if (strchr(name, '/'))
		return !access(name, X_OK);
	while (folders && *folders) {
		size_t len = strcspn(folders, ":");

		if (snprintf(path, sizeof(path), "%.*s/%s", (int)len, folders, name) < PATH_MAX && !access(path, X_OK))
			return 1;
		folders += len + (folders[len] == ':');
	}
	return 0;
}

int td__command_says(const char *name, const char *option, const char *text)
{
	char said[16384];
	posix_spawn_file_actions_t actions;
	const char *words[] = { name, option, NULL };
	size_t used = 0;
	int ends[2], err;
	ssize_t n;
	pid_t pid;

	if (pipe(ends))
		return 0;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	err = posix_spawnp(&pid, name, &actions, NULL, (char *const *)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	while (!err && used < sizeof(said) - 1 && (n = read(ends[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = 0;
	close(ends[0]);
	if (!err)
		waitpid(pid, NULL, 0);
	return !err && strstr(said, text);
}

const char *td__build_cc(void)
{
	const char *cc = getenv("CC");

	return cc && *cc ? cc : "cc";
}

/* Words of command lines, kept until the program ends. */
static struct text {
	struct text *next;
	char text[];
} *texts;

char *td__build_text(const char *fmt, ...)
{
	struct text *t;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	t = len < 0 ? NULL : malloc(sizeof(*t) + (size_t)len + 1);
	if (!t)
		abort();
	va_start(args, fmt);
	vsnprintf(t->text, (size_t)len + 1, fmt, args);
	va_end(args);
	t->next = texts;
	texts = t;
	return t->text;
}

const char *td__build_path(const char *folder, const char *name, const char *ending)
{
	return td__build_text("%s/%s%s", folder, name, ending);
}
