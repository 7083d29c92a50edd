//! The decisions on a model of systemd.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    units: BTreeMap<String, State>,
    pending: Pending,
}

impl World {
    fn apply(&mut self, step: &Step) {
        let mut set = |name: &str, active: Option<&str>, file: Option<&str>| {
            if let Some(state) = self.units.get_mut(name) {
                if let Some(active) = active {
                    active.clone_into(&mut state.active);
                }
                if let Some(file) = file.filter(|_| matches!(state.file.as_str(), "enabled" | "disabled")) {
                    file.clone_into(&mut state.file);
                }
            }
        };
        match step {
            Step::Entailed(effect) => {
                self.pending.effects.remove(effect);
            }
            Step::Retire(unit) => {
                set(unit, Some("inactive"), Some("disabled"));
                self.pending.retired.remove(unit);
            }
            Step::Strike(unit) => {
                self.pending.retired.remove(unit);
            }
            Step::Stop(unit) => set(unit, Some("inactive"), Some("disabled")),
            Step::Enable(units) => units.iter().for_each(|unit| set(unit, None, Some("enabled"))),
            Step::Forgive(unit) => set(unit, Some("inactive"), None),
            Step::Start(unit) => set(unit, Some("active"), None),
        }
    }
}

fn state(active: &str, file: &str) -> State {
    State { load: "loaded".to_owned(), active: active.to_owned(), file: file.to_owned(), ..State::default() }
}

fn unit(name: &str, run: bool) -> Unit {
    Unit { name: name.to_owned(), run }
}

#[test]
fn first_boot_enables_and_starts_in_order() {
    let wanted = [unit("corosync.service", true), unit("pacemaker.service", true), unit("haproxy.service", false)];
    let seen = BTreeMap::from([
        ("corosync.service".to_owned(), state("inactive", "disabled")),
        ("pacemaker.service".to_owned(), state("inactive", "disabled")),
        ("haproxy.service".to_owned(), state("inactive", "disabled")),
    ]);
    let pending = Pending { effects: [Effect::DaemonReload].into(), ..Pending::default() };
    let text: Vec<String> = decide(&wanted, &pending, &seen).iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "reading units anew",
            "enabling corosync.service and pacemaker.service",
            "starting corosync.service",
            "starting pacemaker.service"
        ]
    );
    let reasons = waiting(&wanted, &pending, &seen);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
}

#[test]
fn failed_units_are_tried_again_and_starting_ones_left_alone() {
    let wanted = [unit("a.service", true), unit("b.service", true), unit("c.service", true), unit("d.service", true)];
    let missing = State { load: "not-found".to_owned(), active: "inactive".to_owned(), ..State::default() };
    let seen = BTreeMap::from([
        ("a.service".to_owned(), state("failed", "enabled")),
        ("b.service".to_owned(), state("activating", "enabled")),
        ("c.service".to_owned(), missing),
        ("d.service".to_owned(), State { done: true, ..state("inactive", "static") }),
    ]);
    let steps = decide(&wanted, &Pending::default(), &seen);
    assert_eq!(steps, [Step::Forgive("a.service".to_owned()), Step::Start("a.service".to_owned())]);
    let reasons = waiting(&wanted, &Pending::default(), &seen);
    assert_eq!(reasons, ["a.service is failed ()", "b.service is activating ()", "c.service is not in this image"]);
}

#[test]
fn unit_of_another_manager_is_disabled_once_and_left_alone_then() {
    let wanted = [unit("haproxy.service", false)];
    let steps = |active: &str, file: &str| {
        let seen = BTreeMap::from([("haproxy.service".to_owned(), state(active, file))]);
        let reasons = waiting(&wanted, &Pending::default(), &seen);
        (decide(&wanted, &Pending::default(), &seen), reasons)
    };
    let stop = Step::Stop("haproxy.service".to_owned());
    assert_eq!(steps("active", "enabled"), (vec![stop], vec!["haproxy.service still is enabled".to_owned()]));
    assert_eq!(steps("active", "disabled"), (vec![], vec![]));
}

const NAMES: [&str; 4] = ["a.service", "b.service", "c.service", "d.service"];

fn worlds() -> impl Strategy<Value = (World, Vec<Unit>)> {
    let active = prop_oneof![Just("active"), Just("inactive"), Just("failed")];
    let file = prop_oneof![Just("enabled"), Just("disabled"), Just("static")];
    let units = proptest::collection::vec((active, file, any::<Option<bool>>(), any::<bool>()), NAMES.len());
    let effect = (0_usize..6).prop_map(|at| match at {
        0 => Effect::DaemonReload,
        1 => Effect::Sysctl,
        2 => Effect::Certificates,
        3 => Effect::Restart("a.service".to_owned()),
        4 => Effect::Reload("a.service".to_owned()),
        _ => Effect::Reload("b.service".to_owned()),
    });
    (units, proptest::collection::btree_set(effect, 0..5)).prop_map(|(units, effects)| {
        let mut world = World { units: BTreeMap::new(), pending: Pending { effects, ..Pending::default() } };
        let mut wanted = Vec::new();
        for (name, (active, file, run, retired)) in NAMES.iter().zip(units) {
            world.units.insert((*name).to_owned(), state(active, file));
            wanted.extend(run.map(|run| unit(name, run)));
            if retired {
                world.pending.retired.insert((*name).to_owned());
            }
        }
        (world, wanted)
    })
}

proptest! {
    /// Whatever was done before a cut: another pass ends where an uninterrupted one ends, and then nothing is left.
    #[test]
    fn cut_after_any_step_ends_the_same((world, wanted) in worlds(), cut in 0_usize..20) {
        let steps = |world: &World| decide(&wanted, &world.pending, &world.units);
        let mut whole = world.clone();
        steps(&whole).iter().for_each(|step| whole.apply(step));
        prop_assert_eq!(steps(&whole), vec![]);
        prop_assert_eq!(waiting(&wanted, &whole.pending, &whole.units), Vec::<String>::new());
        let mut cut_off = world.clone();
        steps(&cut_off).iter().take(cut).for_each(|step| cut_off.apply(step));
        steps(&cut_off).iter().for_each(|step| cut_off.apply(step));
        prop_assert_eq!(cut_off, whole);
    }
}
