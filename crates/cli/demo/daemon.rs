//! The daemon's configuration for the demo: written to a file first, so that it can be read, kept and run again.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::Context;
use smgeo_runtime::config::Config;
use toml::{Table, Value};

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

/// The demo's configuration as it ships, with ports and paths for doing it by hand.
const SHIPPED: &str = include_str!("../../../configs/demo.toml");

/// Writes the configuration and loads it: the shipped one, with this demo's ports and paths, and over it the keys of
/// `--config`.
pub fn configuration(args: &Args, folder: &Path, ports: &Ports) -> anyhow::Result<Config> {
    let package =
        std::fs::canonicalize(&args.package).with_context(|| format!("finding {}", args.package.display()))?;
    let (rtsp, mavlink, port) = (ports.rtsp, ports.mavlink, args.port);
    let own = format!(
        r#"
ingest.source.uri = "rtsp://127.0.0.1:{rtsp}/main"
telemetry.mavlink.address = "udpin:127.0.0.1:{mavlink}"
terrain.path = "{ELEVATION}"
tiles.source = "{MAP}"
engine.package = {package:?}
locate.shuffled_control = {control}
web.listen = "127.0.0.1:{port}"
"#,
        package = package.display().to_string(),
        control = args.headless,
    );
    let mut table: Table = SHIPPED.parse().context("reading the shipped configs/demo.toml")?;
    lay_over(&mut table, own.parse().context("writing the demo's ports and paths")?);
    if let Some(file) = &args.config {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        lay_over(&mut table, text.parse().with_context(|| format!("reading {}", file.display()))?);
    }
    let text = format!("# What `smgeo demo` ran the daemon with. Paths are relative to this file.\n{table}");
    let file = folder.join("demo.toml");
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(Config::load(&file)?)
}

/// Lays the keys of `over` over those of `table`, tables within tables.
fn lay_over(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => lay_over(inner, over),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
