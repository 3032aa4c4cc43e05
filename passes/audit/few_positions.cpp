#include "passes/audit/few_positions.h"

#include "passes/audit/audits.h"
#include "passes/audit/elements.h"
#include "passes/audit/intervals.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

constexpr int64_t kNear = 8;  // positions beside those that a condition speaks of, to see both sides of it

int64_t batch_size(const Graph& g) {
  for (NodeId id = 0; id < g.size(); ++id) {
    for (const Axis& a : g[id].axes) {
      if (a.kind == AxisKind::Batch) return a.size;
    }
  }
  return 1;
}

/// What a known value is as a function of positions.
struct Form {
  enum class Kind {
    Free,    // none
    Place,   // an integer: a position, or the difference of two, shifted by up to `shift`
    Chunk,   // an integer: the number of a position's chunk of `size` positions, or the place in it, shifted by up to `shift`
    Choice,  // a truth value
    Count,   // how many elements of a choice there are
    Number,  // a real number that chooses nothing
    Other
  } kind = Kind::Free;
  double shift = 0;
  int64_t size = 1;  // of chunks, within `shift` too
  int places = 0;    // whose difference it is
};

class Forms {
 public:
  /// `there`: for each node of `g`, that of `fewer`; kNoNode where nothing needs it.
  Forms(const Graph& g, const Graph& fewer, std::vector<NodeId> there)
      : g_(g),
        fewer_(fewer),
        there_(std::move(there)),
        few_(fewer, Elements::Apart::Positions),
        range_(intervals(g)),
        few_range_(intervals(fewer)),
        form_(g.size()),
        T_(static_cast<double>(time_axis(g).size)),
        few_T_(static_cast<double>(time_axis(fewer).size)) {}

  std::optional<int64_t> run() {
    for (NodeId id = 0; id < g_.size(); ++id) {
      if (there_[id] == kNoNode) continue;
      if (known(id)) form_[id] = of(id);
      else if (g_[id].op == Op::Gather && known(g_[id].inputs[1])) looks_at(form_[g_[id].inputs[1]]);
      if (form_[id].kind == Form::Kind::Other || often_zero(id)) return std::nullopt;
    }
    return reach_;  // nothing where something looked at cannot be told
  }

 private:
  using Kind = Form::Kind;
  const Form& in(const Node& n, size_t i) const { return form_[n.inputs[i]]; }
  bool known(NodeId id) const { return few_.known(there_[id]); }

  /// The size of a number that does not depend on positions; one that grows as T does counts from the end.
  double magnitude(NodeId id) const {
    const Interval &here = range_[id], &there = few_range_[there_[id]];
    const bool from_end = T_ != few_T_ && here.low - there.low == T_ - few_T_ && here.high - there.high == T_ - few_T_;
    return from_end ? std::max(std::abs(here.low - T_), std::abs(here.high - T_)) : std::max(std::abs(here.low), std::abs(here.high));
  }

  /// A real number that is zero at most of few positions may be none later.
  bool often_zero(NodeId id) const {
    if (form_[id].kind != Kind::Number) return false;
    const Tensor* t = few_.tensor(there_[id]);
    if (!t) return true;
    const auto zeros = std::count(t->data.begin(), t->data.end(), 0.0);
    return 2 * zeros > static_cast<int64_t>(t->data.size());
  }

  /// What is compared with it, or read there, is seen with so many positions.
  void looks_at(const Form& f) {
    if (f.kind == Kind::Number || f.kind == Kind::Other) reach_.reset(), cannot_ = true;
    const double positions = f.kind == Kind::Chunk ? static_cast<double>(f.size) * (f.shift + 2) + 3 : f.shift + static_cast<double>(f.size) + kNear;
    if (!cannot_) reach_ = std::max(reach_.value_or(0), static_cast<int64_t>(std::min(positions, 1e9)));
  }

  Form shifted(Form f, NodeId by) const {
    f.shift += magnitude(by);
    return f;
  }

  Form compared(const Node& n) {
    const Form &a = in(n, 0), &b = in(n, 1);
    for (const Form* f : {&a, &b}) {
      if (f->kind == Kind::Number || f->kind == Kind::Other) return {Kind::Other};
    }
    if (a.kind == Kind::Choice || b.kind == Kind::Choice) return {Kind::Choice};
    if (a.kind == Kind::Count || b.kind == Kind::Count) return {a.kind == Kind::Free || b.kind == Kind::Free ? Kind::Choice : Kind::Other};
    if (a.kind == Kind::Chunk && b.kind == Kind::Chunk && a.size != b.size) return {Kind::Other};
    if (a.places + b.places > 2) return {Kind::Other};
    Form both{a.kind == Kind::Chunk || b.kind == Kind::Chunk ? Kind::Chunk : Kind::Place, a.shift + b.shift, std::max(a.size, b.size), 0};
    if (a.kind == Kind::Free) both.shift += magnitude(n.inputs[0]);
    if (b.kind == Kind::Free) both.shift += magnitude(n.inputs[1]);
    looks_at(both);
    return {Kind::Choice};
  }

  Form sum(const Node& n) const {
    const Form &a = in(n, 0), &b = in(n, 1);
    if (b.kind == Kind::Free) return shifted(a, n.inputs[1]);
    if (a.kind == Kind::Free) return shifted(b, n.inputs[0]);
    const bool difference = n.op == Op::Sub && a.kind == b.kind && a.places == 1 && b.places == 1 && a.size == b.size;
    if (!difference) return {Kind::Other};
    return {a.kind, a.shift + b.shift, a.size, 2};
  }

  Form integer(const Node& n) const {
    const Form& a = in(n, 0);
    switch (n.op) {
      case Op::Neg:
        return a;
      case Op::Add:
      case Op::Sub:
        return sum(n);
      case Op::FloorDiv:
      case Op::Mod: {
        const Interval& by = range_[n.inputs[1]];
        if (a.kind != Kind::Place || a.places != 1 || a.size != 1 || in(n, 1).kind != Kind::Free || by.low != by.high || by.low < 1) return {Kind::Other};
        return {Kind::Chunk, std::ceil(a.shift / by.low), static_cast<int64_t>(by.low), 1};
      }
      case Op::Mul: {  // the place where a chunk begins
        const size_t chunk = a.kind == Kind::Chunk ? 0 : 1;
        const Form& f = in(n, chunk);
        const Interval& by = range_[n.inputs[1 - chunk]];
        if (f.kind != Kind::Chunk || in(n, 1 - chunk).kind != Kind::Free || by.low != by.high || by.low != static_cast<double>(f.size)) return {Kind::Other};
        return {Kind::Place, f.shift * static_cast<double>(f.size), f.size, f.places};
      }
      case Op::Max2:
      case Op::Min2:
        if (in(n, 1).kind == Kind::Free) return shifted(a, n.inputs[1]);
        if (a.kind == Kind::Free) return shifted(in(n, 1), n.inputs[0]);
        return {Kind::Other};
      case Op::Select: {
        const Form &x = in(n, 1), &y = in(n, 2);
        if (in(n, 0).kind != Kind::Choice && in(n, 0).kind != Kind::Free) return {Kind::Other};
        if (y.kind == Kind::Free) return x.kind == Kind::Free ? Form{Kind::Other} : shifted(x, n.inputs[2]);
        if (x.kind == Kind::Free) return shifted(y, n.inputs[1]);
        return {Kind::Other};
      }
      case Op::Rename:
      case Op::Stop:
        return a;
      default:
        return {Kind::Other};
    }
  }

  Form of(NodeId id) {
    const Node& n = g_[id];
    if (n.op == Op::Iota) {
      const bool grows = n.axes[0].kind == AxisKind::Position || n.axes[0].size != fewer_[there_[id]].axes[0].size;
      return grows ? Form{Kind::Place, std::abs(n.value), 1, 1} : Form{};
    }
    if (std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Free; })) return {};
    if (n.dtype == DType::Int) return integer(n);
    if (n.dtype == DType::Bool) {
      if (n.op == Op::Lt || n.op == Op::Le || n.op == Op::Eq || n.op == Op::Ne) return compared(n);
      const bool choices = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Choice || form_[i].kind == Kind::Free; });
      const bool logic = n.op == Op::And || n.op == Op::Or || n.op == Op::Not || n.op == Op::Select || n.op == Op::Rename;
      return {choices && logic ? Kind::Choice : Kind::Other};
    }
    const bool choice = in(n, 0).kind == Kind::Choice || in(n, 0).kind == Kind::Count;
    if (n.op == Op::ToReal && choice) return {Kind::Count};
    if (choice && (n.op == Op::Sum || n.op == Op::Rename || n.op == Op::Stop)) return {Kind::Count};
    if (n.op == Op::Gather) return {Kind::Other};
    if (n.op == Op::Select && in(n, 0).kind == Kind::Choice && in(n, 1).kind == Kind::Free && in(n, 2).kind == Kind::Free) return {Kind::Count};  // a mask
    return {Kind::Number};
  }

  const Graph &g_, &fewer_;
  const std::vector<NodeId> there_;
  const Elements few_;
  const std::vector<Interval> range_, few_range_;
  std::vector<Form> form_;
  const double T_, few_T_;
  std::optional<int64_t> reach_ = 0;
  bool cannot_ = false;
};

/// Two Graphs of a model at other sizes, side by side from their outputs.
class Pairs {
 public:
  Pairs(const Graph& a, const Graph& b)
      : a_(a), b_(b), A_(time_axis(a).size), B_(time_axis(b).size), batch_a_(static_cast<double>(batch_size(a))), batch_b_(static_cast<double>(batch_size(b))), partner_(a.size(), kNoNode) {}

  /// For each node of `a` that an output needs, its partner; nothing where they differ in more than sizes.
  std::optional<std::vector<NodeId>> run() {
    if (a_.outputs.size() != b_.outputs.size()) return std::nullopt;
    for (size_t i = 0; i < a_.outputs.size(); ++i) {
      if (a_.outputs[i].name != b_.outputs[i].name) return std::nullopt;
      open_.push_back({a_.outputs[i].node, b_.outputs[i].node});
    }
    while (!open_.empty()) {
      const auto [x, y] = open_.back();
      open_.pop_back();
      if (!seen_.insert({x, y}).second) continue;
      if (!alike(a_[x], b_[y])) return std::nullopt;
      if (partner_[x] == kNoNode) partner_[x] = y;
      for (size_t i = 0; i < a_[x].inputs.size(); ++i) open_.push_back({a_[x].inputs[i], b_[y].inputs[i]});
    }
    return std::move(partner_);
  }

 private:
  bool alike(const Node& x, const Node& y) const {
    return x.op == y.op && x.dtype == y.dtype && x.inputs.size() == y.inputs.size() && x.text == y.text && x.ints == y.ints && x.values == y.values && x.axes.size() == y.axes.size() &&
           alike(x.value, y.value, x.op == Op::Iota ? DType::Int : x.dtype);
  }

  /// Whether a number is the same, or says the same of both sizes: something of both ends of the shorter one, or of the number of sequences.
  bool alike(double a, double b, DType dtype) const {
    if (a == b) return true;
    if (dtype == DType::Real) return a != 0 && b != 0 && (a < 0) == (b < 0);  // a scale: what it chooses is another matter
    return (a - A_ == b - B_ && std::abs(b - B_) <= B_ / 2) || (batch_a_ != batch_b_ && a - batch_a_ == b - batch_b_ && std::abs(a - batch_a_) <= 2);
  }

  const Graph &a_, &b_;
  const double A_, B_, batch_a_, batch_b_;
  std::vector<NodeId> partner_;
  std::vector<std::pair<NodeId, NodeId>> open_;
  std::set<std::pair<NodeId, NodeId>> seen_;
};

}  // namespace

bool same_but_for_size(const Graph& a, const Graph& b) { return Pairs(a, b).run().has_value(); }

std::optional<int64_t> positions_that_show(const Graph& model, const Graph& fewer) {
  std::optional<std::vector<NodeId>> there = Pairs(model, fewer).run();
  if (!there) return std::nullopt;
  return Forms(model, fewer, std::move(*there)).run();
}

}  // namespace cpuflow::passes::audit
