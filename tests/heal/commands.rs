//! A9: a command the user configured: an argument vector, bounded in time, output and what it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use logmedic::decide::{Expect, Fetch, Repair, Task, TaskOutput, Work};
use logmedic::heal::CommandSpec;
use tokio_util::sync::CancellationToken;

use crate::house::{House, is_done, png, task, until};

fn shell(script: &str, more: &[&str]) -> CommandSpec {
    let argv = ["/bin/sh", "-c", script, "sh"].iter().chain(more).map(|word| (*word).to_owned()).collect();
    CommandSpec { argv, timeout: Duration::from_secs(10) }
}

fn with_command(house: House, name: &str, spec: CommandSpec) -> House {
    house.with(|house| house.settings.commands = BTreeMap::from([(name.into(), spec)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_configured_command_may_fetch_the_file() {
    let whole = png(700);
    let scripts: [(&str, &[&str]); 2] = [("cp \"$1\" \"$2\"", &["{path}"]), ("cp \"$1\" \"$LOGMEDIC_TARGET\"", &[])];
    for (script, more) in scripts {
        let house = House::new();
        let source = house.put("source.png", &whole);
        let arguments = [&[source.to_str().unwrap()], more].concat();
        let house = with_command(house, "redownload", shell(script, &arguments));
        let output = house.fetch(Fetch::Command { variables: Vec::new() }, "models/ana/a.png").await;
        assert!(is_done(&output), "{output:?}");
        assert_eq!(std::fs::read(house.path("models/ana/a.png")).unwrap(), whole);
        assert!(!house.path("models/ana/a.png.part").exists());
    }
    let house = with_command(House::new(), "redownload", shell("echo html > \"$1\"", &["{path}"]));
    let output = house.fetch(Fetch::Command { variables: Vec::new() }, "models/a.png").await;
    assert!(matches!(output, TaskOutput::Transient { .. }), "what is not a picture does not get the name: {output:?}");
    assert!(!house.path("models/a.png").exists());
    let output = House::new().fetch(Fetch::Command { variables: Vec::new() }, "models/a.png").await;
    let TaskOutput::Refused { remedy: Some(remedy), .. } = output else { panic!("{output:?}") };
    assert!(remedy.contains("[command.redownload]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_command_that_hangs_is_ended_with_all_its_children() {
    let house = House::new();
    let script = format!("sleep 300 & echo $! > {}; wait", house.path("pid").display());
    let house = with_command(house, "hang", CommandSpec { timeout: Duration::from_millis(500), ..shell(&script, &[]) });
    let begun = Instant::now();
    let output = house.act(Repair::Command { name: "hang".into(), path: None, variables: vec![] }).await;
    assert!(matches!(output, TaskOutput::Transient { .. }), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let pid = std::fs::read_to_string(house.path("pid")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    until(|| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_command_gets_allowed_values_nothing_of_ours_and_may_talk_without_end() {
    let said = async |script: &str| {
        let house = with_command(House::new(), "show", shell(script, &[]));
        let variables = [("file_id", "BAAC-_1"), ("url", "http://10.0.0.1/"), ("job", "x\u{1b}[31m")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let run = Repair::Command { name: "show".into(), path: Some("models/a.png".into()), variables };
        let TaskOutput::Done { evidence, .. } = house.act(run).await else { panic!() };
        evidence["output"].as_str().unwrap().to_owned()
    };
    let env = said("env").await;
    assert!(env.contains("LOGMEDIC_FILE_ID=BAAC-_1") && env.contains("LOGMEDIC_PATH=/"), "{env}");
    assert!(!env.contains("LOGMEDIC_URL") && !env.contains("LOGMEDIC_JOB") && !env.contains("CARGO"), "{env}");
    let long = said("head -c 3000000 /dev/zero | tr '\\0' x; echo end").await;
    assert!(long.ends_with("end") && long.len() <= 4096, "the end is kept, bounded: {}", long.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_task_runs_its_command_once_however_often_it_is_asked_for() {
    let house = House::new();
    let script = format!("echo ran >> {}; echo said; exit 3", house.path("runs").display());
    let house = with_command(house, "fix", shell(&script, &[]));
    let wanted = task(Work::Act(Repair::Command { name: "fix".into(), path: None, variables: vec![] }));
    let ran = || std::fs::read_to_string(house.path("runs")).unwrap_or_default().lines().count();
    for turn in 0..3 {
        // A healer of its own each time, as after a restart.
        let output = house.run(wanted.clone()).await;
        let TaskOutput::Transient { detail, evidence, .. } = output else { panic!("{output:?}") };
        assert!(detail.contains("exit code 3"), "{detail}");
        assert_eq!((&evidence["exit_code"], &evidence["output"]), (&3.into(), &"said".into()));
        assert_eq!(evidence.contains_key("adopted"), turn > 0);
        assert_eq!(ran(), 1);
    }
    // Two at the same moment.
    let wanted = task(wanted.work);
    let (one, other) = tokio::join!(house.run(wanted.clone()), house.run(wanted));
    let code = |output: TaskOutput| {
        if let TaskOutput::Transient { evidence, .. } = output {
            evidence["exit_code"].clone()
        } else {
            panic!("{output:?}")
        }
    };
    assert_eq!((code(one), code(other), ran()), (3.into(), 3.into(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_what_a_command_saved_before_a_restart_is_recognised_after_it() {
    let whole = png(700);
    // Beside the name, and at the name itself: compared with how it was when the command began.
    for place in ["{path}", "{target}"] {
        let house = House::new();
        let source = house.put("source.png", &whole);
        let house = with_command(house, "redownload", shell("cp \"$1\" \"$2\"", &[source.to_str().unwrap(), place]));
        let from = Fetch::Command { variables: Vec::new() };
        let repair = Repair::Redownload { from, path: "models/a.png".into(), expect: Expect::default() };
        let wanted = task(Work::Act(repair));
        assert!(is_done(&house.run(wanted.clone()).await));
        if place == "{path}" {
            // As it was before the agent that asked was killed: proven and placed was nothing yet.
            std::fs::rename(house.path("models/a.png"), house.path("models/a.png.part")).unwrap();
        }
        std::fs::remove_file(&source).unwrap();
        let output = house.run(Task { resumed: true, ..wanted }).await;
        let TaskOutput::Done { evidence, .. } = &output else { panic!("{output:?}") };
        assert_eq!((&evidence["exit_code"], evidence.contains_key("adopted")), (&0.into(), true));
        assert_eq!(std::fs::read(house.path("models/a.png")).unwrap(), whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_a_command_runs_although_nothing_of_it_can_be_written_down() {
    let house = with_command(House::new(), "fix", shell("echo said", &[]));
    house.put("state/runs", b"not a directory");
    let output = house.act(Repair::Command { name: "fix".into(), path: None, variables: vec![] }).await;
    let TaskOutput::Done { evidence, .. } = output else { panic!("{output:?}") };
    assert_eq!(evidence["output"], "said");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_command_that_cannot_be_started_or_handed_over_says_so_and_one_that_is_called_off_ends() {
    let nowhere = CommandSpec { argv: vec!["/no/such/program".into()], timeout: Duration::from_secs(10) };
    let run = || Repair::Command { name: "fix".into(), path: None, variables: vec![] };
    let output = with_command(House::new(), "fix", nowhere).act(run()).await;
    let TaskOutput::Refused { detail, remedy: Some(remedy), .. } = output else { panic!("{output:?}") };
    assert!(detail.contains("No such file") && remedy.contains("[command.fix]"), "{detail}; {remedy}");
    let output = with_command(House::new(), "fix", shell(&"x".repeat(200_000), &[])).act(run()).await;
    let TaskOutput::Refused { detail, .. } = output else { panic!("{output:?}") };
    assert!(detail.contains("put them into a file"), "{detail}");

    let house = House::new();
    let script = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 300", house.path("pid").display());
    let house = with_command(house, "fix", shell(&script, &[]));
    let (healer, cancel) = (house.healer(), CancellationToken::new());
    let work = tokio::spawn({
        let cancel = cancel.clone();
        async move { healer.run(task(Work::Act(run())), cancel).await }
    });
    until(|| house.path("pid").exists()).await;
    cancel.cancel();
    assert_eq!(work.await.unwrap(), TaskOutput::Cancelled);
    let pid = std::fs::read_to_string(house.path("pid")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    until(|| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_as_root_a_command_runs_as_the_bot_s_user_with_no_group_of_ours() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = House::new().for_nobody();
    // The working directory must be open to that user.
    std::fs::set_permissions(house.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let house = with_command(house, "who", shell("id -u; id -G; pwd", &[]));
    let output = house.act(Repair::Command { name: "who".into(), path: None, variables: vec![] }).await;
    let TaskOutput::Done { evidence, .. } = output else { panic!("{output:?}") };
    assert_eq!(evidence["output"], format!("65534\\n65534\\n{}", house.dir.path().display()).as_str());
}
