/* SPDX-License-Identifier: BSD-2-Clause */
/* The gateway: see gateway.h. */
#include "fs.h"
#include "journal.h"

enum { REPEATS_MAX = 1000 };

const struct td__limits *td__limits_of(const struct td__fs *fs)
{
	return &fs->limits;
}

/* ---- Slots */

static struct td__call *claim(struct td__fs *fs)
{
	uint32_t n = __atomic_load_n(&fs->nslots, __ATOMIC_RELAXED);
	uint32_t first = n ? td__port_thread() % n : 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = first + i < n ? first + i : first + i - n;
		struct td__call *c = &fs->calls[slot];
		uint32_t free = 0;

		if (!__atomic_load_n(&c->busy, __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(&c->busy, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return c;
	}
	return 0;
}

static void unclaim(struct td__call *c)
{
	struct td__fs *fs = c->fs;

	__atomic_store_n(&c->busy, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&fs->closed, __ATOMIC_SEQ_CST) || __atomic_load_n(&fs->slot_waiters, __ATOMIC_SEQ_CST)) {
		td__mutex_lock(&fs->gate_mutex);
		td__cond_broadcast(&fs->gate);
		td__mutex_unlock(&fs->gate_mutex);
	}
}

static int let_in(const struct td__fs *fs)
{
	return !__atomic_load_n(&fs->closed, __ATOMIC_SEQ_CST) || td__is_starter(fs);
}

/* A slot with the gate open. */
static int enter_gate(struct td__fs *fs, struct td__call **out)
{
	for (;;) {
		struct td__call *c = claim(fs);

		if (c && let_in(fs) && c->slot < fs->nslots) {
			if (__atomic_load_n(&fs->state, __ATOMIC_RELAXED) != TD_STATE_DETACHED) {
				*out = c;
				return 0;
			}
			unclaim(c);
			return -TD_EIO;
		}
		if (c)
			unclaim(c);
		else if (__atomic_load_n(&fs->state, __ATOMIC_RELAXED) == TD_STATE_DETACHED)
			return -TD_EIO;
		td__mutex_lock(&fs->gate_mutex);
		__atomic_add_fetch(&fs->slot_waiters, 1, __ATOMIC_SEQ_CST);
		td__cond_wait(&fs->gate, &fs->gate_mutex, 2);
		__atomic_sub_fetch(&fs->slot_waiters, 1, __ATOMIC_SEQ_CST);
		td__mutex_unlock(&fs->gate_mutex);
	}
}

int td__call_begin(struct td__fs *fs, uint32_t op, td__attempts *tries, struct td__call **out)
{
	struct td__call *c;
	int err = enter_gate(fs, &c);

	if (err)
		return err;
	__atomic_store_n(&c->domain, fs->domain, __ATOMIC_RELAXED);
	c->frame = c->domain->slots[c->slot].frame;
	c->in_place = c->domain->level.check == TD_CHECK_OFF && c->domain->level.wall == TD_WALL_NONE &&
		      c->domain->level.journal != TD_JOURNAL_ALL;
	__atomic_store_n(&c->op, op, __ATOMIC_RELAXED);
	c->result = 0;
	__atomic_store_n(&c->doomed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->aborted, 0, __ATOMIC_RELAXED);
	c->died = 0;
	c->nvnodes = c->open_top = c->window_used = c->out_at = c->out_size = c->mistakes = 0;
	c->first_lock = c->granted = c->lines = 0;
	c->discarded = 0;
	c->gave_way = tries->gave_way;
	c->uio = 0;
	c->fresh = 0;
	c->io_failed = 0;
	c->mbuf_uses = 0;
	if (!tries->tag && fs->net.has_server)
		tries->tag = td__net_tags(&fs->net);
	c->tag = tries->tag;
	c->again = tries->faults || tries->repeats;
	c->left_messages = tries->left_messages;
	*out = c;
	return 0;
}

/* ---- Packing */

/* A record that stands for two vnodes of a call may change as either of them. */
static void allow(struct td__may *to, const struct td__may *more)
{
	to->fields |= more->fields;
	to->least = to->least < more->least ? to->least : more->least;
	to->most = to->most > more->most ? to->most : more->most;
}

void td__put_vnode(struct td__call *c, int64_t *at, struct td_vnode *rec, struct td__vnode *v, uint32_t mode,
		   const struct td__may *may)
{
	struct td__call_vnode *cv;

	*at = 0;
	if (!v)
		return;
	for (uint32_t i = 0; i < c->nvnodes; i++)
		if (c->vnodes[i].v == v) {
			*at = (char *)c->vnodes[i].rec - (char *)c->frame;
			if (may)
				allow(&c->vnodes[i].may, may);
			return;
		}
	TD__ASSERT(c->nvnodes < TD__CALL_VNODES);
	cv = &c->vnodes[c->nvnodes++];
	cv->v = v;
	cv->mode = mode;
	cv->may = (struct td__may){ 0 };
	if (may)
		cv->may = *may;
	if (c->fs->remote && mode == TD_EXCLUSIVE) /* who opens or closes holds the lock */
		v->rec.flags = __atomic_load_n(&v->opens, __ATOMIC_RELAXED) ? TD_VNODE_OPEN : 0;
	cv->rec = c->in_place ? &v->rec : rec;
	if (c->fs->remote && mode == TD_EXCLUSIVE)
		v->rec.flags = __atomic_load_n(&v->opens, __ATOMIC_RELAXED) ? TD_VNODE_OPEN : 0;
	if (!c->in_place)
		*rec = v->rec;
	*at = (char *)cv->rec - (char *)c->frame;
}

void td__put_new(struct td__call *c, int64_t *at, struct td_vnode *rec, struct td_vnode *v, const struct td__may *may)
{
	c->fresh_may = may;
	*rec = *v;
	*at = (char *)rec - (char *)c->frame;
	c->fresh = v;
	c->fresh_rec = rec;
}

uint32_t td__put_name(uint8_t to[256], struct td_name name)
{
	memcpy(to, name.bytes, name.len);
	to[name.len] = 0;
	return name.len;
}

uint32_t td__put_uio(struct td__call *c, struct td__uio *uio)
{
	uio->moved = 0;
	if (uio->read && uio->read->len) { /* what an earlier attempt has moved */
		td__mbuf_drop(&c->fs->net.pool, uio->read);
		uio->read = td__mbuf_new();
	}
	c->uio = uio->read || uio->data ? uio : 0;
	return 1;
}

static int reserve(struct td__call *c, int64_t *at, uint32_t size)
{
	if (size > TD_WINDOW - c->window_used)
		return -TD_EINVAL;
	*at = c->domain->slots[c->slot].window_at + c->window_used;
	c->window_used += (size + 7) & ~7u;
	return 0;
}

int td__put_bytes(struct td__call *c, int64_t *at, uint32_t *len, struct td_in in)
{
	uint32_t where = c->window_used;
	int err = reserve(c, at, in.len);

	if (err)
		return err;
	memcpy((char *)c->domain->slots[c->slot].window + where, in.data, in.len);
	*len = in.len;
	return 0;
}

int td__put_out(struct td__call *c, int64_t *at, uint32_t *room, uint32_t size)
{
	c->out_at = c->window_used;
	c->out_size = size;
	*room = size;
	return reserve(c, at, size);
}

/* ---- Faults and mistakes */

/* The counters are this slot's, so this thread's; others read them. */
void td__mistake(struct td__call *c, uint32_t kind, uint64_t n)
{
	if (n)
		__atomic_store_n(&c->mistakes_by[kind], c->mistakes_by[kind] + n, __ATOMIC_RELAXED);
}

static uint32_t kind_of(int error)
{
	switch (error) {
	case TD_ESTALE: return TD_MISTAKE_HANDLE;
	case TD_EPERM:
	case TD_EDEADLK: return TD_MISTAKE_OPERATION;
	case TD_EMFILE: return TD_MISTAKE_LIMIT;
	default: return TD_MISTAKE_ARGUMENT;
	}
}

void td__call_fault(struct td__call *c, uint32_t kind, const char *what, const char *detail)
{
	if (!c->fault.kind) {
		c->fault.kind = kind;
		td__why(c->fault.detail, sizeof(c->fault.detail), what, detail ? ": " : 0, detail);
	}
	__atomic_store_n(&c->doomed, kind, __ATOMIC_RELEASE);
}

int td__careless(struct td__call *c, int error, const char *what)
{
	td__mistake(c, kind_of(error), 1);
	if (++c->mistakes > c->domain->level.mistakes && c->domain->level.check != TD_CHECK_OFF)
		td__call_fault(c, TD_FAULT_SERVICE, what, 0);
	return -error;
}

int td__call_check(struct td__call *c, const char *record, const char *wrong)
{
	if (!wrong)
		return 0;
	td__call_fault(c, TD_FAULT_RECORD, record, wrong);
	return -TD_EIO;
}

/* ---- Crossing */

/* Results that come back are checked unless the level says not to; what a process sends always is. */
static int checks(const struct td__call *c)
{
	return c->domain->level.check != TD_CHECK_OFF || c->domain->remote;
}

/*
 * EIO of a call in which no device has failed: the module has found its data inconsistent, which may be its own memory. It is doubted
 * once, so that a new domain answers; if that one says so, too, the mount believes it from then on.
 */
static int is_doubtful(struct td__call *c)
{
	if (c->result != -TD_EIO || c->io_failed || c->fs->remote || __atomic_load_n(&c->fs->eio_believed, __ATOMIC_RELAXED))
		return 0;
	if (!c->again)
		return 1;
	__atomic_store_n(&c->fs->eio_believed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void check_error(struct td__call *c)
{
	if (!td__op_may_fail(c->op, -c->result, c->fs->remote))
		td__call_fault(c, TD_FAULT_RESULT, "an error that the operation cannot have", 0);
	else if (c->op != TD_OP_mount && is_doubtful(c))
		td__call_fault(c, TD_FAULT_RESULT, "EIO, but the device has not failed", 0);
}

static void check_result(struct td__call *c)
{
	if (c->result > 0 || c->result < -4095)
		td__call_fault(c, TD_FAULT_RESULT, "neither 0 nor an error", 0);
	else if (c->result && c->domain->level.check == TD_CHECK_DEEP && c->op != TD_OP_HELLO)
		check_error(c);
}

/* Has the operation changed what it may, and nothing else? Where others change the file system, too, anything may be new. */
static const char *wrong_change(const struct td__call *c, const struct td__may *may, const struct td_vnode *was, const struct td_vnode *is)
{
	return c->domain->level.check == TD_CHECK_DEEP && !c->fs->remote ? td__change_vnode(may, was, is) : 0;
}

static const char *wrong_fresh(const struct td__call *c, const struct td_vnode *was, const struct td_vnode *is)
{
	const char *wrong = td__check_vnode(is, &c->fs->limits);

	if (!wrong)
		wrong = wrong_change(c, c->fresh_may, was, is);
	if (wrong)
		return wrong;
	if (was->fid ? is->fid != was->fid : !is->fid)
		return "fid";
	if (was->type ? is->type != was->type : is->type < TD_REG || is->type > TD_SOCK)
		return "type";
	if (is->flags)
		return "flags";
	return is->handle != was->handle ? "handle" : 0;
}

/* Times aside: who reads may change these meanwhile. What the module did here is dropped in any case. */
static int differs(const struct td_vnode *a, const struct td_vnode *b)
{
	return a->size != b->size || a->blocks != b->blocks || a->mode != b->mode || a->nlink != b->nlink || a->uid != b->uid ||
	       a->gid != b->gid || a->fid != b->fid || a->handle != b->handle;
}

/* Copy what the module may have changed, then check the copy. */
static int take_records(struct td__call *c)
{
	int err = 0;

	for (uint32_t i = 0; i < c->nvnodes && !err; i++) {
		struct td__call_vnode *cv = &c->vnodes[i];

		if (c->in_place)
			continue;
		if (cv->mode != TD_EXCLUSIVE) {
			td__mistake(c, TD_MISTAKE_SHARED, c->domain->level.check == TD_CHECK_DEEP && differs(&cv->v->rec, cv->rec));
			continue;
		}
		cv->back = *cv->rec;
		td__fetched();
		if (checks(c)) {
			err = td__call_check(c, "vnode", td__fixed_vnode(&cv->v->rec, &cv->back));
			if (!err)
				err = td__call_check(c, "vnode", td__check_vnode(&cv->back, &c->fs->limits));
			if (!err)
				err = td__call_check(c, "vnode", wrong_change(c, &cv->may, &cv->v->rec, &cv->back));
		}
	}
	if (c->fresh && !err) {
		struct td_vnode back = *c->fresh_rec;

		td__fetched();
		err = td__call_check(c, "vnode", wrong_fresh(c, c->fresh, &back));
		if (!err)
			*c->fresh = back;
	}
	return err;
}

/* Operations that a caller asks for himself. Others the kernel may do for anybody, at another time. */
static int has_caller(uint32_t op)
{
	const uint64_t set = 1ull << TD_OP_lookup | 1ull << TD_OP_create | 1ull << TD_OP_mknod | 1ull << TD_OP_mkdir |
			     1ull << TD_OP_symlink | 1ull << TD_OP_link | 1ull << TD_OP_unlink | 1ull << TD_OP_rmdir |
			     1ull << TD_OP_rename | 1ull << TD_OP_readdir | 1ull << TD_OP_setattr | 1ull << TD_OP_truncate |
			     1ull << TD_OP_open;

	return (int)(set >> op & 1);
}

static void put_caller(const struct td__call *c, struct td_frame *f)
{
	const struct td_cred *cred = has_caller(c->op) ? td__port_caller() : 0;

	if (!cred)
		return;
	f->flags |= TD_FRAME_CALLER;
	f->uid = cred->uid;
	f->gid = cred->gid;
	f->ngroups = cred->ngroups < TD_GROUPS_MAX ? cred->ngroups : TD_GROUPS_MAX;
	for (uint32_t i = 0; i < f->ngroups; i++)
		f->groups[i] = cred->groups[i];
}

int td__call_enter(struct td__call *c)
{
	struct td_frame *f = c->frame;
	int outcome;

	f->op = c->op;
	f->error = 0;
	f->slot = c->slot;
	f->views = c->domain->views;
	f->bsize = c->fs->device->bsize;
	f->flags = c->again ? TD_FRAME_AGAIN : 0;
	f->tag = c->tag;
	if (c->fs->remote)
		put_caller(c, f);
	f->granted = c->domain->remote ? td__lock_grant(c, c->expected[c->op]) : 0;
	td__port_now(&f->now_sec, &f->now_nsec);
	__atomic_store_n(&c->calls_by_op[c->op], c->calls_by_op[c->op] + 1, __ATOMIC_RELAXED);
	td__port_set_call(c);
	__atomic_store_n(&c->started, c->started + 1, __ATOMIC_RELEASE);
	outcome = c->domain->wall->enter(c);
	__atomic_store_n(&c->started, c->started + 1, __ATOMIC_RELEASE);
	td__port_set_call(0);
	if (outcome == TD__DIED) {
		c->died = 1;
		return -TD_EIO;
	}
	if (outcome == TD__RETURNED && !c->aborted) {
		if (c->doomed && !c->fault.kind)
			td__call_fault(c, c->doomed, "returned only after its time", 0);
		if (checks(c))
			check_result(c);
		if (c->domain->level.check == TD_CHECK_DEEP && td__locks_left(c))
			td__call_fault(c, TD_FAULT_LOCK, "returned without giving a lock back", 0);
		td__note_heap(c->fs, f->heap_used);
		if (!c->fault.kind && !c->result)
			return take_records(c);
	}
	if (c->fault.kind || c->aborted || outcome == TD__FAULTED)
		return -TD_EIO;
	return c->result;
}

int td__take_count(struct td__call *c, const char *what, uint32_t got, uint32_t most, uint32_t *count)
{
	*count = got;
	return td__call_check(c, what, got > most ? "count" : 0);
}

int td__take_bytes(struct td__call *c, uint32_t len, struct td_out *out)
{
	if (len > c->out_size)
		return td__call_check(c, "bytes", "length");
	memcpy(out->data, (char *)c->domain->slots[c->slot].window + c->out_at, len);
	out->used = len;
	return 0;
}

/* ---- Ending */

/* What the call has changed is no longer in doubt, and others may change it. */
static uint32_t let_go(struct td__call *c)
{
	__atomic_store_n(&c->serial, c->serial + 1, __ATOMIC_RELEASE);
	return td__locks_give_all(c);
}

/* Give back what the call still holds; what the module should have given back itself is counted. */
static void tidy(struct td__call *c)
{
	uint32_t forgotten = 0;

	for (uint32_t i = 0; i < c->open_top; i++)
		forgotten += c->bufs[i].open;
	td__mistake(c, TD_MISTAKE_BUF, forgotten + td__mbufs_close_all(c));
	td__mistake(c, TD_MISTAKE_LOCK, let_go(c));
}

static void commit(struct td__call *c)
{
	for (uint32_t i = 0; i < c->nvnodes; i++) {
		if (c->vnodes[i].mode != TD_EXCLUSIVE)
			continue;
		if (!c->in_place)
			td__record_take(&c->vnodes[i].v->rec, &c->vnodes[i].back);
		td__vnode_believe(c->vnodes[i].v, c->fs->info.attr_ms);
		if (!c->vnodes[i].v->rec.nlink)
			td__vnode_nameless(c->vnodes[i].v);
	}
	td__journal_commit(c);
	tidy(c);
}

static void describe(struct td__call *c, struct td_fault *f, uint32_t attempt)
{
	td__port_now(&f->sec, &f->nsec);
	f->op = c->op;
	f->attempt = attempt;
	f->wall = c->domain->level.wall;
	if (c->nvnodes) {
		f->vnode = td__vnode_handle(c->vnodes[0].v);
		f->fid = c->vnodes[0].v->rec.fid;
	}
	td__copy_text(f->level, sizeof(f->level), c->domain->level.name);
	td__copy_text(f->module, sizeof(f->module), c->fs->module->info.name);
}

/* The call did not come to an end of its own: undo it, replace the domain if need be, and say whether to try again. */
static int failed(struct td__call *c, td__attempts *tries, int *err)
{
	struct td__fs *fs = c->fs;
	uint64_t id = c->domain->id;
	struct td_fault fault = c->fault;
	int faulted = fault.kind != TD_FAULT_NONE, died = c->died;

	if (c->aborted && !tries->gave_way)
		tries->gave_way = __atomic_add_fetch(&fs->locks.gave_way, 1, __ATOMIC_RELAXED);

	td__journal_undo(c, faulted ? &fault : 0);
	let_go(c);
	td__mbufs_close_all(c);
	tries->left_messages = c->left_messages;
	if (faulted)
		describe(c, &fault, tries->faults + 1);
	c->fault.kind = TD_FAULT_NONE;
	memset(&c->fault, 0, sizeof(c->fault));
	*err = -TD_EIO;
	int starting = td__is_starter(fs);
	if (starting && tries->left_messages)
		td__net_call_over(&fs->net, tries->tag);
	if (faulted)
		__atomic_store_n(&fs->guilty, id, __ATOMIC_SEQ_CST);
	unclaim(c);
	if (starting) {
		if (faulted) {
			td__copy_text(fault.action, sizeof(fault.action), "start given up");
			td__fault_note(fs, &fault);
		}
		return 0;
	}
	if (faulted)
		tries->faults++;
	else
		tries->repeats++;
	int again = faulted ? tries->faults < 2 : tries->repeats < REPEATS_MAX;
	if (!again && tries->left_messages)
		td__net_call_over(&fs->net, tries->tag);
	if (faulted)
		td__copy_text(fault.action, sizeof(fault.action),
			      again ? "restarted, call made again" : "restarted, call failed with EIO");
	if (faulted || died) {
		char why[8];

		td__domain_replace(fs, id, 0, faulted ? &fault : 0, why, sizeof(why));
	}
	return again;
}

int td__call_end(struct td__call *c, td__attempts *tries, int *err)
{
	if (c->fault.kind || c->died || c->aborted)
		return failed(c, tries, err);
	c->expected[c->op] = c->first_lock;
	if (!*err) {
		commit(c);
	} else {
		if (c->domain->level.journal == TD_JOURNAL_ALL)
			td__journal_undo(c, 0);
		else
			c->journal.used = c->journal.last = c->journal.entries = 0;
		tidy(c);
	}
	if (c->left_messages)
		td__net_call_over(&c->fs->net, c->tag);
	unclaim(c);
	return 0;
}
