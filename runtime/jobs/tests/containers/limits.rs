//! Time, memory, processes, output and disk.

use gloaming_api::job::JobExit;

use crate::support::{Lane, on_every_engine, text};

on_every_engine!(
    output_beyond_the_limit_is_counted_and_never_blocks,
    the_time_limit_ends_a_whole_tree_of_processes,
    a_fork_bomb_stops_at_the_process_limit,
    a_memory_bomb_is_told_apart_from_a_failure,
    files_in_memory_are_full_before_the_job_is_killed,
);

async fn output_beyond_the_limit_is_counted_and_never_blocks(lane: Lane) {
    let limit = usize::try_from(lane.permit().limits().output).unwrap();
    let output =
        lane.sh("head -c 20000000 /dev/zero | tr '\\0' x; head -c 100 /dev/zero >&2; echo END").await;
    assert_eq!(output.record.exit, JobExit::Code(0));
    assert_eq!(output.stdout.len(), limit);
    assert_eq!(output.stderr.len(), 100);
    assert_eq!(output.dropped, 20_000_004 - limit as u64);
    assert!(output.record.stdout_tail.ends_with("xEND\n"));
}

async fn the_time_limit_ends_a_whole_tree_of_processes(lane: Lane) {
    let lane = lane.limited("timeout = \"1s\"");
    // Deaf to every signal that can be ignored, in sessions of their own, one of them printing for ever.
    let output = lane
        .sh("trap '' TERM INT HUP QUIT; (setsid sh -c \"trap '' TERM HUP; (setsid yes &) ; sleep 600\" &) ; \
             while :; do :; done")
        .await;
    assert_eq!(output.record.exit, JobExit::TimedOut);
    // Not before its time, and not by the end of its own that the longest of them would have come to.
    assert!((1000..600_000).contains(&output.record.duration_ms), "{}", output.record.duration_ms);
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn a_fork_bomb_stops_at_the_process_limit(lane: Lane) {
    let lane = lane.limited("timeout = \"3s\"\nprocesses = 40");
    let output = lane
        .run(&[
            "bash",
            "-c",
            "bomb() { bomb | bomb & }; bomb 2>/dev/null; bomb 2>/dev/null; while :; do :; done",
        ])
        .await;
    assert_eq!(output.record.exit, JobExit::TimedOut);
    // The host still forks.
    assert!(std::process::Command::new("/bin/true").status().unwrap().success());
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
    // The limit is the policy's number: the shell and 39 more.
    let lane = lane.limited("timeout = \"600s\"\nprocesses = 40");
    let output = lane.sh("n=0; while :; do sleep 6000 & n=$((n+1)); echo $n; done").await;
    assert_eq!(output.record.exit, JobExit::Code(2), "{}", text(&output.stderr));
    assert!(output.record.stdout_tail.ends_with("\n39\n"), "{}", output.record.stdout_tail);
}

async fn a_memory_bomb_is_told_apart_from_a_failure(lane: Lane) {
    let lane = lane.limited("timeout = \"600s\"\nmemory = \"64MiB\"");
    // In the command itself, and in a child whose death the command would hide.
    for script in [
        "exec tail /dev/zero",
        "tail /dev/zero; echo survived; sleep 6000",
        "(tail /dev/zero &) ; sleep 6000",
    ] {
        let output = lane.sh(script).await;
        assert_eq!(output.record.exit, JobExit::OutOfMemory, "{script}");
        // It is the memory that ended it, and not its time.
        assert!(output.record.duration_ms < 600_000, "{script}");
    }
    let output = lane.sh("exit 0").await;
    assert_eq!(output.record.exit, JobExit::Code(0));
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn files_in_memory_are_full_before_the_job_is_killed(lane: Lane) {
    let lane = lane.limited("timeout = \"600s\"\nmemory = \"128MiB\"");
    let output =
        lane.sh("for d in /tmp /dev/shm; do head -c 100000000 /dev/zero > $d/x; rm $d/x; done").await;
    assert_eq!(output.record.exit, JobExit::Code(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stderr).matches("No space left on device").count(),
        2,
        "{}",
        text(&output.stderr)
    );
}
