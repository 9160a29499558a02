//! Deliveries of code hosts: bounded, verified by their raw bytes, kept; whoever works on them does so later.

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;
use gloaming_store::Delivery;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::answer::{Answered, Fault, empty};
use crate::app::{App, Asked};
use crate::{body, meters};

/// The longest id of a delivery, bytes.
const ID_CAP: usize = 200;

pub(super) async fn github(app: &Arc<App>, asked: &Asked) -> Answered {
    let verified = verify(app, asked);
    if verified.is_err() {
        meters::delivered("github", "refused");
    }
    verified?;
    let header = |name: &str, plain: fn(&u8) -> bool| {
        let value = body::single(&asked.headers, name)?.unwrap_or_default();
        if value.is_empty() || value.len() > ID_CAP || !value.as_bytes().iter().all(plain) {
            return Err(Fault::new(
                ProblemCode::BadRequest,
                format!("the header {name} is missing or malformed"),
            ));
        }
        Ok(value.to_owned())
    };
    let delivery = Delivery {
        sender: "github".to_owned(),
        id: header("x-github-delivery", u8::is_ascii_graphic)?,
        event: header("x-github-event", |byte| byte.is_ascii_lowercase() || *byte == b'_')?,
        body: asked.body.to_vec(),
    };
    let new = app.ask(move |app, now| app.store.deliver(&delivery, now)).await??;
    meters::delivered("github", if new { "taken" } else { "known" });
    Ok(empty(StatusCode::ACCEPTED))
}

/// Checks a delivery's signature over its raw body. Nothing of it is parsed before.
fn verify(app: &App, asked: &Asked) -> Result<(), Fault> {
    let refused = |why: &str| Fault::new(ProblemCode::BadSignature, why);
    let secret = app.settings.github_secret.as_ref();
    let secret = secret.ok_or_else(|| refused("this control plane shares no secret with GitHub; set one"))?;
    let wrong = || refused("the header X-Hub-Signature-256 is not that of this body with the shared secret");
    let given =
        body::single(&asked.headers, "x-hub-signature-256")?.and_then(|value| value.strip_prefix("sha256="));
    let given = given.and_then(unhex).ok_or_else(wrong)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_err(|_| wrong())?;
    mac.update(&asked.body);
    // In constant time.
    mac.verify_slice(&given).map_err(|_| wrong())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
