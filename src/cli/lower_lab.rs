//! `imgbuild lab`: from what was typed to what is meant.

use super::meant::Selection;
use super::meant_lab::{Lab, LabCut, LabDirection, LabSsh, LabUp, LabVerb};
use super::typed::Firmware;
use super::typed_lab::{self as typed, Accelerate, Direction};
use super::{meant, typed as common};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Says what is meant; `Err` holds the run folder of a process that is to serve a lab.
pub(super) fn lower(
    typed: typed::Lab,
    json: bool,
    here: impl Fn(&Path) -> PathBuf,
    selection: impl FnOnce(common::Selection) -> Result<Selection>,
) -> Result<Result<Lab, PathBuf>> {
    let of = |node: typed::Node, verb: fn(String) -> LabVerb| (node.cluster, verb(node.node));
    let (cluster, verb) = match typed {
        typed::Lab::Serve { folder } => return Ok(Err(here(&folder))),
        typed::Lab::Up(typed) => {
            let up = machines(typed.machines, typed.only, typed.clock, here, selection)?;
            (typed.cluster, LabVerb::Up(up))
        }
        typed::Lab::Test(test) => {
            let up = machines(test.machines, Vec::new(), Vec::new(), here, selection)?;
            let (scenarios, rounds) = (test.scenarios, usize::from(test.rounds));
            (test.cluster, LabVerb::Test { scenarios, rounds, up })
        }
        typed::Lab::Status { cluster, watch } => (cluster, LabVerb::Status { watch, json }),
        typed::Lab::Ssh { cluster, node, user, identity, command } => {
            let identity = identity.as_deref().map(here);
            (cluster, LabVerb::Ssh(LabSsh { node, user, identity, command }))
        }
        typed::Lab::Console(node) => of(node, LabVerb::Console),
        typed::Lab::Connect { node, port } => (node.cluster, LabVerb::Connect { node: node.node, port }),
        typed::Lab::Owner { cluster, address } => (cluster, LabVerb::Owner(address)),
        typed::Lab::Kill { node, power } => (node.cluster, LabVerb::Kill { node: node.node, button: power }),
        typed::Lab::Start { node, clock } => (node.cluster, LabVerb::Start { node: node.node, clock }),
        typed::Lab::Wipe { node, data } => (node.cluster, LabVerb::Wipe { node: node.node, data }),
        typed::Lab::Cut { node, other, one_way, carrier, delay, loss } => {
            let direction = one_way.map(|way| match way {
                Direction::In => LabDirection::In,
                Direction::Out => LabDirection::Out,
            });
            let cut = if carrier {
                LabCut::Carrier
            } else if delay.is_some() || loss.is_some() {
                LabCut::Worse { direction, delay: delay.unwrap_or_default(), loss: loss.unwrap_or_default() }
            } else {
                LabCut::Off { other, direction }
            };
            (node.cluster, LabVerb::Cut { node: node.node, cut })
        }
        typed::Lab::Heal { cluster } => (cluster, LabVerb::Heal),
        typed::Lab::Freeze(node) => of(node, |node| LabVerb::Freeze { node, frozen: true }),
        typed::Lab::Thaw(node) => of(node, |node| LabVerb::Freeze { node, frozen: false }),
        typed::Lab::Down { cluster, keep } => (cluster, LabVerb::Down { keep }),
    };
    Ok(Ok(Lab { cluster, verb }))
}

fn machines(
    typed: typed::Machines,
    only: Vec<String>,
    clocks: Vec<(String, i64)>,
    here: impl Fn(&Path) -> PathBuf,
    selection: impl FnOnce(common::Selection) -> Result<Selection>,
) -> Result<LabUp> {
    Ok(LabUp {
        only,
        firmware: match typed.firmware {
            Firmware::Bios => meant::Firmware::Bios,
            Firmware::Uefi => meant::Firmware::Uefi,
            Firmware::Secure => meant::Firmware::Secure,
        },
        emulate: typed.accelerate == Accelerate::Emulate,
        clocks,
        seeds: typed.seeds.as_deref().map(here),
        random: typed.random,
        selection: selection(typed.selection)?,
    })
}
