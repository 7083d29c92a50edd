//! Every obstacle with its whole message.

use super::*;

/// An account without faults, also for tests of those who ask.
pub(crate) fn example() -> Account {
    let fine = |name: &str| Helper::Fine(PathBuf::from("/usr/bin").join(name));
    Account {
        uid: 1000,
        gid: 1000,
        name: Some("anna".to_owned()),
        grants: ["root:1:1\nanna:100000:65536\n".to_owned(), "anna:100000:65536\n".to_owned()],
        helpers: [fine("newuidmap"), fine("newgidmap")],
        no_new_privileges: false,
    }
}

/// An account without subordinate ids, and what is said of it.
pub(crate) fn example_without_ids() -> (Account, Obstacle) {
    let account = Account { grants: [String::new(), String::new()], ..example() };
    let obstacle = account.ids().unwrap_err();
    (account, obstacle)
}

fn said(obstacle: Obstacle) -> String {
    format!("{}\n{}", obstacle.sentence, obstacle.remedy)
}

#[test]
fn refused_namespaces_are_explained_by_what_forbids_them() {
    let fine = Surroundings { most: Some(1000), unprivileged: Some(1), apparmor: Some(0), ..Surroundings::default() };
    let container = "this environment allows no user namespaces\n\
         a chroot and many containers forbid them: build outside, or in a container started with \
         `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`";
    let cases: [(Surroundings, bool, &str); 9] = [
        (
            Surroundings { most: Some(0), ..fine.clone() },
            false,
            "this kernel allows no user namespaces\n`sudo sysctl -w user.max_user_namespaces=15000` allows it",
        ),
        (
            Surroundings { unprivileged: Some(0), ..fine.clone() },
            false,
            "this kernel forbids user namespaces to ordinary users\n\
             `sudo sysctl -w kernel.unprivileged_userns_clone=1` allows it",
        ),
        (
            Surroundings { apparmor: Some(1), ..fine.clone() },
            false,
            "this kernel restricts user namespaces of ordinary users by AppArmor\n\
             `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` allows it",
        ),
        (
            Surroundings { chroot: true, ..fine.clone() },
            false,
            "this process runs in a chroot, where the kernel allows no user namespaces\n\
             build outside of it, or enter it with `sudo systemd-nspawn --directory=DIR`, which is no chroot",
        ),
        (
            fine.clone(),
            true,
            "all user namespaces that this kernel allows are in use\n\
             `sudo sysctl -w user.max_user_namespaces=2000` allows more",
        ),
        (fine.clone(), false, container),
        (Surroundings::default(), false, container),
        // What concerns ordinary users alone does not explain what root may not do.
        (Surroundings { root: true, apparmor: Some(1), ..fine.clone() }, false, container),
        (
            Surroundings { root: true, most: Some(0), ..fine },
            false,
            "this kernel allows no user namespaces\n`sudo sysctl -w user.max_user_namespaces=15000` allows it",
        ),
    ];
    for (surroundings, full, expected) in cases {
        assert_eq!(said(surroundings.obstacle(full)), expected, "{surroundings:?}");
    }
}

#[test]
fn subordinate_ids_that_do_not_do_are_explained() {
    assert_eq!(example().ids(), Ok((65_536, 65_536)));
    assert_eq!(example().shared(), None);
    let cases: [(usize, &str, &str); 5] = [
        (
            0,
            "bob:100000:65536\n",
            "anna has 0 subordinate uids in /etc/subuid, and a root filesystem needs 65536\n\
             grant them: `sudo usermod --add-subuids 165536-231071 anna` (or build as root)",
        ),
        (
            1,
            "",
            "anna has 0 subordinate gids in /etc/subgid, and a root filesystem needs 65536\n\
             grant them: `sudo usermod --add-subgids 100000-165535 anna` (or build as root)",
        ),
        (0, "anna:100000:65536\nbob:165536:100\nanna:165536:99", ""),
        (
            0,
            "anna:100000:1000\n",
            "anna has 1000 subordinate uids in /etc/subuid, and a root filesystem needs 65536\n\
             grant them: `sudo usermod --add-subuids 101000-166535 anna` (or build as root)",
        ),
        (
            1,
            "anna:100000:65536\n1000:150000:65536\n",
            "anna's subordinate gids 100000-165535 and 150000-215535 in /etc/subgid overlap\n\
             take one away: `sudo usermod --del-subgids 150000-215535 anna`",
        ),
    ];
    for (kind, text, expected) in cases {
        let mut account = example();
        text.clone_into(&mut account.grants[kind]);
        assert_eq!(account.ids().map_or_else(said, |_| String::new()), expected);
    }
    let mut account = example();
    account.grants[0] = "anna:900:65536\n".to_owned();
    assert_eq!(
        account.ids().map_err(said),
        Err("anna's subordinate uids 1000-1000 and 900-66435 in /etc/subuid overlap\n\
             take one away: `sudo usermod --del-subuids 900-66435 anna`"
            .to_owned())
    );
}

#[test]
fn ids_that_another_account_has_too_are_told() {
    let mut account = example();
    account.grants[0] = "anna:100000:65536\nbob:165535:65536\n".to_owned();
    assert_eq!(account.ids(), Ok((65_536, 65_536)));
    assert_eq!(
        account.shared().map(said).as_deref(),
        Some(
            "anna and bob share subordinate uids of 100000-165535 in /etc/subuid: each may change the other's files\n\
             give anna others: `sudo usermod --del-subuids 100000-165535 anna`, then `imgbuild doctor` names free ones"
        )
    );
}

#[test]
fn helpers_without_power_are_explained() {
    assert_eq!(example().helpers(), Ok(()));
    let path = || PathBuf::from("/usr/bin/newgidmap");
    let cases = [
        (
            Helper::Missing,
            "an ordinary user cannot build without `newgidmap`, and it is not installed\n\
             install it: `sudo apt install uidmap` (or build as root)",
        ),
        (
            Helper::Powerless(path()),
            "`/usr/bin/newgidmap` is not setuid, and cannot map ids without that\n\
             mend it: `sudo apt install --reinstall uidmap` (or build as root)",
        ),
        (
            Helper::NoSetuid(path()),
            "`/usr/bin/newgidmap` is on a filesystem mounted with nosuid, and cannot map ids there\n\
             `sudo mount -o remount,suid \"$(findmnt -no TARGET -T /usr/bin/newgidmap)\"` (or build as root)",
        ),
    ];
    for (helper, expected) in cases {
        let mut account = example();
        account.helpers[1] = helper;
        assert_eq!(account.helpers().map_err(said), Err(expected.to_owned()));
    }
    let account = Account { no_new_privileges: true, ..example() };
    assert_eq!(
        account.helpers().map_err(said),
        Err("this process may gain no privileges (no_new_privs), and `newuidmap` cannot map ids without\n\
             build from an ordinary login, or in a container started without \
             `--security-opt no-new-privileges` (or build as root)"
            .to_owned())
    );
}

#[test]
fn helpers_are_judged_by_their_files() {
    assert_eq!(helper("no-such-program-at-all"), Helper::Missing);
    assert!(matches!(helper("true"), Helper::Powerless(_) | Helper::NoSetuid(_)));
}

#[test]
fn accounts_are_found_by_number() {
    let accounts = "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000:::\nbroken\n";
    assert_eq!(name_of(accounts, 1000).as_deref(), Some("anna"));
    assert_eq!(name_of(accounts, 1001), None);
}
