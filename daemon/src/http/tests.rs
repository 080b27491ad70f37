//! The client against small servers that do what the test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// A server on loopback that notes each request and answers with what the script makes of it; then it closes.
struct Served {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn with(script: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = requests.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut octets = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut octets) {
                        Ok(length) if length > 0 => request.extend_from_slice(&octets[..length]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).to_lowercase();
                noted.lock().unwrap().push(request.clone());
                let _ = stream.write_all(&script(&request));
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn client() -> Client {
    let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
    Client::new(&Settings::default(), &lookup).unwrap()
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    let served = Served::with(|request| {
        if request.contains("if-none-match: \"a\"") {
            answer("304 Not Modified", b"")
        } else {
            answer("200 OK\r\netag: \"a\"", b"new")
        }
    });
    let client = client();
    let Got::Body(body) = client
        .get(&served.url("/list"), None, Limits::SMALL)
        .await
        .unwrap()
    else {
        panic!("a body")
    };
    let known = body.validators();
    assert_eq!(known.etag.as_deref(), Some("\"a\""));
    assert_eq!(body.whole().await.unwrap(), b"new");
    let got = client
        .get(&served.url("/list"), Some(&known), Limits::SMALL)
        .await;
    assert!(matches!(got, Ok(Got::NotModified)));
}

#[tokio::test]
async fn a_body_without_end_and_one_that_says_so_end_at_the_limit() {
    let endless = Served::with(|_| [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; 3 << 20]].concat());
    let said = Served::with(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec());
    for served in [endless, said] {
        let whole = client().get_whole(&served.url("/"), Limits::SMALL).await;
        assert!(matches!(whole, Err(HttpError::Large(..))), "{whole:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_sending_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]); // the request: an answer before it is none
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let limits = Limits {
        patience: Duration::from_millis(300),
        ..Limits::SMALL
    };
    let whole = client().get_whole(&url, limits).await;
    assert!(matches!(whole, Err(HttpError::Slow(_))), "{whole:?}");
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_never_into_clear_text() {
    let served = Served::with(|request| {
        if request.starts_with("get /end") {
            answer("200 OK", b"there")
        } else if request.starts_with("get /begin") {
            answer("302 Found\r\nlocation: /end", b"")
        } else {
            answer("302 Found\r\nlocation: /round", b"")
        }
    });
    let client = client();
    let whole = client.get_whole(&served.url("/begin"), Limits::SMALL).await;
    assert_eq!(whole.unwrap(), b"there");
    let round = client.get_whole(&served.url("/round"), Limits::SMALL).await;
    assert!(matches!(round, Err(HttpError::Redirects(_))), "{round:?}");
    assert_eq!(served.asked().len(), 2 + REDIRECTS + 1);
}

/// Every name has a public address.
#[derive(Debug)]
struct Public;
impl Lookup for Public {
    fn addresses(&self, _: &str) -> Addresses {
        Box::pin(std::future::ready(vec![[192, 0, 2, 1].into()]))
    }
}

#[tokio::test]
async fn clear_text_stays_in_private_networks() {
    let client = client();
    // A public address is refused before a packet goes out, and so is a name that leads to one.
    let url = Url::parse("http://192.0.2.1/list?token=secret").unwrap();
    let refused = client.get_whole(&url, Limits::SMALL).await.unwrap_err();
    assert!(matches!(refused, HttpError::Plain(_)));
    assert!(!refused.to_string().contains("secret"), "{refused}");
    let public: Arc<dyn Lookup> = Arc::new(Public);
    let named = Client::new(&Settings::default(), &public).unwrap();
    let url = Url::parse("http://user:secret@lists.example/").unwrap();
    let refused = named.get_whole(&url, Limits::SMALL).await.unwrap_err();
    assert!(matches!(refused, HttpError::Plain(_)), "{refused:?}");
    assert!(!refused.to_string().contains("secret"), "{refused}");
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_ended() {
    let whole: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let (full, half) = (whole.clone(), 300_000);
    let served = Served::with(move |request| {
        let length = full.len();
        if request.contains("range: bytes=300000-") {
            assert!(request.contains("if-range: \"v1\""), "{request}");
            let head = format!(
                "206 Partial Content\r\netag: \"v1\"\r\ncontent-range: bytes {half}-{}/{length}",
                length - 1
            );
            return answer(&head, &full[half..]);
        }
        let head = format!("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), &full[..half]].concat()
    });
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = (folder.path().join("list"), served.url("/list"));
    let asked = Download {
        url: &url,
        file: &file,
        known: None,
        immutable: false,
        limits: Limits::SMALL,
    };
    let client = client();
    let broken = download(&client, asked).await;
    assert!(matches!(broken, Err(HttpError::Broken(..))), "{broken:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), half as u64);
    let fetched = download(&client, asked).await.unwrap();
    assert!(matches!(fetched, Fetched::New(_)));
    assert_eq!(std::fs::read(&file).unwrap(), whole);
}

#[tokio::test]
async fn what_changed_meanwhile_is_fetched_from_the_beginning() {
    // Without a strong tag nothing proves that the rest belongs to the beginning.
    let served = Served::with(|request| {
        assert!(!request.contains("range:"), "{request}");
        answer("200 OK\r\netag: W/\"weak\"", b"all of it")
    });
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = (folder.path().join("list"), served.url("/list"));
    std::fs::write(&file, b"all").unwrap();
    let begun = format!(r#"{{"url":"{url}","validators":{{"etag":"W/\"weak\"","modified":null}}}}"#);
    std::fs::write(folder.path().join("list.begun"), begun).unwrap();
    let asked = Download {
        url: &url,
        file: &file,
        known: None,
        immutable: false,
        limits: Limits::SMALL,
    };
    download(&client(), asked).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"all of it");
}

#[tokio::test]
async fn an_exchange_gives_whatever_the_server_answers() {
    let served = Served::with(|request| {
        assert!(request.starts_with("post /reports"), "{request}");
        answer("429 Too Many Requests\r\nretry-after: 60", b"later")
    });
    let request = axum::http::Request::post(served.url("/reports").as_str())
        .body(b"sealed".to_vec())
        .unwrap();
    let response = client().exchange(request, Limits::SMALL).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "60");
    assert_eq!(response.body(), b"later");
}

/// Names of the house and of the Internet.
#[derive(Debug)]
struct Mixed;
impl Lookup for Mixed {
    fn addresses(&self, name: &str) -> Addresses {
        let found = match name {
            "inside.example" => vec![[192, 168, 1, 1].into()],
            "both.example" => vec![[9, 9, 9, 9].into(), [127, 0, 0, 1].into()],
            _ => vec![[9, 9, 9, 9].into()],
        };
        Box::pin(std::future::ready(found))
    }
}

#[tokio::test]
async fn an_address_that_others_chose_leads_to_the_internet_or_nowhere() {
    let lookup: Arc<dyn Lookup> = Arc::new(Mixed);
    let client = Client::new(&Settings::default(), &lookup)
        .unwrap()
        .for_strangers();
    let served = Served::with(|_| answer("200 OK", b"secret of the house"));
    for inside in [
        served.url("/admin").to_string(),
        "https://127.0.0.1/".to_owned(),
        "https://2130706433/".to_owned(), // 127.0.0.1, written as one number
        "https://[::1]/".to_owned(),
        "https://[::ffff:10.0.0.1]/".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://inside.example/".to_owned(),
        "https://both.example/".to_owned(),
    ] {
        let refused = client
            .get_whole(&Url::parse(&inside).unwrap(), Limits::SMALL)
            .await;
        assert!(
            matches!(refused, Err(HttpError::Inside(_))),
            "{inside}: {refused:?}"
        );
        let request = axum::http::Request::post(&inside).body(b"sent".to_vec()).unwrap();
        let refused = client.exchange(request, Limits::SMALL).await;
        assert!(
            matches!(refused, Err(HttpError::Inside(_))),
            "{inside}: {refused:?}"
        );
    }
    let clear = Url::parse("http://lists.example/").unwrap();
    let refused = client.get_whole(&clear, Limits::SMALL).await;
    assert!(matches!(refused, Err(HttpError::Plain(_))), "{refused:?}");
    assert!(
        served.asked().is_empty(),
        "nothing is asked there: {:?}",
        served.asked()
    );
}
