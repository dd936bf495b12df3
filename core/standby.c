/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting and ending domains: in advance, and afterwards.
 *
 * To start a process takes milliseconds, and so does ending one. Where a wall says so (it has `ready`), a helper does both while calls
 * go on: it ends the domain that was replaced, and starts another one like the present, in which no code of the module runs. A restart then
 * has only to say hello and mount.
 *
 *   (none) --wanted--> made by the helper --> ready --got, or of no use--> (none)
 *
 * There is at most one in advance. It belongs to nobody before td__domain_get() hands it out: it has no number, the ticker does not know
 * it. Whoever needs a domain while one is being made waits for it, for a second one would not be there sooner.
 */
#include "fs.h"

static struct td__domain *make(struct td__fs *fs, const struct td_level *level, char *why, size_t size, int *err)
{
	const struct td__wall *wall = level->wall < TD_WALL_KINDS ? fs->walls[level->wall] : 0;
	struct td__domain *d = 0;

	*err = -TD_EOPNOTSUPP;
	if (!wall) {
		td__why(why, size, "this build has no wall '", td_wall_names[level->wall], "'; see `tadan levels` for what there is");
		return 0;
	}
	*err = wall->available(why, size);
	if (*err)
		return 0;
	d = td__port_alloc(sizeof(*d));
	*err = -TD_ENOMEM;
	if (!d) {
		td__why(why, size, "not enough memory for a domain", 0, 0);
		return 0;
	}
	d->fs = fs;
	d->wall = wall;
	d->module = fs->module;
	d->device = fs->device;
	d->level = *level;
	d->in_place = level->wall == TD_WALL_NONE && level->check == TD_CHECK_OFF && level->journal != TD_JOURNAL_ALL;
	*err = td__heap_make(d);
	if (*err)
		td__why(why, size, "not enough memory for a domain", 0, 0);
	else
		*err = wall->start(d, why, size);
	if (!*err)
		return d;
	td__heap_end(d);
	td__port_free(d, sizeof(*d));
	return 0;
}

void td__domain_end(struct td__domain *d)
{
	if (!d)
		return;
	d->wall->stop(d);
	td__heap_end(d);
	td__port_free(d, sizeof(*d));
}

/* ---- The helper */

static void help(void *arg)
{
	struct td__fs *fs = arg;
	struct td__standby *s = &fs->standby;
	struct td__domain *old, *new = 0;
	struct td_level level;
	uint32_t wanted;
	char why[8];
	int err;

	td__mutex_lock(&s->mutex);
	old = s->old;
	level = s->level;
	wanted = s->wanted && !s->ready;
	s->old = 0;
	s->busy = 1;
	td__mutex_unlock(&s->mutex);

	td__domain_end(old);
	if (wanted)
		new = make(fs, &level, why, sizeof(why), &err);

	td__mutex_lock(&s->mutex);
	if (new)
		s->ready = new;
	s->busy = 0;
	td__cond_broadcast(&s->changed);
	td__mutex_unlock(&s->mutex);
}

void td__standby_want(struct td__fs *fs)
{
	struct td__standby *s = &fs->standby;
	const struct td__domain *d = fs->domain;

	if (!d->wall->ready)
		return;
	if (!s->helper)
		s->helper = td__port_helper_start(help, fs);
	if (!s->helper)
		return;
	td__mutex_lock(&s->mutex);
	s->level = d->level;
	s->wanted = 1;
	td__mutex_unlock(&s->mutex);
	td__port_helper_ask(s->helper);
}

void td__domain_retire(struct td__fs *fs, struct td__domain *d)
{
	struct td__standby *s = &fs->standby;

	if (d && d->wall->ready && s->helper) {
		td__mutex_lock(&s->mutex);
		if (!s->old) {
			s->old = d;
			d = 0;
		}
		td__mutex_unlock(&s->mutex);
		td__port_helper_ask(s->helper);
	}
	td__domain_end(d);
}

/* What there is in advance, and no more is wanted. */
static struct td__domain *take(struct td__standby *s)
{
	struct td__domain *d;

	td__mutex_lock(&s->mutex);
	s->wanted = 0;
	while (s->busy)
		td__cond_wait(&s->changed, &s->mutex, 0);
	d = s->ready;
	s->ready = 0;
	td__mutex_unlock(&s->mutex);
	return d;
}

void td__standby_drop(struct td__fs *fs)
{
	td__domain_end(take(&fs->standby));
}

struct td__domain *td__domain_get(struct td__fs *fs, const struct td_level *level, char *why, size_t size, int *err)
{
	struct td__domain *d = take(&fs->standby);

	*err = 0;
	if (d && d->module == fs->module && !memcmp(&d->level, level, sizeof(*level)) && d->wall->ready(d))
		return d;
	td__domain_end(d);
	return make(fs, level, why, size, err);
}

int64_t td__standby_process(struct td__fs *fs)
{
	struct td__standby *s = &fs->standby;
	int64_t process;

	td__mutex_lock(&s->mutex);
	process = s->ready ? s->ready->process : 0;
	td__mutex_unlock(&s->mutex);
	return process;
}

void td__standby_init(struct td__fs *fs)
{
	td__mutex_init(&fs->standby.mutex);
	td__cond_init(&fs->standby.changed);
}

void td__standby_fini(struct td__fs *fs)
{
	struct td__standby *s = &fs->standby;

	if (s->helper)
		td__port_helper_stop(s->helper);
	td__domain_end(s->old);
	td__domain_end(s->ready);
	td__mutex_fini(&s->mutex);
	td__cond_fini(&s->changed);
}
