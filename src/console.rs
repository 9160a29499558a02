//! What a person sees while work goes on: a live line on a terminal, plain lines otherwise.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gloaming_api::path::escape_name;
use gloaming_worker::Update;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints updates on standard error, so that standard output holds results alone.
#[derive(Clone)]
pub(crate) struct Console(Arc<Mutex<State>>);

struct State {
    bar: Option<ProgressBar>,
    stage: String,
    since: Instant,
    last: String,
    printed: Instant,
    quiet: Duration,
}

/// On anything but a terminal, at most one line of the same stage in this time.
const QUIET: Duration = Duration::from_secs(2);

impl Console {
    /// Returns a console for this process's standard error.
    pub(crate) fn new() -> Self {
        Self::quiet_for(QUIET)
    }

    /// The same for a worker's process: what is done last is always the last line.
    pub(crate) fn telling_all() -> Self {
        Self::quiet_for(Duration::ZERO)
    }

    fn quiet_for(quiet: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {prefix:<10} {wide_msg} {elapsed}")
                .expect("the template is valid: a test draws it");
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            bar,
            stage: String::new(),
            since: now,
            last: String::new(),
            printed: now,
            quiet,
        })))
    }

    /// Shows one update. Words that come from a repository or a model are made safe for a terminal.
    pub(crate) fn show(&self, update: Update) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match update {
            Update::Stage(stage) => {
                state.stage = stage.as_str().to_owned();
                state.since = Instant::now();
                let name = state.stage.clone();
                match &state.bar {
                    Some(bar) => {
                        bar.set_prefix(name);
                        bar.set_message("");
                        bar.reset_elapsed();
                    }
                    None => eprintln!("{name}"),
                }
            }
            Update::Doing(text) => {
                let text = escape_name(text.as_bytes());
                match &state.bar {
                    Some(bar) => bar.set_message(text),
                    None => {
                        if state.last != text && state.printed.elapsed() >= state.quiet {
                            eprintln!("  {text} ({:.0} s)", state.since.elapsed().as_secs_f64());
                            state.printed = Instant::now();
                            state.last = text;
                        }
                    }
                }
            }
            Update::Note(text) => line(&state, &format!("  note: {}", escape_name(text.as_bytes()))),
            Update::Finished { stage, detail } => {
                let took = state.since.elapsed().as_secs_f64();
                line(
                    &state,
                    &format!("  {} — {} ({took:.1} s)", stage.as_str(), escape_name(detail.as_bytes())),
                );
            }
        }
    }

    /// Removes the live line.
    pub(crate) fn close(&self) {
        let state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = &state.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(state: &State, text: &str) {
    match &state.bar {
        Some(bar) => bar.println(text),
        None => eprintln!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminals_line_shows_stage_and_words() {
        let term = indicatif::InMemoryTerm::new(3, 80);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like(Box::new(term.clone())));
        bar.set_style(ProgressStyle::with_template("{spinner} {prefix:<10} {wide_msg} {elapsed}").unwrap());
        let now = Instant::now();
        let state = State {
            bar: Some(bar),
            stage: String::new(),
            since: now,
            last: String::new(),
            printed: now,
            quiet: QUIET,
        };
        let console = Console(Arc::new(Mutex::new(state)));
        console.show(Update::Stage(gloaming_api::Stage::Baseline));
        console.show(Update::Doing("tests\u{1b}[2J".into()));
        let shown = term.contents();
        assert!(shown.contains("baseline") && shown.contains("tests\\u{1b}[2J"), "{shown}");
    }
}
