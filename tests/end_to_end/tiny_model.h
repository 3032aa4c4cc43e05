#pragma once
#include <string>

/// A model small enough to compile and train in a moment.  Its first equation stands in line 14.
inline const char* const kTinyModel = R"toml(name = "tiny"

[dims]
V = 300
T = 16
B = 2
d = 16

[params]
embed = "table(V, d)"
mix   = "linear(d, d)"

[model]
forward = '''
x = embed[tokens]
x = x + dropout(mix(tanh(cumsum(x) / (t + 1))), 0.1)
logits = x @ transpose(embed)
'''

[loss]
ce    = "cross_entropy(logits, targets)"
total = "ce"

[train]
batch = 4
warmup_steps = 2
lr = 1e-2
)toml";

/// `text` with its first `from` replaced; throws std::out_of_range where it has none.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) { return text.replace(text.find(from), from.size(), to); }

/// A few stories: enough documents for one to be held out.
inline std::string tiny_text(int documents = 60) {
  const char* heroes[] = {"fox", "hen", "mole", "crow", "toad"};
  const char* things[] = {"red kite", "tin drum", "warm hat", "long rope"};
  std::string text;
  for (int i = 0; i < documents; ++i) {
    text += std::string("Once there was a ") + heroes[i % 5] + " who had a " + things[i % 4] + ". The " + heroes[i % 5] + " lost the " +
            things[i % 4] + " and found it again after " + std::to_string(i + 2) + " days.\n<|endoftext|>\n";
  }
  return text;
}
