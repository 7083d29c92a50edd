//! Accounts of an image: those that roles define, and those that they take from the recipe's catalogue.

use super::{Group, User};
use crate::input::{Fault, Located, Place, Recipe, Role, UserEntry, nearest};
use std::collections::BTreeMap;

/// Groups that Debian's base-passwd makes in every system.
const BASE_GROUPS: &[&str] = &[
    "root", "daemon", "bin", "sys", "adm", "tty", "disk", "lp", "mail", "news", "uucp", "man", "proxy", "kmem",
    "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip", "www-data", "backup", "operator",
    "list", "irc", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "games", "users", "nogroup",
];

/// An account by name: where it is defined, by whom.
#[derive(Clone, Debug)]
struct Defined<T> {
    place: Place,
    by: String,
    value: T,
}

/// All accounts of one layer.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    groups: BTreeMap<String, Defined<u32>>,
    users: BTreeMap<String, Defined<UserEntry>>,
}

impl Accounts {
    /// Those that the recipe itself defines (its catalogue is taken from by roles only).
    pub(super) fn of_recipe(recipe: &Recipe, faults: &mut Vec<Fault>) -> Self {
        let mut accounts = Self::default();
        let by = format!("the recipe `{}`", recipe.name);
        accounts.define(&recipe.content.accounts.groups, &recipe.content.accounts.users, &by, faults);
        accounts.check(faults);
        catalogue(recipe, faults);
        accounts
    }

    /// Those that roles add to the recipe's.
    pub(super) fn of_roles(recipe: &Recipe, roles: &[Role], faults: &mut Vec<Fault>) -> Self {
        let mut accounts = Self::default();
        // What the recipe defines is known to the roles' checks, but is not theirs to make.
        let mut all = Self::of_recipe(recipe, &mut Vec::new());
        for role in roles {
            let by = format!("the role `{}`", role.name);
            let given = &role.content.accounts;
            // Both take the same; the larger set sees every clash, so only its faults count.
            for (added, faults) in [(&mut accounts, &mut Vec::new()), (&mut all, &mut *faults)] {
                added.define(&given.groups, &given.users, &by, faults);
                for name in &given.taken {
                    added.take(recipe, name, faults);
                }
            }
        }
        all.check(faults);
        accounts
    }

    fn define(
        &mut self,
        groups: &BTreeMap<String, Located<u32>>,
        users: &BTreeMap<String, Located<UserEntry>>,
        by: &str,
        faults: &mut Vec<Fault>,
    ) {
        for (name, gid) in groups {
            let defined = Defined { place: gid.place, by: by.to_owned(), value: gid.value };
            add(&mut self.groups, "group", name, defined, faults);
        }
        for (name, user) in users {
            let defined = Defined { place: user.place, by: by.to_owned(), value: user.value.clone() };
            add(&mut self.users, "user", name, defined, faults);
        }
    }

    fn take(&mut self, recipe: &Recipe, wanted: &Located<String>, faults: &mut Vec<Fault>) {
        let catalogue = &recipe.catalogue;
        let name = &wanted.value;
        let user = catalogue.users.get(name);
        if user.is_none() && !catalogue.groups.contains_key(name) {
            let known: Vec<&str> = catalogue.users.keys().chain(catalogue.groups.keys()).map(String::as_str).collect();
            let message = format!("the recipe `{}` has no account `{name}` in its catalogue", recipe.name);
            let fault = Fault::new(wanted.place, message).suggest(nearest(name, known.iter().copied()));
            faults.push(fault.hint("add it to the recipe's `accounts`, or define it under the role's `users`"));
            return;
        }
        let by = "the recipe's catalogue".to_owned();
        let mut groups: Vec<&String> = vec![name];
        if let Some(user) = user {
            groups.push(&user.value.group);
            groups.extend(&user.value.groups);
            let defined = Defined { place: user.place, by: by.clone(), value: user.value.clone() };
            add(&mut self.users, "user", name, defined, faults);
        }
        for group in groups {
            if let Some(gid) = catalogue.groups.get(group) {
                let defined = Defined { place: gid.place, by: by.to_owned(), value: gid.value };
                add(&mut self.groups, "group", group, defined, faults);
            }
        }
    }

    /// Ids are used once, and groups exist.
    fn check(&self, faults: &mut Vec<Fault>) {
        unique("gid", self.groups.iter().map(|(name, group)| (name, group.value, group.place)), faults);
        unique("uid", self.users.iter().map(|(name, user)| (name, user.value.uid, user.place)), faults);
        for (name, user) in &self.users {
            for group in std::iter::once(&user.value.group).chain(&user.value.groups) {
                if self.groups.contains_key(group) || BASE_GROUPS.contains(&group.as_str()) {
                    continue;
                }
                let known = self.groups.keys().map(String::as_str).chain(BASE_GROUPS.iter().copied());
                let message = format!("the user `{name}` belongs to the group `{group}`, which nobody defines");
                let fault = Fault::new(user.place, message).suggest(nearest(group, known));
                faults.push(fault.hint(format!("define it: `groups: {{{group}: {}}}`", user.value.uid)));
            }
        }
    }

    /// As the plan lists them, by name.
    pub(super) fn values(self) -> (Vec<Group>, Vec<User>) {
        let groups = self.groups.into_iter().map(|(name, group)| Group { name, gid: group.value }).collect();
        let user = |(name, user): (String, Defined<UserEntry>)| {
            let UserEntry { uid, group, groups, home, shell, comment } = user.value;
            User { name, uid, group, groups, home, shell, comment }
        };
        (groups, self.users.into_iter().map(user).collect())
    }
}

/// The whole catalogue has no id twice: roles combine.
fn catalogue(recipe: &Recipe, faults: &mut Vec<Fault>) {
    let mut all = Accounts::default();
    let by = format!("the recipe `{}`", recipe.name);
    all.define(&recipe.content.accounts.groups, &recipe.content.accounts.users, &by, faults);
    all.define(&recipe.catalogue.groups, &recipe.catalogue.users, &by, faults);
    all.check(faults);
}

fn add<T: PartialEq>(
    all: &mut BTreeMap<String, Defined<T>>,
    noun: &str,
    name: &str,
    defined: Defined<T>,
    faults: &mut Vec<Fault>,
) {
    match all.get(name) {
        Some(earlier) if earlier.value != defined.value => {
            let message = format!("the {noun} `{name}` is defined differently by {} and {}", earlier.by, defined.by);
            let fault = Fault::new(defined.place, message).or(earlier.place);
            faults.push(fault.hint("give it the same id and fields in both, or take it from the recipe's catalogue"));
        }
        Some(_) => {}
        None => {
            all.insert(name.to_owned(), defined);
        }
    }
}

fn unique<'a>(noun: &str, ids: impl Iterator<Item = (&'a String, u32, Place)>, faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<u32, (&String, Place)> = BTreeMap::new();
    for (name, id, place) in ids {
        if let Some((other, earlier)) = seen.insert(id, (name, place)) {
            let fault = Fault::new(place, format!("the {noun} {id} is given to `{other}` and to `{name}`")).or(earlier);
            faults.push(fault.hint("an id belongs to one account: choose another one"));
        }
    }
}
