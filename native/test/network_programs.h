// Programs in the shape of the networks that there are, small.
#pragma once

#include <string>
#include <vector>

#include "program_draft.h"

namespace wisemerge::test {

struct NamedProgram {
  std::string name;
  ProgramDraft draft;
  std::vector<uint32_t> outputs;  // values that are wanted
};

// Numbers below `limit` that repeat after a while; with `padded`, the last of them are 0.
inline std::vector<int32_t> some_numbers(uint64_t count, int32_t limit, int32_t step) {
  std::vector<int32_t> numbers(count);
  for (uint64_t i = 0; i < count; i++) numbers[i] = static_cast<int32_t>(i) * step % limit;
  return numbers;
}

// A mask of sequences of which every second one ends early.
inline std::vector<int32_t> padding_mask(uint64_t samples, uint64_t tokens) {
  std::vector<int32_t> mask(samples * tokens, 1);
  for (uint64_t b = 1; b < samples; b += 2) {
    for (uint64_t t = tokens - tokens / 3; t < tokens; t++) mask[b * tokens + t] = 0;
  }
  return mask;
}

// A block of an encoder: normalised first, queries, keys and values in one projection.
inline uint32_t encoder_block(ProgramDraft& d, uint32_t x, uint64_t width, const ProgramDraft::Heads& heads,
                              network::Activation activation) {
  const uint32_t packed = d.linear(d.norm(x, width), width, 3 * width);
  x = d.add(x, d.linear(d.attention(packed, packed, packed, heads), width, width));
  const uint32_t inner = d.activation(d.linear(d.norm(x, width), width, 4 * width), activation);
  return d.add(x, d.linear(inner, 4 * width, width));
}

inline NamedProgram vit_program() {
  constexpr uint64_t kSamples = 3, kWidth = 24, kSize = 16, kPatch = 4;
  ProgramDraft d(kSamples, 3 * kSize * kSize);
  uint32_t x = d.linear(d.patches(0, 3, kSize, kPatch), 3 * kPatch * kPatch, kWidth);
  x = d.prefix(x, kWidth, 1);
  for (int layer = 0; layer < 2; layer++) {
    x = encoder_block(d, x, kWidth, {3, 3, 8}, network::Activation::kGelu);
  }
  const uint32_t logits = d.linear(d.pick(d.norm(x, kWidth), kWidth, {0, 0, 0}), kWidth, 10);
  return {"ViT", std::move(d), {logits}};
}

inline NamedProgram clip_program() {
  constexpr uint64_t kSamples = 2, kWidth = 20, kSize = 8, kPatch = 4, kTokens = 7, kShared = 12;
  ProgramDraft d(kSamples, 3 * kSize * kSize);
  uint32_t x = d.linear(d.patches(0, 3, kSize, kPatch), 3 * kPatch * kPatch, kWidth, false);
  x = d.norm(d.prefix(x, kWidth, 1), kWidth);
  x = encoder_block(d, x, kWidth, {2, 2, 10}, network::Activation::kQuickGelu);
  const uint32_t picked = d.norm(d.pick(x, kWidth, {0, 0}), kWidth);
  const uint32_t images = d.normalise(d.linear(picked, kWidth, kShared, false), kShared);
  uint32_t text = d.embedding(some_numbers(kSamples * kTokens, 11, 4), kWidth, 11);
  text = d.prefix(text, kWidth, 0);
  text = encoder_block(d, text, kWidth, {4, 4, 5, true}, network::Activation::kGeluTanh);
  const uint32_t end = d.pick(d.norm(text, kWidth), kWidth, {6, 3});
  const uint32_t texts = d.normalise(d.linear(end, kWidth, kShared, false, true), kShared);
  const uint32_t logits = d.similarity(images, texts, kShared);
  return {"CLIP", std::move(d), {images, texts, logits}};
}

inline NamedProgram llama_program() {
  constexpr uint64_t kSamples = 2, kTokens = 37, kHeads = 4, kShared = 2, kDim = 6, kClasses = 600;
  constexpr uint64_t kWidth = kHeads * kDim, kNarrow = kShared * kDim, kInner = 40;
  ProgramDraft d(kSamples, 1);
  const std::vector<int32_t> ids = some_numbers(kSamples * kTokens, kClasses, 97);
  std::vector<int32_t> positions(ids.size()), labels = some_numbers(ids.size(), kClasses, 31);
  for (size_t i = 0; i < positions.size(); i++) positions[i] = static_cast<int32_t>(i % kTokens);
  labels[3] = labels[kTokens] = -1;
  const uint32_t frequencies = d.floats({1.0f, 0.1f});  // of 4 components out of 6
  uint32_t x = d.embedding(ids, kWidth, kClasses);
  const uint32_t table = d.program.ops[0].parameter[0];
  for (int layer = 0; layer < 2; layer++) {
    const uint32_t in = d.rms_norm(x, kWidth);
    const uint32_t q = d.rope(d.linear(in, kWidth, kWidth), kHeads, positions, frequencies);
    const uint32_t k = d.rope(d.linear(in, kWidth, kNarrow), kShared, positions, frequencies, 1.25);
    const uint32_t v = d.linear(in, kWidth, kNarrow, false);
    const ProgramDraft::Heads heads = {kHeads, kShared,         kDim,
                                       true,   layer ? 9u : 0u, padding_mask(kSamples, kTokens)};
    x = d.add(x, d.linear(d.attention(q, k, v, heads), kWidth, kWidth, false));
    const uint32_t out = d.rms_norm(x, kWidth);
    const uint32_t up = d.linear(out, kWidth, kInner, false);
    const uint32_t gated = d.gate(d.linear(out, kWidth, kInner, false), up, network::Activation::kSilu);
    x = d.add(x, d.linear(gated, kInner, kWidth, false));
  }
  x = d.rms_norm(x, kWidth);
  const uint32_t sliced = d.head_losses(x, labels, table);
  const uint32_t logits = d.linear(x, kWidth, kClasses, false);
  const uint32_t whole = d.token_losses(logits, labels);
  return {"Llama", std::move(d), {sliced, logits, whole}};
}

inline NamedProgram bert_program() {
  constexpr uint64_t kSamples = 3, kTokens = 13, kWidth = 18, kClasses = 40;
  ProgramDraft d(kSamples, 1);
  const uint64_t tokens = kSamples * kTokens;
  const std::vector<int32_t> mask = padding_mask(kSamples, kTokens);
  uint32_t x = d.add(d.embedding(some_numbers(tokens, kClasses, 7), kWidth, kClasses),
                     d.embedding(some_numbers(tokens, 2, 1), kWidth, 2));
  x = d.norm(d.prefix(x, kWidth, 0), kWidth);
  for (int layer = 0; layer < 2; layer++) {
    const uint32_t q = d.linear(x, kWidth, kWidth), k = d.linear(x, kWidth, kWidth);
    const uint32_t v = d.linear(x, kWidth, kWidth);
    const uint32_t seen = d.attention(q, k, v, {3, 3, 6, false, 0, mask});
    x = d.norm(d.add(x, d.linear(seen, kWidth, kWidth)), kWidth);
    const uint32_t inner = d.activation(d.linear(x, kWidth, 50), network::Activation::kGelu);
    x = d.norm(d.add(x, d.linear(inner, 50, kWidth)), kWidth);
  }
  const uint32_t first = d.pick(x, kWidth, {0, 0, 0});
  const uint32_t pooled = d.activation(d.linear(first, kWidth, kWidth), network::Activation::kTanh);
  const uint32_t mean = d.mean(x, kWidth, 1, mask);
  const uint32_t logits = d.linear(d.activation(pooled, network::Activation::kRelu), kWidth, 5);
  return {"BERT", std::move(d), {logits, mean}};
}

inline std::deque<NamedProgram> network_programs() {
  std::deque<NamedProgram> all;  // never copies what it holds
  all.push_back(vit_program());
  all.push_back(clip_program());
  all.push_back(llama_program());
  all.push_back(bert_program());
  return all;
}

}  // namespace wisemerge::test
