/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FUSE over io_uring: requests come and answers go through rings instead of reads and writes of /dev/fuse.
 *
 * Linux has a queue for each processor, and puts a request into that of the processor whose program asks. An entry of a
 * queue is memory of ours for one request and its answer; it belongs to the thread that registered it. Here a
 * thread has a ring with one entry, and a queue several threads: Linux takes the entry that was given back last, so
 * one client keeps one thread warm, and a thread that waits in a module holds nobody up. One system call gives an answer
 * and waits for the next request.
 *
 * The threads are there before INIT is answered, since Linux sends nothing more until each queue has an entry. The answer says whether
 * they go to work (then Linux has offered it) or end. FORGET and INTERRUPT come through /dev/fuse in any case, to the
 * workers of loop.c, and in no order with what comes here. When Linux refuses an entry, all goes on through /dev/fuse.
 *
 * Numbers and layouts are those of include/uapi/linux/fuse.h of Linux 6.14; Debian's header is older.
 */
#include "front.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REGISTER = 1, COMMIT_AND_FETCH = 2 }; /* FUSE_IO_URING_CMD_... */

struct header { /* fuse_uring_req_header */
	union {
		struct fuse_in_header in;
		struct fuse_out_header out;
		char room[128];
	};
	char first[128]; /* the operation's own structure */
	uint64_t flags, commit_id;
	uint32_t payload_size, padding;
	uint64_t reserved;
};
_Static_assert(sizeof(struct header) == 288, "fuse_uring_req_header");

struct command { /* fuse_uring_cmd_req */
	uint64_t flags, commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

enum { PAGE = 4096, PAYLOAD = TD__FUSE_MAX_IO, MEMORY = PAGE + PAYLOAD, THE_ENTRY = 1, THE_END = 2, EACH_QUEUE = 2 };

/*
 * memory: a page with the header at its beginning, and at its end room for a request's header and structure in front of the
 * payload, because libfuse wants a request in one piece; then the payload.
 */
struct td__fuse_ring {
	struct io_uring io;
	char *memory;
	struct iovec parts[2]; /* of the memory, for Linux */
	uint16_t queue;
	uint64_t waiting; /* the request that has no answer yet, or 0 */
};

struct td__fuse_rings {
	int count, stop; /* an eventfd: the threads shall end */
	sem_t told;	 /* INIT has been answered */
	int done, work;	 /* so it has, and they shall work. Written before `told` is posted. */
	struct td__fuse_worker *workers;
	struct td__fuse_ring *rings;
};

static struct header *header_of(const struct td__fuse_ring *r)
{
	return (struct header *)r->memory;
}

/* ---- Can it be had? */

static int refuse(char *why, size_t size, int error, const char *text)
{
	snprintf(why, size, "%s", text);
	return error;
}

static int open_ring(struct io_uring *io)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
					      IORING_SETUP_DEFER_TASKRUN };

	return io_uring_queue_init_params(2, io, &p);
}

int td__fuse_rings_check(char *why, size_t size)
{
	FILE *file = fopen("/sys/module/fuse/parameters/enable_uring", "re");
	int said = file ? getc(file) : EOF, error;
	struct io_uring io;

	if (file)
		fclose(file);
	if (said == EOF)
		return refuse(why, size, -EOPNOTSUPP, "this Linux has no FUSE over io_uring (from 6.14 on, with CONFIG_FUSE_IO_URING)");
	if (said != 'Y')
		return refuse(why, size, -EOPNOTSUPP,
			      "FUSE over io_uring is switched off: as root, echo Y > /sys/module/fuse/parameters/enable_uring");
	error = open_ring(&io);
	if (error == -EPERM)
		return refuse(why, size, error, "io_uring is forbidden here: see kernel.io_uring_disabled in sysctl(8)");
	if (error) {
		snprintf(why, size, "io_uring: %s", strerror(-error));
		return error;
	}
	io_uring_queue_exit(&io);
	return 0;
}

/* Linux wants entries for each processor that may ever be there. 0: it does not say. */
static int count_queues(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	char text[256] = "";
	const char *last;

	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	for (last = text + strcspn(text, "\n"); last > text && last[-1] >= '0' && last[-1] <= '9';)
		last--;
	return *last ? atoi(last) + 1 : 0;
}

/* ---- An entry */

static struct io_uring_sqe *prepare(struct td__fuse_ring *r, uint8_t opcode, int fd, uint64_t what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->io);

	if (!sqe)
		return NULL;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = what;
	return sqe;
}

/* There is room for both commands that a ring ever has. */
static int prepare_entry(struct td_fuse *f, struct td__fuse_ring *r, uint32_t command)
{
	struct io_uring_sqe *sqe = prepare(r, IORING_OP_URING_CMD, fuse_session_fd(f->session), THE_ENTRY);
	struct command c = { .queue = r->queue };

	if (!sqe)
		return -EBUSY;
	sqe->cmd_op = command;
	if (command == REGISTER) {
		sqe->addr = (uintptr_t)r->parts;
		sqe->len = 2;
	} else {
		c.commit_id = header_of(r)->commit_id;
	}
	memcpy(sqe->cmd, &c, sizeof(c));
	return 0;
}

static int prepare_end(struct td_fuse *f, struct td__fuse_ring *r)
{
	struct io_uring_sqe *sqe = prepare(r, IORING_OP_POLL_ADD, f->rings->stop, THE_END);

	if (!sqe)
		return -EBUSY;
	sqe->poll32_events = POLLIN;
	return 0;
}

/* What has come: 1: a request, 0: the end, -EAGAIN: nothing, or what Linux says of the entry. */
static int look(struct td__fuse_ring *r)
{
	struct io_uring_cqe *cqe;
	int result;

	if (io_uring_peek_cqe(&r->io, &cqe))
		return -EAGAIN;
	result = cqe->user_data == THE_END ? 0 : !cqe->res ? 1 : cqe->res == -EAGAIN ? -EIO : cqe->res;
	io_uring_cqe_seen(&r->io, cqe);
	return result;
}

/* Give Linux what is prepared, and wait for what comes. */
static int turn(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct td__fuse_ring *r = me->ring;
	int error, came;

	if (td__fuse_spins(f, me)) {
		io_uring_submit_and_get_events(&r->io);
		while ((came = look(r)) == -EAGAIN && td__fuse_spin_on(f, me))
			io_uring_get_events(&r->io);
		if (came != -EAGAIN) {
			td__fuse_spin_won(me);
			return came;
		}
	}
	while ((came = look(r)) == -EAGAIN) {
		error = io_uring_submit_and_wait(&r->io, 1);
		if (error < 0 && error != -EINTR && error != -EAGAIN)
			return error;
	}
	return came;
}

static int assemble(const struct td__fuse_ring *r, struct fuse_buf *request)
{
	const struct header *h = header_of(r);
	size_t first = h->in.len - sizeof(h->in) - h->payload_size;
	char *at = r->memory + PAGE - first - sizeof(h->in);

	if (first > sizeof(h->first) || h->payload_size > PAYLOAD)
		return -EPROTO;
	memcpy(at, &h->in, sizeof(h->in));
	memcpy(at + sizeof(h->in), h->first, first);
	*request = (struct fuse_buf){ .mem = at, .size = h->in.len };
	return 0;
}

int td__fuse_ring_waits(const struct td__fuse_ring *r, uint64_t unique)
{
	return r->waiting == unique;
}

ssize_t td__fuse_ring_answer(struct td__fuse_ring *r, const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct header *h = header_of(r);
	char *to = r->memory + PAGE;

	if (out->len - sizeof(*out) > PAYLOAD)
		return -1;
	h->out = *out;
	for (int i = 1; i < count; i++)
		to = mempcpy(to, iov[i].iov_base, iov[i].iov_len);
	h->payload_size = to - (r->memory + PAGE);
	r->waiting = 0;
	return out->len;
}

static int answer(struct td_fuse *f, struct td__fuse_worker *me)
{
	struct fuse_out_header none = { .len = sizeof(none), .error = -EIO };
	int error = assemble(me->ring, &me->request);

	if (error)
		return error;
	none.unique = me->ring->waiting = header_of(me->ring)->in.unique;
	td__fuse_observe(f, me->request.mem);
	td__fuse_process(f, me);
	if (me->ring->waiting)
		td__fuse_ring_answer(me->ring, &(struct iovec){ &none, sizeof(none) }, 1);
	return prepare_entry(f, me->ring, COMMIT_AND_FETCH);
}

/* ---- The threads */

static int begin(struct td_fuse *f, struct td__fuse_ring *r)
{
	int error = io_uring_register(r->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	if (!error)
		error = prepare_end(f, r);
	if (!error)
		error = prepare_entry(f, r, REGISTER);
	if (!error)
		io_uring_register_ring_fd(&r->io); /* spares a look-up; without it works as well */
	return error;
}

/* The channel's end is noticed by the workers of loop.c, too. */
static void *work(void *arg)
{
	struct td__fuse_worker *me = arg;
	struct td_fuse *f = me->front;
	int came, old, served = 0;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	while (sem_wait(&f->rings->told) && errno == EINTR)
		;
	if (!f->rings->work)
		return NULL;
	td__fuse_me = me;
	came = begin(f, me->ring);
	if (!came)
		came = turn(f, me);
	for (; came > 0; served = 1) {
		came = answer(f, me);
		if (!came)
			came = turn(f, me);
	}
	if (!came)
		io_uring_submit(&me->ring->io); /* the last answer */
	else if (!served && came != -ENOTCONN)
		atomic_store(&f->no_rings, "Linux has refused a ring");
	return NULL;
}

static int make_ring(struct td__fuse_ring *r, int queue)
{
	int error;

	r->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->memory == MAP_FAILED)
		return -ENOMEM;
	error = open_ring(&r->io);
	if (error) {
		munmap(r->memory, MEMORY);
		return error;
	}
	r->queue = (uint16_t)queue;
	r->parts[0] = (struct iovec){ r->memory, sizeof(struct header) };
	r->parts[1] = (struct iovec){ r->memory + PAGE, PAYLOAD };
	return 0;
}

static void unmake_ring(struct td__fuse_ring *r)
{
	io_uring_queue_exit(&r->io);
	munmap(r->memory, MEMORY);
}

static struct td__fuse_rings *allocate(int count)
{
	struct td__fuse_rings *all = calloc(1, sizeof(*all));
	size_t workers = count * sizeof(struct td__fuse_worker);

	if (!all)
		return NULL;
	all->stop = eventfd(0, EFD_CLOEXEC);
	all->rings = calloc(count, sizeof(*all->rings));
	all->workers = aligned_alloc(alignof(struct td__fuse_worker), workers);
	if (all->stop < 0 || !all->rings || !all->workers) {
		if (all->stop >= 0)
			close(all->stop);
		free(all->rings);
		free(all->workers);
		free(all);
		return NULL;
	}
	memset(all->workers, 0, workers);
	sem_init(&all->told, 0, 0);
	return all;
}

/* Every queue needs a thread; the others are welcome. */
static int start(struct td_fuse *f, int count, int queues)
{
	struct td__fuse_rings *all = f->rings;
	int error = 0;

	for (; all->count < count && !error; all->count += !error) {
		struct td__fuse_worker *w = &all->workers[all->count];

		w->front = f;
		w->fd = -1;
		w->ring = &all->rings[all->count];
		error = make_ring(w->ring, all->count % queues);
		if (!error && (error = -pthread_create(&w->thread, NULL, work, w)))
			unmake_ring(w->ring);
	}
	return all->count < queues ? error : 0;
}

static const char *prepare_all(struct td_fuse *f)
{
	int queues = count_queues();
	int count = f->nworkers > EACH_QUEUE * queues ? f->nworkers : EACH_QUEUE * queues;

	if (!queues || count > TD__FUSE_MAX_THREADS)
		return "there may be too many processors";
	f->rings = allocate(count);
	if (!f->rings || start(f, count, queues))
		return "memory or threads ran out";
	return NULL;
}

void td__fuse_rings_start(struct td_fuse *f)
{
	const char *why = f->why_no_rings;

	if (f->uring == TD_FUSE_URING_AUTO && f->cores == 1)
		why = "it gains nothing on one core";
	else if (f->uring != TD_FUSE_URING_OFF && !td__fuse_rings_check(f->why_no_rings, sizeof(f->why_no_rings)))
		why = prepare_all(f);
	if (why)
		td__fuse_rings_end(f);
	atomic_store(&f->no_rings, why ? why : "Linux has not asked yet");
}

void td__fuse_rings_tell(struct td_fuse *f, int work)
{
	struct td__fuse_rings *all = f->rings;

	if (!all)
		return;
	all->work = work;
	all->done = 1;
	atomic_store(&f->no_rings, work ? NULL : "Linux has not offered it");
	for (int i = 0; i < all->count; i++)
		sem_post(&all->told);
}

void td__fuse_rings_end(struct td_fuse *f)
{
	struct td__fuse_rings *all = f->rings;

	if (!all)
		return;
	if (!all->done)
		td__fuse_rings_tell(f, 0);
	eventfd_write(all->stop, 1);
	for (int i = 0; i < all->count; i++) {
		pthread_join(all->workers[i].thread, NULL);
		free(all->workers[i].room);
		unmake_ring(&all->rings[i]);
	}
	sem_destroy(&all->told);
	close(all->stop);
	free(all->rings);
	free(all->workers);
	free(all);
	f->rings = NULL;
}
