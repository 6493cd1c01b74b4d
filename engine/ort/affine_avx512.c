#ifdef __x86_64__

#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#define LANES 16
#include "affine_rows.h"

const mr_affine_kernel mr_affine_avx512 = {stage, sum};

#else

typedef int nothing_here;

#endif
