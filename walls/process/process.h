/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process wall, the host's side: what its files share. share.h says how a crossing looks.
 *
 * The process of a domain:
 *
 *   spawned --> READY --> calls ... --> dead (as spawn.c has seen, or killed here) --> reaped by stop()
 *
 * Once `dead` is set nothing crosses any more: calls in flight return, one of them with the fault that is to
 * blame, and stop() ends the domain. Everything here outside of the mapping is private to the host.
 */
#ifndef TD_WALLS_PROCESS_H
#define TD_WALLS_PROCESS_H

#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include "../../core/gateway.h"
#include "share.h"

/* Where a slot's thread runs: see place.c. */
enum td__place { TD__PLACE_ANYWHERE, TD__PLACE_HERE, TD__PLACE_AWAY };

/* Whether a slot spins: see patience.c. Times are ns of the monotonic clock, and told only while it does not. */
struct td__patience {
	uint32_t spins;
	uint32_t may;    /* it may spin for the next crossing as for the last one */
	uint32_t row;    /* crossings that came soon after another */
	uint32_t enough; /* of them to spin; 0: as at first */
	uint32_t began;  /* td__seat's `given` when it began to spin */
	int32_t budget;  /* rounds that may be spun in vain */
	uint32_t number; /* among all slots of this process; 0: none as yet */
	uint32_t pair;   /* of cores */
	uint32_t watched, crossings; /* the owner of the pair that it wants, as seen ... */
	uint64_t since;              /* ... from then on */
	uint64_t asked; /* when it last crossed */
	uint64_t came;  /* when that turn came back */
	uint64_t slept; /* between the two */
};

/* The host's side of a slot: used by the thread that called enter(), but for what interrupt() looks at. */
struct td__seat {
	struct td__control *control;
	struct td_frame *shared;  /* the module's frame */
	uint8_t *ring;            /* the module's */
	struct td_frame *frame;   /* the kernel's copy */
	uint8_t *messages;        /* the kernel's copy of the ring, TD__RING bytes */
	uint64_t call;            /* counts the slot's calls */
	uint32_t given;           /* counts the module's turns */
	pid_t thread;             /* the module's, of this slot; 0: unknown */
	enum td__place place;     /* where that runs ... */
	int place_core;           /* ... as to this core, which was the caller's */
	struct td__patience patience;
	uint32_t inside;          /* the module has the turn; also read by interrupt() */
	uint32_t interrupts;      /* of this call */
	uint32_t exact;           /* control->askers are those of the message that is being carried out */
	struct td__call *c;
} __attribute__((aligned(128)));

struct td__process {
	struct td__process *next; /* spawn.c: that is watched, and under what number */
	uint64_t watch;
	pid_t pid;
	int pidfd;       /* by which it is ended and waited for: the host may lose its children to a stray wait() */
	uint32_t dead;   /* not 0: it has ended or is being killed */
	uint32_t blamed; /* a call has taken the blame */
	uint32_t nslots;
	uint32_t cores; /* that the process may use */
	struct td__share *share;
	size_t share_size;
	void *copies; /* frames and rings of the host's */
	size_t copies_size;
	struct td__seat seats[TD__SLOTS];
};

/* ---- spawn.c */

/* What to start. Descriptors: -1 where there is none. */
struct td__spawn {
	char *path;
	char *argv[3];
	int fds[TD__FDS - TD__FD_SHARE];
	struct td__share *share; /* told the namespaces */
	char uid_map[32], gid_map[32];
	pid_t pid;
	int pidfd;
	int error;
};

/*
 * Start the runner. It dies with this process, though the thread that asks may end before. 0 or -errno.
 */
int td__process_spawn(struct td__spawn *s);

/* Notice its end, from now on until unwatch(). 0 or -errno. */
int td__process_watch(struct td__process *p);
void td__process_unwatch(struct td__process *p);

/* Path of the runner's program. 0, or -errno and a reason. */
int td__process_runner(char *path, size_t room, char *why, size_t size);

/* ---- gate.c */

int td__process_enter(struct td__call *c);
void td__process_interrupt(struct td__domain *d, struct td__call *c);

/* Wait until *word is not `value`, at most ms. */
void td__process_sleep(uint32_t *word, uint32_t value, uint32_t ms);

/* Has it ended by itself? */
int td__process_ended(struct td__process *p);

/* End it and let all calls return. */
void td__process_kill(struct td__process *p);

/* It has ended, nobody writes to the shared memory any more: let all calls return that may not have heard of it. */
void td__process_gone(struct td__process *p);

/* ---- patience.c */

/* For how many rounds does one spin for this crossing? 0: not at all. May wait for a few milliseconds until it can. */
uint32_t td__patience_decides(const struct td__process *p, struct td__seat *s);

static inline uint32_t td__patience_rounds(const struct td__process *p, struct td__seat *s)
{
	return s->patience.may ? TD__SPIN : td__patience_decides(p, s);
}

/* The module has the turn, and one spins: what is to be thought of for the next time. */
void td__patience_goes_on(struct td__seat *s);

/* The module sleeps, and is about to be woken. Gives what is to become of `rounds`. */
uint32_t td__patience_wakes(const struct td__process *p, struct td__seat *s, uint32_t rounds);

/* So many were spun in vain. */
void td__patience_vain(const struct td__process *p, struct td__seat *s, uint32_t rounds);

/* The turn came back while one spun (rounds) or slept (0). */
void td__patience_came(const struct td__process *p, struct td__seat *s, uint32_t rounds);

/* ---- place.c */

/* Once, before any code of the module runs: which of the process's threads is which slot's. */
void td__process_find_threads(struct td__process *p);

/* How many cores may it use? */
uint32_t td__process_cores(const struct td__process *p);

/*
 * Have the slot's thread run on the caller's core, or away from it. 0, also where the system does not permit it and Linux goes on to choose;
 * -EINVAL: there is no such core.
 */
int td__place(const struct td__process *p, struct td__seat *s, enum td__place place);

/* Does it? Callers move. */
static inline int td__is_placed(const struct td__seat *s, enum td__place place)
{
	return s->place == place && sched_getcpu() == s->place_core;
}

/* ---- report.c */

/* Turn the module's evidence into a fault of the call. Nothing in it is believed. */
void td__process_report(struct td__call *c, const struct td__control *control);

/* Where the module asked for the service that ended the call. */
void td__process_report_asker(struct td__call *c, const struct td__control *control);

/* The wall's where(): known of the service that the module waits for. */
void td__process_where(struct td__call *c);

/* The process ended without evidence: say how. */
void td__process_report_end(struct td__process *p, struct td__call *c);

/* Have the thread of a slot write down where it is. */
void td__process_ask_stop(struct td__process *p, uint32_t slot);

#endif
