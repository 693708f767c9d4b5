//! A look at the final name, after the server said that the rename is done.

use bridge::{Checkpoint, ErrorName, Result};
use partner::files::{Patience, Seen, discard, look_until};

use crate::work::Work;

impl Work<'_> {
    /// Returns whether the file is seen under its final name. If not, warns. `shown` is what the server has shown there, if
    /// that can only be ours.
    ///
    /// # Errors
    /// `RemoteMismatch` if the server tells another size.
    pub(super) async fn confirm(&self, checkpoint: &mut Checkpoint, shown: Option<Seen>) -> Result<bool> {
        let (path, size) = (checkpoint.final_path(), checkpoint.object.size);
        let sizes_unreliable = checkpoint.proving.sizes_unreliable;
        let is_whole = |seen: Seen| match seen {
            Seen::File(Some(told)) => told == size || sizes_unreliable,
            Seen::File(None) | Seen::Hidden => true,
            Seen::Directory | Seen::Nothing => false,
        };
        let patience = |seen| if seen == Seen::Nothing { Patience::Short } else { Patience::Long };
        let seen = match shown {
            Some(shown) if is_whole(shown) => shown,
            _ => look_until(self.sftp, &path, self.call.stop, is_whole, patience).await?,
        };
        if is_whole(seen) {
            self.remove_former(checkpoint).await;
            return Ok(true);
        }
        if seen == Seen::Nothing {
            checkpoint.warn(format!(
                "the server accepted the rename, but {path:?} is not seen: it was taken away at once, or it lies under another name. Ask the partner whether it arrived"
            ));
            self.put_former_back(checkpoint).await?;
            return Ok(false);
        }
        if checkpoint.publishing.aside.is_some() {
            // What has the name is ours, and damaged.
            discard(self.sftp, &path).await;
            self.put_former_back(checkpoint).await?;
        }
        let found = seen.size().map_or("is not a file".to_owned(), |size| format!("has {size} bytes"));
        Err(ErrorName::RemoteMismatch.error(format!(
            "the server accepted the rename, but afterwards {path:?} {found}; {size} bytes were sent and proved. Ask the partner what changes files after a rename"
        )))
    }
}

/// Whether what is seen under the final name cannot be what was there `before`. The first look was before the rename.
/// The server may have done the second one before or after it.
pub(super) fn has_appeared(before: Seen, after: Seen, size: u64) -> bool {
    match before {
        Seen::Nothing => matches!(after, Seen::File(_)),
        Seen::File(Some(former)) => former != size && after == Seen::File(Some(size)),
        Seen::File(None) | Seen::Directory | Seen::Hidden => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look that the server did before the rename shows what was there before.
    #[test]
    fn only_what_was_not_there_before_has_appeared() {
        let befores = [
            Seen::Nothing,
            Seen::Directory,
            Seen::Hidden,
            Seen::File(None),
            Seen::File(Some(0)),
            Seen::File(Some(5)),
        ];
        for before in befores {
            assert!(!has_appeared(before, before, 5), "{before:?}");
        }
        let ours = Seen::File(Some(5));
        assert!(has_appeared(Seen::Nothing, ours, 5));
        assert!(has_appeared(Seen::Nothing, Seen::File(None), 5), "the server does not tell sizes");
        assert!(has_appeared(Seen::File(Some(4)), ours, 5));
        for before in [Seen::Hidden, Seen::File(None), Seen::Directory] {
            assert!(!has_appeared(before, ours, 5), "{before:?}");
        }
        assert!(!has_appeared(Seen::File(Some(4)), Seen::File(Some(3)), 5), "another former file");
    }
}
