// The gradients of conv_pool.h. They visit the places of maxima alone, at most
// a quarter of the work of dense ones. A row of windows at a time, so that what
// is read and written again stays in the first cache.
#include "conv_pool.h"

template <int CI, int CO, int STRIDE>
struct Gradients : ConvPool<CI, CO, STRIDE> {
  using Op = ConvPool<CI, CO, STRIDE>;
  using typename Op::V, typename Op::I;
  using Op::oh, Op::ow, Op::row, Op::L, Op::WINDOW, Op::PADDING;
  using Op::PATCH, Op::FILTER, Op::PITCH;

  // A maximum: where in a picture its patch begins, and its gradient.
  struct Maximum { int patch; float gradient; };

  // Lists those of each filter in a row of windows, from 1 to its number. What
  // windows side by side share adds up; a branch would be a coin's toss.
  void maxima(int64_t o, const float* dy, const uint8_t* place, Maximum* lists,
              int* numbers) const {
    for (int c = 0; c < CO; c += L) {
      I patch = I{} - 1, number = {};
      V gradient = {};
      for (int64_t j = 0, at = c; j < ow; j++, at += CO) {
        I there;
        for (int i = 0; i < L; i++) there[i] = place[at + i];
        const I y = there / WINDOW + int(o * STRIDE - PADDING);
        const I x = there % WINDOW + int(j * STRIDE - PADDING);
        const I begin = y * int(row) + x * CI;
        const I dead = there == kDead, same = dead | (begin == patch);
        gradient = (same ? gradient : V{}) + (dead ? V{} : *(V*)(dy + at));
        patch = same ? patch : begin;
        number += same + 1;  // true is -1
        for (int i = 0; i < L; i++)
          lists[(c + i) * (ow + 1) + number[i]] = {patch[i], gradient[i]};
      }
      *(I*)(numbers + c) = number;
    }
  }

  // Adds their share of a filter's gradient and, behind it, the bias's.
  [[gnu::always_inline]] void filter_gradient(  // a call costs a third more
      const Maximum* list, int number, const float* x, float* sums) const {
    using V = Vector<float, kLanes>;
    V sum[4][PATCH / kLanes] = {};
    float bias = 0;
    for (int m = 1; m <= number; m++) {
      for (int i = 0; i < 4; i++)
        for (int v = 0; v < PATCH / kLanes; v++)
          sum[i][v] += list[m].gradient *
                       *(V*)(x + list[m].patch + i * row + v * kLanes);
      bias += list[m].gradient;
    }
    for (int i = 0; i < 4; i++)
      for (int v = 0; v < PATCH / kLanes; v++)
        *(V*)(sums + i * PATCH + v * kLanes) += sum[i][v];
    sums[FILTER] += bias;
  }

  // Adds their share of the gradient of the padded picture.
  [[gnu::always_inline]] void input_gradient(
      const Maximum* list, int number, const float* filter, float* dx) const {
    // A pixel per register: one that crossed two would wait for both writes.
    constexpr int LANES = CI % 8 ? kLanes : std::min(CI, kLanes);
    using V = Vector<float, LANES>;
    V kept[4][PATCH / LANES];
    for (int i = 0; i < 4; i++)
      for (int v = 0; v < PATCH / LANES; v++)
        kept[i][v] = *(V*)(filter + i * PATCH + v * LANES);
    for (int m = 1; m <= number; m++)
      for (int i = 0; i < 4; i++)
        for (int v = 0; v < PATCH / LANES; v++)
          *(V*)(dx + list[m].patch + i * row + v * LANES) +=
              list[m].gradient * kept[i][v];
  }

  // Adds to the sums, CO x PITCH, the gradients of filters and biases, and to
  // dx that of the padded picture, unless it is null; filters are CO x FILTER.
  void gradients(const float* x, const float* filters, const float* dy,
                 const uint8_t* place, float* sums, float* dx) const {
    std::vector<Maximum> lists(CO * (ow + 1));
    int numbers[CO];
    for (int64_t o = 0; o < oh; o++, dy += ow * CO, place += ow * CO) {
      maxima(o, dy, place, lists.data(), numbers);
      for (int c = 0; c < CO; c++) {
        const Maximum* list = &lists[c * (ow + 1)];
        filter_gradient(list, numbers[c], x, sums + c * PITCH);
        if (dx) input_gradient(list, numbers[c], filters + c * FILTER, dx);
      }
    }
  }
};
