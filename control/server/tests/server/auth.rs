//! Who is let in, and what is told to whom.

use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::endpoints::{Auth, Content, ENDPOINTS};
use gloaming_api::worker::PROTOCOL;
use gloaming_server::bootstrap;
use gloaming_store::{EffectEnd, NewEffect};
use serde_json::json;

use crate::api::put;
use crate::support::Running;

#[tokio::test]
async fn only_a_token_that_is_taken_lets_in() {
    let running = Running::start().await;
    let good = running.token("bot", &[Scope::Read], "*");
    let (id, secret) = good[4..].split_once('_').unwrap();
    let zeros = "0".repeat(64);
    let flipped = format!("{}{}", if secret.starts_with('0') { '1' } else { '0' }, &secret[1..]);
    let mut texts = std::collections::BTreeSet::new();
    for bad in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {good}"),
        format!("Bearer  {good}"),
        format!("Bearer {}", good.to_uppercase()),
        format!("Bearer glm_{id}_{flipped}"),
        format!("Bearer glm_{id}_{}", &secret[..63]),
        format!("Bearer glm_{id}_{secret}0"),
        format!("Bearer glm_0123456789abcdef_{zeros}"),
        format!("Bearer glm_{id}_"),
        format!("Bearer {}", "x".repeat(9000)),
    ] {
        let headers = [("authorization", bad.as_str())];
        let answer = running.send("GET", "/v1/tasks", "", &headers, vec![]).await;
        assert_eq!(answer.code(), "unauthorized", "{bad}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"gloaming\"");
        texts.insert(answer.json()["detail"].to_string());
    }
    assert_eq!(texts.len(), 1, "an unknown id and a wrong secret are told apart: {texts:?}");
    let headers = [("authorization", format!("bearer {good}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(running.send("GET", "/v1/tasks", "", &headers, vec![]).await.status, 200);
    let twice = [headers[0], headers[0]];
    assert_eq!(running.send("GET", "/v1/tasks", "", &twice, vec![]).await.code(), "bad_request");
}

#[tokio::test]
async fn a_token_ends_when_it_expires_and_when_it_is_revoked_and_its_last_use_is_noted() {
    let running = Running::start().await;
    let make = async |expires: u64| {
        let body = json!({"name": "bot", "scopes": ["read"], "repos": ["acme/*"], "expires_s": expires});
        let answer = running.post("/v1/tokens", &running.admin, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let short = make(60).await["token"].as_str().unwrap().to_owned();
    let long = make(6000).await;
    let (long, id) = (long["token"].as_str().unwrap().to_owned(), long["id"].as_str().unwrap().to_owned());
    assert_eq!(running.ask("GET", "/v1/tasks", &short).await.status, 200);
    running.pass(Duration::from_secs(60));
    assert_eq!(running.ask("GET", "/v1/tasks", &short).await.code(), "unauthorized");
    assert_eq!(running.ask("GET", "/v1/tasks", &long).await.status, 200);
    let listed = running.ask("GET", "/v1/tokens", &running.admin).await;
    let listed = listed.json();
    let seen = listed.as_array().unwrap().iter().find(|token| token["id"] == id.as_str()).unwrap();
    assert!(seen["last_used_at"].is_string() && !listed.to_string().contains(&long), "{listed}");
    let path = format!("/v1/tokens/{id}");
    assert_eq!(running.ask("DELETE", &path, &running.admin).await.status, 204);
    assert_eq!(running.ask("DELETE", &path, &running.admin).await.status, 204);
    assert_eq!(running.ask("GET", "/v1/tasks", &long).await.code(), "unauthorized");
    assert_eq!(running.ask("DELETE", "/v1/tokens/none", &running.admin).await.code(), "not_found");
}

#[tokio::test]
async fn the_first_token_makes_one_other_and_is_spent() {
    let running = Running::start().await;
    let now = running.now();
    // There is one already: no first token.
    assert!(bootstrap(&*running.store, now).unwrap().is_none());
    let store = gloaming_store::MemoryStore::new(gloaming_store::Limits::default());
    let keep = |name: &str, scope: &str, repo: &str| {
        let new = json!({"name": name, "scopes": [scope], "repos": [repo]});
        let new = serde_json::from_value(new).unwrap();
        gloaming_server::make_token(&store, &new, now).unwrap().unwrap()
    };
    // Of some repositories alone it is no administrator that could make another; and what workers have they keep.
    let kept = [keep("theirs", "admin", "acme/*"), keep("one", "worker", "*")];
    let lost = bootstrap(&store, now).unwrap().unwrap();
    let first = bootstrap(&store, now).unwrap().unwrap();
    let revoked = gloaming_store::Store::token(&store, &lost.id).unwrap().unwrap().0.revoked_at;
    assert!(revoked.is_some(), "an earlier start's is not taken any more");
    for token in &kept {
        let view = gloaming_store::Store::token(&store, &token.id).unwrap().unwrap().0;
        assert_eq!(view.revoked_at, None, "{}", view.name);
    }
    let fresh = crate::support::Running::over(store).await;
    let ask = json!({"name": "admin", "scopes": ["admin"], "repos": ["*"]});
    assert_eq!(fresh.ask("GET", "/v1/tokens", &first.token).await.code(), "forbidden");
    let second = json!({"name": "bootstrap", "scopes": ["admin"], "repos": ["*"]});
    assert_eq!(fresh.post("/v1/tokens", &first.token, second).await.code(), "invalid_body");
    let made = fresh.post("/v1/tokens", &first.token, ask.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(fresh.post("/v1/tokens", &first.token, ask).await.code(), "unauthorized");
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(fresh.ask("GET", "/v1/tokens", &token).await.status, 200);
}

#[tokio::test]
async fn each_endpoint_takes_its_scope_and_no_other() {
    for endpoint in ENDPOINTS {
        // A server for each: refusals of one address are bounded.
        let running = Running::start().await;
        let tokens: Vec<(Scope, String)> =
            Scope::ALL.iter().map(|scope| (*scope, running.token(scope.as_str(), &[*scope], "*"))).collect();
        let (Auth::Token(wanted) | Auth::Session(wanted) | Auth::Password(wanted)) = endpoint.auth else {
            continue;
        };
        for (scope, token) in &tokens {
            let path = endpoint.path.replace(['{', '}'], "");
            let status = running.ask(endpoint.method.as_str(), &path, token).await.status;
            assert_eq!(status == 403, !scope.covers(wanted), "{} {}", endpoint.name, scope.as_str());
        }
    }
}

/// Whatever is asked of another's repository is answered as if there were none: the same status, words and log.
#[tokio::test]
async fn a_token_of_another_repository_learns_nothing_from_any_endpoint() {
    // More is refused here than one token may be refused.
    let settings = gloaming_server::Settings { rate_factor: 0, ..gloaming_server::Settings::default() };
    let running = Running::with(crate::support::Setup { settings, ..crate::support::Setup::default() }).await;
    let foreign = put(&running, "acme/secret");
    let missing = gloaming_api::TaskId::generate();
    let all = [Scope::Submit, Scope::Worker];
    let owner = running.token("of-secret", &all, "acme/*");
    let dead = give_up(&running, &foreign);
    let lease = json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 0});
    let leased = running.post("/v1/leases", &owner, lease.clone()).await.json();
    assert_eq!(leased["task"], foreign.as_str());
    let stranger = running.token("stranger", &all, "other/*");
    let admin = running.token("their-admin", &[Scope::Admin], "other/*");
    for (endpoint, stranger) in
        ENDPOINTS.iter().flat_map(|endpoint| [(endpoint, &stranger), (endpoint, &admin)])
    {
        let (Auth::Token(scope) | Auth::Session(scope) | Auth::Password(scope)) = endpoint.auth else {
            continue;
        };
        let scopes = if *stranger == admin { &[Scope::Admin][..] } else { &all[..] };
        if !scopes.iter().any(|one| one.covers(scope)) {
            continue;
        }
        let mut answers = Vec::new();
        for (task, name) in [(&foreign, "secret"), (&missing, "nothing")] {
            let id = match (endpoint.name, name) {
                ("revoke_token", "secret") => &owner[4..20],
                ("revoke_token", _) => "0123456789abcdef",
                ("revive_effect", "secret") => &dead,
                ("revive_effect", _) => "4711",
                _ => task.as_str(),
            };
            let path = endpoint
                .path
                .replace("{id}", id)
                .replace("{task}", task.as_str())
                .replace("{attempt}", "1")
                .replace("{digest}", gloaming_api::Digest::of("x").as_str())
                .replace("{owner}/{name}", &format!("acme/{name}"));
            let query: Vec<String> = endpoint
                .query
                .iter()
                .filter(|param| param.required)
                .map(|param| match param.name {
                    "from" => "from=0".to_owned(),
                    "service" => "service=git-upload-pack".to_owned(),
                    name => format!("{name}=list"),
                })
                .collect();
            let (kind, body) = match (endpoint.name, endpoint.body) {
                ("submit_task", _) => {
                    ("application/json", json!({"repo": format!("acme/{name}"), "text": "x"}))
                }
                ("create_token", _) => (
                    "application/json",
                    json!({"name": "mine", "scopes": ["read"], "repos": [format!("acme/{name}")]}),
                ),
                ("lease", _) => ("application/json", lease.clone()),
                ("renew_lease", _) => {
                    ("application/json", json!({"cost": {"usd": 0.0, "calls": 0, "wall_s": 0.0}}))
                }
                ("lease_profile", _) => ("application/json", json!(gloaming_api::Profile::empty())),
                ("lease_result", _) => (
                    "application/json",
                    json!({"kind": "failed", "error": "x", "cost": {"usd": 0.0, "calls": 0, "wall_s": 0.0}}),
                ),
                ("web_submit", _) => {
                    ("application/x-www-form-urlencoded", json!(format!("a&repo=acme/{name}&text=x&b")))
                }
                (_, Content::Form) => ("application/x-www-form-urlencoded", json!({})),
                (_, Content::Lines) => ("application/jsonl", json!({})),
                (_, Content::Git(kind)) => (kind, json!({})),
                _ => ("application/octet-stream", json!("x")),
            };
            let body =
                if matches!(endpoint.body, Content::None) { vec![] } else { body.to_string().into_bytes() };
            let path = format!("{path}?{}", query.join("&"));
            let headers = [("content-type", kind)];
            let answer = running.send(endpoint.method.as_str(), &path, stranger, &headers, body).await;
            let mut text = answer.text().replace(answer.header("x-request-id"), "ID");
            // Each form has a key of its own.
            if let Some((before, after)) = text.split_once("name=\"key\" value=\"") {
                text = format!("{before}{}", &after[32..]);
            }
            // A form that is refused shows what was sent.
            text = text.replace(task.as_str(), "TASK").replace(&format!("acme/{name}"), "REPO");
            assert!(!text.contains("secret"), "{}: {text}", endpoint.name);
            // What is measured grows from one answer to the next; of repositories it says nothing.
            let text = if endpoint.name == "metrics" { String::new() } else { text };
            answers.push((answer.status, text));
        }
        assert_eq!(answers[0], answers[1], "{}", endpoint.name);
        if endpoint.name == "create_token" {
            assert_eq!(answers[0].0, 403, "{:?}", answers[0]);
            continue;
        }
        let quiet = matches!(endpoint.name, "list_tasks" | "stats" | "lease")
            || matches!(endpoint.name, "list_tokens" | "dead_effects" | "metrics")
            || matches!(endpoint.name, "web_tasks" | "web_repos" | "web_submit_page" | "web_logout");
        assert!(quiet || matches!(answers[0].0, 404 | 409), "{}: {:?}", endpoint.name, answers[0]);
    }
    // What was refused is written down alike for both.
    let log = running.store.audit_log(0, 1000).unwrap();
    let of = |task: &gloaming_api::TaskId| {
        log.iter().filter(|entry| entry.decision == "deny" && entry.subject.contains(task.as_str())).count()
    };
    assert_eq!(of(&foreign), of(&missing));
    assert!(of(&foreign) >= 12, "{}", of(&foreign));
    let shown = running.ask("GET", &format!("/v1/tasks/{foreign}"), &owner).await.json();
    assert_eq!((&shown["state"], &shown["attempt"]), (&json!("running"), &json!(1)));
}

/// Gives up something that was to be done for a task, and returns its number.
fn give_up(running: &Running, task: &gloaming_api::TaskId) -> String {
    let what = NewEffect { key: format!("k/{task}"), kind: "none".into(), payload: json!({}) };
    running.store.add_effect(Some(task), &what, running.now()).unwrap();
    let due = running
        .store
        .effects(gloaming_store::Kinds::ALL, 100, Duration::from_secs(60), running.now())
        .unwrap();
    let id = due.iter().find(|effect| effect.what.key == what.key).unwrap().id;
    let end = EffectEnd::Dead { error: "the secret is refused".into() };
    running.store.effect_ended(id, &end, running.now()).unwrap();
    id.to_string()
}

#[tokio::test]
async fn an_administrator_of_some_repositories_is_one_of_these_alone() {
    let running = Running::start().await;
    let admin = running.token("their-admin", &[Scope::Admin], "acme/*");
    let make = async |repos: &[&str]| {
        let new = json!({"name": "mine", "scopes": ["admin"], "repos": repos});
        running.post("/v1/tokens", &admin, new).await
    };
    for wider in [&["*"][..], &["other/*"], &["acme/api", "other/api"]] {
        let refused = make(wider).await;
        assert_eq!(refused.code(), "forbidden", "{wider:?}");
        assert!(refused.text().contains("for acme/* alone"), "{}", refused.text());
    }
    for own in [&["acme/*"][..], &["ACME/api"], &["acme/api", "acme/web"]] {
        assert_eq!(make(own).await.status, 201, "{own:?}");
    }
    let listed = running.ask("GET", "/v1/tokens", &admin).await.json();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine", "mine", "mine", "their-admin"]);
    let all = running.ask("GET", "/v1/tokens", &running.admin).await.json();
    let id_of = |token: &serde_json::Value| format!("/v1/tokens/{}", token["id"].as_str().unwrap());
    let other = all.as_array().unwrap().iter().find(|one| one["name"] == "admin").unwrap();
    assert_eq!(running.ask("DELETE", &id_of(other), &admin).await.code(), "not_found");
    assert_eq!(running.ask("DELETE", &id_of(&listed[0]), &admin).await.status, 204);

    let dead = ["acme/api", "other/api"].map(|repo| give_up(&running, &put(&running, repo)));
    let seen = async |token: &str| running.ask("GET", "/v1/dead", token).await.json();
    assert_eq!(seen(&running.admin).await.as_array().unwrap().len(), 2);
    let own = seen(&admin).await;
    assert_eq!((own.as_array().unwrap().len(), own[0]["id"].to_string()), (1, dead[0].clone()));
    let revive = async |id: &str| running.ask("POST", &format!("/v1/dead/{id}/revive"), &admin).await.status;
    assert_eq!((revive(&dead[1]).await, revive(&dead[0]).await), (404, 204));
    assert_eq!(seen(&running.admin).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn strangers_cannot_fill_the_audit_log() {
    let running = Running::start().await;
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..300 {
        *codes.entry(running.ask("GET", "/v1/tasks", "glm_x").await.code()).or_insert(0) += 1;
    }
    assert!(codes["rate_limited"] > 100, "{codes:?}");
    let denied = running.store.audit_log(0, 1000).unwrap();
    assert_eq!(denied.len(), codes["unauthorized"]);
    assert!(denied.iter().all(|entry| entry.who == "address:127.0.0.1"));
}
