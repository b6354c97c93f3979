//! Which names are free, and which container a text means.

use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{Index, select};

use crate::world::World;
use crate::{config, generate, naive};

/// How a text is made from something that exists.
type Form = fn(&World, Index) -> String;

/// The texts a client may type for a container.
const FORMS: [Form; 6] = [
    |world, which| pick(world, which).0,
    |world, which| pick(world, which).1,
    |world, which| pick(world, which).2,
    |world, which| format!("/{}", pick(world, which).2),
    |world, which| format!("{}/{}", node(world, which).0, pick(world, which).2),
    |world, which| format!("{}/{}", node(world, which).1, pick(world, which).2),
];

/// ID, swarm ID and name of some container.
fn pick(world: &World, which: Index) -> (String, String, String) {
    let all: Vec<_> = world.engines.iter().flat_map(|engine| &engine.containers).collect();
    if all.is_empty() {
        return <_>::default();
    }
    let container = all[which.index(all.len())];
    let labels = &container.inspect["Config"]["Labels"];
    let swarm_id = labels["com.docker.swarm.id"].as_str().unwrap_or_default().to_owned();
    let name = container.row["Names"][0].as_str().unwrap_or_default().trim_start_matches('/');
    (container.id().to_owned(), swarm_id, name.to_owned())
}

/// Name and ID of some engine.
fn node(world: &World, which: Index) -> (String, String) {
    if world.engines.is_empty() {
        return <_>::default();
    }
    let engine = &world.engines[which.index(world.engines.len())];
    let text = |member: &str| engine.info[member].as_str().unwrap_or_default().to_owned();
    (text("Name"), format!("{}|{}", text("ID"), engine.addr))
}

fn text() -> impl Strategy<Value = (Form, Index, usize)> {
    // The short form of an ID, all of it, and beginnings of any length.
    let length = prop_oneof![select(vec![12, 64, 100]), 0..16_usize];
    (select(&FORMS[..]), any::<Index>(), length)
}

proptest! {
    #![proptest_config(config())]

    /// A text finds the same container, or none.
    #[test]
    fn containers_are_found_alike(
        mut world in generate::world(),
        texts in [text(), text(), text()],
    ) {
        let cluster = world.build();
        let nodes = naive::nodes(&world);
        for (form, which, length) in texts {
            let text: String = form(&world, which).chars().take(length).collect();
            let found = cluster.find_container(&text);
            let found = found.map(|(node, found)| (node.addr.clone(), found.id.clone()));
            prop_assert_eq!(found, naive::find_container(&nodes, &text), "{}", text);
        }
    }

    /// A name is free or taken alike, with the whole text; renames claim theirs.
    #[test]
    fn names_are_taken_alike(
        mut world in generate::world(),
        names in proptest::collection::vec(
            prop_oneof![
                3 => select(&generate::NAMES[..]),
                1 => select(vec!["/web", "", "/", "we", "web-12", "node-1/web"]),
            ]
            .prop_map(str::to_owned),
            1..5,
        ),
    ) {
        let mut cluster = world.build();
        let mut renames = Vec::new();
        for name in names {
            let expected = if naive::name_is_free(&world, &renames, &name, None) {
                Ok(())
            } else {
                Err(format!(
                    "Conflict: The name {name} is already assigned. You have to delete (or rename) \
                     that container to be able to assign {name} to a container again."
                ))
            };
            let checked = cluster.check_name(&name).map_err(|taken| taken.to_string());
            prop_assert_eq!(&checked, &expected);
            let claimed = cluster.claim_name(&name, "10.0.0.3:2375");
            prop_assert_eq!(claimed.map_err(|taken| taken.to_string()), expected);
            renames.push(name);
        }
    }
}
