//! What each filter lets through.

use serde_json::{Value, json};

use super::{add_engine, addr, cluster, fitting, put, request, zones};
use crate::cluster::testing::container_id;
use crate::cluster::{Cluster, SWARM_ID_LABEL};
use crate::scheduler::Scheduler;

/// A create body or part of inspect JSON that publishes one port.
fn published(ip: &str, port: &str, protocol: &str) -> Value {
    let bindings = json!({format!("80/{protocol}"): [{"HostIp": ip, "HostPort": port}]});
    json!({"HostConfig": {"PortBindings": bindings}})
}

fn host_mode(port: &str) -> Value {
    json!({"HostConfig": {"NetworkMode": "host"}, "ExposedPorts": {port: {}}})
}

/// Claims a place for a create body.
fn reserve(cluster: &mut Cluster, name: &str, swarm_id: &str, body: Value) -> Option<String> {
    cluster
        .reserve(&request(name, body), swarm_id, &Scheduler::default(), &mut |_| 0)
        .ok()
        .map(|reservation| reservation.node)
}

/// Whether a node where `taken` is published can publish `wanted` too.
fn share(taken: &Value, wanted: Value) -> bool {
    let mut cluster = cluster(&["node-1"]);
    put(&mut cluster, 1, "first", taken);
    !fitting(&cluster, wanted).is_empty()
}

#[test]
fn one_port_of_a_node_goes_to_one_container() {
    assert!(!share(&published("", "80", "tcp"), published("", "80", "tcp")));
    assert!(share(&published("", "80", "tcp"), published("", "81", "tcp")));
    // The protocol is not looked at.
    assert!(!share(&published("", "53", "udp"), published("", "53", "tcp")));
    // A port of the engine's choice never conflicts, unless it is asked for as `0`.
    assert!(share(&published("", "", "tcp"), published("", "", "tcp")));
    assert!(!share(&published("", "0", "tcp"), published("", "0", "tcp")));
    assert!(share(&published("", "8000-8010", "tcp"), published("", "8005", "tcp")));
}

#[test]
fn addresses_of_a_node_have_ports_of_their_own() {
    let on = |ip| published(ip, "80", "tcp");
    assert!(share(&on("10.0.0.1"), on("10.0.0.2")));
    assert!(!share(&on("10.0.0.1"), on("10.0.0.1")));
    for everywhere in ["", "0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"] {
        assert!(!share(&on("10.0.0.1"), on(everywhere)), "{everywhere}");
        assert!(!share(&on(everywhere), on("10.0.0.2")), "{everywhere}");
    }
}

#[test]
fn ports_are_claimed_by_stopped_containers_and_those_the_engine_chose() {
    let mut stopped = published("", "80", "tcp");
    stopped["State"] = json!({"Running": false});
    assert!(!share(&stopped, published("", "80", "tcp")));
    let given = json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]});
    let mut random = published("", "", "tcp");
    random["NetworkSettings"] = json!({"Ports": given});
    assert!(!share(&random, published("", "32768", "tcp")));
}

#[test]
fn creates_under_way_claim_ports_in_both_modes() {
    for body in [published("", "80", "tcp"), host_mode("80/tcp")] {
        let mut cluster = cluster(&["node-1", "node-2"]);
        assert_eq!(reserve(&mut cluster, "", "s1", body.clone()), Some(addr(1)));
        assert_eq!(reserve(&mut cluster, "", "s2", body.clone()), Some(addr(2)));
        assert_eq!(reserve(&mut cluster, "", "s3", body.clone()), None);
        cluster.release("s1");
        assert_eq!(reserve(&mut cluster, "", "s3", body), Some(addr(1)));
    }
}

#[test]
fn in_host_mode_exposed_ports_are_the_nodes_own() {
    let exposed = |port: &str, mode: &str| {
        let config = json!({"ExposedPorts": {port: {}}});
        json!({"Config": config, "HostConfig": {"NetworkMode": mode}})
    };
    assert!(!share(&exposed("80/tcp", "host"), host_mode("80/tcp")));
    assert!(share(&exposed("80/udp", "host"), host_mode("80/tcp")));
    assert!(share(&exposed("80/tcp", "bridge"), host_mode("80/tcp")));
    assert!(share(&exposed("80/tcp", "host"), published("", "80", "tcp")));
    assert!(share(&published("", "80", "tcp"), host_mode("80/tcp")));
    let cluster = {
        let mut cluster = cluster(&["node-1"]);
        put(&mut cluster, 1, "first", &exposed("80/tcp", "host"));
        cluster
    };
    assert_eq!(
        super::message(&cluster, host_mode("80/tcp")),
        "Unable to find a node that satisfies the following conditions \n\
         [port 80/tcp (Host mode)]"
    );
}

#[test]
fn slots_count_everything_and_odd_limits_are_none() {
    let mut cluster = Cluster::default();
    add_engine(&mut cluster, &addr(1), "node-1", &["containerslots=2"]);
    put(&mut cluster, 1, "stopped", &json!({"State": {}}));
    assert_eq!(reserve(&mut cluster, "", "s1", json!({})), Some(addr(1)));
    assert_eq!(reserve(&mut cluster, "", "s2", json!({})), None);
    assert_eq!(
        super::message(&cluster, json!({})),
        "Unable to find a node that satisfies the following conditions \n\
         [available container slots]"
    );
    for odd in ["containerslots=many", "containerslots="] {
        let mut cluster = Cluster::default();
        add_engine(&mut cluster, &addr(1), "node-1", &[odd]);
        put(&mut cluster, 1, "c", &json!({}));
        assert_eq!(reserve(&mut cluster, "", "s1", json!({})), Some(addr(1)), "{odd}");
    }
}

#[test]
fn all_dependencies_must_be_on_one_node() {
    let mut cluster = zones();
    put(&mut cluster, 2, "data", &json!({}));
    put(&mut cluster, 2, "db", &json!({}));
    put(&mut cluster, 3, "other", &json!({}));
    let fits = |host: Value| fitting(&cluster, json!({"HostConfig": host}));
    for text in ["data", "node-2/data", &container_id("data"), &container_id("data")[..12]] {
        let volumes = json!({"VolumesFrom": [format!("{text}:ro")], "Links": ["db:database"]});
        assert_eq!(fits(volumes), ["node-2"], "{text}");
    }
    assert_eq!(fits(json!({"NetworkMode": "container:other"})), ["node-3"]);
    assert_eq!(fits(json!({"NetworkMode": "container:node-1/other"})), [""; 0]);
    let apart = json!({"HostConfig": {
        "VolumesFrom": ["data"], "Links": ["other:o"], "NetworkMode": "container:db",
    }});
    assert_eq!(
        super::message(&cluster, apart),
        "Unable to find a node that satisfies the following conditions \n\
         [available container slots]\n\
         [--volumes-from=data --link=other:o --net=container:db]"
    );
}

#[test]
fn a_dependency_may_still_be_under_way() {
    let mut cluster = zones();
    let db = json!({"Env": ["constraint:node==node-3"]});
    assert_eq!(reserve(&mut cluster, "db", "5a5a", db), Some(addr(3)));
    for text in ["db", "node-3/db", "5a5a"] {
        let body = json!({"HostConfig": {"Links": [format!("{text}:alias")]}});
        assert_eq!(fitting(&cluster, body), ["node-3"], "{text}");
    }
}

#[test]
fn affinity_to_containers_by_full_id_and_first_name() {
    let mut cluster = zones();
    put(&mut cluster, 2, "web", &json!({"Config": {"Labels": {"tier": "front"}}}));
    let id = container_id("web");
    let fits = |expr: &str| fitting(&cluster, json!({"Env": [format!("affinity:{expr}")]}));
    for expr in ["container==web", "container==w*", "container==/e/", &format!("container=={id}")] {
        assert_eq!(fits(expr), ["node-2"], "{expr}");
    }
    assert_eq!(fits(&format!("container=={}*", &id[..12])), ["node-2"]);
    assert_eq!(fits(&format!("container=={}", &id[..12])), [""; 0]);
    assert_eq!(fits("container!=web"), ["node-1", "node-3"]);
    assert_eq!(fits("tier==front"), ["node-2"]);
    assert_eq!(fits("tier!=front"), ["node-1", "node-3"]);
    // Without the label a container has an empty one; a node without containers has nothing.
    assert_eq!(fits("color==/^$/"), ["node-2"]);
}

#[test]
fn affinity_sees_creates_under_way() {
    let mut cluster = zones();
    let body = json!({"Labels": {"tier": "db"}, "Env": ["affinity:tier!=db"]});
    let mut place = |id: &str| reserve(&mut cluster, &format!("n{id}"), id, body.clone());
    assert_eq!([place("s1"), place("s2"), place("s3")], [1, 2, 3].map(|n| Some(addr(n))));
    assert_eq!(place("s4"), None);
    let near = json!({"Env": ["affinity:container==ns2"]});
    assert_eq!(fitting(&cluster, near), ["node-2"]);
}

#[test]
fn affinity_skips_nameless_containers() {
    let mut cluster = zones();
    let nameless = json!({"Id": container_id("x"), "Names": null});
    cluster.update_container(&addr(1), nameless, Some(json!({"State": {"Dead": true}})));
    let id = container_id("x");
    assert_eq!(fitting(&cluster, json!({"Env": [format!("affinity:container=={id}")]})), [""; 0]);
}

#[test]
fn affinity_to_images_by_id_tag_and_repository() {
    let mut cluster = zones();
    let row = json!({"Id": "sha256:abc", "RepoTags": ["reg:5000/app:v1"], "RepoDigests": ["d@e"]});
    cluster.set_images(&addr(3), vec![json!({"Id": "sha256:def", "RepoTags": null}), row]);
    let fits =
        |image: &str| fitting(&cluster, json!({"Env": [format!("affinity:image=={image}")]}));
    for image in ["sha256:abc", "sha256:def", "reg:5000/app:v1", "reg:5000/app", "*app"] {
        assert_eq!(fits(image), ["node-3"], "{image}");
    }
    for image in ["abc", "reg", "app", "d", "reg:5000/app:v2"] {
        assert_eq!(fits(image), [""; 0], "{image}");
    }
}

#[test]
fn constraints_on_labels_names_and_ids() {
    let cluster = zones();
    let fits = |expr: &str| fitting(&cluster, json!({"Env": [format!("constraint:{expr}")]}));
    assert_eq!(fits("zone==z2"), ["node-2", "node-3"]);
    assert_eq!(fits("Zone==z2"), [""; 0]);
    assert_eq!(fits("zone!=z2"), ["node-1"]);
    assert_eq!(fits("rack!=r1").len(), 3);
    assert_eq!(fits("node==node-1"), ["node-1"]);
    assert_eq!(fits("node==/node-[12]/"), ["node-1", "node-2"]);
    // The address is part of the ID.
    assert_eq!(fits("node==ID-node-2"), [""; 0]);
    assert_eq!(fits("node==ID-node-2*"), ["node-2"]);
    assert_eq!(fits("operatingsystem==Debian*").len(), 3);
    assert_eq!(fits("ostype==/(linux)|(windows)/").len(), 3);
    assert_eq!(fits("storagedriver!=overlay2"), [""; 0]);
}

#[test]
fn whitelists_name_nodes_exactly_whatever_the_operator() {
    let cluster = zones();
    let fits = |expr: &str| fitting(&cluster, json!({"Env": [format!("whitelist:{expr}")]}));
    assert_eq!(fits("node==node-1|node-3"), ["node-1", "node-3"]);
    assert_eq!(fits("zone!=node-2"), ["node-2"]);
    assert_eq!(fits("node==node-*"), [""; 0]);
    assert_eq!(fits("node==~nobody").len(), 3);
}

#[test]
fn what_is_kept_in_labels_is_asked_for_again() {
    let label = "[\"zone==z1\"]";
    let labels = json!({"com.docker.swarm.constraints": label, SWARM_ID_LABEL: "s"});
    assert_eq!(fitting(&zones(), json!({"Labels": labels})), ["node-1"]);
}
