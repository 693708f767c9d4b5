//! Names and directories on the partner's server: what is safe, and how paths are taken apart.

/// NAME_MAX of nearly every file system, in bytes.
pub(crate) const COMPONENT_MAX: usize = 255;

/// The directory with its slash, and the name.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// What stands before and after the last dot. A dot that begins or ends the name begins no extension.
pub(crate) fn split_extension(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

/// As much of the text as fits.
pub(crate) fn cut(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The name beside which `number` others are kept: `report.csv`, `report.1.csv`, `report.2.csv`. The last component has at
/// most `name_max` bytes.
pub(crate) fn numbered(path: &str, number: u32, name_max: usize) -> String {
    if number == 0 {
        return path.to_owned();
    }
    let (directory, name) = split(path);
    let (stem, extension) = split_extension(name);
    let tail = match extension {
        "" => format!(".{number}"),
        extension => format!(".{number}.{extension}"),
    };
    format!("{directory}{}{tail}", cut(stem, name_max.saturating_sub(tail.len())))
}

/// A directory in the settings: what is wrong with it.
pub(crate) fn problem_of_directory(path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').find_map(|component| Some(format!("component {component:?} {}", problem_of(component)?)))
}

/// `SFTP_LOCATION`, which is the operator's own: it may name where the server logs us in, and a server that takes
/// backslashes.
pub(crate) fn problem_of_location(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    match path {
        "" | "." => None,
        path => problem_of_directory(&path.replace('\\', "-")),
    }
}

/// What is wrong with one component of a path, as the end of a sentence.
pub(crate) fn problem_of(component: &str) -> Option<&'static str> {
    Some(match component {
        "" => "is empty (the path starts or ends with `/`, or has `//`)",
        "." | ".." => "would leave the directory",
        _ if component.len() > COMPONENT_MAX => "is longer than 255 bytes",
        _ if component.contains('\\') => "has a backslash, which some servers take for a separator",
        _ if component.chars().any(char::is_control) => "has a control character",
        _ => return None,
    })
}
