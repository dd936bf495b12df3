/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines taken apart by a command's table of options, and the help that is made of the same table. */
#include "cli.h"

#include <string.h>

static size_t count(const struct td__cli_option *options)
{
	size_t n = 0;

	while (options[n].name)
		n++;
	return n;
}

static int unknown(const struct td__cli_command *c, const char *word, size_t len)
{
	const char *names[TD__CLI_OPTIONS + 1], *near;
	size_t n = count(c->options);
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	for (size_t i = 0; i < n; i++)
		names[i] = c->options[i].name;
	names[n] = "help";
	near = td__cli_nearest(name, names, n + 1);
	if (near)
		return td__cli_usage("unknown option --%s; did you mean --%s?", name, near);
	return td__cli_usage("unknown option --%s; `tadan %s --help` lists those there are", name,
			     c->name);
}

struct line {
	const struct td__cli_command *command;
	struct td__cli_args *args;
	char **argv;
	int argc, at;
};

/* `value`: what stood behind "=", or behind the letter; else the next word is taken. */
static int take_value(struct line *l, size_t i, const char *value)
{
	const struct td__cli_option *o = &l->command->options[i];

	if (l->args->values[i])
		return td__cli_usage("--%s is given twice", o->name);
	if (!o->value && value)
		return td__cli_usage("--%s takes no value", o->name);
	if (o->value && !value && ++l->at == l->argc)
		return td__cli_usage("--%s needs a value: --%s %s", o->name, o->name, o->value);
	l->args->values[i] = !o->value ? "" : value ? value : l->argv[l->at];
	return 0;
}

static int take_long(struct line *l, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;

	for (size_t i = 0; l->command->options[i].name; i++)
		if (strlen(l->command->options[i].name) == len &&
		    !strncmp(l->command->options[i].name, word, len))
			return take_value(l, i, value);
	return unknown(l->command, word, len);
}

static int take_letters(struct line *l, const char *letters)
{
	for (; *letters; letters++) {
		const struct td__cli_option *o = l->command->options;
		size_t i = 0;
		int err;

		while (o[i].name && o[i].letter != *letters)
			i++;
		if (!o[i].name)
			return td__cli_usage(
				"unknown option -%c; `tadan %s --help` lists those there are",
				*letters, l->command->name);
		err = take_value(l, i, o[i].value && letters[1] ? letters + 1 : NULL);
		if (err || o[i].value)
			return err;
	}
	return 0;
}

static int check_count(const struct td__cli_command *c, const struct td__cli_args *args)
{
	if (args->nwords < c->least)
		return td__cli_usage("something is missing: tadan %s %s", c->name, c->words);
	if (args->nwords > c->most)
		return td__cli_usage("`%s` is one word too many: tadan %s %s", args->words[c->most],
				     c->name, c->words);
	return 0;
}

/* argv[0] is the command's name. The words that are no options are gathered at the front of argv. */
int td__cli_parse(const struct td__cli_command *c, int argc, char **argv, struct td__cli_args *args)
{
	struct line l = { .command = c, .args = args, .argv = argv, .argc = argc };
	int err = 0, only_words = 0;

	memset(args, 0, sizeof(*args));
	args->words = argv + 1;
	if (c->most < 0) {
		args->nwords = argc - 1;
		return 0;
	}
	for (l.at = 1; l.at < argc && !err; l.at++) {
		char *word = argv[l.at];

		if (only_words || word[0] != '-' || !word[1]) {
			args->words[args->nwords++] = word;
		} else if (!strcmp(word, "--")) {
			only_words = 1;
		} else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			td__cli_help(c, stdout);
			return TD__CLI_HELP;
		} else {
			err = word[1] == '-' ? take_long(&l, word + 2) : take_letters(&l, word + 1);
		}
	}
	return err ? err : check_count(c, args);
}

static void help_option(const struct td__cli_option *o, FILE *to)
{
	char left[64];
	int n = snprintf(left, sizeof(left), o->letter ? "-%c, " : "    ", o->letter);

	snprintf(left + n, sizeof(left) - (size_t)n, o->value ? "--%s %s" : "--%s", o->name,
		 o->value);
	fprintf(to, "  %-24s %s\n", left, o->help);
}

void td__cli_help(const struct td__cli_command *c, FILE *to)
{
	fprintf(to, "%stadan %s%s %s\n\n%s\n", td__cli_style(to, TD__BOLD), c->name,
		td__cli_style(to, TD__PLAIN), c->words, c->details);
	fprintf(to, "\nOptions:\n");
	for (const struct td__cli_option *o = c->options; o->name; o++)
		help_option(o, to);
	help_option(&(struct td__cli_option){ "help", 'h', NULL, "show this" }, to);
	fprintf(to,
		"\nExit status: 0 done, 1 it did not work, 2 asked for wrongly. See tadan(1).\n");
}
