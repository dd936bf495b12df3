/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in memory that notes what is done to it: see disk.h. */
#include "disk.h"

#include "../../core/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t next_random(uint64_t *seed)
{
	*seed += 0x9e3779b97f4a7c15ull;
	uint64_t z = (*seed ^ (*seed >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void *get(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return p;
}

struct td__disk *disk_new(uint64_t size)
{
	struct td__disk *d = get(sizeof(*d));

	d->bytes = get(size);
	d->size = size;
	return d;
}

void events_free(struct event *events, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		free(events[i].data);
	free(events);
}

struct event *disk_take_notes(struct td__disk *d, uint64_t *n)
{
	struct event *events = d->events;

	*n = d->n;
	d->events = NULL;
	d->n = d->room = 0;
	d->noting = 0;
	return events;
}

static void forget_events(struct td__disk *d)
{
	uint64_t n;
	struct event *events = disk_take_notes(d, &n);

	events_free(events, n);
}

void disk_free(struct td__disk *d)
{
	forget_events(d);
	disk_revert(d, 0);
	free(d->olds);
	free(d->bytes);
	free(d);
}

void disk_note(struct td__disk *d)
{
	forget_events(d);
	d->noting = 1;
}

void disk_plan(struct td__disk *d, const struct trouble *t)
{
	d->trouble = t ? *t : (struct trouble){ 0 };
	d->acts = d->reads = 0;
}

static void resize(struct td__disk *d, uint64_t size)
{
	uint8_t *bytes = realloc(d->bytes, size);

	if (!bytes)
		abort();
	if (size > d->size)
		memset(bytes + d->size, 0, size - d->size);
	d->bytes = bytes;
	d->size = size;
}

/* Before these bytes change, or the size. */
static void save(struct td__disk *d, uint64_t off, uint64_t len)
{
	struct old *o;

	if (!d->marked)
		return;
	if (d->nold == d->old_room) {
		d->old_room = 2 * d->old_room + 64;
		d->olds = realloc(d->olds, d->old_room * sizeof(*d->olds));
		if (!d->olds)
			abort();
	}
	len = off >= d->size ? 0 : len < d->size - off ? len : d->size - off;
	o = &d->olds[d->nold++];
	*o = (struct old){ d->size, off, len, get(len) };
	memcpy(o->data, d->bytes + off, len);
}

uint64_t disk_mark(struct td__disk *d)
{
	d->marked++;
	return d->nold;
}

void disk_revert(struct td__disk *d, uint64_t mark)
{
	while (d->nold > mark) {
		struct old *o = &d->olds[--d->nold];

		if (o->size != d->size)
			resize(d, o->size);
		memcpy(d->bytes + o->off, o->data, o->len);
		free(o->data);
	}
	d->marked -= d->marked > 0;
}

static void put(struct td__disk *d, uint64_t off, const uint8_t *data, uint64_t len)
{
	save(d, off, len);
	if (off + len > d->size)
		resize(d, off + len);
	if (data)
		memcpy(d->bytes + off, data, len);
	else
		memset(d->bytes + off, 0, len);
}

static void change_size(struct td__disk *d, uint64_t size)
{
	save(d, size, d->size > size ? d->size - size : 0);
	resize(d, size);
}

void disk_apply(struct td__disk *d, const struct event *e)
{
	if (e->act == RESIZE)
		change_size(d, e->len);
	else if (e->act != FLUSH)
		put(d, e->off, e->data, e->len);
}

void disk_tear(struct td__disk *d, const struct event *e, uint64_t *seed)
{
	if (e->act == RESIZE || e->act == FLUSH)
		return;
	for (uint64_t at = 0; at < e->len; at += SECTOR)
		if (next_random(seed) & 1)
			put(d, e->off + at, e->data ? e->data + at : NULL, e->len - at < SECTOR ? e->len - at : SECTOR);
}

static void note(struct td__disk *d, enum act act, uint64_t off, uint64_t len, const void *data)
{
	struct event *e;

	if (!d->noting)
		return;
	if (d->n == d->room) {
		d->room = 2 * d->room + 64;
		d->events = realloc(d->events, d->room * sizeof(*d->events));
		if (!d->events)
			abort();
	}
	e = &d->events[d->n++];
	*e = (struct event){ .act = act, .off = off, .len = len };
	if (data) {
		e->data = get(len);
		memcpy(e->data, data, len);
	}
}

/* ---- Trouble */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static int hanging;

static void hang(void)
{
	pthread_mutex_lock(&mutex);
	hanging = 1;
	while (hanging)
		pthread_cond_wait(&released, &mutex);
	pthread_mutex_unlock(&mutex);
}

int disk_hangs(void)
{
	pthread_mutex_lock(&mutex);
	int now = hanging;
	pthread_mutex_unlock(&mutex);
	return now;
}

void disk_release(void)
{
	pthread_mutex_lock(&mutex);
	hanging = 0;
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&mutex);
}

/* The error that was planned for act number n, or 0. */
static int strikes_at(struct td__disk *d, uint64_t n, uint64_t at, int flush)
{
	if (!at || (n != at && (!d->trouble.stays || n < at)) || (d->trouble.flushes && !flush))
		return 0;
	if (!d->trouble.error)
		hang();
	return d->trouble.error;
}

static int strikes(struct td__disk *d)
{
	return strikes_at(d, ++d->acts, d->trouble.at, 0);
}

/* ---- In the port's place */

#define WRAP(name) __wrap_td__port_disk_##name

int WRAP(read)(struct td__disk *d, uint64_t off, void *data, size_t len);
int WRAP(read)(struct td__disk *d, uint64_t off, void *data, size_t len)
{
	int err = strikes_at(d, ++d->reads, d->trouble.read_at, 0);

	if (err)
		return err;
	if (off > d->size || len > d->size - off)
		return -EIO;
	memcpy(data, d->bytes + off, len);
	return 0;
}

/* As long as nothing stands in the way, it is there. */
int64_t WRAP(read_now)(struct td__disk *d, uint64_t off, void *data, size_t len);
int64_t WRAP(read_now)(struct td__disk *d, uint64_t off, void *data, size_t len)
{
	int strikes_next = d->trouble.read_at && (d->trouble.stays ? d->reads + 1 >= d->trouble.read_at : d->reads + 1 == d->trouble.read_at);

	return strikes_next || WRAP(read)(d, off, data, len) ? 0 : (int64_t)len;
}

int WRAP(read_to)(struct td__disk *d, uint64_t off, size_t len, void (*take)(void *arg, uint64_t off, const void *data, size_t len),
		  void *arg);
int WRAP(read_to)(struct td__disk *d, uint64_t off, size_t len, void (*take)(void *arg, uint64_t off, const void *data, size_t len),
		  void *arg)
{
	uint8_t *data = get(len);
	int err = WRAP(read)(d, off, data, len);

	if (!err)
		take(arg, off, data, len);
	free(data);
	return err;
}

void WRAP(state)(struct td__disk *d, struct td__disk_state *out);
void WRAP(state)(struct td__disk *d, struct td__disk_state *out)
{
	(void)d;
	memset(out, 0, sizeof(*out));
}

int WRAP(write)(struct td__disk *d, uint64_t off, const void *data, size_t len);
int WRAP(write)(struct td__disk *d, uint64_t off, const void *data, size_t len)
{
	int err = strikes(d);

	if (err)
		len = len / 2 & ~(size_t)(SECTOR - 1); /* it got as far as this */
	if (len) {
		note(d, WRITE, off, len, data);
		put(d, off, data, len);
	}
	return err;
}

int WRAP(write_pieces)(struct td__disk *d, const struct td__disk_piece *pieces, uint32_t n);
int WRAP(write_pieces)(struct td__disk *d, const struct td__disk_piece *pieces, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++)
		err = WRAP(write)(d, pieces[i].off, pieces[i].data, pieces[i].len);
	return err;
}

int WRAP(zero)(struct td__disk *d, uint64_t off, uint64_t len);
int WRAP(zero)(struct td__disk *d, uint64_t off, uint64_t len)
{
	int err = strikes(d);

	if (err)
		return err;
	note(d, ZERO, off, len, NULL);
	put(d, off, NULL, len);
	return 0;
}

int WRAP(reserve)(struct td__disk *d, uint64_t off, uint64_t len);
int WRAP(reserve)(struct td__disk *d, uint64_t off, uint64_t len)
{
	return strikes(d);
}

int WRAP(resize)(struct td__disk *d, uint64_t bytes);
int WRAP(resize)(struct td__disk *d, uint64_t bytes)
{
	int err = strikes(d);

	if (err)
		return err;
	note(d, RESIZE, 0, bytes, NULL);
	change_size(d, bytes);
	return 0;
}

/* As Linux does it: what could not be flushed counts as written from then on, and no later flush makes it last. */
static void lose(struct td__disk *d)
{
	for (uint64_t i = d->n; i-- > 0 && d->events[i].act != FLUSH;)
		d->events[i].lost = 1;
}

int WRAP(flush)(struct td__disk *d);
int WRAP(flush)(struct td__disk *d)
{
	int err = strikes_at(d, ++d->acts, d->trouble.at, 1);

	if (err) {
		lose(d);
		return err;
	}
	note(d, FLUSH, 0, 0, NULL);
	return 0;
}

/* The disk is the test's. */
void WRAP(close)(struct td__disk *d);
void WRAP(close)(struct td__disk *d)
{
	d->noting = 0;
}
