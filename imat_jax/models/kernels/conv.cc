// A convolution of all channels with padding SAME, then a bias and, if it is
// asked for, ReLU6; and its gradients. Sums stay in registers: those of a few
// places side by side and of a block of filters, or of a few of a filter's
// numbers. Numbers of x are read one by one, of filters by whole registers.
#include "shared.h"

namespace {
using V = Vector<float, kLanes>;
constexpr int kWide = kLanes / 8;  // registers of a block of filters
constexpr int kSide = 8;           // places, or a filter's numbers, at once
constexpr int kRgb = 3;             // channels of photos
constexpr int kRow = 3 * kRgb;      // numbers of a row of a 3 x 3 kernel
constexpr int64_t kChunk = 64;     // pixels that are a picture to 1 x 1
constexpr int64_t kColumns = 32;   // filters of an item of a kernel's gradient
constexpr int64_t kPlaces = 256;   // whose products it adds up in registers

int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// ReLU6's gradient, or dy where there is no ReLU6; y is read anyway.
float passed(const float* y, const float* dy, int64_t i, bool clips) {
  return !clips | ((y[i] > 0) & (y[i] < 6)) ? dy[i] : 0;
}

// The numbers that place (r, c) of a result depends on begin at x + r * line +
// c * step, a row of the kernel reads `width` of them, the next begins `row`
// further.
struct Patches {
  const float* x;
  int64_t rows, columns, line, step, row, width;
};

// Pictures and how they are padded, and the size of their results.
struct Grid {
  int64_t pictures, h, w, rows, columns, oh, ow;
  int64_t top = (rows - h) / 2, left = (columns - w) / 2;
  int64_t places = pictures * rows * columns, results = pictures * oh * ow;
};

// A batch's convolution, as items of work: pictures, or to a kernel of 1 x 1
// chunks of all their pixels.
struct Conv {
  int64_t size, stride, batch, h, w, ci, oh, ow, co;
  int64_t pixels = batch * h * w;
  int64_t items = size > 1 ? batch : std::max<int64_t>(pixels / kChunk, 1);

  Conv(Shape kernel, int64_t stride, Shape x, Shape y)
      : size(kernel[0]), stride(stride), batch(x[0]), h(x[1]), w(x[2]),
        ci(x[3]), oh(y[1]), ow(y[2]), co(y[3]) {}

  // An item's first pixel, and its first place in the result.
  int64_t begin(int64_t item) const {
    return size > 1 ? item * h * w : pixels * item / items;
  }
  int64_t result(int64_t item) const {
    return size > 1 ? item * oh * ow : begin(item);
  }

  // Items from first to end.
  Grid grid(int64_t first, int64_t end) const {
    const int64_t n = begin(end) - begin(first);
    if (size == 1) return {1, 1, n, 1, n, 1, n};
    return {end - first, h, w, (oh - 1) * stride + size,
            (ow - 1) * stride + size, oh, ow};
  }
  Grid largest(int64_t number) const {
    return grid(items - std::min(number, items), items);
  }

  // Floats that `patches` needs for an item.
  int64_t memory() const { return largest(1).places * ci; }

  // An item's numbers, copied with get(i) unless they are there as they are.
  template <class Get>
  Patches patches(int64_t item, const float* x, const Get& get, bool is_as_is,
                  float* memory) const {
    const Grid g = grid(item, item + 1);
    const int64_t row = g.columns * ci, first = begin(item) * ci;
    if (size == 1 && is_as_is) return {x + first, 1, g.w, 0, ci, 0, ci};
    if (size > 1) std::fill_n(memory, g.rows * row, 0.f);
    for (int64_t r = 0; r < g.h; r++) {
      float* to = memory + (r + g.top) * row + g.left * ci;
      for (int64_t i = 0; i < g.w * ci; i++)
        to[i] = get(first + r * g.w * ci + i);
    }
    return {memory, g.oh, g.ow, stride * row, stride * ci, row, size * ci};
  }
};

// Filters by blocks of registers, each with its bias; zeros behind the last.
// Where a cache line begins, so that a register is read from one.
std::vector<CacheLine> packed(const float* kernel, const float* bias,
                              int64_t numbers, int64_t co) {
  std::vector<CacheLine> out(round_up(co, kWide * kLanes) * (numbers + 1) / 16);
  float* to = out[0].floats;
  for (int64_t b = 0; b < co; b += kWide * kLanes) {
    const int64_t width = co - b > kLanes ? kWide * kLanes : kLanes;
    for (int64_t n = 0; n <= numbers; n++)
      for (int64_t f = b; f < b + width; f++)
        *to++ = f >= co ? 0 : n < numbers ? kernel[n * co + f] : bias[f];
  }
  return out;
}

// ROWS x COLUMNS places of a block of filters; y has co filters.
template <int ROWS, int COLUMNS, int NV>
void tile(const Patches& p, int64_t size, const float* x, const float* kernel,
          bool clips, int64_t filters, int64_t co, float* y) {
  V sum[ROWS][COLUMNS][NV];
  const float* bias = kernel + size * p.width * NV * kLanes;
  for (auto& of_row : sum)
    for (auto& of_place : of_row)
      for (int v = 0; v < NV; v++) of_place[v] = *(V*)(bias + v * kLanes);
  for (int64_t i = 0; i < size; i++)
    for (int64_t j = 0; j < p.width; j++, kernel += NV * kLanes)
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
          for (int v = 0; v < NV; v++)
            sum[r][c][v] += x[i * p.row + r * p.line + c * p.step + j] *
                            *(V*)(kernel + v * kLanes);
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) {
      float* to = y + (r * p.columns + c) * co;
      for (int v = 0; v < NV; v++) {
        const V one = clips ? relu6(sum[r][c][v]) : sum[r][c][v];
        if (filters >= (v + 1) * kLanes)
          *(V*)(to + v * kLanes) = one;
        else
          std::copy_n((float*)&one, filters - v * kLanes, to + v * kLanes);
      }
    }
}

// A block of filters at all places; tiles at an end may overlap.
template <int NV>
void tiles(const Patches& p, int64_t size, const float* kernel, bool clips,
           int64_t filters, int64_t co, float* y) {
  auto run = [&](auto tile, int64_t height, int64_t width) {
    for (int64_t r = 0; r < p.rows; r += height)
      for (int64_t c = 0; c < p.columns; c += width) {
        const int64_t top = std::min(r, p.rows - height);
        const int64_t left = std::min(c, p.columns - width);
        tile(p, size, p.x + top * p.line + left * p.step, kernel, clips,
             filters, co, y + (top * p.columns + left) * co);
      }
  };
  if (p.columns >= kSide)
    run(tile<1, kSide, NV>, 1, kSide);
  else
    run(tile<2, kSide / 2, NV>, 2, kSide / 2);
}

void convolve(const Patches& p, int64_t size, const float* kernel, bool clips,
              int64_t co, float* y) {
  for (int64_t b = 0; b < co; b += kWide * kLanes) {
    const int64_t filters = std::min<int64_t>(co - b, kWide * kLanes);
    const bool is_narrow = filters <= kLanes;
    auto block = is_narrow ? tiles<1> : tiles<kWide>;
    block(p, size, kernel, clips, filters, co, y + b);
    kernel += (size * p.width + 1) * (is_narrow ? 1 : kWide) * kLanes;
  }
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats bias,
                   ToFloats y, int64_t stride, bool clips) {
  const Conv op(kernel.dimensions(), stride, x.dimensions(), y->dimensions());
  const auto blocks = packed(kernel.typed_data(), bias.typed_data(),
                             op.size * op.size * op.ci, op.co);
  const float* from = x.typed_data();
  auto work = [&](int64_t item, int, float* memory) {
    auto get = [=](int64_t i) { return from[i]; };
    convolve(op.patches(item, from, get, true, memory), op.size,
             blocks[0].floats, clips, op.co,
             y->typed_data() + op.result(item) * op.co);
  };
  each_item(pool, op.items, op.memory(), work);
  return ffi::Error::Success();
}

// With stride 1 it is a convolution, too, of dy with the kernel reversed, H x W
// x CO x CI.
ffi::Error input_gradient(ffi::ThreadPool pool, Floats reversed, Floats zeros,
                          Floats y, Floats dy, ToFloats dx, bool clips) {
  const Conv op(reversed.dimensions(), 1, dy.dimensions(), dx->dimensions());
  const auto blocks = packed(reversed.typed_data(), zeros.typed_data(),
                             op.size * op.size * op.ci, op.co);
  const float *from = dy.typed_data(), *values = clips ? y.typed_data() : from;
  auto work = [&](int64_t item, int, float* memory) {
    auto get = [=](int64_t i) { return passed(values, from, i, clips); };
    convolve(op.patches(item, from, get, !clips, memory), op.size,
             blocks[0].floats, false, op.co,
             dx->typed_data() + op.result(item) * op.co);
  };
  each_item(pool, op.items, op.memory(), work);
  return ffi::Error::Success();
}

// Copies kColumns of dy, zeros behind the last, and adds up each of them.
void take_columns(const float* y, const float* dy, int64_t places, int64_t co,
                  int64_t filters, bool clips, float* columns, float* sums) {
  for (int64_t n = 0; n < places; n++, y += co, dy += co, columns += kColumns) {
    for (int64_t f = 0; f < filters; f++)
      columns[f] = passed(y, dy, f, clips);
    std::fill(columns + filters, columns + kColumns, 0.f);
    for (int64_t f = 0; f < kColumns; f++) sums[f] += columns[f];
  }
}

// Copies pictures as panels of `side` channels, padded, zeros behind the last:
// read by panels, pixels that are a power of two apart do not share a cache's
// few lines.
void to_panels(const Grid& g, const float* x, int64_t ci, int64_t side,
               float* panels) {
  std::fill_n(panels, g.places * round_up(ci, side), 0.f);
  for (int64_t first = 0; first < ci; first += side)
    for (int64_t i = 0; i < g.pictures;
         i++, panels += g.rows * g.columns * side)
      for (int64_t r = 0; r < g.h; r++) {
        const float* from = x + (i * g.h + r) * g.w * ci + first;
        float* to = panels + ((r + g.top) * g.columns + g.left) * side;
        if (side == ci)
          std::copy_n(from, g.w * ci, to);
        else
          for (int64_t c = 0; c < g.w; c++, from += ci, to += side)
            if (first + kSide <= ci)
              std::copy_n(from, kSide, to);
            else
              std::copy_n(from, ci - first, to);
      }
}

// Adds the gradient of N of the kernel's numbers, which a panel has side by
// side, for NV registers of filters.
template <int N, int NV>
void correlate(const Grid& g, int64_t stride, const float* panel, int64_t side,
               const float* dy, float* sums, int64_t pitch) {
  V sum[N][NV] = {};
  for (int64_t i = 0; i < g.pictures; i++)
    for (int64_t r = 0; r < g.oh; r++) {
      const float* x = panel + (i * g.rows + r * stride) * g.columns * side;
      for (int64_t c = 0; c < g.ow; c++, x += stride * side, dy += kColumns)
        for (int j = 0; j < N; j++)
          for (int v = 0; v < NV; v++)
            sum[j][v] += x[j] * *(V*)(dy + v * kLanes);
    }
  for (int j = 0; j < N; j++)
    for (int v = 0; v < NV; v++)
      *(V*)(sums + j * pitch + v * kLanes) += sum[j][v];
}

// That of the kernel and, behind it, of the bias, for each of the groups into
// which the batch is cut: G x (places of the kernel x channels, rounded up, +
// 1) x filters, rounded up to blocks of kColumns. A group's share of the blocks
// is an item of work; there are kParts of them or a little less. Channels of
// photos are not rounded up.
ffi::Error kernel_gradient(ffi::ThreadPool pool, Floats kernel, Floats x,
                           Floats y, Floats dy, ToFloats sums, int64_t stride,
                           bool clips) {
  const Conv op(kernel.dimensions(), stride, x.dimensions(), dy.dimensions());
  const int64_t groups = sums->dimensions()[0], pitch = sums->dimensions()[2];
  const int64_t shares = kParts / groups, blocks = pitch / kColumns;
  // A panel of photos would be mostly zeros; theirs has a kernel's row at once.
  const bool is_photo = op.ci == kRgb && op.size * kRgb == kRow;
  const int64_t side = is_photo ? kRgb : kSide;
  const int64_t at_once = is_photo ? kRow : kSide;
  const int64_t ci = round_up(op.ci, side), numbers = op.size * op.size * ci;
  const int64_t together =
      std::max<int64_t>(kPlaces / op.largest(1).results, 1);
  const Grid largest = op.largest(together);
  const float *from = dy.typed_data(), *values = clips ? y.typed_data() : from;
  auto work = [&](int64_t item, int, float* panels) {
    const int64_t group = item / shares, share = item % shares;
    const int64_t first = blocks * share / shares * kColumns;
    const int64_t behind = blocks * (share + 1) / shares * kColumns;
    float* columns = panels + round_up(largest.places * ci, kLanes);
    float* to = at(*sums, group);
    for (int64_t n = 0; n <= numbers; n++)
      std::fill(to + n * pitch + first, to + n * pitch + behind, 0.f);
    const int64_t last = op.items * (group + 1) / groups;
    for (int64_t i = op.items * group / groups, end; i < last; i = end) {
      end = std::min(i + together, last);
      const Grid g = op.grid(i, end);
      to_panels(g, x.typed_data() + op.begin(i) * op.ci, op.ci, side, panels);
      for (int64_t block = first; block < behind; block += kColumns) {
        const int64_t begin = op.result(i) * op.co + block;
        const int64_t filters = std::min(kColumns, op.co - block);
        take_columns(values + begin, from + begin, g.results, op.co, filters,
                     clips, columns, to + numbers * pitch + block);
        for (int64_t n = 0; n < numbers; n += at_once) {
          const int64_t place = n / ci, c = n % ci;
          const float* panel = panels + c * g.places +
              (place / op.size * g.columns + place % op.size) * side;
          for (int64_t f = 0; f < filters; f += kWide * kLanes) {
            const bool is_narrow = filters - f <= kLanes;
            auto add = is_photo ? correlate<kRow, kWide>
                                : correlate<kSide, kWide>;
            if (is_narrow)
              add = is_photo ? correlate<kRow, 1> : correlate<kSide, 1>;
            add(g, stride, panel, side, columns + f, to + n * pitch + block + f,
                pitch);
          }
        }
      }
    }
  };
  each_item(pool, groups * shares,
            round_up(largest.places * ci, kLanes) + largest.results * kColumns,
            work);
  return ffi::Error::Success();
}

auto call() {
  using ffi::Ffi;
  return Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>();
}
}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(conv_forward, forward,
                              call().Arg<Floats>().Ret<Floats>()
                                  .Attr<int64_t>("stride")
                                  .Attr<bool>("relu6"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(conv_input_gradient, input_gradient,
                              call().Arg<Floats>().Arg<Floats>().Ret<Floats>()
                                  .Attr<bool>("relu6"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(conv_kernel_gradient, kernel_gradient,
                              call().Arg<Floats>().Arg<Floats>().Ret<Floats>()
                                  .Attr<int64_t>("stride")
                                  .Attr<bool>("relu6"));
