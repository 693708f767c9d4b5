//! Findings about ways to prove a file.

use bridge::ProofPolicy;

use crate::doctor::examination::Doctor;
use crate::doctor::report::Finding;

/// A way to prove the file that the server does not support.
pub(super) fn unsupported(doctor: &Doctor, policy: ProofPolicy, found: impl Into<String>) -> Finding {
    if doctor.configuration.settings.proof == policy {
        Finding::fail(
            found,
            "SFTP_PROOF requires exactly this, so deliveries would fail; see the settings below",
        )
    } else {
        Finding::warn(found, "deliveries use another proof; their receipts say which")
    }
}
