//! `smgeo-train`: trains SMGeo and produces engine packages.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use smgeo_engine::witness::Witnesses;
use smgeo_train::ablation::Study;
use smgeo_train::data::ground::Source;
use smgeo_train::eval::answer::LaidOut;
use smgeo_train::export::{Form, Precision};
use smgeo_train::onnx::GmoeLowering;

mod commands;

/// Trains SMGeo, measures it and exports engine packages.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains along a plan.
    Train {
        /// The plan, a TOML file.
        #[arg(long)]
        config: PathBuf,
        /// The run's folder: log, checkpoints, provenance.
        #[arg(long)]
        out: PathBuf,
        /// Goes on from the folder's checkpoint.
        #[arg(long)]
        resume: bool,
    },
    /// Renders made towns, to be trained on or, from seed 1,000,000 on, to be measured with.
    Towns {
        /// Folder for the towns.
        #[arg(long)]
        out: PathBuf,
        /// First seed.
        #[arg(long)]
        first: u64,
        /// How many towns.
        #[arg(long)]
        count: u64,
        /// Drone frames a town.
        #[arg(long, default_value_t = 48)]
        frames: usize,
    },
    /// Cuts your own orthophotos into tiles to train on.
    Ortho(OrthoArgs),
    /// Converts CVOGL, as it lies on disk, to a pair set.
    Cvogl {
        /// The set's folder, such as CVOGL_DroneAerial.
        #[arg(long)]
        folder: PathBuf,
        /// train, val or test.
        #[arg(long)]
        split: String,
        /// Folder for the pair set.
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes a pair set drawn from ground that the plan holds out.
    Pairs(PairsArgs),
    /// Measures a package or a run on a pair set, with controls.
    Eval {
        #[command(flatten)]
        model: Model,
        /// The pair set's folder.
        #[arg(long)]
        pairs: PathBuf,
        /// Writes the report as JSON.
        #[arg(long)]
        report: Option<PathBuf>,
        /// Takes queries of 256 x 256 px for photographs too, and tries a grid of headings, tilts and scales for them, as `smgeo
        /// locate` does. Those of any other size always are.
        #[arg(long)]
        photographs: bool,
        /// Asks about the object alone, without the witnesses around it that the engine hears. Queries that the set says are not
        /// laid out like the map never have any.
        #[arg(long)]
        alone: bool,
        /// Leaves out the controls, which take longer than the network.
        #[arg(long)]
        no_controls: bool,
    },
    /// Writes the engine package of a run's averaged weights.
    Export {
        /// The run's folder.
        #[arg(long)]
        weights: PathBuf,
        /// Another training of the same network, a run or a package, as often as wanted: the mean of all is exported, in equal
        /// parts.
        #[arg(long)]
        mean_with: Vec<PathBuf>,
        /// The package's folder.
        #[arg(long)]
        out: PathBuf,
        /// The model's name, for people.
        #[arg(long, default_value = "smgeo-nano")]
        name: String,
        /// How the mixture of experts is written.
        #[arg(long, default_value = "sparse")]
        lowering: Lowering,
        /// How weights are stored; the computation is in 32 bits either way.
        #[arg(long, default_value = "f32")]
        precision: PrecisionName,
        /// What the network was trained on, for the package to say: metres a pixel, the finest and the coarsest.
        #[arg(long, num_args = 2, value_names = ["FINEST", "COARSEST"], default_values_t = [0.45, 0.75])]
        gsd_m: Vec<f64>,
        /// Reports of `eval`; the first one's fitted temperature is taken, and all scores go into the manifest under the names of
        /// their files.
        #[arg(long)]
        report: Vec<PathBuf>,
    },
    /// Draws batches of a plan as PNG files, for a person to judge.
    View {
        /// The plan, a TOML file.
        #[arg(long)]
        config: PathBuf,
        /// Folder for the pictures.
        #[arg(long)]
        out: PathBuf,
        /// How many batches.
        #[arg(long, default_value_t = 4)]
        count: u64,
        /// Draws held-out ground instead of what is trained on.
        #[arg(long)]
        held_out: bool,
    },
    /// Draws answers of a package or a run to a pair set: heat, true and predicted boxes; of a run also which experts each
    /// grid cell was sent to.
    Inspect {
        #[command(flatten)]
        model: Model,
        /// The pair set's folder.
        #[arg(long)]
        pairs: PathBuf,
        /// Folder for the pictures.
        #[arg(long)]
        out: PathBuf,
        /// How many pairs, spread over the set.
        #[arg(long, default_value_t = 12)]
        count: usize,
    },
    /// Trains and measures the variants of the paper's tables II, III and IV, and weights of the loss, along a plan, and prints the tables.
    /// What is done already in the folder is not done again.
    Ablate {
        /// The plan that the variants differ from, a TOML file.
        #[arg(long)]
        config: PathBuf,
        /// The pair set that all are measured on, as `pairs` writes it.
        #[arg(long)]
        pairs: PathBuf,
        /// Folder for the runs and for tables.md.
        #[arg(long)]
        out: PathBuf,
        /// Optimiser steps of each variant.
        #[arg(long, default_value_t = 300)]
        steps: u64,
        /// Which comparisons; all without.
        #[arg(long)]
        study: Vec<StudyName>,
    },
    /// Draws a run's log as curves.
    Plot {
        /// The run's folder.
        #[arg(long)]
        run: PathBuf,
        /// The file: PNG if its name ends so, else SVG.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Which orthophotos are cut, and how.
#[derive(Args)]
struct OrthoArgs {
    /// GeoTIFFs, or plain pictures with --source-gsd-m. `AREA_DATE.tif` says which show the same ground, and when: smallville_2020.tif
    /// and smallville_2023.tif.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the tiles.
    #[arg(long)]
    out: PathBuf,
    /// Metres a pixel of the tiles.
    #[arg(long, default_value_t = 0.6)]
    gsd_m: f64,
    /// Metres a pixel of pictures that do not say where they lie.
    #[arg(long)]
    source_gsd_m: Option<f64>,
    /// The area of all files, whatever their names say.
    #[arg(long, value_name = "NAME")]
    city: Option<String>,
    /// Footprints of buildings, polygons in GeoJSON: in degrees, as OpenStreetMap has them, or in the system of the pictures.
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
}

/// Which pairs are drawn, and where they go.
#[derive(Args)]
struct PairsArgs {
    /// The plan, a TOML file.
    #[arg(long)]
    config: PathBuf,
    /// Folder for the set.
    #[arg(long)]
    out: PathBuf,
    /// Which ground.
    #[arg(long)]
    source: SourceName,
    /// How many pairs.
    #[arg(long, default_value_t = 300)]
    count: usize,
    /// Seed of the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draws from what is trained on instead.
    #[arg(long)]
    trained: bool,
    /// Leaves the drone views as the camera took them, at any heading and tilt.
    #[arg(long)]
    unposed: bool,
    /// Metres a pixel of the windows; without, 0.6 of aerial places and towns and 0.71 of scenes.
    #[arg(long)]
    gsd_m: Option<f64>,
}

/// What is measured: a package or a run.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Model {
    /// An engine package.
    #[arg(long)]
    package: Option<PathBuf>,
    /// A run's folder, whose averaged weights are taken.
    #[arg(long)]
    weights: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SourceName {
    Naip,
    Dubai,
    Town,
}

#[derive(Clone, Copy, ValueEnum)]
enum StudyName {
    /// Table II.
    Experts,
    /// Table III.
    TopK,
    /// Table IV.
    Placement,
    /// Weights of the loss.
    LossWeights,
}

impl From<StudyName> for Study {
    fn from(name: StudyName) -> Self {
        match name {
            StudyName::Experts => Self::Experts,
            StudyName::TopK => Self::TopK,
            StudyName::Placement => Self::Placement,
            StudyName::LossWeights => Self::LossWeights,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum PrecisionName {
    F32,
    F16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::F16 => Self::F16,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Lowering {
    Custom,
    Sparse,
    Static,
}

impl From<Lowering> for GmoeLowering {
    fn from(name: Lowering) -> Self {
        match name {
            Lowering::Custom => Self::Custom,
            Lowering::Sparse => Self::Sparse,
            Lowering::Static => Self::Static,
        }
    }
}

impl From<SourceName> for Source {
    fn from(name: SourceName) -> Self {
        match name {
            SourceName::Naip => Self::Naip,
            SourceName::Dubai => Self::Dubai,
            SourceName::Town => Self::Town,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // A file takes no colours. A terminal does, unless NO_COLOR is set.
    match std::io::stderr().is_terminal() {
        true => log.init(),
        false => log.with_ansi(false).init(),
    }
    match Arguments::parse().command {
        Command::Train { config, out, resume } => commands::train(&config, &out, resume),
        Command::Towns { out, first, count, frames } => commands::towns(&out, first, count, frames),
        Command::Ortho(wanted) => commands::ortho(wanted),
        Command::Cvogl { folder, split, out } => commands::cvogl(&folder, &split, &out),
        Command::Pairs(drawn) => commands::pairs(&drawn),
        Command::Eval { model, pairs, report, photographs, alone, no_controls } => {
            let mut predictor = commands::predictor(model.package.as_deref(), model.weights.as_deref())?;
            let laid_out = if photographs { LaidOut::Never } else { LaidOut::BySize };
            let witnesses = if alone { Witnesses::NotHeard } else { Witnesses::of(predictor.fusion()) };
            commands::eval(predictor.as_mut(), &pairs, report.as_deref(), laid_out, witnesses, !no_controls)
        }
        Command::Export { weights, mean_with, out, name, lowering, precision, gsd_m, report } => {
            let form = Form { lowering: lowering.into(), precision: precision.into() };
            let gsd_m_range = [gsd_m[0], gsd_m[1]];
            commands::export(&weights, &mean_with, &out, &name, form, gsd_m_range, &report)
        }
        Command::View { config, out, count, held_out } => commands::view(&config, &out, count, held_out),
        Command::Inspect { model, pairs, out, count } => {
            let mut predictor = commands::predictor(model.package.as_deref(), model.weights.as_deref())?;
            commands::inspect(predictor.as_mut(), model.weights.as_deref(), &pairs, &out, count)
        }
        Command::Ablate { config, pairs, out, steps, study } => {
            let studies: Vec<Study> = study.into_iter().map(Study::from).collect();
            commands::ablate(&config, &pairs, &out, steps, if studies.is_empty() { &Study::ALL } else { &studies })
        }
        Command::Plot { run, out } => commands::plot(&run, &out),
    }
}
