//! The lab's frames, compiled from their own files: nobody outside of the lab is to use them.

#[path = "lab_network.rs"]
pub(crate) mod network;
