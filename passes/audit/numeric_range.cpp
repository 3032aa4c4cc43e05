#include "passes/audit/audits.h"
#include "passes/audit/intervals.h"
#include "passes/audit/numbers.h"
#include "passes/kit/bounds.h"
#include "passes/kit/conditions.h"
#include "passes/kit/rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// An argument that is not proved to stay where the operation is defined.
struct Doubt {
  NodeId node, argument;
  const char* what;
  bool (*leaves)(double);  // whether the operation is not defined for the argument
  bool overflows = false;  // it is, but its value is no float32
};

bool divides(Op op) { return op == Op::Div || op == Op::FloorDiv || op == Op::Mod; }

bool all_finite(const Tensor& t) {
  return std::all_of(t.data.begin(), t.data.end(), [](double x) { return std::isfinite(x); });
}
bool is_zero(double x) { return x == 0; }
bool is_negative(double x) { return x < 0; }

/// Whether all numbers of a value are whole.
bool is_whole(const Graph& g, NodeId id) { return g[id].dtype == DType::Int || (g[id].op == Op::ToReal && g[g[id].inputs[0]].dtype == DType::Int); }

std::vector<Doubt> doubts(const Graph& g, const ParamRanges& ranges) {
  const std::vector<Interval> range = intervals(g, ranges);
  std::vector<Doubt> out;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (divides(n.op) && range[n.inputs[1]].has_zero()) out.push_back({id, n.inputs[1], "a division can meet zero", is_zero});
    if (n.inputs.empty()) continue;
    const Interval& x = range[n.inputs[0]];
    if (n.op == Op::Log && (x.low < 0 || x.has_zero())) out.push_back({id, n.inputs[0], "a logarithm can meet a number that is not positive", [](double v) { return v <= 0; }});
    if (n.op == Op::Sqrt && x.low < 0) out.push_back({id, n.inputs[0], "a square root can meet a negative number", is_negative});
    if (n.op == Op::Exp && x.high > kLargestExponent) out.push_back({id, n.inputs[0], "an exponential can overflow", [](double v) { return v > kLargestExponent; }, true});
    if (n.op == Op::Pow) {
      const Interval& p = range[n.inputs[1]];
      const bool whole = is_whole(g, n.inputs[1]);
      if (x.low < 0 && !whole && (p.low != p.high || std::floor(p.low) != p.low)) out.push_back({id, n.inputs[0], "a broken power can meet a negative number", is_negative});
      else if (p.low < 0 && x.has_zero()) out.push_back({id, n.inputs[0], "a negative power can meet zero", is_zero});
    }
  }
  return out;
}

/// A constant of the model that is used as a number and is none, or infinite; kNoNode: there is none.  To choose or compare, infinity is as good as any.
NodeId infinite_constant(const Graph& g) {
  for (NodeId id = 0; id < g.size(); ++id) {
    const Op op = g[id].op;
    if (op == Op::Select || op == Op::Max || op == Op::Min || op == Op::Max2 || op == Op::Min2 || op == Op::Lt || op == Op::Le) continue;
    for (const NodeId input : g[id].inputs) {
      if (g[input].op == Op::Constant && !std::isfinite(g[input].value)) return input;
    }
  }
  return kNoNode;
}

/// The same operation of another Graph of the model: the same place, and the same number among those there.
NodeId counterpart(const Graph& g, NodeId id, const Graph& other) {
  int number = 0;
  auto alike = [&](const Node& a, const Node& b) { return a.op == b.op && a.loc.source && b.loc.source && a.loc.line() == b.loc.line() && a.loc.source->path == b.loc.source->path; };
  for (NodeId i = 0; i < id; ++i) number += alike(g[i], g[id]);
  for (NodeId i = 0; i < other.size(); ++i) {
    if (alike(other[i], g[id]) && number-- == 0) return i;
  }
  return kNoNode;
}

/// The condition under which the value of a node is chosen, where one choice alone reads it; kNoNode: it may be read anywhere.
NodeId read_where(const Graph& g, const std::vector<std::vector<NodeId>>& users, NodeId id) {
  for (;; id = users[id][0]) {
    if (users[id].size() != 1) return kNoNode;
    const Node& reader = g[users[id][0]];
    if (!is_elementwise(reader.op)) return kNoNode;
    if (reader.op == Op::Select) return reader.inputs[1] == id && reader.inputs[0] != id ? reader.inputs[0] : kNoNode;
  }
}

/// Where the numbers of a doubt are: its argument, and the condition under which the operation's value is read (kNoNode: always).
struct Question {
  const Doubt* doubt;
  NodeId argument, condition;
};

/// An element of `arguments` that leaves the operation's domain where `condition` holds (null: everywhere), or null.
const double* found(const Tensor& arguments, const Tensor* condition, bool (*leaves)(double)) {
  for (const double& x : arguments.data) {
    if (!leaves(x)) continue;
    if (!condition) return &x;
    size_t rest = static_cast<size_t>(&x - arguments.data.data()), offset = 0, stride = 1;
    std::vector<size_t> at(arguments.axes.size());
    for (size_t i = arguments.axes.size(); i-- > 0; rest /= arguments.axes[i].size) at[i] = rest % arguments.axes[i].size;
    for (size_t i = condition->axes.size(); i-- > 0; stride *= condition->axes[i].size) {
      const int there = index_of(arguments.axes, condition->axes[i]);
      if (there < 0) return &x;
      offset += at[static_cast<size_t>(there)] * stride;
    }
    if (condition->data[offset] != 0) return &x;
  }
  return nullptr;
}

/// Whether positions alone decide a doubt, and none of them leaves the operation's domain where its value is read: log(t - s) where s < t.
bool is_settled(const Graph& g, const std::vector<std::vector<NodeId>>& users, const Doubt& doubt) {
  constexpr uint64_t kMostElements = uint64_t{1} << 20;
  const NodeId condition = read_where(g, users, doubt.node);
  std::vector<NodeId> nodes{doubt.argument};
  if (condition != kNoNode) nodes.push_back(condition);
  if (!std::all_of(nodes.begin(), nodes.end(), [&](NodeId n) { return is_about_positions(g, n) && element_count(g[n].axes) <= kMostElements; })) return false;
  const std::map<NodeId, Tensor> values = values_of(g, nodes, {}, {});
  return !found(values.at(doubt.argument), condition == kNoNode ? nullptr : &values.at(condition), doubt.leaves);
}

}  // namespace

Finding numeric_range(const Graph& g, const Graph* numbers, const ParamRanges& ranges) {
  Finding out;
  if (const NodeId id = infinite_constant(g); id != kNoNode) {
    out.verdict = Verdict::Refuted;
    out.reason = fmt::format("a constant is {}", g[id].value);
    out.details.push_back(fmt::format("{}: {}", g[id].loc.str(), out.reason));
    out.chain.push_back({g[id].loc, -1});
    return out;
  }
  std::vector<Doubt> all = doubts(g, ranges);
  if (!all.empty()) std::erase_if(all, [&, users = users_of(g)](const Doubt& doubt) { return is_settled(g, users, doubt); });
  out.verdict = all.empty() ? Verdict::Proved : Verdict::Unknown;
  std::vector<Question> questions;
  const std::vector<std::vector<NodeId>> users = numbers && !all.empty() ? users_of(*numbers) : std::vector<std::vector<NodeId>>{};
  for (const Doubt& doubt : all) {
    const Node& n = g[doubt.node];
    const std::string where = fmt::format("{}: {}", n.loc.str(), doubt.what);
    if (out.details.empty() || out.details.back() != where) {
      out.details.push_back(where);
      out.chain.push_back({n.loc, -1});
    }
    const NodeId there = numbers ? counterpart(g, doubt.node, *numbers) : kNoNode;
    if (there == kNoNode) continue;
    questions.push_back({&doubt, (*numbers)[there].inputs[divides(n.op) ? 1 : 0], read_where(*numbers, users, there)});
  }
  if (!all.empty()) out.reason = all[0].what + std::string(all.size() > 1 ? fmt::format(", and {} more places", out.details.size() - 1) : "");
  if (out.details.size() == 1 && !all.empty()) out.reason = all[0].what;
  if (questions.empty()) return out;
  const NodeId logits = output_node(*numbers, "logits"), total = output_node(*numbers, "loss.total");
  std::vector<NodeId> nodes{logits, total};
  for (const Question& q : questions) {
    nodes.push_back(q.argument);
    if (q.condition != kNoNode) nodes.push_back(q.condition);
  }
  const int64_t V = vocabulary_of(*numbers);
  for (const double deviation : {0.0, 0.3, 3.0, 100.0}) {
    const Tensors parameters = drawn_parameters(*numbers, deviation, 1, ranges);
    const std::map<NodeId, Tensor> values = values_of(*numbers, nodes, parameters, drawn_text(*numbers, V, 1));
    const bool finite = all_finite(values.at(logits)) && all_finite(values.at(total));
    for (const auto& [doubt, argument, condition] : questions) {
      if (finite && !doubt->overflows) continue;  // a choice left it out
      const double* x = found(values.at(argument), condition == kNoNode ? nullptr : &values.at(condition), doubt->leaves);
      if (!x) continue;
      out.verdict = Verdict::Refuted;
      out.reason = doubt->what;
      out.witness = fmt::format("{}: the argument is {:.6g} with {}", g[doubt->node].loc.str(), *x, deviation == 0 ? "all parameters 0" : fmt::format("parameters drawn from normal(0, {:g})", deviation));
      return out;
    }
  }
  return out;
}

}  // namespace cpuflow::passes::audit
