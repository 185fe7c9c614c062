//! The page in a real browser: what an operator sees, clicks and must never be shown.

mod browser;
mod feed;
#[path = "../harness/mod.rs"]
mod harness;

use std::rc::Rc;
use std::time::Duration;

use browser::{Browser, OTHER_NAME, Tab};
use feed::{FIRST, Feed, PICTURES};
use harness::client::Socket;
use harness::{HEIGHT_PX, Harness, WIDTH_PX, place_of};
use serde_json::json;
use smgeo_runtime::web::WebConfig;

/// A page has so long to come up on a loaded machine.
const START_MAX: Duration = Duration::from_secs(20);
/// From a click to its track.
const TRACK_MAX: Duration = Duration::from_secs(3);
/// From the loss of something to its sign on the page.
const ALARM_MAX: Duration = Duration::from_secs(4);

/// Reads the number that is painted into the picture, and the id of the frame that the page believes it shows.
const WATCH: &str = r#"
    window.painted = () => {
        const context = document.getElementById('picture').getContext('2d');
        let number = 0;
        for (let bit = 0; bit < 7; bit += 1) number = number * 2 + (context.getImageData(10 + bit * 14, 10, 1, 1).data[0] > 128 ? 1 : 0);
        return number;
    };
    window.addEventListener('pointerdown', () => { window.pressed = [window.smgeo.shown().frame, window.painted()]; }, { capture: true });
"#;

#[actix_rt::test]
async fn an_operator_sees_clicks_and_is_never_shown_the_past_as_the_present() {
    let Some(browser) = Browser::launch().await else {
        println!("skipped: the page test needs chromium (apt install chromium)");
        return;
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let config = WebConfig { listen, hosts: vec![OTHER_NAME.to_owned()], ..WebConfig::default() };
    let server = Rc::new(Harness::start_with(config));
    server.health.part("camera").ok();
    let feed = Feed::start(server.clone());
    let mut tab = browser.open(&format!("http://{}/", server.address), WATCH).await;

    video_moves_and_every_picture_has_the_id_of_its_frame(&mut tab).await;
    a_click_means_the_frame_that_was_shown_and_its_track_appears_at_the_right_place(&mut tab, &server).await;
    the_pages_own_arithmetic_holds(&mut tab).await;
    keyboard_and_touch_follow_too(&mut tab, &server).await;
    the_map_shows_tiles_the_drone_and_the_targets(&mut tab, &server).await;
    a_target_is_moved_and_deleted_from_its_card(&mut tab, &server).await;
    the_first_enter_shows_the_crosshair_and_the_second_follows(&mut tab, &server).await;
    a_second_delete_deletes_nothing(&mut tab).await;
    a_target_is_named_while_its_age_grows(&mut tab, &feed).await;
    a_heat_map_that_is_not_there_says_why(&mut tab, &server).await;
    what_stands_still_is_marked_as_old_and_comes_back(&mut tab, &feed).await;
    without_h264_pictures_are_shown(&mut tab, &feed, &server).await;
    a_browser_without_webcodecs_gets_pictures(&browser, &server).await;
    a_page_over_plain_http_says_what_video_needs(&browser, &server).await;
    a_page_without_a_seat_says_which_limit_is_reached(&browser).await;
    nothing_is_asked_of_anyone_else(&tab, &server);
    a_daemon_that_is_gone_is_announced(&mut tab, &server).await;
    one_that_comes_back_with_another_map_is_shown_with_it(&mut tab, &server).await;
}

async fn video_moves_and_every_picture_has_the_id_of_its_frame(tab: &mut Tab) {
    tab.until("window.smgeo && window.smgeo.shown()", START_MAX).await;
    let mut frames = Vec::new();
    for _ in 0..12 {
        let pair = tab.eval("[window.smgeo.shown().frame, window.painted()]").await;
        let (frame, painted) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
        assert_eq!((frame - FIRST) % PICTURES, painted, "frame {frame}");
        frames.push(frame);
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    assert!(frames.windows(2).all(|pair| pair[0] <= pair[1]), "{frames:?}");
    assert!(frames[11] > frames[0] + 4, "{frames:?}");
}

async fn a_click_means_the_frame_that_was_shown_and_its_track_appears_at_the_right_place(
    tab: &mut Tab,
    server: &Harness,
) {
    let at = tab.point("#overlay", [0.3, 0.4]).await;
    tab.click(at).await;
    let took = tab.until("smgeo.targets().length === 1 && smgeo.targets()[0].state === 'locked'", TRACK_MAX).await;
    println!("click to track on the page: {took:?}");
    let prompt = server.prompt_set.borrow().targets[0].clone();
    let (x, y) = (0.3 * f64::from(WIDTH_PX), 0.4 * f64::from(HEIGHT_PX));
    assert!((prompt.click.x - x).abs() < 1.0 && (prompt.click.y - y).abs() < 1.0, "{:?}", prompt.click);
    let pressed = tab.eval("window.pressed").await;
    assert_eq!(json!([prompt.frame.0, (prompt.frame.0 - FIRST) % PICTURES]), pressed);
    let [lat_deg, lon_deg] = place_of(prompt.click.x, prompt.click.y);
    let place = format!("{lat_deg:.6}, {lon_deg:.6}");
    tab.until(&format!("document.querySelector('.target .place').textContent === '{place}'"), TRACK_MAX).await;
    assert_eq!(tab.eval("document.querySelector('.target .ce90').textContent").await, json!("3.2 m"));
}

async fn the_pages_own_arithmetic_holds(tab: &mut Tab) {
    // Two seconds between the daemon's words, three on the way: the second message is one second late. A moment yet to come is of another daemon's clock.
    let late = "(async () => { const { DaemonClock } = await import('/clock.js'); let now = 1000; \
        const clock = new DaemonClock(() => now); const unheard = clock.ageMs(0); clock.heard(5e6); \
        now = 4000; clock.heard(7e6); const early = clock.ageMs(60e6); \
        return [unheard === Infinity, Math.round(clock.ageMs(7e6)), early === Infinity]; })()";
    assert_eq!(tab.eval(late).await, json!([true, 1000, true]));
    // 2.146 sigma to the north and to the east hold 90 %.
    let extent = "(async () => { const { ellipseRing } = await import('/geo.js'); \
        const ring = ellipseRing(8, 0, [100, 0, 25]); const most = (axis, from) => \
        Math.round(Math.max(...ring.map((point) => point[axis] - from)) * 111320 * 10) / 10; \
        return [most(1, 0), most(0, 8)]; })()";
    assert_eq!(tab.eval(extent).await, json!([21.5, 10.7]));
    let codec = "(async () => { const { codecOf } = await import('/h264.js'); return [ \
        codecOf(new Uint8Array([0, 0, 0, 1, 9, 16, 0, 0, 1, 0x67, 0x4d, 0x40, 0x1e, 0xd9])), \
        codecOf(new Uint8Array([0, 0, 1, 0x41, 1, 2, 3, 4])), codecOf(new Uint8Array([])) ]; })()";
    assert_eq!(tab.eval(codec).await, json!(["avc1.4d401e", null, null]));
}

async fn keyboard_and_touch_follow_too(tab: &mut Tab, server: &Harness) {
    tab.eval("document.getElementById('stage').focus()").await;
    for key in ["ArrowRight", "ArrowRight", "ArrowDown", "Enter"] {
        tab.press(key).await;
    }
    tab.until("smgeo.targets().length === 2", TRACK_MAX).await;
    // A key that is held down is one press.
    let held =
        "document.getElementById('stage').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', repeat: true }))";
    tab.eval(held).await;
    let by_key = server.prompt_set.borrow().targets[1].click;
    assert_eq!((by_key.x, by_key.y), (352.0, 196.0));
    let at = tab.point("#overlay", [0.75, 0.7]).await;
    tab.tap(at).await;
    tab.until("smgeo.targets().length === 3", TRACK_MAX).await;
    let by_touch = server.prompt_set.borrow().targets[2].click;
    assert!((by_touch.x - 480.0).abs() < 1.0 && (by_touch.y - 252.0).abs() < 1.0, "{by_touch:?}");
}

async fn the_map_shows_tiles_the_drone_and_the_targets(tab: &mut Tab, server: &Harness) {
    tab.until("document.querySelectorAll('.target-mark').length === 3", START_MAX).await;
    tab.until("document.querySelectorAll('.drone-mark').length === 1", START_MAX).await;
    server.until("tiles are asked for", || server.tiles_served() > 0).await;
    let credit = tab.eval("document.getElementById('map-credit').innerHTML").await;
    assert_eq!(credit, json!("Squares &amp; Sons"), "who made the map is named, in words only");
    tokio::time::sleep(Duration::from_millis(700)).await;
    tab.screenshot("following").await;
}

async fn a_target_is_moved_and_deleted_from_its_card(tab: &mut Tab, server: &Harness) {
    tab.eval("document.querySelector('.target[data-target=\"1\"] .again').click()").await;
    let at = tab.point("#overlay", [0.5, 0.25]).await;
    tab.click(at).await;
    server.until("the target is moved", || server.prompt_set.borrow().targets[0].revision == 2).await;
    tab.eval("document.querySelector('.target[data-target=\"2\"] .delete').click()").await;
    tab.until("smgeo.targets().length === 2 && document.querySelectorAll('.target').length === 2", TRACK_MAX).await;
    tab.until("document.querySelectorAll('.target-mark').length === 2", TRACK_MAX).await;
}

async fn the_first_enter_shows_the_crosshair_and_the_second_follows(tab: &mut Tab, server: &Harness) {
    tab.eval("document.getElementById('stage').focus()").await;
    tab.press("Enter").await;
    tab.until("document.getElementById('toast').textContent.includes('crosshair')", ALARM_MAX).await;
    assert_eq!(server.prompt_set.borrow().targets.len(), 2);
    tab.press("Enter").await;
    tab.until("smgeo.targets().length === 3", TRACK_MAX).await;
    let click = server.prompt_set.borrow().targets[2].click;
    assert_eq!((click.x, click.y), (320.0, 180.0), "the middle of the picture");
    tab.until("document.querySelector('.target[data-target=\"4\"].selected')", TRACK_MAX).await;
}

async fn a_second_delete_deletes_nothing(tab: &mut Tab) {
    tab.press("Delete").await;
    tab.until("smgeo.targets().length === 2 && document.querySelectorAll('.target').length === 2", TRACK_MAX).await;
    assert_eq!(tab.eval("document.querySelectorAll('.target.selected').length").await, json!(0));
    tab.press("Delete").await;
    tab.press("Escape").await;
}

async fn a_target_is_named_while_its_age_grows(tab: &mut Tab, feed: &Feed) {
    let card = "document.querySelector('.target[data-target=\"1\"]')";
    let is_open = format!("document.activeElement === {card}.querySelector('.naming-field')");
    let is_left =
        format!("{card}.querySelector('.naming').hidden && document.activeElement === {card}.querySelector('.rename')");
    let open = format!("{card}.querySelector('.rename').click()");
    tab.eval(&open).await;
    tab.until(&is_open, ALARM_MAX).await;
    tab.write("lorry").await;
    feed.hold(true);
    tab.until(&format!("{card}.dataset.state === 'stale' && {is_open}"), ALARM_MAX).await;
    tab.until("document.getElementById('news').textContent.includes('Target 1: stale')", ALARM_MAX).await;
    tab.screenshot("naming").await;
    feed.hold(false);
    tab.press("Enter").await;
    let is_named = "smgeo.targets().length === 2 && smgeo.targets()[0].name === 'lorry'";
    tab.until(&format!("{is_named} && {is_left}"), TRACK_MAX).await;
    tab.until("document.getElementById('news').textContent.includes('Target 1 lorry: locked')", ALARM_MAX).await;

    tab.eval(&open).await;
    tab.write("tank").await;
    tab.press("Escape").await;
    tab.until(&format!("{is_named} && {is_left}"), ALARM_MAX).await;
}

async fn a_heat_map_that_is_not_there_says_why(tab: &mut Tab, server: &Harness) {
    let says = |words: &str| format!("document.getElementById('map-note').textContent.includes('{words}')");
    let button = "document.getElementById('map-heat').click()";
    tab.eval(button).await;
    tab.until(&says("No heat map: select a target"), ALARM_MAX).await;
    tab.eval("document.querySelector('.target[data-target=\"1\"] .pick').click()").await;
    tab.until(&says("found nothing yet for target 1"), ALARM_MAX).await;
    server.answer(1, Duration::from_secs(20));
    tab.until(&says("answer about target 1 is old (2"), ALARM_MAX).await;
    tab.screenshot("no-heat").await;
    let begun = std::time::Instant::now();
    while tab.eval("document.getElementById('map-note').hidden").await != json!(true) {
        assert!(begun.elapsed() < START_MAX, "the heat map is not shown");
        server.answer(1, Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tab.screenshot("heat").await;
    tab.eval(button).await;
}

async fn what_stands_still_is_marked_as_old_and_comes_back(tab: &mut Tab, feed: &Feed) {
    feed.hold(true);
    tab.until("!document.getElementById('video-banner').hidden", ALARM_MAX).await;
    tab.until("document.getElementById('stage').classList.contains('stale')", ALARM_MAX).await;
    tab.until("smgeo.targets().every((target) => target.state === 'stale')", ALARM_MAX).await;
    let banner = tab.eval("document.getElementById('video-banner').textContent").await;
    assert!(banner.as_str().unwrap().starts_with("NOT LIVE"), "{banner}");
    nothing_but_the_age_of_a_banner_changes(tab, "video-banner").await;
    tab.screenshot("stale").await;
    feed.hold(false);
    tab.until("document.getElementById('video-banner').hidden", ALARM_MAX).await;
    tab.until("smgeo.targets().every((target) => target.state === 'locked')", ALARM_MAX).await;
}

/// What a screen reader reads out must not change with the age, or it never stops reading.
async fn nothing_but_the_age_of_a_banner_changes(tab: &mut Tab, id: &str) {
    let banner = format!("document.getElementById('{id}')");
    let read_out = format!(
        "[{banner}.getAttribute('role'), ...[...{banner}.childNodes] \
         .filter((node) => node.ariaHidden !== 'true').map((node) => node.textContent)]"
    );
    let (all, before) = (tab.eval(&format!("{banner}.textContent")).await, tab.eval(&read_out).await);
    tab.until(&format!("{banner}.textContent !== {all}"), ALARM_MAX).await;
    assert_eq!(before[0], json!("alert"), "{id}");
    assert_eq!(tab.eval(&read_out).await, before, "{id}");
}

async fn without_h264_pictures_are_shown(tab: &mut Tab, feed: &Feed, server: &Harness) {
    feed.hold(true);
    let id = server.frames.newest().unwrap().id.0 + 1;
    // Nothing is asked for while units come, or have come a moment ago.
    let shown = format!("smgeo.shown().frame === {id}");
    let begun = std::time::Instant::now();
    while tab.eval(&shown).await != json!(true) {
        assert!(begun.elapsed() < START_MAX, "the picture is not shown");
        server.show_picture(id);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tab.until("document.getElementById('toast').textContent.includes('no H.264')", ALARM_MAX).await;
    feed.hold(false);
    tab.until(&format!("smgeo.shown().frame !== {id}"), ALARM_MAX).await;
}

async fn a_browser_without_webcodecs_gets_pictures(browser: &Browser, server: &Harness) {
    server.show_picture(server.frames.newest().unwrap().id.0);
    let mut tab = browser.open(&format!("http://{}/", server.address), "delete window.VideoDecoder;").await;
    tab.until("window.smgeo && window.smgeo.shown() && smgeo.shown().width === 640", START_MAX).await;
    tab.until("document.getElementById('toast').textContent.includes('still pictures')", START_MAX).await;
}

async fn a_page_over_plain_http_says_what_video_needs(browser: &Browser, server: &Harness) {
    server.show_picture(server.frames.newest().unwrap().id.0);
    let port = server.address.rsplit(':').next().unwrap();
    let mut tab = browser.open(&format!("http://{OTHER_NAME}:{port}/"), "").await;
    tab.until("window.smgeo && window.smgeo.shown() && smgeo.shown().width === 640", START_MAX).await;
    let help = format!("video needs https or a tunnel (ssh -L 8080:localhost:{port} {OTHER_NAME})");
    tab.until(&format!("document.getElementById('toast').textContent.includes('{help}')"), START_MAX).await;
    let gauge = tab.eval("document.getElementById('gauge-video').textContent").await;
    assert!(gauge.as_str().unwrap().ends_with("still pictures"), "{gauge}");
    tab.screenshot("plain-http").await;
}

async fn a_page_without_a_seat_says_which_limit_is_reached(browser: &Browser) {
    let listen = ([127, 0, 0, 1], 0).into();
    let limits = WebConfig { listen, live_clients_max: 1, video_clients_max: 1, ..WebConfig::default() };
    let full = Harness::start_with(limits);
    let seated = [Socket::open(&full.address, "/ws").await, Socket::open(&full.address, "/ws/video").await];
    let mut tab = browser.open(&format!("http://{}/", full.address), "").await;
    tab.until("document.getElementById('alarm')?.textContent.includes('1 live clients are connected')", START_MAX)
        .await;
    tab.until("document.getElementById('gauge-video').title.includes('1 video clients are connected')", START_MAX)
        .await;
    tab.screenshot("no-seat").await;
    drop(seated);
    tab.until("document.getElementById('alarm').hidden", START_MAX).await;
}

fn nothing_is_asked_of_anyone_else(tab: &Tab, server: &Harness) {
    let ours = |url: &String| {
        url.contains(&server.address) || url.starts_with("data:") || url.starts_with("blob:") || url == "about:blank"
    };
    let foreign: Vec<&String> = tab.requests.iter().filter(|url| !ours(url)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    // A tile outside the map is answered with 404, and so are a picture and a heat map before the first; the browser logs that.
    let is_logged = |text: &str| ["/tiles/", "/snapshot.jpg", "/heatmap/"].iter().any(|path| text.contains(path));
    let complaints: Vec<&String> = tab.complaints.iter().filter(|text| !is_logged(text)).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

async fn a_daemon_that_is_gone_is_announced(tab: &mut Tab, server: &Harness) {
    server.handle.stop(false).await;
    tab.until("!document.getElementById('alarm').hidden", ALARM_MAX).await;
    nothing_but_the_age_of_a_banner_changes(tab, "alarm").await;
    tab.until("smgeo.targets().every((target) => target.state === 'stale')", ALARM_MAX).await;
    tab.screenshot("cut-off").await;
}

async fn one_that_comes_back_with_another_map_is_shown_with_it(tab: &mut Tab, server: &Harness) {
    // A tab behind another draws no map.
    tab.call("Page.bringToFront", json!({})).await;
    let served = server.tiles_served();
    let again = server.again("circles.mbtiles");
    actix_rt::spawn(again.server);
    tab.until("document.getElementById('gauge-imagery').textContent.includes('circles')", START_MAX).await;
    tab.until("document.querySelectorAll('.drone-mark').length === 1", START_MAX).await;
    server.until("its tiles are asked for", || server.tiles_served() > served).await;
    let shown = "[document.querySelectorAll('#map canvas').length, document.getElementById('map-credit').hidden]";
    assert_eq!(tab.eval(shown).await, json!([1, true]));
    again.handle.stop(false).await;
}
