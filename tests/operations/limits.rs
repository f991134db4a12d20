//! Slots, priorities, restarts in good order, and what is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use logmedic::operate::queue::Limits;
use logmedic::operate::test::Count;
use logmedic::operate::{About, Control, Kind, New, Outcome, Priority, State, Worker};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::house::{House, shell, until};

fn endless() -> Count {
    Count { items: 2_000, item_ms: 300, ..Count::default() }
}

fn repair(priority: Priority) -> New {
    let about = About::default();
    New {
        kind: Kind::Repair,
        name: "redownload".into(),
        priority,
        pausable: true,
        resume: false,
        about,
        by: "engine".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_three_run_at_once_and_the_most_urgent_is_next() {
    let house = House::new(Vec::new());
    let mut ids = Vec::new();
    for priority in [Priority::Normal, Priority::Normal, Priority::Normal, Priority::Low, Priority::Critical] {
        ids.push(house.operations.run_test(endless(), priority, "ana").await.unwrap().id);
    }
    let states = |house: &House| ids.iter().map(|id| house.get(*id).state).collect::<Vec<_>>();
    use State::{Cancelled, Paused, Pending, Running};
    assert_eq!(states(&house), [Running, Running, Running, Pending, Pending]);
    house.operations.cancel(ids[0]).await.unwrap();
    house.reach(ids[0], Cancelled).await;
    assert_eq!(states(&house), [Cancelled, Running, Running, Pending, Running]);
    // A pause gives the slot to the next, and going on waits for one.
    house.operations.pause(ids[1]).await.unwrap();
    house.reach(ids[1], Paused).await;
    assert_eq!(states(&house), [Cancelled, Paused, Running, Running, Running]);
    assert_eq!(house.operations.resume(ids[1]).await.unwrap().state, Pending);
    house.operations.cancel(ids[2]).await.unwrap();
    house.reach(ids[2], Cancelled).await;
    assert_eq!(states(&house), [Cancelled, Running, Cancelled, Running, Running]);
    assert_eq!(house.operations.active().len(), 3);
    let running = house.operations.list(Some(Running), Some(Kind::Test), None, 2).unwrap();
    assert_eq!(running.len(), 2);
    let more = house.operations.list(Some(Running), None, Some(running[1].0), 10).unwrap();
    assert_eq!(more.len(), 1, "pages go on where the last one ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_a_kind_has_its_own_limit_and_a_place_stays_free_for_repairs() {
    let busy = |name: &str| shell(name, "sleep 600");
    let house = House::with(vec![busy("a"), busy("b"), busy("c")], |settings| {
        settings.limits = Limits { at_once: 4, for_repairs: 1, kinds: BTreeMap::from([(Kind::Custom, 2)]) };
    });
    let mut states = Vec::new();
    for name in ["a", "b", "c"] {
        states.push(house.operations.run_custom(name, "ana").await.unwrap().state);
    }
    assert_eq!(states, [State::Running, State::Running, State::Pending]);
    let mut first = house.operations.admit(repair(Priority::High), CancellationToken::new());
    let mut second = house.operations.admit(repair(Priority::High), CancellationToken::new());
    let mut third = house.operations.admit(repair(Priority::Critical), CancellationToken::new());
    assert_eq!((first.granted(), second.granted(), third.granted()), (true, true, false));
    first.close(Outcome::done("repaired"));
    assert!(third.granted());
    third.wait().await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_work_that_knows_nothing_of_pauses_is_held_and_called_off() {
    let house = House::new(Vec::new());
    let end = CancellationToken::new();
    let mut ticket = house.operations.admit(repair(Priority::High), end.clone());
    let id = ticket.control().id();
    assert!(ticket.granted());
    let (steps, mut seen) = tokio::sync::watch::channel(0u32);
    let work = tokio::spawn(async move {
        let endless = async {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                steps.send_modify(|count| *count += 1);
            }
        };
        let over: Option<()> = tokio::select! {
            () = end.cancelled() => None,
            () = ticket.control().paced(endless) => Some(()),
        };
        let off = ticket.called_off();
        ticket.close(Outcome::cancelled("ended"));
        (over, off)
    });
    seen.wait_for(|count| *count > 3).await.unwrap();
    house.operations.pause(id).await.unwrap();
    house.reach(id, State::Paused).await;
    let at = *seen.borrow_and_update();
    assert!(tokio::time::timeout(Duration::from_millis(200), seen.changed()).await.is_err(), "it moves");
    house.operations.resume(id).await.unwrap();
    seen.wait_for(|count| *count > at).await.unwrap();
    house.operations.cancel(id).await.unwrap();
    assert_eq!(work.await.unwrap(), (None, true));
    house.reach(id, State::Cancelled).await;
}

/// Never comes to a safe point.
struct Deaf;

impl Worker for Deaf {
    fn run(self: Box<Self>, _: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(std::future::pending())
    }
}

/// A mistake.
struct Wrong;

impl Worker for Wrong {
    fn run(self: Box<Self>, _: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async { panic!("a mistake of the test") })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_work_that_does_not_listen_is_broken_off_and_a_panic_is_a_failure() {
    let house = House::new(Vec::new());
    let new = |name: &str| New { kind: Kind::Test, name: name.into(), ..repair(Priority::Low) };
    let deaf = house.operations.submit(new("deaf"), serde_json::Value::Null, Box::new(Deaf)).await.unwrap().id;
    house.reach(deaf, State::Running).await;
    let begun = Instant::now();
    house.operations.cancel(deaf).await.unwrap();
    house.reach(deaf, State::Cancelled).await;
    assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
    let wrong = house.operations.submit(new("wrong"), serde_json::Value::Null, Box::new(Wrong)).await.unwrap().id;
    let end = house.reach(wrong, State::Failed).await;
    assert!(end.report.unwrap().detail.contains("mistake in logmedic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_progress_comes_at_most_twice_a_second_and_at_least_once() {
    let house = House::new(Vec::new());
    let mut told = house.operations.progress();
    let count = Count { items: 300, item_ms: 10, fail_every: 10, resume: false };
    let id = house.operations.run_test(count, Priority::Normal, "ana").await.unwrap().id;
    let mut times = Vec::new();
    while times.len() < 5 {
        let now = told.recv().await.unwrap();
        times.push(Instant::now());
        let progress = &now.progress;
        assert_eq!(progress.total, Some(300));
        assert_eq!(progress.succeeded.unwrap() + progress.failed.unwrap(), progress.done.unwrap());
        assert!(progress.usage.is_some_and(|usage| !usage.own_processes && usage.memory_bytes > 0));
    }
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= Duration::from_millis(450) && gap < Duration::from_millis(1_500), "{gap:?}");
    }
    let end = house.reach(id, State::Completed).await;
    assert_eq!((end.progress.percent, end.progress.failed, end.progress.eta_s), (Some(100.0), Some(30), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_stop_in_good_order_loses_nothing() {
    let house = House::with(vec![shell("again", "echo x >> began; exec sleep 600")], |settings| {
        settings.commands[0].resume = true;
        settings.limits.at_once = 2;
    });
    let began = house.path("began");
    let command = house.operations.run_custom("again", "ana").await.unwrap().id;
    until("it to begin", || began.exists().then_some(())).await;
    let test = house.operations.run_test(endless(), Priority::Normal, "ana").await.unwrap().id;
    let waits = house.operations.run_test(endless(), Priority::Low, "ana").await.unwrap().id;
    let held = house.operations.run_test(endless(), Priority::Low, "ana").await.unwrap().id;
    house.operations.pause(held).await.unwrap();
    let commands = house.operations.commands().to_vec();
    let dir = house.close().await;
    let house = House::again(dir, commands, |settings| settings.limits.at_once = 2);
    let test = house.get(test);
    assert_eq!((test.state, test.interrupted), (State::Failed, true), "interrupted, and said so");
    let again = house.reach(command, State::Running).await;
    assert_eq!((again.runs, again.interrupted), (2, true), "begun again");
    house.reach(waits, State::Running).await;
    assert_eq!(house.get(held).state, State::Paused, "what a person held stays held");
    until("both runs", || (std::fs::read_to_string(house.path("began")).ok()? == "x\nx\n").then_some(())).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d6_test_operations_are_refused_in_production() {
    let house = House::with(Vec::new(), |settings| settings.production = true);
    let refused = house.operations.run_test(Count::default(), Priority::Normal, "ana").await.unwrap_err();
    assert!(refused.to_string().contains("production"));
    let too_much = Count { items: u64::MAX, item_ms: u64::MAX, ..Count::default() };
    let house = House::new(Vec::new());
    assert!(house.operations.run_test(too_much, Priority::Normal, "ana").await.is_err());
}
