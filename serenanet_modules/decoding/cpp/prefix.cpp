// CTC scores of label prefixes; `ctc_prefix.CTCPrefixScorer` says what they are, and computes the same.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

constexpr double LOG_ZERO = -1e30;    // of a prefix
constexpr double IMPOSSIBLE = -1e12;  // scores below are those of no path at all
constexpr double NEGLIGIBLE = 40.0;   // nats less add nothing

double add(double a, double b) {
    if (a < b) std::swap(a, b);
    return b < a - NEGLIGIBLE ? a : a + std::log1p(std::exp(b - a));
}

struct Batch {  // of utterances: log-probabilities and probabilities (utterances, frames, units), their frames
    int64_t utterances, frames, units, blank;
    const int64_t* lengths;
    const double *log_probs, *probs;
};

// ln of the sum of the exponentials of the first values.
double log_sum(const std::vector<double>& values, int64_t count) {
    const double largest = *std::max_element(values.begin(), values.begin() + count);
    double sum = 0.0;
    for (int64_t t = 0; t < count; ++t) sum += std::exp(values[t] - largest);
    return largest + std::log(sum);
}

}  // namespace

// Scores (utterances, beam, units) of prefixes with one label more, whose forward variables are (…, beam, frames + 1).
extern "C" void serena_prefix_extend(const Batch* batch, int64_t beam, const double* label, const double* blank,
                                     const int64_t* last, double* scores) {
    const int64_t units = batch->units;
    std::vector<double> values(batch->frames + 1);
    for (int64_t i = 0; i < batch->utterances * beam; ++i, scores += units) {
        const int64_t utterance = i / beam, frames = batch->lengths[utterance];
        const double *spelled = label + i * (batch->frames + 1), *silent = blank + i * (batch->frames + 1);
        const double* probs = batch->probs + utterance * batch->frames * units;
        const double* log_probs = batch->log_probs + utterance * batch->frames * units;
        std::fill(scores, scores + units, 0.0);
        for (int64_t t = 0; t < frames; ++t) values[t] = add(spelled[t], silent[t]);
        const double largest = frames ? *std::max_element(values.begin(), values.begin() + frames) : LOG_ZERO;
        for (int64_t t = 0; t < frames; ++t) {
            const double weight = std::exp(values[t] - largest);
            if (weight == 0.0) continue;
            for (int64_t c = 0; c < units; ++c) scores[c] += weight * probs[t * units + c];
        }
        for (int64_t c = 0; c < units; ++c) scores[c] = std::log(scores[c]) + largest;
        if (last[i] != batch->blank && frames) {  // a blank must stand before the same label
            for (int64_t t = 0; t < frames; ++t) values[t] = silent[t] + log_probs[t * units + last[i]];
            scores[last[i]] = log_sum(values, frames);
        }
        scores[batch->blank] = add(spelled[frames], silent[frames]);
        for (int64_t c = 0; c < units; ++c)
            if (scores[c] < IMPOSSIBLE) scores[c] = LOG_ZERO;
    }
}

// Forward variables of `chosen` prefixes an utterance: those of `parents` among `beam` with one label more.
extern "C" void serena_prefix_advance(const Batch* batch, int64_t beam, int64_t chosen, const double* label,
                                      const double* blank, const int64_t* last, const int64_t* parents,
                                      const int64_t* labels, double* next_label, double* next_blank) {
    const int64_t units = batch->units, room = batch->frames + 1;
    for (int64_t i = 0; i < batch->utterances * chosen; ++i) {
        const int64_t utterance = i / chosen, parent = utterance * beam + parents[i];
        const double *before_label = label + parent * room, *before_blank = blank + parent * room;
        const double* log_probs = batch->log_probs + utterance * batch->frames * units;
        const bool repeated = last[parent] == labels[i];
        double *spelled = next_label + i * room, *silent = next_blank + i * room;
        std::fill(spelled, spelled + room, LOG_ZERO), std::fill(silent, silent + room, LOG_ZERO);
        for (int64_t t = 0; t < batch->lengths[utterance]; ++t) {
            const double entering = repeated ? before_blank[t] : add(before_label[t], before_blank[t]);
            spelled[t + 1] = std::max(LOG_ZERO, add(spelled[t], entering) + log_probs[t * units + labels[i]]);
            silent[t + 1] = std::max(LOG_ZERO, add(silent[t], spelled[t]) + log_probs[t * units + batch->blank]);
        }
    }
}
