//! Removes a delivered version from its bucket, and says what has really happened.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::delete_object::DeleteObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use bridge::PinnedObject;

use crate::afterwards::{NotDone, Result, failed, not_done, quoted};
use crate::error::Failed;

/// S3 gives this id to what was uploaded while the bucket was not versioned.
const NULL: &str = "null";
/// Entries of one page of a list of versions.
const VERSIONS_AT_ONCE: i32 = 100;

/// What has become of the object. Its `Display` is for the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The version is gone for good.
    Deleted,
    /// Deleting it only put a delete marker over it.
    Hidden,
    /// Somebody else has deleted it before.
    AlreadyGone,
    /// A newer upload has overwritten it.
    Replaced,
}

impl std::fmt::Display for Removal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deleted => "deleted",
            Self::Hidden => "hidden behind a delete marker; its version `null` is still in the bucket",
            Self::AlreadyGone => "nothing deleted: the object was already gone",
            Self::Replaced => "nothing deleted: a newer upload has taken its place",
        })
    }
}

/// What is in the bucket of the pinned version.
pub(crate) enum Found {
    /// It is there.
    Present(Box<HeadObjectOutput>, Address),
    /// There is no such version any more.
    Gone,
    /// Another upload has overwritten it.
    Replaced,
}

/// How a request names the pinned version and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// By its version id; `is_current` says whether a request without an id would mean it, too.
    Version { id: String, is_current: bool },
    /// By its key: as far as S3 says, the bucket is not versioned.
    Key,
}

impl Address {
    /// For requests that take a version id.
    pub(crate) fn version_id(&self) -> Option<String> {
        match self {
            Self::Version { id, .. } => Some(id.clone()),
            Self::Key => None,
        }
    }
}

/// Looks for the pinned version.
pub(crate) async fn find(s3: &Client, object: &PinnedObject) -> Result<Found> {
    if let Some(id) = &object.version_id {
        return find_version(s3, object, id).await;
    }
    let Some(head) = head(s3, object, None).await? else { return find_version(s3, object, NULL).await };
    match head.version_id() {
        // The bucket is versioned by now. Equal bytes have equal etags: only the id tells the uploads apart.
        Some(id) if id != NULL => find_version(s3, object, NULL).await,
        id => {
            let address = match id {
                Some(id) => Address::Version { id: id.to_owned(), is_current: true },
                None => Address::Key,
            };
            Ok(compared(head, object, address))
        }
    }
}

async fn find_version(s3: &Client, object: &PinnedObject, id: &str) -> Result<Found> {
    let address = Address::Version { id: id.to_owned(), is_current: false };
    let found = head(s3, object, Some(id)).await?;
    Ok(found.map_or(Found::Gone, |head| compared(head, object, address)))
}

fn compared(head: HeadObjectOutput, object: &PinnedObject, address: Address) -> Found {
    match head.e_tag().unwrap_or_default().trim_matches('"') == object.etag {
        true => Found::Present(Box::new(head), address),
        false => Found::Replaced,
    }
}

async fn head(s3: &Client, object: &PinnedObject, id: Option<&str>) -> Result<Option<HeadObjectOutput>> {
    let request = s3.head_object().bucket(&object.bucket).key(&object.object_key);
    match request.set_version_id(id.map(str::to_owned)).send().await {
        Ok(head) => Ok(Some(head)),
        Err(error) => match Failed::of(&error).status {
            Some(404) => Ok(None),
            // The id is that of a delete marker, or the store knows no versions.
            Some(400 | 405) if id.is_some() => Ok(None),
            _ => Err(failed("HeadObject", &error)),
        },
    }
}

/// Deletes the pinned version, and never another.
///
/// # Errors
/// Whatever S3 says, and if an older version would come back.
pub async fn delete(s3: &Client, object: &PinnedObject) -> Result<Removal> {
    match find(s3, object).await? {
        Found::Gone => Ok(Removal::AlreadyGone),
        Found::Replaced => Ok(Removal::Replaced),
        Found::Present(_, address) => {
            nothing_comes_back(s3, object, &address).await?;
            delete_at(s3, object, &address).await
        }
    }
}

async fn delete_at(s3: &Client, object: &PinnedObject, address: &Address) -> Result<Removal> {
    let (id, if_match) = match address {
        // While versioning is suspended, a newer upload gets the same id: the etag tells them apart.
        Address::Version { id, is_current } => (Some(id.as_str()), *is_current),
        // Where a store does not know the condition, the answer to `find` is all that protects a newer upload.
        Address::Key => (None, true),
    };
    let deleted = match request(s3, object, id, if_match).await? {
        Ok(deleted) => deleted,
        Err(removal) => return Ok(removal),
    };
    // While versioning is suspended, a delete marker takes the place of the version `null`.
    let hidden = *address == Address::Key
        && deleted.delete_marker() == Some(true)
        && deleted.version_id() != Some(NULL);
    if !hidden {
        return Ok(Removal::Deleted);
    }
    // The bucket is versioned, and S3 had not said so: what lies below the marker is deleted by its id.
    match request(s3, object, Some(NULL), false).await {
        Ok(_) => Ok(Removal::Deleted),
        Err(NotDone { why, .. }) => {
            tracing::warn!(why, "only a delete marker was put over the object");
            Ok(Removal::Hidden)
        }
    }
}

/// One DeleteObject; `Ok(Err(…))` if its condition does not hold any more.
async fn request(
    s3: &Client,
    object: &PinnedObject,
    id: Option<&str>,
    if_match: bool,
) -> Result<std::result::Result<DeleteObjectOutput, Removal>> {
    let request = s3.delete_object().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(id.map(str::to_owned));
    let request = request.set_if_match(if_match.then(|| quoted(&object.etag)));
    match request.send().await {
        Ok(deleted) => Ok(Ok(deleted)),
        Err(error) => match Failed::of(&error).status {
            Some(404) => Ok(Err(Removal::AlreadyGone)),
            Some(412) => Ok(Err(Removal::Replaced)),
            // Another request for the same key came between; S3 asks for another try.
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
            Some(409) => Err(NotDone { transient: true, ..failed("DeleteObject", &error) }),
            _ => Err(failed("DeleteObject", &error)),
        },
    }
}

/// Without this version an older one would be the newest upload. An execution that still waits to deliver that one would
/// then do so, over this one, also from behind a delete marker.
pub(crate) async fn nothing_comes_back(s3: &Client, object: &PinnedObject, address: &Address) -> Result<()> {
    let id = match address {
        Address::Version { id, .. } => id,
        Address::Key => NULL,
    };
    let mut versions = Versions::new(s3, object);
    let newest = match versions.next().await {
        // A store that is not versioned need not know of versions, and its user need not be allowed to list them.
        Err(Failure { status: Some(400 | 403 | 405 | 501), .. }) if *address == Address::Key => return Ok(()),
        newest => newest.map_err(|failure| failure.not_done)?,
    };
    // A newer upload than this one keeps the older ones from being delivered.
    if newest.as_deref() != Some(id) {
        return Ok(());
    }
    match versions.next().await.map_err(|failure| failure.not_done)? {
        None => Ok(()),
        Some(older) => Err(not_done(format!(
            "an older version of it, {older}, would be the newest upload again, and might be delivered over it"
        ))),
    }
}

/// The ids of an object's versions, the newest first, without delete markers.
struct Versions<'a> {
    s3: &'a Client,
    object: &'a PinnedObject,
    /// Those that were listed and not yet asked for.
    listed: std::vec::IntoIter<String>,
    /// Where the next page begins; `None` behind the last one.
    next: Option<(Option<String>, Option<String>)>,
}

/// A list that could not be read.
struct Failure {
    status: Option<u16>,
    not_done: NotDone,
}

impl<'a> Versions<'a> {
    fn new(s3: &'a Client, object: &'a PinnedObject) -> Self {
        Self { s3, object, listed: Vec::new().into_iter(), next: Some((None, None)) }
    }

    async fn next(&mut self) -> std::result::Result<Option<String>, Failure> {
        loop {
            if let Some(id) = self.listed.next() {
                return Ok(Some(id));
            }
            let Some((key_marker, id_marker)) = self.next.take() else { return Ok(None) };
            self.page(key_marker, id_marker).await?;
        }
    }

    /// Delete markers may fill whole pages.
    async fn page(
        &mut self,
        key_marker: Option<String>,
        id_marker: Option<String>,
    ) -> std::result::Result<(), Failure> {
        let key = Some(self.object.object_key.as_str());
        let request =
            self.s3.list_object_versions().bucket(&self.object.bucket).set_prefix(key.map(Into::into));
        let request = request.set_key_marker(key_marker).set_version_id_marker(id_marker);
        let listed = request.max_keys(VERSIONS_AT_ONCE).send().await.map_err(|error| Failure {
            status: Failed::of(&error).status,
            not_done: failed("ListObjectVersions", &error),
        })?;
        let of_key = listed.versions().iter().filter(|version| version.key() == key);
        let ids = of_key.map(|version| version.version_id().unwrap_or(NULL).to_owned());
        self.listed = ids.collect::<Vec<_>>().into_iter();
        // The key itself comes before those that it is the beginning of.
        let goes_on = listed.is_truncated() == Some(true) && listed.next_key_marker() == key;
        self.next = goes_on.then_some((listed.next_key_marker, listed.next_version_id_marker));
        Ok(())
    }
}
