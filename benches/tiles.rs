//! What a tile and a pose cost: from RAM, from an MBTiles file, and the camera's pose at a capture time.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use smgeo_flow::{Stamp, SystemClock};
use smgeo_geo::{Altitude, Euler, LatLon, TileId};
use smgeo_messages::{GimbalAttitude, Telemetry, Told, VehicleHeight, VehiclePosition, YawFrame};
use smgeo_runtime::telemetry::{PoseBuffer, PoseConfig};
use smgeo_runtime::tiles::{EncodedTile, MbTilesWriter, RamTiles, TileSource, TilesConfig, open_source};

const TILE: TileId = TileId { z: 18, x: 171_268, y: 111_844 };

/// A picture with texture, as JPEG: a flat one would decode too fast.
fn jpeg() -> Vec<u8> {
    let mut picture = RgbImage::new(256, 256);
    picture.enumerate_pixels_mut().for_each(|(x, y, pixel)| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 13;
        *pixel = Rgb([(x + noise % 64) as u8, (y + noise % 48) as u8, (x ^ y) as u8]);
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a picture can be written");
    bytes.into_inner()
}

fn tiles(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("map.mbtiles");
    let mut writer = MbTilesWriter::open(&file).expect("a new file");
    let encoded = EncodedTile::new(jpeg().into(), TILE, writer.name()).expect("a sound tile");
    writer.put([(TILE, &encoded)]).expect("room on the disk");
    let open = || open_source(&TilesConfig::of(&file.to_string_lossy()), SystemClock::shared()).expect("a sound file");
    let (ram, disk) = (RamTiles::new(open(), 1 << 24), open());
    criterion.bench_function("tile from ram", |bench| bench.iter(|| black_box(ram.tile(black_box(TILE))).is_ok()));
    criterion.bench_function("tile from mbtiles, decoded", |bench| {
        bench.iter(|| black_box(disk.tile(black_box(TILE))).is_ok());
    });
}

fn poses(criterion: &mut Criterion) {
    let at = |ms: u64| Stamp::from_ns((1_000_000 + ms) * 1_000_000);
    let sample = |ms, told| Telemetry { at: at(ms), at_sigma: Duration::ZERO, told };
    let position = |ms: u64| {
        let place = LatLon::new(25.0 + ms as f64 * 1e-7, 55.0).expect("on the Earth");
        let height = VehicleHeight::Msl(Altitude::from_m(200.0));
        sample(ms, Told::Position(VehiclePosition { at: place, height, velocity_ned_mps: Some([10.0, 0.0, 0.0]) }))
    };
    let gimbal = |ms: u64| {
        let frame_from_gimbal = Euler::from_deg(ms as f64 * 0.01, -45.0, 0.0).ned_from_body();
        sample(ms, Told::Gimbal(GimbalAttitude { frame_from_gimbal, yaw_frame: YawFrame::Earth }))
    };
    let mut buffer = PoseBuffer::new(PoseConfig::default());
    for ms in (0..8_000).step_by(20) {
        buffer.put(&position(ms), at(ms)).expect("a sound position");
        buffer.put(&gimbal(ms), at(ms)).expect("a sound attitude");
    }
    criterion.bench_function("pose at a capture time", |bench| {
        bench.iter(|| buffer.pose_at(black_box(at(4_013)), Duration::ZERO).is_ok())
    });
    let mut ms = 8_000;
    criterion.bench_function("position taken in", |bench| {
        bench.iter(|| {
            ms += 20;
            buffer.put(&position(ms), at(ms)).is_ok()
        });
    });
}

criterion_group!(benches, tiles, poses);
criterion_main!(benches);
