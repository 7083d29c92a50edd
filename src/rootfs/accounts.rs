//! Accounts: the root's own passwd and group files as tables, and the plan's accounts with fixed ids.

use super::root::Root;
use crate::base::limits::ROOT_TABLE_BYTES;
use crate::plan::{Group, User};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;

/// Names as numbers, by the root's own files.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Owners {
    /// Reads the root's passwd and group, or, before there are any, what base-passwd brings.
    pub(super) fn read(root: &Root) -> Result<Self> {
        let table = |path: &str, master: &str| -> Result<BTreeMap<String, u32>> {
            let mut text = root.read_text(path, ROOT_TABLE_BYTES)?;
            if text.is_empty() {
                text = root.read_text(master, ROOT_TABLE_BYTES)?;
            }
            Ok(ids(&text))
        };
        Ok(Self {
            users: table("etc/passwd", "usr/share/base-passwd/passwd.master")?,
            groups: table("etc/group", "usr/share/base-passwd/group.master")?,
        })
    }

    /// The number of a user's name, otherwise the number given beside it (as dpkg does for archive members).
    pub(super) fn user(&self, name: &[u8], number: u32) -> u32 {
        std::str::from_utf8(name).ok().and_then(|name| self.users.get(name)).copied().unwrap_or(number)
    }

    /// The number of a group's name, otherwise the number given beside it.
    pub(super) fn group(&self, name: &[u8], number: u32) -> u32 {
        std::str::from_utf8(name).ok().and_then(|name| self.groups.get(name)).copied().unwrap_or(number)
    }

    /// Owner and group that a document names, each by name or number.
    pub(super) fn pair(&self, owner: &str, group: &str) -> Result<(u32, u32)> {
        let one = |what: &str, name: &str, table: &BTreeMap<String, u32>| match table.get(name) {
            Some(id) => Ok(*id),
            None => name.parse().ok().with_context(|| format!("there is no {what} `{name}` in the root")),
        };
        Ok((one("user", owner, &self.users)?, one("group", group, &self.groups)?))
    }
}

fn ids(text: &str) -> BTreeMap<String, u32> {
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
    });
    rows.collect()
}

/// Writes accounts with fixed ids into the root, before any script could make them with others. What exists already
/// under that name must have that id; an id that another name has is refused.
pub(super) fn add(root: &Root, groups: &[Group], users: &[User]) -> Result<()> {
    for (path, master) in
        [("etc/passwd", "usr/share/base-passwd/passwd.master"), ("etc/group", "usr/share/base-passwd/group.master")]
    {
        if root.find(path.as_bytes())?.is_none()
            && let Some(bytes) = root.read(master, ROOT_TABLE_BYTES)?
        {
            root.write(path, &bytes, 0o644, (0, 0))?;
        }
    }
    if groups.is_empty() && users.is_empty() {
        return Ok(());
    }
    let mut group = Table::read(root, "etc/group", 3)?;
    for wanted in groups {
        group.account(&wanted.name, wanted.gid, &[wanted.name.as_str(), "x", &wanted.gid.to_string(), ""])?;
    }
    let gids = ids(&group.text());
    let mut passwd = Table::read(root, "etc/passwd", 6)?;
    for user in users {
        let gid = gids.get(&user.group).copied().or_else(|| user.group.parse().ok());
        let gid =
            gid.with_context(|| format!("user `{}` has the group `{}`, which does not exist", user.name, user.group))?;
        let (uid, gid) = (user.uid.to_string(), gid.to_string());
        let row = [user.name.as_str(), "x", &uid, &gid, &user.comment, &user.home, &user.shell];
        passwd.account(&user.name, user.uid, &row)?;
        for name in &user.groups {
            group.member(name, &user.name)?;
        }
    }
    root.write("etc/group", group.text().as_bytes(), 0o644, (0, 0))?;
    root.write("etc/passwd", passwd.text().as_bytes(), 0o644, (0, 0))?;
    shadows(root, &gids, groups, users)
}

/// Adds rows to shadow and gshadow where these exist already; before that, `shadowconfig` makes them of all accounts.
fn shadows(root: &Root, gids: &BTreeMap<String, u32>, groups: &[Group], users: &[User]) -> Result<()> {
    let owner = (0, gids.get("shadow").copied().unwrap_or(0));
    if root.find(b"etc/shadow")?.is_some() {
        let mut shadow = Table::read(root, "etc/shadow", 8)?;
        for user in users {
            shadow.row(&user.name, &[user.name.as_str(), "!", "", "", "", "", "", "", ""]);
        }
        root.write("etc/shadow", shadow.text().as_bytes(), 0o640, owner)?;
    }
    if root.find(b"etc/gshadow")?.is_some() {
        let mut gshadow = Table::read(root, "etc/gshadow", 3)?;
        for group in groups {
            gshadow.row(&group.name, &[group.name.as_str(), "!", "", ""]);
        }
        for user in users {
            for name in &user.groups {
                gshadow.member(name, &user.name)?;
            }
        }
        root.write("etc/gshadow", gshadow.text().as_bytes(), 0o640, owner)?;
    }
    Ok(())
}

/// Fixes the dates of the last password change in shadow: a build has no today.
pub(super) fn fix_dates(root: &Root, days: i64) -> Result<()> {
    let Some(found) = root.find(b"etc/shadow")? else { return Ok(()) };
    let mut shadow = Table::read(root, "etc/shadow", 8)?;
    for row in &mut shadow.rows {
        if let Some(date) = row.get_mut(2)
            && !date.is_empty()
        {
            *date = days.to_string();
        }
    }
    root.write("etc/shadow", shadow.text().as_bytes(), found.mode, (found.uid, found.gid))
}

/// A colon-separated file. Rows that are no rows (NIS marks, comments) stay as they are.
struct Table {
    path: &'static str,
    last: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(root: &Root, path: &'static str, last: usize) -> Result<Self> {
        let text = root.read_text(path, ROOT_TABLE_BYTES)?;
        let rows = text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect();
        Ok(Self { path, last, rows })
    }

    fn account(&mut self, name: &str, id: u32, row: &[&str]) -> Result<()> {
        let id_of = |row: &Vec<String>| row.get(2).and_then(|id| id.parse::<u32>().ok());
        if let Some(existing) = self.rows.iter().find(|row| row[0] == name) {
            let has = id_of(existing);
            if has != Some(id) {
                let has = has.map_or_else(|| "none".to_owned(), |has| has.to_string());
                bail!("`{name}` is to have the id {id}, but /{} gives it {has}", self.path);
            }
            return Ok(());
        }
        if let Some(other) = self.rows.iter().find(|row| id_of(row) == Some(id)) {
            bail!("`{name}` is to have the id {id}, which /{} gives to `{}`", self.path, other[0]);
        }
        self.row(name, row);
        Ok(())
    }

    fn row(&mut self, name: &str, row: &[&str]) {
        if !self.rows.iter().any(|existing| existing[0] == name) {
            self.rows.push(row.iter().map(|field| (*field).to_owned()).collect());
        }
    }

    fn member(&mut self, group: &str, user: &str) -> Result<()> {
        let (path, last) = (self.path, self.last);
        let row = self.rows.iter_mut().find(|row| row[0] == group);
        let field = row.and_then(|row| row.get_mut(last));
        let field =
            field.with_context(|| format!("`{user}` is to be in the group `{group}`, which is not in /{path}"))?;
        if !field.split(',').any(|member| member == user) {
            if !field.is_empty() {
                field.push(',');
            }
            field.push_str(user);
        }
        Ok(())
    }

    fn text(&self) -> String {
        self.rows.iter().map(|row| row.join(":") + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
        std::fs::write(folder.path().join("etc/group"), "root:x:0:\nsudo:x:27:\n").unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    fn user(uid: u32) -> User {
        let text = |text: &str| text.to_owned();
        User {
            name: text("etcd"),
            uid,
            group: text("etcd"),
            groups: vec![text("sudo")],
            home: text("/var/lib/etcd"),
            shell: text("/usr/sbin/nologin"),
            comment: String::new(),
        }
    }

    #[test]
    fn accounts_are_added_once_with_their_ids() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (folder, root) = fixture();
        let groups = [Group { name: "etcd".to_owned(), gid: 900 }];
        add(&root, &groups, &[user(901)]).unwrap();
        add(&root, &groups, &[user(901)]).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("etc/group"), "root:x:0:\nsudo:x:27:etcd\netcd:x:900:\n");
        assert_eq!(
            read("etc/passwd"),
            "root:x:0:0:root:/root:/bin/bash\netcd:x:901:900::/var/lib/etcd:/usr/sbin/nologin\n"
        );
        let owners = Owners::read(&root).unwrap();
        assert_eq!(owners.pair("etcd", "sudo").unwrap(), (901, 27));
        assert_eq!((owners.user(b"etcd", 5), owners.user(b"nobody", 5)), (901, 5));
    }

    #[test]
    fn ids_that_others_have_are_refused() {
        let (_folder, root) = fixture();
        let error = add(&root, &[Group { name: "etcd".to_owned(), gid: 27 }], &[]).unwrap_err();
        assert_eq!(error.to_string(), "`etcd` is to have the id 27, which /etc/group gives to `sudo`");
        let error = add(&root, &[Group { name: "sudo".to_owned(), gid: 28 }], &[]).unwrap_err();
        assert_eq!(error.to_string(), "`sudo` is to have the id 28, but /etc/group gives it 27");
    }
}
