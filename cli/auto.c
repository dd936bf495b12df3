/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread that moves a mount by the rule of core/auto.h. */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

enum { STEP_MS = 200 };

static struct td_auto_seen seen(struct td__server *s, struct td_status *st)
{
	td_get_status(s->fs, st);
	return (struct td_auto_seen){ st->calls, st->careless, st->faults, td__port_monotonic() / 1000000 };
}

static void save(struct td__server *s)
{
	char why[TD__CLI_WHY];

	if (td__auto_save(s->module->build, &s->automatic.record, why, sizeof(why)) && !s->auto_warned) {
		syslog(LOG_WARNING, "%s", why);
		s->auto_warned = true;
	}
}

static int move(struct td__server *s, uint32_t to)
{
	char text[TD_AUTO_TEXT + 16], why[TD__CLI_WHY];
	struct td_level level;
	int err;

	td_auto_level(&s->automatic.rule, to, text, sizeof(text));
	err = td_level_parse(text, &level, why, sizeof(why));
	if (!err)
		err = td_set_level(s->fs, &level, NULL, why, sizeof(why));
	if (err)
		syslog(LOG_INFO, "%s: not moved to %s: %s", s->dir, text, why);
	else
		syslog(LOG_INFO, "%s: moved to %s", s->dir, text);
	return err;
}

/* A module that was detached stays so, until somebody asks for a level. */
static void step(void *arg)
{
	struct td__server *s = arg;
	struct td_auto_record before;
	struct td_auto_seen now;
	struct td_status st;
	uint32_t to;

	pthread_mutex_lock(&s->auto_mutex);
	now = seen(s, &st);
	if (s->is_auto && st.state == TD_STATE_RUNNING) {
		before = s->automatic.record;
		to = td_auto_wants(&s->automatic, &now);
		if (to != s->automatic.at && !move(s, to)) {
			now = seen(s, &st);
			td_auto_moved(&s->automatic, to, &now);
		} else if (to != s->automatic.at) {
			td_auto_refused(&s->automatic, to);
		}
		if (memcmp(&before, &s->automatic.record, sizeof(before)))
			save(s);
	}
	pthread_mutex_unlock(&s->auto_mutex);
}

static void begin(struct td__server *s, const struct td_auto_rule *rule)
{
	struct td_auto_record record;
	struct td_auto_seen now;
	struct td_status st;

	td__auto_load(s->module->build, &record);
	now = seen(s, &st);
	td_auto_begin(&s->automatic, rule, &record, &now);
	s->is_auto = true;
}

int td__auto_start(struct td__server *s)
{
	const struct td_auto_rule rule = s->automatic.rule;

	if (s->is_auto)
		begin(s, &rule);
	return td__every_start(&s->mover, STEP_MS, step, s);
}

int td__auto_set_level(struct td__server *s, const char *text, struct td_level *level, uint64_t *pause, char *why, size_t size)
{
	char strictest[TD_AUTO_TEXT + 16];
	struct td_auto_rule rule;
	int is_auto = td_auto_is(text), err = is_auto ? td_auto_parse(text, &rule, why, size) : 0;

	if (err)
		return err;
	if (is_auto) {
		td_auto_level(&rule, 0, strictest, sizeof(strictest));
		text = strictest;
	}
	err = td__cli_level(text, level, why, size);
	if (err)
		return err;
	pthread_mutex_lock(&s->auto_mutex);
	err = td_set_level(s->fs, level, pause, why, size);
	if (!err && is_auto)
		begin(s, &rule);
	else if (!err)
		s->is_auto = false;
	pthread_mutex_unlock(&s->auto_mutex);
	return err;
}

json_t *td__auto_status(struct td__server *s)
{
	json_t *to = NULL, *faults = json_object();
	uint64_t calls = 0, seconds = 0;
	struct td_auto_seen now;
	struct td_status st;
	uint32_t next;

	pthread_mutex_lock(&s->auto_mutex);
	if (s->is_auto) {
		const struct td_auto *a = &s->automatic;

		now = seen(s, &st);
		next = td_auto_next(a, &calls, &seconds);
		for (uint32_t i = 0; i < TD_AUTO_LEVELS; i++)
			if (a->record.faults[i])
				json_object_set_new(faults, td_auto_names[i], json_integer(a->record.faults[i]));
		to = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:O}", "floor", td_auto_names[a->rule.floor], "earned",
			       td_auto_names[a->record.earned], "next", next < TD_AUTO_LEVELS ? td_auto_names[next] : NULL,
			       "calls_wanted", (json_int_t)calls, "calls_clean", (json_int_t)(now.calls - a->since.calls),
			       "seconds_wanted", (json_int_t)seconds, "seconds_clean",
			       (json_int_t)((now.now_ms - a->since.now_ms) / 1000), "faults", faults);
	}
	pthread_mutex_unlock(&s->auto_mutex);
	json_decref(faults);
	return to ? to : json_null();
}
