//! A client in a few lines: HTTP with any header a test wants to send, and WebSockets with JSON.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long a test waits for something that must come.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Is an answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the constant word of a refusal.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends bytes as they are and reads one answer.
pub async fn raw(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut read, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        // A server that refuses may reset the connection after its answer.
        let got = timeout(WAIT_MAX, stream.read(&mut buffer)).await.expect("an answer comes").unwrap_or(0);
        read.extend_from_slice(&buffer[..got]);
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
            assert!(got > 0, "the connection ended within a head: {:?}", String::from_utf8_lossy(&read));
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { status, head, body: read[end + 4..].to_vec() };
        let length: Option<usize> = answer.header("content-length").and_then(|length| length.parse().ok());
        if got == 0 || length.is_some_and(|length| answer.body.len() >= length) {
            return answer;
        }
    }
}

/// Sends a request with headers of the test's choice.
pub async fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    raw(address, format!("{text}\r\n{body}").as_bytes()).await
}

pub async fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, &[], "").await
}

/// Sends a JSON body.
pub async fn send(address: &str, method: &str, path: &str, body: &Value) -> Answer {
    request(address, method, path, &[("content-type", "application/json")], &body.to_string()).await
}

/// Is an open WebSocket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn open(address: &str, path: &str) -> Self {
        let (stream, _) = tokio_tungstenite::connect_async(format!("ws://{address}{path}")).await.unwrap();
        Self { stream }
    }

    /// Says whether the server's first word is one, and not a farewell.
    pub async fn is_spoken_to(&mut self) -> bool {
        let first = timeout(WAIT_MAX, self.next()).await.expect("a word or a farewell comes");
        matches!(first, Message::Text(_))
    }

    pub async fn say(&mut self, message: &Value) {
        self.say_text(message.to_string()).await;
    }

    pub async fn say_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub async fn say_binary(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// Returns the next message of one type; others are passed over, for as long as a test waits for anything.
    pub async fn hear(&mut self, kind: &str) -> Value {
        let heard = async {
            loop {
                if let Message::Text(text) = self.next().await {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == kind {
                        return message;
                    }
                }
            }
        };
        timeout(WAIT_MAX, heard).await.unwrap_or_else(|_| panic!("a message of type {kind} comes"))
    }

    pub async fn hear_binary(&mut self) -> Vec<u8> {
        let heard = async {
            loop {
                if let Message::Binary(bytes) = self.next().await {
                    return bytes.to_vec();
                }
            }
        };
        timeout(WAIT_MAX, heard).await.expect("a binary message comes")
    }

    /// Returns how the server closed, whatever came before.
    pub async fn closing(&mut self) -> Option<CloseFrame> {
        let closed = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(WAIT_MAX, closed).await.expect("the server closes")
    }

    async fn next(&mut self) -> Message {
        self.stream.next().await.expect("the socket is open").unwrap()
    }
}
