/* The boundary between the compiler and the module that holds clang and LLVM: plain C, so that the two may be built with different
 * C++ options (LLVM has no run-time type information). */
#ifndef CPUFLOW_JIT_MODULE_API_H
#define CPUFLOW_JIT_MODULE_API_H
#include <stddef.h>

#define CPUFLOW_JIT_API_VERSION 1
#define CPUFLOW_JIT_ENTRY "cpuflow_jit_module"

/* Receives bytes of a result or of an error message; called on the caller's thread before the function returns. */
typedef struct cpuflow_jit_sink {
  void (*write)(void *to, const char *data, size_t size);
  void *to;
} cpuflow_jit_sink;

typedef struct cpuflow_jit_symbol {
  const char *name;
  void *address;
} cpuflow_jit_symbol;

typedef struct cpuflow_jit_library cpuflow_jit_library;

typedef struct cpuflow_jit_module_api {
  int version;          /* CPUFLOW_JIT_API_VERSION */
  const char *compiler; /* "Debian clang version 19.1.7 ..." */
  const char *triple;   /* the machine that code is made for */
  /* Runs `clang -cc1` with these arguments on a text in memory.  Returns 0 and writes the object, assembly or IR; otherwise
   * returns 1 and writes the compiler's messages. */
  int (*compile)(const char *const *arguments, size_t argument_count, const char *text, size_t size, const char *file_name,
                 cpuflow_jit_sink result, cpuflow_jit_sink errors);
  /* Links an object into this process; it sees `symbols` and nothing else.  Null: failed, see `errors`. */
  cpuflow_jit_library *(*link)(const char *object, size_t size, const char *name, const cpuflow_jit_symbol *symbols, size_t symbol_count,
                               cpuflow_jit_sink errors);
  /* Null: there is no such symbol, or an undefined one that it needs; see `errors`. */
  void *(*symbol)(cpuflow_jit_library *library, const char *name, cpuflow_jit_sink errors);
  void (*unload)(cpuflow_jit_library *library);
} cpuflow_jit_module_api;

/* The type of the module's one exported function, CPUFLOW_JIT_ENTRY. */
typedef const cpuflow_jit_module_api *cpuflow_jit_module_entry(void);

#endif
