//! What every page has around it.

use std::sync::OnceLock;

use gloaming_api::Digest;
use gloaming_api::access::Scope;
use gloaming_api::problem::Problem;
use maud::{DOCTYPE, Markup, html};

use super::forms;
use super::text::shown;
use crate::app::Asked;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("live.js");

/// Whose page it is, and where it stands among the others.
pub(super) struct Frame {
    name: Option<String>,
    scopes: Vec<Scope>,
    session: Option<String>,
    endpoint: &'static str,
}

/// The pages that the navigation names, with what they are for.
const PAGES: &[(&str, &str, &str, Scope)] = &[
    ("web_tasks", "/web", "Tasks", Scope::Read),
    ("web_submit_page", "/web/new", "New task", Scope::Submit),
    ("web_repos", "/web/repos", "Repositories", Scope::Read),
];

impl Frame {
    pub(super) fn of(asked: &Asked) -> Self {
        let token = asked.caller.as_ref().map(|caller| &caller.token);
        Self {
            name: token.map(|token| token.name.clone()),
            scopes: token.map(|token| token.scopes.clone()).unwrap_or_default(),
            session: asked.session.clone(),
            endpoint: asked.endpoint.name,
        }
    }

    /// A page for whoever it is.
    pub(super) fn stranger() -> Self {
        Self { name: None, scopes: Vec::new(), session: None, endpoint: "" }
    }

    /// Whether this person may do what a scope is needed for.
    pub(super) fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(wanted))
    }

    /// Returns what a form of this page must repeat.
    pub(super) fn check(&self, endpoint: &str) -> String {
        self.session.as_deref().map(|secret| forms::secret_of(endpoint, secret)).unwrap_or_default()
    }

    pub(super) fn page(&self, title: &str, main: Markup) -> Markup {
        self.with_script(title, main, false)
    }

    /// A page that keeps itself up to date where there is JavaScript.
    pub(super) fn live_page(&self, title: &str, main: Markup) -> Markup {
        self.with_script(title, main, true)
    }

    fn with_script(&self, title: &str, main: Markup, script: bool) -> Markup {
        let here = |endpoint: &str| (endpoint == self.endpoint).then_some("page");
        document(
            title,
            script,
            html! {
                header class="top" {
                    p class="brand" { a href="/web" { "Gloaming" } }
                    @if let Some(name) = &self.name {
                        nav aria-label="Main" {
                            ul {
                                @for (endpoint, path, label, scope) in PAGES {
                                    @if self.may(*scope) { li { a href=(path) aria-current=[here(endpoint)] { (label) } } }
                                }
                            }
                        }
                        form method="post" action="/web/logout" class="who" {
                            (forms::check_field(&self.check("web_logout")))
                            span { span class="for-ears" { "Logged in with the token " } (shown(name)) }
                            button type="submit" { "Log out" }
                        }
                    }
                }
                main id="main" tabindex="-1" { (main) }
            },
        )
    }
}

fn version(content: &str, kept: &'static OnceLock<String>) -> &'static str {
    kept.get_or_init(|| Digest::of(content).hex().chars().take(12).collect())
}

fn document(title: &str, script: bool, body: Markup) -> Markup {
    static STYLE_VERSION: OnceLock<String> = OnceLock::new();
    static SCRIPT_VERSION: OnceLock<String> = OnceLock::new();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(title)) " · Gloaming" }
                link rel="stylesheet" href={ "/web/style.css?v=" (version(STYLE, &STYLE_VERSION)) };
                @if script {
                    script src={ "/web/live.js?v=" (version(SCRIPT, &SCRIPT_VERSION)) } defer {}
                }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

/// Says what did not come of a form, and why, above it.
pub(super) fn alert(heading: &str, problem: &Problem) -> Markup {
    html! {
        div class="notice bad" role="alert" {
            p { strong { (heading) } }
            p { (shown(&problem.detail)) }
        }
    }
}

/// The page of a request that is refused.
pub(super) fn problem(frame: &Frame, problem: &Problem) -> Markup {
    frame.page(
        &problem.title,
        html! {
            h1 { (problem.title) }
            p { (shown(&problem.detail)) }
            p class="hint" {
                "Code " code { (problem.code.as_str()) }
                @if let Some(id) = &problem.request_id { ", request " code { (id) } }
                "."
            }
            p { a href="/web" { "To the tasks" } }
        },
    )
}

/// Where a person logs in.
pub(super) fn login(check: &str, next: &str, problem: Option<&Problem>) -> Markup {
    let wrong = problem.map(|_| "true");
    Frame::stranger().page("Log in", html! {
        div class="narrow" {
            h1 { "Log in" }
            @if let Some(problem) = problem { (alert("Not logged in", problem)) }
            form method="post" action="/web/login" class="stack" {
                (forms::check_field(check))
                input type="hidden" name="next" value=(next);
                div class="field" {
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" required autocomplete="current-password" spellcheck="false"
                        aria-describedby="token-hint" aria-invalid=[wrong];
                    p id="token-hint" class="hint" {
                        "It begins with " code { "glm_" } ". Whoever runs this control plane makes one with "
                        code { "gloaming token create" } "."
                    }
                }
                p { button type="submit" class="primary" { "Log in" } }
            }
        }
    })
}

/// A page that asks for the wanted one from here: from elsewhere the browser keeps the session's cookie back.
pub(super) fn go_on(wanted: &str) -> Markup {
    let wanted = if wanted.starts_with("/web") { wanted } else { super::HOME };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Gloaming" }
                meta http-equiv="refresh" content={ "0; url=" (wanted) };
            }
            body { main { h1 { "Gloaming" } p { a href=(wanted) { "Go on to the page" } } } }
        }
    }
}
