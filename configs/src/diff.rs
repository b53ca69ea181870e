//! What differs between two configurations, in words an operator reads before saying yes.
//!
//! Services are told apart by name, backends by address, ports by name, routes by destination, neighbours by address. A renamed service
//! is therefore one removed and one added.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

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
    changes.services(&old.services, &new.services);
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

    /// Key by key.
    fn fields(&mut self, object: &str, old: &toml::Table, new: &toml::Table) {
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let (before, after) = (old.get(key), new.get(key));
            if before != after {
                let text = |value: Option<&toml::Value>| value.map(ToString::to_string);
                self.list.push(Change {
                    kind: ChangeKind::Changed,
                    object: object.to_owned(),
                    key: Some(key.clone()),
                    old: text(before),
                    new: text(after),
                    needs_restart: self.needs_restart,
                });
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

    fn services(&mut self, old: &[Service], new: &[Service]) {
        let name = |service: &Service| service.name.clone();
        let object = |service: &Service| format!("service {}", service.name);
        self.paired(old, new, name, object, |changes, object, before, after| {
            let own = |service: &Service| {
                let mut keys = table(service);
                keys.remove("backend");
                keys
            };
            changes.fields(object, &own(before), &own(after));
            let mark = changes.list.len();
            let title = |backend: &Backend| format!("{object} backend {}", backend.address);
            changes.entries(
                &before.backends,
                &after.backends,
                |backend| backend.address,
                title,
            );
            if changes.list[mark..]
                .iter()
                .all(|change| change.kind == ChangeKind::Changed)
            {
                changes.order(object, before, after);
            }
        });
    }
}

fn table<T: Serialize>(value: &T) -> toml::Table {
    // Serialising plain structs, strings and numbers cannot fail.
    toml::Table::try_from(value).unwrap_or_default()
}
