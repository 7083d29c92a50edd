//! A small signed archive made on the spot, and a server that can misbehave.

#![allow(dead_code, reason = "every test program uses a part of it")]

pub mod keys;
