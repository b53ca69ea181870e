//! Raw frames out of a namespace, as no well-behaved client would send them, and raw frames seen there.

use std::time::{Duration, Instant};

use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender};

use super::LabError;
use super::node::Node;

/// A packet socket on one interface of a namespace.
pub struct Injector {
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
    interface: String,
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Injector({})", self.interface)
    }
}

impl Injector {
    /// Opens the socket. The namespace is entered only to open it.
    pub fn open(node: &Node, interface: &str) -> Result<Self, LabError> {
        let what = format!("open a packet socket on {interface} in {}", node.namespace());
        let config = Config {
            read_timeout: Some(Duration::from_millis(50)),
            ..Config::default()
        };
        let opened = node.inside(|| {
            let found = pnet_datalink::interfaces()
                .into_iter()
                .find(|candidate| candidate.name == interface);
            found.map(|interface| pnet_datalink::channel(&interface, config))
        })?;
        match opened {
            Some(Ok(Channel::Ethernet(sender, receiver))) => Ok(Self {
                sender,
                receiver,
                interface: interface.to_owned(),
            }),
            Some(Ok(_)) => Err(LabError::unexpected(format!("{what}: not an Ethernet interface"))),
            Some(Err(source)) => Err(LabError::Io { what, source }),
            None => Err(LabError::unexpected(format!("{what}: no such interface"))),
        }
    }

    /// Sends one frame, Ethernet header included, exactly as given.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), LabError> {
        let sent = self.sender.send_to(frame, None);
        sent.unwrap_or_else(|| Err(std::io::Error::other("no room to send")))
            .map_err(|source| {
                LabError::io(
                    format!("send {} bytes on {}", frame.len(), self.interface),
                    source,
                )
            })
    }

    /// The first frame within `patience` that `wanted` says yes to.
    pub fn receive(&mut self, patience: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            // An error is the read time-out: look at the clock and go on.
            if let Ok(frame) = self.receiver.next()
                && wanted(frame)
            {
                return Some(frame.to_vec());
            }
        }
        None
    }
}
