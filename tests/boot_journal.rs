//! What the boot tests take for explained in a journal, without booting anything.

#[path = "boot/journal.rs"]
mod journal;

use journal::{EXPLAINED, unexplained};

#[test]
fn stalls_of_an_emulated_machine_are_explained() {
    let journal = "\
[  101.123456] kernel: rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[  101.123457] kernel: rcu: \t0-...!: (0 ticks this GP) idle=1234/0/0x0 softirq=1/1 fqs=0 (false positive?)
[  101.123458] kernel: rcu: \t(detected by 1, t=5252 jiffies, g=1, q=2 ncpus=2)
[  101.123459] kernel: rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies! g1 f0x0
[  101.123460] kernel: rcu: rcu_preempt kthread starved for 5252 jiffies! g1 f0x2
[  101.123461] kernel: rcu: RCU grace-period kthread stack dump:
[    0.004000] kernel: calibrate_delay_direct() failed to get a good estimate for loops_per_jiffy.
               Probably due to long platform interrupts.
-- No entries --

";
    assert_eq!(unexplained(journal, EXPLAINED), Vec::<&str>::new());
}

#[test]
fn anything_else_is_not() {
    let journal = "\
[   10.000000] kernel: rcu: Unless rcu_preempt kthread gets sufficient CPU time, OOM is now expected behavior.
[   10.000001] kernel: rcu: INFO: rcu_sched self-detected stall on CPU
[   10.000002] kernel: EXT4-fs error (device dm-0): see kernel: rcu: INFO: rcu_preempt self-detected stall on CPU
                  with more of it
[   10.000003] systemd[1]: Failed to start a.service.
kernel: Fast TSC calibration failed";
    assert_eq!(unexplained(journal, EXPLAINED), journal.lines().collect::<Vec<_>>());
}
