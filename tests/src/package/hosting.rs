//! A package in a bucket, so that a link in a browser creates a stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::parts::{DEFINITIONS, FUNCTIONS, zip_of};
use super::sums::{self, hex};
use super::{Package, template};

/// Characters of a URL that need no escape.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a path.
const PATH: &AsciiSet = &PLAIN.remove(b'/');

/// Where a package goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The bucket. Lambda reads code from buckets of its own region only.
    pub bucket: String,
    /// The beginning of all object keys, such as `s3-sftp-bridge/`.
    pub prefix: String,
    /// The bucket's region.
    pub region: String,
}

/// A package in a bucket.
#[derive(Clone, Debug)]
pub struct Hosted {
    /// The objects that were written.
    pub written: Vec<String>,
    /// The objects that were there already, with the same contents.
    pub kept: Vec<String>,
    /// Where CloudFormation and Terraform find the template.
    pub template_url: String,
    /// The template's object key.
    pub template_key: String,
    /// Opens the console of AWS with the form for a new stack.
    pub launch_url: String,
}

/// A client with the credentials of the environment. Without a region, it takes the environment's.
pub async fn client(region: Option<&str>) -> Client {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    // Any region answers in which region a bucket is.
    let region = config.region().cloned().unwrap_or(Region::from_static("us-east-1"));
    Client::from_conf(aws_sdk_s3::config::Builder::from(&config).region(region).build())
}

/// The region of a bucket. An error says whether the bucket is missing.
pub async fn region_of(s3: &Client, bucket: &str) -> Result<String> {
    let error = match s3.head_bucket().bucket(bucket).send().await {
        Ok(found) => return Ok(found.bucket_region.unwrap_or_else(|| configured(s3))),
        Err(error) => error,
    };
    let status = error.raw_response().map(|response| response.status().as_u16());
    let region = error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region"));
    match (status, region) {
        (Some(404), _) => {
            bail!("the bucket {bucket:?} does not exist; create it first, or correct --bucket")
        }
        (Some(403), _) => bail!(
            "the bucket {bucket:?} may not be used with these credentials: it is another account's, or they lack s3:ListBucket"
        ),
        // S3 answers with 301, 307 or 400 if the bucket is in another region.
        (_, Some(region)) => Ok(region.to_owned()),
        _ => Err(Error::new(error).context(format!("the bucket {bucket:?} gave no answer"))),
    }
}

fn configured(s3: &Client) -> String {
    s3.config().region().map_or("us-east-1", |region| region.as_ref()).to_owned()
}

/// Uploads the functions and the definitions of a package, and then the template that names them. Object keys have
/// version and SHA-256. An object that is there already is kept, and must have the same contents.
pub async fn upload(s3: &Client, package: &Package, place: &Place) -> Result<Hosted> {
    // A file that was changed is found before anything is uploaded.
    let listed = sums::check(&package.folder)?;
    let folder = format!("{}{}/{}", place.prefix, package.version, package.architecture.name());
    let mut keys = BTreeMap::new();
    for file in FUNCTIONS.map(zip_of).into_iter().chain(DEFINITIONS.map(str::to_owned)) {
        let sum = listed.get(&file).with_context(|| format!("{} has no sum of {file}", sums::FILE))?;
        keys.insert(file.clone(), named(&folder, &file, sum));
    }
    let uri = |file: &str| {
        let object_key = keys.get(file).with_context(|| format!("the package has no {file}"))?;
        Ok(format!("s3://{}/{object_key}", place.bucket))
    };
    let template = template::hosted(&std::fs::read_to_string(package.template())?, uri)?;
    let template_key = named(&folder, template::FILE, &hex(&Sha256::digest(&template)));
    let (template_url, launch_url) = urls(place, &template_key);
    let mut hosted = Hosted { written: Vec::new(), kept: Vec::new(), template_url, template_key, launch_url };
    for (file, object_key) in &keys {
        hosted.put(s3, place, object_key, std::fs::read(package.folder.join(file))?).await?;
    }
    let template_key = hosted.template_key.clone();
    hosted.put(s3, place, &template_key, template.into_bytes()).await?;
    Ok(hosted)
}

/// `FOLDER/transfer-0123456789abcdef.zip`
fn named(folder: &str, file: &str, sum: &str) -> String {
    let path = Path::new(file);
    let extension = path.extension().unwrap_or_default().display();
    format!("{folder}/{}-{}.{extension}", path.file_stem().unwrap_or_default().display(), &sum[..16])
}

fn urls(place: &Place, template_key: &str) -> (String, String) {
    let Place { bucket, region, .. } = place;
    let object_key = utf8_percent_encode(template_key, PATH);
    // A certificate of S3 does not cover a bucket with a dot in its name.
    let template = match bucket.contains('.') {
        true => format!("https://s3.{region}.amazonaws.com/{bucket}/{object_key}"),
        false => format!("https://{bucket}.s3.{region}.amazonaws.com/{object_key}"),
    };
    let encoded = utf8_percent_encode(&template, PLAIN);
    let launch = format!(
        "https://{region}.console.aws.amazon.com/cloudformation/home?region={region}#/stacks/quickcreate\
         ?templateURL={encoded}"
    );
    (template, launch)
}

impl Hosted {
    async fn put(&mut self, s3: &Client, place: &Place, object_key: &str, contents: Vec<u8>) -> Result<()> {
        let put = s3.put_object().bucket(&place.bucket).key(object_key).if_none_match("*");
        let sent = put.body(ByteStream::from(contents.clone())).send().await;
        let Err(error) = sent else {
            self.written.push(object_key.to_owned());
            return Ok(());
        };
        let whole = format!("s3://{}/{object_key}", place.bucket);
        let is_there = error.raw_response().is_some_and(|response| response.status().as_u16() == 412)
            || error.code() == Some("PreconditionFailed");
        if !is_there {
            return Err(Error::new(error).context(format!("cannot upload {whole}")));
        }
        let found = s3.get_object().bucket(&place.bucket).key(object_key).send().await;
        let found = found.with_context(|| format!("{whole} is there already and cannot be read"))?;
        ensure!(
            found.body.collect().await?.into_bytes() == contents,
            "{whole} is there already with other contents; nothing was overwritten. Choose another --prefix"
        );
        self.kept.push(object_key.to_owned());
        Ok(())
    }
}
