//! Entity tags: S3 sends and wants them in quotes; the bridge keeps them without.

/// The tag in quotes, for a request.
pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The tag of a response, without quotes. Empty if the response has no tag.
pub(crate) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}
