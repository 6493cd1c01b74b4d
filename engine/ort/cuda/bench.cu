// Compares the kernels for trees on a device: every variant of kernel, trees at
// once, threads of a block and size of a group, on random forests, each checked
// bit by bit against a plain loop on the processor.
//
//   engine/ort/cuda/compile.sh bench trees-bench    (here; runs where a device is)
//   ./trees-bench                                   (all; about three minutes)
//   ./trees-bench TREES LEAVES FEATURES ROWS        (one forest and batch)
//
// The first line of each batch, "product", is what millrace does: its compiled
// kernels, its choice of them, and its launcher. ms is the median of 9 launches.
// At the end stands how long the kernels took to load, and a line for each batch
// that compares the product, in millions of rows a second, with the best variant.
// The exit status is 1 where bits differ.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels.cu"

extern "C" {
#include "../cuda_forest.h"
}

static double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void check(cudaError_t error, const char *what) {
  if (!error) return;
  fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  exit(1);
}
#define CHECK(call) check(call, #call)

// What the launcher needs of ONNX Runtime.
static OrtStatus *ORT_API_CALL print_status(OrtErrorCode, const char *message) noexcept {
  fprintf(stderr, "%s\n", message);
  exit(1);
}
static OrtStatus *ORT_API_CALL default_stream(const OrtKernelContext *, void **out) noexcept {
  *out = nullptr;
  return nullptr;
}
static OrtApi stub_api() {
  OrtApi api = {};
  api.CreateStatus = print_status;
  api.KernelContext_GetGPUComputeStream = default_stream;
  return api;
}

// A random forest in the layout of models/forest_layout.go, regressor of one
// target; a third of the splits send NaN to the true side.
struct Forest {
  std::string name;
  unsigned trees, leaves, features, depth;
  std::vector<uint32_t> words;
  std::mt19937 random{42};

  void word(uint32_t v) { words.push_back(v); }
  void real(float v) {
    memcpy(&words.emplace_back(), &v, 4);
  }
  float normal() { return std::normal_distribution<float>()(random); }

  // Leaves are dealt to both sides: evenly in a perfect tree (leaves a power of
  // two), or as a split anywhere does.
  void nodes(unsigned n, unsigned deep, std::vector<float> &values) {
    depth = std::max(depth, deep);
    if (n == 1) {
      word(IS_LEAF << 24);
      word(0);
      values.push_back(normal());
      return;
    }
    word(random() % features | (random() % 3 ? LE_NAN_FALSE : LE_NAN_TRUE) << 24);
    real(normal());
    const bool perfect = (leaves & (leaves - 1)) == 0;
    // Not so lopsided as any cut would be: the better of three.
    unsigned left = n / 2;
    for (int i = 0; !perfect && i < 2; i++) left = (left + 1 + random() % (n - 1)) / 2;
    left = std::min(std::max(left, 1u), n - 1);
    nodes(left, deep + 1, values);
    nodes(n - left, deep + 1, values);
  }

  Forest(unsigned trees, unsigned leaves, unsigned features) : trees(trees), leaves(leaves), features(features), depth(0) {
    name = "trees=" + std::to_string(trees) + " leaves=" + std::to_string(leaves) + " features=" + std::to_string(features);
    const uint32_t head[] = {MRF_MAGIC, features, 1, trees, 0, 0, 0, 2 * leaves - 1, 0, 0, 0, 0};
    words.assign(head, head + MRF_HEAD);
    real(0);
    word(1);
    for (unsigned t = 0; t < trees; t++) {
      word(2 * leaves - 1), word(leaves), word(1), word(0);
      std::vector<float> values;
      nodes(leaves, 0, values);
      for (float v : values) real(v);
    }
    name += " depth=" + std::to_string(depth);
  }

  // The plain loop. A false side is found by passing over the true side.
  std::vector<std::vector<uint32_t>> skip;
  void prepare() {
    size_t at = MRF_HEAD + 2;
    for (unsigned t = 0; t < trees; t++) {
      const uint32_t n = words[at];
      at += MRF_TREE + 1;
      std::vector<uint32_t> end(n), open;
      for (uint32_t i = n; i-- > 0;) end[i] = words[at + 2 * i] >> 24 == IS_LEAF ? i + 1 : end[end[i + 1]];
      skip.push_back(end);
      at += 2 * n + leaves;
    }
  }
  float score(const float *x) const {
    size_t at = MRF_HEAD + 2;
    float sum = 0;
    for (unsigned t = 0; t < trees; t++) {
      at += MRF_TREE + 1;
      uint32_t i = 0, passed = 0; // leaves to the left are counted by nodes passed over
      while (words[at + 2 * i] >> 24 != IS_LEAF) {
        float threshold;
        memcpy(&threshold, &words[at + 2 * i + 1], 4);
        const float v = x[words[at + 2 * i] & 0xffffff];
        const bool pass = v != v ? words[at + 2 * i] >> 24 == LE_NAN_TRUE : v <= threshold;
        if (!pass) passed += (skip[t][i + 1] - i) / 2; // nodes 2n - 1 of n leaves
        i = pass ? i + 1 : skip[t][i + 1];
      }
      float value;
      memcpy(&value, &words[at + 2 * (2 * leaves - 1) + passed], 4);
      sum += value;
      at += 2 * (2 * leaves - 1) + leaves;
    }
    return sum + 0.0f;
  }
};

// Variants of the kernels of one target, by trees at once.
#define VARIANT(kind, nodes, at_once) TREES(bench_##kind##_##at_once, nodes, 1, 1, 0, at_once)
VARIANT(staged, 1, 2)
VARIANT(staged, 1, 4)
VARIANT(staged, 1, 8)
VARIANT(direct, 0, 2)
VARIANT(direct, 0, 4)
VARIANT(direct, 0, 8)
#define WIDE(kind, nodes, at_once) TREES(bench_wide_##kind##_##at_once, nodes, 0, 1, 0, at_once)
WIDE(staged, 1, 2)
WIDE(staged, 1, 4)
WIDE(staged, 1, 8)
WIDE(direct, 0, 8)

struct Variant {
  const char *name;
  void (*kernel)(mr_cuda_trees);
  bool staged, columns;
};
static const Variant variants[] = {
    {"staged/at_once=2", bench_staged_2, true, true},
    {"staged/at_once=4", bench_staged_4, true, true},
    {"staged/at_once=8", bench_staged_8, true, true},
    {"direct/at_once=2", bench_direct_2, false, true},
    {"direct/at_once=4", bench_direct_4, false, true},
    {"direct/at_once=8", bench_direct_8, false, true},
    {"wide/at_once=2", bench_wide_staged_2, true, false},
    {"wide/at_once=4", bench_wide_staged_4, true, false},
    {"wide/at_once=8", bench_wide_staged_8, true, false},
    {"wide-direct/at_once=8", bench_wide_direct_8, false, false},
};

static std::string summary; // a line for each batch
static bool any_wrong;

struct Bench {
  OrtApi api = stub_api();
  const mr_cuda_device *device;
  Forest &forest;
  mr_forest *read;
  mr_cuda_forest placed;
  mr_cu_pointer memory;
  float *x, *out;
  std::vector<float> host, want;
  size_t most;

  enum { CHECKED = 4096 }; // rows, at the beginning and at the end of most

  Bench(Forest &f, size_t most) : forest(f), most(most) {
    mr_cuda_open(&api, 0, &device);
    const char *error = nullptr;
    read = mr_forest_read((const uint8_t *)f.words.data(), 4 * f.words.size(), &error);
    if (!read || !mr_cuda_forest_build(read, (const uint8_t *)f.words.data(), nullptr, device->shared_block, &placed)) {
      fprintf(stderr, "%s\n", error ? error : "no memory");
      exit(1);
    }
    mr_cuda_upload(&api, device, placed.image, placed.bytes, &memory);
    mr_cuda_forest_place(&placed, memory);
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    host.resize(most * f.features);
    // Random numbers are the slow part: rows repeat after a prime of them.
    const size_t own = std::min(host.size(), (size_t)65521 * f.features);
    for (size_t i = 0; i < own; i++) host[i] = random() % 50 ? normal(random) : NAN;
    for (size_t i = own; i < host.size(); i++) host[i] = host[i - own];
    f.prepare();
    want.resize(most, NAN);
    for (size_t i = 0; i < most; i++)
      if (i < CHECKED || i + CHECKED >= most) want[i] = f.score(&host[i * f.features]);
    CHECK(cudaMalloc(&x, host.size() * 4));
    CHECK(cudaMalloc(&out, most * 4));
    CHECK(cudaMemcpy(x, host.data(), host.size() * 4, cudaMemcpyHostToDevice));
  }

  ~Bench() {
    cudaFree(x);
    cudaFree(out);
    mr_cuda_free(device, memory);
    free(placed.image);
    mr_forest_free(read);
  }

  mr_cuda_trees arguments(size_t rows) const {
    mr_cuda_trees a = placed.arguments;
    a.x = x;
    a.rows = rows;
    a.stride = forest.features;
    a.out = out;
    return a;
  }

  // The median time; below 0: it cannot be launched.
  template <typename Launch> double time(size_t rows, const std::string &name, Launch launch) {
    CHECK(cudaMemset(out, 0xff, rows * 4));
    launch();
    if (cudaError_t error = cudaGetLastError()) {
      printf("%s rows=%zu %s: %s\n", forest.name.c_str(), rows, name.c_str(), cudaGetErrorString(error));
      return -1;
    }
    CHECK(cudaDeviceSynchronize());
    std::vector<float> got(rows);
    CHECK(cudaMemcpy(got.data(), out, rows * 4, cudaMemcpyDeviceToHost));
    size_t wrong = 0, checked = 0;
    for (size_t i = 0; i < rows; i++) {
      if (i >= CHECKED && i + CHECKED < most) continue;
      checked++;
      wrong += memcmp(&got[i], &want[i], 4) != 0;
    }
    std::vector<float> times;
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    for (int i = 0; i < 9; i++) {
      CHECK(cudaEventRecord(begin));
      launch();
      CHECK(cudaEventRecord(end));
      CHECK(cudaEventSynchronize(end));
      float ms;
      CHECK(cudaEventElapsedTime(&ms, begin, end));
      times.push_back(ms);
    }
    CHECK(cudaEventDestroy(begin));
    CHECK(cudaEventDestroy(end));
    std::sort(times.begin(), times.end());
    printf("%s rows=%zu %s ms=%.3f Mrows/s=%.1f bits=%s (%zu of %zu rows differ)\n", forest.name.c_str(), rows, name.c_str(),
           times[4], rows / times[4] / 1e3, wrong ? "WRONG" : "ok", wrong, checked);
    fflush(stdout);
    any_wrong |= wrong != 0;
    return times[4];
  }

  void one(size_t rows, const Variant &v, unsigned threads, size_t group_bytes, std::pair<double, std::string> &best) {
    mr_cuda_trees a = arguments(rows);
    const size_t tree = 2 * forest.leaves * sizeof(mr_cuda_node); // all are of one size
    a.group = v.staged ? (uint32_t)std::min(group_bytes / tree, (size_t)forest.trees) : forest.trees;
    const size_t shared = (v.columns ? a.n_columns * threads * 4 : 0) + (v.staged ? group_bytes : 0);
    if (!a.group || shared > device->shared_block) return;
    CHECK(cudaFuncSetAttribute(v.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)device->shared_block));
    CHECK(cudaFuncSetAttribute(v.kernel, cudaFuncAttributePreferredSharedMemoryCarveout, v.staged && v.columns ? 100 : -1));
    const unsigned blocks = (unsigned)((rows + threads - 1) / threads);
    const std::string name =
        std::string(v.name) + " threads=" + std::to_string(threads) + " group=" + std::to_string(v.staged ? group_bytes >> 10 : 0) + "K";
    const double ms = time(rows, name, [&] { v.kernel<<<blocks, threads, shared>>>(a); });
    if (ms > 0 && ms < best.first) best = {ms, name};
  }

  void all(size_t rows) {
    mr_cuda_trees a = arguments(rows);
    const mr_cuda_launch l = mr_cuda_forest_launch(&placed, device, &a);
    const char *names[] = {
#define BENCH_NAME(name, carveout) #name,
        MR_CUDA_KERNELS(BENCH_NAME)};
    const std::string name = std::string("product/") + names[l.kernel] + " threads=" + std::to_string(l.threads) +
                             " group=" + std::to_string(a.group < forest.trees ? a.group : 0);
    const double ms = time(rows, name, [&] { mr_cuda_run(&api, device, nullptr, l, &a); });
    if (ms < 0) exit(1);
    std::pair<double, std::string> best = {ms, name};
    for (const Variant &v : variants) {
      if (v.columns != (placed.direct != K_mr_trees_general)) continue; // a node names another column
      for (unsigned threads : {32, 64, 128, 256, 512})
        for (size_t group : {8, 16, 32, 64, 96}) {
          one(rows, v, threads, group << 10, best);
          if (!v.staged) break;
        }
    }
    char line[512];
    snprintf(line, sizeof line, "summary trees=%u leaves=%u features=%u rows=%zu product=%.1f (%s) best=%.1f (%s) ratio=%.3f\n",
             forest.trees, forest.leaves, forest.features, rows, rows / ms / 1e3, name.c_str(), rows / best.first / 1e3,
             best.second.c_str(), best.first / ms);
    summary += line;
  }
};

static int sum_up() {
  fputs(summary.c_str(), stdout);
  printf("summary bits=%s\n", any_wrong ? "WRONG" : "ok");
  return any_wrong;
}

int main(int argc, char **argv) {
  CHECK(cudaSetDevice(0));
  CHECK(cudaFree(nullptr));
  cudaDeviceProp p;
  CHECK(cudaGetDeviceProperties(&p, 0));
  OrtApi api = stub_api();
  const mr_cuda_device *d;
  const double begin = now_ms();
  mr_cuda_open(&api, 0, &d);
  char line[256];
  snprintf(line, sizeof line, "summary device=%s multiprocessors=%d shared=%zuK load_ms=%.1f\n", p.name, d->processors,
           d->shared_processor >> 10, now_ms() - begin);
  summary = line;
  if (argc == 5) {
    Forest f((unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    const size_t rows = (size_t)atol(argv[4]);
    Bench(f, rows).all(rows);
    return sum_up();
  }
  for (const auto &shape : {std::vector<unsigned>{500, 256, 32}, {200, 63, 32}, {100, 4000, 32}, {200, 1000, 32}, {500, 63, 100},
                            {300, 256, 2000}}) {
    Forest f(shape[0], shape[1], shape[2]);
    const size_t most = shape[2] > 1000 ? 1 << 14 : 1 << 20;
    Bench b(f, most);
    for (size_t rows : {(size_t)1 << 14, (size_t)1 << 17, (size_t)1 << 20})
      if (rows <= most) b.all(rows);
  }
  return sum_up();
}
