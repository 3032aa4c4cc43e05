// Which products keep float32 operands where the others take bf16, and which values are kept in bf16.
//
// bf16 keeps eight bits of a number: harmless where a sum averages the errors, not where a choice is made of it.  With rounded operands 5 to
// 10 % of the routes of a router and up to a fifth of the sets of a top-k change, and with them everything that follows.  Recurrences keep
// float32 as well (FunctionLowering::rounds), and what is no product never takes bf16: norms, scans, softmax, losses, the optimiser.  What the backward
// pass may read with three digits is decided on the Graph (save_activations).
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// Operations whose result jumps where their argument moves a little.
bool chooses(Op op) { return op == Op::Argmax || op == Op::TopkMask || op == Op::Round || op == Op::Floor || op == Op::Ceil; }

bool multiplies(const Graph& g, NodeId id) { return g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul; }

}  // namespace

std::map<NodeId, std::string> float32_products(const Graph& g) {
  std::map<NodeId, std::string> out;
  std::vector<bool> seen(g.size(), false);
  for (NodeId choice = 0; choice < g.size(); ++choice) {
    if (!chooses(g[choice].op)) continue;
    std::vector<NodeId> open = {choice};
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      for (NodeId input : g[id].inputs) {
        if (seen[input]) continue;
        seen[input] = true;
        if (!multiplies(g, input)) open.push_back(input);
        else out.emplace(input, fmt::format("{} of it is a choice, which rounded operands change", op_name(g[choice].op)));
      }
    }
  }
  return out;
}

/// What only bf16 products read is kept in bf16: it is rounded where it is made instead of in each product, to the same numbers.  The nest that
/// makes it may use it: there, it is a number in a register.  What is saved for the backward pass is kept so whoever reads it.
void FunctionLowering::round_operands() {
  if (!b_.options.bf16 || row_range) return;
  std::set<BufferId> operands, others;
  auto place = [&](const Place& p, Access access) {
    if (access == Access::Operand) operands.insert(p.buffer);
    else if (access == Access::Read || access == Access::Write) others.insert(p.buffer);
  };
  for (const Part& part : function_.parts) {
    for (const Region& region : part.regions) {
      for (const Step* s : steps_of(region)) for_each_place(b_.program, *s, place);
    }
  }
  for (const Statement& s : statements_) {
    for (const Read& r : s.reads) {
      if (r.how == Read::How::EarlierRow) others.insert(buffers_.at(r.node));  // history is moved in floats
    }
  }
  for (const auto& [id, buffer] : buffers_) {
    if (g_[id].op != Op::Saved) continue;
    operands.insert(buffer);
    others.erase(buffer);
  }
  for (BufferId id : operands) {
    if (others.count(id)) continue;
    Buffer& b = b_.program.buffers[id];
    if (b.space != Space::Lane || b.dtype != DType::Real) continue;
    b.bf16 = true;
    lay_out(b);
  }
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      for (Group& group : region.groups) {
        for (Step& step : group.steps) {
          if (step.kind == Step::Kind::Nest) shorten_exponentials(step.nest);
          for (Nest& nest : step.product.blocks) shorten_exponentials(nest);
        }
      }
    }
  }
}

/// An exponential that is rounded to bf16, and otherwise only summed, need not be exact to the last digit of float32: `rough`.
void FunctionLowering::shorten_exponentials(Nest& nest) {
  for (Store& s : nest.stores) {
    const Expr exponential = b_[s.value];
    if (s.how != Store::How::Set || !b_.program.buffers[s.place.buffer].bf16 || exponential.kind != Expr::Kind::Apply || exponential.op != Op::Exp) continue;
    const ExprId value = s.value;
    auto is_it = [&](ExprId e) { return e == value || (b_[e].kind == Expr::Kind::Load && b_[e].place == s.place); };
    std::function<bool(ExprId)> computes_with_it = [&](ExprId e) {
      return std::any_of(b_[e].args.begin(), b_[e].args.end(), [&](ExprId arg) { return is_it(arg) || computes_with_it(arg); });
    };
    const bool only_summed = std::all_of(nest.stores.begin(), nest.stores.end(), [&](const Store& other) {
      return is_it(other.value) ? &other == &s || other.how == Store::How::Sum : !computes_with_it(other.value);
    });
    if (!only_summed) continue;
    Expr rough = exponential;
    rough.rough = true;
    const ExprId instead = b_.expr(rough);
    for (Store& other : nest.stores) {
      if (other.value == value) other.value = instead;
    }
  }
}

}  // namespace cpuflow::passes::lower
