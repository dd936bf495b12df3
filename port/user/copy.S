/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * td__port_copy(): copy from or to memory that may not be there.
 *
 *   int td__port_copy(void *to, const void *from, size_t len);
 *
 * One instruction touches memory, between td__port_copy_start and td__port_copy_end. A fault
 * handler that finds the program counter there goes on at td__port_copy_fail, which needs neither
 * stack nor any register: the caller gets -TD_EFAULT. Where no such handler is installed, a fault
 * is a fault.
 */
#if !defined(__x86_64__)
#error "td__port_copy() is written for x86-64"
#endif

#define TD_EFAULT 14

	.text
	.globl td__port_copy, td__port_copy_start, td__port_copy_end, td__port_copy_fail
	.hidden td__port_copy_start, td__port_copy_end, td__port_copy_fail
	.type td__port_copy, @function
	.p2align 4
td__port_copy:
	.cfi_startproc
	mov	%rdx, %rcx
td__port_copy_start:
	rep movsb
td__port_copy_end:
	xor	%eax, %eax
	ret
td__port_copy_fail:
	mov	$-TD_EFAULT, %eax
	ret
	.cfi_endproc
	.size td__port_copy, . - td__port_copy

	.section .note.GNU-stack, "", @progbits
