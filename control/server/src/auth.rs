//! Who asks: bearer tokens, `glm_ID_SECRET`. The store has the secret's SHA-256 alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gloaming_api::access::{NewToken, RepoPattern, Scope, TokenMade, TokenView};
use gloaming_api::problem::ProblemCode;
use gloaming_api::{Digest, RepoId};
use gloaming_store::{Store, StoreError};
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::answer::Fault;

/// What tokens begin with.
const PREFIX: &str = "glm_";
/// The name of the token that the first other one is made with; no other may be called so.
const BOOTSTRAP: &str = "bootstrap";
/// Seconds for which that one is taken.
const BOOTSTRAP_S: u64 = 3600;
/// Hexadecimal digits of a token's id and of its secret: 64 and 256 bits.
const DIGITS: (usize, usize) = (16, 64);

/// Whoever asks, with a token that is taken.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) token: TokenView,
}

impl Caller {
    /// Returns who it is as policies and tasks name them.
    pub(crate) fn asker(&self) -> String {
        format!("token:{}", self.token.name)
    }

    pub(crate) fn reaches(&self, repo: &RepoId) -> bool {
        self.token.reaches(repo)
    }

    /// Whether every repository is one that it is for.
    pub(crate) fn reaches_all(&self) -> bool {
        self.token.covers(&[RepoPattern::all()])
    }

    pub(crate) fn is_bootstrap(&self) -> bool {
        self.token.name == BOOTSTRAP
    }
}

pub(crate) fn refused() -> Fault {
    // One text for all: whether an id is known is told to nobody.
    Fault::new(ProblemCode::Unauthorized, "give a token that is taken: `Authorization: Bearer glm_...`")
}

/// Takes a header's value apart: the id, and the digest of the secret. Where a `password` is taken the token may also be that
/// of HTTP Basic (RFC 7617), whoever the user is said to be.
pub(crate) fn shown(header: Option<&str>, password: bool) -> Result<(String, Digest), Fault> {
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or_else(refused)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return parts(token);
    }
    let pair =
        (password && scheme.eq_ignore_ascii_case("basic")).then(|| STANDARD.decode(token).ok()).flatten();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let (_, token) = pair.as_deref().and_then(|pair| pair.split_once(':')).ok_or_else(refused)?;
    parts(token)
}

/// Takes a token apart: the id, and the digest of the secret.
pub(crate) fn parts(token: &str) -> Result<(String, Digest), Fault> {
    let (id, secret) =
        token.strip_prefix(PREFIX).and_then(|token| token.split_once('_')).ok_or_else(refused)?;
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if (id.len(), secret.len()) != DIGITS || !hex(id) || !hex(secret) {
        return Err(refused());
    }
    Ok((id.to_owned(), Digest::of(secret)))
}

/// Checks what was shown against what the store has of it.
pub(crate) fn check(
    found: Option<(TokenView, Digest)>,
    secret: &Digest,
    wanted: Scope,
    now: Timestamp,
) -> Result<Caller, Fault> {
    // An unknown id is compared too, so that it takes as long.
    let kept = found.as_ref().map_or_else(Digest::zero, |(_, digest)| digest.clone());
    let same = bool::from(kept.hex().as_bytes().ct_eq(secret.hex().as_bytes()));
    let Some((token, _)) = found.filter(|_| same) else { return Err(refused()) };
    taken(token, wanted, now)
}

/// Checks that a token is taken now, and for what is wanted.
pub(crate) fn taken(token: TokenView, wanted: Scope, now: Timestamp) -> Result<Caller, Fault> {
    if token.revoked_at.is_some() || token.expires_at.is_some_and(|end| now >= end) {
        return Err(refused());
    }
    if !token.allows(wanted, now) {
        let detail = format!("this token is not for that: the scope {:?} is needed", wanted.as_str());
        return Err(Fault::new(ProblemCode::Forbidden, detail));
    }
    Ok(Caller { token })
}

/// Makes a token and keeps the digest of its secret. Blocks.
///
/// # Errors
/// What is wrong with what is asked for, or the store's error.
pub fn make_token(
    store: &dyn Store,
    asked: &NewToken,
    now: Timestamp,
) -> Result<Result<TokenMade, String>, StoreError> {
    match check_new(asked) {
        Err(why) => Ok(Err(why)),
        Ok(()) => make(store, asked, now).map(Ok),
    }
}

fn make(store: &dyn Store, asked: &NewToken, now: Timestamp) -> Result<TokenMade, StoreError> {
    let hex = random_hex::<40>("make a token")?;
    let (id, secret) = hex.split_at(DIGITS.0);
    store.add_token(id, &Digest::of(secret), asked, now)?;
    Ok(TokenMade { token: format!("{PREFIX}{id}_{secret}"), id: id.to_owned() })
}

/// Returns so many random bytes, in hexadecimal digits.
pub(crate) fn random_hex<const BYTES: usize>(doing: &str) -> Result<String, StoreError> {
    let mut random = [0_u8; BYTES];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut random).map_err(|_| StoreError {
        doing: doing.to_owned(),
        source: "the system gives no randomness".into(),
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn check_new(asked: &NewToken) -> Result<(), String> {
    let name = &asked.name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err("at `name`: want 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
    }
    if name == BOOTSTRAP {
        return Err("at `name`: `bootstrap` is the first token's; choose another".to_owned());
    }
    if asked.scopes.is_empty() || asked.scopes.len() > Scope::ALL.len() {
        return Err("at `scopes`: name at least one scope, and each once".to_owned());
    }
    if asked.repos.is_empty() || asked.repos.len() > 100 {
        return Err("at `repos`: name 1 to 100 patterns; `*` is every repository".to_owned());
    }
    // A hundred years: beyond it the time itself ends.
    if asked.expires_s.is_some_and(|seconds| seconds == 0 || seconds > 100 * 366 * 86_400) {
        return Err("at `expires_s`: want 1 to 3162240000 seconds, or leave it out".to_owned());
    }
    Ok(())
}

/// Makes the token by which the first administrator's is made, where none is taken now: taken once, within an hour, and for
/// nothing else. Returns it to be shown to the operator; none where there is an administrator. Blocks.
///
/// # Errors
/// The store's.
pub fn bootstrap(store: &dyn Store, now: Timestamp) -> Result<Option<TokenMade>, StoreError> {
    let tokens = store.tokens()?;
    // One of some repositories alone can make no other for all of them.
    let all = RepoPattern::all();
    let is_administrator = |token: &TokenView| {
        token.name != BOOTSTRAP && token.allows(Scope::Admin, now) && token.repos.contains(&all)
    };
    if tokens.iter().any(is_administrator) {
        return Ok(None);
    }
    // One of an earlier start: nobody may know any more who has read it. Those of workers and bots are no matter of this.
    for token in tokens.iter().filter(|token| token.name == BOOTSTRAP && token.revoked_at.is_none()) {
        store.revoke_token(&token.id, now)?;
    }
    let asked = NewToken {
        name: BOOTSTRAP.to_owned(),
        scopes: vec![Scope::Admin],
        repos: vec![RepoPattern::all()],
        expires_s: Some(BOOTSTRAP_S),
    };
    let made = make(store, &asked, now)?;
    store.audit("system", "allow", "bootstrap", &made.id, "the first token, taken once", now)?;
    Ok(Some(made))
}

/// When tokens were noted as used, so that the store is asked once a minute for each.
#[derive(Debug, Default)]
pub(crate) struct LastUse(Mutex<HashMap<String, i64>>);

impl LastUse {
    /// Whether a use now is to be noted.
    pub(crate) fn is_news(&self, id: &str, now: Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(id) == Some(&minute) {
            return false;
        }
        known.retain(|_, noted| *noted == minute);
        known.insert(id.to_owned(), minute);
        true
    }
}
