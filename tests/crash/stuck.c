/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file system with one file, `image`, that does not answer when it is told so: requests wait while there is a file of their name, `read`,
 * `write` or `fsync`, in the folder ORDERS. What waited is carried out when it goes on.
 *
 *	stuck FILE ORDERS DIR [options of libfuse]
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file, orders;

static void obey(const char *name)
{
	while (!faccessat(orders, name, F_OK, 0))
		usleep(3000);
}

static int is_image(const char *path)
{
	return !strcmp(path, "/image");
}

static int get_attr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (is_image(path))
		return fstat(file, st) ? -errno : 0;
	*st = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	return strcmp(path, "/") ? -ENOENT : 0;
}

static int open_it(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = 1; /* so that all of it comes here */
	return is_image(path) ? 0 : -ENOENT;
}

static int read_it(const char *path, char *data, size_t len, off_t off, struct fuse_file_info *fi)
{
	ssize_t n;

	(void)path;
	(void)fi;
	obey("read");
	n = pread(file, data, len, off);
	return n < 0 ? -errno : (int)n;
}

static int write_it(const char *path, const char *data, size_t len, off_t off, struct fuse_file_info *fi)
{
	ssize_t n;

	(void)path;
	(void)fi;
	obey("write");
	n = pwrite(file, data, len, off);
	return n < 0 ? -errno : (int)n;
}

static int flush_it(const char *path, int data, struct fuse_file_info *fi)
{
	(void)path;
	(void)data;
	(void)fi;
	obey("fsync");
	return 0;
}

static int set_size(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)path;
	(void)fi;
	return ftruncate(file, size) ? -errno : 0;
}

int main(int argc, char **argv)
{
	static const struct fuse_operations ops = { .getattr = get_attr, .open = open_it, .read = read_it, .write = write_it,
						    .fsync = flush_it, .truncate = set_size };

	if (argc < 4)
		return 2;
	file = open(argv[1], O_RDWR | O_CLOEXEC);
	orders = open(argv[2], O_PATH | O_CLOEXEC);
	if (file < 0 || orders < 0) {
		perror(file < 0 ? argv[1] : argv[2]);
		return 2;
	}
	argv[2] = argv[0];
	return fuse_main(argc - 2, argv + 2, &ops, NULL);
}
