//! Where tracks go: the page always, the fleet bus and a file if the configuration names them.

use std::sync::Arc;

use smgeo_flow::{Fault, SharedClock, Stage};
use smgeo_messages::Track;
use smgeo_messages::wire::Publisher;
use tokio::sync::broadcast;

use super::counted;
use crate::config::Config;
use crate::control::{Metrics, StageSpec};
use crate::publish::{NdjsonSink, Numbered, PublishError, Sink, SinkCounts, SinkStage, ZenohSink};
use crate::web::ShownTrack;

/// Hands tracks to the page's server.
struct PageSink {
    wire: broadcast::Sender<ShownTrack>,
}

impl Sink for PageSink {
    fn name(&self) -> &'static str {
        "page"
    }

    fn publish(&mut self, track: &Numbered) -> Result<(), PublishError> {
        // The server listens as long as the process lives.
        let captured = track.track.captured;
        let _ = self.wire.send(ShownTrack { track: Arc::new(track.wire.clone()), captured });
        Ok(())
    }
}

/// Describes a stage for each output.
pub fn stages(
    config: &Config,
    clock: &SharedClock,
    publisher: &Publisher,
    tracks: &broadcast::Sender<Arc<Track>>,
    wire: &broadcast::Sender<ShownTrack>,
    metrics: &Metrics,
) -> Vec<StageSpec> {
    let spec = |name, make: Box<dyn Fn() -> Result<Box<dyn Sink>, PublishError> + Send>| {
        let (clock, publisher, tracks) = (clock.clone(), publisher.clone(), tracks.clone());
        let counts = Arc::<SinkCounts>::default();
        counted::sink(metrics, name, &counts);
        StageSpec::new(name, move || {
            let sink = make().map_err(Fault::restart)?;
            let stage = SinkStage::new(sink, tracks.subscribe(), publisher.clone(), clock.clone(), counts.clone());
            Ok(Box::new(stage.map_err(Fault::restart)?) as Box<dyn Stage>)
        })
    };
    let wire = wire.clone();
    let mut stages = vec![spec("page", Box::new(move || Ok(Box::new(PageSink { wire: wire.clone() }))))];
    if let Some(zenoh) = config.publish.zenoh.clone() {
        let (clock, drone) = (clock.clone(), publisher.drone.clone());
        let make = move || Ok(Box::new(ZenohSink::open(&zenoh, &drone, clock.clone())?) as Box<dyn Sink>);
        stages.push(spec("zenoh", Box::new(make)));
    }
    if let Some(ndjson) = config.publish.ndjson.clone() {
        let clock = clock.clone();
        let make = move || Ok(Box::new(NdjsonSink::new(ndjson.clone(), clock.clone())?) as Box<dyn Sink>);
        stages.push(spec("ndjson", Box::new(make)));
    }
    stages
}
