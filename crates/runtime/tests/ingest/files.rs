//! Recordings, sound and broken, and sources that are not there.

use super::*;

/// Encodes a clip of `frames` pictures and returns its path.
fn clip(folder: &Path, name: &str, caps: &str, frames: u32, muxer: &str) -> PathBuf {
    gst::init().unwrap();
    let path = folder.join(name);
    let description = format!(
        "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,format=I420,{caps} \
         ! x264enc key-int-max=15 speed-preset=ultrafast ! {muxer} ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(8), &kinds).expect("encoding ends");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    path
}

fn file(path: PathBuf, at_end: AtEnd) -> Config {
    Config::new(Source::File(FileSource { path, at_end }))
}

#[test]
fn a_recording_gives_every_frame_at_its_own_speed_and_then_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "clip.mp4", "width=320,height=240,framerate=30/1", 45, "mp4mux");
    let running = Running::start(file(path, AtEnd::Stop));
    let mut frames = Vec::new();
    while *running.view.state.borrow() != SourceState::Ended {
        frames.extend(running.frames.take(Duration::from_millis(20)));
    }
    frames.extend(running.frames.try_take());
    let superseded = running.count("frames_superseded") as usize;
    assert_eq!(frames.len() + superseded, 45);
    // Those that were superseded, the first perhaps among them, have their ids too.
    let (first, last) = (&frames[0], frames.last().unwrap());
    let periods = (last.id.0 - first.id.0) as f64;
    let played_s = last.captured.seconds_after(first.captured);
    assert!((played_s - periods / 30.0).abs() < 0.05, "{periods} frame periods took {played_s} s");
    assert!(frames.iter().all(|frame| frame.time_source == TimeSource::PtsArrival));
}

#[test]
fn a_recording_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "clip.mkv", "width=320,height=240,framerate=30/1", 10, "matroskamux");
    let running = Running::start(file(path, AtEnd::Repeat));
    let first = running.next();
    running.wait_for("25 frames", |_| running.count("frames_in") >= 25);
    assert!(running.next().captured > first.captured);
    assert!(running.count("connects") >= 3);
}

#[test]
fn what_is_no_video_is_lost_with_its_cause_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        std::fs::read(clip(folder.path(), "whole.mp4", "width=320,height=240,framerate=30/1", 30, "mp4mux")).unwrap();
    let made = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, causes) in [
        (folder.path().join("absent.mp4"), [LossCause::Unreachable, LossCause::Unreachable]),
        (made("truncated.mp4", &whole[..whole.len() / 2]), [LossCause::Broken, LossCause::Broken]),
        (made("empty.mp4", b""), [LossCause::Broken, LossCause::Broken]),
        (made("text.mp4", &b"not a video at all. ".repeat(500)), [LossCause::Broken, LossCause::Broken]),
    ] {
        let shown = path.display().to_string();
        let running = Running::start(file(path, AtEnd::Stop));
        running.wait_for(&shown, |state| matches!(state, SourceState::Lost { cause, .. } if causes.contains(cause)));
        running.wait_for(&shown, |_| running.count("connects") >= 2);
    }
}

#[test]
fn a_recording_that_breaks_off_gives_the_frames_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "clip.ts", "width=320,height=240,framerate=30/1", 60, "mpegtsmux");
    let whole = std::fs::read(&path).unwrap();
    let mut broken = whole[..whole.len() * 2 / 3].to_vec();
    // Damage in the middle, too.
    for byte in broken.iter_mut().skip(whole.len() / 3).take(400) {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, broken).unwrap();
    let running = Running::start(file(path, AtEnd::Stop));
    running.wait_for("its end", |state| !matches!(state, SourceState::Connecting | SourceState::Live { .. }));
    let frames_in = running.count("frames_in");
    assert!((10..60).contains(&frames_in), "{frames_in} frames");
}

#[test]
fn pixels_that_are_not_square_are_made_so() {
    let folder = tempfile::tempdir().unwrap();
    let caps = "width=360,height=288,pixel-aspect-ratio=16/15,framerate=30/1";
    let path = clip(folder.path(), "anamorphic.mkv", caps, 30, "matroskamux");
    let running = Running::start(file(path, AtEnd::Repeat));
    let frame = running.next();
    assert_eq!(f64::from(frame.width_px) / f64::from(frame.height_px), 4.0 / 3.0, "{frame:?}");
}

#[test]
fn an_absurd_size_is_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "wide.mkv", "width=9000,height=16,framerate=30/1", 5, "matroskamux");
    let running = Running::start(file(path, AtEnd::Stop));
    running.wait_for("the refusals", |_| running.count("frames_refused") + running.count("lost_broken") > 0);
    assert_eq!(running.count("frames_in"), 0);
}

/// Waits for the first loss and returns what is said of it.
fn loss(source: Source) -> String {
    let running = Running::start(Config::new(source));
    running.wait_for("lost", |state| matches!(state, SourceState::Lost { .. }));
    match &*running.view.state.borrow() {
        SourceState::Lost { detail, .. } => detail.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loss_names_the_file_the_port_or_the_host_and_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.mp4");
    let said = loss(Source::File(FileSource { path: path.clone(), at_end: AtEnd::Stop }));
    assert!(said.starts_with(&path.display().to_string()) && said.contains("No such file"), "{said}");

    let taken = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = loss(Source::Udp(port));
    assert!(said.starts_with(&format!("UDP port {port}: ")) && said.contains("already in use"), "{said}");

    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = loss(Source::Uri(format!("rtsp://pilot:secret@127.0.0.1:{port}/main")));
    assert!(said.starts_with(&format!("rtsp://127.0.0.1:{port}: ")) && said.contains("onnect"), "{said}");
    assert!(!said.contains("pilot") && !said.contains("secret"), "{said}");
}

#[test]
fn nobody_there_is_said_within_a_second_and_tried_again() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = Running::start(Config::new(Source::Uri(format!("rtsp://127.0.0.1:{port}/main"))));
    let lost = |state: &SourceState| matches!(state, SourceState::Lost { cause: LossCause::Unreachable, .. });
    assert!(running.wait_for("lost", lost) < Duration::from_secs(1));
    running.wait_for("three attempts", |_| running.count("connects") >= 3);
}
