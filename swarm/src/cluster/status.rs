//! The status column of `docker ps`, told by the manager's clock.

use jiff::Timestamp;

use super::{Facts, RunState};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What a container is doing and for how long, such as `Up 3 minutes (healthy)`.
#[must_use]
pub fn status_text(facts: &Facts, now: Timestamp) -> String {
    // Only an engine that lies about its own states leaves the dates out.
    let since = |date: Option<Timestamp>| duration_text(date.unwrap_or(facts.created()), now);
    let up = || format!("Up {}", since(facts.started()));
    match facts.state {
        RunState::Created => "Created".to_owned(),
        RunState::Dead => "Dead".to_owned(),
        RunState::Paused => format!("{} (Paused)", up()),
        RunState::Restarting => {
            format!("Restarting ({}) {} ago", facts.exit_code, since(facts.finished()))
        }
        RunState::Running => match facts.health() {
            "" | "none" => up(),
            "starting" => format!("{} (health: starting)", up()),
            health => format!("{} ({health})", up()),
        },
        RunState::Exited if facts.finished().is_none() => String::new(),
        RunState::Exited => {
            format!("Exited ({}) {} ago", facts.exit_code, since(facts.finished()))
        }
    }
}

/// The time between two moments in about one word. Every unit is rounded down; months have 30
/// days and years 365.
fn duration_text(from: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(from).as_secs();
    let (minutes, hours, days) = (seconds / MINUTE, seconds / HOUR, seconds / DAY);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        _ if minutes < 1 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if hours < 1 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if days < 14 => format!("{days} days"),
        _ if days < 90 => format!("{} weeks", days / 7),
        _ if days < 2 * 365 => format!("{} months", days / 30),
        _ => format!("{} years", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Words;
    use super::super::testing::now;
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn durations_in_words() {
        let cases = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 seconds"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (HOUR - 1, "59 minutes"),
            (HOUR, "About an hour"),
            (2 * HOUR - 1, "About an hour"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (14 * DAY - 1, "13 days"),
            (14 * DAY, "2 weeks"),
            (90 * DAY - 1, "12 weeks"),
            (90 * DAY, "3 months"),
            (2 * 365 * DAY - 1, "24 months"),
            (2 * 365 * DAY, "2 years"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration_text(now() - SignedDuration::from_secs(seconds), now()), text);
        }
    }

    #[test]
    fn a_status_for_every_state() {
        let ago = |seconds| Some(now() - SignedDuration::from_secs(seconds));
        let facts = |state| Facts {
            state,
            started: ago(180).into(),
            finished: ago(10).into(),
            exit_code: 137,
            ..Facts::default()
        };
        let cases = [
            (RunState::Created, "Created"),
            (RunState::Dead, "Dead"),
            (RunState::Running, "Up 3 minutes"),
            (RunState::Paused, "Up 3 minutes (Paused)"),
            (RunState::Restarting, "Restarting (137) 10 seconds ago"),
            (RunState::Exited, "Exited (137) 10 seconds ago"),
        ];
        for (state, text) in cases {
            assert_eq!(status_text(&facts(state), now()), text);
        }
        let unended = Facts { finished: None.into(), ..facts(RunState::Exited) };
        assert_eq!(status_text(&unended, now()), "");
        let healths = [
            ("healthy", "Up 3 minutes (healthy)"),
            ("starting", "Up 3 minutes (health: starting)"),
            ("none", "Up 3 minutes"),
        ];
        for (health, text) in healths {
            let words = Words { health: health.to_owned(), ..Words::default() };
            let facts = facts(RunState::Running).with_words(&words);
            assert_eq!(status_text(&facts, now()), text);
        }
    }
}
