//! Buttons and commands in Telegram (A27): pressed by admins, by strangers, twice, through outages and restarts; by a server
//! that keeps what was pressed as the real one does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use logmedic::outbox::{self, Deed, Lang, Obey, Pace, Press, Refusal, TelegramSettings};
use logmedic::vocab::{Id, Notice, OutcomeResult, Rng, Secret, Stage, Story};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::{self, Answer, Fake, TOKEN};
use super::harness::{ANA, BOB, Sender, ended, notice, open, quick, settings};
use super::rig::{self, Night};

type Obeyed = Arc<Mutex<Vec<(Press, String)>>>;

fn controlled(fake: &Fake) -> TelegramSettings {
    let pace = Pace { poll: Duration::from_secs(1), ..quick() };
    TelegramSettings { control: true, ..settings(fake, &[ANA], pace) }
}

/// A listener that notes what it is to do, and does each thing once.
struct Ear {
    obeyed: Obeyed,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Ear {
    async fn start(dir: &Path, settings: TelegramSettings, obeyed: Obeyed) -> Self {
        let notes = Arc::clone(&obeyed);
        let obey: Obey = Arc::new(move |press, by| {
            let mut notes = notes.lock().unwrap();
            let again = notes.iter().any(|(old, _)| *old == press);
            notes.push((press, by));
            let done = if again { Err(Refusal::Changed) } else { Ok(()) };
            async move { done }.boxed()
        });
        let (ledger, stop) = (open(dir).await, CancellationToken::new());
        let task = tokio::spawn(outbox::listen(ledger, settings, obey, stop.clone()));
        Self { obeyed, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn of(notice: &Notice) -> Id {
    let Story::Incident { incident, .. } = &notice.story else { panic!() };
    *incident
}

/// The press of a button on the message about a notice.
fn press(deed: Deed, number: u64, revision: u64) -> Press {
    Press { deed, incident: of(&notice(number, revision, Stage::Working)), revision }
}

fn pressed(who: i64, data: &str) -> Value {
    let from = json!({"id": who, "is_bot": false, "first_name": "Ana"});
    json!({"callback_query": {"id": format!("q{who}"), "from": from, "chat_instance": "1", "data": data}})
}

fn said(who: i64, text: &str) -> Value {
    said_in(who, &json!({"id": who, "type": "private", "first_name": "Ana"}), text)
}

fn said_in(who: i64, chat: &Value, text: &str) -> Value {
    let from = json!({"id": who, "is_bot": false, "first_name": "Ana"});
    json!({"message": {"message_id": 900, "date": 1_795_000_000, "from": from, "chat": chat, "text": text}})
}

/// What presses were answered with, in order.
fn answers(fake: &Fake) -> Vec<(String, bool)> {
    fake.with(|inner| {
        let calls = inner.calls.iter().filter(|call| call.method == "answercallbackquery");
        calls.map(|call| (call.body["text"].as_str().unwrap().to_owned(), call.body["show_alert"] == true)).collect()
    })
}

async fn until_answers(fake: &Fake, wanted: usize) -> Vec<(String, bool)> {
    fake.until("the answers", |inner| {
        inner.calls.iter().filter(|call| call.method == "answercallbackquery").count() >= wanted
    })
    .await;
    answers(fake)
}

/// Callback data that no button of ours has: whoever writes a client can send any.
fn hostile() -> Vec<String> {
    let id = of(&notice(1, 1, Stage::Working));
    vec![
        String::new(),
        "lm1:approve:nonsense:1".into(),
        format!("lm1:approve:{id}"),
        format!("lm1:approve:{id}:-1"),
        format!("lm1:approve:{id}:1:../../etc/passwd"),
        format!("lm1:approve:{id}:99999999999999999999"),
        format!("lm1:purge:{id}:1"),
        format!("lm1:approve:'; DROP TABLE row;--:1"),
        "\u{202e}\u{0}\u{1b}[2J\n".repeat(9),
        "x".repeat(100_000),
    ]
}

#[tokio::test]
async fn a27_only_admins_are_obeyed_and_a_second_press_is_answered_politely() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    // What an outage looks like: a proxy's page, another program that reads the same bot.
    let conflict = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    fake.script(0, [Answer::Proxy(502), Answer::Error(409, conflict, Value::Null)]);
    let ear = Ear::start(dir.path(), controlled(&fake), Obeyed::default()).await;
    let approve = press(Deed::Approve, 1, 3);
    for data in hostile() {
        fake.push(pressed(ANA, &data));
    }
    fake.push(pressed(BOB, &approve.data()));
    fake.push(pressed(BOB, &approve.data()));
    // A group is told and is no person; who hides behind it is nobody.
    fake.push(pressed(1_087_968_824, &approve.data()));
    for _ in 0..2 {
        fake.push(pressed(ANA, &approve.data()));
    }
    let none = hostile().len();
    let told = until_answers(&fake, none + 4).await;
    assert_eq!(*ear.obeyed.lock().unwrap(), vec![(approve, format!("telegram:{ANA}")); 2]);
    ear.stop().await;
    let mut wanted = vec![("This button is of no use any more.".to_owned(), true); none];
    // The second press of one stranger is not even answered.
    wanted.extend(vec![("Sorry, I answer only to the people who set me up.".to_owned(), true); 2]);
    wanted.push(("Approved".into(), false));
    wanted.push(("This has changed since; the message shows how it stands now.".into(), true));
    assert_eq!(told, wanted);
    fake.content();
}

#[tokio::test]
async fn a27_nothing_is_obeyed_twice_over_a_restart_and_what_was_pressed_meanwhile_is() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let obeyed = Obeyed::default();
    let (first, second) = (press(Deed::Retry, 1, 1), press(Deed::Silence, 2, 1));
    let ear = Ear::start(dir.path(), controlled(&fake), Arc::clone(&obeyed)).await;
    fake.push(pressed(ANA, &first.data()));
    until_answers(&fake, 1).await;
    ear.stop().await;
    fake.push(pressed(ANA, &second.data()));
    let ear = Ear::start(dir.path(), controlled(&fake), Arc::clone(&obeyed)).await;
    until_answers(&fake, 2).await;
    ear.stop().await;
    let deeds: Vec<_> = obeyed.lock().unwrap().iter().map(|(press, _)| *press).collect();
    assert_eq!(deeds, [first, second]);
    // Another bot counts its updates from elsewhere: what was read of the first one says nothing about it.
    let other = TelegramSettings { token: Secret::new(fake::OTHER_TOKEN), ..controlled(&fake) };
    let ear = Ear::start(dir.path(), other, obeyed).await;
    let seen = |inner: &mut fake::Inner| inner.calls.iter().rfind(|call| call.method == "getupdates").cloned();
    fake.until("a poll of the other bot", |inner| seen(inner).is_some_and(|call| call.body["offset"].is_null())).await;
    ear.stop().await;
}

const CHILD: &str = "LOGMEDIC_TEST_EAR_CHILD";
const PRESSES: u64 = 60;

/// Not a test by itself: the process that `kill -9` hits. Without its variable it does nothing.
#[tokio::test]
async fn ear_that_is_killed() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (dir, url) = place.split_once(' ').unwrap();
    let dir = Path::new(dir).to_owned();
    let fake = Fake::start().await;
    let settings = TelegramSettings { api_url: url.parse().unwrap(), ..controlled(&fake) };
    let (ledger, deeds) = (open(&dir).await, dir.join("deeds"));
    let obey: Obey = Arc::new(move |press, _| {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&deeds).unwrap();
        file.write_all(format!("{}\n", press.revision).as_bytes()).unwrap();
        async { Ok(()) }.boxed()
    });
    outbox::listen(ledger, settings, obey, CancellationToken::new()).await;
}

#[tokio::test]
async fn a27_kill_9_at_any_instant_obeys_nothing_twice_and_loses_at_most_what_was_in_hand() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    for revision in 1..=PRESSES {
        fake.push(pressed(ANA, &press(Deed::Retry, 1, revision).data()));
    }
    let (mut kills, mut rng) = (0, Rng::new(27));
    // The server keeps what nobody has confirmed: the last poll that it sees names everything as read.
    let read = |inner: &mut fake::Inner| {
        let polls = inner.calls.iter().filter(|call| call.method == "getupdates");
        polls.filter_map(|call| call.body["offset"].as_u64()).any(|offset| offset > PRESSES)
    };
    loop {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "press::ear_that_is_killed", "--nocapture"])
            .env(CHILD, format!("{} {}", dir.path().display(), fake.url))
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let calls = fake.with(|inner| inner.calls.len());
        let more = 1 + (rng.next_u64() % 8) as usize;
        fake.until("more calls", |inner| inner.calls.len() >= calls + more || read(inner)).await;
        if fake.with(read) {
            child.kill().await.unwrap();
            break;
        }
        for _ in 0..rng.next_u64() % 400 {
            tokio::task::yield_now().await;
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        kills += 1;
    }
    let deeds = std::fs::read_to_string(dir.path().join("deeds")).unwrap();
    let deeds: Vec<u64> = deeds.lines().map(|line| line.parse().unwrap()).collect();
    assert!(deeds.windows(2).all(|pair| pair[0] < pair[1]), "obeyed twice, or out of order: {deeds:?}");
    let lost = PRESSES - deeds.len() as u64;
    println!("{kills} kills, {lost} presses lost");
    assert!(kills >= 5 && lost <= kills, "{kills} kills, {lost} lost");
}

#[tokio::test]
async fn a27_questions_of_admins_are_answered_and_strangers_hear_one_polite_no() {
    const TEAM: i64 = -1007;
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let waiting = of(&notice(1, 1, Stage::Working));
    {
        let ledger = open(dir.path()).await;
        let subject = |value: &str| json!({"id": waiting, "class": "corrupt", "subject": {"value": value}});
        let case = |value: &str, phase: Value| json!({"incident": subject(value), "revision": 4, "phase": phase, "ended_at": null});
        let over = json!({"incident": subject("old"), "phase": {"phase": "ended"}, "ended_at": "2026-11-22T01:02:03Z"});
        let job = json!({"state": "processing", "facts": {"path": "models/b.mp4"}, "progress": {"percent": 42.4}});
        let done = json!({"state": "completed", "facts": {"path": "models/c.mp4"}, "progress": {}});
        let rows = [
            ("incident", "1", case("models/@ana.mp4 t.me/x\u{202e}", json!({"phase": "held", "on": "approval"}))),
            ("incident", "2", over),
            ("incident", "3", case("models/b.mp4", json!({"phase": "looking"}))),
            ("job", "4", job),
            ("job", "5", done),
        ];
        ledger
            .write(move |tx| {
                for (kind, id, json) in &rows {
                    tx.execute("INSERT INTO row (kind, id, json) VALUES (?1, ?2, ?3)", (kind, id, json.to_string()))?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }
    let both = TelegramSettings { admins: vec![ANA, TEAM], ..controlled(&fake) };
    let ear = Ear::start(dir.path(), both, Obeyed::default()).await;
    let group = |id: i64| json!({"id": id, "type": "supergroup", "title": "x"});
    for text in ["/status", "/incidents", "give me everything"] {
        fake.push(said(BOB, text));
    }
    fake.push(said_in(BOB, &group(TEAM), "/status"));
    fake.push(said_in(ANA, &group(-1008), "/status"));
    fake.push(said(ANA, "good morning"));
    for text in ["/status", "/incidents@alerts_bot", "/jobs", "/start"] {
        fake.push(said(ANA, text));
    }
    fake.push(said_in(ANA, &group(TEAM), "/jobs"));
    fake.until_texts(TEAM, 1).await;
    ear.stop().await;
    let texts = |chat: i64| fake.with(|inner| inner.texts(chat));
    assert_eq!(
        texts(ANA)[..3],
        [
            "Open incidents: 2\nWaiting for your word: 1\nDownloads under way: 1",
            "2 open incidents\n1. corrupt file · models/@ana.mp4 t.me/x\\u{202e} · waiting for your word\n2. corrupt file · models/b.mp4",
            "1 download under way\n42 % · models/b.mp4"
        ]
    );
    assert!(texts(ANA)[3].contains("/incidents") && texts(ANA).len() == 4);
    assert_eq!(texts(TEAM), ["1 download under way\n42 % · models/b.mp4"]);
    assert_eq!(texts(BOB), ["Sorry, I answer only to the people who set me up."]);
    assert!(texts(-1008).is_empty());
    let list = fake.with(|inner| inner.calls_of("sendmessage", ANA)[1].body.clone());
    let data = |deed| Press { deed, incident: waiting, revision: 4 }.data();
    assert_eq!(keys_of(&list), [data(Deed::Approve), data(Deed::Reject)]);
    assert_eq!(list["entities"].as_array().unwrap().len(), 3, "a headline, and strangers' text as code: {list}");
    fake.content();
}

/// What the buttons of a message would send.
fn keys_of(body: &Value) -> Vec<String> {
    let rows = body["reply_markup"]["inline_keyboard"].as_array().cloned().unwrap_or_default();
    let keys = rows.iter().flat_map(|row| row.as_array().unwrap().clone());
    keys.map(|key| key["callback_data"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a27_buttons_are_those_that_fit_and_the_message_says_who_decided() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::start().await);
    let sender = Sender::start(dir.path(), TelegramSettings { language: Lang::Es, ..controlled(&fake) }).await;
    let held = || Stage::Held { on: "approval".into(), detail: "quarantine waits for approval".into() };
    let id = of(&notice(1, 1, held()));
    let last =
        |method: &str| fake.with(|inner| inner.calls_of(method, ANA).last().map(|call| call.body.clone()).unwrap());
    let data = |deeds: &[Deed], revision| deeds.iter().map(|deed| press(*deed, 1, revision).data()).collect::<Vec<_>>();
    let shows = |wanted: Vec<String>| {
        let fake = fake.clone();
        async move {
            fake.until("its buttons", |inner| {
                inner.calls_of("editmessagetext", ANA).last().is_some_and(|call| keys_of(&call.body) == wanted)
            })
            .await;
        }
    };
    sender.put(vec![notice(1, 1, held())]).await;
    fake.until_texts(ANA, 1).await;
    assert_eq!(keys_of(&last("sendmessage")), data(&[Deed::Approve, Deed::Reject, Deed::Silence], 1));
    assert_eq!(last("sendmessage")["reply_markup"]["inline_keyboard"][0][0]["text"], "✅ Reparar");
    // The same words, told anew: the buttons must not stay those of a revision that is over.
    sender.put(vec![notice(1, 2, held())]).await;
    shows(data(&[Deed::Approve, Deed::Reject, Deed::Silence], 2)).await;
    let at = "2026-11-22T01:02:03Z";
    let orders = json!({"orders": [{"order": "approve", "by": "telegram:7", "at": at}, {"order": "acknowledge", "by": "@x t.me/y", "at": at}]});
    let insert = "INSERT INTO row (kind, id, json) VALUES ('incident', ?1, ?2)";
    sender.ledger.write(move |tx| tx.execute(insert, (id.to_string(), orders.to_string())).map(drop)).await.unwrap();
    sender.put(vec![notice(1, 3, ended(OutcomeResult::Exhausted))]).await;
    shows(data(&[Deed::Retry, Deed::Silence], 3)).await;
    let text = fake.with(|inner| inner.texts(ANA))[0].clone();
    assert!(
        text.ends_with("\nAprobado · telegram:7, 2026-11-22 01:02 UTC\nAsumido · @x t.me/y, 2026-11-22 01:02 UTC"),
        "{text}"
    );
    let units: Vec<u16> = text.encode_utf16().collect();
    let code: Vec<String> = last("editmessagetext")["entities"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entity| entity["type"] == "code")
        .map(|entity| {
            let (from, length) =
                (entity["offset"].as_u64().unwrap() as usize, entity["length"].as_u64().unwrap() as usize);
            String::from_utf16(&units[from..from + length]).unwrap()
        })
        .collect();
    assert!(code.ends_with(&["telegram:7".into(), "@x t.me/y".into()]), "{code:?}");
    sender.put(vec![notice(1, 4, ended(OutcomeResult::Healed))]).await;
    shows(Vec::new()).await;
    sender.stop().await;
    fake.content();
}

#[tokio::test]
async fn a27_a_bot_that_others_read_gets_no_buttons() {
    let (_dir, fake, sender) = super::harness::setup(&[ANA], quick()).await;
    sender.put(vec![notice(1, 1, Stage::Working)]).await;
    fake.until_texts(ANA, 1).await;
    sender.stop().await;
    fake.with(|inner| assert!(inner.calls[0].body.get("reply_markup").is_none_or(Value::is_null)));
}

/// A folder whose admin Ana is asked before a missing folder is made.
fn asking(fake: &Fake, extra: &str) -> Night {
    let night = Night::new(&format!(
        "[mode]\nmissing_path = 'approve'\n[telegram]\ntoken = '{TOKEN}'\nadmins = [{ANA}]\napi_url = '{}'\n{extra}",
        fake.url
    ));
    std::fs::write(
        night.path("patterns.d/nodir.toml"),
        "[[rule]]\nid = 'mine.nodir'\nclass = 'missing_path'\nseverity = 'error'\npattern = '''^LMTEST nodir (?P<path>/\\S+)$'''\nabout = 'x'\n",
    )
    .unwrap();
    night
}

/// The data of the latest button with this word that Ana was shown.
async fn button(fake: &Fake, word: &str) -> String {
    let mut data = String::new();
    fake.until(&format!("a button to {word}"), |inner| {
        let shown = inner.chats.get(&ANA).and_then(|chat| chat.values().last().cloned()).unwrap_or_default();
        data = keys_of(&shown).into_iter().find(|data| data.contains(word)).unwrap_or_default();
        !data.is_empty()
    })
    .await;
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a27_the_real_binary_waits_for_a_press_over_kill_9_repairs_proves_and_says_who_decided() {
    let fake = Fake::start().await;
    let night = asking(&fake, "");
    let wanted = night.path("models/new");
    let agent = tokio::task::block_in_place(|| night.start_reading());
    night.say(format!("LMTEST nodir {}\n", wanted.join("a.mp4").display()));
    let data = button(&fake, "approve").await;
    // Everybody but an admin, everything but this incident as it was shown.
    let (known, revision) = data.rsplit_once(':').unwrap();
    let later = revision.parse::<u64>().unwrap() + 1;
    fake.push(pressed(BOB, &data));
    fake.push(pressed(ANA, &format!("{known}:{later}")));
    fake.push(pressed(ANA, &press(Deed::Approve, 1, 1).data()));
    fake.push(pressed(ANA, "lm1:approve:x"));
    let told = until_answers(&fake, 4).await;
    assert_eq!(told[1].0, "This has changed since; the message shows how it stands now.");
    assert_eq!(told[2].0, "I do not know this incident any more.");
    agent.kill();
    // Pressed while nobody listens, twice.
    fake.push(pressed(ANA, &data));
    fake.push(pressed(ANA, &data));
    assert!(!rig::exists(&wanted), "nothing before the word");
    let agent = tokio::task::block_in_place(|| night.start_reading());
    let told = until_answers(&fake, 6).await;
    assert_eq!(told[4], ("Approved".to_owned(), false));
    assert_eq!(told[5], (format!("There is a word already: Approved · telegram:{ANA}"), true));
    let who = format!("Approved · telegram:{ANA}, ");
    fake.until("the end in the same message", |inner| {
        let shown = inner.chats.get(&ANA).and_then(|chat| chat.values().next().cloned()).unwrap_or_default();
        let text = shown["text"].as_str().unwrap_or_default();
        text.contains("Healed") && text.contains(&who) && keys_of(&shown).is_empty()
    })
    .await;
    tokio::task::block_in_place(|| {
        assert!(rig::exists(&wanted));
        assert_eq!(night.outcome("models/new/a.mp4")["result"], "healed");
        let audit = format!(
            "SELECT count(*) FROM audit WHERE action = 'incident approve' AND address = 'telegram' AND account = 'telegram:{ANA}' AND outcome = "
        );
        assert_eq!(night.count(&format!("{audit}'done'")), 1);
        assert_eq!(night.count(&format!("{audit}'refused'")), 3);
        let orders = format!(
            "SELECT count(*) FROM row WHERE kind = 'incident' AND json ->> '$.orders[0].by' = 'telegram:{ANA}'"
        );
        assert_eq!(night.count(&orders), 1);
        agent.stop();
    });
    fake.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a27_the_real_binary_retries_takes_over_and_silences_by_button() {
    let fake = Fake::start().await;
    let night = asking(&fake, "");
    let agent = tokio::task::block_in_place(|| night.start_reading());
    // Nothing can be repaired about this one: it is told and ended.
    night.say("LMTEST denied\n");
    let take = button(&fake, "acknowledge").await;
    fake.push(pressed(ANA, &take));
    fake.until("who takes care", |inner| inner.texts(ANA)[0].contains(&format!("Taken over · telegram:{ANA}"))).await;
    let shown = fake.with(|inner| inner.chats[&ANA].values().next().cloned().unwrap());
    assert!(!keys_of(&shown).iter().any(|data| data.contains("acknowledge")), "it is not asked again");
    fake.push(pressed(ANA, &button(&fake, "retry").await));
    let told = until_answers(&fake, 2).await;
    assert!(told[1].0.starts_with("Not done: nothing can be repeated"), "{told:?}");
    fake.push(pressed(ANA, &button(&fake, "silence").await));
    fake.until("the silence", |inner| inner.texts(ANA)[0].contains(&format!("Silenced · telegram:{ANA}"))).await;
    tokio::task::block_in_place(|| {
        assert_eq!(night.count("SELECT count(*) FROM silence"), 1);
        assert_eq!(night.count("SELECT count(*) FROM audit WHERE address = 'telegram'"), 3);
        agent.stop();
    });
    fake.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a27_check_says_whether_buttons_are_heard_and_why_not() {
    let fake = Fake::start().await;
    let check = |night: &Night| {
        let output = tokio::task::block_in_place(|| night.ask(&["check"]));
        let (_, out, _) = rig::told(&output);
        out
    };
    let night = asking(&fake, "");
    assert!(check(&night).contains("buttons and commands of the admins are obeyed"), "{}", check(&night));
    fake.with(|inner| inner.webhook = "https://example.org/hook");
    assert!(check(&night).contains("buttons and commands do nothing"), "{}", check(&night));
    let shared = asking(&fake, &format!("[bot_api]\ntoken = '{TOKEN}'\nurl = '{}'\n", fake.url));
    let said = check(&shared);
    assert!(said.contains("two programs cannot read one bot's messages"), "{said}");
    assert!(!said.contains("are obeyed"), "{said}");
    // And the agent asks nothing there.
    let before = fake.with(|inner| inner.calls.len());
    let agent = tokio::task::block_in_place(|| shared.start_reading());
    shared.say("LMTEST denied\n");
    fake.until_texts(ANA, 1).await;
    fake.with(|inner| {
        assert!(inner.calls[before..].iter().all(|call| call.method != "getupdates"));
        assert!(keys_of(inner.chats[&ANA].values().next().unwrap()).is_empty());
    });
    tokio::task::block_in_place(|| agent.stop());
}
