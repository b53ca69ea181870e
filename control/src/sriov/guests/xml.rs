//! libvirt's XML for a VF, in its three forms, written by an XML library.
//!
//! Read first: libvirt's formatdomain, "PCI addresses of hostdev interfaces", and formatnetwork, "pool of VFs".

use crate::sriov::model::Settings;
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use std::io;

/// `<interface type='hostdev'>`: libvirt sets MAC and VLAN by the PF before the guest starts. The form to prefer.
pub fn interface(address: &str, settings: &Settings) -> String {
    document(|xml| {
        xml.element("interface", &[("type", "hostdev"), ("managed", "yes")], |xml| {
            if let Some(mac) = settings.mac.filter(|mac| mac.0 != [0; 6]) {
                xml.empty("mac", &[("address", &mac.to_string())])?;
            }
            xml.element("source", &[], |xml| xml.pci_address(address))?;
            if let Some((id, _, _)) = settings.vlan.filter(|vlan| vlan.0 > 0) {
                xml.element("vlan", &[], |xml| xml.empty("tag", &[("id", &id.to_string())]))?;
            }
            Ok(())
        })
    })
}

/// `<hostdev mode='subsystem' type='pci'>`: a PCI device like any other; nothing is set.
pub fn hostdev(address: &str) -> String {
    document(|xml| {
        xml.element(
            "hostdev",
            &[("mode", "subsystem"), ("type", "pci"), ("managed", "yes")],
            |xml| xml.element("source", &[], |xml| xml.pci_address(address)),
        )
    })
}

/// `<network>` with a pool: libvirt chooses a VF of the PF, and says nothing when there is none left.
pub fn network(name: &str, pf_interface: &str) -> String {
    document(|xml| {
        xml.element("network", &[], |xml| {
            xml.text("name", name)?;
            xml.element("forward", &[("mode", "hostdev"), ("managed", "yes")], |xml| {
                xml.empty("pf", &[("dev", pf_interface)])
            })
        })
    })
}

struct Xml(Writer<Vec<u8>>);

fn document(write: impl FnOnce(&mut Xml) -> io::Result<()>) -> String {
    let mut xml = Xml(Writer::new_with_indent(Vec::new(), b' ', 2));
    // Writing to memory does not fail, and all that is written is text.
    let written = write(&mut xml);
    debug_assert!(written.is_ok());
    String::from_utf8_lossy(&xml.0.into_inner()).into_owned() + "\n"
}

impl Xml {
    fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0.write_event(Event::Start(
            BytesStart::new(name).with_attributes(attributes.iter().copied()),
        ))?;
        inside(self)?;
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.0.write_event(Event::Empty(
            BytesStart::new(name).with_attributes(attributes.iter().copied()),
        ))
    }

    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.0.write_event(Event::Start(BytesStart::new(name)))?;
        self.0.write_event(Event::Text(BytesText::new(text)))?;
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    /// `<address type='pci' domain=… bus=… slot=… function=…/>` of `dddd:bb:ss.f`.
    fn pci_address(&mut self, address: &str) -> io::Result<()> {
        let parts: Vec<String> = address
            .split([':', '.'])
            .map(|part| format!("0x{part}"))
            .collect();
        let [domain, bus, slot, function] = &parts[..] else {
            return Err(io::Error::other(format!("{address} is no PCI address")));
        };
        self.empty(
            "address",
            &[
                ("type", "pci"),
                ("domain", domain),
                ("bus", bus),
                ("slot", slot),
                ("function", function),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_configs::{MacAddress, VlanProtocol};

    #[test]
    fn the_three_forms() {
        let settings = Settings {
            mac: Some(MacAddress([2, 0, 0, 0, 0xa, 1])),
            vlan: Some((100, 3, VlanProtocol::Dot1Q)),
            ..Settings::default()
        };
        assert_eq!(
            interface("0000:41:10.2", &settings),
            r#"<interface type="hostdev" managed="yes">
  <mac address="02:00:00:00:0a:01"/>
  <source>
    <address type="pci" domain="0x0000" bus="0x41" slot="0x10" function="0x2"/>
  </source>
  <vlan>
    <tag id="100"/>
  </vlan>
</interface>
"#
        );
        assert_eq!(
            hostdev("0000:41:10.2"),
            r#"<hostdev mode="subsystem" type="pci" managed="yes">
  <source>
    <address type="pci" domain="0x0000" bus="0x41" slot="0x10" function="0x2"/>
  </source>
</hostdev>
"#
        );
        assert_eq!(
            network("a&b", "enp65s0f0"),
            r#"<network>
  <name>a&amp;b</name>
  <forward mode="hostdev" managed="yes">
    <pf dev="enp65s0f0"/>
  </forward>
</network>
"#
        );
    }

    #[test]
    fn a_mac_that_was_never_set_is_left_out() {
        let settings = Settings {
            mac: Some(MacAddress([0; 6])),
            ..Settings::default()
        };
        assert!(!interface("0000:41:10.2", &settings).contains("mac"));
    }
}
