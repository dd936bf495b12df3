/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a check knows while it goes on. Its phases, each over all groups but the third:
 *
 *   INODES   each inode that the maps name, and its tree: what it holds is noted as used, whom it names is counted
 *   LINKS    the counts against what the inodes say
 *   PATHS    every directory leads to the root
 *   MAPS     the groups' maps and counters against what is used
 *
 * A part is as many inodes, or groups, as are looked at in one call. Nothing that the device says is believed, and no block is entered
 * twice: so a check of any device ends.
 */
#ifndef SMFS_CHECK_OPERATION_H
#define SMFS_CHECK_OPERATION_H

#include "smfs.h"

enum phase { INODES, LINKS, PATHS, MAPS, OVER };

/* An inode in use, or one that has been named. */
struct seen {
	uint64_t fid; /* 0: the entry is free */
	uint32_t names;
	uint32_t subdirs;
	uint8_t in_use;
	uint8_t directory;
	uint8_t way; /* PATHS: 0 not walked, 1 on the way, 2 walked */
	uint8_t pad[5];
};

struct check {
	enum phase phase;
	uint64_t part;	/* number of the next one */
	uint64_t group; /* where the phase goes on: a group, an index in it; or an index in `seen` */
	uint64_t index;
	uint32_t work; /* blocks opened in this part */
	uint32_t repair;
	uint32_t torn;	 /* something could not be followed: what seems to be unused may be in use */
	uint64_t unsaid; /* problems for which there was no room */
	struct td_out *problems;
	struct call call; /* of repairs; begins anew with each part */
	uint8_t *used;	  /* a bit for each block */
	struct seen *seen; /* a hash table, open addressing */
	uint64_t nseen, room; /* room is a power of two */
	struct shard sum; /* of the groups of the shard that MAPS is at */
};
extern struct check *ck;

/* check.c */
void tell(const struct td_problem *p, const char *text, struct td_name name);
void tell_file(uint64_t fid, const char *text);
/* 1: the caller repairs it. */
int tell_count(uint64_t fid, uint64_t blk, uint64_t n, const char *text, uint64_t found, uint64_t right);
void tell_blocks(uint64_t fid, uint64_t blk, uint64_t n, const char *text);
struct seen *see(uint64_t fid);
int claim(uint64_t fid, uint64_t blk, uint64_t n);
int check_open(uint64_t blk, struct td_buf **b);

/* check_tree.c */
int check_inode(struct td_buf *b, uint64_t fid);

/* check_maps.c */
int entry_of_group(uint64_t g, struct group *e);
int next_inodes(uint64_t g, const struct group *e, uint64_t *index, uint16_t *mask);
int check_group(uint64_t g);
int check_shard(uint32_t s);

#endif
