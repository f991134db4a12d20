//! Shows where messages begin, and how loud their lines are.

use super::*;

fn read(line: &str) -> (&str, Option<Level>) {
    let found = prefix(line.as_bytes());
    (&line[found.length..], found.level)
}

const DEBUG: Option<Level> = Some(Level::Debug);
const INFO: Option<Level> = Some(Level::Info);
const WARNING: Option<Level> = Some(Level::Warning);
const ERROR: Option<Level> = Some(Level::Error);

fn check(lines: &[(&str, &str, Option<Level>)]) {
    let wrong: Vec<String> = lines
        .iter()
        .filter(|(line, want, level)| read(line) != (*want, *level))
        .map(|(line, want, level)| format!("{line}\n  got  {:?}\n  want {:?}", read(line), (want, level)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_exception_is_no_logger() {
    check(&[
        (
            "2026-01-02 03:04:05,678 - bot - ERROR - google.auth.exceptions.RefreshError: ('x'",
            "google.auth.exceptions.RefreshError: ('x'",
            ERROR,
        ),
        ("2026-01-02 03:04:05,678 ERROR - httpx.ReadError: ", "httpx.ReadError: ", ERROR),
        ("2026-01-02 03:04:05,678 ERROR httpx.ReadError: x", "httpx.ReadError: x", ERROR),
        ("ERROR:httpx.ReadError: x", "httpx.ReadError: x", ERROR),
        (
            "ERROR - pyrogram.errors.exceptions.flood_420.FloodWait: x",
            "pyrogram.errors.exceptions.flood_420.FloodWait: x",
            ERROR,
        ),
        ("2026-01-02 03:04:05 WARNING telegram.ext.Updater: x", "x", WARNING),
        ("ERROR - Forbidden: bot was blocked by the user", "Forbidden: bot was blocked by the user", ERROR),
        ("2026-01-02 03:04:05 ERROR curl: (28) x", "curl: (28) x", ERROR),
        ("INFO https://example.org/a", "https://example.org/a", INFO),
        ("ERROR: [generic] a: Unable", "[generic] a: Unable", ERROR),
        ("ERROR: Unsupported URL: x", "Unsupported URL: x", ERROR),
    ]);
}

#[test]
fn python_loggers() {
    check(&[
        ("[ERROR/2026-11-25 13:38:31,478] telethon.client: x", "x", ERROR),
        ("2026/01/02 10:03:04 ERRO failed to save err=x", "failed to save err=x", ERROR),
        ("11-27 13:20:26.498 I/httpx(17960): HTTP Request: x", "HTTP Request: x", INFO),
        ("01-02 03:04:05.678 E/bot.fetch( 1796): x", "x", ERROR),
        ("01-02 03:04:05.678 I/O (disk): x", "I/O (disk): x", None),
        ("2026-01-02T03:04:05+0000 [bot.Chat#critical] x", "x", ERROR),
        ("2026-01-02T03:04:05+0000 [twisted.web.client#info] x", "x", INFO),
        ("2026-01-02T03:04:05+0000 [tickets#12] x", "[tickets#12] x", None),
        ("bot.fetch - WARNING - 'x' failed", "'x' failed", WARNING),
        ("Root - ERROR - x", "x", ERROR),
        ("saved - 12 ERROR - x", "saved - 12 ERROR - x", None),
        ("Oasis - Error - live", "Oasis - Error - live", None),
        ("2026-01-02 03:04:05.678 | ERROR    | mod:fn:12 - msg", "msg", ERROR),
        ("2026-01-02 03:04:05.678 | ERROR    | __main__:<module>:12 - msg", "msg", ERROR),
        ("2026-03-02 10:11:12 | ERROR | aiogram.dispatcher | Failed", "Failed", ERROR),
        ("2026-02-10 10:21:12|INFO    |root                            |Throttling", "Throttling", INFO),
        (
            "2026-01-02 03:04:05,678 (__init__.py:1083 MainThread) ERROR - TeleBot: \"Infinity polling exception: x\"",
            "Infinity polling exception: x\"",
            ERROR,
        ),
        ("ERROR - TeleBot: \"Threaded polling exception: x\"", "Threaded polling exception: x\"", ERROR),
        ("ERROR - ReadTimeout: \"x\"", "ReadTimeout: \"x\"", ERROR),
        ("[I 2026-11-22 01:02:03 web:1] x", "x", INFO),
        ("[2026-11-22 01:02:03,456: ERROR/MainProcess] Task x", "Task x", ERROR),
        ("19:46:37 [ERROR   ][deluge.core.torrentmanager    :1655] on_alert", "on_alert", ERROR),
        ("[ERROR   ][deluge.core:1655] msg", "msg", ERROR),
        ("2026-01-02 03:04:05.678 | SUCCESS  | __main__:save:12 - a 404.mkv", "a 404.mkv", INFO),
        ("SUCCESS stories.mp4", "SUCCESS stories.mp4", None),
        ("2025-11-22 10:00:00,510::ERROR::[mod:1] msg", "msg", ERROR),
        ("2025-11-22 10:00:00,510::INFO::[downloader:1021] msg", "msg", INFO),
        ("[twitter][error] msg", "msg", ERROR),
        ("[stream.hls][warning] msg", "msg", WARNING),
        ("[download] ERROR: x", "[download] ERROR: x", None),
        ("[youtube] a: Downloading webpage", "[youtube] a: Downloading webpage", None),
        ("[mtprotosender/ERROR] x", "[mtprotosender/ERROR] x", None),
    ]);
}

#[test]
fn loggers_of_other_languages() {
    check(&[
        ("2026-03-02T10:11:12.1Z\tINFO\tdl/dl.go:122\tmessage\t{\"k\": \"v\"}", "message\t{\"k\": \"v\"}", INFO),
        ("2026-03-02T10:11:12.1+0100\tERROR\tdl.worker\tdl/dl.go:122\tmessage", "message", ERROR),
        ("2026/11/22 01:02:03 main.go:12: dial tcp", "dial tcp", None),
        ("2026/11/22 01:02:03 ERROR : a.mkv: Failed to copy", "a.mkv: Failed to copy", ERROR),
        ("W1122 01:02:03.456789 12 a.go:1] x", "x", WARNING),
        ("ERRO[0012] dial x", "dial x", ERROR),
        ("WARN[0000]  x", "x", WARNING),
        ("INFO[2026] x", "x", INFO),
        ("ERRO[x] y", "ERRO[x] y", None),
        ("INFO[0000]x", "INFO[0000]x", None),
        ("[2024-07-31T10:00:00Z ERROR teloxide::error_handlers] msg", "msg", ERROR),
        (" ERROR teloxide::error_handlers > msg", "msg", ERROR),
        (" WARN  bot      > msg", "msg", WARNING),
        (" 2024-07-31T10:00:00Z ERROR bot > msg", "msg", ERROR),
        (" ERROR in a sentence", " ERROR in a sentence", None),
        ("2026-01-02T03:04:05.678Z  INFO teloxide::dispatching: hi", "hi", INFO),
        ("12:33:40.900 [worker-1] WARN  o.m.dl.HttpLink - msg", "msg", WARNING),
        ("12:33:40.900 [worker-1] WARN  HttpLink - msg", "msg", WARNING),
        ("2026-01-02T03:04:05.678Z ERROR 12345 --- [app] [   main] c.e.App    : msg", "msg", ERROR),
        ("2025-11-22 10:00:00.1|Error|Svc|msg", "msg", ERROR),
        ("2025-11-22 10:00:00.1|Warn|Svc|msg: a|b", "msg: a|b", WARNING),
        ("17-6-22 10:00:00.3|Error|Svc|Couldn't", "Couldn't", ERROR),
        ("[Error] DownloadService: msg", "msg", ERROR),
        ("[Error] Unsupported: msg", "Unsupported: msg", ERROR),
        ("[Warn] HttpClient: msg", "msg", WARNING),
        ("[Info] Bootstrap: Starting", "Bootstrap: Starting", INFO),
        ("2025-11-22T10:00:00.965Z [error][Radarr]: msg", "msg", ERROR),
        ("[error][Radarr]: msg", "msg", ERROR),
        ("2026-01-02 03:04:05 Error Jackett.Common.Indexers.X: msg", "msg", ERROR),
        ("2026-01-02 03:04:05 Error downloading a.mkv: x", "Error downloading a.mkv: x", None),
        ("2026-01-02 03:04:05 Error System.IO.IOException: x", "Error System.IO.IOException: x", None),
        ("Sat Nov 22 10:00:00 2025\tERROR\tmsg", "msg", ERROR),
        ("[12:00:00 ERR] msg", "msg", ERROR),
        ("17:20:24.520 WARN : msg", "msg", WARNING),
        ("[ 3][t 5][1795613570.139][Client.cpp:4823][#1][!Bot]\tmsg", "msg", INFO),
        ("[ 0][t 5][1795613570.139][Client.cpp:4823] msg", "msg", ERROR),
        ("[ 2][t 5][1795613570.139][Client.cpp:4823][&net] [x] msg", "[x] msg", WARNING),
        ("[ 4][t 5][1795613570.139][Client.cpp:4823] msg", "msg", DEBUG),
        ("2026-11-25 13:35:37.776 UTC [6586] FATAL:  lock file", "lock file", ERROR),
        ("2026-11-25 10:00:00 3 [Warning] Aborted", "Aborted", WARNING),
    ]);
}

#[test]
fn loggers_of_node_and_logfmt() {
    check(&[
        ("2025-02-01T10:11:12.044Z [warn] msg", "msg", WARNING),
        ("error: Failed", "Failed", ERROR),
        ("error: no such file", "error: no such file", ERROR),
        ("2025-02-01 10:11:12 [error]: msg", "msg", ERROR),
        ("2025-02-01 10:11:12 gone.bin Tracker error: \"x\"", "gone.bin Tracker error: \"x\"", None),
        ("warn: msg", "msg", WARNING),
        ("2025-02-01 10:11:12 info: msg", "msg", INFO),
        ("error: Failed to get: x", "Failed to get: x", ERROR),
        ("error:  cannot open zipfile", "error:  cannot open zipfile", None),
        ("time=\"2026-03-02T10:11:12Z\" level=warning msg=\"dial x\"", "dial x\"", WARNING),
        ("time=\"2026-03-02T10:11:12Z\" level=warning msg=\"x\" err=\"y\"", "msg=\"x\" err=\"y\"", WARNING),
        ("time=2026-03-02T10:11:12Z level=ERROR msg=failed", "failed", ERROR),
        ("level=info msg=\"x\"", "x\"", INFO),
        ("level=error msg=\"x\" status=504", "msg=\"x\" status=504", ERROR),
        ("time=12 flies", "time=12 flies", None),
        ("2022-01-02T03:04:05Z level=info hello", "hello", INFO),
    ]);
}

#[test]
fn a_json_object_is_a_message_with_a_level() {
    let level = |line: &str| {
        let found = prefix(line.as_bytes());
        (found.level, line[..found.length].to_owned())
    };
    for (line, want) in [
        ("{\"level\":\"error\",\"ts\":1.5,\"msg\":\"x\"}", ERROR),
        ("{\"title\":\"\\\"level\\\":50\",\"level\":30,\"msg\":\"hi\"}", INFO),
        ("{\"time\":1,\"req\":{\"level\":50},\"level\":40}", WARNING),
        ("{\"level\":20,\"msg\":\"x\"}", DEBUG),
        ("{\"short_message\":\"x\",\"level\":3}", ERROR),
        ("{\"event\": \"Failed\", \"level\": \"warning\"}", WARNING),
        ("{\"asctime\": \"x\", \"levelname\": \"CRITICAL\", \"message\": \"y\"}", ERROR),
        ("{\"@t\":\"x\",\"@l\":\"Warning\"}", WARNING),
        ("{\"level\":\"error\",\"msg\":\"cut of", ERROR),
        ("{\"ok\":false,\"error_code\":429}", None),
        ("{\"level\":\"high\",\"msg\":1}", None),
        ("{'level': 'error'}", None),
        ("{", None),
    ] {
        assert_eq!(level(line), (want, String::new()), "{line}");
    }
    assert_eq!(level("2026-01-02T03:04:05.678Z {\"level\":\"error\"}"), (ERROR, "2026-01-02T03:04:05.678Z ".into()));
}

#[test]
fn services_stand_in_front_of_programs() {
    check(&[
        ("Jan  2 03:04:05 host proc[12]: ERROR:root:msg", "msg", ERROR),
        ("Jan  2 03:04:05 host proc[12]: [error] msg", "msg", ERROR),
        ("Jan  2 03:04:05 host proc[12]: msg", "msg", None),
        ("Jan  2 03:04:05 host kernel: EXT4-fs error", "EXT4-fs error", None),
        ("2026-01-02T03:04:05+00:00 nas bot[7]: 2026-01-02 03:04:05,1 - bot - WARNING - x", "x", WARNING),
        ("2026-01-02T03:04:05.123Z stderr F ERROR x", "x", ERROR),
        ("[2026-01-02 03:04:05] web NB: invalid x", "web NB: invalid x", None),
        ("2026-01-02 03:04:05 web nb: invalid x", "web nb: invalid x", None),
        ("2026-01-02T03:04:05Z downloading file: x", "downloading file: x", None),
        ("0|bot  | 2026-01-02 03:04:05 ERROR x", "x", ERROR),
        ("bot-1  | error: X", "X", ERROR),
        ("2026-01-02 03:04:05 - ERROR - xz: a.xz: x", "xz: a.xz: x", ERROR),
        ("[ERROR] bzip2: x", "bzip2: x", ERROR),
        ("2026-01-02 03:04:05 Saved file as ERROR 503.mp4", "Saved file as ERROR 503.mp4", None),
        ("2026-01-02 03:04:05 bot ERROR 503", "503", ERROR),
        ("PANIC at the disco.mp4", "PANIC at the disco.mp4", None),
        ("(C) 2024 Example", "(C) 2024 Example", None),
        ("", "", None),
    ]);
}

proptest::proptest! {
    #[test]
    fn any_line_has_a_prefix_within_it(
        start in proptest::sample::select(vec!["", "[", "{\"level\":\"", "2026-01-02 03:04:05 ", "[ERROR/", "level=", "Jan  2 03:04:05 a b"]),
        text in "[ -~\\\\\"\\[\\]\\{\\}:|\t=é]{0,80}",
    ) {
        let line = [start, &text].concat();
        proptest::prop_assert!(prefix(line.as_bytes()).length <= line.len());
    }
}

#[test]
fn signs_stand_in_front_of_what_bots_say() {
    check(&[
        ("2026-01-02 03:04:05,678 - bot - ERROR - ❌ Chat not found", "Chat not found", ERROR),
        ("ERROR:bot:⚠️ 🚫x", "🚫x", ERROR),
        ("ERROR:bot:⚠️🚫 x", "x", ERROR),
        ("❌ Chat not found", "Chat not found", None),
        ("❌", "", None),
        ("‼️Too big", "Too big", None),
        ("→ x", "→ x", None),
        ("♪ Timed out", "♪ Timed out", None),
        ("🎬 Timed out", "🎬 Timed out", None),
        ("«x»", "«x»", None),
        ("│ x", "│ x", None),
    ]);
    for line in ["⚠️ x", "🚫 x", "‼ x"] {
        (0..line.len()).for_each(|cut| assert!(prefix(&line.as_bytes()[..cut]).length <= cut, "{line} cut at {cut}"));
    }
}

#[test]
fn richs_lines_without_a_time_have_a_level() {
    check(&[
        ("           INFO     what was said          worker.py:44", "what was said          worker.py:44", INFO),
        ("                    ERROR    [-100] x   bot.py:6 ", "[-100] x   bot.py:6 ", ERROR),
        ("           ERROR    what was said", "           ERROR    what was said", None),
        ("    ERROR    what was said     a.py:4", "    ERROR    what was said     a.py:4", None),
    ]);
}

#[test]
fn at_is_a_level_where_it_names_one() {
    check(&[
        ("at=INFO logger=bot msg=\"x y\"", "x y\"", INFO),
        ("ts=\"2026-01-02 03:04:05\" at=ERROR msg=\"x\"", "x\"", ERROR),
        ("at=error code=H12 desc=\"Request timeout\"", "", ERROR),
        ("at=home msg=\"x\"", "at=home msg=\"x\"", None),
    ]);
}
