#include "ir/interpret.h"

#include "ir/diagnostics.h"
#include "ir/interpret_plan.h"
#include "ir/random_draw.h"
#include "ir/op.h"
#include "ir/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cpuflow::ir {

namespace {

/// Loops over axes; calls f with the offsets of up to three tensors.
template <class F>
void for_each(const Axes& axes, const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<int64_t>& c, F f) {
  std::vector<uint32_t> at(axes.size());
  int64_t x = 0, y = 0, z = 0;
  while (true) {
    f(x, y, z);
    size_t i = axes.size();
    while (i > 0) {
      --i;
      x += a[i], y += b[i], z += c[i];
      if (++at[i] < axes[i].size) break;
      x -= a[i] * axes[i].size, y -= b[i] * axes[i].size, z -= c[i] * axes[i].size;
      at[i] = 0;
      if (i == 0) return;
    }
    if (axes.empty()) return;
  }
}

class Interpreter {
 public:
  Interpreter(const Graph& g, const std::map<std::string, Tensor>& params, const std::map<std::string, Tensor>& inputs)
      : g_(g), params_(params), inputs_(inputs), values_(g.size()), plans_(g.size()) {}

  std::map<std::string, Tensor> run() {
    std::vector<NodeId> roots;
    for (const Output& o : g_.outputs) roots.push_back(o.node);
    const std::vector<NodeId> nodes = needed_by(g_, roots);
    stored_ = choose_stored(g_, nodes, roots);
    run_items(schedule(g_, nodes));
    std::map<std::string, Tensor> out;
    for (const Output& o : g_.outputs) out[o.name] = values_[o.node];
    return out;
  }

 private:
  void run_items(const std::vector<ScheduleItem>& items) {
    for (const ScheduleItem& item : items) {
      if (item.node != kNoNode) {
        if (stored_[item.node]) evaluate(item.node);
        continue;
      }
      for (uint32_t i = 0; i < item.axis.size; ++i) {
        fixed_[item.axis] = item.step > 0 ? i : item.axis.size - 1 - i;
        run_items(item.body);
      }
      fixed_.erase(item.axis);
    }
  }

  int64_t stride(NodeId id, const Axis& axis) const { return stride_in(values_[id].axes, axis); }
  std::vector<int64_t> strides(NodeId id, const Axes& axes) const {
    std::vector<int64_t> s;
    for (const Axis& a : axes) s.push_back(stride(id, a));
    return s;
  }
  /// Where the slice at the fixed indices begins.
  int64_t base(NodeId id) const {
    int64_t offset = 0;
    for (const auto& [axis, index] : fixed_) offset += stride(id, axis) * index;
    return offset;
  }
  Axes free(const Axes& axes) const {
    Axes kept;
    for (const Axis& a : axes) {
      if (!fixed_.count(a)) kept.push_back(a);
    }
    return kept;
  }

  void given(NodeId id, const std::map<std::string, Tensor>& tensors) {
    const Node& n = g_[id];
    auto it = tensors.find(n.text);
    if (it == tensors.end()) throw InternalError(fmt::format("interpret: no tensor for the {} '{}'", op_name(n.op), n.text));
    if (!std::is_permutation(n.axes.begin(), n.axes.end(), it->second.axes.begin(), it->second.axes.end()) ||
        it->second.data.size() != element_count(n.axes)) {
      throw InternalError(fmt::format("interpret: the tensor for the {} '{}' has other axes", op_name(n.op), n.text));
    }
    values_[id] = it->second;
    if (it->second.axes == n.axes) return;
    Tensor t{n.axes, std::vector<double>(it->second.data.size())};
    std::vector<int64_t> to, from;
    for (const Axis& a : n.axes) to.push_back(stride_in(n.axes, a)), from.push_back(stride_in(it->second.axes, a));
    for_each(n.axes, to, from, to, [&](int64_t x, int64_t y, int64_t) { t.data[x] = it->second.data[y]; });
    values_[id] = std::move(t);
  }

  void evaluate(NodeId id) {
    const Node& n = g_[id];
    Tensor& out = values_[id];
    if (n.op == Op::Param) return given(id, params_);
    if (n.op == Op::Input || (n.op == Op::Random && inputs_.count(n.text))) return given(id, inputs_);
    if (out.data.empty()) {
      out.axes = n.axes;
      out.data.assign(element_count(n.axes), 0.0);
    }
    switch (n.op) {
      case Op::Literal:
        out.data = n.values;
        return;
      case Op::Random:
        out = drawn(n, 0, 0);
        return;
      case Op::Reshape:
        return reshape(id);
      case Op::Concat:
        return concat(id);
      case Op::Scatter:
        return scatter(id);
      case Op::Argmax:
      case Op::TopkMask:
      case Op::Cumsum:
        return along(id);
      case Op::Carry:
        return carry(id);
      default:
        if (!plans_[id]) plans_[id] = std::make_unique<Plan>(g_, id, stored_, fixed_);
        plans_[id]->run(values_, fixed_);
    }
  }

  /// Offsets in `id` of the elements of `axes`, row-major.
  std::vector<int64_t> offsets(NodeId id, const Axes& axes) const {
    std::vector<int64_t> all;
    const std::vector<int64_t> s = strides(id, axes);
    for_each(axes, s, s, s, [&](int64_t x, int64_t, int64_t) { all.push_back(x); });
    return all;
  }

  void reshape(NodeId id) {
    const Node& n = g_[id];
    const NodeId x = n.inputs[0];
    const Axes rest = free(without(g_[x].axes, n.from));
    const std::vector<int64_t> from = offsets(x, n.from), to = offsets(id, n.to), none(rest.size());
    double* out = values_[id].data.data() + base(id);
    const double* in = values_[x].data.data() + base(x);
    for_each(rest, strides(id, rest), strides(x, rest), none, [&](int64_t o, int64_t i, int64_t) {
      for (size_t k = 0; k < from.size(); ++k) out[o + to[k]] = in[i + from[k]];
    });
  }

  void concat(NodeId id) {
    const Node& n = g_[id];
    int64_t begin = base(id);
    for (size_t part = 0; part < n.inputs.size(); ++part) {
      const NodeId x = n.inputs[part];
      const Axes rest = free(without(n.axes, n.to));
      Axes loops = rest;
      loops.push_back(n.from[part]);
      std::vector<int64_t> o = strides(id, rest), i = strides(x, loops);
      o.push_back(stride(id, n.to[0]));
      double* out = values_[id].data.data() + begin;
      const double* in = values_[x].data.data() + base(x);
      for_each(loops, o, i, i, [&](int64_t to, int64_t from, int64_t) { out[to] = in[from]; });
      begin += n.from[part].size * stride(id, n.to[0]);
    }
  }

  void scatter(NodeId id) {
    const Node& n = g_[id];
    const NodeId x = n.inputs[0], index = n.inputs[1];
    double* out = values_[id].data.data() + base(id);
    const Axes all = free(n.axes);
    for_each(all, strides(id, all), strides(id, all), strides(id, all), [&](int64_t o, int64_t, int64_t) { out[o] = 0; });
    const Axes loops = free(union_of(g_[x].axes, g_[index].axes));
    std::vector<int64_t> s = strides(id, loops);
    // An axis that is summed away may have the name of the result's axis.
    for (size_t i = 0; i < loops.size(); ++i) {
      if (contains(n.from, loops[i])) s[i] = 0;
    }
    const double* in = values_[x].data.data() + base(x);
    const double* at = values_[index].data.data() + base(index);
    const int64_t along = stride(id, n.to[0]), size = n.to[0].size;
    for_each(loops, s, strides(x, loops), strides(index, loops), [&](int64_t o, int64_t i, int64_t k) {
      if (at[k] >= 0 && at[k] < size) out[o + static_cast<int64_t>(at[k]) * along] += in[i];
    });
  }

  void along(NodeId id) {
    const Node& n = g_[id];
    const NodeId x = n.inputs[0];
    const Axis& axis = n.from[0];
    const Axes rest = free(without(g_[x].axes, n.from));
    const int64_t si = stride(x, axis), so = stride(id, axis), size = axis.size;
    double* out = values_[id].data.data() + base(id);
    const double* in = values_[x].data.data() + base(x);
    std::vector<int64_t> order(axis.size);
    const std::vector<int64_t> none(rest.size());
    for_each(rest, strides(id, rest), strides(x, rest), none, [&](int64_t o, int64_t i, int64_t) {
      if (n.op == Op::Argmax) {
        int64_t best = 0;
        for (int64_t k = 1; k < size; ++k) {
          if (in[i + k * si] > in[i + best * si]) best = k;
        }
        out[o] = static_cast<double>(best);
      } else if (n.op == Op::TopkMask) {
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return in[i + a * si] > in[i + b * si]; });
        for (int64_t k = 0; k < size; ++k) out[o + order[k] * so] = k < n.ints[0];
      } else {
        double sum = 0;
        for (int64_t step = 0; step < size; ++step) {
          const int64_t k = n.ints[0] ? size - 1 - step : step;
          if (n.ints[1]) out[o + k * so] = sum;
          sum += in[i + k * si];
          if (!n.ints[1]) out[o + k * so] = sum;
        }
      }
    });
  }

  void carry(NodeId id) {
    const Node& n = g_[id];
    const Axis& axis = n.from[0];
    const NodeId x = n.inputs[0], init = n.inputs.size() > 1 ? n.inputs[1] : kNoNode;
    const bool stepped = fixed_.count(axis) != 0;
    const Axes rest = free(without(n.axes, n.from));
    const std::vector<int64_t> none(rest.size());
    // Inside a cycle the axis is fixed, and the bases count its index already.
    const int64_t first = stepped ? fixed_[axis] : 0, last = stepped ? first : axis.size - 1;
    const int64_t so = stride(id, axis), si = values_[x].data.empty() ? 0 : stride(x, axis);
    for (int64_t k = first; k <= last; ++k) {
      const int64_t source = k - n.ints[0];
      double* out = values_[id].data.data() + base(id) + (k - first) * so;
      if (source >= 0 && source < axis.size) {
        const double* in = values_[x].data.data() + base(x) + (source - first) * si;
        for_each(rest, strides(id, rest), strides(x, rest), none, [&](int64_t o, int64_t i, int64_t) { out[o] = in[i]; });
      } else if (init != kNoNode) {
        const double* in = values_[init].data.data() + base(init);
        for_each(rest, strides(id, rest), strides(init, rest), none, [&](int64_t o, int64_t i, int64_t) { out[o] = in[i]; });
      } else {
        for_each(rest, strides(id, rest), none, none, [&](int64_t o, int64_t, int64_t) { out[o] = 0; });
      }
    }
  }

  const Graph& g_;
  const std::map<std::string, Tensor>&params_, &inputs_;
  std::vector<Tensor> values_;
  std::vector<std::unique_ptr<Plan>> plans_;
  std::vector<bool> stored_;
  std::map<Axis, int64_t> fixed_;
};

}  // namespace

std::map<std::string, Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& params,
                                        const std::map<std::string, Tensor>& inputs) {
  return Interpreter(graph, params, inputs).run();
}

Tensor drawn(const Node& random, uint64_t seed, uint64_t counter, std::optional<uint64_t> sequence) {
  Tensor out{random.axes, std::vector<double>(element_count(random.axes))};
  const uint32_t stream = stream_number(random.text);
  for (size_t i = 0; i < out.data.size(); ++i) {
    size_t rest = i, own = 0, element = 0, scale = 1;
    for (size_t d = random.axes.size(); d-- > 0;) {
      const size_t at = rest % random.axes[d].size;
      rest /= random.axes[d].size;
      if (random.axes[d].kind == AxisKind::Batch) {
        own = at;
      } else {
        element += scale * at;
        scale *= random.axes[d].size;
      }
    }
    out.data[i] = uniform_draw(seed, counter, sequence.value_or(own), stream, static_cast<uint32_t>(element));
  }
  return out;
}

}  // namespace cpuflow::ir
