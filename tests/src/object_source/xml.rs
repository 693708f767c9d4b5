//! XML documents.

pub(super) const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Text as the content of an element.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // XML readers would take it for a line end.
            '\r' => escaped += "&#13;",
            character => escaped.push(character),
        }
    }
    escaped
}
