//! A root with tools of ours, which is only ever read.

use super::command::{Access, Command};
use std::ffi::OsStr;
use std::path::PathBuf;

/// An unpacked, never configured root from which tools such as `grub-mkimage` are run.
#[derive(Clone, Debug)]
pub struct ToolRoot {
    /// The folder that is `/` for the tools.
    pub root: PathBuf,
}

impl ToolRoot {
    /// A tool of this root: the root is read-only and there is no network. Show it its files below /run or /tmp.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(&self.root, program).root_access(Access::ReadOnly)
    }
}
