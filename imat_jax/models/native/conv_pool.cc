// The calls of conv_pool.h for XLA: buffers, batches and threads. A batch is cut
// into kParts parts on any machine, and their sums are added in order, so the
// number of threads changes no bit.
#include "conv_pool.h"

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Bytes = ffi::Buffer<ffi::U8>;
using ToFloats = ffi::Result<Floats>;

constexpr int kParts = 16;

// Runs work(picture, part) on XLA's threads. This one works, too, and waits
// only for parts that have begun: the others may all be busy, or wait like it.
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

// The operation for batches x, N x H x W x CI padded, and y, N x OH x OW x CO.
template <class Op> Op op_for(const Floats& x, const Floats& y) {
  auto in = x.dimensions(), out = y.dimensions();
  return {in[1] - 3, in[2] - kWide, out[1], out[2]};
}

// Picture i of a batch.
template <class Batch> auto at(const Batch& batch, int64_t i) {
  return batch.typed_data() + batch.element_count() / batch.dimensions()[0] * i;
}

template <class Op>
ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats bias,
                   ToFloats y, ffi::Result<Bytes> place) {
  const Op op = op_for<Op>(x, *y);
  const auto twins = Op::twins(kernel.typed_data(), bias.typed_data());
  each_picture(pool, x.dimensions()[0], [&](int64_t i, int) {
    op.forward(at(x, i), twins.data(), at(*y, i), at(*place, i));
  });
  return ffi::Error::Success();
}

template <class Op>
ffi::Error filter_gradient(ffi::ThreadPool pool, Floats x, Floats dy,
                           Bytes place, ToFloats sums) {
  const Op op = op_for<Op>(x, dy);
  std::fill_n(sums->typed_data(), sums->element_count(), 0.f);
  each_picture(pool, x.dimensions()[0], [&](int64_t i, int part) {
    op.filter_gradient(at(x, i), at(dy, i), at(place, i), at(*sums, part));
  });
  return ffi::Error::Success();
}

template <class Op>
ffi::Error input_gradient(ffi::ThreadPool pool, Floats filters, Floats dy,
                          Bytes place, ToFloats dx) {
  const Op op = op_for<Op>(*dx, dy);
  each_picture(pool, dy.dimensions()[0], [&](int64_t i, int) {
    op.input_gradient(filters.typed_data(), at(dy, i), at(place, i),
                      at(*dx, i));
  });
  return ffi::Error::Success();
}

static auto call() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>();
}
#define KERNELS(CI, CO, STRIDE)                                             \
  using Op_##CI##_##CO##_##STRIDE = ConvPool<CI, CO, STRIDE>;               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                            \
      forward_##CI##_##CO##_##STRIDE, forward<Op_##CI##_##CO##_##STRIDE>,   \
      call().Arg<Floats>().Ret<Floats>().Ret<Bytes>());                     \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(filter_gradient_##CI##_##CO##_##STRIDE,     \
                                filter_gradient<Op_##CI##_##CO##_##STRIDE>, \
                                call().Arg<Bytes>().Ret<Floats>());         \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(input_gradient_##CI##_##CO##_##STRIDE,      \
                                input_gradient<Op_##CI##_##CO##_##STRIDE>,  \
                                call().Arg<Bytes>().Ret<Floats>());
KERNELS(3, 8, 2)
KERNELS(8, 16, 2)
KERNELS(16, 32, 2)
KERNELS(3, 8, 4)
KERNELS(8, 16, 4)
KERNELS(16, 32, 1)
