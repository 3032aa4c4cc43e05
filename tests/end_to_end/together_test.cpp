// Sequences that go through a recurrence together, each of which becomes what it becomes alone.
#include <algorithm>
#include <cmath>

#include "runtime/cli/aligned_floats.h"
#include "runtime/cli/compile.h"
#include "runtime/memory.h"
#include "runtime/train/call_group.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

using namespace cpuflow;

namespace {

/// Two layers of an LSTM with random draws and a second loss; d, k and T are no multiples of a vector.
const char* const kLstm = R"toml(name = "lstm"

[dims]
V = 37
T = 70
B = 6
d = 24
k = 20
L = 2

[params]
embed = "table(V, d)"
out   = "linear(d, V)"
head  = "linear(d, 1)"

[block]
repeat  = "L"
forward = '''
i, f, g, o = split(W_x(dropout(x, 0.1)) + W_h(h[t-1]), 4)
c = sigmoid(f + 1) * c[t-1] + sigmoid(i) * tanh(g)
h = dropout(sigmoid(o) * tanh(c), 0.1)
x = x + W_out(h)
'''
[block.params]
W_x   = "linear(d, 4*k)"
W_h   = "linear(k, 4*k)"
W_out = "linear(k, d)"

[model]
forward = '''
x = embed[tokens]
x = blocks(x)
logits = out(x)
'''

[loss]
ce    = "cross_entropy(logits, targets)"
size  = '''
number = head(x)
mean(b, t, i in 0..1: number[b,t,i] * number[b,t,i])
'''
total = "ce + 0.1 * size"

[train]
batch = 24
warmup_steps = 2
lr = 1e-2
)toml";

cli::CompiledModel compiled(const std::string& path, const std::string& precision, bool fuse) {
  cli::CompileOptions options;
  options.model = path;
  options.overrides["train.precision"] = precision;
  options.fuse = fuse;
  return cli::compile_model(options);
}

/// The losses of each sequence, and the gradients of all, where so many run in a call.
std::pair<std::vector<std::vector<float>>, std::vector<float>> pass(const codegen::Executable& exe, const cli::PassInputs& inputs, int64_t together) {
  const codegen::Manifest& m = exe.manifest;
  const cli::AlignedFloats params(m.param_floats), shared(m.shared_floats), grads(m.grad_floats), scratch(m.scratch_floats(together));
  for (const codegen::ParamInfo& p : m.params) std::copy_n(inputs.params.at(p.name).data(), p.count, params.get() + p.offset);
  std::vector<std::vector<float>> losses(static_cast<size_t>(m.B), std::vector<float>(m.loss_floats));
  cpuflow_call call{};
  call.params = params.get();
  call.shared = shared.get();
  call.grads = grads.get();
  call.last = static_cast<int32_t>(m.T);
  call.seed = 3;
  exe.prepare(&call);
  rt::CallGroup group(exe.train_sequence, m, together, scratch.get());
  for (int64_t b = 0; b < m.B; ++b) {
    call.tokens = inputs.tokens.data() + b * m.T;
    call.targets = inputs.targets.data() + b * m.T;
    call.sequence = static_cast<int32_t>(b);
    call.losses = losses[static_cast<size_t>(b)].data();
    call.counter = static_cast<uint64_t>(b) / 2;
    group.add(call);
  }
  group.run();
  return {losses, {grads.get(), grads.get() + m.grad_floats}};
}

}  // namespace

TEST_CASE("sequences that go through a recurrence together become what each becomes alone") {
  const TemporaryFolder folder;
  folder.write("lstm.toml", kLstm);
  for (const char* precision : {"fp32", "bf16"}) {
    for (bool fuse : {true, false}) {
      INFO(precision << (fuse ? "" : " unfused"));
      const cli::CompiledModel model = compiled(folder / "lstm.toml", precision, fuse);
      REQUIRE(model.exe.manifest.together == 4);
      const cli::PassInputs inputs = example_inputs(model.exe.manifest, 7);
      const auto [losses, grads] = pass(model.exe, inputs, 1);
      for (int64_t together : {2, 3, 4}) {
        const auto [joined, sum] = pass(model.exe, inputs, together);
        CHECK((joined == losses));  // bit by bit; gradients are added in another order
        double error = 0, all = 0;
        for (size_t i = 0; i < grads.size(); ++i) error += std::pow(sum[i] - grads[i], 2), all += std::pow(grads[i], 2);
        CHECK(all > 0);
        CHECK(std::sqrt(error / all) < 1e-6);
      }
    }
  }
}

TEST_CASE("sequences that run together give what the interpreter gives") {
  const TemporaryFolder folder;
  folder.write("lstm.toml", kLstm);
  const cli::CompiledModel model = compiled(folder / "lstm.toml", "fp32", true);
  const cli::PassInputs inputs = example_inputs(model.exe.manifest, 8);
  check_training(by_name(cli::run_compiled(model.exe, inputs)), by_name(cli::run_interpreter(model, inputs)));
}

TEST_CASE("a recurrence has the same bits on every number of threads and after a resume") {
  const TemporaryFolder folder;
  folder.write("lstm.toml", kLstm);
  folder.write("tiny.txt", tiny_text());
  auto train = [&](const std::string& run, const std::string& more) {
    const Result result = cpuflowc(words("train " + folder / "lstm.toml" + " --set B=2 V=300 --data " + folder / "tiny.txt" + " --out " + folder / run + " --seed 5 " + more));
    INFO(result.err);
    REQUIRE(result.status == 0);
  };
  for (const char* threads : {"1", "2", "3", "5"}) train(std::string("run-") + threads, std::string("--steps 6 --threads ") + threads);
  const std::string rates = text_of(folder / "run-1/metrics.jsonl");
  folder.write("half.jsonl", rates.substr(0, rates.find("\n", rates.find("\"step\":2"))));
  train("resumed", "--threads 2 --replay " + folder / "half.jsonl");
  train("resumed", "--threads 1 --resume --replay " + folder / "run-1/metrics.jsonl");
  const std::string expected = text_of(folder / "run-1/checkpoint/model.safetensors");
  CHECK(expected.size() > 1000);
  for (const char* run : {"run-2", "run-3", "run-5", "resumed"}) CHECK((text_of(folder / run + "/checkpoint/model.safetensors") == expected));
}

TEST_CASE("what sequences that run together take is planned, and less than would run together takes less") {
  codegen::Manifest m;
  m.lane_floats = 1000;
  m.together = 4;
  m.train.batch = 32;
  CHECK(rt::batch_shape(m).together == 4);
  CHECK(rt::training_memory(m, 2).scratch == 2 * rt::Arena::bytes_for(m.scratch_floats(4)));
  m.train.batch = 12;  // three for each of four lanes
  CHECK(rt::batch_shape(m).together == 3);
  m.train.batch = 2;
  CHECK(rt::batch_shape(m).together == 1);
  CHECK(rt::training_memory(m, 1).scratch == rt::Arena::bytes_for(1000));
}
