//! Durations and sizes as people write them.

/// The most tokens that can be written.
pub(crate) const MOST_TOKENS: u64 = 1_000_000_000_000_000;

/// Parses `20m`, `1h30m`, `90s` to seconds: whole numbers with h, m or s, largest first, each once.
pub fn seconds(text: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = text;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes()[digits] {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (last != u64::MAX).then_some(total)
}

/// Parses `4GiB`, `512MiB`, `1.5GB` to bytes; a unit is required.
pub fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let unit: u64 = match text[split..].trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    let number = &text[..split];
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(unit),
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() && fraction.len() <= 6 => {
            let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
            let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
            let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
            whole.checked_add(u64::try_from(part).ok()?)
        }
        Some(_) => None,
    }
}

/// Writes bytes the way [`bytes`] reads them, in the largest unit that is exact.
pub fn show_bytes(value: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if value >= 1 << shift && value.is_multiple_of(1 << shift) {
            return format!("{}{unit}", value >> shift);
        }
    }
    format!("{value}B")
}

/// Writes seconds the way [`seconds`] reads them.
pub fn show_seconds(value: u64) -> String {
    let mut out = String::new();
    for (unit, name) in [(value / 3600, 'h'), (value % 3600 / 60, 'm'), (value % 60, 's')] {
        if unit > 0 {
            out.push_str(&format!("{unit}{name}"));
        }
    }
    if out.is_empty() { "0s".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_they_are_written() {
        for (text, want) in [
            ("20m", Some(1200)),
            ("1h30m", Some(5400)),
            ("90s", Some(90)),
            ("0s", Some(0)),
            ("", None),
            ("20", None),
            ("m", None),
            ("20 m", None),
            ("30m1h", None),
            ("1m1m", None),
            ("-1s", None),
            ("1.5h", None),
            ("20min", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(seconds(text), want, "{text:?}");
            if let Some(value) = want.filter(|v| *v > 0) {
                assert_eq!(seconds(&show_seconds(value)), want);
            }
        }
        for (text, want) in [
            ("4GiB", Some(4 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("1MB", Some(1_000_000)),
            ("1", None),
            ("GiB", None),
            ("4G", None),
            ("4gib", None),
            ("1..5GiB", None),
            (".5GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(bytes(text), want, "{text:?}");
            if let Some(value) = want {
                assert_eq!(bytes(&show_bytes(value)), want);
            }
        }
    }
}
