#define TARGET amx_emulated
#define TARGET_NAME "amx-emulated"
#include "tests/prelude/target_body.h"
