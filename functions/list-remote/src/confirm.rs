//! A last look at files that are about to be collected.
//!
//! Some servers list other values than they show for a file alone: times in minutes, sizes in blocks, or what a cache
//! remembers. The collection compares with the file alone, so its execution gets those values. Otherwise it would end as
//! `changed`, and so would the one of every further look.

use std::sync::Arc;

use bridge::Result;
use bridge::collect::RemoteFile;
use partner::files::Reply;
use sftp::Sftp;
use tokio::task::JoinSet;

use crate::judge::Judge;
use crate::verdict::Confirmed;

/// Maximum number of files that are looked at in one flight.
pub(crate) const FLIGHT: usize = 64;

/// Looks at each of these files.
///
/// # Errors
/// The session was lost.
pub(crate) async fn confirm(
    sftp: &Arc<Sftp>,
    judge: Judge<'_>,
    files: &[RemoteFile],
) -> Result<Vec<Confirmed>> {
    let mut confirmed = Vec::with_capacity(files.len());
    for files in files.chunks(FLIGHT) {
        let mut flight = JoinSet::new();
        for (index, file) in files.iter().enumerate() {
            let (sftp, path) = (Arc::clone(sftp), file.remote_path());
            flight.spawn(async move { (index, Reply::of(sftp.lstat(&path).await)) });
        }
        let mut seen = flight.join_all().await;
        seen.sort_unstable_by_key(|(index, _)| *index);
        for (file, (_, seen)) in files.iter().zip(seen) {
            confirmed.push(match seen? {
                Reply::Done(Some(told)) => judge.confirmed(file, &told),
                Reply::Done(None) => Confirmed::Gone,
                // What the server does not show is as it was listed. The collection will tell.
                Reply::Refused(_) => Confirmed::Due(file.clone()),
            });
        }
    }
    Ok(confirmed)
}
