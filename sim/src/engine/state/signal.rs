//! Signals of Linux on amd64, by name or number.

pub(in crate::engine) const QUIT: u8 = 3;
pub(in crate::engine) const KILL: u8 = 9;
pub(in crate::engine) const TERM: u8 = 15;

const INT: u8 = 2;
/// In the order of their numbers, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads `SIGTERM`, `term` or `15`. `None`: no such signal.
pub(in crate::engine) fn parse(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let index = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(index + 1).ok()
}

/// Whether a process with no handler dies of it.
pub(in crate::engine) fn is_fatal(signal: u8) -> bool {
    // CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH: ignored, or they only stop and continue.
    !matches!(signal, 17..=23 | 28)
}

/// Whether a web server ends at it.
pub(in crate::engine) fn ends_nginx(signal: u8) -> bool {
    matches!(signal, INT | QUIT | TERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for text in ["SIGTERM", "TERM", "term", "sigterm", "15"] {
            assert_eq!(parse(text), Some(TERM), "{text}");
        }
        assert_eq!(parse("KILL"), Some(KILL));
        assert_eq!(parse("SYS"), Some(31));
        for text in ["", "0", "65", "FOO", "SIG"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
