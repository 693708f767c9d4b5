//! `stat`: whether the server tells the size of a file.

use bridge::{ProofPolicy, Publish};
use partner::files::Reply;
use sftp::Attributes;

use super::proof;
use crate::doctor::examination::{Doctor, Step, Told, content};
use crate::doctor::report::Finding;

/// If the file is gone already, `swept` is known.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let length = content().len() as u64;
    let Told { reply, late } = doctor.told(&doctor.file, length).await?;
    let size = match &reply {
        Reply::Done(Some(Attributes { size, .. })) => *size,
        Reply::Done(None) | Reply::Refused(_) => None,
    };
    doctor.facts.stat = Some(size.is_some_and(|size| size > 0));
    if let Reply::Done(None) = reply {
        doctor.facts.swept = Some(true);
        return Ok(swept(doctor));
    }
    let unsupported = |found: String| proof::unsupported(doctor, ProofPolicy::Size, found);
    Ok(match (reply, size) {
        (Reply::Refused(status), _) => unsupported(status.to_string()),
        (_, None) => unsupported("the server does not tell the size".into()),
        (_, Some(0)) => unsupported(format!("the server says 0 bytes of a file of {length} bytes")),
        (_, Some(size)) if size != length => Finding::fail(
            format!("{length} bytes were written, and the server says {size}"),
            "something alters files on arrival: ask the partner what (a scanner, text mode, a quota)",
        ),
        (_, Some(_)) if !late.is_zero() => Finding::warn(
            format!("the server tells the size {:.1} s after the file was closed", late.as_secs_f64()),
            "nothing to do: deliveries look again for some seconds before they rely on a size",
        ),
        (_, Some(_)) => Finding::ok("the server tells the size"),
    })
}

/// A file that is gone can be neither proved nor renamed.
fn swept(doctor: &Doctor) -> Finding {
    let settings = &doctor.configuration.settings;
    let is_direct = matches!(settings.policy.publish, Publish::Direct);
    let needs_no_proof = matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::None);
    let found = "the file was gone as soon as it was closed: something takes files away on arrival";
    if !is_direct {
        Finding::fail(
            found,
            "it takes partial files, too, so every delivery would fail: nothing is left to prove or rename. Set SFTP_PUBLISH=direct, and files are written under their final name. Or ask the partner to leave files alone that have the name of a partial file (SFTP_PARTIAL_NAME)",
        )
    } else if needs_no_proof {
        Finding::warn(
            found,
            "nothing to do if the partner's own system collects them: deliveries are `unverified`, as their receipts say",
        )
    } else {
        Finding::fail(
            found,
            "SFTP_PROOF requires a proof, and the file is gone by then, so every delivery would fail: set SFTP_PROOF=auto",
        )
    }
}
