// CTC prefix beam search over words of n-grams; `search.PlainSearch` says what it computes, and computes the same.
//
// A pure function of its arguments: nothing is kept between two calls, and no call uses more than its own thread.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace {

constexpr double NOTHING = -std::numeric_limits<double>::infinity();
constexpr int32_t NONE = -1;

struct NGrams {  // as `arpa.NGram` holds them
    const int64_t* begin;  // of the children of each n-gram
    const int32_t* word;   // last word of each n-gram
    const double *logprob, *backoff;
    const int32_t *shorter, *state;  // the n-gram without its first word; what is remembered after it
    int64_t start, end;              // the first state; the word that ends a sequence, or -1

    // ln p(word | state), and the state after it.
    double ln(int32_t& state, int32_t next) const {
        double sum = 0.0;
        for (;; state = shorter[state]) {
            int64_t found = 1 + next;
            if (state) {
                const int32_t *first = word + begin[state], *last = word + begin[state + 1];
                const int32_t* place = std::lower_bound(first, last, next);
                found = place != last && *place == next ? place - word : 0;
            }
            if (found) {
                sum += logprob[found];
                state = this->state[found];
                return sum;
            }
            sum += backoff[state];
        }
    }
};

struct Words {  // as `words.Words` holds them
    NGrams words, letters;    // of sentences, and of unknown words
    const int64_t* edges;     // of each node of the tree of spellings: its edges; edge e leads to node e + 1
    const int32_t* symbol;
    const int64_t* endings;   // of each node: the words that end there
    const int32_t *known, *name;  // of each ending: its word in the n-grams and in the tree
    const double* bonus;      // of each ending, for its word
    const double* ahead;      // of each node: what an unfinished word there is taken to score
    const int64_t* spelt;     // of each unit: its symbols
    const int32_t* symbols;
    const uint8_t* breaks;    // of each unit: whether it begins a word
    int64_t nodes;            // of the tree
    int64_t blank, boundary;  // units; the second where only words of the tree may be written, else -1
    int64_t has_ngrams;       // else all words are equally likely
    double lm_weight, word_score;
};

struct Limits {
    int64_t hypotheses, labels, held;
    double hypothesis_threshold, label_threshold;
};

struct Past {            // the words that are over
    double base;         // their score
    double unknown;      // ln p(<unk> | these words)
    int32_t state;       // of the n-grams of words
    int32_t known;       // whether the rest says anything yet
};

struct Context {         // where a hypothesis stands among the words
    Past past;           // before the unfinished word
    double ahead;        // what the unfinished word is taken to score
    double spelled;      // what its letters cost, if it is unknown
    int32_t tree, letters;
    int32_t spelling;    // state of the n-grams of letters
};

struct alignas(64) Node : Context {
    double next_blank, next_label, total;
    double blank, label;       // ln p of all paths of this prefix, by what they end in
    double score;
    uint64_t going;            // units, 64 apart the same, by which hypotheses of the beam of the frame `gone` go on
    int32_t gone, touched, parent, unit;
    int32_t from;              // the node at which the word began
    int32_t word;              // that has just been completed, where words are those of the tree
    Past after;                // behind the unfinished word, once somebody asked
};

constexpr double ROUNDING = 1e-6;    // sums of the same numbers differ by less
constexpr double NEGLIGIBLE = 40.0;  // nats less add nothing

double add(double a, double b) {
    if (a < b) std::swap(a, b);
    return b < a - NEGLIGIBLE || b == NOTHING ? a : a + std::log1p(std::exp(b - a));
}

class Children {  // (node, what follows) -> node
public:
    Children() : keys_(1 << 12, EMPTY), nodes_(1 << 12) {}
    int32_t& at(int32_t node, int64_t what) {
        if (2 * ++count_ > keys_.size()) grow();
        const size_t i = slot((uint64_t(uint32_t(node)) << 32) | uint64_t(what));
        if (keys_[i] == EMPTY) keys_[i] = (uint64_t(uint32_t(node)) << 32) | uint64_t(what), nodes_[i] = NONE;
        else --count_;
        return nodes_[i];
    }

    // The same under other names of nodes; what leads from or to a node without one is dropped.
    void rename(const std::vector<int32_t>& names) {
        std::vector<uint64_t> keys(1 << 12, EMPTY);
        std::vector<int32_t> nodes(keys.size());
        keys.swap(keys_), nodes.swap(nodes_);
        count_ = 0;
        for (size_t i = 0; i < keys.size(); ++i)
            if (keys[i] != EMPTY && nodes[i] != NONE && names[keys[i] >> 32] != NONE && names[nodes[i]] != NONE)
                at(names[keys[i] >> 32], int64_t(uint32_t(keys[i]))) = names[nodes[i]];
    }

private:
    static constexpr uint64_t EMPTY = ~uint64_t(0);
    size_t slot(uint64_t key) const {
        size_t i = (key * 0x9E3779B97F4A7C15ull) >> 32;  // bits that both halves of the key reach
        for (i &= keys_.size() - 1; keys_[i] != EMPTY && keys_[i] != key;) i = (i + 1) & (keys_.size() - 1);
        return i;
    }
    void grow() {
        std::vector<uint64_t> keys(2 * keys_.size(), EMPTY);
        std::vector<int32_t> nodes(keys.size());
        keys.swap(keys_), nodes.swap(nodes_);
        for (size_t i = 0; i < keys.size(); ++i)
            if (keys[i] != EMPTY) {
                const size_t j = slot(keys[i]);
                keys_[j] = keys[i], nodes_[j] = nodes[i];
            }
    }
    std::vector<uint64_t> keys_;
    std::vector<int32_t> nodes_;
    size_t count_ = 0;
};

class Scorer {  // of the words of hypotheses
public:
    explicit Scorer(const Words& words) : w_(words) {}

    Context start() const {
        Context context{};
        context.past = past(0.0, int32_t(w_.words.start));
        begin(context);
        return context;
    }

    void begin(Context& context) const {
        context.tree = context.letters = 0, context.ahead = context.spelled = 0.0;
        context.spelling = int32_t(w_.letters.start);
    }

    // Go on by a unit; `behind` is `completed` of the context, which only a unit that begins a word asks for.
    void extend(Context& context, int32_t unit, const Past& behind) const {
        if (w_.breaks[unit]) {
            context.past = behind;
            begin(context);
        }
        for (int64_t s = w_.spelt[unit]; s < w_.spelt[unit + 1]; ++s) spell(context, w_.symbols[s]);
        if (context.letters && context.tree != NONE) context.ahead = w_.ahead[context.tree];
    }

    // What an unknown word scores, by what its letters cost.
    double off(const Past& past, double spelled) const {
        return w_.has_ngrams ? w_.lm_weight * (past.unknown + spelled) : w_.word_score;
    }

    // The past with one of the tree's words more.
    Past over(const Past& before, int64_t ending) const {
        int32_t state = before.state;
        const double p = w_.words.ln(state, w_.known[ending]);
        return past(before.base + (w_.lm_weight * p + w_.word_score + w_.bonus[ending]), state);
    }

    // The past with the unfinished word, which is over.
    Past completed(const Context& context) const {
        if (!context.letters) return context.past;
        const int64_t ending = context.tree == NONE ? 0 : w_.endings[context.tree];
        if (context.tree != NONE && ending < w_.endings[context.tree + 1]) return over(context.past, ending);
        int32_t spelling = context.spelling, state = context.past.state;
        const double end = w_.letters.end < 0 ? 0.0 : w_.letters.ln(spelling, int32_t(w_.letters.end));
        w_.words.ln(state, 0);
        return past(context.past.base + off(context.past, context.spelled + end), state);
    }

    // The score of words behind which the sentence ends.
    double ended(const Past& past) const {
        int32_t state = past.state;
        return past.base + (w_.words.end < 0 ? 0.0 : w_.lm_weight * w_.words.ln(state, int32_t(w_.words.end)));
    }

private:
    Past past(double base, int32_t state) const {
        int32_t after = state;
        return Past{base, w_.boundary < 0 ? w_.words.ln(after, 0) : 0.0, state, 1};
    }

    void spell(Context& context, int32_t symbol) const {
        ++context.letters;
        const double cost = w_.boundary < 0 ? w_.letters.ln(context.spelling, symbol) : 0.0;
        context.spelled += cost;
        if (context.tree == NONE) {
            context.ahead += w_.lm_weight * cost;
            return;
        }
        const int32_t *first = w_.symbol + w_.edges[context.tree], *last = w_.symbol + w_.edges[context.tree + 1];
        const int32_t* found = std::lower_bound(first, last, symbol);
        if (found != last && *found == symbol) {
            context.tree = int32_t(found - w_.symbol) + 1;
            return;
        }
        context.tree = NONE;
        context.ahead = off(context.past, context.spelled);
    }

    const Words& w_;
};

class Search {
public:
    Search(const Words& words, const Limits& limits, int64_t units)
        : w_(words), scorer_(words), limits_(limits), units_(units), room_(limits.held) {
        for (int64_t ending = 0; ending < w_.endings[w_.nodes]; ++ending) bonus_ = std::max(bonus_, w_.bonus[ending]);
        Node root{scorer_.start()};
        root.blank = 0.0, root.label = NOTHING, root.total = 0.0;
        root.parent = root.from = NONE, root.unit = int32_t(w_.boundary);
        root.touched = root.gone = root.word = NONE;
        nodes_.push_back(root);
        beam_.push_back(0);
    }

    void frame(const float* log_probs) {
        choose(log_probs);
        step_or_stay(log_probs);
        if (int64_t(nodes_.size()) > room_) forget();
    }

    // Of the tree's words: only hypotheses whose last word may end stay, if there are any.
    void close() {
        labels_.assign(1, int32_t(w_.boundary));
        const std::vector<float> sure(units_, 0.0f);
        closed_ = step_or_stay(sure.data());
    }

    int64_t results(int64_t wanted, int64_t room, double* scores, int32_t* labels, int64_t* counts, int32_t* names,
                    int64_t* name_counts) {
        for (int32_t id : beam_) nodes_[id].score = nodes_[id].total + finished(nodes_[id]);
        next_.swap(beam_);
        keep(NOTHING, int64_t(next_.size()));
        const int64_t found = std::min<int64_t>(wanted, beam_.size());
        for (int64_t i = 0; i < found; ++i) {
            scores[i] = nodes_[beam_[i]].score;
            write(beam_[i], labels + i * room, counts[i], names + i * room, name_counts[i]);
        }
        return found;
    }

private:
    // Drop the nodes that no hypothesis begins with; the others stay in their order.
    void forget() {
        std::vector<int32_t> names(nodes_.size(), NONE);
        for (int32_t id : beam_)
            for (; id != NONE && names[id] == NONE; id = nodes_[id].parent) names[id] = 0;
        int32_t kept = 0;
        for (size_t id = 0; id < nodes_.size(); ++id) {
            if (names[id] == NONE) continue;
            Node node = nodes_[id];
            if (node.parent != NONE) node.parent = names[node.parent];
            if (node.from != NONE) node.from = names[node.from];
            names[id] = kept;
            nodes_[kept++] = node;
        }
        nodes_.resize(kept), nodes_.shrink_to_fit();
        children_.rename(names);
        for (int32_t& id : beam_) id = names[id];
        room_ = 2 * int64_t(kept) + limits_.held;
    }

    // Whether any hypothesis goes on; a frame in which none does, as no word of the tree allows it, is left out.
    bool step_or_stay(const float* log_probs) {
        const std::vector<int32_t> before = beam_;
        step(log_probs);
        if (!beam_.empty()) return true;
        beam_ = before;
        return false;
    }

    void choose(const float* log_probs) {
        const float floor = *std::max_element(log_probs, log_probs + units_) - float(limits_.label_threshold);
        labels_.clear();
        for (int32_t unit = 0; unit < units_; ++unit)
            if (log_probs[unit] >= floor) labels_.push_back(unit);
        const size_t most = std::min<size_t>(limits_.labels, labels_.size());
        std::partial_sort(labels_.begin(), labels_.begin() + most, labels_.end(), [&](int32_t a, int32_t b) {
            return log_probs[a] != log_probs[b] ? log_probs[a] > log_probs[b] : a < b;
        });
        labels_.resize(most);
    }

    void step(const float* log_probs) {
        ++frame_;
        next_.clear(), floor_ = NOTHING;
        for (int32_t id : beam_) {
            const Node node = nodes_[id];
            for (int32_t unit : labels_) {
                const double p = log_probs[unit];
                if (unit == w_.blank) {
                    arrive(id, &Node::next_blank, node.total + p);
                } else if (unit == w_.boundary && node.tree == 0) {  // any number of boundaries is one
                    arrive(id, &Node::next_label, node.total + p);
                } else {
                    if (unit == node.unit && node.label != NOTHING)
                        arrive(id, &Node::next_label, node.label + p);
                    const double before = unit == node.unit ? node.blank : node.total;
                    if (before != NOTHING) extend(id, unit, before + p);
                }
            }
        }
        prune();
    }

    void arrive(int32_t id, double Node::*where, double score) {
        Node& node = nodes_[id];
        if (node.touched != frame_) {
            node.touched = frame_, node.next_blank = node.next_label = NOTHING;
            next_.push_back(id);
        }
        node.*where = add(node.*where, score);
        floor_ = std::max(floor_, node.*where + node.past.base + node.ahead - limits_.hypothesis_threshold);
    }

    void extend(int32_t id, int32_t unit, double score) {
        if (w_.boundary < 0 || unit != w_.boundary) {
            if (w_.boundary >= 0 && !leads(nodes_[id].tree, unit)) return;
            const bool alone = !goes_on(nodes_[id], unit);  // nothing else arrives there in this frame
            if (alone && score + most(nodes_[id], unit) < floor_ - ROUNDING) return;
            int32_t& place = children_.at(id, unit);
            if (place == NONE) place = make(id, unit);
            const Node& node = nodes_[place];
            if (alone && score + node.past.base + node.ahead < floor_) return;
            arrive(place, &Node::next_label, score);
            return;
        }
        const int32_t tree = nodes_[id].tree, from = nodes_[id].from;
        for (int64_t ending = w_.endings[tree]; ending < w_.endings[tree + 1]; ++ending) {
            int32_t& place = children_.at(from, units_ + w_.name[ending]);
            if (place == NONE) place = make_word(id, int32_t(ending));
            arrive(place, &Node::next_label, score);
        }
    }

    // Whether a hypothesis of the beam may be this one and a unit.
    bool goes_on(const Node& node, int32_t unit) const {
        return node.gone == frame_ - 1 && (node.going >> (unit & 63) & 1);
    }

    // What the words of a hypothesis and a unit score at most.
    double most(Node& node, int32_t unit) const {
        if (w_.lm_weight < 0.0) return -NOTHING;
        const bool breaks = w_.breaks[unit], begun = node.letters && !breaks;
        const Past& past = breaks ? behind(node) : node.past;
        if (breaks && w_.spelt[unit] == w_.spelt[unit + 1]) return past.base;
        if (begun && node.tree == NONE) return past.base + node.ahead;
        const double known = (begun ? node.ahead : w_.ahead[0]) + bonus_;
        return past.base + (w_.boundary < 0 ? std::max(known, scorer_.off(past, begun ? node.spelled : 0.0)) : known);
    }

    // Whether a word of the tree, whose symbols are units, goes on so.
    bool leads(int32_t tree, int32_t unit) const {
        return std::binary_search(w_.symbol + w_.edges[tree], w_.symbol + w_.edges[tree + 1], unit);
    }

    // The hypothesis that goes on by a unit.
    int32_t make(int32_t id, int32_t unit) {
        Node node = nodes_[id];
        if (w_.breaks[unit])
            node.from = NONE;
        else if (!node.letters)
            node.from = id;
        scorer_.extend(node, unit, w_.breaks[unit] ? behind(nodes_[id]) : node.past);
        node.parent = id, node.unit = unit, node.touched = node.gone = node.word = NONE, node.after.known = 0;
        nodes_.push_back(node);
        return int32_t(nodes_.size()) - 1;
    }

    int32_t make_word(int32_t id, int32_t ending) {
        Node node = nodes_[id];
        node.past = scorer_.over(node.past, ending);
        scorer_.begin(node);
        node.parent = id, node.from = NONE, node.unit = int32_t(w_.boundary), node.word = w_.name[ending];
        node.touched = node.gone = NONE, node.after.known = 0;
        nodes_.push_back(node);
        return int32_t(nodes_.size()) - 1;
    }

    // The past with the unfinished word of a hypothesis.
    const Past& behind(Node& node) const {
        if (!node.letters) return node.past;
        if (!node.after.known) node.after = scorer_.completed(node);
        return node.after;
    }

    double finished(Node& node) const { return scorer_.ended(w_.boundary < 0 ? behind(node) : node.past); }

    void prune() {
        double best = NOTHING;
        for (int32_t id : next_) {
            Node& node = nodes_[id];
            node.blank = node.next_blank, node.label = node.next_label, node.total = add(node.blank, node.label);
            node.score = node.total + node.past.base + node.ahead;
            best = std::max(best, node.score);
        }
        keep(best - limits_.hypothesis_threshold, limits_.hypotheses);
        for (int32_t id : beam_) {
            if (nodes_[id].parent == NONE) continue;
            Node& before = nodes_[nodes_[id].parent];
            if (before.gone != frame_) before.gone = frame_, before.going = 0;
            before.going |= uint64_t(1) << (nodes_[id].unit & 63);
        }
    }

    // Make the best of `next_` the beam, best first and of equals the one that came first, no more than `most`.
    void keep(double floor, int64_t most) {
        ranked_.clear();
        for (size_t i = 0; i < next_.size(); ++i) {
            const double score = nodes_[next_[i]].score;
            if (score >= floor && score != NOTHING) ranked_.emplace_back(-score, int32_t(i));
        }
        const size_t kept = std::min<size_t>(most, ranked_.size());
        if (kept < ranked_.size()) std::nth_element(ranked_.begin(), ranked_.begin() + kept, ranked_.end());
        std::sort(ranked_.begin(), ranked_.begin() + kept);
        beam_.resize(kept);
        for (size_t i = 0; i < kept; ++i) beam_[i] = next_[ranked_[i].second];
    }

    void write(int32_t id, int32_t* labels, int64_t& count, int32_t* names, int64_t& name_count) const {
        count = name_count = 0;
        if (closed_ && nodes_[id].word != NONE) names[name_count++] = nodes_[id].word, id = nodes_[id].parent;
        for (; nodes_[id].parent != NONE; id = nodes_[id].parent) {
            labels[count++] = nodes_[id].unit;
            if (nodes_[id].word != NONE) names[name_count++] = nodes_[id].word;
        }
        std::reverse(labels, labels + count);
        std::reverse(names, names + name_count);
    }

    const Words& w_;
    const Scorer scorer_;
    const Limits& limits_;
    const int64_t units_;
    int64_t room_;  // for nodes, before some are dropped
    std::vector<Node> nodes_;
    std::vector<int32_t> beam_, next_, labels_;
    std::vector<std::pair<double, int32_t>> ranked_;  // (-score, place in next_)
    double floor_ = NOTHING;  // what is worse does not stay, by what has arrived so far
    double bonus_ = 0.0;      // the most a hotword scores
    Children children_;
    int32_t frame_ = 0;
    bool closed_ = false;
};

}  // namespace

// Up to `wanted` hypotheses of log-probabilities (frames, units), best first; returns how many. Of each: its score, its
// labels and, of the tree's words, which they are, in arrays of `frames + 1` each.
extern "C" int64_t serena_search(const Words* words, const Limits* limits, const float* log_probs, int64_t frames,
                                 int64_t units, int64_t wanted, double* scores, int32_t* labels, int64_t* counts,
                                 int32_t* names, int64_t* name_counts) {
    Search search(*words, *limits, units);
    for (int64_t t = 0; t < frames; ++t) search.frame(log_probs + t * units);
    if (words->boundary >= 0) search.close();
    return search.results(wanted, frames + 1, scores, labels, counts, names, name_counts);
}

// The context of a hypothesis without labels; returns how many bytes it has, and writes none where `context` is null.
extern "C" int64_t serena_start(const Words* words, Context* context) {
    if (context) *context = Scorer(*words).start();
    return sizeof(Context);
}

// Continue n contexts by a unit each, but for units below 0; of each, what its words score more where the unfinished one
// is over, and where the sentence ends.
extern "C" void serena_continue(const Words* words, int64_t n, const int32_t* units, Context* contexts,
                                double* completed, double* ended) {
    const Scorer scorer(*words);
    for (int64_t i = 0; i < n; ++i) {
        Context& context = contexts[i];
        if (units[i] >= 0)
            scorer.extend(context, units[i], words->breaks[units[i]] ? scorer.completed(context) : context.past);
        const Past over = scorer.completed(context);
        completed[i] = over.base - context.past.base, ended[i] = scorer.ended(over) - context.past.base;
    }
}
