/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of the process wall: calls go in, services come back, and somebody notices when the process is gone.
 *
 * Who waits for the process sleeps without a limit of time, since a timer costs more than the rest of a crossing: spawn.c watches over
 * processes. The word that one sleeps on is changed when the process is killed, and once more when it has ended, for a hostile one may have changed it back.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fs_services.h>
#include <fs_gateway.h>
#include "process.h"

enum {
	LINE = 64,
	YIELD_TICKS = 10, /* for so many ticks over its time a module that yields is waited for */
	ASK_STOP = 1,     /* at the first tick from then on it is asked where it is ... */
	FORCE_STOP = 10,  /* ... and at the tenth it ends without having said so: on a busy machine it may not have run meanwhile */
};

typedef uint64_t pair __attribute__((vector_size(16), may_alias));
struct line {
	pair pairs[LINE / sizeof(pair)];
};
_Static_assert(TD_FRAME_SIZE % LINE == 0 && LINE == 4 * sizeof(pair), "whole lines");

void td__process_sleep(uint32_t *word, uint32_t value, uint32_t ms)
{
	struct timespec most = { ms / 1000, (long)(ms % 1000) * 1000000 };

	syscall(SYS_futex, word, FUTEX_WAIT, value, &most, 0, 0);
}

static void wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, 0, 0, 0);
}

/* ---- The process */

int td__process_ended(struct td__process *p)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		return errno == ECHILD;
	return info.si_pid != 0;
}

static int is_dead(const struct td__process *p)
{
	return __atomic_load_n(&p->dead, __ATOMIC_ACQUIRE) != 0;
}

static void release(struct td__process *p)
{
	for (uint32_t i = 0; i < p->nslots; i++) {
		uint32_t *turn = &p->seats[i].control->turn;

		__atomic_store_n(turn, TD__TURN_DEAD, __ATOMIC_SEQ_CST);
		wake(turn);
	}
}

void td__process_kill(struct td__process *p)
{
	if (__atomic_exchange_n(&p->dead, 1, __ATOMIC_SEQ_CST))
		return;
	syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, 0, 0);
	release(p);
}

void td__process_gone(struct td__process *p)
{
	__atomic_store_n(&p->dead, 1, __ATOMIC_SEQ_CST);
	release(p);
}

/* Is this call the one to blame? The first one that asks. */
static int take_blame(struct td__process *p)
{
	return !__atomic_exchange_n(&p->blamed, 1, __ATOMIC_SEQ_CST);
}

/* ---- Crossing */

static struct td__told sleep_for_turn(const struct td__process *p, struct td__control *c)
{
	while (td__turn_doze(c, TD__TURN_MODULE) && !is_dead(p))
		syscall(SYS_futex, &c->turn, FUTEX_WAIT, TD__TURN_MODULE | TD__TURN_SLEEPS, 0, 0, 0);
	return td__turn_look(c);
}

/* Until the turn is not the module's any more: 1, and what the module says. 0: the process is dead. */
static int await(struct td__process *p, struct td__seat *s, uint32_t rounds, uint32_t *said)
{
	struct td__told now = td__turn_spin(s->control, TD__TURN_MODULE, &rounds);

	if (now.turn == TD__TURN_MODULE) {
		td__patience_vain(p, s, rounds);
		now = sleep_for_turn(p, s->control);
		rounds = 0;
	}
	td__patience_came(p, s, rounds);
	*said = now.said;
	return now.turn == TD__TURN_HOST || !is_dead(p);
}

/* Say something, and hear what the module says. 0: its process is dead. */
static int cross(struct td__process *p, struct td__seat *s, uint32_t say, uint32_t *said)
{
	uint32_t rounds = td__patience_rounds(p, s);
	int alive;

	s->given++;
	__atomic_store_n(&s->inside, 1, __ATOMIC_RELEASE);
	if (td__turn_give(s->control, TD__TURN_MODULE, say)) {
		rounds = td__patience_wakes(p, s, rounds);
		wake(&s->control->turn);
	}
	if (rounds) /* meanwhile */
		td__patience_goes_on(s);
	alive = await(p, s, rounds, said);
	__atomic_store_n(&s->inside, 0, __ATOMIC_RELEASE);
	return alive;
}

/*
 * Lines that already say what they should are left alone: both cores have them, and to write takes one from the other. What
 * is read here decides nothing else: a module that changes a frame behind the host's back changes what itself sees.
 */
static void put_frame(struct td__seat *s, uint32_t size)
{
	struct line *to = (void *)s->shared;
	const struct line *from = (const void *)s->frame;

	for (uint32_t n = (size + LINE - 1) / LINE; n--; to++, from++) {
		const pair *a = to->pairs, *b = from->pairs;
		pair differs = (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);

		if (differs[0] | differs[1])
			*to = *from;
	}
}

static void send_call(struct td__seat *s, struct td__call *c)
{
	__atomic_store_n(&s->interrupts, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->call, s->call + 1, __ATOMIC_RELEASE);
	put_frame(s, td__frame_sizes[c->op]);
}

/* The only time that the frame is read. */
static void take_frame(struct td__seat *s, struct td__call *c)
{
	const struct line *from = (const void *)s->shared;
	struct line *to = (void *)s->frame;

	for (uint32_t n = (td__frame_sizes[c->op] + LINE - 1) / LINE; n--;)
		*to++ = *from++;
	td__fetched();
	c->result = s->frame->error;
}

/* ---- Services */

/* Services without a result where a wall can call: a mistake is counted, and the module goes on. */
static int is_heeded(uint32_t service)
{
	switch (service) {
	case TD_SVC_brelse:
	case TD_SVC_unlock:
	case TD_SVC_vrele:
	case TD_SVC_mb_free:
	case TD_SVC_so_send: /* whoever waits for the reply hears of it */
	case TD_SVC_so_forget:
	case TD_SVC_so_close:
	case TD_SVC_explain:
	case TD_SVC_log: return 0;
	default: return 1;
	}
}

struct batch {
	uint32_t used, at;
	int asks;        /* the last message wants an answer */
	int flushes;     /* it does not, but the module waits */
	int answer;
	uint64_t value;
};

/* The next message of the private copy. 0, or -EBADMSG. */
static int next_message(const struct td__seat *s, const struct batch *b, const struct td_msg **m, uint32_t *size)
{
	uint32_t left = b->used - b->at;

	*m = (const void *)(s->messages + b->at);
	if (left < sizeof(**m) || (*m)->len > left - sizeof(**m))
		return -TD_EBADMSG;
	*size = (uint32_t)sizeof(**m) + (((*m)->len + 7) & ~7u);
	return *size > left ? -TD_EBADMSG : 0;
}

/* A module that could have been told would have ended the call. Where it was, is known only if the call is traced. */
static void posted_failed(struct td__call *c, uint32_t service)
{
	const struct td__careless *why = &c->careless;

	if (c->fault.kind || __atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE)) /* that is why it has failed */
		return;
	if (why->what)
		td__call_fault(c, TD_FAULT_SERVICE, why->what, 0);
	else
		td__call_fault(c, TD_FAULT_SERVICE, td__svc_names[service], "failed after the module had gone on");
	if (why->what)
		td__fault_object(&c->fault, why->object, why->which);
	td__process_where(c);
}

/* Carry out one. 1: the rest is not to be done. */
static int one_message(struct td__call *c, struct td__seat *s, struct batch *b)
{
	const struct td_msg *m;
	uint32_t size;
	uint64_t value = 0;
	int result = 0, last, err = next_message(s, b, &m, &size);

	if (!err) {
		last = b->asks && b->at + size == b->used;
		s->exact = b->at + size == b->used && (b->asks || (b->flushes && c->frame->flags & TD_FRAME_TRACED));
		c->careless.what = 0;
		err = td__svc_message(c, m, m + 1, m->len, &result, &value, last ? s->ring : 0, last ? TD__RING : 0);
	}
	if (err) {
		td__call_fault(c, TD_FAULT_MESSAGE, "a message that cannot be one", 0);
		return 1;
	}
	b->at += size;
	if (last) {
		b->answer = result;
		/* Where the kernel keeps a block is nothing that the module should know. */
		b->value = m->service == TD_SVC_bread ? 0 : value;
		return 1;
	}
	if (result == -TD_EAGAIN && m->service == TD_SVC_so_deliver) /* the module has gone on without looking: it is to */
		__atomic_store_n(&c->aborted, 1, __ATOMIC_RELEASE);
	if (result && is_heeded(m->service) && !__atomic_load_n(&c->aborted, __ATOMIC_RELAXED))
		posted_failed(c, m->service);
	return __atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE) != 0;
}

/* Carry out what is in the ring, in order. */
static void serve(struct td__call *c, struct td__seat *s, uint32_t handed, uint32_t used, struct batch *b)
{
	*b = (struct batch){ .used = used,
			     .asks = handed == TD__HANDED_ASK,
			     .flushes = handed == TD__HANDED_FLUSH };
	if (b->used > TD__RING || (b->asks && !b->used)) {
		td__call_fault(c, TD_FAULT_MESSAGE, "a ring that cannot be one", 0);
		return;
	}
	memcpy(s->messages, s->ring, b->used);
	while (b->at < b->used)
		if (one_message(c, s, b))
			return;
}

/* ---- Outcomes */

static int died(struct td__process *p, struct td__seat *s, struct td__call *c)
{
	uint32_t doomed = __atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE);

	if (doomed) {
		td__call_fault(c, doomed, "over its time, and did not say where", 0);
		return TD__FAULTED;
	}
	/* If the module had not yet begun, it had ended before. */
	if (__atomic_load_n(&s->control->seen, __ATOMIC_ACQUIRE) != (uint32_t)s->call || !take_blame(p))
		return TD__DIED;
	td__process_report_end(p, c);
	return TD__FAULTED;
}

/*
 * What the module had posted when it fell it did before it fell: so the journal, which the report shows, is to have it. It will be undone, so
 * whatever goes wrong with it now is of no interest.
 */
static void serve_rest(struct td__call *c, struct td__seat *s, uint32_t used)
{
	uint32_t doomed = __atomic_exchange_n(&c->doomed, 0, __ATOMIC_ACQ_REL);
	struct batch b;

	serve(c, s, TD__HANDED_FAULT, used, &b);
	memset(&c->fault, 0, sizeof(c->fault));
	__atomic_store_n(&c->doomed, doomed, __ATOMIC_RELEASE);
}

static int faulted(struct td__process *p, struct td__seat *s, struct td__call *c, uint32_t used)
{
	if (!take_blame(p))
		return TD__DIED;
	if (c->domain->level.journal == TD_JOURNAL_ALL && !c->fault.kind)
		serve_rest(c, s, used);
	td__process_report(c, s->control);
	td__process_kill(p);
	return TD__FAULTED;
}

/* Doomed while the module waits for an answer: it gets none. */
static int ended_inside(struct td__process *p, const struct td__seat *s, struct td__call *c)
{
	take_blame(p);
	td__call_fault(c, c->doomed, "over its time while it asked for services", 0);
	td__process_report_asker(c, s->control);
	td__process_kill(p);
	return TD__FAULTED;
}

int td__process_enter(struct td__call *c)
{
	struct td__process *p = c->domain->private;
	struct td__seat *s = &p->seats[c->slot];
	struct batch b = { 0 };
	uint32_t say, said, handed, used;

	if (is_dead(p))
		return TD__DIED;
	send_call(s, c);
	for (say = (uint32_t)s->call;; say = (uint32_t)b.answer) {
		if (!cross(p, s, say, &said))
			return died(p, s, c);
		handed = said & ((1 << TD__SAID_USED) - 1);
		used = said >> TD__SAID_USED;
		if (handed == TD__HANDED_FAULT)
			return faulted(p, s, c, used);
		if (handed < TD__HANDED_RETURN || handed > TD__HANDED_FAULT)
			td__call_fault(c, TD_FAULT_MESSAGE, "a turn without a reason", 0);
		else if (used || handed != TD__HANDED_RETURN)
			serve(c, s, handed, used, &b);
		if (handed == TD__HANDED_RETURN)
			break;
		if (__atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE))
			return ended_inside(p, s, c);
		if (handed == TD__HANDED_ASK && __atomic_load_n(&s->control->value, __ATOMIC_RELAXED) != b.value)
			__atomic_store_n(&s->control->value, b.value, __ATOMIC_RELAXED);
	}
	if (c->fault.kind)
		return TD__FAULTED;
	take_frame(s, c);
	return TD__RETURNED;
}

void td__process_interrupt(struct td__domain *d, struct td__call *c)
{
	struct td__process *p = d->private;
	struct td__seat *s = &p->seats[c->slot];
	uint64_t call = __atomic_load_n(&s->call, __ATOMIC_ACQUIRE);
	uint32_t times, yields = d->module->info.flags & TD_MODULE_YIELDS ? YIELD_TICKS : 0;

	/* In this order: if the slot has gone on to another call, that one is not doomed. */
	if (!__atomic_load_n(&s->inside, __ATOMIC_ACQUIRE) || !__atomic_load_n(&c->doomed, __ATOMIC_ACQUIRE))
		return;
	times = __atomic_add_fetch(&s->interrupts, 1, __ATOMIC_RELAXED);
	if (yields && times == 1) {
		__atomic_store_n(&p->share->yield, 1, __ATOMIC_RELEASE);
		wake(&p->share->yield);
	} else if (times == yields + ASK_STOP) {
		__atomic_store_n(&s->control->stop, (uint32_t)call, __ATOMIC_RELEASE);
		td__process_ask_stop(p, c->slot);
	} else if (times >= yields + FORCE_STOP) {
		take_blame(p);
		td__process_kill(p);
	}
}
