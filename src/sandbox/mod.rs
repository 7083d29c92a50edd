//! The only home of namespaces and of `unsafe`: a worker in its own user and mount namespaces, and roots to run commands in.
