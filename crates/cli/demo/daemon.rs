//! The daemon's configuration for the demo: written to a file first, so that it can be read, kept and run again.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::Context;
use smgeo_runtime::config::Config;

use super::Args;
use crate::sim::prepare::{ELEVATION, MAP};

/// Are the ports that drone and daemon meet on.
pub struct Ports {
    /// The drone's video.
    pub rtsp: u16,
    /// The daemon's telemetry.
    pub mavlink: u16,
}

impl Ports {
    /// Asks the system for free ones.
    pub fn free() -> anyhow::Result<Self> {
        let rtsp = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let mavlink = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        Ok(Self {
            rtsp: rtsp.context("finding a free TCP port")?.port(),
            mavlink: mavlink.context("finding a free UDP port")?.port(),
        })
    }
}

/// Writes the configuration and loads it.
pub fn configuration(args: &Args, folder: &Path, ports: &Ports) -> anyhow::Result<Config> {
    let package =
        std::fs::canonicalize(&args.package).with_context(|| format!("finding {}", args.package.display()))?;
    let more = match &args.config {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        None => String::new(),
    };
    let (rtsp, mavlink, port) = (ports.rtsp, ports.mavlink, args.port);
    let text = format!(
        r#"# What `smgeo demo` runs the daemon with. Paths are relative to this file.
{more}
[drone]
name = "demo"

[ingest]
source = {{ uri = "rtsp://127.0.0.1:{rtsp}/main" }}

[telemetry.mavlink]
address = "udpin:127.0.0.1:{mavlink}"
delay_ms = 1
delay_sigma_ms = 5

[pose]
yaw_sigma_deg = 2.6
pitch_sigma_deg = 0.75

[terrain]
kind = "terrarium"
path = "{ELEVATION}"
sigma_m = 1.0

[tiles]
source = "{MAP}"

[engine]
package = {package:?}

[locate]
shuffled_control = {control}

[prompts]
targets_max = 32

[web]
listen = "127.0.0.1:{port}"
"#,
        package = package.display().to_string(),
        control = args.headless,
    );
    let file = folder.join("demo.toml");
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(Config::load(&file)?)
}
