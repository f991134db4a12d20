//! Alerts arrive (A19): the sender against a Bot API server that misbehaves, over real sockets and a real ledger.
#![allow(clippy::unwrap_used, missing_docs, clippy::cast_possible_truncation)]

#[path = "telegram/fake.rs"]
mod fake;
#[path = "telegram/harness.rs"]
mod harness;
#[path = "telegram/kill.rs"]
mod kill;
#[path = "telegram/press.rs"]
mod press;
#[allow(dead_code)]
#[path = "agent/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use fake::{Answer, Fake, Inner, PATIENCE, TOKEN};
use harness::{
    ANA, BOB, Sender, ended, first_lines, notice, open, put, quick, repeats, settings, setup, subjects, until_ledger,
    working,
};
use logmedic::outbox::{self, Pace, Quiet, TelegramSettings};
use logmedic::vocab::{Notice, OutcomeResult, Secret, Severity, Stage};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

#[tokio::test]
async fn a19_one_live_message_tells_an_incident_to_its_end() {
    let (_dir, fake, sender) = setup(&[ANA], quick()).await;
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 1).await;
    assert_eq!(first_lines(&fake, ANA), ["🔧 Repairing · corrupt file"]);
    // Fifty revisions in a moment: only some states are shown, the last one surely.
    for revision in 2..52 {
        sender.put(vec![working(revision as u32)(notice(1, revision, Stage::Working))]).await;
    }
    sender.put(vec![notice(1, 60, ended(OutcomeResult::Healed))]).await;
    sender.put(vec![notice(1, 61, ended(OutcomeResult::Healed))]).await;
    sender.put(vec![notice(1, 59, Stage::Working)]).await;
    fake.until("the end", |inner| inner.texts(ANA)[0].contains("Healed in 3.2 s")).await;
    sender.stop().await;
    assert_eq!(
        fake.with(|inner| inner.texts(ANA)),
        [
            "🩹 Healed in 3.2 s · corrupt file\nmodels/ana/0001.mp4 · bot\nmp4 is whole\nERROR moov atom not found in 0001.mp4\nsecond line\\u{1b}[31m"
        ]
    );
    fake.with(|inner| {
        let times: Vec<_> = inner.calls_of("editmessagetext", ANA).iter().map(|call| call.at).collect();
        assert!(times.len() < 40, "{} edits", times.len());
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_millis(29), "edits {:?} apart", pair[1] - pair[0]);
        }
        assert_eq!(inner.calls_of("sendmessage", ANA).len(), 1);
    });
    fake.content();
}

#[tokio::test]
async fn e2_in_quiet_hours_messages_come_without_a_sound_but_for_what_is_critical() {
    let clock = |hours: i64| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
    for (from, to, silent) in [(-1, 1, true), (1, 2, false)] {
        let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
        let quiet = Quiet::parse(&format!("{}-{} UTC", clock(from), clock(to))).unwrap();
        let settings = TelegramSettings { quiet: Some(quiet), ..settings(&fake, &[ANA], quick()) };
        let sender = Sender::start(dir.path(), settings).await;
        sender.put(vec![notice(1, 1, Stage::Working)]).await;
        sender.put(vec![Notice { severity: Severity::Critical, ..notice(2, 1, Stage::Working) }]).await;
        fake.until_texts(ANA, 2).await;
        sender.stop().await;
        let sounds = fake.with(|inner| {
            let calls = inner.calls_of("sendmessage", ANA);
            calls.iter().map(|call| call.body["disable_notification"] == true).collect::<Vec<_>>()
        });
        assert_eq!(sounds, [silent, false]);
        fake.content();
    }
}

#[tokio::test]
async fn a19_what_is_over_before_it_was_told_is_one_message() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let ledger = open(dir.path()).await;
    put(&ledger, vec![notice(1, 1, Stage::Working)]).await;
    put(&ledger, vec![notice(1, 2, ended(OutcomeResult::Healed))]).await;
    put(&ledger, vec![Notice { severity: Severity::Info, ..notice(2, 1, Stage::Working) }]).await;
    drop(ledger);
    let sender = Sender::start(dir.path(), settings(&fake, &[ANA], quick())).await;
    sender.stop().await;
    assert_eq!(first_lines(&fake, ANA), ["🩹 Healed in 3.2 s · corrupt file"], "and nothing below the least severity");
    assert_eq!(fake.with(|inner| inner.calls.len()), 1);
}

#[tokio::test]
async fn a19_many_at_once_are_one_digest_that_lives_on_after_a_restart() {
    let (dir, fake, sender) = setup(&[ANA], quick()).await;
    sender.put((0..40).map(|number| notice(number, 1, Stage::Working)).collect()).await;
    fake.until_texts(ANA, 1).await;
    assert_eq!(first_lines(&fake, ANA), ["📋 40 incidents"]);
    sender.crash().await;
    let sender = Sender::start(dir.path(), settings(&fake, &[ANA], quick())).await;
    sender.put((0..39).map(|number| notice(number, 2, ended(OutcomeResult::Healed))).collect()).await;
    sender.put(vec![notice(39, 2, ended(OutcomeResult::Exhausted)), notice(40, 1, Stage::Working)]).await;
    sender.stop().await;
    let texts = fake.with(|inner| inner.texts(ANA));
    assert_eq!(texts.len(), 1, "no flood: {texts:#?}");
    let lines: Vec<&str> = texts[0].lines().collect();
    assert_eq!(lines[..2], ["📋 41 incidents", "1 needs you · 1 open · 39 healed"]);
    assert_eq!(lines[2], "❌ corrupt file · models/ana/0039.mp4 · not healed");
    assert_eq!(lines.last(), Some(&"… and 11 more"));
    fake.content();
}

#[tokio::test]
async fn a19_a_trickle_becomes_a_digest_too() {
    let (_dir, fake, sender) = setup(&[ANA], quick()).await;
    for number in 0..12 {
        sender.put(vec![notice(number, 1, Stage::Working)]).await;
        let told =
            move |inner: &mut Inner| inner.texts(ANA).iter().any(|text| text.contains(&format!("{number:04}.mp4")));
        fake.until("each one", told).await;
    }
    sender.stop().await;
    let lines = first_lines(&fake, ANA);
    assert_eq!((lines.len(), lines[5].as_str()), (6, "📋 7 incidents"), "five alone, then one digest");
}

#[tokio::test]
async fn a19_an_ending_that_needs_a_person_rings_when_the_message_is_old() {
    let pace = Pace { ring_after: Duration::ZERO, group_over: 2, ..quick() };
    let (_dir, fake, sender) = setup(&[ANA], pace).await;
    sender.put((0..2).map(|number| notice(number, 1, Stage::Working)).collect()).await;
    fake.until_texts(ANA, 2).await;
    sender.put((2..9).map(|number| notice(number, 1, Stage::Working)).collect()).await;
    fake.until_texts(ANA, 3).await;
    sender.put(vec![notice(0, 2, ended(OutcomeResult::Healed)), notice(1, 2, ended(OutcomeResult::Refused))]).await;
    sender.put(vec![notice(5, 2, ended(OutcomeResult::Exhausted))]).await;
    sender.stop().await;
    let lines = first_lines(&fake, ANA);
    let alone = "May not repair, needs you";
    assert!(lines.len() == 5 && lines[0].contains("Healed") && lines[1].contains("Repairing"), "{lines:#?}");
    assert!(lines[3].contains(alone) && lines[4].contains("Not healed, needs you"), "{lines:#?}");
    let answers = |text: &str| {
        fake.with(|inner| {
            let call = inner.calls.iter().find(|call| call.body["text"].as_str().unwrap().contains(text)).unwrap();
            call.body["reply_parameters"]["message_id"].clone()
        })
    };
    assert_eq!(
        (answers(alone), answers("Not healed, needs you")),
        (json!(2), json!(3)),
        "to the message, to the digest"
    );
}

#[tokio::test]
async fn a19_a_429_holds_up_its_own_chat_only() {
    for (answer, least) in [
        (Answer::Error(429, "Too Many Requests: retry after 1", json!({"retry_after": 1})), 1_000),
        (Answer::Error(429, "Too Many Requests: retry after 1", json!({"retry_after": 1, "adaptive": true})), 1_000),
        (Answer::Error(429, "Too Many Requests: retry after 1", Value::Null), 1_000),
        (Answer::Error(429, "Too Many Requests", Value::Null), 300),
    ] {
        let (_dir, fake, sender) = setup(&[ANA, BOB], quick()).await;
        fake.script(ANA, [answer]);
        sender.put(vec![notice(1, 1, Stage::Working)]).await;
        fake.until_texts(ANA, 1).await;
        fake.until_texts(BOB, 1).await;
        sender.stop().await;
        fake.with(|inner| {
            let (ana, bob) = (inner.calls_of("sendmessage", ANA), inner.calls_of("sendmessage", BOB));
            assert_eq!((ana.len(), bob.len()), (2, 1));
            assert!(ana[1].at - ana[0].at >= Duration::from_millis(least - 5), "{:?}", ana[1].at - ana[0].at);
            assert!(bob[0].at < ana[1].at, "the other chat goes on");
        });
        assert_eq!(repeats(&fake, ANA), 0, "a 429 is no unknown outcome");
    }
}

#[tokio::test]
async fn a19_silence_and_5xx_are_tried_again_and_a_repeat_says_so() {
    for (answers, messages, repeated) in [
        (vec![Answer::Silence, Answer::Silence], 1, 1),
        (vec![Answer::SilentSuccess], 2, 1),
        (vec![Answer::Proxy(502), Answer::Proxy(504)], 1, 1),
        (vec![Answer::Proxy(200)], 1, 1),
        (vec![Answer::Real, Answer::SilentSuccess], 1, 0),
    ] {
        let case = format!("{answers:?}");
        let tries = answers.len();
        let (_dir, fake, sender) = setup(&[ANA], Pace { call: Duration::from_secs(1), ..quick() }).await;
        fake.script(ANA, answers);
        sender.put(vec![notice(1, 1, Stage::Working)]).await;
        fake.until_texts(ANA, 1).await;
        sender.put(vec![notice(1, 2, ended(OutcomeResult::Healed))]).await;
        fake.until("the end", |inner| inner.calls.len() > tries && inner.texts(ANA).last().unwrap().contains("Healed"))
            .await;
        sender.stop().await;
        assert_eq!(first_lines(&fake, ANA).len(), messages, "{case}");
        let said = fake.with(|inner| {
            inner.calls.iter().filter(|call| call.body["text"].as_str().unwrap().contains("(possible repeat)")).count()
        });
        assert!(said >= repeated && (said > 0) == (repeated > 0), "{case}: {said}");
        fake.content();
    }
}

#[tokio::test]
async fn a19_hours_offline_are_told_once_in_order_and_by_their_newest_state() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url: url::Url = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Fake::start().await;
    // After the first refusal it waits long enough to be cut while no call is under way.
    let patient = Pace { backoff: PATIENCE, backoff_cap: PATIENCE, ..quick() };
    let offline = |pace| TelegramSettings { api_url: url.clone(), ..settings(&elsewhere, &[ANA], pace) };
    let sender = Sender::start(dir.path(), offline(patient)).await;
    for number in 0..5 {
        sender.put(vec![notice(number, 1, Stage::Working)]).await;
    }
    let refused = "SELECT count(*) FROM delivery WHERE state = 'owed' AND error LIKE '%onnect%'";
    until_ledger(&sender.ledger, refused, |count| count == 1).await;
    sender.crash().await;
    let sender = Sender::start(dir.path(), offline(quick())).await;
    for number in 0..5 {
        sender.put(vec![notice(number, 2, ended(OutcomeResult::Healed))]).await;
    }
    let fake = Fake::on(socket).await;
    fake.until_texts(ANA, 5).await;
    // Held open, so that SQLite's own files stay where they are while they are read.
    let held = sender.ledger.clone();
    sender.stop().await;
    assert_eq!(subjects(&fake, ANA), [0, 1, 2, 3, 4]);
    assert!(first_lines(&fake, ANA).iter().all(|line| line.contains("Healed")));
    assert_eq!((repeats(&fake, ANA), fake.with(|inner| inner.calls.len())), (0, 5), "nothing left while offline");
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let token = TOKEN.split_once(':').unwrap().1.as_bytes();
        assert!(!bytes.windows(token.len()).any(|found| found == token), "the token is in the state directory");
    }
    drop(held);
}

#[tokio::test]
async fn a19_a_refused_text_is_tried_plain_and_never_holds_up_the_next() {
    let (_dir, fake, sender) = setup(&[ANA], quick()).await;
    let refused = || Answer::Error(400, "Bad Request: can't parse entities: character 7", Value::Null);
    fake.script(ANA, [refused(), Answer::Real, refused(), refused()]);
    sender.put((1..4).map(|number| notice(number, 1, Stage::Working)).collect()).await;
    fake.until("the third", |inner| inner.texts(ANA).iter().any(|text| text.contains("0003.mp4"))).await;
    let query = "SELECT count(*) FROM delivery WHERE state = 'dead' AND error LIKE '%parse entities%'";
    until_ledger(&sender.ledger, query, |count| count == 1).await;
    // The next revision of the one that was given up is tried again.
    sender.put(vec![notice(2, 2, ended(OutcomeResult::Healed))]).await;
    sender.stop().await;
    assert_eq!(
        first_lines(&fake, ANA),
        ["🔧 Repairing · corrupt file", "🔧 Repairing · corrupt file", "🩹 Healed in 3.2 s · corrupt file"]
    );
    assert_eq!(fake.with(|inner| inner.texts(ANA)[0].lines().count()), 1, "plain: our own words only");
}

#[tokio::test]
async fn a19_a_deleted_message_is_sent_anew_and_not_modified_is_success() {
    let (_dir, fake, sender) = setup(&[ANA], quick()).await;
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 1).await;
    fake.with(|inner| inner.chats.clear());
    sender.put(vec![notice(1, 2, ended(OutcomeResult::Healed))]).await;
    fake.until("a new message", |inner| inner.texts(ANA).len() == 1).await;
    let same = Answer::Error(
        400,
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
        Value::Null,
    );
    fake.script(ANA, [same]);
    sender.put(vec![notice(1, 3, ended(OutcomeResult::Recovered))]).await;
    sender.stop().await;
    fake.with(|inner| {
        assert_eq!((inner.calls_of("sendmessage", ANA).len(), inner.calls_of("editmessagetext", ANA).len()), (2, 2));
    });
}

#[tokio::test]
async fn a19_a_group_that_moved_is_followed_also_after_a_restart() {
    let (old, new) = (-500, -1_000_000_000_500);
    let (dir, fake, sender) = setup(&[old], quick()).await;
    let text = "Bad Request: group chat was upgraded to a supergroup chat";
    fake.script(old, [Answer::Error(400, text, json!({"migrate_to_chat_id": new}))]);
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(new, 1).await;
    sender.stop().await;
    let sender = Sender::start(dir.path(), settings(&fake, &[old], quick())).await;
    sender.put(vec![notice(1, 2, ended(OutcomeResult::Healed)), notice(2, 1, Stage::Working)]).await;
    sender.stop().await;
    assert_eq!(fake.with(|inner| inner.calls.iter().filter(|call| call.chat == old).count()), 1);
    assert_eq!((subjects(&fake, new), repeats(&fake, new)), (vec![1, 2], 0));
}

#[tokio::test]
async fn a19_a_chat_that_blocked_the_bot_harms_nobody_and_is_tried_again() {
    for text in ["Forbidden: bot was blocked by the user", "Bad Request: chat not found"] {
        let (_dir, fake, sender) = setup(&[ANA, BOB], quick()).await;
        fake.script(ANA, [Answer::Error(403, text, Value::Null)]);
        sender.put(vec![notice(1, 1, Stage::Working)]).await;
        fake.until_texts(BOB, 1).await;
        let dead = "SELECT count(*) FROM telegram_chat WHERE dead IS NOT NULL AND id = 1001";
        until_ledger(&sender.ledger, dead, |count| count == 1).await;
        sender.put(vec![notice(2, 1, Stage::Working)]).await;
        fake.until_texts(BOB, 2).await;
        fake.until_texts(ANA, 2).await;
        sender.stop().await;
        let calls = fake.with(|inner| inner.calls_of("sendmessage", ANA).iter().map(|c| c.at).collect::<Vec<_>>());
        assert_eq!(calls.len(), 3);
        assert!(calls[1] - calls[0] >= Duration::from_millis(295), "{:?}", calls[1] - calls[0]);
        assert_eq!(subjects(&fake, ANA), [1, 2]);
    }
}

#[tokio::test]
async fn a19_a_refused_token_pauses_everything_and_is_tried_again() {
    let (_dir, fake, sender) = setup(&[ANA, BOB], quick()).await;
    fake.script(ANA, [Answer::Error(401, "Unauthorized", Value::Null), Answer::Error(404, "Not Found", Value::Null)]);
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 1).await;
    fake.until_texts(BOB, 1).await;
    sender.stop().await;
    fake.with(|inner| {
        let ana = inner.calls_of("sendmessage", ANA);
        assert_eq!(ana.len(), 3);
        assert!(ana[1].at - ana[0].at >= Duration::from_millis(95));
    });
}

#[tokio::test]
async fn a19_calls_keep_their_distance_in_one_chat() {
    let gap = Duration::from_millis(60);
    let pace = Pace { chat_gap: gap, group_gap: gap * 2, group_over: 99, ..quick() };
    let admins = [ANA, -500];
    let (_dir, fake, sender) = setup(&admins, pace).await;
    sender.put((1..7).map(|number| notice(number, 1, Stage::Working)).collect()).await;
    for chat in admins {
        fake.until_texts(chat, 6).await;
    }
    sender.stop().await;
    fake.with(|inner| {
        for (chat, least) in [(ANA, gap), (-500, gap * 2)] {
            for pair in inner.calls_of("sendmessage", chat).windows(2) {
                // The pause begins after the answer, so nothing can shorten it.
                assert!(pair[1].at - pair[0].at >= least, "{:?} in {chat}", pair[1].at - pair[0].at);
            }
        }
    });
    assert_eq!(subjects(&fake, ANA), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a19_calls_keep_their_distance_over_all_chats() {
    let gap = Duration::from_millis(40);
    let admins: Vec<i64> = (1..=10).collect();
    let (_dir, fake, sender) = setup(&admins, Pace { global_gap: gap, ..quick() }).await;
    let began = Instant::now();
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    for chat in admins {
        fake.until_texts(chat, 1).await;
    }
    assert!(began.elapsed() >= gap * 9, "{:?} for ten", began.elapsed());
    sender.stop().await;
}

#[tokio::test]
async fn a19_a_crash_in_the_middle_of_a_call_repeats_only_that_call() {
    let (dir, fake, sender) = setup(&[ANA], quick()).await;
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 1).await;
    fake.script(ANA, [Answer::SilentSuccess]);
    sender.put(vec![notice(2, 1, Stage::Working), notice(3, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 2).await;
    sender.crash().await;
    let sender = Sender::start(dir.path(), settings(&fake, &[ANA], quick())).await;
    fake.until_texts(ANA, 4).await;
    sender.stop().await;
    assert_eq!(subjects(&fake, ANA), [1, 2, 2, 3]);
    let texts = fake.with(|inner| inner.texts(ANA));
    assert!(texts[2].ends_with("\n(possible repeat)"), "{}", texts[2]);
    assert_eq!(repeats(&fake, ANA), 1);
}

#[tokio::test]
async fn h4_what_waits_is_bounded_and_the_digest_tells_what_was_left_out() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let ledger = open(dir.path()).await;
    let loud = |number| Notice { severity: Severity::Critical, ..notice(number, 1, Stage::Working) };
    let quiet = |number| Notice { severity: Severity::Info, ..notice(number, 1, Stage::Working) };
    put(&ledger, (0..1_000).map(loud).chain((1_000..3_000).map(quiet)).collect()).await;
    let count =
        |query: &str| ledger.read(|connection| connection.query_row(query, [], |row| row.get::<_, i64>(0))).unwrap();
    let waiting = count("SELECT count(*) FROM notice WHERE done = 0");
    assert!((1_900..=2_000).contains(&waiting), "{waiting}");
    assert_eq!(count("SELECT count(*) FROM notice WHERE loud = 3"), 1_000, "the severe ones stay");
    drop(ledger);
    let all = TelegramSettings { min_severity: Severity::Info, ..settings(&fake, &[ANA], quick()) };
    let sender = Sender::start(dir.path(), all.clone()).await;
    fake.until_texts(ANA, 1).await;
    sender.stop().await;
    let left_out = format!(
        "{} older notices were left out",
        if waiting == 2_000 { "1,000".into() } else { (3_000 - waiting).to_string() }
    );
    let text = fake.with(|inner| inner.texts(ANA).join("\n"));
    assert!(
        text.contains("incidents") && (text.contains(&left_out) || text.contains(&left_out.replace("1", "1,"))),
        "{text}"
    );
    assert_eq!(fake.with(|inner| inner.calls.len()), 1);
}

#[tokio::test]
async fn a19_a_new_admin_is_not_told_old_stories() {
    let (dir, fake, sender) = setup(&[ANA], quick()).await;
    sender.put(vec![notice(1, 1, ended(OutcomeResult::Healed))]).await;
    sender.stop().await;
    let sender = Sender::start(dir.path(), settings(&fake, &[ANA, BOB], quick())).await;
    sender.put(vec![notice(2, 1, Stage::Working)]).await;
    sender.stop().await;
    assert_eq!((subjects(&fake, ANA), subjects(&fake, BOB)), (vec![1, 2], vec![2]));
}

#[tokio::test]
async fn h4_without_a_ledger_admins_are_told_at_once() {
    let fake = Fake::start().await;
    fake.script(BOB, [Answer::Error(403, "Forbidden: bot was blocked by the user", Value::Null)]);
    let mine = settings(&fake, &[ANA, BOB], quick());
    assert_eq!(outbox::tell_now(&mine, &notice(1, 1, Stage::Working)).await, 1);
    assert_eq!(first_lines(&fake, ANA), ["🔧 Repairing · corrupt file"]);
}

#[tokio::test]
async fn a22_the_preflight_names_what_is_wrong_and_what_helps() {
    let fake = Fake::start().await;
    let group = -500;
    fake.script(BOB, [Answer::Real, Answer::Error(403, "Forbidden: bot was blocked by the user", Value::Null)]);
    fake.script(group, [Answer::Error(400, "Bad Request: chat not found", Value::Null)]);
    let mine = settings(&fake, &[ANA, BOB, group], quick());
    let report = outbox::check(&mine).await;
    let found: Vec<(bool, Option<i64>)> = report.checks.iter().map(|check| (check.ok, check.chat)).collect();
    assert_eq!(found, [(true, None), (true, Some(ANA)), (false, Some(BOB)), (false, Some(group))]);
    assert_eq!((report.ok(), report.bot.as_deref()), (false, Some("alerts_bot")));
    assert_eq!(report.checks[2].remedy.as_deref(), Some("open t.me/alerts_bot and press Start"));
    assert!(report.checks[3].remedy.as_deref().unwrap().contains("add @alerts_bot to the group"));
    let wrong = TelegramSettings { token: Secret::new("123456:wrong"), ..mine.clone() };
    let report = outbox::check(&wrong).await;
    assert!(!report.ok() && report.checks[0].says.contains("does not know this token"), "{report:?}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    let report = outbox::check(&TelegramSettings { api_url: nobody, ..mine }).await;
    assert!(report.checks[0].says.contains("no answer from http://127.0.0.1"), "{report:?}");
    assert!(!format!("{report:?}").contains("TESTtest"), "the token is never shown");
    fake.content();
}
