# The probe guest of kvm.rs: from the reset vector to 64-bit mode, some work, and out.
#
#   as -o probe.o kvm_probe.s && ld -Ttext 0 -e 0 --oformat binary -o probe.bin probe.o
#
# gives PROGRAM, which lies in the last KiB of a ROM that ends at 4 GiB. The work is what half-working accelerators
# fail at: a loop that takes for ever when every instruction is emulated, and instructions that emulators lack.
        .set    BASE, 0xfffffc00
        .text
        .code16
start:
        cli
        lgdtl   %cs:(gdtr + 0xfc00)
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $(BASE + protected)
        .code32
protected:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x8000, %esp
        # Page tables in RAM, which starts as zeros: the first 2 MiB and the last 2 MiB below 4 GiB.
        movl    $0x2003, 0x1000
        movl    $0x3003, 0x2000
        movl    $0x4003, 0x2018
        movl    $0x00000083, 0x3000
        movl    $0xffe00083, 0x4ff8
        movl    $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $0x1000, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       # EFER.LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    $0x80000023, %eax       # paging, numeric errors, monitor coprocessor, protection
        movl    %eax, %cr0
        ljmpl   $24, $(BASE + long)
        .code64
long:
        movl    $30000000, %ecx
1:      decl    %ecx
        jnz     1b
        movups  0x8000, %xmm0
        paddd   %xmm0, %xmm0
        movups  %xmm0, 0x8010
        xorl    %eax, %eax
        xorl    %edx, %edx
        lock cmpxchg16b 0x8020
        movl    $7, %eax
        xorl    %ecx, %ecx
        cpuid
        btl     $8, %ebx                # BMI2, which kernels compiled for newer processors use early
        jnc     2f
        movl    $3, %ecx
        shlxq   %rcx, %rax, %rdx
2:      movb    $0x2a, %al
        outb    %al, $0xf4
3:      hlt
        jmp     3b
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 32-bit code
        .quad   0x00cf93000000ffff      # data
        .quad   0x00af9b000000ffff      # 64-bit code
gdtr:   .word   31
        .long   BASE + gdt
        .org    0x3f0
reset:
        .code16
        jmp     start
        .org    0x400
