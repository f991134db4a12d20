//! Reads amounts as tools write them for people: `10.5MiB`, `1.2 MB/s`, `45.3%`. Pure.

/// Bytes (a second): a number, then a unit of 1000 or, with an `i`, of 1024. What stands behind a `/` is left out.
pub(super) fn amount(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches(['~', '≈', ' ']).replace([',', '_'], "");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim().split('/').next().unwrap_or_default().to_ascii_lowercase();
    let unit = unit.trim_end_matches("ps").trim_end_matches("ytes").trim_end_matches("yte").trim_end_matches('b');
    let factor: f64 = match unit {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1_048_576.0,
        "gi" => 1_073_741_824.0,
        "ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = (number * factor).round();
    // Checked: finite, not negative, far below the largest number.
    (bytes.is_finite() && (0.0..1e18).contains(&bytes)).then_some(bytes as u64)
}

/// 0 to 100.
pub(super) fn percentage(text: &str) -> Option<f64> {
    let value: f64 = text.trim().trim_end_matches('%').trim().parse().ok()?;
    (0.0..=100.0).contains(&value).then_some(value)
}
