//! The keys of `[[vrrp]]`, as the reader and the reference page have them.

use crate::section::{Key, Section};

const fn key(
    name: &'static str,
    kind: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
    }
}

const NAME: &str = "a text of 1 to 63 characters a-z A-Z 0-9 - _ .";
const MILLISECONDS: &str = "a whole number from 0 to 86400000";

pub(crate) static SECTION: Section = Section {
    header: "[[vrrp]]",
    meaning: "A virtual router: addresses that are shared with other directors, one of which holds them.",
    keys: &[
        key(
            "name",
            NAME,
            None,
            "required: the name scripts and people know it by",
        ),
        key(
            "port",
            NAME,
            None,
            "name of a [[port]] with a host_interface: it speaks there, and the data plane holds the addresses",
        ),
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "kernel interface: it speaks there, and the kernel holds the addresses; instead of port",
        ),
        key(
            "virtual_router_id",
            "a whole number from 1 to 255",
            None,
            "required: the same on all directors that share these addresses, and on nobody else's",
        ),
        key("version", "2 or 3", None, "left out: 2 for IPv4, 3 for IPv6"),
        key(
            "priority",
            "a whole number from 1 to 255",
            Some("100"),
            "the highest holds the addresses; 255 owns them",
        ),
        key(
            "advert_interval_ms",
            "a whole number from 10 to 255000",
            Some("1000"),
            "whole seconds in version 2; tens of ms up to 40950 in version 3",
        ),
        key(
            "addresses",
            "a list of texts",
            None,
            "required: the shared addresses of one family, \"192.0.2.100/24\"",
        ),
        key(
            "excluded_addresses",
            "a list of texts",
            Some("[]"),
            "addresses that are held but not advertised; they may be of the other family",
        ),
        key(
            "source",
            "a text",
            None,
            "address advertisements come from; left out: the interface's first",
        ),
        key(
            "unicast_peers",
            "a list of texts",
            Some("[]"),
            "peers to speak with instead of the multicast group",
        ),
        key(
            "unicast_ttl_min",
            "a whole number from 1 to 255",
            Some("255"),
            "least TTL of a unicast peer's packet; less for peers behind routers",
        ),
        key(
            "preempt",
            "true or false",
            Some("true"),
            "take over from a lower priority",
        ),
        key(
            "preempt_delay_ms",
            MILLISECONDS,
            Some("0"),
            "but only this long after it was first heard",
        ),
        key(
            "startup_delay_ms",
            MILLISECONDS,
            Some("0"),
            "wait this long after the start",
        ),
        key(
            "down_timer_adverts",
            "a whole number from 1 to 100",
            Some("3"),
            "intervals of silence after which the active director is taken for gone",
        ),
        key(
            "announce_repeat",
            "a whole number from 0 to 100",
            Some("5"),
            "gratuitous ARP or neighbour advertisements for each address on becoming active",
        ),
        key(
            "announce_delay_ms",
            MILLISECONDS,
            Some("5000"),
            "as many again after this time; 0: not again",
        ),
        key(
            "announce_refresh_ms",
            MILLISECONDS,
            Some("0"),
            "and some again and again at this interval; 0: never; 60000 with virtual_mac, so that no switch forgets it",
        ),
        key(
            "announce_refresh_repeat",
            "a whole number from 1 to 100",
            Some("1"),
            "so many of each address then",
        ),
        key(
            "announce_lower_repeat",
            "a whole number from 0 to 100",
            None,
            "announcements of each address when a lower priority is heard; left out: announce_repeat",
        ),
        key(
            "announce_lower_delay_ms",
            MILLISECONDS,
            None,
            "as many again after this time; left out: announce_delay_ms",
        ),
        key(
            "announce_interval_ms",
            "a whole number from 0 to 10000",
            Some("0"),
            "time between two announcements, for switches that drop bursts of them",
        ),
        key(
            "virtual_mac",
            "true or false",
            Some("false"),
            "the addresses are at 00:00:5e:00:01:VRID (IPv6: 02) instead of the interface's own MAC address",
        ),
        key(
            "accept",
            "true or false",
            Some("true"),
            "the shared addresses answer echo requests; on a kernel interface false drops all that is sent to them (by `nft`)",
        ),
        key(
            "link_up_delay_ms",
            MILLISECONDS,
            Some("0"),
            "its interface, and those it tracks, count as up only after this time",
        ),
        key(
            "link_down_delay_ms",
            MILLISECONDS,
            Some("0"),
            "and as down only after this time",
        ),
        key(
            "relay_ms",
            "a whole number from 0 to 3600000",
            Some("30000"),
            "on taking the addresses from a director that lives, segments of connections unknown here go to it for this long; 0 beside one that is not weir",
        ),
        key(
            "rules",
            "\"weir\", \"keepalived\" or \"rfc9568\"",
            Some("\"weir\""),
            "whose manners, where implementations differ",
        ),
        key(
            "auth",
            "\"none\", \"password\", \"header\" or \"hmac\"",
            Some("\"none\""),
            "keepalived's auth_type PASS, auth_type AH, and auth_hmac",
        ),
        key(
            "auth_file",
            "an absolute path",
            None,
            "file with the password, or with lines of a key's number and its 64 to 128 hexadecimal digits; readable by root only",
        ),
        key(
            "auth_key_id",
            "a whole number from 1 to 255",
            Some("1"),
            "number of the key of auth = \"hmac\" that signs; every key of the file is believed",
        ),
        key(
            "checksum_as_v2",
            "true or false",
            Some("false"),
            "version 3 over IPv4 without the pseudo header, as some old routers do",
        ),
        key(
            "sync_group",
            NAME,
            None,
            "virtual routers with the same word here move together",
        ),
        key(
            "notify",
            "an absolute path",
            None,
            "program run at each change: INSTANCE name MASTER|BACKUP|FAULT|STOP|DELETED priority; and once a whole sync_group has changed: GROUP word state 0",
        ),
        key(
            "notify_master",
            "an absolute path",
            None,
            "program run without arguments, before notify, when it has become active",
        ),
        key(
            "notify_backup",
            "an absolute path",
            None,
            "the same when it has become backup",
        ),
        key(
            "notify_fault",
            "an absolute path",
            None,
            "the same when it is at fault",
        ),
        key(
            "notify_stop",
            "an absolute path",
            None,
            "the same when it was stopped",
        ),
        key(
            "notify_deleted",
            "an absolute path",
            None,
            "the same when a reload has removed it; then DELETED is told, as with keepalived FAULT without this key",
        ),
        key(
            "notify_master_rx_lower_pri",
            "an absolute path",
            None,
            "the same when it is active and hears a lower priority; notify is not run for that",
        ),
        key(
            "notify_fifo",
            "an absolute path",
            None,
            "pipe the words of notify are written to, and MASTER_RX_LOWER_PRI in place of a state",
        ),
        key(
            "notify_priority_changes",
            "true or false",
            Some("false"),
            "write MASTER_PRIORITY or BACKUP_PRIORITY to the pipe too, when the priority changes",
        ),
        key(
            "script_user",
            "a text",
            Some("\"nobody\""),
            "user that programs run as",
        ),
        key("track", "an array of tables", None, "what it depends on"),
        key("node", "an array of tables", None, "what differs on one node"),
    ],
};

pub(crate) static TRACK_SECTION: Section = Section {
    header: "[[vrrp.track]]",
    meaning: "Something the virtual router above it depends on: one of interface, port, script, process, file, service, gateway and bfd.",
    keys: &[
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "this kernel interface is up and has a carrier",
        ),
        key("port", NAME, None, "this port of the data plane has a link"),
        key(
            "script",
            "an absolute path",
            None,
            "this program ends with status 0; it runs without a shell, and nobody but root may be able to write it",
        ),
        key("process", "a text", None, "a process of this name runs"),
        key(
            "file",
            "an absolute path",
            None,
            "this file exists and does not begin with the number 0",
        ),
        key(
            "service",
            NAME,
            None,
            "this service has a server that takes connections",
        ),
        key(
            "gateway",
            "a text",
            None,
            "this address answers echo requests; timeout_ms is how long an answer may take",
        ),
        key("bfd", NAME, None, "this [[bfd]] session is up"),
        key(
            "weight",
            "a whole number from -253 to 253",
            Some("0"),
            "added to the priority while up (positive) or while down (negative); 0: stop the virtual router while down",
        ),
        key(
            "reverse",
            "true or false",
            Some("false"),
            "up counts as down, and down as up",
        ),
        key(
            "interval_ms",
            "a whole number from 100 to 86400000",
            Some("1000"),
            "how often it is looked at",
        ),
        key(
            "timeout_ms",
            "a whole number from 100 to 86400000",
            None,
            "how long a script may run; left out: interval_ms",
        ),
        key(
            "rise",
            "a whole number from 1 to 1000",
            Some("1"),
            "successes in a row until it is up",
        ),
        key(
            "fall",
            "a whole number from 1 to 1000",
            Some("1"),
            "failures in a row until it is down",
        ),
    ],
};

pub(crate) static NODE_SECTION: Section = Section {
    header: "[[vrrp.node]]",
    meaning: "What is different for the virtual router above it on one node, so that one file serves all directors.",
    keys: &[
        key(
            "name",
            NAME,
            None,
            "required: the node's name: its host name, or what weir-control is given with --node",
        ),
        key("priority", "a whole number from 1 to 255", None, "its priority"),
        key("source", "a text", None, "address its advertisements come from"),
        key(
            "interface",
            "a text of 1 to 15 characters",
            None,
            "its kernel interface",
        ),
        key("unicast_peers", "a list of texts", None, "its peers"),
    ],
};
