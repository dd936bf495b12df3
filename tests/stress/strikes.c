/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults at will: see strikes.h. The plan is written by one thread at a time; the module, which reads it meanwhile, finds it whole or none. */
#include "strikes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct strike {
	struct td__fs *_Atomic fs;
	atomic_uint pending, mounts; /* `mounts`: that are still to fail */
} strikes[STRIKES_MOST];
static atomic_ulong noted, in_recovery;

static struct plant_plan *plan_of(struct td__fs *fs)
{
	struct td__device *dev = fs->device;

	if (td__device_load(dev, dev->blocks - 1, 1)) {
		fprintf(stderr, "the plan cannot be read\n");
		abort();
	}
	return (struct plant_plan *)td__device_at(dev, dev->blocks - 1);
}

static struct strike *strike_of(struct td__fs *fs)
{
	for (int i = 0; i < STRIKES_MOST; i++) {
		struct td__fs *none = NULL;

		if (strikes[i].fs == fs || atomic_compare_exchange_strong(&strikes[i].fs, &none, fs))
			return &strikes[i];
	}
	fprintf(stderr, "more mounts than strikes\n");
	abort();
}

void __real_td__fault_note(struct td__fs *fs, struct td_fault *f);
void __wrap_td__fault_note(struct td__fs *fs, struct td_fault *f);

void __wrap_td__fault_note(struct td__fs *fs, struct td_fault *f)
{
	struct strike *s = strike_of(fs);
	const int starting = f->op == TD_OP_mount;

	__real_td__fault_note(fs, f);
	atomic_fetch_add(starting ? &in_recovery : &noted, 1);
	if (!starting)
		atomic_store(&s->pending, 0);
	else if (atomic_load(&s->mounts) && atomic_fetch_sub(&s->mounts, 1) == 1)
		plan_of(fs)->mount_at = 0;
}

/* `at` last: before, it is no plan. */
static void write_plan(struct td__fs *fs, const struct plant_plan *plan)
{
	struct plant_plan *p = plan_of(fs);

	__atomic_store_n(&p->at, 0, __ATOMIC_SEQ_CST);
	p->only = plan->only;
	p->op = plan->op;
	p->kind = plan->kind;
	p->mount_at = plan->mount_at;
	__atomic_store_n(&p->at, plan->at, __ATOMIC_SEQ_CST);
}

void strikes_order(struct td__fs *fs, uint32_t op, uint32_t at, uint32_t kind, uint32_t mounts)
{
	struct strike *s = strike_of(fs);

	atomic_store(&s->mounts, mounts);
	atomic_store(&s->pending, 1);
	write_plan(fs, &(struct plant_plan){ .only = plan_of(fs)->domains, .op = op, .at = at, .kind = kind, .mount_at = mounts != 0 });
}

void strikes_every(struct td__fs *fs)
{
	write_plan(fs, &(struct plant_plan){ .op = PLANT_ANY, .at = 1, .kind = PLANT_NULL });
}

void strikes_end(struct td__fs *fs)
{
	write_plan(fs, &(struct plant_plan){ 0 });
	atomic_store(&strike_of(fs)->pending, 0);
}

int strikes_pending(struct td__fs *fs)
{
	const struct plant_plan *p = plan_of(fs);

	return atomic_load(&strike_of(fs)->pending) && __atomic_load_n(&p->only, __ATOMIC_RELAXED) == __atomic_load_n(&p->domains, __ATOMIC_RELAXED);
}

uint64_t strikes_noted(void)
{
	return noted;
}

uint64_t strikes_in_recovery(void)
{
	return in_recovery;
}
