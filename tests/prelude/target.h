#pragma once
#include <cstddef>
#include <cstdint>

/// The kernel prelude as compiled for one target, behind plain function pointers.  The sources behind it are compiled with the
/// target's flags; they share no inline function with the rest of the program, lest the linker keep a copy that needs these flags.
namespace prelude_test {

struct Function {
  const char* name;
  void (*apply)(int lanes, const float* x, float* y, size_t n);  // so many at a time, of which n is a multiple
};

struct BinaryFunction {
  const char* name;
  void (*apply)(int lanes, const float* x, const float* y, float* z, size_t n);
};

struct IntFunction {
  const char* name;
  void (*apply)(int lanes, const int32_t* x, const int32_t* y, int32_t* z, size_t n);
};

struct Reductions {
  float sum, product, largest, smallest;
};

/// Packing and products.  src, a: floats, or bf16.
struct Products {
  long (*packed)(int K, int N);
  void (*pack)(const void* src, long stride_k, long stride_n, int K, int N, float* dst);
  void (*pack_columns)(const void* src, long stride_k, long stride_n, int K, int first, int last, float* dst);
  void (*pack_rows)(const void* src, long stride_k, long stride_n, int K, int N, int first, int last, float* dst);
  void (*multiply)(int m, int N, int K, bool add, const void* a, long a_row, const float* b, float* c, long c_row);
  void (*multiply_transposed)(int m, int N, int K, bool add, const void* a, long a_k, const float* b, float* c, long c_row);
  /// product_in_blocks<70, 100> or <96, 320>: what each call for a row and some columns is given is added to c.
  void (*in_blocks_70_100)(int m, const void* a, long a_row, const float* b, float* c, long c_row);
  void (*in_blocks_96_320)(int m, const void* a, long a_row, const float* b, float* c, long c_row);
  /// add_products_t<70> of 100 inner steps, of 12 and of 700.
  void (*add_products_70)(int m, float* c, long c_row, const void* const* a, const long* a_k, const float* const* b);
};

struct Target {
  const char* name;
  int lanes;
  int panel;
  const Function* functions;
  size_t function_count;
  const BinaryFunction* binary_functions;
  size_t binary_function_count;
  const IntFunction* int_functions;
  size_t int_function_count;
  Reductions (*reductions)(int lanes, const float* x);
  Reductions (*reductions_of_45)(const float* x);
  /// Marks with its width where each call of for_lanes began.
  void (*for_lanes)(int n, int32_t* began);
  void (*for_45_lanes)(int32_t* began);
  void (*gather)(int lanes, const float* base, const int32_t* index, float* out);
  Products fp32, bf16, stored_bf16;  // operands are floats, are floats that are rounded, were rounded before
  void (*round)(int lanes, const float* x, long n, uint16_t* out);
  void (*widen)(int lanes, const uint16_t* x, long n, float* out);
  /// product<40, 24, add> and product_t<40, add>.
  void (*product_40_24)(int m, bool add, const float* a, long a_row, const float* b, float* c, long c_row);
  /// product_of_streams<700, 90, true> by so many partners, one after the other.
  void (*product_of_streams_700_90)(bool bf16, int parts, bool backwards, int m, const float* a, long a_row, const float* b, float* c, long c_row);
  /// pack() of a matrix of 90 x 700 by a team of so many parts.
  void (*pack_700_90)(bool bf16, int parts, const float* src, long stride_k, long stride_n, float* dst);
  void (*product_t_40)(int m, int k, bool add, const float* a, long a_k, const float* b, float* c, long c_row);
  int (*find_nonzeros)(const float* x, long stride, int first, int last, int* at);
  void (*topk_mask)(const float* x, long stride, int n, int k, float* mask, long mask_stride);
  void (*shift)(float* first, long n, long history, long stride);
  float (*fma_peak)(long n);
  float (*read_sum)(const float* x, long n);
};

extern const Target portable, avx2, avx512, avx512bf16, amx, amx_emulated;

}  // namespace prelude_test
