//! Bodies of what brackets a transaction, and of commands that are one value.

use core::net::IpAddr;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{RecordError, Timeouts};
use super::{Body, Ip, decode_bits};

body!(BeginBody { full: u8 });

impl BeginBody {
    pub(in super::super) fn encode(full: bool) -> Self {
        Self { full: full.into() }
    }
}

impl Body for BeginBody {
    type Value = bool;

    fn decode(&self) -> Result<bool, RecordError> {
        decode_bits(self.full).map(|[full]| full)
    }
}

body!(CommitBody { commands: U32 });

impl CommitBody {
    pub(in super::super) fn encode(commands: u32) -> Self {
        Self {
            commands: commands.into(),
        }
    }
}

impl Body for CommitBody {
    type Value = u32;

    fn decode(&self) -> Result<u32, RecordError> {
        Ok(self.commands.get())
    }
}

body!(AddressBody { address: Ip });

impl AddressBody {
    pub(in super::super) fn encode(address: IpAddr) -> Self {
        Self {
            address: Ip::encode(address),
        }
    }
}

impl Body for AddressBody {
    type Value = IpAddr;

    fn decode(&self) -> Result<IpAddr, RecordError> {
        self.address.decode()
    }
}

body!(TimeoutsBody {
    timeouts_s: [U32; 14],
});

impl TimeoutsBody {
    pub(in super::super) fn encode(timeouts: &Timeouts) -> Self {
        Self {
            timeouts_s: timeouts.to_array().map(U32::new),
        }
    }
}

impl Body for TimeoutsBody {
    type Value = Timeouts;

    fn decode(&self) -> Result<Timeouts, RecordError> {
        Timeouts::checked(self.timeouts_s.map(U32::get))
    }
}
