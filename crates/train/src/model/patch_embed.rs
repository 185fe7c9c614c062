//! Turns 4 x 4 px patches into tokens: a product over the patch's 64 values, then a LayerNorm; one per view.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::{Config, Norm, View, ViewPair, kernels};
use crate::onnx::{Attribute, Graph, Value};

/// Mean of R, G, B over ImageNet, in units of 0..1.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of R, G, B over ImageNet, in units of 0..1.
pub const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// A convolution of 4 x 4 px with stride 4, written as a matrix product.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[embed, 4 channels, 4 rows, 4 columns]`.
    pub weight: Param<Tensor<4>>,
    /// `[embed]`.
    pub bias: Param<Tensor<1>>,
}

/// The patch embedding of one view.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// 64 values to `embed`.
    pub proj: Projection,
    /// Over the channels.
    pub norm: Norm,
}

impl PatchEmbed {
    /// Channels of the encoder's image: R, G, B and the click map.
    pub const CHANNELS: usize = 4;

    /// Random weights; those of a channel that a view leaves at zero (the tile's fourth) are zero.
    pub fn new(embed: usize, view: View, device: &Device) -> Self {
        let patch = Config::PATCH_PX;
        let colours = match view {
            View::Query => 4,
            View::Tile => 3,
        };
        let spread = burn::module::Initializer::XavierNormal { gain: 1.0 };
        let fan_in = colours * patch * patch;
        let weight: Param<Tensor<4>> =
            spread.init_with([embed, colours, patch, patch], Some(fan_in), Some(embed), device);
        let weight = match view {
            View::Query => weight,
            View::Tile => {
                let unused = Tensor::zeros([embed, 1, patch, patch], device);
                Param::from_tensor(Tensor::cat(vec![weight.val(), unused], 1).detach())
            }
        };
        Self {
            proj: Projection { weight, bias: burn::module::Initializer::Zeros.init([embed], device) },
            norm: Norm::new(embed, device),
        }
    }

    /// Patches `[B, N, 64]` (rows, columns, channels of a patch, in this order) to tokens `[B, N, embed]`.
    pub fn forward(&self, patches: Tensor<3>) -> Tensor<3> {
        let tokens = kernels::linear(patches, self.matrix(), Some(self.proj.bias.val()));
        self.norm.forward(tokens)
    }

    /// The projection as a matrix `[64, embed]`.
    pub fn matrix(&self) -> Tensor<2> {
        let weight = self.proj.weight.val();
        let [embed, channels, rows, columns] = weight.dims();
        weight.permute([2, 3, 1, 0]).reshape([rows * columns * channels, embed])
    }
}

/// Scale and offset `[4]` that normalise an image of bytes: R, G, B to ImageNet's mean and deviation, the click map to 0..1.
pub fn normalisation() -> ([f32; 4], [f32; 4]) {
    let (mut scale, mut offset) = ([1.0 / 255.0; 4], [0.0; 4]);
    for channel in 0..3 {
        scale[channel] = 1.0 / (255.0 * DEVIATION[channel]);
        offset[channel] = -MEAN[channel] / DEVIATION[channel];
    }
    (scale, offset)
}

/// Normalises images `[B, H, W, 4]` of values 0..255.
pub fn normalised(images: Tensor<4>) -> Tensor<4> {
    let device = images.device();
    let (scale, offset) = normalisation();
    let row = |values: [f32; 4]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 1, 1, 4]), &device);
    images * row(scale) + row(offset)
}

/// Cuts normalised images `[B, H, W, 4]` into patches `[B, N, 64]`, row-major.
pub fn patches(images: Tensor<4>) -> Tensor<3> {
    let [batch, height, width, channels] = images.dims();
    let patch = Config::PATCH_PX;
    let (rows, columns) = (height / patch, width / patch);
    images.reshape([batch * rows, patch, columns, patch * channels]).swap_dims(1, 2).reshape([
        batch,
        rows * columns,
        patch * patch * channels,
    ])
}

impl ViewPair<PatchEmbed> {
    /// Emits normalisation, patches and projection: bytes `[B, H, W, 4]` and views `[B]` to tokens `[B, N, embed]`,
    /// row-major. Each image gathers its view's weights; the normalisation is folded into them.
    pub fn emit(&self, graph: &mut Graph, image: &Value, view: &Value, [height, width]: [usize; 2]) -> Value {
        let patch = Config::PATCH_PX;
        let (rows, columns) = ((height / patch) as i64, (width / patch) as i64);
        let floats = graph.node("Cast", &[image], vec![Attribute::Int("to", 1)]);
        let strips = graph.reshape(&floats, &[-1, patch as i64, columns, 4 * patch as i64]);
        let patches = graph.transpose(&strips, &[0, 2, 1, 3]);
        let patches = graph.reshape(&patches, &[-1, rows * columns, 16 * patch as i64]);
        let both = [self.of(View::Query), self.of(View::Tile)];
        let [query, tile] = both.map(PatchEmbed::folded);
        let weights = Tensor::stack::<3>(vec![query.0, tile.0], 0);
        let biases = Tensor::stack::<3>(vec![query.1, tile.1], 0);
        let product = graph.matmul_by_view("patch_embed.proj.weight", weights, view, &patches);
        let tokens = graph.add_by_view("patch_embed.proj.bias", biases, view, &product);
        let [embed] = both[0].norm.weight.dims();
        let ones = graph.floats("patch_embed.norm.ones", &[embed], &vec![1.0; embed]);
        let attributes = vec![Attribute::Int("axis", -1), Attribute::Float("epsilon", Norm::EPSILON as f32)];
        let tokens = graph.node("LayerNormalization", &[&tokens, &ones], attributes);
        let affine = |pick: fn(&Norm) -> Tensor<1>| {
            Tensor::stack::<3>(both.map(|embed| pick(&embed.norm).unsqueeze::<2>()).to_vec(), 0)
        };
        let scale = graph.weights("patch_embed.norm.weight", affine(|norm| norm.weight.val()));
        let scale = graph.gather(&scale, view, 0);
        let tokens = graph.multiply(&tokens, &scale);
        graph.add_by_view("patch_embed.norm.bias", affine(|norm| norm.bias.val()), view, &tokens)
    }
}

impl PatchEmbed {
    /// The projection `[64, embed]` and offset `[1, embed]` that act on bytes.
    fn folded(&self) -> (Tensor<2>, Tensor<2>) {
        let (scale, offset) = normalisation();
        let matrix = self.matrix();
        let pixels = matrix.dims()[0] / 4;
        let column = |values: [f32; 4]| {
            let values = TensorData::new(values.repeat(pixels), [4 * pixels, 1]);
            Tensor::<2>::from_data(values, &matrix.device())
        };
        let bias = (matrix.clone() * column(offset)).sum_dim(0) + self.proj.bias.val().unsqueeze::<2>();
        (matrix.clone() * column(scale), bias)
    }
}
