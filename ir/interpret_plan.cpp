#include "ir/interpret_plan.h"

#include "ir/diagnostics.h"
#include "ir/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace cpuflow::ir {

namespace {

constexpr double kTooLarge = 4 << 20;  // elements

bool is_view(Op op) { return op == Op::Rename || op == Op::Slice; }

/// Whether a plan can compute the value where it is read.
bool can_inline(Op op) { return is_elementwise(op) || is_view(op) || op == Op::Gather || op == Op::Constant || op == Op::Iota; }

/// Whether input `i` must be stored.
bool reads_stored(const Node& n, size_t i) { return n.op == Op::Gather ? i == 0 : !can_inline(n.op) && !is_reduction(n.op); }

double combine(Op op, double a, double b) {
  switch (op) {
    case Op::Sum:
      return a + b;
    case Op::Prod:
      return a * b;
    case Op::Max:
      return b > a || b != b ? b : a;
    default:
      return b < a || b != b ? b : a;
  }
}

double start_value(Op op) {
  switch (op) {
    case Op::Sum:
      return 0;
    case Op::Prod:
      return 1;
    case Op::Max:
      return -std::numeric_limits<double>::infinity();
    default:
      return std::numeric_limits<double>::infinity();
  }
}

}  // namespace

int64_t stride_in(const Axes& axes, const Axis& axis) {
  int64_t stride = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    if (axes[i] == axis) return stride;
    stride *= axes[i].size;
  }
  return 0;
}

std::vector<bool> choose_stored(const Graph& g, const std::vector<NodeId>& nodes, const std::vector<NodeId>& roots) {
  std::vector<NodeId> user(g.size(), kNoNode);
  std::vector<bool> many(g.size()), stored(g.size());
  for (NodeId r : roots) stored[r] = true;
  for (NodeId n : nodes) {
    for (size_t i = 0; i < g[n].inputs.size(); ++i) {
      const NodeId x = g[n].inputs[i];
      if (user[x] != kNoNode && user[x] != n) many[x] = true;
      user[x] = n;
      if (reads_stored(g[n], i)) stored[x] = true;
    }
  }
  // From users to inputs: how many elements the loops that a value is computed in have.
  std::vector<double> loops(g.size());
  auto elements = [](const Axes& axes) {
    double count = 1;
    for (const Axis& a : axes) count *= a.size;
    return count;
  };
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    const Node& n = g[*it];
    const double own = elements(n.axes);
    const bool source = n.op == Op::Constant || n.op == Op::Iota;
    bool inlined = can_inline(n.op) && !stored[*it] && user[*it] != kNoNode;
    if (inlined && !source && own <= kTooLarge) inlined = !many[*it] && (is_view(n.op) || own >= loops[user[*it]]);
    stored[*it] = !inlined;
    loops[*it] = inlined && !many[*it] ? std::max(own, loops[user[*it]]) : is_reduction(n.op) ? elements(union_of(n.axes, n.from)) : own;
  }
  return stored;
}

Plan::Plan(const Graph& g, NodeId root, const std::vector<bool>& stored, const std::map<Axis, int64_t>& fixed)
    : g_(g), root_(root), stored_(stored) {
  const Node& n = g[root];
  Axes fixed_here;
  for (const Axis& a : n.axes) (fixed.count(a) ? fixed_here : slots_).push_back(a);
  const size_t kept = slots_.size();
  if (is_reduction(n.op)) slots_.insert(slots_.end(), n.from.begin(), n.from.end());
  loops_ = slots_.size();
  for (size_t i = 0; i < loops_; ++i) {
    if (slots_[i].size >= slots_[strip_].size) strip_ = i;
  }
  strip_reduced_ = strip_ >= kept;
  slots_.insert(slots_.end(), fixed_here.begin(), fixed_here.end());
  Place place;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Affine a;
    a.strides.assign(slots_.size(), 0);
    a.strides[i] = 1;
    place[slots_[i]] = a;
  }
  out_.strides.assign(slots_.size(), 0);
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!is_reduction(n.op) || !contains(n.from, slots_[i])) out_.strides[i] = stride_in(n.axes, slots_[i]);
  }
  result_ = compile(is_reduction(n.op) ? n.inputs[0] : root, place);
  index_.assign(slots_.size(), 0);
  registers_.resize(instrs_.size());
  for (size_t i = 0; i < instrs_.size(); ++i) registers_[i].resize(instrs_[i].varies ? kStrip : 1);
}

Plan::Affine Plan::offset(const Axes& layout, const Place& place) const {
  Affine sum;
  sum.strides.assign(slots_.size(), 0);
  for (const Axis& a : layout) {
    auto it = place.find(a);
    if (it == place.end()) throw InternalError("interpret: an axis without a loop: " + a.str());
    const int64_t stride = stride_in(layout, a);
    sum.base += stride * it->second.base;
    for (size_t i = 0; i < slots_.size(); ++i) sum.strides[i] += stride * it->second.strides[i];
  }
  return sum;
}

uint32_t Plan::emit(Instr instr) {
  if (loops_ > 0 && !instr.at.strides.empty()) instr.varies = instr.at.strides[strip_] != 0;
  for (uint32_t a : instr.args) instr.varies = instr.varies || instrs_[a].varies;
  instrs_.push_back(std::move(instr));
  return static_cast<uint32_t>(instrs_.size() - 1);
}

uint32_t Plan::compile(NodeId id, const Place& given) {
  const Node& n = g_[id];
  Place place;
  std::string key = std::to_string(id);
  for (const Axis& a : n.axes) {
    const Affine& at = given.at(a);
    place[a] = at;
    key += fmt::format("|{}", at.base);
    for (int64_t s : at.strides) key += fmt::format(",{}", s);
  }
  if (auto it = known_.find(key); it != known_.end()) return it->second;
  Instr instr;
  uint32_t result;
  // The root itself is what is being computed, not something to load.
  if (stored_[id] && id != root_) {
    instr.kind = Instr::Kind::Load;
    instr.tensor = id;
    instr.at = offset(n.axes, place);
    result = emit(std::move(instr));
  } else if (n.op == Op::Constant) {
    instr.value = n.value;
    result = emit(std::move(instr));
  } else if (n.op == Op::Iota) {
    instr.kind = Instr::Kind::Counter;
    instr.at = place[n.axes[0]];
    instr.at.base += static_cast<int64_t>(n.value);
    result = emit(std::move(instr));
  } else if (n.op == Op::Rename) {
    Place inner = place;
    for (const Axis& a : n.to) inner.erase(a);
    for (size_t i = 0; i < n.from.size(); ++i) inner[n.from[i]] = place[n.to[i]];
    result = compile(n.inputs[0], inner);
  } else if (n.op == Op::Slice) {
    Place inner = place;
    Affine at = place[n.to[0]];
    inner.erase(n.to[0]);
    at.base = n.ints[0] + n.ints[1] * at.base;
    for (int64_t& s : at.strides) s *= n.ints[1];
    inner[n.from[0]] = at;
    result = compile(n.inputs[0], inner);
  } else if (n.op == Op::Gather) {
    instr.kind = Instr::Kind::LoadAt;
    instr.tensor = n.inputs[0];
    instr.args = {compile(n.inputs[1], place)};
    Place inner = place;
    Affine zero;
    zero.strides.assign(slots_.size(), 0);
    inner[n.from[0]] = zero;
    const Axes& layout = g_[n.inputs[0]].axes;
    instr.at = offset(layout, inner);
    instr.stride = stride_in(layout, n.from[0]);
    instr.size = n.from[0].size;
    result = emit(std::move(instr));
  } else {
    instr.kind = Instr::Kind::Apply;
    instr.op = n.op;
    instr.scalar = op_def(n.op).scalar;
    for (NodeId i : n.inputs) instr.args.push_back(compile(i, place));
    result = emit(std::move(instr));
  }
  known_[key] = result;
  return result;
}

void Plan::execute(const Instr& instr, size_t number, const std::vector<Tensor>& values, int64_t length) {
  double* out = registers_[number].data();
  const int64_t count = instr.varies ? length : 1;
  int64_t at = instr.at.base, step = 0;
  if (instr.kind == Instr::Kind::Counter || instr.kind == Instr::Kind::Load || instr.kind == Instr::Kind::LoadAt) {
    for (size_t s = 0; s < slots_.size(); ++s) at += instr.at.strides[s] * index_[s];
    step = loops_ > 0 ? instr.at.strides[strip_] : 0;
  }
  switch (instr.kind) {
    case Instr::Kind::Constant:
      out[0] = instr.value;
      break;
    case Instr::Kind::Counter:
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<double>(at + step * i);
      break;
    case Instr::Kind::Load: {
      const double* in = values[instr.tensor].data.data() + at;
      for (int64_t i = 0; i < count; ++i) out[i] = in[step * i];
      break;
    }
    case Instr::Kind::LoadAt: {
      const double* in = values[instr.tensor].data.data() + at;
      const double* index = registers_[instr.args[0]].data();
      const int64_t si = instrs_[instr.args[0]].varies;
      for (int64_t i = 0; i < count; ++i) {
        const double k = index[si * i];
        out[i] = k >= 0 && k < static_cast<double>(instr.size) ? in[step * i + static_cast<int64_t>(k) * instr.stride] : 0.0;
      }
      break;
    }
    case Instr::Kind::Apply: {
      const double* in[3] = {nullptr, nullptr, nullptr};
      int64_t s[3] = {0, 0, 0};
      for (size_t a = 0; a < instr.args.size(); ++a) {
        in[a] = registers_[instr.args[a]].data();
        s[a] = instrs_[instr.args[a]].varies;
      }
      if (instr.op == Op::Mul) {
        for (int64_t i = 0; i < count; ++i) out[i] = in[0][s[0] * i] * in[1][s[1] * i];
      } else if (instr.op == Op::Add) {
        for (int64_t i = 0; i < count; ++i) out[i] = in[0][s[0] * i] + in[1][s[1] * i];
      } else {
        double operands[3];
        for (int64_t i = 0; i < count; ++i) {
          for (size_t a = 0; a < instr.args.size(); ++a) operands[a] = in[a][s[a] * i];
          out[i] = instr.scalar(operands);
        }
      }
      break;
    }
  }
}

void Plan::run(std::vector<Tensor>& values, const std::map<Axis, int64_t>& fixed) {
  const Op op = g_[root_].op;
  const bool reduces = is_reduction(op);
  double* out = values[root_].data.data();
  int64_t base = 0;
  for (size_t s = loops_; s < slots_.size(); ++s) {
    index_[s] = fixed.at(slots_[s]);
    base += out_.strides[s] * index_[s];
  }
  std::fill(index_.begin(), index_.begin() + static_cast<int64_t>(loops_), 0);
  const int64_t size = loops_ > 0 ? slots_[strip_].size : 1, step = loops_ > 0 ? out_.strides[strip_] : 0;
  const Instr& last = instrs_[result_];
  const double* value = registers_[result_].data();
  const int64_t sv = last.varies;
  while (true) {
    // Whether this is the first time that the elements are written: all indices of other reduced loops are 0.
    bool first = true;
    int64_t row = base;
    for (size_t i = 0; i < loops_; ++i) {
      row += out_.strides[i] * index_[i];
      if (reduces && i != strip_ && contains(g_[root_].from, slots_[i])) first = first && index_[i] == 0;
    }
    for (int64_t begin = 0; begin < size; begin += kStrip) {
      const int64_t length = std::min(kStrip, size - begin);
      if (loops_ > 0) index_[strip_] = begin;
      for (size_t i = 0; i < instrs_.size(); ++i) {
        if (instrs_[i].varies || begin == 0) execute(instrs_[i], i, values, length);
      }
      double* to = out + row + begin * step;
      if (!reduces) {
        for (int64_t i = 0; i < length; ++i) to[i * step] = value[sv * i];
      } else if (strip_reduced_) {
        double sum = first && begin == 0 ? start_value(op) : *to;
        for (int64_t i = 0; i < length; ++i) sum = combine(op, sum, value[sv * i]);
        *to = sum;
      } else {
        for (int64_t i = 0; i < length; ++i) to[i * step] = combine(op, first ? start_value(op) : to[i * step], value[sv * i]);
      }
    }
    if (loops_ > 0) index_[strip_] = 0;
    size_t i = loops_;
    bool more = false;
    while (i-- > 0) {
      if (i == strip_) continue;
      if (++index_[i] < static_cast<int64_t>(slots_[i].size)) {
        more = true;
        break;
      }
      index_[i] = 0;
    }
    if (!more) return;
  }
}

}  // namespace cpuflow::ir
