/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protection keys: who has which.
 *
 * There are 15 in a process. A domain has one; a device has one, which all domains of its mount
 * share, the old one and the new one of a restart too. A key that is given back is on no page
 * that anybody can write.
 *
 * A thread that is made has the rights of the one that made it, and the first one has keys 1 to 15
 * closed. So all are opened to the first thread before the program begins.
 */
#define _GNU_SOURCE 1
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pkey.h"

struct device_key {
	const struct td__device *device;
	int key;
	uint32_t users;
	struct device_key *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards devices */
static struct device_key *devices;

int td__pkey_present(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 4)); /* OSPKE */
}

__attribute__((constructor)) static void open_first_thread(void)
{
	if (td__pkey_present())
		td__pkey_open();
}

int td__pkey_take(char *why, size_t size)
{
	int key = pkey_alloc(0, 0);

	if (key > 0)
		return key;
	snprintf(why, size,
		 "this process has no protection key left (15 in all: one a mount and one a "
		 "device); use "
		 "--level isolated, or mount in another process");
	return -ENOSPC;
}

void td__pkey_give(int key)
{
	pkey_free(key);
}

static int set_device(const struct td__device *device, int key)
{
	return pkey_mprotect(device->data.base, device->data.size, PROT_READ | PROT_WRITE, key)
		       ? -errno
		       : 0;
}

/* The entry of a device; a new one has users 0. */
static struct device_key *entry_of(const struct td__device *device)
{
	struct device_key *k;

	for (k = devices; k; k = k->next)
		if (k->device == device)
			return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return 0;
	k->device = device;
	k->next = devices;
	devices = k;
	return k;
}

static void drop_entry(struct device_key *k)
{
	struct device_key **at = &devices;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	free(k);
}

static int first_use(struct device_key *k, char *why, size_t size)
{
	int err;

	k->key = td__pkey_take(why, size);
	if (k->key < 0)
		return k->key;
	err = set_device(k->device, k->key);
	if (!err)
		return 0;
	td__pkey_give(k->key);
	snprintf(why, size, "the device's pages take no protection key");
	return err;
}

int td__pkey_take_device(const struct td__device *device, char *why, size_t size)
{
	struct device_key *k;
	int err = 0;

	pthread_mutex_lock(&lock);
	k = entry_of(device);
	if (!k)
		err = -ENOMEM;
	else if (!k->users)
		err = first_use(k, why, size);
	if (!err)
		k->users++;
	else if (k)
		drop_entry(k);
	err = err ? err : k->key;
	pthread_mutex_unlock(&lock);
	return err;
}

void td__pkey_give_device(const struct td__device *device)
{
	struct device_key *k;

	pthread_mutex_lock(&lock);
	k = entry_of(device);
	if (k && !--k->users) {
		/* Should the pages keep the key, nobody else must get it. */
		if (!set_device(device, 0))
			td__pkey_give(k->key);
		drop_entry(k);
	}
	pthread_mutex_unlock(&lock);
}

/* Two bits a key: no access, no writing. */
uint32_t td__pkey_rights(int key, int device_key, uint32_t shared)
{
	static const uint32_t device_rights[] = {
		[TD_SHARED_RW] = 0,
		[TD_SHARED_RO] = PKEY_DISABLE_WRITE,
		[TD_SHARED_UNMAPPED] = PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE,
	};
	int signals = td__trap_signal_key();
	uint32_t rights = ~0u;

	rights &= ~(3u << 2 * key | 3u << 2 * device_key);
	rights |= device_rights[shared] << 2 * device_key;
	if (signals)
		rights &= ~(3u << 2 * signals);
	if (shared != TD_SHARED_UNMAPPED)
		rights &= ~(uint32_t)PKEY_DISABLE_ACCESS; /* key 0 */
	return rights;
}
