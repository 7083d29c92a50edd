//! Reads `/usr/lib/imgbuild/grow.json`, which the builder wrote from the image's plan.

use serde_json::{Map, Value};

/// What the builder says about the volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The volume group's name.
    pub volume_group: String,
    /// Bytes that growing leaves free.
    pub reserve: u64,
    /// The volumes, in order of placement.
    pub volumes: Vec<Volume>,
}

/// One volume of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its name within the group.
    pub name: String,
    /// Its size in the image, in bytes.
    pub size: u64,
    /// Its share of the room beyond all sizes.
    pub weight: u32,
    /// Where growing stops, in bytes.
    pub maximum: Option<u64>,
    /// What it holds.
    pub filesystem: Filesystem,
    /// Where it is mounted.
    pub mount: String,
    /// Filesystem UUID for a volume formatted here.
    pub uuid: Option<String>,
    /// Filesystem label for a volume formatted here.
    pub label: Option<String>,
}

/// What a volume holds; the names are those of the builder's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filesystem {
    /// Made by the builder.
    Ext4,
    /// A swap signature.
    Swap,
    /// Empty until this machine formats it.
    Ext4AtFirstBoot,
    /// Empty until this machine formats it.
    XfsAtFirstBoot,
}

/// Reads the document; unknown keys are left to newer versions of this program.
pub(crate) fn parse(text: &str) -> Result<Config, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let top = value.as_object().ok_or("the document is not an object")?;
    let volumes = top.get("volumes").and_then(Value::as_array).ok_or("`volumes` is not a list")?;
    Ok(Config {
        volume_group: name(top, "volume_group")?,
        reserve: number(top, "reserve")?,
        volumes: volumes.iter().map(volume).collect::<Result<_, _>>()?,
    })
}

fn volume(value: &Value) -> Result<Volume, String> {
    let map = value.as_object().ok_or("a volume is not an object")?;
    let filesystem = match text(map, "filesystem")?.as_str() {
        "ext4" => Filesystem::Ext4,
        "swap" => Filesystem::Swap,
        "ext4-at-first-boot" => Filesystem::Ext4AtFirstBoot,
        "xfs-at-first-boot" => Filesystem::XfsAtFirstBoot,
        other => return Err(format!("`{other}` is no filesystem known here")),
    };
    Ok(Volume {
        name: name(map, "name")?,
        size: number(map, "size")?,
        weight: u32::try_from(number(map, "weight")?).map_err(|_| "`weight` exceeds 2^32 - 1")?,
        maximum: match map.get("maximum") {
            None | Some(Value::Null) => None,
            Some(_) => Some(number(map, "maximum")?),
        },
        filesystem,
        mount: text(map, "mount")?,
        uuid: map.get("uuid").and_then(Value::as_str).map(str::to_owned),
        label: map.get("label").and_then(Value::as_str).map(str::to_owned),
    })
}

fn text(map: &Map<String, Value>, key: &str) -> Result<String, String> {
    map.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("`{key}` is not a text"))
}

fn number(map: &Map<String, Value>, key: &str) -> Result<u64, String> {
    map.get(key).and_then(Value::as_u64).ok_or_else(|| format!("`{key}` is not a whole number"))
}

/// A name that LVM would accept too: it becomes part of a command line and of a path.
fn name(map: &Map<String, Value>, key: &str) -> Result<String, String> {
    let name = text(map, key)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '.' | '-');
    if name.is_empty() || name.len() > 127 || name.starts_with(['-', '.']) || !name.chars().all(allowed) {
        return Err(format!("`{name}` is no name of a volume or volume group"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"volume_group":"vg0","reserve":4194304,"volumes":[
        {"name":"root","size":8,"weight":3,"maximum":null,"filesystem":"ext4","mount":"/"},
        {"name":"data","size":9,"weight":1,"maximum":20,"filesystem":"xfs-at-first-boot","mount":"/srv","uuid":"u"}]}"#;

    #[test]
    fn configuration_of_the_builder_is_read() {
        let config = parse(GOOD).unwrap();
        assert_eq!((config.volume_group.as_str(), config.reserve), ("vg0", 4_194_304));
        assert_eq!(config.volumes[0].maximum, None);
        assert_eq!(config.volumes[1].maximum, Some(20));
        assert_eq!(config.volumes[1].filesystem, Filesystem::XfsAtFirstBoot);
        assert_eq!(config.volumes[1].uuid.as_deref(), Some("u"));
    }

    #[test]
    fn configuration_that_is_damaged_is_refused() {
        let cases = [
            (GOOD.replace("\"vg0\"", "\"../x\""), "`../x` is no name of a volume or volume group"),
            (GOOD.replace("\"root\"", "\"-r\""), "`-r` is no name of a volume or volume group"),
            (GOOD.replace("4194304", "-1"), "`reserve` is not a whole number"),
            (GOOD.replace("\"ext4\"", "\"zfs\""), "`zfs` is no filesystem known here"),
            (GOOD.replace("\"volumes\"", "\"v\""), "`volumes` is not a list"),
            ("[]".to_owned(), "the document is not an object"),
        ];
        for (text, message) in cases {
            assert_eq!(parse(&text), Err(message.to_owned()));
        }
        assert!(parse("{").is_err());
    }
}
