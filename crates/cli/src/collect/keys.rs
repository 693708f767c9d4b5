//! Which of many keys no object has. One list tells it of up to 1,000 keys.

use std::collections::BTreeSet;

use aws::listed;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

/// Number of looks at one key that cost about as much as a list.
const LOOKS_PER_LIST: usize = 12;

/// Whether no object has each of these keys. False also if it is unknown: a list is asked only if it is cheaper than single
/// looks.
pub(super) async fn are_free(s3: &Client, bucket: &str, wanted: &[Option<String>]) -> Vec<bool> {
    let mut are_free = vec![false; wanted.len()];
    let keys = wanted.iter().enumerate().filter_map(|(index, key)| Some((key.as_deref()?, index)));
    let mut keys: Vec<(&str, usize)> = keys.collect();
    keys.sort_unstable();
    let prefix = common_prefix(&keys);
    let (mut rest, mut after) = (&keys[..], String::new());
    while let [(first, _), ..] = rest
        && rest.len() >= LOOKS_PER_LIST
    {
        after = after.max(before(first));
        let list = s3.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let list = list.set_start_after(Some(after.clone()).filter(|after| !after.is_empty()));
        let page = match list.send().await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(error = %aws::CallError::of(&error), "the keys are looked at one by one");
                break;
            }
        };
        let Some(Page { taken, last }) = Page::of(&page, &after) else { break };
        let is_told = |key: &str| last.as_deref().is_none_or(|last| key <= last);
        let (told, untold) = rest.split_at(rest.partition_point(|(key, _)| is_told(key)));
        for (key, index) in told {
            are_free[*index] = !taken.contains(*key);
        }
        // If there are few, others lie between them.
        let Some(last) = last.filter(|_| told.len() >= LOOKS_PER_LIST) else { break };
        (rest, after) = (untold, last);
    }
    are_free
}

struct Page {
    taken: BTreeSet<String>,
    /// The key at which the list goes on, if it does.
    last: Option<String>,
}

impl Page {
    /// `None` if the page proves nothing: a key cannot be decoded, the keys are in another order, as in a directory bucket,
    /// or there are none and the list goes on.
    fn of(page: &ListObjectsV2Output, after: &str) -> Option<Self> {
        let keys = page.contents().iter().map(|object| listed::key(object, page.encoding_type()));
        let keys: Vec<String> = keys.collect::<Option<_>>()?;
        let in_order = keys.is_sorted() && keys.first().is_none_or(|first| first.as_str() > after);
        let goes_on = page.is_truncated() == Some(true);
        let last = keys.last().cloned().filter(|_| goes_on);
        let proves = in_order && goes_on == last.is_some();
        proves.then(|| Self { taken: keys.into_iter().collect(), last })
    }
}

/// A text that stands before the key, and with few others between.
fn before(key: &str) -> String {
    let mut chars = key.chars();
    chars.next_back();
    chars.as_str().to_owned()
}

/// Of keys in order.
fn common_prefix<'a>(keys: &[(&'a str, usize)]) -> &'a str {
    let ([(first, _), ..], [.., (last, _)]) = (keys, keys) else { return "" };
    // What the first and the last one have in common, all between them have.
    let same = first.chars().zip(last.chars()).take_while(|(one, other)| one == other);
    &first[..same.map(|(char, _)| char.len_utf8()).sum()]
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Object;

    use super::*;

    #[test]
    fn the_prefix_is_common_to_all_keys() {
        assert_eq!(common_prefix(&[("in/ab", 1), ("in/aü", 0), ("in/b", 2)]), "in/");
        assert_eq!(common_prefix(&[("ä", 0), ("ö", 1)]), "");
        assert_eq!(common_prefix(&[("üa", 0), ("üb", 1)]), "ü");
        assert_eq!((common_prefix(&[("in/a", 0)]), common_prefix(&[])), ("in/a", ""));
    }

    #[test]
    fn a_page_proves_something_only_if_it_is_whole_or_tells_where_the_next_one_begins() {
        let page = |keys: &[&str], is_truncated| {
            let objects = keys.iter().map(|key| Object::builder().key(*key).build()).collect();
            let page = ListObjectsV2Output::builder().set_contents(Some(objects)).is_truncated(is_truncated);
            Page::of(&page.build(), "in/").map(|page| page.last)
        };
        assert_eq!(page(&["in/a", "in/b"], true), Some(Some("in/b".into())));
        assert_eq!((page(&["in/a"], false), page(&[], false)), (Some(None), Some(None)));
        assert_eq!(page(&["in/b", "in/a"], false), None);
        assert_eq!(page(&[], true), None);
    }

    #[test]
    fn a_list_begins_before_the_key() {
        assert!(*before("in/a") < *"in/a");
        assert_eq!((before("ü"), before("")), (String::new(), String::new()));
    }
}
