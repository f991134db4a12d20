//! The system's routes over a real socket, with the real configuration behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use logmedic::ledger::Ledger;
use logmedic::probe::Probes;
use logmedic::publish::metrics::Metrics;
use logmedic::publish::vitals::Vitals;
use logmedic::serve::auth::{self, Identity, Peer};
use logmedic::serve::system::{self, Parts, Place, System};
use logmedic::setup::load::{self, Loaded, Surroundings};
use logmedic::setup::reload::{self, Reload};
use logmedic::setup::settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

fn around(dir: &Path, vars: &[(&str, &str)]) -> Surroundings {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
    Surroundings { vars, cwd: dir.to_owned(), root: false }
}

/// The configuration as the agent begins with it.
fn begin(dir: &Path, vars: &[(&str, &str)]) -> (Ledger, Loaded, Surroundings) {
    let around = around(dir, vars);
    let loaded = load::load(Some(&dir.join("config.toml")), &around).unwrap();
    // The last requests of the run before may still hold it.
    let ledger = crate::rig::until("the state directory", || Ledger::open(&loaded.state_dir).ok());
    let loaded = settings::with_changes(&ledger, loaded, &around);
    (ledger, loaded, around)
}

/// Serves the system's routes on `socket`, where this user is who holds the machine.
fn serve(dir: &Path, vars: &[(&str, &str)]) -> tokio::task::JoinHandle<()> {
    let (ledger, mut loaded, around) = begin(dir, vars);
    let (policies, mut taken) = mpsc::channel(1);
    tokio::spawn(async move { while taken.recv().await.is_some() {} });
    let probes = Probes::new(Vec::new());
    let parts = reload::Parts {
        ledger: ledger.clone(),
        rules: watch::channel(Arc::default()).0,
        policies,
        specs: Vec::new(),
        around,
        probes: probes.clone(),
        runs_bot: false,
    };
    let (mut reload, door) = Reload::new(parts, &loaded);
    let open = auth::Settings { port: 1, session_ttl: Duration::from_secs(60) };
    let system = System::new(Parts {
        identity: Identity::open(ledger.clone(), &loaded.state_dir, open).unwrap(),
        ledger,
        metrics: Metrics::new(|_| {}),
        vitals: Vitals::new(),
        probes,
        settings: Arc::new(door),
        records: loaded.records_path(),
        places: vec![Place { name: "state".into(), path: loaded.state_dir.clone(), min_free: 1 }],
        sources: Vec::new(),
        runs_bot: false,
        told_from: None,
    });
    let (api, _) = system::router::<()>(system.clone()).split_for_parts();
    let (live, _) = system::live::<()>(system).split_for_parts();
    let routes: Router = Router::new().nest("/api/v1", api).merge(live);
    let _ = fs::remove_file(dir.join("socket"));
    let listener = UnixListener::bind(dir.join("socket")).unwrap();
    tokio::spawn(async move {
        let app = routes.into_make_service_with_connect_info::<Peer>();
        tokio::select! {
            _ = async { axum::serve(listener, app).await } => {}
            () = async { while let Some(wanted) = reload.wanted().await { reload.change(&mut loaded, wanted).await } } => {}
        }
    })
}

async fn ask(dir: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(dir.join("socket")).await.unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    let kind = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(format!("{head}{kind}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn asked(dir: &Path, path: &str) -> Value {
    let (status, body) = ask(dir, "GET", path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn change(dir: &Path, changes: Value) -> (u16, Value) {
    let (status, body) = ask(dir, "PATCH", "/api/v1/settings", &changes.to_string()).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
}

async fn setting(dir: &Path, key: &str) -> (Value, String) {
    let all = asked(dir, "/api/v1/settings").await;
    let found = all.as_array().unwrap().iter().find(|setting| setting["key"] == key);
    let found = found.unwrap_or_else(|| panic!("{key} is not in {all}"));
    (found["value"].clone(), found["origin"].as_str().unwrap().to_owned())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = "[state]\ndir = 'state'\n[retry]\nattempts = 4\n[bot_api]\ntoken = '123456:AAFakeFakeFakeFakeFakeFakeFakeFake123'\n";
    fs::write(dir.path().join("config.toml"), text).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_a_changed_setting_survives_a_restart_and_can_be_taken_back() {
    let dir = folder();
    let dir = dir.path();
    let server = serve(dir, &[]);
    assert_eq!(setting(dir, "retry.attempts").await, (json!(4), "config.toml:4:12".into()));
    let (status, body) =
        change(dir, json!({ "retry.attempts": 7, "mode.aria2.disk_full": "off", "limits.repairs": 5 })).await;
    assert_eq!(status, 200, "{body}");
    let effect = |key: &str| {
        let all = body["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["key"] == key).unwrap()["effect"].as_str().unwrap().to_owned()
    };
    assert_eq!((effect("retry.attempts").as_str(), effect("limits.repairs").as_str()), ("now", "restart"));
    assert_eq!(body["restart"], json!(["[limits]"]));
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());

    let server = serve(dir, &[]);
    let changed = (json!(7), "setting retry.attempts (changed by local)".into());
    assert_eq!(setting(dir, "retry.attempts").await, changed);
    assert_eq!(setting(dir, "mode.aria2.disk_full").await.0, json!("off"));
    let audit = || {
        let db = Ledger::look(&dir.join("state")).unwrap();
        let sql = "SELECT account || ' ' || target || ' ' || outcome FROM audit WHERE action = 'settings.change'";
        db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert!(
        audit().starts_with("local ") && audit().contains("retry.attempts=7") && audit().ends_with("done"),
        "{}",
        audit()
    );
    assert_eq!(change(dir, json!({ "retry.attempts": null })).await.0, 200);
    assert_eq!(setting(dir, "retry.attempts").await.0, json!(4));
    server.abort();
    let _ = server.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_h3_what_is_wrong_is_refused_as_in_a_file_and_nothing_is_changed() {
    let dir = folder();
    let dir = dir.path();
    let _server = serve(dir, &[("LOGMEDIC_RETRY__FACTOR", "3")]);
    for (changes, status, code, says) in [
        (
            json!({ "retry.attempts": 99 }),
            422,
            "invalid_setting",
            "setting retry.attempts (changed by local): `attempts` in [retry] is out of range; write 1 to 20",
        ),
        (json!({ "retry.attempts": "many" }), 422, "invalid_setting", "expected a whole number"),
        (json!({ "retry.attempts": 2, "retry.cap": "1ms" }), 422, "invalid_setting", "at least `base`"),
        (json!({ "retry.atempts": 2 }), 422, "invalid_setting", "did you mean `attempts`?"),
        (json!({ "retri.attempts": 2 }), 422, "unknown_setting", "there is no setting `retri.attempts`"),
        (json!({ "mode.corupt": "off" }), 422, "invalid_setting", "did you mean `corrupt`?"),
        (json!({ "retry.attempts": [2] }), 422, "invalid_setting", "a single value"),
        (json!({}), 422, "invalid_setting", "name 1 to"),
        (
            json!({ "bot_api.url": "http://evil.example" }),
            403,
            "setting_in_file_only",
            "in the configuration file only",
        ),
        (json!({ "bot_api.token": "1:x" }), 403, "setting_in_file_only", "in the configuration file only"),
        (json!({ "retry.factor": 2 }), 409, "setting_from_environment", "env LOGMEDIC_RETRY__FACTOR"),
    ] {
        let (found, body) = change(dir, changes.clone()).await;
        assert_eq!((found, body["code"].as_str().unwrap()), (status, code), "{changes}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(says), "{changes}: {body}");
    }
    assert_eq!(setting(dir, "retry.attempts").await.0, json!(4));
    assert_eq!(setting(dir, "bot_api.token").await.0, json!("[hidden]"), "secrets are never shown");
    let kept = Ledger::look(&dir.join("state")).unwrap();
    let kept: i64 = kept.query_row("SELECT count(*) FROM setting", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_health_overview_and_figures_are_told() {
    let dir = folder();
    let dir = dir.path();
    let _server = serve(dir, &[]);
    let health = asked(dir, "/api/v1/system/health").await;
    assert_eq!(health["status"], "ok", "{health}");
    assert!(health["agent"]["memory_bytes"].as_u64().unwrap() > 1 << 20, "{health}");
    assert!(health["disks"][0]["free_bytes"].as_u64().unwrap() > 0, "{health}");
    let overview = asked(dir, "/api/v1/stats/overview?hours=24").await;
    assert_eq!((overview["step"].as_str(), overview["totals"]["healed"].as_u64()), (Some("hour"), Some(0)));
    assert_eq!(ask(dir, "GET", "/api/v1/stats/overview?hours=0", "").await.0, 400);
    assert_eq!(asked(dir, "/api/v1/probes").await, json!([]));
    assert_eq!(asked(dir, "/livez").await["status"], "ok");
    assert_eq!(asked(dir, "/readyz").await["status"], "ok");
    let (status, text) = ask(dir, "GET", "/metrics", "").await;
    assert!(status == 200 && text.contains("logmedic_disk_free_bytes{root=\"state\"}"), "{text}");
}
