//! Slack's signature, version 0. Source: "Verifying requests from Slack" in Slack's documentation.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::signed;

/// How far a signature's time may be from ours, seconds: an older one may have been taken down and sent again.
const WINDOW_S: u64 = 300;

/// Checks the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature` of a raw body. The error says which is wrong.
pub(crate) fn verify(
    secret: &SecretString,
    time: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), &'static str> {
    let wrong = "the header X-Slack-Signature is not that of this body and time with the shared secret";
    let digits = !time.is_empty() && time.len() <= 12 && time.bytes().all(|byte| byte.is_ascii_digit());
    let signed_at: i64 = time.parse().ok().filter(|_| digits).ok_or(wrong)?;
    let given = signature.strip_prefix("v0=").ok_or(wrong)?;
    if !signed::is_of(secret, &[b"v0:", time.as_bytes(), b":", body], given) {
        return Err(wrong);
    }
    if signed_at.abs_diff(now.as_second()) > WINDOW_S {
        return Err(
            "the header X-Slack-Request-Timestamp is more than five minutes from now; is a clock wrong?",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that Slack publishes.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn verified(time: &str, signature: &str, body: &str, after: i64) -> Result<(), &'static str> {
        let now = Timestamp::from_second(1_531_420_618 + after).unwrap();
        verify(&SECRET.into(), time, signature, body.as_bytes(), now)
    }

    #[test]
    fn the_published_example_is_good_for_five_minutes() {
        for after in [0, 300, -300] {
            assert_eq!(verified(TIME, SIGNATURE, BODY, after), Ok(()), "{after}");
        }
        for after in [301, -301, 86_400] {
            assert!(verified(TIME, SIGNATURE, BODY, after).unwrap_err().contains("five minutes"), "{after}");
        }
    }

    #[test]
    fn whatever_is_changed_is_another_signature() {
        let other = BODY.replace("foobar", "foobaz");
        let short = &SIGNATURE[..66];
        let v1 = SIGNATURE.replace("v0", "v1");
        for (time, signature, body) in [
            (TIME, SIGNATURE, other.as_str()),
            ("1531420619", SIGNATURE, BODY),
            ("+1531420618", SIGNATURE, BODY),
            ("", SIGNATURE, BODY),
            ("99999999999999999999", SIGNATURE, BODY),
            (TIME, short, BODY),
            (TIME, v1.as_str(), BODY),
            (TIME, "", BODY),
            (TIME, "v0=", BODY),
        ] {
            assert!(verified(time, signature, body, 0).is_err(), "{time} {signature}");
        }
    }
}
