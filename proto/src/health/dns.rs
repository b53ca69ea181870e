//! One question over UDP, as keepalived's DNS_CHECK: type SOA and name "." unless configured.
//!
//! Any well-formed answer to the very question passes that says NOERROR or, unless that is not wished, NXDOMAIN: the
//! server did its work. SERVFAIL, REFUSED and the others fail; keepalived takes NOERROR alone. What answers another question (an old run's) is passed over. [`simple_dns`] reads it.

use super::failure::Failure;
use super::reader::Progress;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// The name asked for; "." is the root.
    pub name: String,
    /// The type asked for, by its number.
    pub kind: u16,
    /// Whether NXDOMAIN passes.
    pub nxdomain: bool,
}

impl Query {
    /// The question as a datagram. A name that cannot be sent is asked for as the root; the configuration refuses those.
    pub fn request(&self, id: u16) -> Vec<u8> {
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        let name = Name::new(name).unwrap_or_else(|_| Name::new_unchecked(""));
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let kind = QTYPE::TYPE(TYPE::from(self.kind));
        packet
            .questions
            .push(Question::new(name, kind, QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().unwrap_or_default()
    }

    /// Judges a datagram.
    pub fn read(&self, id: u16, datagram: &[u8]) -> Progress {
        let not_dns = Progress::Fail(Failure::NotProtocol("DNS"));
        let Some(&[high, low, _, flags, ..]) = datagram.first_chunk::<12>() else {
            return not_dns;
        };
        if u16::from_be_bytes([high, low]) != id {
            return Progress::More;
        }
        let Ok(packet) = Packet::parse(datagram) else {
            return not_dns;
        };
        if !packet.has_flags(PacketFlag::RESPONSE) {
            return not_dns;
        }
        match packet.rcode() {
            RCODE::NoError => Progress::Pass,
            RCODE::NameError if self.nxdomain => Progress::Pass,
            _ => Progress::Fail(Failure::Code("DNS answer code", u32::from(flags & 0x0f))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_passes_where_it_may() {
        let code = |rcode: u8, nxdomain| {
            let query = Query {
                name: "www.example.net".into(),
                kind: 6,
                nxdomain,
            };
            let mut answer = query.request(7);
            answer[2] |= 0x80;
            answer[3] = (answer[3] & 0xf0) | rcode;
            query.read(7, &answer)
        };
        let failed = |code| Progress::Fail(Failure::Code("DNS answer code", code));
        for nxdomain in [true, false] {
            assert_eq!(code(0, nxdomain), Progress::Pass);
            assert_eq!(code(2, nxdomain), failed(2));
        }
        assert_eq!(code(3, true), Progress::Pass);
        assert_eq!(code(3, false), failed(3));
    }
}
