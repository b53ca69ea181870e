//! The reference page, made from the very lists the readers use.

use std::fmt::Write;

use crate::keepalived;
use crate::sections::SECTIONS;

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
    page.push_str(&keepalived::reference());
    page
}
