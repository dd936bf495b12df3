/* SPDX-License-Identifier: BSD-2-Clause */
/* The rule of the level `auto`: see auto.h. */
#include "auto.h"
#include "fs.h"

enum { DOUBLINGS_MAX = 16 };

const char *const td_auto_names[TD_AUTO_LEVELS] = { "isolated", "sandboxed", "walled", "guarded", "trusted" };

/* Below a wall only who says so. */
static const struct td_auto_rule usual = { .floor = 2, .seconds = 60, .calls = 10000 };

/* ---- Text */

static size_t word_length(const char *text)
{
	size_t n = 0;

	while (text[n] && text[n] != ',')
		n++;
	return n;
}

static int begins(const char *text, const char *with)
{
	return !memcmp(text, with, strlen(with) < strlen(text) ? strlen(with) : strlen(text)) && strlen(text) >= strlen(with);
}

int td_auto_is(const char *text)
{
	return word_length(text) == 4 && begins(text, "auto");
}

static const char *read_floor(const char *value, size_t len, struct td_auto_rule *r)
{
	for (uint32_t i = 0; i < TD_AUTO_LEVELS; i++)
		if (strlen(td_auto_names[i]) == len && !memcmp(value, td_auto_names[i], len)) {
			r->floor = i;
			return 0;
		}
	return "floor is isolated, sandboxed, walled, guarded or trusted";
}

static size_t digits(const char *text, size_t len, uint64_t *value)
{
	size_t i = 0;

	for (*value = 0; i < len && i < 9 && text[i] >= '0' && text[i] <= '9'; i++)
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	return i;
}

static const char *read_clean(const char *value, size_t len, struct td_auto_rule *r)
{
	uint64_t seconds;
	size_t n = digits(value, len, &r->calls), m;

	if (n && n < len && value[n] == '/') {
		m = digits(value + n + 1, len - n - 1, &seconds);
		r->seconds = (uint32_t)seconds;
		if (m && n + m + 2 == len && value[len - 1] == 's')
			return 0;
	}
	return "clean is CALLS/SECONDS such as 10000/60s";
}

static const char *read_word(const char *word, size_t len, struct td_auto_rule *r)
{
	size_t used = strlen(r->knobs);

	if (begins(word, "floor="))
		return read_floor(word + 6, len - 6, r);
	if (begins(word, "clean="))
		return read_clean(word + 6, len - 6, r);
	if (used + len + 2 > sizeof(r->knobs))
		return "too many knobs";
	r->knobs[used] = ',';
	memcpy(r->knobs + used + 1, word, len);
	r->knobs[used + 1 + len] = 0;
	return 0;
}

/* What follows must be understood at each level that the mount may get to. */
static int check_levels(const struct td_auto_rule *r, char *why, size_t size)
{
	char text[TD_AUTO_TEXT + 16];
	struct td_level level;
	int err = 0;

	for (uint32_t i = 0; i <= r->floor && !err; i++) {
		td_auto_level(r, i, text, sizeof(text));
		err = td_level_parse(text, &level, why, size);
	}
	return err;
}

int td_auto_parse(const char *text, struct td_auto_rule *rule, char *why, size_t size)
{
	const char *remedy = 0;

	*rule = usual;
	if (size)
		why[0] = 0;
	for (const char *p = text + word_length(text); *p && !remedy; p += word_length(p)) {
		p++;
		remedy = *p ? read_word(p, word_length(p), rule) : 0;
	}
	if (remedy) {
		td__why(why, size, text, " is not understood: ", remedy);
		return -TD_EINVAL;
	}
	return check_levels(rule, why, size);
}

void td_auto_level(const struct td_auto_rule *rule, uint32_t level, char *text, size_t size)
{
	td__why(text, size, td_auto_names[level], rule->knobs, 0);
}

/* ---- The rule */

void td_auto_begin(struct td_auto *a, const struct td_auto_rule *rule, const struct td_auto_record *record, const struct td_auto_seen *now)
{
	*a = (struct td_auto){ .rule = *rule, .record = *record, .since = *now };
	if (a->record.earned >= TD_AUTO_LEVELS)
		a->record.earned = 0;
}

uint32_t td_auto_next(const struct td_auto *a, uint64_t *calls, uint64_t *seconds)
{
	uint32_t next = a->at + 1, doublings;

	while (next < TD_AUTO_LEVELS && a->refused >> next & 1)
		next++;
	if (next > a->rule.floor)
		return TD_AUTO_LEVELS;
	doublings = a->record.faults[next] < DOUBLINGS_MAX ? a->record.faults[next] : DOUBLINGS_MAX;
	*calls = next <= a->record.earned ? 0 : a->rule.calls << doublings;
	*seconds = next <= a->record.earned ? 0 : (uint64_t)a->rule.seconds << doublings;
	return next;
}

static uint32_t stricter(const struct td_auto *a)
{
	uint32_t level = a->at;

	while (level && a->refused >> --level & 1)
		;
	return level;
}

uint32_t td_auto_wants(struct td_auto *a, const struct td_auto_seen *now)
{
	uint64_t calls, seconds;
	uint32_t next;

	if (now->faults != a->since.faults) {
		uint64_t faults = a->record.faults[a->at] + (now->faults - a->since.faults);

		a->record.faults[a->at] = faults < 1000000 ? (uint32_t)faults : 1000000;
		a->since = *now;
		a->record.earned = stricter(a);
		return a->record.earned;
	}
	if (a->record.earned < a->at) /* the way up was not open just now */
		return stricter(a);
	if (now->mistakes != a->since.mistakes)
		a->since = *now;
	next = td_auto_next(a, &calls, &seconds);
	if (next == TD_AUTO_LEVELS || now->calls - a->since.calls < calls || now->now_ms - a->since.now_ms < seconds * 1000)
		return a->at;
	return next;
}

void td_auto_moved(struct td_auto *a, uint32_t level, const struct td_auto_seen *now)
{
	if (level > a->record.earned)
		a->record.earned = level;
	a->at = level;
	a->since = *now;
}

void td_auto_refused(struct td_auto *a, uint32_t level)
{
	a->refused |= 1u << level;
}
