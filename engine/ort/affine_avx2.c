#ifdef __x86_64__

#define TARGET __attribute__((target("avx2")))
#define LANES 8
#include "affine_rows.h"

const mr_affine_kernel mr_affine_avx2 = {stage, sum};

#else

typedef int nothing_here;

#endif
