// Which linear maps become one, and that values and gradients stay.
#include "passes/merge_linear_maps.h"

#include "ir/verify.h"
#include "passes/differentiate.h"
#include "passes/lower_to_loops.h"
#include "tests/passes/same_values.h"

#include <set>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kB{AxisKind::Batch, 0, 2}, kT{AxisKind::Position, 0, 12}, kV{AxisKind::Feature, 1, 5};

/// outer(inner(y)), from n to m and from m to `to` numbers, of tokens' embeddings y.
struct TwoMaps {
  Graph g;
  Axis n, m, out, j{AxisKind::Feature, 16, 0}, k{AxisKind::Feature, 16, 0};
  NodeId y, inner, result;

  TwoMaps(uint32_t n_size, uint32_t m_size, uint32_t to = 6) : n{AxisKind::Feature, 0, n_size}, m{AxisKind::Feature, 0, m_size}, out{AxisKind::Feature, 0, to} {
    j.size = m_size, k.size = n_size;
    y = g.gather(g.param("table", {n, kV}), kV, g.input("tokens", {kB, kT}));
    inner = map("inner", y, n, k, m);
    result = map("outer", inner, m, j, out);
  }

  /// W x, for x whose axis `from` is called `summed` in the sum.
  NodeId map(const std::string& name, NodeId x, const Axis& from, const Axis& summed, const Axis& to) {
    return g.reduce(Op::Sum, g.binary(Op::Mul, g.param(name, {to, summed}), g.rename(x, {from}, {summed})), {summed});
  }
  void loss(NodeId x) { g.outputs = {{"loss.total", g.reduce(Op::Sum, g.unary(Op::Tanh, x), g[x].axes)}}; }
};

/// The number of matrices that are products of two.
int merged(const Graph& g) {
  int count = 0;
  for (NodeId id = 0; id < g.size(); ++id) count += g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul && !contains(g[id].axes, kT);
  return count;
}

/// Where the function `finish` leaves values.
std::set<Space> written_by_finish(const Graph& g) {
  passes::LowerOptions options;
  for (NodeId id = 0; id < g.size(); ++id) {
    if (g[id].op != Op::Param) continue;
    options.params[g[id].text] = {options.param_floats, 0};
    options.param_floats += 64;
  }
  const LoopProgram program = passes::lower_to_loops(g, options);
  std::set<Space> spaces;
  for (const Function& f : program.functions) {
    if (f.name != "finish") continue;
    for (const Part& part : f.parts) {
      for (const Region& region : part.regions) {
        for (const Step* step : steps_of(region)) {
          if (step->kind == Step::Kind::Pack) continue;
          for_each_place(program, *step, [&](const Place& p, Access access) {
            if (writes(access)) spaces.insert(program.buffers[p.buffer].space);
          });
        }
      }
    }
  }
  return spaces;
}

}  // namespace

TEST_CASE("two linear maps become one, with the same values and gradients") {
  TwoMaps maps(4, 5);
  maps.loss(maps.result);
  const Graph one = passes::merge_linear_maps(maps.g);
  REQUIRE_NOTHROW(verify(one));
  CHECK(merged(maps.g) == 0);
  CHECK(merged(one) == 1);
  CHECK(check_same_values(passes::differentiate(maps.g), passes::differentiate(one), kV.size).count("grad.inner") == 1);
}

TEST_CASE("the gradients of merged maps are added where they belong, without a stop on the way") {
  TwoMaps maps(4, 5);
  maps.loss(maps.result);
  CHECK(written_by_finish(passes::differentiate(passes::merge_linear_maps(maps.g))) == std::set<Space>{Space::Grads});
}

TEST_CASE("maps stay two where one would be more work") {
  TwoMaps narrow(6, 2);  // a matrix of rank 2, on purpose
  narrow.loss(narrow.result);
  CHECK(merged(passes::merge_linear_maps(narrow.g)) == 0);
  TwoMaps large(40, 41, 42);  // the product of the matrices costs more than 24 tokens
  large.loss(large.result);
  CHECK(merged(passes::merge_linear_maps(large.g)) == 0);
}

TEST_CASE("maps stay two where what lies between them is seen") {
  TwoMaps read(4, 5);
  read.loss(read.g.binary(Op::Add, read.result, read.g.reduce(Op::Sum, read.inner, {read.m})));
  CHECK(merged(passes::merge_linear_maps(read.g)) == 0);
  TwoMaps given(4, 5);
  given.loss(given.result);
  given.g.outputs.push_back({"watch.middle", given.inner});
  CHECK(merged(passes::merge_linear_maps(given.g)) == 0);
  TwoMaps bent(4, 5);
  bent.loss(bent.map("outer", bent.g.unary(Op::Tanh, bent.inner), bent.m, bent.j, bent.out));
  CHECK(merged(passes::merge_linear_maps(bent.g)) == 0);
}
