//! Numbers computed from a name, the same in every language: FNV-1a over the name, splitmix64 over the index.

use smgeo_train::checkpoint::{Weight, Weights};
use smgeo_train::model::SmGeo;

fn hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn unit(hash: u64, index: u64) -> f32 {
    let mut z = hash.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((z >> 40) as i64 - (1 << 23)) as f32 * 2.0_f32.powi(-23)
}

/// Numbers in -1..1.
pub fn raw(name: &str, count: usize) -> Vec<f32> {
    let hash = hash(name);
    (0..count as u64).map(|index| unit(hash, index)).collect()
}

/// The tensor that a parameter of this name and shape holds.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let leaf = name.rsplit('.').next().unwrap();
    let scale: Box<dyn Fn(f32) -> f32> = match (leaf, shape.len()) {
        ("rel_bias", _) => Box::new(|c| c * 0.5),
        ("scale", _) => Box::new(|c| c + 4.0),
        ("running_var", _) | ("weight", 1) => Box::new(|c| c * 0.25 + 1.0),
        (_, 1) => Box::new(|c| c * 0.125),
        _ => {
            let fan_in = count / shape[0];
            let k = (0..).find(|&k| 4_usize.pow(k) >= fan_in).unwrap() as i32;
            Box::new(move |c| c * 2.0_f32.powi(1 - k))
        }
    };
    raw(name, count).into_iter().map(scale).collect()
}

/// An image `[C, H, W]` of 16 px blocks with noise on them; the batch's samples follow each other.
pub fn image(name: &str, [batch, channels, height, width]: [usize; 4]) -> Vec<f32> {
    let (coarse, fine) = (hash(&format!("{name}.coarse")), hash(&format!("{name}.fine")));
    let mut values = Vec::new();
    for plane in 0..batch * channels {
        for y in 0..height {
            for x in 0..width {
                let block = (plane * (height / 16) + y / 16) * (width / 16) + x / 16;
                let pixel = (plane * height + y) * width + x;
                values.push(unit(coarse, block as u64) * 1.5 + unit(fine, pixel as u64) * 0.5);
            }
        }
    }
    values
}

/// The click map `[H, W]`: (1 - distance / diagonal)^2 from the pixel of the click.
pub fn click_map([x, y]: [f64; 2], height: usize, width: usize) -> Vec<f32> {
    let diagonal = ((height * height + width * width) as f64).sqrt();
    let mut values = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let distance = (row as f64 - y.trunc()).hypot(column as f64 - x.trunc());
            values.push((1.0 - distance / diagonal).powi(2) as f32);
        }
    }
    values
}

/// Fills the network by formula; `rename` gives the reference's name and whether the tensor's fourth channel is ours alone.
pub fn fill(model: SmGeo, rename: impl Fn(&str) -> String) -> SmGeo {
    let parameters = smgeo_train::checkpoint::parameters(&model);
    let weights = parameters.into_iter().map(|parameter| {
        let weight = match parameter.name.as_str() {
            "patch_embed.tile.proj.weight" => {
                let [embed, _, rows, columns] = parameter.shape[..] else { panic!("a convolution") };
                let rgb = tensor(&rename(&parameter.name), &[embed, 3, rows, columns]);
                let plane = rows * columns;
                let values = rgb.chunks(3 * plane).flat_map(|rgb| [rgb.to_vec(), vec![0.0; plane]].concat()).collect();
                Weight::new(parameter.shape.clone(), values)
            }
            name => Weight::new(parameter.shape.clone(), tensor(&rename(name), &parameter.shape)),
        };
        (parameter.name, weight)
    });
    let (model, report) = smgeo_train::checkpoint::load(model, Weights(weights.collect())).unwrap();
    report.complete().unwrap();
    model
}
