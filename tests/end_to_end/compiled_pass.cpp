#include "tests/end_to_end/compiled_pass.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/catch.h"

using namespace cpuflow;

namespace {

double norm(const std::vector<double>& v) {
  double s = 0;
  for (double x : v) s += x * x;
  return std::sqrt(s);
}

}  // namespace

cli::PassInputs example_inputs(const codegen::Manifest& m, unsigned seed) {
  std::mt19937 random(seed);
  cli::PassInputs in;
  in.B = m.B;
  in.T = m.T;
  for (int64_t i = 0; i < m.B * m.T; ++i) {
    in.tokens.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(m.V)));
    in.targets.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(m.V)));
  }
  for (const codegen::ParamInfo& p : m.params) {
    std::vector<float>& v = in.params[p.name];
    for (uint64_t i = 0; i < p.count; ++i) v.push_back(std::uniform_real_distribution<float>(-0.7f, 0.7f)(random));
  }
  return in;
}

Tensors by_name(const std::vector<cli::NamedTensor>& tensors) {
  Tensors out;
  for (const cli::NamedTensor& t : tensors) out[t.name] = t.values;
  return out;
}

bool is_of_training(const std::string& name) { return name == "logits" || name.rfind("loss.", 0) == 0 || name.rfind("grad.", 0) == 0; }

void check_tensors(const Tensors& got, const Tensors& expected, double tolerance) {
  double gradients = 0;
  for (const auto& [name, want] : expected) {
    if (name.rfind("grad.", 0) == 0) gradients += norm(want) * norm(want);
  }
  gradients = std::sqrt(gradients);
  for (const auto& [name, values] : got) {
    INFO(name);
    const std::vector<double>& want = expected.at(name);
    REQUIRE(values.size() == want.size());
    std::vector<double> difference(values.size());
    for (size_t i = 0; i < values.size(); ++i) difference[i] = values[i] - want[i];
    const double floor = name.rfind("grad.", 0) == 0 ? 1e-3 * gradients : 1e-3;
    CHECK(norm(difference) <= tolerance * std::max(norm(want), floor));
  }
}

void check_training(const Tensors& got, const Tensors& expected, double tolerance) {
  for (const auto& [name, want] : expected) {
    INFO(name << " is missing");
    CHECK((!is_of_training(name) || got.count(name) > 0));
  }
  check_tensors(got, expected, tolerance);
}
