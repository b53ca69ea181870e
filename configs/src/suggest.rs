//! "Did you mean": the nearest known word, and the words that people bring along from keepalived and ipvsadm.

use crate::keepalived;
use crate::section::Section;

/// Words of keepalived.conf and ipvsadm, and what they are called here.
const ALIASES: &[(&str, &str)] = &[
    ("lb_algo", "scheduler"),
    ("lvs_sched", "scheduler"),
    ("lb_kind", "forward"),
    ("lvs_method", "forward"),
    ("mode", "forward"),
    ("method", "forward"),
    ("virtual_server", "service"),
    ("real_server", "backend"),
    ("server", "backend"),
    ("servers", "backend"),
    ("ops", "one_packet"),
    ("persistence_granularity", "persistence_netmask"),
    ("laddr", "local_addresses"),
    ("laddr_group_name", "local_addresses"),
    ("gateway", "via"),
    ("lladdr", "mac"),
    ("cpus", "workers"),
    ("cores", "workers"),
];

/// Help for an unknown key of `section`, which is one of `sections`.
pub(crate) fn key(name: &str, section: &Section, sections: &[&Section]) -> String {
    let known = || section.keys.iter().map(|key| key.name);
    let alias = ALIASES
        .iter()
        .find(|(foreign, ours)| *foreign == name && known().any(|key| key == *ours));
    if let Some((_, ours)) = alias {
        return format!("here it is called `{ours}`");
    }
    if section_with(name, sections).is_none()
        && let Some(help) = keepalived::help(name, section)
    {
        return help;
    }
    if let Some(near) = nearest(name, known()) {
        return format!("did you mean `{near}`?");
    }
    if let Some(header) = section_with(name, sections) {
        return format!("`{name}` belongs in {header}");
    }
    if let Some((near, header)) = section_with_nearly(name, sections) {
        return format!("did you mean `{near}`, which belongs in {header}?");
    }
    let names: Vec<_> = known().collect();
    format!("the keys of {} are {}", section.header, names.join(", "))
}

/// The header of the first section that has a key of that name; the root's keys are no help.
fn section_with(name: &str, sections: &[&Section]) -> Option<&'static str> {
    let found = sections
        .iter()
        .skip(1)
        .find(|section| section.keys.iter().any(|key| key.name == name));
    found.map(|section| section.header)
}

/// The key of any section that `name` is most likely meant to be, and that section's header.
fn section_with_nearly(name: &str, sections: &[&Section]) -> Option<(&'static str, &'static str)> {
    let keys = sections
        .iter()
        .skip(1)
        .flat_map(|section| section.keys.iter().map(|key| key.name));
    let near = nearest(name, keys)?;
    Some((near, section_with(near, sections)?))
}

/// The known word that `text` most likely stands for.
pub(crate) fn nearest<'w>(text: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Long words are not looked at: the distance is quadratic and a typing mistake is never that long.
    if text.len() > 64 {
        return None;
    }
    let folded = text.to_lowercase().replace('-', "_");
    let scored = known.map(|word| {
        let same_start = folded.len() >= 4 && word.starts_with(&folded);
        let distance = if same_start {
            1
        } else {
            strsim::osa_distance(&folded, word)
        };
        (distance, word)
    });
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1)).then_some(word)
}
