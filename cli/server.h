/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of one mount: what `tadan mount` becomes.
 *
 *   STARTING  module, device, core, control socket, FUSE
 *   SERVING   until somebody unmounts the directory, or a signal comes
 *   ENDING    commands are refused, everything is written back
 *
 * A signal (SIGTERM, SIGINT, SIGHUP) in STARTING takes back what was done so far; in SERVING it unmounts; in ENDING
 * it ends the process at once, so that a module that never returns cannot keep it.
 */
#ifndef TADAN_CLI_SERVER_H
#define TADAN_CLI_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "auto.h"
#include "cli.h"
#include "runtime.h"
#include "../core/mount.h"
#include "../port/user/source.h"
#include "../front/fuse/fuse.h"

/* A function that a thread calls again and again. */
struct td__every {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool running, stop;
	unsigned ms;
	void (*work)(void *arg);
	void *arg;
};
int td__every_start(struct td__every *e, unsigned ms, void (*work)(void *arg), void *arg);
/* Returns when the function is not running and will not run again. Nothing if it was never started. */
void td__every_stop(struct td__every *e);

/* An image file as it was found, so that a mount that fails leaves it so. */
struct td__image {
	const char *path; /* 0: memory */
	bool existed;
	off_t size;
};
void td__image_note(struct td__image *image, const char *path);
void td__image_undo(const struct td__image *image);

enum td__phase { TD__STARTING, TD__SERVING, TD__ENDING };

struct td__server {
	/* What was asked for. */
	const char *module_name;
	char *dir; /* resolved */
	struct td_level level;
	uint64_t size, max_files; /* bytes; 0: as long as the image, the module decides */
	uint64_t cache;           /* bytes of the image that may be in memory; 0: the core decides */
	bool allow_other, read_only, writeback, no_xattrs, no_follow;
	uint32_t device_ms;       /* that the image's disk has to answer; 0: as long as it takes */
	int uring; /* TD_FUSE_URING_... */
	bool foreground;
	const char *url, *options; /* of a server; 0: none */
	int told; /* where a background server says that it serves; -1: nowhere */

	/* What there is so far; each part is used only while it is not 0. */
	struct td__module *module;
	struct td__device *device; /* until the core has it */
	uint64_t bytes;		   /* of the device */
	int blank;		   /* there is no file system on it yet */
	struct td__source source;  /* with url */
	struct td__fs *fs;
	struct td_fuse *fuse;
	struct td__control *control;
	struct td__runtime runtime;
	bool has_runtime;
	struct td__image image;
	unsigned commit_s; /* between two commits of the image */
	struct td__every writer;
	struct td__every mover; /* moves a mount of the level auto */
	pthread_mutex_t auto_mutex; /* guards what follows, and orders changes of level */
	bool is_auto, auto_warned;
	struct td_auto automatic;
	atomic_int write_error; /* of the last time that changes were written to the image; 0: none */
	int64_t mounted_sec;

	pthread_t signals;
	pthread_mutex_t mutex; /* guards phase, and fuse against signals */
	enum td__phase phase;
};

/* Runs the server. Returns the exit status, with everything said and undone. */
int td__serve(struct td__server *s);

/* ---- signals.c */

int td__signals_start(struct td__server *s);
void td__signals_stop(struct td__server *s);

/* ---- auto.c */

/* Watch the mount: it moves by itself while its level is auto. */
int td__auto_start(struct td__server *s);
/* Set the level that somebody asked for, which may be auto; any other one ends that. level: what it is now. */
int td__auto_set_level(struct td__server *s, const char *text, struct td_level *level, uint64_t *pause, char *why, size_t size);
/* How far it is on its way; null if the level is not auto. */
json_t *td__auto_status(struct td__server *s);

/* ---- control_server.c */

int td__control_start(struct td__server *s, char *why, size_t size);
/* Finish the answers that are under way and take no more requests. */
void td__control_stop(struct td__control *c);
/* Tell those who wait for the end how it went (error 0: well), and free everything. 0 is fine. */
void td__control_end(struct td__control *c, int error, const char *why);

/* ---- answers.c */

/* The answer to a request; a new reference. *leave: the asker wants to hear of the end. */
json_t *td__answer(struct td__server *s, json_t *request, bool *leave);

#endif
