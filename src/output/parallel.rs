//! Work on numbered pieces by several threads, results taken in order: what comes out never depends on the threads.

use anyhow::{Result, anyhow};
use std::sync::mpsc::sync_channel;

/// Results of one thread that may wait to be taken; bounds the memory.
const WAITING: usize = 2;

/// Works on pieces `0..count` by `jobs` threads, each with a state of its own, and takes the results in order here.
///
/// # Errors
/// The first error, in the order of pieces, of any of the three.
pub(super) fn in_order<S, T: Send>(
    jobs: usize,
    count: u64,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, u64) -> Result<T> + Sync,
    mut take: impl FnMut(u64, T) -> Result<()>,
) -> Result<()> {
    let jobs = jobs.clamp(1, usize::try_from(count.max(1)).unwrap_or(usize::MAX));
    std::thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(jobs);
        for job in 0..jobs {
            let (sender, receiver) = sync_channel(WAITING);
            receivers.push(receiver);
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                let mut state = match start() {
                    Ok(state) => state,
                    // A receiver that is gone has its error already.
                    Err(error) => return drop(sender.send(Err(error))),
                };
                for piece in (job as u64..count).step_by(jobs) {
                    let result = work(&mut state, piece);
                    let failed = result.is_err();
                    if sender.send(result).is_err() || failed {
                        return;
                    }
                }
            });
        }
        for piece in 0..count {
            let receiver = &receivers[crate::format::usize_of(piece % jobs as u64)];
            let result = receiver.recv().map_err(|_| anyhow!("a writing thread ended before its work was done"))?;
            take(piece, result?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        for jobs in [0, 1, 3, 8, 100] {
            let mut taken = Vec::new();
            let work = |state: &mut u64, piece: u64| {
                *state += 1;
                Ok(piece * piece)
            };
            in_order(
                jobs,
                50,
                || Ok(0),
                work,
                |piece, square| {
                    taken.push((piece, square));
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(taken, (0..50).map(|piece| (piece, piece * piece)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let work = |(): &mut (), piece: u64| if piece % 7 == 5 { Err(anyhow!("piece {piece}")) } else { Ok(piece) };
        let mut last = None;
        let error = in_order(
            4,
            1000,
            || Ok(()),
            work,
            |piece, _| {
                last = Some(piece);
                Ok(())
            },
        );
        assert_eq!((error.unwrap_err().to_string().as_str(), last), ("piece 5", Some(4)));
    }
}
