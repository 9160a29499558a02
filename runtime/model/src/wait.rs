//! How long a server asks to wait.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Reads `Retry-After`: seconds, or a date, which is taken relative to the answer's own `Date` so that no
/// clock has to be right.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let value = text("retry-after")?;
    if let Some(seconds) = number(value) {
        // A wait beyond all measure is still a wait that was asked for.
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let date = |text: &str| -> Option<Timestamp> {
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
    };
    let wait = date(value)?.duration_since(date(text("date")?)?);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// Reads the wait that Google's servers ask for in an error's details: `{"retryDelay": "34.5s"}`.
pub(crate) fn delay_in_details(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let text = details.iter().find_map(|detail| detail.get("retryDelay"))?.as_str()?;
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn googles_wait_is_in_the_details() {
        let read = |delay: &str| {
            let detail =
                serde_json::json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
            delay_in_details(&serde_json::json!({"code": 429, "details": [{"@type": "other"}, detail]}))
        };
        assert_eq!(read("34.5s"), Some(Duration::from_millis(34_500)));
        for none in ["34", "soon", "-3s", "NaNs"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            retry_after(&headers)
        };
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(read(&[("retry-after", "3"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date]),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date]),
            Some(Duration::ZERO),
            "a date in the past"
        );
        assert_eq!(read(&[("retry-after", "18446744073709551616")]), Some(Duration::MAX));
        for none in ["-1", "soon", "NaN", "inf"] {
            assert_eq!(read(&[("retry-after", none), date]), None, "{none}");
        }
        assert_eq!(read(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), None, "no date to compare to");
    }
}
