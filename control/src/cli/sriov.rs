//! `weirctl sriov …` and `weirctl doctor`.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Subcommand, ValueHint};
use hyper::Method;
use serde::Serialize;

use super::answer::typed;
use super::args::Arguments;
use super::client::Client;
use super::failure::Failure;
use super::output::{Style, print, print_json};
use super::table::{Cell, Table, Tone};
use crate::api_types::{ApiError, schema};
use crate::sriov::api::{
    Applied, ApplyRequest, AttachRequest, GuestRequest, LostVf, MigrateRequest, PfView, Sriov, VfView, Vfs,
    XmlForm, xml_of,
};
use crate::sriov::doctor::{Finding, Grade, examine};
use crate::sriov::guests::virsh::Commands;
use crate::sriov::sysfs::Roots;

/// What to do with virtual functions.
#[derive(Debug, Subcommand)]
pub enum SriovCommand {
    /// Say what would be done to bring every VF to what the configuration wishes. Changes nothing.
    Plan,
    /// Do that now. weir-control also does it by itself.
    Apply {
        /// Also change settings of VFs that a guest has open.
        #[arg(long)]
        held: bool,
    },
    /// Every VF in one line: PCI address, IOMMU group, driver, owner, settings.
    List,
    /// Everything about a NIC port and its VFs, with counters.
    Show {
        /// PCI address or interface; left out: all.
        pf: Option<String>,
    },
    /// Give a guest a VF: chosen, set to defaults, bound to vfio-pci, plugged in.
    Attach {
        /// The guest, as libvirt calls it.
        guest: String,
        /// From this NIC port: PCI address or interface.
        #[arg(long)]
        pf: Option<String>,
        /// This VF.
        #[arg(long, value_name = "NUMBER")]
        vf: Option<u16>,
        /// Rather from this NUMA node: the guest's.
        #[arg(long, value_name = "NODE")]
        numa_node: Option<u16>,
        /// As many VFs in all; without it one more.
        #[arg(long, value_name = "VFS", value_parser = clap::value_parser!(u32).range(1..=32))]
        count: Option<u32>,
        /// QEMU's monitor socket, where there is no libvirt.
        #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
        qmp: Option<PathBuf>,
    },
    /// Take all VFs from a guest, and set them to defaults.
    Detach {
        /// The guest.
        guest: String,
        /// A guest without VFs is no failure.
        #[arg(long)]
        if_any: bool,
    },
    /// Set MAC, VLAN, rates, spoof check and trust of a guest's VFs to what the configuration says, else to the defaults. The guest
    /// must be off.
    Reset {
        /// The guest.
        guest: String,
        /// A guest without VFs is no failure.
        #[arg(long)]
        if_any: bool,
    },
    /// Move a running guest that has VFs to another host of weir: detach, migrate, attach, or all as before. Stopped in between, the same
    /// command goes on.
    Migrate {
        /// The guest.
        guest: String,
        /// The host, as ssh knows it.
        #[arg(long, value_name = "HOST")]
        to: String,
    },
    /// Print libvirt's XML for a VF.
    Xml {
        /// NIC port: PCI address or interface.
        pf: String,
        /// The VF.
        vf: u16,
        /// Which of libvirt's three forms.
        #[arg(long, value_enum, default_value = "interface")]
        form: XmlForm,
    },
    /// Wait until every VF is as the configuration wishes: for units that start guests.
    Wait {
        /// How long, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        limit_s: u32,
    },
}

/// 63 VFs take a while, a live migration longer.
const ACTION_TIMEOUT: Duration = Duration::from_secs(900);

pub(super) fn run(command: &SriovCommand, arguments: &Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    let timeout = Duration::from_secs(arguments.timeout_s.into());
    let client = Client::new(arguments.socket.clone(), timeout)?;
    let actor = || Client::new(arguments.socket.clone(), timeout.max(ACTION_TIMEOUT));
    let look = |view: &dyn Fn(&Sriov) -> Result<String, Failure>| {
        let answer = client.get("/v1/sriov", &[])?;
        if json {
            print_json(&answer, false)
        } else {
            print(&view(&typed(&answer)?)?)
        }
    };
    match command {
        SriovCommand::Plan => look(&|sriov| Ok(plan(sriov))),
        SriovCommand::List => look(&|sriov| Ok(list(sriov))),
        SriovCommand::Show { pf } => look(&|sriov| show(sriov, pf.as_deref())),
        SriovCommand::Xml { pf, vf, form } => look(&|sriov| xml(sriov, pf, *vf, *form)),
        SriovCommand::Wait { limit_s } => {
            let limit = Duration::from_secs((*limit_s).into());
            wait(
                &Client::new(arguments.socket.clone(), timeout.max(limit))?,
                limit,
                json,
            )
        }
        SriovCommand::Apply { held } => {
            let answer =
                actor()?.send_json(&Method::POST, "/v1/sriov/apply", &ApplyRequest { held: *held })?;
            if json {
                print_json(&answer, false)
            } else {
                print(&applied(&typed(&answer)?))
            }
        }
        SriovCommand::Attach {
            guest,
            pf,
            vf,
            numa_node,
            count,
            qmp,
        } => {
            let request = AttachRequest {
                guest: guest.clone(),
                pf: pf.clone(),
                vf: *vf,
                numa_node: *numa_node,
                count: count.map(|count| count as usize),
                qmp: qmp.clone(),
            };
            act(&actor()?, "attach", &request, json, "has", false)
        }
        SriovCommand::Detach { guest, if_any } => act(
            &actor()?,
            "detach",
            &GuestRequest { guest: guest.clone() },
            json,
            "gave back",
            *if_any,
        ),
        SriovCommand::Reset { guest, if_any } => act(
            &actor()?,
            "reset",
            &GuestRequest { guest: guest.clone() },
            json,
            "now has defaults on",
            *if_any,
        ),
        SriovCommand::Migrate { guest, to } => {
            let request = MigrateRequest {
                guest: guest.clone(),
                to: to.clone(),
            };
            let answer = actor()?.send_json(&Method::POST, "/v1/sriov/migrate", &request)?;
            if json {
                print_json(&answer, false)
            } else {
                print(&format!("guest {guest} is on {to}, with its VFs"))
            }
        }
    }
}

/// Asks for a change and says what it was about. With `if_any`, a guest without VFs is well.
fn act(
    client: &Client,
    what: &str,
    request: &impl Serialize,
    json: bool,
    verb: &str,
    if_any: bool,
) -> Result<(), Failure> {
    let answer = match client.send_json(&Method::POST, &format!("/v1/sriov/{what}"), request) {
        Err(Failure::Refused(refusal)) if if_any && refusal.error.contains("has no VF") => return Ok(()),
        other => other?,
    };
    if json {
        return print_json(&answer, false);
    }
    let vfs: Vfs = typed(&answer)?;
    let lines = vfs.vfs.iter().map(|vf| {
        format!(
            "guest {} {verb} VF {} of {}: {}\n",
            vfs.guest, vf.vf, vf.pf, vf.address
        )
    });
    print(&lines.collect::<String>())
}

fn title(pf: &PfView) -> String {
    match &pf.interface {
        Some(interface) => format!("{} ({interface})", pf.device),
        None => pf.device.clone(),
    }
}

fn plan(sriov: &Sriov) -> String {
    let mut text = String::new();
    for pf in sriov.pfs.iter().filter(|pf| pf.vfs_wished.is_some()) {
        let state = if !pf.faults.is_empty() {
            "cannot be as wished"
        } else if pf.steps.is_empty() {
            "as wished"
        } else {
            "differs"
        };
        text += &format!("{}: {state}\n", title(pf));
        pf.steps
            .iter()
            .enumerate()
            .for_each(|(number, step)| text += &format!("  {}. {step}\n", number + 1));
        pf.notes
            .iter()
            .for_each(|note| text += &format!("  note: {note}\n"));
        pf.faults
            .iter()
            .for_each(|fault| text += &format!("  fault: {fault}\n"));
    }
    sriov
        .absent
        .iter()
        .for_each(|pf| text += &format!("{pf}: this host has no such NIC port with SR-IOV\n"));
    text += &lost(sriov);
    if text.is_empty() {
        text += "the configuration has no [[sriov]]\n";
    }
    if sriov.mode == "observe" {
        text += "[control] sriov = \"observe\": nothing of this is written\n";
    }
    text
}

fn list(sriov: &Sriov) -> String {
    let mut table = Table::new(&[
        "PF", ">VF", "ADDRESS", ">GROUP", ">NUMA", "DRIVER", "OWNER", "BACKENDS", "SETTINGS",
    ]);
    for pf in &sriov.pfs {
        for vf in &pf.vfs {
            table.row(vec![
                pf.interface.clone().unwrap_or_else(|| pf.device.clone()).into(),
                u64::from(vf.vf).into(),
                or_dash(vf.address.clone()),
                or_dash(vf.iommu_group),
                or_dash(pf.numa_node),
                or_dash(vf.driver.clone()),
                Cell::new(owner(vf), if vf.in_use { Tone::Good } else { Tone::Normal }),
                or_dash(Some(vf.backends.join(",")).filter(|list| !list.is_empty())),
                vf.settings.join(", ").into(),
            ]);
        }
    }
    table.render(Style::of_stdout()) + &lost(sriov)
}

/// VFs of guests that are gone.
fn lost(sriov: &Sriov) -> String {
    let line = |vf: &LostVf| {
        format!(
            "VF {} of {} is gone; guest {} had it (weirctl sriov detach {} forgets it)\n",
            vf.vf, vf.pf, vf.guest, vf.guest
        )
    };
    sriov.lost.iter().map(line).collect()
}

fn owner(vf: &VfView) -> String {
    if vf.in_use {
        format!("{} (in use)", vf.owner)
    } else {
        vf.owner.clone()
    }
}

fn or_dash(value: Option<impl ToString>) -> Cell {
    value
        .map_or_else(|| "-".to_owned(), |value| value.to_string())
        .into()
}

fn show(sriov: &Sriov, only: Option<&str>) -> Result<String, Failure> {
    let wanted =
        |pf: &&PfView| only.is_none_or(|name| pf.device == name || pf.interface.as_deref() == Some(name));
    let pfs: Vec<_> = sriov.pfs.iter().filter(wanted).collect();
    if let (Some(name), true) = (only, pfs.is_empty()) {
        return Err(no_such(&format!("NIC port {name}")));
    }
    Ok(pfs.into_iter().map(show_pf).collect::<Vec<_>>().join("\n"))
}

fn no_such(what: &str) -> Failure {
    Failure::Refused(ApiError {
        schema: schema::ERROR.to_owned(),
        error: format!("there is no {what}"),
        help: "`weirctl sriov list` shows what there is".to_owned(),
    })
}

fn show_pf(pf: &PfView) -> String {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut text = format!(
        "{}  driver {}  mac {}",
        title(pf),
        known(&pf.driver),
        known(&pf.mac)
    );
    if let Some(node) = pf.numa_node {
        text += &format!("  NUMA node {node}");
    }
    text += &format!("  link {}\n", if pf.link { "up" } else { "down" });
    let most = pf.vfs_max.map_or_else(String::new, |most| format!(" of {most}"));
    let wished = pf
        .vfs_wished
        .map_or_else(|| "not managed".to_owned(), |count| format!("{count} wished"));
    text += &format!("  VFs {}{most}, {wished}", pf.vfs.len());
    if let Some(queues) = &pf.queues {
        text += &format!("; queues: {queues}");
    }
    text.push('\n');
    for line in pf.notes.iter().chain(&pf.faults) {
        text += &format!("  {line}\n");
    }
    for vf in &pf.vfs {
        text += &show_vf(vf);
    }
    text
}

fn show_vf(vf: &VfView) -> String {
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut text = format!(
        "  VF {}  {}  group {}  driver {}  {}\n    {}\n",
        vf.vf,
        known(vf.address.clone()),
        known(vf.iommu_group.map(|group| group.to_string())),
        known(vf.driver.clone()),
        owner(vf),
        vf.settings.join(", ")
    );
    if !vf.backends.is_empty() {
        text += &format!("    backend {}\n", vf.backends.join(", "));
    }
    if let Some(counters) = &vf.counters {
        text += &format!(
            "    rx {} packets {} bytes, tx {} packets {} bytes\n",
            counters.rx_packets, counters.rx_bytes, counters.tx_packets, counters.tx_bytes
        );
    }
    text
}

fn xml(sriov: &Sriov, name: &str, vf: u16, form: XmlForm) -> Result<String, Failure> {
    let pf = sriov
        .pfs
        .iter()
        .find(|pf| pf.device == name || pf.interface.as_deref() == Some(name));
    let pf = pf.ok_or_else(|| no_such(&format!("NIC port {name}")))?;
    let found = pf
        .vfs
        .iter()
        .find(|view| view.vf == vf)
        .and_then(|vf| xml_of(pf, vf, form));
    found.ok_or_else(|| no_such(&format!("VF {vf} of {name}")))
}

fn applied(applied: &Applied) -> String {
    let mut text: String = applied
        .done
        .iter()
        .map(|step| format!("done: {step}\n"))
        .collect();
    applied
        .deferred
        .iter()
        .for_each(|step| text += &format!("waits: {step}\n"));
    if text.is_empty() {
        "nothing to do\n".to_owned()
    } else {
        text
    }
}

fn wait(client: &Client, limit: Duration, json: bool) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let answer = client.get("/v1/sriov", &[])?;
        let sriov: Sriov = typed(&answer)?;
        let ready = |pf: &PfView| pf.vfs_wished.is_none() || (pf.steps.is_empty() && pf.faults.is_empty());
        if sriov.absent.is_empty() && sriov.pfs.iter().all(ready) {
            return if json { print_json(&answer, false) } else { Ok(()) };
        }
        if start.elapsed() >= limit {
            return Err(Failure::Refused(ApiError {
                schema: schema::ERROR.to_owned(),
                error: format!(
                    "after {} s the VFs are not as wished:\n{}",
                    limit.as_secs(),
                    plan(&sriov)
                ),
                help: "weirctl sriov show says more".to_owned(),
            }));
        }
        sleep(Duration::from_millis(500));
    }
}

/// The host's fitness. What is bad makes the exit status 1.
pub(super) fn doctor(json: bool) -> Result<(), Failure> {
    let mut runner = Commands {
        deadline: Duration::from_secs(10),
    };
    let findings = examine(&Roots::default(), &mut runner);
    if json {
        print_json(
            &serde_json::json!({"schema": "weir.doctor/1", "findings": findings}),
            false,
        )?;
    } else {
        print(
            &findings
                .iter()
                .map(|finding| say(finding, Style::of_stdout()))
                .collect::<String>(),
        )?;
    }
    match findings
        .iter()
        .filter(|finding| finding.grade == Grade::Bad)
        .count()
    {
        0 => Ok(()),
        bad => Err(Failure::Refused(ApiError {
            schema: schema::ERROR.to_owned(),
            error: format!("{bad} of {} do not work", findings.len()),
            help: "the fixes stand below them".to_owned(),
        })),
    }
}

fn say(finding: &Finding, style: Style) -> String {
    let (word, tone) = match finding.grade {
        Grade::Good => ("good", Tone::Good),
        Grade::Advice => ("advice", Tone::Attention),
        Grade::Bad => ("bad", Tone::Bad),
    };
    let mut text = format!(
        "{}  {}: {}\n",
        super::table::paint(word, tone, style),
        finding.what,
        finding.found
    );
    if !finding.fix.is_empty() {
        text += &format!("        {}\n", finding.fix);
    }
    text
}
