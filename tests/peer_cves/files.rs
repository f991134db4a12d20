//! Paths and names that strangers chose: dots, links, set-id files, quarantine rows that lie.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use logmedic::decide::{Expect, Fetch, Finding, Question, Repair, TaskOutput};
use logmedic::setup::commands::quarantine::{Action, Args, run};

use crate::house::{House, Server, is_done, plain, png};

fn every_repair(path: &str) -> Vec<Repair> {
    let path = path.to_owned();
    vec![
        Repair::Redownload {
            from: Fetch::FilePath("videos/file_0.png".into()),
            path: path.clone(),
            expect: Expect::default(),
        },
        Repair::RestoreAccess { path: path.clone() },
        Repair::CreateDirectory { path: path.clone() },
        Repair::Quarantine { path, expect: Expect::default() },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_paths_that_leave_the_root_are_refused_by_every_repair_and_look() {
    let server = Server::start(|_, _| plain(200, png(10))).await;
    let house = House::new().serving(&server);
    house.put("secret/a.png", b"cut");
    fs::set_permissions(house.path("secret/a.png"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(house.path("secret"), house.path("models/link")).unwrap();
    symlink(house.path("secret/a.png"), house.path("models/link.png")).unwrap();
    let outside = house.path("secret/a.png").to_str().unwrap().to_owned();
    let escapes = [
        "models/../secret/a.png",
        "../secret/a.png",
        &outside,
        "/etc/passwd",
        "models/link/a.png",
        "models/link.png",
        "models/a\0b.png",
        "models/.logmedic/quarantine/x",
        "",
    ];
    for path in escapes {
        for repair in every_repair(path) {
            let output = house.act(repair.clone()).await;
            // That the directory of a link is there may be said; nothing was made.
            let harmless =
                matches!(&output, TaskOutput::Done { evidence, .. } if evidence.get("made") == Some(&0.into()));
            assert!(harmless || matches!(output, TaskOutput::Refused { .. }), "{path:?} {repair:?}: {output:?}");
        }
        let seen = house.look(Question::Download { path: path.into(), expect: Expect::default() }).await;
        assert!(matches!(seen.finding, Finding::Refused { .. }), "{path:?}: {seen:?}");
    }
    assert_eq!(fs::read(house.path("secret/a.png")).unwrap(), b"cut");
    assert_eq!(house.path("secret").read_dir().unwrap().count(), 1);
    assert!(server.asked().is_empty(), "nothing was fetched for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_hard_links_set_id_files_and_pipes_are_not_touched() {
    let house = House::new().for_nobody().with(|house| house.spec.owner = Some("65534".into()));
    let victim = house.put("secret/passwd", b"cut");
    fs::hard_link(&victim, house.path("models/hard.png")).unwrap();
    let set_id = house.put("models/tool.png", b"cut");
    fs::set_permissions(&set_id, fs::Permissions::from_mode(0o4755)).unwrap();
    nix::unistd::mkfifo(&house.path("models/pipe.png"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["hard.png", "tool.png", "pipe.png"] {
        for repair in every_repair(&format!("models/{name}")).split_off(1) {
            let output = house.act(repair.clone()).await;
            let harmless = matches!(repair, Repair::CreateDirectory { .. }) && is_done(&output);
            assert!(harmless || matches!(output, TaskOutput::Refused { .. }), "{repair:?}: {output:?}");
        }
    }
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!((victim.metadata().unwrap().uid(), set_id.metadata().unwrap().uid()), (0, 0));
    assert_eq!(set_id.metadata().unwrap().mode() & 0o7777, 0o4755);
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_link_planted_as_the_part_is_not_written_through() {
    let server = Server::start(|_, _| plain(200, png(10))).await;
    let house =
        House::new().serving(&server).with(|house| house.settings.timeouts.part_fresh = std::time::Duration::ZERO);
    let victim = house.put("secret/passwd", b"root");
    symlink(&victim, house.path("models/a.png.part")).unwrap();
    fs::hard_link(&victim, house.path("models/b.png.part")).unwrap();
    for name in ["a", "b"] {
        let output = house.fetch(Fetch::FilePath("videos/x.png".into()), &format!("models/{name}.png")).await;
        assert!(matches!(output, TaskOutput::Refused { .. }), "{output:?}");
    }
    assert_eq!(fs::read(victim).unwrap(), b"root");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_hostile_names_are_files_like_others_and_shown_harmlessly() {
    let house = House::new();
    let name = "models/a\u{1b}]0;x\u{7}\n2026-01-01 ERROR fake\u{202e}; rm -rf $(HOME) '\".png";
    house.put(name, &png(500)[..100]);
    let seen = house.look(Question::Integrity { path: name.into(), expect: Expect::default() }).await;
    assert_eq!(seen.finding, Finding::Fault);
    let output = house.act(Repair::Quarantine { path: name.into(), expect: Expect::default() }).await;
    assert!(is_done(&output), "{output:?}");
    let shown = format!("{}{}", seen.detail, serde_json::to_string(&seen.evidence).unwrap());
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\n', '\u{202e}']), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_quarantine_row_that_lies_restores_and_purges_nothing_outside() {
    let house = House::new();
    let victim = house.put("secret/passwd", b"root");
    house.put("models/.logmedic/quarantine/x/f", b"evil");
    let rows = [
        ("up", "models", "../secret/new", ".logmedic/quarantine/x/f"),
        ("abs", "models", "/tmp/new-by-logmedic-test", ".logmedic/quarantine/x/f"),
        ("from", "models", "taken", "../secret/passwd"),
        ("plain", "models", "taken", "other"),
        ("own", "models", ".logmedic/quarantine/y", ".logmedic/quarantine/x/f"),
        ("root", "elsewhere", "f", ".logmedic/quarantine/x/f"),
    ];
    let insert = "INSERT INTO quarantine (id, root, original, stored, size, why, at)
                  VALUES (?1, ?2, ?3, ?4, 1, '', '2026-01-01T00:00:00.000Z')";
    house.ledger.write(move |db| rows.iter().try_for_each(|row| db.execute(insert, *row).map(drop))).await.unwrap();
    for (id, ..) in rows {
        for action in [
            Action::Restore { id: id.into(), json: false },
            Action::Purge { id: Some(id.into()), older_than: None, json: false },
        ] {
            let (args, mut out) = (Args { action }, Vec::new());
            let done = run(&args, &house.path("state"), std::slice::from_ref(&house.spec), &mut out);
            assert!(done.is_err(), "{id}");
        }
    }
    assert_eq!(fs::read(victim).unwrap(), b"root");
    assert_eq!(house.path("secret").read_dir().unwrap().count(), 1);
    assert!(house.path("models/.logmedic/quarantine/x/f").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_quarantine_prepared_by_somebody_else_is_not_used() {
    let house = House::new().for_nobody();
    house.put("models/bad.png", &png(500)[..100]);
    let elsewhere = house.path("secret");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, house.path("models/.logmedic")).unwrap();
    let repair = || Repair::Quarantine { path: "models/bad.png".into(), expect: Expect::default() };
    assert!(matches!(house.act(repair()).await, TaskOutput::Refused { .. }));
    fs::remove_file(house.path("models/.logmedic")).unwrap();
    fs::create_dir(house.path("models/.logmedic")).unwrap();
    std::os::unix::fs::chown(house.path("models/.logmedic"), Some(crate::house::NOBODY), None).unwrap();
    assert!(matches!(house.act(repair()).await, TaskOutput::Refused { .. }));
    assert!(house.path("models/bad.png").exists() && elsewhere.read_dir().unwrap().count() == 0);
}
