/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The built-in module as a mount, for `tadan bench`: stays in the foreground until it is unmounted or ended by SIGTERM.
 *
 *   mount-MODULE DIR BYTES|URL      as `tadan mount MODULE [URL] DIR --size BYTES --no-xattrs` does
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/mount.h"
#include "../../front/fuse/fuse.h"
#include "../../port/user/source.h"
#include "../../walls/walls.h"

enum { BLOCK = 4096, BYTES_BESIDE_SERVER = 1 << 20 };

extern const struct td_module_info td_module_info;

static void *await_end(void *fuse)
{
	sigset_t ends;
	int number;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	if (!sigwait(&ends, &number))
		td_fuse_stop(fuse);
	return NULL;
}

static int serve(struct td__fs *fs, const char *dir, char *why, size_t size)
{
	struct td_fuse_options o = { .dir = dir, .source = td_module_info.name, .no_xattrs = 1 };
	struct td_fuse *fuse;
	pthread_t thread;
	int err = td_fuse_mount(fs, &o, &fuse, why, size);

	if (err)
		return err;
	err = -pthread_create(&thread, NULL, await_end, fuse);
	if (!err) {
		pthread_detach(thread);
		err = td_fuse_serve(fuse);
	}
	td_fuse_unmount(fuse);
	return err;
}

int main(int argc, char **argv)
{
	struct td_mount_params p = { .walls = td__walls, .format = 1 };
	struct td__module *module;
	char why[512] = "";
	struct td__fs *fs;
	struct td__source source;
	uint64_t bytes;
	sigset_t all;
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: mount-%s DIR BYTES|URL\n", td_module_info.name);
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 10);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	err = td__module_open(td_module_info.name, &module, why, sizeof(why));
	p.module = module;
	if (!err)
		err = td_level_parse("trusted", &p.level, why, sizeof(why));
	if (!err && td_module_info.flags & TD_MODULE_NETWORK) {
		err = td__port_source_open(argv[2], NULL, &source, why, sizeof(why));
		p.server = &source.server;
		p.source = source.path;
		p.options = source.options;
		bytes = BYTES_BESIDE_SERVER;
	}
	if (!err)
		err = td__device_create(bytes / BLOCK, BLOCK, NULL, TD_DEV_ZEROED, &p.device);
	if (!err)
		err = td_mount(&p, &fs, why, sizeof(why));
	if (!err) {
		err = serve(fs, argv[1], why, sizeof(why));
		td_unmount(fs);
	}
	if (err)
		fprintf(stderr, "mount-%s: %s\n", td_module_info.name, why[0] ? why : strerror(-err));
	return err ? 1 : 0;
}
