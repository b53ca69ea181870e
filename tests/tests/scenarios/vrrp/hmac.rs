//! Signed advertisements: what was changed or recorded is refused by name, and keys change without a change of state.

use serde_json::Value;

use super::{Directors, FAST, PATIENCE, V4, write};
use weir_tests::lab::{Injector, LabError, wait_until};
use weir_tests::scenario::scenario;

/// A key of number 1.
pub(super) const KEY: &str = OLD;
const OLD: &str = "1 6f1d2c3b4a5968778695a4b3c2d1e0f00f1e2d3c4b5a69788796a5b4c3d2e1f0\n";
const NEW: &str = "2 a0b1c2d3e4f5061728394a5b6c7d8e9f9f8e7d6c5b4a39281706f5e4d3c2b1a0\n";

/// What one director is told: which keys it believes, and which one it signs with.
pub(super) fn tell(
    directors: &Directors,
    tag: &str,
    priority: u8,
    keys: &str,
    signs: u8,
) -> Result<String, LabError> {
    let file = directors.dir.join(format!("{tag}.keys"));
    write(&file, keys, 0o600)?;
    // Something else changes with the file, or there would be nothing to apply.
    Ok(directors.text(priority, &FAST, tag)
        + &format!(
            "auth = 'hmac'\nauth_file = '{}'\nauth_key_id = {signs}\nannounce_delay_ms = {}\n",
            file.display(),
            5000 + keys.len()
        ))
}

/// Waits until the backup has counted more of this than `before`.
fn counted(directors: &Directors, name: &str, before: u64) -> Result<(), LabError> {
    wait_until(&format!("{name} to be counted"), PATIENCE, || {
        let shown = directors.shown("low").map_err(|error| error.to_string())?;
        match shown
            .first()
            .map(|vrrp| vrrp["stats"][name].as_u64().unwrap_or_default())
        {
            Some(count) if count > before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn heard_from(shown: &Value) -> bool {
    shown["state"] == "backup" && shown["active"].is_object()
}

#[test]
fn keys_change_and_what_is_not_signed_or_not_new_is_refused() {
    scenario(
        "vrrp: HMAC, recorded and damaged advertisements, new keys",
        |lab| {
            let directors = Directors::new(lab)?;
            let high = tell(&directors, "high", 150, OLD, 1)?;
            let _high = directors.start_weir(&directors.weir, "high", &high)?;
            directors.only(&directors.weir, V4)?;
            let low = tell(&directors, "low", 100, OLD, 1)?;
            let _low = directors.start_weir(&directors.peer, "low", &low)?;
            let listens = || {
                wait_until("the backup to hear the active one", PATIENCE, || {
                    let shown = directors.shown("low").map_err(|error| error.to_string())?;
                    match shown.first() {
                        Some(vrrp) if heard_from(vrrp) => Ok(vrrp["transitions"].clone()),
                        other => Err(format!("{other:?}")),
                    }
                })
            };
            listens()?;
            let stranger = lab.add_node("stranger", "eth0")?;
            let mut wire = Injector::open(&stranger, "eth0")?;
            let is_advert = |frame: &[u8]| frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&112);
            let recorded = wire
                .receive(PATIENCE, is_advert)
                .ok_or_else(|| LabError::unexpected("no advertisement to record"))?;
            wire.send(&recorded)?;
            counted(&directors, "auth_replay", 0)?;
            let mut damaged = recorded;
            if let Some(last) = damaged.last_mut() {
                *last ^= 1;
            }
            wire.send(&damaged)?;
            counted(&directors, "auth_failure", 0)?;
            // Both believe both keys, then both sign with the new one, then the old one goes: one director after the other.
            let both = format!("{OLD}{NEW}");
            for (keys, signs) in [(both.as_str(), 1), (both.as_str(), 2), (NEW, 2)] {
                for (tag, priority) in [("high", 150), ("low", 100)] {
                    let file = directors.file(tag);
                    write(&file, &tell(&directors, tag, priority, keys, signs)?, 0o600)?;
                    directors.ctl(tag, &format!("config apply {}", file.display()))?;
                    let received = directors.shown("low")?[0]["stats"]["advert_rcvd"].as_u64();
                    counted(&directors, "advert_rcvd", received.unwrap_or_default())?;
                    listens()?;
                }
            }
            directors.only(&directors.weir, V4).map(drop)
        },
    );
}
