//! Work on many things at once: results in the order of the inputs, whatever the order in which threads finish.

use anyhow::{Result, anyhow};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Applies `work` to every item on as many threads as there are processors. The first error (by position) wins.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let slots: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    let failed = result.is_err();
                    if let Ok(mut slot) = slots[at].lock() {
                        *slot = Some(result);
                    }
                    if failed {
                        // Nobody starts anything new; what is running ends by itself.
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let results = slots.into_iter().map(|slot| slot.into_inner().ok().flatten());
    let results: Vec<Option<Result<R>>> = results.collect();
    let mut done = Vec::with_capacity(results.len());
    let mut skipped = false;
    for result in results {
        match result {
            Some(result) => done.push(result?),
            None => skipped = true,
        }
    }
    if skipped { Err(anyhow!("a thread ended before its work was done")) } else { Ok(done) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_inputs() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(map(&items, |item| Ok(item * 2)).unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_given_and_ends_the_work() {
        let items: Vec<u32> = (0..1000).collect();
        let error = map(&items, |item| if *item == 7 { Err(anyhow!("item 7")) } else { Ok(()) }).unwrap_err();
        assert_eq!(error.to_string(), "item 7");
    }
}
