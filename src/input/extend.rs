//! One document laid over another: it changes only what it names.
//!
//! Mappings are merged key by key, and a key without a value takes out what was there. Lists go on where the other
//! ended, and an item `-name` takes `name` out. Everything else replaces.

use super::decode::Report;
use super::problem::Fault;
use super::yaml::{Node, Value};

/// Lays `over` on `base`.
pub(crate) fn extend(report: &Report, base: Node, over: Node) -> Node {
    let place = over.place;
    match (base.value, over.value) {
        (Value::Map(mut entries), Value::Map(changes)) => {
            for (key, change) in changes {
                match entries.iter().position(|(earlier, _)| earlier.text == key.text) {
                    Some(at) if change.value == Value::Empty => {
                        entries.remove(at);
                    }
                    Some(at) => {
                        let (_, earlier) = entries.remove(at);
                        entries.insert(at, (key, extend(report, earlier, change)));
                    }
                    None => entries.push((key, change)),
                }
            }
            Node { place, value: Value::Map(entries) }
        }
        (Value::List(mut items), Value::List(changes)) => {
            for change in changes {
                match taken_out(&change) {
                    Some(name) => {
                        let before = items.len();
                        items.retain(|item| !matches!(&item.value, Value::Text { text, .. } if *text == name));
                        if items.len() == before {
                            let message = format!("there is no `{name}` to take out of the list that this one extends");
                            report.add(Fault::new(change.place, message).hint("leave the item out"));
                        }
                    }
                    None if items.iter().any(|item| item.value == change.value) => {}
                    None => items.push(change),
                }
            }
            Node { place, value: Value::List(items) }
        }
        (_, value) => Node { place, value },
    }
}

fn taken_out(item: &Node) -> Option<String> {
    match &item.value {
        Value::Text { text, .. } => text.strip_prefix('-').filter(|name| !name.is_empty()).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn texts(node: &Node, key: &str) -> Vec<String> {
        let Value::Map(entries) = &node.value else { panic!("no mapping") };
        let (_, node) = entries.iter().find(|(name, _)| name.text == key).unwrap();
        let Value::List(items) = &node.value else { panic!("no list") };
        let text = |item: &Node| match &item.value {
            Value::Text { text, .. } => text.clone(),
            _ => panic!("no text"),
        };
        items.iter().map(text).collect()
    }

    fn extended(base: &str, over: &str) -> (Node, Vec<Fault>) {
        let (mut faults, report) = (Vec::new(), Report::default());
        let base = parse(0, base, &mut faults).unwrap();
        let over = parse(1, over, &mut faults).unwrap();
        let node = extend(&report, base, over);
        (node, report.into_faults())
    }

    #[test]
    fn lists_go_on_and_items_are_taken_out() {
        let (node, faults) = extended("packages: [a, b]\n", "packages: [-a, c, b]\n");
        assert_eq!(texts(&node, "packages"), ["b", "c"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn taking_out_what_is_not_there_is_reported() {
        let (_, faults) = extended("packages: [a]\n", "packages: [-x]\n");
        assert!(faults[0].message.contains("no `x` to take out"));
        assert_eq!(faults[0].place.file, 1);
    }

    #[test]
    fn mappings_merge_and_empty_keys_take_out() {
        let (node, _) = extended("files:\n  /a: {mode: '1'}\n  /b: {mode: '2'}\n", "files:\n  /a:\n  /b: {owner: x}\n");
        let Value::Map(entries) = &node.value else { panic!("no mapping") };
        let Value::Map(files) = &entries[0].1.value else { panic!("no mapping") };
        assert_eq!(files.len(), 1);
        let Value::Map(keys) = &files[0].1.value else { panic!("no mapping") };
        let keys: Vec<&str> = keys.iter().map(|(key, _)| key.text.as_str()).collect();
        assert_eq!(keys, ["mode", "owner"]);
    }
}
