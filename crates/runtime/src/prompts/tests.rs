//! Every way to ask, and every way to be refused.

use std::sync::Arc;

use smgeo_flow::{Clock, HandClock};

use super::*;

struct Bench {
    clock: Arc<HandClock>,
    frames: FrameIndex,
    metrics: Metrics,
    set: watch::Receiver<PromptSet>,
    prompts: Addr<Prompts>,
}

const FRAME: FrameId = FrameId(100);

impl Bench {
    fn new() -> Self {
        let clock = HandClock::shared();
        let (frames, metrics) = (FrameIndex::new(), Metrics::new());
        let (sender, set) = watch::channel(PromptSet::default());
        let config = PromptsConfig { targets_max: 3, ..PromptsConfig::default() };
        let prompts = Prompts::new(config, clock.clone(), frames.clone(), metrics.clone(), sender).start();
        Self { clock, frames, metrics, set, prompts }
    }

    fn with_video() -> Self {
        let bench = Self::new();
        bench.show(FRAME);
        bench
    }

    fn show(&self, id: FrameId) {
        let captured = self.clock.now();
        self.frames.note(SeenFrame { id, captured, width_px: 1280, height_px: 720, frozen: false });
    }

    async fn click(&self, frame: FrameId, x: f64, y: f64) -> Result<Prompt, PromptError> {
        self.prompts.send(Follow { frame, click: Pixel::new(x, y), label: None }).await.unwrap()
    }
}

#[actix_rt::test]
async fn a_click_makes_a_target_in_the_frame_that_was_seen() {
    let bench = Bench::with_video();
    let captured = bench.clock.now();
    bench.clock.advance(Duration::from_millis(400));
    bench.show(FrameId(110));
    let label = Some("  red lorry ".to_owned());
    let follow = Follow { frame: FRAME, click: Pixel::new(640.5, 20.0), label };
    let prompt = bench.prompts.send(follow).await.unwrap().unwrap();
    assert_eq!((prompt.target, prompt.revision, prompt.frame), (TargetId(1), 1, FRAME));
    assert_eq!((prompt.frame_captured, prompt.source), (captured, PromptSource::Exact));
    assert_eq!(prompt.label.as_deref(), Some("red lorry"));
    let set = bench.set.borrow().clone();
    assert_eq!((set.revision, set.targets.len()), (1, 1));
    assert_eq!(bench.metrics.items("prompts", "accepted").get(), 1);
}

#[actix_rt::test]
async fn a_frozen_camera_cannot_be_clicked() {
    let bench = Bench::with_video();
    let captured = bench.clock.now();
    bench.frames.note(SeenFrame { id: FrameId(101), captured, width_px: 1280, height_px: 720, frozen: true });
    let refused = bench.click(FrameId(101), 20.0, 20.0).await.unwrap_err();
    assert_eq!(refused.code(), "video_frozen", "{refused}");
    assert!(bench.set.borrow().targets.is_empty());
}

#[actix_rt::test]
async fn a_click_that_cannot_be_placed_is_refused_and_changes_nothing() {
    let bench = Bench::with_video();
    let cases = [
        (FRAME, -0.1, 20.0, "outside_frame"),
        (FRAME, 1280.0, 20.0, "outside_frame"),
        (FRAME, 20.0, 720.0, "outside_frame"),
        (FRAME, f64::NAN, 20.0, "outside_frame"),
        (FRAME, f64::INFINITY, 20.0, "outside_frame"),
        (FrameId(101), 20.0, 20.0, "frame_unknown"),
        (FrameId(99), 20.0, 20.0, "frame_gone"),
    ];
    for (frame, x, y, code) in cases {
        let refused = bench.click(frame, x, y).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(bench.metrics.errors("prompts", code).get() > 0);
    }
    assert!(bench.set.borrow().targets.is_empty());
}

#[actix_rt::test]
async fn a_frame_long_gone_cannot_be_clicked_even_while_it_is_in_the_ring() {
    let bench = Bench::with_video();
    bench.clock.advance(Duration::from_secs(5));
    assert!(bench.click(FRAME, 20.0, 20.0).await.is_ok());
    bench.clock.advance(Duration::from_millis(1));
    let refused = bench.click(FRAME, 20.0, 20.0).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "frame 100 is gone: frames can be clicked for 5 s, the newest is 100; click on the live picture"
    );
}

#[actix_rt::test]
async fn without_video_nothing_can_be_clicked() {
    let bench = Bench::new();
    assert_eq!(bench.click(FRAME, 20.0, 20.0).await.unwrap_err(), PromptError::NoVideo);
}

#[actix_rt::test]
async fn the_limit_of_targets_holds_until_one_is_deleted_and_ids_are_never_used_twice() {
    let bench = Bench::with_video();
    for _ in 0..3 {
        bench.click(FRAME, 20.0, 20.0).await.unwrap();
    }
    assert_eq!(bench.click(FRAME, 20.0, 20.0).await.unwrap_err(), PromptError::TooMany { limit: 3 });
    bench.prompts.send(Delete { target: TargetId(3) }).await.unwrap().unwrap();
    assert_eq!(bench.click(FRAME, 20.0, 20.0).await.unwrap().target, TargetId(4));
}

#[actix_rt::test]
async fn moving_a_target_makes_a_new_revision_and_renaming_does_not() {
    let bench = Bench::with_video();
    let target = bench.click(FRAME, 20.0, 20.0).await.unwrap().target;
    bench.show(FrameId(130));
    let (click, renamed) = (Some((FrameId(130), Pixel::new(30.0, 40.0))), Some(Some("tank".to_owned())));
    let moved = bench.prompts.send(Change { target, click, label: None }).await.unwrap().unwrap();
    assert_eq!((moved.revision, moved.frame, moved.click.x), (2, FrameId(130), 30.0));
    let renamed = bench.prompts.send(Change { target, click: None, label: renamed }).await.unwrap().unwrap();
    assert_eq!((renamed.revision, renamed.label.as_deref()), (2, Some("tank")));
    assert_eq!(bench.prompts.send(List).await.unwrap().targets[0].label.as_deref(), Some("tank"));
}

#[actix_rt::test]
async fn a_change_of_place_and_name_is_made_whole_or_not_at_all() {
    let bench = Bench::with_video();
    let target = bench.click(FRAME, 20.0, 20.0).await.unwrap().target;
    let name = |name: &str| Some(Some(name.to_owned()));
    for (x, label, code) in [(30.0, name("two\nlines"), "bad_label"), (-1.0, name("tank"), "outside_frame")] {
        let change = Change { target, click: Some((FRAME, Pixel::new(x, 40.0))), label };
        assert_eq!(bench.prompts.send(change).await.unwrap().unwrap_err().code(), code);
        let kept = bench.set.borrow().targets[0].clone();
        assert_eq!((kept.revision, kept.click.x, kept.label), (1, 20.0, None), "{code}");
    }
    let change = Change { target, click: Some((FRAME, Pixel::new(30.0, 40.0))), label: name("tank") };
    let changed = bench.prompts.send(change).await.unwrap().unwrap();
    assert_eq!((changed.revision, changed.click.x, changed.label.as_deref()), (2, 30.0, Some("tank")));
    assert_eq!(bench.set.borrow().revision, 2, "both in one step");
}

#[actix_rt::test]
async fn what_is_not_followed_can_be_neither_moved_nor_renamed_nor_deleted() {
    let bench = Bench::with_video();
    bench.click(FRAME, 20.0, 20.0).await.unwrap();
    let target = TargetId(9);
    let answers = [
        bench.prompts.send(Change { target, click: Some((FRAME, Pixel::new(1.0, 1.0))), label: None }).await.unwrap(),
        bench.prompts.send(Change { target, click: None, label: Some(None) }).await.unwrap(),
        bench.prompts.send(Delete { target }).await.unwrap(),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().to_string(), "target 9 is not followed; followed now: 1");
    }
}

#[actix_rt::test]
async fn a_label_that_cannot_be_shown_is_refused() {
    let bench = Bench::with_video();
    for label in ["x".repeat(65), "two\nlines".to_owned()] {
        let follow = Follow { frame: FRAME, click: Pixel::new(1.0, 1.0), label: Some(label) };
        assert_eq!(bench.prompts.send(follow).await.unwrap().unwrap_err(), PromptError::BadLabel { limit: 64 });
    }
}

#[actix_rt::test]
async fn a_point_without_a_frame_lands_on_the_frame_shown_then_and_says_so() {
    let bench = Bench::with_video();
    bench.clock.advance(Duration::from_millis(200));
    bench.show(FrameId(106));
    bench.clock.advance(Duration::from_millis(50));
    let point = FollowPoint {
        fraction: [0.5, 1.0],
        shown_ago: ShownAgo { mean: Duration::from_millis(150), sigma: Duration::from_millis(50) },
        label: None,
        instead_of: None,
    };
    let prompt = bench.prompts.send(point.clone()).await.unwrap().unwrap();
    assert_eq!((prompt.frame, prompt.source), (FRAME, PromptSource::AssumedFrame));
    assert_eq!((prompt.click.x, prompt.click.y), (640.0, 719.5));
    let again = FollowPoint { instead_of: Some(prompt.target), ..point.clone() };
    // Where no more targets are taken, one may still take another's place.
    while bench.click(FRAME, 20.0, 20.0).await.is_ok() {}
    let moved = bench.prompts.send(again).await.unwrap().unwrap();
    let followed: Vec<_> = bench.prompts.send(List).await.unwrap().targets.iter().map(|prompt| prompt.target).collect();
    assert!(followed.contains(&moved.target) && !followed.contains(&prompt.target), "{followed:?}");
    let outside = FollowPoint { fraction: [f64::NAN, 0.5], ..point };
    assert_eq!(bench.prompts.send(outside).await.unwrap().unwrap_err().code(), "outside_picture");
}
