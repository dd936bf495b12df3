/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a mount: a module, a device, a level. All functions may sleep and may be called from any
 * thread while operations of vfs.h are under way.
 */
#ifndef TADAN_MOUNT_H
#define TADAN_MOUNT_H

#include "wall.h"
#include "device.h"
#include "vfs.h"

struct td_mount_params {
	const struct td__module *module;      /* stays the caller's, must outlive the mount */
	const struct td__wall *const *walls;  /* table by enum td_wall_kind; 0 where there is none */
	struct td__device *device;            /* belongs to the mount on success */
	struct td_level level;
	uint32_t format;   /* 1: a blank device gets a new file system */
	uint64_t maxfiles; /* 0: the module decides */
	uint64_t cache;    /* bytes of an image that may be in memory at a time, nearly; 0: a quarter of the memory there is */
	/* Of a module with TD_MODULE_NETWORK: the only server that it may reach. 0: none. */
	const struct td__address *server;
	const char *source, *options; /* as the module gets them; 0: empty. They must outlive the mount. */
};

/*
 * Start the module on the device. On an error nothing is left, the device stays the caller's, and why
 * (size bytes) says what was wrong and what to do. Errors: the wall's, the module's mount operation's, ENOMEM.
 */
int td_mount(const struct td_mount_params *p, struct td__fs **fs, char *why, size_t size);

/*
 * Write everything back and end the domain. Handles are void afterwards; the caller has stopped all operations.
 * Returns the first error of writing back; the mount is gone in any case.
 */
int td_unmount(struct td__fs *fs);

/* The server is given up: who waits for it gets EIO, at once and from now on. For a mount that is to end. */
void td_cut(struct td__fs *fs);

/*
 * Move to another level while in use. Operations wait for the change; none fails because of it. On an error the mount
 * stays at the level it had. pause_ns (may be 0): for how long calls were kept out.
 */
int td_set_level(struct td__fs *fs, const struct td_level *level, uint64_t *pause_ns, char *why, size_t size);

/* Who hears what a check finds. */
struct td_checker {
	void *arg;
	/* A problem, with its text; p->flags has TD_PROBLEM_REPAIRED where it is none any more. */
	void (*problem)(void *arg, const struct td_problem *p, const char *text);
	/* The check begins anew: what was told is to be forgotten. */
	void (*again)(void *arg);
};
/*
 * Have the module look for what is wrong in its file system, and repair what can be repaired without losing anything, if so asked. Nobody uses
 * the mount meanwhile; after a repair it is to be unmounted. 0: it has looked at everything, whatever it found. EOPNOTSUPP where the
 * module cannot check; ENOMEM where its level gives it too little memory; EIO; E2BIG after TD_CHECK_PROBLEMS problems, when there are more;
 * ETIMEDOUT if it does not come to an end: in ten minutes and 10 ms for each block, or in as many parts as there are blocks.
 */
enum { TD_CHECK_PROBLEMS = 65536 };
int td_check(struct td__fs *fs, int repair, const struct td_checker *to);

/* Look for deadlocks of the module now, whatever the level says about when, and end them as it says. Returns how many there were. */
uint32_t td_check_deadlocks(struct td__fs *fs);

enum td_state {
	TD_STATE_RUNNING,
	TD_STATE_CHANGING, /* restart or change of level */
	TD_STATE_DETACHED, /* failed too often: calls get EIO */
};

/* What went over the network. A message is one of the server's protocol: a request or a reply. */
struct td_net_counts {
	uint64_t connects;           /* connections that were made */
	uint64_t lost;               /* and lost or closed */
	uint64_t broken;             /* of these, because the server broke the rules */
	uint64_t sent, sent_bytes;   /* requests, as a whole; bytes with their marks */
	uint64_t received, received_bytes; /* replies that somebody waited for; bytes of all that came */
	uint64_t resent;             /* of the requests sent: again, after their connection was lost */
	uint64_t unwanted;           /* messages that nobody waited for */
	/* Now: */
	uint64_t connections, in_flight; /* that live; requests without a reply */
	uint64_t kept;               /* bytes that are with files until the server has them for good */
	uint64_t buffers;            /* bytes of memory for messages and for what is kept */
};

struct td_status {
	struct td_level level;
	char module[32];
	uint64_t build;
	uint32_t state;    /* enum td_state */
	int64_t process;   /* pid of the module's process, 0: none */
	int64_t standby;   /* pid of the process that waits to replace it, 0: none */
	int64_t since_sec; /* when this level began */
	uint64_t calls;    /* that crossed the wall */
	uint64_t faults, restarts, level_changes;
	uint64_t careless; /* mistakes that the kernel corrected: see enum td_mistake */
	uint64_t mistakes[TD_MISTAKES]; /* the same, by kind */
	uint64_t left_references, left_memory; /* that modules in good order had not given back at their unmount; bytes */
	uint64_t heap_used;    /* bytes of its heap that the module has allocated, by its own word */
	uint64_t undo_most;    /* bytes of the longest journal of a call */
	uint64_t cpu_ns;       /* that calls were inside, waits in services aside: looked at every TD__TICK_MS */
	uint64_t throttled_ns; /* that calls had to wait because of the share `cpu` */
	uint32_t kept;         /* vnode references that the module keeps */
	uint32_t inside;       /* calls */
	uint64_t deadlocks; /* resolved */
	uint64_t revoked;   /* of these, by taking a lock away for a time */
	uint64_t vnodes;   /* active or cached */
	uint64_t last_pause_ns;
	uint64_t calls_by_op[TD_OP_MAX];
	uint64_t cached, cache; /* bytes of an image that are in memory, and that may be; 0, 0: there is none */
	uint64_t evicted;       /* bytes of it that were given up, so far */
	uint64_t unwritten;     /* bytes of it that are changed and not written; zeroes do not count */
	struct td__disk_state disk; /* below it */
	uint32_t has_server;
	struct td_net_counts net; /* where it has one */
};
void td_get_status(struct td__fs *fs, struct td_status *out);

/* Copy up to n faults with a number above `after`, oldest first; returns how many. */
uint32_t td_get_faults(struct td__fs *fs, uint64_t after, struct td_fault *out, uint32_t n);

/*
 * The same of mistakes, which count on by themselves: as faults of the kind MISTAKE, one for each place, operation and text. Their
 * `times` grow while they keep their number; the last TD_MISTAKES_KEPT unlike ones are kept.
 */
uint32_t td_get_mistakes(struct td__fs *fs, uint64_t after, struct td_fault *out, uint32_t n);

#endif
