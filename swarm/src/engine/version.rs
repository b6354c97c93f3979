//! Versions of the Docker API, and which one to speak to an engine.

use std::fmt;
use std::str::FromStr;

/// A version of the Docker API, such as 1.41. Ordered by number, not by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// The oldest version spoken: Docker 1.12, and what an engine that names no version gets.
    pub const MIN: Self = Self::new(1, 24);

    /// The newest version spoken: Docker 28.3. It is the last one whose events still carry
    /// `status`, `id` and `from` at the top level, which older clients of the manager read.
    pub const MAX: Self = Self::new(1, 51);

    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The version as one number, for storage in an atomic.
    pub(super) fn pack(self) -> u32 {
        u32::from(self.major) << 16 | u32::from(self.minor)
    }

    /// The inverse of [`Self::pack`].
    pub(super) fn unpack(packed: u32) -> Self {
        let half = |bits: u32| u16::try_from(bits & 0xffff).unwrap_or(u16::MAX);
        Self { major: half(packed >> 16), minor: half(packed) }
    }

    /// The version to speak to an engine: its highest, but at most [`Self::MAX`].
    ///
    /// `newest` is the `Api-Version` header of the engine's ping ([`Self::MIN`] if it sends none),
    /// `oldest` the `MinAPIVersion` of its `/version`, if it tells.
    ///
    /// # Errors
    /// The text of the engine's own refusal when there is no version that both speak.
    pub fn negotiate(newest: Option<Self>, oldest: Option<Self>) -> Result<Self, String> {
        let newest = newest.unwrap_or(Self::MIN);
        let version = newest.min(Self::MAX);
        if version < Self::MIN {
            return Err(format!(
                "Error response from daemon: client version {} is too new. Maximum supported API \
                 version is {newest}",
                Self::MIN
            ));
        }
        match oldest {
            Some(oldest) if version < oldest => Err(format!(
                "Error response from daemon: client version {version} is too old. Minimum \
                 supported API version is {oldest}, please upgrade your client to a newer version"
            )),
            _ => Ok(version),
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text is not `<number>.<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAVersion;

impl fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an API version")
    }
}

impl std::error::Error for NotAVersion {}

impl FromStr for ApiVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let (major, minor) = text.trim().split_once('.').ok_or(NotAVersion)?;
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse().map_err(|_| NotAVersion),
            false => Err(NotAVersion),
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Option<ApiVersion> {
        text.parse().ok()
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(v("1.9") < v("1.24"));
        assert_eq!(v("1.41").unwrap().to_string(), "1.41");
        for bad in ["", "1", "1.", ".1", "1.4.1", "a.b", "1.+4", "1.99999"] {
            assert_eq!(v(bad), None, "{bad:?}");
        }
        let version = ApiVersion::new(1, 41);
        assert_eq!(ApiVersion::unpack(version.pack()), version);
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        for (newest, oldest, spoken) in [
            (v("1.41"), v("1.12"), "1.41"),
            (v("1.24"), None, "1.24"),
            (None, v("1.12"), "1.24"),
            (v("1.52"), v("1.44"), "1.51"),
            (v("1.51"), v("1.51"), "1.51"),
        ] {
            let version = ApiVersion::negotiate(newest, oldest).unwrap();
            assert_eq!(version.to_string(), spoken, "{newest:?} {oldest:?}");
        }
    }

    #[test]
    fn no_common_version_reads_like_the_engines_refusal() {
        assert_eq!(
            ApiVersion::negotiate(v("1.23"), None).unwrap_err(),
            "Error response from daemon: client version 1.24 is too new. Maximum supported API \
             version is 1.23"
        );
        assert_eq!(
            ApiVersion::negotiate(v("1.60"), v("1.55")).unwrap_err(),
            "Error response from daemon: client version 1.51 is too old. Minimum supported API \
             version is 1.55, please upgrade your client to a newer version"
        );
        assert!(ApiVersion::negotiate(None, v("1.44")).unwrap_err().contains("1.24 is too old"));
    }
}
