//! What has the key, before the last look at the file.

use aws::Onto;
use aws::collected::Found;
use bridge::{CollectIfExists, Result};

use crate::ending::Ending;
use crate::read::collecting::{Collecting, Holder};
use crate::read::outcome::Read;

impl Collecting<'_> {
    /// Finds out what the object would replace, unless this call knows it. After this the file is looked at, and S3 replaces
    /// only what was found before. So if an object of the same path is replaced, the server showed this file after that
    /// object was stored.
    ///
    /// The path of another file tells nothing of the order. Then an object of a file that was modified later stays.
    pub(super) async fn look_at_key(&mut self) -> Result<Read> {
        if !self.may_replace() {
            return Ok(Read::Whole);
        }
        let place = self.writer.place().clone();
        if self.holder == Holder::Unknown {
            self.holder = Holder::Shown(self.call.find(&place).await?);
        }
        let Holder::Shown(Some(found)) = &self.holder else { return Ok(Read::Whole) };
        if let Some(object) = self.call.collected(found) {
            return Ok(Read::Stored(object));
        }
        let origin = found.origin.as_ref().filter(|origin| origin.is_later_than(self.file()));
        let newer = origin.filter(|_| !self.keeps(found)).map(|origin| {
            Ending::skipped(format!(
                "s3://{}/{} is made of a newer file of this server, {}, and is not replaced by an older one. The file is left alone",
                place.bucket,
                place.object_key,
                origin.describe()
            ))
        });
        Ok(newer.map_or(Read::Whole, Read::Ended))
    }

    /// What S3 may replace.
    pub(crate) fn onto(&self) -> Onto {
        match &self.holder {
            Holder::Shown(Some(found)) if self.may_replace() => Onto::Object(found.etag.clone()),
            Holder::Shown(_) | Holder::Unknown => Onto::Nothing,
        }
    }

    fn may_replace(&self) -> bool {
        matches!(self.call.deps.collect.if_exists, CollectIfExists::Replace | CollectIfExists::Skip)
    }

    /// Whether the object stays because it has the same contents.
    fn keeps(&self, found: &Found) -> bool {
        let (size, checksum) = (self.file().size, self.writer.checksum());
        self.call.deps.collect.if_exists == CollectIfExists::Skip
            && found.identical(size, &checksum).is_some()
    }
}
