//! How a run of a suite ended: by the engine's word, the exit code and the report, which have to agree.

use gloaming_api::job::JobExit;
use gloaming_jobs::JobOutput;
use gloaming_profile::Lack;

use crate::runners::Report;
use crate::steps::last_words;

/// How one run of the suite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran, and its report fits its exit code.
    Ran(Report),
    /// The build command, or compiling the tests, failed.
    BuildFailed(String),
    /// The build ran out of time or memory, twice.
    BuildLimit(String),
    /// The suite ran out of time or memory, twice.
    SuiteLimit(String),
    /// There is no positive evidence that it ran.
    NotRun(String),
}

impl Outcome {
    /// Says of what did not run that its tree's dependencies could not be set up, where that is so.
    pub(crate) fn for_want_of(self, lack: Option<Lack>) -> Self {
        let Some(lack) = lack else { return self };
        match self {
            Self::BuildFailed(why) => Self::BuildFailed(format!("{why}; {lack}")),
            Self::NotRun(why) => Self::NotRun(format!("{why}; {lack}")),
            other => other,
        }
    }
}

pub(crate) fn build_end(argv: &[String], output: &JobOutput) -> Option<Outcome> {
    let exit = output.record.exit;
    match exit {
        JobExit::Code(0) => None,
        JobExit::TimedOut | JobExit::OutOfMemory => {
            Some(Outcome::BuildLimit(format!("`{}` {exit}", argv.join(" "))))
        }
        _ => Some(Outcome::BuildFailed(format!("`{}` ended with {exit}{}", argv.join(" "), said(output)))),
    }
}

/// `: ` and the end of what a job printed, errors first.
pub(crate) fn said(output: &JobOutput) -> String {
    let text = if output.record.stderr_tail.trim().is_empty() {
        &output.record.stdout_tail
    } else {
        &output.record.stderr_tail
    };
    if text.trim().is_empty() { String::new() } else { format!(": {}", last_words(text, 400)) }
}

/// Returns how report and exit code contradict each other.
pub(crate) fn contradiction(report: &Report, exit: JobExit) -> Option<String> {
    let failed = report.failed();
    if report.tests.is_empty() {
        return Some(format!("the report lists no test; the suite ended with {exit}"));
    }
    match (exit, failed) {
        (JobExit::Code(0), 0) => None,
        (JobExit::Code(0), _) => {
            Some(format!("the suite ended with exit 0 and reports {failed} failed tests"))
        }
        (JobExit::Code(_), 1..) => None,
        (_, 0) => Some(format!("the suite ended with {exit} and reports no failed test")),
        (_, _) => Some(format!("the suite did not end by itself: {exit}")),
    }
}

#[cfg(test)]
mod tests {
    use gloaming_api::evidence::TestStatus;

    use super::*;

    #[test]
    fn exit_code_and_report_have_to_agree() {
        let mut good = Report::default();
        good.add("a".into(), TestStatus::Passed, None);
        let mut bad = good.clone();
        bad.add("b".into(), TestStatus::Failed, None);
        assert_eq!(contradiction(&good, JobExit::Code(0)), None);
        assert_eq!(contradiction(&bad, JobExit::Code(1)), None);
        for (report, exit, expect) in [
            (&bad, JobExit::Code(0), "the suite ended with exit 0 and reports 1 failed tests"),
            (&good, JobExit::Code(3), "the suite ended with exit 3 and reports no failed test"),
            (&bad, JobExit::Signal(9), "the suite did not end by itself: killed by signal 9"),
            (&good, JobExit::Signal(9), "the suite ended with killed by signal 9 and reports no failed test"),
            (&Report::default(), JobExit::Code(0), "the report lists no test; the suite ended with exit 0"),
        ] {
            assert_eq!(contradiction(report, exit).as_deref(), Some(expect));
        }
    }
}
