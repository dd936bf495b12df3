/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types that modules and the kernel share. Nothing here depends on a C library, a processor's word
 * size or an operating system: what crosses a wall has fixed width and no pointer.
 */
#ifndef TADAN_TYPES_H
#define TADAN_TYPES_H

typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __SIZE_TYPE__ size_t;

/* Errors: Linux's numbers. Functions return them negated. */
enum {
	TD_EPERM = 1,
	TD_ENOENT = 2,
	TD_EINTR = 4,
	TD_EIO = 5,
	TD_ENXIO = 6,
	TD_E2BIG = 7,
	TD_ENOEXEC = 8,
	TD_EBADF = 9,
	TD_EAGAIN = 11,
	TD_ENOMEM = 12,
	TD_EACCES = 13,
	TD_EFAULT = 14,
	TD_EBUSY = 16,
	TD_EEXIST = 17,
	TD_EXDEV = 18,
	TD_ENODEV = 19,
	TD_ENOTDIR = 20,
	TD_EISDIR = 21,
	TD_EINVAL = 22,
	TD_EMFILE = 24,
	TD_EFBIG = 27,
	TD_ENOSPC = 28,
	TD_EROFS = 30,
	TD_EMLINK = 31,
	TD_ERANGE = 34,
	TD_EDEADLK = 35,
	TD_ENAMETOOLONG = 36,
	TD_ENOSYS = 38,
	TD_ENOTEMPTY = 39,
	TD_ELOOP = 40,
	TD_ENODATA = 61,
	TD_ETIME = 62,
	TD_EPROTO = 71,
	TD_EBADMSG = 74,
	TD_EMSGSIZE = 90,
	TD_EOPNOTSUPP = 95,
	TD_ENETUNREACH = 101,
	TD_ENOBUFS = 105,
	TD_ENOTCONN = 107,
	TD_ETIMEDOUT = 110,
	TD_ECONNREFUSED = 111,
	TD_EHOSTUNREACH = 113,
	TD_ESTALE = 116,
	TD_EUCLEAN = 117,
	TD_EDQUOT = 122,
	TD_EMEDIUMTYPE = 124,
};

/* How a lock is held or wanted. */
enum td_lock_mode {
	TD_SHARED = 1,
	TD_EXCLUSIVE = 2,
	TD_TRY = 4, /* with either: do not wait */
};

enum {
	TD_NAME_MAX = 255,   /* bytes of a name */
	TD_BUF_MAX = 64,     /* bufs that one call may hold */
	TD_MBUF_MAX = 32,    /* mbufs that one call may hold */
	TD_MESSAGE_MAX = 2 << 20, /* bytes of a message, without its record marks */
	TD_TAG_BITS = 6,     /* a call has 64 tags for its messages */
	TD_GROUPS_MAX = 16,  /* of a caller, shown to the module */
	TD_LOCK_MAX = 256,   /* locks of a domain */
	TD_PATH_MAX = 4095,  /* bytes of a symbolic link's target */
	TD_EACH_MAX = 192,   /* fids of one getvnodes */
	TD_WINDOW = 1 << 17, /* bytes of data that go in or out with one call */
};

#define TD_TO_END (~0ull)

/* The seconds of a struct td_time, from year -2147481748 to 2147483647 (what struct tm can say). */
#define TD_TIME_FIRST (-67768040609740800ll)
#define TD_TIME_LAST  67767976233532799ll

/* Bits of records and arguments. */
enum {
	TD_RENAME_NOREPLACE = 1,
	TD_RENAME_EXCHANGE = 2,
	TD_RENAME_WHITEOUT = 4, /* the kernel's affair: modules do not see it */
	TD_FALLOC_KEEP_SIZE = 1,
	TD_FALLOC_PUNCH_HOLE = 2,
	TD_FALLOC_ZERO_RANGE = 16,
	TD_SEEK_DATA = 3,
	TD_SEEK_HOLE = 4,
	TD_XATTR_CREATE = 1,
	TD_XATTR_REPLACE = 2,
	TD_OPEN_READ = 1,
	TD_OPEN_WRITE = 2,
	TD_OPEN_NEW = 4, /* this and the next between front ends and the kernel only */
	TD_OPEN_EXCL = 8,
	TD_DEV_READONLY = 1,
	TD_DEV_ZEROED = 2, /* discarded and never written blocks read as zeroes */
	TD_VNODE_OPEN = 1,
	TD_VNODE_ANYONES = 2,
	TD_FS_REMOTE = 1,
	TD_SOCK_RESERVED = 1, /* from a port below 1024, where that is permitted: some servers want it */

	/* Fields that setattr is asked to set. */
	TD_SET_MODE = 1,
	TD_SET_UID = 2,
	TD_SET_GID = 4,
	TD_SET_SIZE = 8,
	TD_SET_ATIME = 16,
	TD_SET_MTIME = 32,
	TD_SET_ATIME_NOW = 64,
	TD_SET_MTIME_NOW = 128,
	TD_SET_CTIME = 256, /* front ends with a write-back cache only */
	TD_SET_KILL_SUID = 512, /* the change shall clear set-id bits (FUSE_HANDLE_KILLPRIV) */
};

/* A name within a directory: bytes without NUL or '/'. Valid during the call. */
struct td_name {
	const uint8_t *bytes;
	uint32_t len;
};

/* Bytes that come in with a call, and room for bytes that go out. Valid during the call. */
struct td_in {
	const void *data;
	uint32_t len;
};

struct td_out {
	void *data;
	uint32_t size; /* room, bytes */
	uint32_t used; /* bytes that the module put there */
};

/*
 * A frame is how a call looks while it crosses: this header, then the operation's arguments. Places
 * (`*_at`) are counted from the frame's own beginning, so that they mean the same on both sides.
 */
struct td_frame {
	uint32_t op;
	int32_t error;
	uint64_t bound; /* answer to TD_OP_HELLO: bit n is set if operation n is there */
	uint64_t heap_used; /* answer: bytes of its heap that the module has allocated */
	int64_t now_sec; /* when the call began; 0: the service `now` says it */
	uint32_t now_nsec;
	uint32_t slot;  /* which of the domain's calls in flight this is */
	uint32_t views; /* enum td_views */
	uint32_t bsize; /* bytes of a block */
	int64_t heap_at; /* with TD_OP_HELLO: the domain's heap */
	uint32_t granted; /* a lock that the call already has, so that a wall need not wait for it: number + 1, mode << 16; 0: none */
	uint32_t flags;   /* TD_FRAME_* */
	uint32_t tag;     /* of its first message; when the call is made again it has the same tags */
	uint32_t uid, gid, ngroups; /* with TD_FRAME_CALLER */
	uint32_t groups[TD_GROUPS_MAX];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct td_frame) == 144, "frame header");

enum {
	TD_FRAME_AGAIN = 1,  /* the call was begun before, and undone; what it did elsewhere may have happened */
	TD_FRAME_CALLER = 2, /* somebody called, and it is known who */
	TD_FRAME_KEPT = 4,   /* what the slot's last call has changed has stayed so */
	TD_FRAME_TRACED = 8, /* the wall is to say where each service is called */
};

/* With TD_OP_HELLO, what the heap is to be comes behind the header. */
struct td_frame_hello {
	struct td_frame h;
	uint64_t heap_size;
	int64_t area_at; /* with heap=pages: where allocations have pages of their own; counted from the frame; 0: there is none */
	uint32_t marked; /* the end of each allocation is to be marked, and looked at when it is freed */
	uint32_t pad;
};

/*
 * The area of such allocations, of all walls the same. Each begins in a unit of its own and ends at the end of a page, which the last page of
 * its units follows: that one is never open, nor is any unit that is free. Sizes are rounded up to the alignment of all memory.
 */
enum { TD_HEAP_AREA = 64 << 20, TD_HEAP_UNIT = 8192, TD_HEAP_PAGE = 4096, TD_HEAP_ALIGN = 16 };

static inline uint64_t td__heap_rounded(uint64_t size)
{
	return size ? (size + TD_HEAP_ALIGN - 1) & ~(uint64_t)(TD_HEAP_ALIGN - 1) : TD_HEAP_ALIGN;
}

/* The pages of an allocation: where they begin, and how many bytes they are. */
static inline uint64_t td__heap_pages(uint64_t at, uint64_t size, uint64_t *len)
{
	uint64_t start = at & ~(uint64_t)(TD_HEAP_PAGE - 1);

	*len = at + td__heap_rounded(size) - start;
	return start;
}

enum { TD_OP_HELLO = 0, TD_FRAME_SIZE = 4096 };

/* What a module sees through the view of a buf after it has written to it. */
enum td_views {
	TD_VIEW_LIVE = 0,     /* the write */
	TD_VIEW_SNAPSHOT = 1, /* the block as it was before the call: the runtime keeps a copy */
	TD_VIEW_NONE = 2,     /* there are no views: the runtime keeps copies */
};

/* A service as a message, for walls that cannot call. `len` bytes of payload follow, padded to 8. */
struct td_msg {
	uint32_t service;
	uint32_t len;
	uint32_t want; /* bytes wanted in the answer */
	uint32_t pad;
	uint64_t a[4];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct td_msg) == 48, "message");

/* How an entry looks in readdir's `entries`: this, then the name, padded to 8 bytes. */
struct td_dirent {
	uint64_t fid;
	uint64_t cookie;
	uint32_t type;
	uint32_t len;
};

/*
 * How a module is called where the wall is none: exported as `td_module_straight`. Straight, by its table of operations, where nothing
 * is to be checked, undone or caught. begin() makes the slot's context as new, after a call that has used it and before the first.
 * With frames, calls[op](ops, frame) is what td__enter() comes to if the context is as new. 0: none for this operation.
 */
struct td_fs_ops;
struct td_straight {
	const struct td_fs_ops *ops;
	void (*begin)(struct td_frame *f);
	const uint64_t *heap_used; /* bytes */
	int32_t (*const *calls)(const struct td_fs_ops *ops, struct td_frame *f);
	uint64_t ncalls;
};

/* What check found, before its text, which is padded to 8 bytes. */
struct td_problem {
	uint64_t fid;    /* the file or directory that it is about; 0: none */
	uint64_t blkno;  /* the first block that it is about */
	uint64_t blocks; /* how many; 0: none */
	uint64_t found, right; /* with TD_PROBLEM_NUMBERS: what stands there, and what should */
	uint32_t flags;  /* TD_PROBLEM_* */
	uint32_t len;    /* bytes of the text, at most TD_PROBLEM_TEXT */
};

enum {
	TD_PROBLEM_NUMBERS = 1,
	TD_PROBLEM_NAMELESS = 2, /* a file without a name or a link: none if the kernel knows it */
	TD_PROBLEM_SAFE = 4,     /* can be repaired without losing anything */
	TD_PROBLEM_REPAIRED = 8,
	TD_PROBLEM_TEXT = 512,
};

/* What a module file says about itself: exported as `td_module_info`, without pointers. */
struct td_module_info {
	uint32_t magic;     /* TD_MAGIC */
	uint32_t abi;       /* TD_ABI */
	uint32_t interface; /* enum td_interface */
	uint32_t version;   /* of the interface */
	uint32_t flags;     /* TD_MODULE_* */
	uint32_t locks;     /* locks that it uses: numbers 0 to locks-1 */
	char name[32];      /* NUL at the end */
};
_Static_assert(sizeof(struct td_module_info) == 56, "module info");

enum { TD_MAGIC = 0x6e616454, TD_ABI = 3 };
enum {
	TD_MODULE_HOSTED = 1,
	TD_MODULE_YIELDS = 2,  /* its loops look at td_module_yield */
	TD_MODULE_NETWORK = 4, /* it is mounted on a server, not on a device; its device is memory, for what must outlive a restart */
};
enum td_interface { TD_INTERFACE_FS = 1 };

#endif
