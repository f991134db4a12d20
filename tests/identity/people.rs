//! People: logging in, roles, sessions, second factor, the first admin, the audit log.

use chrono::Utc;
use logmedic::serve::auth::totp;
use serde_json::{Value, json};

use super::rig::{PASSWORD, Person, Rig, Wanted, status, told};

#[tokio::test]
async fn d1_a_role_is_enforced_by_the_api_whatever_a_page_shows() {
    let rig = Rig::start().await;
    for (name, want) in [("vera", [200, 403, 403, 403]), ("otto", [200, 200, 403, 403]), ("ada", [200, 200, 200, 200])]
    {
        let person = rig.login(name).await;
        for (n, (method, path)) in
            [("GET", "look"), ("POST", "act/7"), ("POST", "rule"), ("GET", "accounts")].into_iter().enumerate()
        {
            assert_eq!(status(person.by_cookie(method, rig.url(path))).await, want[n], "{name} {path}");
            assert_eq!(status(person.by_token(method, rig.url(path))).await, want[n], "{name} {path}");
        }
    }
    let vera = rig.login("vera").await;
    assert_eq!(told(vera.by_cookie("POST", rig.url("rule"))).await, (403, "role_too_low".into()));
    let me: Value = vera.by_cookie("GET", rig.url("auth/me")).send().await.unwrap().json().await.unwrap();
    assert_eq!((me["account"].as_str(), me["role"].as_str()), (Some("vera"), Some("viewer")));
}

#[tokio::test]
async fn d1_the_cookie_is_out_of_reach_and_a_token_is_renewed_by_it_only() {
    let rig = Rig::start().await;
    let vera = rig.login("vera").await;
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(vera.set_cookie.contains(part), "{}", vera.set_cookie);
    }
    assert!(!vera.set_cookie.contains("Domain"), "for this host only");
    assert_eq!(status(vera.by_cookie("POST", rig.url("auth/refresh"))).await, 200);
    assert_eq!(status(vera.by_token("POST", rig.url("auth/refresh"))).await, 401);
    let out = vera.by_cookie("POST", rig.url("auth/logout")).send().await.unwrap();
    assert_eq!(out.status(), 204);
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(told(vera.by_cookie("GET", rig.url("look"))).await, (401, "session_ended".into()));
    assert_eq!(status(vera.by_token("GET", rig.url("look"))).await, 401, "its token went with it");
}

#[tokio::test]
async fn h2_sessions_are_listed_and_revoked_but_not_those_of_others() {
    let rig = Rig::start().await;
    let (one, two) = (rig.login("vera").await, rig.login("vera").await);
    let (otto, ada) = (rig.login("otto").await, rig.login("ada").await);
    let list = async |person: &Person, path: &str| -> Vec<Value> {
        person.by_cookie("GET", rig.url(path)).send().await.unwrap().json().await.unwrap()
    };
    let seen = list(&one, "auth/sessions").await;
    assert_eq!(seen.len(), 2);
    let current: Vec<_> = seen.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], one.session.as_str());
    assert!(seen.iter().all(|session| session["address"] == "127.0.0.1" && session.get("secret").is_none()));
    assert_eq!(status(one.by_cookie("GET", rig.url("auth/sessions?all=true"))).await, 403);
    assert_eq!(list(&ada, "auth/sessions?all=true").await.len(), 4);

    let gone = rig.url(&format!("auth/sessions/{}", two.session));
    assert_eq!(told(otto.by_cookie("DELETE", gone.clone())).await, (404, "session_not_found".into()));
    assert_eq!(status(two.by_cookie("GET", rig.url("look"))).await, 200);
    assert_eq!(status(one.by_cookie("DELETE", gone)).await, 204);
    assert_eq!(status(two.by_cookie("GET", rig.url("look"))).await, 401);
    assert_eq!(status(two.by_token("GET", rig.url("look"))).await, 401);
    let of_otto = rig.url(&format!("auth/sessions/{}", otto.session));
    assert_eq!(status(ada.by_cookie("DELETE", of_otto)).await, 204, "an admin may");
    assert_eq!(status(otto.by_cookie("GET", rig.url("look"))).await, 401);
}

#[tokio::test]
async fn h2_the_second_factor_is_asked_for_taken_once_and_confirmed_before_it_counts() {
    let rig = Rig::start().await;
    let (vera, other) = (rig.login("vera").await, rig.login("vera").await);
    let wrong = json!({ "password": "not the password" });
    assert_eq!(told(vera.by_cookie("POST", rig.url("auth/totp")).json(&wrong)).await, (401, "wrong_login".into()));
    let right = json!({ "password": PASSWORD });
    let offer = vera.by_cookie("POST", rig.url("auth/totp")).json(&right).send().await.unwrap();
    let offer: Value = offer.json().await.unwrap();
    let key = offer["secret"].as_str().unwrap().to_owned();
    assert!(offer["uri"].as_str().unwrap().starts_with("otpauth://totp/logmedic:vera?secret="));
    assert_eq!(rig.try_login(json!({ "account": "vera", "password": PASSWORD })).await.0, 200, "not confirmed yet");

    let confirm = rig.url("auth/totp/confirm");
    let bad = json!({ "code": "000000" });
    assert_eq!(told(vera.by_cookie("POST", confirm.clone()).json(&bad)).await, (401, "wrong_code".into()));
    // Near the end of a step the server may be one step ahead; it takes the one before, too.
    let now = Utc::now().timestamp();
    let code = |at: i64| totp::now_code(&key, at).unwrap();
    let good = json!({ "code": code(now) });
    assert_eq!(status(vera.by_cookie("POST", confirm).json(&good)).await, 204);
    assert_eq!(status(other.by_cookie("GET", rig.url("look"))).await, 401, "other sessions ended");
    assert_eq!(status(vera.by_cookie("GET", rig.url("look"))).await, 200);
    assert_eq!(told(vera.by_token("GET", rig.url("look"))).await, (401, "token_void".into()));

    let login = |code: Option<String>| json!({ "account": "vera", "password": PASSWORD, "code": code });
    let (status_, body) = rig.try_login(login(None)).await;
    assert_eq!((status_, body["code"].as_str()), (401, Some("second_factor_required")));
    let (status_, body) = rig.try_login(login(Some(code(now)))).await;
    assert_eq!((status_, body["code"].as_str()), (401, Some("wrong_code")), "the code that confirmed it");
    let next = login(Some(code(now + 30)));
    assert_eq!(rig.try_login(next.clone()).await.0, 200);
    assert_eq!(rig.try_login(next).await.0, 401, "replayed");

    // An admin helps somebody who lost it.
    let ada = rig.login("ada").await;
    let url = rig.url("accounts/vera");
    assert_eq!(status(ada.by_cookie("PATCH", url.clone()).json(&json!({ "second_factor": true }))).await, 422);
    assert_eq!(status(ada.by_cookie("PATCH", url).json(&json!({ "second_factor": false }))).await, 200);
    assert_eq!(rig.try_login(json!({ "account": "vera", "password": PASSWORD })).await.0, 200);
}

#[tokio::test]
async fn h2_the_setup_link_makes_one_admin_once_and_there_is_no_default_password() {
    let rig = Rig::empty(Wanted::default()).await;
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    for (account, password) in [("admin", "admin"), ("admin", "password"), ("root", ""), ("local", "")] {
        let body = json!({ "account": account, "password": password });
        assert_eq!(status(elsewhere.post(rig.url("auth/login")).json(&body)).await, 401);
    }
    let old = rig.identity.setup_secret().unwrap().unwrap();
    let link = rig.identity.setup_secret().unwrap().unwrap();
    let client = reqwest::Client::new();
    let setup = |token: &str, account: &str, password: &str| {
        let body = json!({ "token": token, "account": account, "password": password });
        client.post(rig.url("auth/setup")).json(&body)
    };
    assert_eq!(told(setup("guessed", "eve", PASSWORD)).await, (401, "setup_link_void".into()));
    assert_eq!(told(setup(&old, "eve", PASSWORD)).await, (401, "setup_link_void".into()), "replaced");
    assert_eq!(told(setup(&link, "ada", "short")).await, (422, "weak_password".into()), "and the link stays good");
    assert_eq!(told(setup(&link, "Local!", PASSWORD)).await, (422, "bad_name".into()));

    // Two at once: one is made.
    let (a, b) = tokio::join!(setup(&link, "ada", PASSWORD).send(), setup(&link, "eve", PASSWORD).send());
    let (a, b) = (a.unwrap(), b.unwrap());
    let mut statuses = [a.status().as_u16(), b.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(matches!(statuses[1], 401 | 409), "{statuses:?}");
    let admin = Person::of(client.clone(), if a.status() == 201 { a } else { b }).await;
    assert_eq!(status(admin.by_cookie("POST", rig.url("rule"))).await, 200);
    assert_eq!(told(setup(&link, "eve", PASSWORD)).await, (401, "setup_link_void".into()), "used");
    assert!(rig.identity.setup_secret().unwrap().is_none());
}

#[tokio::test]
async fn d1_accounts_are_kept_by_admins_and_one_admin_always_stays() {
    let rig = Rig::start().await;
    let ada = rig.login("ada").await;
    let new = |account: &str| json!({ "account": account, "role": "operator", "password": "another long phrase" });
    let url = rig.url("accounts");
    assert_eq!(status(ada.by_cookie("POST", url.clone()).json(&new("eve"))).await, 201);
    assert_eq!(told(ada.by_cookie("POST", url.clone()).json(&new("eve"))).await, (409, "account_exists".into()));
    for name in ["", "local", "token:x", "Eve", "../x", "a b"] {
        assert_eq!(told(ada.by_cookie("POST", url.clone()).json(&new(name))).await, (422, "bad_name".into()), "{name}");
    }
    let root = json!({ "account": "mallory", "role": "root", "password": "another long phrase" });
    assert_eq!(told(ada.by_cookie("POST", url.clone()).json(&root)).await, (422, "bad_body".into()));
    let all: Value = ada.by_cookie("GET", url).send().await.unwrap().json().await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 4);
    assert!(!all.to_string().contains("argon2"), "no hash leaves the house");

    let own = rig.url("accounts/ada");
    assert_eq!(told(ada.by_cookie("DELETE", own.clone())).await, (409, "last_admin".into()));
    let lower = json!({ "role": "viewer", "password": "another long phrase" });
    assert_eq!(told(ada.by_cookie("PATCH", own).json(&lower)).await, (409, "last_admin".into()));
    assert_eq!(status(ada.by_cookie("GET", rig.url("look"))).await, 200, "nothing was changed by halves");
    assert_eq!(status(ada.by_cookie("DELETE", rig.url("accounts/eve"))).await, 204);
    assert_eq!(told(ada.by_cookie("DELETE", rig.url("accounts/eve"))).await, (404, "account_not_found".into()));
}

#[tokio::test]
async fn c11_the_audit_log_says_who_did_what_when_and_from_where() {
    let rig = Rig::start().await;
    let (vera, otto, ada) = (rig.login("vera").await, rig.login("otto").await, rig.login("ada").await);
    status(otto.by_cookie("POST", rig.url("act/42"))).await;
    status(vera.by_cookie("POST", rig.url("act/43"))).await;
    status(vera.by_token("POST", rig.url("fail"))).await;
    status(vera.by_token("GET", rig.url("look"))).await;
    rig.try_login(json!({ "account": "otto", "password": "wrong" })).await;
    rig.try_login(json!({ "account": "my-real-password", "password": "x" })).await;
    assert_eq!(status(otto.by_cookie("GET", rig.url("audit"))).await, 403);

    let page: Value = ada.by_cookie("GET", rig.url("audit")).send().await.unwrap().json().await.unwrap();
    let deeds: Vec<(String, String, String, String)> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deed| {
            assert_eq!(deed["address"], "127.0.0.1");
            assert!(deed["at"].as_str().unwrap().ends_with('Z'));
            let text = |name: &str| deed[name].as_str().unwrap().to_owned();
            (text("account"), text("action"), text("target"), text("outcome"))
        })
        .collect();
    let want = [
        ("?", "POST auth/login", "", "refused"),
        ("otto", "POST auth/login", "", "refused"),
        ("vera", "POST fail", "", "failed"),
        ("vera", "POST act/{id}", "act/43", "refused"),
        ("otto", "POST act/{id}", "act/42", "done"),
        ("ada", "POST auth/login", "", "done"),
        ("otto", "POST auth/login", "", "done"),
        ("vera", "POST auth/login", "", "done"),
    ];
    let want: Vec<_> = want.iter().map(|(a, b, c, d)| ((*a).into(), (*b).into(), (*c).into(), (*d).into())).collect();
    assert_eq!(deeds, want);

    // Page by page it is the same.
    let mut url = rig.url("audit?limit=3");
    let mut count = 0;
    loop {
        let page: Value = ada.by_cookie("GET", url).send().await.unwrap().json().await.unwrap();
        count += page["items"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        url = rig.url(&format!("audit?limit=3&cursor={cursor}"));
    }
    assert_eq!(count, deeds.len());
    assert_eq!(told(ada.by_cookie("GET", rig.url("audit?cursor=eHg"))).await, (400, "bad_cursor".into()));
    let of = ada.by_cookie("GET", rig.url("audit?account=vera")).send().await.unwrap();
    let of: Value = of.json().await.unwrap();
    assert_eq!(of["items"].as_array().unwrap().len(), 3);
}
