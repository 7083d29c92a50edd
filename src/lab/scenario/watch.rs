//! How long an address did not answer: asked every tenth of a second, whatever becomes of the earlier questions.

use crate::lab::Lab;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two questions.
const STEP: Duration = Duration::from_millis(100);
/// How long an answer may take; a stalled one is no answer.
const ANSWER: Duration = Duration::from_millis(1500);

/// Moments at which questions were asked, and whether they were answered.
type Answers = Vec<(Duration, bool)>;

/// Asks until it is stopped.
pub(super) struct Watch {
    began: Instant,
    answers: Arc<Mutex<Answers>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn begin(lab: &Lab, visitor: Option<usize>, address: Ipv4Addr, port: u16) -> Self {
        let began = Instant::now();
        let answers = Arc::new(Mutex::new(Answers::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (lab, kept, stopped) = (lab.clone(), answers.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let (lab, kept, asked) = (lab.clone(), kept.clone(), began.elapsed());
                std::thread::spawn(move || {
                    let answered = lab.answers_from(visitor, address, port, ANSWER);
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push((asked, answered));
                });
                std::thread::sleep(STEP);
            }
        });
        Self { began, answers, stop, thread: Some(thread) }
    }

    /// Now, on the clock of the answers.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the newest questions since then were all answered, and enough of them.
    pub(super) fn steady(&self, since: Duration) -> bool {
        steady(&self.answers.lock().unwrap_or_else(PoisonError::into_inner), since)
    }

    /// The longest time without an answer from then on.
    pub(super) fn outage(&self, since: Duration) -> Duration {
        // The last questions are still open.
        std::thread::sleep(ANSWER);
        outage(&self.answers.lock().unwrap_or_else(PoisonError::into_inner), since)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn steady(answers: &Answers, since: Duration) -> bool {
    let mut newest: Vec<&(Duration, bool)> = answers.iter().filter(|(asked, _)| *asked >= since).collect();
    newest.sort_unstable();
    newest.len() >= 10 && newest.iter().rev().take(10).all(|(_, answered)| *answered)
}

/// The longest gap between two questions that were answered; one step is no gap.
fn outage(answers: &Answers, since: Duration) -> Duration {
    let mut answered: Vec<Duration> =
        answers.iter().filter(|(asked, answered)| *answered && *asked >= since).map(|(asked, _)| *asked).collect();
    answered.push(since);
    answered.sort_unstable();
    let gaps = answered.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    gaps.max().unwrap_or_default().saturating_sub(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(from: u64, words: &str) -> Answers {
        let at = |number: usize| Duration::from_millis(from + 100 * number as u64);
        words.chars().enumerate().map(|(number, word)| (at(number), word == '+')).collect()
    }

    #[test]
    fn outage_is_the_longest_time_without_an_answer() {
        let mut heard = answers(0, "++++-----++-+++");
        heard.reverse();
        assert_eq!(outage(&heard, Duration::from_millis(200)), Duration::from_millis(500));
        assert_eq!(outage(&heard, Duration::from_millis(900)), Duration::from_millis(100));
        assert_eq!(outage(&answers(0, "+++++"), Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn steady_is_a_second_of_answers() {
        assert!(steady(&answers(0, "--++++++++++"), Duration::ZERO));
        assert!(!steady(&answers(0, "--+++++++++"), Duration::ZERO));
        assert!(!steady(&answers(0, "++++++++++-"), Duration::ZERO));
        assert!(!steady(&answers(0, "++++++++++++"), Duration::from_millis(500)));
    }
}
