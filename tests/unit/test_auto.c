/* SPDX-License-Identifier: BSD-2-Clause */
/* The level auto: its rule, and the file in which it is remembered what builds have earned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../cli/auto.h"

enum { ISOLATED, SANDBOXED, WALLED, GUARDED, TRUSTED };

static struct td_auto a;
static struct td_auto_seen now;

static void begin(const char *text, struct td_auto_record record)
{
	struct td_auto_rule rule;
	char why[256];

	if (td_auto_parse(text, &rule, why, sizeof(why)))
		fail_msg("%s", why);
	now = (struct td_auto_seen){ 0 };
	td_auto_begin(&a, &rule, &record, &now);
}

/* So many clean calls and seconds; then it moves if it wants to. Returns where it is. */
static uint32_t work(uint64_t calls, uint64_t seconds)
{
	uint32_t to;

	now.calls += calls;
	now.now_ms += seconds * 1000;
	to = td_auto_wants(&a, &now);
	if (to != a.at)
		td_auto_moved(&a, to, &now);
	return a.at;
}

static uint32_t fault(void)
{
	now.faults++;
	return work(1, 0);
}

static void test_way_down(void **state)
{
	(void)state;
	begin("auto,floor=guarded,clean=100/10s", (struct td_auto_record){ 0 });
	assert_int_equal(work(99, 60), ISOLATED);
	assert_int_equal(work(1, 0), SANDBOXED);
	assert_int_equal(work(1000, 9), SANDBOXED);
	assert_int_equal(work(0, 1), WALLED);
	assert_int_equal(work(100, 10), GUARDED);
	assert_int_equal(work(1000000, 1000000), GUARDED);
	begin("auto,clean=1/1s", (struct td_auto_record){ 0 });
	for (int i = 0; i < 10; i++)
		assert_true(work(10, 10) <= WALLED); /* below a wall only who says so */
	assert_int_equal(a.at, WALLED);
}

static void test_faults(void **state)
{
	(void)state;
	begin("auto,floor=trusted,clean=100/10s", (struct td_auto_record){ 0 });
	for (int i = 0; i < 3; i++)
		work(100, 10);
	assert_int_equal(a.at, GUARDED);
	assert_int_equal(fault(), WALLED);
	assert_int_equal(work(199, 20), WALLED); /* twice as much as before */
	assert_int_equal(work(1, 0), GUARDED);
	assert_int_equal(work(100, 10), TRUSTED); /* which has not faulted */
	assert_int_equal(fault(), GUARDED);
	assert_int_equal(fault(), WALLED);
	assert_int_equal(work(399, 40), WALLED);
	assert_int_equal(work(1, 0), GUARDED);
	for (int i = 0; i < 5; i++)
		fault();
	assert_int_equal(a.at, ISOLATED);
	assert_int_equal(a.record.earned, ISOLATED);
	assert_int_equal(a.record.faults[ISOLATED], 2);
}

static void test_mistakes(void **state)
{
	(void)state;
	begin("auto,clean=100/10s", (struct td_auto_record){ 0 });
	work(99, 60);
	now.mistakes++;
	assert_int_equal(work(1, 0), ISOLATED);
	assert_int_equal(work(99, 60), ISOLATED);
	assert_int_equal(work(1, 0), SANDBOXED);
}

/* Levels that cannot be had are passed over, in both directions. */
static void test_refused(void **state)
{
	(void)state;
	begin("auto,floor=guarded,clean=100/10s", (struct td_auto_record){ 0 });
	td_auto_refused(&a, SANDBOXED);
	td_auto_refused(&a, WALLED);
	assert_int_equal(work(100, 10), GUARDED);
	assert_int_equal(fault(), ISOLATED);
}

static void test_memory(void **state)
{
	(void)state;
	begin("auto,floor=guarded,clean=100/10s", (struct td_auto_record){ WALLED, { 0, 0, 0, 2, 0 } });
	assert_int_equal(work(0, 0), SANDBOXED);
	assert_int_equal(work(0, 0), WALLED);
	assert_int_equal(work(399, 40), WALLED);
	assert_int_equal(work(1, 0), GUARDED);
	begin("auto,floor=sandboxed", (struct td_auto_record){ GUARDED, { 0 } }); /* the floor counts */
	work(0, 0);
	work(1000000, 1000000);
	assert_int_equal(a.at, SANDBOXED);
	begin("auto", (struct td_auto_record){ 77, { 0 } });
	assert_int_equal(work(0, 0), ISOLATED);
}

static void test_text(void **state)
{
	static const char *const wrong[][2] = {
		{ "auto,floor=cellar", "floor is" },	 { "auto,clean=5", "clean is" },	   { "auto,clean=5/5", "clean is" },
		{ "auto,clean=/5s", "clean is" },	 { "auto,clean=5/s", "clean is" },	   { "auto,time=never", "time is" },
		{ "auto,floor=trusted,time=5h", "time" }, { "auto,floor=guarded,shared=ro", "shared" },
	};
	struct td_auto_rule rule;
	char why[256], text[300];

	(void)state;
	assert_true(td_auto_is("auto") && td_auto_is("auto,floor=guarded") && !td_auto_is("automatic") && !td_auto_is("aut"));
	assert_int_equal(td_auto_parse("auto,memory=1G,clean=7/8s,deadlock=1s", &rule, why, sizeof(why)), 0);
	assert_true(rule.calls == 7 && rule.seconds == 8 && rule.floor == WALLED);
	td_auto_level(&rule, ISOLATED, text, sizeof(text));
	assert_string_equal(text, "isolated,memory=1G,deadlock=1s");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!td_auto_parse(wrong[i][0], &rule, why, sizeof(why)) || !strstr(why, wrong[i][1]))
			fail_msg("'%s' is answered with: %s", wrong[i][0], why);
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "auto,", 5);
	text[299] = 0;
	assert_int_not_equal(td_auto_parse(text, &rule, why, sizeof(why)), 0);
}

/* ---- The file */

static char folder[64], path[80];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/tadan-auto.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	strcat(folder, "/deep/er");
	snprintf(path, sizeof(path), "%s/auto", folder);
	return setenv("TADAN_STATE_DIR", folder, 1);
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	folder[strlen(folder) - strlen("/deep/er")] = 0;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void save(uint64_t build, uint32_t earned)
{
	struct td_auto_record r = { earned, { 1, 2, 3, 4, (uint32_t)build } };
	char why[256];

	if (td__auto_save(build, &r, why, sizeof(why)))
		fail_msg("%s", why);
}

static void test_file(void **state)
{
	struct td_auto_record r;

	(void)state;
	td__auto_load(7, &r);
	assert_true(!r.earned && !r.faults[0]);
	for (uint64_t build = 0; build < TD__AUTO_BUILDS + 10; build++)
		save(build, build % TD_AUTO_LEVELS);
	td__auto_load(9, &r);
	assert_int_equal(r.faults[4], 0); /* one of the oldest */
	td__auto_load(10, &r);
	assert_true(r.earned == 0 && r.faults[4] == 10);
	save(11, GUARDED); /* is new again */
	save(5000, 1);
	td__auto_load(11, &r);
	assert_int_equal(r.earned, GUARDED);
	td__auto_load(10, &r);
	assert_int_equal(r.faults[4], 0);
}

static void test_damage(void **state)
{
	static const char *const lines[] = { "", "nonsense\n", "12 9 0 0 0 0 0\n", "12 1 0 0\n", "12 1 0 0 0 0 0 0\n",
					     "12 1 0 0 0 0 -5x\n", "\xff\xfe\x01\n", "12 1 0 0 0 0" };
	struct td_auto_record r;

	(void)state;
	save(1, GUARDED);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		FILE *f = fopen(path, "w");

		fprintf(f, "%s0000000000000077 2 0 1 0 0 0\n", lines[i]);
		fclose(f);
		td__auto_load(0x12, &r);
		assert_int_equal(r.earned, 0);
		save(1, WALLED);
		td__auto_load(1, &r);
		assert_int_equal(r.earned, WALLED);
	}
	unlink(path);
	mkdir(path, 0700);
	td__auto_load(1, &r);
	assert_int_equal(r.earned, 0);
	char why[256];
	assert_true(td__auto_save(1, &r, why, sizeof(why)) < 0 && strstr(why, "TADAN_STATE_DIR"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_way_down), cmocka_unit_test(test_faults), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_refused),	 cmocka_unit_test(test_memory), cmocka_unit_test(test_text),
		cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_damage, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
