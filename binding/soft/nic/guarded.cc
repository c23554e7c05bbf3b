#include "nic/guarded.h"

// The copy of any length. No stack is used and nothing is called, so that from any instruction the way out is the same.
// Small lengths are two moves that overlap, larger ones blocks and a last block that overlaps the one before. Blocks of
// 128 are stored at multiples of 32: a frame is built behind 18 bytes of its own, and each second store would straddle
// two cache lines.
#if defined(__x86_64__)
// Whether the processor moves 32 bytes at a time, and the kernel saves its registers: the blocks of a frame are twice
// as large. Whether an aligned move of 16 bytes is seen whole. `used`: link-time optimization does not see that
// assembly reads them, and would drop them.
extern "C" {
__attribute__((visibility("hidden"), used)) uint8_t soft_wide_moves = 0;
__attribute__((visibility("hidden"), used)) uint8_t soft_whole_moves = 0;
}
namespace {
[[maybe_unused]] const bool kAsked = [] {
  soft_wide_moves = __builtin_cpu_supports("avx2") ? 1 : 0;
  soft_whole_moves = __builtin_cpu_supports("avx") ? 1 : 0;
  return true;
}();
}  // namespace
asm(R"(
# Four registers' worth from one place to another.
.macro block move, bytes, register, from, to
  \move (\from), %\register\()0
  \move \bytes(\from), %\register\()1
  \move 2*\bytes(\from), %\register\()2
  \move 3*\bytes(\from), %\register\()3
  \move %\register\()0, (\to)
  \move %\register\()1, \bytes(\to)
  \move %\register\()2, 2*\bytes(\to)
  \move %\register\()3, 3*\bytes(\to)
.endm
.pushsection .text
.p2align 5
.globl soft_guarded_copy
.hidden soft_guarded_copy
.type soft_guarded_copy, @function
soft_guarded_copy:
.cfi_startproc
  movl $1, %eax
1:
  cmpq $16, %rdx
  jb 60f
  movups (%rsi), %xmm0
  movups -16(%rsi,%rdx), %xmm1
  cmpq $32, %rdx
  ja 20f
  movups %xmm0, (%rdi)
  movups %xmm1, -16(%rdi,%rdx)
  ret
20:
  movups 16(%rsi), %xmm2
  movups -32(%rsi,%rdx), %xmm3
  cmpq $64, %rdx
  ja 30f
  movups %xmm0, (%rdi)
  movups %xmm2, 16(%rdi)
  movups %xmm3, -32(%rdi,%rdx)
  movups %xmm1, -16(%rdi,%rdx)
  ret
30:
  cmpq $4096, %rdx
  ja 50f
  cmpq $256, %rdx
  jb 35f
  cmpb $0, soft_wide_moves(%rip)
  jne 100f
35:
  leaq -64(%rdi,%rdx), %r8
  leaq -64(%rsi,%rdx), %r9
40:
  block movups, 16, xmm, %rsi, %rdi
  addq $64, %rsi
  addq $64, %rdi
  cmpq %r8, %rdi
  jb 40b
  block movups, 16, xmm, %r9, %r8
  ret
50:
  movq %rdx, %rcx
  rep movsb
  ret
60:
  cmpq $8, %rdx
  jb 70f
  movq (%rsi), %rcx
  movq -8(%rsi,%rdx), %r8
  movq %rcx, (%rdi)
  movq %r8, -8(%rdi,%rdx)
  ret
70:
  cmpq $4, %rdx
  jb 80f
  movl (%rsi), %ecx
  movl -4(%rsi,%rdx), %r8d
  movl %ecx, (%rdi)
  movl %r8d, -4(%rdi,%rdx)
  ret
80:
  testq %rdx, %rdx
  je 90f
  movzbl (%rsi), %ecx
  movzbl -1(%rsi,%rdx), %r8d
  cmpq $2, %rdx
  jbe 85f
  movzbl 1(%rsi), %r9d
  movb %r9b, 1(%rdi)
85:
  movb %cl, (%rdi)
  movb %r8b, -1(%rdi,%rdx)
90:
  ret
2:
3:
  xorl %eax, %eax
  ret
100:
  vmovdqu (%rsi), %ymm0
  leaq -128(%rdi,%rdx), %r8
  leaq -128(%rsi,%rdx), %r9
  vmovdqu %ymm0, (%rdi)
  movl %edi, %ecx
  andl $31, %ecx
  subq $32, %rcx
  subq %rcx, %rsi
  subq %rcx, %rdi
110:
  block vmovdqu, 32, ymm, %rsi, %rdi
  subq $-128, %rsi
  subq $-128, %rdi
  cmpq %r8, %rdi
  jb 110b
  block vmovdqu, 32, ymm, %r9, %r8
  vzeroupper
  ret
120:
  vzeroupper
  xorl %eax, %eax
  ret
.cfi_endproc
.size soft_guarded_copy, . - soft_guarded_copy
.popsection
.pushsection soft_guarded, "a"
.balign 4
.long 1b - ., 2b - ., 3b - .
.long 100b - ., 120b - ., 120b - .
.popsection
.purgem block
)");
#else
asm(R"(
.pushsection .text
.p2align 5
.globl soft_guarded_copy
.hidden soft_guarded_copy
.type soft_guarded_copy, %function
soft_guarded_copy:
.cfi_startproc
  mov x9, x0
  mov w0, #1
  add x10, x9, x2
  add x11, x1, x2
1:
  cmp x2, #16
  b.lo 60f
  ldr q0, [x1]
  ldr q1, [x11, #-16]
  cmp x2, #32
  b.hi 20f
  str q0, [x9]
  str q1, [x10, #-16]
  ret
20:
  ldr q2, [x1, #16]
  ldr q3, [x11, #-32]
  cmp x2, #64
  b.hi 30f
  str q0, [x9]
  str q2, [x9, #16]
  str q3, [x10, #-32]
  str q1, [x10, #-16]
  ret
30:
  sub x12, x10, #64
40:
  ldp q0, q1, [x1]
  ldp q2, q3, [x1, #32]
  add x1, x1, #64
  stp q0, q1, [x9]
  stp q2, q3, [x9, #32]
  add x9, x9, #64
  cmp x9, x12
  b.lo 40b
  ldp q0, q1, [x11, #-64]
  ldp q2, q3, [x11, #-32]
  stp q0, q1, [x10, #-64]
  stp q2, q3, [x10, #-32]
  ret
60:
  cmp x2, #8
  b.lo 70f
  ldr x3, [x1]
  ldr x4, [x11, #-8]
  str x3, [x9]
  str x4, [x10, #-8]
  ret
70:
  cmp x2, #4
  b.lo 80f
  ldr w3, [x1]
  ldr w4, [x11, #-4]
  str w3, [x9]
  str w4, [x10, #-4]
  ret
80:
  cbz x2, 90f
  ldrb w3, [x1]
  ldrb w4, [x11, #-1]
  cmp x2, #2
  b.ls 85f
  ldrb w5, [x1, #1]
  strb w5, [x9, #1]
85:
  strb w3, [x9]
  strb w4, [x10, #-1]
90:
  ret
2:
3:
  mov w0, #0
  ret
.cfi_endproc
.size soft_guarded_copy, . - soft_guarded_copy
.popsection
.pushsection soft_guarded, "a"
.balign 4
.long 1b - ., 2b - ., 3b - .
.popsection
)");
#endif
