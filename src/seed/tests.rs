//! Seeds of the example clusters.
