/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server answers: the state of the mount, its faults, a change of level. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "../core/gateway.h"
#include <fs_gateway.h>
#include "../walls/walls.h"

static json_t *refuse(int error, const char *text)
{
	return json_pack("{s:b, s:o, s:i}", "ok", 0, "error", td__cli_json_text(text), "errno",
			 error);
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = { "running", "changing", "detached" };

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static json_t *calls_by_op(const struct td_status *st)
{
	json_t *calls = json_object();

	for (uint32_t op = 0; op < TD_OP_MAX; op++)
		if (st->calls_by_op[op] && td__op_names[op])
			json_object_set_new(calls, td__op_names[op],
					    td__cli_json_number(st->calls_by_op[op]));
	return calls;
}

static void put(json_t *to, const char *name, uint64_t n)
{
	json_object_set_new(to, name, td__cli_json_number(n));
}

static json_t *mistakes(const struct td_status *st)
{
	json_t *to = json_object();

	for (uint32_t kind = 0; kind < TD_MISTAKES; kind++)
		put(to, td__report_mistakes[kind], st->mistakes[kind]);
	put(to, "references_left", st->left_references);
	put(to, "memory_left", st->left_memory);
	return to;
}

static json_t *usage(const struct td_status *st)
{
	json_t *to = json_object();

	put(to, "memory", st->heap_used);
	put(to, "handles", st->kept);
	put(to, "calls", st->inside);
	put(to, "undo", st->undo_most);
	put(to, "cpu_ns", st->cpu_ns);
	put(to, "throttled_ns", st->throttled_ns);
	return to;
}

static json_t *network(const struct td_status *st)
{
	const struct td_net_counts *n = &st->net;
	json_t *to = json_object();

	put(to, "connections", n->connections);
	put(to, "connects", n->connects);
	put(to, "lost", n->lost);
	put(to, "broken", n->broken);
	put(to, "requests", n->sent);
	put(to, "in_flight", n->in_flight);
	put(to, "resent", n->resent);
	put(to, "replies", n->received);
	put(to, "unwanted", n->unwanted);
	put(to, "sent_bytes", n->sent_bytes);
	put(to, "received_bytes", n->received_bytes);
	put(to, "kept_bytes", n->kept);
	put(to, "buffers", n->buffers);
	return to;
}

static void put_device(json_t *to, struct td__server *s, const struct td_status *st)
{
	int error = atomic_load(&s->write_error);

	json_object_set_new(to, "write_error", error ? json_string(strerror(-error)) : json_null());
	put(to, "size", s->bytes);
	json_object_set_new(to, "source", s->url ? td__cli_json_text(s->url) : json_null());
	json_object_set_new(to, "image",
			    s->image.path ? td__cli_json_text(s->image.path) : json_null());
	json_object_set_new(to, "read_only", json_boolean(s->read_only));
	json_object_set_new(to, "cache", !st->cache ? json_null() : json_pack("{s:I, s:I, s:I}", "bytes", (json_int_t)st->cached, "most",
		(json_int_t)st->cache, "evicted", (json_int_t)st->evicted));
	json_object_set_new(to, "disk", !st->cache ? json_null() : json_pack("{s:I, s:I, s:I, s:I, s:I}", "unwritten",
		(json_int_t)st->unwritten, "timeout_ms", (json_int_t)st->disk.limit_ms, "timeouts", (json_int_t)st->disk.timeouts, "late",
		(json_int_t)st->disk.late, "late_ms", (json_int_t)st->disk.late_ms));
}

/* How Linux's requests come. */
static void put_channel(json_t *to, struct td__server *s)
{
	const char *why = "";

	pthread_mutex_lock(&s->mutex);
	if (s->fuse)
		why = td_fuse_no_uring(s->fuse);
	json_object_set_new(to, "channel", json_string(why ? "/dev/fuse" : "io_uring"));
	json_object_set_new(to, "no_uring", why && why[0] ? json_string(why) : json_null());
	pthread_mutex_unlock(&s->mutex);
}

static void put_level(json_t *to, const struct td_level *level)
{
	char knobs[512] = "";

	if (level->name[0]) /* a detached module has no level */
		td_level_format(level, knobs, sizeof(knobs));
	json_object_set_new(to, "level", level->name[0] ? json_string(level->name) : json_null());
	json_object_set_new(to, "knobs", td__report_knobs(knobs));
}

static json_t *status(struct td__server *s, json_t *request)
{
	json_t *to = json_object();
	struct td_status st;
	char date[32];

	if (json_is_true(json_object_get(request, "check")))
		td_check_deadlocks(s->fs);
	td_get_status(s->fs, &st);
	td__cli_show_date(st.since_sec, date);
	json_object_set_new(to, "dir", td__cli_json_text(s->dir));
	json_object_set_new(to, "module", td__cli_json_text(st.module));
	json_object_set_new(to, "file", td__cli_json_text(s->module->path));
	json_object_set_new(to, "build", json_sprintf("%016llx", (unsigned long long)st.build));
	put_level(to, &st.level);
	json_object_set_new(to, "auto", td__auto_status(s));
	json_object_set_new(to, "state", json_string(state_name(st.state)));
	json_object_set_new(to, "since", json_string(date));
	td__cli_show_date(s->mounted_sec, date);
	json_object_set_new(to, "mounted", json_string(date));
	put(to, "calls", st.calls);
	put(to, "faults", st.faults);
	put(to, "restarts", st.restarts);
	put(to, "level_changes", st.level_changes);
	put(to, "careless", st.careless);
	put(to, "deadlocks", st.deadlocks);
	put(to, "revoked", st.revoked);
	json_object_set_new(to, "mistakes", mistakes(&st));
	json_object_set_new(to, "usage", usage(&st));
	put(to, "vnodes", st.vnodes);
	put(to, "last_pause_ns", st.last_pause_ns);
	put(to, "pid", (uint64_t)getpid());
	json_object_set_new(to, "module_pid", st.process ? json_integer(st.process) : json_null());
	json_object_set_new(to, "standby_pid", st.standby ? json_integer(st.standby) : json_null());
	put_channel(to, s);
	put_device(to, s, &st);
	json_object_set_new(to, "network", st.has_server ? network(&st) : json_null());
	json_object_set_new(to, "calls_by_operation", calls_by_op(&st));
	return json_pack("{s:b, s:o}", "ok", 1, "status", to);
}

static uint64_t after(json_t *request, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(request, name));

	return n < 0 ? 0 : (uint64_t)n;
}

static int is_earlier(const struct td_fault *a, const struct td_fault *b)
{
	return a->sec != b->sec ? a->sec < b->sec : a->nsec < b->nsec;
}

/* Faults and mistakes in the order in which they came; at one tick of the clock, what led to a fault may be the mistake. */
static json_t *faults(struct td__server *s, json_t *request)
{
	struct td_fault *list = calloc(TD_FAULTS_KEPT + TD_MISTAKES_KEPT, sizeof(*list)), *mistakes = list + TD_FAULTS_KEPT;
	json_t *all = json_array();
	uint32_t nfaults, nmistakes, f = 0, m = 0;

	if (!list)
		return refuse(ENOMEM, "out of memory");
	nfaults = td_get_faults(s->fs, after(request, "after"), list, TD_FAULTS_KEPT);
	nmistakes = td_get_mistakes(s->fs, after(request, "after_mistake"), mistakes, TD_MISTAKES_KEPT);
	while (f < nfaults || m < nmistakes) {
		int fault = f < nfaults && (m >= nmistakes || is_earlier(&list[f], &mistakes[m]));

		json_array_append_new(all, td__report_fault(s->dir, s->module, fault ? &list[f++] : &mistakes[m++]));
	}
	free(list);
	return json_pack("{s:b, s:o}", "ok", 1, "faults", all);
}

static json_t *set_level(struct td__server *s, json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "level"));
	char why[TD__CLI_WHY] = "";
	struct td_status before;
	struct td_level level;
	uint64_t pause = 0;
	int err;

	if (!text)
		return refuse(EINVAL, "the request names no level");
	td_get_status(s->fs, &before);
	err = td__auto_set_level(s, text, &level, &pause, why, sizeof(why));
	if (err)
		return refuse(-err, why[0] ? why : strerror(-err));
	return json_pack("{s:b, s:s, s:s, s:o}", "ok", 1, "from",
			 before.level.name[0] ? before.level.name : "detached", "to", level.name,
			 "pause_ns", td__cli_json_number(pause));
}

json_t *td__answer(struct td__server *s, json_t *request, bool *leave)
{
	const char *what = json_string_value(json_object_get(request, "do"));

	if (!what)
		return refuse(EINVAL, "the request does not say what to do");
	if (!strcmp(what, "status"))
		return status(s, request);
	if (!strcmp(what, "faults"))
		return faults(s, request);
	if (!strcmp(what, "level"))
		return set_level(s, request);
	if (!strcmp(what, "leave")) {
		*leave = true;
		if (json_is_true(json_object_get(request, "force")))
			td_cut(s->fs);
		return json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid());
	}
	return refuse(EINVAL, "the request is none that this server knows");
}
