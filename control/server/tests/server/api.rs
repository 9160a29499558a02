//! Tasks, policies, profiles, and what everybody may see.

use gloaming_api::access::Scope;
use gloaming_api::endpoints::{Auth, ENDPOINTS, Method};
use gloaming_api::{Digest, RepoId};
use gloaming_server::Policies;
use gloaming_store::{Limits, Submission};
use serde_json::{Value, json};

use crate::support::{Running, Setup};

#[tokio::test]
async fn a_task_is_asked_for_shown_listed_stopped_and_put_back() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "acme/*");
    let answer = running.post("/v1/tasks", &token, json!({"repo": "acme/api", "text": "Fix it."})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({"id": id, "state": "queued"}));
    assert_eq!(answer.header("location"), format!("/v1/tasks/{id}"));

    let shown = running.ask("GET", answer.header("location"), &token).await.json();
    assert_eq!((&shown["asker"], &shown["state"]), (&json!("token:bot"), &json!("queued")));

    let other = running.submit(&token, "acme/web").await;
    let page = running.ask("GET", "/v1/tasks?limit=1", &token).await.json();
    assert_eq!((&page["tasks"][0]["id"], &page["next"]), (&json!(other), &json!(other)));
    let page = running.ask("GET", &format!("/v1/tasks?limit=1&before={other}"), &token).await.json();
    assert_eq!((&page["tasks"][0]["id"], &page["next"]), (&json!(id), &Value::Null));
    let long = json!({"repo": "acme/long", "text": "é".repeat(2000)});
    let long = running.post("/v1/tasks", &token, long).await.json()["id"].clone();
    let page = running.ask("GET", "/v1/tasks?repo=acme/long", &token).await.json();
    assert_eq!(
        (&page["tasks"][0]["id"], &page["tasks"][0]["text"]),
        (&long, &json!(format!("{} ...", "é".repeat(512))))
    );
    let page = running.ask("GET", "/v1/tasks?repo=acme/web&state=queued", &token).await.json();
    assert_eq!(page["tasks"].as_array().unwrap().len(), 1);

    let path = format!("/v1/tasks/{id}");
    assert_eq!(running.ask("POST", &format!("{path}/retry"), &token).await.code(), "conflict");
    assert_eq!(running.ask("POST", &format!("{path}/cancel"), &token).await.json()["state"], "cancelled");
    assert_eq!(running.ask("POST", &format!("{path}/retry"), &token).await.json()["state"], "queued");
    for missing in ["patch", "evidence", "trajectory", "verdict"] {
        assert_eq!(running.ask("GET", &format!("{path}/{missing}"), &token).await.code(), "not_found");
    }
}

#[tokio::test]
async fn the_same_request_twice_is_one_task_and_another_under_its_key_is_none() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let other = running.token("other", &[Scope::Submit], "*");
    let send = async |token: &str, text: &str, key: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = json!({"repo": "acme/api", "text": text}).to_string();
        running.send("POST", "/v1/tasks", token, &headers, body.into()).await
    };
    let first = send(&token, "Fix it.", "k1").await;
    let again = send(&token, "Fix it.", "k1").await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(send(&token, "Fix that.", "k1").await.code(), "idempotency_conflict");
    assert_ne!(send(&other, "Fix it.", "k1").await.json(), first.json());
    assert_eq!(send(&token, "Fix it.", "a key").await.code(), "bad_request");
}

#[tokio::test]
async fn a_body_that_is_not_what_is_taken_is_refused_with_its_place() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let mut told = Vec::new();
    for body in [
        json!({"repo": "acme/api", "text": "x", "priorty": 1}),
        json!({"repo": "acme/api"}),
        json!({"repo": "acme", "text": "x"}),
        json!({"repo": "acme/api", "text": " \n"}),
        json!({"repo": "acme/api", "text": "x", "priority": 101}),
        json!({"repo": "acme/api", "text": "x", "needs": ["a", 3]}),
        json!({"repo": "acme/api", "text": "x", "cost_usd": -1}),
        json!({"repo": "acme/api", "text": "x", "base": "--upload-pack=x"}),
    ] {
        let answer = running.post("/v1/tasks", &token, body).await;
        told.push(format!("{} {}", answer.code(), answer.json()["detail"].as_str().unwrap()));
    }
    let not_json = [("content-type", "application/json")];
    for body in ["{", "{} {}", "\u{0}"] {
        let answer = running.send("POST", "/v1/tasks", &token, &not_json, body.into()).await;
        assert!(matches!(answer.code().as_str(), "bad_request" | "invalid_body"), "{}", answer.text());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        running.send("POST", "/v1/tasks", &token, &not_json, deep.into()).await.code(),
        "invalid_body"
    );
    insta::assert_snapshot!(told.join("\n"), @r#"
    invalid_body at `priorty`: unknown field `priorty`, expected one of `repo`, `kind`, `text`, `base`, `priority`, `not_before`, `supersede`, `needs`, `cost_usd` at line 1 column 10
    invalid_body missing field `text` at line 1 column 19
    invalid_body at `repo`: repository "acme" is not valid: want owner/name of letters, digits, - _ and . at line 1 column 14
    invalid_body at `text`: want 1 to 262144 bytes that are not all white space
    invalid_body at `priority`: want -100 to 100
    invalid_body at `needs[1]`: invalid type: integer `3`, expected a string at line 1 column 15
    invalid_body at `cost_usd`: want US dollars, 0 or more
    invalid_body at `base`: want a branch, tag or commit of at most 200 bytes
    "#);
}

#[tokio::test]
async fn a_query_holds_what_the_table_names_and_once() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Read], "*");
    let mut told = Vec::new();
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "state=done",
        "repo=acme",
        "before=1",
        "colour=red",
        "limit=1&limit=2",
        "%00=1",
    ] {
        let answer = running.ask("GET", &format!("/v1/tasks?{query}"), &token).await;
        told.push(format!("{} {}", answer.code(), answer.json()["detail"].as_str().unwrap()));
    }
    let answer = running.ask("GET", "/v1/repos/acme/api/explain", &token).await;
    told.push(format!("{} {}", answer.code(), answer.json()["detail"].as_str().unwrap()));
    insta::assert_snapshot!(told.join("\n"), @r"
    bad_request the query's `limit`: want 1 to 100
    bad_request the query's `limit`: want 1 to 100
    bad_request the query's `limit` cannot be that
    bad_request the query's `state` is none that tasks have
    bad_request the query's `repo` cannot be that
    bad_request the query's `before` cannot be that
    bad_request the query's parameter `colour` is unknown; list_tasks takes repo, state, before, limit
    bad_request the query's `limit` is there more than once
    bad_request the query's parameter `\0` is unknown; list_tasks takes repo, state, before, limit
    bad_request the query's `call` is missing
    ");
}

#[tokio::test]
async fn a_media_type_that_is_not_taken_is_refused() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let body = || json!({"repo": "acme/api", "text": "x"}).to_string().into_bytes();
    let send = async |kind: &'static str| {
        running.send("POST", "/v1/tasks", &token, &[("content-type", kind)], body()).await.status
    };
    assert_eq!(send("application/json; charset=utf-8").await, 202);
    assert_eq!(send("Application/JSON").await, 202);
    for kind in ["text/plain", "application/json; charset=latin1", "multipart/form-data; boundary=x", ""] {
        assert_eq!(send(kind).await, 415, "{kind}");
    }
    let zipped = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(
        running.send("POST", "/v1/tasks", &token, &zipped, body()).await.code(),
        "unsupported_media_type"
    );
}

/// `curl -H "Authorization: Bearer ..." -d '{...}'` says that it sends a form.
#[tokio::test]
async fn json_is_taken_from_who_names_no_media_type() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let good = json!({"repo": "acme/api", "text": "x"}).to_string();
    let send = async |headers: &[(&str, &str)], body: &str| {
        running.send("POST", "/v1/tasks", &token, headers, body.as_bytes().to_vec()).await
    };
    let curl = [("content-type", "application/x-www-form-urlencoded")];
    for headers in [&curl[..], &[]] {
        assert_eq!(send(headers, &good).await.status, 202, "{headers:?}");
        let form = send(headers, "repo=acme/api&text=x").await;
        assert_eq!((form.status, form.code()), (400, "bad_request".into()), "{}", form.text());
    }
    // Where no token is shown, a type is wanted: a page of another site's can send a form.
    let hook = running.send("POST", "/hooks/github", "", &curl, good.into_bytes()).await;
    assert_eq!(hook.code(), "unsupported_media_type", "{}", hook.text());
}

#[tokio::test]
async fn what_a_client_does_not_take_is_not_sent() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Read], "*");
    let ask = async |accept: &'static str| {
        running.send("GET", "/v1/tasks", &token, &[("accept", accept)], vec![]).await
    };
    for good in ["*/*", "application/*", "text/html, application/json;q=0.5", "APPLICATION/JSON"] {
        assert_eq!(ask(good).await.status, 200, "{good}");
    }
    for bad in ["text/html", "application/json;q=0", "text/*", "*", "", "application/xml, text/plain"] {
        let answer = ask(bad).await;
        assert_eq!((answer.status, answer.code()), (406, "not_acceptable".into()), "{bad}");
    }
}

#[tokio::test]
async fn head_and_options_are_answered_as_http_has_it() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let id = running.submit(&token, "acme/api").await;
    let path = format!("/v1/tasks/{id}");
    let get = running.ask("GET", &path, &token).await;
    let head = running.ask("HEAD", &path, &token).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    let options = running.ask("OPTIONS", &path, "").await;
    assert_eq!((options.status, options.header("allow")), (204, "GET, HEAD, OPTIONS"));
    let wrong = running.ask("DELETE", "/v1/tasks", "").await;
    assert_eq!(
        (wrong.header("allow"), wrong.code()),
        ("POST, GET, HEAD, OPTIONS", "method_not_allowed".into())
    );
}

#[tokio::test]
async fn every_endpoint_of_the_table_is_done_by_somebody() {
    let running = Running::start().await;
    let token = running.token("all", &[Scope::Admin, Scope::Worker], "*");
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{owner}/{name}", "acme/api").replace(['{', '}'], "");
        let path = if endpoint.name == "repo_explain" { format!("{path}?call=list") } else { path };
        let answer = running.ask(endpoint.method.as_str(), &path, &token).await;
        assert!(answer.status < 500, "{}: {}", endpoint.name, answer.text());
        assert!(!answer.header("x-request-id").is_empty(), "{}", endpoint.name);
        if endpoint.auth != Auth::Public {
            let status = running.ask(endpoint.method.as_str(), &path, "").await.status;
            // People are led to where they log in.
            let led = matches!(endpoint.auth, Auth::Session(_)) && endpoint.method == Method::Get;
            assert_eq!(status, if led { 303 } else { 401 }, "{}", endpoint.name);
        }
    }
}

#[tokio::test]
async fn the_operators_policy_decides_who_may_ask_and_is_told_to_who_may_see_it() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "schema = 1\nrepos = [\"acme/*\"]\n[submit]\n\"token:release-bot\" = [\"model\"]\n";
    std::fs::write(dir.path().join("acme.toml"), policy).unwrap();
    let policies = Policies::open(Some(dir.path().to_owned())).unwrap();
    let running = Running::with(Setup { policies, ..Setup::default() }).await;
    let may = running.token("release-bot", &[Scope::Submit], "*");
    let may_not = running.token("bot", &[Scope::Submit], "*");
    let task = |repo: &str| json!({"repo": repo, "text": "x"});
    assert_eq!(running.post("/v1/tasks", &may, task("acme/api")).await.status, 202);
    let refused = running.post("/v1/tasks", &may_not, task("acme/api")).await;
    assert_eq!(refused.code(), "policy_blocked");
    assert!(refused.text().contains("acme.toml:3"), "{}", refused.text());
    assert_eq!(running.post("/v1/tasks", &may, task("other/api")).await.code(), "policy_blocked");

    let told = running.ask("GET", "/v1/repos/acme/api/policy", &may).await.json();
    assert_eq!(told["layers"][0]["text"], policy);
    // What it does not say, a repository's own file being none of the operator's.
    let note = told["note"].as_str().unwrap();
    assert!(note.contains(".gloaming/policy.toml") && note.contains("trajectory"), "{note}");
    let call = "/v1/repos/acme/api/explain?call=submit%20token:bot%20model";
    let told = running.ask("GET", call, &may).await.json();
    assert_eq!((&told["decision"], &told["line"]), (&json!("deny"), &json!(3)));
    assert_eq!(told["note"], note);
    assert_eq!(running.ask("GET", "/v1/repos/other/api/policy", &may).await.code(), "not_found");
    let log = running.store.audit_log(0, 100).unwrap();
    let decisions: Vec<String> =
        log.iter().map(|entry| format!("{} {} {}", entry.decision, entry.action, entry.subject)).collect();
    assert_eq!(
        decisions,
        [
            "allow submit_task acme/api",
            "deny submit_task /v1/tasks",
            "deny submit_task /v1/tasks",
            "deny repo_policy /v1/repos/other/api/policy"
        ]
    );
    assert!(gloaming_store::verify_audit(None, &log).is_ok());
}

#[tokio::test]
async fn a_profile_is_answered_once_until_another_is_stored() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Read], "acme/*");
    let repo: RepoId = "acme/api".parse().unwrap();
    let path = "/v1/repos/acme/api/profile";
    assert_eq!(running.ask("GET", path, &token).await.code(), "not_found");
    running.store.put_profile(&repo, &Digest::of("1"), &json!({"one": 1}), running.now()).unwrap();
    let first = running.ask("GET", path, &token).await;
    assert_eq!(
        (first.json(), first.header("etag")),
        (json!({"one": 1}), format!("\"{}\"", Digest::of("1")).as_str())
    );
    let etag = first.header("etag").to_owned();
    let same =
        running.send("GET", path, &token, &[("if-none-match", &format!("\"x\", W/{etag}"))], vec![]).await;
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, etag.as_str()));
    running.store.put_profile(&repo, &Digest::of("2"), &json!({"two": 2}), running.now()).unwrap();
    let second = running.send("GET", path, &token, &[("if-none-match", &etag)], vec![]).await;
    assert_eq!((second.status, second.json()), (200, json!({"two": 2})));
}

#[tokio::test]
async fn what_is_counted_is_told_to_who_may_see_it() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "acme/*");
    running.submit(&running.token("other", &[Scope::Submit], "*"), "other/api").await;
    let id = running.submit(&token, "acme/api").await;
    running.ask("POST", &format!("/v1/tasks/{id}/cancel"), &token).await;
    let stats = running.ask("GET", "/v1/stats", &token).await.json();
    assert_eq!((&stats["total"]["tasks"], &stats["total"]["dropped"]), (&json!(1), &json!(1)));
    assert_eq!(stats["repositories"].as_object().unwrap().keys().collect::<Vec<_>>(), ["acme/api"]);
    // The day of the test's clock is a Monday.
    assert_eq!(stats["weeks"].as_object().unwrap().keys().collect::<Vec<_>>(), ["2026-09-21"]);
    let metrics = running.ask("GET", "/metrics", &running.admin).await.text();
    for name in [
        "gloaming_http_request_seconds_bucket{endpoint=\"submit_task\",status=\"202\"",
        "gloaming_store_write_seconds_count{call=\"submit\"}",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert_eq!(running.ask("GET", "/metrics", &token).await.code(), "forbidden");
}

#[tokio::test]
async fn as_many_tasks_wait_as_may() {
    let limits = Limits { queued: 1, ..Limits::default() };
    let running = Running::with(Setup { limits, ..Setup::default() }).await;
    let token = running.token("bot", &[Scope::Submit], "*");
    running.submit(&token, "acme/api").await;
    let answer = running.post("/v1/tasks", &token, json!({"repo": "acme/api", "text": "x"})).await;
    assert_eq!((answer.code(), answer.header("retry-after")), ("overloaded".into(), "1"));
}

#[tokio::test]
async fn the_table_gives_out_what_it_says_and_waits_are_cut_at_its_limit() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Read], "*");
    // The burst is ten times the rate of 20; asked one after another so many fit, and soon no more.
    let mut refused = None;
    for _ in 0..2000 {
        let answer = running.ask("GET", "/v1/tasks", &token).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit is reached");
    assert_eq!(
        (refused.status, refused.code(), refused.header("retry-after")),
        (429, "rate_limited".into(), "1")
    );
    // Another client's bucket, and another endpoint's, are their own.
    let other = running.token("other", &[Scope::Read], "*");
    assert_eq!(running.ask("GET", "/v1/tasks", &other).await.status, 200);
    assert_eq!(running.ask("GET", "/v1/stats", &token).await.status, 200);
}

/// A task that a store was given without the server having been asked.
pub(crate) fn put(running: &Running, repo: &str) -> gloaming_api::TaskId {
    let submission = Submission {
        id: gloaming_api::TaskId::generate(),
        new: serde_json::from_value(json!({"repo": repo, "text": "x"})).unwrap(),
        source: gloaming_api::task::Source::Api,
        asker: "token:other".into(),
        by_name: true,
        idempotency: None,
        effects: vec![],
    };
    running.store.submit(&submission, running.now()).unwrap();
    submission.id
}
