/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables: see table.h. */
#include "cli.h"
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void td__table_add(struct td__table *t, const char *format, ...)
{
	char **grown = reallocarray(t->text, t->cells + 1, sizeof(*grown));
	va_list ap;

	if (!grown)
		return;
	t->text = grown;
	va_start(ap, format);
	if (vasprintf(&t->text[t->cells], format, ap) < 0)
		t->text[t->cells] = NULL;
	va_end(ap);
	t->cells++;
}

static const char *cell(const struct td__table *t, size_t i)
{
	return i < t->cells && t->text[i] ? t->text[i] : "";
}

static size_t width(const struct td__table *t, size_t column)
{
	size_t widest = 0;

	for (size_t i = column; i < t->cells; i += t->columns)
		if (strlen(cell(t, i)) > widest)
			widest = strlen(cell(t, i));
	return widest;
}

static void print_row(const struct td__table *t, size_t row, const size_t *widths)
{
	for (size_t c = 0; c < t->columns; c++) {
		const char *text = cell(t, row * t->columns + c);

		td__cli_print_safe(text, stdout);
		if (c + 1 < t->columns)
			printf("%*s", (int)(widths[c] - strlen(text) + 2), "");
	}
}

void td__table_print(struct td__table *t)
{
	size_t widths[32];

	for (size_t c = 0; c < t->columns && c < 32; c++)
		widths[c] = width(t, c);
	for (size_t row = 0; row * t->columns < t->cells; row++) {
		fputs(row ? "" : td__cli_style(stdout, TD__BOLD), stdout);
		print_row(t, row, widths);
		puts(row ? "" : td__cli_style(stdout, TD__PLAIN));
	}
	for (size_t i = 0; i < t->cells; i++)
		free(t->text[i]);
	free(t->text);
	t->text = NULL;
	t->cells = 0;
}
