//! Reads lines of docker's `json-file` driver: `{"log":"…\n","stream":"stderr","time":"…"}`, one for each line that a container
//! wrote (<https://docs.docker.com/engine/logging/drivers/json-file/>). Pure.

use super::Stamp;

/// What each of them begins with.
pub const DOCKER: &[u8] = b"{\"log\":\"";

/// What follows the container's own words.
const STREAM: &[u8] = b"\",\"stream\":\"std";

/// What stands before the time at which docker read them.
const TIME: &[u8] = b"\"time\":\"";

/// The container's line, with JSON's escapes and without its end; `None`: the line is not one of docker's.
pub(super) fn escaped(text: &[u8]) -> Option<&[u8]> {
    let line = &text[DOCKER.len()..content_end(text)?];
    let line = line.strip_suffix(b"\\n").unwrap_or(line);
    Some(line.strip_suffix(b"\\r").unwrap_or(line))
}

/// When docker read it.
pub(super) fn read_at(text: &[u8]) -> Option<Stamp> {
    let at = memchr::memmem::rfind(text, TIME)?;
    Stamp::parse(&text[at + TIME.len()..]).map(|(stamp, _)| stamp)
}

/// The container's line as it wrote it, without its end; `None`: the line is not one of docker's, or it was cut.
#[must_use]
pub fn docker_line(text: &[u8]) -> Option<Vec<u8>> {
    let quoted = &text[DOCKER.len() - 1..=content_end(text)?];
    let mut line = serde_json::from_slice::<String>(quoted).ok()?.into_bytes();
    line.truncate(line.trim_ascii_end().len());
    Some(line)
}

/// The quote behind the container's words. Theirs are escaped, so the first that looks like it is it.
fn content_end(text: &[u8]) -> Option<usize> {
    let content = text.strip_prefix(DOCKER)?;
    Some(DOCKER.len() + memchr::memmem::find(content, STREAM)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_line_is_taken_out_of_dockers() {
        let line = br#"{"log":"ERROR: \"a\",\"stream\":\"std\" \u001b[0m\tC:\\n\r\n","stream":"stderr","time":"2026-11-26T04:44:10.118203118Z"}"#;
        assert_eq!(docker_line(line).unwrap(), b"ERROR: \"a\",\"stream\":\"std\" \x1b[0m\tC:\\n");
        assert!(escaped(line).unwrap().ends_with(b"C:\\\\n"));
        assert!(read_at(line).is_some());
        for other in [&b"{\"log\":\"x\"}"[..], b"{\"log\":\"", b"{\"log\":\"x [...] ream\":\"stderr\"}", b""] {
            assert_eq!((docker_line(other), escaped(other)), (None, None));
        }
    }
}
