//! Numbers and names for people.

use std::cmp::Ordering;

const UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// Bytes with four significant digits, such as `4.2 GiB`; zero is `0 B`.
#[must_use]
pub fn bytes_text(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", four_digits(size), UNITS[unit])
}

/// `%.4g` for the magnitudes that occur here, below 1024 or negative.
fn four_digits(size: f64) -> String {
    let magnitude = size.abs();
    let decimals = [1.0, 10.0, 100.0, 1000.0].iter().filter(|limit| magnitude < **limit).count();
    let text = format!("{size:.*}", decimals.min(3));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Compares names as people count: blanks do not matter, runs of digits compare as numbers and
/// come before text. Names that still compare equal go by their characters.
#[must_use]
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (packed_a, packed_b) = (without_blanks(a), without_blanks(b));
    let (mut rest_a, mut rest_b) = (packed_a.as_str(), packed_b.as_str());
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (run_a, run_b) = (next_run(&mut rest_a), next_run(&mut rest_b));
        let order = match (is_number(run_a), is_number(run_b)) {
            (true, true) => number_cmp(run_a, run_b),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => run_a.cmp(run_b),
        };
        if order.is_ne() {
            return order;
        }
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

fn without_blanks(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Cuts a run of digits or of other characters off the front.
fn next_run<'a>(rest: &mut &'a str) -> &'a str {
    let digits = is_number(rest);
    let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
    let (run, tail) = rest.split_at(end);
    *rest = tail;
    run
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Compares runs of digits of any length.
fn number_cmp(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_have_four_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (100 << 20, "100 MiB"),
            (4_509_715_661, "4.2 GiB"),
            (8_201_445_376, "7.638 GiB"),
            (1_073_741_823, "1024 MiB"),
            (i64::MAX, "8 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn names_are_counted_like_people_do() {
        let sorted =
            ["", "7", "node", "node 1", "node2", "node10", "node10a", "node-1", "node-01b", "web"];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, sorted);
    }

    proptest! {
        #[test]
        fn the_order_of_names_is_total(
            a in "[ a0-2-]{0,6}", b in "[ a0-2-]{0,6}", c in "[ a0-2-]{0,6}",
        ) {
            prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
            prop_assert_eq!(natural_cmp(&a, &b).is_eq(), a == b);
            if natural_cmp(&a, &b).is_le() && natural_cmp(&b, &c).is_le() {
                prop_assert!(natural_cmp(&a, &c).is_le());
            }
        }
    }
}
