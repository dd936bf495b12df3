/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Items that are found by a name. The key is 55 bits of the name's hash and 8 bits that tell apart
 * names with the same hash; bit 63 is set for attributes. A directory's key is its entry's cookie
 * as well. The hash (SipHash-1-3, as Linux's and Python's tables use) is keyed with the file
 * system's seed.
 */
#include "smfs.h"

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t s[4])
{
	s[0] += s[1];
	s[1] = rotate(s[1], 13) ^ s[0];
	s[0] = rotate(s[0], 32);
	s[2] += s[3];
	s[3] = rotate(s[3], 16) ^ s[2];
	s[0] += s[3];
	s[3] = rotate(s[3], 21) ^ s[0];
	s[2] += s[1];
	s[1] = rotate(s[1], 17) ^ s[2];
	s[2] = rotate(s[2], 32);
}

static uint64_t hash(struct td_name name)
{
	uint64_t k1 = ~fs.seed * 0x9e3779b97f4a7c15;
	uint64_t s[4] = { fs.seed ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			  fs.seed ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };

	for (uint32_t i = 0; i <= name.len; i += 8) {
		uint32_t n = name.len - i < 8 ? name.len - i : 8;
		uint64_t m = n < 8 ? (uint64_t)name.len << 56 : 0;
		for (uint32_t j = 0; j < n; j++)
			m |= (uint64_t)name.bytes[i + j] << 8 * j;
		s[3] ^= m;
		sip_round(s);
		s[0] ^= m;
	}
	s[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(s);
	return s[0] ^ s[1] ^ s[2] ^ s[3];
}

uint64_t name_key(uint64_t base, struct td_name name)
{
	uint64_t h = hash(name) >> 9;

	return base | (h ? h : 1) << 8;
}

/* The named value of an item, 0 where it is damaged. */
const struct named *named_at(const struct item *it)
{
	const struct named *n = (const struct named *)it->value;

	if (it->len < NAMED_HEAD || it->len < NAMED_HEAD + n->len)
		return 0;
	return n;
}

uint32_t named_make(uint8_t *to, uint64_t ref, uint32_t kind, struct td_name name)
{
	struct named *n = (struct named *)to;

	n->ref = ref;
	n->kind = (uint8_t)kind;
	n->len = (uint8_t)name.len;
	memcpy(n->name, name.bytes, name.len);
	return NAMED_HEAD + name.len;
}

/*
 * Find the item with this name. 0: the path leads to it. ENOENT: the path leads to where it can be
 * inserted under *key, and is to be closed as well; *key is 0 if 256 other names have the same
 * hash. With all other errors there is nothing to close.
 */
int named_find(struct path *p, struct td_vnode *v, uint64_t base, struct td_name name,
	       uint64_t *key)
{
	uint64_t from = name_key(base, name), last = from + 255;
	int moved = 0, err = path_find(p, v, from);

	*key = from;
	while (!err) {
		if (p->n[0].pos == path_count(p)) {
			if (p->hi > last)
				break;
			from = p->hi;
			path_close(p);
			err = path_find(p, v, from);
			moved = 1;
			continue;
		}
		const struct item *it = path_item(p);
		if (it && it->key > last)
			break;
		const struct named *n = it ? named_at(it) : 0;
		if (!n || it->key < from) {
			path_close(p);
			return -TD_EIO;
		}
		if (n->len == name.len && !memcmp(n->name, name.bytes, name.len))
			return 0;
		moved |= it->key != *key;
		*key += it->key == *key;
		p->n[0].pos++;
	}
	if (err)
		return err;
	if (*key > last)
		*key = 0;
	else if (moved) {
		path_close(p);
		err = path_find(p, v, *key);
	}
	return err ? err : -TD_ENOENT;
}
