//! A tile's features are the tile's alone.

use burn::tensor::{Device, Tensor, TensorData};
use smgeo_train::model::{Config, Pass, SmGeo, View};

use crate::formula;
use crate::goldens::values;

/// `count` made-up tiles of bytes, `[count, 256, 256, 4]`, the fourth channel zero.
fn tiles(names: &[&str], device: &Device) -> Tensor<4> {
    let one = |name: &&str| {
        let rgb = formula::image(name, [1, 3, 256, 256]);
        let values: Vec<f32> = rgb.iter().map(|v| (v * 60.0 + 128.0).clamp(0.0, 255.0).round()).collect();
        let planes = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 256, 256]), device).permute([0, 2, 3, 1]);
        Tensor::cat(vec![planes, Tensor::zeros([1, 256, 256, 1], device)], 3)
    };
    Tensor::cat(names.iter().map(one).collect(), 0)
}

#[test]
fn tile_features_do_not_depend_on_their_neighbours() {
    let device = Device::flex();
    let model = SmGeo::new(&Config::nano(), &device).unwrap();
    let encode = |names: &[&str]| model.encode(tiles(names, &device), View::Tile, &mut Pass::default()).features;
    let (first, second) = (encode(&["a", "b", "c"]), encode(&["a", "d", "e"]));
    let alone = |features: Tensor<4>| values(features.narrow(0, 0, 1));
    assert_eq!(alone(first), alone(second));
}
