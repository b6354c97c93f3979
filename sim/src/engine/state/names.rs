//! Names for containers that were given none: an adjective and a surname.

use super::{Moment, State};

const ADJECTIVES: [&str; 36] = [
    "admiring",
    "agitated",
    "amazing",
    "awesome",
    "blissful",
    "bold",
    "brave",
    "busy",
    "charming",
    "clever",
    "cool",
    "dazzling",
    "eager",
    "ecstatic",
    "elegant",
    "epic",
    "fervent",
    "focused",
    "friendly",
    "gallant",
    "gifted",
    "happy",
    "hopeful",
    "jolly",
    "keen",
    "loving",
    "mystifying",
    "nifty",
    "peaceful",
    "quirky",
    "relaxed",
    "serene",
    "sharp",
    "stoic",
    "vibrant",
    "zen",
];

const SURNAMES: [&str; 36] = [
    "agnesi",
    "archimedes",
    "banach",
    "bohr",
    "cerf",
    "curie",
    "darwin",
    "dijkstra",
    "einstein",
    "euler",
    "fermat",
    "feynman",
    "gauss",
    "germain",
    "goldberg",
    "hamilton",
    "hopper",
    "hypatia",
    "johnson",
    "kepler",
    "knuth",
    "lamport",
    "leavitt",
    "lovelace",
    "meitner",
    "mirzakhani",
    "newton",
    "noether",
    "pascal",
    "perlman",
    "ritchie",
    "shannon",
    "thompson",
    "turing",
    "wiles",
    "yonath",
];

/// A free name. After six collisions a digit is added, as an engine does.
pub(in crate::engine) fn generate(state: &State, moment: &Moment<'_>) -> String {
    let mut attempt = 0;
    loop {
        let mut drawn = [0; 3];
        moment.rng.fill("engine-container-name", &mut drawn);
        let [adjective, surname, digit] = drawn.map(usize::from);
        let (adjective, surname) =
            (ADJECTIVES[adjective % ADJECTIVES.len()], SURNAMES[surname % SURNAMES.len()]);
        let name = match attempt {
            0..6 => format!("{adjective}_{surname}"),
            // Beyond a digit's worth of collisions only a number of its own is sure to be free.
            6..64 => format!("{adjective}_{surname}{}", digit % 10),
            n => format!("{adjective}_{surname}{n}"),
        };
        if !state.names.contains_key(&name) {
            return name;
        }
        attempt += 1;
    }
}
