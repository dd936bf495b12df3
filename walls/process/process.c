/* SPDX-License-Identifier: BSD-2-Clause */
/* The process wall: a domain's beginning and end. See process.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../elf/file.h"
#include "../walls.h"
#include "process.h"

enum {
	SLOTS_LEAST = 8,
	SLOTS_MOST = 32,
	HEAP_DEFAULT = 64 << 20,
	START_MS = 10000, /* a machine under load; a start takes a millisecond or two */
};

static int available(char *why, size_t size)
{
	char path[PATH_MAX];

	return td__process_runner(path, sizeof(path), why, size);
}

/* Two for each processor: some calls wait in the kernel while others run. */
static uint32_t slots(void)
{
	long n = 2 * sysconf(_SC_NPROCESSORS_ONLN);

	return n < SLOTS_LEAST ? SLOTS_LEAST : n > SLOTS_MOST ? SLOTS_MOST : (uint32_t)n;
}

static uint64_t pages(uint64_t size)
{
	return (size + TD__PAGE - 1) & ~(uint64_t)(TD__PAGE - 1);
}

/* The memfd of the slots, of fixed size, mapped. Returns the descriptor or -errno. */
static int make_share(struct td__process *p, uint64_t size)
{
	int fd = memfd_create("tadan-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	p->share_size = pages(size);
	if (!ftruncate(fd, (off_t)p->share_size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		p->share = mmap(0, p->share_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p->share != MAP_FAILED)
			return fd;
	}
	p->share = 0;
	err = -errno;
	close(fd);
	return err;
}

static int make_copies(struct td__process *p)
{
	size_t each = TD_FRAME_SIZE + TD__RING;

	p->copies_size = p->nslots * each;
	p->copies = mmap(0, p->copies_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->copies == MAP_FAILED) {
		p->copies = 0;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->nslots; i++) {
		struct td__seat *s = &p->seats[i];

		s->control = td__share_control(p->share, i);
		s->shared = (void *)((char *)s->control + TD__AT_FRAME);
		s->ring = (uint8_t *)s->control + TD__AT_RING;
		s->frame = (void *)((char *)p->copies + i * each);
		s->messages = (uint8_t *)s->frame + TD_FRAME_SIZE;
	}
	return 0;
}

static void fill_header(struct td__process *p, const struct td__domain *d)
{
	const struct td__elf *e = d->module->file;
	const struct td__device *dev = d->device;
	struct td__share *h = p->share;

	h->version = TD__SHARE_VERSION;
	h->nslots = p->nslots;
	h->bsize = dev->bsize;
	h->blocks = dev->blocks;
	h->heap_size = pages(d->level.memory ? d->level.memory : HEAP_DEFAULT);
	h->area = d->heap != 0;
	h->module_at = td__share_size(p->nslots);
	h->module_size = e->size;
	h->writable = d->level.shared == TD_SHARED_RW;
	h->state_size = dev->state.size;
	if (d->level.shared != TD_SHARED_UNMAPPED)
		h->data_size = dev->data.size;
	else
		h->changes_size = dev->changes.size;
	memcpy((char *)h + h->module_at, e->file, e->size);
}

/* The same pages with a descriptor that cannot write to them. */
static int reopen(int64_t fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int pass_device(const struct td__domain *d, const struct td__share *h, struct td__spawn *s)
{
	int *data = &s->fds[TD__FD_DATA - TD__FD_SHARE], *state = &s->fds[TD__FD_STATE - TD__FD_SHARE];
	int *changes = &s->fds[TD__FD_CHANGES - TD__FD_SHARE];

	if (h->data_size)
		*data = h->writable ? fcntl((int)d->device->data.share, F_DUPFD_CLOEXEC, 0) :
				      reopen(d->device->data.share);
	if (h->data_size && *data < 0)
		return -errno;
	if (h->state_size)
		*state = reopen(d->device->state.share);
	if (h->state_size && *state < 0)
		return -errno;
	if (h->changes_size)
		*changes = reopen(d->device->changes.share);
	return h->changes_size && *changes < 0 ? -errno : 0;
}

static void take(struct td__process *p, const struct td__spawn *s)
{
	p->pid = s->pid;
	p->pidfd = s->pidfd;
}

static int spawn(struct td__process *p, const struct td__domain *d, int share, char *why, size_t size)
{
	char path[PATH_MAX], name[16];
	struct td__spawn s = { .path = path, .argv = { path, name, 0 }, .fds = { share, -1, -1, -1, -1 }, .share = p->share };
	int err = td__process_runner(path, sizeof(path), why, size);

	if (err)
		return err;
	snprintf(name, sizeof(name), "tadan:%.9s", d->module->info.name);
	s.fds[TD__FD_HOST - TD__FD_SHARE] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	err = s.fds[TD__FD_HOST - TD__FD_SHARE] < 0 ? -errno : pass_device(d, p->share, &s);
	if (!err)
		err = td__process_spawn(&s);
	if (err)
		snprintf(why, size, "%s cannot be started: %s", path, strerror(-err));
	else
		take(p, &s);
	for (int i = 1; i < TD__FDS - TD__FD_SHARE; i++)
		if (s.fds[i] >= 0)
			close(s.fds[i]);
	return err;
}

/* Once a host: the same is true of all its modules. */
static void tell_what_is_missing(const struct td__share *h)
{
	static int told;

	if ((h->left_out || !h->spaces) && !__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED))
		td__port_log(4, "this system does not permit namespaces or another user for the processes of modules: the wall "
				"'process' relies on the system call filter, limits and dropped rights alone");
}

/* Until the runner is ready. What it says of itself so far was said before any code of the module ran. */
static int await_ready(struct td__process *p, char *why, size_t size)
{
	struct td__share *h = p->share;
	char said[sizeof(h->why)];
	int ended = 0, error;

	for (int ms = 0; ms < START_MS && !ended; ms += 2) {
		ended = td__process_ended(p);
		if (__atomic_load_n(&h->state, __ATOMIC_ACQUIRE) == TD__RUNNER_STARTS && !ended)
			td__process_sleep(&h->state, TD__RUNNER_STARTS, 2);
		if (__atomic_load_n(&h->state, __ATOMIC_ACQUIRE) != TD__RUNNER_STARTS)
			break;
	}
	switch (__atomic_load_n(&h->state, __ATOMIC_ACQUIRE)) {
	case TD__RUNNER_READY:
		td__process_find_threads(p);
		p->cores = td__process_cores(p);
		tell_what_is_missing(h);
		return 0;
	case TD__RUNNER_FAILED:
		memcpy(said, h->why, sizeof(said));
		said[sizeof(said) - 1] = 0;
		snprintf(why, size, "%s", said);
		error = h->error;
		return error < 0 && error > -4096 ? error : -EIO;
	default:
		snprintf(why, size, "the module's process %s", ended ? "ended while it started" : "did not start in time");
		return -EIO;
	}
}

static void free_all(struct td__process *p)
{
	siginfo_t info;

	td__process_unwatch(p);
	if (p->pid > 0) {
		syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, 0, 0);
		while (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
			;
		close(p->pidfd);
	}
	if (p->share)
		munmap(p->share, p->share_size);
	if (p->copies)
		munmap(p->copies, p->copies_size);
	free(p);
}

static void publish(struct td__domain *d, struct td__process *p)
{
	d->private = p;
	d->process = p->pid;
	d->nslots = p->nslots;
	d->views = d->level.shared == TD_SHARED_UNMAPPED ? TD_VIEW_NONE : TD_VIEW_SNAPSHOT;
	d->remote = 1;
	for (uint32_t i = 0; i < p->nslots; i++) {
		d->slots[i].frame = p->seats[i].frame;
		d->slots[i].window = (char *)p->seats[i].control + TD__AT_WINDOW;
		d->slots[i].window_at = TD__AT_WINDOW - TD__AT_FRAME;
		d->slots[i].private = &p->seats[i];
	}
}

static int start(struct td__domain *d, char *why, size_t size)
{
	const struct td__elf *e = d->module->file;
	struct td__process *p;
	int share, err;

	if (d->module->info.flags & TD_MODULE_HOSTED) {
		snprintf(why, size, "the module '%s' needs libc, which this wall does not give it; use wall none",
			 d->module->info.name);
		return -TD_EOPNOTSUPP;
	}
	if (td__module_has_form(d->module, TD_WALL_PROCESS, why, size))
		return -TD_EOPNOTSUPP;
	p = aligned_alloc(_Alignof(struct td__process), sizeof(*p));
	if (!p)
		return -TD_ENOMEM;
	memset(p, 0, sizeof(*p));
	p->nslots = slots();
	share = make_share(p, td__share_size(p->nslots) + e->size);
	err = share < 0 ? share : make_copies(p);
	if (!err && d->level.shared == TD_SHARED_UNMAPPED)
		err = td__device_count(d->device);
	if (err < 0)
		snprintf(why, size, "no memory to share with the module's process: %s", strerror(-err));
	if (!err) {
		fill_header(p, d);
		err = spawn(p, d, share, why, size);
	}
	if (share >= 0)
		close(share);
	if (!err)
		err = await_ready(p, why, size);
	if (!err) {
		err = td__process_watch(p);
		if (err)
			snprintf(why, size, "the module's process cannot be watched: %s", strerror(-err));
	}
	if (err) {
		free_all(p);
		return err;
	}
	publish(d, p);
	return 0;
}

static void stop(struct td__domain *d)
{
	free_all(d->private);
	d->private = 0;
	d->process = 0;
}

static int ready(struct td__domain *d)
{
	return !td__process_ended(d->private);
}

const struct td__wall td__wall_process = {
	.name = "process",
	.kind = TD_WALL_PROCESS,
	.available = available,
	.start = start,
	.enter = td__process_enter,
	.interrupt = td__process_interrupt,
	.stop = stop,
	.where = td__process_where,
	.ready = ready,
};
