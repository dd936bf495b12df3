/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and unmaking a mount: see mount.h. */
#include "fs.h"
#include "cache.h"
#include "commit.h"

static void fini(struct td__fs *fs)
{
	td__standby_fini(fs);
	if (fs->ticker)
		td__port_ticker_stop(fs->ticker);
	td__commits_fini(fs);
	for (uint32_t i = 0; fs->calls && i < TD__SLOTS; i++)
		if (fs->calls[i].journal.size)
			td__port_free(fs->calls[i].journal.data, fs->calls[i].journal.size);
	td__vnodes_fini(fs);
	td__net_fini(&fs->net);
	td__names_fini(fs);
	td__locks_fini(&fs->locks);
	td__mutex_fini(&fs->life);
	td__mutex_fini(&fs->tick_mutex);
	td__mutex_fini(&fs->gate_mutex);
	td__cond_fini(&fs->gate);
	td__mutex_fini(&fs->renames);
	td__ahead_fini(fs);
	td__mutex_fini(&fs->faults_mutex);
	td__written_fini(fs);
	if (fs->calls)
		td__port_free(fs->calls, TD__SLOTS * sizeof(*fs->calls));
	if (fs->mistakes)
		td__port_free(fs->mistakes, TD_MISTAKES_KEPT * sizeof(*fs->mistakes));
	if (fs->faults)
		td__port_free(fs->faults, TD_FAULTS_KEPT * sizeof(*fs->faults));
	td__port_free(fs, sizeof(*fs));
}

static int init(struct td__fs *fs)
{
	td__mutex_init(&fs->life);
	td__mutex_init(&fs->tick_mutex);
	td__mutex_init(&fs->gate_mutex);
	td__cond_init(&fs->gate);
	td__mutex_init(&fs->renames);
	td__mutex_init(&fs->faults_mutex);
	td__locks_init(&fs->locks);
	td__standby_init(fs);
	fs->calls = td__port_alloc(TD__SLOTS * sizeof(*fs->calls));
	fs->faults = td__port_alloc(TD_FAULTS_KEPT * sizeof(*fs->faults));
	fs->mistakes = td__port_alloc(TD_MISTAKES_KEPT * sizeof(*fs->mistakes));
	if (!fs->calls || !fs->faults || !fs->mistakes)
		return -TD_ENOMEM;
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		fs->calls[i].fs = fs;
		fs->calls[i].slot = i;
	}
	int err = td__ahead_init(fs);

	if (!err)
		err = td__written_init(fs);
	if (!err)
		err = td__vnodes_init(fs);
	if (!err)
		err = td__names_init(fs);
	if (!err)
		err = td__commits_init(fs);
	if (!err)
		fs->ticker = td__port_ticker_start(td__domain_tick, fs, TD__TICK_MS);
	return err ? err : fs->ticker ? 0 : -TD_ENOMEM;
}

static int find_root(struct td__fs *fs, char *why, size_t size)
{
	int err = td__vnode_by_fid(fs, fs->info.root, &fs->root);

	if (!err && fs->root->rec.type != TD_DIR)
		err = -TD_EUCLEAN;
	if (err)
		td__why(why, size, "the root directory cannot be read", 0, 0);
	return err;
}

int td_mount(const struct td_mount_params *p, struct td__fs **out, char *why, size_t size)
{
	struct td__fs *fs = td__port_alloc(sizeof(*fs));
	int err;

	if (size)
		why[0] = 0;
	if (!fs)
		return -TD_ENOMEM;
	fs->device = p->device;
	fs->module = p->module;
	fs->walls = p->walls;
	fs->maxfiles = p->maxfiles;
	td__cache_limit(fs->device, p->cache);
	fs->limits = (struct td__limits){ p->device->blocks, ~0ull >> 10, ~0ull >> 1, ~0u >> 1 };
	fs->source = p->source;
	fs->options = p->options;
	td__net_init(&fs->net, fs, p->server);
	fs->owners = !td__port_barrier_all();
	fs->state = TD_STATE_DETACHED;
	err = init(fs);
	if (err)
		td__why(why, size, "not enough memory", 0, 0);
	if (!err)
		err = td__domain_first(fs, &p->level, p->format, why, size);
	if (!err)
		err = find_root(fs, why, size);
	if (err) {
		td__domain_last(fs);
		fini(fs);
		return err;
	}
	td__orphans_free(fs);
	*out = fs;
	return 0;
}

int td_unmount(struct td__fs *fs)
{
	int err, err2;

	if (fs->device->disk) { /* else they vanish with all others */
		td__ahead_trim_all(fs);
		td__graves_empty(fs);
	}
	err = td__vnodes_update(fs);
	td__domain_last(fs);
	err2 = td__commits_last(fs);
	struct td__device *dev = fs->device;
	fini(fs);
	td__device_destroy(dev);
	return err ? err : err2;
}

void td_cut(struct td__fs *fs)
{
	__atomic_store_n(&fs->net.cut, 1, __ATOMIC_SEQ_CST);
	td__net_interrupt(&fs->net);
}

int td_fs_has_process(struct td__fs *fs)
{
	int has;

	td__mutex_lock(&fs->tick_mutex);
	has = fs->domain && fs->domain->process;
	td__mutex_unlock(&fs->tick_mutex);
	return has;
}

void td_get_status(struct td__fs *fs, struct td_status *out)
{
	td__zero(out, sizeof(*out));
	td__mutex_lock(&fs->tick_mutex);
	if (fs->domain) {
		out->level = fs->domain->level;
		out->process = fs->domain->process;
	}
	out->since_sec = fs->since_sec;
	out->level_changes = fs->level_changes;
	out->cpu_ns = fs->cpu_ns;
	out->throttled_ns = fs->throttled_ns;
	td__mutex_unlock(&fs->tick_mutex);
	out->standby = td__standby_process(fs);
	td__copy_text(out->module, sizeof(out->module), fs->module->info.name);
	out->build = fs->module->build;
	out->state = __atomic_load_n(&fs->state, __ATOMIC_RELAXED);
	out->faults = __atomic_load_n(&fs->nfaults, __ATOMIC_RELAXED);
	out->restarts = __atomic_load_n(&fs->restarts, __ATOMIC_RELAXED);
	out->deadlocks = __atomic_load_n(&fs->locks.resolved, __ATOMIC_RELAXED);
	out->heap_used = __atomic_load_n(&fs->heap_used, __ATOMIC_RELAXED);
	out->kept = __atomic_load_n(&fs->kept, __ATOMIC_RELAXED);
	out->left_references = __atomic_load_n(&fs->left_references, __ATOMIC_RELAXED);
	out->left_memory = __atomic_load_n(&fs->left_memory, __ATOMIC_RELAXED);
	out->revoked = __atomic_load_n(&fs->locks.revoked, __ATOMIC_RELAXED);
	out->vnodes = td__vnodes_count(fs);
	out->last_pause_ns = __atomic_load_n(&fs->last_pause_ns, __ATOMIC_RELAXED);
	if (fs->device->disk) {
		out->cached = __atomic_load_n(&fs->device->held_blocks, __ATOMIC_RELAXED) * fs->device->bsize;
		out->cache = fs->device->most_blocks * fs->device->bsize;
		out->evicted = __atomic_load_n(&fs->device->evicted, __ATOMIC_RELAXED) * fs->device->bsize;
		out->unwritten = (__atomic_load_n(&fs->device->data_blocks, __ATOMIC_RELAXED) +
				  __atomic_load_n(&fs->device->log_blocks, __ATOMIC_RELAXED)) * fs->device->bsize;
		td__port_disk_state(fs->device->disk, &out->disk);
	}
	out->has_server = (uint32_t)td__net_status(&fs->net, &out->net);
	for (uint32_t i = 0; i < TD__SLOTS; i++) {
		const struct td__call *c = &fs->calls[i];

		uint64_t most = __atomic_load_n(&c->undo_most, __ATOMIC_RELAXED);

		out->undo_most = most > out->undo_most ? most : out->undo_most;
		out->inside += __atomic_load_n(&c->busy, __ATOMIC_RELAXED);
		for (uint32_t kind = 0; kind < TD_MISTAKES; kind++) {
			uint64_t n = __atomic_load_n(&c->mistakes_by[kind], __ATOMIC_RELAXED);

			out->careless += n;
			out->mistakes[kind] += n;
		}
		for (uint32_t op = 0; op < TD_OP_MAX; op++) {
			uint64_t n = __atomic_load_n(&c->calls_by_op[op], __ATOMIC_RELAXED);

			out->calls += n;
			out->calls_by_op[op] += n;
		}
	}
}
