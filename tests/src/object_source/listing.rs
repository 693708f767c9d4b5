//! ListObjectsV2 and ListObjectVersions, whose versions all are `null`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::http::Request;
use super::object::Object;
use super::xml::{XML, escape};

/// What S3 does not encode with `encoding-type=url`.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Which of the two listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Objects,
    Versions,
}

/// What a request asks for.
struct Asked<'a> {
    kind: Kind,
    bucket: &'a str,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// `url`, or none.
    encoding: Option<&'a str>,
    /// Maximum number of keys and common prefixes on the page.
    max_keys: usize,
    /// The page begins after this key: the token of a page is the last key on the page before it.
    after: Option<&'a str>,
}

/// What the page holds.
#[derive(Default)]
struct Page {
    contents: String,
    prefixes: BTreeSet<String>,
    count: usize,
    /// Where the next page begins, if there is one.
    next: Option<String>,
}

/// A page of the objects in a bucket, which are given by `bucket/key`.
pub(super) fn page(
    objects: &BTreeMap<String, Arc<Object>>,
    bucket: &str,
    request: &Request,
    kind: Kind,
    keys_max: Option<usize>,
) -> String {
    let parameter = |name: &str| request.query.get(name).map(String::as_str);
    let max_keys = parameter("max-keys").and_then(|number| number.parse().ok()).unwrap_or(1000);
    let after = match kind {
        Kind::Objects => parameter("continuation-token").or(parameter("start-after")),
        Kind::Versions => parameter("key-marker"),
    };
    let asked = Asked {
        kind,
        bucket,
        prefix: parameter("prefix").unwrap_or_default(),
        delimiter: parameter("delimiter").filter(|delimiter| !delimiter.is_empty()),
        encoding: parameter("encoding-type"),
        max_keys: keys_max.map_or(max_keys, |most| max_keys.min(most)),
        after,
    };
    asked.xml(&asked.page(objects))
}

impl Asked<'_> {
    fn encode(&self, key: &str) -> String {
        if self.encoding == Some("url") { utf8_percent_encode(key, URL).to_string() } else { escape(key) }
    }

    fn page(&self, objects: &BTreeMap<String, Arc<Object>>) -> Page {
        let mut page = Page::default();
        let mut after = self.after.map(str::to_owned);
        let start = format!("{}/{}", self.bucket, self.prefix);
        let first = after.as_ref().map(|after| format!("{}/{after}", self.bucket));
        let first = first.unwrap_or_default().max(start.clone());
        let found = objects.range(first..).take_while(|(name, _)| name.starts_with(&start));
        for (name, object) in found {
            let key = &name[self.bucket.len() + 1..];
            if after.as_deref().is_some_and(|after| key <= after) {
                continue;
            }
            if page.count == self.max_keys {
                page.next = after;
                break;
            }
            page.count += 1;
            if let Some(common) = self.common_prefix(key) {
                let prefix = self.encode(common);
                page.prefixes.insert(format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"));
                // Continues after all keys with this prefix.
                after = Some(format!("{common}{}", char::MAX));
            } else {
                page.contents += &self.entry(key, object);
                after = Some(key.to_owned());
            }
        }
        page
    }

    /// What stands for all keys that are equal up to the delimiter.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let end = key[self.prefix.len()..].find(delimiter)? + delimiter.len();
        Some(&key[..self.prefix.len() + end])
    }

    fn entry(&self, key: &str, object: &Object) -> String {
        let (tag, version) = match self.kind {
            Kind::Objects => ("Contents", ""),
            Kind::Versions => ("Version", "<VersionId>null</VersionId><IsLatest>true</IsLatest>"),
        };
        format!(
            "<{tag}><Key>{}</Key>{version}<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag>\
             <Size>{}</Size><StorageClass>STANDARD</StorageClass></{tag}>",
            self.encode(key),
            escape(&object.etag),
            object.length
        )
    }

    fn xml(&self, page: &Page) -> String {
        let (count, max_keys, truncated) = (page.count, self.max_keys, page.next.is_some());
        let root = match self.kind {
            Kind::Objects => "ListBucketResult",
            Kind::Versions => "ListVersionsResult",
        };
        let mut xml = format!(
            "{XML}<{root}><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
             <MaxKeys>{max_keys}</MaxKeys><IsTruncated>{truncated}</IsTruncated>",
            escape(self.bucket),
            self.encode(self.prefix)
        );
        let next = page.next.as_deref();
        let [token, marker, version] = match self.kind {
            Kind::Objects => [next.map(escape), None, None],
            Kind::Versions => [None, next.map(|key| self.encode(key)), next.map(|_| "null".to_owned())],
        };
        for (tag, value) in [
            ("Delimiter", self.delimiter.map(|delimiter| self.encode(delimiter))),
            ("EncodingType", self.encoding.map(escape)),
            ("NextContinuationToken", token),
            ("NextKeyMarker", marker),
            ("NextVersionIdMarker", version),
        ] {
            if let Some(value) = value {
                xml += &format!("<{tag}>{value}</{tag}>");
            }
        }
        let prefixes: String = page.prefixes.iter().map(String::as_str).collect();
        xml + &page.contents + &prefixes + &format!("</{root}>")
    }
}
