//! What only the whole file can tell: steps that cannot be done and expectations that cannot hold.
//!
//! The steps are walked in order with a list of the containers that exist for certain. Only
//! certainties are mistakes: what depends on the strategy, on time or on the engines is left to
//! the run. A step that expects to be refused may ask for anything.

mod expect;
mod place;
mod story;

pub use story::check;
