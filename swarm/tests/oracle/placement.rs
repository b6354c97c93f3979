//! Whole placements: every filter alone, all in any combination, every strategy.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use swarm::scheduler::{
    Explained, Explanation, Filter, Request, Scheduler, Strategy as Ranking, Verdict as Fate,
};

use crate::naive::{self, Verdict};
use crate::planted::Fault;
use crate::world::World;
use crate::{config, generate};

type TestResult = Result<(), TestCaseError>;

/// A question to the scheduler.
#[derive(Clone, Debug)]
pub struct Trial {
    pub world: World,
    /// In the order they run.
    pub filters: Vec<String>,
    pub strategy: &'static str,
    /// The create request.
    pub body: Value,
}

/// Trials of these filters and strategies with these requests.
pub fn trials(
    filters: impl Strategy<Value = Vec<String>>,
    strategy: impl Strategy<Value = &'static str>,
    body: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Trial> {
    let parts = (generate::world(), filters, strategy, body);
    parts.prop_map(|(world, filters, strategy, body)| Trial { world, filters, strategy, body })
}

/// Trials that look at one filter and nothing else.
pub fn trials_of(filter: &'static str) -> impl Strategy<Value = Trial> {
    trials(Just(vec![filter.to_owned()]), Just("random"), generate::body_for(filter))
}

/// Trials that look at resources, counts and health.
pub fn trials_of_ranking(strategy: &'static str) -> impl Strategy<Value = Trial> {
    let filters = prop_oneof![Just(Vec::new()), Just(vec!["health".to_owned()])];
    trials(filters, Just(strategy), generate::body_for("none"))
}

/// The scheduler of a trial.
pub fn scheduler(filters: &[String], strategy: &str) -> Scheduler {
    let filters = filters.iter().map(|name| Filter::parse(name).expect("one of ours")).collect();
    Scheduler::new(filters, Ranking::parse(strategy).expect("one of ours"))
}

/// Whether scheduler and oracle agree. A `fault` is planted in what the scheduler sees or says.
pub fn agree(trial: &Trial, fault: Option<&Fault>) -> TestResult {
    let mut truth = trial.clone();
    let mut cluster = truth.world.build();
    let mut seen = truth.clone();
    if let Some(fault) = fault {
        (fault.plant)(&mut seen);
        cluster = seen.world.build();
    }
    let asked = naive::read_request(&truth.body);
    let expected = naive::place(&truth.world, &truth.filters, truth.strategy, &asked);
    let request = Request::from_create("", &mut seen.body).expect("no reschedule policies");
    let real = scheduler(&seen.filters, seen.strategy);
    let placed = real.place(&cluster, &request, &mut |bound| bound / 2);
    let placed = placed.map(|placement| placement.ranked).map_err(|refused| refused.message);
    let chosen = real.choose(&cluster, &request, &mut |bound| bound / 2);
    is_best(chosen.map(|choice| choice.node).map_err(|refused| refused.message), &placed, &real)?;
    let explanation = real.explain(&cluster, &request);
    is_of(&placed, &explanation)?;
    compare(placed, expected, truth.strategy)?;
    if fault.is_none() {
        is_true(explanation, &truth, &asked)?;
    }
    Ok(())
}

/// Whether the one node that is chosen is the best of all that could be, or any of them for
/// `random`.
fn is_best(
    chosen: Result<String, String>,
    placed: &Result<Vec<String>, String>,
    real: &Scheduler,
) -> TestResult {
    match (&chosen, placed) {
        (Ok(chosen), Ok(ranked)) if real.strategy() == Ranking::Random => {
            prop_assert!(ranked.contains(chosen));
        }
        (Ok(chosen), Ok(ranked)) => prop_assert_eq!(Some(chosen), ranked.first()),
        (Err(chosen), Err(placed)) => prop_assert_eq!(chosen, placed),
        _ => prop_assert!(false, "{chosen:?} of {placed:?}"),
    }
    Ok(())
}

/// Whether the answer is the expected one.
pub fn compare(
    placed: Result<Vec<String>, String>,
    expected: Verdict,
    strategy: &str,
) -> TestResult {
    let mut verdict = match placed {
        _ if expected == Verdict::Open => return Ok(()),
        Ok(ranked) => Verdict::Ranked(ranked),
        Err(message) => Verdict::Refused(message),
    };
    let mut expected = expected;
    if strategy == "random" {
        // Every order is right.
        for verdict in [&mut verdict, &mut expected] {
            if let Verdict::Ranked(ranked) = verdict {
                ranked.sort();
            }
        }
    }
    prop_assert_eq!(verdict, expected);
    Ok(())
}

/// Whether the explanation is of this placement: the nodes that fit, in the order of their ranks.
fn is_of(placed: &Result<Vec<String>, String>, explanation: &Explanation) -> TestResult {
    let fits = |node: &Explained| match node.verdict {
        Fate::Fits { rank, .. } => Some((rank, node.addr.clone())),
        Fate::Refused { .. } => None,
    };
    let mut fitting: Vec<_> = explanation.nodes.iter().filter_map(fits).collect();
    fitting.sort();
    let mut ranked = placed.clone().unwrap_or_default();
    if fitting.iter().any(|(rank, _)| rank.is_none()) {
        // Dice that are not thrown rank nobody.
        ranked.sort();
    } else {
        let ranks: Vec<_> = fitting.iter().map(|(rank, _)| *rank).collect();
        prop_assert_eq!(ranks, (1..=fitting.len()).map(Some).collect::<Vec<_>>());
    }
    prop_assert_eq!(fitting.into_iter().map(|(_, addr)| addr).collect::<Vec<_>>(), ranked);
    Ok(())
}

/// Whether the explanation tells of each node what the oracle does.
fn is_true(explanation: Explanation, truth: &Trial, asked: &naive::Asked) -> TestResult {
    let expected = naive::explain(&truth.world, &truth.filters, truth.strategy, asked);
    let Some(expected) = expected else { return Ok(()) };
    let told = |node: Explained| {
        let fate = match node.verdict {
            Fate::Fits { score, rank } => naive::Fate::Fits(score.zip(rank)),
            Fate::Refused { by, .. } => naive::Fate::Refused(by.to_owned()),
        };
        (node.addr, fate)
    };
    let nodes: Vec<_> = explanation.nodes.into_iter().map(told).collect();
    prop_assert_eq!((explanation.pass.as_str(), nodes), expected);
    Ok(())
}

/// Compares trials of one filter.
fn check_filter(filter: &'static str) {
    // So that failures are kept beside this file.
    let config = Config { source_file: Some(file!()), ..config() };
    let mut runner = TestRunner::new(config);
    runner.run(&trials_of(filter), |trial| agree(&trial, None)).expect("they agree");
}

#[test]
fn health() {
    check_filter("health");
}

#[test]
fn port() {
    check_filter("port");
}

#[test]
fn containerslots() {
    check_filter("containerslots");
}

#[test]
fn dependency() {
    check_filter("dependency");
}

#[test]
fn affinity() {
    check_filter("affinity");
}

#[test]
fn constraint() {
    check_filter("constraint");
}

#[test]
fn whitelist() {
    check_filter("whitelist");
}

/// All orders of `items`.
fn orders(items: &[String]) -> BTreeSet<Vec<String>> {
    let Some((first, rest)) = items.split_first() else { return BTreeSet::from([Vec::new()]) };
    let with_first = |order: Vec<String>| {
        (0..items.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, first.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(with_first).collect()
}

/// Throws the dice of `random` in every possible way, and returns what comes out each time.
pub fn all_throws(trial: &Trial) -> Vec<Vec<String>> {
    let cluster = trial.world.clone().build();
    let request = Request::from_create("", &mut trial.body.clone()).expect("no policies");
    let scheduler = scheduler(&trial.filters, trial.strategy);
    let mut results = Vec::new();
    // The throws of a round with their bounds; the next round is the next number in that base.
    let mut throws: Vec<(u64, u64)> = Vec::new();
    loop {
        let mut count = 0;
        let placed = scheduler.place(&cluster, &request, &mut |bound| {
            if count == throws.len() {
                throws.push((0, bound));
            }
            count += 1;
            throws[count - 1].0
        });
        results.extend(placed.map(|placement| placement.ranked));
        throws.truncate(count);
        while throws.last().is_some_and(|(throw, bound)| throw + 1 == *bound) {
            throws.pop();
        }
        let Some(last) = throws.last_mut() else { return results };
        last.0 += 1;
    }
}

/// Whether `random` gives every order of the nodes that fit, and each with equal chance.
pub fn is_fair(trial: &Trial, fault: Option<&Fault>) -> TestResult {
    let mut trial = trial.clone();
    trial.world.build();
    let asked = naive::read_request(&trial.body);
    let expected = match naive::place(&trial.world, &trial.filters, "random", &asked) {
        Verdict::Ranked(nodes) => orders(&nodes),
        Verdict::Refused(_) | Verdict::Open => return Ok(()),
    };
    if let Some(fault) = fault {
        (fault.plant)(&mut trial);
    }
    let results = all_throws(&trial);
    prop_assert_eq!(results.len(), expected.len());
    prop_assert_eq!(results.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// All filters, and some in any order, with every strategy.
    #[test]
    fn any_combination(
        trial in trials(generate::filters(), generate::strategy(), generate::create_body()),
    ) {
        agree(&trial, None)?;
    }

    #[test]
    fn spread(trial in trials_of_ranking("spread")) {
        agree(&trial, None)?;
    }

    #[test]
    fn binpack(trial in trials_of_ranking("binpack")) {
        agree(&trial, None)?;
    }

    #[test]
    fn random(trial in trials_of_ranking("random")) {
        agree(&trial, None)?;
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_is_fair(trial in trials_of_ranking("random")) {
        is_fair(&trial, None)?;
    }
}
