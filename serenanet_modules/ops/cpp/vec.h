// exp, sigmoid, SiLU and softplus without branches or library calls. They take float and double, so that compilers
// turn loops over them into vector code, and the vectors of lanes.h.
#pragma once

#include <cstdint>
#include <cstring>

// What a type of number is made of; lanes.h adds vectors.
template <class V>
struct Number;

template <>
struct Number<float> {
    using Scalar = float;
    using Bits = int32_t;
};

template <>
struct Number<double> {
    using Scalar = double;
    using Bits = int64_t;
};

template <class V>
using Scalar = typename Number<V>::Scalar;

// Adding it rounds a small number to an integer, which then stands in the low bits of the mantissa.
constexpr float rounding(float) { return 12582912.0f; }               // 1.5 * 2^23
constexpr double rounding(double) { return 6755399441055744.0; }      // 1.5 * 2^52

// 2^n for the integer n that `rounding` has brought into the low bits of n; -127 gives 0 and 128 infinity (float).
template <class V>
inline V power_of_two(V n) {
    using Bits = typename Number<V>::Bits;
    constexpr bool wide = sizeof(Scalar<V>) == 8;
    Bits bits;
    std::memcpy(&bits, &n, sizeof bits);
    bits = (bits + (wide ? 1023 : 127)) << (wide ? 52 : 23);
    std::memcpy(&n, &bits, sizeof n);
    return n;
}

// (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2, error 1e-7 of a term that is at most 6 % of the result
template <class V>
inline V exp_tail(V r, float) {
    V p = r * 0.00139013f + 0.00836314f;
    p = p * r + 0.04166685f;
    p = p * r + 0.16666577f;
    return p * r + 0.5f;
}

template <class V>
inline V exp_tail(V r, double) {
    V p = r * (1 / 6227020800.0) + 1 / 479001600.0;  // 1 / 13!, 1 / 12!, and so on
    p = p * r + 1 / 39916800.0;
    p = p * r + 1 / 3628800.0;
    p = p * r + 1 / 362880.0;
    p = p * r + 1 / 40320.0;
    p = p * r + 1 / 5040.0;
    p = p * r + 1 / 720.0;
    p = p * r + 1 / 120.0;
    p = p * r + 1 / 24.0;
    p = p * r + 1 / 6.0;
    return p * r + 0.5;
}

template <class V>
inline V within(V x, Scalar<V> low, Scalar<V> high) {
    const V below = V{} + low, above = V{} + high;
    x = x < below ? below : x;  // NaN stays NaN
    return x > above ? above : x;
}

// exp(x), within 1e-7 (float) and 4e-16 (double) of it; 0 and infinity where that is too small or too large for a
// normal number.
template <class V>
inline V vexp(V x) {
    using S = Scalar<V>;
    constexpr bool wide = sizeof(S) == 8;
    x = within(x, S(wide ? -709 : -88), S(wide ? 709.8 : 88.8));
    const V shifted = x * S(1.44269504088896341) + rounding(S());
    const V n = shifted - rounding(S());
    V r = x - n * S(0.693359375);  // ln 2 in two parts, the first with few bits so that n times it is exact
    r = r + n * S(2.12194440054690583e-4);
    return (exp_tail(r, S()) * r * r + r + S(1)) * power_of_two(shifted);
}

// 2^x as `vexp`, for sums in the exponent that are formed in units of ln 2
template <class V>
inline V vexp2(V x, float) {
    x = within(x, -127.0f, 128.0f);
    const V shifted = x + rounding(0.0f);
    const V r = x - (shifted - rounding(0.0f));
    V p = r * 1.54035116e-4f + 1.33907355e-3f;
    p = p * r + 9.61823750e-3f;
    p = p * r + 5.55035743e-2f;
    p = p * r + 2.40226498e-1f;
    p = p * r + 6.93147188e-1f;
    return (p * r + 1.0f) * power_of_two(shifted);
}

template <class V>
inline V vexp2(V x, double) {
    x = within(x, -1023.0, 1024.0);
    const V shifted = x + rounding(0.0);
    const V r = (x - (shifted - rounding(0.0))) * 0.693147180559945309;
    return (exp_tail(r, 0.0) * r * r + r + 1.0) * power_of_two(shifted);
}

template <class V>
inline V vexp2(V x) {
    return vexp2(x, Scalar<V>());
}

template <class V>
inline V vsigmoid(V x) {
    return Scalar<V>(1) / (Scalar<V>(1) + vexp(-x));
}

template <class V>
inline V vsilu(V x) {
    return x * vsigmoid(x);
}

// 2 atanh(s) / s for w = s^2 <= 1 / 9
template <class V>
inline V atanh_series(V w, float) {
    V p = w * 0.28178333f + 0.27960603f;
    p = p * w + 0.40024910f;
    p = p * w + 0.66666315f;
    return p * w + 2.0f;
}

template <class V>
inline V atanh_series(V w, double) {
    V p = w * (2 / 33.0) + 2 / 31.0;
    p = p * w + 2 / 29.0;
    p = p * w + 2 / 27.0;
    p = p * w + 2 / 25.0;
    p = p * w + 2 / 23.0;
    p = p * w + 2 / 21.0;
    p = p * w + 2 / 19.0;
    p = p * w + 2 / 17.0;
    p = p * w + 2 / 15.0;
    p = p * w + 2 / 13.0;
    p = p * w + 2 / 11.0;
    p = p * w + 2 / 9.0;
    p = p * w + 2 / 7.0;
    p = p * w + 2 / 5.0;
    p = p * w + 2 / 3.0;
    return p * w + 2.0;
}

// log(1 + exp(x)), with a small relative error for very negative x too; x itself above 20, as in torch.
// log(1 + e) = 2 atanh(s) with s = e / (2 + e), which is at most 1 / 3.
template <class V>
inline V vsoftplus(V x) {
    using S = Scalar<V>;
    const V zero = {};
    const V positive = x > zero ? x : zero;
    const V e = vexp(x > zero ? -x : x);
    const V s = e / (e + S(2));
    const V soft = positive + s * atanh_series(s * s, S());
    return x > zero + S(20) ? x : soft;
}
