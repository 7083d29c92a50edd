//! A whole lab without QEMU: its process, its networks, what it is asked and what it answers.

use super::control::Name;
use super::network::{MIRROR, outside};
use super::order::tests::order;
use super::requests::Reached;
use super::{Damage, Direction, Lab, Power, serve};
use crate::base::hint::hints;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A lab whose machines are all off, and the folder of its disks.
fn with_lab(test: impl FnOnce(&Lab, &PathBuf)) {
    with(false, test);
}

/// The same, and the lab is the world outside, too, when it is closed.
fn with(closed: bool, test: impl FnOnce(&Lab, &PathBuf)) {
    let folder = tempfile::tempdir().unwrap();
    let (run, disks) = (folder.path().join("run"), folder.path().join("disks"));
    let mut order = order("balancers", &disks);
    order.closed = closed;
    for node in &mut order.nodes {
        node.start = false;
    }
    order.write(&run).unwrap();
    let served = run.clone();
    let thread = std::thread::spawn(move || serve(&served));
    let lab = Lab::at(&run, "balancers");
    while !lab.runs() {
        assert!(!thread.is_finished(), "{:?}", thread.join());
        std::thread::sleep(Duration::from_millis(5));
    }
    test(&lab, &disks);
    lab.down(false).unwrap();
    assert!(lab.gone(Duration::from_secs(20)));
    thread.join().unwrap().unwrap();
    assert!(!run.exists());
}

/// The remarks on a machine.
fn faults(lab: &Lab, name: &str) -> String {
    let status = lab.status(false).unwrap();
    status.nodes.iter().find(|node| node.name == name).unwrap().faults.join("; ")
}

#[test]
fn what_is_wrong_with_lines_is_told_until_it_is_mended() {
    with_lab(|lab, _| {
        lab.cut("balancer1", None, Some(Direction::In)).unwrap();
        lab.cut("balancer2", Some("balancer1"), None).unwrap();
        lab.worsen("backend1", None, Damage { delay: 50, loss: 100 }).unwrap();
        assert_eq!(faults(lab, "balancer1"), "in: cut");
        assert_eq!(faults(lab, "balancer2"), "cut from balancer1");
        assert_eq!(faults(lab, "backend1"), "in: 50 ms late, 10.0 % lost; out: 50 ms late, 10.0 % lost");
        lab.heal().unwrap();
        for name in ["balancer1", "balancer2", "backend1"] {
            assert_eq!(faults(lab, name), "");
        }
    });
}

#[test]
fn requests_that_cannot_be_met_say_why_and_what_to_do() {
    with_lab(|lab, _| {
        let error = lab.kill("balancer3", false).unwrap_err();
        assert_eq!(error.to_string(), "there is no machine `balancer3`");
        assert_eq!(hints(&error), ["there are gateway, balancer1, balancer2, backend1, backend2"]);
        assert_eq!(lab.kill("balancer1", false).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(lab.freeze("balancer1", true).unwrap_err().to_string(), "balancer1 is off");
        let nowhere = lab.owners(Ipv4Addr::new(8, 8, 8, 8)).unwrap_err();
        assert_eq!(nowhere.to_string(), "8.8.8.8 is in none of the lab's networks");
        // It is off: nobody answers.
        assert_eq!(lab.connect("balancer1", 22).unwrap_err().to_string(), "the machine does not answer");
        // A machine that cannot be started says so in its place.
        lab.start("backend1", None).unwrap();
        let failed = || {
            let status = lab.status(false).unwrap();
            status.nodes.into_iter().find(|node| node.name == "backend1").map(|node| node.power)
        };
        while failed() == Some(Power::On) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(failed(), Some(Power::Failed("backend1 has no image".to_owned())));
    });
}

#[test]
fn the_lab_stands_in_for_a_machine_and_is_seen_at_its_address() {
    with_lab(|lab, disks| {
        let address = Ipv4Addr::new(192, 168, 4, 21);
        assert!(!lab.answers(address, 6443, Duration::from_millis(500)));
        lab.stand_in("backend1", 6443).unwrap();
        assert!(lab.answers(address, 6443, Duration::from_secs(5)));
        assert!(!lab.answers(address, 6444, Duration::from_secs(5)));
        // Not a card of any machine.
        assert_eq!(lab.owners(address).unwrap(), ["02:69:6d:67:01:03"]);
        let error = lab.start("backend1", None).unwrap_err().to_string();
        assert_eq!(error, "the lab itself stands in for backend1");
        assert!(lab.stand_in("backend1", 6443).is_err());
        assert_eq!(faults(lab, "backend1"), "the lab stands in for it");
        assert!(disks.join("backend1.console").is_file());
    });
}

#[test]
fn visitors_borrow_addresses_and_reach_what_answers() {
    with(true, |lab, _| {
        let (number, lease) = lab.visit("uplink", Some([2, 0, 0, 0, 0, 9]), true, false).unwrap();
        assert_eq!((lease.address, lease.router), (outside::LENT, Some(outside::ROUTER)));
        let reach = |from, address, port| {
            lab.reach_port(from, address, port, Duration::from_secs(5)).map_err(|e| e.to_string())
        };
        let told = |address: Ipv4Addr| Ok(Reached::Told(format!("{address}\n")));
        assert_eq!(reach(Some(number), outside::SERVER, MIRROR), told(outside::LENT));
        assert_eq!(reach(None, outside::LENT, MIRROR), told(outside::ROUTER));
        assert_eq!(reach(Some(number), outside::ROUTER, 7), Ok(Reached::Refused));
        assert_eq!(lab.owners(outside::LENT).unwrap(), ["02:00:00:00:00:09"]);
        // Nobody leads from one network into the other.
        let (inside, own) = lab.visit("lan", None, false, true).unwrap();
        assert_eq!((own.address, own.prefix), (Ipv4Addr::new(192, 168, 4, 252), 24));
        assert_eq!(reach(None, own.address, MIRROR), told(Ipv4Addr::new(192, 168, 4, 254)));
        assert_eq!(reach(Some(inside), outside::SERVER, MIRROR), Ok(Reached::Silent));
        let unknown = lab.resolve(inside, Ipv4Addr::new(192, 168, 4, 1), Name::Forward("gateway".into()));
        assert_eq!(unknown.unwrap(), None);
        lab.leave(number).unwrap();
        assert_eq!(reach(None, outside::LENT, MIRROR), Ok(Reached::Silent));
        let error = lab.visit("moon", None, false, false).unwrap_err().to_string();
        assert_eq!(error, "the lab has no network `moon` with IPv4");
    });
}
