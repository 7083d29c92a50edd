//! Checks of single texts: names, paths, packages, units. Each says what is wrong and what would be right.

use super::decode::Refusal;

type Checked = Result<String, Refusal>;

/// A recipe's, role's or parameter's name.
pub(crate) fn name(text: &str) -> Checked {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts && text.len() <= 63 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no name"))
        .hint("names begin with a lower-case letter or a digit and go on with letters, digits, `-`, `_` or `.`"))
}

/// A package as it can be asked for: `name`, `name=version`, `name/suite`, `name:arch`.
pub(crate) fn package(text: &str) -> Checked {
    let split = text.find(['=', '/', ':']).unwrap_or(text.len());
    let (name, rest) = text.split_at(split);
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let printable = rest.chars().all(|c| c.is_ascii_graphic());
    if starts && name.len() >= 2 && name.len() <= 128 && name.chars().all(shape) && rest.len() != 1 && printable {
        return Ok(text.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let meant = (lower != text && package(&lower).is_ok()).then_some(lower);
    Err(Refusal::new(format!("`{text}` is no package name"))
        .suggest(meant)
        .hint("write `name`, `name=version`, `name/suite` or `name:architecture`, in lower case"))
}

/// An account's name.
pub(crate) fn account(text: &str) -> Checked {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if starts && text.len() <= 32 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no account name"))
        .hint("account names begin with a lower-case letter or `_` and have at most 32 letters, digits, `-` or `_`"))
}

/// A file's owner: an account's name or a number.
pub(crate) fn owner(text: &str) -> Checked {
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|id| id < 65_536) {
        return Ok(text.to_owned());
    }
    account(text)
}

/// An absolute path without `.`, `..`, doubled or trailing slashes.
pub(crate) fn path(text: &str) -> Checked {
    let refuse = |message: &str| Refusal::new(format!("the path `{text}` {message}"));
    if !text.starts_with('/') {
        return Err(refuse("is not absolute").suggest(Some(format!("/{text}"))));
    }
    if text.len() > 4000 || text.chars().any(char::is_control) {
        return Err(refuse("is longer than 4000 bytes or has control characters").hint("choose another one"));
    }
    if text.split('/').any(|part| part == ".." || part == ".") {
        return Err(refuse("has a component `.` or `..`").hint("write the path that is meant"));
    }
    if text != "/" && (text.ends_with('/') || text.contains("//")) {
        let tidy: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let tidy = format!("/{}", tidy.join("/"));
        return Err(refuse("has a slash too many").suggest(Some(tidy)));
    }
    if text.split('/').any(|part| part.len() > 255) {
        return Err(refuse("has a component longer than 255 bytes").hint("choose a shorter one"));
    }
    Ok(text.to_owned())
}

/// The path of something to be laid over the root.
pub(crate) fn overlay_path(text: &str) -> Checked {
    /// What the kernel, the boot or the builder fills: whatever lay there would be hidden or overwritten.
    const HIDDEN: &[&str] = &["/proc", "/sys", "/dev", "/run", "/tmp"];
    /// Links of merged /usr: a file written through them would replace the link with a folder.
    const LINKED: &[&str] = &["/bin", "/sbin", "/lib", "/lib64"];
    let path = path(text)?;
    let below = |folder: &&&str| path == **folder || path.starts_with(&format!("{folder}/"));
    if path == "/" {
        return Err(Refusal::new("the root folder itself cannot be laid over").hint("name what lies in it"));
    }
    if let Some(folder) = HIDDEN.iter().find(below) {
        let refusal = Refusal::new(format!("the path `{path}` lies in {folder}, which is empty at boot"));
        return Err(refusal.hint("make such files at boot, with systemd-tmpfiles (/usr/lib/tmpfiles.d)"));
    }
    if LINKED.iter().find(below).is_some() {
        let refusal = Refusal::new(format!("the path `{path}` leads through a link of the merged /usr"));
        return Err(refusal.suggest(Some(format!("/usr{path}"))));
    }
    Ok(path)
}

/// A path relative to the document's folder, staying below it.
pub(crate) fn relative_path(text: &str) -> Checked {
    let parts = || text.split('/');
    if text.is_empty() || text.starts_with('/') || parts().any(|part| matches!(part, "" | "." | "..")) {
        let refusal = Refusal::new(format!("`{text}` is no path below the role's folder"));
        return Err(refusal.hint("write it relative to the folder of role.yaml, without `.` or `..`"));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::new("the path has control characters").hint("rename the file"));
    }
    Ok(text.to_owned())
}

/// A systemd unit's full name.
pub(crate) fn unit(text: &str) -> Checked {
    const KINDS: &[&str] =
        &["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice", "scope"];
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.is_empty() || text.len() > 255 || !text.chars().all(shape) {
        return Err(Refusal::new(format!("`{text}` is no unit name")).hint("write its full name: `haproxy.service`"));
    }
    match text.rsplit_once('.') {
        Some((stem, kind)) if !stem.is_empty() && KINDS.contains(&kind) => Ok(text.to_owned()),
        _ => Err(Refusal::new(format!("the unit `{text}` lacks its kind")).suggest(Some(format!("{text}.service")))),
    }
}

/// A kernel module's name.
pub(crate) fn module(text: &str) -> Checked {
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no module name"))
        .hint("options of a module belong into a file below /etc/modprobe.d"))
}

/// One argument of the kernel's command line.
pub(crate) fn kernel_argument(text: &str) -> Checked {
    if text.is_empty()
        || text.len() > 512
        || !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`' | '$'))
    {
        return Err(Refusal::new(format!("`{text}` is no single kernel argument"))
            .hint("write one argument per list item, without blanks, quotes, `$` or backslashes"));
    }
    if let Some(key) = ["root", "ro", "rw"].into_iter().find(|key| text == *key || text.starts_with(&format!("{key}=")))
    {
        let refusal = Refusal::new(format!("`{key}` is given by the disk layout and cannot be an argument"));
        return Err(refusal.hint("leave it out: the root volume is mounted by its name"));
    }
    Ok(text.to_owned())
}

/// A sysctl's key.
pub(crate) fn sysctl(text: &str) -> Checked {
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '*');
    if text.contains(['.', '/']) && text.len() <= 255 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no sysctl")).hint("write its full key, such as `net.ipv4.ip_forward`"))
}

/// A volume's or volume group's name.
pub(crate) fn volume(text: &str) -> Checked {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && text.len() <= 32 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no volume name"))
        .hint("at most 32 lower-case letters, digits or `_`: `-` is doubled in /dev/mapper and in GRUB's names"))
}

/// An http or https address.
pub(crate) fn url(text: &str) -> Checked {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let clean = text.len() <= 2000 && text.chars().all(|c| c.is_ascii_graphic());
    let host = rest.map(|rest| rest.split('/').next().unwrap_or("")).unwrap_or("");
    if host.contains('@') {
        return Err(Refusal::new("the address carries a user name or password")
            .hide()
            .hint("put credentials into ~/.netrc or /etc/apt/auth.conf: documents and locks are published"));
    }
    if clean && !host.is_empty() {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no address")).hint("write a whole one: https://host/path"))
}

/// Words of options or components: no blanks, no commas at the ends.
pub(crate) fn word(text: &str) -> Checked {
    if !text.is_empty() && text.len() <= 512 && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is not one word of printable ASCII")).hint("write it without blanks"))
}

/// A line of text.
pub(crate) fn line(text: &str) -> Checked {
    if text.len() <= 4000 && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new("the text is not a single line").hint("leave line breaks and control characters out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_wanted_shape_are_taken() {
        type Check = fn(&str) -> Checked;
        let cases: &[(Check, &[&str])] = &[
            (package, &["haproxy", "libc6:amd64", "kubelet=1.36.1-1.1", "etcd-server/trixie-backports", "g++-14"]),
            (overlay_path, &["/etc/hosts", "/usr/lib/systemd/system/x@.service", "/binary"]),
            (unit, &["haproxy.service", "etcd@a.service", "dm-event.socket"]),
            (kernel_argument, &["console=ttyS0,115200n8", "quiet", "rootwait", "rodata=on"]),
            (owner, &["root", "_chrony", "611"]),
            (url, &["https://mirror.example/debian", "http://127.0.0.1:8080/x?y=z"]),
        ];
        for (check, texts) in cases {
            for text in *texts {
                assert!(check(text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn texts_of_another_shape_are_refused() {
        type Check = fn(&str) -> Checked;
        let cases: &[(Check, &[&str])] = &[
            (package, &["", "a", "Haproxy", "ha proxy", "haproxy=", "-x", "--force"]),
            (overlay_path, &["etc/hosts", "/", "/etc/../x", "/etc//x", "/etc/", "/run/x", "/lib/x", "/proc"]),
            (unit, &["haproxy", "../x.service", ".service", "a b.service"]),
            (kernel_argument, &["a b", "root=/dev/sda", "ro", "x=\"y\"", "$(reboot)"]),
            (owner, &["Root", "70000", ""]),
            (relative_path, &["", "/x", "../x", "a//b", "a/./b"]),
            (url, &["mirror.example", "ftp://mirror.example", "https://", "https://user:secret@mirror.example/x"]),
            (volume, &["a-b", "Root", "0", ""]),
        ];
        for (check, texts) in cases {
            for text in *texts {
                assert!(check(text).is_err(), "{text}");
            }
        }
    }
}
