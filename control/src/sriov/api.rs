//! `/v1/sriov…`: what `weirctl sriov` asks, in types that both sides share.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/sriov` | [`Sriov`] |
//! | `POST /v1/sriov/apply` with [`ApplyRequest`] | [`Applied`] |
//! | `POST /v1/sriov/attach` with [`AttachRequest`] | [`Vfs`]: the new ones |
//! | `POST /v1/sriov/detach`, `reset` with [`GuestRequest`] | [`Vfs`]: which they were |
//! | `POST /v1/sriov/migrate` with [`MigrateRequest`] | [`Vfs`]: none |

use super::allocation::{Allocation, Allocations, Ask};
use super::guests::xml;
use super::manager::{self, Attach, Handle, Picture, Request, SriovError, Standing};
use super::model::{Counters, Owner, Setting, Vf};
use super::mover;
use super::plan::Leave;
use super::rules;
use crate::api_types::{ApiError, schema};
use crate::daemon;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use weir_configs::{Config, SriovMode};

/// Schema of [`Sriov`].
pub const SRIOV: &str = "weir.sriov/1";
/// Schema of [`Vfs`].
pub const VFS: &str = "weir.sriov-vfs/1";
/// Schema of [`Applied`].
pub const APPLIED: &str = "weir.sriov-applied/1";

/// Every PF of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sriov {
    /// [`SRIOV`]
    pub schema: String,
    /// "manage" or "observe".
    pub mode: String,
    /// PFs.
    pub pfs: Vec<PfView>,
    /// PFs of the configuration that the host does not have.
    pub absent: Vec<String>,
    /// VFs that guests were given and that are gone with their NIC.
    #[serde(default)]
    pub lost: Vec<LostVf>,
}

/// A VF that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostVf {
    /// The PF it was of.
    pub pf: String,
    /// Its number.
    pub vf: u16,
    /// Who had it.
    pub guest: String,
}

/// A PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PfView {
    /// PCI address.
    pub device: String,
    /// Kernel interface.
    pub interface: Option<String>,
    /// MAC address.
    pub mac: Option<String>,
    /// Driver.
    pub driver: Option<String>,
    /// NUMA node; `null` on a machine with one.
    pub numa_node: Option<u16>,
    /// Most VFs that the device has.
    pub vfs_max: Option<u16>,
    /// How many VFs it should have; `null`: not managed.
    pub vfs_wished: Option<u16>,
    /// Whether it has a link.
    pub link: bool,
    /// Queues of a VF, in words.
    pub queues: Option<String>,
    /// What would be done to bring it to what is wished, in order.
    pub steps: Vec<String>,
    /// What is left as it is, and why.
    pub notes: Vec<String>,
    /// What is wrong: refused wishes, failed steps, what cannot be read.
    pub faults: Vec<String>,
    /// Its VFs.
    pub vfs: Vec<VfView>,
}

/// A VF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfView {
    /// Its number.
    pub vf: u16,
    /// PCI address.
    pub address: Option<String>,
    /// Kernel interface.
    pub interface: Option<String>,
    /// Driver.
    pub driver: Option<String>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// Whether somebody has it open through vfio.
    pub in_use: bool,
    /// Who it is for: "free", "guest NAME" or "port NAME".
    pub owner: String,
    /// Service backends of that guest's name, as "service/backend".
    pub backends: Vec<String>,
    /// Settings as `ip link` words: "mac …", "vlan …".
    pub settings: Vec<String>,
    /// Counters, if the driver keeps them.
    pub counters: Option<Counters>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// [`APPLIED`]
    pub schema: String,
    /// Steps that were done, in order.
    pub done: Vec<String>,
    /// Steps that wait for a link.
    pub deferred: Vec<String>,
}

/// VFs of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vfs {
    /// [`VFS`]
    pub schema: String,
    /// The guest.
    pub guest: String,
    /// Its VFs.
    pub vfs: Vec<GuestVf>,
}

/// A VF of a guest, with libvirt's XML for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestVf {
    /// The PF.
    pub pf: String,
    /// The VF's number.
    pub vf: u16,
    /// PCI address.
    pub address: String,
}

/// How to apply.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Also change VFs that a guest has open.
    #[serde(default)]
    pub held: bool,
}

/// Which VF for whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The guest.
    pub guest: String,
    /// This PF only.
    pub pf: Option<String>,
    /// This VF only.
    pub vf: Option<u16>,
    /// Rather on this NUMA node.
    pub numa_node: Option<u16>,
    /// As many in all; `null`: one more.
    pub count: Option<usize>,
    /// QEMU's monitor socket, in place of libvirt.
    pub qmp: Option<PathBuf>,
}

/// Whose VFs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestRequest {
    /// The guest.
    pub guest: String,
}

/// Who moves where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrateRequest {
    /// The guest.
    pub guest: String,
    /// The host, as ssh knows it.
    pub to: String,
}

/// Whom the paths ask.
#[derive(Debug, Clone)]
struct Ways {
    manager: Handle,
    daemon: daemon::Requests,
}

/// The paths.
pub fn router(daemon: daemon::Requests, manager: Handle) -> Router {
    Router::new()
        .route("/v1/sriov", get(show))
        .route("/v1/sriov/apply", post(apply))
        .route("/v1/sriov/attach", post(attach))
        .route("/v1/sriov/detach", post(detach))
        .route("/v1/sriov/reset", post(reset))
        .route("/v1/sriov/migrate", post(migrate))
        .with_state(Ways { manager, daemon })
}

/// Tells the manager of every configuration that comes in force, until one of the two is gone.
pub async fn follow(daemon: daemon::Requests, manager: Handle) {
    const PERIOD: Duration = Duration::from_secs(5);
    let ways = Ways { manager, daemon };
    while tell_config(&ways).await.is_some() {
        tokio::time::sleep(PERIOD).await;
    }
}

/// Hands the configuration in force to the manager; `None` when one of the two is gone.
async fn tell_config(ways: &Ways) -> Option<Arc<Config>> {
    let (reply, answer) = oneshot::channel();
    ways.daemon.send(daemon::Request::View(reply)).await.ok()?;
    let config = answer.await.ok()?.config;
    ways.manager
        .ask(Request::Config(Arc::clone(&config)))
        .then_some(config)
}

struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ApiError {
            schema: schema::ERROR.into(),
            error: self.1,
            help: String::new(),
        };
        (self.0, Json(body)).into_response()
    }
}

impl From<SriovError> for Refusal {
    fn from(error: SriovError) -> Self {
        let status = match &error {
            SriovError::HasNone(_) | SriovError::NoVf(_) => StatusCode::NOT_FOUND,
            SriovError::Observing
            | SriovError::Host(_)
            | SriovError::Refused(_)
            | SriovError::Failed(_)
            | SriovError::Guest(_)
            | SriovError::Migrate(_)
            | SriovError::InUse { .. }
            | SriovError::Moving(_)
            | SriovError::Kept { .. }
            | SriovError::State { .. } => StatusCode::CONFLICT,
            SriovError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

fn gone() -> Refusal {
    Refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "weir-control is stopping; try again".to_owned(),
    )
}

/// Asks the manager, which has the configuration in force when it answers.
async fn ask<T>(ways: &Ways, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refusal> {
    tell_config(ways).await.ok_or_else(gone)?;
    let (reply, answer) = oneshot::channel();
    if !ways.manager.ask(request(reply)) {
        return Err(gone());
    }
    answer.await.map_err(|_| gone())
}

async fn show(State(ways): State<Ways>) -> Result<Json<Sriov>, Refusal> {
    let config = tell_config(&ways).await.ok_or_else(gone)?;
    let picture = tokio::task::spawn_blocking(move || ways.manager.look(config)).await;
    Ok(Json(view(&picture.map_err(|_| gone())??)))
}

async fn apply(State(ways): State<Ways>, Json(body): Json<ApplyRequest>) -> Result<Json<Applied>, Refusal> {
    let leave = Leave {
        touch_held: body.held,
    };
    let outcomes = ask(&ways, |reply| Request::Apply(leave, reply)).await??;
    let (mut done, mut deferred) = (Vec::new(), Vec::new());
    for mut outcome in outcomes {
        done.append(&mut outcome.done);
        deferred.append(&mut outcome.deferred);
    }
    Ok(Json(Applied {
        schema: APPLIED.into(),
        done,
        deferred,
    }))
}

async fn attach(State(ways): State<Ways>, Json(body): Json<AttachRequest>) -> Result<Json<Vfs>, Refusal> {
    let through =
        manager::through(body.qmp).map_err(|error| Refusal(StatusCode::CONFLICT, error.to_string()))?;
    let guest = valid_guest(body.guest)?;
    let ask_for = Ask {
        guest: guest.clone(),
        pf: body.pf,
        vf: body.vf,
        numa_node: body.numa_node,
    };
    let attach = Attach {
        ask: ask_for,
        count: body.count,
        through,
    };
    let list = ask(&ways, |reply| Request::Attach(attach, reply)).await??;
    Ok(vfs(guest, &list))
}

async fn detach(State(ways): State<Ways>, Json(body): Json<GuestRequest>) -> Result<Json<Vfs>, Refusal> {
    let list = ask(&ways, |reply| Request::Detach(body.guest.clone(), reply)).await??;
    Ok(vfs(body.guest, &list))
}

async fn reset(State(ways): State<Ways>, Json(body): Json<GuestRequest>) -> Result<Json<Vfs>, Refusal> {
    let list = ask(&ways, |reply| Request::Reset(body.guest.clone(), reply)).await??;
    Ok(vfs(body.guest, &list))
}

async fn migrate(State(ways): State<Ways>, Json(body): Json<MigrateRequest>) -> Result<Json<Vfs>, Refusal> {
    let guest = valid_guest(body.guest)?;
    let to = valid_host(body.to)?;
    tell_config(&ways).await.ok_or_else(gone)?;
    let (reply, answer) = oneshot::channel();
    mover::start(ways.manager.clone(), guest.clone(), to, reply);
    answer.await.map_err(|_| gone())??;
    Ok(vfs(guest, &[]))
}

/// Becomes a word of a command line and a part of a file's name.
fn valid_guest(name: String) -> Result<String, Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = (1..=63).contains(&name.len()) && name.chars().all(legal) && !name.starts_with(['-', '.']);
    if valid {
        return Ok(name);
    }
    Err(Refusal(
        StatusCode::BAD_REQUEST,
        format!("{name:?} cannot be a guest: use 1 to 63 of a-z A-Z 0-9 - _ ."),
    ))
}

/// Becomes a word of ssh's command line.
fn valid_host(name: String) -> Result<String, Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let valid = (1..=255).contains(&name.len()) && name.chars().all(legal) && !name.starts_with('-');
    if valid {
        return Ok(name);
    }
    Err(Refusal(
        StatusCode::BAD_REQUEST,
        format!("{name:?} cannot be a host: write it as for ssh, such as host2 or root@host2"),
    ))
}

fn vfs(guest: String, list: &[Allocation]) -> Json<Vfs> {
    let one = |vf: &Allocation| GuestVf {
        pf: vf.pf.clone(),
        vf: vf.vf,
        address: vf.address.clone(),
    };
    Json(Vfs {
        schema: VFS.into(),
        guest,
        vfs: list.iter().map(one).collect(),
    })
}

/// From a picture to the answer.
pub fn view(picture: &Picture) -> Sriov {
    Sriov {
        schema: SRIOV.into(),
        mode: match picture.mode {
            SriovMode::Manage => "manage",
            SriovMode::Observe => "observe",
        }
        .into(),
        pfs: picture
            .pfs
            .iter()
            .map(|standing| pf_view(picture, standing))
            .collect(),
        absent: picture.absent.clone(),
        lost: picture
            .lost
            .iter()
            .map(|vf| LostVf {
                pf: vf.pf.clone(),
                vf: vf.vf,
                guest: vf.guest.clone(),
            })
            .collect(),
    }
}

fn pf_view(picture: &Picture, standing: &Standing) -> PfView {
    let pf = &standing.pf;
    let plan = standing.plan.as_ref().ok();
    let mut faults = pf.faults.clone();
    faults.extend(standing.plan.as_ref().err().cloned());
    faults.extend(
        standing
            .failure
            .clone()
            .filter(|failure| !faults.contains(failure)),
    );
    PfView {
        device: pf.device.clone(),
        interface: pf.interface.clone(),
        mac: pf.mac.map(|mac| mac.to_string()),
        driver: pf.driver.clone(),
        numa_node: pf.numa_node,
        vfs_max: pf.vfs_max,
        vfs_wished: standing
            .wish
            .as_ref()
            .and_then(|wish| u16::try_from(wish.vfs.len()).ok()),
        link: pf.carrier,
        queues: rules::of(pf.driver.as_deref()).map(|rules| rules.queues.to_owned()),
        steps: plan
            .map(|plan| plan.steps.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        notes: plan.map(|plan| plan.notes.clone()).unwrap_or_default(),
        faults,
        vfs: pf.vfs.iter().map(|vf| vf_view(picture, standing, vf)).collect(),
    }
}

fn vf_view(picture: &Picture, standing: &Standing, vf: &Vf) -> VfView {
    let owner = owner(&picture.allocations, standing, vf);
    VfView {
        vf: vf.index,
        address: vf.address.clone(),
        interface: vf.interface.clone(),
        driver: vf.driver.clone(),
        iommu_group: vf.iommu_group,
        in_use: vf.held,
        backends: match &owner {
            Owner::Guest(guest) => backends_of(&picture.config, guest),
            Owner::Free | Owner::Port(_) => Vec::new(),
        },
        owner: owner.to_string(),
        settings: vf.settings.list().iter().map(Setting::to_string).collect(),
        counters: vf.counters,
    }
}

fn owner(allocations: &Allocations, standing: &Standing, vf: &Vf) -> Owner {
    match allocations.of_vf(&standing.pf.device, vf.index) {
        Some(allocation) => Owner::Guest(allocation.guest.clone()),
        None => standing
            .wish
            .as_ref()
            .and_then(|wish| Some(wish.vfs.get(usize::from(vf.index))?.owner.clone()))
            .unwrap_or_default(),
    }
}

/// A backend of the guest's name is that guest.
fn backends_of(config: &Config, guest: &str) -> Vec<String> {
    let all = config
        .services
        .iter()
        .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
    all.filter(|(_, backend)| backend.name.as_deref() == Some(guest))
        .map(|(service, backend)| format!("{}/{}", service.name, backend.address))
        .collect()
}

/// libvirt's XML for a VF of a view, in one of the three forms.
pub fn xml_of(pf: &PfView, vf: &VfView, form: XmlForm) -> Option<String> {
    let settings = settings_of(vf);
    match form {
        XmlForm::Interface => Some(xml::interface(vf.address.as_ref()?, &settings)),
        XmlForm::Hostdev => Some(xml::hostdev(vf.address.as_ref()?)),
        XmlForm::Network => {
            let interface = pf.interface.as_ref()?;
            Some(xml::network(&format!("weir-{interface}"), interface))
        }
    }
}

/// A form of libvirt's XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum XmlForm {
    /// `<interface type='hostdev'>`: with MAC and VLAN. The form to prefer.
    Interface,
    /// `<hostdev mode='subsystem' type='pci'>`: a PCI device like any other.
    Hostdev,
    /// `<network>`: a pool of all VFs of the PF, of which libvirt takes one.
    Network,
}

/// MAC and VLAN out of the words of a view.
fn settings_of(vf: &VfView) -> super::model::Settings {
    let mut settings = super::model::Settings::default();
    for words in &vf.settings {
        let mut words = words.split(' ');
        match (words.next(), words.next()) {
            (Some("mac"), Some(mac)) => settings.mac = mac.parse().ok(),
            (Some("vlan"), Some(id)) => {
                settings.vlan = id
                    .parse()
                    .ok()
                    .map(|id| (id, 0, weir_configs::VlanProtocol::Dot1Q));
            }
            _ => {}
        }
    }
    settings
}
