/* SPDX-License-Identifier: BSD-2-Clause */
/* The services that the kernel of these tests does not play: they fail. */
#include <fs_services.h>

int td__absent(void);

int td__absent(void)
{
	return -TD_ENOSYS;
}

#define ABSENT(name) __asm__(".weak td__svc_do_" #name "\n.set td__svc_do_" #name ", td__absent\n");
TD__SERVICES(ABSENT)
