use super::*;

const NOW: Duration = Duration::from_secs(100);

fn put(state: &mut State, key: &str, value: &str, condition: Condition) -> Result<bool, String> {
    state.put(NOW, key, value.into(), 0, &condition)
}

fn set(state: &mut State, key: &str, value: &str) {
    assert_eq!(put(state, key, value, Condition::Always), Ok(true));
}

fn session(state: &mut State, id: &str, behavior: Behavior, ttl: &str) {
    let request = SessionRequest { behavior, ttl: ttl.into(), ..SessionRequest::default() };
    state.create_session(NOW, id, request);
}

fn acquire(id: &str) -> Condition {
    Condition::Acquire(id.into())
}

#[test]
fn writing_the_same_again_moves_no_index_of_the_key() {
    let mut state = State::new("s");
    set(&mut state, "a", "1");
    let before = state.get("a").1.unwrap().clone();
    set(&mut state, "a", "1");
    assert_eq!(state.get("a"), (before.modify_index, Some(&before)));
    assert_eq!(state.index(), before.modify_index + 1);
    set(&mut state, "a", "2");
    let after = state.get("a").1.unwrap();
    assert_eq!(after.create_index, before.create_index);
    assert!(after.modify_index > before.modify_index);
}

#[test]
fn the_index_of_a_prefix_follows_its_keys_and_their_graves_only() {
    let mut state = State::new("s");
    assert_eq!(state.list("p/").0, 0);
    set(&mut state, "p/a", "1");
    set(&mut state, "p/b", "1");
    let index = state.list("p/").0;
    set(&mut state, "q", "1");
    assert_eq!(state.list("p/").0, index);
    assert_eq!(state.list("").0, state.index());
    state.delete("p/a", None);
    assert_eq!(state.list("p/").0, state.index());
    assert_eq!(state.list("p/").1.len(), 1);
    set(&mut state, "q", "2");
    state.delete_tree("p");
    assert_eq!(state.list("p").0, state.index());
    // The grave is the prefix that was named: a longer one falls back to the whole store.
    assert_eq!(state.list("p/zzz").0, state.index());
    assert_eq!(state.get("p/b"), (state.index(), None));
    let before = state.list("p").0;
    state.delete_tree("p");
    assert_eq!(state.list("p").0, before);
}

#[test]
fn names_are_cut_at_the_separator() {
    let mut state = State::new("s");
    for key in ["a", "p/", "p/x", "p/y/1", "p/y/2", "p/z"] {
        set(&mut state, key, "");
    }
    assert_eq!(state.names("p/", "/").1, ["p/", "p/x", "p/y/", "p/z"]);
    assert_eq!(state.names("p/y", "").1, ["p/y/1", "p/y/2"]);
    assert_eq!(state.names("none", "").1, Vec::<String>::new());
}

#[test]
fn check_and_set_compares_the_index() {
    let mut state = State::new("s");
    assert_eq!(put(&mut state, "a", "1", Condition::Index(5)), Ok(false));
    assert_eq!(put(&mut state, "a", "1", Condition::Index(0)), Ok(true));
    assert_eq!(put(&mut state, "a", "2", Condition::Index(0)), Ok(false));
    let index = state.get("a").0;
    assert_eq!(put(&mut state, "a", "2", Condition::Index(index)), Ok(true));
    assert!(!state.delete("a", Some(index)));
    assert!(state.delete("a", Some(state.get("a").0)));
    assert!(state.delete("a", Some(1)), "a key that is not there is gone");
}

#[test]
fn a_lock_has_one_holder() {
    let mut state = State::new("s");
    session(&mut state, "one", Behavior::Release, "");
    session(&mut state, "two", Behavior::Release, "");
    assert_eq!(put(&mut state, "k", "1", acquire("none")), Err("invalid session \"none\"".into()));
    assert_eq!(put(&mut state, "k", "1", acquire("")), Err("missing session".into()));
    assert_eq!(put(&mut state, "k", "1", acquire("one")), Ok(true));
    assert_eq!(put(&mut state, "k", "2", acquire("two")), Ok(false));
    assert_eq!(put(&mut state, "k", "2", acquire("one")), Ok(true));
    assert_eq!(state.get("k").1.unwrap().lock_index, 1);
    set(&mut state, "k", "3");
    assert_eq!(state.get("k").1.unwrap().session, "one", "a plain write keeps the lock");
    assert_eq!(put(&mut state, "k", "4", Condition::Release("two".into())), Ok(false));
    assert_eq!(put(&mut state, "k", "4", Condition::Release("one".into())), Ok(true));
    assert_eq!(put(&mut state, "k", "5", acquire("two")), Ok(true));
    assert_eq!(state.get("k").1.unwrap().session, "two");
}

#[test]
fn a_session_that_is_not_renewed_takes_its_keys_with_it() {
    let mut state = State::new("s");
    session(&mut state, "del", Behavior::Delete, "10s");
    session(&mut state, "rel", Behavior::Release, "15s");
    assert_eq!(put(&mut state, "d", "1", acquire("del")), Ok(true));
    assert_eq!(put(&mut state, "r", "1", acquire("rel")), Ok(true));
    // Twice the time to live, after the last renewal.
    let renewed = NOW + Duration::from_secs(19);
    assert!(state.renew_session(renewed, "del").is_some());
    assert_eq!(state.next_expiry(), Some(NOW + Duration::from_secs(30)));
    assert_eq!(state.expire(NOW + Duration::from_secs(29)), 0);
    let end = NOW + Duration::from_secs(30);
    assert_eq!(state.expire(end), 1);
    assert_eq!(state.get("r").1.unwrap().session, "");
    assert_eq!(state.get("d").1.unwrap().session, "del");
    assert_eq!(state.expire(renewed + Duration::from_secs(20)), 1);
    assert_eq!(state.get("d").1, None);
    assert_eq!(state.next_expiry(), None);
    assert_eq!(state.renew_session(end, "del"), None);
}

#[test]
fn a_lost_lock_stays_free_for_its_delay() {
    let mut state = State::new("s");
    session(&mut state, "one", Behavior::Release, "");
    session(&mut state, "two", Behavior::Release, "");
    assert_eq!(put(&mut state, "k", "1", acquire("one")), Ok(true));
    state.destroy_session(NOW, "one");
    assert_eq!(state.session("one").1, None);
    let mut at =
        |seconds| state.put(NOW + Duration::from_secs(seconds), "k", vec![], 0, &acquire("two"));
    assert_eq!(at(14), Ok(false));
    assert_eq!(at(15), Ok(true));
}

#[test]
fn a_restart_keeps_keys_and_gives_sessions_their_full_time() {
    let mut state = State::new("s");
    session(&mut state, "one", Behavior::Delete, "10s");
    assert_eq!(put(&mut state, "k", "1", acquire("one")), Ok(true));
    let later = NOW + Duration::from_secs(500);
    state.restart(later);
    assert_eq!(state.expire(later + Duration::from_secs(19)), 0);
    assert_eq!(state.expire(later + Duration::from_secs(20)), 1);
    assert_eq!(state.get("k").1, None);
}
