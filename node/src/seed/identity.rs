//! Which network cards this machine has, by the addresses that they were made with.

use crate::places::Places;
use std::collections::BTreeSet;
use std::fs;

/// Their addresses, lower case. A card that is part of a bond shows the bond's address and keeps its own beside it.
pub(crate) fn macs(places: &Places) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(places.at("sys/class/net")).into_iter().flatten().flatten() {
        let folder = entry.path();
        // Bridges, VLANs and bonds are made by whoever configures the machine: their addresses prove nothing.
        if !folder.join("device").exists() {
            continue;
        }
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let address = text("bonding_slave/perm_hwaddr").or_else(|| text("address"));
        found.extend(address.map(|text| text.trim().to_ascii_lowercase()).filter(|text| text.len() == 17));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_count_by_their_own_address_and_virtual_ones_do_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join("sys/class/net").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("lan0/device/vendor", "");
        write("lan0/address", "52:54:00:00:04:0B\n");
        write("port1/device/vendor", "");
        write("port1/address", "52:54:00:00:04:99\n");
        write("port1/bonding_slave/perm_hwaddr", "52:54:00:00:04:0c\n");
        write("bond0/address", "52:54:00:00:04:99\n");
        let found = macs(&Places::new(root.path()));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["52:54:00:00:04:0b", "52:54:00:00:04:0c"]);
    }
}
