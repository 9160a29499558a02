//! The name that was meant, where one is near to what was typed.

/// Returns `did you mean ...` for the nearest of `names`, where one is near enough to be meant.
pub(crate) fn did_you_mean(typed: &str, names: &[&str]) -> Option<String> {
    let lower = typed.to_lowercase();
    names
        .iter()
        .map(|name| (distance(&lower, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(lower.len().min(64)) / 3).max(1))
        .min()
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// Levenshtein distance with swaps of neighbours, over bytes; input is cut at 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (&a.as_bytes()[..a.len().min(64)], &b.as_bytes()[..b.len().min(64)]);
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        best = best.min(rows[i - 2][j - 2] + 1);
                    }
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}
