//! What the machine says of itself while it forms: one line each, on the console and in the journal.

/// Says it. STAGE is one of `seed`, `refused`, `role`, `ready`, `waiting`, `failed`.
pub(crate) fn say(stage: &str, text: &str) {
    println!("imgbuild-node: [{stage}] {}", plain(text));
}

/// Text of others without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_of_others_cannot_move_the_cursor() {
        assert_eq!(super::plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
