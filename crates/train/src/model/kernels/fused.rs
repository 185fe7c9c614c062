//! Fused operations on the CPU: slices in, slices out, and a backward by hand, hooked into burn's gradient tape.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};

/// An operation of N tensors of 32-bit floats to one.
pub trait Fused<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// The output, and what the backward wants to keep beside the inputs.
    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Vec<f32>);

    /// Gradients of the inputs that `wanted` marks; an empty vector for the others.
    fn backward(&self, inputs: [&[f32]; N], kept: &[f32], gradient: &[f32], wanted: [bool; N]) -> [Vec<f32>; N];
}

/// A tensor of any rank on the CPU's tape, or off it.
pub enum Input {
    /// Gradients are recorded.
    Taped(FloatTensor<Autodiff<Flex>>),
    /// They are not.
    Plain(FlexTensor),
}

impl Input {
    /// The tensor as the CPU's backend holds it; nothing for other devices or types.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if tensor.dtype() != burn::tensor::DType::F32 {
            return None;
        }
        match tensor.device().is_autodiff() {
            true => tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(Self::Taped),
            false => tensor.clone().try_into_primitive::<Flex>().ok().map(Self::Plain),
        }
    }
}

/// Runs an operation on the CPU; nothing where an input lies elsewhere.
pub fn run<const N: usize, const D: usize>(
    operation: impl Fused<N>,
    inputs: [Option<Input>; N],
    dims: [usize; D],
) -> Option<Tensor<D>> {
    let mut taped = Vec::with_capacity(N);
    let mut plain = Vec::with_capacity(N);
    for input in inputs {
        match input? {
            Input::Taped(tensor) => taped.push(tensor),
            Input::Plain(tensor) => plain.push(tensor.to_contiguous()),
        }
    }
    match (<[_; N]>::try_from(taped), <[FlexTensor; N]>::try_from(plain)) {
        (Ok(taped), _) => Some(record(operation, taped, dims)),
        (_, Ok(plain)) => {
            let (output, _) = operation.forward(slices(&plain)?);
            Some(Tensor::from_primitive::<Flex>(flex(output, &dims)))
        }
        _ => None,
    }
}

fn record<const N: usize, const D: usize, F: Fused<N>>(
    operation: F,
    inputs: [FloatTensor<Autodiff<Flex>>; N],
    dims: [usize; D],
) -> Tensor<D> {
    let values = inputs.each_ref().map(|input| input.primitive().to_contiguous());
    let slices = slices(&values).expect("contiguous tensors of 32-bit floats");
    let (output, kept) = operation.forward(slices);
    let output = flex(output, &dims);
    let step = Step::<F, N>(PhantomData).prepare::<NoCheckpointing>(inputs.each_ref().map(|input| input.node()));
    let output = match step.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(State { operation, inputs: values, kept }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// What lies on the tape.
#[derive(Clone, Debug)]
struct State<F, const N: usize> {
    operation: F,
    inputs: [FlexTensor; N],
    kept: Vec<f32>,
}

#[derive(Debug)]
struct Step<F, const N: usize>(PhantomData<F>);

impl<F: Fused<N>, const N: usize> Backward<Flex, N> for Step<F, N> {
    type State = State<F, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let State { operation, inputs, kept } = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let slices = slices(&inputs).expect("contiguous tensors of 32-bit floats");
        let gradient = gradient.as_slice::<f32>().expect("a contiguous gradient of 32-bit floats");
        let found = operation.backward(slices, &kept, gradient, wanted);
        for ((parent, values), input) in ops.parents.into_iter().zip(found).zip(&inputs) {
            if let Some(node) = parent {
                let shape: Vec<usize> = input.layout().shape().to_vec();
                grads.register::<Flex>(node.id, flex(values, &shape));
            }
        }
    }
}

fn slices<const N: usize>(tensors: &[FlexTensor; N]) -> Option<[&[f32]; N]> {
    let mut slices = [&[][..]; N];
    for (slice, tensor) in slices.iter_mut().zip(tensors) {
        *slice = tensor.as_slice::<f32>()?;
    }
    Some(slices)
}

fn flex(values: Vec<f32>, dims: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, dims.to_vec()))
}
