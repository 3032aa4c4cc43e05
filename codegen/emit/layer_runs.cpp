#include "codegen/emit/layer_runs.h"

#include <algorithm>
#include <set>

namespace cpuflow::codegen {
using namespace ir;

namespace {

/// The loops of steps that can do without their outermost one; null for the others.
const Axes* loops(const Step& step) {
  switch (step.kind) {
    case Step::Kind::Nest:
      return step.nest.reduced > 0 && step.nest.lane != 0 ? &step.nest.loops : nullptr;
    case Step::Kind::Product:
      return &step.product.loops;
    case Step::Kind::Pack:
      return &step.pack.loops;
    case Step::Kind::Choose:
      return &step.choose.loops;
    case Step::Kind::Fill:
    case Step::Kind::Shift:
      return nullptr;
  }
  return nullptr;
}

/// Whether a place belongs to the layer at hand.
bool of_layer(const LoopProgram& program, const Place& place, const Axis& layers) {
  const Axes& axes = program.buffers[place.buffer].axes;
  for (size_t d = 0; d < axes.size(); ++d) {
    if (axes[d] != layers) continue;
    const Index& index = place.indices[d];
    return program.buffers[place.buffer].strides[d] != 0 && index.computed == kNone && index.offset == 0 && index.terms.size() == 1 && index.along(layers) == 1;
  }
  return false;
}

}  // namespace

const Axis* outer_layers(const LoopProgram& program, const Step& step) {
  const Axes* const all = loops(step);
  if (!all || all->empty() || all->front().kind != AxisKind::Layer) return nullptr;
  bool own = true;
  for_each_place(program, step, [&](const Place& p, Access access) { own = own && (!writes(access) || of_layer(program, p, all->front())); });
  return own ? &all->front() : nullptr;
}

size_t run_of_layers(const LoopProgram& program, const std::vector<Step>& steps, size_t first) {
  const Axis* const layers = first < steps.size() ? outer_layers(program, steps[first]) : nullptr;
  if (!layers) return 0;
  std::set<BufferId> written, read_elsewhere;
  size_t count = 0;
  for (; first + count < steps.size(); ++count) {
    const Step& step = steps[first + count];
    const Axis* const its = outer_layers(program, step);
    if (!its || *its != *layers) break;
    for_each_place(program, step, [&](const Place& p, Access access) {
      if (writes(access)) written.insert(p.buffer);
      else if (!of_layer(program, p, *layers)) read_elsewhere.insert(p.buffer);
    });
    if (std::any_of(written.begin(), written.end(), [&](BufferId b) { return read_elsewhere.count(b) != 0; })) break;
  }
  return count;
}

Step of_one_layer(const Step& step) {
  Step out = step;
  for (Axes* all : {&out.nest.loops, &out.product.loops, &out.pack.loops, &out.choose.loops}) {
    if (!all->empty()) all->erase(all->begin());  // a step has the loops of its kind only
  }
  if (step.kind == Step::Kind::Nest) {
    --out.nest.reduced;
    if (out.nest.lane >= 0) --out.nest.lane;
  }
  return out;
}

}  // namespace cpuflow::codegen
