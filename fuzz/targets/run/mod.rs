//! One run of a check against one hostile answer, cut into pieces by its first byte: no panic, one end, bounded memory.

use std::sync::Arc;
use weir_proto::health::Dialogue;
use weir_proto::health::http::HEAD_BYTES_MAX;
use weir_proto::health::probe::{Action, Input, Probe};
use weir_proto::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(1);

pub fn run(dialogue: Dialogue, data: &[u8]) {
    let Some((&cut, answer)) = data.split_first() else {
        return;
    };
    let mut probe = Probe::new(Arc::new(dialogue), TIMEOUT);
    let now = Instant::ZERO;
    probe.handle(now, Input::Start);
    probe.handle(now, Input::Bound("192.0.2.2:40000".parse().expect("an address")));
    probe.handle(now, Input::Connected);
    if cut & 0x80 != 0 {
        probe.handle(now, Input::Code(200));
    }
    for piece in answer.chunks(usize::from(cut & 0x3f) + 1) {
        probe.handle(now, Input::Read(piece));
        assert!(probe.held() <= HEAD_BYTES_MAX);
    }
    if cut & 0x40 != 0 {
        probe.handle(now, Input::Code(0));
        probe.handle(now, Input::Eof);
    }
    probe.handle_timeout(now + TIMEOUT);
    let ends = std::iter::from_fn(|| probe.poll_action()).filter(|action| matches!(action, Action::Done(_)));
    assert_eq!(ends.count(), 1);
}
