//! Links to a vehicle, and logs of one.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use serialport::{SerialPort, TTYPort};

use super::*;

fn loopback_link(signing: Option<&Signing>, clock: &SharedClock) -> Arc<Link> {
    Link::open("udpin:127.0.0.1:0", None, signing, clock.clone()).unwrap()
}

fn attitude_message() -> MavMessage {
    MavMessage::ATTITUDE(dialect::ATTITUDE_DATA { time_boot_ms: 5, yaw: 0.5, ..dialect::ATTITUDE_DATA::DEFAULT })
}

#[test]
fn a_link_takes_mavlink_counts_noise_and_answers_its_peer() {
    let clock = SystemClock::shared();
    let link = loopback_link(None, &clock);
    let to = format!("udpout:{}", link.local_address().unwrap());
    let vehicle = Link::open(&to, None, None, clock).unwrap();
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.send_to(b"not mavlink at all", link.local_address().unwrap()).unwrap();
    vehicle.send(1, 1, &attitude_message(), None);
    let (mut reader, mut received) = (link.reader(), Vec::new());
    for _ in 0..20 {
        reader.read(&mut received).unwrap();
        if !received.is_empty() {
            break;
        }
    }
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].header.system_id, 1);
    assert_eq!(link.counts().not_mavlink.load(std::sync::atomic::Ordering::Relaxed), 1);
    link.send(1, 100, &attitude_message(), None);
    let (mut reader, mut answered) = (vehicle.reader(), Vec::new());
    reader.read(&mut answered).unwrap();
    assert_eq!(answered[0].header.component_id, 100);
}

#[test]
fn a_serial_line_carries_mavlink_both_ways_and_noise_is_passed_over() {
    let (mut radio, line) = TTYPort::pair().unwrap();
    radio.set_timeout(Duration::from_secs(5)).unwrap();
    let address = format!("serial:{}:57600", line.name().unwrap());
    drop(line);
    let link = Link::open(&address, None, None, SystemClock::shared()).unwrap();
    let mut raw = MAVLinkV2MessageRaw::new();
    raw.serialize_message(MavHeader { system_id: 7, component_id: 1, sequence: 0 }, &attitude_message());
    radio.write_all(b"a radio that starts up").unwrap();
    radio.write_all(raw.raw_bytes()).unwrap();
    let (mut reader, mut received) = (link.reader(), Vec::new());
    for _ in 0..50 {
        reader.read(&mut received).unwrap();
        if !received.is_empty() {
            break;
        }
    }
    assert_eq!(received.iter().map(|received| received.header.system_id).collect::<Vec<_>>(), [7]);
    link.send(1, 100, &attitude_message(), None);
    let mut sent = vec![0; raw.raw_bytes().len()];
    radio.read_exact(&mut sent).unwrap();
    assert_eq!(parsed(&sent).1, attitude_message());
}

#[test]
fn a_serial_line_that_was_unplugged_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("radio");
    let plug = || {
        let (radio, line) = TTYPort::pair().unwrap();
        let _ = std::fs::remove_file(&device);
        std::os::unix::fs::symlink(line.name().unwrap(), &device).unwrap();
        radio
    };
    let first = plug();
    let link = Link::open(&format!("serial:{}:57600", device.display()), None, None, SystemClock::shared()).unwrap();
    let (mut reader, mut received) = (link.reader(), Vec::new());
    drop(first);
    assert!((0..50).any(|_| reader.read(&mut received).is_err()), "an unplugged line is an error");
    let mut second = plug();
    let mut raw = MAVLinkV2MessageRaw::new();
    raw.serialize_message(MavHeader { system_id: 7, component_id: 1, sequence: 0 }, &attitude_message());
    for _ in 0..50 {
        let _ = reader.read(&mut received);
        if !received.is_empty() {
            break;
        }
        second.write_all(raw.raw_bytes()).unwrap();
    }
    assert_eq!(received.first().map(|received| received.header.system_id), Some(7));
}

#[test]
fn a_serial_line_that_is_not_there_at_the_start_is_opened_once_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("radio");
    let address = format!("serial:{}:57600", device.display());
    let link = Link::prepare(&address, None, None, SystemClock::shared()).unwrap();
    let missing = link.connect().unwrap_err().to_string();
    assert!(missing.contains(&address), "{missing}");
    link.send(1, 100, &attitude_message(), None);
    assert_eq!(link.counts().send_errors.load(Ordering::Relaxed), 1);
    let (mut radio, line) = TTYPort::pair().unwrap();
    radio.set_timeout(Duration::from_secs(5)).unwrap();
    std::os::unix::fs::symlink(line.name().unwrap(), &device).unwrap();
    drop(line);
    link.connect().unwrap();
    link.send(1, 100, &attitude_message(), None);
    let mut magic = [0];
    radio.read_exact(&mut magic).unwrap();
    assert_eq!(magic, [0xFD]);
}

#[test]
fn a_signed_link_takes_no_unsigned_and_no_replayed_message() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "01".repeat(32)).unwrap();
    let signing = Signing { key_file, link_id: 1, allow_unsigned: false };
    let clock = SystemClock::shared();
    let link = loopback_link(Some(&signing), &clock);
    let here = link.local_address().unwrap();
    // A listener in between keeps a copy of the signed bytes, to send them again.
    let between = UdpSocket::bind("127.0.0.1:0").unwrap();
    let vehicle =
        Link::open(&format!("udpout:{}", between.local_addr().unwrap()), None, Some(&signing), clock.clone()).unwrap();
    vehicle.send(1, 1, &attitude_message(), None);
    let mut copy = [0; 512];
    let length = between.recv(&mut copy).unwrap();
    let unsigned = Link::open(&format!("udpout:{here}"), None, None, clock).unwrap();
    let mut reader = link.reader();
    let mut taken = |send: &dyn Fn()| {
        send();
        let mut received = Vec::new();
        reader.read(&mut received).unwrap();
        received.len()
    };
    assert_eq!(taken(&|| unsigned.send(1, 1, &attitude_message(), None)), 0);
    assert_eq!(taken(&|| drop(between.send_to(&copy[..length], here))), 1);
    assert_eq!(taken(&|| drop(between.send_to(&copy[..length], here))), 0, "replayed");
}

#[test]
fn a_wrong_address_says_how_to_write_one() {
    for address in ["14550", "udpin:", "tcp:1.2.3.4:5", "serial:/dev/ttyS0", "udpin:127.0.0.1:99999"] {
        assert!(Link::open(address, None, None, SystemClock::shared()).is_err(), "{address}");
    }
    let error = Link::open("tcp:h:1", None, None, SystemClock::shared()).err().unwrap();
    assert!(error.to_string().contains("udpin:HOST:PORT"), "{error}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udpin:{}", taken.local_addr().unwrap());
    let error = Link::open(&address, None, None, SystemClock::shared()).err().unwrap();
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_log_written_and_played_tells_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.ndjson");
    let clock = HandClock::shared();
    let start = clock.now();
    let shifted = |mut sample: Telemetry, second: f64| {
        sample.at = start.plus(Duration::from_secs_f64(second));
        sample
    };
    let view = Told::FieldOfView { horizontal_rad: 1.0, vertical_rad: None };
    let samples = [
        shifted(position(0.0, 5.0, 10.0), 0.1),
        shifted(gimbal(0.0, 33.0), 0.2),
        shifted(Telemetry { at: start, at_sigma: Duration::ZERO, told: view }, 0.3),
    ];
    let mut writer = LogWriter::create(&file, start).unwrap();
    samples.iter().for_each(|sample| writer.write(sample).unwrap());
    writer.flush().unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(16);
    let reader = LogReader::open(&file).unwrap();
    let mut player = LogPlayer::new(reader, clock.clone(), start, sender, Arc::default());
    clock.advance(Duration::from_millis(250));
    player.step().unwrap();
    let played: Vec<Telemetry> = receiver.try_iter().collect();
    assert_eq!(played.len(), 2, "the third is not due yet");
    for (sample, played) in samples.iter().zip(&played) {
        assert!(sample.at.seconds_after(played.at).abs() < 1e-6);
        // Sigma is not logged; angles pass through degrees.
        assert_eq!(format!("{:.6?}", played.told), format!("{:.6?}", sample.told));
    }
}

#[test]
fn a_damaged_line_is_named_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.ndjson");
    let lines = [
        r#"{"t_s": 0.0, "attitude": {"yaw_deg": 1, "pitch_deg": 2, "roll_deg": 3}}"#,
        r#"{"t_s": 0.1, "attitude": {"yaw_deg": 1, "pitch"#,
        r#"{"t_s": 0.2, "position": {"lat_deg": 95, "lon_deg": 0, "alt_msl_m": 1}}"#,
        r#"{"t_s": 0.3, "position": {"lat_deg": 5, "lon_deg": 0}}"#,
        r#"{"t_s": 0.4, "heading_deg": 5}"#,
        r#"{"t_s": -1}"#,
        r#"{"t_s": 0.5, "gimbal": {"yaw_deg": 1, "pitch_deg": -90}}"#,
    ];
    let mut written = std::fs::File::create(&file).unwrap();
    lines.iter().for_each(|line| writeln!(written, "{line}").unwrap());
    let mut reader = LogReader::open(&file).unwrap();
    let read: Vec<_> = std::iter::from_fn(|| reader.next_line()).collect();
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, false, false, false, true]);
    let error = read[3].as_ref().err().unwrap().to_string();
    assert!(error.contains("line 4") && error.contains("alt_msl_m"), "{error}");
}

#[test]
fn what_follows_any_number_of_damaged_lines_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.ndjson");
    let damaged = 2_000;
    let last = r#"{"t_s": 0.5, "attitude": {"yaw_deg": 1, "pitch_deg": 2, "roll_deg": 3}, "accuracy": {"horizontal_m": 1, "vertical_m": 2}}"#;
    std::fs::write(&file, "no telemetry\n".repeat(damaged) + last).unwrap();
    let clock = HandClock::shared();
    let (start, counts) = (clock.now(), Arc::<LogCounts>::default());
    // Room for one of the two that the last line tells.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let mut player = LogPlayer::new(LogReader::open(&file).unwrap(), clock.clone(), start, sender, counts.clone());
    clock.advance(Duration::from_secs(1));
    (0..10).for_each(|_| player.step().unwrap());
    assert!(player.has_ended());
    assert!(matches!(receiver.try_recv().unwrap().told, Told::Attitude { .. }));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as usize;
    let counted = [&counts.lines_refused, &counts.samples, &counts.channel_full].map(count);
    assert_eq!(counted, [damaged, 1, 1]);
}
