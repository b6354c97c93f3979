//! What an image reference asks to pull, and what an error says about images.

use std::sync::LazyLock;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;

/// The path of the call that pulls `image`, `None` for an ID: those cannot be pulled. `platform` is
/// passed on if the client asked for one.
pub(super) fn pull_path(image: &str, platform: Option<&str>) -> Option<String> {
    let is_id = image.len() == 64 && image.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id || image.starts_with("sha256:") {
        return None;
    }
    let (name, tag) = split(image);
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut path =
        format!("/images/create?fromImage={}&tag={}", escape(familiar(name)), escape(tag));
    if let Some(platform) = platform {
        path += &format!("&platform={platform}");
    }
    Some(path)
}

/// The repository, and its tag (`latest` if there is none) or digest.
fn split(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        // `repository:tag@digest`: the digest decides.
        return (split(name).0, digest);
    }
    match image.rsplit_once(':') {
        // A colon before a slash is that of a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// The name without what Docker adds on its own.
fn familiar(name: &str) -> &str {
    let hub = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/"));
    let Some(rest) = hub else { return name };
    rest.strip_prefix("library/").unwrap_or(rest)
}

/// Whether an engine's 404 to a create means that it does not have the image, and not a network, a
/// volume driver or a container it depends on.
pub(super) fn is_missing_here(message: &str) -> bool {
    message.to_ascii_lowercase().contains("no such image")
}

/// Whether the error says that the image is nowhere to be had, so that another node may do better.
pub(super) fn is_missing(message: &str) -> bool {
    static MISSING: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"image \S* not found|repository \S* not found|repository does not exist")
            .expect("the pattern is valid")
    });
    MISSING.is_match(message)
}

/// The operating system that the image is for, if that is why it cannot be used.
pub(super) fn wrong_platform(message: &str) -> Option<&str> {
    static WRONG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"image operating system "(.+)" cannot be used on this platform"#)
            .expect("the pattern is valid")
    });
    WRONG.captures(message).and_then(|found| found.get(1)).map(|os| os.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_pulled_by_familiar_name_and_tag() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.25", "nginx", "1%2E25"),
            ("docker.io/library/nginx", "nginx", "latest"),
            ("docker.io/bitnami/redis:7", "bitnami%2Fredis", "7"),
            ("reg:5000/app", "reg%3A5000%2Fapp", "latest"),
            ("reg:5000/app:v1", "reg%3A5000%2Fapp", "v1"),
            ("app@sha256:ab", "app", "sha256%3Aab"),
            ("app:v1@sha256:ab", "app", "sha256%3Aab"),
        ] {
            let path = pull_path(image, None).unwrap();
            assert_eq!(path, format!("/images/create?fromImage={name}&tag={tag}"), "{image}");
        }
        assert_eq!(pull_path("sha256:ab", None), None);
        assert_eq!(pull_path(&"a".repeat(64), None), None);
        assert!(
            pull_path("a", Some("linux%2Farm64")).unwrap().ends_with("&platform=linux%2Farm64")
        );
    }

    #[test]
    fn errors_tell_what_is_missing() {
        assert!(is_missing_here("No such image: nope:latest"));
        assert!(!is_missing_here("network nope not found"));
        assert!(is_missing("Error: image library/nope:latest not found"));
        assert!(is_missing(
            "pull access denied for nope, repository does not exist or may require"
        ));
        assert!(!is_missing("Error response from daemon: network x not found"));
        assert_eq!(
            wrong_platform("image operating system \"windows\" cannot be used on this platform"),
            Some("windows")
        );
    }
}
