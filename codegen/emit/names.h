#pragma once
#include "ir/graph.h"
#include "ir/loops.h"

#include <map>
#include <string>

namespace cpuflow::codegen {

/// How loop variables and buffers are written in one region.
class Names {
 public:
  /// `of_stream`: within a loop over the streams of `rows`, each of which has its own lane, tokens and logits.
  /// `row_range`: in a function over a range of rows.
  Names(const ir::LoopProgram& program, const ir::Region* region, bool in_row_loop, bool row_range, bool of_stream = false)
      : p_(program), region_(region), in_row_loop_(in_row_loop), row_range_(row_range), of_stream_(of_stream) {}
  std::string variable(const ir::Axis& axis) const;
  /// The variable that counts rows: `t` in a loop over rows, `t0` (the first of the tile) outside of one.
  std::string row() const;
  /// Begin and end of a loop over `axis`.
  struct Trip {
    std::string first, last;
    bool whole = true;
  };
  Trip trip(const ir::Axis& axis, const std::vector<ir::Reach>& reaches) const;
  /// Elements from a place to the one that the next round of the loop over rows names so; 0 outside of such a loop.
  int64_t next_row(const ir::Place& place) const;
  std::string buffer(ir::BufferId id) const;
  /// The buffer of the stream at hand.
  std::string own_buffer(ir::BufferId id) const;
  /// Offset of a place from its buffer's first element; with `skip` (the vector lane), from that of own_buffer() and without the lane's part.
  std::string offset(const ir::Place& place, const ir::Axis* skip, const std::map<ir::ExprId, std::string>& computed) const;
  std::string index(const ir::Index& index, const std::map<ir::ExprId, std::string>& computed) const;
  /// Whether the offset in a buffer depends on the index along its axis number `axis`: not where one element is held for all of them.
  bool counts(const ir::Buffer& buffer, size_t axis) const;

 private:
  /// The variable of a loop over rows; with 0 and 1 behind it, first and last of the tile.
  std::string counter() const;
  /// What is added to offsets in a buffer of which each stream has its own, or "".
  std::string stream_offset(const ir::Buffer& buffer) const;

  const ir::LoopProgram& p_;
  const ir::Region* region_;
  bool in_row_loop_, row_range_, of_stream_;
};

std::string float_literal(double value);
/// A C++ identifier made of a name.
std::string identifier(const std::string& name);
/// The text as an operand: in brackets where it has an operator outside of all brackets.
std::string bracketed(const std::string& text);

}  // namespace cpuflow::codegen
