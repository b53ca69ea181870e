//! `accept = false` on a kernel interface: the address is found, and what is sent to it is dropped; nothing is left behind.

use super::{Directors, FAST, PATIENCE, V4, V6, write};
use weir_tests::lab::{LabError, wait_until};
use weir_tests::scenario::scenario;

/// One address of each family.
fn text(directors: &Directors, accept: bool) -> String {
    directors.text(150, &FAST, "high") + &format!("excluded_addresses = ['{V6}/64']\naccept = {accept}\n")
}

/// Waits until both addresses answer the other director, or neither of them does.
fn answers(directors: &Directors, wanted: bool) -> Result<(), LabError> {
    for (program, address) in [("ping", V4), ("ping -6", V6)] {
        wait_until(&format!("an answer of {address}: {wanted}"), PATIENCE, || {
            let (program, family) = program.split_once(' ').unwrap_or((program, ""));
            let answer = directors
                .peer
                .run(program, &format!("{family} -c 1 -W 1 {address}"));
            if answer.is_ok() == wanted {
                Ok(())
            } else {
                Err(format!("{answer:?}"))
            }
        })?;
        // Whether it accepts or not, its neighbours find it.
        let found = directors.peer.run("ip", &format!("neighbor show {address}"))?;
        assert!(found.contains("lladdr"), "{found}");
    }
    Ok(())
}

#[test]
fn an_address_that_accepts_nothing_is_found_and_silent() {
    scenario("vrrp: accept = false on a kernel interface", |lab| {
        let directors = Directors::new(lab)?;
        directors.peer.ip("address add 2001:db8::2/64 dev eth0 nodad")?;
        let filtered = || {
            let tables = directors.weir.run("nft", "list tables")?;
            Ok::<_, LabError>(tables.contains("weir_vrrp"))
        };
        let weir = directors.start_weir(&directors.weir, "high", &text(&directors, false))?;
        directors.only(&directors.weir, V4)?;
        answers(&directors, false)?;
        let apply = |accept| {
            let file = directors.file("high");
            write(&file, &text(&directors, accept), 0o600)?;
            directors.ctl("high", &format!("config apply {}", file.display()))
        };
        apply(true)?;
        answers(&directors, true)?;
        apply(false)?;
        answers(&directors, false)?;
        assert_eq!(
            directors.shown("high")?[0]["state"],
            "active",
            "it held them all the time"
        );
        weir.kill()?;
        assert!(
            filtered()?,
            "who is killed leaves addresses, and what guards them"
        );
        let weir = directors.start_weir(&directors.weir, "high", &text(&directors, false))?;
        wait_until("the next one to be active", PATIENCE, || {
            match directors
                .shown("high")
                .map_err(|error| error.to_string())?
                .first()
            {
                Some(vrrp) if vrrp["state"] == "active" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        answers(&directors, false)?;
        assert!(weir.stop()?.success());
        assert!(!filtered()?, "an orderly end leaves nothing");
        Ok(())
    });
}
