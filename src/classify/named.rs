//! Tells whether a message names an error in a form that programs write and people do not. Pure.
//!
//! Rules for words that anybody may use ask for a loud line. But programs also tell at DEBUG or INFO why they try another server, or put
//! a part back, and what they tell is mostly what a library gave them: an exception by its whole name, a field for the cause, the
//! number of an error. Where one of these stands a quiet line is asked about as a warning would be.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::event::build;

/// Whether an error stands in the message, by its form alone.
pub(super) fn names_error(message: &[u8]) -> bool {
    NAMED.as_ref().is_some_and(|named| named.is_match(message))
}

/// Errors as runtimes and libraries print them, and what stands before one.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    build(
        r#"(?:^\ *|[:;(\[,=]\ ?|\ -\ |>\ |\b(?:because(?:\ of)?|after|due\ to|by|with|got|caught)\ (?:an?\ )?)(?:
            # `requests.exceptions.ReadTimeout: …`, `java.net.ConnectException`, `System.Net.Sockets.SocketException (111): …`
            (?:[A-Za-z_][\w$]*\.){1,8}[A-Z][\w$]*(?:Error|Exception|Timeout|TimedOut|Disconnected|IncompleteRead)(?:$|:(?:\ |$)|\(|\ \((?:0x)?\d)
            # `TimeoutError: timed out`
            |[A-Z]\w+(?:Error|Exception):\ \S
            # `ReadTimeout('timed out')`, `URLError(ConnectionRefusedError(111, …`
            |[A-Z]\w+(?:Error|Exception|Timeout|TimedOut|Disconnected|IncompleteRead)\((?:['"<\d)]|[A-Za-z]\w+\()
            |<HTTPError\ \d{3}:\ 
            # Node: `connect ECONNREFUSED 10.0.0.1:80`, `EACCES: permission denied, open '…'`
            |(?:Error:\ )?(?:(?:connect|read|write|getaddrinfo|listen|bind|accept|send|recv)\ E[A-Z_]{3,}|E[A-Z]{3,}:\ [a-z][a-z\ ,-]+,\ [a-z]+)\b
            # Go: `Get "https://…": …`
            |(?:Get|Post|Head|Put|Patch|Delete)\ \\?"https?://[^\s"\\]+\\?":\ 
            # Telegram's servers, and the libraries that pass on what they say
            |(?:Forbidden|Bad\ Request|Unauthorized|Too\ Many\ Requests|Conflict):\ [a-zA-Z]
            |\[\d{3}\ [A-Z\d_]{6,}\]
            |\[(?:Errno|WinError)\ -?\d+\]\ [A-Z]
            |curl:\ \(\d+\)\ |cURL\ error\ \d+:\ 
        )
        # Fields: `err="…"`, `"err":{"errno":-13,"code":"EACCES","syscall":"open"`
        |[\ \t,{(](?:err|error|cause|exception|why)=\\?["'][^"'\n]{4}
        |\t\{[^\n]*"(?:err|error|cause|exception|why)":\ ?"[^"\n]{4}
        |\bcode"?:\ ?["']E[A-Z_]{3,}["'],\s*"?syscall"?:\ ?["'][a-z]
        |\bcode"?:\ ?["']UND_ERR_[A-Z_]+["']
        |\bdescription"?[=:]\ ?"(?:Forbidden|Bad\ Request|Unauthorized|Too\ Many\ Requests|Conflict|Not\ Found)\b
        # A request to another host, with its status: `url=https://… status=503`, `"url":"https://…","status":404`
        |=\ ?"?https?://[^\s"]+"?\ (?:[^"\n]*\ )?status(?:_?code)?="?[45]\d\d\b
        |":\ ?"https?://[^\s"]+",(?:[^\n]*,)?\ ?"status(?:_?[cC]ode)?":\ ?"?[45]\d\d\b
        # Numbers of errors
        |\(os\ error\ \d+\)|\bOs\ \{\ code:\ \d+,\ kind:|\bHResult:?\ 0x8[\dA-Fa-f]{7}\b
        |\bHTTPS?ConnectionPool\(host='
        # What was promised and what came
        |\bmismatch:?\ \(?expected\ \S+\ (?:but\ )?(?:got|computed|actual|found|received)\b"#,
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_an_error_is_named_where_a_program_wrote_it() {
        for named in [
            "part 3 later: requests.exceptions.ReadTimeout: HTTPConnectionPool(host='a', port=80): Read timed out.",
            "next mirror, because java.net.ConnectException",
            "part 7 later: System.Net.Sockets.SocketException (111): Connection refused",
            "mirror 2 is next because of URLError(gaierror(-2, 'Name or service not known'))",
            "mirror 2 is next because of <HTTPError 503: 'Odd'>",
            "next mirror, Error: getaddrinfo ENOTFOUND a.example",
            "later: EACCES: permission denied, open '/srv/a'",
            "part put back { errno: -13, code: 'EACCES', syscall: 'open', path: '/srv/a' }",
            "fragment discarded frag=17 err=\"unexpected EOF\"",
            "message 5 fetched anew: [400 FILE_REFERENCE_EXPIRED] (caused by upload.GetFile)",
            "user 8 removed (Forbidden: bot was blocked by the user)",
            "msg=page url=https://api.example.com/v2 status=429 took=31ms",
            "later: [Errno 104] Connection reset by peer",
        ] {
            assert!(names_error(named.as_bytes()), "{named}");
        }
    }

    #[test]
    fn a5_words_of_people_and_of_healthy_programs_name_no_error() {
        for healthy in [
            "user 5 asks: what is a TimeoutError",
            "retry_on=[java.net.ConnectException, java.net.SocketTimeoutException]",
            "saved 'Connection refused (os error).mp4'",
            "title: Error: 404 not found",
            "GET /wp-login.php status=404 took=1ms",
            "msg=page url=https://api.example.com/v2 status=200 took=31ms",
            "fetched part=17 err=\"\"",
            "settings: timeout=30, retries=5",
            "SET job:17 {\"error\":\"deadlock detected\",\"title\":\"NOAUTH\"}",
        ] {
            assert!(!names_error(healthy.as_bytes()), "{healthy}");
        }
    }
}
