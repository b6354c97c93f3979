//! Finding volumes by what a client types.

use serde_json::Value;

use super::lookup::is_on_node;
use super::{Cluster, Node, json};

/// A row of a node's volume list.
type Row<'a> = (&'a Node, &'a Value);

impl Cluster {
    /// The volume a client means by `text`: by name, bare or after its node's name or ID. A name
    /// that several nodes know means the volume of a driver other than `local`, which is the same
    /// wherever it is seen; local volumes of one name are different ones, so it finds none.
    #[must_use]
    pub fn find_volume(&self, text: &str) -> Option<(&Node, &Value)> {
        // Where any hit will do, a live one is best.
        let mut nodes = self.in_natural_order();
        nodes.sort_by_key(|node| !node.is_healthy());
        meant(text, nodes.iter().flat_map(|node| rows(node)))
    }

    /// What `text` means on each of the registered nodes where it means something, in the natural
    /// order of their names.
    #[must_use]
    pub fn find_volumes(&self, text: &str) -> Vec<(&Node, &Value)> {
        self.in_natural_order().into_iter().filter_map(|node| meant(text, rows(node))).collect()
    }
}

fn rows(node: &Node) -> impl Iterator<Item = Row<'_>> + Clone {
    node.volumes.iter().map(move |row| (node, row))
}

/// The volume that `text` means among these.
fn meant<'a>(text: &str, rows: impl Iterator<Item = Row<'a>> + Clone) -> Option<Row<'a>> {
    if text.is_empty() {
        return None;
    }
    let name = |row: &Row<'a>| json::text(row.1, "/Name");
    let mut named = rows.clone().filter(|row| is_on_node(text, row.0, name(row)));
    let mut rows = rows;
    let Some(found) = named.next() else {
        return rows.find(|row| name(row).strip_prefix('/') == Some(text));
    };
    match named.next() {
        None => Some(found),
        Some(_) => rows.find(|row| name(row) == text && json::text(row.1, "/Driver") != "local"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addr, cluster, now};
    use super::*;
    use serde_json::json;

    fn volume(name: &str, driver: &str) -> Value {
        json!({ "Name": name, "Driver": driver })
    }

    fn world() -> Cluster {
        let mut cluster = cluster(&["node-10", "node-2"]);
        let shared = volume("shared", "nfs");
        let rows = vec![volume("data", "local"), shared.clone(), volume("/old", "local")];
        cluster.set_volumes(&addr(1), rows);
        let rows = vec![volume("data", "local"), volume("logs", "local"), shared];
        cluster.set_volumes(&addr(2), rows);
        cluster
    }

    #[test]
    fn a_volume_by_name_bare_or_after_its_node() {
        let mut cluster = world();
        let found = |cluster: &Cluster, text: &str| {
            let (node, row) = cluster.find_volume(text)?;
            Some(format!("{} {}", node.name, json::text(row, "/Name")))
        };
        for (text, expected) in [
            ("logs", "node-2 logs"),
            ("node-2/logs", "node-2 logs"),
            ("ID-node-2|10.0.0.2:2375/logs", "node-2 logs"),
            ("node-10/data", "node-10 data"),
            ("shared", "node-2 shared"),
            ("node-10/shared", "node-10 shared"),
            ("old", "node-10 /old"),
            ("/old", "node-10 /old"),
        ] {
            assert_eq!(found(&cluster, text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "data", "node-10/logs", "log", "ID-node-2/logs"] {
            assert_eq!(found(&cluster, text), None, "{text}");
        }
        // A live node answers for a volume that is everywhere.
        for _ in 0..3 {
            cluster.failed(&addr(2), "refused", now());
        }
        assert_eq!(found(&cluster, "shared").as_deref(), Some("node-10 shared"));
        assert_eq!(found(&cluster, "logs").as_deref(), Some("node-2 logs"));
    }

    #[test]
    fn each_node_has_a_volume_of_its_own() {
        let cluster = world();
        let holders = |text: &str| -> Vec<String> {
            let found = cluster.find_volumes(text).into_iter();
            found.map(|(node, row)| format!("{} {}", node.name, json::text(row, "/Name"))).collect()
        };
        assert_eq!(holders("data"), ["node-2 data", "node-10 data"]);
        assert_eq!(holders("shared"), ["node-2 shared", "node-10 shared"]);
        assert_eq!(holders("node-10/data"), ["node-10 data"]);
        assert_eq!(holders("old"), ["node-10 /old"]);
        for text in ["", "dat", "node-10/logs"] {
            assert_eq!(holders(text), [""; 0], "{text}");
        }
    }
}
