#define TARGET avx512bf16
#include "tests/prelude/target_body.h"
