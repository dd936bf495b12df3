/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault laboratory: what its files share.
 *
 * A campaign is many trials. A trial is a process of its own, since whether the host survives is what is measured:
 *
 *   mount the module -> work -> put a faulty copy of it in its place -> work -> put the good one back -> verify -> work, verify
 *
 * All work is drawn from a generator that the trial's id determines, time is counted and not measured, and one thread works: so a
 * trial can be replayed. Three witnesses look on, all of them in the host:
 *
 *   the model   (model.c)   knows everything that was acknowledged, and so every answer that is due
 *   the oracle  (watch.c)   a good instance of the module that is given every call that the faulty one gets, on a device of its own:
 *                           the first call that the two answer differently is evidence that the module said something else
 *   the shadow  (watch.c)   a copy of the device that follows what the kernel itself changed: a difference at the end is a
 *                           change that came through no interface
 *
 * What is wrong at the end is the module's own doing only if the oracle says so and the shadow agrees; in all other cases the kernel,
 * a wall or the recovery has lost it.
 */
#ifndef TADAN_LAB_H
#define TADAN_LAB_H

#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <jansson.h>

#include "../core/fs.h"
#include "../front/inproc/tadan.h"
#include "../walls/elf/file.h"
#include "../walls/walls.h"
#include <fs_services.h>
#include "act.h"

/* ---- Chance */

struct lab_random {
	uint64_t state;
};

static inline uint64_t lab_next(struct lab_random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 to n - 1. */
static inline uint32_t lab_below(struct lab_random *r, uint32_t n)
{
	return n ? (uint32_t)(lab_next(r) % n) : 0;
}

/* ---- Kinds of fault */

enum lab_class { LAB_NO_FAULT, LAB_PLANTED, LAB_MACHINE };

struct lab_kind {
	const char *name, *about;
	uint32_t class; /* enum lab_class */
	uint32_t number; /* of the act or mutation */
};

extern const struct lab_kind lab_kinds[];
const struct lab_kind *lab_kind_named(const char *name, size_t len);

/* ---- image.c: a module file as bytes, and what is where in it */

struct lab_site {
	uint32_t at;  /* offset in the file */
	uint32_t len; /* bytes of the instruction */
};

struct lab_sites {
	struct lab_site *list;
	uint32_t n, room;
};

/* Machine-made faults: see mutate.c. */
enum lab_mutation {
	LAB_SOURCE, LAB_DESTINATION, LAB_POINTER, LAB_INIT, LAB_BRANCH, LAB_BOUNDARY, LAB_UNLOCKED, LAB_SIZE, LAB_ENDLESS, LAB_DROP,
	LAB_BIT, LAB_DATA, LAB_TABLE,
	LAB_MUTATIONS
};

struct lab_image {
	const char *path;
	struct td__elf *elf; /* the file's own bytes are in it */
	uint64_t service[TD_SVC_MAX]; /* address in the file of the word that holds the service's address; 0: not imported */
	uint64_t enter;  /* address of td__enter */
	uint64_t alloc, free; /* of td_alloc and td_free; 0: it has none, or does not say where */
	struct lab_sites sites[LAB_MUTATIONS];
};

extern const char *const lab_service_names[TD_SVC_MAX]; /* as modules import them; 0: there is none of this number */
int lab_image_open(struct lab_image *im, const char *path, char *why, size_t size);
/* Offset in the file of what is loaded at `address`; 0: nothing of the file. */
uint64_t lab_image_offset(const struct lab_image *im, uint64_t address);
/* Find where each mutation can be made. */
void lab_sites_find(struct lab_image *im);
/* Has it the services that a planted fault misuses? By their number; 0: it does not import them. */
int lab_has_services(const uint64_t *services, uint32_t act);
/* Does it want td_alloc() and td_free()? */
int lab_uses_heap(uint32_t act);
/* Can this kind be done to this module? */
int lab_possible(const struct lab_image *im, const struct lab_kind *k);

/* Make the change in `bytes`, a copy of the file. Says in `what` (size bytes) where and how. */
int lab_mutate(const struct lab_image *im, uint32_t mutation, struct lab_random *r, uint8_t *bytes, char *what, size_t size);
int lab_plant(const struct lab_image *im, uint32_t act, const struct lab_act_params *params, uint8_t *bytes);

/* ---- batch.c: faulty copies of a sandboxed module, many in one form; see sandbox.h */

struct lab_batch;

struct lab_choice {
	const struct lab_kind *kind;
	uint64_t seed;
	uint32_t number; /* not 0 */
};

/* For the sandboxed form of this module. 0, and a reason: it has none. */
struct lab_batch *lab_batch_make(const struct td__module *good, char *why, size_t size);
int lab_batch_possible(const struct lab_batch *b, const struct lab_kind *k);
/* Build a form with these faults, in place of the ones before. 0, or -errno and a reason. */
int lab_batch_fill(struct lab_batch *b, const struct lab_choice *choices, uint32_t n, const char *folder, char *why, size_t size);
/* The module with this one fault, from now on in this process, and what the fault is; number 0: without. 0: it could not be made. */
struct td__module *lab_batch_choose(const struct lab_batch *b, uint32_t number, const char **what);

/* ---- model.c: what has been acknowledged */

enum { LAB_NODES = 96, LAB_ENTRIES = 128, LAB_BYTES = 96 << 10, LAB_HELD = 3, LAB_XATTRS = 2, LAB_VALUE = 600, LAB_LAST = 40 };

/* Where a call failed that would have changed something, both the old and the new are right: that is `vague`. */
enum lab_vague { LAB_VAGUE_DATA = 1, LAB_VAGUE_ATTRS = 2, LAB_VAGUE_LINKS = 4, LAB_VAGUE_XATTRS = 8 };

struct lab_node {
	uint32_t used, type, mode, uid, gid, rdev, links;
	uint32_t held; /* open files without which it may be gone */
	uint32_t vague; /* enum lab_vague */
	uint64_t size;
	uint8_t *data;
	uint64_t vague_from, vague_to, vague_size; /* with LAB_VAGUE_DATA: bytes that may have changed; another size that may be */
	char target[80];
	struct {
		uint32_t len; /* 0: it has none */
		uint8_t value[LAB_VALUE];
	} xattr[LAB_XATTRS];
};

struct lab_entry {
	uint32_t used, vague; /* 1: it may be there or not; 2: anything may be there */
	uint32_t dir, node;
	char name[TD_NAME_MAX + 1];
};

struct lab_model {
	struct lab_node nodes[LAB_NODES]; /* 0: the root */
	struct lab_entry entries[LAB_ENTRIES];
};

extern const char *const lab_xattr_names[LAB_XATTRS];
void lab_model_init(struct lab_model *m);
int lab_model_node(struct lab_model *m, uint32_t type);
struct lab_entry *lab_model_link(struct lab_model *m, uint32_t dir, const char *name, uint32_t node);
int lab_model_has_room(const struct lab_model *m); /* for another entry */
struct lab_entry *lab_model_find(struct lab_model *m, uint32_t dir, const char *name);
void lab_model_unlink(struct lab_model *m, struct lab_entry *e);
/* The path of a directory or entry; 0: longer than there is room. */
int lab_model_path(const struct lab_model *m, const struct lab_entry *e, char *path, size_t size);
int lab_model_dir_path(const struct lab_model *m, uint32_t dir, char *path, size_t size);
/* Learn what is there already. 0 or -errno. */
int lab_model_load(struct lab_model *m, struct td_volume *vol);
/* Compare all of it. 0, or the number of differences, the first of them in `what`. */
uint32_t lab_model_verify(const struct lab_model *m, struct td_volume *vol, char *what, size_t size);

/* ---- work.c: operations, each compared with the model */

struct lab_work {
	struct lab_model *model;
	struct td_volume *vol;
	struct td_task task;
	struct lab_random *random;
	int writable;
	int no_xattrs;
	uint64_t operations, failed; /* failed: with EIO, after a fault */
	uint32_t wrong;        /* answers that were not the ones due */
	char first_wrong[200];
	uint64_t settled;
	char last[LAB_LAST][200]; /* a ring: what was done last, and the answers */
	struct {
		int fd; /* -1: none */
		uint32_t node;
	} held[LAB_HELD];
};

void lab_work_init(struct lab_work *w, struct lab_model *m, struct td_volume *vol, struct lab_random *r);
/* What can this module do? On a good one, before all else. */
void lab_work_probe(struct lab_work *w);
void lab_work_once(struct lab_work *w);
void lab_work_end(struct lab_work *w);

/* ---- watch.c: the witnesses */

/* A byte for each block: 0, it has never been touched and is zeroes. The caller frees it. */
uint8_t *lab_blocks_used(const struct td__device *dev);
/* To a device's worth of zeroes. */
void lab_blocks_copy(uint8_t *to, const struct td__device *from);
/* Follow the mount `fs`; `level` is for the oracle. 0 or -errno: without an oracle. */
int lab_watch_start(struct td__fs *fs, const struct td__module *good);
void lab_watch_stop(void);
/* Calls that have entered the module since the start. */
uint64_t lab_watch_calls(void);
/* How many there had been when the present domain was started, its first included. */
uint64_t lab_watch_started(void);
/* The first call that was not answered as the oracle did: its number, 0: none so far; and what it was. */
uint64_t lab_watch_diverged(const char **what);
/* The first block that changed behind the kernel's back, plus 1; 0: none. */
uint64_t lab_watch_shadow(void);
/* Time passes. */
void lab_watch_tick(void);

/* ---- trial.c */

enum { LAB_TEXT = 200, LAB_BLOCKS = 512, LAB_BSIZE = 4096 }; /* blocks of the device */

enum lab_verdict {
	LAB_NOTHING,   /* nothing was noticed, and all was right */
	LAB_RECOVERED, /* a fault was found, the module came back, and all was right */
	LAB_ENDED,     /* a fault was found, and the module was given up; all that was acknowledged was right */
	LAB_WRONG,
	LAB_LOST,
	LAB_VERDICTS
};

struct lab_result {
	uint32_t done;      /* the trial came to its end */
	uint32_t stage;     /* where it was: index of lab_stages */
	uint32_t verdict;   /* enum lab_verdict */
	uint32_t detected;  /* 1: a fault was found */
	uint32_t refused;   /* 1: the faulty copy was not even started */
	uint32_t detached;
	uint32_t fault;     /* enum td_fault_kind of the first */
	uint32_t faults;
	uint32_t lasting;   /* the fault was in the file: restarts had it, too */
	uint32_t careless;  /* mistakes that the kernel counted */
	uint32_t breached;  /* memory or blocks that are not the module's were changed by it */
	uint32_t died;      /* signal that ended the host, 0: none; LAB_HUNG */
	uint64_t calls;     /* from the fault's going in until it was found */
	uint64_t operations, failed;
	uint64_t diverged;
	uint64_t recovery_ns;
	char fault_text[LAB_TEXT];  /* of the first: detail, place */
	char site[LAB_TEXT];        /* what was changed */
	char evidence[LAB_TEXT];    /* what was wrong */
	char divergence[LAB_TEXT];
};

extern const char *const lab_stages[];
extern const char *const lab_verdict_names[LAB_VERDICTS];

struct lab_trial {
	const struct lab_image *image;
	const struct td__module *good;
	const struct lab_batch *batch; /* 0: the fault is made in native code */
	const struct lab_kind *kind;
	const char *level; /* as td_level_parse() reads it */
	uint64_t seed, number;
	const char *folder; /* for the faulty copy */
};

/* In a process of its own; does not return. */
_Noreturn void lab_trial_run(const struct lab_trial *t, struct lab_result *r);

/* By which number its fault is chosen from a batch. */
uint32_t lab_trial_choice(uint64_t number);

/* 0 or -errno. */
int lab_write_file(const char *path, const uint8_t *bytes, size_t size);

/* ---- soak.c: 0, or it ends the process with 1 after saying what was wrong */

int lab_soak(const struct lab_image *im, const char *folder, uint64_t seed, uint64_t seconds);

/* ---- report.c */

enum { LAB_HUNG = 1000 };

struct lab_campaign {
	const char *module, *level;
	uint64_t seed;
	double seconds;
	json_t *bad; /* the trials that somebody should look at */
};

/*
 * What is counted. survived: the host was alive at the end; recovered, nothing, ended, wrong and lost are the verdicts, and sum up to the
 * trials. refused: detected before it ran. breached: what is not the module's was changed.
 */
struct lab_row {
	uint64_t trials, survived, detected, recovered, wrong, lost, nothing, ended, refused, diverged, breached, mistakes;
	uint64_t by_fault[TD_FAULT_KINDS];
	uint64_t *calls;    /* until detection, of each detected one */
	uint64_t *recovery; /* ns until calls were let in again */
	uint64_t ncalls, room;
};

void lab_row_add(struct lab_row *row, const struct lab_result *r);
void lab_report_text(const struct lab_campaign *c, const struct lab_row *rows, const struct lab_row *sum, FILE *to);
void lab_report_json(const struct lab_campaign *c, const struct lab_row *rows, const struct lab_row *sum, FILE *to);
void lab_report_trial(const char *id, const struct lab_result *r, FILE *to);
json_t *lab_report_json_trial(const char *id, const struct lab_result *r);

#endif
