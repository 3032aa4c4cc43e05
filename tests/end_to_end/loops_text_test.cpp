// The text form of every LoopProgram of the zoo, and what is wrong in one.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "ir/diagnostics.h"
#include "ir/loops.h"
#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/process.h"

using namespace cpuflow;

namespace {

std::string error_of(const std::string& text) {
  try {
    ir::parse_loops(text, "x.loops");
  } catch (const ir::ModelError& e) {
    const std::string all = e.what();
    return all.substr(0, all.find('\n'));
  }
  return "";
}

/// Calls visit for each nest of a training sequence that runs in a loop over rows.
void each_nest(const std::string& model, const std::function<void(const ir::LoopProgram&, const ir::Region&, const ir::Step&)>& visit) {
  cli::CompileOptions options;
  options.model = model;
  options.run = false;
  const ir::LoopProgram program = cli::compile_model(options).program;
  for (const ir::Function& f : program.functions) {
    if (f.name != "train_sequence") continue;
    for (const ir::Part& part : f.parts) {
      for (const ir::Region& region : part.regions) {
        for (const ir::Group& group : region.groups) {
          for (const ir::Step& step : group.steps) {
            if (group.by_row && step.kind == ir::Step::Kind::Nest) visit(program, region, step);
          }
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("all products of the zoo's training are products of matrices, but for what is read at computed places") {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CPUFLOW_SOURCE_DIR "/modeldefs")) {
    if (entry.path().extension() != ".toml" || entry.path().stem() == "prelude") continue;
    cli::CompileOptions options;
    options.model = entry.path().string();
    options.eval = options.rows = false;
    options.run = false;
    for (const std::string& line : cli::compile_model(options).explanation.lines) {
      INFO(entry.path().stem().string() << ": " << line);
      CHECK((!contains(line, "not as a product of matrices") || contains(line, "at computed places")));
    }
    ++models;
  }
  CHECK(models == 25);
}

TEST_CASE("vector lanes find their parameters, and add to gradients, side by side") {
  for (const auto& entry : std::filesystem::directory_iterator(CPUFLOW_SOURCE_DIR "/modeldefs")) {
    if (entry.path().extension() != ".toml" || entry.path().stem() == "prelude") continue;
    INFO(entry.path().stem().string());
    int apart = 0;
    each_nest(entry.path().string(), [&](const ir::LoopProgram& p, const ir::Region&, const ir::Step& step) {
      if (step.nest.lane < 0) return;
      const ir::Axis& lane = step.nest.loops[static_cast<size_t>(step.nest.lane)];
      ir::for_each_place(p, step, [&](const ir::Place& place, ir::Access) {
        const ir::Space space = p.buffers[place.buffer].space;
        const bool given = space == ir::Space::Params || space == ir::Space::Grads;
        const bool computed = std::any_of(place.indices.begin(), place.indices.end(), [](const ir::Index& i) { return i.computed != ir::kNone; });
        apart += given && !computed && std::abs(ir::stride_along(p, place, lane)) > 1;
      });
    });
    CHECK(apart == 0);
  }
}

TEST_CASE("a state that is a matrix is read and written in few passes") {
  for (const auto& [name, most] : {std::pair{"mamba", 2}, {"deltanet", 5}}) {
    INFO(name);
    std::map<int, int> passes;  // by the direction of the rows
    each_nest(CPUFLOW_SOURCE_DIR "/modeldefs/" + std::string(name) + ".toml", [&](const ir::LoopProgram&, const ir::Region& region, const ir::Step& step) {
      passes[region.direction] += ir::element_count(step.nest.loops) > 4096;
    });
    CHECK(passes[+1] <= 2);
    CHECK(passes[-1] <= most);
  }
}

TEST_CASE("what is in one chunk is looked for among as many positions") {
  cli::CompileOptions options;
  options.model = CPUFLOW_SOURCE_DIR "/modeldefs/retnet.toml";  // chunks of 32 of 256 positions
  options.run = false;
  const std::string text = ir::print(cli::compile_model(options).program);
  CHECK(contains(text, "near t16:256 before 31 after 0"));
  CHECK(!contains(text, "before 255"));
}

TEST_CASE("loop programs are printed and parsed without loss") {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CPUFLOW_SOURCE_DIR "/modeldefs")) {
    if (entry.path().extension() != ".toml" || entry.path().stem() == "prelude") continue;
    for (const char* precision : {"fp32", "bf16", "unfused"}) {
      cli::CompileOptions options;
      options.model = entry.path().string();
      options.fuse = precision != std::string("unfused");
      if (options.fuse) options.overrides = {{cli::kPrecisionSetting, precision}};
      options.run = false;
      const cli::CompiledModel model = cli::compile_model(options);
      const std::string text = ir::print(model.program);
      const ir::LoopProgram parsed = ir::parse_loops(text);
      INFO(entry.path().stem().string() << " " << precision);
      CHECK((ir::print(parsed) == text));
    }
    ++models;
  }
  CHECK(models >= 19);
}

TEST_CASE("a region is called by what it makes, or by what that is for") {
  cli::CompileOptions options;
  options.model = CPUFLOW_SOURCE_DIR "/modeldefs/v5ln.toml";
  options.target = "avx2";  // where regions end depends on the caches; a target that is named has the same everywhere
  options.run = false;
  std::set<std::string> names;
  for (const passes::RegionCosts& region : cli::compile_model(options).costs) names.insert(region.region);
  for (const char* name : {"x", "logits", "grad_x", "sum for grad_embed.weight", "sum for grad_blocks.*.W_m.weight", "add for loss.total"}) {
    INFO(name);
    CHECK(names.contains(name));
  }
}

TEST_CASE("what only bf16 products read, and what is saved for the backward pass, is kept in bf16") {
  cli::CompileOptions options;
  options.model = CPUFLOW_SOURCE_DIR "/modeldefs/v5ln.toml";
  options.overrides = {{cli::kPrecisionSetting, "bf16"}};
  options.run = false;
  const ir::LoopProgram program = cli::compile_model(options).program;
  auto kept_in_bf16 = [&](const std::string& name) {
    return std::any_of(program.buffers.begin(), program.buffers.end(), [&](const ir::Buffer& b) { return b.name == name && b.bf16; });
  };
  CHECK(kept_in_bf16("hidden"));      // read by the output layer and by its weights' gradient
  CHECK(kept_in_bf16("scan_saved"));  // read by both passes' products
  CHECK(kept_in_bf16("key_saved"));
  CHECK_FALSE(kept_in_bf16("key"));     // of the forward pass
  CHECK_FALSE(kept_in_bf16("x"));       // the norm reads it
  CHECK_FALSE(kept_in_bf16("logits"));  // the softmax reads them
}

TEST_CASE("a bias's gradient is summed where its terms are made, so that products alone read them, in bf16") {
  const std::pair<const char*, uint32_t> widths[] = {{"v5ln", 192}, {"gpt2", 768}, {"gpt2", 1024}};  // of what is split, and of the feed-forward network
  for (const auto& [name, width] : widths) {
    cli::CompileOptions options;
    options.model = std::string(CPUFLOW_SOURCE_DIR "/modeldefs/") + name + ".toml";
    options.overrides = {{cli::kPrecisionSetting, "bf16"}};
    options.run = options.eval = options.rows = false;
    const cli::CompiledModel model = cli::compile_model(options);
    int rounded = 0, exact = 0;
    for (const ir::Buffer& b : model.program.buffers) {
      const auto has = [&](auto is) { return std::any_of(b.axes.begin(), b.axes.end(), is); };
      const bool wide = has([&](const ir::Axis& a) { return a.size == width; }) && has([](const ir::Axis& a) { return a.kind == ir::AxisKind::Position; });
      if (wide && b.space == ir::Space::Lane && b.rows == ir::Rows::All) ++(b.bf16 ? rounded : exact);
    }
    INFO(name << " " << width);
    CHECK(rounded > 0);
    CHECK(exact == 0);
  }
}

TEST_CASE("what is read for many positions at once has its positions side by side, unless a row has enough for a vector") {
  auto stride_of_positions = [](const std::string& heads) {
    cli::CompileOptions options;
    options.model = CPUFLOW_SOURCE_DIR "/modeldefs/v74.toml";
    options.overrides = {{"H", heads}, {"L", "2"}};
    options.target = "avx512";
    options.run = options.eval = options.rows = false;
    std::set<int64_t> strides;
    for (const ir::Buffer& b : cli::compile_model(options).program.buffers) {
      for (size_t i = 0; i < b.axes.size(); ++i) {
        if (b.name == "kept" && b.axes[i].kind == ir::AxisKind::Position) strides.insert(b.strides[i]);
      }
    }
    return strides;
  };
  CHECK(stride_of_positions("4") == std::set<int64_t>{1});
  CHECK_FALSE(stride_of_positions("16").count(1));
}

TEST_CASE("products over all rows run while what they read is near: in between, if a layer fills the second cache") {
  auto products_of_a_layer = [](std::map<std::string, std::string> sizes) {
    cli::CompileOptions options;
    options.model = CPUFLOW_SOURCE_DIR "/modeldefs/v5ln.toml";
    options.overrides = std::move(sizes);
    options.run = options.eval = options.rows = false;
    int regions = 0;
    const ir::LoopProgram program = cli::compile_model(options).program;
    for (const ir::Function& f : program.functions) {
      for (const ir::Part& part : f.parts) {
        if (f.name != "train_sequence" || !part.loops || part.direction > 0) continue;
        for (const ir::Region& r : part.regions) regions += !r.has_rows;
      }
    }
    return regions;
  };
  CHECK(products_of_a_layer({}) > 1);
  CHECK(products_of_a_layer({{"d", "32"}, {"k", "16"}, {"ff", "32"}}) == 1);
}

TEST_CASE("an exponential that is kept in bf16 and otherwise only summed is rough") {
  auto rough = [](const char* precision, bool eval, const char* model = "v5ln", const char* what = "") {
    cli::CompileOptions options;
    options.model = std::string(CPUFLOW_SOURCE_DIR "/modeldefs/") + model + ".toml";
    options.overrides = {{cli::kPrecisionSetting, precision}};
    options.run = options.rows = false;
    options.eval = eval;
    std::string text = ir::print(cli::compile_model(options).program);
    if (eval) text.erase(0, text.find("function eval_sequence"));  // where nothing reads it but the sum
    return std::pair(contains(text, std::string("rough exp(") + what), contains(text, "exp("));
  };
  CHECK(rough("bf16", false).first);
  CHECK_FALSE(rough("fp32", false).first);
  CHECK(rough("bf16", true) == std::pair(false, true));
  CHECK(rough("bf16", false, "gpt2", "sub(select(le(").first);  // of a softmax under a condition
}

TEST_CASE("attention keeps one value of two positions for the backward pass") {
  for (const auto& [name, precision] : {std::pair("gpt2", "bf16"), {"llama", "bf16"}, {"gpt2", "fp32"}, {"llama", "fp32"}}) {
    INFO(name << ", " << precision);
    cli::CompileOptions options;
    options.model = std::string(CPUFLOW_SOURCE_DIR "/modeldefs/") + name + ".toml";
    options.overrides = {{cli::kPrecisionSetting, precision}};
    options.run = options.rows = false;
    const cli::CompiledModel model = cli::compile_model(options);
    const auto of_two_positions = [](const ir::Buffer& b) {
      return !b.axes.empty() && b.axes[0].kind == ir::AxisKind::Layer && b.strides[0] > 0 && std::count_if(b.axes.begin(), b.axes.end(), [](const ir::Axis& a) { return a.kind == ir::AxisKind::Position; }) == 2;
    };
    CHECK(std::count_if(model.program.buffers.begin(), model.program.buffers.end(), of_two_positions) == 1);
  }
}

TEST_CASE("a loss that leaves out the last position stores exp of the logits, and nothing else of that size") {
  for (const char* name : {"v84", "v74"}) {
    cli::CompileOptions options;
    options.model = std::string(CPUFLOW_SOURCE_DIR "/modeldefs/") + name + ".toml";
    options.overrides = {{cli::kPrecisionSetting, "bf16"}};
    options.run = options.rows = options.eval = false;
    const cli::CompiledModel model = cli::compile_model(options);
    const auto of_words = [](const ir::Buffer& b) {
      const bool rows = std::any_of(b.axes.begin(), b.axes.end(), [](const ir::Axis& a) { return a.kind == ir::AxisKind::Position; });
      return b.space == ir::Space::Lane && b.in_memory() && rows && std::any_of(b.axes.begin(), b.axes.end(), [](const ir::Axis& a) { return a.size == 4096; });
    };
    INFO(name);
    CHECK(std::count_if(model.program.buffers.begin(), model.program.buffers.end(), of_words) == 1);
  }
}

TEST_CASE("errors in a loop program have a place") {
  const std::string start = "program \"x\" panel 16 shared 0 grads 0 losses 0\nbuffer @0 real lane [f0:4*1] 4 at 0 holds all  # x\n";
  CHECK(error_of(start) == "");
  CHECK(error_of(start + "buffer @2 real lane [] 1 at 0 holds all") == "x.loops:3:8: error: expected @1: buffers are numbered in order");
  CHECK(error_of(start + "region rows t0:4 tiles 4") == "x.loops:3:1: error: a region belongs to a part: 'once' or 'layers'");
  const std::string region = start + "function f scratch 4 kept 0 carried 0\n  once\n    region  # r\n";
  CHECK(error_of(region + "      nest [f0:4] reduces from 1 lanes 0") == "x.loops:6:7: error: expected 'values', 'before', 'each row' or 'whole'");
  const std::string nest = region + "      whole\n        nest [f0:4] reduces from 1 lanes 0\n";
  CHECK(error_of(nest + "          @0[f0:4] = 1.0") == "");
  CHECK(error_of(nest + "          @0[f0:4, 1] = 1.0") == "x.loops:8:11: error: expected 1 indices, found 2");
  CHECK(error_of(nest + "          @7[f0:4] = 1.0") == "x.loops:8:11: error: there is no buffer @7");
  CHECK(error_of(nest + "          @0[f0:4] = expp(1.0)") == "x.loops:8:22: error: unknown operation 'expp'");
  CHECK(error_of(nest + "          @0[f0:4] = $0") == "x.loops:8:23: error: there is no expression $0 before");
  CHECK(error_of(start + "let $1 = 1.0") == "x.loops:3:6: error: expected $0: expressions are numbered in order");
  CHECK(error_of(nest + "          @0[f0:4] = 1.0 2.0") == "x.loops:8:26: error: expected the end of the line, found '2'");
}
