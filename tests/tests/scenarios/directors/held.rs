//! Requests that are under way for as long as the test wants: each is answered half, and the other half only when the client
//! has asked for it, which it does after the addresses have moved. Only the server that answered the first half knows of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use weir_tests::lab::{LabError, Node, wait_until};
use weir_tests::stage::Director;

use super::pair::PATIENCE;

/// Where the servers of such requests listen.
pub(super) const PORT: u16 = 81;
/// Requests under way at once.
const REQUESTS: usize = 60;
/// Longer than anything that may happen to a segment: the third repetition.
const HALF_MAX: Duration = Duration::from_secs(10);

/// A server in `node`, for both families, that answers each line with its name. It ends with the process of the test.
pub(super) fn serve(node: &Node) -> Result<(), LabError> {
    let bound = node.inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)))?;
    let listener = bound.map_err(|source| LabError::Io {
        what: format!("listen on port {PORT}"),
        source,
    })?;
    let name = node.short_name().to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            // What goes wrong is seen by who asked.
            std::thread::spawn(move || answer(stream, &name));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    for line in lines {
        line?;
        writeln!(stream, "{name}")?;
    }
    Ok(())
}

/// Requests that were answered half.
pub(super) struct Held(Vec<(BufReader<TcpStream>, String)>);

impl Held {
    /// Begins `count` of them.
    pub(super) fn begin(node: &Node, to: IpAddr, count: usize) -> Result<Self, LabError> {
        let to = SocketAddr::from((to, PORT));
        let one = |_| -> std::io::Result<_> {
            let stream = TcpStream::connect_timeout(&to, HALF_MAX)?;
            stream.set_read_timeout(Some(HALF_MAX))?;
            let mut stream = BufReader::new(stream);
            let server = half(&mut stream)?;
            Ok((stream, server))
        };
        let begun = node.inside(|| (0..count).map(one).collect::<std::io::Result<Vec<_>>>())?;
        begun
            .map(|mut requests| {
                // Server by server: a scheduler that takes servers by turns would else repeat its own choices.
                requests.sort_by(|a, b| a.1.cmp(&b.1));
                Self(requests)
            })
            .map_err(|error| LabError::unexpected(format!("beginning requests to {to}: {error}")))
    }

    /// How many different servers have them.
    pub(super) fn servers(&self) -> usize {
        let mut names: Vec<&String> = self.0.iter().map(|(_, server)| server).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }

    /// Asks for another part of each; how many do not get it from the server that gave the first.
    pub(super) fn lost(&mut self) -> usize {
        let good = |(stream, server): &mut (BufReader<TcpStream>, String)| {
            half(stream).is_ok_and(|name| name == *server)
        };
        self.0.iter_mut().map(good).filter(|good| !good).count()
    }
}

/// Packets a director has relayed to the other so far.
pub(super) fn relayed(director: &Director) -> Result<u64, LabError> {
    let shown = director.ctl_json("drops")?;
    let mut rows = shown["reasons"].as_array().into_iter().flatten();
    let found = rows.find(|row| row["verdict"] == "tx" && row["name"] == "relayed");
    found
        .and_then(|row| row["packets"].as_u64())
        .ok_or_else(|| LabError::unexpected(format!("no count of relayed packets: {shown}")))
}

/// Hands over and back with requests under way, none of which is lost. `is_peer` tells the address that the director of a
/// number is heard by.
pub(super) fn hand_over_and_back(
    directors: &[Director],
    client: &Node,
    vip: IpAddr,
    is_peer: impl Fn(usize, &str) -> bool,
) -> Result<(), LabError> {
    wait_active(directors, 0, &is_peer)?;
    let mut requests = vec![Held::begin(client, vip, REQUESTS)?];
    let steps: [(usize, &[&str]); 2] = [(1, &["failover"]), (0, &["failover", "--resume"])];
    for (to, words) in steps {
        let before = relayed(&directors[to])?;
        directors[0].ctl(words)?;
        wait_active(directors, to, &is_peer)?;
        // The client may hear of it a moment later, and until then everything goes the old way.
        wait_until("packets to be relayed", PATIENCE, || {
            for held in &mut requests {
                assert_eq!(held.lost(), 0, "{words:?}: a request that was under way is lost");
            }
            let relayed = relayed(&directors[to]).map_err(|error| error.to_string())?;
            if relayed > before {
                Ok(())
            } else {
                Err(format!("{relayed}"))
            }
        })?;
        requests.push(Held::begin(client, vip, REQUESTS)?);
    }
    drop(requests);
    for director in directors {
        director.settled_balance()?;
    }
    Ok(())
}

/// Waits until this one is active, and the other one has heard it and knows where it is.
fn wait_active(
    directors: &[Director],
    active: usize,
    is_peer: &impl Fn(usize, &str) -> bool,
) -> Result<(), LabError> {
    let (here, there) = (&directors[active], &directors[1 - active]);
    wait_until("one active director that the other knows", PATIENCE, || {
        let ask =
            |director: &Director, what: &str| director.ctl_json(what).map_err(|error| error.to_string());
        let (ours, theirs) = (ask(here, "vrrp")?, ask(there, "vrrp")?);
        let neighbors = ask(there, "neighbor")?;
        let heard = &theirs["vrrp"][0]["active"]["address"];
        let mut rows = neighbors["neighbors"].as_array().into_iter().flatten();
        let known = rows.any(|row| row["address"] == *heard && row["mac"].is_string());
        let is_right = heard.as_str().is_some_and(|address| is_peer(active, address));
        if ours["vrrp"][0]["state"] == "active" && is_right && known {
            Ok(())
        } else {
            Err(format!("{ours} {theirs} {neighbors}"))
        }
    })
}

fn half(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    stream.get_mut().write_all(b"more\n")?;
    let mut name = String::new();
    stream.read_line(&mut name)?;
    if name.ends_with('\n') {
        Ok(name)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
