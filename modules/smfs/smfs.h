/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMFS, a memory file system on the bufs of a block device. SPEC.md describes the bytes on the
 * device.
 *
 * The parts, each on top of those before it:
 *   super.c   the superblock, and the geometry in `fs`
 *   call.c    what a call holds: locks of shards, the open group, the first error
 *   reserve.c room: lock shards until there is enough
 *   alloc.c   blocks: allocate, free
 *   slots.c   slots for inodes
 *   node.c    one node of a tree: items in the order of their keys
 *   tree.c    a tree of nodes with its root in an inode: find, insert, delete, walk
 *   inode.c   inodes: allocate, load, store, free
 *   name.c    items that have a name: entries of directories, extended attributes
 *   value.c   strings in a tree: targets of symbolic links, values of attributes
 *   dir.c rename.c extent.c xattr.c    the operations
 *   check.c check_tree.c check_maps.c  what is wrong on the device
 *
 * Rules:
 * - An inode and its tree are guarded by the vnode's lock, which the kernel holds. Shards (the
 *   tables of groups, the groups' maps) are guarded by the lock with the shard's number, which a
 *   call takes before it opens them and keeps to its end. Locks are taken in ascending order; out
 *   of order only with TD_TRY.
 * - Plan, reserve, change: until the last check that can say no (a full device, for one), nothing
 *   has changed.
 * - A call allocates before it frees: a block that it discarded must not come back within it.
 * - `fs` is set by mount and only read after it. The only other private memory is a guess of
 *   reserve.c's where room can be found, and what a check has learnt so far.
 * - What comes from the device is not believed: each node, item and block number is checked when
 *   it is used.
 */
#ifndef SMFS_H
#define SMFS_H

#include <tadan/fs.h>

enum {
	BSIZE = 4096,
	BUNITS = BSIZE / 512, /* of a record's `blocks` */
	SHARDS_MAX = 64,      /* and locks */
	GROUP_MAX = 32768,    /* blocks of a group: its bitmap is at most one block */
	GROUP_MIN = 1024,
	TABLE_ENTRIES = BSIZE / 32,
	SLOTS = 16, /* inodes of a block */
	INODE_SIZE = BSIZE / SLOTS,
	SLOTS_FULL = 0xffff,
	LEVELS = 8,	 /* of a tree */
	VALUE_MAX = 640, /* bytes of an item's value: a node split in two has room for one more */
	XATTR_MAX = 65536,
	VERSION = 1,
};

#define MAGIC	   0x3153464d53206454ull /* "Td SMFS1" */
#define NODE_MAGIC 0x646e4d53u		 /* "SMnd" */
#define MAXLINK	   2147483647u
#define MAXSIZE	   9223372036854775807ull
#define MAXLBLK	   (1ull << 51)
#define KEY_MAX	   (~0ull)
#define KEY_XATTR  (1ull << 63) /* keys from here on are attributes; below is the content */

/* ---- On the device; all little-endian */

struct superblock {
	uint64_t magic;
	uint32_t version;
	uint32_t bsize;
	uint64_t blocks; /* of the device, as far as it is used */
	uint64_t groups;
	uint64_t first; /* block where group 0 begins */
	uint32_t shards;
	uint32_t gshift; /* a group has 1 << gshift blocks */
	uint64_t root;	 /* fid */
	uint64_t seed;	 /* of the hash of names */
	uint64_t sum;	 /* of the bytes before it */
};

/* First entry of a shard's table. */
struct shard {
	uint64_t bused; /* blocks in use, the groups' own maps aside */
	uint64_t iused; /* inodes in use */
	uint64_t pad[2];
};

/* The others: a group. All zeroes is a group never used. */
struct group {
	uint32_t bused;
	uint32_t iused;
	uint32_t iblocks;    /* blocks of inodes */
	uint32_t low;	     /* no block below this index is free */
	uint32_t high;	     /* none of the last `high` blocks is free */
	uint32_t icur;	     /* the block of inodes that new ones come from; 0: none */
	uint32_t generation; /* of the newest inode */
	uint16_t imask;	     /* which of icur's slots are in use */
	uint16_t pad;
};
_Static_assert(sizeof(struct shard) == 32 && sizeof(struct group) == 32, "table entries");

/* What an inode begins with; the rest of it is the root node of its tree. */
struct inode {
	uint64_t fid; /* its own; 0: free */
	uint32_t generation;
	uint16_t type;
	uint16_t mode;
	uint32_t uid, gid, rdev, nlink;
	uint64_t parent; /* of a directory */
	uint64_t size, blocks;
	int64_t sec[4]; /* atime, mtime, ctime, btime */
	uint32_t nsec[4];
};
_Static_assert(sizeof(struct inode) == 104, "inode");

/* What a block with a node begins with; behind it lies the node. */
struct node_block {
	uint32_t magic;
	uint32_t pad;
	uint64_t fid; /* whose tree this is */
};

/*
 * A node: this, then `count` offsets of items in the order of keys; the items lie at the other
 * end.
 */
struct node_head {
	uint16_t level; /* 0: a leaf; above, each value is the number of a block with a node */
	uint16_t count;
	uint16_t low;  /* where the lowest item begins */
	uint16_t dead; /* bytes between the items that belong to none */
};

struct item {
	uint64_t key;
	uint16_t len;
	uint8_t value[];
} __attribute__((packed));

struct extent_value {
	uint64_t pblk;
	uint32_t count;
} __attribute__((packed));

/* Value of an item with a name; the name follows, then what is stored under it. */
struct named {
	uint64_t ref; /* directory: fid; else the length of the string */
	uint8_t kind; /* directory: enum type; else enum where */
	uint8_t len;  /* of the name */
	uint8_t name[];
} __attribute__((packed));

enum where { IN_ITEM = 0, IN_BLOCKS = 1 };

enum {
	ROOT_SIZE = INODE_SIZE - sizeof(struct inode),
	NODE_SIZE = BSIZE - sizeof(struct node_block),
	ITEM_HEAD = sizeof(struct item),
	NAMED_HEAD = sizeof(struct named),
};

/* ---- In memory */

struct fs {
	uint64_t blocks, groups, first, root, seed;
	uint64_t maxfiles; /* 0: as many as there is room for */
	uint32_t shards, gshift;
	uint32_t gmeta;	  /* blocks at the start of a group that hold its maps */
	uint32_t tblocks; /* blocks of a shard's table */
};
extern struct fs fs;

/* A call: what it holds and how it goes. All zeroes at the beginning; call_end() at the end. */
struct call {
	int err;	  /* the first failure; writing does nothing from then on */
	uint64_t held;	  /* shards whose lock it has */
	uint64_t counted; /* shards whose free blocks are in `avail` */
	uint64_t avail;	  /* blocks that it may take from the shards it holds */
	uint64_t goal;	  /* block near which it takes them */
	uint64_t wish;	  /* group of the goal as it was at first */
	uint64_t ngroup;  /* group for the new inode, plus one; 0: none found yet */
	uint32_t nblocks; /* blocks that the new inode takes there, 0 or 1 */
	int quota;	  /* a shard has been seen that may hold another inode */
	/* The open group, and its shard's entry. */
	struct td_buf *table, *head;
	uint64_t open; /* group plus one */
	int dirty;
	struct shard s;
	struct group g;
};

/* A node at its place in a block. */
struct node {
	struct td_buf *b;
	uint32_t base, size;
	uint32_t pos; /* the item that matters; above the leaf: the child that was taken */
};

/*
 * The way to a leaf: n[0] is the leaf, n[top] the root. Keys of the leaf are at least lo and below
 * hi.
 */
struct path {
	struct node n[LEVELS];
	uint32_t top;
	uint64_t lo, hi;
	struct td_vnode *v;
};

/* super.c */
int smfs_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info);
int smfs_statfs(struct td_fsinfo *info);

/* call.c */
static inline uint64_t group_of(uint64_t blk)
{
	return (blk - fs.first) >> fs.gshift;
}
static inline uint64_t group_start(uint64_t g)
{
	return fs.first + (g << fs.gshift);
}
static inline uint32_t shard_of(uint64_t g)
{
	return (uint32_t)(g % fs.shards);
}
uint32_t group_len(uint64_t g);
uint64_t shard_blocks(uint32_t s);
uint64_t table_block(uint64_t entry_of_group);
int block_ok(uint64_t blk, uint64_t count);
uint64_t lock_bit(uint64_t blk);
int open_block(uint64_t blk, struct td_buf **b);
void put(struct call *c, struct td_buf *b, uint32_t off, const void *data, uint32_t len);
void fill(struct call *c, struct td_buf *b, uint32_t off, uint32_t len, uint8_t byte);
int shard_load(uint32_t s, struct shard *to);
void group_close(struct call *c);
int group_open(struct call *c, uint64_t g);
int lock_shard(struct call *c, uint32_t s, uint32_t mode);
int lock_set(struct call *c, uint64_t set);
int call_end(struct call *c, int err);

/* reserve.c */
void detours_forget(void);
void detour_set(uint64_t g, uint64_t to);
void detour_end(uint64_t g);
uint32_t group_free(const struct call *c);
int shard_find(struct call *c, uint32_t s, int inode, uint64_t *found);
int reserve(struct call *c, uint64_t need, int inode);

/* alloc.c */
int map_open(uint64_t g, uint32_t at, struct td_buf **b, uint32_t *off);
void account(struct call *c, int64_t blocks, int64_t inodes);
int take_run(struct call *c, uint64_t goal, uint64_t want, uint64_t *blk, uint32_t *got);
int take_high(struct call *c, uint64_t *blk);
int take_block(struct call *c, uint64_t *blk);
int free_run(struct call *c, uint64_t blk, uint64_t count);

/* slots.c */
int take_slot(struct call *c, uint64_t *fid, int *fresh);
int free_slot(struct call *c, uint64_t fid);
int slots_of(uint64_t fid, uint16_t *mask);

/* node.c */
const struct node_head *node_head(const struct node *n);
const struct item *node_item(const struct node *n, uint32_t i);
int node_check(const struct node *n, uint32_t level, uint64_t lo, uint64_t hi);
int node_search(const struct node *n, uint64_t key, uint32_t *pos);
int node_fits(const struct node *n, uint32_t len);
void node_insert(struct call *c, struct node *n, uint32_t pos, uint64_t key, const void *value,
		 uint32_t len);
void node_delete(struct call *c, struct node *n, uint32_t pos);
void node_set(struct call *c, struct node *n, uint32_t pos, uint64_t key, const void *value,
	      uint32_t off, uint32_t len);
void node_init(struct call *c, struct node *n, uint32_t level);
void node_move(struct call *c, struct node *from, uint32_t first, struct node *to);

/* tree.c */
int path_find(struct path *p, struct td_vnode *v, uint64_t key);
int path_from(struct path *p, struct td_vnode *v, uint64_t key);
void path_close(struct path *p);
uint32_t path_count(const struct path *p);
const struct item *path_item(const struct path *p);
uint32_t tree_need(const struct path *p, uint32_t len);
int tree_insert(struct call *c, struct path *p, uint64_t key, const void *value, uint32_t len);
uint64_t tree_locks(const struct path *p);
int tree_delete(struct call *c, struct path *p);
int tree_locks_all(struct td_vnode *v, struct td_buf *b, uint64_t *set);
int tree_free_all(struct call *c, struct td_vnode *v, struct td_buf *b);

/* inode.c */
int inode_open(uint64_t fid, struct td_buf **b);
const struct inode *inode_at(const struct td_buf *b, uint64_t fid);
void inode_root(struct td_buf *b, uint64_t fid, struct node *n);
int inode_new(struct call *c, struct td_vnode *v, uint64_t parent, struct td_buf **b);
void inode_store(struct call *c, struct td_buf *b, const struct td_vnode *v, uint64_t parent);
int inode_save(struct call *c, const struct td_vnode *v);
int inode_sane(const struct inode *i);
int smfs_getvnode(uint64_t fid, struct td_vnode *v);
int smfs_update(struct td_vnode *v);
int smfs_inactive(struct td_vnode *v);
int smfs_inactive_many(struct td_in vnodes);

/* name.c */
uint64_t name_key(uint64_t base, struct td_name name);
int named_find(struct path *p, struct td_vnode *v, uint64_t base, struct td_name name,
	       uint64_t *key);
const struct named *named_at(const struct item *it);
uint32_t named_make(uint8_t *to, uint64_t ref, uint32_t kind, struct td_name name);

/* value.c */
uint32_t value_blocks(uint64_t len);
uint32_t value_make(struct call *c, uint8_t *to, struct td_vnode *v, struct td_name name,
		    struct td_in data, int inside);
int value_read(const struct item *it, struct td_out *out);
uint64_t value_locks(const struct item *it);
int value_free(struct call *c, const struct item *it, struct td_vnode *v);

/* dir.c, rename.c, extent.c, xattr.c */
void touch(struct td_vnode *v, int content);
int smfs_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid);
int smfs_create(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int smfs_create_blocks(struct td_vnode *dir, struct td_name name, struct td_vnode *v, uint64_t count,
		       struct td_extent *extents, uint32_t *n);
int smfs_tmpfile(struct td_vnode *dir, struct td_vnode *v);
int smfs_mkdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int smfs_symlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v,
		 struct td_in target);
int smfs_readlink(struct td_vnode *v, struct td_out *target);
int smfs_link(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int smfs_unlink(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int smfs_rmdir(struct td_vnode *dir, struct td_name name, struct td_vnode *v);
int smfs_readdir(struct td_vnode *dir, uint64_t cookie, uint64_t parent, struct td_out *entries);
int dir_is_empty(struct td_vnode *dir);
int smfs_rename(struct td_vnode *from, struct td_name old, struct td_vnode *to, struct td_name new,
		struct td_vnode *v, struct td_vnode *target, uint32_t flags);
int extent_of(const struct item *it, struct td_extent *e);
int fill_holes(struct call *c, struct td_vnode *v, uint64_t lblk, uint64_t end, struct td_extent *extents,
	 uint32_t *n, uint32_t most);
int smfs_bmap(struct td_vnode *v, uint64_t lblk, uint64_t count, struct td_extent *extents,
	      uint32_t *n);
int smfs_balloc(struct td_vnode *v, uint64_t lblk, uint64_t count, struct td_extent *extents,
		uint32_t *n);
int smfs_bunmap(struct td_vnode *v, uint64_t lblk, uint64_t count);
int smfs_getxattr(struct td_vnode *v, struct td_name name, struct td_out *value);
int smfs_setxattr(struct td_vnode *v, struct td_name name, struct td_in value, uint32_t flags);
int smfs_listxattr(struct td_vnode *v, struct td_out *names);
int smfs_removexattr(struct td_vnode *v, struct td_name name);

/* check.c */
int smfs_check(uint64_t part, uint32_t repair, uint64_t *next, struct td_out *problems);

#endif
