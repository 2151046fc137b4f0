#!/usr/bin/env bash
# Train the model of many things that is shipped, geoflow/shipped/shapes, without a network.
#
#     tools/train_shipped.sh [--dry-run] [RUN]
#
# RUN is the run's folder (default: runs/shapes); where it holds a run already, that one goes on, so
# that a CPU may take several nights. Environment:
#
#     DATA      what to learn from, as of `geoflow train --kind shapes` (default: procedural); banks
#               made elsewhere are folders with train/ and val/: DATA=procedural+banks/furniture
#     MINUTES   of training in all (default: 9 with a GPU; on a CPU the default steps are taken)
#     SIZE      small, base or large (default: base)
#     BATCH     shapes of a step of the autoencoder (default: 64 with a GPU, else 4)
#     SHAPES    procedural shapes (default: 12000)
#
# --dry-run takes a few steps of a small model in a temporary folder, and checks what it wrote.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root:$root/datasets:$root/tools:$root/viewer
geoflow() { python -m geoflow "$@"; }

dry=no
if [ "${1:-}" = --dry-run ]; then
  dry=yes
  shift
fi
run=${1:-$root/runs/shapes}
gpu=$(python -c 'import torch; print("yes" if torch.cuda.is_available() else "no")')
data=${DATA:-procedural}
size=${SIZE:-base}
shapes=${SHAPES:-12000}
minutes=${MINUTES:-$([ "$gpu" = yes ] && echo 9 || echo 0)}
batch=${BATCH:-$([ "$gpu" = yes ] && echo 64 || echo 4)}
common=(--kind shapes --data "$data" --size "$size" --batch "$batch" --sheet-every 0)
# Files are all taken; a number is of shapes that are made.
number() { case "+$data+" in *+procedural+* | *+universe+*) common+=(--num-shapes "$1") ;; esac }

# Steps of both stages that fit into the minutes, two thirds of them for the autoencoder, from the
# time of a few steps here.
steps=()
if [ "$dry" = yes ]; then
  temporary=$(mktemp -d "${TMPDIR:-/tmp}/train-shipped-XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  run=$temporary/run
  common=(--kind shapes --data "$data" --size small --batch 2 --sheet-every 0)
  steps=(--autoencoder-steps 3 --steps 2)
  number 16
else
  number "$shapes"
fi
if [ "$dry" = no ] && [ "$minutes" != 0 ] && [ ! -f "$run/run.json" ]; then
  temporary=$(mktemp -d "${TMPDIR:-/tmp}/train-shipped-XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  geoflow train "${common[@]}" --no-progress --checkpoint-every 100000 \
    --autoencoder-steps 200 --steps 200 --out "$temporary/probe"
  read -r -a steps < <(python - "$temporary/probe/log.jsonl" "$minutes" <<'PYTHON'
import json
import sys

reports = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
seconds = {}
for stage in ("autoencoder", "flow"):
    times = [r["seconds"] for r in reports if r["stage"] == stage and "seconds" in r]
    # Between the two reports lie a hundred steps, without what comes before the first.
    seconds[stage] = (times[1] - times[0]) / 100
minutes = float(sys.argv[2])
first, second = (int(60 * share * minutes / seconds[s])
                 for s, share in (("autoencoder", 2 / 3), ("flow", 1 / 3)))
print("--autoencoder-steps", max(first, 1), "--steps", max(second, 1))
PYTHON
  )
fi

if [ -f "$run/run.json" ]; then
  geoflow train --kind shapes --resume --out "$run" --sheet-every 0
else
  geoflow train "${common[@]}" "${steps[@]}" --out "$run"
fi

weights=$run/model/model.safetensors
bytes=$(wc -c < "$weights")
if [ "$bytes" -gt 12000000 ]; then
  echo "train_shipped: $weights has $bytes bytes, at most 12 MB are shipped: take a smaller SIZE" >&2
  exit 1
fi
if [ "$dry" = yes ]; then
  geoflow sample --model "$run" --resolution 32 --out "$temporary/sample.obj"
  echo "train_shipped: a model of $bytes bytes was trained, stored, read and sampled"
else
  echo "train_shipped: $bytes bytes; to ship it: cp $run/model/* $root/geoflow/shipped/shapes/"
fi
