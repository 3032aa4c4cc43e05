#!/bin/bash
# Installs what is missing, builds cpuflowc, writes the story corpus, compiles the v5-LN model, trains it for two minutes and lets it
# write three stories.  BUDGET=10m scripts/demo.sh trains longer.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
budget="${BUDGET:-2m}"

bash scripts/install.sh
echo "build: build/cpuflowc, some minutes the first time"
configure
cmake --build build -j "$jobs" --target cpuflow cpuflow_jit_module

mkdir -p runs
number=1
while [ -e "runs/demo-$number" ]; do number=$((number + 1)); done
run="runs/demo-$number"
[ -s runs/stories.txt ] || build/cpuflowc corpus runs/stories.txt
build/cpuflowc compile v5ln
# Two minutes are few tokens: many small steps teach more than few large ones.  Early large steps would saturate the gates (the position
# is a sum of T learned steps, so its updates grow with T), hence the long warm-up and a T that just holds a story.
build/cpuflowc train v5ln --data runs/stories.txt --out "$run" --budget "$budget" --trigram \
  --set T=208 train.batch=4 train.lr=1e-3 train.warmup_share=0.4
seed=1
for prompt in "Once upon a time" "One day, a little" "There was a"; do
  echo
  echo "--- story $seed of 3 ---"
  build/cpuflowc sample "$run" "$prompt" --seed "$seed" --temperature 0.7 --top-k 40
  seed=$((seed + 1))
done
echo
echo "demo: the trained model is in $run; more stories: build/cpuflowc sample $run \"Once upon a time\""
