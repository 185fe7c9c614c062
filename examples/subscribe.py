#!/usr/bin/env python3
"""Prints the tracks of one drone, or of all.

    python3 -m venv .venv && .venv/bin/pip install eclipse-zenoh    # once; Debian: apt-get install python3-venv
    .venv/bin/python examples/subscribe.py [--connect tcp/127.0.0.1:7447] [--drone uav1]

First what is known already (a query), then each new record as it comes. Positions that are not fresh are marked.
"""

import argparse
import json
import time

import zenoh

FRESH_S = 2.0
# Clocks may differ by so much.
CLOCKS_S = 0.5


def line(key, record):
    """One record as a line of text."""
    position = record.get("position")
    if position is None:
        where = "no position"
    else:
        where = f"{position['lat_deg']:.6f} {position['lon_deg']:.6f} CE90 {position['ce90_m']:.1f} m ({position['basis']})"
    age_s = time.time() - record["captured_us"] * 1e-6
    if record["state"] != "locked":
        stale = f"  NOT FRESH: {record.get('reason') or record['state']}"
    elif age_s >= FRESH_S:
        stale = f"  NOT FRESH: {age_s:.0f} s old"
    elif age_s < -CLOCKS_S:
        stale = "  NOT KNOWN TO BE FRESH: the drone's clock is ahead of this one"
    else:
        stale = ""
    return f"{key}  #{record['sequence']}  {record['state']:9}  {where}  {age_s * 1e3:.0f} ms old{stale}"


def show(sample):
    """Prints a record, or that its target is gone."""
    key = str(sample.key_expr)
    if sample.kind == zenoh.SampleKind.DELETE:
        print(f"{key}  dropped", flush=True)
        return
    print(line(key, json.loads(sample.payload.to_string())), flush=True)


def main():
    """Joins the bus and prints until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connect", default="tcp/127.0.0.1:7447", help="where smgeo listens")
    parser.add_argument("--drone", default="*", help="the drone's name; * for all")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after this time")
    arguments = parser.parse_args()

    config = zenoh.Config()
    config.insert_json5("mode", '"client"')
    config.insert_json5("connect/endpoints", json.dumps([arguments.connect]))
    keys = f"smgeo/{arguments.drone}/track/*"
    with zenoh.open(config) as session:
        session.declare_subscriber(keys, show)
        for reply in session.get(keys, timeout=2.0):
            if reply.ok is not None:
                show(reply.ok)
        end = time.monotonic() + arguments.seconds
        try:
            while time.monotonic() < end:
                time.sleep(0.1)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
