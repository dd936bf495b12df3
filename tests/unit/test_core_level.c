/* SPDX-License-Identifier: BSD-2-Clause */
/* Levels as text: what is read can be written and read again; a wrong word is named, with what there is. */
#include "test_core_fake.h"

static char why[300];

static int parse(const char *text, struct td_level *l)
{
	return td_level_parse(text, l, why, sizeof(why));
}

static void test_names(void **state)
{
	(void)state;
	for (const struct td_level_about *a = td_levels; a->name; a++) {
		struct td_level l, again;
		char text[300], whole[400];

		assert_int_equal(parse(a->name, &l), 0);
		assert_string_equal(l.name, a->name);
		td_level_format(&l, text, sizeof(text));
		snprintf(whole, sizeof(whole), "trusted,%s", text);
		assert_int_equal(parse(whole, &again), 0);
		assert_string_equal(again.name, "trusted*");
		memcpy(again.name, l.name, sizeof(l.name));
		assert_memory_equal(&again, &l, sizeof(l));
	}
}

static void test_knobs(void **state)
{
	struct td_level l;

	(void)state;
	assert_int_equal(parse("isolated,journal=locks,deadlock=1500ms,resolve=revoke,time=2s,memory=1G,handles=off,restart=5/60s", &l), 0);
	assert_string_equal(l.name, "isolated*");
	assert_int_equal(l.wall, TD_WALL_PROCESS);
	assert_int_equal(l.journal, TD_JOURNAL_LOCKS);
	assert_int_equal(l.deadlock_ms, 1500);
	assert_int_equal(l.resolve, TD_RESOLVE_REVOKE);
	assert_int_equal(l.time_ms, 2000);
	assert_int_equal(l.most_ms, 24000);
	assert_true(l.memory == 1ull << 30);
	assert_int_equal(l.handles, 0);
	assert_int_equal(l.restarts, 5);
	assert_int_equal(l.restart_s, 60);
	assert_int_equal(parse("guarded,restart=never", &l), 0);
	assert_int_equal(l.restarts, 0);
}

/* Every combination of some values, through text and back. */
static void test_round_trips(void **state)
{
	static const char *const values[][3] = { { "journal=off", "journal=locks", "journal=all" },
						 { "check=off", "check=shallow", "check=deep" },
						 { "shared=rw", "shared=ro", "shared=unmapped" },
						 { "deadlock=off", "deadlock=1ms", "deadlock=3600s" },
						 { "time=off", "time=1ms/1ms", "time=1001ms" },
						 { "undo=64K,calls=1", "cpu=1%,calls=48", "cpu=10000%,mistakes=0,undo=1G" },
						 { "memory=64K", "memory=1024G", "memory=65M" },
						 { "handles=off", "handles=1", "handles=4294967295" },
						 { "resolve=abort", "resolve=revoke", "resolve=abort" },
						 { "restart=never", "restart=1/1s", "restart=1000000/86400s" } };
	enum { KNOBS = sizeof(values) / sizeof(values[0]) };

	(void)state;
	for (uint32_t n = 0; n < 59049; n++) {
		char text[400] = "isolated", formatted[300], whole[400];
		struct td_level l, again;
		size_t length;

		for (uint32_t k = 0, rest = n; k < KNOBS; k++, rest /= 3) {
			strcat(text, ",");
			strcat(text, values[k][rest % 3]);
		}
		assert_int_equal(parse(text, &l), 0);
		length = td_level_format(&l, formatted, sizeof(formatted));
		assert_int_equal(length, strlen(formatted));
		snprintf(whole, sizeof(whole), "isolated,%s", formatted);
		assert_int_equal(parse(whole, &again), 0);
		if (!l.restarts)
			again.restart_s = l.restart_s; /* says nothing then */
		assert_memory_equal(&again, &l, sizeof(l));
	}
}

static void test_wrong_words(void **state)
{
	/* The text, the word that is complained about, and a word of the remedy. */
	static const char *const wrong[][3] = {
		{ "", "''", "trusted" },
		{ "safe", "'safe'", "guarded" },
		{ "guarded,", 0, 0 }, /* nothing more is said, so nothing is wrong */
		{ "guarded,journal", "'journal'", "knob=value" },
		{ "guarded,journal=some", "'journal=some'", "locks" },
		{ "guarded,wall=glass", "'wall=glass'", "process" },
		{ "guarded,trap=1", "'trap=1'", "on or off" },
		{ "isolated,shared=no", "'shared=no'", "unmapped" },
		{ "guarded,check=all", "'check=all'", "shallow" },
		{ "guarded,deadlock=1", "'deadlock=1'", "100ms" },
		{ "guarded,deadlock=0ms", "'deadlock=0ms'", "off" },
		{ "guarded,resolve=kill", "'resolve=kill'", "revoke" },
		{ "guarded,time=5h", "'time=5h'", "500ms" },
		{ "guarded,time=99999999999999999999s", "'time=", "limit" },
		{ "guarded,time=5s/1s", "'time=5s/1s'", "in all" },
		{ "guarded,time=off/1s", "'time=off/1s'", "in all" },
		{ "guarded,time=5s/", "'time=5s/'", "in all" },
		{ "guarded,undo=2G", "'undo=2G'", "1G" },
		{ "guarded,calls=0", "'calls=0'", "48" },
		{ "guarded,calls=49", "'calls=49'", "48" },
		{ "guarded,cpu=50", "'cpu=50'", "50%" },
		{ "guarded,cpu=0%", "'cpu=0%'", "off" },
		{ "guarded,mistakes=few", "'mistakes=few'", "number" },
		{ "guarded,memory=1K", "'memory=1K'", "64K" },
		{ "guarded,memory=1025G", "'memory=1025G'", "1024G" },
		{ "guarded,memory=M", "'memory=M'", "64M" },
		{ "guarded,handles=many", "'handles=many'", "number" },
		{ "guarded,handles=4294967296", "'handles=4294967296'", "number" },
		{ "guarded,restart=5", "'restart=5'", "N/TIME" },
		{ "guarded,restart=0/1s", "'restart=0/1s'", "never" },
		{ "guarded,restart=5/1h", "'restart=5/1h'", "N/TIME" },
		{ "guarded,speed=high", "'speed=high'", "the knobs are" },
		{ "guarded,,check=off", "''", "knob=value" },
		{ "guarded,shared=ro", "wall=none", "pkey" },
		{ "trusted,time=1s", "time limit", "trap=on" },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct td_level l;
		int err = parse(wrong[i][0], &l);

		assert_int_equal(err, wrong[i][1] ? -TD_EINVAL : 0);
		if (wrong[i][1] && (!strstr(why, wrong[i][1]) || !strstr(why, wrong[i][2])))
			fail_msg("'%s' is answered with: %s", wrong[i][0], why);
	}
}

/* Whatever the room, the answers are ended and stay within. */
static void test_room(void **state)
{
	struct td_level l;
	char text[400];

	(void)state;
	for (size_t room = 0; room < 200; room++) {
		memset(text, '#', sizeof(text));
		assert_int_equal(td_level_parse("guarded,journal=some", &l, text, room), -TD_EINVAL);
		assert_int_equal(text[room], '#');
		assert_true(!room || memchr(text, 0, room));
		assert_int_equal(parse("isolated", &l), 0);
		memset(text, '#', sizeof(text));
		assert_true(td_level_format(&l, text, room) > 100);
		assert_int_equal(text[room], '#');
		assert_true(!room || memchr(text, 0, room));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_knobs), cmocka_unit_test(test_round_trips),
					    cmocka_unit_test(test_wrong_words), cmocka_unit_test(test_room) };

	return cmocka_run_group_tests(tests, 0, 0);
}
