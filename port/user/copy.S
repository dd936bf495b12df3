/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * td__port_copy(): copy from or to memory that may not be there.
 *
 *   int td__port_copy(void *to, const void *from, size_t len);
 *
 * Memory is touched between td__port_copy_start and td__port_copy_end only. A fault handler that finds
 * the program counter there goes on at td__port_copy_fail, which needs neither stack nor any register:
 * the caller gets -TD_EFAULT. Where no such handler is installed, a fault is a fault.
 *
 * Words, and not bytes, are repeated: if `to` lies less than 32 bytes behind `from` within their pages, some
 * processors (AMD Zen) need 20 times as long for bytes.
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
td__port_copy_start:
	cmp	$16, %rdx
	ja	1f
	cmp	$8, %edx
	jae	2f
	cmp	$4, %edx
	jae	3f
	mov	%edx, %ecx
	rep movsb
	xor	%eax, %eax
	ret
1:	cmp	$32, %rdx
	ja	4f
	movups	(%rsi), %xmm0
	movups	-16(%rsi, %rdx), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi, %rdx)
	xor	%eax, %eax
	ret
4:	mov	%rdx, %rcx
	shr	$3, %rcx
	and	$7, %edx
	rep movsq
	mov	-8(%rsi, %rdx), %rcx
	mov	%rcx, -8(%rdi, %rdx)
	xor	%eax, %eax
	ret
2:	mov	(%rsi), %rcx
	mov	-8(%rsi, %rdx), %rax
	mov	%rcx, (%rdi)
	mov	%rax, -8(%rdi, %rdx)
	xor	%eax, %eax
	ret
3:	mov	(%rsi), %ecx
	mov	-4(%rsi, %rdx), %eax
	mov	%ecx, (%rdi)
	mov	%eax, -4(%rdi, %rdx)
td__port_copy_end:
	xor	%eax, %eax
	ret
td__port_copy_fail:
	mov	$-TD_EFAULT, %eax
	ret
	.cfi_endproc
	.size td__port_copy, . - td__port_copy

	.section .note.GNU-stack, "", @progbits
