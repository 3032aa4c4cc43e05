#include "passes/audit/numbers.h"

#include "passes/audit/audits.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

uint64_t mixed(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double uniform(uint64_t key) { return (static_cast<double>(mixed(key) >> 11) + 0.5) * 0x1p-53; }

/// Calls f(offset, key) for each element; the key depends on the element's indices, not on the sizes of axes.
void for_each_key(const Axes& axes, uint64_t seed, const std::function<void(size_t, uint64_t)>& f) {
  std::vector<uint32_t> at(axes.size());
  for (size_t offset = 0, count = element_count(axes); offset < count; ++offset) {
    uint64_t key = seed;
    for (uint32_t i : at) key = mixed(key ^ (i + 1));
    f(offset, key);
    for (size_t i = at.size(); i-- > 0;) {
      if (++at[i] < axes[i].size) break;
      at[i] = 0;
    }
  }
}

}  // namespace

Tensors drawn_parameters(const Graph& g, double deviation, unsigned seed, const ParamRanges& ranges) {
  Tensors out;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (n.op != Op::Param || out.count(n.text)) continue;
    Tensor t{n.axes, std::vector<double>(element_count(n.axes))};
    for_each_key(n.axes, std::hash<std::string>{}(n.text) + seed, [&](size_t i, uint64_t key) {
      t.data[i] = deviation * std::sqrt(-2 * std::log(uniform(key))) * std::cos(2 * M_PI * uniform(key ^ 0x5555));
    });
    if (const auto range = ranges.find(n.text); range != ranges.end()) {
      for (double& x : t.data) x = std::clamp(x, range->second.first, range->second.second);
    }
    out[n.text] = std::move(t);
  }
  return out;
}

int64_t vocabulary_of(const Graph& g) {
  const Axes& axes = g[output_node(g, "logits")].axes;
  return axes.empty() ? 2 : axes.back().size;
}

Tensors drawn_text(const Graph& g, int64_t vocabulary, unsigned seed) {
  Tensors out;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (n.op != Op::Input || out.count(n.text)) continue;
    Tensor t{n.axes, std::vector<double>(element_count(n.axes))};
    const bool targets = n.text == "targets";
    for (size_t i = 0; i < t.data.size(); ++i) {
      const size_t positions = n.axes.empty() ? 1 : n.axes.back().size;
      const uint64_t sequence = i / positions, place = i % positions + (targets ? 1 : 0);
      t.data[i] = std::floor(uniform(mixed(seed + (sequence << 32)) ^ place) * static_cast<double>(vocabulary));
    }
    out[n.text] = std::move(t);
  }
  return out;
}

std::vector<int64_t> compared_tokens(const Graph& g, int64_t vocabulary) {
  constexpr size_t kMost = 8;
  std::set<int64_t> found;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Op op = g[id].op;
    if (op != Op::Eq && op != Op::Ne && op != Op::Lt && op != Op::Le) continue;
    for (const NodeId in : g[id].inputs) {
      const Node& n = g[in];
      if (n.dtype != DType::Int || (n.op != Op::Constant && n.op != Op::Literal)) continue;
      for (const double v : n.op == Op::Literal ? n.values : std::vector<double>{n.value}) {
        if (v >= 0 && v < static_cast<double>(vocabulary) && found.size() < kMost) found.insert(static_cast<int64_t>(v));
      }
    }
  }
  return {found.begin(), found.end()};
}

Tensors with_frequent_token(const Tensors& text, int64_t token, uint64_t step) {
  Tensors out = text;
  for (auto& [name, t] : out) {
    const size_t positions = t.axes.empty() ? 1 : t.axes.back().size;
    for (size_t i = 0; i < t.data.size(); ++i) {
      if ((i % positions + (name == "targets" ? 1 : 0)) % step == 0) t.data[i] = static_cast<double>(token);
    }
  }
  return out;
}

Tensors with_changed_token(const Tensors& text, int64_t sequence, int64_t place, int64_t vocabulary) {
  Tensors out = text;
  for (auto& [name, t] : out) {
    const int64_t positions = t.axes.empty() ? 1 : t.axes.back().size, at = place - (name == "targets" ? 1 : 0);
    if (at < 0 || at >= positions) continue;
    double& token = t.data[static_cast<size_t>(sequence * positions + at)];
    token = std::fmod(token + 1 + std::floor(static_cast<double>(vocabulary) / 3), static_cast<double>(vocabulary));
  }
  return out;
}

std::map<NodeId, Tensor> values_of(const Graph& g, const std::vector<NodeId>& nodes, const Tensors& parameters, const Tensors& text) {
  Graph wanted = g;
  wanted.outputs.clear();
  for (NodeId id : nodes) wanted.outputs.push_back({std::to_string(id), id});
  std::map<NodeId, Tensor> out;
  for (auto& [name, value] : interpret(wanted, parameters, text)) out[static_cast<NodeId>(std::stoul(name))] = std::move(value);
  return out;
}

}  // namespace cpuflow::passes::audit
