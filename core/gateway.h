/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gateway: the one place that every call of a module passes. It claims a slot, packs the arguments,
 * crosses, checks what came back, and commits the call or undoes it.
 *
 *   FREE --begin--> PACKING --enter--> INSIDE --(wall)--> OUTSIDE --end--> FREE, or again from PACKING
 *
 * A slot's call structure is used by one thread at a time: whoever has claimed it. Other threads may look at
 * started and set doomed. Everything that the module can write is copied here first, then checked, then
 * used.
 *
 * A claim. A slot that nobody else has used belongs to the first thread that wants it: it claims the slot by setting `entered`, by a plain
 * store, then looks whether it is still the owner and the gate still open. Who closes the gate, or takes a slot's owner away because there
 * is no other slot left, says so first, then has all threads pass a barrier, then looks at `entered`: so one of the two sees the other. A slot
 * that has lost its owner is everybody's for ever, and is claimed by setting `busy`, with the barriers that this takes.
 */
#ifndef TADAN_GATEWAY_H
#define TADAN_GATEWAY_H

#include <tadan/fs_if.h>
#include "wall.h"
#include "device.h"
#include "mbuf.h"

struct td_cred;
struct td__fs;
struct td__vnode;

/* The caller's buffer of a read or write that the module moves itself. */
struct td__uio {
	const uint8_t *data;   /* of a write: the caller's */
	struct td__mbuf *read; /* of a read: what the module has moved, for the caller to have when it is over */
	uint64_t len;
	uint64_t moved; /* bytes moved so far */
};

/* ---- Journal: what one call has done to kernel objects, oldest first. Entries are padded to 8 bytes. */

enum td__entry_kind {
	TD__ENTRY_BYTES = 1, /* bytes of a block: the old ones follow */
	TD__ENTRY_ZEROED,    /* a whole block was overwritten: the old one follows, unless it was all zero (len 0) or absent (count 1) */
	TD__ENTRY_DISCARD,   /* to be done at commit */
	TD__ENTRY_LOCK,      /* a lock was taken */
	TD__ENTRY_REF,       /* a vnode reference was taken */
	TD__ENTRY_UNREF,     /* a vnode reference is to be given back at commit */
	TD__ENTRY_KEPT,      /* a chain is kept with a vnode */
	TD__ENTRY_UNKEPT,    /* a kept chain is to be dropped at commit */
};

struct td__entry {
	uint32_t kind;
	uint32_t len;  /* bytes of payload behind this header */
	uint32_t off;  /* bytes within the block; lock number; vnode reference's index */
	uint32_t prev; /* distance to the entry before, bytes; 0: this is the first */
	uint64_t blkno;
	uint64_t count;
};

struct td__journal {
	uint8_t *data;
	uint32_t size, used;
	uint32_t last;    /* offset of the newest entry; meaningless if used is 0 */
	uint32_t entries;
	uint32_t later;   /* some wait for the commit, which has to look at them */
};

/* ---- What a good answer keeps to */

/* Of the mount: what the ranges of records refer to. */
struct td__limits {
	uint64_t blocks;  /* of the device */
	uint64_t units;   /* of 512 bytes, that a file can occupy */
	uint64_t maxsize; /* bytes of a file */
	uint64_t maxlink; /* names of a file */
};

/* What an operation may change in a record: fields as bits, in their order without the fixed ones; the links by least to most. */
struct td__may {
	uint32_t fields;
	int8_t least, most; /* -128, 127: no limit */
	uint8_t gone;       /* the links become 0 */
};

/* ---- One call */

#define TD__EVERYBODY ~0u

/* Where things were taken that must be given back: the newest, so that one that is left behind can be told. */
enum { TD__ORIGINS = 64, TD__ORIGIN_FRAMES = 4 };
struct td__origins {
	uint32_t next, pad;
	struct td__origin {
		const char *object; /* what it is, text that stays */
		uint64_t which;
		uint64_t serial;     /* of the transaction that took it */
		uint64_t frames[TD__ORIGIN_FRAMES]; /* addresses in the module file, innermost first; 0: no more */
	} o[TD__ORIGINS];
};

/* A buf that the call has open. */
struct td__open_buf {
	uint64_t blkno;
	uint32_t opened; /* how often this index was opened in this call */
	uint32_t open;
};

/* An mbuf that the call has open. */
struct td__open_mbuf {
	struct td__mbuf *m; /* 0: none */
	uint32_t handle;
};

enum { TD__CALL_VNODES = 4 };

struct td__call_vnode {
	struct td__vnode *v;
	struct td_vnode *rec; /* where the module's copy is: in the frame, or the kernel's own */
	struct td_vnode back; /* the copy that came back, checked */
	struct td__may may;   /* what the operation may change in it */
	uint32_t mode;        /* TD_SHARED or TD_EXCLUSIVE */
};

struct td__call {
	/* Other threads look at these. */
	uint32_t owner;   /* td__port_thread() of whom it belongs to; 0: nobody as yet; TD__EVERYBODY */
	uint32_t entered; /* claimed by its owner, who alone writes this */
	uint32_t busy;    /* claimed, of everybody's */
	uint32_t doomed;  /* not 0: the module must not run on; enum td_fault_kind */
	uint32_t aborted; /* chosen to end a deadlock: services refuse, and the call is made again */

	/* Under the locks' mutex. */
	uint32_t waits;     /* number of the lock that the call waits for, plus 1 */
	uint32_t wants_all; /* exclusively */
	uint64_t turn;      /* whose turn it is among those that wait for one lock: the least */
	uint32_t lent;      /* number of a lock that was taken from the call for a time, plus 1: it is the one that it waits for */

	uint64_t gave_way; /* not 0: it was aborted before; the least was first */
	uint64_t started; /* counts the crossings of this slot: odd while the module runs */
	uint32_t asleep;  /* it waits in a service, which is not the module's time */
	uint64_t progress; /* changes whenever the call gets on, see watch.c */
	uint64_t serial;   /* counts the slot's transactions: what one has changed is no longer in doubt when this has changed */

	/* The claimant's. */
	struct td__fs *fs;
	struct td__domain *domain;
	struct td_frame *frame;
	void *behind; /* of the slot, the wall's */
	const uint64_t *heap_used; /* by the module, bytes */
	const struct td_straight *straight; /* how the call goes without a frame; 0: with one */
	uint64_t id; /* of the domain */
	uint32_t slot;
	uint32_t owned;    /* claimed by its owner */
	uint32_t kept;     /* the slot's last call was committed: what it changed has stayed so */
	uint32_t op;
	uint32_t prepared; /* of straight calls: the slot's context is as at a call's beginning */
	int32_t result;    /* what the module returned */
	uint32_t in_place; /* records are the kernel's own: check=off, and a wall in this address space */
	uint32_t tag;              /* of its first message */
	uint32_t again;            /* it was begun before */
	uint32_t traced;           /* it writes down where it takes things, see mistake.c */
	uint32_t left_messages;    /* messages of it may be in flight when it ends */
	uint32_t mbufs_open;       /* bit n: mbufs[n] is */

	/* All zero when a call begins: from `died` to `fresh`. */
	uint32_t died __attribute__((aligned(16))); /* the domain ended under the call */
	uint32_t nvnodes;
	uint32_t open_top; /* bufs[] used so far */
	uint32_t window_used;
	uint32_t out_at, out_size; /* the call's out bytes, within the window */
	uint32_t mistakes;         /* of this call */
	uint32_t lines;            /* that the call has written to the log */
	uint32_t io_failed;        /* the device has failed in this call */
	uint32_t granted;          /* lock granted with the call and not asked for as yet, plus 1 */
	uint32_t first_lock;       /* the first that the module asked for, as in the frame's `granted` */
	uint32_t mbuf_uses;        /* mbufs that it has opened so far */
	uint64_t discarded;        /* blocks that it has discarded */
	uint64_t now;              /* the time that it was told, ns; 0: it has not asked */
	struct td__uio *uio;
	struct td_vnode *fresh;    /* record of a `new` vnode: the kernel's private copy, in and out */

	struct td_vnode *fresh_rec __attribute__((aligned(16))); /* the module's copy of it */
	const struct td__may *fresh_may;
	uint64_t held[TD_LOCK_MAX / 64];  /* locks that the call holds */
	uint64_t given[TD_LOCK_MAX / 64]; /* of these, that the module has given back */
	uint64_t clean[TD_LOCK_MAX / 64]; /* of these, under which nothing has been changed */
	struct td__journal journal;
	struct td__call_vnode vnodes[TD__CALL_VNODES];
	struct td__open_buf bufs[TD_BUF_MAX];
	struct td__open_mbuf mbufs[TD_MBUF_MAX];
	struct td_fault fault;

	/* The ticker's: which crossing and which progress it saw last, and how long ago, waits aside. */
	uint64_t seen, seen_progress;
	uint64_t still_ns, inside_ns;

	/* Counters, summed up by whoever asks. */
	uint64_t calls_by_op[TD_OP_MAX];
	uint32_t expected[TD_OP_MAX]; /* first_lock of the last call of each operation in this slot */
	uint64_t mistakes_by[TD_MISTAKES];
	uint64_t undo_most; /* bytes of the longest journal */

	char said[96];    /* by the module, why it is going to fail */
	uint64_t said_in; /* serial + 1 of the transaction that said it */
	struct td__careless {
		const char *what, *object; /* 0: none */
		uint64_t which;
	} careless; /* the last one; a wall that posts services sets `what` to 0 before each */
	struct td__origins origins;
} __attribute__((aligned(128)));

typedef struct {
	uint32_t faults;  /* of this call itself */
	uint32_t repeats; /* for other reasons */
	uint32_t tag;     /* the same for all */
	uint32_t left_messages;
	uint64_t gave_way; /* see struct td__call */
} td__attempts;

const struct td__limits *td__limits_of(const struct td__fs *fs);

/*
 * What a mount begins with, so that an operation which the module leaves out costs its caller a test and a branch; and not even that
 * where the kernel itself has something to do for some mounts only: all of it is asked for by one test.
 */
struct td__hooks {
	uint64_t bound; /* bit n is set if the module has operation n; TD__HOOK_REMOTE */
};

#define TD__HOOK_REMOTE 1ull /* TD_FS_REMOTE: bit 0 is of no operation that could be left out */
_Static_assert(TD_OP_HELLO == 0 && TD_OP_MAX < 64, "bits of hooks");

static inline uint64_t td__hook(uint32_t op)
{
	return 1ull << op;
}

static inline int td__hooks_any(const struct td__fs *fs, uint64_t hooks)
{
	return (((const struct td__hooks *)fs)->bound & hooks) != 0;
}

static inline int td__hook_bound(const struct td__fs *fs, uint32_t op)
{
	return td__hooks_any(fs, td__hook(op));
}

/*
 * Claim a slot and open a transaction. Waits while the domain is being replaced.
 * Errors: EIO if the module is detached.
 */
int td__call_begin(struct td__fs *fs, uint32_t op, td__attempts *tries, struct td__call **c);

/* Pack arguments. Records are copies, or the kernel's own where c->in_place. One vnode given twice is one record. */
void td__put_vnode(struct td__call *c, int64_t *at, struct td_vnode *rec, struct td__vnode *v, uint32_t mode,
		   const struct td__may *may);
void td__put_new(struct td__call *c, int64_t *at, struct td_vnode *rec, struct td_vnode *v, const struct td__may *may);
uint32_t td__put_name(uint8_t to[256], struct td_name name);
uint32_t td__put_uio(struct td__call *c, struct td__uio *uio);
int td__put_bytes(struct td__call *c, int64_t *at, uint32_t *len, struct td_in in);
int td__put_out(struct td__call *c, int64_t *at, uint32_t *room, uint32_t size);

/* Cross, and take the records back. The module's result, checked; or -TD_EIO after a fault, which td__call_end() handles. */
int td__call_enter(struct td__call *c);

/* Take results. A count over `most` is a fault. */
int td__take_count(struct td__call *c, const char *what, uint32_t got, uint32_t most, uint32_t *count);
int td__take_bytes(struct td__call *c, uint32_t len, struct td_out *out);
/* What a record consists of. */
struct td__fields {
	const char *name;
	uint32_t n;
	const struct td__field {
		const char *name;
		uint16_t at, size; /* size 0: not a number */
	} *fields;
};
/* `wrong` names a field of the record `is` with an impossible value: a fault. 0: all is well. `was` is the record before the call; 0: there was none. */
int td__call_check(struct td__call *c, const struct td__fields *r, const void *was, const void *is, const char *wrong);
/* The same of what is no field: `wrong` says what is. */
int td__call_wrong(struct td__call *c, const char *what, const char *wrong);

/*
 * Commit if *err is 0, else undo; after a fault restart the domain. Gives the slot back. 1: make the call again.
 */
int td__call_end(struct td__call *c, td__attempts *tries, int *err);

/* Close the mbufs that the call has left open. */
void td__mbufs_close_all(struct td__call *c);
/* Undo TD__ENTRY_KEPT or TD__ENTRY_UNKEPT, or carry out the latter. */
void td__kept_end(struct td__call *c, const struct td__entry *e, int commit);

/*
 * A mistake in the use of a service, of a kind that its error tells: counted and written down; over the limit of one call it dooms the call.
 * `what` says what is wrong; `object` and `which` name what the service was about, object 0: nothing. Returns -error.
 */
__attribute__((cold)) int td__careless_of(struct td__call *c, int error, const char *what, const char *object, uint64_t which);
static inline int td__careless(struct td__call *c, int error, const char *what)
{
	return td__careless_of(c, error, what, 0, 0);
}

/* One that is found when the module is not in the service any more: the same, without consequences. */
__attribute__((cold)) void td__mistake(struct td__call *c, uint32_t kind, const char *what, const char *object, uint64_t which);

/* The call gets on. */
static inline void td__progress(struct td__call *c)
{
	__atomic_store_n(&c->progress, c->progress + 1, __ATOMIC_RELAXED);
}

/* Note a fault that the kernel itself found (not the wall). The first one counts. */
__attribute__((cold)) void td__call_fault(struct td__call *c, uint32_t kind, const char *what, const char *detail);
/* Which value a field of a record has. */
__attribute__((cold)) void td__fault_field(struct td_fault *f, const struct td__fields *r, const void *was, const void *is, const char *field);
/* What it was about; object 0: nothing. */
__attribute__((cold)) void td__fault_object(struct td_fault *f, const char *object, uint64_t which);

/*
 * What a module can write to has been copied from there. The compiler must not fetch it a second time behind this, as it might
 * where it knows that the copy is the same.
 */
static inline void td__fetched(void)
{
	__asm__ volatile("" : : : "memory");
}

static inline void td__zero(void *p, size_t n)
{
	memset(p, 0, n);
}

#endif
