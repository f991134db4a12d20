//! Text of the log that becomes an argument (fail2ban CVE-2021-32749, CVE-2012-5642 and their kind).

use std::collections::BTreeMap;
use std::time::Duration;

use logmedic::decide::{Repair, TaskOutput};
use logmedic::heal::CommandSpec;

use crate::house::House;

fn house_with(argv: &[&str]) -> House {
    House::new().with(|house| {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let spec = CommandSpec { argv, timeout: Duration::from_secs(10) };
        house.settings.commands = BTreeMap::from([("run".into(), spec)]);
        house.settings.allowed_hosts = vec!["1.1.1.1".into()];
    })
}

async fn run(house: &House, path: Option<&str>, variables: &[(&str, &str)]) -> TaskOutput {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    house.act(Repair::Command { name: "run".into(), path: path.map(str::to_owned), variables }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_value_of_the_log_is_one_whole_argument_and_no_shell_ever_reads_it() {
    let house = house_with(&["/usr/bin/printf", "<%s>", "{path}", "pre{path}", "{url}"]);
    let path = "models/$(touch pwned);`id`|x && y.png";
    let output = run(&house, Some(path), &[("url", "http://1.1.1.1/$(touch%20pwned)")]).await;
    let TaskOutput::Done { evidence, .. } = output else { panic!("{output:?}") };
    let said = evidence["output"].as_str().unwrap();
    let root = house.path("models");
    assert!(said.starts_with(&format!("<{}/$(touch pwned);`id`|x && y.png><pre{{path}}>", root.display())), "{said}");
    assert!(!house.path("pwned").exists() && !root.join("pwned").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_value_of_the_log_is_an_option_or_the_program() {
    let house = house_with(&["/usr/bin/env", "{file_id}"]);
    for id in ["-S", "--split-string=id", "a b", "a\nb", "", "$(id)"] {
        let output = run(&house, None, &[("file_id", id)]).await;
        assert!(matches!(output, TaskOutput::Refused { .. }), "{id:?}: {output:?}");
    }
    let house = house_with(&["{file_id}"]);
    let output = run(&house, None, &[("file_id", "reboot")]).await;
    assert!(matches!(output, TaskOutput::Refused { .. }), "{output:?}");
    let house = house_with(&["/usr/bin/env", "{url}"]);
    for url in ["http://127.0.0.1/", "file:///etc/passwd", "-o/etc/passwd", "http://evil.invalid/"] {
        let output = run(&house, None, &[("url", url)]).await;
        assert!(matches!(output, TaskOutput::Refused { .. }), "{url}: {output:?}");
    }
    let house = house_with(&["/usr/bin/env", "{path}"]);
    let output = run(&house, Some("/etc/passwd"), &[]).await;
    assert!(matches!(output, TaskOutput::Refused { .. }), "{output:?}");
    let house = house_with(&["/usr/bin/env", "{token}"]);
    let output = run(&house, None, &[("token", "x"), ("PATH", "/evil"), ("LD_PRELOAD", "/evil.so")]).await;
    assert!(matches!(output, TaskOutput::Refused { .. }), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_command_in_a_root_of_the_bot_does_not_run_as_root() {
    let house = house_with(&["/usr/bin/id", "-u"]).for_nobody();
    let output = run(&house, None, &[]).await;
    let TaskOutput::Done { evidence, .. } = output else { panic!("{output:?}") };
    assert_eq!(evidence["output"], "65534");
}
