//! The reference page, made from the very lists the readers use.

use std::fmt::Write;

use crate::reader::Section;
use crate::{
    backend, bfd, check, control, dataplane, forward, ipvs, load, pool, port, route, service, sriov, suggest,
    tempo, timeouts, vrrp,
};

/// Every section, in the order of the page.
pub(crate) const SECTIONS: [&Section; 43] = [
    &load::ROOT,
    &dataplane::SECTION,
    &control::SECTION,
    &port::SECTION,
    &route::SECTION,
    &route::NEIGHBOR_SECTION,
    &sriov::SECTION,
    &sriov::VF_SECTION,
    &service::SECTION,
    &pool::SECTION,
    &pool::PASSIVE_SECTION,
    &pool::SORRY_SECTION,
    &backend::SECTION,
    &forward::TUNNEL_SECTION,
    &check::SECTION,
    &tempo::FLAP_SECTION,
    &check::TLS_SECTION,
    &check::TCP_SECTION,
    &check::STEP_SECTION,
    &check::HTTP_SECTION,
    &check::ALSO_SECTION,
    &check::SMTP_SECTION,
    &check::POP_SECTION,
    &check::IMAP_SECTION,
    &check::FTP_SECTION,
    &check::LDAP_SECTION,
    &check::MYSQL_SECTION,
    &check::POSTGRES_SECTION,
    &check::SIP_SECTION,
    &check::UDP_SECTION,
    &check::DNS_SECTION,
    &check::PING_SECTION,
    &check::GRPC_SECTION,
    &check::SCRIPT_SECTION,
    &check::FILE_SECTION,
    &check::BFD_SECTION,
    &check::THROUGH_SECTION,
    &vrrp::SECTION,
    &vrrp::TRACK_SECTION,
    &vrrp::NODE_SECTION,
    &bfd::SECTION,
    &timeouts::SECTION,
    &ipvs::SECTION,
];

/// The header of the first section that has a key of that name.
pub(crate) fn section_with(name: &str) -> Option<&'static str> {
    let found = SECTIONS
        .iter()
        .skip(1)
        .find(|section| section.keys.iter().any(|key| key.name == name));
    found.map(|section| section.header)
}

/// The key of any section that `name` is most likely meant to be, and that section's header.
pub(crate) fn section_with_nearly(name: &str) -> Option<(&'static str, &'static str)> {
    let keys = SECTIONS
        .iter()
        .skip(1)
        .flat_map(|section| section.keys.iter().map(|key| key.name));
    let near = suggest::nearest(name, keys)?;
    Some((near, section_with(near)?))
}

/// The reference of the configuration file as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# weir.toml\n\nOne TOML file for `weir-dataplane` and `weir-control`. Units are in the names of the keys. A key that is not in these tables is an\n\
         error. This page is made from the lists that the loader itself uses; a test keeps it so.\n",
    );
    for section in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
            section.header, section.meaning
        );
        for key in section.keys {
            let default = key
                .default
                .map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
            let _ = writeln!(
                page,
                "| `{}` | {} | {default} | {} |",
                key.name, key.kind, key.meaning
            );
        }
    }
    page
}
