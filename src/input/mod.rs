//! Loads documents: positions kept, every error of a file at once, nothing computed.
