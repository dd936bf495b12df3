/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of modules: threads that wait for each other on purpose. Each is a call of one operation, which takes its locks in the order
 * of a script; all have taken their first before anybody takes a second. The call with the shortest journal gives way and is made
 * again; nobody hangs.
 */
#include <pthread.h>
#include <unistd.h>

#include "fs_gateway.h"
#include "test_core_fake.h"

enum { STEPS = 4, ACTORS = 4, UNLOCK = 0x100, GUARDED = 8 };

struct step {
	uint32_t lock, mode; /* mode 0: the end; UNLOCK: give it back */
};

struct actor {
	struct step steps[STEPS];
	uint32_t entries; /* of its journal */
	uint32_t attempts;
	int seen;   /* the first error of a lock */
	int result; /* of the call */
	pthread_t thread;
	struct td__fs *fs;
};

static pthread_barrier_t all_have_one;
static uint64_t guarded[GUARDED]; /* what lock n guards */
static _Thread_local struct actor *self;

static int act(struct td__call *c)
{
	struct td_frame_statfs *f = (void *)c->frame;

	self->attempts++;
	for (uint32_t i = 0; i < self->entries; i++)
		td__svc_do_discard(c, 0, 0);
	for (int i = 0; i < STEPS && self->steps[i].mode; i++) {
		const struct step *s = &self->steps[i];
		int err = s->mode == UNLOCK ? td__svc_do_unlock(c, s->lock) : td__svc_do_lock(c, s->lock, s->mode);

		if (err && !self->seen)
			self->seen = err;
		if (err)
			return err;
		if (!i && self->attempts == 1)
			pthread_barrier_wait(&all_have_one);
	}
	f->info = c->fs->info;
	return 0;
}

static void *run(void *arg)
{
	struct td_fsinfo info;

	self = arg;
	self->result = td__fs_statfs(self->fs, &info);
	return 0;
}

/* Let them all go. Afterwards no lock is taken and nobody waits. */
static void play(struct td__fs *fs, struct actor *actors, int n)
{
	alarm(20);
	pthread_barrier_init(&all_have_one, 0, (unsigned int)n);
	for (int i = 0; i < n; i++) {
		actors[i].fs = fs;
		pthread_create(&actors[i].thread, 0, run, &actors[i]);
	}
	for (int i = 0; i < n; i++)
		pthread_join(actors[i].thread, 0);
	pthread_barrier_destroy(&all_have_one);
	alarm(0);
	for (int i = 0; i < TD_LOCK_MAX; i++)
		assert_true(!fs->locks.word[i]);
	assert_int_equal(fs->locks.waiting, 0);
}

static int setup(void **state)
{
	memset(fake_ops, 0, sizeof(fake_ops));
	fake_ops[TD_OP_statfs] = act;
	*state = fake_mount("guarded,deadlock=10ms");
	return 0;
}

static int teardown(void **state)
{
	return td_unmount(*state);
}

static int setup_revoke(void **state)
{
	memset(fake_ops, 0, sizeof(fake_ops));
	fake_ops[TD_OP_statfs] = act;
	*state = fake_mount("guarded,deadlock=10ms,resolve=revoke");
	return 0;
}

static uint64_t resolved(struct td__fs *fs)
{
	struct td_status s;

	td_get_status(fs, &s);
	return s.deadlocks;
}

static void test_two(void **state)
{
	for (uint32_t victim = 0; victim < 2; victim++) {
		struct actor a[2] = { { .steps = { { 1, TD_EXCLUSIVE }, { 2, TD_EXCLUSIVE } }, .entries = 5 },
				      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_EXCLUSIVE } }, .entries = 5 } };

		a[victim].entries = 2;
		play(*state, a, 2);
		assert_true(!a[0].result && !a[1].result);
		assert_int_equal(a[victim].attempts, 2);
		assert_int_equal(a[victim].seen, -TD_EDEADLK);
		assert_int_equal(a[!victim].attempts, 1);
		assert_int_equal(a[!victim].seen, 0);
		assert_int_equal(resolved(*state), victim + 1);
	}
}

static void test_three(void **state)
{
	for (uint32_t victim = 0; victim < 3; victim++) {
		struct actor a[3] = { 0 };

		for (uint32_t i = 0; i < 3; i++) {
			a[i].steps[0] = (struct step){ 10 + i, TD_EXCLUSIVE };
			a[i].steps[1] = (struct step){ 10 + (i + 1) % 3, TD_EXCLUSIVE };
			a[i].entries = i == victim ? 1 : 4 + i;
		}
		play(*state, a, 3);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(a[i].result, 0);
			assert_int_equal(a[i].attempts, i == victim ? 2 : 1);
		}
	}
	assert_int_equal(resolved(*state), 3);
}

/* One who waits for a circle without being part of it is not chosen, though his journal is the shortest. */
static void test_onlooker(void **state)
{
	struct actor a[3] = { { .steps = { { 1, TD_EXCLUSIVE }, { 2, TD_EXCLUSIVE } }, .entries = 5 },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_EXCLUSIVE } }, .entries = 3 },
			      { .steps = { { 3, TD_EXCLUSIVE }, { 1, TD_SHARED } }, .entries = 0 } };

	play(*state, a, 3);
	assert_true(!a[0].result && !a[1].result && !a[2].result);
	assert_int_equal(a[0].attempts, 1);
	assert_int_equal(a[1].attempts, 2);
	assert_int_equal(a[2].attempts, 1);
}

/* Several share the lock that closes the circle; only one of them is in it. */
static void test_shared(void **state)
{
	struct actor a[3] = { { .steps = { { 1, TD_SHARED }, { 2, TD_SHARED } }, .entries = 5 },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_EXCLUSIVE } }, .entries = 3 },
			      { .steps = { { 1, TD_SHARED }, { 5, TD_SHARED } }, .entries = 0 } };

	play(*state, a, 3);
	assert_true(!a[0].result && !a[1].result && !a[2].result);
	assert_int_equal(a[0].attempts, 1);
	assert_int_equal(a[1].attempts, 2);
	assert_int_equal(a[2].attempts, 1);
	assert_int_equal(resolved(*state), 1);
}

/* Shared, given back, and wanted exclusively: all may do so at once, since nothing was changed in between. */
static void test_upgrade(void **state)
{
	struct actor a[ACTORS];

	for (int i = 0; i < ACTORS; i++)
		a[i] = (struct actor){ .steps = { { 4, TD_SHARED }, { 4, UNLOCK }, { 4, TD_EXCLUSIVE } } };
	play(*state, a, ACTORS);
	for (int i = 0; i < ACTORS; i++)
		assert_true(!a[i].result && a[i].attempts == 1);
	assert_int_equal(resolved(*state), 0);
}

/* Twice without giving back is the module's mistake: told at once, and counted. */
static void test_twice(void **state)
{
	struct actor a[1] = { { .steps = { { 4, TD_SHARED }, { 4, TD_EXCLUSIVE } } } };
	struct td_status before, after;

	td_get_status(*state, &before);
	play(*state, a, 1);
	td_get_status(*state, &after);
	assert_int_equal(a[0].seen, -TD_EDEADLK);
	assert_int_equal(a[0].attempts, 1);
	assert_true(after.careless > before.careless);
}

static void test_try(void **state)
{
	struct actor a[2] = { { .steps = { { 1, TD_EXCLUSIVE }, { 2, TD_EXCLUSIVE | TD_TRY } } },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_EXCLUSIVE } } } };

	play(*state, a, 2);
	assert_true(a[0].seen == -TD_EAGAIN || a[0].seen == 0); /* 0: the other one has finished */
	assert_int_equal(a[1].result, 0);
	assert_int_equal(resolved(*state), 0);
}

static void test_wrong(void **state)
{
	static const struct step wrong[] = { { TD_LOCK_MAX, TD_SHARED }, { ~0u, TD_EXCLUSIVE }, { 1, 3 }, { 1, TD_TRY }, { 1, 8 } };

	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct actor a[1] = { { .steps = { wrong[i] } } };

		play(*state, a, 1);
		assert_int_equal(a[0].seen, -TD_EINVAL);
	}
}

/* Who only reads is lent what another holds and has not changed yet; both go on as if nothing had happened. */
static void test_lend(void **state)
{
	struct actor a[2] = { { .steps = { { 1, TD_EXCLUSIVE }, { 2, TD_EXCLUSIVE } } },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_SHARED } } } };

	play(*state, a, 2);
	for (int i = 0; i < 2; i++)
		assert_true(!a[i].result && !a[i].seen && a[i].attempts == 1);
	assert_int_equal(resolved(*state), 1);
}

/* What the module has given back is taken for good, if nothing was changed under it. */
static void test_given(void **state)
{
	struct actor a[2] = { { .steps = { { 1, TD_EXCLUSIVE }, { 1, UNLOCK }, { 2, TD_EXCLUSIVE } } },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 2, UNLOCK }, { 1, TD_EXCLUSIVE } } } };

	play(*state, a, 2);
	for (int i = 0; i < 2; i++)
		assert_true(!a[i].result && !a[i].seen && a[i].attempts == 1);
	assert_int_equal(resolved(*state), 1);
}

/* Where something was changed, or may be by who wants the lock, it is not taken: a call is aborted. */
static void test_changed(void **state)
{
	struct actor a[2] = { { .steps = { { 1, TD_EXCLUSIVE }, { 2, TD_EXCLUSIVE } }, .entries = 5 },
			      { .steps = { { 2, TD_EXCLUSIVE }, { 1, TD_EXCLUSIVE } }, .entries = 2 } };

	play(*state, a, 2);
	assert_true(!a[0].result && !a[1].result);
	assert_int_equal(a[0].attempts, 1);
	assert_int_equal(a[1].attempts, 2);
}

/*
 * A crowd takes two of three locks in any order, over and over, and adds one to what each of those guards that it has exclusively:
 * what it read before it took the second lock, plus one, after it.
 */
static int count(struct td__call *c)
{
	struct td_frame_statfs *f = (void *)c->frame;
	uint64_t before[2];

	self->attempts++;
	for (int i = 0; i < 2; i++) {
		int err = td__svc_do_lock(c, self->steps[i].lock, self->steps[i].mode);

		if (err)
			return err;
		before[i] = guarded[self->steps[i].lock];
	}
	if (c->aborted) /* else the kernel would undo what follows */
		return -TD_EDEADLK;
	td__svc_do_discard(c, 0, 0);
	for (int i = 0; i < 2; i++)
		if (self->steps[i].mode == TD_EXCLUSIVE)
			guarded[self->steps[i].lock] = before[i] + 1;
	f->info = c->fs->info;
	return 0;
}

static const struct step pairs[6][2] = { { { 1, 2 }, { 2, 2 } }, { { 2, 2 }, { 1, 2 } }, { { 1, 1 }, { 3, 2 } },
					 { { 3, 2 }, { 1, 2 } }, { { 2, 2 }, { 3, 1 } }, { { 3, 2 }, { 2, 1 } } };

struct one {
	struct td__fs *fs;
	uint32_t id;
	uint64_t added[GUARDED];
	int err;
};

enum { ROUNDS = 300 };

static void *many(void *arg)
{
	struct one *o = arg;
	struct actor me = { 0 };
	struct td_fsinfo info;

	self = &me;
	for (uint32_t i = 0; i < ROUNDS && !o->err; i++) {
		memcpy(me.steps, pairs[(i * 7 + o->id * 5) % 6], sizeof(pairs[0]));
		o->err = td__fs_statfs(o->fs, &info);
		for (int k = 0; k < 2; k++)
			o->added[me.steps[k].lock] += me.steps[k].mode == TD_EXCLUSIVE;
	}
	self = 0;
	return 0;
}

static void test_crowd(void **state)
{
	pthread_t threads[ACTORS];
	struct one ones[ACTORS];
	uint64_t added[GUARDED] = { 0 };

	fake_ops[TD_OP_statfs] = count;
	memset(guarded, 0, sizeof(guarded));
	alarm(40);
	for (uint32_t i = 0; i < ACTORS; i++) {
		ones[i] = (struct one){ .fs = *state, .id = i };
		pthread_create(&threads[i], 0, many, &ones[i]);
	}
	for (int i = 0; i < ACTORS; i++) {
		pthread_join(threads[i], 0);
		assert_int_equal(ones[i].err, 0);
		for (int k = 0; k < GUARDED; k++)
			added[k] += ones[i].added[k];
	}
	alarm(0);
	assert_memory_equal(added, guarded, sizeof(added));
	for (int i = 0; i < TD_LOCK_MAX; i++)
		assert_true(!((struct td__fs *)*state)->locks.word[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define REVOKE(name) cmocka_unit_test_setup_teardown(name, setup_revoke, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_two),	TEST(test_three),     TEST(test_onlooker), TEST(test_shared),
					    TEST(test_upgrade), TEST(test_twice),     TEST(test_try),	   TEST(test_wrong),
					    TEST(test_crowd),	REVOKE(test_lend),    REVOKE(test_given),  REVOKE(test_changed),
					    REVOKE(test_crowd), REVOKE(test_upgrade), REVOKE(test_try) };

	return cmocka_run_group_tests(tests, 0, 0);
}
