//! What differs between two configurations, in words an operator reads before saying yes.
//!
//! Services are told apart by name, backends by address, ports by name, routes by destination, neighbours by address. A renamed service
//! is therefore one removed and one added.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::backend::Backend;
use crate::load::Config;
use crate::service::Service;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Added, removed or changed.
    pub kind: ChangeKind,
    /// What: `service web`, `service web backend 192.0.2.11:80`, `port lan`, `dataplane`.
    pub object: String,
    /// The key, when it is a key that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The old value as the file would have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The new value as the file would have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Whether it takes effect only when a process is started anew.
    pub needs_restart: bool,
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Only the new configuration has it.
    Added,
    /// Only the old configuration has it.
    Removed,
    /// Both have it, with another value.
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.key) {
            (ChangeKind::Added, _) => write!(f, "+ {}", self.object)?,
            (ChangeKind::Removed, _) => write!(f, "- {}", self.object)?,
            (ChangeKind::Changed, None) => write!(f, "~ {}", self.object)?,
            (ChangeKind::Changed, Some(key)) => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
                write!(
                    f,
                    "~ {}: {key} {} -> {}",
                    self.object,
                    shown(&self.old),
                    shown(&self.new)
                )?;
            }
        }
        if self.needs_restart {
            f.write_str("  (needs a restart)")
        } else {
            Ok(())
        }
    }
}

/// All differences from `old` to `new`, section by section; empty when nothing differs.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Changes {
        list: Vec::new(),
        needs_restart: true,
    };
    changes.fields("dataplane", &table(&old.dataplane), &table(&new.dataplane));
    changes.fields("control", &table(&old.control), &table(&new.control));
    changes.entries(
        &old.ports,
        &new.ports,
        |port| port.name.clone(),
        |port| format!("port {}", port.name),
    );
    changes.needs_restart = false;
    changes.fields("health", &table(&old.health), &table(&new.health));
    changes.fields("timeouts", &table(&old.timeouts), &table(&new.timeouts));
    changes.fields("ipvs", &table(&old.ipvs), &table(&new.ipvs));
    changes.entries(
        &old.routes,
        &new.routes,
        |route| route.to,
        |route| format!("route {}", route.to),
    );
    changes.entries(
        &old.neighbors,
        &new.neighbors,
        |neighbor| neighbor.address,
        |neighbor| format!("neighbor {}", neighbor.address),
    );
    changes.entries(
        &old.sriov,
        &new.sriov,
        |sriov| sriov.pf.clone(),
        |sriov| format!("sriov {}", sriov.pf),
    );
    changes.entries(
        &old.vrrps,
        &new.vrrps,
        |vrrp| vrrp.name.clone(),
        |vrrp| format!("vrrp {}", vrrp.name),
    );
    changes.entries(
        &old.bfds,
        &new.bfds,
        |bfd| bfd.name.clone(),
        |bfd| format!("bfd {}", bfd.name),
    );
    changes.services(old, new);
    changes.list
}

struct Changes {
    list: Vec<Change>,
    /// Of the section that is being compared.
    needs_restart: bool,
}

impl Changes {
    fn push(&mut self, kind: ChangeKind, object: String) {
        self.list.push(Change {
            kind,
            object,
            key: None,
            old: None,
            new: None,
            needs_restart: self.needs_restart,
        });
    }

    /// Key by key; keys of tables inside are named with dots.
    fn fields(&mut self, object: &str, old: &Table, new: &Table) {
        self.fields_below("", object, old, new);
    }

    fn fields_below(&mut self, path: &str, object: &str, old: &Table, new: &Table) {
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let path = format!("{path}{key}");
            match (old.get(key), new.get(key)) {
                (before, after) if before == after => {}
                (Some(Value::Table(before)), Some(Value::Table(after))) => {
                    self.fields_below(&format!("{path}."), object, before, after);
                }
                (before, after) => self.list.push(Change {
                    kind: ChangeKind::Changed,
                    object: object.to_owned(),
                    key: Some(path),
                    old: before.map(ToString::to_string),
                    new: after.map(ToString::to_string),
                    needs_restart: self.needs_restart,
                }),
            }
        }
    }

    /// Entries of an array of tables, paired by `key`: additions, removals, and changes key by key.
    fn entries<T: Serialize + PartialEq, K: Eq + Hash>(
        &mut self,
        old: &[T],
        new: &[T],
        key: impl Fn(&T) -> K,
        object: impl Fn(&T) -> String,
    ) {
        self.paired(old, new, key, object, |changes, object, before, after| {
            changes.fields(object, &table(before), &table(after));
        });
    }

    fn paired<T: PartialEq, K: Eq + Hash>(
        &mut self,
        old: &[T],
        new: &[T],
        key: impl Fn(&T) -> K,
        object: impl Fn(&T) -> String,
        mut changed: impl FnMut(&mut Self, &str, &T, &T),
    ) {
        let before: HashMap<K, &T> = old.iter().map(|entry| (key(entry), entry)).collect();
        let after: HashMap<K, &T> = new.iter().map(|entry| (key(entry), entry)).collect();
        for entry in old.iter().filter(|entry| !after.contains_key(&key(entry))) {
            self.push(ChangeKind::Removed, object(entry));
        }
        for entry in new {
            match before.get(&key(entry)) {
                None => self.push(ChangeKind::Added, object(entry)),
                Some(same) if *same == entry => {}
                Some(other) => changed(self, &object(entry), other, entry),
            }
        }
    }

    /// The order of the same backends, which rr and the hashing schedulers go by.
    fn order(&mut self, object: &str, before: &Service, after: &Service) {
        let order = |service: &Service| {
            service
                .backends
                .iter()
                .map(|backend| backend.address.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (old, new) = (order(before), order(after));
        if old != new {
            self.list.push(Change {
                kind: ChangeKind::Changed,
                object: format!("{object} backends"),
                key: Some("order".to_owned()),
                old: Some(old),
                new: Some(new),
                needs_restart: false,
            });
        }
    }

    /// What a service took over from `[timeouts]` and `[ipvs]` before and after is said there, and what a backend took over from
    /// its service is said at the service: not once more for each.
    fn services(&mut self, old: &Config, new: &Config) {
        let name = |service: &Service| service.name.clone();
        let object = |service: &Service| format!("service {}", service.name);
        self.paired(
            &old.services,
            &new.services,
            name,
            object,
            |changes, object, before, after| {
                let (mut own_before, mut own_after) = (table(before), table(after));
                let inherited = [
                    ("backend", true),
                    (
                        "timeouts",
                        before.timeouts == old.timeouts && after.timeouts == new.timeouts,
                    ),
                    ("ipvs", before.ipvs == old.ipvs && after.ipvs == new.ipvs),
                ];
                drop_keys(&mut own_before, &mut own_after, &inherited);
                changes.fields(object, &own_before, &own_after);
                changes.backends(object, before, after);
            },
        );
    }

    fn backends(&mut self, object: &str, before: &Service, after: &Service) {
        let mark = self.list.len();
        let title = |backend: &Backend| format!("{object} backend {}", backend.address);
        let address = |backend: &Backend| backend.address;
        self.paired(
            &before.backends,
            &after.backends,
            address,
            title,
            |changes, object, old, new| {
                let (mut own_before, mut own_after) = (table(old), table(new));
                let inherited = [
                    ("check", old.check == before.check && new.check == after.check),
                    (
                        "checks",
                        old.checks == before.checks && new.checks == after.checks,
                    ),
                    (
                        "forward",
                        old.forward == before.forward && new.forward == after.forward,
                    ),
                    (
                        "tunnel",
                        old.tunnel == before.tunnel && new.tunnel == after.tunnel,
                    ),
                ];
                drop_keys(&mut own_before, &mut own_after, &inherited);
                changes.fields(object, &own_before, &own_after);
            },
        );
        if self.list[mark..]
            .iter()
            .all(|change| change.kind == ChangeKind::Changed)
        {
            self.order(object, before, after);
        }
    }
}

fn drop_keys(before: &mut Table, after: &mut Table, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, dropped)| *dropped) {
        before.remove(*key);
        after.remove(*key);
    }
}

fn table<T: Serialize>(value: &T) -> Table {
    // Serialising plain structs, strings and numbers cannot fail.
    Table::try_from(value).unwrap_or_default()
}
