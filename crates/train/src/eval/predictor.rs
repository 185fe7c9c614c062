//! What answers pairs: an engine package, or weights in the training framework. Both give the engine's own maps, so one
//! decoder reads them.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use smgeo_engine::{Backend, EncoderImage, Features, Fusion, LocateRequest, Maps, Mosaic, RtenBackend, View};

use crate::model::{self, Config, Pass, SmGeo};
use crate::training::trainer::images;

/// Encodes pictures and answers clicks.
pub trait Predictor {
    /// Features of images of one view.
    fn encode(&mut self, images: &[EncoderImage], view: View) -> anyhow::Result<Vec<Features>>;
    /// Maps of queries with their clicks on one window.
    fn locate(&mut self, queries: &[(Features, [f32; 2])], window: &Mosaic) -> anyhow::Result<Vec<Maps>>;
    /// Pixels a cell.
    fn stride_px(&self) -> usize;
    /// How query and window are brought together.
    fn fusion(&self) -> Fusion;
}

impl Predictor for RtenBackend {
    fn encode(&mut self, images: &[EncoderImage], view: View) -> anyhow::Result<Vec<Features>> {
        let requests: Vec<_> = images.iter().map(|image| (image, view)).collect();
        Ok(Backend::encode(self, &requests)?)
    }

    fn locate(&mut self, queries: &[(Features, [f32; 2])], window: &Mosaic) -> anyhow::Result<Vec<Maps>> {
        let request = |(query, click): (_, [f32; 2])| LocateRequest { query, click, reference: window };
        let requests: Vec<_> = queries.iter().map(|(query, click)| request((query, *click))).collect();
        Ok(Backend::locate(self, &requests)?)
    }

    fn stride_px(&self) -> usize {
        self.info().stride_px
    }

    fn fusion(&self) -> Fusion {
        self.info().fusion
    }
}

/// Weights in the training framework, without autodiff.
pub struct Weights {
    model: SmGeo,
    stride_px: usize,
    fusion: Fusion,
    device: Device,
}

impl Weights {
    /// Takes a network of this configuration.
    pub fn new(model: SmGeo, config: &Config) -> Self {
        let (stride_px, fusion) = (config.stride_px(), config.fusion.into());
        Self { model: model.valid(), stride_px, fusion, device: Device::default() }
    }
}

impl Predictor for Weights {
    fn encode(&mut self, pictures: &[EncoderImage], view: View) -> anyhow::Result<Vec<Features>> {
        let view = match view {
            View::Query => model::View::Query,
            View::Tile => model::View::Tile,
        };
        let bytes = pictures.iter().flat_map(|picture| picture.bytes()).copied().collect();
        let encoded = self.model.encode(images(bytes, &self.device), view, &mut Pass::default()).features;
        let [_, cells, _, channels] = encoded.dims();
        let values: Vec<f32> = encoded.into_data().iter::<f32>().collect();
        let one = |part: &[f32]| Ok(Features::new(part.into(), cells, channels)?);
        values.chunks(cells * cells * channels).map(one).collect()
    }

    fn locate(&mut self, queries: &[(Features, [f32; 2])], window: &Mosaic) -> anyhow::Result<Vec<Maps>> {
        let Some((first, _)) = queries.first() else { return Ok(Vec::new()) };
        let (count, cells, channels) = (queries.len(), first.cells(), first.channels());
        let values: Vec<f32> = queries.iter().flat_map(|(query, _)| query.values()).copied().collect();
        let clicks: Vec<f32> = queries.iter().flat_map(|(_, click)| *click).collect();
        let (width, height) = (window.width(), window.height());
        let maps = self.model.locate(
            Tensor::from_data(TensorData::new(values, [count, cells, cells, channels]), &self.device),
            Tensor::from_data(TensorData::new(clicks, [count, 2]), &self.device),
            Tensor::from_data(TensorData::new(window.values().to_vec(), [1, height, width, channels]), &self.device),
            &vec![0; count],
            &mut Pass::default(),
        );
        let heat: Vec<f32> = maps.heat.into_data().iter::<f32>().collect();
        let boxes: Vec<f32> = maps.bounds.into_data().iter::<f32>().collect();
        let attention: Vec<f32> = maps.attention.into_data().iter::<f32>().collect();
        let cut = |values: &[f32], k: usize, each: usize| values[k * each..(k + 1) * each].to_vec();
        let one = |k: usize| {
            let mut heat = cut(&heat, k, width * height);
            // As the engine does: what lies beyond the imagery is nowhere.
            window.mask(&mut heat);
            let (boxes, attention) = (cut(&boxes, k, width * height * 4), cut(&attention, k, width * height));
            Maps { width, height, heat, boxes, attention }
        };
        Ok((0..count).map(one).collect())
    }

    fn stride_px(&self) -> usize {
        self.stride_px
    }

    fn fusion(&self) -> Fusion {
        self.fusion
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Plan;

    #[test]
    fn cells_beyond_the_imagery_are_masked_as_the_engine_masks_them() {
        let text = "preset = 'nano'\n[data]\n[model]\nembed = 8\ndepths = [1, 1, 1, 1]\nheads = [1, 1, 1, 1]\n\
            [model.moe]\nblocks = [[], [], [], []]\n[model.template]\nchannels = 16\n";
        let config = toml::from_str::<Plan>(text).unwrap().config().unwrap();
        let model = SmGeo::new(&config, &Device::default()).unwrap();
        let mut weights = Weights::new(model, &config);
        let grey = EncoderImage::query_from((128.0, 128.0), |_, _| [128; 3]).unwrap();
        let features = weights.encode(&[grey], View::Tile).unwrap();
        let window = Mosaic::of_tiles(1, 1, &features).unwrap().clipped(256, 100);
        let maps = weights.locate(&[(features[0].clone(), [128.0; 2])], &window).unwrap().remove(0);
        for (cell, logit) in maps.heat.iter().enumerate() {
            assert_eq!(window.is_masked(cell), *logit == f32::NEG_INFINITY, "cell {cell}");
        }
        assert!(maps.heat.iter().any(|logit| logit.is_finite()) && maps.heat.contains(&f32::NEG_INFINITY));
    }
}
