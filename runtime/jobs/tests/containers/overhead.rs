//! What a container costs, by each engine and by `docker run` of the same command in the same run. Prints;
//! asserts nothing about time.

use std::process::Command;
use std::time::{Duration, Instant};

use gloaming_api::job::JobExit;
use gloaming_jobs::EngineKind;

use crate::support::{Lane, client};

const ROUNDS: usize = 20;

/// One way to run `/bin/true`.
struct Way {
    name: String,
    lane: Option<Lane>,
    command: Vec<String>,
    times: Vec<Duration>,
}

impl Way {
    async fn measure(&mut self) {
        let start = Instant::now();
        match &self.lane {
            Some(lane) => assert_eq!(lane.run(&["/bin/true"]).await.record.exit, JobExit::Code(0)),
            None => {
                let output = Command::new(&self.command[0]).args(&self.command[1..]).output().unwrap();
                assert!(
                    output.status.success(),
                    "{}: {}",
                    self.name,
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        self.times.push(start.elapsed());
    }

    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    }
}

/// Returns the client's own way to run a container of the same image, made by the same daemon.
async fn by_client(lane: &Lane) -> Way {
    let socket = lane.socket().expect("it has a daemon");
    assert_eq!(lane.run(&["/bin/true"]).await.record.exit, JobExit::Code(0));
    let filters =
        std::collections::HashMap::from([("label".to_owned(), vec!["dev.gloaming.environment".to_owned()])]);
    let options =
        bollard::query_parameters::ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
    let image = client(&socket).await.list_images(Some(options)).await.unwrap().remove(0).id;
    let url = if lane.kind == EngineKind::Docker { "-H" } else { "--url" };
    let mut command = vec![lane.kind.to_string(), url.to_owned(), format!("unix://{}", socket.display())];
    command.extend(
        "run --rm --network none --ulimit nofile=1024 --ulimit nproc=4096 -v /usr:/usr:ro"
            .split(' ')
            .map(str::to_owned),
    );
    command.extend([image, "/bin/true".to_owned()]);
    Way { name: format!("`{} run`", lane.kind), lane: None, command, times: Vec::new() }
}

#[tokio::test]
#[ignore = "a measurement: run it with --ignored --nocapture"]
async fn of_true() {
    let mut ways = Vec::new();
    for kind in EngineKind::TRIED {
        let Some(lane) = Lane::open(kind).await else { continue };
        let client = if kind == EngineKind::Embedded { None } else { Some(by_client(&lane).await) };
        let name = format!("a job by {kind}");
        ways.push(Way { name, lane: Some(lane), command: Vec::new(), times: Vec::new() });
        ways.extend(client);
    }
    // In turns, so that whatever else the machine does is shared.
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.measure().await;
        }
    }
    let docker = ways.iter().find(|way| way.name == "`docker run`").map(Way::median);
    for way in &ways {
        let ratio =
            docker.map_or(String::new(), |docker| format!(", {:.2} of `docker run`", way.median() / docker));
        eprintln!("{}: median {:.0} ms of {ROUNDS}{ratio}", way.name, way.median());
    }
}
