/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: put a module, a device and a level together.
 *
 *   module opened -> device made -> mounted ... unmounted -> closed
 */
#include "inproc.h"

#include <stdio.h>

#include "../../core/image.h"
#include "../../port/user/disk.h"
#include "../../walls/walls.h"

enum { DEFAULT_SIZE = 256 << 20, DEFAULT_BSIZE = 4096 };

static int complain(int err, char *why, size_t size, const char *what)
{
	snprintf(why, size, "%s", what);
	return err;
}

static int make_device(const struct td_volume_params *p, struct td__device **dev, char *why,
		       size_t size)
{
	uint64_t bytes = p->size ? p->size : DEFAULT_SIZE;
	uint32_t bsize = p->bsize ? p->bsize : DEFAULT_BSIZE;
	struct td__disk *disk;
	int blank, err;

	if (bsize < 512 || bsize > 65536 || bsize & (bsize - 1))
		return complain(-EINVAL, why, size,
				"a block has 512 to 65536 bytes, a power of two");
	if (p->device) {
		*dev = p->device;
		return 0;
	}
	if (!p->image) {
		err = td__device_create(bytes / bsize, bsize, NULL, TD_DEV_ZEROED, dev);
		return err ? complain(err, why, size, "no device of that size can be made") : 0;
	}
	err = td__port_disk_open(p->image, p->size, 0, &disk, &bytes, &blank, why, size);
	if (err)
		return err;
	if (p->device_ms)
		td__port_disk_limit(disk, p->device_ms == UINT32_MAX ? 0 : p->device_ms);
	err = td__image_open(disk, bytes, bsize, 0, dev, &blank, why, size);
	if (!err)
		return 0;
	td__port_disk_close(disk);
	return why[0] ? err : complain(err, why, size, "no device of that size can be made");
}

/* On success the device belongs to vol->fs. */
static int mount_on(struct td_volume *vol, const struct td_volume_params *p,
		    const struct td_level *level, char *why, size_t size)
{
	struct td_mount_params params = {
		.module = vol->module,
		.walls = td__walls,
		.level = *level,
		.format = (!p->image && !p->device) || p->format,
		.maxfiles = p->maxfiles,
		.cache = p->cache,
	};
	int err = 0;

	if (!p->server != !(vol->module->info.flags & TD_MODULE_NETWORK))
		return complain(-EINVAL, why, size, p->server ? "this module is not mounted on a server" : "this module is mounted on a server");
	if (p->server) {
		err = td__port_source_open(p->server, p->options, &vol->source, why, size);
		params.server = &vol->source.server;
		params.source = vol->source.path;
		params.options = vol->source.options;
	}
	if (!err)
		err = make_device(p, &params.device, why, size);
	if (err)
		return err;
	err = td_mount(&params, &vol->fs, why, size);
	if (err)
		td__device_destroy(params.device);
	return err;
}

int td_volume_open(const struct td_volume_params *p, struct td_volume **out, char *why, size_t size)
{
	struct td_level level;
	struct td_volume *vol;
	int err;

	err = td_level_parse(p->level ? p->level : "trusted", &level, why, size);
	if (err)
		return err;
	vol = calloc(1, sizeof(*vol));
	if (!vol)
		return complain(-ENOMEM, why, size, "out of memory");
	err = td__module_open(p->module, &vol->module, why, size);
	if (err)
		goto bad;
	err = mount_on(vol, p, &level, why, size);
	if (err)
		goto bad_module;
	pthread_mutex_init(&vol->lock, NULL);
	*out = vol;
	return 0;

bad_module:
	td__port_source_close(&vol->source);
	td__module_close(vol->module);
bad:
	free(vol);
	return err;
}

int td_volume_close(struct td_volume *vol)
{
	int err;

	td__files_close(vol);
	err = td_unmount(vol->fs);
	td__module_close(vol->module);
	td__port_source_close(&vol->source);
	pthread_mutex_destroy(&vol->lock);
	free(vol);
	return err;
}

int td_volume_level(struct td_volume *vol, const char *text, uint64_t *pause_ns, char *why,
		    size_t size)
{
	struct td_level level;
	int err = td_level_parse(text, &level, why, size);

	return err ? err : td_set_level(vol->fs, &level, pause_ns, why, size);
}

int td_volume_sync(struct td_volume *vol)
{
	int err = td_sync(vol->fs), earlier = td_unwritten_since(vol->fs, 0, &vol->seen);

	return err ? err : earlier;
}

struct td__fs *td_volume_fs(struct td_volume *vol)
{
	return vol->fs;
}
