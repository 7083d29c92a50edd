//! Which known word was probably meant.

/// The known word nearest to what was written, if it is near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    // A third of the word may be wrong, but never so much that any short word would do.
    let allowed = (length.max(3) / 3).min(4);
    let normal = normalise(written);
    known
        .into_iter()
        .filter(|word| *word != written)
        .filter_map(|word| {
            let begins = length >= 3 && word.starts_with(written);
            let distance = if begins || normalise(word) == normal { 0 } else { distance(written, word) };
            (distance <= allowed).then_some((distance, word))
        })
        .min_by_key(|(distance, word)| (*distance, word.len()))
        .map(|(_, word)| word)
}

fn normalise(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    /// Longer words are not worth the time: nobody mistypes them into a known one.
    const MAXIMUM: usize = 64;
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    if from.len() > MAXIMUM || to.len() > MAXIMUM {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (at, row) in rows.iter_mut().enumerate() {
        row[0] = at;
    }
    rows[0] = (0..=to.len()).collect();
    for a in 1..=from.len() {
        for b in 1..=to.len() {
            let changed = usize::from(from[a - 1] != to[b - 1]);
            let mut best = (rows[a - 1][b] + 1).min(rows[a][b - 1] + 1).min(rows[a - 1][b - 1] + changed);
            if a > 1 && b > 1 && from[a - 1] == to[b - 2] && from[a - 2] == to[b - 1] {
                best = best.min(rows[a - 2][b - 2] + 1);
            }
            rows[a][b] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_words_find_the_known_one() {
        let known = ["packages", "repositories", "units", "kernel_arguments", "disk"];
        let cases = [
            ("pakages", Some("packages")),
            ("package", Some("packages")),
            ("kernelArguments", Some("kernel_arguments")),
            ("kernel-arguments", Some("kernel_arguments")),
            ("untis", Some("units")),
            ("services", None),
            ("x", None),
            ("repo", Some("repositories")),
        ];
        for (written, wanted) in cases {
            assert_eq!(nearest(written, known), wanted, "{written}");
        }
    }
}
