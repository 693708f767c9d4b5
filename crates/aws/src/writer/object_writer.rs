//! An object of known size that is written in the order of its bytes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use aws_sdk_s3::Client;
use bridge::collect::{Destination, MultipartUpload, StoredObject};
use bridge::{Checksum, ChecksumAlgorithm, ErrorName, RunningChecksum};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::layout::Layout;
use super::requests::{Onto, Part, Requests};
use super::unwritten::{Result, Unwritten};

/// Writes an object of known size: one request for a small one, an upload in parts for a larger one. Some parts travel at
/// the same time, and only these are kept in memory.
///
/// S3 shows nothing before [`publish`](Self::publish). It gets the checksum of the whole object, which is computed from
/// the bytes in their order, and that of each part, and refuses other bytes.
///
/// # Cancel safety
/// Futures may be dropped: [`confirmed`](Self::confirmed) tells what S3 has. After an error, nothing more can be written,
/// but parts that are on their way may still arrive: see [`settle`](Self::settle).
pub struct ObjectWriter {
    requests: Requests,
    /// What the object will say of itself.
    metadata: HashMap<String, String>,
    layout: Layout,
    /// The id of the upload, once there is one.
    upload: Option<String>,
    /// What S3 has.
    stored: BTreeMap<u64, Part>,
    confirmed: Confirmed,
    /// The next byte that is expected, and the checksum of those before it.
    position: u64,
    checksum: RunningChecksum,
    /// The part that is being read, or the whole object.
    filling: Option<Vec<u8>>,
    /// All bytes of an object of one request, once it is published.
    whole: Option<Bytes>,
    uploading: JoinSet<Result<Uploaded>>,
    /// Memory of parts that S3 has.
    spare: Vec<Vec<u8>>,
}

/// The beginning of the object that S3 has without a gap.
struct Confirmed {
    offset: u64,
    checksum: RunningChecksum,
}

impl Confirmed {
    fn nothing() -> Self {
        Self { offset: 0, checksum: RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme) }
    }

    /// Goes on as far as these parts reach.
    fn advance(&mut self, stored: &BTreeMap<u64, Part>, layout: Layout) -> bridge::Result<()> {
        while self.offset < layout.size
            && let Some(part) = stored.get(&layout.part_at(self.offset))
        {
            self.checksum.append(&part.checksum, part.length)?;
            self.offset += part.length;
        }
        Ok(())
    }
}

struct Uploaded {
    number: u64,
    part: Part,
    bytes: Bytes,
}

impl ObjectWriter {
    /// The largest object that S3 stores, in bytes.
    pub const SIZE_MAX: u64 = Layout::SIZE_MAX;

    /// Memory that an object of `size` bytes takes while it is written, in bytes. It is the same for all that fit into
    /// 10,000 parts of 8 MiB, and grows with the parts of larger ones.
    pub fn memory(size: u64) -> u64 {
        Layout::of(size).memory()
    }

    /// An object of `size` bytes at this place.
    pub fn new(s3: &Client, place: Destination, size: u64) -> Self {
        Self::with(Requests { s3: s3.clone(), place }, Layout::of(size))
    }

    fn with(requests: Requests, layout: Layout) -> Self {
        Self {
            requests,
            metadata: HashMap::new(),
            layout,
            upload: None,
            stored: BTreeMap::new(),
            confirmed: Confirmed::nothing(),
            position: 0,
            checksum: RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme),
            filling: None,
            whole: None,
            uploading: JoinSet::new(),
            spare: Vec::new(),
        }
    }

    /// Continues an upload. `offset` and `checksum` are those of the beginning that an earlier call has read and S3 has
    /// confirmed. Parts that S3 has beyond that are not read again.
    ///
    /// # Errors
    /// The upload is gone, or does not have the beginning.
    pub async fn resume(
        s3: &Client,
        place: Destination,
        size: u64,
        upload: &MultipartUpload,
        (offset, checksum): (u64, RunningChecksum),
    ) -> Result<Self> {
        let MultipartUpload { id, part_size } = upload;
        let layout = Layout { size, part_size: *part_size };
        if *part_size == 0 || !layout.is_boundary(offset) {
            let message =
                format!("field `checkpoint.phase.offset`: no part of {part_size} bytes ends at {offset}");
            return Err(ErrorName::InvalidInput.error(message).into());
        }
        let mut writer = Self::with(Requests { s3: s3.clone(), place }, layout);
        writer.stored = writer.requests.parts(id, layout).await?;
        writer.upload = Some(id.clone());
        let parts = offset.div_ceil(*part_size);
        if let Some(missing) = (1..=parts).find(|number| !writer.stored.contains_key(number)) {
            let why = format!("ListParts: S3 does not have part {missing}, which it had confirmed");
            return Err(Unwritten::UploadGone(why));
        }
        writer.confirmed = Confirmed { offset, checksum: checksum.clone() };
        (writer.position, writer.checksum) = (offset, checksum);
        writer.confirmed.advance(&writer.stored, layout)?;
        writer.pass_stored()?;
        Ok(writer)
    }

    /// What the object will say of itself: metadata by name. It is sent with the first part.
    pub fn describe(&mut self, metadata: HashMap<String, String>) {
        self.metadata = metadata;
    }

    /// Whether the whole object is stored with one request.
    pub fn is_one_request(&self) -> bool {
        self.layout.is_one_request()
    }

    /// Where the object goes.
    pub fn place(&self) -> &Destination {
        &self.requests.place
    }

    /// The bytes that are to be written next: up to the end of the object, or to a part that S3 has already. `None` if S3
    /// has been given every byte.
    pub fn wanted(&self) -> Option<Range<u64>> {
        let end = self.stored.range(self.layout.part_at(self.position)..).next();
        let end = end.map_or(self.layout.size, |(number, _)| self.layout.range(*number).start);
        (self.position < end).then_some(self.position..end)
    }

    /// Number of bytes from the beginning that were written, or that S3 had already.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The checksum of these bytes.
    pub fn checksum(&self) -> Checksum {
        self.checksum.checksum()
    }

    /// Number of bytes from the beginning that S3 has confirmed without a gap, and their checksum.
    pub fn confirmed(&self) -> (u64, &RunningChecksum) {
        (self.confirmed.offset, &self.confirmed.checksum)
    }

    /// The upload, if there is one.
    pub fn upload(&self) -> Option<MultipartUpload> {
        let id = self.upload.clone()?;
        Some(MultipartUpload { id, part_size: self.layout.part_size })
    }

    /// Adds the next bytes, not more than [`wanted`](Self::wanted). Waits until a part has arrived if there are enough of
    /// them in memory.
    ///
    /// # Errors
    /// S3 refused a part, or could not be reached.
    ///
    /// # Cancel safety
    /// After the future was dropped, some of the bytes may have been added: [`position`](Self::position) tells.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.make_room().await?;
            bytes = self.fill(bytes)?;
        }
        if self.is_part_full() && !self.layout.is_one_request() {
            self.send_part().await?;
        }
        Ok(())
    }

    /// Waits until every byte that was added is in S3. A part that is not full stays in memory, and so does an object of
    /// one request.
    ///
    /// # Errors
    /// As [`push`](Self::push), after every part on its way has arrived or failed.
    pub async fn settle(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        if self.is_part_full() && !self.layout.is_one_request() {
            outcome = self.send_part().await;
        }
        while !self.uploading.is_empty() {
            outcome = outcome.and(self.wait_for_part().await);
        }
        outcome
    }

    /// Makes the object visible. Every byte must have been written and [settled](Self::settle). It can be called again
    /// after [`Unwritten::NotAsSeen`].
    ///
    /// # Errors
    /// S3 refused, could not be reached, or has something else under the key than `onto` says.
    pub async fn publish(&mut self, onto: &Onto) -> Result<StoredObject> {
        let (size, checksum) = (self.layout.size, self.checksum.checksum());
        if self.position != size {
            let message = format!("{} of {size} bytes were written", self.position);
            return Err(ErrorName::Internal.error(message).into());
        }
        match &self.upload {
            Some(upload) => self.requests.complete(upload, &self.stored, size, checksum, onto).await,
            None => {
                let filling = &mut self.filling;
                let whole = self.whole.get_or_insert_with(|| Bytes::from(filling.take().unwrap_or_default()));
                self.requests.put(self.metadata.clone(), whole.clone(), checksum, onto).await
            }
        }
    }

    /// Gives an object of one request another key, after S3 had an object under the first. False for an upload in parts,
    /// which cannot be moved.
    pub fn move_to(&mut self, place: Destination) -> bool {
        let can_move = self.upload.is_none();
        if can_move {
            self.requests.place = place;
        }
        can_move
    }

    /// Gives up the upload, if there is one, and removes its parts.
    pub async fn abort(&mut self) {
        self.uploading.shutdown().await;
        if let Some(upload) = self.upload.take() {
            self.requests.abort(&upload).await;
        }
    }

    /// Waits until there is memory for the part at the position.
    async fn make_room(&mut self) -> Result<()> {
        if self.is_part_full() && !self.layout.is_one_request() {
            self.send_part().await?;
        }
        if self.filling.is_none() {
            while self.uploading.len() >= self.layout.in_memory() {
                self.wait_for_part().await?;
            }
            let part = self.layout.range(self.layout.part_at(self.position));
            let length = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            let mut spare = self.spare.pop().unwrap_or_default();
            spare.clear();
            spare.try_reserve_exact(capacity(length)).map_err(|_| no_memory(self.layout))?;
            self.filling = Some(spare);
        }
        Ok(())
    }

    /// Adds what fits into the part at the position, and returns the rest.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let part = self.layout.range(self.layout.part_at(self.position));
        let room = usize::try_from(part.end - self.position).unwrap_or(usize::MAX);
        let Some(filling) = self.filling.as_mut().filter(|_| room > 0) else {
            let message = format!("more than the {} bytes of the object were written", self.layout.size);
            return Err(ErrorName::Internal.error(message).into());
        };
        let (fitting, rest) = bytes.split_at(room.min(bytes.len()));
        filling.extend_from_slice(fitting);
        self.checksum.update(fitting);
        self.position += fitting.len() as u64;
        Ok(rest)
    }

    /// Whether the part before the position is complete and still in memory.
    fn is_part_full(&self) -> bool {
        let is_filled = self.filling.as_ref().is_some_and(|filling| !filling.is_empty());
        is_filled && self.layout.is_boundary(self.position)
    }

    /// Sends the part that has just become full, and begins the upload with the first one.
    async fn send_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let created = self.requests.create(self.metadata.clone()).await?;
                self.upload.insert(created).clone()
            }
        };
        let Some(filling) = self.filling.take() else { return Ok(()) };
        let (number, bytes) = (self.layout.part_at(self.position - 1), Bytes::from(filling));
        let mut checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
        checksum.update(&bytes);
        let (requests, checksum) = (self.requests.clone(), checksum.checksum());
        self.uploading.spawn(async move {
            let part = requests.upload(&upload, number, bytes.clone(), checksum).await?;
            Ok(Uploaded { number, part, bytes })
        });
        self.pass_stored()
    }

    /// Waits for one of the parts that are on their way.
    async fn wait_for_part(&mut self) -> Result<()> {
        let Some(ended) = self.uploading.join_next().await else { return Ok(()) };
        let ended = ended.map_err(|error| ErrorName::Internal.error(format!("a part was not sent: {error}")));
        let Uploaded { number, part, bytes } = ended??;
        self.stored.insert(number, part);
        self.confirmed.advance(&self.stored, self.layout)?;
        // Nothing holds it any more, unless the connection still does.
        if bytes.is_unique() {
            self.spare.push(bytes.into());
        }
        Ok(())
    }

    /// Moves the position behind parts that S3 has from an earlier call.
    fn pass_stored(&mut self) -> Result<()> {
        while self.position < self.layout.size
            && self.layout.is_boundary(self.position)
            && let Some(part) = self.stored.get(&self.layout.part_at(self.position))
        {
            self.checksum.append(&part.checksum, part.length)?;
            self.position += part.length;
        }
        Ok(())
    }
}

/// Bytes to reserve for this many.
///
/// glibc takes a block of some MiB from the heap once it has freed one of that size. Small ones that live longer settle
/// between them, so the holes do not fit, and the heap grows. A block of more than 32 MiB always gets pages of its own, which
/// are given back when it is freed. Pages that nobody touches take no memory.
fn capacity(length: usize) -> usize {
    const OF_ITS_OWN: usize = 33 * 1024 * 1024;
    const SMALL: usize = 1024 * 1024;
    if length < SMALL { length } else { length.max(OF_ITS_OWN) }
}

fn no_memory(layout: Layout) -> Unwritten {
    let Layout { size, part_size } = layout;
    let message = format!(
        "an object of {size} bytes is stored in parts of {} MiB, and there is no memory for one. Give the function more memory",
        part_size.div_ceil(1024 * 1024)
    );
    ErrorName::InvalidConfig.error(message).into()
}

impl std::fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectWriter")
            .field("place", &self.requests.place)
            .field("layout", &self.layout)
            .field("upload", &self.upload)
            .field("position", &self.position)
            .field("confirmed", &self.confirmed.offset)
            .field("uploading", &self.uploading.len())
            .finish_non_exhaustive()
    }
}
