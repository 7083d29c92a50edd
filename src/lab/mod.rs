//! Runs machines in QEMU: one now (`boot`), a whole cluster later.
