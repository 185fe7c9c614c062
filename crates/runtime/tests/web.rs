//! The interface over real loopback ports, as a client meets it.

mod harness;

use std::time::Duration;

use bytes::Bytes;
use harness::Harness;
use harness::client::{Socket, get, raw, request, send};
use serde_json::json;
use smgeo_runtime::web::{WebConfig, WebError};

#[actix_rt::test]
async fn a_target_is_made_shown_moved_renamed_and_deleted() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    let body = json!({ "frame": 100, "x": 320.5, "y": 20.0, "label": "lorry" });

    let made = send(&server.address, "POST", "/api/v1/targets", &body).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/api/v1/targets/1")));
    let target = made.json();
    assert_eq!((&target["target"], &target["frame"], &target["x"]), (&json!(1), &json!(100), &json!(320.5)));
    assert_eq!((&target["source"], &target["label"]), (&json!("exact"), &json!("lorry")));
    assert_eq!(get(&server.address, "/api/v1/targets/1").await.json(), target);

    server.show(101, false, Bytes::new());
    let moved = json!({ "frame": 101, "x": 10.0, "y": 30.0, "label": null });
    let moved = send(&server.address, "PATCH", "/api/v1/targets/1", &moved).await.json();
    assert_eq!((&moved["revision"], &moved["frame"], moved.get("label")), (&json!(2), &json!(101), None));
    let named = send(&server.address, "PATCH", "/api/v1/targets/1", &json!({ "label": "tank" })).await.json();
    assert_eq!((&named["revision"], &named["label"]), (&json!(2), &json!("tank")));

    assert_eq!(get(&server.address, "/api/v1/targets").await.json()["targets"].as_array().unwrap().len(), 1);
    assert_eq!(request(&server.address, "DELETE", "/api/v1/targets/1", &[], "").await.status, 200);
    assert_eq!(get(&server.address, "/api/v1/targets").await.json()["targets"], json!([]));
}

/// Is a request (method, path, headers, body) with the status and the code it is refused with.
type Refusal<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], String, u16, &'a str);

#[actix_rt::test]
async fn what_cannot_be_done_is_refused_with_a_word_and_a_sentence() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    let json = [("content-type", "application/json")];
    let cases: [Refusal; 17] = [
        ("POST", "/api/v1/targets", &json, "{\"frame\": 100, \"x\": 1".into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &json, "".into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &json, "[1, 2]".into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": 100, "x": "left", "y": 2}"#.into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": -1, "x": 1, "y": 2}"#.into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": 100, "x": 1, "y": 2, "z": 3}"#.into(), 400, "malformed"),
        ("POST", "/api/v1/targets", &[], r#"{"frame": 100, "x": 1, "y": 2}"#.into(), 415, "content_type"),
        ("POST", "/api/v1/targets", &json, format!("{:17000}", "{}"), 413, "too_large"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": 100, "x": 640, "y": 2}"#.into(), 422, "outside_frame"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": 7, "x": 1, "y": 2}"#.into(), 409, "frame_gone"),
        ("POST", "/api/v1/targets", &json, r#"{"frame": 200, "x": 1, "y": 2}"#.into(), 409, "frame_unknown"),
        ("PATCH", "/api/v1/targets/9", &json, r#"{"label": "x"}"#.into(), 404, "unknown_target"),
        ("PATCH", "/api/v1/targets/9", &json, "{}".into(), 400, "malformed"),
        ("PATCH", "/api/v1/targets/9", &json, r#"{"frame": 100}"#.into(), 400, "malformed"),
        ("DELETE", "/api/v1/targets/9", &[], "".into(), 404, "unknown_target"),
        ("GET", "/api/v1/targets/nine", &[], "".into(), 404, "bad_path"),
        ("PUT", "/api/v1/targets", &json, "{}".into(), 405, "wrong_method"),
    ];
    for (method, path, headers, body, status, code) in &cases {
        let answer = request(&server.address, method, path, headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{method} {path} {}", answer.text());
        assert!(answer.json()["error"]["message"].as_str().unwrap().len() > 10);
    }
    let refused = |code: &str| cases.iter().filter(|case| case.5 == code).count() as u64;
    for code in ["malformed", "content_type", "too_large", "bad_path", "wrong_method", "frame_gone", "unknown_target"] {
        assert_eq!(server.metrics.errors("web", code).get(), refused(code), "{code}");
    }
    assert!(server.prompt_set.borrow().targets.is_empty());
    let missing = get(&server.address, "/nothing/../here").await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "no_such_path"));
    for path in ["/healthz", "/api/v1/state", "/tiles/15/17000/11000", "/ws"] {
        let answer = request(&server.address, "POST", path, &[], "").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "wrong_method"), "{path}");
    }
    let counted = ["no_such_path", "wrong_method"].map(|code| server.metrics.errors("web", code).get());
    assert_eq!(counted, [1, 5]);
}

#[actix_rt::test]
async fn a_foreign_page_and_a_foreign_name_are_turned_away_from_everything() {
    let server = Harness::start();
    let port = server.address.rsplit(':').next().unwrap();
    let (ours, theirs) = (format!("http://{}", server.address), format!("evil.example:{port}"));
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for path in ["/", "/api/v1/targets", "/healthz", "/metrics", "/ws", "/ws/video", "/tiles/14/1/1"] {
        let foreign_name = request(&server.address, "GET", path, &[("host", &theirs)], "").await;
        assert_eq!((foreign_name.status, foreign_name.code().as_str()), (421, "foreign_host"), "{path}");
        let headers = [&upgrade[..], &[("origin", "http://evil.example")]].concat();
        let foreign_page = request(&server.address, "GET", path, &headers, "").await;
        assert_eq!((foreign_page.status, foreign_page.code().as_str()), (403, "foreign_origin"), "{path}");
    }
    let own_page = request(&server.address, "GET", "/api/v1/targets", &[("origin", &ours)], "").await;
    assert_eq!(own_page.status, 200);
    assert!(own_page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(server.metrics.errors("web", "foreign_host").get(), 7);
}

#[actix_rt::test]
async fn only_loopback_is_listened_on_and_a_port_in_use_says_the_way_out() {
    let server = Harness::start();
    let taken = WebConfig { listen: server.address.parse().unwrap(), ..WebConfig::default() };
    let error = server.second(taken).err().unwrap();
    assert!(matches!(error, WebError::PortInUse { .. }), "{error}");
    let port = server.address.rsplit(':').next().unwrap();
    assert!(error.to_string().contains(&format!("port {port} of 127.0.0.1 is in use")), "{error}");
    let exposed = WebConfig { listen: ([0, 0, 0, 0], 0).into(), ..WebConfig::default() };
    assert!(matches!(server.second(exposed), Err(WebError::Exposed { .. })));
}

#[actix_rt::test]
async fn tiles_come_as_they_are_stored_and_a_broken_one_is_named() {
    let server = Harness::start();
    for (path, status, code) in [
        ("/tiles/15/17000/11000", 200, ""),
        ("/tiles/3/1/1", 404, "no_such_tile"),
        ("/tiles/3/8/1", 404, "no_such_tile"),
        ("/tiles/99/1/1", 404, "no_such_tile"),
        ("/tiles/13/1/2", 502, "bad_tile"),
        ("/tiles/a/1/2", 404, "bad_path"),
        ("/tiles/-1/1/2", 404, "bad_path"),
    ] {
        let answer = get(&server.address, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!((answer.header("content-type"), &answer.body[1..4]), (Some("image/png"), &b"PNG"[..]));
        } else {
            assert_eq!(answer.code(), code, "{path}");
        }
    }
}

#[actix_rt::test]
async fn health_is_503_until_every_part_works_and_names_what_does_not() {
    let server = Harness::start();
    let camera = server.health.part("camera");
    for (report, status, level) in [("starting", 503, "starting"), ("ok", 200, "ok"), ("lost", 503, "degraded")] {
        match report {
            "ok" => camera.ok(),
            "lost" => camera.degraded("no frame for 2 s: check the cable"),
            _ => {}
        }
        let answer = get(&server.address, "/healthz").await;
        assert_eq!((answer.status, answer.json()["level"].as_str().unwrap().to_owned()), (status, level.to_owned()));
    }
    let causes = get(&server.address, "/healthz").await.json()["causes"].clone();
    assert_eq!(causes, json!(["camera: no frame for 2 s: check the cable"]));
    server.metrics.drops("frames", "superseded").inc();
    let metrics = get(&server.address, "/metrics").await.text();
    assert!(metrics.contains("smgeo_drops_total{cause=\"superseded\",edge=\"frames\"} 1"), "{metrics}");
}

#[actix_rt::test]
async fn the_state_names_the_vehicle_once_it_is_known() {
    let server = Harness::start();
    assert!(get(&server.address, "/api/v1/state").await.json().get("vehicle").is_none());
    server.vehicle.send_replace(Some(7));
    assert_eq!(get(&server.address, "/api/v1/state").await.json()["vehicle"], json!({ "system_id": 7 }));
}

#[actix_rt::test]
async fn every_key_of_the_state_stands_in_the_documentation() {
    let server = Harness::start();
    server.vehicle.send_replace(Some(1));
    server.show(100, true, Bytes::new());
    server.fly();
    server.health.part("camera").degraded("no frame for 2 s");
    let documented = include_str!("../../../docs/api.md");
    let mut values = vec![get(&server.address, "/api/v1/state").await.json()];
    while let Some(value) = values.pop() {
        for (key, _) in value.as_object().into_iter().flatten() {
            let is_named = [format!("`{key}`"), format!("\"{key}\"")].iter().any(|name| documented.contains(name));
            assert!(is_named, "docs/api.md does not have {key}");
        }
        let inner = value.as_object().into_iter().flat_map(|object| object.values().cloned());
        values.extend(inner.chain(value.as_array().into_iter().flatten().cloned()));
    }
}

#[actix_rt::test]
async fn a_snapshot_names_its_frame() {
    let server = Harness::start();
    assert_eq!(get(&server.address, "/api/v1/snapshot.jpg").await.code(), "no_video");
    server.show_picture(77);
    let answer = get(&server.address, "/api/v1/snapshot.jpg").await;
    assert_eq!((answer.status, answer.header("x-smgeo-frame")), (200, Some("77")));
    let picture = image::load_from_memory(&answer.body).unwrap();
    assert_eq!((picture.width(), picture.height()), (640, 360));
}

#[actix_rt::test]
async fn a_heat_map_comes_with_its_place_and_goes_with_its_target() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    send(&server.address, "POST", "/api/v1/targets", &json!({ "frame": 100, "x": 1, "y": 2 })).await;
    assert_eq!(get(&server.address, "/api/v1/heatmap/1").await.code(), "no_heatmap");
    server.answer(1, Duration::ZERO);

    let place = get(&server.address, "/api/v1/heatmap/1").await.json();
    let corners = place["corners_deg"].as_array().unwrap();
    assert!(corners[0][0].as_f64() < corners[2][0].as_f64() && corners[0][1].as_f64() > corners[2][1].as_f64());
    let png = get(&server.address, place["png"].as_str().unwrap()).await;
    let picture = image::load_from_memory(&png.body).unwrap().to_rgba8();
    let most = picture.enumerate_pixels().max_by_key(|(_, _, pixel)| pixel.0[3]).map(|(x, y, _)| (x, y));
    assert_eq!((picture.dimensions(), most), ((8, 8), Some((3, 3))));

    request(&server.address, "DELETE", "/api/v1/targets/1", &[], "").await;
    server.until("the heat map is forgotten", || server.heat.get(1).is_none()).await;
}

#[actix_rt::test]
async fn a_live_client_clicks_and_hears_targets_tracks_and_state() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    server.fly();
    let mut socket = Socket::open(&server.address, "/ws").await;
    assert_eq!(socket.hear("targets").await["targets"], json!([]));
    let state = socket.hear("state").await["state"].clone();
    assert_eq!((&state["drone"], &state["video"]["frame"]), (&json!("kestrel-1"), &json!(100)));
    assert_eq!(state["pose"]["footprint"].as_array().unwrap().len(), 4);

    socket.say(&json!({ "type": "follow", "id": 5, "frame": 100, "x": 64, "y": 36 })).await;
    let answer = socket.hear("answer").await;
    assert_eq!((&answer["id"], &answer["ok"], &answer["target"]["target"]), (&json!(5), &json!(true), &json!(1)));
    let prompt = server.prompt_set.borrow().targets[0].clone();
    server.publish_late(&prompt, 1, Duration::from_secs(5));
    let late = socket.hear("track").await;
    assert!(late["age_ms"].as_f64().unwrap() >= 5_080.0, "a track that waited for its turn is as old as it is");
    assert_eq!((&late["track"]["target"], &late["stale"]), (&json!(1), &json!(true)));
    server.publish(&prompt, 2);
    let track = socket.hear("track").await;
    assert_eq!((&track["track"]["sequence"], &track["stale"]), (&json!(2), &json!(false)));
    assert!(track["age_ms"].as_f64().unwrap() >= 80.0);

    socket.say(&json!({ "type": "delete", "target": 1 })).await;
    assert_eq!(socket.hear("answer").await["ok"], json!(true));
    server.until("the track is forgotten", || server.newest_track(1).is_none()).await;
    server.publish(&prompt, 3);
    assert_eq!(
        get(&server.address, "/api/v1/tracks").await.json()["tracks"],
        json!([]),
        "a late track brings nothing back"
    );
}

#[actix_rt::test]
async fn an_older_track_never_takes_the_place_of_a_newer_one() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    for x in [64, 128] {
        send(&server.address, "POST", "/api/v1/targets", &json!({ "frame": 100, "x": x, "y": 36 })).await;
    }
    let prompts = server.prompt_set.borrow().targets.clone();
    let mut socket = Socket::open(&server.address, "/ws").await;
    socket.hear("state").await;
    server.publish(&prompts[0], 1);
    assert_eq!(socket.hear("track").await["track"]["sequence"], json!(1));
    server.until("the track is kept", || server.newest_track(1) == Some(1)).await;

    server.publish_late(&prompts[0], 2, Duration::from_secs(5));
    server.publish(&prompts[1], 7);
    server.until("both have been seen", || server.newest_track(2) == Some(7)).await;
    assert_eq!(server.newest_track(1), Some(1));
    let mut latecomer = Socket::open(&server.address, "/ws").await;
    assert_eq!(latecomer.hear("track").await["track"]["sequence"], json!(1), "who comes late hears the newest track");
    assert_eq!(get(&server.address, "/api/v1/tracks").await.json()["tracks"][0]["track"]["sequence"], json!(1));
    assert_eq!(socket.hear("lost").await["tracks"], json!(1), "what is left out is told");
    assert_eq!(socket.hear("track").await["track"]["sequence"], json!(7));
}

#[actix_rt::test]
async fn a_live_client_that_sends_nonsense_hears_why_and_stays() {
    let server = Harness::start();
    server.show(100, true, Bytes::new());
    let mut socket = Socket::open(&server.address, "/ws").await;
    for (text, code) in [
        ("nonsense", "malformed"),
        ("{}", "malformed"),
        (r#"{"type": "fly"}"#, "malformed"),
        (r#"{"type": "follow", "frame": 100}"#, "malformed"),
        (r#"{"type": "follow", "frame": 100, "x": 1, "y": 1, "extra": 1}"#, "malformed"),
        (r#"{"type": "follow", "frame": 100, "x": 1e9, "y": 1}"#, "outside_frame"),
        (r#"{"type": "move", "target": 4, "frame": 100, "x": 1, "y": 1}"#, "unknown_target"),
    ] {
        socket.say_text(text.to_owned()).await;
        let answer = socket.hear("answer").await;
        assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!(code)), "{text}");
    }
    socket.say_binary(vec![0]).await;
    assert_eq!(socket.hear("answer").await["error"]["code"], json!("malformed"));
    socket.say_text("x".repeat(65 * 1024)).await;
    assert_eq!(u16::from(socket.closing().await.unwrap().code), 1008, "a message over the limit ends it");
    let counted = ["malformed", "outside_frame", "unknown_target", "too_large"];
    assert_eq!(counted.map(|code| server.metrics.errors("web", code).get()), [6, 1, 1, 1]);
}

#[actix_rt::test]
async fn video_begins_with_a_key_frame_and_a_client_that_decodes_nothing_is_not_drowned() {
    let server = Harness::start();
    let before = server.units.receiver_count();
    let mut socket = Socket::open(&server.address, "/ws/video").await;
    server.until("the client is there", || server.units.receiver_count() > before).await;
    server.show(1, false, Bytes::from_static(b"delta"));
    server.show(2, true, Bytes::from_static(b"key"));
    let first = socket.hear_binary().await;
    assert_eq!(
        (&first[..5], &first[13..21], &first[21..]),
        (&[0, 0, 0, 0, 1][..], &2_u64.to_be_bytes()[..], &b"key"[..])
    );

    let slow = server.metrics.drops("video_to_page", "slow_client");
    for frame in 3..60 {
        server.show(frame, false, Bytes::from_static(b"delta"));
        tokio::task::yield_now().await;
    }
    server.until("units are dropped", || slow.get() > 0).await;
    for _ in 1..30 {
        socket.hear_binary().await;
    }
    socket.say(&json!({ "decoded": 29, "queue": 0 })).await;
    let items = server.metrics.items("video_to_page", "units");
    assert_eq!(items.get(), 30);
    let mut frame = 60;
    server
        .until("video goes on", || {
            frame += 1;
            server.show(frame, true, Bytes::from_static(b"key"));
            items.get() > 30
        })
        .await;
    assert_eq!(socket.hear_binary().await[..5], [0, 0, 0, 30, 1]);

    socket.say_text("nonsense".to_owned()).await;
    assert_eq!(u16::from(socket.closing().await.unwrap().code), 1008);
    assert_eq!(server.metrics.errors("web", "malformed").get(), 1);
}

#[actix_rt::test]
async fn seats_are_limited_and_free_again_when_a_client_leaves() {
    let listen = ([127, 0, 0, 1], 0).into();
    let limits = WebConfig { listen, live_clients_max: 1, video_clients_max: 1, ..WebConfig::default() };
    let server = Harness::start_with(limits);
    let seated = [Socket::open(&server.address, "/ws").await, Socket::open(&server.address, "/ws/video").await];
    for (path, who) in [("/ws", "live clients"), ("/ws/video", "video clients")] {
        // A browser's page hears only what comes over an open socket.
        let farewell = Socket::open(&server.address, path).await.closing().await.unwrap();
        let reason = format!("1 {who} are connected, which is the limit: close one");
        assert_eq!((u16::from(farewell.code), farewell.reason.as_str()), (1013, reason.as_str()), "{path}");
    }
    assert_eq!(server.metrics.errors("web", "busy").get(), 2);
    drop(seated);
    let seats = &server;
    let is_seated = async || Socket::open(&seats.address, "/ws").await.is_spoken_to().await;
    seats.until_async("the seat is free", is_seated).await;
}

#[actix_rt::test]
async fn a_client_that_never_finishes_its_request_is_cut_off() {
    let server = Harness::start();
    let began = std::time::Instant::now();
    let answer = raw(&server.address, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ").await;
    assert_eq!(answer.status, 408);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}
