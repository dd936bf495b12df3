/* SPDX-License-Identifier: BSD-2-Clause */
/* Sound: see sound.h. */
#include "sound.h"

#include <stdio.h>

static char wrong[TD_PROBLEM_TEXT + 100];

static void found(void *arg, const struct td_problem *p, const char *text)
{
	(void)arg;
	if (!wrong[0])
		snprintf(wrong, sizeof(wrong), "check: file %llu, blocks %llu+%llu: %s (%llu, not %llu)", (unsigned long long)p->fid,
			 (unsigned long long)p->blkno, (unsigned long long)p->blocks, text, (unsigned long long)p->found,
			 (unsigned long long)p->right);
}

static void again(void *arg)
{
	(void)arg;
	wrong[0] = 0;
}

const char *sound(struct td__fs *fs)
{
	const struct td_checker to = { .problem = found, .again = again };
	int err;

	wrong[0] = 0;
	err = td_check(fs, 0, &to);
	if (err && !wrong[0])
		snprintf(wrong, sizeof(wrong), "check: error %d", -err);
	return wrong[0] ? wrong : NULL;
}
