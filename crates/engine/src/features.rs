//! What the encoder makes of one image: a square map of `cells` x `cells` vectors of `channels` numbers.

use std::fmt;
use std::sync::Arc;

use crate::error::EngineError;

/// Features of one image, `[cells, cells, channels]` row-major, f32. Cloning shares the numbers.
#[derive(Clone, PartialEq)]
pub struct Features {
    values: Arc<[f32]>,
    cells: usize,
    channels: usize,
}

impl Features {
    /// Features from their numbers. `cells` is the edge of the map, 256 / stride.
    pub fn new(values: Arc<[f32]>, cells: usize, channels: usize) -> Result<Features, EngineError> {
        if cells == 0 || channels == 0 || values.len() != cells * cells * channels {
            let problem = format!("{} numbers cannot be features of {cells} x {cells} x {channels}", values.len());
            return Err(EngineError::Shape(problem));
        }
        Ok(Features { values, cells, channels })
    }

    /// Features that are all zero, for trying a network out.
    pub(crate) fn zero(cells: usize, channels: usize) -> Result<Features, EngineError> {
        Features::new(vec![0.0; cells * cells * channels].into(), cells, channels)
    }

    /// Whether both are clones of one.
    pub fn shares_with(&self, other: &Features) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    /// Makes these the features of other numbers of the same shape, in place where nobody else shares the memory.
    pub(crate) fn replace(&mut self, values: &[f32]) {
        match Arc::get_mut(&mut self.values) {
            Some(own) if own.len() == values.len() => own.copy_from_slice(values),
            _ => self.values = values.into(),
        }
    }

    /// All numbers, `[cells, cells, channels]` row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Edge of the map, cells.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Numbers a cell.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Memory the numbers take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.values)
    }

    /// The numbers of one row of cells, `[cells, channels]`.
    pub fn row(&self, row: usize) -> &[f32] {
        let length = self.cells * self.channels;
        &self.values[row * length..(row + 1) * length]
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({} x {} x {})", self.cells, self.cells, self.channels)
    }
}
