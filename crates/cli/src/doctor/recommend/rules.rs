//! Which settings suit the server.

use std::time::Duration;

use super::draft::Draft;
use crate::doctor::facts::Facts;

/// Round trip from which on a second connection carries a large file faster (docs/performance.md).
const FAR: Duration = Duration::from_millis(20);

const KEPT_BLOCKS: &str = "a connection that is kept open would block the next step";

/// Settings that are shown even if they have their defaults.
const ALWAYS_SHOWN: [&str; 5] =
    ["SFTP_ALGORITHMS", "SFTP_PROOF", "SFTP_PUBLISH", "SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION"];

/// Changes what does not suit the server.
pub(super) fn apply(draft: &mut Draft, facts: &Facts) {
    if let Some(location) = &facts.other_location {
        draft.set("SFTP_LOCATION", location, "the directory exists under this name");
    }
    algorithms(draft, facts);
    proof(draft, facts);
    if draft.keeps() && facts.keep == Some(false) {
        draft.set("SFTP_IF_EXISTS", "replace", "existing files cannot be kept on this server");
    }
    if facts.staging == Some(false) {
        draft.unset(
            "SFTP_STAGING_DIRECTORY",
            "partial files cannot be there, or cannot be renamed from there",
        );
    }
    if let Some(name) = &facts.partial_name {
        draft.set("SFTP_PARTIAL_NAME", name, "the server refuses the present name of partial files");
    }
    if facts.fsync == Some(false) && draft.get("SFTP_FSYNC") == "require" {
        draft.set("SFTP_FSYNC", "try", "the server cannot sync a file to its disk");
    }
    publishing(draft, facts);
    attributes(draft, facts);
    connections(draft, facts);
    for name in ALWAYS_SHOWN {
        draft.spell_out(name);
    }
}

/// The same, for a partner to whom nothing is delivered.
pub(super) fn apply_to_collecting(draft: &mut Draft, facts: &Facts) {
    algorithms(draft, facts);
    if let Some(why) = facts.stay {
        draft.set("COLLECT_AFTERWARDS", "leave", why);
    }
    connections(draft, facts);
    for name in ["SFTP_ALGORITHMS", "SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION", "COLLECT_AFTERWARDS"] {
        draft.spell_out(name);
    }
}

fn algorithms(draft: &mut Draft, facts: &Facts) {
    if facts.legacy != Some(false) || draft.get("SFTP_ALGORITHMS") != "legacy" {
        return;
    }
    // The negotiated algorithms do not show what an RSA key signs with.
    if facts.signs_with_sha1 == Some(true) {
        let why = "the server needs no old algorithms, except perhaps for the RSA key";
        draft.set("SFTP_ALGORITHMS", "modern,+ssh-rsa", why);
    } else {
        draft.set("SFTP_ALGORITHMS", "modern", "the server needs no old algorithms");
    }
}

fn proof(draft: &mut Draft, facts: &Facts) {
    let is_supported = match draft.get("SFTP_PROOF").as_str() {
        "hash" => facts.hash == Some(true),
        "read-back" => facts.read == Some(true),
        "size" => facts.stat == Some(true),
        _ => true,
    };
    if !is_supported {
        let why = "the server does not support the present proof; auto uses the best one that it supports";
        draft.set("SFTP_PROOF", "auto", why);
    }
}

fn publishing(draft: &mut Draft, facts: &Facts) {
    let renames = if draft.keeps() { facts.rename_new } else { facts.rename };
    let why = match (facts.swept, renames) {
        (Some(true), _) => "the server takes files away as soon as they are closed",
        (_, Some(false)) => "the server does not let this user rename",
        _ => return,
    };
    draft.set("SFTP_PUBLISH", "direct", why);
    if draft.keeps() {
        draft.set("SFTP_IF_EXISTS", "replace", "an existing file can be kept only by a rename");
    }
    for name in ["SFTP_PARTIAL_NAME", "SFTP_STAGING_DIRECTORY"] {
        draft.unset(name, "with SFTP_PUBLISH=direct there are no partial files");
    }
}

fn attributes(draft: &mut Draft, facts: &Facts) {
    let refused = "the server does not do it for this user";
    for (name, works) in [("SFTP_FILE_MODE", facts.chmod), ("SFTP_DIR_MODE", facts.chmod_dir)] {
        let mode = draft.get(name);
        if works == Some(false) && mode != "off" && !mode.starts_with("try:") {
            let bits = mode.strip_prefix("require:").unwrap_or(&mode);
            draft.set(name, &format!("try:{bits}"), refused);
        }
    }
    if facts.mtime == Some(false) && draft.get("SFTP_PRESERVE_MTIME") == "require" {
        draft.set("SFTP_PRESERVE_MTIME", "try", refused);
    }
    if facts.mkdir == Some(false) {
        draft.set("SFTP_CREATE_DIRECTORIES", "false", "this user cannot make directories");
    }
}

fn connections(draft: &mut Draft, facts: &Facts) {
    let is_far = facts.round_trip.is_some_and(|round_trip| round_trip >= FAR);
    if facts.second_connection == Some(false) {
        draft.set("SFTP_MAX_CONNECTIONS", "1", "the partner allows one connection at a time");
        draft.set("SFTP_KEEP_CONNECTION", "0", KEPT_BLOCKS);
    } else if is_far && facts.second_connection == Some(true) && draft.get("SFTP_MAX_CONNECTIONS") == "1" {
        draft.set(
            "SFTP_MAX_CONNECTIONS",
            "2",
            "the server is far away: two connections carry large files faster",
        );
    }
}
