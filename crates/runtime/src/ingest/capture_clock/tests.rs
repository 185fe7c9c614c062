//! Capture times, frame by frame: of honest senders, late ones and wrong ones.

use super::*;

const MS: i64 = 1_000_000;
const FRAME_MS: i64 = 33;
const BEGIN_MS: i64 = 3_600_000;

fn clock() -> CaptureClock {
    CaptureClock::new(Trust {
        capture_delay: Duration::from_millis(60),
        pts_sigma: Duration::from_millis(60),
        sender_sigma: Duration::from_millis(10),
        sender_age_max: Duration::from_secs(2),
    })
}

fn stamp(ms: i64) -> Stamp {
    Stamp::from_ns((ms * MS) as u64)
}

/// A frame that arrives at `at_ms` with presentation time `pts_ms`, 5 ms under way inside the process.
fn frame(at_ms: i64, pts_ms: i64, sender_age_ms: Option<i64>) -> Arrival {
    Arrival {
        at: stamp(at_ms),
        running_ns: Some(pts_ms * MS),
        running_now_ns: Some((pts_ms + 5) * MS),
        sender: sender_age_ms.map(|age_ms| stamp(at_ms - age_ms)),
        wall_origin_us: 0,
    }
}

#[test]
fn the_senders_time_is_taken_when_it_is_possible() {
    for (age_ms, source, captured_age_ms) in [
        (Some(40), TimeSource::Ntp, 40),
        (Some(-20), TimeSource::Ntp, 0),
        (Some(3_600_000), TimeSource::PtsArrival, 65),
        (Some(-3_600_000), TimeSource::PtsArrival, 65),
        (None, TimeSource::PtsArrival, 65),
    ] {
        let time = clock().capture_time(frame(BEGIN_MS, 0, age_ms));
        assert_eq!((time.source, time.captured), (source, stamp(BEGIN_MS - captured_age_ms)), "{age_ms:?}");
        assert_eq!(time.sender_refused, age_ms.is_some() && source != TimeSource::Ntp);
    }
}

#[test]
fn video_that_is_late_from_the_first_is_as_uncertain_as_it_may_be_late() {
    for (age_ms, sigma_ms) in [(2_500, 2_435), (59_000, 58_935), (61_000, 60), (-3_000, 60)] {
        let time = clock().capture_time(frame(BEGIN_MS, 0, Some(age_ms)));
        assert_eq!((time.source, time.sigma), (TimeSource::PtsArrival, Duration::from_millis(sigma_ms)), "{age_ms}");
        assert!(time.sender_refused);
    }
    let ignoring = Trust { sender_age_max: Duration::ZERO, ..clock().trust };
    let time = CaptureClock::new(ignoring).capture_time(frame(BEGIN_MS, 0, Some(2_500)));
    assert_eq!((time.source, time.sigma), (TimeSource::PtsArrival, Duration::from_millis(60)));
}

#[test]
fn capture_time_only_grows_when_the_first_sender_report_says_the_frames_are_older() {
    let mut clock = clock();
    let mut before = Stamp::default();
    for index in 0..60 {
        let at_ms = BEGIN_MS + index * FRAME_MS;
        let time = clock.capture_time(frame(at_ms, index * FRAME_MS, (index >= 5).then_some(400)));
        assert!(time.captured > before && time.captured <= stamp(at_ms), "frame {index}: {time:?}");
        if index >= 5 {
            let error_ms = time.captured.seconds_after(stamp(at_ms - 400)) * 1e3;
            assert!(error_ms <= time.sigma.as_secs_f64() * 1e3, "frame {index} is {error_ms} ms off: {time:?}");
        }
        before = time.captured;
    }
    let settled = clock.capture_time(frame(BEGIN_MS + 60 * FRAME_MS, 60 * FRAME_MS, Some(400)));
    assert_eq!(settled.captured, stamp(BEGIN_MS + 60 * FRAME_MS - 400));
}

#[test]
fn a_first_report_that_is_wrong_is_within_its_sigma() {
    // The pictures are 65 ms old in truth; the first report says anything up to two seconds, the next is right.
    for wrong_ms in [-30, 200, 900, 1_900] {
        let mut clock = clock();
        for index in 0..30 {
            let at_ms = BEGIN_MS + index * FRAME_MS;
            let told_ms = if index < 15 { wrong_ms } else { 65 };
            let time = clock.capture_time(frame(at_ms, index * FRAME_MS, Some(told_ms)));
            let error_ms = time.captured.seconds_after(stamp(at_ms - 65)).abs() * 1e3;
            let sigma_ms = time.sigma.as_secs_f64() * 1e3;
            assert!(error_ms <= 1.1 * sigma_ms, "{wrong_ms}, frame {index}: {error_ms} ms off, sigma {sigma_ms}");
        }
    }
}

#[test]
fn a_sender_report_unlike_the_others_widens_the_sigma_until_it_has_been_confirmed() {
    let mut clock = clock();
    let mut at = |index: i64, age_ms: i64| {
        clock.capture_time(frame(BEGIN_MS + index * FRAME_MS, index * FRAME_MS, Some(age_ms))).sigma
    };
    let trial = 1 + (TRIAL_NS / (FRAME_MS * MS));
    assert_eq!(at(0, 40), Duration::from_millis(60), "the first reports are on trial");
    assert_eq!((1..=trial).map(|index| at(index, 40)).last(), Some(Duration::from_millis(10)));
    assert!(at(trial + 1, 15) >= Duration::from_millis(22));
    let sigmas: Vec<_> = (trial + 2..2 * trial + 2).map(|index| at(index, 15)).collect();
    assert!(sigmas.is_sorted_by(|a, b| a >= b));
    assert_eq!(sigmas.last(), Some(&Duration::from_millis(10)));
}

#[test]
fn video_that_comes_to_be_seconds_late_is_as_old_as_its_sender_says() {
    let mut clock = clock();
    let at = |index: i64| BEGIN_MS + index * FRAME_MS;
    let trial = 1 + (TRIAL_NS / (FRAME_MS * MS));
    for index in 0..=trial {
        clock.capture_time(frame(at(index), index * FRAME_MS, Some(40)));
    }
    // The link holds back ever more: the sender's clock and presentation time still agree.
    for (index, late_ms) in (trial + 1..trial + 200).zip((0..4_000).step_by(20)) {
        let arrived_ms = at(index) + late_ms;
        let time = clock.capture_time(frame(arrived_ms, index * FRAME_MS, Some(40 + late_ms)));
        assert_eq!((time.source, time.captured), (TimeSource::Ntp, stamp(at(index) - 40)), "{late_ms} ms late");
    }
}

#[test]
fn a_step_of_our_own_wall_clock_moves_nothing_and_widens_the_sigma_for_good() {
    let mut clock = clock();
    let mut at = |index: i64, step_ms: i64| {
        let at_ms = BEGIN_MS + index * FRAME_MS;
        // Our clock is put forward: what the sender says now seems to lie further back.
        let arrival = frame(at_ms, index * FRAME_MS, Some(40 + step_ms));
        let time = clock.capture_time(Arrival { wall_origin_us: step_ms * 1_000, ..arrival });
        assert_eq!(time.captured, stamp(at_ms - 40), "frame {index}");
        time.sigma
    };
    let trial = 1 + (TRIAL_NS / (FRAME_MS * MS));
    assert_eq!((0..=trial).map(|index| at(index, 0)).last(), Some(Duration::from_millis(10)));
    let after = (trial + 1..3 * trial).map(|index| at(index, 800)).min();
    assert_eq!(after, Some(Duration::from_millis(810)));
}

#[test]
fn a_wall_clock_that_is_set_at_last_lets_the_sender_be_believed() {
    let mut clock = clock();
    let unset = clock.capture_time(frame(BEGIN_MS, 0, Some(3_600_000)));
    let set = Arrival { wall_origin_us: -3_600_000_000, ..frame(BEGIN_MS + FRAME_MS, FRAME_MS, Some(40)) };
    assert_eq!((unset.source, clock.capture_time(set).source), (TimeSource::PtsArrival, TimeSource::Ntp));
}

#[test]
fn no_jump_of_presentation_time_makes_a_negative_or_an_absurd_age() {
    for jump_ms in [-100_000, -2_000, -40, 40, 2_000, 100_000, 95_443_718] {
        let mut clock = clock();
        for index in 0..30 {
            let at_ms = BEGIN_MS + index * FRAME_MS;
            let pts_ms = 200_000 + index * FRAME_MS + if index >= 15 { jump_ms } else { 0 };
            let running_now_ms = 200_000 + index * FRAME_MS + 5;
            let arrival = Arrival { running_now_ns: Some(running_now_ms * MS), ..frame(at_ms, pts_ms, None) };
            let time = clock.capture_time(arrival);
            let age_ms = stamp(at_ms).seconds_after(time.captured) * 1e3;
            assert!((0.0..=2_100.0).contains(&age_ms), "jump {jump_ms}, frame {index}: age {age_ms} ms");
        }
    }
}

#[test]
fn with_no_presentation_time_the_arrival_is_all_there_is() {
    let arrival = Arrival { running_ns: None, ..frame(BEGIN_MS, 0, None) };
    let time = clock().capture_time(arrival);
    assert_eq!((time.source, time.captured), (TimeSource::Arrival, stamp(BEGIN_MS - 60)));
    assert!(time.sigma > Duration::from_millis(100));
}
