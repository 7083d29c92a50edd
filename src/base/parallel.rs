//! The same work for many things on all cores; results come back in the order of the things.

use anyhow::Result;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Things that a thread takes at a time.
const BATCH: usize = 16;

/// Applies `work` to every item. After a failure no new items are begun.
///
/// # Errors
/// The failure of the earliest item that failed.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().div_ceil(BATCH).max(1));
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let batches = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(BATCH, Ordering::Relaxed);
                    if start >= items.len() || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let end = items.len().min(start + BATCH);
                    let results: Result<Vec<R>> = items[start..end].iter().map(&work).collect();
                    if results.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    batches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((start, results));
                }
            });
        }
    });
    let mut batches = batches.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    batches.sort_by_key(|(start, _)| *start);
    let mut all = Vec::with_capacity(items.len());
    for (_, results) in batches {
        all.extend(results?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_the_order_and_failures_stop() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(super::map(&items, |item| Ok(item * 2)).unwrap(), items.iter().map(|i| i * 2).collect::<Vec<_>>());
        let error = super::map(&items, |item| if *item == 500 { anyhow::bail!("no {item}") } else { Ok(()) });
        assert_eq!(error.unwrap_err().to_string(), "no 500");
    }
}
