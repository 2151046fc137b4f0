#!/usr/bin/env bash
# Train the model of many things that is shipped, geoflow/shipped/shapes, without a network.
#
#     tools/train_shipped.sh [--dry-run] MESHES [RUN]
#
# MESHES is a folder of meshes with splits.json (python -m geoflow_tools.fetch), or what
# `python -m geoflow_tools.train_shapes.packed` made of it, to be carried. RUN is the folder of the
# result (default: runs/shapes).
#
# With a GPU both networks are trained in MINUTES (default: 9.3), the autoencoder from the shipped
# one, in bfloat16, on shapes that are made beside it. On a CPU it is the default run of `geoflow
# train`, for which MESHES must be a folder: 24,000 and 12,000 steps, some tens of hours of one core;
# where RUN holds one already, that one goes on, so that it may be several nights.
#
# Then the decoder alone goes on, DECODER steps (default: 900, an hour and a quarter of two cores), and
# the network that mends fields beside points is trained, RESIDUAL steps (default: 12,000, an hour of
# one core); of the GPU's model in RUN/mended and where MESHES is a folder.
#
# --dry-run takes a few seconds of each of the two ways on the CPU, with small networks.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root:$root/datasets:$root/tools:$root/viewer
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

dry=no
if [ "${1:-}" = --dry-run ]; then
  dry=yes
  shift
fi
if [ $# -lt 1 ]; then
  echo "train_shipped: expected MESHES, a folder with splits.json or a packed file" >&2
  exit 2
fi
meshes=$1
run=${2:-$root/runs/shapes}
temporary=$(mktemp -d "${TMPDIR:-/tmp}/train-shipped-XXXXXX")
trap 'rm -rf "$temporary"' EXIT

against_the_clock() { # OUT [OPTION ...]
  local out=$1 packed=$meshes
  shift
  if [ -d "$meshes" ]; then
    packed=$temporary/packed
    python -m geoflow_tools.train_shapes.packed "$meshes" "$packed"
  fi
  python -m geoflow_tools.train_shapes --meshes "$packed" --work "$temporary/work" --out "$out" "$@"
}

if [ "$dry" = yes ]; then
  common=(--kind shapes --data procedural --num-shapes 16 --size small --sheet-every 0)
  python -m geoflow train "${common[@]}" --batch 2 --autoencoder-steps 3 --steps 2 \
    --decoder-steps 2 --residual-steps 2 --out "$temporary/night"
  against_the_clock "$temporary/gpu" --start "$temporary/night" --size small --device cpu \
    --seconds 20 --batch 2 --num-queries 64 --flow-batch 4 --draws 64 --makers 1 --loaders 1 \
    --first 4 --report-every 1 --amounts.procedural 8 --amounts.universe 13 \
    --amounts.assemblies 1 --amounts.copies 1
  for model in night gpu/model; do
    python -m geoflow sample --model "$temporary/$model" --resolution 32 --out "$temporary/a.obj"
  done
  echo "train_shipped: both ways were trained, stored, read and sampled"
  exit 0
fi

decoder=${DECODER:-900} residual=${RESIDUAL:-12000}
finishing=(--decoder-steps "$decoder" --residual-steps "$residual")
kind=(--kind shapes --sheet-every 0)
model=$run/model
if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  seconds=$(python -c "print(60 * float('${MINUTES:-9.3}'))")
  against_the_clock "$run" --seconds "$seconds"
  if [ -d "$meshes" ] && [ $((decoder + residual)) -gt 0 ]; then
    python -m geoflow train "${kind[@]}" --init-from "$run/model" --autoencoder-steps 0 \
      --flow-steps 0 "${finishing[@]}" --data "procedural+universe+$meshes" \
      --num-shapes 1400 --out "$run/mended"
    model=$run/mended/model
  fi
elif [ -f "$run/run.json" ]; then
  python -m geoflow train "${kind[@]}" --resume --out "$run"
else
  python -m geoflow train "${kind[@]}" --data "procedural+universe+$meshes" "${finishing[@]}" \
    --out "$run"
fi
echo "train_shipped: to ship it: cp $model/* $root/geoflow/shipped/shapes/"
