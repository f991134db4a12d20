//! A9: downloads by address are verified before they get their name, and resumed only on proof.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Response;
use logmedic::decide::{Expect, Fetch, Finding, Question, Repair, TaskOutput, Work};
use logmedic::operate::{About, Kind, New, Operations, Outcome, Priority, Settings, State};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::house::{House, Server, cut, is_done, nobody_home, plain, png, ranged, task, until};
use crate::quarantine::list;

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_file_is_fetched_verified_and_put_into_place_once() {
    let whole = png(200_000);
    let body = whole.clone();
    let server = Server::start(move |_, _| plain(200, body.clone())).await;
    let house = House::new().serving(&server).with(|house| house.spec.file_mode = Some(0o640));
    let from = Fetch::Url(server.url("/a.png"));
    let repair = Repair::Redownload { from, path: "models/ana/a.png".into(), expect: Expect::default() };
    let task = task(Work::Act(repair));
    let first = house.run(task.clone()).await;
    assert!(is_done(&first), "{first:?}");
    let path = house.path("models/ana/a.png");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
    assert!(!house.path("models/ana/a.png.part").exists());
    // The same task after a crash: nothing is fetched again.
    assert!(is_done(&house.run(task).await));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_cut_download_goes_on_where_it_stopped_when_the_server_proves_it_is_the_same() {
    let whole = png(300_000);
    let body = whole.clone();
    let server = Server::start(move |count, asked| match count {
        0 => cut(&body, 100_000, false),
        _ => ranged(&body, &asked, "\"v1\""),
    })
    .await;
    let house = House::new().serving(&server);
    let first = house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await;
    assert!(matches!(first, TaskOutput::Transient { server: None, .. }), "{first:?}");
    let held = house.path("models/a.png.part").metadata().unwrap().len();
    assert!(held > 0 && !house.path("models/a.png").exists());
    assert_eq!(house.download("models/a.png").await, Finding::Fault, "our own part does not hide the fault");
    assert!(is_done(&house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await));
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
    assert_eq!(server.asked()[1].range, Some(format!("bytes={held}-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_file_that_changed_on_the_server_is_begun_anew() {
    let (old, new) = (png(300_000), png(200_000));
    let body = new.clone();
    let server = Server::start(move |count, asked| match count {
        0 => cut(&old, 100_000, false),
        _ => ranged(&body, &asked, "\"v2\""),
    })
    .await;
    let house = House::new().serving(&server);
    for _ in 0..2 {
        house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await;
    }
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_lying_range_is_not_believed() {
    let whole = png(300_000);
    let body = whole.clone();
    let server = Server::start(move |count, asked| match count {
        0 => cut(&body, 100_000, false),
        1 => Response::builder().status(206).header("content-range", "bytes 5-9/10").body("wrong".into()).unwrap(),
        _ => ranged(&body, &asked, "\"v1\""),
    })
    .await;
    let house = House::new().serving(&server);
    for _ in 0..2 {
        house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await;
    }
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
}

fn misbehave(body: &[u8], path: &str) -> Response<Body> {
    let head = Response::builder();
    match path {
        "/429" => head.status(429).header("retry-after", "7").body(Body::empty()).unwrap(),
        "/503" => plain(503, "busy"),
        "/stall" => cut(body, 100, true),
        "/page" => plain(200, "<!DOCTYPE html><title>please log in</title>"),
        "/short" => plain(200, body[..500].to_vec()),
        "/huge" => {
            let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            head.header("content-length", 1u64 << 50).body(Body::from_stream(never)).unwrap()
        }
        "/moved" => head.status(302).header("location", "/ok").body(Body::empty()).unwrap(),
        "/ok" => plain(200, body.to_vec()),
        _ => plain(404, ""),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_every_kind_of_failure_is_told_apart() {
    let whole = png(1000);
    let server = Server::start(move |_, asked| misbehave(&whole, &asked.path)).await;
    let origin = server.url("");
    let house = House::new().serving(&server);
    let fetch = |path: &str| {
        let url = server.url(path);
        async { house.fetch(Fetch::Url(url), "models/a.png").await }
    };
    let TaskOutput::Transient { retry_after, server: None, .. } = fetch("/429").await else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    let TaskOutput::Transient { server: Some(down), .. } = fetch("/503").await else { panic!() };
    assert_eq!(down, origin);
    assert!(matches!(fetch("/404").await, TaskOutput::Permanent { .. }));
    let begun = Instant::now();
    assert!(matches!(fetch("/stall").await, TaskOutput::Transient { .. }));
    assert!(begun.elapsed() < Duration::from_secs(5));
    for wrong in ["/page", "/short"] {
        let output = fetch(wrong).await;
        assert!(matches!(output, TaskOutput::Transient { .. }), "{output:?}");
        assert!(!house.path("models/a.png").exists(), "nothing unproven gets the name");
    }
    assert!(matches!(fetch("/huge").await, TaskOutput::Permanent { .. }), "over the configured size");
    assert!(is_done(&fetch("/moved").await), "a redirect on the same host is followed");
    let roomy = House::new().serving(&server).with(|house| house.settings.max_download = u64::MAX);
    let output = roomy.fetch(Fetch::Url(server.url("/huge")), "models/a.png").await;
    assert!(matches!(output, TaskOutput::NoSpace { .. }), "{output:?}");
    let free = nobody_home();
    let nobody = House::new().with(|house| house.settings.allow_private.push(free.to_string()));
    let output = nobody.fetch(Fetch::Url(format!("http://{free}/a")), "models/a.png").await;
    let TaskOutput::Transient { server: Some(down), .. } = output else { panic!("{output:?}") };
    assert_eq!(down, format!("http://{free}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_cancelling_ends_a_download_within_a_second_and_keeps_what_came() {
    let whole = png(1_000_000);
    let server = Server::start(move |_, _| cut(&whole, 500_000, true)).await;
    let house = House::new().serving(&server).with(|house| house.settings.timeouts.stall = Duration::from_secs(60));
    let cancel = CancellationToken::new();
    let from = Fetch::Url(server.url("/a.png"));
    let repair = Repair::Redownload { from, path: "models/a.png".into(), expect: Expect::default() };
    let (healer, stop) = (house.healer(), cancel.clone());
    let run = tokio::spawn(async move { healer.run(task(Work::Act(repair)), cancel).await });
    let part = house.path("models/a.png.part");
    until(|| part.metadata().is_ok_and(|part| part.len() >= 100_000)).await;
    let begun = Instant::now();
    stop.cancel();
    assert_eq!(run.await.unwrap(), TaskOutput::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(part.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_paused_download_holds_still_and_goes_on_where_it_was_though_the_server_lost_patience() {
    let whole = png(1_000_000);
    let body = whole.clone();
    let server = Server::start(move |count, asked| match count {
        0 => cut(&body, 500_000, true),
        _ => ranged(&body, &asked, "\"v1\""),
    })
    .await;
    let house = House::new().serving(&server).with(|house| house.settings.timeouts.stall = Duration::from_secs(2));
    let operations = Operations::open(house.ledger.clone(), Settings::default(), Handle::current()).unwrap();
    let stop = CancellationToken::new();
    let over = operations.begin(stop.clone());
    let end = CancellationToken::new();
    let (kind, priority, about) = (Kind::Repair, Priority::High, About::default());
    let new =
        New { kind, name: "redownload".into(), priority, pausable: true, resume: false, about, by: "engine".into() };
    let mut ticket = operations.admit(new, end.clone());
    let (id, meter) = (ticket.control().id(), ticket.control().meter());
    let from = Fetch::Url(server.url("/a.png"));
    let repair = Repair::Redownload { from, path: "models/a.png".into(), expect: Expect::default() };
    let (healer, counted) = (house.healer(), meter.clone());
    let run = tokio::spawn(async move {
        let work = healer.run_metered(task(Work::Act(repair)), end, counted);
        let output = ticket.control().paced(work).await;
        ticket.close(Outcome::done("fetched"));
        output
    });
    let size = whole.len() as u64;
    until(|| meter.read() == (500_000, Some(size))).await;
    operations.pause(id).await.unwrap();
    until(|| operations.get(id).unwrap().unwrap().state == State::Paused).await;
    // Longer than the server may be silent: nobody listens, so nobody complains.
    assert!(tokio::time::timeout(Duration::from_secs(3), over_now(&run)).await.is_err());
    assert_eq!((server.asked().len(), meter.read().0), (1, 500_000));
    operations.resume(id).await.unwrap();
    let output = run.await.unwrap();
    assert!(is_done(&output), "{output:?}");
    assert_eq!(server.asked()[1].range, Some("bytes=500000-".into()));
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
    let done = operations.get(id).unwrap().unwrap();
    assert_eq!((done.state, done.progress.done, done.progress.percent), (State::Completed, Some(size), Some(100.0)));
    stop.cancel();
    over.await.unwrap();
}

/// Ends when the task has.
async fn over_now<T>(task: &tokio::task::JoinHandle<T>) {
    while !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_task_ends_at_its_limit() {
    let server = Server::start(|_, _| cut(&png(1000), 10, true)).await;
    let house = House::new().serving(&server).with(|house| house.settings.timeouts.stall = Duration::from_secs(60));
    let from = Fetch::Url(server.url("/a.png"));
    let repair = Repair::Redownload { from, path: "models/a.png".into(), expect: Expect::default() };
    let mut task = task(Work::Act(repair));
    task.limit = Duration::from_millis(300);
    assert!(matches!(house.run(task).await, TaskOutput::Transient { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_broken_file_at_the_place_goes_to_quarantine_a_different_one_stays() {
    let whole = png(5000);
    let body = whole.clone();
    let server = Server::start(move |_, asked| match asked.path.as_str() {
        "/a.bin" => plain(200, vec![1; 1000]),
        _ => plain(200, body.clone()),
    })
    .await;
    let house = House::new().serving(&server);
    house.put("models/a.png", &whole[..2000]);
    assert!(is_done(&house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await));
    assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
    assert_eq!(list(&house).len(), 1, "the cut file can be had back");
    // Of an unknown kind: the beginning of what the server has is proven cut …
    house.put("models/cut.bin", &[1; 400]);
    assert!(is_done(&house.fetch(Fetch::Url(server.url("/a.bin")), "models/cut.bin").await));
    assert_eq!(house.path("models/cut.bin").metadata().unwrap().len(), 1000);
    // … and what was fetched is known to be whole; something else proves nothing and stays.
    assert_eq!(house.download("models/cut.bin").await, Finding::Sound);
    house.put("models/other.bin", &[2; 400]);
    let output = house.fetch(Fetch::Url(server.url("/a.bin")), "models/other.bin").await;
    assert!(matches!(output, TaskOutput::Refused { remedy: Some(_), .. }), "{output:?}");
    assert_eq!(std::fs::read(house.path("models/other.bin")).unwrap(), [2; 400]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_part_somebody_else_is_writing_is_left_alone() {
    let server = Server::start(|_, _| plain(200, png(10))).await;
    let house = House::new().serving(&server);
    let part = house.put("models/a.png.part", b"the bot's own");
    let output = house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await;
    assert!(matches!(output, TaskOutput::Transient { .. }), "{output:?}");
    assert_eq!(std::fs::read(part).unwrap(), b"the bot's own");
    // Abandoned, it gives way.
    let house = house.with(|house| house.settings.timeouts.part_fresh = Duration::ZERO);
    assert!(is_done(&house.fetch(Fetch::Url(server.url("/a.png")), "models/a.png").await));
}

/// A file system of three megabytes, in a mount namespace that ends with the test.
#[test]
fn a13_when_the_room_runs_out_what_came_is_kept_and_the_answer_is_no_space() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=3m none \"$HEAL_SMALL\" && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "downloads::inside_a_small_file_system", "--nocapture"])
        .env("HEAL_SMALL", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test mounts a tmpfs: run the tests as root\n{said}");
}

/// The inner half of the test above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a13_when_the_room_runs_out_what_came_is_kept_and_the_answer_is_no_space"]
async fn inside_a_small_file_system() {
    let Some(small) = std::env::var_os("HEAL_SMALL") else { return };
    let whole = png(5_000_000);
    // One server says how large the file is, one does not.
    let server = Server::start(move |count, _| match count {
        0 => plain(200, whole.clone()),
        _ => plain(200, Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(whole.clone())]))),
    })
    .await;
    let house = House::new().serving(&server).with(|house| house.spec.path = small.clone().into());
    let target = std::path::Path::new(&small).join("a.png").to_str().unwrap().to_owned();
    let part = std::path::Path::new(&small).join("a.png.part");
    let asked = house.fetch(Fetch::Url(server.url("/a.png")), &target).await;
    assert!(matches!(asked, TaskOutput::NoSpace { .. }), "{asked:?}");
    assert_eq!(part.metadata().unwrap().len(), 0, "nothing was written when it could not fit");
    // Whoever waits for room waits for what the download will want: a bit more than the file has.
    let free = house.look(Question::Space { path: Some(target.clone()), need: None }).await;
    let free = free.evidence["free_bytes"].as_u64().unwrap();
    let tight = house.look(Question::Space { path: Some(target.clone()), need: Some(free - 1_000) }).await;
    assert_eq!(tight.finding, Finding::Fault, "{tight:?}");
    let ran_out = house.fetch(Fetch::Url(server.url("/a.png")), &target).await;
    assert!(matches!(ran_out, TaskOutput::NoSpace { .. }), "{ran_out:?}");
    assert!(part.metadata().unwrap().len() > 1_000_000, "what came is kept");
}
