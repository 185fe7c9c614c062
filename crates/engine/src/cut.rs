//! Cuts the locator where the query comes in. What depends on the window alone is computed once per window and kept: a
//! target's window stays where it is while its queries change with every frame. Nodes are sorted into two graphs, and those left
//! out that choose the one window there is, so the answer is the same, but for the last bit where a backend would have fused
//! operators over the cut.

use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{
    DataType, Dimension, GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, TypeProtoTensor,
    ValueInfoProto,
};

/// The input that carries the window.
const REFERENCE: &str = "reference";

/// The input that says which window each query asks about.
const WINDOW: &str = "window";

/// The locator as two graphs.
pub struct Cut {
    whole: ModelProto,
    is_map: Vec<bool>,
    carried: Vec<String>,
}

impl Cut {
    /// Cuts a locator. `None`: nothing but shapes depends on the window alone, or it has parts that cannot be sorted.
    pub fn of(locator: &[u8]) -> Option<Cut> {
        let whole = ModelProto::parse_buf(locator).ok()?;
        let graph = whole.graph.as_ref()?;
        // A subgraph reads values that its node does not list.
        if graph.node.iter().any(|node| node.attribute.iter().any(|attribute| attribute.g.is_some())) {
            return None;
        }
        let is_map = map_nodes(graph)?;
        let made: HashSet<&str> = outputs(graph, &is_map, true).collect();
        let mut carried: Vec<String> = Vec::new();
        for node in nodes(graph, &is_map, false) {
            let crossing = node.input.iter().filter(|name| made.contains(name.as_str()));
            for name in crossing {
                if !carried.contains(name) {
                    carried.push(name.clone());
                }
            }
        }
        (!carried.is_empty()).then_some(Cut { is_map, carried, whole })
    }

    /// The values that go from the first graph to the second, f32.
    pub fn carried(&self) -> &[String] {
        &self.carried
    }

    /// The first graph as an ONNX file: `reference` in, the carried values out.
    pub fn map(&self) -> Option<Vec<u8>> {
        let outputs = self.carried.iter().map(|name| value(name, None)).collect();
        self.file(true, Vec::new(), outputs)
    }

    /// The second graph as an ONNX file: the locator's inputs and the carried values in, its outputs out. `ranks` are the
    /// numbers of dimensions of the carried values, for backends that ask for them.
    pub fn matching(&self, ranks: Option<&[usize]>) -> Option<Vec<u8>> {
        let graph = self.whole.graph.as_ref()?;
        let rank = |at: usize| ranks.and_then(|ranks| ranks.get(at).copied());
        let more = self.carried.iter().enumerate().map(|(at, name)| value(name, rank(at))).collect();
        self.file(false, more, graph.output.clone())
    }

    fn file(&self, map: bool, more: Vec<ValueInfoProto>, output: Vec<ValueInfoProto>) -> Option<Vec<u8>> {
        let graph = self.whole.graph.as_ref()?;
        let mut node: Vec<NodeProto> = nodes(graph, &self.is_map, map).cloned().collect();
        if !map {
            leave_choices_out(&mut node);
        }
        let used: HashSet<&str> = node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        let is_used = |name: &Option<String>| name.as_deref().is_some_and(|name| used.contains(name));
        let mut input: Vec<_> = graph.input.iter().filter(|info| is_used(&info.name)).cloned().collect();
        input.extend(more);
        let initializer = graph.initializer.iter().filter(|tensor| is_used(&tensor.name)).cloned().collect();
        let graph = GraphProto { node, initializer, input, output, value_info: Vec::new() };
        let model = ModelProto {
            ir_version: self.whole.ir_version,
            opset_import: self.whole.opset_import.clone(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        model.write_buf().ok()
    }
}

/// Says which nodes depend on the window alone. What follows from its shape stays with the query: it costs nothing and is no f32.
fn map_nodes(graph: &GraphProto) -> Option<Vec<bool>> {
    let constants = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let mut free: HashSet<&str> = constants.collect();
    let mut map: HashSet<&str> = HashSet::from([REFERENCE]);
    let mut seen: HashSet<&str> = graph.input.iter().filter_map(|info| info.name.as_deref()).collect();
    let mut is_map = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        let inputs = || node.input.iter().map(String::as_str).filter(|name| !name.is_empty());
        // ONNX lists nodes in the order of their dependencies; a file that does not is not cut.
        if !inputs().all(|name| seen.contains(name) || free.contains(name)) {
            return None;
        }
        let results = || node.output.iter().map(String::as_str);
        let of_map = node.op_type.as_deref() != Some("Shape")
            && inputs().any(|name| map.contains(name))
            && inputs().all(|name| map.contains(name) || free.contains(name));
        match of_map {
            true => map.extend(results()),
            false if inputs().all(|name| free.contains(name)) => free.extend(results()),
            false => {}
        }
        seen.extend(results());
        is_map.push(of_map);
    }
    // Nodes without any input but constants are needed on the side that uses them; only the second graph holds them.
    let needs_free =
        |(node, of_map): (&NodeProto, &bool)| *of_map && node.input.iter().any(|name| is_made(graph, &free, name));
    (!graph.node.iter().zip(&is_map).any(needs_free)).then_some(is_map)
}

/// Whether a node makes this constant, rather than a weight of the file.
fn is_made(graph: &GraphProto, free: &HashSet<&str>, name: &str) -> bool {
    free.contains(name) && graph.node.iter().any(|node| node.output.iter().any(|made| made == name))
}

fn nodes<'a>(graph: &'a GraphProto, is_map: &'a [bool], map: bool) -> impl Iterator<Item = &'a NodeProto> {
    graph.node.iter().zip(is_map).filter(move |(_, of_map)| **of_map == map).map(|(node, _)| node)
}

fn outputs<'a>(graph: &'a GraphProto, is_map: &'a [bool], map: bool) -> impl Iterator<Item = &'a str> {
    nodes(graph, is_map, map).flat_map(|node| &node.output).map(String::as_str)
}

/// Leaves out where nodes choose a query's window: there is only one, and what is computed of query and window takes it for all
/// queries by itself.
fn leave_choices_out(nodes: &mut Vec<NodeProto>) {
    let mut asked = HashSet::from(["query", "click"]);
    for node in &*nodes {
        if node.input.iter().any(|name| asked.contains(name.as_str())) {
            asked.extend(node.output.iter().map(String::as_str));
        }
    }
    let with_query = |node: &NodeProto| {
        let spreads = matches!(node.op_type.as_deref(), Some("MatMul" | "Mul" | "Add" | "Sub" | "Div"));
        spreads && node.input.iter().any(|name| asked.contains(name.as_str()))
    };
    let chosen = |node: &NodeProto| match (node.op_type.as_deref(), &*node.input, &*node.output) {
        (Some("Gather"), [from, by], [choice]) if by == WINDOW && !asked.contains(from.as_str()) => {
            let mut readers = nodes.iter().filter(|reader| reader.input.contains(choice)).peekable();
            (readers.peek().is_some() && readers.all(with_query)).then(|| (choice.clone(), from.clone()))
        }
        _ => None,
    };
    let choices: HashMap<String, String> = nodes.iter().filter_map(chosen).collect();
    nodes.retain(|node| !node.output.iter().any(|name| choices.contains_key(name)));
    for name in nodes.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(from) = choices.get(name) {
            name.clone_from(from);
        }
    }
}

/// Declares an f32 value of open shape, or of open sizes where its rank is known.
fn value(name: &str, rank: Option<usize>) -> ValueInfoProto {
    let open = |axis: usize| Dimension { dim_value: None, dim_param: Some(format!("{name}_{axis}")) };
    let shape = rank.map(|rank| TensorShapeProto { dim: (0..rank).map(open).collect() });
    let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape };
    let kind = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(kind) }
}
