//! What a container costs. Prints; asserts nothing about time.

use std::time::Instant;

use gloaming_api::job::JobExit;

use crate::support::Lane;

#[tokio::test]
#[ignore = "a measurement: run it with --ignored --nocapture"]
async fn of_true() {
    let Some(lane) = Lane::open().await else { return };
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(lane.run(&["/bin/true"]).await.record.exit, JobExit::Code(0));
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!("/bin/true in a container: median {:?}, 95 % {:?}, of 50", times[25], times[47]);
}
