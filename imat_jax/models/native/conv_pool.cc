// Convolution with 4 x 4 filters, bias, max pooling and ReLU in one pass over a
// picture, and the gradients: calls for XLA on a CPU. Pictures come padded for
// the convolution. Pooling is 4 x 4: with stride 2, padded by one, or with
// stride 4; stride 1 stands for none. `place` says where in its window a maximum stood, row *
// WINDOW + column (of equal ones the first row of the first column), or kDead
// where ReLU gave 0. Gradients visit these places alone, a quarter of the work
// of dense ones. A batch is cut into kParts parts on any machine, and their sums
// are added in order: the number of threads changes no bit.
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Bytes = ffi::Buffer<ffi::U8>;
using ToFloats = ffi::Result<Floats>;

constexpr int kParts = 16, kDead = 255;
constexpr int kWide = 5;  // columns that pad a picture; filters need 3 of them
#ifdef __AVX512F__
constexpr int kLanes = 16, kSums = 16;  // floats in a register, such registers
#else
constexpr int kLanes = 8, kSums = 8;
#endif
template <class T, int N>
using Vector [[gnu::vector_size(4 * N), gnu::aligned(4)]] = T;

// Runs work(picture, part) on XLA's threads. This one works, too, and waits only
// for parts that have begun: the others may all be busy, or wait like it.
static void each_picture(ffi::ThreadPool& pool, int64_t pictures,
                         const std::function<void(int64_t, int)>& work) {
  struct Count { std::atomic<int> begun{0}, done{0}; };
  auto count = std::make_shared<Count>();
  auto run = [count, pictures, &work] {
    for (int part; (part = count->begun++) < kParts; count->done++)
      for (int64_t i = pictures * part / kParts;
           i < pictures * (part + 1) / kParts; i++)
        work(i, part);
  };
  for (int t = 1; t < pool.num_threads(); t++) pool.Schedule([run] { run(); });
  run();
  while (count->done < kParts) std::this_thread::yield();
}

template <int CI, int CO, int STRIDE> struct ConvPool {
  static constexpr int WINDOW = STRIDE == 1 ? 1 : 4, PADDING = STRIDE == 2;
  static constexpr int PATCH = (4 * CI + 15) / 16 * 16;  // a row of one, padded
  static constexpr int FILTER = 4 * PATCH, PITCH = FILTER + 16;  // and the bias
  static constexpr int L = CO < kLanes ? CO : kLanes;
  using V = Vector<float, L>;
  using I = Vector<int, L>;
  int64_t n, h, w, oh, ow;
  int64_t row = (w + kWide) * CI, in = (h + 3) * row, out = oh * ow * CO;

  ConvPool(const Floats& x, const Floats& y)
      : n(x.dimensions()[0]), h(x.dimensions()[1] - 3),
        w(x.dimensions()[2] - kWide), oh(y.dimensions()[1]),
        ow(y.dimensions()[2]) {}

  // The kernel for TWINS pixels side by side: together they fill a register.
  static constexpr int TWINS = CO < kLanes ? kLanes / CO : 1;
  static constexpr int SPAN = (3 + TWINS) * CI, WIDTH = TWINS * CO;
  static std::vector<float> twins(const float* kernel, const float* bias) {
    std::vector<float> out((4 * SPAN + 1) * WIDTH, 0.f);
    for (int t = 0; t < TWINS; t++) {
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4 * CI; j++)
          std::copy_n(kernel + (i * 4 * CI + j) * CO, CO,
                      &out[(i * SPAN + j + t * CI) * WIDTH + t * CO]);
      std::copy_n(bias, CO, &out[4 * SPAN * WIDTH + t * CO]);
    }
    return out;
  }

  // One row of the convolution, w x CO, from four rows of a picture.
  void convolve(const float* x, const float* kernel, float* y) const {
    constexpr int NV = WIDTH / kLanes, PX = kSums / NV;
    using V = Vector<float, kLanes>;
    for (int64_t begin = 0; begin < w; begin += PX * TWINS) {
      const int64_t left = std::min(begin, w - PX * TWINS);  // may overlap
      V sum[PX][NV];
      for (int p = 0; p < PX; p++)
        for (int v = 0; v < NV; v++)
          sum[p][v] = *(V*)(kernel + 4 * SPAN * WIDTH + kLanes * v);
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < SPAN; j++)
          for (int p = 0; p < PX; p++)
            for (int v = 0; v < NV; v++)
              sum[p][v] += x[i * row + (left + p * TWINS) * CI + j] *
                           *(V*)(kernel + (i * SPAN + j) * WIDTH + kLanes * v);
      for (int p = 0; p < PX; p++)
        for (int v = 0; v < NV; v++)
          *(V*)(y + (left + p * TWINS) * CO + kLanes * v) = sum[p][v];
    }
  }

  // Moves on to another value and its place unless that is no larger.
  static void take_larger(V& best, I& place, const V& other, const I& there) {
    place = other <= best ? place : there;
    best = other <= best ? best : other;
  }

  void forward(const float* x, const float* kernel, float* y,
               uint8_t* place) const {
    const int64_t wide = (w + 2 * PADDING) * CO;
    std::vector<float> rows(WINDOW * wide, -INFINITY), highest(wide);
    std::vector<int> height(wide);  // where in its column the highest stands
    auto at = [&](int64_t r) { return &rows[(r + WINDOW) % WINDOW * wide]; };
    for (int64_t o = 0, next = 0; o < oh; o++) {
      const int64_t top = o * STRIDE - PADDING;
      for (; next < top + WINDOW; next++) {
        if (next < h)
          convolve(x + next * row, kernel, at(next) + PADDING * CO);
        else
          std::fill_n(at(next), wide, -INFINITY);
      }
      for (int64_t i = 0; i < wide; i += L) {
        V& best = *(V*)&highest[i] = *(V*)(at(top) + i);
        I& place = *(I*)&height[i] = I{};
        for (int k = 1; k < WINDOW; k++)
          take_larger(best, place, *(V*)(at(top + k) + i), I{} + k * WINDOW);
      }
      for (int64_t i = 0; i < ow * CO; i += L, y += L, place += L) {
        const int64_t left = i / CO * STRIDE * CO + i % CO;
        V best = *(V*)&highest[left];
        I there = *(I*)&height[left];
        for (int64_t k = 1, j = left + CO; k < WINDOW; k++, j += CO)
          take_larger(best, there, *(V*)&highest[j], *(I*)&height[j] + int(k));
        *(V*)y = best <= 0 ? V{} : best;  // NaN passes, to be seen
        there = best <= 0 ? I{} + kDead : there;
        for (int c = 0; c < L; c++) place[c] = there[c];
      }
    }
  }

  // Calls visit(channel, gradient, offset of the patch) for each maximum.
  template <class Visit>
  void each_maximum(const float* dy, const uint8_t* place, Visit visit) const {
    std::vector<int> alive(ow * CO + 1);  // a branch would be a coin's toss
    for (int64_t o = 0; o < oh; o++, dy += ow * CO, place += ow * CO) {
      int count = 0;
      for (int i = 0; i < ow * CO; i++) {
        alive[count] = i;
        count += place[i] != kDead;
      }
      for (int a = 0; a < count; a++) {
        const int i = alive[a];
        const int64_t r = o * STRIDE - PADDING + place[i] / WINDOW;
        const int64_t c = i / CO * STRIDE - PADDING + place[i] % WINDOW;
        visit(i % CO, dy[i], r * row + c * CI);
      }
    }
  }

  // to += factor * from, for the four rows of a patch.
  static void add(float* to, int64_t to_row, float factor, const float* from,
                  int64_t from_row) {
    using V = Vector<float, kLanes>;
    for (int i = 0; i < 4; i++, to += to_row, from += from_row)
      for (int j = 0; j < PATCH; j += kLanes)
        *(V*)(to + j) += factor * *(V*)(from + j);
  }

  static ffi::Error Forward(ffi::ThreadPool pool, Floats x, Floats kernel,
                            Floats bias, ToFloats y, ffi::Result<Bytes> place) {
    const ConvPool op(x, *y);
    const auto both = twins(kernel.typed_data(), bias.typed_data());
    each_picture(pool, op.n, [&](int64_t i, int) {
      op.forward(x.typed_data() + i * op.in, both.data(),
                 y->typed_data() + i * op.out,
                 place->typed_data() + i * op.out);
    });
    return ffi::Error::Success();
  }

  // Per part CO x PITCH sums: the filter's gradient, then the bias's.
  static ffi::Error FilterGradient(ffi::ThreadPool pool, Floats x, Floats dy,
                                   Bytes place, ToFloats sums) {
    const ConvPool op(x, dy);
    std::fill_n(sums->typed_data(), sums->element_count(), 0.f);
    each_picture(pool, op.n, [&](int64_t i, int part) {
      const float* from = x.typed_data() + i * op.in;
      float* to = sums->typed_data() + part * CO * PITCH;
      auto visit = [&](int c, float g, int64_t patch) {
        add(to + c * PITCH, PATCH, g, from + patch, op.row);
        to[c * PITCH + FILTER] += g;
      };
      op.each_maximum(dy.typed_data() + i * op.out,
                      place.typed_data() + i * op.out, visit);
    });
    return ffi::Error::Success();
  }

  // The gradient of the padded pictures; the kernel is CO x FILTER.
  static ffi::Error InputGradient(ffi::ThreadPool pool, Floats kernel, Floats dy,
                                  Bytes place, ToFloats dx) {
    const ConvPool op(*dx, dy);
    each_picture(pool, op.n, [&](int64_t i, int) {
      float* to = dx->typed_data() + i * op.in;
      std::fill_n(to, op.in, 0.f);
      auto visit = [&](int c, float g, int64_t patch) {
        add(to + patch, op.row, g, kernel.typed_data() + c * FILTER, PATCH);
      };
      op.each_maximum(dy.typed_data() + i * op.out,
                      place.typed_data() + i * op.out, visit);
    });
    return ffi::Error::Success();
  }
};

static auto call() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>(); }
#define KERNELS(CI, CO, STRIDE)                                        \
  using Op_##CI##_##CO##_##STRIDE = ConvPool<CI, CO, STRIDE>;          \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                       \
      forward_##CI##_##CO##_##STRIDE,                                  \
      Op_##CI##_##CO##_##STRIDE::Forward,                              \
      call().Arg<Floats>().Arg<Floats>().Ret<Floats>().Ret<Bytes>());  \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                       \
      filter_gradient_##CI##_##CO##_##STRIDE,                          \
      Op_##CI##_##CO##_##STRIDE::FilterGradient,                       \
      call().Arg<Floats>().Arg<Bytes>().Ret<Floats>());                \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                       \
      input_gradient_##CI##_##CO##_##STRIDE,                           \
      Op_##CI##_##CO##_##STRIDE::InputGradient,                        \
      call().Arg<Floats>().Arg<Bytes>().Ret<Floats>());
KERNELS(3, 8, 2)
KERNELS(8, 16, 2)
KERNELS(16, 32, 2)
KERNELS(3, 8, 4)
KERNELS(8, 16, 4)
KERNELS(16, 32, 1)
