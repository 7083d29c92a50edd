//! What was typed, then what is meant, then what is shown.
