/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that does not come back: lookup of a name runs the loop of that name, and each is endless in another way.
 * None of them calls a service, but for `services` and `heap`. Built with and without yields.
 */
#include <tadan/fs.h>

static volatile uint32_t never, count;

static int loops_mount(const struct td_device *dev, uint32_t format, struct td_fsinfo *info)
{
	(void)format;
	*info = (struct td_fsinfo){ .root = 1, .maxsize = 1, .blocks = dev->blocks, .files = 1, .bsize = dev->bsize,
				    .namemax = TD_NAME_MAX, .maxlink = 2 };
	return 0;
}

static int loops_getvnode(uint64_t fid, struct td_vnode *v)
{
	return fid == 1 ? td_vnode_init(v, TD_DIR, 0755, 0) : -TD_ESTALE;
}

static void empty(void)
{
	for (;;)
		;
}

static inline __attribute__((always_inline)) uint32_t inner(uint32_t step)
{
	uint32_t n = 0;

	while (!never)
		n += step;
	return n;
}

static void inlined(void)
{
	count = inner(3);
}

static __attribute__((noinline)) uint32_t tree(uint32_t depth)
{
	return depth ? tree(depth - 1) + tree(depth - 1) + count : 1;
}

/* 2 to the power of 100 calls, none of them deep. */
static void recursion(void)
{
	count = tree(100);
}

static uint32_t odd(uint32_t n);

static __attribute__((noinline, noclone)) uint32_t even(uint32_t n)
{
	return n ? odd(n - 1) + odd(n - 1) : count;
}

static __attribute__((noinline, noclone)) uint32_t odd(uint32_t n)
{
	return n ? even(n - 1) + even(n - 1) : count;
}

static void mutual(void)
{
	count = even(100);
}

/* The compiler does not know whom it calls. */
static uint32_t by_pointer(uint32_t n);
static uint32_t (*volatile pointer)(uint32_t) = by_pointer;

static uint32_t by_pointer(uint32_t n)
{
	return n ? pointer(n - 1) + pointer(n - 1) : count;
}

static void indirect(void)
{
	count = pointer(100);
}

static void jumps(void)
{
again:
	count++;
	if (!never)
		goto again;
}

/* Two ways into the loop, so neither block is its only head. */
static void irreducible(void)
{
	if (never)
		goto second;
first:
	count++;
second:
	count += 2;
	if (!never)
		goto first;
}

static void computed(void)
{
	static const void *const labels[] = { &&one, &&two };

	goto *labels[never & 1];
one:
	count++;
	goto *labels[1 - (never & 1)];
two:
	count += 2;
	goto *labels[never & 1];
}

static void machine(void)
{
	uint32_t state = 0;

	for (;;)
		switch (state) {
		case 0: state = 1 + (never & 1); continue;
		case 1: count++, state = 2; continue;
		case 2: state = never ? 3 : 0; continue;
		default: return;
		}
}

/* Loops within that end, and that the compiler makes vectors of. */
static void vectors(void)
{
	static uint32_t a[4096];

	while (!never)
		for (uint32_t i = 0; i < 4096; i++)
			a[i] = a[i] * 3 + i;
}

static void services(void)
{
	while (!never)
		td__svc_sync();
}

static void heap(void)
{
	while (!never)
		td_free(td_alloc(100));
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = { { "empty", empty },		{ "inlined", inlined },	    { "recursion", recursion }, { "mutual", mutual },
	    { "indirect", indirect },	{ "jumps", jumps },	    { "irreducible", irreducible },
	    { "computed", computed },	{ "machine", machine },	    { "vectors", vectors },
	    { "services", services },	{ "heap", heap } };

/* Values of every kind that a yield must keep, in more registers than there are of each. */
static uint64_t keep_all(uint64_t rounds)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12;
	double x = 1, y = 2, z = 3, w = 4;

	for (uint64_t n = 0; n < rounds; n++) {
		a += b ^ n, b += c * 3, c += d >> 1, d += e, e += f ^ a, f += g, g += h * 5, h += i, i += j ^ b, j += k, k += l, l += a;
		x += y * 0.5, y += z * 0.25, z += w * 0.125, w += 1;
		if (w > 1e6)
			x = y = z = w = 1;
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ (uint64_t)(int64_t)(x + y + z + w);
}

/* A call that ends by itself: memory is to be had, and its sums are right. */
static int work(void)
{
	uint64_t sum = keep_all(50000);

	for (uint32_t i = 0; i < 5000; i++) {
		void *p = td_alloc(200);

		if (!p)
			return -TD_EIO;
		td_free(p);
	}
	return keep_all(50000) == sum ? -TD_ENOENT : -TD_EIO;
}

static int loops_lookup(struct td_vnode *dir, struct td_name name, uint64_t *fid)
{
	(void)dir;
	(void)fid;
	for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (td_name_is(name, all[i].name))
			all[i].run();
	return name.len > 4 && !memcmp(name.bytes, "work", 4) ? work() : -TD_ENOENT;
}

TD_FS_MODULE(loops, 0, .mount = loops_mount, .getvnode = loops_getvnode, .lookup = loops_lookup);
