//! The bus, with a real peer on it.

use super::*;

fn free_endpoint() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("tcp/127.0.0.1:{port}")
}

fn joined(endpoint: &str) -> Session {
    let mut config = Config::default();
    config.insert_json5("mode", "\"client\"").unwrap();
    config.insert_json5("connect/endpoints", &format!("[\"{endpoint}\"]")).unwrap();
    config.insert_json5("scouting/multicast/enabled", "false").unwrap();
    ::zenoh::open(config).wait().unwrap()
}

#[test]
fn a_peer_gets_each_track_and_a_late_joiner_the_newest() {
    let clock = SystemClock::shared();
    let config = ZenohConfig { listen: Some(vec![free_endpoint()]), ..ZenohConfig::default() };
    let sink = ZenohSink::open(&config, "uav1", clock.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 16, &clock);
    let early = joined(&config.listen.as_ref().unwrap()[0]);
    let subscriber = early.declare_subscriber("smgeo/uav1/track/*").wait().unwrap();
    let mut sent = 0;
    // The subscription reaches the publisher in its own time; what was sent before it is what late joiners ask for.
    let first = (0..50).find_map(|_| {
        tracks.send(Arc::new(track(7, TrackState::Locked, clock.as_ref()))).unwrap();
        stage.step().unwrap();
        sent += 1;
        subscriber.recv_timeout(Duration::from_millis(50)).unwrap()
    });
    let sample = first.expect("a track reaches the subscriber");
    assert_eq!(sample.key_expr().as_str(), "smgeo/uav1/track/7");
    assert_eq!(sample.encoding().to_string(), "application/json;smgeo.TrackV1");
    let record: TrackV1 = serde_json::from_slice(&sample.payload().to_bytes()).unwrap();
    assert_eq!((record.target, record.drone.as_str()), (7, "uav1"));
    tracks.send(Arc::new(track(8, TrackState::Searching, clock.as_ref()))).unwrap();
    stage.step().unwrap();
    let late = joined(&config.listen.as_ref().unwrap()[0]);
    let replies = late.get("smgeo/uav1/track/*").timeout(Duration::from_secs(2)).wait().unwrap();
    let mut keys: Vec<(String, u64)> = replies
        .iter()
        .filter_map(|reply| reply.into_result().ok())
        .map(|sample| {
            let record: TrackV1 = serde_json::from_slice(&sample.payload().to_bytes()).unwrap();
            (sample.key_expr().to_string(), record.sequence)
        })
        .collect();
    keys.sort();
    assert_eq!(keys, [("smgeo/uav1/track/7".to_owned(), sent), ("smgeo/uav1/track/8".to_owned(), sent + 1)]);
    assert_eq!(stage.counts().sent.load(Ordering::Relaxed), sent + 1);
}

#[test]
fn a_router_that_starts_later_is_found() {
    let clock = SystemClock::shared();
    let router = free_endpoint();
    let config =
        ZenohConfig { listen: Some(Vec::new()), connect: Some(vec![router.clone()]), ..ZenohConfig::default() };
    let sink = ZenohSink::open(&config, "uav1", clock.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 16, &clock);
    let mut config = Config::default();
    config.insert_json5("listen/endpoints", &format!("[\"{router}\"]")).unwrap();
    config.insert_json5("scouting/multicast/enabled", "false").unwrap();
    let late = ::zenoh::open(config).wait().unwrap();
    let subscriber = late.declare_subscriber("smgeo/uav1/track/*").wait().unwrap();
    let heard = (0..300).any(|_| {
        tracks.send(Arc::new(track(7, TrackState::Locked, clock.as_ref()))).unwrap();
        stage.step().unwrap();
        subscriber.recv_timeout(Duration::from_millis(50)).unwrap().is_some()
    });
    assert!(heard, "the bus was never joined");
}

#[test]
fn a_dropped_target_is_forgotten_by_the_bus() {
    let clock = HandClock::shared();
    let config = ZenohConfig { listen: Some(vec![free_endpoint()]), ..ZenohConfig::default() };
    let sink = ZenohSink::open(&config, "uav1", clock.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 16, &(clock.clone() as SharedClock));
    tracks.send(Arc::new(track(7, TrackState::Locked, clock.as_ref()))).unwrap();
    stage.step().unwrap();
    clock.advance(Duration::from_secs(31));
    stage.step().unwrap();
    let late = joined(&config.listen.as_ref().unwrap()[0]);
    let replies = late.get("smgeo/uav1/track/*").timeout(Duration::from_secs(2)).wait().unwrap();
    assert_eq!(replies.iter().count(), 0);
}

#[test]
fn a_bus_that_cannot_start_says_where() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = vec![format!("tcp/127.0.0.1:{}", taken.local_addr().unwrap().port())];
    let config = ZenohConfig { listen: Some(listen.clone()), ..ZenohConfig::default() };
    let error = ZenohSink::open(&config, "uav1", SystemClock::shared()).err().unwrap().to_string();
    assert!(error.contains(&listen[0]), "{error}");
    for name in ["", "a/b", "UAV", "a*", "drone 1", &"x".repeat(33)] {
        assert!(key_prefix(name).is_err(), "{name}");
    }
}

#[test]
fn endpoints_of_the_file_stand_where_no_key_gives_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zenoh.json5");
    let of_file = free_endpoint();
    let text =
        format!(r#"{{ listen: {{ endpoints: ["{of_file}"] }}, scouting: {{ multicast: {{ enabled: true }} }} }}"#);
    std::fs::write(&file, text).unwrap();
    let quiet =
        ZenohConfig { multicast_scouting: Some(false), config_file: Some(file.clone()), ..ZenohConfig::default() };
    let sink = ZenohSink::open(&quiet, "uav1", SystemClock::shared()).unwrap();
    assert!(std::net::TcpListener::bind(of_file.trim_start_matches("tcp/")).is_err(), "nobody listens there");
    drop(sink);
    let said = |config: &ZenohConfig, key: &str| bus_config(config).unwrap().get_json(key).unwrap();
    let by_file = ZenohConfig { config_file: Some(file.clone()), ..ZenohConfig::default() };
    assert_eq!(said(&by_file, "scouting/multicast/enabled"), "true");
    assert_eq!(said(&by_file, "connect/endpoints"), "[]");
    let by_key = ZenohConfig { listen: Some(vec![free_endpoint()]), ..by_file };
    assert_eq!(said(&by_key, "listen/endpoints"), format!("[\"{}\"]", by_key.listen.as_ref().unwrap()[0]));
    // What the file leaves open is no more open than without a file.
    std::fs::write(&file, "{}").unwrap();
    let open = ZenohConfig { config_file: Some(file), ..ZenohConfig::default() };
    for key in ["mode", "listen/endpoints", "scouting/multicast/enabled"] {
        assert_eq!(said(&open, key), said(&ZenohConfig::default(), key), "{key}");
    }
    assert_eq!(said(&open, "listen/endpoints"), r#"["tcp/127.0.0.1:7447"]"#);
}

#[test]
fn a_client_that_nothing_leads_to_a_router_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zenoh.json5");
    std::fs::write(&file, "{}").unwrap();
    let client = ZenohConfig { mode: Some(ZenohMode::Client), ..ZenohConfig::default() };
    let error = client.check().unwrap_err().to_string();
    assert!(error.contains("give connect"), "{error}");
    let alone = ZenohConfig { config_file: Some(file.clone()), ..client.clone() };
    assert!(alone.check().is_ok(), "the file may name one");
    assert!(matches!(ZenohSink::open(&alone, "uav1", SystemClock::shared()), Err(PublishError::NoRouter)));
    std::fs::write(&file, r#"{ connect: { endpoints: ["tcp/127.0.0.1:9"] } }"#).unwrap();
    assert!(alone.check_way(&bus_config(&alone).unwrap()).is_ok());
    for led in [
        ZenohConfig { connect: Some(vec!["tcp/127.0.0.1:9".to_owned()]), ..client.clone() },
        ZenohConfig { multicast_scouting: Some(true), ..client },
    ] {
        assert!(led.check().is_ok(), "{led:?}");
    }
}

#[test]
fn the_python_example_prints_what_is_published() {
    if !has_python_with("zenoh") {
        println!("skipped: the_python_example_prints_what_is_published needs python3 with eclipse-zenoh");
        return;
    }
    let clock = SystemClock::shared();
    let config = ZenohConfig { listen: Some(vec![free_endpoint()]), ..ZenohConfig::default() };
    let sink = ZenohSink::open(&config, "uav1", clock.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 16, &clock);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/subscribe.py");
    let reader = std::process::Command::new("python3")
        .args([example, "--connect", &config.listen.as_ref().unwrap()[0], "--drone", "uav1", "--seconds", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = std::thread::spawn(move || reader.wait_with_output().unwrap());
    while !waiting.is_finished() {
        tracks.send(Arc::new(track(7, TrackState::Locked, clock.as_ref()))).unwrap();
        stage.step().unwrap();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let output = waiting.join().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("smgeo/uav1/track/7") && printed.contains("47.120000 8.220000"), "{printed}");
}
