//! `kill -9` of a sending process, again and again, until everything has arrived.

use std::path::Path;

use logmedic::outbox::{Pace, TelegramSettings};
use logmedic::vocab::{OutcomeResult, Rng};

use super::fake::{Fake, Inner};
use super::harness::{ANA, Sender, ended, notice, quick, repeats, settings, subjects, subjects_of};

const CHILD: &str = "LOGMEDIC_TEST_OUTBOX_CHILD";
const KILL_COUNT: u64 = 60;

/// Not a test by itself: the process that `kill -9` hits. Without its variable it does nothing.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (dir, url) = place.split_once(' ').unwrap();
    let fake = Fake::start().await;
    let pace = Pace { group_over: 1_000, ..quick() };
    let own = TelegramSettings { api_url: url.parse().unwrap(), ..settings(&fake, &[ANA], pace) };
    let sender = Sender::start(Path::new(dir), own).await;
    sender.put((1..=KILL_COUNT).map(|number| notice(number, 1, ended(OutcomeResult::Healed))).collect()).await;
    sender.task.await.unwrap();
}

#[tokio::test]
async fn a19_kill_9_at_any_instant_loses_nothing_and_repeats_only_what_was_unknown() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let mut kills = 0;
    let mut rng = Rng::new(9);
    loop {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_that_is_killed", "--nocapture"])
            .env(CHILD, format!("{} {}", dir.path().display(), fake.url))
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let calls = fake.with(|inner| inner.calls.len());
        let more = 1 + (rng.next_u64() % 6) as usize;
        let all = |inner: &Inner| subjects_of(inner, ANA).last() == Some(&KILL_COUNT);
        fake.until("more calls", |inner| inner.calls.len() >= calls + more || all(inner)).await;
        if fake.with(|inner| all(inner)) {
            break;
        }
        // Some die before the answer reached them, some after it was written down.
        for _ in 0..rng.next_u64() % 400 {
            tokio::task::yield_now().await;
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        kills += 1;
    }
    let texts = fake.with(|inner| inner.texts(ANA));
    let mut last = 0;
    for (number, text) in subjects(&fake, ANA).into_iter().zip(&texts) {
        let again = number == last;
        assert!(again || number == last + 1, "lost or out of order: {last} then {number}");
        assert!(!again || text.ends_with("\n(possible repeat)"), "an unsaid repeat of {number}");
        last = number;
    }
    let repeated = texts.len() as u64 - KILL_COUNT;
    assert!(kills >= 8 && repeated <= kills, "{kills} kills, {repeated} repeats");
    println!("{kills} kills, {repeated} repeats, {} said so", repeats(&fake, ANA));
    fake.content();
}
