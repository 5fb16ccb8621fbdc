// What the kernels share: registers, and XLA's buffers and threads. A batch is
// cut into kParts parts on any machine, and their sums are added in order, so
// the number of threads changes no bit.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using ToFloats = ffi::Result<Floats>;
using Shape = ffi::Span<const int64_t>;

#ifdef __AVX512F__
constexpr int kLanes = 16;  // floats in a register
#else
constexpr int kLanes = 8;
#endif
template <class T, int N>
using Vector [[gnu::vector_size(4 * N), gnu::aligned(4)]] = T;

// NaN passes, to be seen.
template <class V> V relu6(V x) {
  x = x < 0 ? V{} : x;
  return x > 6 ? V{} + 6 : x;
}

constexpr int kParts = 16;
struct alignas(64) CacheLine { float floats[16]; };

// Runs work(item, part, memory) on XLA's threads; each has as many floats of
// memory of its own. This thread works, too, and waits only for parts that have
// begun: the other threads may all be busy, or wait like it.
template <class Work>
void each_item(ffi::ThreadPool& pool, int64_t items, int64_t floats,
               const Work& work) {
  struct Count { std::atomic<int> begun{0}, done{0}; };
  auto count = std::make_shared<Count>();
  auto run = [=, &work] {
    std::vector<CacheLine> memory;
    for (int part; (part = count->begun++) < kParts; count->done++) {
      memory.resize(floats / 16 + 1);
      for (int64_t i = items * part / kParts; i < items * (part + 1) / kParts;
           i++)
        work(i, part, memory[0].floats);
    }
  };
  for (int t = 1; t < pool.num_threads(); t++) pool.Schedule([run] { run(); });
  run();
  while (count->done < kParts) std::this_thread::yield();
}

// Picture i of a batch.
template <class Batch> auto at(const Batch& batch, int64_t i) {
  return batch.typed_data() + batch.element_count() / batch.dimensions()[0] * i;
}
