//! A headless Chromium, spoken to over its DevTools protocol.

// Each test program uses its part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::harness::client::request;

/// A browser on a loaded machine takes seconds to start.
const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A host name under which the browser finds this machine.
pub const OTHER_NAME: &str = "drone.test";
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

pub struct Browser {
    process: Child,
    address: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser; none where none is installed.
    pub async fn launch() -> Option<Self> {
        let program = find()?;
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run", "--disable-extensions"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"])
            // A name that is this machine, as another machine would know it: its pages are no secure context.
            .arg(format!("--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1"))
            // The map needs WebGL, which a machine without a GPU draws in software.
            .args(["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=1440,900"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port_of(profile.path()).await;
        Some(Self { process, address: format!("127.0.0.1:{port}"), _profile: profile })
    }

    /// Opens a tab with a script that runs before any page's own.
    pub async fn open(&self, url: &str, first: &str) -> Tab {
        let answer = request(&self.address, "PUT", "/json/new?about:blank", &[], "").await.json();
        let socket = answer["webSocketDebuggerUrl"].as_str().expect("a tab has a socket").to_owned();
        let (stream, _) = tokio_tungstenite::connect_async(socket).await.unwrap();
        let mut tab = Tab { stream, next: 1, complaints: Vec::new(), requests: Vec::new() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": first })).await;
        tab.call("Page.navigate", json!({ "url": url })).await;
        tab
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that has ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Tab {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    /// Exceptions and errors of the page.
    pub complaints: Vec<String>,
    /// Every address the page has asked for.
    pub requests: Vec<String>,
}

impl Tab {
    /// Calls a method of the protocol and returns its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let message = json!({ "id": id, "method": method, "params": params });
        self.stream.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let message = timeout(WAIT_MAX, self.stream.next()).await.expect("the browser answers");
            let Message::Text(text) = message.expect("the tab is open").unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string())
            }
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    /// Evaluates an expression in the page.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Looks again and again until an expression is true; returns how long that took.
    pub async fn until(&mut self, expression: &str, limit: Duration) -> Duration {
        if let Some(took) = self.within(limit, expression).await {
            return took;
        }
        self.screenshot("failed").await;
        panic!("not true within {limit:?}: {expression}; complaints: {:?}", self.complaints);
    }

    /// The same, if it comes true in time.
    pub async fn within(&mut self, limit: Duration, expression: &str) -> Option<Duration> {
        let began = tokio::time::Instant::now();
        while began.elapsed() < limit {
            if self.eval(&format!("Boolean({expression})")).await == true {
                return Some(began.elapsed());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// Returns the middle of an element, or a point given as fractions of it, in the page's pixels.
    pub async fn point(&mut self, selector: &str, fraction: [f64; 2]) -> [f64; 2] {
        let [fx, fy] = fraction;
        let place = self
            .eval(&format!(
                "(() => {{ const box = document.querySelector('{selector}').getBoundingClientRect(); \
                 return [box.left + box.width * {fx}, box.top + box.height * {fy}]; }})()"
            ))
            .await;
        [place[0].as_f64().unwrap(), place[1].as_f64().unwrap()]
    }

    pub async fn click(&mut self, [x, y]: [f64; 2]) {
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params).await;
        }
    }

    pub async fn tap(&mut self, [x, y]: [f64; 2]) {
        let points = json!([{ "x": x, "y": y }]);
        self.call("Input.dispatchTouchEvent", json!({ "type": "touchStart", "touchPoints": points })).await;
        self.call("Input.dispatchTouchEvent", json!({ "type": "touchEnd", "touchPoints": [] })).await;
    }

    pub async fn press(&mut self, key: &str) {
        // The character is what sends a form.
        let down = match key {
            "Enter" => json!({ "type": "keyDown", "key": key, "text": "\r" }),
            _ => json!({ "type": "keyDown", "key": key }),
        };
        for event in [down, json!({ "type": "keyUp", "key": key })] {
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Writes where the focus is.
    pub async fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Keeps a picture of the page in the build's folder for temporary files, for people to look at.
    pub async fn screenshot(&mut self, name: &str) {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let png = base64::prelude::BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
        std::fs::write(&path, png).unwrap();
        println!("screenshot: {}", path.display());
    }
}

fn find() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let programs = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

/// The browser writes the port it chose into its profile.
async fn port_of(profile: &Path) -> u16 {
    let file = profile.join("DevToolsActivePort");
    for _ in 0..WAIT_MAX.as_millis() / LOOK_EVERY.as_millis() {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(port) = text.lines().next().and_then(|line| line.parse().ok()) {
            return port;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("the browser has not started within {WAIT_MAX:?}");
}
