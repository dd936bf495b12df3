/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the walls of this address space share: how a thread goes into a module, and how it comes
 * back when the module cannot return.
 *
 * A gate is the record of one call under way, one for each slot of a domain. Its state says whose
 * code the thread runs:
 *
 *   OUTSIDE --enter--> MODULE --service--> SERVICE --return--> MODULE --return or fault--> OUTSIDE
 *
 * Whether a signal is the module's fault is decided by this state and by the program counter, never
 * by the signal alone: a fault of the kernel itself goes to whoever handled that signal before.
 *
 * Rules:
 * - A gate is written by the thread inside and by its signal handlers; interrupt() reads `thread`.
 * - A thread that enters with `trap` has been attached: it has an alternate stack for signals, so
 *   that an overflow of its stack can be told.
 * - The way back (td__gate_leave, or the handler) drops all frames above the gate's. So no code
 *   between the gate and the module may hold a lock while the module runs.
 */
#ifndef TD_WALLS_TRAP_H
#define TD_WALLS_TRAP_H

/* Places in struct td__gate that the assembly knows. */
#define TD__GATE_SP	  0
#define TD__GATE_FLOAT	  8
#define TD__GATE_STATE	  12
#define TD__GATE_INNER	  16
#define TD__GATE_INNER_FP 24
#define TD__GATE_BACK	  32
#define TD__GATE_OUTER	  40
#define TD__GATE_RESULT	  48
#define TD__GATE_TOP	  56

#define TD__GATE_OUTSIDE 0
#define TD__GATE_MODULE	 1
#define TD__GATE_SERVICE 2

#ifndef __ASSEMBLER__

#include "../../core/gateway.h"
#include "../../sdk/runtime/runtime.h"

/* A range of addresses; empty where start == end. */
struct td__range {
	uintptr_t start, end;
};

static inline int td__within(struct td__range r, uintptr_t at)
{
	return at >= r.start && at < r.end;
}

/* Where a domain's things lie. Fixed from the domain's start to its stop. */
struct td__place {
	uintptr_t base; /* of the module: file address 0 */
	struct td__range module, text, data;
	struct td__range yielder; /* the runtime's function that a yield calls: no place to report */
	struct td__range heap;
	struct td__range area; /* of allocations that have pages of their own; empty: there is none */
	struct td__range calls; /* frames, windows, contexts; with keys: stacks too */
	struct td__range device;
	struct td__range sandbox; /* all that the module can reach; empty: the wall does not bound it */
	struct td__range view;    /* the device, as the sandbox has it */
	uint32_t bsize;
	int32_t key; /* protection key of the domain; 0: the wall has none */
	int32_t device_key;
};

struct td__gate {
	uint64_t sp;       /* the kernel's stack pointer to come back to */
	uint32_t floating; /* MXCSR of the thread; it never changes, so no entry saves it */
	uint32_t state;    /* TD__GATE_* */

	/* Of a module on a stack of its own: its stack and frame pointers during a service; with keys, the stub back in. */
	uint64_t inner, inner_fp;
	const void *back;

	struct td__gate *outer; /* what the thread was inside of before */
	int32_t *result;        /* where what the module returns goes: the kernel's */
	uint64_t top;           /* of the stack that td__gate_enter_on() changes to */

	void (*recover)(void);  /* where a handler makes the thread go on */
	uint64_t visitor;       /* who came last, as td__thread_self has it */
	int32_t thread;         /* the same, as the system below calls it; 0: nobody that could be interrupted */
	uint32_t guard;         /* bytes below the stack that count as its guard */
	struct td__range stack; /* that the module runs on; empty: not known */
	struct td__range data_guard; /* below the stack of data that a sandbox has in its memory */
	uintptr_t stack_least;  /* a service needs its stack pointer above this */
	struct td__call *call;
	const struct td__place *place;
	struct td__context *context;
} __attribute__((aligned(128))); /* slots of two threads share no cache line */
_Static_assert(__builtin_offsetof(struct td__gate, sp) == TD__GATE_SP, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, floating) == TD__GATE_FLOAT, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, state) == TD__GATE_STATE, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, inner) == TD__GATE_INNER, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, inner_fp) == TD__GATE_INNER_FP, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, back) == TD__GATE_BACK, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, outer) == TD__GATE_OUTER, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, result) == TD__GATE_RESULT, "gate");
_Static_assert(__builtin_offsetof(struct td__gate, top) == TD__GATE_TOP, "gate");
_Static_assert(TD__RETURNED == 0 && TD__FAULTED == 1, "outcomes of gates");

/* What this thread is inside of; 0: nothing. */
extern __thread struct td__gate *td__gate_current __attribute__((tls_model("initial-exec")));

/* The sp of that gate, for the way back by td__gate_enter_on(); gate.S alone uses it. */
extern __thread uint64_t td__gate_stack __attribute__((tls_model("initial-exec")));

/*
 * gate.S: run function(first, second), a module's, between OUTSIDE and OUTSIDE. TD__RETURNED with the result at g->result; TD__FAULTED
 * after td__gate_leave() or a fault.
 */
typedef int32_t (*td__gate_function)(const void *first, void *second);
int td__gate_enter(const void *first, void *second, struct td__gate *g, td__gate_function function);
int td__gate_enter_on(const void *first, void *second, struct td__gate *g, td__gate_function function);
void td__gate_serve(void); /* with a service in rax: only from the module of td__gate_enter_on() */
_Noreturn void td__gate_leave(struct td__gate *g);
void td__gate_recover(void); /* where handlers lead, with rdi = gate; a label, not a function */

/* Install the handlers, once a process. 0, or -errno and a reason. */
int td__trap_install(char *why, size_t size);

/* A thread, once it is attached. */
struct td__thread {
	int32_t number; /* 0: not attached */
	uint64_t visitor; /* the same, and no other thread ever gets it */
	int32_t keys;	/* it can also run where key 0 is closed */
	struct td__range stack;
	struct td__range signals; /* its alternate stack, whosever it is */
	void *alternate;	  /* the same, if it is ours to give back */
};
extern __thread struct td__thread td__thread_self __attribute__((tls_model("initial-exec")));

int td__trap_attach_thread(int32_t keys);

/* Get this thread ready to be brought back, at its first call. 0 or -errno. */
static inline int td__trap_attach(int32_t keys)
{
	if (__builtin_expect(td__thread_self.number && td__thread_self.keys >= keys, 1))
		return 0;
	return td__trap_attach_thread(keys);
}

/*
 * Mostly a slot is used by the same thread again, and its gate need not be told whose it is: td__gate_visit(). 0 or -errno.
 * With `trap` the thread is attached, and its stack is where the module will run; `room` bytes of that are for services. 0: it has its own.
 */
static inline int td__gate_knows(const struct td__gate *g, const struct td__call *c)
{
	return g->visitor == td__thread_self.visitor && g->call == c;
}
int td__gate_visit(struct td__gate *g, struct td__call *c, int trap, uint32_t room);

/* The thread in the gate is to look at its call's `doomed`. */
void td__trap_interrupt(const struct td__gate *g);

/* ---- yields.c: modules that look by themselves whether they are to stop */

struct td__yields {
	uint32_t *wanted; /* the module's word; 0: it does not yield. The caller may write to it */
	uint64_t since;   /* when it was raised, 0: not yet */
};

/* For a module that stands at place->base. Fills place->yielder, too. */
void td__yields_find(struct td__yields *y, const struct td__module *m, struct td__place *place);

/* Ask the domain's calls to come by. 0: the module does not, or has had its time: it takes a signal. */
int td__yields_ask(struct td__yields *y);

/*
 * Where signal frames must be reachable with the rights of the module (Linux before 6.12), there
 * is a key for alternate stacks: make it, 0 or -errno, before the first td__trap_attach() with
 * keys; and ask for it, 0: none.
 */
int td__trap_need_signal_key(void);
int td__trap_signal_key(void);

/* ---- report.c: evidence */

/* A signal as a handler gets it. */
struct td__signal {
	int number, code;
	uint32_t key;
	uintptr_t address, pc, sp, fp;
	uint64_t error, trap; /* the processor's */
	uint32_t rights;      /* PKRU, where there are keys */
	uint64_t regs[16];    /* the processor's general registers, by number */
};

/* Write the fault of this signal into the gate's call. Safe in a handler. */
void td__trap_report(const struct td__gate *g, const struct td__signal *s);

/* The same for a call that is over its time, which is stopped where it is. */
void td__trap_report_time(const struct td__gate *g, const struct td__signal *s);

/* A service was called with too little stack left. */
void td__trap_report_stack(const struct td__gate *g, uintptr_t sp);

/* A service was called with a stack pointer that is not on the module's own stack. */
void td__trap_report_lost_stack(const struct td__gate *g);

/* td__trap_attach() failed. */
void td__trap_report_attach(struct td__call *c);

/*
 * Where the module was when it asked for a service that ends its call: return address, frame
 * pointer.
 */
void td__trap_note_caller(const struct td__gate *g, uintptr_t pc, uintptr_t fp);

/* The wall's where(). Not known of calls without a gate, or with one that nobody attached. */
void td__trap_where(struct td__call *c);

/*
 * Did the code at s->pc get there from the module? With keys, the rights tell. Without: yes in the
 * module's text, and elsewhere where a return address on the stack leads there.
 */
int td__trap_from_module(const struct td__gate *g, const struct td__signal *s);

static inline uint32_t td__gate_floating(void)
{
	return __builtin_ia32_stmxcsr();
}

/* ---- For the service thunks of walls */

static inline void td__gate_set(struct td__gate *g, uint32_t state)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&g->state, state, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif /* __ASSEMBLER__ */
#endif
