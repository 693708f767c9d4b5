//! Every setting, written once. The parsers and their messages, `docs/settings.md` and the parameters in
//! `sam/template.yaml` all take names, defaults, allowed values and descriptions from here.

use Need::{Rare, Required, Usual};
use Stack::{Chosen, Parameter, Shared};
use Values::{Choice, Number, Text};

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// How many deployments set it.
    pub need: Need,
    /// The values that it takes.
    pub values: Values,
    /// The value that is used if the variable is not set or empty.
    pub default: Option<&'static str>,
    /// Where a stack takes the value from.
    pub stack: Stack,
    /// What it does: ASCII, code in backquotes.
    pub description: &'static str,
}

/// How many deployments set a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All of them.
    Required,
    /// Many of them.
    Usual,
    /// Few of them: for special servers or special agreements with a partner.
    Rare,
}

/// The values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Text in the form that the description names.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An integer in this range.
    Number {
        /// The least.
        minimum: u32,
        /// The greatest.
        maximum: u32,
    },
}

/// Where a stack takes the value of a setting from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// From the template's parameter of this name.
    Parameter(&'static str),
    /// From this parameter, which does more than the setting. Its text in the template is written by hand.
    Shared(&'static str),
    /// The template chooses the value itself.
    Chosen,
}

impl Setting {
    /// The parameter in the template that sets it, if there is one.
    pub fn parameter(&self) -> Option<&'static str> {
        match self.stack {
            Parameter(name) | Shared(name) => Some(name),
            Chosen => None,
        }
    }

    /// Whether it is a setting of the direction from the server to S3 alone.
    pub fn is_of_collecting(&self) -> bool {
        self.name.starts_with("COLLECT_")
    }

    /// Whether messages never show the value, even one that looks harmless: people paste the private key itself here.
    pub(super) fn is_never_shown(&self) -> bool {
        [SFTP_SECRET_ID.name, SFTP_S3_SSH_KEY.name].contains(&self.name)
    }
}

/// Makes a constant of each setting, named like the variable, and [`SETTINGS`] of all.
macro_rules! settings {
    ($($name:ident { $($field:ident: $value:expr,)* })*) => {
        $(pub(super) const $name: Setting = Setting { name: stringify!($name), $($field: $value,)* };)*

        /// Every setting.
        pub const SETTINGS: &[Setting] = &[$($name,)*];
    };
}

settings! {
    SFTP_HOST {
        need: Required,
        values: Text,
        default: None,
        stack: Parameter("SftpHost"),
        description: "The partner's SFTP server: a host name or an IP address, without a port.",
    }
    SFTP_PORT {
        need: Usual,
        values: Number { minimum: 1, maximum: 65_535 },
        default: Some("22"),
        stack: Parameter("SftpPort"),
        description: "TCP port of the SFTP server.",
    }
    SFTP_USER {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("SftpUser"),
        description: "User name on the SFTP server. It may stay empty if the secret has a `Username`. If both are set, this one is used.",
    }
    SFTP_LOCATION {
        need: Usual,
        values: Text,
        default: Some(""),
        stack: Parameter("SftpLocation"),
        description: "Directory on the server below which files are delivered. If it is empty, this is the directory in which the session starts. A path without a leading slash begins there, too.",
    }
    SFTP_SECRET_ID {
        need: Required,
        values: Text,
        default: None,
        stack: Parameter("SftpSecretId"),
        description: "Name or ARN of the Secrets Manager secret that holds the credential: JSON with `Username`, `PrivateKey`, `Passphrase` and `Password` as AWS Transfer Family writes it, and an OpenSSH `Certificate` if the partner signs users' keys; or a private key alone. Set either this or `SFTP_S3_SSH_KEY`.",
    }
    SFTP_S3_SSH_KEY {
        need: Required,
        values: Text,
        default: None,
        stack: Parameter("SftpS3SshKey"),
        description: "The private key as an S3 object, `BUCKET/path/to/key`, instead of a secret. Encrypt that bucket, and keep it apart from the deliveries.",
    }
    SFTP_TRUSTED_HOST_KEYS {
        need: Required,
        values: Text,
        default: None,
        stack: Parameter("SftpTrustedHostKeys"),
        description: "The server's host keys, separated by commas or newlines: `ssh-ed25519 AAAA...`, `SHA256:...`, or `@cert-authority` and the key of an authority that signs host keys. The bridge never connects to a server with another key. Ask the partner for the keys; `ssh-keyscan` alone does not prove that they are the partner's.",
    }
    SFTP_AUTHENTICATION {
        need: Rare,
        values: Text,
        default: None,
        stack: Parameter("SftpAuthentication"),
        description: "The permitted login methods in the order to try them, separated by commas: `publickey`, `password`, `keyboard-interactive`. If it is empty, all methods that the credential allows, in this order. At most two are tried.",
    }
    SFTP_ALGORITHMS {
        need: Rare,
        values: Text,
        default: Some("modern"),
        stack: Parameter("SftpAlgorithms"),
        description: "SSH algorithms: `modern`, or `legacy` for old servers, then single changes as in OpenSSH's configuration, separated by commas: `+name`, `-name`, `^name`. Changes without a preset apply to `modern`.",
    }
    SFTP_CONNECT_TIMEOUT {
        need: Rare,
        values: Number { minimum: 1, maximum: 300 },
        default: Some("20"),
        stack: Parameter("SftpConnectTimeout"),
        description: "Maximum time in seconds to look up the host, connect, and exchange keys. If the host has several addresses, they share this time.",
    }
    SFTP_LOGIN_TIMEOUT {
        need: Rare,
        values: Number { minimum: 1, maximum: 300 },
        default: Some("20"),
        stack: Parameter("SftpLoginTimeout"),
        description: "Maximum time in seconds to log in and start SFTP. Increase it for a server that asks a slow directory service.",
    }
    SFTP_PROOF {
        need: Rare,
        values: Choice(&["auto", "hash", "read-back", "size", "none"]),
        default: Some("auto"),
        stack: Parameter("SftpProof"),
        description: "How the contents are proved before a file is published: `auto` takes the best proof that the server allows; `hash` (computed by the server), `read-back` and `size` require that proof, and the delivery fails without it; `none` is for servers that let nothing be read.",
    }
    SFTP_MARKER {
        need: Usual,
        values: Choice(&["none", "done", "sha256", "md5"]),
        default: Some("none"),
        stack: Parameter("SftpMarker"),
        description: "A second file that is published after each file `NAME`: `done` is an empty `NAME.done`; `sha256` and `md5` are `NAME.sha256` and `NAME.md5` in the format of `sha256sum` and `md5sum`.",
    }
    SFTP_FILE_MODE {
        need: Rare,
        values: Text,
        default: Some("off"),
        stack: Parameter("SftpFileMode"),
        description: "Mode of published files, such as `0640`. If the server refuses it, nothing is published; with `try:0640` the file is published and the receipt has a warning. `off` leaves the mode to the server.",
    }
    SFTP_DIR_MODE {
        need: Rare,
        values: Text,
        default: Some("off"),
        stack: Parameter("SftpDirMode"),
        description: "Mode of the directories that the bridge creates, such as `0750` or `try:0750`, as in `SFTP_FILE_MODE`.",
    }
    SFTP_PRESERVE_MTIME {
        need: Rare,
        values: Choice(&["off", "try", "require"]),
        default: Some("off"),
        stack: Parameter("SftpPreserveMtime"),
        description: "Whether files get the time at which S3 stored the object. If the server refuses, `try` adds a warning to the receipt, and `require` publishes nothing.",
    }
    SFTP_FSYNC {
        need: Rare,
        values: Choice(&["off", "try", "require"]),
        default: Some("try"),
        stack: Parameter("SftpFsync"),
        description: "Whether the server writes each file to its disk before it is published, so that a power failure at the partner leaves no empty file. `try` does this if the server offers `fsync@openssh.com`; `require` sends nothing if it does not.",
    }
    SFTP_MAX_CONNECTIONS {
        need: Rare,
        values: Number { minimum: 1, maximum: 16 },
        default: Some("1"),
        stack: Shared("ConnectionsPerFile"),
        description: "Maximum number of connections for one file. Only large files use more than one. The partner sees up to this number from each call that sends or reads a file.",
    }
    SFTP_KEEP_CONNECTION {
        need: Rare,
        values: Number { minimum: 0, maximum: 600 },
        default: Some("30"),
        stack: Chosen,
        description: "Time in seconds for which an idle connection is kept for the next file. Set 0 for a partner that allows a single connection: a kept connection would block the next step. The command line keeps its connection to the end of a run.",
    }
    S3_AFTER_DELIVERY {
        need: Usual,
        values: Choice(&["keep", "tag", "delete", "move"]),
        default: Some("keep"),
        stack: Parameter("AfterDelivery"),
        description: "What happens to the object after its file is published: `keep` leaves it; `tag` adds the tags `delivered-at` and `execution`; `delete` deletes the delivered version; `move` copies it below `S3_MOVE_PREFIX` and then deletes it. If this fails, the receipt has a warning.",
    }
    S3_MOVE_PREFIX {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("MovePrefix"),
        description: "With `move` in `S3_AFTER_DELIVERY`: what is put before the object's key, for example `delivered/`. Moved objects must not match `S3_KEY_PREFIX`, or they would be delivered again.",
    }
    S3_KEY_PREFIX {
        need: Rare,
        values: Text,
        default: None,
        stack: Shared("KeyPrefix"),
        description: "The key prefix of the EventBridge rule, set by the stack. It only serves to refuse an `S3_MOVE_PREFIX` with which moved objects would be delivered again.",
    }
    S3_INCLUDE {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("S3Include"),
        description: "Deliver only objects whose whole key matches one of these patterns, separated by commas. `*` and `?` do not match a slash, `**` does: `**/*.csv`. If it is empty, all objects are delivered.",
    }
    S3_EXCLUDE {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("S3Exclude"),
        description: "Do not deliver objects whose whole key matches one of these patterns, for example `**/tmp/**`. This takes precedence over `S3_INCLUDE`.",
    }
    SFTP_SKIP_EMPTY {
        need: Rare,
        values: Choice(&["false", "true"]),
        default: Some("false"),
        stack: Parameter("SftpSkipEmpty"),
        description: "Do not deliver empty objects.",
    }
    SFTP_REMOTE_PATH {
        need: Usual,
        values: Text,
        default: Some("{key}"),
        stack: Parameter("SftpRemotePath"),
        description: "Path of the file below `SFTP_LOCATION`, made of `{key}`, `{dir}`, `{name}`, `{stem}`, `{ext}`, `{bucket}` and `{date:%Y%m%d}` (the event's time in UTC).",
    }
    SFTP_STRIP_PREFIX {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("SftpStripPrefix"),
        description: "Prefix to remove from the object key before the path is made, for example `partner-a/`. A key without this prefix is refused.",
    }
    SFTP_IF_EXISTS {
        need: Usual,
        values: Choice(&["replace", "skip", "fail", "keep-both"]),
        default: Some("replace"),
        stack: Parameter("SftpIfExists"),
        description: "What happens if a file already has the final name: `replace` replaces it; `skip` keeps it if it has the same contents, and otherwise replaces it; `fail` fails unless it has the same contents; `keep-both` keeps it and delivers `name.1.ext`.",
    }
    SFTP_PUBLISH {
        need: Rare,
        values: Choice(&["rename", "direct"]),
        default: Some("rename"),
        stack: Parameter("SftpPublish"),
        description: "How a file gets its final name: `rename` proves a partial file and then renames it; `direct` writes to the final name, for servers that cannot rename, and readers may see an incomplete file.",
    }
    SFTP_PARTIAL_NAME {
        need: Rare,
        values: Text,
        default: Some(".{name}.{id}.partial"),
        stack: Parameter("SftpPartialName"),
        description: "Name of the partial file, made of `{id}` and optionally `{name}`.",
    }
    SFTP_STAGING_DIRECTORY {
        need: Rare,
        values: Text,
        default: None,
        stack: Parameter("SftpStagingDirectory"),
        description: "Directory for partial files: below `SFTP_LOCATION` or, with a leading slash, anywhere on the same file system. If it is empty, a partial file is in the directory of its final name.",
    }
    SFTP_CREATE_DIRECTORIES {
        need: Rare,
        values: Choice(&["true", "false"]),
        default: Some("true"),
        stack: Parameter("SftpCreateDirectories"),
        description: "Create missing directories. With `false`, a missing directory is an error.",
    }
    COLLECT_BUCKET {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("CollectBucket"),
        description: "The bucket into which files from the server are collected. If it is empty, nothing is collected, and the other settings of this section mean nothing.",
    }
    COLLECT_DIRECTORY {
        need: Usual,
        values: Text,
        default: Some(""),
        stack: Parameter("CollectDirectory"),
        description: "Directory on the server from which files are collected. If it is empty, this is the directory in which the session starts. A path without a leading slash begins there, too. It must be apart from the directory of deliveries, `SFTP_LOCATION`, unless `COLLECT_ONLY` is `true`, `COLLECT_AFTERWARDS` is `leave`, or `COLLECT_INCLUDE` tells the files apart.",
    }
    COLLECT_ONLY {
        need: Usual,
        values: Choice(&["false", "true"]),
        default: Some("false"),
        stack: Parameter("CollectOnly"),
        description: "Whether nothing is delivered to this server. Then a stack starts no deliveries, all of its connections are for collecting, and `COLLECT_DIRECTORY` may be any directory.",
    }
    COLLECT_INCLUDE {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("CollectInclude"),
        description: "Collect only files that match one of these patterns, separated by commas. A pattern without a slash is for the name: `*.csv`; one with a slash is for the path below `COLLECT_DIRECTORY`: `reports/**/*.csv`. If it is empty, all files are collected.",
    }
    COLLECT_EXCLUDE {
        need: Usual,
        values: Text,
        default: Some(".*,*.part,*.partial,*.filepart,*.tmp,*.working"),
        stack: Parameter("CollectExclude"),
        description: "Do not collect files that match one of these patterns. A pattern without a slash is for each component of the path, so it also leaves out directories. The default is for hidden files and for files that common tools have not finished; `none` excludes nothing. This takes precedence over `COLLECT_INCLUDE`.",
    }
    COLLECT_RECURSIVE {
        need: Usual,
        values: Choice(&["false", "true"]),
        default: Some("false"),
        stack: Parameter("CollectRecursive"),
        description: "Also collect from the directories below `COLLECT_DIRECTORY`, 16 levels deep. Symbolic links are never followed.",
    }
    COLLECT_SETTLE_SECONDS {
        need: Usual,
        values: Number { minimum: 0, maximum: 86_400 },
        default: Some("60"),
        stack: Parameter("CollectSettleSeconds"),
        description: "Time in seconds between two looks at a file. It is collected only if both show the same size and time, so that a file that is still being written is not taken. Set 0 only with `COLLECT_MARKER`, or for a partner that renames each finished file into place.",
    }
    COLLECT_MARKER {
        need: Rare,
        values: Text,
        default: Some("none"),
        stack: Parameter("CollectMarker"),
        description: "A second file by which the partner says that a file is complete: `none`, or a name made of `{name}` such as `{name}.done`, in the same directory. A file without its marker waits. Markers themselves are not collected; afterwards they go where their files go.",
    }
    COLLECT_OBJECT_KEY {
        need: Usual,
        values: Text,
        default: Some("{path}"),
        stack: Parameter("CollectObjectKey"),
        description: "Key of the object, made of `{path}` (below `COLLECT_DIRECTORY`), `{dir}`, `{name}`, `{stem}`, `{ext}`, `{date:%Y%m%d}` (the collection's start in UTC) and text, such as `from-partner/{path}`.",
    }
    COLLECT_IF_EXISTS {
        need: Usual,
        values: Choice(&["replace", "skip", "fail", "keep-both"]),
        default: Some("replace"),
        stack: Parameter("CollectIfExists"),
        description: "What happens if an object already has the key: `replace` stores a new version of it; `skip` keeps it if it has the same contents, and otherwise replaces it; `fail` fails unless it has the same contents; `keep-both` keeps it and stores `name.1.ext`.",
    }
    COLLECT_AFTERWARDS {
        need: Usual,
        values: Choice(&["archive", "delete", "leave"]),
        default: Some("archive"),
        stack: Parameter("CollectAfterwards"),
        description: "What becomes of the file on the server after S3 has confirmed its object: `archive` moves it into `COLLECT_ARCHIVE_DIRECTORY` as `YYYYMMDDHHMMSS-NAME`; `delete` deletes it, after it was moved aside for a last look; `leave` leaves it, and it is not collected again until its size or time changes. If our user may not do this, the receipt has a warning.",
    }
    COLLECT_ARCHIVE_DIRECTORY {
        need: Usual,
        values: Text,
        default: None,
        stack: Parameter("CollectArchiveDirectory"),
        description: "With `archive` in `COLLECT_AFTERWARDS`: the archive, below `COLLECT_DIRECTORY` or, with a leading slash, anywhere on the same file system. If it is empty, each file goes into `.done` in its own directory. Nothing in it is ever collected.",
    }
    COLLECT_ARCHIVE_DAYS {
        need: Usual,
        values: Number { minimum: 0, maximum: 3_650 },
        default: Some("0"),
        stack: Parameter("CollectArchiveDays"),
        description: "Days after which archived files are deleted, counted from the time in the archived name. Only names of the form YYYYMMDDHHMMSS-NAME are deleted: keep no other files of such names there. 0 keeps all of them.",
    }
    COLLECT_EMPTY {
        need: Rare,
        values: Choice(&["collect", "skip"]),
        default: Some("collect"),
        stack: Parameter("CollectEmpty"),
        description: "What happens to empty files: `collect` makes empty objects of them; `skip` leaves them alone.",
    }
    COLLECT_NEWEST_ONLY {
        need: Rare,
        values: Choice(&["false", "true"]),
        default: Some("false"),
        stack: Parameter("CollectNewestOnly"),
        description: "Collect only the newest of the files, by the time that the server tells, for snapshots that replace each other. It needs `leave` in `COLLECT_AFTERWARDS`: if the newest were moved, an older one would be the newest.",
    }
    COLLECT_MAX_FILES {
        need: Rare,
        values: Number { minimum: 1, maximum: 10_000 },
        default: Some("1000"),
        stack: Parameter("CollectMaxFiles"),
        description: "Maximum number of files that one look at the directory begins to collect, oldest first. The others wait for the next look.",
    }
    COLLECT_MARK_SYNCHED {
        need: Rare,
        values: Choice(&["false", "true"]),
        default: Some("false"),
        stack: Parameter("CollectMarkSynched"),
        description: "Give each object the metadata `synched=true`, as Gilt's s3-sftp-bridge did, so that it does not deliver these objects while both run.",
    }
    RECORD_BUCKET {
        need: Usual,
        values: Text,
        default: None,
        stack: Chosen,
        description: "Bucket for receipts and failure records. The stack creates it. `s3-sftp-bridge deliver` writes them only if this is set.",
    }
    NOTICE_TOPIC_ARN {
        need: Usual,
        values: Text,
        default: Some(""),
        stack: Parameter("NoticeTopicArn"),
        description: "ARN of the SNS topic that gets one message for each new failure record: what failed, why, and what to do. If it is empty, no messages are sent.",
    }
    LOG_LEVEL {
        need: Usual,
        values: Text,
        default: Some("info"),
        stack: Shared("LogLevel"),
        description: "How much is logged: `error`, `warn`, `info`, `debug` or `trace`, then levels of single modules, separated by commas: `info,transfer=debug`. No level logs a secret.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_one_of_the_values() {
        for setting in SETTINGS {
            let fits = |default: &str| match setting.values {
                Text => true,
                Choice(words) => words.contains(&default),
                Number { minimum, maximum } => {
                    default.parse().is_ok_and(|number: u32| (minimum..=maximum).contains(&number))
                }
            };
            assert!(setting.default.is_none_or(fits), "{}", setting.name);
            assert!(setting.default.is_some() || setting.values == Text, "{}", setting.name);
        }
    }

    #[test]
    fn descriptions_are_ascii_sentences() {
        for setting in SETTINGS {
            let text = setting.description;
            assert!(text.is_ascii() && text.ends_with('.'), "{}: {text}", setting.name);
            assert!(text.matches('`').count() % 2 == 0, "{}: {text}", setting.name);
        }
    }
}
