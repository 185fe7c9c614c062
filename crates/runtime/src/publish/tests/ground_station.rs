//! The camera component, with a ground station at the other end of a real link.

use super::*;
use crate::prompts::ShownAgo;

/// A point of the picture, and how long ago the picture was shown.
type Click = ([f64; 2], ShownAgo);

#[derive(Clone, Default)]
struct Clicks {
    taken: Arc<Mutex<Vec<Click>>>,
    stopped: Arc<Mutex<Vec<TargetId>>>,
}

/// Takes clicks as the prompt actor does and remembers them.
struct Port(Clicks, Option<[u32; 2]>);

impl PromptPort for Port {
    fn follow(
        &mut self,
        fraction: [f64; 2],
        shown_ago: ShownAgo,
        instead_of: Option<TargetId>,
    ) -> Result<Prompt, String> {
        self.0.stopped.lock().unwrap().extend(instead_of);
        let mut taken = self.0.taken.lock().unwrap();
        taken.push((fraction, shown_ago));
        let now = smgeo_flow::Stamp::from_ns(0);
        Ok(Prompt {
            target: TargetId(taken.len() as u32),
            revision: 1,
            frame: FrameId(3),
            frame_captured: now,
            click: Pixel::new(0.0, 0.0),
            sigma_px: 2.0,
            label: None,
            source: PromptSource::AssumedFrame,
            created: now,
        })
    }

    fn stop(&mut self, target: TargetId) {
        self.0.stopped.lock().unwrap().push(target);
    }

    fn frame_px(&self) -> Option<[u32; 2]> {
        self.1
    }
}

/// Is a camera component with its ground station, on a real link and a clock turned by hand.
struct Bench {
    clock: Arc<HandClock>,
    camera: CameraComponent,
    link: LinkReader,
    commands: crossbeam_channel::Sender<Received>,
    tracks: broadcast::Sender<Arc<Track>>,
    station: Arc<Link>,
    station_reader: LinkReader,
    heard: VecDeque<(u8, MavMessage)>,
    clicks: Clicks,
}

impl Bench {
    fn start() -> Self {
        let clock = HandClock::shared();
        let shared: SharedClock = clock.clone();
        let link = Link::open("udpin:127.0.0.1:0", None, None, shared.clone()).unwrap();
        let station =
            Link::open(&format!("udpout:{}", link.local_address().unwrap()), None, None, shared.clone()).unwrap();
        let (commands, orders) = bounded(16);
        let (tracks, receiver) = broadcast::channel(16);
        let clicks = Clicks::default();
        let port = Box::new(Port(clicks.clone(), Some([640, 360])));
        let config = CameraConfig {
            system_id: Some(1),
            video_uri: Some("rtsp://camera/1".to_owned()),
            ..CameraConfig::default()
        };
        let camera = CameraComponent::new(config, link.clone(), orders, receiver, port, shared, Arc::default());
        Self {
            station_reader: station.reader(),
            link: link.reader(),
            heard: VecDeque::new(),
            clock,
            camera,
            commands,
            tracks,
            station,
            clicks,
        }
    }

    /// Carries what the station sent to the camera, lets it act, and collects what the station hears.
    fn turn(&mut self) {
        let mut received = Vec::new();
        self.link.read(&mut received).unwrap();
        received.into_iter().for_each(|message| self.commands.send(message).unwrap());
        (0..4).for_each(|_| self.camera.step().unwrap());
        let mut heard = Vec::new();
        for _ in 0..8 {
            let before = heard.len();
            self.station_reader.read(&mut heard).unwrap();
            if heard.len() == before {
                break;
            }
        }
        self.heard.extend(heard.into_iter().map(|received| (received.header.component_id, received.message)));
    }

    fn ready() -> Self {
        let mut bench = Self::start();
        bench.say(&camera_messages::heartbeat(), 190);
        bench.clock.advance(Duration::from_secs(4));
        bench
    }

    fn say(&mut self, message: &MavMessage, component: u8) {
        self.station.send(1, component, message, None);
        self.turn();
    }

    fn command(&mut self, command: MavCmd, params: [f32; 7], confirmation: u8) -> Option<MavResult> {
        let [param1, param2, param3, param4, param5, param6, param7] = params;
        let data = dialect::COMMAND_LONG_DATA {
            param1,
            param2,
            param3,
            param4,
            param5,
            param6,
            param7,
            command,
            target_system: 1,
            target_component: 100,
            confirmation,
        };
        self.heard.clear();
        self.say(&MavMessage::COMMAND_LONG(data), 190);
        self.heard.iter().find_map(|(_, message)| match message {
            MavMessage::COMMAND_ACK(ack) if ack.command == command => Some(ack.result),
            _ => None,
        })
    }

    fn heard<T>(&self, pick: impl Fn(&MavMessage) -> Option<T>) -> Option<T> {
        self.heard.iter().find_map(|(_, message)| pick(message))
    }
}

fn first(values: &[f32]) -> [f32; 7] {
    let mut params = [0.0; 7];
    params.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
    params
}

const SHOWN: ShownAgo = ShownAgo { mean: Duration::from_millis(250), sigma: Duration::from_millis(50) };
const ACCEPTED: Option<MavResult> = Some(MavResult::MAV_RESULT_ACCEPTED);
const DENIED: Option<MavResult> = Some(MavResult::MAV_RESULT_DENIED);
const UNSUPPORTED: Option<MavResult> = Some(MavResult::MAV_RESULT_UNSUPPORTED);

#[test]
fn a_ground_station_finds_the_camera_and_what_it_can() {
    let mut bench = Bench::ready();
    bench.turn();
    let camera = bench.heard.iter().find(|(_, message)| matches!(message, MavMessage::HEARTBEAT(_))).map(|(id, _)| *id);
    assert_eq!(camera, Some(100));
    assert_eq!(bench.command(MavCmd::MAV_CMD_REQUEST_MESSAGE, first(&[259.0]), 0), ACCEPTED);
    let flags = bench.heard(|message| match message {
        MavMessage::CAMERA_INFORMATION(data) => Some((data.flags.bits(), data.resolution_h, data.vendor_name[0])),
        _ => None,
    });
    assert_eq!(flags, Some((3840, 640, b's')));
    for message in [260.0, 261.0, 262.0, 269.0, 270.0, 275.0] {
        assert_eq!(bench.command(MavCmd::MAV_CMD_REQUEST_MESSAGE, first(&[message]), 0), ACCEPTED, "{message}");
        assert!(bench.heard.len() >= 2, "{message}");
    }
    assert_eq!(bench.command(MavCmd::MAV_CMD_REQUEST_MESSAGE, first(&[33.0]), 0), UNSUPPORTED);
    assert_eq!(bench.command(MavCmd::MAV_CMD_SET_CAMERA_ZOOM, first(&[1.0]), 0), UNSUPPORTED);
    assert_eq!(bench.command(MavCmd::MAV_CMD_SET_CAMERA_MODE, first(&[0.0, 1.0]), 0), ACCEPTED);
}

#[test]
fn a_click_becomes_a_prompt_once_and_its_end_stops_it() {
    let mut bench = Bench::ready();
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, first(&[0.25, 0.625, 0.05]), 0), ACCEPTED);
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, first(&[0.25, 0.625, 0.05]), 1), ACCEPTED);
    assert_eq!(*bench.clicks.taken.lock().unwrap(), [([0.25, 0.625], SHOWN)]);
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_RECTANGLE, first(&[0.6, 0.8, 0.4, 0.2]), 0), ACCEPTED);
    let second = bench.clicks.taken.lock().unwrap()[1].0;
    assert!((second[0] - 0.5).abs() < 1e-6 && (second[1] - 0.5).abs() < 1e-6);
    assert_eq!(*bench.clicks.stopped.lock().unwrap(), [TargetId(1)]);
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_STOP_TRACKING, first(&[]), 0), ACCEPTED);
    assert_eq!(bench.clicks.stopped.lock().unwrap().len(), 2);
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_STOP_TRACKING, first(&[]), 0), ACCEPTED);
}

#[test]
fn a_click_that_means_nothing_is_denied() {
    let mut bench = Bench::ready();
    for point in [[1.5, 0.5], [-0.1, 0.5], [f32::NAN, 0.5], [0.5, f32::INFINITY]] {
        assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, first(&point), 0), DENIED, "{point:?}");
    }
    let tiny = [0.5, 0.5, 0.501, 0.501];
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_RECTANGLE, first(&tiny), 0), DENIED);
    assert!(bench.clicks.taken.lock().unwrap().is_empty());
    let order = Order { command: 2004, target_system: 1, target_component: 100, params: [0.5; 6], confirmation: 0 };
    assert_eq!(order.understood(None), Err(Answer::Denied), "no video yet");
}

#[test]
fn a_command_for_another_is_left_to_it() {
    let order = |system, component, camera| Order {
        command: 2004,
        target_system: system,
        target_component: component,
        params: [0.5, 0.5, 0.0, camera, 0.0, 0.0],
        confirmation: 0,
    };
    let cases = [
        (1, 100, 0.0, true),
        (1, 0, 0.0, true),
        (1, 100, 100.0, true),
        (1, 100, f64::NAN, true),
        (1, 0, 101.0, false),
        (2, 100, 0.0, false),
        (1, 101, 0.0, false),
    ];
    for (system, component, camera, ours) in cases {
        assert_eq!(order(system, component, camera).is_for(1, 100), ours, "{system} {component} {camera}");
    }
}

#[test]
fn the_target_is_told_while_asked_for_and_what_holds_no_longer_is_taken_back() {
    let mut bench = Bench::ready();
    assert_eq!(bench.command(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, first(&[275.0, 100_000.0]), 0), ACCEPTED);
    assert_eq!(bench.command(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, first(&[276.0, 100_000.0]), 0), ACCEPTED);
    let told = |bench: &mut Bench, state| {
        bench.clock.advance(Duration::from_millis(500));
        bench.heard.clear();
        bench.tracks.send(Arc::new(track(1, state, bench.clock.as_ref()))).unwrap();
        bench.turn();
        let image = bench.heard(|message| match message {
            MavMessage::CAMERA_TRACKING_IMAGE_STATUS(data) => Some((data.tracking_status, data.point_x, data.point_y)),
            _ => None,
        });
        let geo = bench.heard(|message| match message {
            MavMessage::CAMERA_TRACKING_GEO_STATUS(data) => Some(data.clone()),
            _ => None,
        });
        (image, geo)
    };
    let (image, geo) = told(&mut bench, TrackState::Locked);
    let (status, x, y) = image.unwrap();
    assert_eq!((status.bits(), x, y), (1, 0.5, 0.25));
    let geo = geo.unwrap();
    assert_eq!((geo.lat, geo.lon), (471_200_000, 82_200_000));
    assert!((geo.h_acc - 2.0).abs() < 1e-3 && geo.alt.is_nan() && (geo.hdg - 0.927_295).abs() < 1e-5);
    let text = |bench: &Bench| {
        bench.heard(|message| match message {
            MavMessage::STATUSTEXT(data) => Some(data.text.to_str().unwrap_or_default().to_owned()),
            _ => None,
        })
    };
    assert_eq!(text(&bench).as_deref(), Some("TGT1 47.12000 8.22000 5m locked"));
    let (image, geo) = told(&mut bench, TrackState::Coasting);
    assert_eq!(text(&bench).as_deref(), Some("TGT1 no longer locked: coasting"));
    assert!(image.unwrap().0.contains(CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_COASTING));
    assert_eq!(geo.unwrap().tracking_status.bits(), 9);
    let (image, geo) = told(&mut bench, TrackState::Lost);
    let (status, x, _) = image.unwrap();
    assert!(status.contains(CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR) && x.is_nan());
    let geo = geo.unwrap();
    assert_eq!((geo.tracking_status.bits(), geo.lat, geo.lon), (2, i32::MAX, i32::MAX));
    assert!(told(&mut bench, TrackState::Lost).1.is_none(), "once");
    assert_eq!(text(&bench), None, "once");
    // The track ends; the tracker is idle, once.
    bench.clock.advance(Duration::from_secs(3));
    bench.heard.clear();
    bench.turn();
    let idle = bench.heard(|message| match message {
        MavMessage::CAMERA_TRACKING_IMAGE_STATUS(data) => Some(data.tracking_status.bits()),
        _ => None,
    });
    assert_eq!(idle, Some(0));
}

#[test]
fn only_messages_that_are_repeated_can_be_asked_for_regularly() {
    let mut bench = Bench::ready();
    for (message, interval_us, answer) in [
        (275.0, 100_000.0, ACCEPTED),
        (276.0, 0.0, ACCEPTED),
        (259.0, 1_000_000.0, UNSUPPORTED),
        (262.0, 100_000.0, UNSUPPORTED),
        (262.0, -1.0, ACCEPTED),
        (269.0, 0.0, ACCEPTED),
        (33.0, 100_000.0, UNSUPPORTED),
    ] {
        let order = first(&[message, interval_us]);
        assert_eq!(bench.command(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, order, 0), answer, "{message} {interval_us}");
    }
}

#[test]
fn another_target_is_never_told_as_the_one_the_ground_station_asked_for() {
    let mut bench = Bench::ready();
    assert_eq!(bench.command(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, first(&[276.0, 100_000.0]), 0), ACCEPTED);
    let is_told = |bench: &mut Bench, target| {
        bench.clock.advance(Duration::from_millis(500));
        bench.heard.clear();
        bench.tracks.send(Arc::new(track(target, TrackState::Locked, bench.clock.as_ref()))).unwrap();
        bench.turn();
        let is_placed = |message: &MavMessage| match message {
            MavMessage::CAMERA_TRACKING_GEO_STATUS(data) => Some(data.lat != i32::MAX),
            _ => None,
        };
        bench.heard(is_placed) == Some(true)
    };
    assert!(is_told(&mut bench, 7), "who asked for nothing is told what there is");
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, first(&[0.25, 0.625]), 0), ACCEPTED);
    assert!(!is_told(&mut bench, 7), "its own target has no track yet");
    assert!(is_told(&mut bench, 1));
    bench.clock.advance(Duration::from_secs(3));
    assert!(!is_told(&mut bench, 7), "its own target was deleted by somebody else");
    assert_eq!(bench.command(MavCmd::MAV_CMD_CAMERA_STOP_TRACKING, first(&[]), 0), ACCEPTED);
    assert!(!is_told(&mut bench, 7));
}

#[test]
fn a_component_id_that_is_taken_is_left_to_its_owner() {
    let mut bench = Bench::start();
    // Though the vehicle appears late.
    bench.clock.advance(Duration::from_secs(14));
    bench.turn();
    assert_eq!(bench.camera.identity(), None);
    bench.say(&camera_messages::heartbeat(), 1);
    bench.clock.advance(Duration::from_secs(1));
    bench.say(&camera_messages::heartbeat(), 100);
    bench.clock.advance(Duration::from_secs(4));
    assert_eq!(bench.camera.identity(), Some((1, 101)));
    let alone = Bench::start();
    alone.clock.advance(Duration::from_secs(16));
    assert_eq!(alone.camera.identity(), Some((1, 100)), "a vehicle that is never heard is not waited for for ever");
}

#[test]
fn pymavlink_tells_telemetry_clicks_and_hears_where_the_target_is() {
    if !has_python_with("pymavlink") {
        println!(
            "skipped: pymavlink_tells_telemetry_clicks_and_hears_where_the_target_is needs python3 with pymavlink"
        );
        return;
    }
    let mut bench = Bench::start();
    let port = bench.link.link().local_address().unwrap().port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/mavlink_peer.py");
    let peer = std::process::Command::new("python3")
        .args([script, &port.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut decoder = MavlinkDecoder::new(Some(1), GpsFix::default(), Duration::ZERO, Duration::ZERO);
    let mut buffer = PoseBuffer::new(PoseConfig::default());
    let waiting = std::thread::spawn(move || peer.wait_with_output().unwrap());
    while !waiting.is_finished() {
        let before = std::time::Instant::now();
        let mut received = Vec::new();
        bench.link.read(&mut received).unwrap();
        for message in received {
            if let Some(sample) = decoder.sample(&message) {
                let _ = buffer.put(&sample, message.arrived);
            }
            bench.commands.send(message).unwrap();
            bench.camera.step().unwrap();
        }
        bench.tracks.send(Arc::new(track(1, TrackState::Locked, bench.clock.as_ref()))).unwrap();
        bench.camera.step().unwrap();
        bench.clock.advance(before.elapsed());
    }
    let output = waiting.join().unwrap();
    let heard: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(heard["HEARTBEAT"]["type"], 30, "{heard:#}");
    assert_eq!(heard["CAMERA_INFORMATION"]["flags"], 3840);
    assert_eq!(heard["ACK 2004"]["result"], 0);
    assert_eq!(heard["ACK 512"]["result"], 0);
    let geo = &heard["CAMERA_TRACKING_GEO_STATUS"];
    assert_eq!((&geo["lat"], &geo["lon"], &geo["from"]), (&471_200_000.into(), &82_200_000.into(), &100.into()));
    assert_eq!(bench.clicks.taken.lock().unwrap()[0].0, [0.25, 0.625]);
    let pose = buffer.pose_at(buffer.newest().unwrap(), Duration::ZERO).unwrap();
    assert!((pose.pose.position.at.lat_deg() - 25.1972).abs() < 1e-6);
    let view = buffer.field_of_view_at(buffer.newest().unwrap()).unwrap().unwrap();
    assert!((view.horizontal_rad.to_degrees() - 63.7).abs() < 1e-4);
}
