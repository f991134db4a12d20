//! A9: a command the user configured: an argument vector, bounded in time, output and what it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use logmedic::decide::{Fetch, Repair, TaskOutput};
use logmedic::heal::CommandSpec;

use crate::house::{House, is_done, png, until};

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
