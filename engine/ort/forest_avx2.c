#ifdef __x86_64__

#define TARGET __attribute__((target("avx2")))
#define LANES 8
#include "forest_rows.h"

const mr_forest_kernel mr_forest_avx2 = {fill, fill_columns, score};

#else

typedef int nothing_here;

#endif
