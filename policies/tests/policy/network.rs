//! Which hosts jobs may reach.

use gloaming_api::job::JobPurpose;
use gloaming_policies::{Grant, HostSets, JobPermit, Lanes, Layer};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::{check, file, show};

const LANES: Lanes = Lanes { hosts: true, secrets: false };

fn grant(layers: &[(Layer, &str)]) -> Grant {
    let layers = layers
        .iter()
        .enumerate()
        .map(|(at, (layer, text))| (*layer, file(&format!("{at}.toml"), &format!("schema = 1\n{text}"))));
    Grant::resolve_on(&"acme/api".parse().unwrap(), layers.collect(), LANES)
        .unwrap_or_else(|faults| panic!("{}", show(&faults)))
}

fn permit(grant: &Grant, purpose: JobPurpose) -> JobPermit {
    grant.permit_job(purpose).unwrap()
}

fn registry(hosts: &[&str]) -> HostSets {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    HostSets::new([("registry".to_owned(), hosts)]).unwrap()
}

#[test]
fn an_empty_list_narrows_and_none_says_nothing() {
    let operator = "[jobs.setup]\nnetwork = [\"*.example.org\"]\n[[allow]]\nid = \"all\"\njobs = [\"*\"]\nhosts = [\"a.example.org\"]\n";
    let asked = |layers: &[(Layer, &str)]| {
        let grant = grant(layers);
        let of = |purpose| permit(&grant, purpose).has_network();
        check(&grant, "connect lint b.example.org => deny default-deny 0.toml:4");
        (of(JobPurpose::Setup), of(JobPurpose::Test))
    };
    for layer in [Layer::Operator, Layer::Repository, Layer::Task] {
        assert_eq!(
            asked(&[(Layer::Operator, operator), (layer, "[jobs.setup]\ntimeout = \"5m\"\n")]),
            (true, true)
        );
        assert_eq!(
            asked(&[(Layer::Operator, operator), (layer, "[jobs.setup]\nnetwork = []\n")]),
            (false, true)
        );
    }
    // What is switched off there stays so, whatever else its own file allows.
    let both = format!("{operator}[jobs.test]\nnetwork = []\n");
    assert_eq!(asked(&[(Layer::Operator, &both)]), (true, false));
    check(
        &grant(&[(Layer::Operator, operator), (Layer::Repository, "[jobs.setup]\nnetwork = []\n")]),
        "
        connect setup https://a.example.org:443 => deny jobs.setup 1.toml:2
        connect test https://a.example.org:443 => allow all 0.toml:4
        ",
    );
    // The two are not the same policy.
    let (one, other) = (
        grant(&[(Layer::Operator, "[jobs.test]\nnetwork = []\n")]),
        grant(&[(Layer::Operator, "[jobs.test]\n")]),
    );
    assert_ne!(one.digest(), other.digest());
    // A repository cannot give its jobs what its operator does not, and no preset does.
    assert_eq!(
        {
            let grant = grant(&[(Layer::Repository, operator)]);
            (permit(&grant, JobPurpose::Setup).has_network(), permit(&grant, JobPurpose::Test).has_network())
        },
        (false, false)
    );
}

#[test]
fn a_set_is_what_the_operator_puts_into_it() {
    let grant = grant(&[
        (
            Layer::Operator,
            "extends = [\"preset:standard\"]\n[jobs.setup]\nnetwork = [\"registry\", \"docs.example\"]\n",
        ),
        (
            Layer::Repository,
            "[[deny]]\nid = \"plain\"\njobs = [\"*\"]\nhosts = [\"http://mirror.example:80\"]\nbecause = \"Not in the clear.\"\n",
        ),
        (
            Layer::Repository,
            "[[deny]]\nid = \"tests-alone\"\njobs = [\"test\"]\nhosts = [\"registry\"]\nbecause = \"x\"\n",
        ),
    ]);
    check(
        &grant,
        "
        connect setup registry => allow jobs.setup 0.toml:3
        connect test registry => deny tests-alone 2.toml:2
        connect lint registry => deny default-deny 0.toml:1
        connect setup https://mirror.example:443 => deny default-deny 0.toml:3
        ",
    );
    let setup = permit(&grant, JobPurpose::Setup);
    let sets = registry(&["mirror.example", "https://forge.example:8443", "*.cdn.example"]);
    let reaches = |scheme: &str, host: &str, port| {
        setup.reaches(scheme, host, port, &sets).map(|rule| rule.id).map_err(|denial| denial.rule.id)
    };
    let allowed = Ok("jobs.setup".to_owned());
    assert_eq!(reaches("https", "mirror.example", 443), allowed);
    assert_eq!(reaches("https", "Mirror.Example", 8080), allowed);
    assert_eq!(reaches("https", "forge.example", 8443), allowed);
    assert_eq!(reaches("https", "a.cdn.example", 443), allowed);
    assert_eq!(reaches("https", "docs.example", 443), allowed);
    for (scheme, host, port) in [
        ("https", "forge.example", 443),
        ("https", "cdn.example", 443),
        ("https", "registry", 443),
        ("https", "other.example", 443),
        ("https", "mirror.example.evil.example", 443),
        ("https", "mirror.example.", 443),
        ("https", "[::1]", 443),
        ("https", "mirror.example@evil.example", 443),
        ("https", "mirror.example", 0),
        // Whoever names no scheme means the web.
        ("tcp", "mirror.example", 22),
        ("tcp", "docs.example", 443),
    ] {
        assert_eq!(reaches(scheme, host, port), Err("default-deny".to_owned()), "{scheme}://{host}:{port}");
    }
    assert_eq!(reaches("http", "mirror.example", 80), Err("plain".to_owned()));
    let test = permit(&grant, JobPurpose::Test).reaches("https", "mirror.example", 443, &sets);
    assert_eq!(test.unwrap_err().rule.id, "tests-alone");
    // Another operator's is another.
    assert!(setup.reaches("https", "mirror.example", 443, &registry(&["else.example"])).is_err());
}

#[test]
fn a_set_that_nobody_filled_is_told_at_its_place() {
    let grant = grant(&[
        (Layer::Operator, "[jobs.setup]\nnetwork = [\"a.example\", \"registry\"]\n"),
        (
            Layer::Repository,
            "[[deny]]\nid = \"d\"\njobs = [\"test\"]\nhosts = [\"registry\"]\nbecause = \"x\"\n",
        ),
    ]);
    let faults = |faults: Vec<gloaming_policies::Diagnostic>| show(&faults);
    insta::assert_snapshot!(faults(grant.unfilled_sets(&HostSets::default())), @r"
    0.toml:3:25: the set of hosts `registry` is empty on this machine (the operator says which hosts are in `registry`, or sets up the machine's own clients (cargo, pip, npm, go) with a mirror; or name the hosts here instead of the set)
    1.toml:5:10: the set of hosts `registry` is empty on this machine (the operator says which hosts are in `registry`, or sets up the machine's own clients (cargo, pip, npm, go) with a mirror; or name the hosts here instead of the set)
    ");
    let of = |purpose, sets: &HostSets| permit(&grant, purpose).unfilled_sets(sets).len();
    let none = HostSets::new([("registry".to_owned(), Vec::new())]).unwrap();
    assert_eq!(
        (of(JobPurpose::Setup, &none), of(JobPurpose::Test, &none), of(JobPurpose::Lint, &none)),
        (1, 1, 0)
    );
    assert_eq!(grant.unfilled_sets(&registry(&["m.example"])), []);

    let wrong =
        |name: &str, host: &str| HostSets::new([(name.to_owned(), vec![host.to_owned()])]).unwrap_err();
    assert_eq!(
        wrong("registri", "a.example"),
        "there is no set of hosts \"registri\"; did you mean `registry`?"
    );
    assert_eq!(wrong("registry", "registry"), "the set registry names the set registry; write out its hosts");
    assert!(
        wrong("registry", "https://a.example/path")
            .starts_with("the set registry: \"https://a.example/path\" is not a host")
    );
}

#[test]
fn schemes_that_cannot_be_told_apart_do_not_load() {
    let text = "schema = 1\n[jobs.setup]\nnetwork = [\"ssh://git.example:22\", \"tcp://git.example:22\"]\n[[deny]]\nid = \"d\"\njobs = [\"*\"]\nhosts = [\"ftp://a.example:21\"]\nbecause = \"x\"\n";
    let faults =
        Grant::resolve_on(&"acme/api".parse().unwrap(), vec![(Layer::Operator, file("p.toml", text))], LANES);
    insta::assert_snapshot!(show(&faults.unwrap_err()), @r#"
    p.toml:3:12: "ssh://git.example:22": what is said in a connection is told apart as http, https, tcp, and by no other scheme (write `tcp://host:port` for whatever is neither http nor https)
    p.toml:7:10: "ftp://a.example:21": what is said in a connection is told apart as http, https, tcp, and by no other scheme (write `tcp://host:port` for whatever is neither http nor https)
    "#);
}

#[test]
fn what_the_page_shows_loads_and_its_tests_hold() {
    let page = include_str!("../../../docs/network.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for text in examples {
        assert!(text.contains("[[test]]"), "{text}");
        let layers = vec![(Layer::Operator, file("network.md", text))];
        if let Err(faults) = Grant::resolve_on(&"acme/api".parse().unwrap(), layers, LANES) {
            panic!("{}", show(&faults));
        }
    }
}

const HOSTS: &[&str] =
    &["registry", "a.example", "*.example", "https://b.example:443", "tcp://c.example:22", "*.a.example"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A layer on top never lets a job reach more, with sets of hosts and empty lists; and what is reached is had by
    /// a job that has network.
    #[test]
    fn a_layer_on_top_never_reaches_further(
        lists in prop::collection::vec((any::<bool>(), subsequence(HOSTS, 0..4), subsequence(HOSTS, 0..3)), 1..4),
        filled in subsequence(HOSTS[1..].to_vec(), 0..4),
        top in select(vec![Layer::Repository, Layer::Task]),
    ) {
        let sets = registry(&filled);
        let mut layers = Vec::new();
        let mut below: Option<Vec<bool>> = None;
        for (at, (spoken, network, denied)) in lists.iter().enumerate() {
            let mut text = String::from("schema = 1\n");
            if *spoken {
                text.push_str(&format!("[jobs.setup]\nnetwork = {network:?}\n"));
            }
            if !denied.is_empty() {
                text.push_str(&format!("[[deny]]\nid = \"d\"\njobs = [\"setup\"]\nhosts = {denied:?}\nbecause = \"x\"\n"));
            }
            layers.push((if at == 0 { Layer::Operator } else { top }, file(&format!("{at}.toml"), &text)));
            let grant = Grant::resolve_on(&"acme/api".parse().unwrap(), layers.clone(), LANES).unwrap();
            let permit = permit(&grant, JobPurpose::Setup);
            let mut reached = Vec::new();
            for scheme in ["http", "https", "tcp"] {
                for host in ["a.example", "b.example", "c.example", "x.a.example", "registry", "10.0.0.1"] {
                    for port in [22, 80, 443] {
                        reached.push(permit.reaches(scheme, host, port, &sets).is_ok());
                    }
                }
            }
            prop_assert!(permit.has_network() || !reached.contains(&true));
            if let Some(below) = below {
                for (before, after) in below.iter().zip(&reached) {
                    prop_assert!(*before || !after);
                }
            }
            below = Some(reached);
        }
    }
}
