// The calls of conv_pool.h and gradients.h for XLA.
#include "gradients.h"

using FloatsOrBytes = ffi::AnyBuffer;
using Bytes = ffi::Buffer<ffi::U8>;

// The operation for batches x, N x H x W x CI, and y, N x OH x OW x CO.
template <class Op> Op op_for(Shape x, Shape y) {
  return {x[1], x[2], y[1], y[2]};
}

// Copies picture i of a batch into a padded one, times a factor.
template <class T, class Op>
float* pad(const Op& op, const FloatsOrBytes& x, int64_t i, float factor,
           float* padded) {
  const int64_t line = x.dimensions()[2] * x.dimensions()[3];
  const T* from = x.typed_data<T>() + i * op.h * line;
  float* to = std::fill_n(padded, op.inside, 0.f);
  for (int64_t r = 0; r < op.h; r++, from += line) {
    for (int64_t j = 0; j < line; j++) to[j] = from[j] * factor;
    to = std::fill_n(to + line, op.row - line, 0.f);  // and the next one's left
  }
  std::fill(to, padded + op.size, 0.f);
  return padded;
}

// The same as floats; bytes stand for 255ths.
template <class Op>
float* as_floats(const Op& op, const FloatsOrBytes& x, int64_t i, float* to) {
  return x.element_type() == ffi::U8
             ? pad<uint8_t>(op, x, i, 1 / 255.f, to)  // XLA does not divide
             : pad<float>(op, x, i, 1, to);
}

template <class Op>
static ffi::Error forward(ffi::ThreadPool pool, FloatsOrBytes x, Floats kernel,
                          Floats bias, ToFloats y, ffi::Result<Bytes> place) {
  const auto op = op_for<Op>(x.dimensions(), y->dimensions());
  const auto twins = Op::twins(kernel.typed_data(), bias.typed_data());
  auto work = [&](int64_t i, int, float* memory) {
    op.forward(as_floats(op, x, i, memory), twins.data(), at(*y, i),
               at(*place, i));
  };
  each_item(pool, x.dimensions()[0], op.size, work);
  return ffi::Error::Success();
}

template <class Op>
static ffi::Error gradients(ffi::ThreadPool pool, FloatsOrBytes x,
                            Floats filters, Floats dy, Bytes place,
                            ToFloats sums, ToFloats dx) {
  const auto op = op_for<Op>(x.dimensions(), dy.dimensions());
  const bool wants_dx = dx->element_count();  // nobody asks for that of bytes
  std::fill_n(sums->typed_data(), sums->element_count(), 0.f);
  auto work = [&](int64_t i, int part, float* memory) {
    float* padded = wants_dx ? memory + op.size : nullptr;
    std::fill_n(padded, wants_dx * op.size, 0.f);
    op.gradients(as_floats(op, x, i, memory), filters.typed_data(), at(dy, i),
                 at(place, i), at(*sums, part), padded);
    if (!wants_dx) return;
    const float* from = padded + op.inside;
    float* to = at(*dx, i);
    for (int64_t r = 0; r < op.h; r++, from += op.row)
      to = std::copy_n(from, x.dimensions()[2] * x.dimensions()[3], to);
  };
  each_item(pool, x.dimensions()[0], (1 + wants_dx) * op.size, work);
  return ffi::Error::Success();
}

static auto call() {
  using ffi::Ffi;
  return Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<FloatsOrBytes>().Arg<Floats>();
}
#define KERNELS(CI, CO, STRIDE)                                             \
  using Op_##CI##_##CO##_##STRIDE = Gradients<CI, CO, STRIDE>;              \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      conv_pool_forward_##CI##_##CO##_##STRIDE,                             \
      forward<Op_##CI##_##CO##_##STRIDE>,                                   \
      call().Arg<Floats>().Ret<Floats>().Ret<Bytes>());                     \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      conv_pool_gradients_##CI##_##CO##_##STRIDE,                           \
      gradients<Op_##CI##_##CO##_##STRIDE>,                                 \
      call().Arg<Floats>().Arg<Bytes>().Ret<Floats>().Ret<Floats>());
KERNELS(3, 8, 2)
KERNELS(8, 16, 2)
KERNELS(16, 32, 2)
KERNELS(3, 8, 4)
KERNELS(8, 16, 4)
KERNELS(16, 32, 1)
