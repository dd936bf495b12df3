/* SPDX-License-Identifier: BSD-2-Clause */
/* The gateway: see gateway.h. */
#include "straight.h"
#include "journal.h"

enum { REPEATS_MAX = 1000 };

const struct td__limits *td__limits_of(const struct td__fs *fs)
{
	return &fs->limits;
}

/* ---- Slots */

/* The slot is ours if it is free, and we still are its owner when that can be seen. */
static inline __attribute__((always_inline)) int claim_as_owner(struct td__call *c, uint32_t self)
{
	if (__atomic_load_n(&c->owner, __ATOMIC_RELAXED) != self || __atomic_load_n(&c->entered, __ATOMIC_RELAXED))
		return 0;
	__atomic_store_n(&c->entered, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&c->owner, __ATOMIC_RELAXED) == self) {
		c->owned = 1;
		return 1;
	}
	__atomic_store_n(&c->entered, 0, __ATOMIC_RELEASE);
	return 0;
}

static int claim_everybodys(struct td__call *c)
{
	uint32_t free = 0;

	if (__atomic_load_n(&c->busy, __ATOMIC_RELAXED) || __atomic_load_n(&c->entered, __ATOMIC_ACQUIRE) ||
	    !__atomic_compare_exchange_n(&c->busy, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return 0;
	c->owned = 0;
	return 1;
}

static int claim_one(const struct td__fs *fs, struct td__call *c, uint32_t self)
{
	uint32_t owner = __atomic_load_n(&c->owner, __ATOMIC_RELAXED);

	if (!owner && __atomic_compare_exchange_n(&c->owner, &owner, fs->owners ? self : TD__EVERYBODY, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		owner = fs->owners ? self : TD__EVERYBODY;
	return owner == self ? claim_as_owner(c, self) : owner == TD__EVERYBODY ? claim_everybodys(c) : 0;
}

/* Some owner has gone, or has no use for all of its slots, or there are more threads than slots. */
static int disown(struct td__call *c, uint32_t self)
{
	uint32_t owner = __atomic_load_n(&c->owner, __ATOMIC_RELAXED);

	if (owner == self || owner == TD__EVERYBODY)
		return 0;
	if (__atomic_compare_exchange_n(&c->owner, &owner, TD__EVERYBODY, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		td__port_barrier_all();
	return claim_everybodys(c);
}

static uint32_t first_slot(uint32_t self, uint32_t n)
{
	uint32_t slot = self % 64;

	return slot < n ? slot : slot % n;
}

static struct td__call *claim(struct td__fs *fs)
{
	uint32_t n = __atomic_load_n(&fs->nslots, __ATOMIC_RELAXED), self = td__port_thread();
	uint32_t first = n ? first_slot(self, n) : 0;

	for (uint32_t i = 0; i < 2 * n; i++) {
		struct td__call *c = &fs->calls[(first + i) % n];

		if (i < n ? claim_one(fs, c, self) : disown(c, self))
			return c;
	}
	return 0;
}

static __attribute__((noinline)) void tell_waiters(struct td__fs *fs)
{
	td__mutex_lock(&fs->gate_mutex);
	td__cond_broadcast(&fs->gate);
	td__mutex_unlock(&fs->gate_mutex);
}

static inline void unclaim(struct td__call *c)
{
	struct td__fs *fs = c->fs;

	if (c->owned) {
		__atomic_store_n(&c->entered, 0, __ATOMIC_RELEASE);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} else {
		__atomic_store_n(&c->busy, 0, __ATOMIC_SEQ_CST);
	}
	if (__atomic_load_n(&fs->closed, __ATOMIC_SEQ_CST) || __atomic_load_n(&fs->slot_waiters, __ATOMIC_SEQ_CST))
		tell_waiters(fs);
}

static int let_in(const struct td__fs *fs)
{
	return !__atomic_load_n(&fs->closed, __ATOMIC_SEQ_CST) || td__is_starter(fs);
}

/* A slot with the gate open; 0: the mount is detached. */
static __attribute__((noinline)) struct td__call *enter_gate(struct td__fs *fs)
{
	for (;;) {
		struct td__call *c = claim(fs);

		if (c && let_in(fs) && c->slot < fs->nslots) {
			if (__atomic_load_n(&fs->state, __ATOMIC_RELAXED) != TD_STATE_DETACHED)
				return c;
			unclaim(c);
			return 0;
		}
		if (c)
			unclaim(c);
		else if (__atomic_load_n(&fs->state, __ATOMIC_RELAXED) == TD_STATE_DETACHED)
			return 0;
		td__mutex_lock(&fs->gate_mutex);
		__atomic_add_fetch(&fs->slot_waiters, 1, __ATOMIC_SEQ_CST);
		td__cond_wait(&fs->gate, &fs->gate_mutex, 2);
		__atomic_sub_fetch(&fs->slot_waiters, 1, __ATOMIC_SEQ_CST);
		td__mutex_unlock(&fs->gate_mutex);
	}
}

/* The same, where the thread has come before. A mount that is detached has no slots. */
static struct td__call *enter_again(struct td__fs *fs)
{
	uint32_t n = __atomic_load_n(&fs->nslots, __ATOMIC_RELAXED), self = td__port_thread();
	struct td__call *c;

	if (!n)
		return 0;
	c = &fs->calls[first_slot(self, n)];
	if (!claim_as_owner(c, self))
		return 0;
	if (!__atomic_load_n(&fs->closed, __ATOMIC_ACQUIRE) && c->slot < __atomic_load_n(&fs->nslots, __ATOMIC_RELAXED))
		return c;
	unclaim(c);
	return 0;
}

/* The slot is used in this domain for the first time. */
static __attribute__((noinline)) void come_to(struct td__call *c, struct td__domain *d)
{
	__atomic_store_n(&c->domain, d, __ATOMIC_RELAXED);
	c->id = d->id;
	c->frame = d->slots[c->slot].frame;
	c->behind = d->slots[c->slot].private;
	c->heap_used = d->heap_used ? d->heap_used : &c->frame->heap_used;
	c->straight = d->straight;
	c->in_place = d->in_place;
	c->prepared = TD__STALE;
}

/* By a few wide stores; the compiler would rather call memset(). */
static inline void make_zero(struct td__call *c)
{
	typedef uint64_t pair __attribute__((vector_size(16), may_alias));
	enum { FROM = __builtin_offsetof(struct td__call, died), TO = __builtin_offsetof(struct td__call, fresh_rec) };
	_Static_assert(FROM % sizeof(pair) == 0 && (TO - FROM) % sizeof(pair) == 0, "a call's beginning");

#pragma GCC unroll 16
	for (uint32_t at = FROM; at < TO; at += sizeof(pair)) {
		*(pair *)((char *)c + at) = (pair){ 0 };
		__asm__ volatile("" : : : "memory");
	}
}

int td__call_begin(struct td__fs *fs, uint32_t op, td__attempts *tries, struct td__call **out)
{
	struct td__call *c = enter_again(fs);

	if (!c)
		c = enter_gate(fs);
	if (!c)
		return -TD_EIO;
	if (c->id != fs->domain->id)
		come_to(c, fs->domain);
	__atomic_store_n(&c->op, op, __ATOMIC_RELAXED);
	c->result = 0;
	__atomic_store_n(&c->doomed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->aborted, 0, __ATOMIC_RELAXED);
	make_zero(c);
	c->gave_way = tries->gave_way;
	if (!tries->tag && fs->net.has_server)
		tries->tag = td__net_tags(&fs->net);
	c->tag = tries->tag;
	c->again = tries->faults || tries->repeats;
	c->traced = tries->faults || __atomic_load_n(&fs->traced, __ATOMIC_RELAXED) >> op & 1;
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
	cv = td__call_vnode(c, v, mode);
	cv->may = (struct td__may){ 0 };
	if (may)
		cv->may = *may;
	cv->rec = c->in_place ? &v->rec : rec;
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

/* ---- Faults */

void td__call_fault(struct td__call *c, uint32_t kind, const char *what, const char *detail)
{
	if (!c->fault.kind) {
		c->fault.kind = kind;
		td__why(c->fault.detail, sizeof(c->fault.detail), what, detail ? ": " : 0, detail);
	}
	__atomic_store_n(&c->doomed, kind, __ATOMIC_RELEASE);
}

int td__call_wrong(struct td__call *c, const char *what, const char *wrong)
{
	if (!wrong)
		return 0;
	td__call_fault(c, TD_FAULT_RECORD, what, wrong);
	return -TD_EIO;
}

int td__call_check(struct td__call *c, const struct td__fields *r, const void *was, const void *is, const char *wrong)
{
	if (!wrong)
		return 0;
	if (!c->fault.kind)
		td__fault_field(&c->fault, r, was, is, wrong);
	td__call_fault(c, TD_FAULT_RECORD, r->name, wrong);
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

static void wrong_result(struct td__call *c, const char *what)
{
	if (!c->fault.kind)
		td__fault_object(&c->fault, "result", (uint64_t)(int64_t)c->result);
	td__call_fault(c, TD_FAULT_RESULT, what, 0);
}

static void check_error(struct td__call *c)
{
	if (!td__op_may_fail(c->op, -c->result, c->fs->remote))
		wrong_result(c, "an error that the operation cannot have");
	else if (c->op != TD_OP_mount && is_doubtful(c))
		wrong_result(c, "EIO, but the device has not failed");
}

/* The module believes to be still in its critical section. */
static void check_locks(struct td__call *c)
{
	uint32_t left = td__locks_are_left(c) && !c->fault.kind ? td__locks_left(c) : 0;

	if (!left)
		return;
	td__call_fault(c, TD_FAULT_LOCK, "returned without giving a lock back", 0);
	td__fault_object(&c->fault, "lock", left - 1);
	td__origin_get(c, "lock", left - 1, &c->fault);
}

static void check_result(struct td__call *c)
{
	if (c->result > 0 || c->result < -4095)
		wrong_result(c, "neither 0 nor an error");
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
	if (is->flags != was->flags)
		return "flags";
	return is->handle != was->handle ? "handle" : 0;
}

/* Times aside: who reads may change these meanwhile. What the module did here is dropped in any case. */
static int differs(const struct td_vnode *a, const struct td_vnode *b)
{
	return a->size != b->size || a->blocks != b->blocks || a->mode != b->mode || a->nlink != b->nlink || a->uid != b->uid ||
	       a->gid != b->gid || a->fid != b->fid || a->handle != b->handle;
}

static int check_vnode(struct td__call *c, const struct td_vnode *was, const struct td_vnode *is, const char *wrong)
{
	return td__call_check(c, &td__fields_vnode, was, is, wrong);
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
			if (c->domain->level.check == TD_CHECK_DEEP && differs(&cv->v->rec, cv->rec))
				td__mistake(c, TD_MISTAKE_SHARED, "changed the record of a vnode that it had for reading", "vnode",
					    td__vnode_handle(cv->v));
			continue;
		}
		cv->back = *cv->rec;
		td__fetched();
		if (checks(c)) {
			err = check_vnode(c, &cv->v->rec, &cv->back, td__fixed_vnode(&cv->v->rec, &cv->back));
			if (!err)
				err = check_vnode(c, &cv->v->rec, &cv->back, td__check_vnode(&cv->back, &c->fs->limits));
			if (!err)
				err = check_vnode(c, &cv->v->rec, &cv->back, wrong_change(c, &cv->may, &cv->v->rec, &cv->back));
		}
	}
	if (c->fresh && !err) {
		struct td_vnode back = *c->fresh_rec;

		td__fetched();
		err = check_vnode(c, c->fresh, &back, wrong_fresh(c, c->fresh, &back));
		if (!err)
			*c->fresh = back;
	}
	return err;
}

/* Operations that a caller asks for himself. Others the kernel may do for anybody, at another time. */
static int has_caller(uint32_t op)
{
	const uint64_t set = 1ull << TD_OP_lookup | 1ull << TD_OP_create | 1ull << TD_OP_mknod | 1ull << TD_OP_tmpfile | 1ull << TD_OP_mkdir |
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

/* What a frame says of every call, whatever its operation. */
static void put_header(const struct td__call *c, struct td_frame *f)
{
	f->op = c->op;
	f->error = 0;
	f->slot = c->slot;
	f->views = c->domain->views;
	f->bsize = c->fs->device->bsize;
	f->flags = (c->again ? TD_FRAME_AGAIN : 0) | (c->kept ? TD_FRAME_KEPT : 0);
	f->tag = c->tag;
	f->now_sec = 0;
	if (c->fs->remote)
		put_caller(c, f);
}

static int cross(struct td__call *c)
{
	int outcome;

	if (c->straight) /* HELLO comes this way */
		td__port_set_call(c);
	td__call_started(c);
	outcome = c->domain->wall->enter(c);
	td__call_stopped(c);
	return outcome;
}

int td__call_enter(struct td__call *c)
{
	struct td_frame *f = c->frame;
	int outcome;

	put_header(c, f);
	c->kept = 0;
	f->granted = 0;
	if (c->domain->remote) { /* where asking is dear */
		f->granted = td__lock_grant(c, c->expected[c->op]);
		f->flags |= c->traced ? TD_FRAME_TRACED : 0;
		td__port_now(&f->now_sec, &f->now_nsec);
	}
	outcome = cross(c);
	if (outcome == TD__DIED) {
		c->died = 1;
		return -TD_EIO;
	}
	if (outcome == TD__RETURNED && !c->aborted) {
		if (c->doomed && !c->fault.kind)
			td__call_fault(c, c->doomed, "returned only after its time", 0);
		if (checks(c))
			check_result(c);
		if (c->domain->level.check == TD_CHECK_DEEP)
			check_locks(c);
		td__note_heap(c->fs, __atomic_load_n(c->heap_used, __ATOMIC_RELAXED));
		if (!c->fault.kind && !c->result)
			return take_records(c);
	}
	if (c->fault.kind || c->aborted || outcome == TD__FAULTED)
		return -TD_EIO;
	return c->result;
}

void td__straight_prepare(struct td__call *c)
{
	if (c->prepared == TD__STALE)
		put_header(c, c->frame);
	c->straight->begin(c->frame);
	c->prepared = TD__PREPARED;
}

int td__take_count(struct td__call *c, const char *what, uint32_t got, uint32_t most, uint32_t *count)
{
	*count = got;
	return td__call_wrong(c, what, got > most ? "count" : 0);
}

int td__take_bytes(struct td__call *c, uint32_t len, struct td_out *out)
{
	if (len > c->out_size)
		return td__call_wrong(c, "bytes", "length");
	memcpy(out->data, (char *)c->domain->slots[c->slot].window + c->out_at, len);
	out->used = len;
	return 0;
}

/* ---- Ending */

/* What the call has changed is no longer in doubt, and others may change it. */
static void let_go(struct td__call *c)
{
	__atomic_store_n(&c->serial, c->serial + 1, __ATOMIC_RELEASE);
	if (td__locks_any(c))
		td__locks_give_all(c);
}

static __attribute__((noinline)) void count_each_forgotten(struct td__call *c)
{
	for (uint32_t i = 0; i < c->open_top; i++)
		if (c->bufs[i].open)
			td__mistake(c, TD_MISTAKE_BUF, "returned with a buf open", "block", c->bufs[i].blkno);
	for (uint32_t open = c->mbufs_open; open; open &= open - 1)
		td__mistake(c, TD_MISTAKE_BUF, "returned with an mbuf open", "mbuf", c->mbufs[__builtin_ctz(open)].handle);
	for (uint32_t i = 0; i < TD_LOCK_MAX / 64; i++)
		for (uint64_t left = c->held[i] & ~c->given[i]; left; left &= left - 1)
			td__mistake(c, TD_MISTAKE_LOCK, "returned without giving a lock back", "lock", i * 64 + __builtin_ctzll(left));
}

/* What the module should have given back itself. */
static inline void count_forgotten(struct td__call *c)
{
	if (c->open_top || c->mbufs_open || td__locks_any(c))
		count_each_forgotten(c);
}

/* Give back what the call still holds. */
static void tidy(struct td__call *c)
{
	if (c->mbufs_open)
		td__mbufs_close_all(c);
	let_go(c);
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
	count_forgotten(c);
	if (c->journal.used)
		td__journal_commit(c);
	tidy(c);
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

	if (faulted && c->said_in == c->serial + 1)
		td__copy_text(fault.detail, sizeof(fault.detail), c->said);
	td__journal_undo(c, faulted ? &fault : 0);
	let_go(c);
	td__mbufs_close_all(c);
	tries->left_messages = c->left_messages;
	if (faulted)
		td__fault_describe(c, &fault, tries->faults + 1);
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
		c->kept = 1;
	} else {
		count_forgotten(c);
		if (c->domain->level.journal == TD_JOURNAL_ALL)
			td__journal_undo(c, 0);
		else
			c->journal.used = c->journal.last = c->journal.entries = c->journal.later = 0;
		tidy(c);
	}
	if (c->left_messages)
		td__net_call_over(&c->fs->net, c->tag);
	unclaim(c);
	return 0;
}
