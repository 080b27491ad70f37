//! A browser, or a program that poses as one: HTTP/1.1 over one connection a request, from whatever loopback address, with
//! cookies and whatever headers a test wants.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Something that asks a gateway's web server.
#[derive(Debug, Clone)]
pub struct Browser {
    /// The web server.
    pub to: SocketAddr,
    /// The address that it comes from.
    pub from: IpAddr,
    /// Its cookies.
    pub cookies: BTreeMap<String, String>,
    /// Headers of each request.
    pub headers: BTreeMap<String, String>,
    /// For encrypted connections: the certificates that it trusts, and the name that it asks for.
    pub trust: Option<Trust>,
}

/// What a browser over HTTPS trusts, and whom it means.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// These certificates (PEM) are trusted; the server is called `name`.
    pub fn new(pem: &str, name: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            config: Arc::new(config),
            name: ServerName::try_from(name.to_owned()).unwrap(),
        }
    }
}

/// Events of the gateway as they come in.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    heard: String,
}

impl Events {
    /// Waits until this was said; everything that was heard so far.
    pub fn hear(&mut self, wanted: &str) -> &str {
        while !self.heard.contains(wanted) {
            let mut octets = [0; 4096];
            let length = self.stream.read(&mut octets).expect(wanted);
            assert!(length > 0, "the stream ended without {wanted:?}: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&octets[..length]));
        }
        &self.heard
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, `null` where it is no JSON.
    pub body: Value,
    /// The body as it came.
    pub raw: String,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A text in the body.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }
}

impl Browser {
    /// One without cookies.
    pub fn new(to: SocketAddr, from: &str) -> Self {
        Self {
            to,
            from: from.parse().unwrap(),
            cookies: BTreeMap::new(),
            headers: BTreeMap::new(),
            trust: None,
        }
    }

    /// The same with another header, or the same header with another value.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.insert(name.to_owned(), value.to_owned());
        other
    }

    /// Takes over the CSRF token of an answer.
    pub fn keep_csrf(&mut self, answer: &Answer) {
        let token = answer.text("csrf").to_owned();
        self.headers.insert("x-csrf-token".to_owned(), token);
    }

    /// Asks; `path` stands below `/api/v1`. Cookies of the answer are kept.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, &format!("/api/v1{path}"), &text)
    }

    /// Asks with whatever body.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let mut headers = self.headers.clone();
        headers
            .entry("host".to_owned())
            .or_insert_with(|| self.to.to_string());
        if !body.is_empty() {
            let json = "application/json".to_owned();
            headers.entry("content-type".to_owned()).or_insert(json);
            headers.insert("content-length".to_owned(), body.len().to_string());
        }
        if !self.cookies.is_empty() {
            headers.insert("cookie".to_owned(), self.cookie_line());
        }
        for (name, value) in headers {
            head += &[&name, ": ", &value, "\r\n"].concat();
        }
        let answer = self.exchange(&[&head, "\r\n", body].concat()).expect("an answer");
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Its cookies as they are sent.
    fn cookie_line(&self) -> String {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        cookies.collect::<Vec<String>>().join("; ")
    }

    /// Listens to events of the API; `path` stands below `/api/v1`. They have begun when this returns.
    pub fn listen(&self, path: &str) -> Events {
        let mut stream = TcpStream::connect(self.to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (host, cookies) = (self.to, self.cookie_line());
        let encoding = self
            .headers
            .get("accept-encoding")
            .map_or("identity", String::as_str);
        let request = format!(
            "GET /api/v1{path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\naccept-encoding: {encoding}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Events {
            stream,
            heard: String::new(),
        };
        events.hear("text/event-stream");
        events
    }

    /// Sends a request as it stands; an error where the connection does not come about.
    pub fn exchange(&self, request: &str) -> std::io::Result<Answer> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(self.from, 0).into()).unwrap();
        socket.connect(&self.to.into()).unwrap();
        let mut stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut octets = Vec::new();
        if let Some(trust) = &self.trust {
            let session = ClientConnection::new(trust.config.clone(), trust.name.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream);
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut octets)?;
        } else {
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut octets)?;
        }
        let text = String::from_utf8_lossy(&octets); // a download is not text
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Answer {
            status,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: serde_json::from_str(body).unwrap_or_default(),
            raw: body.to_owned(),
        })
    }
}
