use super::*;

#[test]
fn the_order_is_what_the_kernel_reads() {
    let message = address_message(NEW_ADDRESS, 0x505, 7, IpAddr::from([192, 0, 2, 1]), 24);
    assert_eq!(message.len(), 40);
    assert_eq!(message[..4], 40u32.to_ne_bytes());
    assert_eq!(message[16..18], [2, 24]);
    assert_eq!(message[20..24], 7u32.to_ne_bytes());
    assert_eq!(message[28..32], [192, 0, 2, 1]);
}

#[test]
fn answers_are_read_with_care() {
    let answer = |kind: u16, code: i32| {
        let mut bytes = vec![0; 36];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[16..20].copy_from_slice(&code.to_ne_bytes());
        bytes
    };
    acknowledged(&answer(ERROR, 0)).unwrap();
    assert_eq!(
        acknowledged(&answer(ERROR, -1)).unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    assert!(acknowledged(&answer(3, 0)).is_err());
    assert!(acknowledged(&[0; 10]).is_err());
}

#[test]
fn the_loopback_interface_is_up() {
    let loopback = Interface::look("lo").unwrap();
    assert_eq!(loopback.mac, MacAddr::ZERO);
    assert_eq!(Interface::look("no-such-interface"), None);
}

#[test]
fn macs_are_read() {
    assert_eq!(
        mac("02:00:5e:10:00:ff"),
        Some(MacAddr([2, 0, 0x5e, 0x10, 0, 0xff]))
    );
    assert_eq!(mac("02:00"), None);
}
