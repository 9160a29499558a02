//! Repositories: what is allowed there, why, and what is known of them.

use std::sync::Arc;

use gloaming_api::RepoId;
use gloaming_api::problem::ProblemCode;
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::answer::{Answered, Fault, bytes, empty, json as answer_json};
use crate::app::{App, Asked};

/// The longest call that is explained, characters; the table says so too.
const CALL_CAP: usize = 4096;

/// What whoever reads the operator's policy must know beside it.
pub(crate) const NOTE: &str = "This is the operator's policy. The repository's own `.gloaming/policy.toml`, as it is in the commit \
    that an attempt begins at, can narrow it further, and so can a worker's and a task's. All that counted for an attempt is in \
    the first line of its journal (`gloaming task get TASK trajectory`), under the digest that the task names as its grant.";

/// Returns the repository of the path, where the caller may see it.
pub(crate) fn repo(asked: &Asked) -> Result<RepoId, Fault> {
    let name = format!("{}/{}", asked.param("owner"), asked.param("name"));
    let repo: RepoId = name.parse().map_err(|_| Fault::missing("repository"))?;
    if asked.caller()?.reaches(&repo) { Ok(repo) } else { Err(Fault::missing("repository")) }
}

pub(super) async fn policy(app: &Arc<App>, asked: &Asked) -> Answered {
    Ok(answer_json(StatusCode::OK, &policy_of(app, repo(asked)?).await?))
}

/// Returns the operator's policy for a repository as it is told.
pub(crate) async fn policy_of(app: &Arc<App>, repo: RepoId) -> Result<Value, Fault> {
    let told = app.ask(move |app, _| {
        let granted = app.policies.granted(&repo).map_err(|why| Fault::new(ProblemCode::NotFound, why))?;
        let grant = &granted.grant;
        Ok::<_, Fault>(json!({
            "repo": repo,
            "digest": grant.digest(),
            "layers": granted.layers,
            "grant": grant.to_json(),
            "notes": grant.notes(),
            "note": NOTE,
        }))
    });
    told.await?
}

pub(super) async fn explain(app: &Arc<App>, asked: &Asked) -> Answered {
    let call = asked.query("call").unwrap_or_default().to_owned();
    Ok(answer_json(StatusCode::OK, &explained(app, repo(asked)?, call).await?))
}

/// Returns why a call is allowed or denied, and the least edit that would turn it round.
pub(crate) async fn explained(app: &Arc<App>, repo: RepoId, call: String) -> Result<Value, Fault> {
    if call.is_empty() || call.chars().count() > CALL_CAP {
        let detail = format!("the query's `call`: want 1 to {CALL_CAP} characters");
        return Err(Fault::new(ProblemCode::BadRequest, detail));
    }
    let told = app.ask(move |app, _| {
        let granted = app.policies.granted(&repo).map_err(|why| Fault::new(ProblemCode::NotFound, why))?;
        let wrong = |why| Fault::new(ProblemCode::BadRequest, format!("the query's `call`: {why}"));
        let explanation = granted.grant.explain(&call).map_err(wrong)?;
        let flip = granted.grant.flip(&call, &[]).map_err(wrong)?;
        let mut value = serde_json::to_value(&explanation)
            .map_err(|error| Fault::internal("write an explanation", &error))?;
        value["flip"] = json!(flip);
        value["note"] = json!(NOTE);
        Ok::<_, Fault>(value)
    });
    told.await?
}

pub(super) async fn profile(app: &Arc<App>, asked: &Asked) -> Answered {
    let repo = repo(asked)?;
    let known = app.profiles.of(&repo).await.map_err(|error| Fault::internal("read a profile", &*error))?;
    let Some(profile) = known else {
        return Err(Fault::new(ProblemCode::NotFound, "nothing is known of the repository yet"));
    };
    // Lists, `W/` and `*` as RFC 9110, section 13.1.2, has them; ours has no comma in it.
    let wanted = asked.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = wanted.flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == profile.etag
    });
    let mut response = match same {
        true => empty(StatusCode::NOT_MODIFIED),
        false => bytes(StatusCode::OK, "application/json", profile.body.clone()),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&profile.etag).expect("a digest is plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
