//! A loopback HTTP server over a folder that misbehaves on demand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does instead of serving the file well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This status, with an empty body.
    Status(u16),
    /// Says nothing for so long before the answer.
    SilentBefore(Duration),
    /// Sends so many bytes of what was asked for, then says nothing for so long.
    SilentAfter(u64, Duration),
    /// Promises everything, sends so many bytes of what was asked for and closes.
    Truncate(u64),
    /// Sends so many bytes of what was asked for, then resets the connection.
    Reset(u64),
    /// Answers every range with the whole file.
    IgnoreRanges,
    /// Continues at another place than asked for.
    WrongRange,
    /// A web page with status 200.
    LoginPage,
    /// Flips a bit of the file's first byte.
    Corrupt,
    /// Sends these bytes instead.
    Instead(Vec<u8>),
    /// Does not say how long the answer is.
    NoLength,
    /// Promises the longest answer that there can be.
    Endless,
    /// Redirects to this path.
    Redirect(String),
    /// Sends so many bytes every tenth of a second.
    Drip(usize),
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub through_proxy: bool,
    pub login: Option<String>,
}

type Rules = Vec<(String, usize, Mode)>;

/// The server; its thread ends with the process.
pub struct Server {
    pub url: String,
    rules: Arc<Mutex<Rules>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves this folder.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules: Arc<Mutex<Rules>> = Arc::default();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let shared = (root.to_owned(), rules.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, rules, asked) = shared.clone();
                std::thread::spawn(move || {
                    let _ = answer(stream, &root, &rules, &asked);
                });
            }
        });
        Self { url, rules, asked }
    }

    /// From now on, misbehaves for paths that contain `part`.
    pub fn always(&self, part: &str, mode: Mode) {
        self.times(part, usize::MAX, mode);
    }

    /// Misbehaves so many times; rules for the same path take turns in the order in which they were given.
    pub fn times(&self, part: &str, times: usize, mode: Mode) {
        self.rules.lock().unwrap().push((part.to_owned(), times, mode));
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, root: &Path, rules: &Mutex<Rules>, asked: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (target, headers) = request(&mut reader)?;
    // As a proxy, it is every server.
    let (through_proxy, path) = match target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
        Some((_server, path)) => (true, format!("/{path}")),
        None => (false, target),
    };
    let header =
        |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    asked.lock().unwrap().push(Asked {
        path: path.clone(),
        range: header("range"),
        if_range: header("if-range"),
        through_proxy,
        login: header("proxy-authorization"),
    });
    let mode = {
        let mut rules = rules.lock().unwrap();
        let rule = rules.iter_mut().find(|(part, left, _)| path.contains(part.as_str()) && *left > 0);
        rule.map(|(_, left, mode)| {
            *left -= usize::from(*left != usize::MAX);
            mode.clone()
        })
    };
    let file: PathBuf = root.join(decoded(&path).trim_start_matches('/'));
    let mut bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(_) => return respond(&mut stream, "404 Not Found", &[], b"<html>not here</html>"),
    };
    let mut kind = "application/octet-stream";
    let mut ranges = true;
    let mut shift = 0;
    let mut length_told = true;
    match &mode {
        Some(Mode::Status(status)) => return respond(&mut stream, &format!("{status} Because"), &[], b""),
        Some(Mode::Redirect(to)) => {
            return respond(&mut stream, "302 Found", &[format!("Location: {to}")], b"");
        }
        Some(Mode::SilentBefore(time)) => std::thread::sleep(*time),
        Some(Mode::LoginPage) => {
            bytes = b"<!DOCTYPE html><html>Please log in</html>".to_vec();
            kind = "text/html; charset=utf-8";
        }
        Some(Mode::Corrupt) => bytes[0] ^= 1,
        Some(Mode::Instead(other)) => bytes.clone_from(other),
        Some(Mode::IgnoreRanges) => ranges = false,
        Some(Mode::WrongRange) => shift = 1,
        Some(Mode::NoLength) => length_told = false,
        _ => {}
    }
    let total = bytes.len();
    let start = header("range")
        .filter(|_| ranges)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    if start.is_some_and(|start| start >= total) {
        return respond(&mut stream, "416 Range Not Satisfiable", &[], b"");
    }
    let tag = "\"tag\"";
    let start = start.filter(|_| header("if-range").is_none_or(|wanted| wanted == tag));
    let from = start.map_or(0, |start| start - shift.min(start));
    let body = &bytes[from..];
    let mut head = match start {
        Some(_) => format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}\r\n", total - 1),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    head.push_str(&format!("Content-Type: {kind}\r\nETag: {tag}\r\nConnection: close\r\n"));
    if matches!(mode, Some(Mode::Endless)) {
        head.push_str(&format!("Content-Length: {}\r\n", u64::MAX));
    } else if length_told {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    match mode {
        Some(Mode::Truncate(after)) => stream.write_all(&body[..body.len().min(after as usize)]),
        Some(Mode::SilentAfter(after, time)) => {
            stream.write_all(&body[..body.len().min(after as usize)])?;
            std::thread::sleep(time);
            Ok(())
        }
        Some(Mode::Drip(bytes)) => {
            for part in body.chunks(bytes.max(1)) {
                stream.write_all(part)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
        Some(Mode::Reset(after)) => {
            stream.write_all(&body[..body.len().min(after as usize)])?;
            std::thread::sleep(Duration::from_millis(50));
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            Ok(())
        }
        _ => stream.write_all(body),
    }
}

type Headers = Vec<(String, String)>;

fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<(String, Headers)> {
    let mut line = String::new();
    reader.by_ref().take(1 << 16).read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(_method), Some(target)) = (words.next(), words.next()) else {
        return Err(std::io::Error::other("no request"));
    };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.by_ref().take(1 << 16).read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok((target, headers)),
        }
    }
}

fn respond(stream: &mut TcpStream, status: &str, headers: &[String], body: &[u8]) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap_or("0"), 16).unwrap_or(0));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
