/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of domains. A mount has one at a time; it is replaced after a fault and for a change of level:
 *
 *   start the new one (load the module; calls go on in the old one, if it still lives)
 *   close the gate, wait until no slot is claimed
 *   unmount in the old one, if it is in good order
 *   the new one takes the place; hello and mount
 *   open the gate; end the old one
 *
 * What the module needs is in the bufs, so nothing is carried over. Who waits at the gate notices only the delay.
 */
#include "commit.h"
#include "fs.h"

enum { START_TRIES = 3 };

static int all_idle(const struct td__fs *fs)
{
	for (uint32_t i = 0; i < TD__SLOTS; i++)
		if (__atomic_load_n(&fs->calls[i].busy, __ATOMIC_SEQ_CST) || __atomic_load_n(&fs->calls[i].entered, __ATOMIC_ACQUIRE))
			return 0;
	return 1;
}

static void close_gate(struct td__fs *fs)
{
	__atomic_store_n(&fs->state, TD_STATE_CHANGING, __ATOMIC_RELAXED);
	__atomic_or_fetch(&fs->closed, TD__REPLACED, __ATOMIC_SEQ_CST);
	if (fs->owners)
		td__port_barrier_all();
	td__net_interrupt(&fs->net);
	td__mutex_lock(&fs->gate_mutex);
	while (!all_idle(fs))
		td__cond_wait(&fs->gate, &fs->gate_mutex, 1);
	td__mutex_unlock(&fs->gate_mutex);
}

static void open_gate(struct td__fs *fs, uint32_t state)
{
	td__mutex_lock(&fs->gate_mutex);
	__atomic_store_n(&fs->state, state, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fs->closed, 0, __ATOMIC_SEQ_CST); /* a new domain has used nothing of its share */
	td__cond_broadcast(&fs->gate);
	td__mutex_unlock(&fs->gate_mutex);
}

static void install(struct td__fs *fs, struct td__domain *d)
{
	td__mutex_lock(&fs->tick_mutex);
	if (d)
		d->id = ++fs->domains;
	fs->domain = d;
	__atomic_store_n(&fs->dear, d ? d->remote : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&fs->nslots, !d ? 0 : d->nslots < d->level.calls ? d->nslots : d->level.calls, __ATOMIC_SEQ_CST);
	fs->cpu_debt = 0;
	__atomic_store_n(&fs->heap_used, 0, __ATOMIC_RELAXED);
	td__mutex_unlock(&fs->tick_mutex);
}

/* A reason, and the fault if there was one: the mount may never be, and then nobody can ask for it. */
static void why_failed(const struct td__fs *fs, const char *reason, char *why, size_t size)
{
	const struct td_fault *f = &fs->faults[(fs->nfaults - 1) % TD_FAULTS_KEPT];
	size_t used;

	td__why(why, size, reason, 0, 0);
	if (!fs->nfaults || f->op > TD_OP_mount)
		return;
	used = strlen(why);
	td__why(why + used, size - used, ": ", td_fault_names[f->kind], f->detail[0] ? ": " : 0);
	used = strlen(why);
	td__why(why + used, size - used, f->detail, 0, 0);
}

/* What is wrong with the operations that a new domain says it has; 0: nothing. A mount's operations are always the same. */
static const char *wrong_bound(const struct td__fs *fs, uint64_t bound)
{
	const uint64_t least = 1ull << TD_OP_mount | 1ull << TD_OP_getvnode;

	if ((bound & least) != least)
		return "no mount or no getvnode operation";
	return fs->root && bound != (fs->hooks.bound & ~TD__HOOK_REMOTE) ? "other operations than before" : 0;
}

/* The calls that only the starter makes, with the gate closed. */
static int hello(struct td__fs *fs, char *why, size_t size)
{
	td__attempts tries = { 0 };
	const char *wrong = 0;
	uint64_t bound = 0;
	struct td__call *c;
	int err = td__call_begin(fs, TD_OP_HELLO, &tries, &c);

	if (err)
		return err;
	((struct td_frame_hello *)c->frame)->marked = fs->domain->level.check != TD_CHECK_OFF;
	err = td__call_enter(c);
	if (!err) {
		bound = c->frame->bound & ((1ull << TD_OP_MAX) - 1) & ~TD__HOOK_REMOTE;
		wrong = wrong_bound(fs, bound);
	}
	td__call_end(c, &tries, &err);
	if (wrong) {
		td__why(why, size, "the module '", fs->module->info.name, "' has ");
		td__why(why + strlen(why), size - strlen(why), wrong, 0, 0);
		return -TD_ENOEXEC;
	}
	if (err) {
		why_failed(fs, "the module failed in its first call", why, size);
		return err;
	}
	fs->domain->bound = bound;
	if (!fs->root) /* the mount has just begun: nobody reads it as yet, and it is never another */
		fs->hooks.bound = bound;
	return 0;
}

static const char *mount_remedy(int err)
{
	switch (-err) {
	case TD_EMEDIUMTYPE:
		return "the image holds no file system of this module; give the right module, or an empty image to be formatted";
	case TD_EUCLEAN:
		return "the file system in the image is damaged";
	case TD_ENOSPC:
		return "the device is too small for a file system";
	case TD_EIO:
		return "the module failed while mounting, or the image cannot be read";
	default:
		return "the module refused to mount";
	}
}

/* What a mount has said of itself bounds what it can say of its files; a server's limits are of what clients may ask for. */
static void set_limits(struct td__fs *fs)
{
	fs->limits.maxsize = fs->remote ? 0x7fffffffffffffffull : fs->info.maxsize;
	fs->limits.maxlink = fs->remote ? 0x7fffffff : fs->info.maxlink;
	fs->limits.units = fs->remote ? ~0ull >> 10 : fs->device->blocks * (fs->device->bsize / 512);
}

static int mount(struct td__fs *fs, uint32_t format, char *why, size_t size)
{
	struct td_device dev = { fs->device->blocks, fs->device->bsize, fs->device->flags, fs->maxfiles, 0 };
	struct td_fsinfo info;
	int err;

	td__net_new_domain(&fs->net);
	fs->said[0] = 0;
	err = td__fs_mount(fs, &dev, format, &info);
	if (err) {
		why_failed(fs, fs->said[0] ? fs->said : mount_remedy(err), why, size);
		return err;
	}
	if (fs->root && info.root != fs->info.root) {
		td__why(why, size, "the module names another root directory than before", 0, 0);
		return -TD_EUCLEAN;
	}
	if (!fs->root) { /* later these are read without a lock, and have not changed */
		fs->info = info;
		fs->remote = info.flags & TD_FS_REMOTE;
		fs->hooks.bound |= fs->remote ? TD__HOOK_REMOTE : 0;
	}
	set_limits(fs);
	return 0;
}

/* Put d in the mount's place and bring it to life. The gate is closed. */
static int bring_up(struct td__fs *fs, struct td__domain *d, uint32_t format, char *why, size_t size)
{
	int err;

	install(fs, d);
	err = hello(fs, why, size);
	if (!err)
		err = mount(fs, format, why, size);
	return err;
}

/* What a module in good order has not given back by now goes with its domain. */
static void note_left(struct td__fs *fs)
{
	uint64_t references = __atomic_load_n(&fs->kept, __ATOMIC_RELAXED);
	uint64_t memory = __atomic_load_n(&fs->heap_used, __ATOMIC_RELAXED);

	if (!references && !memory)
		return;
	__atomic_add_fetch(&fs->left_references, references, __ATOMIC_RELAXED);
	__atomic_add_fetch(&fs->left_memory, memory, __ATOMIC_RELAXED);
	td__mistakes_left(fs, references, memory);
	td__port_log(4, "a module was unmounted without giving back all memory or references: see `tadan faults`");
}

static void say_goodbye(struct td__fs *fs, uint32_t last)
{
	if (!fs->domain)
		return;
	if (td__hook_bound(fs, TD_OP_unmount) && td__fs_unmount(fs, last))
		return;
	note_left(fs);
}

int td__domain_first(struct td__fs *fs, const struct td_level *level, uint32_t format, char *why, size_t size)
{
	struct td__domain *d;
	int err;

	d = td__domain_get(fs, level, why, size, &err);
	if (!d)
		return err;
	__atomic_store_n(&fs->starter, td__port_thread() + 1, __ATOMIC_RELAXED);
	close_gate(fs);
	err = bring_up(fs, d, format, why, size);
	__atomic_store_n(&fs->starter, 0, __ATOMIC_RELAXED);
	if (err) {
		install(fs, 0);
		td__domain_end(d);
		return err;
	}
	int64_t sec;
	uint32_t nsec;
	td__port_now(&sec, &nsec);
	fs->since_sec = sec;
	open_gate(fs, TD_STATE_RUNNING);
	td__standby_want(fs);
	return 0;
}

void td__domain_last(struct td__fs *fs)
{
	struct td__domain *d;

	td__mutex_lock(&fs->life);
	d = fs->domain;
	if (d) {
		__atomic_store_n(&fs->starter, td__port_thread() + 1, __ATOMIC_RELAXED);
		close_gate(fs);
		say_goodbye(fs, 1);
		__atomic_store_n(&fs->starter, 0, __ATOMIC_RELAXED);
		install(fs, 0);
		td__domain_end(d);
	}
	td__mutex_unlock(&fs->life);
}

/* Is one more restart within the limit? */
static int may_restart(struct td__fs *fs, const struct td_level *level)
{
	enum { KEPT = sizeof(fs->restart_times) / sizeof(fs->restart_times[0]) };
	uint64_t now = td__port_monotonic(), recent = 0;

	for (uint32_t i = 0; i < KEPT; i++)
		recent += fs->restart_times[i] && now - fs->restart_times[i] < level->restart_s * 1000000000ull;
	if (recent >= level->restarts && level->restarts < KEPT)
		return 0;
	if (!level->restarts)
		return 0;
	fs->restart_times[fs->restarts % KEPT] = now;
	return 1;
}

static void detach(struct td__fs *fs, struct td__domain *old)
{
	td__standby_drop(fs);
	install(fs, 0);
	open_gate(fs, TD_STATE_DETACHED);
	td__domain_retire(fs, old);
	td__port_log(3, "the module keeps failing and has been detached; its callers get EIO. See `tadan faults`; "
			"`tadan level` attaches it again");
}

/* The process of a domain ended without a fault that a call could report: somebody killed it. */
static void describe_gone(const struct td__fs *fs, struct td_fault *f)
{
	td__zero(f, sizeof(*f));
	f->kind = TD_FAULT_GONE;
	td__port_now(&f->sec, &f->nsec);
	td__copy_text(f->level, sizeof(f->level), fs->domain->level.name);
	td__copy_text(f->module, sizeof(f->module), fs->module->info.name);
	td__copy_text(f->detail, sizeof(f->detail), "the module's process was ended from outside");
	td__copy_text(f->action, sizeof(f->action), "restarted");
}

/* One try to have a new domain in the place of the old one, with the gate closed from then on. */
static int start_again(struct td__fs *fs, const struct td_level *level, char *why, size_t size)
{
	struct td__domain *new;
	int err;

	new = td__domain_get(fs, level, why, size, &err);
	__atomic_store_n(&fs->starter, td__port_thread() + 1, __ATOMIC_RELAXED);
	close_gate(fs);
	td__vnodes_unkeep_all(fs);
	if (!new)
		return err;
	err = bring_up(fs, new, 0, why, size);
	if (!err)
		return 0;
	install(fs, 0);
	td__domain_end(new);
	return err;
}

/* A new domain can fail, too, or be killed while it starts: that counts as a restart and is tried again. */
static int after_fault(struct td__fs *fs, char *why, size_t size)
{
	struct td__domain *old = fs->domain;
	struct td_level level = old->level;
	int err = -TD_EIO, tried = 0;

	for (; err && tried < START_TRIES && may_restart(fs, &level); tried++) {
		err = start_again(fs, &level, why, size);
		fs->restarts++;
	}
	if (!tried) {
		close_gate(fs);
		td__vnodes_unkeep_all(fs);
	}
	__atomic_store_n(&fs->starter, 0, __ATOMIC_RELAXED);
	if (err) {
		fs->detached = tried ? "detached: cannot be started again" : "detached: failed too often";
		detach(fs, old);
		return err;
	}
	open_gate(fs, TD_STATE_RUNNING);
	td__domain_retire(fs, old);
	td__standby_want(fs);
	return 0;
}

/* The old domain has said goodbye, so it is not asked to begin again with its memory as it is: if need be, a new one takes its place. */
static int move(struct td__fs *fs, const struct td_level *level, uint64_t *closed_at, char *why, size_t size)
{
	struct td__domain *old = fs->domain, *new;
	int err, back = 0;

	new = td__domain_get(fs, level, why, size, &err);
	if (!new)
		return err;
	__atomic_store_n(&fs->starter, td__port_thread() + 1, __ATOMIC_RELAXED);
	*closed_at = td__port_monotonic();
	close_gate(fs);
	say_goodbye(fs, 0);
	td__vnodes_unkeep_all(fs);
	err = bring_up(fs, new, 0, why, size);
	if (err) {
		char ignored[128];

		install(fs, 0);
		td__domain_end(new);
		back = old && !start_again(fs, &old->level, ignored, sizeof(ignored));
	}
	__atomic_store_n(&fs->starter, 0, __ATOMIC_RELAXED);
	if (err) {
		fs->detached = back ? 0 : "detached: cannot be started again";
		open_gate(fs, back ? TD_STATE_RUNNING : TD_STATE_DETACHED);
		td__domain_retire(fs, old);
		if (back)
			td__standby_want(fs);
		return err;
	}
	uint32_t nsec;
	__atomic_store_n(&fs->eio_believed, 0, __ATOMIC_RELAXED);
	td__mutex_lock(&fs->tick_mutex);
	td__port_now(&fs->since_sec, &nsec);
	fs->level_changes++;
	td__mutex_unlock(&fs->tick_mutex);
	for (uint32_t i = 0; i < sizeof(fs->restart_times) / sizeof(fs->restart_times[0]); i++)
		fs->restart_times[i] = 0;
	open_gate(fs, TD_STATE_RUNNING);
	__atomic_store_n(&fs->last_pause_ns, td__port_monotonic() - *closed_at, __ATOMIC_RELAXED);
	td__domain_retire(fs, old);
	td__standby_want(fs);
	return 0;
}

int td__domain_replace(struct td__fs *fs, uint64_t id, const struct td_level *level, struct td_fault *fault,
		       char *why, size_t size)
{
	uint64_t begin = td__port_monotonic(), closed_at = begin;
	struct td_fault gone;
	int err = 0;

	td__mutex_lock(&fs->life);
	if (level) {
		err = move(fs, level, &closed_at, why, size);
	} else if (fs->domain && fs->domain->id == id) {
		describe_gone(fs, &gone);
		err = after_fault(fs, why, size);
		/* The gate was closed, so whoever was inside has said by now that it is the one to blame. */
		if (!fault && __atomic_load_n(&fs->guilty, __ATOMIC_SEQ_CST) != id)
			fault = &gone;
	}
	if (fault) {
		if (fs->state == TD_STATE_DETACHED)
			td__copy_text(fault->action, sizeof(fault->action), fs->detached);
		fault->recovery_ns = td__port_monotonic() - begin;
		td__fault_note(fs, fault);
	}
	td__mutex_unlock(&fs->life);
	return err;
}

int td_set_level(struct td__fs *fs, const struct td_level *level, uint64_t *pause_ns, char *why, size_t size)
{
	int err;

	td__operation_begin(fs, 0);
	err = td__domain_replace(fs, 0, level, 0, why, size);
	if (!err) {
		td__orphans_retry(fs, ~0ull);
		if (!fs->dear)
			td__graves_empty(fs);
	}
	td__operation_end(fs);

	if (pause_ns)
		*pause_ns = err ? 0 : fs->last_pause_ns;
	return err;
}
