//! `smgeo-train`: trains SMGeo and produces engine packages.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Train { config, out, resume } => commands::train(&config, &out, resume),
        Command::View { config, out, count, held_out } => commands::view(&config, &out, count, held_out),
    }
}
