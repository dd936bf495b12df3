/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session: what Linux and the front end agree on, and the channel between them.
 *
 * Linux may do nearly everything by itself, because nothing changes behind its back: it keeps names,
 * attributes, absent names, symbolic links, directories and pages, gathers writes (the write-back cache), and
 * neither opens nor closes files with us unless the module wants to know. Of a file system that others change, too,
 * it believes what it knows for as long as the kernel does, and asks again when a file is opened.
 *
 * Linux checks permissions by owner and mode (default_permissions), unless root has mounted for himself
 * alone: nothing is forbidden to him, and to check it Linux would ask for a directory's attributes after each
 * change of it.
 *
 * Three agreements are out of libfuse 3.14's reach, so the functions of the channel add them to the answer to
 * INIT where the request offers them:
 *	FUSE_HANDLE_KILLPRIV_V2	Without it Linux asks for the attribute security.capability before each write.
 *	FUSE_PARALLEL_DIROPS	Without it a directory is asked for one name at a time. libfuse knows the flag
 *				and forgets to pass it on.
 *	FUSE_OVER_IO_URING	where rings are ready: see uring.c.
 */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

_Thread_local struct td__fuse_worker *td__fuse_me;

static const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
			       FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			       FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_WRITEBACK_CACHE |
			       FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT;

static void init(void *userdata, struct fuse_conn_info *conn)
{
	struct td_fuse *f = userdata;
	unsigned want = wanted;

	if (!f->writeback)
		want &= ~FUSE_CAP_WRITEBACK_CACHE;
	if (f->opens || f->tells)
		want &= ~FUSE_CAP_NO_OPEN_SUPPORT;
	if (f->remote) /* pages go when a file's size or time of change is another */
		want = (want | FUSE_CAP_AUTO_INVAL_DATA) & ~(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_CACHE_SYMLINKS);
	conn->want = conn->capable & want;
	conn->max_write = TD__FUSE_MAX_IO;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

static void note_init(struct td_fuse *f, const void *request, size_t size)
{
	const struct fuse_in_header *in = request;
	const struct fuse_init_in *arg = (const void *)(in + 1);

	if (size < sizeof(*in) + offsetof(struct fuse_init_in, flags) + sizeof(arg->flags) ||
	    in->opcode != FUSE_INIT)
		return;
	f->init_unique = in->unique;
	f->init_offers = arg->flags;
	if (arg->flags & FUSE_INIT_EXT)
		f->init_offers2 = arg->flags2;
}

/*
 * Linux reads 128 KiB ahead, a turn to the server each. More is for root to ask, on the mount's own page of /sys; elsewhere it stays. Nobody
 * answers requests yet, so none may be needed to find the mount's number.
 */
static int read_further_ahead(const char *dir)
{
	char path[64], kib[16];
	struct statx st;
	int fd, n = snprintf(kib, sizeof(kib), "%d", TD__FUSE_MAX_IO / 1024), done;

	if (statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major, st.stx_dev_minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	done = write(fd, kib, n) == n;
	close(fd);
	return done;
}

enum { OVER_IO_URING = 1 << (41 - 32) }; /* FUSE_OVER_IO_URING among the flags from bit 32 on; of Linux 6.14 */

/* 1: requests will come through rings. */
static int amend_init(struct td_fuse *f, const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	int by_rings = f->rings && (f->init_offers2 & OVER_IO_URING);
	struct fuse_init_out *arg;

	if (out->error || count < 2)
		return 0;
	arg = iov[1].iov_base;
	if (iov[1].iov_len < sizeof(*arg))
		return 0;
	arg->flags |= f->init_offers & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS);
	f->kill_priv = (f->init_offers & FUSE_HANDLE_KILLPRIV_V2) != 0;
	if (by_rings) {
		arg->flags |= FUSE_INIT_EXT;
		arg->flags2 |= OVER_IO_URING;
	}
	if (f->remote && read_further_ahead(f->dir))
		arg->max_readahead = TD__FUSE_MAX_IO;
	return by_rings;
}

static void set_nonblocking(struct td__fuse_worker *me, int on)
{
	if (me->nonblocking != on && !fcntl(me->fd, F_SETFL, on ? O_RDWR | O_NONBLOCK : O_RDWR))
		me->nonblocking = on;
}

static ssize_t look_and_read(struct td__fuse_worker *me, void *buf, size_t size)
{
	ssize_t n;

	set_nonblocking(me, 1);
	do
		n = read(me->fd, buf, size);
	while (n < 0 && errno == EAGAIN && td__fuse_spin_on(me->front, me));
	if (n > 0)
		td__fuse_spin_won(me);
	return n;
}

/* The session's own channel may be several workers': nobody changes how it is read. */
static ssize_t read_request(struct td__fuse_worker *me, int fd, void *buf, size_t size, int look)
{
	ssize_t n;

	if (me->fd < 0)
		return read(fd, buf, size);
	if (look) {
		n = look_and_read(me, buf, size);
		if (n >= 0 || errno != EAGAIN)
			return n;
	}
	set_nonblocking(me, 0);
	return read(me->fd, buf, size);
}

/*
 * A worker without work can be cancelled, and only there. Until INIT has been answered init_offers is 0;
 * Linux sends no other request before that.
 */
static ssize_t channel_read(int fd, void *buf, size_t size, void *userdata)
{
	struct td_fuse *f = userdata;
	int e, look = atomic_load(&f->no_rings) && td__fuse_spins(f, td__fuse_me);
	ssize_t n;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &e);
	n = read_request(td__fuse_me, fd, buf, size, look);
	e = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &(int){ 0 });
	if (n > 0 && !f->init_offers)
		note_init(f, buf, n);
	errno = e;
	return n;
}

/*
 * Linux looks up the page of each piece of an answer by itself. So a short one goes as one piece, which does not
 * straddle two pages: that saves two or three percent of a round trip.
 */
static ssize_t write_short(int fd, const struct iovec *iov, int count)
{
	char *to = td__fuse_me->answer;

	for (int i = 0; i < count; i++)
		to = mempcpy(to, iov[i].iov_base, iov[i].iov_len);
	return write(fd, td__fuse_me->answer, to - td__fuse_me->answer);
}

static ssize_t answer_init(struct td_fuse *f, int fd, const struct iovec *iov, int count)
{
	int by_rings = amend_init(f, iov, count);
	ssize_t n;

	f->init_unique = 0;
	n = writev(td__fuse_me->fd >= 0 ? td__fuse_me->fd : fd, iov, count);
	td__fuse_rings_tell(f, n > 0 && by_rings);
	return n;
}

static int hold_back(struct td__fuse_worker *me, const struct fuse_out_header *out)
{
	const struct fuse_in_header *in = me->request.mem;

	if ((out->error != -ENOSPC && out->error != -EDQUOT) || me->no_room != TD__FUSE_HOLD_BACK || out->unique != in->unique)
		return 0;
	me->no_room = TD__FUSE_HELD_BACK;
	return 1;
}

static ssize_t channel_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct td_fuse *f = userdata;

	if (out->error && hold_back(td__fuse_me, out))
		return out->len;
	if (td__fuse_me->ring && td__fuse_ring_waits(td__fuse_me->ring, out->unique))
		return td__fuse_ring_answer(td__fuse_me->ring, iov, count);
	atomic_store_explicit(&td__fuse_me->busy, 0, memory_order_relaxed);
	if (f->init_unique && f->init_unique == out->unique)
		return answer_init(f, fd, iov, count);
	if (td__fuse_me->fd >= 0)
		fd = td__fuse_me->fd;
	if (count > 1 && out->len <= sizeof(td__fuse_me->answer))
		return write_short(fd, iov, count);
	return writev(fd, iov, count);
}

int td__fuse_channel(struct td_fuse *f)
{
	static const struct fuse_custom_io io = { .read = channel_read, .writev = channel_writev };

	return fuse_session_custom_io(f->session, &io, fuse_session_fd(f->session));
}

/* In mount options a comma ends an option, and a backslash takes its meaning away. */
static void append_escaped(char *text, size_t size, const char *s)
{
	size_t n = strlen(text);

	for (; *s && n + 3 < size; s++) {
		if (*s == ',' || *s == '\\')
			text[n++] = '\\';
		text[n++] = *s;
	}
	text[n] = 0;
}

static int add_options(const struct td_fuse *f, struct fuse_args *args,
		       const struct td_fuse_options *o)
{
	char names[256] = "-osubtype=tadan";

	if (o->source) {
		strcat(names, ".");
		append_escaped(names, 120, o->source);
	}
	strcat(names, ",fsname=");
	append_escaped(names, sizeof(names), o->source ? o->source : "tadan");
	if (fuse_opt_add_arg(args, "tadan") || fuse_opt_add_arg(args, names) ||
	    (!f->only_root && fuse_opt_add_arg(args, "-odefault_permissions")) ||
	    (o->allow_other && fuse_opt_add_arg(args, "-oallow_other")) ||
	    (o->read_only && fuse_opt_add_arg(args, "-oro")) ||
	    (o->debug && fuse_opt_add_arg(args, "-odebug")))
		return -ENOMEM;
	return 0;
}

int td__fuse_session(struct td_fuse *f, const struct td_fuse_options *o)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = { .init = init };
	int error = add_options(f, &args, o);

	td__fuse_attr_ops(&ops);
	td__fuse_data_ops(&ops);
	td__fuse_name_ops(&ops);
	td__fuse_readdir_ops(&ops);
	if (!error) {
		f->session = fuse_session_new(&args, &ops, sizeof(ops), f);
		error = f->session ? 0 : -ENOMEM;
	}
	fuse_opt_free_args(&args);
	return error;
}

void *td__fuse_room(void)
{
	if (!td__fuse_me->room)
		td__fuse_me->room = malloc(TD__FUSE_MAX_IO);
	return td__fuse_me->room;
}
