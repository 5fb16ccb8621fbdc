// A convolution of each channel by itself, SIZE x SIZE with padding SAME, then
// a bias and ReLU6; and its gradients. A register's channels of a picture are
// an item of work: they are copied into a plane of their own, with the padding,
// which stays in the second cache. Where nobody asks for gradients they may be
// computed there from fewer channels and never reach the memory.
#include "shared.h"

namespace {
using V = Vector<float, kLanes>;

// Where ReLU6 passes a gradient.
V passed(const float* y, const float* dy) {
  const V value = *(V*)y;
  return (value > 0) & (value < 6) ? *(V*)dy : V{};
}

template <int SIZE, int STRIDE> struct Depthwise {
  int64_t h, w, channels, oh, ow;  // of the picture and of the result
  int64_t rows = (oh - 1) * STRIDE + SIZE, columns = (ow - 1) * STRIDE + SIZE;
  int64_t top = (rows - h) / 2, left = (columns - w) / 2;
  int64_t blocks = channels / kLanes;

  Depthwise(Shape x, Shape y) : h(x[1]), w(x[2]), channels(y[3]), oh(y[1]),
                                ow(y[2]) {}

  int64_t items(Shape x) const { return x[0] * blocks; }
  int64_t size() const { return rows * columns * kLanes; }

  // The first number of an item in a batch of pictures with so many pixels.
  int64_t begin(int64_t item, int64_t pixels) const {
    return item / blocks * pixels * channels + first(item);
  }
  int64_t first(int64_t item) const { return item % blocks * kLanes; }

  // An item's picture with its padding.
  void pad(const float* x, float* plane) const {
    std::fill_n(plane, size(), 0.f);
    for (int64_t r = 0; r < h; r++)
      for (int64_t c = 0; c < w; c++)
        *(V*)(plane + ((r + top) * columns + c + left) * kLanes) =
            *(V*)(x + (r * w + c) * channels);
  }

  // The same, computed: ReLU6 of `inputs` channels times filters with a bias.
  void expand(const float* x, int64_t inputs, const float* filters,
              const float* bias, float* plane) const {
    constexpr int PX = 8;
    std::fill_n(plane, size(), 0.f);
    float* kernel = plane + size();  // the item's filters, side by side
    for (int64_t j = 0; j < inputs; j++)
      *(V*)(kernel + j * kLanes) = *(V*)(filters + j * channels);
    for (int64_t begin = 0; begin < h * w; begin += PX) {
      const int64_t pixel = std::min(begin, h * w - PX);  // may overlap
      const float* from = x + pixel * inputs;
      V sum[PX];
      for (int p = 0; p < PX; p++) sum[p] = *(V*)bias;
      for (int64_t j = 0; j < inputs; j++)
        for (int p = 0; p < PX; p++)
          sum[p] += from[p * inputs + j] * *(V*)(kernel + j * kLanes);
      int64_t r = pixel / w, c = pixel % w;
      for (int p = 0; p < PX; p++, c++) {
        if (c == w) c = 0, r++;
        *(V*)(plane + ((r + top) * columns + c + left) * kLanes) =
            relu6(sum[p]);
      }
    }
  }

  // The gradient of the result, with zeros between and around, such that a
  // convolution of stride 1 with the reversed kernel gives that of the picture.
  int64_t spread_columns() const { return w + SIZE - 1; }
  int64_t spread_size() const {
    return (h + SIZE - 1) * spread_columns() * kLanes;
  }
  void spread(const float* y, const float* dy, float* plane) const {
    std::fill_n(plane, spread_size(), 0.f);
    plane += ((SIZE - 1 - top) * spread_columns() + SIZE - 1 - left) * kLanes;
    for (int64_t r = 0; r < oh; r++)
      for (int64_t c = 0; c < ow; c++)
        *(V*)(plane + (r * spread_columns() + c) * STRIDE * kLanes) =
            passed(y + (r * ow + c) * channels, dy + (r * ow + c) * channels);
  }

  void kernel_gradient(const float* plane, const float* y, const float* dy,
                       float* sums) const {
    V sum[SIZE * SIZE] = {}, bias = {};
    for (int64_t r = 0; r < oh; r++)
      for (int64_t c = 0; c < ow; c++, y += channels, dy += channels) {
        const float* x = plane + (r * columns + c) * STRIDE * kLanes;
        const V gradient = passed(y, dy);
        for (int i = 0; i < SIZE; i++)
          for (int j = 0; j < SIZE; j++)
            sum[i * SIZE + j] +=
                gradient * *(V*)(x + (i * columns + j) * kLanes);
        bias += gradient;
      }
    for (int t = 0; t < SIZE * SIZE; t++) *(V*)(sums + t * channels) += sum[t];
    *(V*)(sums + SIZE * SIZE * channels) += bias;
  }
};

// The kernel of an item's channels.
template <int SIZE> struct Kernel {
  V of[SIZE * SIZE];
  Kernel(const float* kernel, int64_t channels, bool reversed) {
    constexpr int last = SIZE * SIZE - 1;
    for (int t = 0; t <= last; t++)
      of[t] = *(V*)(kernel + (reversed ? last - t : t) * channels);
  }
};

// PX results side by side: finish(place, sum) for each of them.
template <int SIZE, int STRIDE, int PX, class Finish>
[[gnu::always_inline]] inline void convolve_pixels(
    const float* x, int64_t columns, const Kernel<SIZE>& kernel, int64_t place,
    const Finish& finish) {
  V sum[PX] = {};
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++)
      for (int p = 0; p < PX; p++)
        sum[p] += *(V*)(x + (i * columns + p * STRIDE + j) * kLanes) *
                  kernel.of[i * SIZE + j];
  for (int p = 0; p < PX; p++) finish(place + p, sum[p]);
}

// A plane's convolution, oh x ow.
template <int SIZE, int STRIDE, class Finish>
void convolve(const float* plane, int64_t columns, int64_t oh, int64_t ow,
              const Kernel<SIZE> kernel, const Finish& finish) {
  constexpr int PX = 4;  // with the kernel they fill the registers
  for (int64_t r = 0; r < oh; r++) {
    int64_t c = 0;
    auto x = [&] { return plane + (r * columns + c) * STRIDE * kLanes; };
    for (; c + PX <= ow; c += PX)
      convolve_pixels<SIZE, STRIDE, PX>(x(), columns, kernel, r * ow + c,
                                        finish);
    for (; c < ow; c++)
      convolve_pixels<SIZE, STRIDE, 1>(x(), columns, kernel, r * ow + c,
                                       finish);
  }
}

// An item's result from its plane.
template <int SIZE, int STRIDE>
void finish(const Depthwise<SIZE, STRIDE>& op, int64_t item, const float* plane,
            const Floats& kernel, const Floats& bias, ToFloats& y) {
  const int64_t first = op.first(item);
  const V shift = *(V*)(bias.typed_data() + first);
  float* to = y->typed_data() + op.begin(item, op.oh * op.ow);
  convolve<SIZE, STRIDE>(
      plane, op.columns, op.oh, op.ow,
      Kernel<SIZE>(kernel.typed_data() + first, op.channels, false),
      [=](int64_t place, V sum) {
        *(V*)(to + place * op.channels) = relu6(sum + shift);
      });
}

template <int SIZE, int STRIDE>
ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats bias,
                   ToFloats y) {
  const Depthwise<SIZE, STRIDE> op(x.dimensions(), y->dimensions());
  auto work = [&](int64_t item, int, float* plane) {
    op.pad(x.typed_data() + op.begin(item, op.h * op.w), plane);
    finish(op, item, plane, kernel, bias, y);
  };
  each_item(pool, op.items(x.dimensions()), op.size(), work);
  return ffi::Error::Success();
}

template <int SIZE, int STRIDE>
ffi::Error expanded(ffi::ThreadPool pool, Floats x, Floats filters,
                    Floats shift, Floats kernel, Floats bias, ToFloats y) {
  const Depthwise<SIZE, STRIDE> op(x.dimensions(), y->dimensions());
  const int64_t inputs = x.dimensions()[3];
  auto work = [&](int64_t item, int, float* plane) {
    const int64_t first = op.first(item);
    op.expand(at(x, item / op.blocks), inputs, filters.typed_data() + first,
              shift.typed_data() + first, plane);
    finish(op, item, plane, kernel, bias, y);
  };
  each_item(pool, op.items(x.dimensions()), op.size() + inputs * kLanes, work);
  return ffi::Error::Success();
}

template <int SIZE, int STRIDE>
ffi::Error input_gradient(ffi::ThreadPool pool, Floats kernel, Floats y,
                          Floats dy, ToFloats dx) {
  const Depthwise<SIZE, STRIDE> op(dx->dimensions(), dy.dimensions());
  auto work = [&](int64_t item, int, float* plane) {
    const int64_t begin = op.begin(item, op.oh * op.ow);
    op.spread(y.typed_data() + begin, dy.typed_data() + begin, plane);
    float* to = dx->typed_data() + op.begin(item, op.h * op.w);
    convolve<SIZE, 1>(
        plane, op.spread_columns(), op.h, op.w,
        Kernel<SIZE>(kernel.typed_data() + op.first(item), op.channels, true),
        [=](int64_t place, V sum) { *(V*)(to + place * op.channels) = sum; });
  };
  each_item(pool, op.items(dx->dimensions()), op.spread_size(), work);
  return ffi::Error::Success();
}

// For each part of the batch that of the kernel and, behind it, of the bias.
template <int SIZE, int STRIDE>
ffi::Error kernel_gradient(ffi::ThreadPool pool, Floats x, Floats y, Floats dy,
                           ToFloats sums) {
  const Depthwise<SIZE, STRIDE> op(x.dimensions(), dy.dimensions());
  std::fill_n(sums->typed_data(), sums->element_count(), 0.f);
  auto work = [&](int64_t item, int part, float* plane) {
    op.pad(x.typed_data() + op.begin(item, op.h * op.w), plane);
    const int64_t begin = op.begin(item, op.oh * op.ow);
    op.kernel_gradient(plane, y.typed_data() + begin, dy.typed_data() + begin,
                       at(*sums, part) + op.first(item));
  };
  each_item(pool, op.items(x.dimensions()), op.size(),
            work);
  return ffi::Error::Success();
}

auto call() {
  using ffi::Ffi;
  return Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>();
}
}  // namespace

#define KERNELS(SIZE, STRIDE)                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      depthwise_forward_##SIZE##_##STRIDE, (forward<SIZE, STRIDE>),         \
      call().Arg<Floats>().Ret<Floats>());                                  \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      depthwise_expanded_##SIZE##_##STRIDE, (expanded<SIZE, STRIDE>),       \
      call().Arg<Floats>().Arg<Floats>().Arg<Floats>().Ret<Floats>());      \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      depthwise_input_gradient_##SIZE##_##STRIDE,                           \
      (input_gradient<SIZE, STRIDE>), call().Arg<Floats>().Ret<Floats>());  \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      depthwise_kernel_gradient_##SIZE##_##STRIDE,                          \
      (kernel_gradient<SIZE, STRIDE>), call().Arg<Floats>().Ret<Floats>());
KERNELS(3, 1)
KERNELS(3, 2)
KERNELS(5, 1)
KERNELS(5, 2)
