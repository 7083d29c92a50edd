//! Tables and properties of the control data reader.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Vec<Vec<(String, String)>>, String> {
    let own = |stanza: Stanza| stanza.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Stanzas::new(text.as_bytes()).map(|stanza| stanza.map(own).map_err(|error| error.to_string())).collect()
}

#[test]
fn stanzas_with_continuations_are_read() {
    let text =
        "\n \nPackage: a\nDescription: short\n long\n .\n more\nSize:1\n\n\nPackage:  b \t\nEmpty:\nFolded:\n x\n\ty\n";
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    assert_eq!(
        read(text).unwrap(),
        [
            pairs(&[("Package", "a"), ("Description", "short\n long\n .\n more"), ("Size", "1")]),
            pairs(&[("Package", "b"), ("Empty", ""), ("Folded", "\n x\n\ty")]),
        ]
    );
}

#[test]
fn malformed_texts_are_refused_with_their_line() {
    let many: String = (0..=STANZA_FIELDS).map(|n| format!("F{n}: x\n")).collect();
    let cases = [
        (" x\n", "line 1: a line begins with a space, but there is no field to continue"),
        ("A: b\nnonsense\n", "line 2: `nonsense` is no `Field: value` line"),
        ("A: b\nB: 1\na: c\n", "line 3: the field `a` is there twice"),
        ("A: b\r\n", "line 1: `A: b\\r` is no `Field: value` line"),
        ("# comment: x\n", "line 1: `# comment: x` is no `Field: value` line"),
        (": x\n", "line 1: `: x` is no `Field: value` line"),
        ("-----BEGIN: x\n", "line 1: `-----BEGIN: x` is no `Field: value` line"),
        (&many, "line 257: there are more than 256 fields"),
    ];
    for (text, message) in cases {
        assert_eq!(read(text).unwrap_err(), message, "{text:?}");
    }
    assert_eq!(
        Stanzas::new(b"A: b\nB: \xff\n").next().unwrap().unwrap_err().to_string(),
        "line 2: the text is not UTF-8"
    );
}

#[test]
fn single_wants_exactly_one_stanza() {
    assert_eq!(single(b"Package: a\n\n").unwrap().get("package"), Some("a"));
    for (text, found) in [("", 0), ("\n\n", 0), ("A: b\n\nA: c\n", 2)] {
        assert_eq!(single(text.as_bytes()).unwrap_err().problem, Problem::NotOne(found), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Stanzas::new(&bytes).count();
    }

    #[test]
    fn written_fields_are_read_back(
        fields in proptest::collection::btree_map("[A-Z][a-z0-9-]{0,12}", "[!-~]([ -~]{0,20}[!-~])?(\n [!-~]{1,9}){0,2}", 1..12)
    ) {
        let text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let stanza = single(text.as_bytes()).unwrap();
        let read: std::collections::BTreeMap<String, String> =
            stanza.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // Names that differ only in case cannot come from the generator: the first letter alone is upper case.
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn mutated_texts_never_panic(at in 0_usize..60, byte in any::<u8>()) {
        let mut text = b"Package: a\nDepends: b (>= 1), c\n | d\nDescription: e\n f\n\nPackage: g\n".to_vec();
        let at = at % text.len();
        text[at] = byte;
        let _ = Stanzas::new(&text).count();
    }
}
