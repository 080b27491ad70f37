//! Tasks that last as long as the daemon: one that a fault ends is started again, and said.
//!
//! A fault (a panic) in one task must not end the filter; nor may it end in silence what the task did, such as bringing lists in
//! or looking at the clock. Where a task ends of itself, that was its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use crate::dns::engine::Faults;

/// How long is waited before a task is started again: whatever it met may be there still.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts a task that `make` makes, and makes it anew where a fault ends it. It ends when the handle is aborted.
pub(super) fn lasting<F>(
    faults: &Arc<Faults>,
    what: &'static str,
    make: impl Fn() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let faults = faults.clone();
    tokio::spawn(async move {
        loop {
            let mut task = JoinSet::new(); // ends it when this is dropped
            task.spawn(make());
            match task.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    faults.note(what);
                    tracing::error!(
                        task = what,
                        "a task ended with a fault and is started again; report it"
                    );
                }
                _ => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn faults_are_counted_by_task_and_said() {
        let faults = Faults::default();
        assert_eq!(faults.told(), Vec::<String>::new());
        for what in ["lists", "clock", "lists"] {
            faults.note(what);
        }
        let told = faults.told();
        assert!(
            told[0].contains("\"clock\"") && told[0].contains("once"),
            "{told:?}"
        );
        assert!(
            told[1].contains("\"lists\"") && told[1].contains("2 times"),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn a_task_that_a_fault_ends_goes_on_and_one_that_ends_does_not() {
        let faults = Arc::new(Faults::default());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let task = lasting(&faults, "trial", move || {
            let counted = counted.clone();
            async move {
                let run = counted.fetch_add(1, Ordering::Relaxed);
                assert!(run >= 2, "a fault");
            }
        });
        task.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert!(faults.told()[0].contains("2 times"));
    }
}
