//! The arrows between the crates: who may use whom. A crate boundary stands where a property that can be proved changes
//! (generated code, unsafe, determinism, process), so an arrow too many is a property lost.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, MetadataCommand};

/// Crate, and the crates of this workspace it may use, for any purpose: build, run or test. `benches` and `tests` may use all.
const ARROWS: &[(&str, &[&str])] = &[
    ("weir-dpdk-sys", &[]),
    ("weir-dpdk", &["weir-dpdk-sys"]),
    ("weir-wire", &[]),
    ("weir-proto", &["weir-wire"]),
    ("weir-rings", &[]),
    ("weir-configs", &[]),
    (
        "weir-dataplane",
        &[
            "weir-wire",
            "weir-proto",
            "weir-rings",
            "weir-configs",
            "weir-dpdk",
        ],
    ),
    (
        "weir-control",
        &["weir-wire", "weir-proto", "weir-rings", "weir-configs"],
    ),
];
/// Crates that may use every other.
const FREE: &[&str] = &["weir-benches", "weir-tests"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path("../Cargo.toml")
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

/// For each crate of the workspace, the crates of the workspace it names in its manifest.
fn uses(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let named = |package: &&cargo_metadata::Package| {
        let dependencies = package
            .dependencies
            .iter()
            .map(|dependency| dependency.name.clone());
        (
            package.name.to_string(),
            dependencies.filter(|name| ours.contains(name)).collect(),
        )
    };
    packages.iter().map(named).collect()
}

#[test]
fn crates_use_only_what_their_arrows_allow() {
    let uses = uses(&metadata());
    for (name, used) in &uses {
        if FREE.contains(&name.as_str()) {
            continue;
        }
        let (_, allowed) = ARROWS.iter().find(|(known, _)| known == name).unwrap_or_else(|| {
            panic!("{name} is a new crate: decide what it may use and add it to ARROWS here and to ARCHITECTURE.md")
        });
        for other in used {
            assert!(
                allowed.contains(&other.as_str()),
                "{name} uses {other}; it may use only {allowed:?}"
            );
        }
    }
    for (name, _) in ARROWS {
        assert!(
            uses.contains_key(*name),
            "{name} is in ARROWS and not in the workspace"
        );
    }
}

#[test]
fn control_cannot_reach_dpdk_or_the_dataplane_by_any_way() {
    let uses = uses(&metadata());
    let mut reached = BTreeSet::new();
    let mut ahead = vec!["weir-control".to_owned()];
    while let Some(name) = ahead.pop() {
        if reached.insert(name.clone()) {
            ahead.extend(uses.get(&name).into_iter().flatten().cloned());
        }
    }
    for forbidden in ["weir-dpdk", "weir-dpdk-sys", "weir-dataplane"] {
        assert!(
            !reached.contains(forbidden),
            "weir-control reaches {forbidden} through {reached:?}"
        );
    }
}

#[test]
fn the_packet_path_builds_without_dpdk() {
    let metadata = metadata();
    let dataplane = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "weir-dataplane")
        .expect("weir-dataplane");
    let dpdk = dataplane
        .dependencies
        .iter()
        .find(|dependency| dependency.name == "weir-dpdk")
        .expect("weir-dpdk");
    assert!(
        dpdk.optional,
        "weir-dataplane must need weir-dpdk only by its feature"
    );
    assert!(
        !dataplane
            .dependencies
            .iter()
            .any(|dependency| dependency.name == "tokio"),
        "no tokio in the dataplane"
    );
}

#[test]
fn protocols_and_formats_do_no_input_or_output() {
    let metadata = metadata();
    for package in metadata
        .packages
        .iter()
        .filter(|p| ["weir-wire", "weir-proto"].contains(&p.name.as_str()))
    {
        for dependency in &package.dependencies {
            let io = [
                "tokio", "socket2", "rustix", "mio", "hyper", "axum", "nix", "libc",
            ];
            assert!(
                !io.contains(&dependency.name.as_str()),
                "{} must do no I/O, and uses {}",
                package.name,
                dependency.name
            );
        }
    }
}
