/* SPDX-License-Identifier: BSD-2-Clause */
/* What a campaign has found, as a table and as JSON. */
#include "lab.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

void lab_row_add(struct lab_row *row, const struct lab_result *r)
{
	row->trials++;
	row->survived += !r->died;
	row->detected += r->detected;
	row->recovered += r->verdict == LAB_RECOVERED;
	row->nothing += r->verdict == LAB_NOTHING;
	row->ended += r->verdict == LAB_ENDED;
	row->wrong += r->verdict == LAB_WRONG;
	row->lost += r->verdict == LAB_LOST;
	row->refused += r->refused;
	row->diverged += r->diverged != 0;
	row->breached += r->breached;
	row->mistakes += r->careless;
	if (!r->detected)
		return;
	if (r->fault < TD_FAULT_KINDS)
		row->by_fault[r->fault]++;
	if (row->ncalls == row->room) {
		uint64_t room = row->room ? 2 * row->room : 64, *calls = realloc(row->calls, room * sizeof(*calls)),
			 *recovery = realloc(row->recovery, room * sizeof(*recovery));

		if (!calls || !recovery)
			exit(1);
		row->calls = calls;
		row->recovery = recovery;
		row->room = room;
	}
	row->recovery[row->ncalls] = r->recovery_ns;
	row->calls[row->ncalls++] = r->calls;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The value that this part of them (in hundredths) does not exceed. */
static uint64_t quantile(uint64_t *list, uint64_t n, uint32_t hundredths)
{
	if (!n)
		return 0;
	qsort(list, n, sizeof(*list), by_number);
	return list[(n - 1) * hundredths / 100];
}

/* ---- Text */

static void text_row(const char *name, const struct lab_row *r, FILE *to)
{
	fprintf(to, "%-16s %7llu %8llu %8llu %9llu %7llu %6llu %6llu %8llu", name, (unsigned long long)r->trials,
		(unsigned long long)r->survived, (unsigned long long)r->detected, (unsigned long long)r->recovered,
		(unsigned long long)r->nothing, (unsigned long long)r->wrong, (unsigned long long)r->lost, (unsigned long long)r->breached);
	if (r->ncalls)
		fprintf(to, " %6llu %6llu", (unsigned long long)quantile(r->calls, r->ncalls, 50), (unsigned long long)quantile(r->calls, r->ncalls, 99));
	fprintf(to, "\n");
}

void lab_report_text(const struct lab_campaign *c, const struct lab_row *rows, const struct lab_row *sum, FILE *to)
{
	fprintf(to, "\n%s at %s, seed %llu, %.0f s\n\n", c->module, c->level, (unsigned long long)c->seed, c->seconds);
	fprintf(to, "%-16s %7s %8s %8s %9s %7s %6s %6s %8s %13s\n", "fault", "trials", "survived", "detected", "recovered", "nothing", "wrong",
		"lost", "breached", "calls 50% 99%");
	for (uint32_t k = 0; lab_kinds[k].name; k++)
		if (rows[k].trials)
			text_row(lab_kinds[k].name, &rows[k], to);
	text_row("all", sum, to);
	fprintf(to, "\nfound as:");
	for (uint32_t f = 0; f < TD_FAULT_KINDS; f++)
		if (sum->by_fault[f])
			fprintf(to, " %s %llu;", f ? td_fault_names[f] : "not started", (unsigned long long)sum->by_fault[f]);
	fprintf(to, "\nanswered otherwise than the good module, at least once: %llu\n", (unsigned long long)sum->diverged);
}

void lab_report_trial(const char *id, const struct lab_result *r, FILE *to)
{
	fprintf(to, "%s: %s\n", id, lab_verdict_names[r->verdict]);
	fprintf(to, "  change      %s%s\n", r->site, r->lasting ? " (in the file: restarts have it, too)" : "");
	if (r->died)
		fprintf(to, "  host        %s during %s\n", r->died == LAB_HUNG ? "hung" : strsignal((int)r->died), lab_stages[r->stage]);
	if (r->detected)
		fprintf(to, "  detected    after %llu calls: %s (faults in all: %u)%s\n", (unsigned long long)r->calls, r->fault_text, r->faults,
			r->detached ? "; the module was detached" : "");
	if (r->careless)
		fprintf(to, "  mistakes    %u\n", r->careless);
	if (r->divergence[0])
		fprintf(to, "  divergence  %s\n", r->divergence);
	if (r->evidence[0])
		fprintf(to, "  evidence    %s\n", r->evidence);
	fprintf(to, "  operations  %llu, of which failed with EIO %llu\n", (unsigned long long)r->operations, (unsigned long long)r->failed);
}

/* ---- JSON */

/* Each of them stands there, too: so the reports of a campaign's parts can be put together. */
static json_t *json_numbers(uint64_t *list, uint64_t n)
{
	json_t *o = json_pack("{s:I s:I s:[]}", "median", (json_int_t)quantile(list, n, 50), "p99", (json_int_t)quantile(list, n, 99), "each");

	for (uint64_t i = 0; i < n; i++)
		json_array_append_new(json_object_get(o, "each"), json_integer((json_int_t)list[i]));
	return o;
}

static json_t *json_row(const struct lab_row *r)
{
	json_t *faults = json_object();

	for (uint32_t f = 0; f < TD_FAULT_KINDS; f++)
		if (r->by_fault[f])
			json_object_set_new(faults, f ? td_fault_names[f] : "not started", json_integer((json_int_t)r->by_fault[f]));
	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:o s:o s:o}", "trials", (json_int_t)r->trials, "survived",
			 (json_int_t)r->survived, "detected", (json_int_t)r->detected, "recovered", (json_int_t)r->recovered, "wrong",
			 (json_int_t)r->wrong, "lost", (json_int_t)r->lost, "nothing", (json_int_t)r->nothing, "ended",
			 (json_int_t)r->ended, "refused", (json_int_t)r->refused, "diverged", (json_int_t)r->diverged, "breached",
			 (json_int_t)r->breached, "mistakes", (json_int_t)r->mistakes, "found_as", faults, "calls_until_detection",
			 json_numbers(r->calls, r->ncalls), "recovery_ns", json_numbers(r->recovery, r->ncalls));
}

void lab_report_json(const struct lab_campaign *c, const struct lab_row *rows, const struct lab_row *sum, FILE *to)
{
	json_t *root = json_row(sum), *kinds = json_array();

	json_object_set_new(root, "module", json_string(c->module));
	json_object_set_new(root, "level", json_string(c->level));
	json_object_set_new(root, "seed", json_integer((json_int_t)c->seed));
	json_object_set_new(root, "seconds", json_real(c->seconds));
	for (uint32_t k = 0; lab_kinds[k].name; k++) {
		json_t *row;

		if (!rows[k].trials)
			continue;
		row = json_row(&rows[k]);
		json_object_set_new(row, "kind", json_string(lab_kinds[k].name));
		json_object_set_new(row, "class", json_string(lab_kinds[k].class == LAB_PLANTED ? "planted" :
							      lab_kinds[k].class == LAB_MACHINE ? "machine" : "none"));
		json_object_set_new(row, "about", json_string(lab_kinds[k].about));
		json_array_append_new(kinds, row);
	}
	json_object_set_new(root, "kinds", kinds);
	json_object_set(root, "bad", c->bad);
	json_dumpf(root, to, JSON_INDENT(2));
	fprintf(to, "\n");
	json_decref(root);
}

/* A string of what a bad module may have had a hand in, and JSON wants text. */
static json_t *text(const char *from)
{
	char to[LAB_TEXT];
	size_t n = 0;

	for (; from[n] && n < sizeof(to) - 1; n++)
		to[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?';
	to[n] = 0;
	return json_string(to);
}

json_t *lab_report_json_trial(const char *id, const struct lab_result *r)
{
	return json_pack("{s:s s:s s:o s:b s:o s:I s:b s:i s:b s:i s:o s:o s:I s:I}", "id", id, "verdict", lab_verdict_names[r->verdict],
			 "change", text(r->site), "detected", (int)r->detected, "fault", text(r->fault_text), "calls_until_detection",
			 (json_int_t)r->calls, "lasting", (int)r->lasting, "faults", (int)r->faults, "breached", (int)r->breached, "died",
			 (int)r->died, "divergence", text(r->divergence), "evidence", text(r->evidence), "operations", (json_int_t)r->operations,
			 "failed", (json_int_t)r->failed);
}
