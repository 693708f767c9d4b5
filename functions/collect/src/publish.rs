//! Makes the object visible, or finds that it is there already.

use aws::{Onto, Unwritten};
use bridge::collect::{Destination, StoredObject};
use bridge::{CollectIfExists, Error, ErrorName, Result};

use crate::destination::Place;
use crate::read::Collecting;

/// What came of it.
pub(crate) enum Published {
    /// S3 has the object.
    Object(StoredObject),
    /// Another object is there, and must stay.
    Refused(Error),
    /// The file is to be read once more.
    Again,
}

/// Maximum number of attempts at a key that must be free, while others store objects at the same time.
const ATTEMPTS_MAX: u32 = 10;

impl Collecting<'_> {
    /// Stores the object as `COLLECT_IF_EXISTS` says. S3 has every byte, except those of an object of one request.
    pub(crate) async fn publish(&mut self) -> Result<Published> {
        let if_exists = self.call.deps.collect.if_exists;
        for _ in 0..ATTEMPTS_MAX {
            if if_exists != CollectIfExists::Replace
                && let Some(object) = self.identical().await?
            {
                return Ok(Published::Object(object));
            }
            let onto = match if_exists {
                CollectIfExists::Replace | CollectIfExists::Skip => Onto::Any,
                CollectIfExists::Fail | CollectIfExists::KeepBoth => Onto::Nothing,
            };
            match self.writer.publish(onto).await {
                Ok(object) => return Ok(Published::Object(object)),
                Err(Unwritten::Failed(error)) => return Err(error),
                Err(gone @ Unwritten::UploadGone(_)) => {
                    let object = self.begin_again(self.writer.confirmed().0, &gone).await?;
                    return Ok(object.map_or(Published::Again, Published::Object));
                }
                Err(Unwritten::Exists) if if_exists == CollectIfExists::KeepBoth => {
                    if let Some(published) = self.take_next_number().await? {
                        return Ok(published);
                    }
                }
                Err(Unwritten::Exists) => return self.not_replaced().await,
            }
        }
        Err(ErrorName::ObjectWriteInterrupted.error(format!(
            "s3://{}/{}: others store objects under this name all the time",
            self.writer.place().bucket,
            self.writer.place().object_key
        )))
    }

    /// An object has come into the way that must not be replaced. Perhaps it is the same one.
    async fn not_replaced(&mut self) -> Result<Published> {
        let place = self.writer.place().clone();
        self.similar = Some(vec![place.clone()]);
        Ok(match self.identical().await? {
            Some(object) => Published::Object(object),
            None => Published::Refused(self.call.must_not_replace(&place)),
        })
    }

    /// An object that has the contents of the file. Its place becomes that of the file.
    async fn identical(&mut self) -> Result<Option<StoredObject>> {
        let (size, checksum) = (self.file().size, self.writer.checksum());
        for place in self.similar().await? {
            let found = self.call.find(&place).await?;
            if let Some(object) = found.and_then(|found| found.identical(size, &checksum)) {
                tracing::info!(
                    object_key = place.object_key,
                    "an object with the same contents is there already"
                );
                self.writer.abort().await;
                self.writer.move_to(place);
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// Objects that may have the same contents.
    async fn similar(&mut self) -> Result<Vec<Destination>> {
        if let Some(similar) = &self.similar {
            return Ok(similar.clone());
        }
        let place = self.writer.place().clone();
        let similar = match self.call.deps.collect.if_exists {
            CollectIfExists::Replace => Vec::new(),
            CollectIfExists::Skip | CollectIfExists::Fail => vec![place],
            CollectIfExists::KeepBoth => {
                let first = self.call.first_place(self.call.time(&self.report))?;
                let number = self.call.number_of(&first, &place).unwrap_or_default();
                (0..number).map(|number| self.call.numbered(&first, number)).collect()
            }
        };
        self.similar = Some(similar.clone());
        Ok(similar)
    }

    /// Another execution was faster at this key. An upload in parts is bound to its key.
    async fn take_next_number(&mut self) -> Result<Option<Published>> {
        let taken = self.writer.place().clone();
        let first = self.call.first_place(self.call.time(&self.report))?;
        let from = self.call.number_of(&first, &taken).unwrap_or_default();
        match self.call.place_among_numbers(&first, from).await? {
            Place::Collected(place, object) => {
                self.writer.abort().await;
                self.writer.move_to(place);
                Ok(Some(Published::Object(object)))
            }
            Place::Open { destination, similar } => {
                self.similar = Some(similar);
                if self.writer.move_to(destination.clone()) {
                    return Ok(None);
                }
                let offset = self.writer.position();
                self.writer.abort().await;
                self.start_over(offset, "another object has taken its key", destination)?;
                Ok(Some(Published::Again))
            }
        }
    }
}
