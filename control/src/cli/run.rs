//! From a command to requests, and from answers to views.

use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use super::answer::{keep, repeat, typed};
use super::args::{
    Arguments, BackendArguments, BackendChange, Command, ExplainArguments, FlowArguments, ServiceArguments,
    Watch, WhichBackend,
};
use super::client::Client;
use super::failure::Failure;
use super::output::{Style, print, print_json};
use super::view::{self, ServiceColumns};
use super::{bfd, check, config, drain, generate, maintenance, sriov, vrrp};
use crate::api_types::{BackendPatch, Backends, Services};

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = || {
        Client::new(
            arguments.socket.clone(),
            Duration::from_secs(arguments.timeout_s.into()),
        )
    };
    let json = arguments.json;
    let shown = |path: &'static str, watch: &Watch, view: fn(&Value, Style) -> Result<String, Failure>| {
        let client = client()?;
        repeat(watch, json, || client.get(path, &[]), view)
    };
    match &arguments.command {
        Command::Status(watch) => shown("/v1/status", watch, |v, style| {
            Ok(view::status(&typed(v)?, style))
        }),
        Command::Port(watch) => shown("/v1/ports", watch, |v, style| Ok(view::ports(&typed(v)?, style))),
        Command::Worker(watch) => shown("/v1/workers", watch, |v, style| {
            Ok(view::workers(&typed(v)?, style))
        }),
        Command::Neighbor(watch) => shown("/v1/neighbors", watch, |v, style| {
            Ok(view::neighbors(&typed(v)?, style))
        }),
        Command::Drops(drops) if drops.all => shown("/v1/drops", &drops.watch, |v, style| {
            Ok(view::drops(&typed(v)?, true, style))
        }),
        Command::Drops(drops) => shown("/v1/drops", &drops.watch, |v, style| {
            Ok(view::drops(&typed(v)?, false, style))
        }),
        Command::Service(service) => services(service, json, &client()?),
        Command::Backend(backend) => backends(backend, json, &client()?),
        Command::Check(arguments) => check::show(arguments, json, &client()?),
        Command::Maintenance(arguments) => maintenance::run(arguments, json, &client()?),
        Command::Flow(flow) => flows(flow, json, &client()?),
        Command::Explain(explain) => explained(explain, json, &client()?),
        Command::Config(command) => config::run(command, json, client),
        Command::Sriov(command) => sriov::run(command, arguments),
        Command::Doctor => sriov::doctor(json),
        Command::Bfd(arguments) => bfd::show(arguments, json, &client()?),
        Command::Vrrp(arguments) => vrrp::show(arguments, json, &client()?),
        Command::Failover(arguments) => vrrp::failover(arguments, json, &client()?),
        Command::Events(arguments) => vrrp::events(arguments, json, &client()?),
        Command::Completion { shell } => generate::completion(*shell),
        Command::Man { directory } => generate::manual(directory.as_deref()),
    }
}

fn services(arguments: &ServiceArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let ask = || {
        let mut answer = client.get("/v1/services", &[])?;
        keep(&mut answer, "services", "name", arguments.name.as_ref())?;
        Ok(answer)
    };
    if !arguments.rate || json {
        let columns = if arguments.stats {
            ServiceColumns::Stats
        } else {
            ServiceColumns::Connections
        };
        return repeat(&arguments.watch, json, ask, |answer, style| {
            Ok(view::services(&typed(answer)?, &columns, style))
        });
    }
    let mut before: (Instant, Services) = (Instant::now(), typed(&ask()?)?);
    sleep(Duration::from_secs(1));
    repeat(&arguments.watch, json, ask, |answer, style| {
        let now: (Instant, Services) = (Instant::now(), typed(answer)?);
        let elapsed = now.0 - before.0;
        let columns = ServiceColumns::Rate {
            before: std::mem::replace(&mut before, now).1,
            elapsed,
        };
        Ok(view::services(&before.1, &columns, style))
    })
}

fn backends(arguments: &BackendArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let Some(change) = &arguments.change else {
        let ask = || {
            let mut answer = client.get("/v1/backends", &[])?;
            keep(&mut answer, "backends", "service", arguments.service.as_ref())?;
            Ok(answer)
        };
        return repeat(&arguments.watch, json, ask, |answer, style| {
            Ok(view::backends(&typed(answer)?, style))
        });
    };
    let answer = client.send_json(&Method::PATCH, "/v1/backends", &patch(change))?;
    if let BackendChange::Drain {
        wait: true, wait_s, ..
    } = change
    {
        return drain::wait(&typed(&answer)?, *wait_s, json, client);
    }
    if json {
        return print_json(&answer, false);
    }
    let changed: Backends = typed(&answer)?;
    print(&view::backends(&changed, Style::of_stdout()))
}

fn patch(change: &BackendChange) -> BackendPatch {
    let of = |which: &WhichBackend| BackendPatch {
        service: which.service.clone(),
        backend: which.backend.clone(),
        weight: None,
        drain: None,
        disable: None,
        reset: false,
    };
    match change {
        BackendChange::Set { which, weight } => BackendPatch {
            weight: Some(*weight),
            ..of(which)
        },
        BackendChange::Drain { which, .. } => BackendPatch {
            drain: Some(true),
            ..of(which)
        },
        BackendChange::Undrain(which) => BackendPatch {
            drain: Some(false),
            ..of(which)
        },
        BackendChange::Disable(which) => BackendPatch {
            disable: Some(true),
            ..of(which)
        },
        BackendChange::Enable(which) => BackendPatch {
            drain: Some(false),
            disable: Some(false),
            ..of(which)
        },
        BackendChange::Reset(which) => BackendPatch {
            reset: true,
            ..of(which)
        },
    }
}

fn flows(arguments: &FlowArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let client_address = arguments.client.map(|address| address.to_string());
    let limit = arguments.limit.to_string();
    let conditions = [
        ("client", client_address.as_deref()),
        ("service", arguments.service.as_deref()),
        ("backend", arguments.backend.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let query: Vec<(&str, &str)> = conditions
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    repeat(
        &arguments.watch,
        json,
        || client.get("/v1/flows", &query),
        |answer, style| Ok(view::flows(&typed(answer)?, style)),
    )
}

fn explained(arguments: &ExplainArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let (src, dst) = (arguments.src.to_string(), arguments.dst.to_string());
    let query = [
        ("protocol", arguments.protocol.as_str()),
        ("src", src.as_str()),
        ("dst", dst.as_str()),
    ];
    let once = Watch { watch: None };
    repeat(
        &once,
        json,
        || client.get("/v1/explain", &query),
        |answer, style| Ok(view::explain(&typed(answer)?, style)),
    )
}
