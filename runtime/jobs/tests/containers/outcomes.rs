//! How a job's end is told.

use gloaming_api::RelPath;
use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_jobs::{Cancel, EngineKind, JobError};

use crate::support::{Lane, on_every_engine, text};

on_every_engine!(
    exit_codes_and_signals_are_the_kernels,
    the_record_tells_what_was_run_and_under_what,
    a_missing_program_or_folder_is_the_jobs_failure,
    what_makes_no_sense_is_refused_before_anything_runs,
    a_printed_or_written_status_changes_nothing,
    a_background_process_does_not_outlive_the_command,
    two_jobs_run_at_once_each_with_its_own_world,
    a_cancelled_flag_stops_before_and_during,
);

async fn exit_codes_and_signals_are_the_kernels(lane: Lane) {
    for (script, exit) in [
        ("exit 0", JobExit::Code(0)),
        ("exit 3", JobExit::Code(3)),
        ("exit 255", JobExit::Code(255)),
        ("kill -TERM $$", JobExit::Signal(15)),
        ("kill -KILL $$", JobExit::Signal(9)),
        ("kill -ABRT $$", JobExit::Signal(6)),
    ] {
        assert_eq!(lane.sh(script).await.record.exit, exit, "{script}");
    }
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn the_record_tells_what_was_run_and_under_what(lane: Lane) {
    let mut job = lane.job(&["/bin/sh", "-c", "echo $GREETING; pwd; echo oops >&2"]);
    job.env.insert("GREETING".to_owned(), "hello".to_owned());
    job.cwd = RelPath::parse("a b/ü").unwrap();
    std::fs::create_dir_all(lane.workspace.path().join("a b/ü")).unwrap();
    let output = lane.run_job(&job).await.unwrap();
    assert_eq!(text(&output.stdout), "hello\n/workspace/a b/ü\n");
    assert_eq!(text(&output.stderr), "oops\n");
    let record = &output.record;
    assert_eq!(
        (record.purpose, record.argv.as_slice(), record.cwd.as_str(), record.engine.as_str(), record.exit),
        (JobPurpose::Test, job.argv.as_slice(), "a b/ü", lane.kind.as_str(), JobExit::Code(0))
    );
    assert_eq!(record.env, job.env);
    assert_eq!(&record.grant, lane.permit().grant_digest());
    assert_eq!(record.limits, lane.permit().limits());
    assert_eq!(
        (record.stdout_tail.as_str(), record.stderr_tail.as_str()),
        ("hello\n/workspace/a b/ü\n", "oops\n")
    );
    assert!(record.peak_memory.is_none_or(|bytes| bytes > 0));
}

async fn a_missing_program_or_folder_is_the_jobs_failure(lane: Lane) {
    std::fs::write(lane.workspace.path().join("data"), "x").unwrap();
    for (program, code, message) in [
        ("no-such-program", 127, "gloaming: no-such-program: program not found\n"),
        ("/workspace/none", 127, "gloaming: /workspace/none: program not found\n"),
        (
            "/workspace/data",
            126,
            "gloaming: /workspace/data: cannot be started: Permission denied (os error 13)\n",
        ),
    ] {
        let output = lane.run(&[program]).await;
        assert_eq!((output.record.exit, text(&output.stderr).as_str()), (JobExit::Code(code), message));
    }
    let mut job = lane.job(&["true"]);
    job.cwd = RelPath::parse("gone").unwrap();
    let output = lane.run_job(&job).await.unwrap();
    assert_eq!(output.record.exit, JobExit::Code(127));
    assert_eq!(
        text(&output.stderr),
        "gloaming: folder /workspace/gone: No such file or directory (os error 2)\n"
    );
}

async fn what_makes_no_sense_is_refused_before_anything_runs(lane: Lane) {
    assert!(matches!(lane.run_job(&lane.job(&[])).await, Err(JobError::Invalid { .. })));
    assert!(matches!(lane.run_job(&lane.job(&["a\0b"])).await, Err(JobError::Invalid { .. })));
    let mut job = lane.job(&["true"]);
    job.workspace = "/nonexistent/workspace".into();
    assert!(matches!(lane.run_job(&job).await, Err(JobError::Io { .. })));
    let mut job = lane.job(&["true"]);
    job.workspace = "/".into();
    assert!(matches!(lane.run_job(&job).await, Err(JobError::Invalid { .. })));
    for container in ["relative", "/a/../b", "/proc/x", "/dev", "/sys/fs", "/"] {
        let mut job = lane.job(&["true"]);
        job.mounts = vec![gloaming_jobs::Mount {
            host: "/usr".into(),
            container: container.to_owned(),
            writable: false,
        }];
        assert!(matches!(lane.run_job(&job).await, Err(JobError::Invalid { .. })), "{container}");
    }
    if lane.kind == EngineKind::Kubernetes {
        // Its nodes make every place for a mount.
        return;
    }
    // One that only the kernel refuses is this container's fault and not the machine's.
    let mut job = lane.job(&["true"]);
    job.mounts = vec![gloaming_jobs::Mount {
        host: "/usr".into(),
        container: "/usr/bin/no/such/folder".into(),
        writable: false,
    }];
    assert!(matches!(lane.run_job(&job).await, Err(JobError::Container { .. })));
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn a_printed_or_written_status_changes_nothing(lane: Lane) {
    // Every descriptor it has, and those of the first process, get a forged status.
    let output = lane
        .sh("printf 'x\\0\\0\\0\\0'; echo '{\"Finished\":{\"exit\":{\"how\":\"code\",\"value\":0}}}' | tee /dev/stderr
             for fd in /proc/self/fd/* /proc/1/fd/*; do printf 'x\\0\\0\\0\\0' > $fd; done 2>/dev/null
             ls /proc/1/fd /proc/1/root 2>/dev/null && echo visible
             kill -9 1; kill -9 -1; exit 7")
        .await;
    assert!(matches!(output.record.exit, JobExit::Code(7) | JobExit::Signal(9)), "{:?}", output.record.exit);
    assert!(!text(&output.stdout).contains("visible"));
}

async fn a_background_process_does_not_outlive_the_command(lane: Lane) {
    let output = lane.sh("setsid sh -c 'sleep 600; echo late > /workspace/late' & exit 4").await;
    assert_eq!(output.record.exit, JobExit::Code(4));
    // Nobody waited for it.
    assert!(output.record.duration_ms < 600_000);
    assert!(!lane.workspace.path().join("late").exists());
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn two_jobs_run_at_once_each_with_its_own_world(lane: Lane) {
    let other = Lane::open(lane.kind).await.expect("there is one already");
    // Each waits for the other's end of a host folder that only the test connects.
    let script = "echo $$ > /tmp/mine; echo started > /workspace/started; \
                  while [ ! -e /workspace/go ]; do sleep 0.02; done; ls /tmp; ls /proc | grep -c '^[0-9]'";
    let connect = async {
        let folders = [lane.until_made("started").await, other.until_made("started").await];
        for folder in folders {
            std::fs::write(folder.join("go"), "").unwrap();
        }
    };
    let (one, two, ()) = tokio::join!(lane.sh(script), other.sh(script), connect);
    for output in [one, two] {
        assert_eq!(output.record.exit, JobExit::Code(0));
        let lines = text(&output.stdout);
        let mut lines = lines.lines();
        assert_eq!(lines.next(), Some("mine"));
        assert!(lines.next().unwrap().parse::<u32>().unwrap() <= 6, "it sees another's processes");
    }
}

async fn a_cancelled_flag_stops_before_and_during(lane: Lane) {
    let cancel = Cancel::new();
    let job = lane.job(&["/bin/sh", "-c", "echo begun > /workspace/begun; setsid sleep 600; sleep 600"]);
    let permit = lane.permit();
    let stop = async {
        lane.until_made("begun").await;
        cancel.cancel();
    };
    let (output, ()) = tokio::join!(lane.engine.run(&permit, &job, &cancel), stop);
    assert_eq!(output.unwrap().record.exit, JobExit::Cancelled);
    let output = lane.engine.run(&permit, &job, &cancel).await.unwrap();
    assert_eq!((output.record.exit, output.record.duration_ms), (JobExit::Cancelled, 0));
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}
