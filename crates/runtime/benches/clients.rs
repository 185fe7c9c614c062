//! What clients of the page cost: from a track put to be shown until every client has it, with 1, 10 and 100 of them.
//!
//! The server is the real one on a loopback port; the clients read WebSockets on a thread of their own.

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use harness::Harness;
use harness::client::{Socket, send};
use serde_json::json;
use smgeo_messages::Prompt;
use smgeo_runtime::web::WebConfig;
use tokio::sync::mpsc;

const CLIENTS: [usize; 3] = [1, 10, 100];
/// Clients have so long to come, or to leave.
const PAUSE: Duration = Duration::from_millis(200);

/// Opens so many clients on a thread of their own; each tells the number of every track it hears.
fn listen(address: String, clients: usize) -> mpsc::UnboundedReceiver<u64> {
    let (heard, hears) = mpsc::unbounded_channel();
    let listening = async move {
        let mut listening = Vec::new();
        for _ in 0..clients {
            let (mut socket, heard) = (Socket::open(&address, "/ws").await, heard.clone());
            listening.push(tokio::task::spawn_local(async move {
                loop {
                    let track = socket.hear("track").await;
                    if heard.send(track["track"]["sequence"].as_u64().unwrap_or(0)).is_err() {
                        return;
                    }
                }
            }));
        }
        for client in listening {
            // A client that has failed is missed by whoever counts.
            let _ = client.await;
        }
    };
    std::thread::spawn(move || actix_rt::System::new().block_on(listening));
    hears
}

/// Shows a track to everyone, and waits until all have it.
async fn show(
    server: &Harness,
    prompt: &Prompt,
    sequence: u64,
    hears: &mut mpsc::UnboundedReceiver<u64>,
    clients: usize,
) {
    server.publish(prompt, sequence);
    let mut left = clients;
    while left > 0 {
        if hears.recv().await.expect("the clients listen") == sequence {
            left -= 1;
        }
    }
}

fn clients(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("track to all clients");
    for clients in CLIENTS {
        let system = actix_rt::System::new();
        let config =
            WebConfig { listen: ([127, 0, 0, 1], 0).into(), live_clients_max: clients, ..WebConfig::default() };
        let server = system.block_on(async { Harness::start_with(config) });
        let prompt = system.block_on(async {
            server.show(100, true, Bytes::new());
            send(&server.address, "POST", "/api/v1/targets", &json!({ "frame": 100, "x": 64, "y": 36 })).await;
            server.prompt_set.borrow().targets[0].clone()
        });
        let mut hears = listen(server.address.clone(), clients);
        let mut sequence = 0;
        // Who has not come yet hears nothing: asked until all have.
        system.block_on(server.until_async("all clients are there", async || {
            sequence += 1;
            server.publish(&prompt, sequence);
            tokio::time::sleep(PAUSE).await;
            let mut count = 0;
            while let Ok(heard) = hears.try_recv() {
                count += usize::from(heard == sequence);
            }
            count == clients
        }));
        group.bench_function(BenchmarkId::from_parameter(clients), |bench| {
            bench.iter_custom(|rounds| {
                let begun = Instant::now();
                for _ in 0..rounds {
                    sequence += 1;
                    system.block_on(show(&server, &prompt, sequence, &mut hears, clients));
                }
                begun.elapsed()
            });
        });
        // Clients whose tracks nobody wants any more end with the next one, before their server does.
        drop(hears);
        system.block_on(async {
            server.publish(&prompt, sequence + 1);
            tokio::time::sleep(PAUSE).await;
        });
    }
}

criterion_group!(benches, clients);
criterion_main!(benches);
