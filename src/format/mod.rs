//! Bytes and back: one folder per format, each with `layout`, `write`, `read`, `dump`.

pub mod iso9660;
