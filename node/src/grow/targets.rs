//! Decides how many extents every volume should have. Pure: no device is touched here.
//!
//! A volume's target is its size plus its weighted share of the room beyond all sizes and the reserve, up to its
//! maximum; what a capped volume leaves goes to the others. The decision starts from the whole volume group, never
//! from what is free at the moment, so it gives the same answer however often growing was interrupted and repeated.

/// One volume, in extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// The least it should have.
    pub size: u64,
    /// Its share of the room beyond all sizes; 0 never grows.
    pub weight: u32,
    /// Growing stops here.
    pub maximum: Option<u64>,
    /// What it has now.
    pub current: u64,
}

/// Fractional bits of the level that volumes are filled to: more than any weight, so that one step of the level
/// adds at most one extent to a volume.
const FRACTION: u32 = 32;

/// The target of every volume, in the order given, never below what it has now.
///
/// `total` is the volume group's extents; `set_aside` what volumes unknown to us and the reserve take.
/// Fewer extents than there are volumes may be left over by rounding: they stay free.
pub(crate) fn targets(total: u64, set_aside: u64, volumes: &[Volume]) -> Vec<u64> {
    let available = u128::from(total.saturating_sub(set_aside));
    let at = |level: u128| volumes.iter().map(move |volume| filled(*volume, level));
    let fits = |level: u128| at(level).map(u128::from).sum::<u128>() <= available;
    if !fits(0) {
        return volumes.iter().map(|volume| volume.current).collect();
    }
    // The filling never sinks while the level rises, so the highest level that fits is found by halving.
    let (mut low, mut high) = (0, u128::from(total) << FRACTION);
    while low < high {
        let middle = high - (high - low) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    at(low).collect()
}

/// How many extents a volume has when every volume of weight 1 was given `level` extents.
fn filled(volume: Volume, level: u128) -> u64 {
    let share = (u128::from(volume.weight) * level) >> FRACTION;
    let wanted = u64::try_from(u128::from(volume.size) + share).unwrap_or(u64::MAX);
    wanted.min(volume.maximum.unwrap_or(u64::MAX).max(volume.size)).max(volume.current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(size: u64, weight: u32, maximum: Option<u64>, current: u64) -> Volume {
        Volume { size, weight, maximum, current }
    }

    #[test]
    fn targets_of_known_groups_are_these() {
        let cases: [(&str, u64, u64, Vec<Volume>, Vec<u64>); 9] = [
            ("no room", 100, 0, vec![volume(60, 1, None, 60), volume(40, 1, None, 40)], vec![60, 40]),
            ("equal shares", 200, 0, vec![volume(60, 1, None, 60), volume(40, 1, None, 40)], vec![110, 90]),
            ("three to one", 200, 20, vec![volume(60, 3, None, 60), volume(40, 1, None, 40)], vec![120, 60]),
            ("weight 0 stays", 200, 0, vec![volume(60, 0, None, 60), volume(40, 1, None, 40)], vec![60, 140]),
            ("cap passes on", 300, 0, vec![volume(50, 1, Some(70), 50), volume(50, 1, None, 50)], vec![70, 230]),
            ("all capped", 900, 0, vec![volume(50, 1, Some(70), 50), volume(50, 1, Some(60), 50)], vec![70, 60]),
            ("interrupted", 200, 0, vec![volume(60, 1, None, 110), volume(40, 1, None, 40)], vec![110, 90]),
            ("by hand", 200, 0, vec![volume(60, 1, None, 150), volume(40, 1, None, 40)], vec![150, 50]),
            ("too small", 90, 0, vec![volume(60, 1, None, 55), volume(40, 1, None, 35)], vec![55, 35]),
        ];
        for (name, total, aside, volumes, expected) in cases {
            assert_eq!(targets(total, aside, &volumes), expected, "{name}");
        }
    }

    #[test]
    fn targets_of_a_disk_grown_twice_equal_those_of_one_growth() {
        let small = [volume(500, 3, None, 500), volume(200, 1, Some(900), 200)];
        let once = targets(6000, 50, &small);
        let middle = targets(4000, 50, &small);
        let then: Vec<_> = small.iter().zip(&middle).map(|(v, c)| Volume { current: *c, ..*v }).collect();
        assert_eq!(targets(6000, 50, &then), once);
    }

    fn any_volume() -> impl Strategy<Value = Volume> {
        (0_u64..5000, prop_oneof![0_u32..4, any::<u32>()], proptest::option::of(0_u64..20_000), 0_u64..8000)
            .prop_map(|(size, weight, maximum, current)| Volume { size, weight, maximum, current })
    }

    proptest! {
        #[test]
        fn targets_never_shrink_and_fit_and_repeat(
            total in 0_u64..200_000,
            aside in 0_u64..1000,
            volumes in proptest::collection::vec(any_volume(), 0..8),
        ) {
            let found = targets(total, aside, &volumes);
            let had: u64 = volumes.iter().map(|v| v.current).sum();
            prop_assert!(found.iter().zip(&volumes).all(|(t, v)| *t >= v.current));
            prop_assert!(found.iter().sum::<u64>() <= total.saturating_sub(aside).max(had));
            for (target, v) in found.iter().zip(&volumes) {
                if let Some(maximum) = v.maximum {
                    prop_assert!(*target <= maximum.max(v.current).max(v.size));
                }
            }
            let again: Vec<_> = volumes.iter().zip(&found).map(|(v, t)| Volume { current: *t, ..*v }).collect();
            prop_assert_eq!(targets(total, aside, &again), found.clone());
            // Any subset of the growth done, as after a power cut, leads to the same end.
            let half: Vec<_> = again.iter().zip(&volumes).enumerate()
                .map(|(at, (new, old))| if at % 2 == 0 { *new } else { *old }).collect();
            prop_assert_eq!(targets(total, aside, &half), found);
        }

        #[test]
        fn targets_leave_fewer_extents_than_volumes(
            room in 0_u64..200_000,
            weights in proptest::collection::vec(1_u32..1000, 1..8),
        ) {
            let volumes: Vec<_> = weights.iter().map(|w| volume(10, *w, None, 10)).collect();
            let total = room + 10 * volumes.len() as u64;
            let found: u64 = targets(total, 0, &volumes).iter().sum();
            prop_assert!(found <= total && total - found < volumes.len() as u64);
        }
    }
}
