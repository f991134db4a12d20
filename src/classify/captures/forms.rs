//! Finds a local path by the place where a kind of program puts it, whatever language the words beside it are in. Pure.
//!
//! Rules know the words. Here it is the frame that counts: `tool: NAME: words`, Go's `open NAME: words`, Python's
//! `[Errno 2] words: 'NAME'`, Java's `FileNotFoundException: NAME (words)`. So names without a separator are found as well, which
//! nobody could tell from words elsewhere.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// Tools of GNU coreutils, BusyBox and their like, which begin what they say with their own name (GNU Coding Standards, "Formatting Error
/// Messages").
const TOOLS: &str = "\\[|awk|b2sum|b3sum|bash|base64|basename|bunzip2|bzcat|bzip2|cat|chattr|chgrp|chmod|chown|cksum|cmp|cp|cpio|csplit|cut|dash|dd|df|diff\
    |du|expand|fallocate|file|find|flock|fmt|fold|gawk|grep|egrep|fgrep|gunzip|gzip|head|install|join|ksh|less|link|ln|ls|lz4|lzip\
    |lzma|lzop|mawk|md5sum|mkdir|mkfifo|mknod|mktemp|more|mv|nl|od|paste|patch|pv|readlink|realpath|rename|rm|rmdir|rsync|sed|sh|sha1sum\
    |sha224sum|sha256sum|sha384sum|sha512sum|shasum|shred|shuf|sort|split|stat|strings|sum|sync|tac|tail|tar|tee|test|touch|tr|truncate\
    |unlink|unlzma|unxz|unzip|unzstd|uniq|wc|xargs|xxd|xz|xzcat|zcat|zip|zsh|zstd|zstdcat";

/// System calls as Go, Rust and libuv name them before a path.
const CALLS: &str = "access|chdir|chmod|chown|copy_file_range|create|creat|fork/exec|fstat|link|lstat|mkdir|mkdirall|mkdirat|mkfifo|open|openat|opendir|\
    readdirent|readlink|remove|rename|rmdir|stat|statfs|symlink|truncate|unlink|unlinkat|utime|utimes";

/// The path, of the last line that has such a frame: the cause of a chain comes last.
pub(super) fn framed(event: &[u8]) -> Option<String> {
    static FRAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let string = r#""(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.)+'"#;
        let quoted = r#""[^"\n]+"|'[^'\n]+'|`[^`'\n]+'|\xe2\x80\x98[^\n]+?\xe2\x80\x99"#;
        let frames = format!(
            concat!(
                // Python: OSError. Of a rename it is the second that follows; nobody knows which is meant.
                r"\[(?:Errno|WinError|Error) \d+\] [^\n'\x22\[\]]{{1,160}}: [ub]?(?P<a>{string})(?:$|[^\s-]|\s(?:[^-]|$))",
                // A tool: what it could not do, to what, why.
                r"|(?:^|[\s\x22'>|\]=(])(?:/[\w./-]*/)?(?:{tools}): (?:(?:write|read|open|close) (?:failed|error): |[a-z][a-z\d' -]* )?(?P<b>{quoted}|[^\s:'\x22`]+): [^\n:'\x22/]{{4,160}}$",
                // A shell: `/srv/run.sh: line 7: NAME: words`, the line in any language.
                r"|: ?(?:[^\s\d:]+ )?\d+: (?P<e>(?:\.{{0,2}}|[\w.-]+)/[^\s:'\x22]+): [^\n:'\x22/]{{4,160}}$",
                // zsh puts it last.
                r"|(?:^|\s)zsh:(?:\w+:)?\d+: [^\n:'\x22/]{{4,160}}: (?P<f>[^\s:'\x22]+)$",
                // Nothing but a name and why.
                r"|^(?P<g>[\w.-]+/[\w./-]+): [A-Z][^\n:'\x22/]{{4,60}}$",
                // Go, where only a separator tells a file from a connection.
                r"|(?:^|: |[\s=][\x22'(]|\()(?:write|read|close|sync) (?P<h>[^\s:'\x22\\]*/[^\s:'\x22\\>]*): [^\n:'\x22/]{{4,160}}(?:$|[:'\x22)\\])",
                // Go and Rust.
                r"|(?:^|: |[\s=][\x22'(]|\()(?:{calls}) (?:\\\x22)?(?P<c>(?:\\\\\?\\)?[A-Za-z]:[\\/][^\n:'\x22<>|*?]+|[^\s:'\x22\\]+)(?:\\\x22)?: [^\n:'\x22/]{{4,160}}(?:$|[:'\x22)\\])",
                // Java.
                r"|\b(?:FileNotFound|NoSuchFile|AccessDenied|FileSystem|NotDirectory|ReadOnlyFileSystem)Exception: ",
                r"(?P<d>(?:[A-Za-z]:|\.{{0,2}})[\\/][^\n:]*?|[\w.-]+[\\/][^\n:]*?)(?: \([^()\n]+\)|$| -> )",
            ),
            tools = TOOLS,
            calls = CALLS,
            string = string,
            quoted = quoted,
        );
        RegexBuilder::new(&frames).unicode(false).multi_line(true).build().ok()
    });
    let paths = FRAMES.as_ref()?.captures_iter(event).filter_map(|found| {
        let path = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().find_map(|name| found.name(name))?.as_bytes();
        // `open failed: why` has the call, and no name.
        (path != b"failed" && path != b"error").then_some(path)
    });
    let path = paths.last()?;
    Some(String::from_utf8_lossy(path).into_owned())
}

/// The name behind the noun that says what it is (`could not extend file "base/4/5"`), in quotes, or without them if it has a separator; of
/// the last such line.
pub(super) fn called(event: &[u8]) -> Option<String> {
    static NOUNS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let nouns = concat!(
            r"(?i:\b(?:file|directory|dir|folder|path|relation|archive|image|filename|file_name|name|opening|(?:failed|unable|cannot|can't|could not|couldn't) (?:to )?",
            r"(?:open|read|write|create|load|access|stat|extract|decode|parse))(?: ?[=:] ?| ))",
            r"(?:(?P<c>(?:[A-Za-z]:)?[^\s:'\x22?*<>|()]*[/\\][^\s:'\x22?*<>|()]*\.\w{1,5})(?:[\s:,;]|$)|(?P<d>[\w.-]+[/\\][^\s:'\x22?*<>|()]+)(?:: |$)|(?P<f>/[^\s:'\x22?*<>|()/]+)(?:: |$)|(?P<e>\.{1,2}/[^\s:'\x22?*<>|()]+) |[bu]?'(?P<a>[^'\n:?*<>|]*[./][^'\n:?*<>|]*)'|\x22(?P<b>[^\x22\n:?*<>|]*[./][^\x22\n:?*<>|]*)\x22)",
        );
        RegexBuilder::new(nouns).unicode(false).multi_line(true).build().ok()
    });
    // Not a step of a traceback: `File "/app/bot.py", line 3`.
    let is_step = |end: usize| event[end..].starts_with(b", line ");
    let found = NOUNS
        .as_ref()?
        .captures_iter(event)
        .filter(|found| found.get(0).is_some_and(|all| !is_step(all.end())))
        .last()?;
    let path = ["a", "b", "c", "d", "e", "f"].iter().find_map(|name| found.name(name))?;
    Some(String::from_utf8_lossy(path.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_a_name_behind_its_noun_is_found() {
        for (event, want) in [
            ("could not extend file \"base/4/5\" with FileFallocate(): No space left on device", Some("base/4/5")),
            ("cannot identify image file <_io.BufferedReader name='example.png'>", Some("example.png")),
            ("(2)No such file: cannot access directory '/users/' for the log", Some("/users/")),
            ("file '/var/log/x'[8] write error", Some("/var/log/x")),
            ("Unable to create file logs/info.log java.io.IOException: Permission denied", Some("logs/info.log")),
            ("no such file 'https://a.example/x'", None),
            ("Unable to open table file logs/run_7/checkpoint: Data loss", Some("logs/run_7/checkpoint")),
            ("Write to file ./ibtmp1 failed at offset 2", Some("./ibtmp1")),
            ("Error while appending records in dir /tiny: java.io.IOException: x", Some("/tiny")),
            ("could not open relation 1663/2/4: No such file", Some("1663/2/4")),
            ("invalid page in block 2 of relation base/1/9", Some("base/1/9")),
            ("failed to open https://a.example/x.mp4: Permission denied", None),
            ("File \"/srv/app/bot.py\", line 3, in f\nOSError", None),
            ("a file of 'words'", None),
            ("file \"x\"", None),
        ] {
            assert_eq!(called(event.as_bytes()).as_deref(), want, "{event}");
        }
    }

    #[test]
    fn a5_the_frame_of_a_message_tells_its_path() {
        assert_eq!(framed(b""), None);
        for (event, want) in [
            ("OSError: [Errno 2] No such file or directory: 'data'", Some("'data'")),
            ("PermissionError: [WinError 5] Odmowa dost\u{119}pu: 'C:\\\\in\\\\a b'", Some("'C:\\\\in\\\\a b'")),
            ("IOError: [Errno 13] Permission denied: u'a #8.part'", Some("'a #8.part'")),
            ("OSError: [Errno 18] Invalid cross-device link: 'a' -> 'b'", None),
            ("OSError: [Errno 28] No space left on device", None),
            ("rm: notexist: No such file or directory", Some("notexist")),
            ("cat: flag: Нет такого файла или каталога", Some("flag")),
            ("ls: cannot access my-file: Nie ma takiego pliku ani katalogu", Some("my-file")),
            ("bot: stderr=/bin/tar: .cache: No such file or directory", Some(".cache")),
            ("tar: ‘It's here’: Cannot open", Some("‘It's here’")),
            ("mv: cannot stat 'a b.mp4': No such file or directory", Some("'a b.mp4'")),
            ("mv: 1 of 2: x", None),
            ("bot: download: Permission denied", None),
            ("./a.sh: строка 404: ./b.sh: Нет такого файла или каталога", Some("./b.sh")),
            ("/tmp/x.sh: line 357: ./L4: Permission denied", Some("./L4")),
            ("zsh:cd:1: no such file or directory: season2", Some("season2")),
            ("lua5.4: (command line):1: archive/x: Read-only file system", Some("archive/x")),
            ("archive/l: Read-only file system", Some("archive/l")),
            ("sort: write failed: cache/sorted: No space left on device", Some("cache/sorted")),
            ("save: write cache/seg1: no space left on device", Some("cache/seg1")),
            ("read tcp 10.0.0.1:5->10.0.0.2:80: connection reset by peer", None),
            ("write failed: No space left on device", None),
            ("panic: open .agollo: no such file or directory", Some(".agollo")),
            ("failed: mkdir log: read-only file system", Some("log")),
            ("delete: mkdir \\\\?\\E:\\B\\.stversions: Access is denied.", Some("\\\\?\\E:\\B\\.stversions")),
            ("err=\"open a.toml: no such file or directory\"", Some("a.toml")),
            ("failed to open file: Permission denied", None),
            ("open failed: No such file or directory", None),
            ("java.io.FileNotFoundException: .\\log\\info.log (另一个程序正在使用此文件)", Some(".\\log\\info.log")),
            ("java.nio.file.NoSuchFileException: data/in/x.bin", Some("data/in/x.bin")),
            ("java.io.FileNotFoundException: https://a.example/x", None),
            ("System.IO.FileNotFoundException: Could not find file '/srv/x'.", None),
            ("cat: a: No such file or directory\ncat: b: No such file or directory", Some("b")),
        ] {
            assert_eq!(framed(event.as_bytes()).as_deref(), want, "{event}");
        }
    }
}
