//! Channels to servers whose certificate an authority of one's own signed.

use std::path::Path;
use std::process::Command;

use logmedic::outbox::{
    ChannelPace, ChannelSettings, EmailSettings, Preset, Way, WebhookSettings, check_ca, try_channel,
};
use logmedic::vocab::Secret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::channels::{PATIENCE, channel, rules};

/// An authority, and a server's certificate that it signed.
fn authority(dir: &Path) {
    let openssl = |args: &str| {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -subj /CN=home -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE"
    ));
    std::fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(&format!("req {} -subj /CN=server -keyout key.pem -out server.csr", key.replace(" -days 2", "")));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem");
}

struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(kind: &str, dir: &Path) -> (Self, u16) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/tls.py");
        let mut command = tokio::process::Command::new("python3");
        command.arg(script).arg(kind).arg("cert.pem").arg("key.pem").current_dir(dir);
        let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut this = Self { _child: child, lines };
        let port = u16::try_from(this.next().await["port"].as_u64().unwrap()).unwrap();
        (this, port)
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn ways(https: u16, smtps: u16) -> [(&'static str, Way); 2] {
    let hook = WebhookSettings {
        url: Secret::new(&format!("https://127.0.0.1:{https}/ops")),
        secret: None,
        preset: Preset::Cloudevents,
    };
    let mail = EmailSettings {
        smtp: format!("smtps://127.0.0.1:{smtps}").parse().unwrap(),
        password: None,
        from: "logmedic <alerts@example.org>".into(),
        to: vec!["ana@example.org".into()],
    };
    [("ops", Way::Webhook(hook)), ("home", Way::Email(mail))]
}

#[tokio::test]
async fn e2_a_channel_trusts_an_authority_of_ones_own_and_only_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path());
    let ca = std::fs::read_to_string(dir.path().join("ca.pem")).unwrap();
    let (mut https, https_port) = Server::start("https", dir.path()).await;
    let (mut smtps, smtps_port) = Server::start("smtps", dir.path()).await;
    for ((name, way), server) in ways(https_port, smtps_port).into_iter().zip([&mut https, &mut smtps]) {
        let stranger = channel(name, rules(), way);
        let tried = try_channel(&stranger, &ChannelPace::default()).await;
        assert!(!tried.ok, "{name}: nobody said that this one is to be trusted");
        assert!(server.next().await["refused"].is_string());
        let trusted = ChannelSettings { ca: Some(ca.clone()), ..stranger };
        let tried = try_channel(&trusted, &ChannelPace::default()).await;
        assert!(tried.ok, "{name}: {}", tried.detail);
        assert!(server.next().await["body"].as_str().is_some_and(|text| text.contains("logmedic")), "{name}");
    }
    assert_eq!(check_ca(&ca), Ok(()));
    for (wrong, said) in [
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n", "cannot be read"),
    ] {
        assert!(check_ca(wrong).unwrap_err().contains(said));
    }
}
