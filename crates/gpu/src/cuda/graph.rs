//! Launches that were recorded once and are replayed together: one call to the driver instead of many.

use cudarc::driver::{CudaGraph, sys};

use super::{Cuda, Stream, failed};
use crate::error::GpuError;

/// A recorded piece of work.
pub struct Graph(CudaGraph);

// SAFETY: a graph's handles may be used from any thread, one at a time; launching and dropping take it whole or by `&mut`
// owners. The context is bound to the thread by each call.
unsafe impl Send for Graph {}

impl Stream {
    /// Records what `work` launches, without running it. It may not allocate, read or write.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<Graph, GpuError> {
        self.stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(failed("begin a graph"))?;
        let worked = work();
        // Ended in any case, or the stream would go on recording.
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
        let graph = self.stream.end_capture(flags);
        worked?;
        let graph = graph.map_err(failed("end a graph"))?;
        graph
            .map(Graph)
            .ok_or_else(|| GpuError::Driver { action: "end a graph", problem: "nothing was launched".into() })
    }
}

impl Cuda {
    /// As [`Stream::capture`].
    pub fn capture(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<Graph, GpuError> {
        self.stream.capture(work)
    }
}

impl Graph {
    /// Replays the launches.
    ///
    /// # Safety
    /// All memory that the launches were given is still allocated, and nothing else uses it meanwhile.
    pub unsafe fn launch(&self) -> Result<(), GpuError> {
        self.0.launch().map_err(failed("launch a graph"))
    }
}
