/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of the walls that cross by a plain call.
 *
 *   int64_t td__gate_enter(gate, enter, frame)   saves what the ABI lets a callee rely on, calls
 *   td__gate_leave(gate)                         comes back from anywhere above
 *   td__gate_recover                             the same; where a handler makes a thread go on
 *
 * What a module that ran to its end has kept by the ABI is not restored: the fast path saves and
 * calls, no more. The way back restores it all.
 */
#include "trap.h"

	.text
	.globl td__gate_enter, td__gate_leave, td__gate_recover, td__gate_out
	.hidden td__gate_enter, td__gate_leave, td__gate_recover, td__gate_out

	.type td__gate_enter, @function
	.p2align 5
td__gate_enter:
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
	mov	%rsi, %rax
	mov	%rdx, %rdi
	call	*%rax
	cltq
	add	$48, %rsp
	.cfi_remember_state
	pop	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_restore_state
td__gate_out:
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size td__gate_enter, . - td__gate_enter

	.type td__gate_leave, @function
	.p2align 4
td__gate_leave:
td__gate_recover:
	mov	TD__GATE_SP(%rdi), %rsp
	cld
	fninit
	ldmxcsr	TD__GATE_FLOAT(%rdi)
	mov	$1, %eax
	shl	$32, %rax
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
