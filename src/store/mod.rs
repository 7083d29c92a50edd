//! The content-addressed cache: packages, layers, tools roots, locks between builds, pruning.
