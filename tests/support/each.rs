//! The cases of a suite, some at once.

use std::io::Write as _;
use std::sync::Mutex;

/// Cases run at once.
pub(crate) const WORKERS: usize = 2;

/// Does `work` for each case, and returns what came of them in the cases' order.
pub(crate) fn for_each_case<C: Sync, R: Send>(cases: &[C], work: impl Fn(&C) -> R + Sync) -> Vec<R> {
    let left = Mutex::new(cases.iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(cases.len()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((index, case)) = left.lock().expect("no panic holds it").next() else { return };
                    let result = work(case);
                    results.lock().expect("no panic holds it").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic held it");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Writes past the harness, which shows what a test prints only when it fails.
pub(crate) fn tell(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("standard error can be written to");
}
