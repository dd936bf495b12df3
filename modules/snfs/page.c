/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of pages: see page.h. */
#include "page.h"

enum { PAGES = 8, PAGE_MS = 1000 };

static struct {
	struct spin spin;
	struct page *kept[PAGES];
} table;

int page_fresh(uint64_t at)
{
	return now_ms() - at <= PAGE_MS;
}

void page_drop(struct page *p)
{
	uint32_t sock;

	if (!p)
		return;
	if (p->next_tag && conn_known(fs.port, &sock))
		td_sock_forget(sock, p->next_tag);
	td_free(p->found);
	td_free(p->bytes);
	td_free(p);
}

uint32_t page_index(const struct page *p, uint64_t cookie)
{
	uint32_t i = 0;

	if (cookie == p->from)
		return 0;
	while (i < p->n && p->found[i].e.cookie != cookie)
		i++;
	return i < p->n ? i + 1 : ~0u;
}

struct page *page_take(uint64_t dir, uint64_t cookie, const struct rpc_cred *cred)
{
	struct page *p = 0;

	if (!cookie)
		return 0;
	spin_lock(&table.spin);
	for (uint32_t i = 0; i < PAGES && !p; i++) {
		struct page *k = table.kept[i];

		if (!k || k->dir != dir || !rpc_same_cred(&k->cred, cred) || page_index(k, cookie) == ~0u)
			continue;
		p = k;
		table.kept[i] = 0;
	}
	spin_unlock(&table.spin);
	if (!p || page_fresh(p->at))
		return p;
	page_drop(p);
	return 0;
}

/* In place of none, or of the oldest. */
void page_keep(struct page *p)
{
	struct page **at = &table.kept[0], *old;

	spin_lock(&table.spin);
	for (uint32_t i = 1; i < PAGES && *at; i++)
		if (!table.kept[i] || table.kept[i]->at < (*at)->at)
			at = &table.kept[i];
	old = *at;
	*at = p;
	spin_unlock(&table.spin);
	page_drop(old);
}

int dir_to_change(const struct td_vnode *dir, struct nfs_fh *fh)
{
	pages_forget(dir->fid);
	return fid_handle(dir->fid, fh);
}

void pages_forget(uint64_t dir)
{
	struct page *dropped[PAGES];
	uint32_t n = 0;

	spin_lock(&table.spin);
	for (uint32_t i = 0; i < PAGES; i++)
		if (table.kept[i] && table.kept[i]->dir == dir) {
			dropped[n++] = table.kept[i];
			table.kept[i] = 0;
		}
	spin_unlock(&table.spin);
	while (n--)
		page_drop(dropped[n]);
}
