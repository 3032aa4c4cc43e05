#pragma once
#include "ir/interpret.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// How the interpreter evaluates one stored value: an expression over stored values, in strips along one axis.
namespace cpuflow::ir {

int64_t stride_in(const Axes& axes, const Axis& axis);

/// Which of `nodes` get a tensor of their own.  The others are computed where they are read: sources without data, elementwise
/// values and views with one user that would not compute them more often, and values too large to store.
std::vector<bool> choose_stored(const Graph& g, const std::vector<NodeId>& nodes, const std::vector<NodeId>& roots);

/// The evaluation of an elementwise value, a view or a reduction.
class Plan {
 public:
  /// `fixed`: the axes along which cycles are being stepped; their indices may differ from run to run.
  Plan(const Graph& g, NodeId root, const std::vector<bool>& stored, const std::map<Axis, int64_t>& fixed);
  void run(std::vector<Tensor>& values, const std::map<Axis, int64_t>& fixed);

 private:
  /// base + sum over slots of stride * index
  struct Affine {
    int64_t base = 0;
    std::vector<int64_t> strides;
  };
  struct Instr {
    enum class Kind : uint8_t { Constant, Counter, Load, LoadAt, Apply } kind = Kind::Constant;
    double value = 0;         // Constant
    Affine at;                // Counter, Load, LoadAt
    NodeId tensor = kNoNode;  // Load, LoadAt
    int64_t stride = 0;       // LoadAt: of the axis that is read at args[0]
    int64_t size = 0;         // LoadAt: of that axis; an index outside reads 0
    Op op = Op::Add;          // Apply
    double (*scalar)(const double*) = nullptr;
    std::vector<uint32_t> args;
    bool varies = false;  // along the strip
  };
  using Place = std::map<Axis, Affine>;

  uint32_t compile(NodeId id, const Place& place);
  uint32_t emit(Instr instr);
  Affine offset(const Axes& layout, const Place& place) const;
  void execute(const Instr& instr, size_t number, const std::vector<Tensor>& values, int64_t length);

  static constexpr int64_t kStrip = 256;
  const Graph& g_;
  NodeId root_;
  const std::vector<bool>& stored_;
  Axes slots_;  // the loops, then the fixed axes
  size_t loops_ = 0;
  size_t strip_ = 0;  // the loop that strips run along
  bool strip_reduced_ = false;
  std::vector<Instr> instrs_;
  uint32_t result_ = 0;
  std::map<std::string, uint32_t> known_;
  Affine out_;
  std::vector<int64_t> index_;
  std::vector<std::vector<double>> registers_;
};

}  // namespace cpuflow::ir
