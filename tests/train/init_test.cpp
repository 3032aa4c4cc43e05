#include "runtime/train/init.h"
#include "runtime/safetensors.h"

#include <algorithm>
#include <cmath>

#include "runtime/random.h"
#include "tests/catch.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;
using Init = codegen::ParamInfo::Init;

namespace {

codegen::Manifest three_parameters() {
  codegen::Manifest m;
  m.model = "three";
  m.param_floats = 40064;
  m.params.push_back({"normal", {200, 100}, 0, 20000, Init::Normal, 0.5, 2});
  m.params.push_back({"uniform", {20001}, 20000, 20001, Init::Uniform, -1, 3});
  m.params.push_back({"one", {3}, 40032, 3, Init::Constant, 1, 0});
  return m;
}

}  // namespace

TEST_CASE("Philox gives the published numbers") {
  // Known answers of the authors' Random123 library.
  CHECK((rt::philox({0, 0, 0, 0}, 0) == std::array<uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  CHECK((rt::philox({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}) == std::array<uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
}

TEST_CASE("initial values have the distribution that is asked for, and follow from seed and name") {
  const codegen::Manifest m = three_parameters();
  rt::ThreadPool one(1), three(3);
  std::vector<float> a(m.param_floats, 7), b(m.param_floats, 7), c(m.param_floats, 7);
  rt::init_params(one, m, 3, a.data());
  rt::init_params(three, m, 3, b.data());
  rt::init_params(one, m, 4, c.data());
  CHECK((a == b));
  CHECK((a != c));
  double sum = 0, squares = 0, cubes = 0;
  for (int i = 0; i < 20000; ++i) {
    const double z = (a[static_cast<size_t>(i)] - 0.5) / 2;
    sum += z / 20000;
    squares += z * z / 20000;
    cubes += z * z * z / 20000;
  }
  CHECK(std::abs(sum) < 0.03);
  CHECK(std::abs(squares - 1) < 0.05);
  CHECK(std::abs(cubes) < 0.12);
  const auto [low, high] = std::minmax_element(a.begin() + 20000, a.begin() + 40001);
  CHECK((*low >= -1 && *low < -0.99 && *high <= 3 && *high > 2.99));
  CHECK((a[40032] == 1 && a[40034] == 1));
  CHECK((a[40001] == 7 && a[40035] == 7));  // outside the parameters

  codegen::Manifest moved = m;
  std::swap(moved.params[0], moved.params[1]);
  rt::init_params(one, moved, 3, b.data());
  CHECK((a == b));
  moved = m;
  moved.params[0].low = 0.25;
  rt::init_params(one, moved, 3, b.data());
  CHECK(*std::min_element(b.begin(), b.begin() + 20000) == 0.25f);
}

TEST_CASE("a file of weights is taken as a whole or refused with all its faults") {
  const TemporaryFolder folder;
  const codegen::Manifest m = three_parameters();
  std::vector<float> values(m.param_floats, 0.25f), got(m.param_floats);
  const rt::TensorView normal{"normal", rt::TensorType::F32, {200, 100}, values.data()},
      uniform{"uniform", rt::TensorType::F32, {20001}, values.data()}, one{"one", rt::TensorType::F32, {3}, values.data()};
  const std::string path = folder / "w.safetensors";
  rt::write_safetensors(path, {normal, uniform, one});
  rt::load_params(rt::SafetensorsFile(path), m, got.data());
  CHECK(got[40034] == 0.25f);

  rt::TensorView other = normal;
  other.shape = {100, 200};
  rt::TensorView extra = one;
  extra.name = "two";
  rt::write_safetensors(path, {other, one, extra});
  const std::string message = message_of([&] { rt::load_params(rt::SafetensorsFile(path), m, got.data()); });
  for (const char* part : {"w.safetensors", "'normal' has shape [100, 200], and the model has [200, 100] (the other way round: transpose it", "'uniform' [20001] is missing",
                           "'two' [3] is no parameter"}) {
    INFO(message);
    CHECK(has(message, part));
  }
  values[2] = NAN;
  rt::write_safetensors(path, {normal, uniform, one});
  CHECK(has(message_of([&] { rt::load_params(rt::SafetensorsFile(path), m, got.data()); }), "'one' holds nan at element 2"));
  CHECK(has(message_of([&] { rt::warm_start(rt::SafetensorsFile(path), m, got.data()); }), "holds nan at element 2"));
}
