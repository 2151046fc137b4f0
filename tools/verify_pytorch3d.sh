#!/usr/bin/env bash
# Neighbour tests with PyTorch3D, in a fresh environment that is removed afterwards.
#
#     tools/verify_pytorch3d.sh [FOLDER]
#
# PyTorch3D has no Linux file on PyPI; easypytorch3d is the same code built for torch 2.11 and CUDA
# 13, whose libraries must be there even when tensors are on the CPU: 5 GB in FOLDER (default: the
# temporary folder), 10 GB of them free.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
where=${1:-${TMPDIR:-/tmp}}

free=$(df -Pk "$where" | awk 'NR == 2 { print int($4 / 1048576) }')
if [ "$free" -lt 10 ]; then
  echo "verify_pytorch3d: expected 10 GB free in $where, found $free; name another folder" >&2
  exit 1
fi

venv=$(mktemp -d "$where/verify-pytorch3d-XXXXXX")
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
# shellcheck disable=SC1091
. "$venv/bin/activate"
# In one call, so that nothing moves torch.
pip install --quiet --no-cache-dir torch==2.11.0 easypytorch3d==0.7.9.post1 "$root" pytest beartype

unset GEOFLOW_NEIGHBORS
cd "$root"
export PYTHONPATH=$root:$root/datasets:$root/tools:$root/viewer
python - <<'PYTHON'
import platform
from importlib.metadata import version

from geoflow.geometry.neighbors import OPERATIONS, backend_for, missing

assert missing("pytorch3d") is None, missing("pytorch3d")
answers = {operation: backend_for(operation) for operation in OPERATIONS}
assert set(answers.values()) == {"pytorch3d"}, answers
names = ("torch", "easypytorch3d", "numpy", "scipy")
print(f"Python {platform.python_version()},", ", ".join(f"{n} {version(n)}" for n in names))
PYTHON
python -m geoflow info | grep neighbours
# The repository runs its tests in parallel by a plugin that is not needed here.
python -m pytest -q -p no:cacheprovider -o addopts= tests/test_neighbors.py
echo "verify_pytorch3d: passed"
