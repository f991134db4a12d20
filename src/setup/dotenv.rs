//! Reads `.env` files the way bots' own loaders do: `export`, quotes, comments; nothing is expanded or run. Pure.

/// The variables of a `.env` text with the line (from 1) each stands in. Lines that say nothing are skipped.
pub(super) fn parse(text: &str) -> Vec<(usize, String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().enumerate().filter_map(|(index, line)| parse_line(line).map(|(k, v)| (index + 1, k, v))).collect()
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let first = name.chars().next()?;
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word || first.is_ascii_digit() {
        return None;
    }
    Some((name.to_owned(), value_of(value.trim_start())))
}

fn value_of(text: &str) -> String {
    if let Some(rest) = text.strip_prefix('\'') {
        return rest.split('\'').next().unwrap_or_default().to_owned();
    }
    if let Some(rest) = text.strip_prefix('"') {
        return unescape(rest);
    }
    // Unquoted: a comment begins at a `#` after white space.
    let end = text.char_indices().find(|&(at, c)| c == '#' && (at == 0 || text[..at].ends_with([' ', '\t'])));
    text[..end.map_or(text.len(), |(at, _)| at)].trim_end().to_owned()
}

/// The text up to the closing double quote.
fn unescape(rest: &str) -> String {
    let mut out = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other @ ('"' | '\\' | '$')) => out.push(other),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_bots_read_them() {
        let text = "# c\nTELEGRAM_TOKEN=123:AB # mine\n export ADMIN_ID = '1,2' \nA=\"x\\n\\\"y\" z\nB=a#b\nC=\nnot a line\n1X=3\nD=#x\r\n";
        let got: Vec<_> = parse(text).into_iter().map(|(line, k, v)| format!("{line} {k}={v}")).collect();
        assert_eq!(got, ["2 TELEGRAM_TOKEN=123:AB", "3 ADMIN_ID=1,2", "4 A=x\n\"y", "5 B=a#b", "6 C=", "9 D="]);
    }
}
