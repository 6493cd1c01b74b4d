// Vectors of 16 bytes: SSE2 on x86-64, NEON on arm64, which every such
// processor has.
#define TARGET
#define LANES 4
#include "forest_rows.h"

const mr_forest_kernel mr_forest_plain = {fill, fill_columns, score};
