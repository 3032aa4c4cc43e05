#define TARGET avx2
#include "tests/prelude/target_body.h"
