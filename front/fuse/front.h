/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the FUSE front end share.
 *
 * A node number of FUSE is a td_handle; only the root directory has number 1 there. A worker is a thread
 * with its own channel to Linux; it reads a request, answers it through the core, and reads the next.
 * Handlers run on workers only, so they find the request as Linux wrote it, and room to work, in td__fuse_me.
 */
#ifndef TADAN_FRONT_FUSE_FRONT_H
#define TADAN_FRONT_FUSE_FRONT_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "fuse.h"

/* Of Linux 6.1 and 6.6; libfuse 3.14 does not know them. */
enum { TD__FUSE_TMPFILE = 51, TD__FUSE_STATX = 52 };

enum {
	TD__FUSE_MAX_IO = 1 << 20, /* bytes of one read or write */
	TD__FUSE_THREADS = 16,	   /* unless the options say otherwise */
	TD__FUSE_MAX_THREADS = 64, /* slots of a domain: more could not work at once */
};

/* Of one worker: see patience.c. Times in ns; all 0 to begin with. */
struct td__fuse_patience {
	int phase, way, held;	/* now; held: in the last hold */
	int next, fastest;	/* of a try: the way after this one, and the fastest so far */
	unsigned shy, shyness;	/* windows until it may follow again; how many it was when it waited for a core */
	int bulk, interrupted;	/* large reads, less the other requests since; it followed before them */
	int score;		/* of requests that came in time, and did not */
	unsigned windows, hold; /* of the hold: over; in all */
	unsigned slow;		/* the last ones of these */
	unsigned count, pauses; /* of this window: requests; times without any */
	int64_t last, sum;	/* of this window: when the last request was over, 0: none was; all so far */
	unsigned chase;		/* how often it was found elsewhere, with no calm between */
	unsigned every, since_check; /* requests: between two looks for where the client is; since the last one */
	int64_t checked;	     /* the sum at that one */
	int64_t recent;		/* the sum of the last windows */
	int64_t usual, least;	/* sums: of a window the way that is held; what another way must be below */
	int64_t since;		/* it looks; 0: not yet */
};

/* What to do with an answer that there is no room, and what was done: see td__fuse_process(). */
enum { TD__FUSE_SAY, TD__FUSE_HOLD_BACK, TD__FUSE_HELD_BACK };

struct td__fuse_worker {
	struct td_fuse *front;
	int fd;			    /* its channel; -1: the session's */
	struct td__fuse_ring *ring; /* 0: it reads /dev/fuse */
	int started;
	pthread_t thread;
	struct td__fuse_patience patience;
	pid_t tid;
	atomic_int follows; /* it runs on that core only: see follow.c */
	int core;
	int stays;	 /* somebody else says where it runs */
	atomic_int busy; /* it has a request that is not answered yet */
	int no_room;	 /* TD__FUSE_SAY ... */
	int nonblocking; /* a read of its channel does not wait */
	struct fuse_buf request;
	uint32_t opcode; /* of the request, as Linux wrote it: see loop.c */
	void *room; /* TD__FUSE_MAX_IO bytes, once needed */
	char answer[512] __attribute__((aligned(512)));
	fuse_req_t asked;		/* the request whose credentials were made last */
	uint32_t groups[TD_GROUPS_MAX]; /* of who made it */
};

struct td_fuse {
	struct td__fs *fs;
	td_handle root;
	struct fuse_session *session;
	char *dir; /* absolute */
	double attr_timeout, entry_timeout;
	int writeback, no_xattrs;
	int only_root; /* nobody else may enter: then there are no permissions for Linux to check */
	int remote;    /* others change it, too */
	int opens;     /* the module wants to know of open and release */
	int tells;     /* errors of writing are told once to each open file: Linux's handle is the address of what it was told */

	/* Written while INIT is answered, before any other request. */
	uint64_t init_unique;
	uint32_t init_offers;  /* FUSE_* flags that Linux knows */
	uint32_t init_offers2; /* those from bit 32 on */
	int kill_priv;	      /* Linux says with each request whether set-id bits must go */

	/* Workers, see loop.c. */
	struct td__fuse_worker *workers;
	int nworkers;
	sem_t wake; /* serve sleeps here */
	atomic_int stop, error;

	/* Whether requests come through rings, see uring.c. */
	int uring;			/* TD_FUSE_URING_... */
	struct td__fuse_rings *rings;	/* 0: none */
	_Atomic(const char *) no_rings; /* why not; "": nobody wants it; 0: they do */
	char why_no_rings[160];

	/* Who reads, see readers.c. */
	int cores;	    /* for all threads: how many, and which */
	cpu_set_t allowed;
	int may_follow;
	pthread_mutex_t moving; /* a worker changes where it runs, or serve does */
	int busy_readers;   /* how many read while several clients are at work */
	atomic_int readers; /* how many shall read now */
	atomic_int reading; /* how many do */
	atomic_int resting; /* how many sleep in `rest` */
	atomic_int forgetting; /* how many are at work on a FORGET */
	sem_t rest;
	atomic_uint taken; /* requests so far */
	unsigned looked;   /* `taken` when serve last looked */
	atomic_int dozing; /* serve sleeps until a request comes */
	atomic_uint client, seen, changes;
};

extern _Thread_local struct td__fuse_worker *td__fuse_me;

/* The operations: attr.c, data.c, names.c, readdir.c. */
void td__fuse_attr_ops(struct fuse_lowlevel_ops *ops);
void td__fuse_data_ops(struct fuse_lowlevel_ops *ops);
void td__fuse_name_ops(struct fuse_lowlevel_ops *ops);
void td__fuse_readdir_ops(struct fuse_lowlevel_ops *ops);

/* Agree with Linux on what it may do by itself: session.c. */
int td__fuse_session(struct td_fuse *f, const struct td_fuse_options *o);
/* Once the session is mounted: read and write the channel through our functions. */
int td__fuse_channel(struct td_fuse *f);

/* Answer this worker's request: loop.c. */
void td__fuse_process(struct td_fuse *f, struct td__fuse_worker *me);

/* readers.c. Wait until this worker shall read; it has read, and works now. */
void td__fuse_readers_init(struct td_fuse *f);
void td__fuse_start_reading(struct td_fuse *f);
void td__fuse_stop_reading(struct td_fuse *f, const struct fuse_in_header *request);
void td__fuse_let_read(struct td_fuse *f, int readers);
/* For some milliseconds at most: until all that came before is done. */
void td__fuse_await_others(struct td_fuse *f);
/* Somebody else has taken this request. */
void td__fuse_observe(struct td_fuse *f, const struct fuse_in_header *request);
/* For serve: sleep until there may be something to do, and help where all readers are stuck. 0 or -errno. */
int td__fuse_watch(struct td_fuse *f);

/*
 * patience.c. Before this worker waits for a request: shall it look for one before it sleeps? While there is none: shall it look again? There
 * was one. For those that do not look, these two are not called. It has not waited for a while: what it knows is stale.
 */
int td__fuse_spins(struct td_fuse *f, struct td__fuse_worker *me);
int td__fuse_spin_on(struct td_fuse *f, struct td__fuse_worker *me);
void td__fuse_spin_won(struct td__fuse_worker *me);
void td__fuse_begin_anew(struct td_fuse *f, struct td__fuse_worker *me);

/*
 * follow.c. By the worker's own thread: go to the client's core, 1: it was another, 0, or -errno: it cannot be; run on all cores again. By serve,
 * when requests do not get on: let those followers go who wait for their core.
 */
void td__fuse_follow_init(struct td_fuse *f, int wanted);
int td__fuse_follow(struct td_fuse *f, struct td__fuse_worker *me);
void td__fuse_roam(struct td_fuse *f, struct td__fuse_worker *me);
void td__fuse_free_followers(struct td_fuse *f);

/*
 * uring.c. Can there be rings? 0, or -errno and why not. Make them if they are wanted and can be had. INIT has been answered: shall they
 * work? End them.
 */
int td__fuse_rings_check(char *why, size_t size);
void td__fuse_rings_start(struct td_fuse *f);
void td__fuse_rings_tell(struct td_fuse *f, int work);
void td__fuse_rings_end(struct td_fuse *f);
/* Is it this request that the ring's thread answers? If so, answer it. */
int td__fuse_ring_waits(const struct td__fuse_ring *r, uint64_t unique);
ssize_t td__fuse_ring_answer(struct td__fuse_ring *r, const struct iovec *iov, int count);

/* data.c: a file is open, and is no longer. 0 or -ENOMEM. */
int td__fuse_opened(struct td_fuse *f, td_handle v, struct fuse_file_info *fi);
void td__fuse_released(struct td_fuse *f, struct fuse_file_info *fi);

/* This worker's room of TD__FUSE_MAX_IO bytes; 0 if memory ran out. */
void *td__fuse_room(void);

void td__fuse_entry(const struct td_fuse *f, const td_attr *a, struct fuse_entry_param *e);

static inline struct td_fuse *td__fuse_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline td_handle td__fuse_handle(const struct td_fuse *f, fuse_ino_t node)
{
	return node == FUSE_ROOT_ID ? f->root : node;
}

static inline struct td_name td__fuse_name(const char *name)
{
	return (struct td_name){ (const uint8_t *)name, (uint32_t)__builtin_strlen(name) };
}

/*
 * Linux has checked permissions by the mode, or it is root who asks: see session.c. It does not send the groups along; they are
 * looked up in /proc, and good until the next request: at once for a server, which checks again, else when somebody wants to know.
 */
uint32_t td__fuse_groups(fuse_req_t req);
int td__fuse_member(uint32_t gid);

static inline struct td_cred td__fuse_cred(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	struct td_cred cred = { .uid = c->uid, .gid = c->gid, .checked = 1, .groups = td__fuse_me->groups, .member = td__fuse_member };

	td__fuse_me->asked = req;
	if (td__fuse_of(req)->remote && c->uid)
		cred.ngroups = td__fuse_groups(req);
	return cred;
}

/* The arguments of the request that this worker answers, as Linux wrote them. */
static inline const void *td__fuse_raw(void)
{
	return (const char *)td__fuse_me->request.mem + sizeof(struct fuse_in_header);
}

#endif
