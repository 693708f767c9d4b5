//! Makes the object visible, or finds that it is there already.

use aws::Unwritten;
use bridge::collect::{Destination, StoredObject};
use bridge::{CollectIfExists, Error, ErrorName, Result};

use crate::destination::Place;
use crate::read::{Collecting, Holder};

/// What came of it.
pub(crate) enum Published {
    /// S3 has the object.
    Object(StoredObject),
    /// Another object is there, and must stay.
    Refused(Error),
    /// The file is to be looked at once more, and read if that is not done.
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
            match self.writer.publish(&self.onto()).await {
                Ok(object) => return Ok(Published::Object(object)),
                Err(Unwritten::Failed(error)) => return Err(error),
                Err(gone @ Unwritten::UploadGone(_)) => {
                    let object = self.begin_again(self.writer.confirmed().0, &gone).await?;
                    return Ok(object.map_or(Published::Again, Published::Object));
                }
                Err(unwritten @ (Unwritten::NotAsSeen | Unwritten::Contended(_))) => {
                    match (if_exists, unwritten) {
                        (CollectIfExists::Replace | CollectIfExists::Skip, _) => {
                            return self.look_once_more().await;
                        }
                        (_, Unwritten::Contended(error)) => return Err(error),
                        (CollectIfExists::Fail, _) => return self.not_replaced().await,
                        (CollectIfExists::KeepBoth, _) => {
                            if let Some(published) = self.take_next_number().await? {
                                return Ok(published);
                            }
                        }
                    }
                }
            }
        }
        Err(self.contended())
    }

    fn contended(&self) -> Error {
        ErrorName::ObjectWriteInterrupted.error(format!(
            "s3://{}/{}: others store objects under this name all the time",
            self.writer.place().bucket,
            self.writer.place().object_key
        ))
    }

    /// Something else has the key than a moment ago. Perhaps it is the object itself, and the answer was lost. Otherwise the
    /// key and the file are looked at again: the partner may have replaced the file, and another execution collected it.
    async fn look_once_more(&mut self) -> Result<Published> {
        let place = self.writer.place().clone();
        let found = self.call.find(&place).await?;
        if let Some(object) = found.as_ref().and_then(|found| self.call.collected(found)) {
            self.writer.abort().await;
            return Ok(Published::Object(object));
        }
        self.holder = Holder::Shown(found);
        self.conflicts += 1;
        if self.conflicts >= ATTEMPTS_MAX {
            return Err(self.contended());
        }
        tracing::info!(
            object_key = place.object_key,
            "the key has changed hands, so everything is looked at again"
        );
        self.similar = Some(vec![place]);
        Ok(Published::Again)
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
            Place::Open { destination, similar, .. } => {
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
