/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of the walls that cross by a plain call.
 *
 *   int td__gate_enter(first, second, gate, function)   saves what the ABI lets a callee rely on, calls
 *   td__gate_enter_on(first, second, gate, function)    the same, on a stack of the module's own
 *   td__gate_serve                                      from there into a service, and back
 *   td__gate_leave(gate)                                comes back from anywhere above
 *   td__gate_recover                                    the same; where a handler makes a thread go on
 *
 * What a module that ran to its end has kept by the ABI is not restored: the fast path saves and
 * calls, no more. The way back restores it all. The outcome is TD__RETURNED or TD__FAULTED.
 */
#include "trap.h"

	.text
	.globl td__gate_enter, td__gate_enter_on, td__gate_serve, td__gate_leave, td__gate_recover, td__gate_out
	.hidden td__gate_enter, td__gate_enter_on, td__gate_serve, td__gate_leave, td__gate_recover, td__gate_out

	.macro current reg
	mov	td__gate_current@gottpoff(%rip), \reg
	.endm

	.macro kernel_stack reg
	mov	td__gate_stack@gottpoff(%rip), \reg
	.endm

/* Save what the ABI lets a callee rely on, and the gate, which is in rdx. */
	.macro save
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%rbx
	.cfi_offset %rbx, -24
	push	%r12
	.cfi_offset %r12, -32
	push	%r13
	.cfi_offset %r13, -40
	push	%r14
	.cfi_offset %r14, -48
	push	%r15
	.cfi_offset %r15, -56
	push	%rdx
	.endm

	.macro go_in gate
	mov	%rsp, TD__GATE_SP(\gate)
	current	%rax
	mov	%fs:(%rax), %r8
	mov	%r8, TD__GATE_OUTER(\gate)
	mov	\gate, %fs:(%rax)
	movl	$TD__GATE_MODULE, TD__GATE_STATE(\gate)
	.endm

	.macro restore
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	.endm

	.type td__gate_enter, @function
	.p2align 6
td__gate_enter:
	.cfi_startproc
	save
	mov	%rdx, %rbx
	go_in	%rbx
	call	*%rcx
	movl	$TD__GATE_OUTSIDE, TD__GATE_STATE(%rbx)
	mov	TD__GATE_RESULT(%rbx), %rcx
	mov	TD__GATE_OUTER(%rbx), %rdx
	mov	%eax, (%rcx)
	current	%rax
	mov	%rdx, %fs:(%rax)
	xor	%eax, %eax
	mov	-8(%rbp), %rbx
	leave
	.cfi_remember_state
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_restore_state
/* With the gate in rdi, the stack pointer from it, the outcome in eax. */
td__gate_out:
	current	%rcx
	mov	TD__GATE_OUTER(%rdi), %rdx
	mov	%rdx, %fs:(%rcx)
	restore
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size td__gate_enter, . - td__gate_enter

/* Nothing that lies on the module's stack is believed afterwards. While the module runs, td__gate_stack is its gate's sp. */
	.type td__gate_enter_on, @function
	.p2align 6
td__gate_enter_on:
	.cfi_startproc
	save
	go_in	%rdx
	kernel_stack %rax
	mov	%rsp, %fs:(%rax)
	mov	TD__GATE_TOP(%rdx), %rsp
	call	*%rcx
	kernel_stack %rcx
	mov	%fs:(%rcx), %rsp /* not by way of the gate: the next call would wait for two loads more */
	current	%rcx
	restore
	movl	$TD__GATE_OUTSIDE, TD__GATE_STATE(%rdi)
	mov	TD__GATE_RESULT(%rdi), %rdx
	mov	TD__GATE_OUTER(%rdi), %r8
	mov	%eax, (%rdx)
	mov	%r8, %fs:(%rcx)
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size td__gate_enter_on, . - td__gate_enter_on

/* The module calls the service rax, with up to six arguments: it runs on the kernel's stack, below the gate's frame. */
	.type td__gate_serve, @function
	.p2align 5
td__gate_serve:
	current	%r10
	mov	%fs:(%r10), %r10
	mov	%rsp, TD__GATE_INNER(%r10)
	mov	%rbp, TD__GATE_INNER_FP(%r10)
	mov	TD__GATE_SP(%r10), %rsp
	movl	$TD__GATE_SERVICE, TD__GATE_STATE(%r10)
	call	*%rax
	kernel_stack %r11
	mov	%rsp, %fs:(%r11) /* the service may have been through other gates */
	mov	(%rsp), %r10
	movl	$TD__GATE_MODULE, TD__GATE_STATE(%r10)
	mov	TD__GATE_INNER(%r10), %rsp
	ret
	.size td__gate_serve, . - td__gate_serve

	.type td__gate_leave, @function
	.p2align 4
td__gate_leave:
td__gate_recover:
	mov	TD__GATE_SP(%rdi), %rsp
	cld
	fninit
	ldmxcsr	TD__GATE_FLOAT(%rdi)
	mov	$1, %eax /* TD__FAULTED */
	jmp	td__gate_out
	.size td__gate_leave, . - td__gate_leave

/*
 * td__trap_entry(number, info, context): a signal's handler starts with all keys but 0 closed.
 * Opens them before it touches the stack, which may be under another key.
 */
	.globl td__trap_entry
	.hidden td__trap_entry
	.type td__trap_entry, @function
	.p2align 4
td__trap_entry:
	mov	%rdx, %r8
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	mov	%r8, %rdx
	jmp	td__trap_handle
	.size td__trap_entry, . - td__trap_entry

	.section .note.GNU-stack, "", @progbits
