/* SPDX-License-Identifier: BSD-2-Clause */
/* What was probably meant: words that differ from a misspelled one by a letter or two. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "modules.h"
#include "../walls/walls.h"

enum { LONGEST = 31 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Letters to change, add, drop or swap with their neighbour, to make one word the other. */
static unsigned distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	unsigned d[LONGEST + 1][LONGEST + 1];

	if (na > LONGEST || nb > LONGEST)
		return ~0u;
	for (size_t i = 0; i <= na; i++)
		for (size_t j = 0; j <= nb; j++) {
			unsigned differ;

			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			differ = a[i - 1] != b[j - 1];
			d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + differ);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	return d[na][nb];
}

const char *td__cli_nearest(const char *word, const char *const *words, size_t n)
{
	unsigned best = (unsigned)strlen(word) / 3 + 1;
	const char *found = NULL;

	if (best > 3)
		best = 3;
	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(word, words[i]);

		if (d && d <= best && d < strlen(words[i])) {
			best = d - 1;
			found = words[i];
		}
	}
	return found;
}

/* "wall=none,trap=on" -> "wall", "trap", in text itself. */
static size_t split_names(char *text, const char **names, size_t most)
{
	size_t n = 0;
	char *next;

	for (char *word = strtok_r(text, ",", &next); word && n < most;
	     word = strtok_r(NULL, ",", &next)) {
		word[strcspn(word, "=")] = 0;
		names[n++] = word;
	}
	return n;
}

/* The first word of a level's text that is no level or knob, but nearly one. */
static const char *level_hint(const char *text, char *hint, size_t size)
{
	enum { MOST = 32 };
	const char *words[MOST], *given[MOST], *near = NULL;
	char knobs[256] = "", *copy = strdup(text);
	struct td_level any;
	size_t n = 0, nlevels, ngiven = copy ? split_names(copy, given, MOST) : 0;

	while (n < MOST && td_levels[n].name) {
		words[n] = td_levels[n].name;
		n++;
	}
	nlevels = n;
	if (!td_level_parse(td_levels[0].name, &any, hint, size)) {
		td_level_format(&any, knobs, sizeof(knobs));
		n += split_names(knobs, words + n, MOST - n);
	}
	for (size_t i = 0; i < ngiven && !near; i++) {
		size_t known = 0;

		while (known < n && strcmp(words[known], given[i]))
			known++;
		if (known == n)
			near = i ? td__cli_nearest(given[i], words + nlevels, n - nlevels)
				 : td__cli_nearest(given[i], words, n);
	}
	if (near)
		snprintf(hint, size, "%s", near);
	free(copy);
	return near ? hint : NULL;
}

static void append_hint(char *why, size_t size, const char *word)
{
	size_t n = strlen(why);

	snprintf(why + n, size - n, "; did you mean `%s`?", word);
}

int td__cli_level(const char *text, struct td_level *level, char *why, size_t size)
{
	char hint[TD__CLI_WHY];
	int err = td_level_parse(text, level, why, size);

	if (err && level_hint(text, hint, sizeof(hint)))
		append_hint(why, size, hint);
	return err;
}

int td__cli_module(const char *name, struct td__module **out, char *why, size_t size)
{
	int err = td__module_open(name, out, why, size);
	struct td__cli_files files = { 0 };
	const char *near;

	if (err != -ENOENT || strchr(name, '/'))
		return err;
	td__cli_find_modules(&files);
	near = td__cli_nearest(name, (const char *const *)files.names, files.n);
	if (near)
		append_hint(why, size, near);
	td__cli_free_modules(&files);
	return err;
}
