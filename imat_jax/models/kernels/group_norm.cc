// Normalises each group of kGroup channels of a picture, then multiplies and
// shifts each channel and, if it is asked for, takes the ReLU; and the
// gradients. A picture is read twice, the second time from the cache.
#include "shared.h"

namespace {
constexpr int kGroup = 8;
constexpr float kEpsilon = 1e-6;

// Replaces each number by the mean over its group.
void average_groups(float* x, int64_t channels) {
  for (int64_t c = 0; c < channels; c += kGroup) {
    float sum = 0;
    for (int i = 0; i < kGroup; i++) sum += x[c + i];
    std::fill_n(x + c, kGroup, sum / kGroup);
  }
}

// y and, for the gradients, each picture's means and factors: N x 2 x C.
ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats scale, Floats bias,
                   ToFloats y, ToFloats statistics, bool relu) {
  const int64_t n = scale.element_count();
  const int64_t places = x.dimensions()[1] * x.dimensions()[2];
  auto work = [&](int64_t i, int, float* memory) {
    const float* from = at(x, i);
    float *to = at(*y, i), *mean = at(*statistics, i), *factor = mean + n;
    float *slope = memory, *shift = memory + n;
    std::fill_n(mean, 2 * n, 0.f);
    for (int64_t p = 0; p < places; p++)
      for (int64_t c = 0; c < n; c++) {
        const float one = from[p * n + c];
        mean[c] += one;
        factor[c] += one * one;
      }
    for (int64_t c = 0; c < 2 * n; c++) mean[c] /= places;
    average_groups(mean, 2 * n);
    for (int64_t c = 0; c < n; c++) {
      const float variance = factor[c] - mean[c] * mean[c];
      factor[c] = 1 / std::sqrt((variance < 0 ? 0 : variance) + kEpsilon);
      slope[c] = factor[c] * scale.typed_data()[c];
      shift[c] = bias.typed_data()[c] - mean[c] * slope[c];
    }
    for (int64_t p = 0; p < places; p++)
      for (int64_t c = 0; c < n; c++) {
        const float one = from[p * n + c] * slope[c] + shift[c];
        to[p * n + c] = relu && one < 0 ? 0 : one;  // NaN passes, to be seen
      }
  };
  each_item(pool, x.dimensions()[0], 2 * n, work);
  return ffi::Error::Success();
}

// dx and, for each part of the batch, those of scale and bias: kParts x 2 x C.
ffi::Error gradients(ffi::ThreadPool pool, Floats x, Floats scale, Floats y,
                     Floats statistics, Floats dy, ToFloats dx, ToFloats sums,
                     bool relu) {
  const int64_t n = scale.element_count();
  const int64_t places = x.dimensions()[1] * x.dimensions()[2];
  std::fill_n(sums->typed_data(), sums->element_count(), 0.f);
  auto work = [&](int64_t i, int part, float* memory) {
    const float *from = at(x, i), *values = relu ? at(y, i) : at(dy, i),
                *gradient = at(dy, i);
    const float *mean = at(statistics, i), *factor = mean + n;
    float *to = at(*dx, i), *sum = at(*sums, part);
    float *slope = memory, *shift = memory + n, *own = memory + 2 * n;
    std::fill_n(memory, 2 * n, 0.f);
    auto passed = [=](int64_t j) {
      return !relu | (values[j] > 0) ? gradient[j] : 0;
    };
    for (int64_t p = 0; p < places; p++)
      for (int64_t c = 0; c < n; c++) {
        const float one = passed(p * n + c);
        slope[c] += one * (from[p * n + c] - mean[c]);
        shift[c] += one;
      }
    for (int64_t c = 0; c < n; c++) {
      slope[c] *= factor[c];
      sum[c] += slope[c];
      sum[n + c] += shift[c];
      slope[c] *= scale.typed_data()[c] / places;
      shift[c] *= scale.typed_data()[c] / places;
    }
    // Of the group: the gradient's mean, and its share along the numbers.
    average_groups(memory, 2 * n);
    for (int64_t c = 0; c < n; c++) {
      slope[c] *= -factor[c] * factor[c];
      shift[c] = -factor[c] * shift[c] - mean[c] * slope[c];
      own[c] = factor[c] * scale.typed_data()[c];
    }
    for (int64_t p = 0; p < places; p++)
      for (int64_t c = 0; c < n; c++)
        to[p * n + c] = passed(p * n + c) * own[c] +
                        from[p * n + c] * slope[c] + shift[c];
  };
  each_item(pool, x.dimensions()[0], 3 * n, work);
  return ffi::Error::Success();
}

auto call() {
  using ffi::Ffi;
  return Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>()
      .Arg<Floats>();
}
}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(group_norm_forward, forward,
                              call().Ret<Floats>().Ret<Floats>()
                                  .Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(group_norm_gradients, gradients,
                              call().Arg<Floats>().Arg<Floats>().Ret<Floats>()
                                  .Ret<Floats>().Attr<bool>("relu"));
