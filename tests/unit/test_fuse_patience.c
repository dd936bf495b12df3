/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The FUSE front end: how a worker waits for the next request (patience.c), by requests that take as long as the test says, each way; and
 * to follow a client (follow.c), which is a thread of the test's own.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../front/fuse/front.h"

static struct td_fuse front;
static struct td__fuse_worker worker;
static int has_process;

/* A request waits in the channel, which the test has none of. */
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	(void)fds;
	(void)timeout;
	return (int)n;
}

int fuse_session_fd(struct fuse_session *session)
{
	(void)session;
	return -1;
}

int td_fs_has_process(struct td__fs *fs)
{
	(void)fs;
	return has_process;
}

/* Two cores, whatever this machine has; they may be one. */
static int begin(void **state)
{
	(void)state;
	memset(&worker, 0, sizeof(worker));
	worker.front = &front;
	worker.tid = gettid();
	front.workers = &worker;
	front.nworkers = 1;
	front.cores = 2;
	has_process = 0;
	atomic_store(&front.readers, 1);
	atomic_store(&front.client, gettid());
	return sched_getaffinity(0, sizeof(front.allowed), &front.allowed);
}

static int alone(void **state)
{
	int err = begin(state);

	td__fuse_follow_init(&front, 0);
	return err;
}

static int with_follow(void **state)
{
	int err = begin(state);

	td__fuse_follow_init(&front, 1);
	return err;
}

static int end(void **state)
{
	(void)state;
	td__fuse_begin_anew(&front, &worker);
	pthread_mutex_destroy(&front.moving);
	return 0;
}

static int64_t clock_ns;

/* The front end's: to look takes a microsecond, and all else what the test says. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	(void)clock;
	clock_ns += 500;
	*t = (struct timespec){ .tv_sec = clock_ns / 1000000000, .tv_nsec = clock_ns % 1000000000 };
	return 0;
}

static void take(long us)
{
	clock_ns += us * 1000;
}

struct counts {
	int looked, followed;
};

/* Of so many requests, if one takes so long by each of the ways, and comes in time. */
static struct counts serve(int requests, long asleep_us, long look_us, long follow_us)
{
	struct counts n = { 0 };

	while (requests--) {
		if (td__fuse_spins(&front, &worker)) {
			td__fuse_spin_won(&worker);
			take(look_us);
			n.looked++;
		} else if (atomic_load(&worker.follows)) {
			take(follow_us);
			n.followed++;
		} else {
			take(asleep_us);
		}
	}
	return n;
}

static void what_is_faster_stays(void **state)
{
	(void)state;
	assert_in_range(serve(600, 200, 20, 0).looked, 500, 570);
}

static void what_is_not_faster_is_tried_only(void **state)
{
	(void)state;
	assert_in_range(serve(600, 20, 200, 0).looked, 1, 20);
}

static void trying_becomes_rare(void **state)
{
	(void)state;
	serve(30000, 10, 50, 0);
	assert_in_range(serve(8000, 10, 50, 0).looked, 0, 40);
}

/* Work that takes longer than it did is tried the other ways at once. */
static void a_change_is_noticed(void **state)
{
	(void)state;
	serve(10000, 10, 50, 0);
	assert_in_range(serve(1000, 200, 20, 0).looked, 600, 1000);
}

/* A worker that sleeps in the end, some times. */
static void missing_ends_it(void **state)
{
	int n = 0;

	(void)state;
	assert_in_range(serve(200, 200, 20, 0).looked, 60, 140);
	for (; td__fuse_spins(&front, &worker); n++)
		while (td__fuse_spin_on(&front, &worker))
			;
	assert_in_range(n, 1, 5);
	assert_int_equal(serve(300, 20, 20, 0).looked, 0);
}

static void all_sleep_where_several_read(void **state)
{
	struct counts n;

	(void)state;
	serve(300, 200, 200, 20);
	atomic_store(&front.readers, 2);
	n = serve(1000, 2, 1, 1);
	assert_int_equal(n.looked + n.followed, 0);
}

static void everybody_has_a_core(void **state)
{
	(void)state;
	front.cores = 1;
	assert_int_equal(serve(1000, 2, 1, 1).looked, 0);
	begin(state);
	has_process = 1;
	assert_int_equal(serve(1000, 2, 1, 1).looked, 0);
	begin(state);
	front.cores = 3;
	has_process = 1;
	assert_in_range(serve(600, 200, 20, 0).looked, 500, 570);
}

static int current_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? -1 : CPU_COUNT(&set);
}

static void skip_without_right(void)
{
	if (!front.may_follow || CPU_COUNT(&front.allowed) < 2) {
		print_message("nobody can follow here: more than one core, the policy SCHED_OTHER, and CAP_SYS_NICE are needed\n");
		skip();
	}
}

static void a_client_is_followed(void **state)
{
	(void)state;
	skip_without_right();
	assert_in_range(serve(600, 200, 200, 20).followed, 500, 570);
	assert_int_equal(current_cores(), 1);
	assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
	atomic_store(&front.readers, 2);
	td__fuse_spins(&front, &worker);
	assert_int_equal(current_cores(), CPU_COUNT(&front.allowed));
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

/* Where it is as fast to sleep, and where it is much faster. */
static void a_tie_is_for_following(void **state)
{
	(void)state;
	skip_without_right();
	assert_in_range(serve(600, 100, 100, 105).followed, 400, 570);
	end(state);
	with_follow(state);
	assert_in_range(serve(600, 50, 200, 200).followed, 1, 40);
}

static void a_client_unknown_is_not_followed(void **state)
{
	(void)state;
	atomic_store(&front.client, 0x7ffffff0);
	assert_int_equal(serve(600, 200, 200, 20).followed, 0);
	assert_int_equal(current_cores(), CPU_COUNT(&front.allowed));
}

/* They are followed again soon after. */
static void rows_of_large_reads_are_not_followed(void **state)
{
	static struct {
		struct fuse_in_header in;
		struct fuse_read_in read;
	} large = { .in.opcode = FUSE_READ, .read.size = 128 << 10 };

	(void)state;
	skip_without_right();
	assert_true(serve(300, 100, 100, 20).followed > 100);
	worker.request.mem = &large;
	serve(40, 100, 100, 20);
	assert_int_equal(serve(500, 100, 100, 20).followed, 0);
	worker.request.mem = NULL;
	assert_true(serve(300, 100, 100, 20).followed > 200);
}

static void no_other_core_is_taken(void **state)
{
	(void)state;
	CPU_ZERO(&front.allowed);
	assert_int_equal(serve(600, 200, 200, 20).followed, 0);
}

/* Then it is tried again, but not soon. */
static void serve_sets_free(void **state)
{
	(void)state;
	skip_without_right();
	assert_true(serve(300, 100, 100, 20).followed > 100);
	td__fuse_free_followers(&front);
	assert_int_equal(current_cores(), CPU_COUNT(&front.allowed));
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	assert_int_equal(serve(300, 20, 200, 20).followed, 0);
}

/* By somebody who gave us one core while we were followers: that core stays. */
static void other_hands_win(void **state)
{
	cpu_set_t theirs, now;

	(void)state;
	skip_without_right();
	assert_true(serve(300, 100, 100, 20).followed > 100);
	CPU_ZERO(&theirs);
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET(core, &front.allowed) && core != worker.core)
			CPU_SET(core, &theirs);
	assert_int_equal(sched_setaffinity(0, sizeof(theirs), &theirs), 0);
	td__fuse_begin_anew(&front, &worker);
	assert_int_equal(serve(600, 200, 200, 20).followed, 0);
	sched_getaffinity(0, sizeof(now), &now);
	assert_true(CPU_EQUAL(&now, &theirs));
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	sched_setaffinity(0, sizeof(front.allowed), &front.allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_faster_stays, alone, end),
		cmocka_unit_test_setup_teardown(what_is_not_faster_is_tried_only, alone, end),
		cmocka_unit_test_setup_teardown(trying_becomes_rare, alone, end),
		cmocka_unit_test_setup_teardown(a_change_is_noticed, alone, end),
		cmocka_unit_test_setup_teardown(missing_ends_it, alone, end),
		cmocka_unit_test_setup_teardown(all_sleep_where_several_read, with_follow, end),
		cmocka_unit_test_setup_teardown(everybody_has_a_core, alone, end),
		cmocka_unit_test_setup_teardown(a_client_is_followed, with_follow, end),
		cmocka_unit_test_setup_teardown(a_tie_is_for_following, with_follow, end),
		cmocka_unit_test_setup_teardown(a_client_unknown_is_not_followed, with_follow, end),
		cmocka_unit_test_setup_teardown(rows_of_large_reads_are_not_followed, with_follow, end),
		cmocka_unit_test_setup_teardown(no_other_core_is_taken, with_follow, end),
		cmocka_unit_test_setup_teardown(serve_sets_free, with_follow, end),
		cmocka_unit_test_setup_teardown(other_hands_win, with_follow, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
