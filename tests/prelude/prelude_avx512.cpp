#define TARGET avx512
#include "tests/prelude/target_body.h"
