#include "nic/guarded.h"

// guardedLand(). Up to the last line: a head of aligned stores, each twice as large as the one before, then blocks
// that are aligned to themselves. In the last line the same, then a tail of aligned stores, each half as large. A short
// one that begins at a multiple of 16, where a move of 16 bytes is seen whole, is aligned moves up to its tail. As in
// guarded.cc no stack is used and nothing is called. The macros end with the routine: the assembler of a whole library
// may read both files as one.
#if defined(__x86_64__)
asm(R"(
# One element, and on to the next.
.macro element bytes
.if \bytes == 1
  movzbl (%rsi), %r9d
  movb %r9b, (%rdi)
.elseif \bytes == 2
  movzwl (%rsi), %r9d
  movw %r9w, (%rdi)
.elseif \bytes == 4
  movl (%rsi), %r9d
  movl %r9d, (%rdi)
.elseif \bytes == 8
  movq (%rsi), %r9
  movq %r9, (%rdi)
.else
  movups (%rsi), %xmm0
  movaps %xmm0, (%rdi)
.endif
  addq $\bytes, %rsi
  addq $\bytes, %rdi
.endm
# 64 bytes to an address that is aligned to 16.
.macro block
  movups (%rsi), %xmm0
  movups 16(%rsi), %xmm1
  movups 32(%rsi), %xmm2
  movups 48(%rsi), %xmm3
  addq $64, %rsi
  movaps %xmm0, (%rdi)
  movaps %xmm1, 16(%rdi)
  movaps %xmm2, 32(%rdi)
  movaps %xmm3, 48(%rdi)
  addq $64, %rdi
.endm
# The head: an element where the address is not aligned to twice its size.
.macro ascend bytes
  testb $\bytes, %dil
  je 9f
  element \bytes
9:
.endm
# The same in the last line, where no more than %rdx bytes are left.
.macro ascend_last bytes
  testb $\bytes, %dil
  je 9f
  cmpq $\bytes, %rdx
  jb 80f
  element \bytes
  subq $\bytes, %rdx
9:
.endm
# As many as there are.
.macro repeat bytes
8:
  subq $\bytes, %rdx
  jb 9f
  element \bytes
  jmp 8b
9:
  addq $\bytes, %rdx
.endm
# The tail, less than 8 bytes.
.macro descend bytes
  testb $\bytes, %dl
  je 9f
  element \bytes
9:
.endm
.pushsection .text
.p2align 5
.globl soft_guarded_land
.hidden soft_guarded_land
.type soft_guarded_land, @function
soft_guarded_land:
.cfi_startproc
  movl $1, %eax
1:
  testq %rdx, %rdx
  je 90f
  testb $15, %dil
  jne 15f
  cmpq $256, %rdx
  jae 15f
  cmpb $0, soft_whole_moves(%rip)
  je 15f
  subq $64, %rdx
  jb 12f
11:
  block
  subq $64, %rdx
  jae 11b
12:
  addq $64, %rdx
  je 90f
  repeat 16
  jmp 70f
15:
  leaq -1(%rdi,%rdx), %r8
  andq $-64, %r8
  cmpq %r8, %rdi
  jae 50f
  movq %r8, %rcx
  subq %rdi, %rcx
  subq %rcx, %rdx
  testb $15, %dil
  je 20f
  ascend 1
  ascend 2
  ascend 4
  ascend 8
20:
  ascend 16
  testb $32, %dil
  je 30f
  element 16
  element 16
30:
  movq %r8, %rcx
  subq %rdi, %rcx
  je 50f
  cmpq $256, %rcx
  jb 40f
  cmpb $0, soft_wide_moves(%rip)
  jne 100f
40:
  block
  cmpq %r8, %rdi
  jb 40b
50:
  testb $15, %dil
  je 60f
  ascend_last 1
  ascend_last 2
  ascend_last 4
  ascend_last 8
60:
  cmpb $0, soft_whole_moves(%rip)
  je 70f
  repeat 16
70:
  repeat 8
80:
  descend 4
  descend 2
  descend 1
90:
  ret
2:
3:
  xorl %eax, %eax
  ret
100:
  vmovdqu (%rsi), %ymm0
  vmovdqu 32(%rsi), %ymm1
  addq $64, %rsi
  vmovdqa %ymm0, (%rdi)
  vmovdqa %ymm1, 32(%rdi)
  addq $64, %rdi
  cmpq %r8, %rdi
  jb 100b
110:
  vzeroupper
  jmp 50b
120:
  vzeroupper
  xorl %eax, %eax
  ret
.cfi_endproc
.size soft_guarded_land, . - soft_guarded_land
.popsection
.pushsection soft_guarded, "a"
.balign 4
.long 1b - ., 2b - ., 3b - .
.long 100b - ., 110b - ., 120b - .
.popsection
.purgem element
.purgem block
.purgem ascend
.purgem ascend_last
.purgem repeat
.purgem descend
)");
#else
// The last line is stored by releases alone.
asm(R"(
// One element up to the last line, and on to the next.
.macro element load, store, value, bytes
  \load \value, [x1], #\bytes
  \store \value, [x9], #\bytes
.endm
// One of the last line.
.macro release load, store, value, bytes
  \load \value, [x1], #\bytes
  \store \value, [x9]
  add x9, x9, #\bytes
.endm
// In the last line, where no more than x2 bytes are left: an element where the address has that bit.
.macro ascend_last bit, load, store, value, bytes
  tbz x9, #\bit, 9f
  cmp x2, #\bytes
  b.lo 80f
  release \load, \store, \value, \bytes
  sub x2, x2, #\bytes
9:
.endm
.pushsection .text
.p2align 5
.globl soft_guarded_land
.hidden soft_guarded_land
.type soft_guarded_land, %function
soft_guarded_land:
.cfi_startproc
  mov x9, x0
  mov w0, #1
1:
  cbz x2, 90f
  add x10, x9, x2
  sub x11, x10, #1
  and x11, x11, #~63
  cmp x9, x11
  b.hs 50f
  tbz x9, #0, 11f
  element ldrb, strb, w3, 1
11:
  tbz x9, #1, 12f
  element ldrh, strh, w3, 2
12:
  tbz x9, #2, 13f
  element ldr, str, w3, 4
13:
  tbz x9, #3, 20f
  element ldr, str, x3, 8
20:
  tbz x9, #4, 21f
  element ldr, str, q0, 16
21:
  tbz x9, #5, 30f
  element ldr, str, q0, 16
  element ldr, str, q0, 16
30:
  cmp x9, x11
  b.hs 50f
  ldp q0, q1, [x1]
  ldp q2, q3, [x1, #32]
  add x1, x1, #64
  stp q0, q1, [x9]
  stp q2, q3, [x9, #32]
  add x9, x9, #64
  b 30b
50:
  sub x2, x10, x9
  ascend_last 0, ldrb, stlrb, w3, 1
  ascend_last 1, ldrh, stlrh, w3, 2
  ascend_last 2, ldr, stlr, w3, 4
70:
  cmp x2, #8
  b.lo 80f
  release ldr, stlr, x3, 8
  sub x2, x2, #8
  b 70b
80:
  tbz x2, #2, 81f
  release ldr, stlr, w3, 4
81:
  tbz x2, #1, 82f
  release ldrh, stlrh, w3, 2
82:
  tbz x2, #0, 90f
  release ldrb, stlrb, w3, 1
90:
  ret
2:
3:
  mov w0, #0
  ret
.cfi_endproc
.size soft_guarded_land, . - soft_guarded_land
.popsection
.pushsection soft_guarded, "a"
.balign 4
.long 1b - ., 2b - ., 3b - .
.popsection
.purgem element
.purgem release
.purgem ascend_last
)");
#endif
