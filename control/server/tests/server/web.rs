//! The pages: what is on them, who sees them, and what a form must come with.
#![expect(clippy::disallowed_methods, reason = "the operator's files of a test are files of the host")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_server::{Policies, Settings, Tls};
use serde_json::json;

use crate::scene::{Scene, task};
use crate::support::{Answer, LONG, Running, Setup};

/// A browser, as far as forms and cookies go.
struct Browser<'a> {
    running: &'a Running,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    fn new(running: &'a Running) -> Self {
        Self { running, cookies: RefCell::default() }
    }

    async fn login(running: &'a Running, token: &str) -> Self {
        let browser = Self::new(running);
        let answer = browser.try_login(token, "/web").await;
        assert_eq!((answer.status, answer.header("location")), (303, "/web"), "{}", answer.text());
        browser
    }

    async fn try_login(&self, token: &str, next: &str) -> Answer {
        let page = self.get("/web/login").await;
        self.post(
            "/web/login",
            &[("check", &check(&page.text(), "/web/login")), ("next", next), ("token", token)],
        )
        .await
    }

    fn cookie(&self) -> String {
        let all: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        all.join("; ")
    }

    fn kept(&self, answer: Answer) -> Answer {
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.cookies.borrow_mut().remove(name),
                value => self.cookies.borrow_mut().insert(name.into(), value.into()),
            };
        }
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.kept(self.running.send("GET", path, "", &[("cookie", &self.cookie())], vec![]).await)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_as(path, fields, &[]).await
    }

    async fn post_as(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookie = self.cookie();
        let own = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let headers: Vec<(&str, &str)> = own.into_iter().chain(headers.iter().copied()).collect();
        self.kept(self.running.send("POST", path, "", &headers, body.into()).await)
    }
}

/// Returns what the form of a page that goes to a path must repeat.
fn check(page: &str, path: &str) -> String {
    let form = page
        .split("<form")
        .find(|form| form.contains(&format!("action=\"{path}\"")))
        .expect("there is a form");
    let value =
        form.split("name=\"check\" value=\"").nth(1).expect("it has the field").split('"').next().unwrap();
    assert!(value.len() == 64 || value.is_empty(), "{value}");
    value.to_owned()
}

async fn scene(evil: &str) -> Running {
    let running = Running::start().await;
    let scene = Scene::new(&running, evil);
    scene.all();
    scene.profile();
    running
}

/// A page as it is kept: what changes with each session and version is left out, and each element has a line.
fn kept(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("name=\"check\" value=\"") {
        out.push_str(&format!("{before}name=\"check\" value=\"CHECK"));
        rest = after.get(64..).unwrap_or_default();
    }
    out.push_str(rest);
    for (from, to) in [
        ("style.css?v=", "style.css?v=VERSION\""),
        ("live.js?v=", "live.js?v=VERSION\""),
        ("name=\"key\" value=\"", "name=\"key\" value=\"KEY\""),
    ] {
        if let Some((before, after)) = out.split_once(from) {
            let (_, after) = after.split_once('"').unwrap();
            out = format!("{before}{to}{after}");
        }
    }
    for element in [
        "<section",
        "<h1",
        "<h2",
        "<h3",
        "<p",
        "<div",
        "<dl",
        "<ul",
        "<ol",
        "<li",
        "<tr",
        "<th",
        "<td",
        "<form",
        "<input",
        "<main",
        "<header",
        "<nav",
        "<pre",
        "<details",
        "<table",
        "</section",
        "</main",
        "<body",
        "<head>",
        "<meta",
        "<link",
        "<title",
        "<script",
        "<label",
        "<button",
        "<option",
    ] {
        for end in [" ", ">"] {
            out = out.replace(
                &format!("{}{end}", element.trim_end_matches('>')),
                &format!("\n{}{end}", element.trim_end_matches('>')),
            );
        }
    }
    out
}

#[tokio::test]
async fn the_pages_are_what_they_were() {
    let running = scene("").await;
    let browser = Browser::login(&running, &running.token("anna", &[Scope::Submit], "*")).await;
    for (name, path) in [
        ("login", "/web/login".to_owned()),
        ("tasks", "/web".to_owned()),
        ("published", format!("/web/tasks/{}", task(1))),
        ("bowed_out", format!("/web/tasks/{}", task(2))),
        ("failed", format!("/web/tasks/{}", task(3))),
        ("queued", format!("/web/tasks/{}", task(4))),
        ("new", "/web/new?repo=acme%2Fapi".to_owned()),
        ("repos", "/web/repos".to_owned()),
        ("explained", "/web/repos/acme/api?call=edit+.github/workflows/ci.yml".to_owned()),
    ] {
        insta::assert_snapshot!(format!("web_{name}"), kept(&browser.get(&path).await));
    }
}

#[tokio::test]
async fn nothing_that_somebody_else_wrote_is_markup_or_unseen() {
    for (evil, never) in [
        ("<script>alert(1)</script>", "<script>alert"),
        ("\"><img src=x onerror=alert(1)>", "<img"),
        ("' onfocus='alert(1)' x='", "' onfocus='alert(1)' x='\" "),
        ("</pre></textarea></title><svg onload=alert(1)>", "<svg"),
        ("\u{202e}gnp.exe", "\u{202e}"),
        ("\u{2066}\u{200b}\u{e0041}\u{1b}[8m", "\u{e0041}"),
        ("&lt;b&gt;<!--", "<!--"),
    ] {
        let running = scene(evil).await;
        let browser = Browser::login(&running, &running.token("anna", &[Scope::Submit], "*")).await;
        let query: String = form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let mut paths: Vec<String> = (1..=4).map(|number| format!("/web/tasks/{}", task(number))).collect();
        paths.extend([
            "/web".to_owned(),
            format!("/web/new?repo={query}"),
            format!("/web/repos/acme/api?call={query}"),
            format!("/web?repo={query}"),
            format!("/web/login?next={query}"),
        ]);
        for path in paths {
            let text = browser.get(&path).await.text();
            assert!(!text.contains(never), "{path}: {text}");
            assert_eq!(
                text.matches("<script").count(),
                text.matches("<script src=\"/web/live.js?v=").count(),
                "{path}"
            );
            assert!(!text.contains("href=\"javascript:") && !text.contains(" style="), "{path}");
            let unseen = gloaming_api::text::hidden(&text).next();
            assert_eq!(unseen, None, "{path}");
        }
        let page = browser.get("/web/new").await.text();
        let fields = [
            ("check", check(&page, "/web/new")),
            ("repo", format!("acme/api{evil}")),
            ("text", evil.to_owned()),
            ("base", evil.to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = browser.post("/web/new", &fields).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(
            !refused.text().contains(never) || evil.starts_with('\u{202e}') || evil.starts_with('\u{2066}'),
            "{}",
            refused.text()
        );
        assert!(refused.text().contains("role=\"alert\""));
    }
}

#[tokio::test]
async fn what_a_browser_is_told_keeps_everything_else_out() {
    let running = scene("").await;
    let browser = Browser::login(&running, &running.token("anna", &[Scope::Submit], "*")).await;
    for path in [
        "/",
        "/web",
        "/web/login",
        "/web/style.css?v=1",
        "/web/live.js",
        "/web/repos/acme/api",
        "/web/nothing",
        "/web/tasks/t-0",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"),
            "{path}: {policy}"
        );
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        let text = answer.text();
        assert!(
            !text.contains("src=\"http") && !text.contains("url(") && !text.contains("@import"),
            "{path}"
        );
    }
    assert_eq!(browser.get("/web/nothing").await.status, 404);
    assert_eq!(browser.get("/").await.header("location"), "/web");
}

#[tokio::test]
async fn a_session_is_worth_what_its_token_is_worth() {
    let running = scene("").await;
    let stranger = Browser::new(&running);
    let asked = stranger.get("/web/tasks/t-1?").await;
    assert_eq!((asked.status, asked.header("location")), (303, "/web/login?next=%2Fweb%2Ftasks%2Ft-1%3F"));
    // From a link elsewhere the cookie does not come: the page asks once more, from here.
    let outside = running.send("GET", "/web/repos", "", &[("sec-fetch-site", "cross-site")], vec![]).await;
    assert!(outside.status == 200 && outside.text().contains("url=/web/repos"), "{}", outside.text());
    for bad in ["", "glm_x", &format!("glm_{}_{}", "0".repeat(16), "0".repeat(64))] {
        let answer = stranger.try_login(bad, "/web").await;
        assert!(
            answer.status == 401 && answer.text().contains("This token is not taken."),
            "{}",
            answer.text()
        );
    }
    let worker = running.token("worker", &[Scope::Worker], "*");
    assert_eq!(stranger.try_login(&worker, "/web").await.status, 403);

    let body = json!({"name": "short", "scopes": ["read"], "repos": ["acme/*"], "expires_s": 600});
    let made = running.post("/v1/tokens", &running.admin, body).await.json();
    let browser = Browser::new(&running);
    let answer = browser.try_login(made["token"].as_str().unwrap(), "/web/repos").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/web/repos"));
    let cookies: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
    assert!(
        cookies[0].starts_with("gloaming_session=")
            && cookies[0].ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{cookies:?}"
    );
    assert_eq!(browser.get("/web").await.status, 200);
    // It is no token of the API, and neither is its cookie.
    let api = running.send("GET", "/v1/tasks", "", &[("cookie", &browser.cookie())], vec![]).await;
    assert_eq!(api.code(), "unauthorized");
    // It may read, and nothing else.
    assert_eq!(browser.get("/web/new").await.status, 403);
    assert!(!browser.get(&format!("/web/tasks/{}", task(4))).await.text().contains("Stop task"));
    let mine = check(&browser.get("/web").await.text(), "/web/logout");
    assert_eq!(
        browser.post(&format!("/web/tasks/{}/cancel", task(4)), &[("check", &mine)]).await.status,
        403
    );
    // It ends with its token.
    running.pass(Duration::from_secs(600));
    assert_eq!(browser.get("/web").await.status, 303);

    let token = running.token("anna", &[Scope::Submit], "*");
    let browser = Browser::login(&running, &token).await;
    let first = browser.cookie();
    assert_eq!(browser.get("/web").await.status, 200);
    browser.try_login(&token, "/web").await;
    assert_ne!(browser.cookie(), first);
    assert_eq!(
        running.send("GET", "/web", "", &[("cookie", &first)], vec![]).await.status,
        303,
        "a login ends the one before"
    );
    let kept = browser.cookie();
    let page = browser.get("/web").await.text();
    let out = browser.post("/web/logout", &[("check", &check(&page, "/web/logout"))]).await;
    assert_eq!((out.status, out.header("location")), (303, "/web/login"));
    assert_eq!(
        running.send("GET", "/web", "", &[("cookie", &kept)], vec![]).await.status,
        303,
        "it has ended here, too"
    );
    let browser = Browser::login(&running, &token).await;
    assert!(running.store.revoke_token(&token[4..20], running.now()).unwrap());
    assert_eq!(browser.get("/web").await.status, 303);
}

#[tokio::test]
async fn under_tls_the_cookie_is_for_this_host_and_never_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = Settings { tls: Some(Tls { certificate, key }), ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let plain = Running::start().await;
    let proxied = plain.send("GET", "/web/login", "", &[("x-forwarded-proto", "https")], vec![]).await;
    assert!(
        proxied.header("set-cookie").starts_with("__Host-")
            && proxied.header("set-cookie").ends_with("; Secure")
    );
    assert!(!plain.ask("GET", "/web/login", "").await.header("set-cookie").contains("Secure"));
    let client = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap();
    let answer = client.get(format!("https://{}/web/login", running.address)).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-gloaming_form=")
            && cookie.contains("; Path=/;")
            && cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn a_form_is_taken_from_a_page_of_this_session_and_from_no_other() {
    let running = scene("").await;
    let token = running.token("anna", &[Scope::Submit], "*");
    let browser = Browser::login(&running, &token).await;
    let other = Browser::login(&running, &token).await;
    let cancel = format!("/web/tasks/{}/cancel", task(4));
    let retry = format!("/web/tasks/{}/retry", task(2));
    let page = browser.get(&format!("/web/tasks/{}", task(4))).await.text();
    let good = check(&page, &cancel);
    let foreign = check(&other.get(&format!("/web/tasks/{}", task(4))).await.text(), &cancel);
    let logout = check(&page, "/web/logout");
    for bad in [
        vec![],
        vec![("check", "")],
        vec![("check", foreign.as_str())],
        vec![("check", logout.as_str())],
        vec![("check", &good[1..])],
    ] {
        let answer = browser.post(&cancel, &bad).await;
        assert!(
            answer.status == 403 && answer.text().contains("this form is not of a page"),
            "{bad:?}: {}",
            answer.text()
        );
    }
    for path in ["/web/new", "/web/logout", &retry] {
        assert_eq!(
            browser.post(path, &[("check", &good), ("repo", "acme/api"), ("text", "x")]).await.status,
            403,
            "{path}"
        );
    }
    // A login that somebody else's page sends has no cookie that goes with its field.
    let stranger = Browser::new(&running);
    let field = check(&stranger.get("/web/login").await.text(), "/web/login");
    assert_eq!(
        Browser::new(&running).post("/web/login", &[("check", &field), ("token", &token)]).await.status,
        403
    );
    assert_eq!(
        browser.post_as(&cancel, &[("check", &good)], &[("sec-fetch-site", "same-site")]).await.status,
        403
    );
    assert_eq!(browser.post(&cancel, &[("check", &good), ("check", &good)]).await.status, 400);
    let state = || running.store.task(&task(4)).unwrap().unwrap().view.state.as_str();
    assert_eq!(state(), "queued");
    let done = browser.post_as(&cancel, &[("check", &good)], &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(
        (done.status, done.header("location"), state()),
        (303, &*format!("/web/tasks/{}", task(4)), "cancelled")
    );
    // Programs with a token in a header need no form.
    let bearer = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(
        running.send("POST", &format!("/web/tasks/{}/retry", task(4)), &token, &bearer, vec![]).await.status,
        303
    );
    assert_eq!(state(), "queued");
    let log = running.store.audit_log(0, 1000).unwrap();
    assert!(log.iter().any(|entry| entry.action == "web_cancel" && entry.decision == "allow"));
    assert!(log.iter().any(|entry| entry.action == "web_cancel" && entry.decision == "deny"));
}

#[tokio::test]
async fn a_task_is_asked_for_once_by_a_form_that_is_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "schema = 1\nrepos = [\"acme/*\"]\n[submit]\n\"token:anna\" = [\"model\"]\n";
    std::fs::write(dir.path().join("acme.toml"), policy).unwrap();
    let policies = Policies::open(Some(dir.path().to_owned())).unwrap();
    let running = Running::with(Setup { policies, ..Setup::default() }).await;
    let browser = Browser::login(&running, &running.token("anna", &[Scope::Submit], "*")).await;
    let page = browser.get("/web/new?repo=acme/api").await.text();
    let key = page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [
        ("check", &*check(&page, "/web/new")),
        ("key", key),
        ("repo", "acme/api"),
        ("text", "Fix it.\r\nSoon."),
        ("base", ""),
        ("priority", ""),
        ("cost_usd", ""),
    ];
    let first = browser.post("/web/new", &fields).await;
    assert_eq!(first.status, 303, "{}", first.text());
    let again = browser.post("/web/new", &fields).await;
    assert_eq!(again.header("location"), first.header("location"));
    let id = first.header("location").rsplit('/').next().unwrap().parse().unwrap();
    let asked = running.store.task(&id).unwrap().unwrap().view;
    assert_eq!(
        (asked.text.as_str(), asked.asker.as_str(), asked.base),
        ("Fix it.\nSoon.", "token:anna", None)
    );
    // What is refused is shown again as it was sent, with why.
    let mut wrong = fields;
    wrong[3].1 = "My long text";
    wrong[5].1 = "high";
    let refused = browser.post("/web/new", &wrong).await;
    assert!(
        refused.status == 422
            && refused.text().contains("My long text</textarea>")
            && refused.text().contains("at `priority`: want a whole number"),
        "{}",
        refused.text()
    );
    let mut blocked = fields;
    (blocked[1].1, blocked[2].1) = ("other", "other/site");
    let refused = browser.post("/web/new", &blocked).await;
    assert!(
        refused.status == 403 && refused.text().contains("no policy of this control plane is for other/site"),
        "{}",
        refused.text()
    );
    assert!(
        running
            .store
            .audit_log(0, 100)
            .unwrap()
            .iter()
            .any(|entry| entry.action == "web_submit" && entry.decision == "deny")
    );
}

#[tokio::test]
async fn what_a_token_may_not_see_is_on_no_page() {
    let running = scene("").await;
    let browser = Browser::login(&running, &running.token("anna", &[Scope::Submit], "other/*")).await;
    let missing = browser.get(&format!("/web/tasks/{}", gloaming_api::TaskId::generate())).await;
    let foreign = browser.get(&format!("/web/tasks/{}", task(1))).await;
    let told = |answer: &Answer| answer.text().replace(answer.header("x-request-id"), "ID");
    assert_eq!((foreign.status, told(&foreign)), (404, told(&missing)));
    assert_eq!(browser.get("/web/repos/acme/api").await.status, 404);
    assert_eq!(browser.get(&format!("/web/tasks/{}/events", task(1))).await.status, 404);
    let page = browser.get("/web/new").await.text();
    let fields = [("check", &*check(&page, "/web/new")), ("key", "k"), ("repo", "acme/api"), ("text", "x")];
    assert_eq!(browser.post("/web/new", &fields).await.status, 404);
    for path in ["/web", "/web?repo=acme/api", "/web/repos"] {
        let text = browser.get(path).await.text();
        assert!(!text.contains("/web/repos/acme") && !text.contains(task(1).as_str()), "{path}: {text}");
    }
}

#[tokio::test]
async fn tasks_are_shown_a_page_at_a_time() {
    let running = Running::start().await;
    let scene = Scene::new(&running, "");
    (1..=51).for_each(|number| scene.queue(number, "acme/api", &format!("Task {number}")));
    let browser = Browser::login(&running, &running.token("anna", &[Scope::Read], "*")).await;
    let first = browser.get("/web?repo=acme%2Fapi&state=queued").await.text();
    let older = format!("/web?repo=acme%2Fapi&amp;state=queued&amp;before={}", task(2));
    assert!(
        first.contains(&format!("<a href=\"{older}\" rel=\"next\">Older</a>")) && !first.contains("Newest"),
        "{first}"
    );
    let second = browser.get(&older.replace("&amp;", "&")).await.text();
    assert!(
        second.contains(">Task 1</a>") && second.contains(">Newest</a>") && !second.contains("Older"),
        "{second}"
    );
    assert!(browser.get("/web?state=failed").await.text().contains("No task here."));
    assert_eq!(browser.get("/web?state=nonsense").await.status, 400);
}

#[tokio::test]
async fn a_page_is_told_when_to_look_again() {
    let running = Running::start().await;
    let scene = Scene::new(&running, "");
    scene.queue(1, "acme/api", "Fix it");
    let token = running.token("anna", &[Scope::Read], "*");
    let browser = Browser::login(&running, &token).await;
    let page = browser.get(&format!("/web/tasks/{}", task(1))).await.text();
    let events = format!("/web/tasks/{}/events?after=1", task(1));
    assert!(page.contains(&format!("data-events=\"{events}\"")), "{page}");
    let mut stream = running.open("GET", &events, "", &[("cookie", &browser.cookie())], vec![]).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let lease = scene.claim(1);
    let mut told = String::new();
    while !told.contains("event: leased") {
        told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("it goes on")).unwrap());
    }
    assert!(!told.contains("event: submitted"), "{told}");
    scene.work(&lease);
    assert!(
        browser.get(&format!("/web/tasks/{}", task(1))).await.text().contains("Code: reading src/parse.rs")
    );
    // It ends with the session: what comes after is told to nobody.
    let out = check(&page, "/web/logout");
    assert_eq!(browser.post("/web/logout", &[("check", &out)]).await.status, 303);
    scene.publish(&lease);
    let mut rest = String::new();
    while let Some(more) = tokio::time::timeout(LONG, stream.chunk()).await.unwrap().unwrap() {
        rest.push_str(std::str::from_utf8(&more).unwrap());
    }
    assert!(!rest.contains("event: verified"), "{rest}");
    let browser = Browser::login(&running, &token).await;
    let page = browser.get(&format!("/web/tasks/{}", task(1))).await.text();
    assert!(page.contains("Published") && !page.contains("data-events"));
}
