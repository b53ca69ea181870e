//! Paths and methods. A handler asks the daemon for a snapshot, the dataplane where it must, and [`views`] for the answer.

use super::error::Refusal;
use super::metrics;
use super::views::{self, queries};
use crate::api_types as types;
use crate::daemon::view::View;
use crate::daemon::{
    Applied, MaintenanceChange, MaintenanceError, Patch, Proposal, Refused, Request, Requests,
};
use crate::vrrp::status as vrrp_types;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::oneshot;
use types::schema;

/// Longest request body: a configuration with a hundred thousand backends fits.
const BODY_BYTES_MAX: usize = 32 << 20;

type Answer<T> = Result<Json<T>, Refusal>;

/// The API's paths.
pub fn router(requests: Requests) -> Router {
    Router::new()
        .route(
            "/v1/status",
            get(async |State(daemon): State<Requests>| show(daemon, views::status).await),
        )
        .route(
            "/v1/services",
            get(async |State(daemon): State<Requests>| show(daemon, views::services).await),
        )
        .route(
            "/v1/backends",
            get(async |State(daemon): State<Requests>| show(daemon, views::backends).await).patch(patch),
        )
        .route(
            "/v1/checks",
            get(async |State(daemon): State<Requests>| show(daemon, views::health::checks).await),
        )
        .route(
            "/v1/maintenance",
            get(async |State(daemon): State<Requests>| show(daemon, views::health::maintenance).await)
                .post(maintain),
        )
        .route("/v1/drops", get(drops))
        .route("/v1/ports", get(ports))
        .route("/v1/workers", get(workers))
        .route("/v1/neighbors", get(neighbors))
        .route("/v1/flows", get(flows))
        .route("/v1/explain", get(explain))
        .route(
            "/v1/config",
            get(async |State(daemon): State<Requests>| show(daemon, views::config).await),
        )
        .route("/v1/vrrp", get(vrrp))
        .route("/v1/vrrp/keepalived", get(vrrp_for_keepalived))
        .route("/v1/bfd", get(bfd))
        .route("/v1/vrrp/hand-over", post(hand_over))
        .route("/v1/events", get(events))
        .route("/metrics", get(scrape))
        .route("/v1/config/check", post(check))
        .route("/v1/config/diff", post(diff))
        .route("/v1/config/apply", post(apply))
        .fallback(async || {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "no such path",
                "`weirctl --help` lists what there is; is it of the same version?",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(requests)
}

/// Asks the daemon.
async fn ask<T>(
    daemon: &Requests,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    daemon.try_send(request(reply)).map_err(|_| Refusal::busy())?;
    answer.await.map_err(|_| Refusal::busy())
}

async fn show<T>(daemon: Requests, view: impl FnOnce(&View) -> T) -> Answer<T> {
    let snapshot = ask(&daemon, Request::View).await?;
    Ok(Json(view(&snapshot)))
}

async fn vrrp(State(daemon): State<Requests>) -> Answer<vrrp_types::Vrrps> {
    Ok(Json(vrrp_types::Vrrps {
        schema: vrrp_types::SCHEMA.into(),
        vrrp: ask(&daemon, Request::Vrrp).await?,
    }))
}

/// What keepalived writes at its JSON signal, for exporters that read that.
async fn vrrp_for_keepalived(State(daemon): State<Requests>) -> Answer<serde_json::Value> {
    Ok(Json(crate::vrrp::dump::keepalived(
        &ask(&daemon, Request::Vrrp).await?,
    )))
}

async fn bfd(State(daemon): State<Requests>) -> Answer<crate::bfd::status::Sessions> {
    Ok(Json(ask(&daemon, Request::Bfd).await?))
}

/// Which events.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// From this number on.
    #[serde(default)]
    from: u64,
}

async fn events(
    State(daemon): State<Requests>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Answer<vrrp_types::Events> {
    let Query(query) = query.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    Ok(Json(vrrp_types::Events {
        schema: vrrp_types::EVENTS_SCHEMA.into(),
        events: ask(&daemon, |reply| Request::Events(query.from, reply)).await?,
    }))
}

async fn hand_over(
    State(daemon): State<Requests>,
    body: Result<Json<vrrp_types::HandOver>, JsonRejection>,
) -> Answer<vrrp_types::Vrrps> {
    let Json(body) = body.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    let known = ask(&daemon, Request::Vrrp).await?;
    if let Some(name) = body
        .name
        .as_ref()
        .filter(|name| known.iter().all(|vrrp| vrrp.name != **name))
    {
        let error = format!("there is no virtual router \"{name}\"");
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            error,
            "`weirctl vrrp` lists them",
        ));
    }
    let request = Request::HandOver {
        name: body.name,
        resume: body.resume,
    };
    daemon.try_send(request).map_err(|_| Refusal::busy())?;
    vrrp(State(daemon)).await
}

async fn scrape(State(daemon): State<Requests>) -> Result<Response, Refusal> {
    let view = ask(&daemon, Request::View).await?;
    let shared = metrics::shared::Shared {
        vrrps: ask(&daemon, Request::Vrrp).await?,
        sessions: ask(&daemon, Request::Bfd).await?.sessions,
    };
    Ok(metrics::answer(view, shared))
}

async fn drops(State(daemon): State<Requests>) -> Answer<types::Drops> {
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(views::drops(&view)?))
}

async fn ports(State(daemon): State<Requests>) -> Answer<types::Ports> {
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(queries::ports(&view).await?))
}

async fn workers(State(daemon): State<Requests>) -> Answer<types::Workers> {
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(queries::workers(&view).await?))
}

async fn neighbors(State(daemon): State<Requests>) -> Answer<types::Neighbors> {
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(queries::neighbors(&view).await?))
}

async fn flows(
    State(daemon): State<Requests>,
    query: Result<Query<types::FlowQuery>, QueryRejection>,
) -> Answer<types::Flows> {
    let Query(query) = query.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(queries::flows(&view, &query).await?))
}

async fn explain(
    State(daemon): State<Requests>,
    query: Result<Query<types::ExplainQuery>, QueryRejection>,
) -> Answer<types::Explain> {
    let Query(query) = query.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    let view = ask(&daemon, Request::View).await?;
    Ok(Json(queries::explain(&view, &query).await?))
}

async fn patch(
    State(daemon): State<Requests>,
    body: Result<Json<types::BackendPatch>, JsonRejection>,
) -> Answer<types::Backends> {
    let Json(body) = body.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    if body.reset && (body.weight.is_some() || body.drain.is_some() || body.disable.is_some()) {
        return Err(Refusal::malformed(
            "`reset` together with `weight`, `drain` or `disable`",
            "send the reset alone",
        ));
    }
    let patch = Patch {
        service: body.service,
        backend: body.backend,
        weight: body.weight,
        drain: body.drain,
        disable: body.disable,
        reset: body.reset,
    };
    let name = ask(&daemon, |reply| Request::Patch(patch, reply)).await??;
    let view = ask(&daemon, Request::View).await?;
    let mut answer = views::backends(&view);
    let address = name.backend.to_string();
    answer
        .backends
        .retain(|backend| backend.service == name.service && backend.address == address);
    Ok(Json(answer))
}

async fn maintain(
    State(daemon): State<Requests>,
    body: Result<Json<types::MaintenanceChange>, JsonRejection>,
) -> Answer<types::Maintenance> {
    let Json(body) = body.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    let change = MaintenanceChange {
        service: body.service,
        backend: body.backend,
        on: body.on,
        reason: body.reason,
    };
    let done = ask(&daemon, |reply| Request::Maintain(change, reply)).await?;
    done.map_err(|error| {
        let status = match error {
            MaintenanceError::NoBackend(_) => StatusCode::NOT_FOUND,
            MaintenanceError::TooMany | MaintenanceError::File { .. } => StatusCode::CONFLICT,
        };
        Refusal::new(status, error.to_string(), "`weirctl backend` lists what there is")
    })?;
    show(daemon, views::health::maintenance).await
}

type ConfigBody = Result<Json<types::ConfigRequest>, JsonRejection>;

/// Reads the configuration of a request; what is wrong with it is the answer.
fn read(
    body: ConfigBody,
) -> Result<Result<(weir_configs::Config, String), Box<types::ConfigResult>>, Refusal> {
    let Json(body) = body.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    Ok(match weir_configs::parse(&body.text, &body.file) {
        Ok(config) => Ok((config, body.file)),
        Err(report) => Err(Box::new(types::ConfigResult {
            diagnostics: report.diagnostics,
            valid: false,
            ..result(body.file)
        })),
    })
}

fn result(file: String) -> types::ConfigResult {
    types::ConfigResult {
        schema: schema::CONFIG_RESULT.into(),
        file,
        valid: true,
        diagnostics: Vec::new(),
        changes: Vec::new(),
        applied: false,
        generation: None,
    }
}

type ConfigAnswer = Result<(StatusCode, Json<types::ConfigResult>), Refusal>;

fn invalid(result: types::ConfigResult) -> (StatusCode, Json<types::ConfigResult>) {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(result))
}

async fn check(body: ConfigBody) -> ConfigAnswer {
    Ok(match read(body)? {
        Ok((_, file)) => (StatusCode::OK, Json(result(file))),
        Err(faults) => invalid(*faults),
    })
}

async fn diff(State(daemon): State<Requests>, body: ConfigBody) -> ConfigAnswer {
    let (config, file) = match read(body)? {
        Ok(read) => read,
        Err(faults) => return Ok(invalid(*faults)),
    };
    let view = ask(&daemon, Request::View).await?;
    let mut answer = result(file);
    answer.changes = weir_configs::diff(&view.config, &config);
    Ok((StatusCode::OK, Json(answer)))
}

/// How to apply.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyQuery {
    /// It may remove a large part of what there is.
    #[serde(default)]
    confirm: bool,
}

async fn apply(
    State(daemon): State<Requests>,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    body: ConfigBody,
) -> ConfigAnswer {
    let Query(query) = query.map_err(|rejection| Refusal::malformed(rejection.body_text(), ""))?;
    let (config, file) = match read(body)? {
        Ok(read) => read,
        Err(faults) => return Ok(invalid(*faults)),
    };
    let proposal = Box::new(Proposal {
        config,
        file: file.clone(),
        confirmed: query.confirm,
    });
    match ask(&daemon, |reply| Request::Apply(proposal, reply)).await? {
        Ok(Applied { changes, generation }) => {
            let answer = types::ConfigResult {
                changes,
                applied: true,
                generation,
                ..result(file)
            };
            Ok((StatusCode::OK, Json(answer)))
        }
        Err(Refused { error, help }) => Err(Refusal::new(StatusCode::CONFLICT, error, help)),
    }
}
