//! Reads and writes the session's cookie. Pure.

use axum::http::{HeaderMap, HeaderValue, header};

/// Cookies of one request that are looked at, at most.
const COOKIES_MAX: usize = 100;

/// Length of a session's secret.
const SECRET_LEN: usize = 43;

/// The cookie's name. Cookies do not know ports: two agents on one machine must not log each other's people out.
#[must_use]
pub fn name(port: u16) -> String {
    format!("logmedic_session_{port}")
}

/// The session's secret that the request holds. Of several, the last one that could be ours.
#[must_use]
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .take(COOKIES_MAX)
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, value)| *key == name && value.len() == SECRET_LEN)
        .map(|(_, value)| value)
        .last()
}

/// The header that gives the client its session, for so many seconds; 0 takes it away. No page's script sees it
/// (`HttpOnly`), no other site's request carries it (`SameSite=Strict`), and where the browser came by https, nothing
/// but https does (`Secure`).
#[must_use]
pub fn write(name: &str, secret: &str, seconds: i64, headers: &HeaderMap) -> HeaderValue {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let secure = if origin.is_some_and(|origin| origin.starts_with("https://")) { "; Secure" } else { "" };
    let text = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    // Both parts are ours and ASCII.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let secret = "s".repeat(SECRET_LEN);
        let mut headers = HeaderMap::new();
        let text = format!("a=b; logmedic_session_1=short; logmedic_session_1={secret}; logmedic_session_2=x");
        headers.insert(header::COOKIE, text.parse().unwrap());
        assert_eq!(read(&headers, &name(1)), Some(secret.as_str()));
        assert_eq!(read(&headers, &name(2)), None);
    }

    #[test]
    fn h2_the_cookie_is_out_of_reach() {
        let mut headers = HeaderMap::new();
        let plain = write("n", "s", 60, &headers);
        assert_eq!(plain.to_str().unwrap(), "n=s; Path=/; HttpOnly; SameSite=Strict; Max-Age=60");
        headers.insert(header::ORIGIN, "https://example.org".parse().unwrap());
        assert!(write("n", "s", 60, &headers).to_str().unwrap().ends_with("; Secure"));
    }
}
