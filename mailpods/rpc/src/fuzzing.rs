//! Entry points for fuzzing.

use bytes::Bytes;

use crate::scan::{ScanRequest, Verdict};

/// Any octets as a scan, and as the verdict on a message of 1,000 octets: refused, or what is written is read as the same.
pub fn fuzz_scan(data: &[u8]) {
    if let Ok(request) = ScanRequest::decode(Bytes::copy_from_slice(data)) {
        let again = request
            .encode()
            .and_then(|pieces| ScanRequest::decode(pieces.concat().into()));
        let same = again.is_ok_and(|again| format!("{again:?}") == format!("{request:?}"));
        assert!(same, "a scan changes on its way");
    }
    if let Ok(verdict) = Verdict::decode(data, 1000) {
        let again = verdict
            .encode()
            .map(|octets| Verdict::decode(&octets, 1000));
        let same = again.is_ok_and(|again| again.is_ok_and(|again| again == verdict));
        assert!(same, "a verdict changes on its way");
    }
}
