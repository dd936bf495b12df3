/* SPDX-License-Identifier: BSD-2-Clause */
/* Levels and knobs as text. */
#include "fs.h"
#include "journal.h"

const char *const td_wall_names[TD_WALL_KINDS] = { "none", "pkey", "sfi", "process" };
static const char *const shared_names[] = { "rw", "ro", "unmapped", 0 };
static const char *const check_names[] = { "off", "shallow", "deep", 0 };
static const char *const heap_names[] = { "plain", "pages", 0 };
static const char *const journal_names[] = { "off", "locks", "all", 0 };
static const char *const resolve_names[] = { "abort", "revoke", 0 };
static const char *const trap_names[] = { "off", "on", 0 };
static const char *const wall_names[] = { "none", "pkey", "sfi", "process", 0 };

const struct td_level_about td_levels[] = {
	{ "trusted", "a module that has earned it",
	  "wall=none,trap=off,shared=rw,check=off,journal=off,deadlock=off,time=off" },
	{ "guarded", "beta test: fast, and it comes back",
	  "wall=none,trap=on,shared=rw,check=shallow,journal=all,deadlock=1s,time=5s" },
	{ "walled", "a third party's module, fast",
	  "wall=pkey,trap=on,shared=ro,check=shallow,journal=all,deadlock=100ms,time=5s" },
	{ "sandboxed", "the same against hostile code, on any processor",
	  "wall=sfi,trap=on,shared=ro,check=deep,journal=all,deadlock=100ms,time=5s" },
	{ "isolated", "a module you do not trust",
	  "wall=process,trap=on,shared=ro,check=deep,journal=all,deadlock=100ms,time=5s" },
	{ "debug", "writing a module",
	  "wall=process,trap=on,shared=unmapped,check=deep,journal=all,deadlock=10ms,time=1s,heap=pages" },
	{ 0, 0, 0 },
};

/* What every level begins with. */
static const char defaults[] = "resolve=abort,memory=64M,heap=plain,undo=64M,calls=48,cpu=off,mistakes=16,handles=65536,restart=32/60s";

/* ---- Reading */

struct text {
	const char *p;
	size_t len;
};

static int same(struct text t, const char *word)
{
	return t.len == strlen(word) && !memcmp(t.p, word, t.len);
}

static int one_of(struct text t, const char *const *words, uint32_t *value)
{
	for (uint32_t i = 0; words[i]; i++)
		if (same(t, words[i])) {
			*value = i;
			return 0;
		}
	return -TD_EINVAL;
}

/* Digits at the beginning of t, which is shortened by them. */
static int number(struct text *t, uint64_t *value)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; i < t->len && t->p[i] >= '0' && t->p[i] <= '9'; i++) {
		if (n > (1ull << 58))
			return -TD_EINVAL;
		n = n * 10 + (uint64_t)(t->p[i] - '0');
	}
	if (!i)
		return -TD_EINVAL;
	*value = n;
	t->p += i;
	t->len -= i;
	return 0;
}

static int duration(struct text t, uint32_t *ms)
{
	uint64_t n;

	if (same(t, "off")) {
		*ms = 0;
		return 0;
	}
	if (number(&t, &n) || n > 86400000)
		return -TD_EINVAL;
	if (same(t, "s"))
		n *= 1000;
	else if (!same(t, "ms"))
		return -TD_EINVAL;
	if (!n || n > 86400000)
		return -TD_EINVAL;
	*ms = (uint32_t)n;
	return 0;
}

/* TIME, or TIME/TIME: without progress, and in all. Without the second one it is so many times the first. */
enum { MOST_TIMES = 12, DAY_MS = 86400000 };

static int time_limit(struct text t, struct td_level *l)
{
	struct text first = t, second;

	for (first.len = 0; first.len < t.len && t.p[first.len] != '/'; first.len++)
		;
	second = (struct text){ t.p + first.len + 1, t.len - first.len - 1 };
	if (duration(first, &l->time_ms))
		return -TD_EINVAL;
	l->most_ms = l->time_ms > DAY_MS / MOST_TIMES ? DAY_MS : l->time_ms * MOST_TIMES;
	if (first.len == t.len)
		return 0;
	return duration(second, &l->most_ms) || !l->time_ms || l->most_ms < l->time_ms ? -TD_EINVAL : 0;
}

/* A number from `least` to `most`, with `unit` behind it. */
static int count(struct text t, const char *unit, uint32_t least, uint32_t most, uint32_t *value)
{
	uint64_t n;

	if (number(&t, &n) || !same(t, unit) || n < least || n > most)
		return -TD_EINVAL;
	*value = (uint32_t)n;
	return 0;
}

static int share(struct text t, uint32_t *value)
{
	if (!same(t, "off"))
		return count(t, "%", 1, 10000, value);
	*value = 0;
	return 0;
}

static int bytes(struct text t, uint64_t *value)
{
	uint32_t shift;

	if (number(&t, value))
		return -TD_EINVAL;
	shift = same(t, "K") ? 10 : same(t, "M") ? 20 : same(t, "G") ? 30 : 64;
	if (shift == 64 || *value > (1ull << 40) >> shift)
		return -TD_EINVAL;
	*value <<= shift;
	return *value < 1 << 16 ? -TD_EINVAL : 0;
}

static int restarts(struct text t, struct td_level *l)
{
	uint64_t n, s;

	if (same(t, "never")) {
		l->restarts = 0;
		return 0;
	}
	if (number(&t, &n) || !n || n > 1000000 || !t.len || *t.p != '/')
		return -TD_EINVAL;
	t.p++;
	t.len--;
	if (number(&t, &s) || !s || s > 86400 || !same(t, "s"))
		return -TD_EINVAL;
	l->restarts = (uint32_t)n;
	l->restart_s = (uint32_t)s;
	return 0;
}

static int handles(struct text t, uint32_t *value)
{
	uint64_t n;

	if (same(t, "off")) {
		*value = 0;
		return 0;
	}
	if (number(&t, &n) || t.len || !n || n > 0xffffffffu)
		return -TD_EINVAL;
	*value = (uint32_t)n;
	return 0;
}

/* One `knob=value`. The answer to a mistake is the text of what there is. */
static const char *set_knob(struct td_level *l, struct text knob, struct text value)
{
	if (same(knob, "wall"))
		return one_of(value, wall_names, &l->wall) ? "wall is none, pkey, sfi or process" : 0;
	if (same(knob, "trap"))
		return one_of(value, trap_names, &l->trap) ? "trap is on or off" : 0;
	if (same(knob, "shared"))
		return one_of(value, shared_names, &l->shared) ? "shared is rw, ro or unmapped" : 0;
	if (same(knob, "check"))
		return one_of(value, check_names, &l->check) ? "check is off, shallow or deep" : 0;
	if (same(knob, "journal"))
		return one_of(value, journal_names, &l->journal) ? "journal is off, locks or all" : 0;
	if (same(knob, "deadlock"))
		return duration(value, &l->deadlock_ms) ? "deadlock is off or an interval such as 100ms or 1s" : 0;
	if (same(knob, "resolve"))
		return one_of(value, resolve_names, &l->resolve) ? "resolve is abort or revoke" : 0;
	if (same(knob, "time"))
		return time_limit(value, l) ? "time is off, or a limit such as 500ms, or two such as 5s/60s: without progress, in all" : 0;
	if (same(knob, "memory"))
		return bytes(value, &l->memory) ? "memory is a size from 64K to 1024G, such as 64M" : 0;
	if (same(knob, "heap"))
		return one_of(value, heap_names, &l->heap) ? "heap is plain or pages" : 0;
	if (same(knob, "undo"))
		return bytes(value, &l->undo) || l->undo > TD__JOURNAL_MAX ? "undo is a size from 64K to 1G, such as 64M" : 0;
	if (same(knob, "calls"))
		return count(value, "", 1, TD__SLOTS, &l->calls) ? "calls is a number from 1 to 48" : 0;
	if (same(knob, "cpu"))
		return share(value, &l->cpu) ? "cpu is off or a share of one processor from 1% to 10000%, such as 50%" : 0;
	if (same(knob, "mistakes"))
		return count(value, "", 0, 1000000, &l->mistakes) ? "mistakes is a number" : 0;
	if (same(knob, "handles"))
		return handles(value, &l->handles) ? "handles is off or a number" : 0;
	if (same(knob, "restart"))
		return restarts(value, l) ? "restart is never or N/TIME such as 32/60s" : 0;
	return "the knobs are wall, trap, shared, check, journal, deadlock, resolve, time, memory, heap, undo, calls, cpu, mistakes, handles, restart";
}

static struct text next_word(const char **p)
{
	struct text t = { *p, 0 };

	while (t.p[t.len] && t.p[t.len] != ',')
		t.len++;
	*p += t.len + (t.p[t.len] == ',');
	return t;
}

static int refuse(struct text t, const char *remedy, char *why, size_t size)
{
	char word[64];
	size_t n = t.len < sizeof(word) - 1 ? t.len : sizeof(word) - 1;

	if (!size)
		return -TD_EINVAL;
	memcpy(word, t.p, n);
	word[n] = 0;
	td__why(why, size, "'", word, "' is not understood: ");
	td__why(why + strlen(why), size - strlen(why), remedy, 0, 0);
	return -TD_EINVAL;
}

static int turn_knobs(const char *text, struct td_level *l, char *why, size_t size)
{
	while (*text) {
		struct text t = next_word(&text), knob = t, value;
		const char *remedy;

		for (knob.len = 0; knob.len < t.len && t.p[knob.len] != '='; knob.len++)
			;
		if (knob.len == t.len)
			return refuse(t, "behind the level's name come knobs as knob=value", why, size);
		value = (struct text){ t.p + knob.len + 1, t.len - knob.len - 1 };
		remedy = set_knob(l, knob, value);
		if (remedy)
			return refuse(t, remedy, why, size);
	}
	return 0;
}

/* Combinations that would promise what cannot be kept. */
static int consistent(const struct td_level *l, char *why, size_t size)
{
	if (l->wall == TD_WALL_NONE && l->shared != TD_SHARED_RW) {
		td__why(why, size, "wall=none cannot keep a module from shared memory: use shared=rw, or wall=pkey, sfi or process", 0, 0);
		return -TD_EINVAL;
	}
	if (l->wall == TD_WALL_NONE && !l->trap && l->time_ms) {
		td__why(why, size, "a time limit with wall=none needs trap=on, which ends the call", 0, 0);
		return -TD_EINVAL;
	}
	if (l->wall == TD_WALL_NONE && !l->trap && l->heap == TD_HEAP_PAGES) {
		td__why(why, size, "heap=pages with wall=none needs trap=on, which catches what it finds", 0, 0);
		return -TD_EINVAL;
	}
	return 0;
}

int td_level_parse(const char *text, struct td_level *level, char *why, size_t size)
{
	struct text name = next_word(&text);
	const struct td_level_about *a = td_levels;
	int err;

	if (size)
		why[0] = 0;
	while (a->name && !same(name, a->name))
		a++;
	if (!a->name)
		return refuse(name, "the levels are trusted, guarded, walled, sandboxed, isolated and debug", why, size);
	td__zero(level, sizeof(*level));
	td__copy_text(level->name, sizeof(level->name), a->name);
	turn_knobs(defaults, level, why, size);
	turn_knobs(a->knobs, level, why, size);
	if (!*text)
		return 0;
	err = turn_knobs(text, level, why, size);
	if (err)
		return err;
	td__copy_text(level->name + strlen(level->name), 2, "*");
	return consistent(level, why, size);
}

/* ---- Writing */

struct writer {
	char *to;
	size_t size, used;
};

static void put(struct writer *w, const char *text)
{
	for (; *text; text++, w->used++)
		if (w->used + 1 < w->size)
			w->to[w->used] = *text;
}

static void put_number(struct writer *w, uint64_t n)
{
	char digits[24];
	int i = sizeof(digits) - 1;

	digits[i] = 0;
	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	put(w, digits + i);
}

static void put_duration(struct writer *w, const char *knob, uint32_t ms)
{
	put(w, knob);
	if (!ms) {
		put(w, "off");
		return;
	}
	put_number(w, ms % 1000 ? ms : ms / 1000);
	put(w, ms % 1000 ? "ms" : "s");
}

size_t td_level_format(const struct td_level *l, char *text, size_t size)
{
	struct writer w = { text, size, 0 };

	put(&w, "wall=");
	put(&w, td_wall_names[l->wall]);
	put(&w, l->trap ? ",trap=on" : ",trap=off");
	put(&w, ",shared=");
	put(&w, shared_names[l->shared]);
	put(&w, ",check=");
	put(&w, check_names[l->check]);
	put(&w, ",journal=");
	put(&w, journal_names[l->journal]);
	put_duration(&w, ",deadlock=", l->deadlock_ms);
	put(&w, ",resolve=");
	put(&w, resolve_names[l->resolve]);
	put_duration(&w, ",time=", l->time_ms);
	if (l->time_ms)
		put_duration(&w, "/", l->most_ms);
	put(&w, ",memory=");
	put_number(&w, l->memory >> 10);
	put(&w, "K,heap=");
	put(&w, heap_names[l->heap]);
	put(&w, ",undo=");
	put_number(&w, l->undo >> 10);
	put(&w, "K,calls=");
	put_number(&w, l->calls);
	put(&w, ",cpu=");
	if (l->cpu) {
		put_number(&w, l->cpu);
		put(&w, "%");
	} else {
		put(&w, "off");
	}
	put(&w, ",mistakes=");
	put_number(&w, l->mistakes);
	put(&w, ",handles=");
	if (l->handles)
		put_number(&w, l->handles);
	else
		put(&w, "off");
	put(&w, ",restart=");
	if (l->restarts) {
		put_number(&w, l->restarts);
		put(&w, "/");
		put_number(&w, l->restart_s);
		put(&w, "s");
	} else {
		put(&w, "never");
	}
	if (size)
		w.to[w.used < size ? w.used : size - 1] = 0;
	return w.used;
}

int td__level_is_straight(const struct td_level *level)
{
	return level->wall == TD_WALL_NONE && !level->trap && level->check == TD_CHECK_OFF && level->journal != TD_JOURNAL_ALL && !level->time_ms;
}
