/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate with keys. Two kinds of code:
 *
 * The stubs between td__pkey_template and its end are copied for each domain, and the value of
 * PKRU that closes the keys is put into them. They hold all instructions that a module's thread
 * passes to change its rights. In and out again:
 *
 *   td__pkey_enter -> stub enter -> module -> stub enter, behind the call -> td__pkey_out
 *   module -> stub of a service -> td__pkey_service -> the C function -> stub back -> module
 *
 * Rules, because a module can jump anywhere with any registers:
 * - Behind each WRPKRU its value is compared. The value to compare with is in the instruction: no
 *   register and no memory that the module could have chosen.
 * - Code behind an opening WRPKRU takes the gate from the thread's own data and the stack pointer
 *   from the gate, and does not touch the stack before.
 * - No opening WRPKRU is followed by a return to an address that the module chose.
 */
#include "../trap/trap.h"
#include "pkey.h"

/* What the module's flags must not do to the kernel: direction, alignment check. */
#define FLAGS_UNWANTED 0x40400

	.text
	.macro hidden name
	.globl	\name
	.hidden	\name
	.endm
	.macro gate reg
	mov	td__gate_current@gottpoff(%rip), \reg
	mov	%fs:(\reg), \reg
	.endm
	.macro clear_flags
	pushf
	testl	$FLAGS_UNWANTED, (%rsp)
	jz	.Lclear\@
	andl	$~FLAGS_UNWANTED, (%rsp)
	popf
	push	%rax
.Lclear\@:
	.endm

/* td__pkey_enter(gate, enter, frame, stack, stub): the same frame as td__gate_enter's. */
	hidden	td__pkey_enter
	.type td__pkey_enter, @function
	.p2align 5
td__pkey_enter:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	%rsp, TD__GATE_SP(%rdi)
	mov	%rsi, %r10
	mov	%rdx, %rdi
	mov	%rcx, %rsp
	jmp	*%r8
	.cfi_endproc
	.size td__pkey_enter, . - td__pkey_enter

/* The module has returned; keys are open; its result is in r11d. */
	hidden	td__pkey_out
	.p2align 4
td__pkey_out:
	gate	%rdi
	mov	TD__GATE_SP(%rdi), %rsp
	movl	$TD__GATE_OUTSIDE, TD__GATE_STATE(%rdi)
	ldmxcsr	TD__GATE_FLOAT(%rdi)
	clear_flags
	add	$8, %rsp
	mov	TD__GATE_RESULT(%rdi), %rax
	mov	%r11d, (%rax)
	xor	%eax, %eax
	jmp	td__gate_out

/* A signal handler makes the thread go on here, with the rights that it had. */
	hidden	td__pkey_recover
	.p2align 4
td__pkey_recover:
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	test	%eax, %eax
	jnz	bad
	gate	%rdi
	jmp	td__gate_leave

/*
 * Service number xmm0; keys are open; rdx and rcx are in r10 and r11; the stack is still the
 * module's. All six registers with arguments stay as they were.
 */
	hidden	td__pkey_service
	.p2align 4
td__pkey_service:
	mov	%r10, %rdx
	mov	%r11, %rcx
	movd	%xmm0, %r10d
	cmp	td__pkey_nservices(%rip), %r10d
	jae	bad
	gate	%rax
	mov	%rsp, TD__GATE_INNER(%rax)
	mov	%rbp, TD__GATE_INNER_FP(%rax)
	mov	TD__GATE_SP(%rax), %rsp
	movl	$TD__GATE_SERVICE, TD__GATE_STATE(%rax)
	push	%rax
	clear_flags
	lea	td__pkey_services(%rip), %r11
	call	*(%r11, %r10, 8)
	mov	8(%rsp), %r10
	mov	%eax, %r11d
	movl	$TD__GATE_MODULE, TD__GATE_STATE(%r10)
	mov	TD__GATE_INNER(%r10), %rsp
	jmp	*TD__GATE_BACK(%r10)
bad:
	ud2

/* td__pkey_open(): a thread that is in a module must not get away with this. */
	hidden	td__pkey_open
	.type td__pkey_open, @function
	.p2align 4
td__pkey_open:
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	gate	%rax
	test	%rax, %rax
	jz	1f
	cmpl	$TD__GATE_MODULE, TD__GATE_STATE(%rax)
	je	bad
1:	ret
	.size td__pkey_open, . - td__pkey_open

/* What the module calls as td__svc_context(): runs with its rights, on its stack. */
	hidden	td__pkey_context
	.type td__pkey_context, @function
	.p2align 4
td__pkey_context:
	mov	%rsp, %rax
	and	$-TD__PKEY_SLOT, %rax
	ret
	.size td__pkey_context, . - td__pkey_context

/* ---- The template. Position-independent; values marked VALUE are replaced in each copy. */

#define VALUE	0x5a5a5a5a
#define ADDRESS 0x5a5a5a5a5a5a5a5a

	.macro close_keys first second
	mov	$VALUE, %eax
	hidden	\first
	.set	\first, . - 4
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	cmp	$VALUE, %eax
	hidden	\second
	.set	\second, . - 4
	jne	refused
	.endm
	.macro open_keys
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	test	%eax, %eax
	jnz	refused
	.endm

	.section .rodata
	hidden	td__pkey_template
	hidden	td__pkey_template_end
	hidden	td__pkey_stub_enter
	hidden	td__pkey_stub_back
	hidden	td__pkey_stub_service
	hidden	td__pkey_to_out
	hidden	td__pkey_to_service
	.p2align 6
td__pkey_template:

/* rdi: frame, r10: the module's function, rsp: its stack. */
td__pkey_stub_enter:
	close_keys td__pkey_closed_1 td__pkey_closed_2
	xor	%ebp, %ebp
	xor	%ebx, %ebx
	call	*%r10
	mov	%eax, %r11d
	open_keys
	movabs	$ADDRESS, %r10
	.set	td__pkey_to_out, . - 8
	jmp	*%r10

/* r11d: what the service returned. */
	.p2align 4
td__pkey_stub_back:
	close_keys td__pkey_closed_3 td__pkey_closed_4
	mov	%r11d, %eax
	ret

/* eax: number of the service. No other register is free while the keys are opened. */
	.p2align 4
td__pkey_stub_service:
	movd	%eax, %xmm0
	mov	%rdx, %r10
	mov	%rcx, %r11
	open_keys
	movabs	$ADDRESS, %rax
	.set	td__pkey_to_service, . - 8
	jmp	*%rax

refused:
	ud2
	.p2align 4
td__pkey_template_end:

	.section .note.GNU-stack, "", @progbits
