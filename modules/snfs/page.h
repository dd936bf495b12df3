/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages: replies to READDIRPLUS or READDIR, decoded, of which the kernel has taken a part, and the request for what follows. The server's pages are
 * larger than the kernel's, and the next one is on its way while this one is given out.
 *
 * Who lists takes the page out of the table, works with it alone, and puts it back. A page is believed for a second after it was asked for. All of
 * a directory are forgotten when we change it: before the request that does so is sent, under the directory's exclusive lock. A listing from its
 * beginning never takes one.
 */
#ifndef SNFS_PAGE_H
#define SNFS_PAGE_H

#include "snfs.h"

struct found {
	struct nfs_entry e; /* the name lies in the page's bytes */
	uint64_t fid;	    /* 0: could not be had; the entry is left out */
};

struct page {
	uint64_t dir;
	struct rpc_cred cred; /* of who asked */
	uint64_t at;	      /* when, ms */
	uint64_t from, last;  /* cookies: behind which it begins, of its last entry */
	struct nfs_verf verf;
	uint32_t n, end; /* entries; the directory ends here */
	uint32_t len;
	uint8_t *bytes;
	struct found *found;
	uint32_t next_tag; /* the request for what follows; 0: none */
	uint64_t next_at;
};

/* The page that goes on behind this cookie, or 0. It is the caller's now. */
struct page *page_take(uint64_t dir, uint64_t cookie, const struct rpc_cred *cred);
/* The first entry behind the cookie; n where it is the last. */
uint32_t page_index(const struct page *p, uint64_t cookie);
void page_keep(struct page *p);
void page_drop(struct page *p); /* 0 is fine */
/* Is what was asked for at this moment still to be believed? */
int page_fresh(uint64_t at);

#endif
