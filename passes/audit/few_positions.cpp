#include "passes/audit/few_positions.h"

#include "passes/audit/audits.h"
#include "passes/audit/elements.h"
#include "passes/audit/intervals.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
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
    Place,   // a position, or the difference of two, shifted by up to `shift`
    Chunk,   // the number of a position's chunk, shifted by up to `shift`
    Rest,    // the place in the chunk, shifted
    Choice,  // a truth value
    Count,   // how many elements of a choice there are
    Number,  // a real number that chooses nothing
    Other
  } kind = Kind::Free;
  double shift = 0;
  int64_t size = 1;  // of chunks: positions
  int places = 0;    // whose difference it is
  int64_t unit = 1;  // positions of a step
  double every = 1;  // of choices, and of how many there are: positions in which a place is chosen again, and in which a count grows by one

  bool is_place() const { return kind == Kind::Place || kind == Kind::Chunk || kind == Kind::Rest; }
  double positions() const { return shift * static_cast<double>(kind == Kind::Chunk ? size : unit); }
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
        shift_(g.size()),
        differs_(g.size()),
        T_(static_cast<double>(time_axis(g).size)),
        few_T_(static_cast<double>(time_axis(fewer).size)) {}

  /// Conditions and reads meet, one after the other and together: their shifts add up, and their chunks begin together at common multiples only.
  std::optional<int64_t> run() {
    for (NodeId id = 0; id < g_.size(); ++id) {
      if (there_[id] == kNoNode) continue;
      differs_[id] = g_[id].op == Op::Constant && g_[id].dtype == DType::Real && g_[id].value != fewer_[there_[id]].value;
      for (const NodeId i : g_[id].inputs) differs_[id] = differs_[id] || (known(id) && differs_[i]);
      if (known(id)) form_[id] = of(id);
      else if (g_[id].op == Op::Gather && known(g_[id].inputs[1])) look_at(id, g_[id].inputs[1]);
      else if (g_[id].op == Op::Carry && g_[id].from[0].kind == AxisKind::Position) shift_[id] = 1;
      else if (g_[id].dtype == DType::Int && is_elementwise(g_[id].op)) look_at_bounds(id);
      if (form_[id].kind == Kind::Other || may_be_zero(id)) return std::nullopt;
    }
    const double sum = std::accumulate(shift_.begin(), shift_.end(), 0.0), reach = sum + 3 * static_cast<double>(chunks_) + kNear;
    if (cannot_ || chunks_ > kMostChunk || reach > 1e9) return std::nullopt;
    return static_cast<int64_t>(reach);
  }

 private:
  using Kind = Form::Kind;
  static constexpr int64_t kMostChunk = 4096;  // positions of chunks, and of their least common multiple
  const Form& in(const Node& n, size_t i) const { return form_[n.inputs[i]]; }
  bool known(NodeId id) const { return few_.known(there_[id]); }

  /// The size of a number that does not depend on positions; one that grows as T does counts from the end.
  double magnitude(NodeId id) const {
    const Interval &here = range_[id], &there = few_range_[there_[id]];
    const bool from_end = T_ != few_T_ && here.low - there.low == T_ - few_T_ && here.high - there.high == T_ - few_T_;
    if (from_end) return std::max(std::abs(here.low - T_), std::abs(here.high - T_));
    const bool same = here.low == there.low && here.high == there.high;
    return same ? std::max(std::abs(here.low), std::abs(here.high)) : 1e12;
  }

  /// A real number that is zero at few positions may be none later; but at one position, or where two meet, log and sin may be.
  bool may_be_zero(NodeId id) const {
    if (form_[id].kind != Kind::Number) return false;
    const Tensor* t = few_.tensor(there_[id]);
    if (!t) return true;
    const double zeros = static_cast<double>(std::count(t->data.begin(), t->data.end(), 0.0));
    const Op op = g_[id].op;
    const bool bent = op == Op::Relu || op == Op::Max2 || op == Op::Min2 || op == Op::Select || op == Op::Round || op == Op::Mod;
    return zeros > 0 && (bent || zeros * few_T_ > static_cast<double>(t->data.size()));
  }

  /// What is compared with the form, or read there, is another matter on its other side.
  void look_at(NodeId id, NodeId at) {
    const Form& f = form_[at];
    if (f.kind == Kind::Number || f.kind == Kind::Count || f.kind == Kind::Other) cannot_ = true;
    shift_[id] += (f.positions() + static_cast<double>(f.unit - 1)) * layers(at);
    chunks_ = std::min(std::lcm(chunks_, std::lcm(f.size, f.unit)), 2 * kMostChunk);
  }

  /// Places that bound an index of which more is not known, as min(p[t], t).
  void look_at_bounds(NodeId id) {
    for (const NodeId i : g_[id].inputs) {
      if (known(i) && form_[i].is_place()) look_at(id, i);
    }
  }

  Form shifted(Form f, NodeId by) const {
    f.shift += magnitude(by);
    return f;
  }

  Form compared(NodeId id, const Node& n) {
    const Form &a = in(n, 0), &b = in(n, 1);
    for (const Form* f : {&a, &b}) {
      if (f->kind == Kind::Number || f->kind == Kind::Other) return {Kind::Other};
    }
    const double free = (a.kind == Kind::Free ? magnitude(n.inputs[0]) : 0) + (b.kind == Kind::Free ? magnitude(n.inputs[1]) : 0);
    const bool whole = a.is_place() || b.is_place();
    const double every = common(together(a), together(b));
    if (!whole && (a.kind == Kind::Choice || b.kind == Kind::Choice)) return choice(every);
    if (!whole) {  // how many there are, against a number
      if (a.kind != Kind::Free && b.kind != Kind::Free) return {Kind::Other};
      shift_[id] = (free + a.shift + b.shift) * every * layers(id);
      return choice(every);
    }
    if (a.places + b.places > 2 || (a.kind != Kind::Free && !a.is_place()) || (b.kind != Kind::Free && !b.is_place())) return {Kind::Other};
    // numbers of chunks of two lengths part by one in their least common multiple; beside them a place in a chunk is a number up to the chunk's length
    auto rises_in = [](const Form& f) { return f.kind == Kind::Chunk ? f.size : f.unit; };
    auto up_to = [](const Form& f, const Form& beside) { return f.kind == Kind::Rest && beside.is_place() && beside.kind != Kind::Rest ? static_cast<double>(f.size) : 0; };
    const bool alike = !a.is_place() || !b.is_place() || (a.kind == b.kind && rises_in(a) == rises_in(b));
    const double apart = free + up_to(a, b) + up_to(b, a) + (alike ? 0 : a.shift + b.shift);
    look_at(id, n.inputs[0]);
    look_at(id, n.inputs[1]);
    shift_[id] += apart * static_cast<double>(std::lcm(rises_in(a), rises_in(b))) * layers(id);
    return choice(every);
  }

  static Form choice(double every) {
    Form out{Kind::Choice};
    out.every = every;
    return out;
  }

  /// The least common multiple, if it is one.
  static double common(double a, double b) {
    const bool whole = a == std::floor(a) && b == std::floor(b) && std::max(a, b) < 1e6;
    return whole ? static_cast<double>(std::lcm(static_cast<int64_t>(a), static_cast<int64_t>(b))) : a * b;
  }

  /// In how many positions what the form says of one is said again.
  static double together(const Form& f) { return f.is_place() ? static_cast<double>(std::lcm(f.size, f.unit)) : f.every; }

  /// A choice, or a count, of several: they meet at common multiples.
  Form of_all(Kind kind, const Node& n) const {
    Form out{kind};
    for (const NodeId i : n.inputs) {
      out.shift += form_[i].shift;
      if (form_[i].kind == Kind::Choice || form_[i].kind == Kind::Count) out.every = common(out.every, form_[i].every);
    }
    return out;
  }

  /// A multiple of a count, by one number that is known.
  Form scaled(Form count, NodeId by) const {
    const Interval& size = range_[by];
    if (size.low != size.high || size.low == 0 || !std::isfinite(size.low)) return {Kind::Number};
    count.every /= std::min(std::abs(size.low), 1.0);
    count.shift *= std::abs(size.low);
    return count;
  }

  Form sum(const Node& n) const {
    const Form &a = in(n, 0), &b = in(n, 1);
    if (b.kind == Kind::Free) return shifted(a, n.inputs[1]);
    if (a.kind == Kind::Free) return shifted(b, n.inputs[0]);
    const bool difference = n.op == Op::Sub && a.kind == b.kind && a.places == 1 && b.places == 1 && a.size == b.size && a.unit == b.unit;
    if (!difference) return {Kind::Other};
    return {a.kind, a.shift + b.shift, a.size, 2, a.unit};
  }

  /// One or the other of two forms.
  static Form either(const Form& a, const Form& b) {
    if (!a.is_place() || !b.is_place()) return {Kind::Other};
    const Kind kind = a.kind == b.kind ? a.kind : a.kind == Kind::Chunk || b.kind == Kind::Chunk ? Kind::Chunk : Kind::Rest;
    return {kind, a.shift + b.shift, std::lcm(a.size, b.size), std::max(a.places, b.places), std::max(a.unit, b.unit)};
  }

  Form integer(const Node& n) const {
    const Form& a = in(n, 0);
    const bool choices = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Choice || form_[i].kind == Kind::Free; });
    if (choices && (n.op == Op::Max2 || n.op == Op::Min2 || n.op == Op::Mul || n.op == Op::Select || n.op == Op::Rename || n.op == Op::Stop)) return of_all(Kind::Choice, n);
    if (!std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Free || form_[i].is_place() || (n.op == Op::Select && form_[i].kind == Kind::Choice); })) return {Kind::Other};
    switch (n.op) {
      case Op::Neg:
        return a;
      case Op::Add:
      case Op::Sub:
        return sum(n);
      case Op::FloorDiv:
      case Op::Mod: {
        const Interval& by = range_[n.inputs[1]];
        if (a.kind != Kind::Place || a.size != 1 || a.unit != 1 || in(n, 1).kind != Kind::Free || by.low != by.high || by.low < 1 || by.low > kMostChunk) return {Kind::Other};
        const int64_t size = static_cast<int64_t>(by.low);
        if (n.op == Op::Mod) return {Kind::Rest, a.shift, size, a.places};
        return {Kind::Chunk, std::ceil(a.shift / by.low), size, a.places};
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
        return either(a, in(n, 1));
      case Op::Select: {
        const Form &x = in(n, 1), &y = in(n, 2);
        if (a.kind != Kind::Choice && a.kind != Kind::Free) return {Kind::Other};
        if (y.kind == Kind::Free) return x.kind == Kind::Free ? Form{Kind::Other} : shifted(x, n.inputs[2]);
        return x.kind == Kind::Free ? shifted(y, n.inputs[1]) : either(x, y);
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
      if (n.axes[0].kind == AxisKind::Position) return {Kind::Place, std::abs(n.value), 1, 1};
      if (n.axes[0].size == fewer_[there_[id]].axes[0].size) return {};
      return {Kind::Place, std::abs(n.value), 1, 1, static_cast<int64_t>(std::ceil(T_ / n.axes[0].size))};  // chunks
    }
    if (std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Free; })) {
      return differs_[id] && n.dtype != DType::Real ? Form{Kind::Other} : Form{};  // chosen by a number that is another one here
    }
    if (n.dtype == DType::Int) return integer(n);
    if (n.dtype == DType::Bool) {
      if (n.op == Op::Lt || n.op == Op::Le || n.op == Op::Eq || n.op == Op::Ne) return compared(id, n);
      const bool choices = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Choice || form_[i].kind == Kind::Free; });
      const bool logic = n.op == Op::And || n.op == Op::Or || n.op == Op::Not || n.op == Op::Select || n.op == Op::Rename;
      return choices && logic ? of_all(Kind::Choice, n) : Form{Kind::Other};
    }
    const bool choice = in(n, 0).kind == Kind::Choice || in(n, 0).kind == Kind::Count;
    if (n.op == Op::ToReal && choice) return of_all(Kind::Count, n);
    if (n.op == Op::ToReal && in(n, 0).is_place()) return in(n, 0);
    const bool places = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Free || form_[i].is_place(); });
    if (places && (n.op == Op::Add || n.op == Op::Sub)) return sum(n);
    if (places && (n.op == Op::Neg || n.op == Op::Rename || n.op == Op::Stop)) return in(n, 0);
    const bool counts = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return form_[i].kind == Kind::Free || form_[i].kind == Kind::Choice || form_[i].kind == Kind::Count; });
    const int free = in(n, 0).kind == Kind::Free ? 0 : n.inputs.size() > 1 && in(n, 1).kind == Kind::Free ? 1 : -1;
    if (counts && n.op == Op::Mul) return free < 0 ? of_all(Kind::Count, n) : scaled(in(n, 1 - static_cast<size_t>(free)), n.inputs[static_cast<size_t>(free)]);
    if (counts && (n.op == Op::Max2 || n.op == Op::Min2)) return free < 0 ? of_all(Kind::Count, n) : shifted(in(n, 1 - static_cast<size_t>(free)), n.inputs[static_cast<size_t>(free)]);
    if (choice && (n.op == Op::Sum || n.op == Op::Rename || n.op == Op::Stop)) return of_all(Kind::Count, n);
    if (n.op == Op::Gather) return {Kind::Other};
    if (n.op == Op::Select && in(n, 0).kind == Kind::Choice && in(n, 1).kind == Kind::Free && in(n, 2).kind == Kind::Free) return mask(n);
    return {Kind::Number};
  }

  /// One of two numbers: as many of them as there are choices, if one is 0.
  Form mask(const Node& n) const {
    for (const size_t side : {1, 2}) {
      const Interval& none = range_[n.inputs[side]];
      if (none.low == 0 && none.high == 0) return scaled(of_all(Kind::Count, n), n.inputs[3 - side]);
    }
    return {Kind::Number};
  }

  /// What says other things in other layers says them one after the other.
  double layers(NodeId id) const {
    double out = 1;
    for (const Axis& a : g_[id].axes) out = a.kind == AxisKind::Layer ? out * a.size : out;
    return out;
  }

  const Graph &g_, &fewer_;
  const std::vector<NodeId> there_;
  const Elements few_;
  const std::vector<Interval> range_, few_range_;
  std::vector<Form> form_;
  std::vector<double> shift_;   // of what a node compares or reads
  std::vector<bool> differs_;   // known values that depend on a real number about T
  const double T_, few_T_;
  int64_t chunks_ = 1;  // their sizes' least common multiple
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
  bool alike(const Node& x, const Node& y) {
    return x.op == y.op && x.dtype == y.dtype && x.inputs.size() == y.inputs.size() && x.text == y.text && x.ints == y.ints && x.values == y.values && x.axes.size() == y.axes.size() &&
           std::equal(x.axes.begin(), x.axes.end(), y.axes.begin(), [&](const Axis& a, const Axis& b) { return alike(a, b); }) && alike(x.value, y.value, x.op == Op::Iota ? DType::Int : x.dtype);
  }

  /// Whether a number is the same, or says the same of both sizes: something of both ends of the shorter one, or of the number of sequences.
  bool alike(double a, double b, DType dtype) const {
    if (a == b) return true;
    if (dtype == DType::Real) return a != 0 && b != 0 && (a < 0) == (b < 0);  // a scale: what it chooses is another matter
    return (a - A_ == b - B_ && std::abs(b - B_) <= B_ / 2) || (batch_a_ != batch_b_ && a - batch_a_ == b - batch_b_ && std::abs(a - batch_a_) <= 2);
  }

  /// Whether an axis is as long, or says the same of both sizes: it grows by as much as the positions do, or counts chunks of them.
  bool alike(const Axis& a, const Axis& b) {
    if (a.size == b.size || (is_batch(a) && is_batch(b)) || a.size - A_ == b.size - B_) return true;
    const auto [known, fresh] = chunks_.try_emplace({a.size, b.size});
    for (double chunk = 2; fresh && !known->second && chunk <= std::max(A_, B_); ++chunk) {
      known->second = (std::ceil(A_ / chunk) == a.size && std::ceil(B_ / chunk) == b.size) || (std::floor(A_ / chunk) == a.size && std::floor(B_ / chunk) == b.size);
    }
    return known->second;
  }

  const Graph &a_, &b_;
  std::map<std::pair<uint32_t, uint32_t>, bool> chunks_;  // sizes of axes: whether they count chunks of both
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
