/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mistakes: what a module does wrongly, and the kernel refuses or makes good. They are counted by kind in each slot, and each unlike
 * one is written down once, with its place in the module and how often it was made.
 *
 * The place of a refused service is where it was called: the wall knows. What is left behind at the end of a call is found when the
 * module has returned. So the first such mistake of an operation has no place; from then on its calls note where they take things (they
 * are traced), and the next one has it. Nobody else pays for that more than a test.
 */
#include "fs.h"
#include "journal.h"

static uint32_t kind_of(int error)
{
	switch (error) {
	case TD_ESTALE: return TD_MISTAKE_HANDLE;
	case TD_EPERM:
	case TD_EDEADLK: return TD_MISTAKE_OPERATION;
	case TD_ENOMEM:
	case TD_EMFILE: return TD_MISTAKE_LIMIT;
	default: return TD_MISTAKE_ARGUMENT;
	}
}

/* ---- The list of those that are unlike */

static int same_place(const struct td_fault *a, const struct td_fault *b)
{
	for (uint32_t i = 0; i < TD__ORIGIN_FRAMES; i++)
		if (a->frames[i] != b->frames[i])
			return 0;
	return 1;
}

/* Where one place is not known, they are the same if they are about the same thing: the call was made again, or the operation is traced by now. */
static int same_mistake(const struct td_fault *a, const struct td_fault *b)
{
	if (a->mistake != b->mistake || a->op != b->op || memcmp(a->detail, b->detail, sizeof(a->detail)))
		return 0;
	return !a->pc == !b->pc ? same_place(a, b) : a->fid == b->fid && a->which == b->which;
}

static void learn_place(struct td_fault *to, const struct td_fault *from)
{
	if (to->pc || !from->pc)
		return;
	to->pc = from->pc;
	to->wall = from->wall;
	to->nframes = from->nframes;
	memcpy(to->frames, from->frames, sizeof(to->frames));
}

/* One that is known is counted there. Else the oldest makes room. */
static void put_down(struct td__fs *fs, struct td_fault *f)
{
	td__mutex_lock(&fs->faults_mutex);
	for (uint32_t i = 0; i < fs->nmistakes && i < TD_MISTAKES_KEPT; i++)
		if (same_mistake(&fs->mistakes[i], f)) {
			fs->mistakes[i].times += f->times;
			learn_place(&fs->mistakes[i], f);
			goto out;
		}
	f->number = ++fs->nmistakes;
	fs->mistakes[(f->number - 1) % TD_MISTAKES_KEPT] = *f;
out:
	td__mutex_unlock(&fs->faults_mutex);
}

uint32_t td_get_mistakes(struct td__fs *fs, uint64_t after, struct td_fault *out, uint32_t n)
{
	return td__faults_after(fs, fs->mistakes, TD_MISTAKES_KEPT, &fs->nmistakes, after, out, n);
}

/* ---- Where things were taken */

static void forget_place(struct td_fault *f)
{
	f->pc = 0;
	f->nframes = 0;
	memset(f->frames, 0, sizeof(f->frames));
}

void td__origin_where(struct td__call *c, uint64_t frames[TD__ORIGIN_FRAMES])
{
	c->domain->wall->where(c);
	for (uint32_t i = 0; i < c->fault.nframes && i < TD__ORIGIN_FRAMES; i++)
		frames[i] = c->fault.frames[i];
	forget_place(&c->fault);
}

static void put_origin(struct td__call *c, struct td__origins *to, const char *object, uint64_t which, uint64_t serial)
{
	struct td__origin *o = &to->o[to->next++ % TD__ORIGINS];

	*o = (struct td__origin){ .object = object, .which = which, .serial = serial };
	if (!c->fault.kind)
		td__origin_where(c, o->frames);
}

void td__origin_put(struct td__call *c, const char *object, uint64_t which)
{
	put_origin(c, &c->origins, object, which, c->serial);
}

void td__origin_note_reference(struct td__call *c, uint64_t vnode)
{
	if (!__atomic_load_n(&c->fs->traced_refs, __ATOMIC_RELAXED))
		return;
	td__mutex_lock(&c->fs->faults_mutex);
	put_origin(c, &c->fs->references, "vnode", vnode, 0);
	td__mutex_unlock(&c->fs->faults_mutex);
}

/* The newest that fits becomes the fault's place, if none is known. */
static void from_origin(const struct td__origins *from, const char *object, uint64_t which, uint64_t serial, struct td_fault *f)
{
	const struct td__origin *found = 0;

	for (uint32_t i = 1; i <= TD__ORIGINS && !found; i++) {
		const struct td__origin *o = &from->o[(from->next - i) % TD__ORIGINS];

		if (o->frames[0] && o->which == which && o->serial == serial && td__same_text(o->object, object))
			found = o;
	}
	if (!found || f->pc)
		return;
	f->pc = found->frames[0];
	for (f->nframes = 0; f->nframes < TD__ORIGIN_FRAMES && found->frames[f->nframes]; f->nframes++)
		f->frames[f->nframes] = found->frames[f->nframes];
}

void td__origin_get(struct td__call *c, const char *object, uint64_t which, struct td_fault *f)
{
	from_origin(&c->origins, object, which, c->serial, f);
	f->wall = c->domain->level.wall;
	__atomic_or_fetch(&c->fs->traced, 1ull << c->op, __ATOMIC_RELAXED);
}

/* ---- Making mistakes */

/* c->fault holds no fault, and may say where. */
static void note(struct td__call *c, uint32_t kind, const char *what, const char *object, uint64_t which)
{
	static const char *const actions[] = {
		[TD_MISTAKE_ARGUMENT] = "refused", [TD_MISTAKE_HANDLE] = "refused", [TD_MISTAKE_OPERATION] = "refused",
		[TD_MISTAKE_LIMIT] = "refused",    [TD_MISTAKE_BUF] = "closed",     [TD_MISTAKE_LOCK] = "given back",
		[TD_MISTAKE_SHARED] = "dropped",   [TD_MISTAKE_DEADLOCK] = "gave way",
	};
	struct td_fault f = c->fault;

	f.kind = TD_FAULT_MISTAKE;
	f.mistake = kind;
	f.times = 1;
	td__fault_object(&f, object, which);
	td__copy_text(f.detail, sizeof(f.detail), what);
	td__copy_text(f.action, sizeof(f.action), actions[kind]);
	td__fault_describe(c, &f, 1 + c->again);
	td__journal_last(c, &f);
	if (!f.pc && object)
		td__origin_get(c, object, which, &f);
	put_down(c->fs, &f);
}

/* The counters are this slot's, so this thread's; others read them. */
static void count(struct td__call *c, uint32_t kind)
{
	__atomic_store_n(&c->mistakes_by[kind], c->mistakes_by[kind] + 1, __ATOMIC_RELAXED);
}

void td__mistake(struct td__call *c, uint32_t kind, const char *what, const char *object, uint64_t which)
{
	count(c, kind);
	if (!c->fault.kind)
		note(c, kind, what, object, which);
}

int td__careless_of(struct td__call *c, int error, const char *what, const char *object, uint64_t which)
{
	uint32_t kind = kind_of(error);

	c->careless = (struct td__careless){ what, object, which };
	count(c, kind);
	if (!c->fault.kind) {
		c->domain->wall->where(c);
		note(c, kind, what, object, which);
		forget_place(&c->fault);
	}
	if (++c->mistakes > c->domain->level.mistakes && c->domain->level.check != TD_CHECK_OFF && !c->doomed) {
		td__call_fault(c, TD_FAULT_SERVICE, what, 0);
		td__fault_object(&c->fault, object, which);
	}
	return -error;
}

void td__mistake_deadlock(struct td__call *c, uint32_t lock)
{
	char what[96];
	uint32_t held = td__locks_left(c);

	td__copy_text(what, sizeof(what), "deadlock: waited for it, and another call for what this one held");
	if (held) {
		td__copy_text(what, sizeof(what), "deadlock: waited for it, and another call for what this one held, lock ");
		td__copy_number(what + strlen(what), sizeof(what) - strlen(what), held - 1);
	}
	if (c->fault.kind)
		return;
	c->domain->wall->where(c);
	note(c, TD_MISTAKE_DEADLOCK, what, "lock", lock);
	forget_place(&c->fault);
}

/* ---- At the unmount */

static void note_left(struct td__fs *fs, uint64_t n, const char *what, const char *object, uint64_t which)
{
	struct td_fault f;

	td__zero(&f, sizeof(f));
	f.kind = TD_FAULT_MISTAKE;
	f.mistake = TD_MISTAKE_LEFT;
	f.times = n;
	f.op = TD_OP_unmount;
	f.attempt = 1;
	f.wall = fs->domain->level.wall;
	td__port_now(&f.sec, &f.nsec);
	td__copy_text(f.level, sizeof(f.level), fs->domain->level.name);
	td__copy_text(f.module, sizeof(f.module), fs->module->info.name);
	td__fault_object(&f, object, which);
	td__copy_text(f.detail, sizeof(f.detail), what);
	td__copy_text(f.action, sizeof(f.action), "taken back");
	if (object)
		from_origin(&fs->references, object, which, 0, &f);
	put_down(fs, &f);
}

void td__mistakes_left(struct td__fs *fs, uint64_t references, uint64_t memory)
{
	if (memory)
		note_left(fs, 1, "memory that was not given back at the unmount", "bytes", memory);
	if (!references)
		return;
	for (uint32_t i = 0; i < fs->nvnodes; i++) {
		const struct td__vnode *v = td__vnode_at(fs, i);

		if (v->kept)
			note_left(fs, v->kept, "vnode references that were not given back at the unmount", "vnode", td__vnode_handle(v));
	}
	__atomic_store_n(&fs->traced_refs, 1, __ATOMIC_RELAXED);
}
