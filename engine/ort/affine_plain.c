#define TARGET
#define LANES 4
#include "affine_rows.h"

const mr_affine_kernel mr_affine_plain = {stage, sum};
