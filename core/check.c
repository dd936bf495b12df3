/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking for what is wrong in a file system. The module knows its format and looks, a part at a time; what it has learnt is in its
 * memory, so if it is started again in between, it begins anew, once. The kernel knows which files without a name are its own.
 *
 * A module that never ends is ended: by the limit of each call, and by what all of them may take, which grows with the device.
 */
#include "commit.h"
#include "fs.h"

enum { BEGINNINGS = 2, FIRST_S = 600, BLOCK_MS = 10, FIRST_CALLS = 4096 };

struct check {
	struct td__fs *fs;
	const struct td_checker *to;
	uint64_t *known, nknown, known_room; /* files without a name that the kernel frees */
	uint64_t *lost, nlost, lost_room;    /* those that nobody would */
	uint64_t told, calls, until;         /* problems; ns: td__port_monotonic() */
};

static int is_known(const struct check *k, uint64_t fid)
{
	for (uint64_t i = 0; i < k->nknown; i++)
		if (k->known[i] == fid)
			return 1;
	return 0;
}

static void tell(struct check *k, const struct td_problem *p, const void *bytes)
{
	char text[TD_PROBLEM_TEXT + 1];

	memcpy(text, bytes, p->len);
	for (uint32_t i = 0; i < p->len; i++)
		text[i] = text[i] ? text[i] : '?';
	text[p->len] = 0;
	k->told++;
	k->to->problem(k->to->arg, p, text);
}

/* With repair, what nobody would free is freed when the module has finished. */
static int take_one(struct check *k, struct td_problem *p, const void *text, int repair)
{
	int err = 0;

	if (p->flags & TD_PROBLEM_NAMELESS && is_known(k, p->fid))
		return 0;
	if (k->told == TD_CHECK_PROBLEMS)
		return -TD_E2BIG;
	if (p->flags & TD_PROBLEM_NAMELESS && repair) {
		err = td__fids_add(&k->lost, &k->nlost, &k->lost_room, p->fid);
		p->flags |= TD_PROBLEM_REPAIRED;
	}
	tell(k, p, text);
	return err;
}

/* The list is the kernel's copy of what the module made. */
static int take(struct check *k, const struct td_out *out, int repair)
{
	int err = 0;

	for (uint32_t at = 0; at < out->used && !err;) {
		const uint8_t *from = (const uint8_t *)out->data + at;
		struct td_problem p;
		uint32_t padded;

		if (out->used - at < sizeof(p))
			return -TD_EIO;
		memcpy(&p, from, sizeof(p));
		padded = (p.len + 7) & ~7u;
		if (p.len > TD_PROBLEM_TEXT || padded > out->used - at - sizeof(p))
			return -TD_EIO;
		err = take_one(k, &p, from + sizeof(p), repair);
		at += (uint32_t)sizeof(p) + padded;
	}
	return err;
}

static int is_too_long(struct check *k)
{
	return ++k->calls > FIRST_CALLS + k->fs->device->blocks || td__port_monotonic() > k->until;
}

/* Each part is an operation by itself, so that blocks can be evicted in between. */
static int one_part(struct check *k, uint64_t part, int repair, uint64_t *next, struct td_out *out)
{
	int err = is_too_long(k) ? -TD_ETIMEDOUT : td__operation_begin(k->fs, 0);

	if (err)
		return err;
	out->used = 0;
	err = td__fs_check(k->fs, part, (uint32_t)repair, next, out);
	td__operation_end(k->fs);
	return err;
}

static int all_parts(struct check *k, int repair, struct td_out *out)
{
	uint64_t part = 0, next;
	int err;

	do {
		err = one_part(k, part, repair, &next, out);
		if (!err)
			err = take(k, out, repair);
		if (!err && next && next <= part)
			err = -TD_EIO;
		part = next;
	} while (!err && part);
	return err;
}

static int free_lost(const struct check *k)
{
	int err = 0;

	for (uint64_t i = 0; i < k->nlost && !err; i++) {
		struct td__vnode *v;

		err = td__vnode_by_fid(k->fs, k->lost[i], &v);
		if (!err)
			td__vnode_put(v, 1);
	}
	return err;
}

int td_check(struct td__fs *fs, int repair, const struct td_checker *to)
{
	struct check k = { .fs = fs, .to = to };
	struct td_out out = { td__port_alloc(TD_WINDOW), TD_WINDOW, 0 };
	int err = out.data ? 0 : -TD_ENOMEM;

	if (!err) {
		td__orphans_retry(fs, ~0ull);
		td__graves_empty(fs);
	}
	if (!err && fs->device->log) {
		td__ahead_trim_all(fs);
		err = td__vnodes_update(fs);
	}
	if (!err)
		err = td__orphans(fs, &k.known, &k.nknown, &k.known_room);
	k.until = td__port_monotonic() + FIRST_S * 1000000000ull + fs->device->blocks * BLOCK_MS * 1000000ull;
	for (int i = 0; !err && i < BEGINNINGS; i++) {
		if (i)
			to->again(to->arg);
		k.nlost = k.told = 0;
		err = all_parts(&k, repair, &out);
		if (err != -TD_ESTALE)
			break;
		err = i + 1 < BEGINNINGS ? 0 : -TD_EIO;
	}
	if (!err)
		err = free_lost(&k);
	if (k.lost_room)
		td__port_free(k.lost, k.lost_room * sizeof(*k.lost));
	if (k.known_room)
		td__port_free(k.known, k.known_room * sizeof(*k.known));
	if (out.data)
		td__port_free(out.data, TD_WINDOW);
	return err;
}
