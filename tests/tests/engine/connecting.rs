//! Connecting and logging in: servers that end, refuse, ask or say something else on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bridge::{Error, ErrorName, TrustedHostKeys};
use integration_tests::door::{Door, Start};
use integration_tests::embedded::Quirks;
use integration_tests::fault_proxy::FaultProxy;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::servers::Server;
use integration_tests::wire;
use partner::with_setting;
use russh::keys::Algorithm;
use russh::{MethodKind, Preferred};
use sftp::{Endpoint, Login, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Delivery, session, wait_until};

const PASSWORD: &str = "canary-battery-staple";

async fn behind(door: &Door) -> Partner {
    Partner::embedded(Quirks { door: door.clone(), ..Quirks::default() }).await.unwrap()
}

/// Connects with the partner's key.
async fn connect(partner: &Partner, options: &sftp::Options) -> Result<Session, Error> {
    let private_key = partner.client_key.private.clone().into();
    let login = Login::new(partner.user.clone(), Some(&private_key), None, None).unwrap();
    log_in(partner, &login, options).await
}

/// Connects with the canary password.
async fn with_password(partner: &Partner, options: &sftp::Options) -> Result<Session, Error> {
    let login = Login::new(partner.user.clone(), None, None, Some(PASSWORD.into())).unwrap();
    log_in(partner, &login, options).await
}

async fn log_in(partner: &Partner, login: &Login, options: &sftp::Options) -> Result<Session, Error> {
    let endpoint = Endpoint { host: partner.host.clone(), port: partner.port };
    let trusted = TrustedHostKeys::parse(&partner.host_key.public).unwrap();
    let connected = Session::connect(&endpoint, login, &trusted, options).await;
    connected.map_err(|error| {
        let error = with_setting(error);
        assert!(!error.to_string().contains("canary"), "the password is in the message: {error}");
        error
    })
}

fn refused(connected: Result<Session, Error>) -> Error {
    connected.expect_err("the login fails")
}

#[tokio::test]
async fn story_60_a_session_that_ends_while_sftp_starts_fails_at_once() {
    for (start, words) in [(Start::Cut, "connection was lost"), (Start::Refused, "offers no SFTP")] {
        let partner = behind(&Door { start, ..Door::default() }).await;
        let started = Instant::now();
        let error = refused(connect(&partner, &sftp::Options::default()).await);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}: {error}", started.elapsed());
        assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
        assert!(error.message().contains("starting SFTP") && error.message().contains(words), "{error}");
    }
}

#[tokio::test]
async fn story_61_what_the_account_says_instead_of_sftp_is_shown() {
    let words = "Password change required but no TTY available.\r\n";
    let partner = behind(&Door { start: Start::Words(words), ..Door::default() }).await;
    let error = refused(connect(&partner, &sftp::Options::default()).await);
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    assert!(error.message().contains("Password change required"), "{error}");
    assert!(!error.message().contains('\n'), "{error}");

    // Not even if it repeats the password.
    let (methods, start) = (vec![MethodKind::Password], Start::Words("canary-battery-staple has expired"));
    let door = Door { methods, start, password: PASSWORD.into(), ..Door::default() };
    let partner = behind(&door).await;
    let error = refused(with_password(&partner, &sftp::Options::default()).await);
    assert!(error.message().contains("has expired"), "{error}");
}

#[tokio::test]
async fn story_65_a_server_opens_no_channels_to_us() {
    let door = Door { opens: 50, ..Door::default() };
    let partner = behind(&door).await;
    let session = session(&partner, partner.port, sftp::Options::default()).await;
    for _ in 0..500 {
        let answered: usize = door.opened.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        if answered == door.opens * 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let [taken, refused] = [0, 1].map(|index: usize| door.opened[index].load(Ordering::Relaxed));
    assert_eq!((taken, refused), (0, door.opens * 4));
    assert!(session.is_alive(Duration::from_secs(1)).await, "the session goes on");
}

#[tokio::test]
async fn story_66_an_expired_password_is_no_lost_connection() {
    let software = Server::AsyncSshExpired.install().await.unwrap().unwrap();
    let partner = Partner::program(software, Options::default()).await.unwrap();
    let started = Instant::now();
    let error = refused(with_password(&partner, &sftp::Options::default()).await);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {error}", started.elapsed());
    assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
    assert!(error.message().contains("password has most likely expired"), "{error}");

    // What the doctor asks with is told the same.
    let endpoint = Endpoint { host: partner.host.clone(), port: partner.port };
    let trusted = TrustedHostKeys::parse(&partner.host_key.public).unwrap();
    let login = Login::new(partner.user.clone(), None, None, Some(PASSWORD.into())).unwrap();
    let attempted =
        sftp::probe::log_in(&endpoint, &login, &trusted, &sftp::Options::default()).await.unwrap();
    assert_eq!(attempted.problem.unwrap().kind(), sftp::ErrorKind::AuthenticationRejected);
    assert_eq!(attempted.answers, [(sftp::Method::Password, sftp::MethodOutcome::Refused)]);
}

/// Neither its service reply, which comes after the first request, nor a banner is an answer to the password.
#[tokio::test]
async fn story_66_a_server_that_is_slow_to_say_yes_has_no_expired_password() {
    let options = sftp::Options { login_timeout: Duration::from_secs(4), ..sftp::Options::default() };
    for banner in [None, Some("Authorized use only.\r\n")] {
        let slow = Duration::from_millis(2500);
        let methods = vec![MethodKind::Password];
        let door = Door { methods, password: PASSWORD.into(), slow, banner, ..Door::default() };
        let partner = behind(&door).await;
        with_password(&partner, &options).await.unwrap();
    }
}

#[tokio::test]
async fn story_68_the_time_limits_are_settings() {
    let partner = behind(&Door { slow: Duration::from_millis(1500), ..Door::default() }).await;
    let mut delivery = Delivery::to(partner);
    delivery.put("file.txt", 100);
    delivery.set("SFTP_LOGIN_TIMEOUT", 1);
    let error = delivery.process().transfer("file.txt", None, 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    assert!(error.message().contains("logging in") && error.message().contains("within 1 s"), "{error}");
    delivery.set("SFTP_LOGIN_TIMEOUT", 10);
    delivery.delivers("file.txt", 100).await;

    let silent = silent().await;
    delivery.set("SFTP_PORT", silent.address.port());
    delivery.set("SFTP_CONNECT_TIMEOUT", 1);
    let started = Instant::now();
    let error = delivery.process().transfer("file.txt", None, 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    assert!(error.message().contains("key exchange") && error.message().contains("within 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

/// A node that takes connections and says nothing, or hangs up.
struct Node {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Those that the client has ended.
    ended: Arc<AtomicUsize>,
}

async fn node(hangs_up: bool) -> Node {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let [connections, ended] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let (count, end) = (Arc::clone(&connections), Arc::clone(&ended));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let end = Arc::clone(&end);
            tokio::spawn(async move {
                if !hangs_up {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    end.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Node { address, connections, ended }
}

async fn silent() -> Node {
    node(false).await
}

fn address_of(partner: &Partner) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], partner.port))
}

#[tokio::test]
async fn story_72_a_dead_address_does_not_keep_us_from_the_next_one() {
    let partner = behind(&Door::default()).await;
    for dead in [node(false).await, node(true).await] {
        let addresses = vec![dead.address, address_of(&partner)];
        // Half of it goes to the dead one; a key exchange takes a while on a busy machine.
        let connect_timeout = Duration::from_secs(6);
        let options = sftp::Options { addresses, connect_timeout, ..sftp::Options::default() };
        let started = Instant::now();
        connect(&partner, &options).await.unwrap();
        assert!(started.elapsed() < connect_timeout, "{:?}", started.elapsed());
        assert_eq!(dead.connections.load(Ordering::Relaxed), 1);

        // The next connection does not begin there, whether that one was lost or not.
        let started = Instant::now();
        connect(&partner, &options).await.unwrap();
        sftp::probe::offer(&Endpoint { host: "h".into(), port: 1 }, &options).await.unwrap();
        assert!(started.elapsed() < connect_timeout / 2, "{:?}", started.elapsed());
        assert_eq!(dead.connections.load(Ordering::Relaxed), 1);
    }
    // A connection that is given up ends at once.
    let dead = node(false).await;
    let addresses = vec![dead.address];
    let connect_timeout = Duration::from_millis(500);
    let options = sftp::Options { addresses, connect_timeout, ..sftp::Options::default() };
    refused(connect(&partner, &options).await);
    wait_until("the connection has ended", || dead.ended.load(Ordering::Relaxed) == 1).await;

    // Where all are dead, the error says of each what was wrong.
    let (first, second) = (node(false).await, node(true).await);
    let addresses = vec![first.address, second.address];
    let options =
        sftp::Options { addresses, connect_timeout: Duration::from_secs(1), ..sftp::Options::default() };
    let error = refused(connect(&partner, &options).await);
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    for words in [first.address.to_string(), second.address.to_string(), "no answer within".into()] {
        assert!(error.message().contains(&words), "{words}: {error}");
    }
}

#[tokio::test]
async fn story_73_a_retry_begins_with_another_address() {
    let slow = behind(&Door { slow: Duration::from_secs(30), ..Door::default() }).await;
    let proxy = FaultProxy::start(slow.port).await.unwrap();
    let good = Partner::embedded_as(&slow, Quirks::default()).await.unwrap();
    let addresses = vec![SocketAddr::from(([127, 0, 0, 1], proxy.port)), address_of(&good)];
    let login_timeout = Duration::from_secs(1);
    let options = sftp::Options { addresses, login_timeout, ..sftp::Options::default() };
    let error = refused(connect(&slow, &options).await);
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    for _ in 0..2 {
        connect(&slow, &options).await.unwrap();
    }
    assert_eq!(proxy.connections(), 1);
}

/// Questions that are asked together, and whether their answers may be seen.
type Round<'a> = &'a [(&'static str, bool)];

#[tokio::test]
async fn story_67_only_one_hidden_question_for_the_password_is_answered() {
    let asks = |questions: &[Round]| Door {
        methods: vec![MethodKind::KeyboardInteractive],
        password: PASSWORD.into(),
        questions: questions.iter().map(|round| round.to_vec()).collect(),
        ..Door::default()
    };
    for question in ["Password: ", "(code@new-host.example) Password: ", "Mot de passe :", "Passwort"] {
        let door = asks(&[&[(question, false)]]);
        let partner = behind(&door).await;
        with_password(&partner, &sftp::Options::default()).await.unwrap();
    }
    let cases: [(&[Round], usize, &str); 9] = [
        (&[&[("Password: ", false)], &[("canary-battery-staple is wrong, code: ", false)]], 1, "is wrong"),
        (&[&[("Login: ", true)]], 0, "Login: "),
        (&[&[("Verification code: ", false)]], 0, "Verification code: "),
        (&[&[("One-time password (OATH) for `x': ", false)]], 0, "One-time password"),
        (&[&[("New password: ", false)]], 0, "New password: "),
        (&[&[("Login: ", true), ("Password: ", false)]], 0, "Password: "),
        (&[&[("Password: ", false)], &[("New password: ", false), ("Retype: ", false)]], 1, "New password: "),
        (&[&[("Password: ", false)], &[("Token?\x1b[2J\r\n", false)]], 1, "Token?"),
        (&[&[("Password: ", false)], &[("Password: ", false)]], 1, "Password: "),
    ];
    for (questions, answered, shown) in cases {
        let door = asks(questions);
        let partner = behind(&door).await;
        let started = Instant::now();
        let error = refused(with_password(&partner, &sftp::Options::default()).await);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}: {error}", started.elapsed());
        assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
        assert!(error.message().contains(shown), "{shown}: {error}");
        assert!(!error.message().contains(char::is_control), "{error:?}");
        assert_eq!(door.answers.lock().unwrap().len(), answered, "{questions:?}");
        let about_new = shown.contains("New");
        assert_eq!(error.message().contains("expired"), about_new, "{error}");
    }
}

#[tokio::test]
async fn story_69_an_rsa_key_that_is_refused_by_a_server_that_says_nothing_of_signatures() {
    // An empty list of signatures is as good as none.
    let preferred = Preferred { key: vec![Algorithm::Ed25519].into(), ..Preferred::DEFAULT };
    let partner = behind(&Door { preferred: Some(preferred), ..Door::default() }).await;
    let rsa = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
    let hint = "SFTP_ALGORITHMS=legacy";
    for (key, algorithms, hinted) in [(&rsa, "modern", true), (&rsa, "legacy", false)] {
        let login = Login::new(partner.user.clone(), Some(&key.private.clone().into()), None, None).unwrap();
        let algorithms = bridge::Algorithms::parse(algorithms).unwrap();
        let options = sftp::Options { algorithms, ..sftp::Options::default() };
        let error = refused(log_in(&partner, &login, &options).await);
        assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
        assert_eq!(error.message().contains(hint), hinted, "{error}");
    }
}

/// A server that says this to each connection and hangs up.
async fn greeter(greeting: Vec<u8>) -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let greeting = greeting.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&greeting).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    Endpoint { host: "127.0.0.1".into(), port }
}

/// SSH_MSG_DISCONNECT before there are any keys.
fn farewell(words: &str) -> Vec<u8> {
    let mut payload = vec![1, 0, 0, 0, 12];
    payload.extend(wire::string(words.as_bytes()));
    payload.extend(wire::string(b"en"));
    let padding = 16 - (payload.len() + 5) % 8;
    let mut packet = (payload.len() as u32 + padding as u32 + 1).to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(payload);
    packet.extend(vec![0; padding]);
    packet
}

#[tokio::test]
async fn story_70_what_a_server_says_before_the_key_exchange_is_shown() {
    let long = format!("SSH-2.0-{}\r\n", "x".repeat(300));
    let cases = [
        (b"Not allowed at this time\r\n".to_vec(), "Not allowed at this time"),
        (b"Your address \x1b[2Jis not on the list".to_vec(), "is not on the list"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "HTTP/1.1 400 Bad Request"),
        ([&b"SSH-2.0-x\r\n"[..], &farewell("Too many\nconnections")].concat(), "Too many\\nconnections"),
        ([&b"Beware\r\nSSH-2.0-x\r\n"[..], &farewell("No room")].concat(), "No room"),
        (long.into_bytes(), "SSH-2.0-xxx"),
    ];
    let key = KeyPair::ed25519().unwrap();
    let login = Login::new("anybody".into(), Some(&key.private.clone().into()), None, None).unwrap();
    let trusted = TrustedHostKeys::parse(&key.public).unwrap();
    for (greeting, words) in cases {
        let endpoint = greeter(greeting).await;
        let options = sftp::Options::default();
        let connected = Session::connect(&endpoint, &login, &trusted, &options).await;
        let error = refused(connected.map_err(Error::from));
        assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
        assert!(error.message().contains(words), "{words}: {error}");
        assert!(error.message().len() < 2000 && !error.message().contains(char::is_control), "{error:?}");
    }
}

#[tokio::test]
async fn story_70_a_long_text_before_the_identification_is_no_hindrance() {
    let partner = behind(&Door::default()).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = partner.port;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let text = format!("{}\r\n{}", "Authorized use only. ".repeat(20), "line\n".repeat(30));
            client.write_all(text.as_bytes()).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let session = session(&partner, port, sftp::Options::default()).await;
    assert!(session.is_alive(Duration::from_secs(1)).await);
}
