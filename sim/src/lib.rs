//! A deterministic world of fake Docker engines.
