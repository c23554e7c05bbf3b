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
  movups (%rsi), %xmm0
  movups 16(%rsi), %xmm1
  movups 32(%rsi), %xmm2
  movups 48(%rsi), %xmm3
  addq $64, %rsi
  movups %xmm0, (%rdi)
  movups %xmm1, 16(%rdi)
  movups %xmm2, 32(%rdi)
  movups %xmm3, 48(%rdi)
  addq $64, %rdi
  cmpq %r8, %rdi
  jb 40b
  movups (%r9), %xmm0
  movups 16(%r9), %xmm1
  movups 32(%r9), %xmm2
  movups 48(%r9), %xmm3
  movups %xmm0, (%r8)
  movups %xmm1, 16(%r8)
  movups %xmm2, 32(%r8)
  movups %xmm3, 48(%r8)
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
  vmovdqu (%rsi), %ymm0
  vmovdqu 32(%rsi), %ymm1
  vmovdqu 64(%rsi), %ymm2
  vmovdqu 96(%rsi), %ymm3
  subq $-128, %rsi
  vmovdqu %ymm0, (%rdi)
  vmovdqu %ymm1, 32(%rdi)
  vmovdqu %ymm2, 64(%rdi)
  vmovdqu %ymm3, 96(%rdi)
  subq $-128, %rdi
  cmpq %r8, %rdi
  jb 110b
  vmovdqu (%r9), %ymm0
  vmovdqu 32(%r9), %ymm1
  vmovdqu 64(%r9), %ymm2
  vmovdqu 96(%r9), %ymm3
  vmovdqu %ymm0, (%r8)
  vmovdqu %ymm1, 32(%r8)
  vmovdqu %ymm2, 64(%r8)
  vmovdqu %ymm3, 96(%r8)
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
)");

// guardedLand(). Up to the last line: a head of aligned stores, each twice as large as the one before, then blocks
// that are aligned to themselves. In the last line the same, then a tail of aligned stores, each half as large.
asm(R"(
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
  leaq -1(%rdi,%rdx), %r8
  andq $-64, %r8
  cmpq %r8, %rdi
  jae 50f
  movq %r8, %rcx
  subq %rdi, %rcx
  subq %rcx, %rdx
  testb $15, %dil
  je 20f
  testb $1, %dil
  je 11f
  movzbl (%rsi), %r9d
  movb %r9b, (%rdi)
  incq %rsi
  incq %rdi
11:
  testb $2, %dil
  je 12f
  movzwl (%rsi), %r9d
  movw %r9w, (%rdi)
  addq $2, %rsi
  addq $2, %rdi
12:
  testb $4, %dil
  je 13f
  movl (%rsi), %r9d
  movl %r9d, (%rdi)
  addq $4, %rsi
  addq $4, %rdi
13:
  testb $8, %dil
  je 20f
  movq (%rsi), %r9
  movq %r9, (%rdi)
  addq $8, %rsi
  addq $8, %rdi
20:
  testb $16, %dil
  je 21f
  movups (%rsi), %xmm0
  movaps %xmm0, (%rdi)
  addq $16, %rsi
  addq $16, %rdi
21:
  testb $32, %dil
  je 30f
  movups (%rsi), %xmm0
  movups 16(%rsi), %xmm1
  movaps %xmm0, (%rdi)
  movaps %xmm1, 16(%rdi)
  addq $32, %rsi
  addq $32, %rdi
30:
  movq %r8, %rcx
  subq %rdi, %rcx
  je 50f
  cmpq $256, %rcx
  jb 40f
  cmpb $0, soft_wide_moves(%rip)
  jne 100f
40:
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
  cmpq %r8, %rdi
  jb 40b
50:
  testb $15, %dil
  je 60f
  testb $1, %dil
  je 51f
  movzbl (%rsi), %r9d
  movb %r9b, (%rdi)
  incq %rsi
  incq %rdi
  decq %rdx
51:
  testb $2, %dil
  je 52f
  cmpq $2, %rdx
  jb 80f
  movzwl (%rsi), %r9d
  movw %r9w, (%rdi)
  addq $2, %rsi
  addq $2, %rdi
  subq $2, %rdx
52:
  testb $4, %dil
  je 53f
  cmpq $4, %rdx
  jb 80f
  movl (%rsi), %r9d
  movl %r9d, (%rdi)
  addq $4, %rsi
  addq $4, %rdi
  subq $4, %rdx
53:
  testb $8, %dil
  je 60f
  cmpq $8, %rdx
  jb 80f
  movq (%rsi), %r9
  movq %r9, (%rdi)
  addq $8, %rsi
  addq $8, %rdi
  subq $8, %rdx
60:
  cmpb $0, soft_whole_moves(%rip)
  je 70f
61:
  subq $16, %rdx
  jb 62f
  movups (%rsi), %xmm0
  movaps %xmm0, (%rdi)
  addq $16, %rsi
  addq $16, %rdi
  jmp 61b
62:
  addq $16, %rdx
70:
  subq $8, %rdx
  jb 71f
  movq (%rsi), %r9
  movq %r9, (%rdi)
  addq $8, %rsi
  addq $8, %rdi
  jmp 70b
71:
  addq $8, %rdx
80:
  testb $4, %dl
  je 81f
  movl (%rsi), %r9d
  movl %r9d, (%rdi)
  addq $4, %rsi
  addq $4, %rdi
81:
  testb $2, %dl
  je 82f
  movzwl (%rsi), %r9d
  movw %r9w, (%rdi)
  addq $2, %rsi
  addq $2, %rdi
82:
  testb $1, %dl
  je 90f
  movzbl (%rsi), %r9d
  movb %r9b, (%rdi)
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

// guardedLand(), as above. The last line is stored by releases alone.
asm(R"(
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
  ldrb w3, [x1], #1
  strb w3, [x9], #1
11:
  tbz x9, #1, 12f
  ldrh w3, [x1], #2
  strh w3, [x9], #2
12:
  tbz x9, #2, 13f
  ldr w3, [x1], #4
  str w3, [x9], #4
13:
  tbz x9, #3, 20f
  ldr x3, [x1], #8
  str x3, [x9], #8
20:
  tbz x9, #4, 21f
  ldr q0, [x1], #16
  str q0, [x9], #16
21:
  tbz x9, #5, 30f
  ldp q0, q1, [x1], #32
  stp q0, q1, [x9], #32
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
  tbz x9, #0, 51f
  ldrb w3, [x1], #1
  stlrb w3, [x9]
  add x9, x9, #1
  sub x2, x2, #1
51:
  tbz x9, #1, 52f
  cmp x2, #2
  b.lo 80f
  ldrh w3, [x1], #2
  stlrh w3, [x9]
  add x9, x9, #2
  sub x2, x2, #2
52:
  tbz x9, #2, 70f
  cmp x2, #4
  b.lo 80f
  ldr w3, [x1], #4
  stlr w3, [x9]
  add x9, x9, #4
  sub x2, x2, #4
70:
  cmp x2, #8
  b.lo 80f
  ldr x3, [x1], #8
  stlr x3, [x9]
  add x9, x9, #8
  sub x2, x2, #8
  b 70b
80:
  tbz x2, #2, 81f
  ldr w3, [x1], #4
  stlr w3, [x9]
  add x9, x9, #4
81:
  tbz x2, #1, 82f
  ldrh w3, [x1], #2
  stlrh w3, [x9]
  add x9, x9, #2
82:
  tbz x2, #0, 90f
  ldrb w3, [x1]
  stlrb w3, [x9]
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
)");
#endif
