/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts: messages, numbers and dates for people, and strings that are safe to print or to put into JSON. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *td__cli_name = "tadan";

const char *td__cli_style(FILE *to, enum td__cli_style style)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[31m", "\033[32m",
					     "\033[33m" };
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no && *no) || !isatty(fileno(to)) || !term || !strcmp(term, "dumb"))
		return "";
	return codes[style];
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list ap)
{
	char text[2 * TD__CLI_WHY];

	vsnprintf(text, sizeof(text), format, ap);
	fprintf(stderr, "%s%s:%s ", td__cli_style(stderr, TD__RED), td__cli_name,
		td__cli_style(stderr, TD__PLAIN));
	td__cli_print_safe(text, stderr);
	fputc('\n', stderr);
}

void td__cli_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

int td__cli_usage(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
	return TD__CLI_USAGE;
}

int td__cli_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned shift = 0;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		shift = 10 * (unsigned)(suffix - suffixes + 1);
		end++;
		if (!strcasecmp(end, "iB"))
			end += 2;
	}
	if (*end || *bytes > (uint64_t)INT64_MAX >> shift)
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

int td__cli_time(const char *text, uint32_t *ms)
{
	uint64_t n, unit;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = !strcmp(end, "ms") ? 1 : !strcmp(end, "s") || !*end ? 1000 : !strcmp(end, "m") ? 60000 : 0;
	if (errno || !unit || n > UINT32_MAX / unit)
		return -EINVAL;
	*ms = (uint32_t)(n * unit);
	return 0;
}

void td__cli_show_time(uint64_t ns, char text[32])
{
	if (ns < 1000)
		snprintf(text, 32, "%u ns", (unsigned)ns);
	else if (ns < 1000000)
		snprintf(text, 32, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, 32, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(text, 32, "%.1f s", (double)ns / 1e9);
}

void td__cli_show_bytes(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
	double n = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, 32, "%u bytes", (unsigned)bytes);
		return;
	}
	for (; n >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		n /= 1024;
	snprintf(text, 32, "%.1f %s", n, units[unit]);
}

void td__cli_show_date(int64_t sec, char text[32])
{
	time_t t = (time_t)sec;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(text, 32, "?");
}

void td__cli_print_safe(const char *text, FILE *to)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		fputc(*p < ' ' || *p == 0x7f ? '?' : *p, to);
}

json_t *td__cli_json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	for (char *p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	json = json_string(copy ? copy : "");
	free(copy);
	return json;
}

json_t *td__cli_json_hex(uint64_t n)
{
	return json_sprintf("0x%llx", (unsigned long long)n);
}

json_t *td__cli_json_number(uint64_t n)
{
	return n <= INT64_MAX ? json_integer((json_int_t)n) : td__cli_json_hex(n);
}

int td__cli_print_json(json_t *json)
{
	int err = !json || json_dumpf(json, stdout, JSON_INDENT(2)) || putchar('\n') == EOF ||
		  fflush(stdout);

	json_decref(json);
	if (err)
		td__cli_error("cannot write the output");
	return err ? TD__CLI_FAILED : TD__CLI_OK;
}
