//! Bytes and back: one folder per format, each with `layout`, `write`, `read`, `dump`.
