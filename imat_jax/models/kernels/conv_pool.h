// Convolution with 4 x 4 filters, bias, max pooling and ReLU in one pass over a
// picture; conv_pool.cc calls it for XLA. Pooling is 4 x 4 with stride 2 and a
// padding of one, or with stride 4; stride 1 stands for none. Pictures are
// padded for the convolution. `place` says where in its window a maximum stood,
// row * WINDOW + column (of equal ones the first row of the first column), or
// kDead where ReLU gave 0; gradients.h needs it.
#include "shared.h"

constexpr int kDead = 255;
constexpr int kWide = 5;  // columns that pad a picture; filters need 3 of them
constexpr int kSums = kLanes;  // registers that hold sums

template <int CI, int CO, int STRIDE> struct ConvPool {
  static constexpr int WINDOW = STRIDE == 1 ? 1 : 4, PADDING = STRIDE == 2;
  static constexpr int PATCH = (4 * CI + 15) / 16 * 16;  // a row of one, padded
  static constexpr int FILTER = 4 * PATCH, PITCH = FILTER + 16;  // and the bias
  static constexpr int L = CO < kLanes ? CO : kLanes;
  using V = Vector<float, L>;
  using I = Vector<int, L>;
  int64_t h, w, oh, ow;  // of the picture without padding, and of the result
  int64_t row = (w + kWide) * CI;  // floats of a padded one
  int64_t size = (h + 3) * row;    // and of a padded picture,
  int64_t inside = row + CI;       // which begins with so many zeros

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
};
