//! The same work for many things on several threads; results come back in the order of the things.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Applies `work` to every item on as many threads as there are processors.
///
/// # Errors
/// As [`map_on`].
pub fn map<T: Sync, R: Send, E: Send>(items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    map_on(std::thread::available_parallelism().map_or(1, usize::from), items, work)
}

/// Applies `work` to every item on at most `jobs` threads. Items are begun in order; after a failure none is.
///
/// # Errors
/// The failure of the earliest item that failed.
pub fn map_on<T: Sync, R: Send, E: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<R, E>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(slot)) = (items.get(at), results.get(at)) else { break };
                    let result = work(item);
                    if result.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    // Items are begun in order, so the gaps are all behind the first failure; a panic has ended us above.
    results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let expected = items.iter().map(|item| item * 2).collect::<Vec<_>>();
        assert_eq!(map(&items, |item| Ok::<_, ()>(item * 2)), Ok(expected.clone()));
        assert_eq!(map_on(7, &items, |item| Ok::<_, ()>(item * 2)), Ok(expected));
        assert_eq!(map_on(3, &[] as &[u32], |_| Ok::<u32, ()>(1)), Ok(vec![]));
    }

    #[test]
    fn earliest_failure_is_given_and_nothing_is_begun_after_it() {
        let items: Vec<u32> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let failed = map_on(1, &items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item >= 10 { Err(*item) } else { Ok(*item) }
        });
        assert_eq!((failed, begun.into_inner()), (Err(10), 11));
        assert_eq!(map_on(4, &items, |item| if *item >= 10 { Err(*item) } else { Ok(()) }), Err(10));
    }
}
