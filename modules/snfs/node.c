/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of nodes: see node.h. */
#include "node.h"

enum { BUCKETS = 1024 };

static struct {
	struct spin spin;
	struct node *first;
} buckets[BUCKETS];

static uint32_t index_of(uint64_t fid)
{
	return (uint32_t)(fid * 0x9e3779b97f4a7c15ull >> 54);
}
_Static_assert(BUCKETS == 1 << 10, "index_of");

static struct node *find(uint32_t i, uint64_t fid)
{
	struct node *n = buckets[i].first;

	while (n && n->fid != fid)
		n = n->next;
	return n;
}

struct node *node_known(uint64_t fid)
{
	uint32_t i = index_of(fid);
	struct node *n;

	spin_lock(&buckets[i].spin);
	n = find(i, fid);
	spin_unlock(&buckets[i].spin);
	return n;
}

static void give_up(struct node *n)
{
	td_free(n->dirty);
	td_free(n);
}

int node_of(const struct td_vnode *v, struct node **out)
{
	uint32_t i = index_of(v->fid);
	struct node *n = node_known(v->fid), *other;
	int err = 0;

	*out = n;
	if (n)
		return 0;
	n = td_alloc(sizeof(*n));
	if (!n)
		return -TD_EIO;
	n->fid = v->fid;
	err = fid_handle(v->fid, &n->fh);
	if (!err && fs.restarted)
		err = dirty_load(n, v->handle);
	if (err) {
		give_up(n);
		return err;
	}
	spin_lock(&buckets[i].spin);
	other = find(i, v->fid);
	if (!other) {
		n->next = buckets[i].first;
		buckets[i].first = n;
	}
	spin_unlock(&buckets[i].spin);
	if (other)
		give_up(n);
	*out = other ? other : n;
	return 0;
}

void node_forget(uint64_t fid)
{
	uint32_t i = index_of(fid);
	struct node **at, *n;

	spin_lock(&buckets[i].spin);
	at = &buckets[i].first;
	while (*at && (*at)->fid != fid)
		at = &(*at)->next;
	n = *at;
	if (n)
		*at = n->next;
	spin_unlock(&buckets[i].spin);
	if (!n)
		return;
	node_drop_ahead(n);
	give_up(n);
}

void node_drop_ahead(struct node *n)
{
	uint32_t tags[AHEAD], ntags = 0, sock;

	spin_lock(&n->spin);
	for (uint32_t i = 0; i < AHEAD; i++)
		if (n->ahead[i].len) {
			tags[ntags++] = n->ahead[i].tag;
			n->ahead[i].len = 0;
		}
	spin_unlock(&n->spin);
	if (!ntags || conn_socket(fs.port, &sock))
		return;
	while (ntags--)
		td_sock_forget(sock, tags[ntags]);
}

void node_opened(uint64_t fid)
{
	struct node *n = node_known(fid);

	if (n)
		node_drop_ahead(n);
}
