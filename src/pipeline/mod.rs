//! The only wiring: takes what was typed and walks through the rooms.
