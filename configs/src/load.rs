//! From a file to a checked [`Config`], or to a [`Report`] of everything that is wrong.

use std::path::Path;

use serde::Serialize;
use toml::de::DeTable;

use crate::bfd::{self, Bfd};
use crate::control::{self, Control};
use crate::dataplane::{self, Dataplane};
use crate::health::{self, Health};
use crate::ipvs::{self, Ipvs};
use crate::port::{self, Port};
use crate::reader::{Context, Fields, Read};
use crate::report::Report;
use crate::route::{self, Neighbor, Route};
use crate::section::Section;
use crate::sections::{ROOT, SECTIONS};
use crate::service::{self, Service};
use crate::sriov::{self, Sriov};
use crate::timeouts::{self, Timeouts};
use crate::topology;
use crate::vrrp::{self, Vrrp};

/// A checked configuration: defaults filled in, inheritance resolved, references known to hold.
///
/// Its serialised form has the shape of the file, so that `toml::to_string` gives a file that loads as the same configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Config {
    /// `[dataplane]`
    pub dataplane: Dataplane,
    /// `[control]`
    pub control: Control,
    /// `[health]`
    pub health: Health,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[ipvs]`
    pub ipvs: Ipvs,
    /// `[[port]]`
    #[serde(rename = "port")]
    pub ports: Vec<Port>,
    /// `[[route]]`
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// `[[neighbor]]`
    #[serde(rename = "neighbor")]
    pub neighbors: Vec<Neighbor>,
    /// `[[sriov]]`
    pub sriov: Vec<Sriov>,
    /// `[[vrrp]]`
    #[serde(rename = "vrrp", skip_serializing_if = "Vec::is_empty")]
    pub vrrps: Vec<Vrrp>,
    /// `[[bfd]]`
    #[serde(rename = "bfd", skip_serializing_if = "Vec::is_empty")]
    pub bfds: Vec<Bfd>,
    /// `[[service]]`
    #[serde(rename = "service")]
    pub services: Vec<Service>,
}

impl Config {
    /// The configuration as a TOML file with every default written out; it loads as the same configuration.
    pub fn to_toml(&self) -> String {
        // Serialising plain structs, strings and numbers cannot fail.
        let text = toml::to_string(self).unwrap_or_default();
        // Sections that are not there come first, as empty lists.
        match text.find("\n[") {
            Some(end) if !text.starts_with('[') => text[end + 1..].to_owned(),
            _ => text,
        }
    }

    /// The configuration as the node of this name has it: its ports have its own addresses.
    #[must_use]
    pub fn on_node(mut self, node: &str) -> Self {
        for port in &mut self.ports {
            *port = port.on_node(node);
        }
        self
    }

    /// The port of that name.
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

/// Larger files are refused unread: no configuration is, and a mistaken path may be.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Loads and checks a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: impl AsRef<Path>) -> Result<Config, Report> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "give the path of a weir.toml that exists",
            std::io::ErrorKind::PermissionDenied => "run as a user who may read it",
            _ => "check the path and the file system",
        };
        Report::about_file(&file, format!("cannot read the file: {error}"), help)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Report::about_file(
            &file,
            "this is a directory",
            "give the path of the file in it",
        ));
    }
    if metadata.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes", metadata.len());
        return Err(Report::about_file(
            &file,
            message,
            format!("a configuration has at most {FILE_BYTES_MAX}: is this the right file?"),
        ));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, &file),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count()
                + 1;
            Err(Report::about_file(
                &file,
                format!("line {line} is not UTF-8 text"),
                "save the file as UTF-8",
            ))
        }
    }
}

/// Checks a configuration given as text; `file` is its name in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, file: &str) -> Result<Config, Report> {
    let context = Context::new(file, text, &SECTIONS);
    let (document, faults) = DeTable::parse_recoverable(text);
    report_syntax(&context, &faults);
    // What could be recovered of a file with syntax errors would give errors that are none.
    let config = if faults.is_empty() {
        read(&context, document.get_ref())
    } else {
        Config::default()
    };
    if context.count() == 0 {
        Ok(config)
    } else {
        Err(Report {
            diagnostics: context.into_diagnostics(),
        })
    }
}

/// Reports faults of the TOML text. One mistake upsets the parser for a while: what it says about the same and the next line is left out.
fn report_syntax(context: &Context<'_>, faults: &[toml::de::Error]) {
    let mut quiet_until_line = 0;
    for fault in faults {
        let span = fault.span().unwrap_or(0..0);
        let line = context.line_of(&span);
        if line > quiet_until_line {
            context.error(span, fault.message(), syntax_help(fault.message()));
        }
        quiet_until_line = quiet_until_line.max(line + 1);
    }
}

/// The TOML mistakes people make, and what to do; the parser's own message says the rest.
fn syntax_help(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "a key or [section] may stand once: remove one of the two, or write [[section]] where several are meant"
    } else if message.contains("array") {
        "put commas between the entries of a list, and close the list with `]`"
    } else if message.contains("newline") || message.contains("unclosed") || message.contains("basic string")
    {
        "close the quotes or brackets on this line"
    } else {
        "write key = value, with texts in double quotes"
    }
}

fn read<'s>(context: &Context<'s>, document: &DeTable<'s>) -> Config {
    let root = Fields::new(context, &ROOT, document, 0..0);
    let table = |name, section| root.table(name, section);
    let timeouts = table("timeouts", &timeouts::SECTION)
        .map_or(Timeouts::IPVS, |fields| timeouts::read(&fields, Timeouts::IPVS));
    let ipvs =
        table("ipvs", &ipvs::SECTION).map_or(Ipvs::default(), |fields| ipvs::read(&fields, Ipvs::default()));
    let dataplane = table("dataplane", &dataplane::SECTION)
        .map_or_else(Dataplane::default, |fields| dataplane::read(&fields));
    let control =
        table("control", &control::SECTION).map_or_else(Control::default, |fields| control::read(&fields));
    let health =
        table("health", &health::SECTION).map_or_else(Health::default, |fields| health::read(&fields));
    let ports = read_all(&root, "port", &port::SECTION, port::read);
    let routes = read_all(&root, "route", &route::SECTION, route::read);
    let neighbors = read_all(&root, "neighbor", &route::NEIGHBOR_SECTION, route::read_neighbor);
    let vrrps = read_all(&root, "vrrp", &vrrp::SECTION, vrrp::read);
    let bfds = read_all(&root, "bfd", &bfd::SECTION, bfd::read);
    let services = read_all(&root, "service", &service::SECTION, |fields| {
        service::read(fields, health, ipvs, timeouts)
    });
    let sriov = read_all(&root, "sriov", &sriov::SECTION, sriov::read);
    check_sockets(&root, &dataplane, &control);
    topology::check_ports(&ports);
    topology::check_sriov(&sriov, &ports);
    let routes = topology::resolve_routes(&ports, &routes);
    let neighbors = topology::resolve_neighbors(&ports, &neighbors);
    topology::check_services(&ports, &routes, &services, &dataplane);
    bfd::check_checks(&services, &bfds);
    let (ports, services) = (values(ports), values(services));
    let names: Vec<String> = services
        .iter()
        .map(|service: &Service| service.name.clone())
        .collect();
    vrrp::check_all(&vrrps, &ports, &names);
    bfd::check_all(&bfds, &vrrps);
    Config {
        dataplane,
        control,
        health,
        timeouts,
        ipvs,
        ports,
        routes: values(routes),
        neighbors,
        sriov: values(sriov),
        vrrps: values(vrrps),
        bfds: values(bfds),
        services,
    }
}

fn read_all<'a, 's, T>(
    root: &Fields<'a, 's>,
    name: &str,
    section: &'static Section,
    read: impl Fn(&Fields<'a, 's>) -> Option<T>,
) -> Vec<Read<'a, 's, T>> {
    let tables = root.tables(name, section).into_iter();
    tables
        .map(|fields| Read {
            value: read(&fields),
            fields,
        })
        .collect()
}

fn values<T>(read: Vec<Read<'_, '_, T>>) -> Vec<T> {
    read.into_iter().filter_map(|entry| entry.value).collect()
}

fn check_sockets(root: &Fields<'_, '_>, dataplane: &Dataplane, control: &Control) {
    if dataplane.socket == control.socket {
        let message = format!(
            "[dataplane] and [control] have the same socket {}",
            control.socket.display()
        );
        root.context.error(
            root.span_of("control"),
            message,
            "give each process a socket of its own",
        );
    }
}
