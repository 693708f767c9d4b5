//! Where the object goes, if other objects are there.

use aws::collected::{Found, find};
use bridge::collect::{Destination, StoredObject};
use bridge::{Checksum, CollectIfExists, Error, ErrorName, NUMBER_MAX, Result};

use crate::call::Call;

/// A place for the object, or the object itself, if it is there already.
pub(crate) enum Place {
    /// An earlier execution, or an earlier call of this one, has stored this very file.
    Collected(Destination, StoredObject),
    /// The object goes here.
    Open {
        destination: Destination,
        /// What has the key, and may be replaced.
        holder: Option<Found>,
        /// Objects that may have the same contents. Their size is that of the file.
        similar: Vec<Destination>,
    },
}

impl Place {
    /// Nothing has the key.
    pub(crate) fn free(destination: Destination) -> Self {
        Self::Open { destination, holder: None, similar: Vec::new() }
    }
}

impl Call<'_> {
    /// Looks for the file's own object, and chooses the key for a new one.
    pub(crate) async fn place(&self, first: Destination) -> Result<Place> {
        if self.deps.collect.if_exists == CollectIfExists::KeepBoth {
            return self.place_among_numbers(&first, 0).await;
        }
        let Some(found) = self.find(&first).await? else {
            return Ok(Place::free(first));
        };
        if let Some(object) = self.collected(&found) {
            return Ok(Place::Collected(first, object));
        }
        let may_be_identical = found.may_be_identical(self.input.file.size);
        if self.deps.collect.if_exists == CollectIfExists::Fail && !may_be_identical {
            // Before anything is read.
            return Err(self.must_not_replace(&first));
        }
        let similar = if may_be_identical { vec![first.clone()] } else { Vec::new() };
        Ok(Place::Open { destination: first, holder: Some(found), similar })
    }

    /// The place without a number. `time` fills in the template's date.
    pub(crate) fn first_place(&self, time: &str) -> Result<Destination> {
        let (file, settings) = (&self.input.file, &self.deps.collect);
        let object_key = settings.object_key(file, time).map_err(|why| {
            let message = format!("COLLECT_OBJECT_KEY makes no object key for {:?}: {why}", file.path);
            ErrorName::InvalidConfig.error(message)
        })?;
        Ok(Destination { bucket: settings.bucket.clone(), object_key })
    }

    /// The first free place from this number on.
    pub(crate) async fn place_among_numbers(&self, first: &Destination, from: u32) -> Result<Place> {
        let mut similar = Vec::new();
        for number in from..=NUMBER_MAX {
            let place = self.numbered(first, number);
            let Some(found) = self.find(&place).await? else {
                return Ok(Place::Open { destination: place, holder: None, similar });
            };
            if let Some(object) = self.collected(&found) {
                return Ok(Place::Collected(place, object));
            }
            if found.may_be_identical(self.input.file.size) {
                similar.push(place);
            }
        }
        Err(ErrorName::ObjectWriteRefused.error(format!(
            "COLLECT_IF_EXISTS is keep-both, and s3://{}/{} exists with {NUMBER_MAX} numbered objects beside it. Move or delete objects",
            first.bucket, first.object_key
        )))
    }

    /// The number of a place.
    pub(crate) fn number_of(&self, first: &Destination, place: &Destination) -> Option<u32> {
        (0..=NUMBER_MAX).find(|number| self.numbered(first, *number) == *place)
    }

    /// The place beside which `number` others are kept.
    pub(crate) fn numbered(&self, first: &Destination, number: u32) -> Destination {
        let object_key = self.deps.collect.numbered_key(&first.object_key, number);
        Destination { object_key, ..first.clone() }
    }

    pub(crate) async fn find(&self, place: &Destination) -> Result<Option<Found>> {
        find(&self.deps.clients.s3, place, None).await
    }

    /// The object, if its metadata names the file. After `ObjectMismatch` that is not enough.
    pub(crate) fn collected(&self, found: &Found) -> Option<StoredObject> {
        let object = found.collected(&self.input.file, &self.input.execution.id)?;
        let is_expected = self.expected().is_none_or(|expected| *expected == object.checksum);
        is_expected.then_some(object)
    }

    /// The checksum of what was stored, if another object was found in its place.
    pub(crate) fn expected(&self) -> Option<&Checksum> {
        self.input.checkpoint.as_ref()?.expected.as_ref()
    }

    pub(crate) fn must_not_replace(&self, place: &Destination) -> Error {
        ErrorName::ObjectWriteRefused.error(format!(
            "COLLECT_IF_EXISTS is fail, and s3://{}/{} exists with other contents than {:?}. Move or delete the object, or set COLLECT_IF_EXISTS to replace or keep-both",
            place.bucket,
            place.object_key,
            self.input.file.remote_path()
        ))
    }
}
