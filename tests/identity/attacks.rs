//! Attacks on passwords, tokens and roles.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use logmedic::ledger::{Force, identity as store};
use logmedic::serve::auth::token::{Claims, Key};
use logmedic::vocab::Role;
use serde_json::{Value, json};

use super::rig::{PASSWORD, Rig, status, told};

#[tokio::test]
async fn h2_every_route_is_closed_without_a_login() {
    let rig = Rig::start().await;
    let client = reqwest::Client::new();
    let mut closed = 0;
    let api: Value = serde_json::to_value(&rig.api).unwrap();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Only what says so itself is open.
            if operation["security"] == json!([{}]) {
                assert!(["/auth/login", "/auth/setup"].contains(&path.as_str()), "{path} is open");
                continue;
            }
            let url = rig.url(path.trim_start_matches('/')).replace(['{', '}'], "");
            let request = client.request(method.to_uppercase().parse().unwrap(), url).json(&json!({}));
            assert_eq!(told(request).await, (401, "unauthenticated".into()), "{method} {path}");
            closed += 1;
        }
    }
    assert!(closed >= 14, "{closed}");
}

#[tokio::test]
async fn h2_an_old_token_is_void_after_a_change_of_role_or_password() {
    let rig = Rig::start().await;
    let ada = rig.login("ada").await;
    let otto = rig.login("otto").await;
    let role = |role: &str| ada.by_cookie("PATCH", rig.url("accounts/otto")).json(&json!({ "role": role }));
    assert_eq!(status(role("viewer")).await, 200);
    assert_eq!(told(otto.by_token("POST", rig.url("act/1"))).await, (401, "token_void".into()), "it says operator");
    assert_eq!(status(otto.by_cookie("POST", rig.url("act/1"))).await, 403, "the session goes on with less");
    assert_eq!(status(otto.by_cookie("GET", rig.url("look"))).await, 200);
    assert_eq!(status(role("operator")).await, 200);
    assert_eq!(status(otto.by_token("POST", rig.url("act/1"))).await, 401, "back again, it stays void");

    let fresh = otto.by_cookie("POST", rig.url("auth/refresh")).send().await.unwrap();
    let fresh: Value = fresh.json().await.unwrap();
    let thief = reqwest::Client::new();
    let stolen = |method: &str, path: &str| {
        let request = thief.request(method.parse().unwrap(), rig.url(path));
        request.bearer_auth(fresh["token"].as_str().unwrap())
    };
    assert_eq!(status(stolen("POST", "act/1")).await, 200);
    let second = rig.login("otto").await;
    let new = json!({ "password": PASSWORD, "new_password": "a quite different phrase" });
    let bad = json!({ "password": "wrong", "new_password": "a quite different phrase" });
    let weak = json!({ "password": PASSWORD, "new_password": "otto-otto" });
    let url = rig.url("auth/password");
    assert_eq!(
        told(stolen("POST", "auth/password").json(&bad)).await,
        (401, "wrong_login".into()),
        "a token is no password"
    );
    assert_eq!(told(otto.by_cookie("POST", url.clone()).json(&weak)).await, (422, "weak_password".into()));
    assert_eq!(status(otto.by_cookie("POST", url).json(&new)).await, 204);
    assert_eq!(status(stolen("POST", "act/1")).await, 401);
    assert_eq!(status(second.by_cookie("GET", rig.url("look"))).await, 401, "other sessions ended");
    assert_eq!(status(otto.by_cookie("GET", rig.url("look"))).await, 200);
    assert_eq!(rig.try_login(json!({ "account": "otto", "password": PASSWORD })).await.0, 401);

    // Removed and made again under the same name, it is another account.
    let removed = rig.login("vera").await;
    assert_eq!(status(ada.by_cookie("DELETE", rig.url("accounts/vera"))).await, 204);
    let again = json!({ "account": "vera", "role": "viewer", "password": "another long phrase" });
    assert_eq!(status(ada.by_cookie("POST", rig.url("accounts")).json(&again)).await, 201);
    assert_eq!(status(removed.by_cookie("GET", rig.url("look"))).await, 401);
    assert_eq!(status(removed.by_token("GET", rig.url("look"))).await, 401);
}

#[tokio::test]
async fn h2_forged_tokens_open_nothing() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let row = rig.ledger.read(|db| store::session(db, &vera.session)).unwrap().unwrap();
    let now = Utc::now().timestamp();
    let (sub, jti) = ("vera".to_owned(), "J".to_owned());
    let honest = Claims {
        sub,
        role: Role::Viewer,
        sid: vera.session.clone(),
        generation: row.generation,
        jti,
        iat: now,
        exp: now + 900,
    };
    let ours = Key::open(rig.dir.path()).unwrap();
    let as_admin = Claims { role: Role::Admin, ..honest.clone() };
    let mut forged = vec![
        ("another key", Key::random().unwrap().sign(&as_admin).unwrap()),
        ("ended", ours.sign(&Claims { exp: now - 1, ..honest.clone() }).unwrap()),
        ("another role than the account's", ours.sign(&as_admin).unwrap()),
        ("another account's name", ours.sign(&Claims { sub: "ada".into(), ..honest.clone() }).unwrap()),
        ("no such session", ours.sign(&Claims { sid: "01J".into(), ..honest.clone() }).unwrap()),
        ("no session", ours.sign(&Claims { sid: String::new(), ..honest.clone() }).unwrap()),
        ("another generation", ours.sign(&Claims { generation: row.generation + 1, ..honest.clone() }).unwrap()),
        ("the cookie", vera.cookie.split('=').nth(1).unwrap().to_owned()),
        ("the session's identifier", vera.session.clone()),
        ("nothing", String::new()),
        ("long", "a".repeat(5_000)),
    ];
    let good = ours.sign(&honest).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_string(&as_admin).unwrap());
    for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"nOnE"}"#, r#"{"alg":"HS384"}"#, r#"{"typ":"JWT"}"#, "{}"]
    {
        let header = URL_SAFE_NO_PAD.encode(header);
        forged.push(("unsigned", format!("{header}.{claims}.")));
        forged.push(("signed for something else", format!("{header}.{claims}.{}", parts[2])));
        forged.push(("no signature", format!("{header}.{claims}")));
    }
    let client = reqwest::Client::new();
    for (why, token) in &forged {
        let answer = status(client.get(rig.url("look")).bearer_auth(token)).await;
        assert_eq!(answer, 401, "{why}: {token}");
        // What is shown and wrong does not fall back to the cookie.
        assert_eq!(status(vera.by_cookie("GET", rig.url("look")).bearer_auth(token)).await, 401, "{why}");
    }
    assert_eq!(status(client.get(rig.url("look")).bearer_auth(&good)).await, 200);
    assert_eq!(status(client.get(rig.url("look")).header("authorization", "Basic YWRhOng=")).await, 401);
    assert_eq!(status(client.get(rig.url(&format!("look?ticket={good}")))).await, 401, "no token in a URL");
}

#[tokio::test]
async fn h2_an_unknown_account_answers_like_a_known_one() {
    let rig = Rig::start().await;
    let mut took = [Duration::MAX; 2];
    let mut answers = Vec::new();
    for round in 0..2 {
        for (n, name) in ["vera", "nobody"].into_iter().enumerate() {
            let begun = Instant::now();
            answers.push(rig.try_login(json!({ "account": name, "password": format!("wrong {round}") })).await);
            took[n] = took[n].min(begun.elapsed());
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].1["code"], "wrong_login");
    let (known, unknown) = (took[0].as_secs_f64(), took[1].as_secs_f64());
    assert!(unknown > known / 3.0, "an unknown account takes {unknown} s, a known one {known} s");
}

#[tokio::test]
async fn h2_guessing_is_slowed_down_also_when_all_guesses_come_at_once() {
    let rig = Rig::start().await;
    let guesses = (0..40).map(|n| rig.try_login(json!({ "account": "vera", "password": format!("guess number {n}") })));
    let answers = futures_util::future::join_all(guesses).await;
    let judged = answers.iter().filter(|(status, _)| *status == 401).count();
    assert!((1..=6).contains(&judged), "{judged} of 40 were judged");
    let slow = answers.iter().find(|(status, _)| *status == 429).unwrap();
    assert_eq!(slow.1["code"], "too_many_attempts");
    assert!(slow.1["retry_after_s"].as_u64().unwrap() >= 1);

    // The right password does not help who is made to wait, and another address is not held up for another account.
    let right = json!({ "account": "vera", "password": PASSWORD });
    let answer = reqwest::Client::new().post(rig.url("auth/login")).json(&right).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    let otto = json!({ "account": "otto", "password": PASSWORD });
    assert_eq!(status(elsewhere.post(rig.url("auth/login")).json(&otto)).await, 200);
}

#[tokio::test]
async fn h2_a_session_that_ended_by_time_is_no_session() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    let past = "UPDATE session SET expires_at = '2020-01-01T00:00:00.000Z'";
    rig.ledger.write_here(Force::Later, |tx| tx.execute(past, [])).unwrap();
    assert_eq!(told(vera.by_cookie("GET", rig.url("look"))).await, (401, "session_ended".into()));
    assert_eq!(status(vera.by_token("GET", rig.url("look"))).await, 401);
}

#[tokio::test]
async fn h2_secrets_are_not_in_the_database_in_the_clear() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    rig.ledger.write_here(Force::Now, |_| Ok(())).unwrap();
    let mut all = Vec::new();
    for name in ["state.db", "state.db-wal"] {
        all.extend(std::fs::read(rig.dir.path().join(name)).unwrap_or_default());
    }
    let secret = vera.cookie.split('=').nth(1).unwrap();
    for text in [secret, vera.token.as_str(), PASSWORD] {
        assert!(!all.windows(text.len()).any(|window| window == text.as_bytes()));
    }
    assert!(all.windows(10).any(|window| window == b"$argon2id$"));
}
