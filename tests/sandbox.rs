//! The sandbox as it is used: workers, commands in roots, mounts, and what must not be possible in there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "sandbox_cases/calls.rs"]
mod calls;
#[path = "sandbox_cases/commands.rs"]
mod commands;
#[path = "sandbox_cases/escapes.rs"]
mod escapes;
#[path = "sandbox_harness/mod.rs"]
mod harness;
#[path = "sandbox_cases/limits.rs"]
mod limits;
#[path = "sandbox_cases/mounts.rs"]
mod mounts;
#[path = "sandbox_cases/workers.rs"]
mod workers;

use harness::{Case, inside, outside};
use imgbuild::sandbox::Job;
use std::process::ExitCode;

const CASES: &[Case] = &[
    inside("command_by_itself_has_a_root_of_its_own", commands::has_a_root_of_its_own),
    inside("command_that_ends_is_reported_exactly", commands::is_reported_exactly),
    inside("command_that_reads_is_fed", commands::is_fed),
    inside("command_that_talks_much_is_heard_within_limits", commands::is_heard_within_limits),
    inside("command_that_leaves_processes_is_followed_by_none", commands::leaves_no_processes),
    inside("command_that_was_dropped_ends", commands::dropped_ends),
    inside("command_with_binds_sees_what_is_shown", commands::sees_what_is_shown),
    inside("command_in_a_tools_root_cannot_write", commands::tools_root_is_read_only),
    inside("command_without_a_grant_has_no_network", commands::has_no_network),
    inside("command_that_is_missing_is_an_error", commands::missing_is_an_error),
    inside("command_with_the_terminal_is_reported", commands::interact_is_reported),
    inside("commands_side_by_side_do_not_mix", commands::side_by_side),
    inside("command_costs_milliseconds", commands::costs_milliseconds),
    inside("ids_of_a_root_are_all_there", workers::ids_are_all_there),
    inside("escape_by_privileges_fails", escapes::by_privileges),
    inside("escape_by_proc_fails", escapes::by_proc),
    inside("escape_by_links_in_the_root_fails", escapes::by_links),
    inside("escape_by_further_namespaces_fails", escapes::by_namespaces),
    inside("program_that_hangs_is_ended", limits::hanging_is_ended),
    inside("program_whose_steps_take_long_together_goes_on", limits::steps_begin_time_anew),
    inside("program_that_multiplies_is_ended", limits::multiplying_is_ended),
    inside("program_that_talks_for_ever_is_ended", limits::talking_for_ever_is_ended),
    inside("calls_that_are_forbidden_are_refused", calls::forbidden_are_refused),
    inside("calls_that_are_needed_are_allowed", calls::needed_are_allowed),
    inside("calls_of_other_processors_are_refused", calls::other_processors_are_refused),
    inside("escape_to_the_network_fails", escapes::by_network),
    inside("escape_by_inherited_descriptors_fails", escapes::by_descriptors),
    inside("escape_by_signals_fails", escapes::by_signals),
    inside("escape_by_setuid_files_fails", escapes::by_setuid),
    inside("escape_by_a_terminal_fails", escapes::by_terminal),
    inside("escape_by_mounts_fails", escapes::by_mounts),
    inside("escape_into_what_is_collected_fails", escapes::by_collecting),
    inside("overlay_behaves_like_a_folder", mounts::overlay_behaves),
    outside("mounts_of_a_worker_vanish_with_it", mounts::vanish),
    outside("worker_that_fails_says_why", workers::says_why),
    outside("worker_that_is_killed_is_reported", workers::killed_is_reported),
    outside("worker_that_talks_without_a_pause_is_interrupted", workers::talking_is_interrupted),
    outside("worker_reports_in_order", workers::reports_in_order),
    outside("worker_with_a_single_id_runs_commands", workers::single_id),
    outside("worker_whose_builder_is_killed_leaves_nothing", workers::leaves_nothing),
    outside("worker_without_subordinate_ids_is_refused_with_the_remedy", workers::without_subordinate_ids),
    outside("worker_in_a_chroot_is_refused_with_the_remedy", workers::in_a_chroot),
    outside("worker_under_a_filter_is_refused_with_the_remedy", workers::under_a_filter),
    outside("worker_without_namespaces_is_refused_with_the_remedy", workers::without_namespaces),
];

const JOBS: &[(&str, Job)] = &[
    ("case", |request, _| harness::perform(CASES, request)),
    ("clean", harness::clean),
    ("mount", mounts::job),
    ("fail", workers::fail_job),
    ("panic", workers::panic_job),
    ("report", workers::report_job),
    ("single", workers::single_job),
    ("filtered", workers::filtered_job),
    ("hang", workers::hang_job),
    ("talk", workers::talk_job),
    ("nested", workers::nested_job),
];

fn main() -> ExitCode {
    if let Some(code) = imgbuild::sandbox::dispatch(JOBS) {
        return code;
    }
    workers::main_for_children().unwrap_or_else(|| harness::main(CASES))
}
