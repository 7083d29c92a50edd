//! Whether an input came to the end of a law: for seeds, of which something is expected.

use std::cell::Cell;

thread_local! {
    static END: Cell<bool> = const { Cell::new(false) };
}

/// Begins anew.
pub fn forget() {
    END.set(false);
}

/// The input was accepted, and all that the law says was looked at.
pub(crate) fn the_end() {
    END.set(true);
}

/// Whether that was said since it began anew.
pub fn end() -> bool {
    END.get()
}
