#include "ir/diagnostics.h"
#include "ir/dot.h"
#include "ir/op_kit.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/catch.h"

using namespace cpuflow::ir;

namespace {

std::string parse_error(const std::string& text) {
  try {
    parse(text, "a.ir");
  } catch (const ModelError& e) {
    return e.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  INFO(part);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("axes are sorted by kind and ordinal, and print as letter, ordinal and size") {
  CHECK(kT.str() == "t0:5");
  CHECK(union_of({kF, kT}, {kB, kL}) == Axes{kB, kL, kT, kF});
  CHECK(without({kF, kT}, {kF}) == Axes{kT});
  CHECK(index_of({kF, kT}, kT) == 1);
  CHECK(index_of({kF, kT}, kG) == -1);
  CHECK(element_count({kF, kG}) == 12);
}

TEST_CASE("equal values are one node, in any order of commuting operands") {
  Graph g;
  const NodeId x = g.param("x", {kF}), y = g.param("y", {kF});
  CHECK(g.binary(Op::Add, x, y) == g.binary(Op::Add, y, x));
  CHECK(g.binary(Op::Sub, x, y) != g.binary(Op::Sub, y, x));
  CHECK(g.binary(Op::Max2, x, y) != g.binary(Op::Max2, y, x));
  CHECK(g.random("r", {kF}) == g.random("r", {kF}));
  CHECK(g.random("r", {kF}) != g.random("s", {kF}));
  CHECK(g.carry(x, kF, 1) == g.carry(x, kF, 1));
  const NodeId a = g.carry_open({kF}, DType::Real, kF, 1), b = g.carry_open({kF}, DType::Real, kF, 1);
  CHECK(a != b);
  CHECK(g.real(0.0) != g.real(-0.0));
}

TEST_CASE("builders fold what needs no evaluation") {
  Graph g;
  const NodeId x = g.param("x", {kF}), zero = g.real(0), one = g.real(1);
  CHECK(g.binary(Op::Add, x, zero) == x);
  CHECK(g.binary(Op::Add, zero, x) == x);
  CHECK(g.binary(Op::Mul, x, g.integer(1)) == x);
  CHECK(g.binary(Op::Div, x, one) == x);
  CHECK(g.unary(Op::Neg, g.unary(Op::Neg, x)) == x);
  CHECK(g[g.binary(Op::Mul, x, zero)].op == Op::Mul);  // x may be infinite
  CHECK(g[g.binary(Op::Pow, g.integer(2), g.integer(-1))].value == 0.5);
  CHECK(g[g.binary(Op::Add, g.integer(2), g.integer(3))].dtype == DType::Int);
  CHECK(g[g.binary(Op::FloorDiv, g.integer(2), g.integer(0))].op == Op::FloorDiv);
  CHECK(g.select(g.boolean(true), x, zero) == x);
  const Axis f9{AxisKind::Feature, 9, kF.size};
  CHECK(g.rename(g.rename(x, {kF}, {f9}), {f9}, {kF}) == x);
  CHECK(g.slice(x, kF, kF, 0) == x);
  CHECK(g.reduce(Op::Sum, x, {}) == x);
}

TEST_CASE("mixed dtypes meet in the wider one") {
  Graph g;
  const NodeId x = g.param("x", {kF}), i = g.iota(kF), c = g.binary(Op::Lt, x, g.real(0));
  CHECK(g[g.binary(Op::Add, x, i)].dtype == DType::Real);
  CHECK(g[g.binary(Op::Add, i, c)].dtype == DType::Int);
  CHECK(g[g.binary(Op::Div, i, i)].dtype == DType::Real);
  CHECK(g[g.reduce(Op::Sum, c, {kF})].dtype == DType::Int);
  CHECK(g[g.unary(Op::Exp, i)].dtype == DType::Real);
  CHECK(g[g.unary(Op::Floor, x)].dtype == DType::Int);
  CHECK(g[g.binary(Op::And, c, i)].dtype == DType::Bool);
}

TEST_CASE("what does not fit is refused with the operation") {
  Graph g;
  const NodeId x = g.param("x", {kF});
  CHECK_THROWS_AS(g.reduce(Op::Sum, x, {kT}), InternalError);
  CHECK_THROWS_AS(g.slice(x, kF, {AxisKind::Feature, 1, 2}, 2), InternalError);
  CHECK_THROWS_AS(g.rename(x, {kF}, {kG}), InternalError);
  CHECK_THROWS_AS(g.gather(x, kF, x), InternalError);
  CHECK_THROWS_AS(g.reshape(x, {kF}, {kG}), InternalError);
  CHECK_THROWS_AS(g.topk_mask(x, kF, 4), InternalError);
}

TEST_CASE("the verifier names broken invariants") {
  {
    Graph g;
    g.carry_open({kT}, DType::Real, kT, 1);
    CHECK_THROWS_AS(verify(g), InternalError);
  }
  {
    Graph g;
    const NodeId x = g.param("x", {kF});
    g.outputs = {{"a", x}, {"a", x}};
    CHECK_THROWS_AS(verify(g), InternalError);
    g.outputs = {{"a", 7}};
    CHECK_THROWS_AS(verify(g), InternalError);
    g.outputs = {{"a", x}};
    verify(g);
    g.param("x", {kG});
    CHECK_THROWS_AS(verify(g), InternalError);
  }
  {
    // A sum over the axis that the cycle steps along needs values that are not there yet.
    Graph g;
    const NodeId before = g.carry_open({kT}, DType::Real, kT, 1);
    const NodeId sum = g.reduce(Op::Sum, before, {kT});
    g.close(before, g.binary(Op::Add, g.unary(Op::ToReal, g.iota(kT)), sum));
    CHECK_THROWS_AS(verify(g), InternalError);
  }
}

TEST_CASE("a running sum along the axis that its cycle steps along is refused") {
  Graph g;
  const NodeId before = g.carry_open({kT}, DType::Real, kT, 1);
  g.close(before, g.binary(Op::Add, g.unary(Op::ToReal, g.iota(kT)), g.cumsum(before, kT)));
  CHECK_THROWS_AS(verify(g), InternalError);
}

TEST_CASE("text keeps names, places and forward references") {
  const std::string text =
      "%0 = param {text=\"em \\\"b\\\" #1\"} : real [f0:3]  # embed @ models/m.toml:12:7\n"
      "%1 = carry %3, %0 {from=[t0:5], ints=[1]} : real [t0:5, f0:3]  # @ models/m.toml:3:40\n"
      "%2 = constant {value=0.1} : real []\n"
      "%3 = add %1, %2 : real [t0:5, f0:3]  # h\n"
      "output \"h\" = %3\n";
  const Graph g = parse(text);
  CHECK(print(g) == text);
  CHECK(g[0].name == "embed");
  CHECK(g[0].loc.line() == 12);
  CHECK(g[0].loc.column() == 7);
  verify(g);
  CHECK(print(parse("\n# only a comment\n" + text)) == text);
}

TEST_CASE("parse errors have a place and say what was expected") {
  CHECK(has(parse_error("%0 = cosh %1 : real []\n"), "a.ir:1:6: error: there is no operation 'cosh'; did you mean 'cos'?"));
  CHECK(has(parse_error("%0 = neg %4 : real []\n"), "a.ir:1:10: error: %4 is not defined before this line"));
  CHECK(has(parse_error("%0 = constant {value=1} : real []\n%0 = constant {value=2} : real []\n"), "a.ir:2:1: error: %0 is defined twice"));
  CHECK(has(parse_error("%0 = constant {value=1} : float []\n"), "a.ir:1:27: error: expected real, int or bool, found 'float'"));
  CHECK(has(parse_error("%0 = constant {value=x} : real []\n"), "a.ir:1:22: error: expected a number, found 'x'"));
  CHECK(has(parse_error("%0 = iota : int [q0:3]\n"), "a.ir:1:18: error: expected an axis"));
  CHECK(has(parse_error("%0 = iota : real [t0:3]\n"), "the operation gives int [t0:3], found real [t0:3]"));
  CHECK(has(parse_error("%0 = iota {size=3} : int [t0:3]\n"), "a.ir:1:12: error: expected the attribute text"));
  CHECK(has(parse_error("%0 = iota : int [t0:3] extra\n"), "a.ir:1:24: error: expected the end of the line, found 'extra'"));
  CHECK(has(parse_error("outputs \"x\" = %0\n"), "expected a node"));
  CHECK(has(parse_error("output \"x\" = %0\n"), "%0 is not defined"));
  CHECK(has(parse_error("%0 = carry %9 {from=[t0:3], ints=[1]} : real [t0:3]\n"), "a.ir:1:12: error: %9 is not defined"));
  CHECK(has(parse_error("%0 = iota : int [t0:3]\n%1 = exp %0 : real [t0:3]\n"), "a.ir:2:6: error: exp: input 0 must be real, is int"));
}

TEST_CASE("the Graphviz form has a node and its edges for each value") {
  Graph g;
  const NodeId x = g.param("x", {kF});
  g.outputs = {{"out", g.unary(Op::Exp, x)}};
  const std::string dot = to_dot(g);
  CHECK(has(dot, "n0 -> n1;"));
  CHECK(has(dot, "n1 -> o0;"));
  CHECK(has(dot, "param x"));
}
