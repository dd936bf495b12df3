/* SPDX-License-Identifier: BSD-2-Clause */
/* void td__sched_switch(void **from, void *to): keep the stack pointer in *from, go on where `to` was kept. */
	.text
	.globl td__sched_switch
	.type td__sched_switch, @function
td__sched_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size td__sched_switch, . - td__sched_switch
	.section .note.GNU-stack, "", @progbits
