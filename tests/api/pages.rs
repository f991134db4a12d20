//! The dashboard's files, as browsers and others get them.

use reqwest::{Client, Method, StatusCode, redirect};

use crate::{Answer, House};

fn ask(house: &House, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let mut request = client.request(method, format!("{}{path}", house.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house.send(request)
}

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[test]
fn f1_one_page_is_served_by_the_binary_for_everybody() {
    let house = House::new("");
    let page = ask(&house, Method::GET, "/", &[]);
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.text.contains("<title>logmedic"), "{}", page.text);
    assert_eq!(page.header("cache-control"), "no-cache");
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "trusted-types logmedic-sw"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");

    let deep = ask(&house, Method::GET, "/incidents/01JDTZ3N5V8Q0XK4M2W7Y9B6CE", &[BROWSER]);
    assert_eq!((deep.status, &deep.text), (StatusCode::OK, &page.text));
    let same = ask(&house, Method::GET, "/", &[("if-none-match", page.header("etag"))]);
    assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let head = ask(&house, Method::HEAD, "/", &[]);
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-length"), page.text.len().to_string());
    assert_eq!(head.header("etag"), page.header("etag"));
}

#[test]
fn f1_what_the_page_loads_is_there_packed_and_kept() {
    let house = House::new("");
    let page = ask(&house, Method::GET, "/", &[]).text;
    let named = |mark: &str| {
        let all = page.split(mark).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
        all.filter(|path| path.starts_with('/') && !path.starts_with("//")).collect::<Vec<_>>()
    };
    let loaded = [named("src=\""), named("href=\"")].concat();
    assert!(!loaded.is_empty(), "{page}");
    for path in loaded {
        let file = ask(&house, Method::GET, &path, &[]);
        assert_eq!(file.status, StatusCode::OK, "{path}");
        if path.starts_with("/assets/") {
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
            let packed = ask(&house, Method::HEAD, &path, &[("accept-encoding", "gzip")]);
            assert!(file.text.len() < 1_024 || packed.header("content-encoding") == "gzip", "{path}");
        }
    }
}

#[test]
fn h2_no_address_leads_out_of_the_dashboard() {
    let house = House::new("");
    for path in [
        "/assets/nothing.js",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/etc/passwd.txt",
        "/..%5c..%5cwin.ini",
        "/etc/passwd.txt",
        "/assets/%00.js",
        "/api/v1/nothing",
        "/api/nothing",
    ] {
        let answer = ask(&house, Method::GET, path, &[BROWSER]);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let posted = ask(&house, Method::POST, "/incidents", &[BROWSER, ("origin", &house.url)]);
    assert_eq!(posted.status, StatusCode::NOT_FOUND);
}

#[test]
fn f1_a_page_can_tell_a_fresh_house_from_a_closed_door() {
    let house = House::new("");
    let me = || ask(&house, Method::GET, "/api/v1/auth/me", &[]);
    let fresh = me();
    assert_eq!((fresh.status, fresh.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("no_account")));
    let wrong = ask(&house, Method::GET, "/api/v1/auth/me", &[("authorization", "Bearer x")]);
    assert_ne!(wrong.json()["code"], "no_account");
    house
        .post("accounts", &serde_json::json!({"account": "ana", "password": "correct horse battery", "role": "admin"}));
    assert_eq!(me().json()["code"], "unauthenticated");
}
