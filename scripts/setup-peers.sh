#!/usr/bin/env bash
# Makes a Python environment with the public clients that smgeo's outputs are tried with: zenoh's and MAVLink's. Put its bin folder first
# on the PATH of `make test`, and the tests that were skipped for want of them run. Needs python3 with venv and the Python package index.
# Usage: setup-peers.sh FOLDER
set -euo pipefail
folder=${1:?usage: setup-peers.sh FOLDER}
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check 'eclipse-zenoh>=1.10,<2' 'pymavlink>=2.4,<3'
echo "setup-peers.sh: export PATH=$folder/bin:\$PATH"
