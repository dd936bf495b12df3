/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only door out of the core: what it needs from the place where it runs. port/user/ implements it
 * for a Linux process; the same list is to be implemented inside the Linux kernel and by a deterministic
 * scheduler for tests. Nothing here is inlined, so that the core's object code depends on no place.
 */
#ifndef TADAN_PORT_H
#define TADAN_PORT_H

#include <tadan/types.h>

/* Memory, zeroed; 0 when there is none. May sleep. */
void *td__port_alloc(size_t size);
void td__port_free(void *memory, size_t size);

/* Bytes of memory that this process may use, all of it. */
uint64_t td__port_memory(void);

/* Locks. All zeroes is not a valid state: init first. Sleep while they wait; not recursive. */
struct td__mutex {
	uint64_t space[6];
};
struct td__cond {
	uint64_t space[6];
};
struct td__rwlock {
	uint64_t space[8];
};
void td__mutex_init(struct td__mutex *m);
void td__mutex_lock(struct td__mutex *m);
void td__mutex_unlock(struct td__mutex *m);
void td__mutex_fini(struct td__mutex *m);
void td__cond_init(struct td__cond *c);
/* Wait at most ms milliseconds (0: for ever); may wake early. */
void td__cond_wait(struct td__cond *c, struct td__mutex *m, uint32_t ms);
void td__cond_broadcast(struct td__cond *c);
void td__cond_fini(struct td__cond *c);
void td__rwlock_init(struct td__rwlock *l);
void td__rwlock_shared(struct td__rwlock *l);
void td__rwlock_exclusive(struct td__rwlock *l);
void td__rwlock_unlock(struct td__rwlock *l);
void td__rwlock_fini(struct td__rwlock *l);

/* A small number that stays with the calling thread and that no other living thread has. */
uint32_t td__port_thread(void);

/*
 * Make each thread of this process pass a full barrier, so that those which often go a certain way need none, and who seldom wants
 * to know pays for it. -TD_EOPNOTSUPP where that cannot be had.
 */
int td__port_barrier_all(void);

/* The call that the calling thread is in, where services learn from it whom they serve. */
struct td__call;
struct td__call *td__port_call(void);
void td__port_set_call(struct td__call *c);
/* Who the calling thread works for: a struct td_cred that it keeps while it does, or 0. */
const void *td__port_caller(void);
void td__port_set_caller(const void *cred);

/* Nanoseconds that never go back; and UTC, as exact as the system's tick. */
uint64_t td__port_monotonic(void);
void td__port_now(int64_t *sec, uint32_t *nsec);

/*
 * Have tick(arg) called about every ms milliseconds, by a thread of the port's, never twice at a time. 0 where that is not
 * possible. Stopping waits until a tick under way is over. The function must not stop a ticker itself.
 */
struct td__ticker;
struct td__ticker *td__port_ticker_start(void (*tick)(void *arg), void *arg, uint32_t ms);
void td__port_ticker_stop(struct td__ticker *ticker);

/*
 * Have work(arg) called by a thread of the port's, soon after each td__port_helper_ask(), never twice at a time: for who asks while it
 * works, once more. 0 where that is not possible. Stopping waits until a call under way is over; what is asked for and not begun is left.
 */
struct td__helper;
struct td__helper *td__port_helper_start(void (*work)(void *arg), void *arg);
void td__port_helper_ask(struct td__helper *helper);
void td__port_helper_stop(struct td__helper *helper);

/*
 * Copy from or to memory that may not be there: 0, or -TD_EFAULT as soon as a byte cannot be reached.
 */
int td__port_copy(void *to, const void *from, size_t len);

/* Pages that walls can map for a domain: a span of address space that costs nothing until touched. */
struct td__pages {
	void *base;
	uint64_t size;
	int64_t share; /* what a wall passes on to map the same pages elsewhere (here: a descriptor) */
};
int td__port_pages(uint64_t size, struct td__pages *pages);
void td__port_pages_free(struct td__pages *pages);
/* These bytes become zeroes and cost no memory any more. Page-aligned. */
void td__port_pages_drop(struct td__pages *pages, uint64_t off, uint64_t len);
/* Copy into pages, which may be new ones: for many bytes cheaper than touching each. */
void td__port_pages_write(struct td__pages *pages, uint64_t off, const void *data, uint64_t len);

/*
 * Connections to a server. Sending and receiving never wait: -TD_EAGAIN says that td__port_sock_wait() is to be asked
 * first; 0 bytes received are the end of the connection. One thread at a time sends and one receives; anyone may wake.
 */
struct td__address {
	uint32_t family; /* 4 or 6 */
	uint32_t scope;  /* of a link-local address: the interface's number */
	uint8_t bytes[16];
};
struct td__piece {
	uint8_t *data;
	size_t len;
};
struct td__sock;
enum { TD__SOCK_IN = 1, TD__SOCK_OUT = 2 };
/* Begin to connect; it is done, or has failed, when TD__SOCK_OUT comes: then td__port_sock_connected() says which. reserved: try a port below 1024 here. */
int td__port_sock_open(const struct td__address *to, uint32_t port, uint32_t reserved, struct td__sock **out);
int td__port_sock_connected(struct td__sock *s);
void td__port_sock_close(struct td__sock *s);
int64_t td__port_sock_send(struct td__sock *s, const struct td__piece *pieces, uint32_t n);
int64_t td__port_sock_receive(struct td__sock *s, const struct td__piece *pieces, uint32_t n);
/* Wait for some of `what` (TD__SOCK_*), at most ms milliseconds. Returns what has come: 0 after the time, or as soon as somebody wakes. */
uint32_t td__port_sock_wait(struct td__sock *s, uint32_t what, uint32_t ms);
void td__port_sock_wake(struct td__sock *s);

/*
 * A disk below a device: bytes by offset. All return 0 or -errno; short transfers are errors. -TD_ETIMEDOUT: the disk gave no answer in
 * time, or still owes one. It may carry out what it was asked for later, but before any later change; no memory of the caller's is in use then.
 */
struct td__disk;
int td__port_disk_read(struct td__disk *disk, uint64_t off, void *data, size_t len);
/* As much as is there without waiting for the disk. Returns how many bytes. */
int64_t td__port_disk_read_now(struct td__disk *disk, uint64_t off, void *data, size_t len);
/* Read, and have take() called with what comes, a part of 64 KiB or a multiple of that, or the last, at a time. */
int td__port_disk_read_to(struct td__disk *disk, uint64_t off, size_t len,
			  void (*take)(void *arg, uint64_t off, const void *data, size_t len), void *arg);
int td__port_disk_write(struct td__disk *disk, uint64_t off, const void *data, size_t len);
/* Write several pieces, in order, in as few requests as possible. On an error, some may be written. */
struct td__disk_piece {
	uint64_t off;
	const void *data;
	size_t len;
};
int td__port_disk_write_pieces(struct td__disk *disk, const struct td__disk_piece *pieces, uint32_t n);
/* These bytes become zeroes, without taking room where that is possible. */
int td__port_disk_zero(struct td__disk *disk, uint64_t off, uint64_t len);
/* Take the room that writing to these bytes will need, where that is possible. -ENOSPC if there is none. */
int td__port_disk_reserve(struct td__disk *disk, uint64_t off, uint64_t len);
/* Writing behind the end makes the disk longer; this cuts it. */
int td__port_disk_resize(struct td__disk *disk, uint64_t bytes);
int td__port_disk_flush(struct td__disk *disk);
/* Waits for no answer that is owed; until it comes, the disk cannot be opened again. */
void td__port_disk_close(struct td__disk *disk);
struct td__disk_state {
	uint32_t limit_ms; /* for an answer; 0: none */
	uint32_t late;     /* answers that it owes now */
	uint64_t late_ms;  /* the oldest of them: for so long */
	uint64_t timeouts; /* requests that were not answered in time, so far */
};
void td__port_disk_state(struct td__disk *disk, struct td__disk_state *out);

/* A line for the log. Priorities as syslog. */
void td__port_log(uint32_t priority, const char *text);

/* A wrong state of the kernel: say where and end. */
_Noreturn void td__port_panic(const char *file, int line, const char *what);
#define TD__ASSERT(x) ((x) ? (void)0 : td__port_panic(__FILE__, __LINE__, #x))

/* Bytes; the compiler may make calls of the usual names from plain code, the port supplies them. */
void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

#endif
