//! The very bytes that iproute2 6.1 sends for the same wish (strace of `ip link set dev gold0 vf 3 …`, interface index 3), and answers.

use super::*;

/// The sequence number is bytes 8 to 12; all else must be the same.
const GOLDEN: &[(&str, Setting, &str)] = &[
    (
        "mac 02:00:00:00:0a:03",
        Setting::Mac(MacAddress([2, 0, 0, 0, 0x0a, 3])),
        "5000000010000500b92a006b0000000000000000030000000000000000000000300016002c0001002800010003000000020000000a030000000000000000000000000000000000000000000000000000",
    ),
    (
        "vlan 100 qos 3",
        Setting::Vlan {
            id: 100,
            qos: 3,
            protocol: VlanProtocol::Dot1Q,
        },
        "3800000010000500b82a006b0000000000000000030000000000000000000000180016001400010010000200030000006400000003000000",
    ),
    (
        "vlan 100 qos 3 proto 802.1ad",
        Setting::Vlan {
            id: 100,
            qos: 3,
            protocol: VlanProtocol::Dot1Ad,
        },
        "4000000010000500b82a006b0000000000000000030000000000000000000000200016001c00010018000c001400010003000000640000000300000088a80000",
    ),
    (
        "vlan 0",
        Setting::Vlan {
            id: 0,
            qos: 0,
            protocol: VlanProtocol::Dot1Q,
        },
        "3800000010000500b92a006b0000000000000000030000000000000000000000180016001400010010000200030000000000000000000000",
    ),
    (
        "max_tx_rate 200",
        Setting::Rate {
            min_mbps: 0,
            max_mbps: 200,
        },
        "3800000010000500ba2a006b00000000000000000300000000000000000000001800160014000100100006000300000000000000c8000000",
    ),
    (
        "min_tx_rate 50 max_tx_rate 200",
        Setting::Rate {
            min_mbps: 50,
            max_mbps: 200,
        },
        "3800000010000500b92a006b00000000000000000300000000000000000000001800160014000100100006000300000032000000c8000000",
    ),
    (
        "spoofchk on",
        Setting::SpoofCheck(true),
        "3400000010000500b92a006b000000000000000003000000000000000000000014001600100001000c0004000300000001000000",
    ),
    (
        "trust off",
        Setting::Trust(false),
        "3400000010000500b92a006b000000000000000003000000000000000000000014001600100001000c0009000300000000000000",
    ),
    (
        "state disable",
        Setting::Link(VfLink::Disable),
        "3400000010000500b92a006b000000000000000003000000000000000000000014001600100001000c0005000300000002000000",
    ),
];

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn messages_are_those_of_iproute2() {
    for (words, setting, hex) in GOLDEN {
        let wanted = bytes_of(hex);
        let sequence = u32::from_ne_bytes(*wanted[8..].first_chunk().unwrap());
        assert_eq!(
            set_vf_message(3, 3, *setting, sequence),
            wanted,
            "ip link set dev gold0 vf 3 {words}"
        );
        assert_eq!(setting.to_string().replace(" (none)", ""), *words);
    }
}

/// What is set in one message is what is read from an answer that holds the same attributes.
#[test]
fn settings_survive_the_way_through_an_answer() {
    for (words, setting, hex) in GOLDEN {
        let vfs = parse_vfs(&bytes_of(hex)).unwrap();
        assert_eq!(vfs.len(), 1, "{words}");
        assert_eq!(vfs[0].settings.list(), [*setting], "{words}");
    }
}

#[test]
fn broken_answers_are_errors_and_never_a_panic() {
    for (_, _, hex) in GOLDEN {
        let whole = bytes_of(hex);
        for end in 0..whole.len() {
            let mut cut = whole[..end].to_vec();
            // Either is well, a panic is not.
            let _ = parse_vfs(&cut);
            if end >= 4 {
                cut[..4].copy_from_slice(&u32::try_from(end).unwrap().to_ne_bytes());
                let _ = parse_vfs(&cut);
            }
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bent = whole.clone();
                bent[at] = value;
                let _ = parse_vfs(&bent);
            }
        }
    }
}

/// The kernel's own word: loopback has no VFs, and an index that is nobody's is refused.
#[test]
fn the_kernel_answers() {
    let mut socket = Socket::open().unwrap();
    assert_eq!(socket.vfs(1).unwrap(), []);
    assert!(matches!(socket.vfs(0x7fff_0000), Err(HostError::Vanished)));
}
