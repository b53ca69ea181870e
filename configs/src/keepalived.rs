//! keepalived's words about health, from keepalived.conf(5) of its 2.2.7 and what later versions added: what each is called here, or
//! why it is not. One table for the reference page, for help about an unknown key, and for the test that every key named exists.

use std::fmt::Write;

use crate::check::Pace;
use crate::health::Defaults;
use crate::section::Section;

/// One word.
pub(crate) struct Word {
    /// As keepalived has it.
    pub(crate) word: &'static str,
    /// Where it stands there.
    pub(crate) place: &'static str,
    pub(crate) here: Here,
    /// What is worth knowing beyond that.
    pub(crate) note: &'static str,
}

/// What it is here.
pub(crate) enum Here {
    /// The key of this name in the section of this header.
    Key(&'static str, &'static str),
    /// Nothing; the note says why, and what to do.
    Nothing,
}

const CHECK: &str = "check = { … }";
const POOL: &str = "pool = { … }";
const BACKEND: &str = "[[service.backend]]";
const TLS: &str = "check.tls";
const HTTP: &str = "check.http";
const UDP: &str = "check.udp";
const SCRIPT: &str = "check.script";

const SERVERS: &str = "virtual_server, real_server";
const SERVER: &str = "virtual_server";
const REAL: &str = "real_server";
const ALL: &str = "every checker";
const GET: &str = "HTTP_GET, SSL_GET";
const URL: &str = "HTTP_GET, SSL_GET: url";

const fn key(
    word: &'static str,
    place: &'static str,
    section: &'static str,
    key: &'static str,
    note: &'static str,
) -> Word {
    Word {
        word,
        place,
        here: Here::Key(section, key),
        note,
    }
}

const fn nothing(word: &'static str, place: &'static str, note: &'static str) -> Word {
    Word {
        word,
        place,
        here: Here::Nothing,
        note,
    }
}

/// Every word.
pub(crate) static WORDS: &[Word] = &[
    key(
        "checker_log_all_failures",
        "global_defs",
        "[health]",
        "log_all_failures",
        "",
    ),
    key("alpha", SERVER, POOL, "alpha", ""),
    key("alpha", REAL, BACKEND, "alpha", ""),
    key("omega", SERVER, POOL, "omega", ""),
    key(
        "quorum",
        SERVER,
        POOL,
        "quorum",
        "keepalived lowers one above the sum of all weights to that sum; here it is never gained",
    ),
    key("hysteresis", SERVER, POOL, "hysteresis", ""),
    key(
        "quorum_up",
        SERVER,
        POOL,
        "quorum_up",
        "a list: the program and its arguments; user and group are `script_user` and `script_group`",
    ),
    key("quorum_down", SERVER, POOL, "quorum_down", "likewise"),
    key("notify_up", REAL, BACKEND, "notify_up", "likewise"),
    key("notify_down", REAL, BACKEND, "notify_down", "likewise"),
    key("ha_suspend", SERVER, POOL, "ha_suspend", ""),
    key("sorry_server", SERVER, "pool.sorry_server", "address", ""),
    key("sorry_server_inhibit", SERVER, "pool.sorry_server", "inhibit", ""),
    key(
        "sorry_server_lvs_method",
        SERVER,
        "pool.sorry_server",
        "forward",
        "",
    ),
    key("inhibit_on_failure", SERVER, POOL, "inhibit_on_failure", ""),
    key("inhibit_on_failure", REAL, BACKEND, "inhibit_on_failure", ""),
    key("weight", REAL, BACKEND, "weight", ""),
    key("uthreshold", REAL, BACKEND, "upper_threshold", ""),
    key("lthreshold", REAL, BACKEND, "lower_threshold", ""),
    nothing(
        "smtp_alert",
        SERVERS,
        "weir sends no mail: `notify_down`, `quorum_down`, `weirctl events` and the metrics tell",
    ),
    nothing(
        "snmp_name",
        SERVERS,
        "weir speaks no SNMP: its metrics carry the names of services and backends",
    ),
    key("connect_ip", ALL, CHECK, "address", ""),
    key("connect_port", ALL, CHECK, "port", ""),
    key("bindto", ALL, CHECK, "source_address", ""),
    key("bind_port", ALL, CHECK, "source_port", ""),
    key("bind_if", ALL, CHECK, "source_interface", ""),
    key("fwmark", ALL, CHECK, "mark", ""),
    key("alpha", ALL, CHECK, "alpha", ""),
    key(
        "connect_timeout",
        ALL,
        CHECK,
        "timeout_ms",
        "the time of the whole probe; keepalived's is that of each of its steps",
    ),
    key(
        "delay_loop",
        ALL,
        CHECK,
        "interval_ms",
        "from start to start; keepalived's is from the end of one probe to the start of the next",
    ),
    key(
        "retry",
        ALL,
        CHECK,
        "fall",
        "`fall` is `retry` + 1; `rise = 1` goes with it",
    ),
    key("nb_get_retry", GET, CHECK, "fall", "likewise"),
    key("delay_before_retry", ALL, CHECK, "delay_before_retry_ms", ""),
    key("warmup", ALL, CHECK, "warmup_ms", ""),
    key("log_all_failures", ALL, CHECK, "log_all_failures", ""),
    key("http_protocol", GET, HTTP, "version", ""),
    key(
        "fast_recovery",
        GET,
        CHECK,
        "fast_recovery",
        "several URLs are asked in one probe, without a pause between them",
    ),
    key(
        "virtualhost",
        "virtual_server, real_server, HTTP_GET, SSL_GET, url",
        HTTP,
        "host",
        "",
    ),
    key(
        "url",
        GET,
        HTTP,
        "also",
        "the first one's keys stand in `http` itself",
    ),
    key("path", URL, HTTP, "path", ""),
    key("digest", URL, HTTP, "md5", "or `sha256`"),
    key("status_code", URL, HTTP, "status", ""),
    key(
        "regex",
        URL,
        HTTP,
        "regex",
        "Rust's syntax: no look-around, no back references",
    ),
    key(
        "regex_no_match",
        URL,
        HTTP,
        "regex_absent",
        "the expression itself stands there",
    ),
    key(
        "regex_options",
        URL,
        HTTP,
        "regex_options",
        "those of PCRE that Rust's expressions have; the others are refused",
    ),
    nothing(
        "regex_stack",
        URL,
        "Rust's expressions need no stack: their time and memory are bounded whatever the server sends",
    ),
    key("regex_min_offset", URL, HTTP, "regex_offset_min", ""),
    key("regex_max_offset", URL, HTTP, "regex_offset_max", ""),
    key(
        "enable_sni",
        "SSL_GET",
        TLS,
        "sni",
        "the name is `name` or the `host`",
    ),
    key("sni_name", "SSL_GET", TLS, "name", "not in 2.2.7 yet"),
    key(
        "ca",
        "SSL",
        TLS,
        "ca",
        "each check's own; keepalived reads it and trusts any certificate all the same, here it makes `verify` true",
    ),
    key("certificate", "SSL", TLS, "certificate", "each check's own"),
    key("key", "SSL", TLS, "key", "each check's own"),
    key("password", "SSL", TLS, "key_password", "of a key in PKCS #8"),
    key("helo_name", "SMTP_CHECK", "check.smtp", "helo", ""),
    key("type", "DNS_CHECK", "check.dns", "type", ""),
    key("name", "DNS_CHECK", "check.dns", "name", ""),
    key(
        "payload",
        "UDP_CHECK",
        UDP,
        "send_hex",
        "left out, keepalived sends 32 random bytes: `send_random_bytes = 32`",
    ),
    key(
        "require_reply",
        "UDP_CHECK",
        UDP,
        "require_reply",
        "the bytes after it are `expect_hex`; for one that is shorter see `short_reply`",
    ),
    key("min_reply_length", "UDP_CHECK", UDP, "reply_bytes_min", ""),
    key("max_reply_length", "UDP_CHECK", UDP, "reply_bytes_max", ""),
    key(
        "misc_path",
        "MISC_CHECK",
        SCRIPT,
        "path",
        "the arguments are `arguments`",
    ),
    key(
        "misc_timeout",
        "MISC_CHECK",
        CHECK,
        "timeout_ms",
        "the program and all it started are killed then, without a SIGTERM before",
    ),
    key("misc_dynamic", "MISC_CHECK", SCRIPT, "dynamic", ""),
    key("user", "MISC_CHECK", SCRIPT, "user", "its second word is `group`"),
    key(
        "track_file",
        "FILE_CHECK",
        "check.file",
        "path",
        "the file itself; it is looked at every `interval_ms`, and one that is missing fails",
    ),
    key(
        "weight",
        "FILE_CHECK",
        "check.file",
        "multiplier",
        "and `reverse`",
    ),
    nothing(
        "dynamic",
        "FILE_CHECK",
        "the weight that the file gives always counts for the quorum too",
    ),
    key("name", "BFD_CHECK", "check.bfd", "session", ""),
];

/// The checkers, and the kinds of check that stand for them.
const CHECKERS: [(&str, &str); 10] = [
    ("TCP_CHECK", "tcp"),
    ("HTTP_GET, SSL_GET", "http"),
    ("SMTP_CHECK", "smtp"),
    ("DNS_CHECK", "dns"),
    ("UDP_CHECK", "udp"),
    ("PING_CHECK", "ping"),
    ("MISC_CHECK", "script"),
    ("FILE_CHECK", "file"),
    ("BFD_CHECK", "bfd"),
    ("–", "others"),
];

/// Help about a word that no section has as a key: what it is here.
pub(crate) fn help(word: &str, section: &Section) -> Option<String> {
    let found = WORDS.iter().filter(|known| known.word == word);
    let (mut elsewhere, mut reason) = (None, None);
    for known in found {
        match known.here {
            Here::Key(header, key) if header == section.header => {
                return Some(format!("here it is called `{key}`"));
            }
            Here::Key(header, key) => elsewhere = elsewhere.or(Some((header, key))),
            Here::Nothing => reason = Some(known.note),
        }
    }
    match (elsewhere, reason) {
        (Some((header, key)), _) => Some(format!("keepalived's `{word}` is here `{key}` of {header}")),
        (None, Some(reason)) => Some(format!("leave keepalived's `{word}` out: {reason}")),
        (None, None) => None,
    }
}

/// The two tables of the reference page.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "\n## keepalived's defaults\n\nWhat `defaults = \"keepalived\"` in [health] makes of checks that say nothing, kind by kind, in milliseconds: what keepalived 2.2.7 does. \
         Beside these: `jitter_percent = 0`; `http`: `version = \"1.0\"`; `smtp`: `helo = \"smtpchecker.keepalived.org\"`; `dns`: `nxdomain = false`; \
         `udp`: `send_random_bytes = 32`, `short_reply = true`, and `reply_bytes_max = 255` where a reply is required; `file`: `multiplier = 1`; `tls`: `sni = false` unless `name` is given. \
         Pools: `inhibit_on_failure = false`, `all_failed = \"remove\"`, `on_removal = \"cut\"`, `inhibit = false` of the sorry server.\n\n\
         | keepalived's | kind | interval_ms | timeout_ms | rise | fall | fall_first | delay_before_retry_ms |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (checker, kind) in CHECKERS {
        let pace = Pace::of(Defaults::Keepalived, kind);
        let (first, retry) = (
            shown(pace.fall_first, "fall"),
            shown(pace.delay_before_retry_ms, "interval_ms"),
        );
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {checker} | {kind} | {} | {} | {} | {} | {first} | {retry} |",
            pace.interval_ms,
            pace.timeout_ms.min(pace.interval_ms),
            pace.rise,
            pace.fall,
        );
    }
    page.push_str(
        "\n## keepalived's words\n\nEvery word that keepalived.conf(5) has about checks and pools, and what it is here. A word that a file has all the same is refused with the same help.\n\n\
         | keepalived's word | of | here | note |\n|---|---|---|---|\n",
    );
    for word in WORDS {
        let here = match word.here {
            Here::Key(header, key) => format!("`{key}` of {header}"),
            Here::Nothing => "nothing".to_owned(),
        };
        let _ = writeln!(
            page,
            "| {} | {} | {here} | {} |",
            word.word, word.place, word.note
        );
    }
    page
}

fn shown(number: Option<u32>, other: &str) -> String {
    number.map_or_else(|| format!("as `{other}`"), |number| number.to_string())
}

#[cfg(test)]
mod tests;
