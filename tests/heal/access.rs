//! A10 and A11: access and directories, as the policy says; without the privilege, the exact command.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use logmedic::decide::{Finding, Question, Repair, TaskOutput};
use serde_json::json;

use crate::house::{House, NOBODY, is_done};

fn chmod(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn facts(path: impl AsRef<Path>) -> (u32, u32, u32) {
    let facts = path.as_ref().metadata().unwrap();
    (facts.uid(), facts.gid(), facts.mode() & 0o7777)
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_access_is_given_back_as_the_policy_says_and_only_where_it_is_missing() {
    let house = House::new().for_nobody().with(|house| {
        house.spec.owner = Some("65534".into());
        house.spec.group = Some("65534".into());
        house.spec.dir_mode = Some(0o2775);
        house.spec.file_mode = Some(0o664);
    });
    let file = house.put("models/ana/a.mp4", b"x");
    let other = house.put("models/ana/b.mp4", b"x");
    chmod(&file, 0o600);
    chmod(&other, 0o600);
    chmod(house.path("models/ana"), 0o700);
    let ask = || Question::Access { path: "models/ana/a.mp4".into() };
    let repair = || Repair::RestoreAccess { path: "models/ana/a.mp4".into() };
    let seen = house.look(ask()).await;
    assert_eq!(seen.finding, Finding::Fault, "{seen:?}");
    let output = house.act(repair()).await;
    assert!(is_done(&output), "{output:?}");
    assert_eq!(house.look(ask()).await.finding, Finding::Sound);
    assert_eq!(facts(&file), (NOBODY, NOBODY, 0o664));
    assert_eq!(facts(house.path("models/ana")), (NOBODY, NOBODY, 0o2775));
    assert_eq!(facts(&other), (0, 0, 0o600), "nobody asked for this one");
    // The kernel agrees: the bot's user writes it. (The temporary directory itself must let it in.)
    chmod(house.dir.path(), 0o755);
    let status = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", "echo y >> \"$0\""])
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    let TaskOutput::Done { evidence, .. } = house.act(repair()).await else { panic!() };
    assert_eq!(evidence["changed"], json!([]), "a second time nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_without_a_policy_only_missing_bits_are_added_and_owners_stay() {
    let house = House::new().for_nobody();
    let own = house.put("models/own.mp4", b"x");
    chown(house.path("models"), Some(NOBODY), None).unwrap();
    chown(&own, Some(NOBODY), None).unwrap();
    chmod(&own, 0o440);
    let output = house.act(Repair::RestoreAccess { path: "models/own.mp4".into() }).await;
    assert!(is_done(&output), "{output:?}");
    assert_eq!(facts(&own), (NOBODY, 0, 0o640));
    let foreign = house.put("models/foreign.mp4", b"x");
    chmod(&foreign, 0o600);
    let output = house.act(Repair::RestoreAccess { path: "models/foreign.mp4".into() }).await;
    let TaskOutput::Refused { remedy: Some(remedy), detail, .. } = output else { panic!("{output:?}") };
    assert!(remedy.starts_with("sudo chown nobody:"), "{remedy}");
    assert!(detail.contains("owner = \"nobody\""), "{detail}");
    assert_eq!(facts(&foreign), (0, 0, 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_without_the_privilege_the_answer_is_the_exact_command() {
    let house = House::new().for_nobody();
    let file = house.put("models/it's.mp4", b"x");
    chmod(&file, 0o600);
    // As nobody, in a process of its own: this very program, for one test.
    let said = as_nobody(&house, "access::inside_as_nobody");
    let path = file.to_str().unwrap().replace('\'', r"'\''");
    let group = logmedic::roots::group_name(NOBODY);
    let models = house.path("models").to_str().unwrap().to_owned();
    let want =
        format!("sudo chown nobody:{group} {models} && sudo chown nobody:{group} '{path}' && sudo chmod 0664 '{path}'");
    assert!(said.contains(&want), "{said}\nwanted: {want}");
}

/// The inner half of the test above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a10_without_the_privilege_the_answer_is_the_exact_command, as another user"]
async fn inside_as_nobody() {
    let Some(models) = std::env::var_os("HEAL_MODELS") else { return };
    let house = House::new().with(|house| {
        house.spec.path = models.into();
        house.spec.owner = Some("65534".into());
        house.spec.group = Some("65534".into());
        house.spec.file_mode = Some(0o664);
    });
    let path = house.spec.path.join("it's.mp4").to_str().unwrap().to_owned();
    let output = house.act(Repair::RestoreAccess { path }).await;
    let TaskOutput::Refused { remedy: Some(remedy), .. } = output else { panic!("{output:?}") };
    println!("{remedy}");
}

/// Runs one ignored test of this program as nobody.
fn as_nobody(house: &House, test: &str) -> String {
    chmod(house.dir.path(), 0o755);
    // A copy, where nobody may run it.
    let program = house.path("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("HEAL_MODELS", house.path("models"))
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_as_the_bot_s_own_user_what_is_closed_is_opened_level_by_level() {
    let house = House::new().for_nobody();
    let file = house.put("models/ana/deep/a.mp4", b"x");
    let closed = ["models/ana", "models/ana/deep", "models/ana/deep/a.mp4"].map(|name| house.path(name));
    for path in [&house.path("models")].into_iter().chain(&closed) {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    closed.iter().for_each(|path| chmod(path, 0o000));
    as_nobody(&house, "access::inside_opening_as_nobody");
    assert_eq!(facts(&file), (NOBODY, NOBODY, 0o600));
}

/// The inner half of the test above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a10_as_the_bot_s_own_user_what_is_closed_is_opened_level_by_level, as another user"]
async fn inside_opening_as_nobody() {
    let Some(models) = std::env::var_os("HEAL_MODELS") else { return };
    let house = House::new().with(|house| house.spec.path = models.into());
    let path = house.spec.path.join("ana/deep/a.mp4").to_str().unwrap().to_owned();
    assert_eq!(house.look(Question::Access { path: path.clone() }).await.finding, Finding::Fault);
    let output = house.act(Repair::RestoreAccess { path: path.clone() }).await;
    assert!(is_done(&output), "{output:?}");
    assert_eq!(house.look(Question::Access { path }).await.finding, Finding::Sound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_missing_directory_is_made_with_its_parents_as_the_policy_says() {
    let house = House::new().for_nobody().with(|house| {
        house.spec.owner = Some("65534".into());
        house.spec.dir_mode = Some(0o2770);
    });
    for (hint, made) in [("models/ana/new/a.mp4", "models/ana/new"), ("models/2026.11.22", "models/2026.11.22")] {
        let ask = || Question::Directory { path: hint.into() };
        assert_eq!(house.look(ask()).await.finding, Finding::Fault);
        for _ in 0..2 {
            let output = house.act(Repair::CreateDirectory { path: hint.into() }).await;
            assert!(is_done(&output), "{output:?}");
        }
        assert_eq!(house.look(ask()).await.finding, Finding::Sound);
        let (uid, _, mode) = facts(house.path(made));
        assert_eq!((uid, mode), (NOBODY, 0o2770));
    }
    assert_eq!(facts(house.path("models/ana")).0, NOBODY);
    assert!(!house.path("models/ana/new/a.mp4").exists());
    // Half made when the power went: ours, closed to everybody. The next run finishes it.
    std::fs::create_dir(house.path("models/half")).unwrap();
    chmod(house.path("models/half"), 0o700);
    assert!(is_done(&house.act(Repair::CreateDirectory { path: "models/half".into() }).await));
    assert_eq!(facts(house.path("models/half")).0, NOBODY);
}
