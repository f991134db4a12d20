//! Serves the dashboard's files out of the program. I/O: none, they are embedded when it is built (`web/embed.rs`).
//!
//! Whatever no route has comes here. The dashboard finds its way by the path itself, so everything that looks like a page is the same
//! page. Names are looked up as they stand in the request, never decoded, in a table: there is no path that could lead out of it.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::Embed;

use super::problem::Problem;

/// What Vite names by its content never changes: kept for a year.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Everything else is asked about each time; the answer is short when it did not change.
const ASK: &str = "no-cache";

/// Where files are that are named by their content.
const ASSETS: &str = "assets/";

/// The page.
const INDEX: &str = "index.html";

/// What the build put there.
#[derive(Embed)]
#[folder = "$OUT_DIR/web"]
struct Files;

/// A file of the dashboard.
struct Found {
    bytes: Cow<'static, [u8]>,
    /// By its content.
    tag: String,
}

fn embedded(name: &str) -> Option<Found> {
    let file = Files::get(name)?;
    let mut tag = String::with_capacity(34);
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing into a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    Some(Found { bytes: file.data, tag })
}

/// The answer where there is no route.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    answer(embedded, &method, uri.path(), &headers)
}

fn answer(find: impl Fn(&str) -> Option<Found>, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let missing = || {
        let problem = Problem::missing("no_such_route", "there is nothing here; see /api/v1/openapi.json");
        problem.into_response()
    };
    let Some(name) = path.strip_prefix('/') else { return missing() };
    if !matches!(*method, Method::GET | Method::HEAD) || name == "api" || name.starts_with("api/") {
        return missing();
    }
    // A packed file is the same file in another coat, none of its own.
    let own = |name: &str| (!name.ends_with(".gz")).then(|| find(name)).flatten();
    let (name, file) = match own(name) {
        Some(file) => (name, file),
        None if is_page(name, headers) => match find(INDEX) {
            Some(file) => (INDEX, file),
            None => return missing(),
        },
        None => return missing(),
    };
    send(name, file, find(&format!("{name}.gz")), headers)
}

/// Whether somebody wants to look at it: the dashboard's own paths have no dot in their last part.
fn is_page(name: &str, headers: &HeaderMap) -> bool {
    let plain = !name.starts_with(ASSETS) && !name.rsplit('/').next().unwrap_or_default().contains('.');
    name.is_empty() || (plain && lists(headers, &header::ACCEPT, "text/html"))
}

/// Whether a header's list has this word, and not with the weight 0.
fn lists(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let said = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|text| text.split(',')).any(|part| {
        let mut part = part.split(';').map(str::trim);
        let named = part.next().is_some_and(|found| found.eq_ignore_ascii_case(word));
        let refused =
            |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        named && !part.any(refused)
    })
}

fn send(name: &str, file: Found, packed: Option<Found>, headers: &HeaderMap) -> Response {
    let forever = name.starts_with(ASSETS);
    let varies = packed.is_some();
    let (file, coat) = match packed {
        Some(packed) if lists(headers, &header::ACCEPT_ENCODING, "gzip") => (packed, Some("gzip")),
        _ => (file, None),
    };
    let tag = format!("\"{}\"", file.tag);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|text| text.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.bytes.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
        if let Some(coat) = coat {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coat));
        }
        response
    };
    let told = response.headers_mut();
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static(if forever { FOREVER } else { ASK }));
    if varies {
        told.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        told.insert(header::ETAG, tag);
    }
    response
}

/// The kind of a file by its name's end; the guard tells browsers not to guess another.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dist(name: &str) -> Option<Found> {
        let bytes: &[u8] = match name {
            "index.html" => b"<!doctype html>",
            "assets/app-1a2b.js" => b"export {}",
            "assets/app-1a2b.js.gz" => b"packed",
            "sw.js" => b"self",
            _ => return None,
        };
        Some(Found { bytes: bytes.into(), tag: format!("{}-{}", name.len(), bytes.len()) })
    }

    fn ask(method: Method, path: &str, headers: &[(header::HeaderName, &'static str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        answer(dist, &method, path, &headers)
    }

    fn get(path: &str) -> Response {
        ask(Method::GET, path, &[(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")])
    }

    fn told<'a>(response: &'a Response, name: &header::HeaderName) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn f1_every_page_is_the_page_and_nothing_else_is() {
        for path in ["/", "/incidents/01JDTZ3N5V8Q0XK4M2W7Y9B6CE", "/jobs", "/a/../b", "/%2e%2e/etc/passwd"] {
            let page = get(path);
            assert_eq!(page.status(), StatusCode::OK, "{path}");
            assert_eq!(told(&page, &header::CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
            assert_eq!(told(&page, &header::CACHE_CONTROL), ASK);
        }
        for path in [
            "/api",
            "/api/v1/nothing",
            "/assets/gone.js",
            "/assets/",
            "/../Cargo.toml",
            "/x.php",
            "/assets/app-1a2b.js.gz",
        ] {
            let gone = get(path);
            assert_eq!(gone.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(told(&gone, &header::CONTENT_TYPE), "application/problem+json", "{path}");
        }
        assert_eq!(ask(Method::GET, "/jobs", &[(header::ACCEPT, "application/json")]).status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(Method::GET, "/jobs", &[(header::ACCEPT, "text/html;q=0")]).status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(Method::GET, "/", &[]).status(), StatusCode::OK);
        assert_eq!(ask(Method::POST, "/", &[]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn f7_what_never_changes_is_kept_and_packed() {
        let path = "/assets/app-1a2b.js";
        let plain = get(path);
        assert_eq!(told(&plain, &header::CACHE_CONTROL), FOREVER);
        assert_eq!(told(&plain, &header::VARY), "accept-encoding");
        assert_eq!(told(&plain, &header::CONTENT_ENCODING), "");
        let packed = ask(Method::GET, path, &[(header::ACCEPT_ENCODING, "br, gzip;q=0.5")]);
        assert_eq!(told(&packed, &header::CONTENT_ENCODING), "gzip");
        assert_eq!(told(&packed, &header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_ne!(told(&packed, &header::ETAG), told(&plain, &header::ETAG));
        assert_eq!(
            told(&ask(Method::GET, path, &[(header::ACCEPT_ENCODING, "gzip;q=0")]), &header::CONTENT_ENCODING),
            ""
        );
        assert_eq!(told(&get("/sw.js"), &header::CACHE_CONTROL), ASK);
        for tag in ["\"10-15\"", "\"x\", W/\"10-15\"", "*"] {
            let same = ask(Method::GET, "/", &[(header::IF_NONE_MATCH, tag)]);
            assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert_eq!(told(&same, &header::ETAG), "\"10-15\"");
        }
        assert_eq!(ask(Method::GET, "/", &[(header::IF_NONE_MATCH, "\"x\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn f1_something_is_always_embedded() {
        let page = embedded(INDEX).unwrap();
        let text = String::from_utf8(page.bytes.into_owned()).unwrap();
        assert!(text.contains("<title>logmedic") && !text.contains("<style") && !text.contains(" style="), "{text}");
        assert_eq!(page.tag.len(), 32);
    }
}
