/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a module looks whether its host wants it to stop, and how it asks whether that is meant for this call. What the
 * compiler's plugin (sdk/yield) inserts refers to td__yield_wanted and td__yield(); without the plugin nothing does.
 *
 * The host writes to td_module_yield, the same word under a name that is exported: once, when a call is over its time, and
 * it stays raised. Every call that then comes by asks with the service `yield`. The one that is over does not
 * return from it; the others go on, until the domain is replaced.
 *
 * A module may be stopped at a yield as at any service, so none may stand where a lock of the runtime is held:
 * between heap_lock() and heap_unlock() is neither a loop nor a call.
 */
#include "runtime.h"

uint32_t td__yield_wanted;

#ifdef __x86_64__
TD_EXPORT extern __typeof__(td__yield_wanted) td_module_yield __attribute__((alias("td__yield_wanted")));

#if defined(__AVX512F__)
#error "a module that yields is built for processors without AVX-512: td__yield() would have to keep more registers"
#elif defined(__AVX__)
#define TD__MOVE  "vmovups"
#define TD__WIDTH "32"
#define TD__REG	  "ymm"
#else
#define TD__MOVE  "movups"
#define TD__WIDTH "16"
#define TD__REG	  "xmm"
#endif

/*
 * td__yield() keeps all registers but the flags. It has a second name, so that reports can leave it out of the
 * backtrace. A host without the service has no use for it: then it does nothing.
 */
__asm__(".pushsection .text.td__yield, \"ax\", @progbits\n"
	"	.globl	td__yield, td_module_yielder\n"
	"	.hidden	td__yield\n"
	"	.type	td__yield, @function\n"
	"	.type	td_module_yielder, @function\n"
	"	.weak	td__svc_yield\n"
	"td__yield:\n"
	"td_module_yielder:\n"
	"	push	%rbp\n"
	"	mov	%rsp, %rbp\n"
	"	.irp	reg, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11\n"
	"	push	%\\reg\n"
	"	.endr\n"
	"	sub	$16 * " TD__WIDTH ", %rsp\n"
	"	and	$-" TD__WIDTH ", %rsp\n"
	"	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	" TD__MOVE "	%" TD__REG "\\n, \\n * " TD__WIDTH "(%rsp)\n"
	"	.endr\n"
	"	mov	td__svc_yield@GOTPCREL(%rip), %rax\n"
	"	test	%rax, %rax\n"
	"	jz	1f\n"
	"	call	*%rax\n"
	"1:\n"
	"	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	" TD__MOVE "	\\n * " TD__WIDTH "(%rsp), %" TD__REG "\\n\n"
	"	.endr\n"
	"	lea	-72(%rbp), %rsp\n"
	"	.irp	reg, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax\n"
	"	pop	%\\reg\n"
	"	.endr\n"
	"	pop	%rbp\n"
	"	ret\n"
	"	.size	td__yield, . - td__yield\n"
	"	.size	td_module_yielder, . - td_module_yielder\n"
	".popsection");
#endif
