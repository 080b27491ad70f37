//! A web server on loopback that serves a folder as a mirror of the platform would, and lies where a test wants it to.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a test wants to be sent instead.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a body.
    Page(u16, Vec<u8>),
    /// The file, but only its first octets; then the connection ends.
    Cut(usize),
    /// What an honest server sends, range and tag included, but only the first octets of its body; then the connection ends.
    Broken(usize),
    /// Octets without end.
    Endless,
    /// The file, octet by octet.
    Slow,
    /// Nothing, for so long; then the file.
    Late(Duration),
}

type Lies = Box<dyn Fn(&str) -> Option<Reply> + Send>;

#[derive(Default)]
struct Shared {
    folder: Mutex<PathBuf>,
    lies: Mutex<Option<Lies>>,
    /// Head of each request.
    heads: Mutex<Vec<String>>,
    /// Octets of requests and of answers.
    octets: AtomicU64,
    ended: AtomicBool,
}

/// The server.
pub struct Mirror {
    /// Where it serves.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Mirror {
    /// Serves a folder.
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        folder.clone_into(&mut shared.folder.lock().unwrap());
        let server = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.ended.load(Ordering::Relaxed) {
                    return;
                }
                let server = server.clone();
                std::thread::spawn(move || {
                    let _ = server.serve(stream); // whoever asked may be gone
                });
            }
        });
        Self { address, shared }
    }

    /// Its address for a configuration.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves another folder from now on.
    pub fn turn_to(&self, folder: &Path) {
        folder.clone_into(&mut self.shared.folder.lock().unwrap());
    }

    /// From now on, what `lies` makes of a path is sent, where it makes something of it.
    pub fn lie(&self, lies: impl Fn(&str) -> Option<Reply> + Send + 'static) {
        *self.shared.lies.lock().unwrap() = Some(Box::new(lies));
    }

    /// Serves the folder again as it is.
    pub fn be_honest(&self) {
        *self.shared.lies.lock().unwrap() = None;
    }

    /// Paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        let heads = self.shared.heads.lock().unwrap();
        heads.iter().map(|head| path(head).to_owned()).collect()
    }

    /// Heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Octets of all requests and answers so far, heads included.
    pub fn octets(&self) -> u64 {
        self.shared.octets.load(Ordering::Relaxed)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wakes it
    }
}

impl Shared {
    /// Answers one connection until it ends.
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut to = stream.try_clone()?;
        let mut from = BufReader::new(stream);
        loop {
            let (mut head, mut line) = (String::new(), String::new());
            while !head.ends_with("\r\n\r\n") {
                line.clear();
                if from.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                head.push_str(&line);
            }
            let length = header(&head, "content-length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            from.read_exact(&mut body)?;
            self.octets
                .fetch_add((head.len() + body.len()) as u64, Ordering::Relaxed);
            let path = path(&head).to_owned();
            self.heads.lock().unwrap().push(head.clone());
            let reply = self.lies.lock().unwrap().as_ref().and_then(|lies| lies(&path));
            if !self.answer(&mut to, &head, &path, reply)? {
                return Ok(());
            }
        }
    }

    /// Whether the connection goes on.
    fn answer(
        &self,
        to: &mut TcpStream,
        head: &str,
        path: &str,
        reply: Option<Reply>,
    ) -> std::io::Result<bool> {
        let file = self.folder.lock().unwrap().join(path.trim_start_matches('/'));
        let file = std::fs::read(file).ok();
        match reply {
            Some(Reply::Page(status, body)) => self.send(to, &plain(status, &body)).map(|()| true),
            Some(Reply::Cut(length)) => {
                let file = file.unwrap_or_default();
                let whole = plain(200, &file);
                let end = whole.len() - file.len().saturating_sub(length);
                self.send(to, &whole[..end]).map(|()| false)
            }
            Some(Reply::Broken(length)) => {
                let whole = served(head, file.as_deref());
                let body = whole.windows(4).position(|octets| octets == b"\r\n\r\n");
                let end = body.map_or(0, |end| end + 4 + length).min(whole.len());
                self.send(to, &whole[..end]).map(|()| false)
            }
            Some(Reply::Endless) => {
                self.send(to, b"HTTP/1.1 200 OK\r\n\r\n")?;
                for _ in 0..100_000 {
                    self.send(to, &[b'x'; 8192])?;
                }
                Ok(false)
            }
            Some(Reply::Slow) => {
                let file = file.unwrap_or_default();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.len());
                self.send(to, head.as_bytes())?;
                for octet in file {
                    self.send(to, &[octet])?;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(false)
            }
            Some(Reply::Late(time)) => {
                std::thread::sleep(time);
                self.send(to, &served(head, file.as_deref())).map(|()| true)
            }
            None => self.send(to, &served(head, file.as_deref())).map(|()| true),
        }
    }

    fn send(&self, to: &mut TcpStream, octets: &[u8]) -> std::io::Result<()> {
        self.octets.fetch_add(octets.len() as u64, Ordering::Relaxed);
        to.write_all(octets)
    }
}

/// A header of a request.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("/")
}

fn plain(status: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} S\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A file as web servers serve it: with a tag, whole, in part, or not again. The head is as long as nginx makes it.
fn served(head: &str, file: Option<&[u8]>) -> Vec<u8> {
    let Some(file) = file else {
        return plain(404, b"not found");
    };
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let common = format!(
        "server: mirror/1.0\r\ndate: Thu, 26 Nov 2026 02:00:00 GMT\r\nlast-modified: Thu, 26 Nov 2026 01:00:00 GMT\r\n\
         connection: keep-alive\r\netag: {tag}\r\n"
    );
    let header = |name: &str| header(head, name);
    if header("if-none-match") == Some(&*tag) {
        return format!("HTTP/1.1 304 Not Modified\r\n{common}\r\n").into_bytes();
    }
    let start = header("range")
        .filter(|_| header("if-range").is_none_or(|range| range == tag))
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
    let (status, start) = match start {
        Some(start) if start >= file.len() => return plain(416, b""),
        Some(start) => ("206 Partial Content", start),
        None => ("200 OK", 0),
    };
    let (length, last) = (file.len() - start, file.len().saturating_sub(1));
    let range = if start > 0 {
        format!("content-range: bytes {start}-{last}/{}\r\n", file.len())
    } else {
        String::new()
    };
    let head = format!("HTTP/1.1 {status}\r\n{common}{range}content-length: {length}\r\n\r\n");
    [head.as_bytes(), &file[start..]].concat()
}
