//! From a configured virtual router to what the machine wants to know.

use super::kernel;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use weir_configs::{Vrrp, VrrpAuth, VrrpRules};
use weir_proto::vrrp::auth::{AntiReplay, Hmac, Key, Mode, Password};
use weir_proto::vrrp::{Announcing, Auth, Config, Preempt, Rules};
use weir_wire::vrrp::{ChecksumV3, Version};

/// Longest file with a secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// The machine's configuration, or why there is none now.
pub(super) fn resolve(vrrp: &Vrrp, interface: &str) -> Result<Config, String> {
    let addresses: Vec<IpAddr> = vrrp.addresses.iter().map(|net| net.addr()).collect();
    let v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let source = match vrrp.source {
        Some(source) => source,
        None => kernel::source_address(interface, v6, |address| vrrp.holds(address)).ok_or_else(|| {
            format!("interface {interface} has no address to send from: give it one, or set `source`")
        })?,
    };
    let millis = |value: u32| Duration::from_millis(u64::from(value));
    let mut config = Config::new(vrrp.virtual_router_id, source, addresses);
    config.version = if vrrp.version == 2 {
        Version::V2
    } else {
        Version::V3
    };
    config.priority = vrrp.priority;
    config.interval = millis(vrrp.advert_interval_ms);
    config.unicast_peers.clone_from(&vrrp.unicast_peers);
    config.unicast_ttl_min = vrrp.unicast_ttl_min;
    config.preempt = match (vrrp.preempt, vrrp.preempt_delay_ms) {
        (false, _) => Preempt::No,
        (true, 0) => Preempt::Yes,
        (true, delay) => Preempt::After(millis(delay)),
    };
    config.startup_delay = millis(vrrp.startup_delay_ms);
    config.down_timer_adverts = vrrp.down_timer_adverts;
    config.announcing = Announcing {
        repeat: vrrp.announce_repeat,
        delay: millis(vrrp.announce_delay_ms),
        refresh: millis(vrrp.announce_refresh_ms),
        refresh_repeat: vrrp.announce_refresh_repeat,
        lower_priority_repeat: vrrp.announce_lower_repeat,
        lower_priority_delay: millis(vrrp.announce_lower_delay_ms),
    };
    config.rules = match vrrp.rules {
        VrrpRules::Weir => Rules::WEIR,
        VrrpRules::Keepalived => Rules::KEEPALIVED,
        VrrpRules::Rfc9568 => Rules::RFC_9568,
    };
    if vrrp.checksum_as_v2 {
        config.checksum = ChecksumV3::AsV2;
    }
    config.grouped = vrrp.sync_group.is_some();
    config.auth = auth(vrrp, config.interval)?;
    config.check().map_err(|invalid| invalid.to_string())?;
    Ok(config)
}

fn auth(vrrp: &Vrrp, interval: Duration) -> Result<Auth, String> {
    let secret_text = || -> Result<String, String> {
        let path = vrrp.auth_file.as_deref().ok_or("no `auth_file`")?;
        read_secret(path).map_err(|error| format!("cannot use {}: {error}", path.display()))
    };
    let secret = || {
        Ok::<_, String>(
            secret_text()?
                .lines()
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        )
    };
    Ok(match vrrp.auth {
        VrrpAuth::None => Auth::None,
        VrrpAuth::Password => Auth::Password(Password::new(&secret()?)),
        VrrpAuth::Header => Auth::Header(Password::new(&secret()?)),
        VrrpAuth::Hmac => Auth::Hmac(Hmac {
            keys: keys(&secret_text()?, vrrp.auth_key_id)?,
            active_key: vrrp.auth_key_id,
            mode: Mode::Enforce,
            anti_replay: AntiReplay::Time {
                window_s: Hmac::default_window_s(interval),
            },
        }),
    })
}

/// Keys for HMAC: lines of a number and hexadecimal digits, or of the digits alone for key `active`. All are believed,
/// so that keys can be changed one director after the other: the new one into every file, then it signs, then the old
/// one out.
fn keys(text: &str, active: u8) -> Result<Vec<Key>, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (id, digits) = match line.split_once(char::is_whitespace) {
                Some((id, digits)) => (id.parse().ok().filter(|id| *id != 0), digits.trim()),
                None => (Some(active), line),
            };
            Ok(Key {
                id: id.ok_or("a key has no number from 1 to 255 before it")?,
                secret: hexadecimal(digits).ok_or("a key is not 64 to 128 hexadecimal digits")?,
            })
        })
        .collect()
}

/// A file that nobody else may read.
fn read_secret(path: &Path) -> io::Result<String> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nofollow)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it: chmod 600"));
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn a_file_may_have_several_keys() {
        let (old, new) = ("ab".repeat(32), "cd".repeat(32));
        let found = |text: &str| -> Result<Vec<(u8, usize)>, String> {
            let keys = keys(text, 7)?;
            Ok(keys.iter().map(|key| (key.id, key.secret.len())).collect())
        };
        assert_eq!(found(&old), Ok(vec![(7, 32)]), "alone it is the active one");
        let both = format!("# changed in May\n1 {old}\n\n 2  {new} \n");
        assert_eq!(found(&both), Ok(vec![(1, 32), (2, 32)]));
        for bad in [
            format!("0 {old}"),
            format!("300 {old}"),
            "1 abc".to_owned(),
            "word".to_owned(),
        ] {
            assert!(found(&bad).is_err(), "{bad}");
        }
    }
}
