// A model is what it computes: other names, library equations written out, and swapped operands give the same loops.
#include "runtime/cli/compile.h"
#include "tests/catch.h"

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace cpuflow;

namespace {

/// v5ln with every name changed, LayerNorm, the prefix sum and the losses written out, and the operands of sums and products swapped.
const char* const kRewritten = R"toml(name = "somebody-else"
[dims]
V = 67
T = 37
B = 3
width = 20
scan_width = 12
hidden = 28
L = 2
[constants]
horizon = 9
rate = 4
[params]
words = { kind = "table(V, width)", name = "embed" }
steps = "tensor(T, width)"
last_w = { kind = "vector(width)", init = "ones" }
last_b = "vector(width)"
ahead  = "linear(width, width)"
[block]
repeat = "L"
forward = '''
c = x - mean(x)
n = b1 + w1 * (c / sqrt(1e-5 + mean(c * c)))
ask, gate, write = split(mixer(n), 3)
gate  = sigmoid(gate)
write = tanh(write)
above[t,i] = sum(s | s <= t: write[s,i] * gate[s,i])
below[t,i] = sum(s | s <= t: gate[s,i])
mixed = above * ask / (1e-3 + below)
x = out(inner(mixed)) + x
e = x - mean(x)
m = b2 + w2 * (e / sqrt(1e-5 + mean(e * e)))
x = down(relu(up(m))) + x
'''
[block.params]
w1 = { kind = "vector(width)", init = "ones" }
b1 = "vector(width)"
mixer = "linear(width, 3*scan_width)"
inner = "linear(scan_width, scan_width)"
out   = "linear(scan_width, width)"
w2 = { kind = "vector(width)", init = "ones" }
b2 = "vector(width)"
up   = "linear(width, hidden)"
down = "linear(hidden, width)"
[model]
forward = '''
x = cumsum(steps[t]) + words[tokens]
x = blocks(x)
c = x - mean(x)
top = last_b + last_w * (c / sqrt(1e-5 + mean(c * c)))
logits = top @ transpose(words)
'''
[loss]
ce  = 'mean(b, t: logsumexp(v: logits[b,t,v]) - logits[b,t,targets[b,t]])'
fsp = 'bag_of_future(ahead(top) @ transpose(words), targets, window = horizon, every = rate, pos_weight = 50.0)'
total = '0.1 * fsp + ce'
)toml";

/// The text of the loops without the names behind `#`.
std::string loops_of(const std::string& model, const std::map<std::string, std::string>& sizes) {
  cli::CompileOptions options;
  options.model = model;
  options.overrides = sizes;
  options.target = "avx2";
  options.run = false;
  std::string out;
  bool comment = false;
  const std::string text = ir::print(cli::compile_model(options).program);
  for (char c : text.substr(text.find('\n'))) {
    if (c == '#') comment = true;
    if (c == '\n') comment = false;
    if (!comment) out += c;
  }
  return out;
}

}  // namespace

TEST_CASE("renamed, written out and with swapped operands, v5ln has the same loops") {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("cpuflow_same_loops_" + std::to_string(getpid()) + ".toml");
  std::ofstream(file) << kRewritten;
  const std::map<std::string, std::string> sizes = {{"V", "67"}, {"T", "37"},  {"B", "3"},       {"d", "20"},      {"k", "12"},
                                                    {"ff", "28"}, {"L", "2"}, {"fsp_tau", "9"}, {"fsp_rate", "4"}};
  const std::string written_out = loops_of(file.string(), {});
  std::filesystem::remove(file);
  const std::string original = loops_of("v5ln", sizes);
  CHECK(original == written_out);
  CHECK(original != loops_of("v5ln", {{"V", "67"}, {"T", "37"}, {"B", "3"}, {"d", "20"}, {"k", "12"}, {"ff", "24"}, {"L", "2"}, {"fsp_tau", "9"}, {"fsp_rate", "4"}}));
}
