/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of a mount, as in "soft,timeo=600": the names and units are those of nfs(5). */
#include "snfs.h"

struct word {
	const char *text;
	uint32_t len;
};

static int is(struct word w, const char *text)
{
	return w.len == strlen(text) && !memcmp(w.text, text, w.len);
}

/* Seconds above this many are as good as for ever. */
enum { MOST = 86400 };

static int number(struct word w, uint32_t least, uint32_t most, uint32_t *to)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w.len; i++) {
		if (w.text[i] < '0' || w.text[i] > '9' || n > (0xffffffffu - 9) / 10)
			return -TD_EINVAL;
		n = n * 10 + (uint32_t)(w.text[i] - '0');
	}
	if (!w.len || n < least || n > most)
		return -TD_EINVAL;
	*to = n;
	return 0;
}

static int milliseconds(struct word w, uint32_t unit, uint32_t least, uint32_t *to)
{
	int err = number(w, least, MOST * 1000 / unit, to);

	if (!err)
		*to *= unit;
	return err;
}

static int all_times(struct word w, struct options *o)
{
	int err = milliseconds(w, 1000, 0, &o->acregmin);

	o->acregmax = o->acdirmin = o->acdirmax = o->acregmin;
	return err;
}

static int host(struct word w, struct options *o)
{
	if (!w.len || w.len >= sizeof(o->host))
		return -TD_EINVAL;
	memcpy(o->host, w.text, w.len);
	o->host[w.len] = 0;
	return 0;
}

/* 1: no such option. */
static int with_value(struct word key, struct word value, struct options *o)
{
	if (is(key, "port"))
		return number(value, 0, 65535, &o->port);
	if (is(key, "mountport"))
		return number(value, 0, 65535, &o->mountport);
	if (is(key, "timeo"))
		return milliseconds(value, 100, 1, &o->timeo_ms);
	if (is(key, "retrans"))
		return number(value, 0, 1000, &o->retrans);
	if (is(key, "rsize"))
		return number(value, IO_MIN, IO_MAX, &o->rsize);
	if (is(key, "wsize"))
		return number(value, IO_MIN, IO_MAX, &o->wsize);
	if (is(key, "readahead"))
		return number(value, 0, 16, &o->readahead);
	if (is(key, "acregmin"))
		return milliseconds(value, 1000, 0, &o->acregmin);
	if (is(key, "acregmax"))
		return milliseconds(value, 1000, 0, &o->acregmax);
	if (is(key, "acdirmin"))
		return milliseconds(value, 1000, 0, &o->acdirmin);
	if (is(key, "acdirmax"))
		return milliseconds(value, 1000, 0, &o->acdirmax);
	if (is(key, "actimeo"))
		return all_times(value, o);
	if (is(key, "host"))
		return host(value, o);
	if (is(key, "vers") || is(key, "nfsvers"))
		return is(value, "3") ? 0 : -TD_EINVAL;
	if (is(key, "proto"))
		return is(value, "tcp") || is(value, "tcp6") ? 0 : -TD_EINVAL;
	if (is(key, "sec"))
		return is(value, "sys") ? 0 : -TD_EINVAL;
	return 1;
}

static int without(struct word key, struct options *o)
{
	if (is(key, "soft") || is(key, "hard"))
		o->soft = is(key, "soft");
	else if (is(key, "noac"))
		o->acregmin = o->acregmax = o->acdirmin = o->acdirmax = 0;
	else if (is(key, "sync") || is(key, "async"))
		o->sync = is(key, "sync");
	else if (is(key, "rdirplus") || is(key, "nordirplus"))
		o->plus = is(key, "rdirplus");
	else if (is(key, "resvport") || is(key, "noresvport"))
		o->reserved = is(key, "resvport");
	else if (!is(key, "nolock")) /* locks are local, always */
		return 1;
	return 0;
}

static int complain(struct word option, int err)
{
	char line[160] = "the option '";
	const char *end = err > 0 ? "' is not one of SNFS; see tadan-snfs(8)" : "' has a value that SNFS cannot use; see tadan-snfs(8)";
	uint32_t used = (uint32_t)strlen(line), len = option.len < 60 ? option.len : 60;

	memcpy(line + used, option.text, len);
	memcpy(line + used + len, end, strlen(end) + 1);
	td_explain(line);
	return -TD_EINVAL;
}

static int one(struct word option, struct options *o)
{
	uint32_t n = 0;
	int err;

	while (n < option.len && option.text[n] != '=')
		n++;
	struct word key = { option.text, n };
	if (n < option.len)
		err = with_value(key, (struct word){ option.text + n + 1, option.len - n - 1 }, o);
	else
		err = without(key, o);
	return err ? complain(option, err) : 0;
}

int options_parse(const char *p, struct options *o)
{
	uint32_t len = (uint32_t)strlen(p);
	int err = 0;

	*o = (struct options){ .timeo_ms = 60000, .retrans = 2, .rsize = IO_MAX, .wsize = IO_MAX, .readahead = 8, .acregmin = 3000, .acregmax = 60000,
			       .acdirmin = 30000, .acdirmax = 60000, .plus = 1, .reserved = 1, .host = "tadan" };
	for (uint32_t at = 0; at < len && !err;) {
		uint32_t n = 0;

		while (at + n < len && p[at + n] != ',')
			n++;
		if (n)
			err = one((struct word){ p + at, n }, o);
		at += n + 1;
	}
	if (o->acregmax < o->acregmin)
		o->acregmax = o->acregmin;
	if (o->acdirmax < o->acdirmin)
		o->acdirmax = o->acdirmin;
	o->rsize &= ~(uint32_t)(IO_MIN - 1);
	o->wsize &= ~(uint32_t)(IO_MIN - 1);
	return err;
}
